"""The events of events/network.py and events/control.py out of CALL records."""

from typing import Callable, Dict, Tuple

from ebpfless_arch.events import addresses
from ebpfless_arch.events.calls import CallEvent, SocketEvent
from ebpfless_arch.events.control import CgroupWriteEvent, SelinuxEvent, SysctlEvent
from ebpfless_arch.events.files import make_file
from ebpfless_arch.events.model import Process
from ebpfless_arch.events.network import (EGRESS, INGRESS, DnsEvent, Endpoint, ImdsEvent, ListenEvent, NewSocketEvent,
                                          PayloadEvent, SendEvent)
from ebpfless_arch.events.records import Record, decoded

_TYPE_BITS = 15
_VALUE_AT_MOST = 1024


def _socket(record: Record, process: Process) -> CallEvent:
    _, time, _, tid, retval, _, values = record
    event = NewSocketEvent(time, process, tid, retval)
    event.family, event.protocol = values["family"], values["protocol"]
    event.socket_type = values["type"] & _TYPE_BITS
    return event


def place(event: SocketEvent, record: Record) -> None:
    """Take an address over from a record: that of a socket, or of its peer."""
    values = record[6]
    event.family, event.port, event.protocol = values["family"], values["port"], values["protocol"]
    event.ip = addresses.as_text(values["ip"])
    event.path = decoded(values.get("path") or b"")
    event.peer_port = values.get("peer_port", 0)


def _listen(record: Record, process: Process) -> CallEvent:
    _, time, _, tid, retval, _, values = record
    event = ListenEvent(time, process, tid, retval)
    place(event, record)
    event.backlog = values["backlog"]
    return event


def _send(record: Record, process: Process) -> CallEvent:
    _, time, _, tid, retval, _, values = record
    event = SendEvent(time, process, tid, retval)
    place(event, record)
    event.size = values["size"]
    return event


def _direct(event: PayloadEvent, record: Record) -> None:
    """Take over where a message goes, and how."""
    values = record[6]
    own, peer = _end(values["own"]), _end(values["peer"])
    outgoing = values["outgoing"]
    event.source, event.destination = (own, peer) if outgoing else (peer, own)
    event.direction = EGRESS if outgoing else INGRESS
    event.l4_protocol, event.size = values["protocol"], values["size"]


def _end(pair: Tuple[bytes, int]) -> Endpoint:
    return Endpoint(addresses.as_text(pair[0]), pair[1])


def _dns(record: Record, process: Process) -> CallEvent:
    _, time, _, tid, retval, _, values = record
    event = DnsEvent(time, process, tid, retval)
    _direct(event, record)
    (event.id, _, event.name, event.question_type, event.question_class, event.count, event.length,
     event.code, event.addresses) = values["message"]
    return event


def _imds(record: Record, process: Process) -> CallEvent:
    _, time, _, tid, retval, _, values = record
    event = ImdsEvent(time, process, tid, retval)
    _direct(event, record)
    (event.message_type, event.cloud_provider, event.url, event.host, event.user_agent, event.server,
     event.is_imds_v2, event.credentials) = values["message"]
    return event


def _cgroup_write(record: Record, process: Process) -> CallEvent:
    _, time, _, tid, retval, _, values = record
    event = CgroupWriteEvent(time, process, tid, retval)
    path, status, error = values["file"]
    event.file = make_file(process.users, path, status)
    event.file.error = error
    event.pid = values["pid"]
    return event


def _selinux(record: Record, process: Process) -> CallEvent:
    _, time, _, tid, retval, _, values = record
    event = SelinuxEvent(time, process, tid, retval)
    event.name, event.state = decoded(values["name"] or b""), values["state"]
    return event


def _sysctl(record: Record, process: Process) -> CallEvent:
    _, time, _, tid, retval, _, values = record
    event = SysctlEvent(time, process, tid, retval)
    event.name, event.action, event.position = decoded(values["name"] or b""), values["action"], values["position"]
    event.value, event.value_truncated = _value(values["value"])
    event.old_value, event.old_value_truncated = _value(values["old_value"])
    return event


def _value(data: bytes) -> Tuple[str, bool]:
    """A parameter's value, and whether it was cut."""
    return decoded(data[:_VALUE_AT_MOST].rstrip(b"\n\0")), len(data) > _VALUE_AT_MOST


MAKERS: Dict[str, Callable[[Record, Process], CallEvent]] = {
    "socket": _socket, "listen": _listen, "send": _send, "dns": _dns, "imds": _imds, "cgroup_write": _cgroup_write,
    "selinux": _selinux, "sysctl": _sysctl,
}
