"""JSON parts of the events of events/network.py and events/control.py, in the shape of backend_linux.schema.json."""

from typing import Callable, Dict

from ebpfless_arch.events import constants
from ebpfless_arch.events.calls import SocketEvent
from ebpfless_arch.events.constants import name_of
from ebpfless_arch.events.control import CgroupWriteEvent, SelinuxEvent, SysctlEvent
from ebpfless_arch.events.json_parts import Json, file_json
from ebpfless_arch.events.model import Event
from ebpfless_arch.events.network import (EGRESS, DnsEvent, Endpoint, ImdsEvent, ListenEvent, NewSocketEvent,
                                          PayloadEvent, SendEvent)

CATEGORIES = dict.fromkeys("socket listen send dns imds".split(), "Network Activity")
CATEGORIES.update(dict.fromkeys("cgroup_write selinux sysctl".split(), "Kernel Activity"))

_ACTIONS = {1: "read", 2: "write"}


def _new_socket(event: Event, form: Json) -> None:
    """The schema has no place for this event, nor for the next two."""
    assert isinstance(event, NewSocketEvent)
    form["evt"]["variables"].update(
        socket_family=name_of(constants.FAMILIES, event.family),
        socket_type=name_of(constants.SOCKET_TYPES, event.socket_type), socket_protocol=event.protocol)


def _addressed(event: Event, form: Json) -> None:
    assert isinstance(event, SocketEvent)
    variables = form["evt"]["variables"]
    variables.update(addr={"family": name_of(constants.FAMILIES, event.family), "ip": event.ip, "port": event.port},
                     protocol=name_of(constants.L4_PROTOCOLS, event.protocol))
    if event.path:
        variables["socket_path"] = event.path
    if isinstance(event, ListenEvent):
        variables["backlog"] = event.backlog
    elif isinstance(event, SendEvent):
        variables["size"] = event.size


def _network(event: PayloadEvent) -> Json:
    return {"l3_protocol": name_of(constants.L3_PROTOCOLS, event.l3_protocol),
            "l4_protocol": name_of(constants.L4_PROTOCOLS, event.l4_protocol),
            "source": _end(event.source), "destination": _end(event.destination), "size": event.size,
            "network_direction": "egress" if event.direction == EGRESS else "ingress"}


def _end(end: Endpoint) -> Json:
    return {"ip": end.ip, "port": end.port}


def _dns(event: Event, form: Json) -> None:
    assert isinstance(event, DnsEvent)
    form["network"] = _network(event)
    form["dns"] = {"id": event.id, "is_query": not event.is_answer,
                   "question": {"class": name_of(constants.DNS_CLASSES, event.question_class),
                                "type": name_of(constants.DNS_TYPES, event.question_type),
                                "name": event.name, "size": event.length, "count": event.count},
                   "response": {"code": max(event.code, 0)}}


def _imds(event: Event, form: Json) -> None:
    assert isinstance(event, ImdsEvent)
    form["network"] = _network(event)
    part: Json = {"type": event.message_type, "cloud_provider": event.cloud_provider}
    told = {"url": event.url, "host": event.host, "user_agent": event.user_agent, "server": event.server}
    part.update((name, text) for name, text in told.items() if text)
    if event.cloud_provider == "aws":
        part["aws"] = {"is_imds_v2": event.is_imds_v2}
        if any(event.credentials):
            part["aws"]["security_credentials"] = dict(zip(
                ("code", "type", "access_key_id", "last_updated", "expiration"), event.credentials))
    form["imds"] = part


def _cgroup_write(event: Event, form: Json) -> None:
    assert isinstance(event, CgroupWriteEvent)
    form["cgroup_write"] = {"file": file_json(event.file), "pid": event.pid}


def _selinux(event: Event, form: Json) -> None:
    assert isinstance(event, SelinuxEvent)
    if event.boolean:
        form["selinux"] = {"bool": {"name": event.boolean, "state": event.boolean_state}}
    elif event.status:
        form["selinux"] = {"enforce": {"status": event.status}}
    else:
        form["selinux"] = {"bool_commit": {"state": event.is_commit}}


def _sysctl(event: Event, form: Json) -> None:
    assert isinstance(event, SysctlEvent)
    form["sysctl"] = {"action": _ACTIONS.get(event.action, str(event.action)), "file_position": event.position,
                      "name": event.name, "name_truncated": False, "value": event.value,
                      "value_truncated": event.value_truncated, "old_value": event.old_value,
                      "old_value_truncated": event.old_value_truncated, "proc": _tree(event.name, event.value)}


def _tree(name: str, value: str) -> Json:
    """A parameter as the tree that /proc/sys is."""
    tree: Json = {}
    place = tree
    words = ["sys"] + name.split("/")
    for word in words[:-1]:
        place = place.setdefault(word, {})
    place[words[-1]] = value
    return tree


PARTS: Dict[str, Callable[[Event, Json], None]] = {
    "socket": _new_socket, "listen": _addressed, "send": _addressed, "dns": _dns, "imds": _imds,
    "cgroup_write": _cgroup_write, "selinux": _selinux, "sysctl": _sysctl,
}
