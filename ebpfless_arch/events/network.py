"""Events of the network that calls.py does not have: sockets made and listened on, messages, and what they say."""

from typing import Tuple

from ebpfless_arch.events import imds
from ebpfless_arch.events.addresses import is_public
from ebpfless_arch.events.calls import CallEvent, SocketEvent
from ebpfless_arch.events.model import Event, Process

EGRESS, INGRESS = 1, 2
_ETH_P_IP, _ETH_P_IPV6 = 0x0800, 0x86DD


class NewSocketEvent(CallEvent):
    """socket, of the families and types of interest (tracer/syscalls.py). `socket_type` is without its flags."""

    __slots__ = ("family", "socket_type", "protocol")

    def __init__(self, time: int, process: Process, tid: int, retval: int) -> None:
        Event.__init__(self, "socket", time, process, tid, retval)
        self.family = 0
        self.socket_type = 0
        self.protocol = 0


class ListenEvent(SocketEvent):
    """listen: the socket's own address, and how many connections may wait."""

    __slots__ = ("backlog",)

    def __init__(self, time: int, process: Process, tid: int, retval: int) -> None:
        SocketEvent.__init__(self, "listen", time, process, tid, retval)
        self.backlog = 0


class SendEvent(SocketEvent):
    """A message with an address of its own: sendto, sendmsg, sendmmsg. `size` is its number of bytes as passed."""

    __slots__ = ("size",)

    def __init__(self, time: int, process: Process, tid: int, retval: int) -> None:
        SocketEvent.__init__(self, "send", time, process, tid, retval)
        self.size = 0


class Endpoint:
    """One end of a way: an address as text and a port, "" and 0 where they are not known."""

    __slots__ = ("ip", "port")

    def __init__(self, ip: str = "", port: int = 0) -> None:
        self.ip = ip
        self.port = port

    @property
    def is_public(self) -> bool:
        """Whether the address is reachable from anywhere."""
        return is_public(self.ip)


class PayloadEvent(CallEvent):
    """What a message says: from `source` to `destination` by the protocol `l4_protocol`, in `size` bytes. `direction`
    is EGRESS or INGRESS."""

    __slots__ = ("source", "destination", "l4_protocol", "direction", "size")

    def __init__(self, kind: str, time: int, process: Process, tid: int, retval: int) -> None:
        Event.__init__(self, kind, time, process, tid, retval)
        self.source = Endpoint()
        self.destination = Endpoint()
        self.l4_protocol = 0
        self.direction = EGRESS
        self.size = 0

    @property
    def is_answer(self) -> bool:
        """Whether this is what was answered, and not what was asked."""
        return self.direction == INGRESS

    @property
    def l3_protocol(self) -> int:
        """The EtherType of the addresses' family."""
        return _ETH_P_IPV6 if ":" in self.destination.ip else _ETH_P_IP


class DnsEvent(PayloadEvent):
    """A question to a name server, or its answer. See events/dns.py for the names; `code` is -1 in a question. `addresses`
    are those of an answer, with their owners' names."""

    __slots__ = ("id", "name", "question_type", "question_class", "count", "length", "code", "addresses")

    def __init__(self, time: int, process: Process, tid: int, retval: int) -> None:
        PayloadEvent.__init__(self, "dns", time, process, tid, retval)
        self.id = 0
        self.name = ""
        self.question_type = 0
        self.question_class = 0
        self.count = 0
        self.length = 0
        self.code = -1
        self.addresses: Tuple[Tuple[str, bytes], ...] = ()


class ImdsEvent(PayloadEvent):
    """A request to the metadata service of a cloud machine, or its answer; see events/imds.py for what it has."""

    __slots__ = ("message_type", "cloud_provider", "url", "host", "user_agent", "server", "is_imds_v2", "credentials")

    def __init__(self, time: int, process: Process, tid: int, retval: int) -> None:
        PayloadEvent.__init__(self, "imds", time, process, tid, retval)
        self.message_type = ""
        self.cloud_provider = ""
        self.url = ""
        self.host = ""
        self.user_agent = ""
        self.server = ""
        self.is_imds_v2 = False
        self.credentials: Tuple[str, ...] = imds.NO_CREDENTIALS

    @property
    def credentials_type(self) -> str:
        """The type of the credentials in an answer, "" where there are none."""
        return self.credentials[1]
