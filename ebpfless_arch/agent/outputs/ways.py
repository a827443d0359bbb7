"""How messages travel over a connection that stands, and what is known of their arrival."""

import collections
import errno
import fcntl
import socket
import struct
import termios
from typing import Any, Deque, List, Tuple

_CHUNK_BYTES = 64 << 10
_AHEAD_BYTES = 256 << 10
# Of a unix socket only "all" and "not all" is known to have been read.
_UNREAD_BYTES = 1 << 20
# SIOCOUTQ of linux/sockios.h has the number of TIOCOUTQ.
_OUTQ = termios.TIOCOUTQ


class Queue:
    """Messages in their order, and how many bytes they are."""

    def __init__(self) -> None:
        self._messages: Deque[bytes] = collections.deque()
        self.size = 0

    def __len__(self) -> int:
        return len(self._messages)

    def put(self, message: bytes) -> None:
        """Append one."""
        self._messages.append(message)
        self.size += len(message)

    def take(self, size: int, count: int) -> List[bytes]:
        """The first ones: at least one, at most `count`, and no more bytes than `size` if there are several."""
        found: List[bytes] = []
        left = size
        while self._messages and len(found) < count and (not found or len(self._messages[0]) <= left):
            left -= len(self._messages[0])
            found.append(self._messages.popleft())
        self.size -= sum(map(len, found))
        return found

    def put_back(self, messages: List[bytes]) -> None:
        """They come first again."""
        self._messages.extendleft(reversed(messages))
        self.size += sum(map(len, messages))


class Closed(OSError):
    """The other end has closed a connection over which nothing was under way."""


class Way:
    """What happens over one connection. `lost` messages are given up, `why` says why; `arrived` counts the others."""

    lost = 0
    arrived = 0
    why = ""
    # Whether the connection has done what it can, and the next messages need another one.
    is_spent = False

    def turn(self, queue: Queue, now: float) -> None:
        """Pass on what can be passed on. Raises OSError when the connection is of no use any more."""
        raise NotImplementedError

    def unconfirmed(self) -> List[bytes]:
        """Messages that are not known to have arrived."""
        return []

    @property
    def held(self) -> int:
        """Bytes of those."""
        return 0


class Flow(Way):
    """One message after the other over a stream, without answers. A message counts as arrived when the other host's kernel has
    acknowledged its last byte (over a unix socket: when it has been read); whatever it was a moment before it died, nobody tells."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self._is_local = stream.socket.family == socket.AF_UNIX
        self._chunks: Deque[Tuple[int, List[bytes]]] = collections.deque()
        self._held = 0

    def turn(self, queue: Queue, now: float) -> None:
        """Pass on, and see what has arrived; what the other end says is of no interest."""
        while True:
            said = self._stream.receive()
            if said == b"":
                self._confirm()
                raise (OSError if self._chunks else Closed)("the connection was closed")
            if said is None:
                break
        self._stream.flush()
        while len(queue) and self._stream.waiting < _AHEAD_BYTES:
            messages = queue.take(_CHUNK_BYTES, _CHUNK_BYTES)
            self._stream.send(b"".join(messages))
            self._chunks.append((self._stream.produced, messages))
            self._held += sum(map(len, messages))
        self._confirm()

    def _confirm(self) -> None:
        left = struct.unpack("i", fcntl.ioctl(self._stream.fileno(), _OUTQ, b"\0" * 4))[0]
        taken = self._stream.produced - self._stream.waiting
        end = taken - left if not self._is_local or not left else 0
        while self._chunks and (self._chunks[0][0] <= end or self._is_local and self._held > _UNREAD_BYTES
                                and self._chunks[0][0] <= taken):
            messages = self._chunks.popleft()[1]
            self._held -= sum(map(len, messages))
            self.arrived += len(messages)

    def unconfirmed(self) -> List[bytes]:
        """They are sent again over the next connection."""
        return [message for _, messages in self._chunks for message in messages]

    @property
    def held(self) -> int:
        """Bytes of those."""
        return self._held


class Datagrams(Way):
    """A datagram for each message. Whether one arrives nobody tells."""

    def __init__(self, stream: Any) -> None:
        self._socket = stream.socket

    def turn(self, queue: Queue, now: float) -> None:
        """Send as many as the system takes."""
        while len(queue):
            messages = queue.take(0, 1)
            try:
                self._socket.send(messages[0])
                self.arrived += 1
            except OSError as error:
                if error.errno == errno.EMSGSIZE:
                    self.lost += 1
                    self.why = "a line is longer than a datagram may be"
                    continue
                queue.put_back(messages)
                if error.errno in (errno.EAGAIN, errno.ENOBUFS, errno.EINTR):
                    return
                raise
