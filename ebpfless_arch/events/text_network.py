"""The events of events/network.py and events/control.py in words."""

from typing import Callable, Dict

from ebpfless_arch.events import constants
from ebpfless_arch.events.calls import SocketEvent
from ebpfless_arch.events.constants import name_of
from ebpfless_arch.events.control import CgroupWriteEvent, SelinuxEvent, SysctlEvent
from ebpfless_arch.events.model import Event
from ebpfless_arch.events.network import DnsEvent, Endpoint, ImdsEvent, NewSocketEvent, SendEvent
from ebpfless_arch.events.text_parts import file_text, printable


def socket_place(event: SocketEvent, port: int) -> str:
    """An address with a port, a path, or the family's name where there is neither."""
    if event.ip:
        return ("[%s]:%d" if ":" in event.ip else "%s:%d") % (event.ip, port)
    return printable(event.path) or name_of(constants.FAMILIES, event.family)


def _new_socket(event: Event) -> str:
    assert isinstance(event, NewSocketEvent)
    return "made a socket of %s, %s" % (name_of(constants.FAMILIES, event.family),
                                        name_of(constants.SOCKET_TYPES, event.socket_type))


def _listen(event: Event) -> str:
    assert isinstance(event, SocketEvent)
    return "listens on " + socket_place(event, event.port)


def _send(event: Event) -> str:
    assert isinstance(event, SendEvent)
    return "sent %d bytes to %s" % (event.size, socket_place(event, event.port))


def _end(end: Endpoint) -> str:
    return ("[%s]:%d" if ":" in end.ip else "%s:%d") % (end.ip, end.port)


def _dns(event: Event) -> str:
    assert isinstance(event, DnsEvent)
    question = "%s %s" % (name_of(constants.DNS_TYPES, event.question_type), printable(event.name) or ".")
    if event.is_answer:
        return "was told %s by %s about %s" % (name_of(constants.DNS_CODES, event.code), _end(event.source), question)
    return "asked %s for %s" % (_end(event.destination), question)


def _imds(event: Event) -> str:
    assert isinstance(event, ImdsEvent)
    if event.is_answer:
        return "had an answer of the metadata service %s" % _end(event.source)
    return "asked the metadata service %s for %s" % (_end(event.destination), printable(event.url))


def _cgroup_write(event: Event) -> str:
    assert isinstance(event, CgroupWriteEvent)
    return "put process %d into a cgroup by %s" % (event.pid, file_text(event.file))


def _selinux(event: Event) -> str:
    assert isinstance(event, SelinuxEvent)
    if event.boolean:
        return "set the SELinux boolean %s to %s" % (printable(event.boolean), event.boolean_state)
    if event.status:
        return "set SELinux to " + event.status
    return "committed SELinux booleans"


def _sysctl(event: Event) -> str:
    assert isinstance(event, SysctlEvent)
    return "set %s to %s (was %s)" % (printable(event.name), printable(event.value), printable(event.old_value))


TEXTS: Dict[str, Callable[[Event], str]] = {
    "socket": _new_socket, "listen": _listen, "send": _send, "dns": _dns, "imds": _imds,
    "cgroup_write": _cgroup_write, "selinux": _selinux, "sysctl": _sysctl,
}
