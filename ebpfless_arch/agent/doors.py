"""The probe's listening sockets: socketserver's, handing on what they accept to a loop that serves all connections."""

import errno
import os
import socket
import socketserver
from typing import Any, Callable, List

from ebpfless_arch.agent.endpoints import Endpoint, Place, look_up

_QUEUE = 1024
_ACCEPTED_AT_ONCE = 32

Visit = Callable[[socket.socket, Any, Place], None]


class Door(socketserver.TCPServer):
    """Accepts, and leaves the serving of a request to `visit`."""

    allow_reuse_address = True
    request_queue_size = _QUEUE
    timeout = 0

    def __init__(self, place: Place, visit: Visit) -> None:
        self.address_family = place.family
        self.place = place
        self._visit = visit
        socketserver.TCPServer.__init__(self, place.address, socketserver.BaseRequestHandler, False)
        try:
            if place.family == socket.AF_INET6:
                self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            self.bind()
            self.server_activate()
        except OSError:
            self.server_close()
            raise

    def bind(self) -> None:
        """Take the address."""
        self.server_bind()

    def process_request(self, request: Any, client_address: Any) -> None:
        """Hand a connection on, which is served and closed elsewhere."""
        self._visit(request, client_address, self.place)

    def accept(self) -> None:
        """Hand on connections that are waiting, some of them."""
        for _ in range(_ACCEPTED_AT_ONCE):
            self.handle_request()

    def close(self) -> None:
        """Let nobody in any more."""
        self.server_close()


class _UnixDoor(Door):
    """The same for a unix socket. Who may connect is decided by who it is, so the file is open to all."""

    def bind(self) -> None:
        """Take the path, also from a probe that has died."""
        path = self.place.address
        if os.path.exists(path) and not _answers(path):
            os.unlink(path)
        self.socket.bind(path)
        self.server_address = path
        os.chmod(path, 0o666)

    def close(self) -> None:
        """Let nobody in any more, and take the file away."""
        self.server_close()
        try:
            os.unlink(self.place.address)
        except OSError:
            pass


def _answers(path: str) -> bool:
    """Whether somebody listens there; raises OSError for what is no socket."""
    probe = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        probe.connect(path)
    except ConnectionRefusedError:
        return False
    finally:
        probe.close()
    return True


def open_doors(endpoint: Endpoint, visit: Visit) -> List[Door]:
    """Listen there; raises OSError."""
    doors: List[Door] = []
    try:
        for place in look_up(endpoint):
            try:
                doors.append((_UnixDoor if place.family == socket.AF_UNIX else Door)(place, visit))
            except OSError as error:
                if not doors or error.errno not in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
                    raise
    except OSError as error:
        for door in doors:
            door.close()
        raise OSError("cannot listen on %s: %s" % (endpoint.text, _why(error)))
    return doors


def _why(error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return "somebody else does; `ss -ltnp` or `ss -lxp` tells who, --listen names another address"
    return str(error.strerror or error)
