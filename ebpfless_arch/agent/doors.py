"""The probe's listening sockets: socketserver's, handing on what they accept to a loop that serves all connections."""

import errno
import os
import socket
import socketserver
from typing import Any, Callable, List, MutableMapping, Optional

from ebpfless_arch.agent.endpoints import Endpoint, Place, look_up, name_of

_QUEUE = 1024
_ACCEPTED_AT_ONCE = 32
# A host that is gone is found out within two minutes.
_IDLE_SECONDS, _ASKING_SECONDS, _ASKED = 60, 15, 4
# Where descriptors from a service manager begin.
_FIRST_GIVEN = 3
# asm-generic/socket.h; Python has no name for it.
_SO_DOMAIN = 39

Visit = Callable[[socket.socket, Any, Place], None]


class Door(socketserver.TCPServer):
    """Accepts, and leaves the serving of a request to `visit`."""

    allow_reuse_address = True
    request_queue_size = _QUEUE
    timeout = 0

    def __init__(self, place: Place, visit: Visit, given: Optional[socket.socket] = None) -> None:
        """`given` listens already."""
        self.address_family = place.family
        self.place = place
        self._visit = visit
        socketserver.TCPServer.__init__(self, place.address, socketserver.BaseRequestHandler, False)
        if given is not None:
            self.socket.close()
            self.socket = given
            return
        try:
            if place.family == socket.AF_INET6:
                self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            self.bind()
            self.server_activate()
        except OSError:
            self.server_close()
            raise

    @property
    def name(self) -> str:
        """Where it listens."""
        family, address = self.place
        return "unix:%s" % address if family == socket.AF_UNIX else name_of(family, address)

    def bind(self) -> None:
        """Take the address."""
        self.server_bind()

    def process_request(self, request: Any, client_address: Any) -> None:
        """Hand a connection on, which is served and closed elsewhere."""
        if self.address_family != socket.AF_UNIX:
            _notice_death(request)
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


def _notice_death(connection: socket.socket) -> None:
    """Whoever may be silent for ever, as tracers in Datadog's dialect may, is asked by the kernel whether its host is still there."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in ((socket.TCP_KEEPIDLE, _IDLE_SECONDS), (socket.TCP_KEEPINTVL, _ASKING_SECONDS),
                          (socket.TCP_KEEPCNT, _ASKED)):
        connection.setsockopt(socket.IPPROTO_TCP, option, value)


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


def given_doors(visit: Visit, environment: MutableMapping[str, str] = os.environ) -> List[Door]:
    """The sockets on which a service manager listens for us (sd_listen_fds(3)), none where there are none. Whoever we
    start is not told of them. Raises OSError for what is no listening socket."""
    mine = environment.pop("LISTEN_PID", "") == str(os.getpid())
    count = environment.pop("LISTEN_FDS", "")
    environment.pop("LISTEN_FDNAMES", None)
    numbers = range(_FIRST_GIVEN, _FIRST_GIVEN + int(count)) if mine and count.isdigit() else range(0)
    return [_given_door(number, visit) for number in numbers]


def _given_door(number: int, visit: Visit) -> Door:
    os.set_inheritable(number, False)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM, 0, os.dup(number)) as unknown:
        family = unknown.getsockopt(socket.SOL_SOCKET, _SO_DOMAIN)
        if not unknown.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
            raise OSError("the socket that the service manager gives does not listen: ListenStream= is needed")
    given = socket.socket(family, socket.SOCK_STREAM, 0, number)
    return Door(Place(family, given.getsockname()), visit, given)


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
