"""A connected socket that nobody waits for: what cannot be sent at once is kept here."""

import errno
import os
import select
import socket
from typing import Optional

from ebpfless_arch.agent.endpoints import Place

_PORTION = 64 << 10


def make_buffer() -> bytearray:
    """A buffer for streams to share."""
    return bytearray(_PORTION)


class Stream:
    """One end of a connection. Errors are OSError.

    `buffer` is where what arrives is put for a moment; a server's connections share one, for 64 KiB that come and go
    with every few bytes leave holes in its memory.
    """

    __slots__ = ("_socket", "_outgoing", "_buffer", "connected", "produced")

    def __init__(self, connection: socket.socket, connected: bool = True, buffer: Optional[bytearray] = None) -> None:
        self._socket = connection
        self._outgoing = bytearray()
        self._buffer = buffer or bytearray(_PORTION)
        self.connected = connected
        # Bytes that were to be sent until now.
        self.produced = 0
        connection.setblocking(False)

    def fileno(self) -> int:
        """The socket's descriptor."""
        return self._socket.fileno()

    @property
    def socket(self) -> socket.socket:
        """The socket itself, to ask about its ends."""
        return self._socket

    @property
    def waiting(self) -> int:
        """Bytes that the other end has not taken."""
        return len(self._outgoing)

    @property
    def events(self) -> int:
        """What poll(2) is to look for."""
        if not self.connected:
            return select.POLLOUT
        return select.POLLIN | (select.POLLOUT if self._outgoing else 0)

    def finish_connecting(self) -> None:
        """The socket has become writable: the connection stands, or there is an error, which is raised."""
        code = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code:
            raise OSError(code, os.strerror(code))
        self.connected = True

    def receive(self) -> Optional[bytes]:
        """What has arrived, 64 KiB at most; None where nothing has, b"" at the end."""
        try:
            return bytes(memoryview(self._buffer)[:self._socket.recv_into(self._buffer)])
        except (BlockingIOError, InterruptedError):
            return None

    def send(self, data: bytes) -> None:
        """Send, now or when there is room."""
        self._outgoing += data
        self.produced += len(data)
        self.flush()

    def flush(self) -> bool:
        """Send what the other end takes now; whether that was anything."""
        taken = 0
        try:
            while self._outgoing:
                count = self._socket.send(self._outgoing[:_PORTION])
                del self._outgoing[:count]
                taken += count
        except (BlockingIOError, InterruptedError):
            pass
        return taken > 0

    def finish(self) -> None:
        """Tell the other end that nothing follows."""
        try:
            self._socket.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # it has gone already

    def close(self) -> None:
        """The end of it; the other end may not have taken everything."""
        self._socket.close()


def is_writable(stream: Stream) -> bool:
    """Whether the other end would take something now, or has refused the connection."""
    poll = select.poll()
    poll.register(stream.fileno(), select.POLLOUT)
    return bool(poll.poll(0))


def connect(place: Place, kind: int = socket.SOCK_STREAM) -> Stream:
    """Begin to connect; raises OSError where that fails at once."""
    connection = socket.socket(place.family, kind | socket.SOCK_CLOEXEC)
    stream = Stream(connection, False)
    try:
        if place.family != socket.AF_UNIX and kind == socket.SOCK_STREAM:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        code = connection.connect_ex(place.address)
        if code not in (0, errno.EINPROGRESS):
            raise OSError(code, os.strerror(code))
        stream.connected = code == 0
    except OSError:
        connection.close()
        raise
    return stream
