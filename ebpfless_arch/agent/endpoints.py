"""Addresses of probes as the configuration gives them, as sockets take them, and who may be at the other end."""

import os
import socket
import struct
from typing import Any, List, Optional, Tuple

from ebpfless_arch.named import NamedTuple

_UNIX = "unix:"
_LOOPBACK = ("127.", "::1", "::ffff:127.")
_CREDENTIALS = struct.Struct("3i")


class Endpoint(NamedTuple):
    """Where a probe is: `host` and `port`, or `path` of a unix socket; `text` is what the configuration says."""

    text: str
    host: str = ""
    port: int = 0
    path: str = ""


class Place(NamedTuple):
    """What socket(2) and connect(2) take."""

    family: int
    address: Any

    @property
    def is_local(self) -> bool:
        """Whether nobody from another host can be at the other end."""
        return self.family == socket.AF_UNIX or str(self.address[0]).startswith(_LOOPBACK)


def endpoint_of(text: str) -> Endpoint:
    """The endpoint that a text of kind `address` (agent/settings.py) means."""
    if text.startswith(_UNIX):
        return Endpoint(text, path=text[len(_UNIX):])
    host, _, port = text.rpartition(":")
    return Endpoint(text, host.strip("[]"), int(port))


def places_at_once(endpoint: Endpoint) -> Optional[List[Place]]:
    """Where that is, as far as it needs no look-up: numbers, localhost, paths; None for other names."""
    if endpoint.path:
        return [Place(socket.AF_UNIX, endpoint.path)]
    if endpoint.host == "localhost":
        return [Place(socket.AF_INET, ("127.0.0.1", endpoint.port)), Place(socket.AF_INET6, ("::1", endpoint.port))]
    try:
        return _looked_up(endpoint, socket.AI_NUMERICHOST)
    except OSError:
        return None


def look_up(endpoint: Endpoint) -> List[Place]:
    """Where that is; may wait for a name server. Raises OSError, also for what can be no name."""
    return places_at_once(endpoint) or _looked_up(endpoint, 0)


def _looked_up(endpoint: Endpoint, flags: int) -> List[Place]:
    try:
        found = socket.getaddrinfo(endpoint.host, endpoint.port, 0, socket.SOCK_STREAM, socket.IPPROTO_TCP, flags)
    except ValueError:  # a..b, a part of more than 63 letters, a NUL
        raise socket.gaierror(socket.EAI_NONAME, "'%s' can be no host's name" % endpoint.host)
    return [Place(int(family), address) for family, _, _, _, address in found]


def name_of(family: int, address: Any) -> str:
    """A peer's address for people."""
    if family == socket.AF_UNIX:
        return "a unix socket"
    return ("[%s]:%d" if family == socket.AF_INET6 else "%s:%d") % tuple(address[:2])


class Credentials(NamedTuple):
    """Who is at the other end of a unix socket; pid 0 for one of another pid namespace."""

    pid: int
    uid: int
    gid: int


def peer_of(connection: socket.socket) -> Credentials:
    """Who has connected, or listens, at the other end of a unix socket (SO_PEERCRED, unix(7))."""
    data = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    return Credentials(*_CREDENTIALS.unpack(data))


def trusted_uids() -> Tuple[int, ...]:
    """Users who could do to us whatever they like anyway: root, and ourselves."""
    return (0, os.geteuid())
