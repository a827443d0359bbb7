"""Lines for another program or host, named by a URL. Nothing here waits before the end: what is not taken is kept, up to a limit,
beyond that lines are dropped and counted, and a connection that breaks is made anew."""

import select
import socket
import time
from typing import Any, Dict, Optional

from ebpfless_arch.agent.dialing import Dialer
from ebpfless_arch.agent.outputs import Label, Sink, Voice
from ebpfless_arch.agent.outputs.targets import Target
from ebpfless_arch.agent.outputs.ways import Closed, Queue, Way

_ROOM = 16 << 20
_GREETING_SECONDS = 10.0
# A connection that takes nothing for so long is given up (TCP_USER_TIMEOUT, tcp(7), in ms).
_STUCK_MS = 60000
_TOLD_SECONDS = 60.0
# At the end: how long to wait for a connection, for one that takes nothing more, and at most.
_CONNECTION_SECONDS, _PROGRESS_SECONDS, _CLOSING_SECONDS = 1.5, 5.0, 30.0
_REST_SECONDS = 0.02


class Remote(Sink):
    """`voice` tells how it goes."""

    def __init__(self, target: Target, voice: Voice, room: int = _ROOM) -> None:
        self.name = target.name
        self._target = target
        self._voice = voice
        self._room = room
        self._queue = Queue()
        self._dialer = Dialer(target.endpoint, target.kind)
        self._stream: Any = None
        self._way: Optional[Way] = None
        self._greeted = True
        self._due = 0.0
        self._arrived = 0
        self._has_tried = self._has_stood = False
        self._trouble = ""
        self._told: Dict[str, float] = {}
        self._is_down = False

    @property
    def _held(self) -> int:
        return self._queue.size + (self._way.held if self._way is not None else 0)

    def add(self, line: str, label: Label) -> None:
        """Append one line."""
        message = self._target.form(line, label)
        if self._held + len(message) > self._room:
            self._lose(1, self._trouble or "it takes less than there is")
        else:
            self._queue.put(message)

    def _lose(self, count: int, why: str) -> None:
        self.dropped += count
        self.why_dropped = "%s: %s" % (self.name, why)

    def flush(self) -> bool:
        """Pass on what is taken now; True while something is under way. Never raises for what the network does."""
        now = time.monotonic()
        try:
            self._turn(now)
        except OSError as error:
            self._fail(error, now)
        return bool(self._held) and not self._dialer.is_pausing

    def _turn(self, now: float) -> None:
        if self._way is None:
            self._connect(now)
        if self._stream is not None and not self._greeted:
            self._greeted = self._stream.greet()
            if not self._greeted and now > self._due:
                raise OSError("TLS: no answer to the greeting")
        if self._way is not None and self._greeted:
            self._way.turn(self._queue, now)
            self._count(self._way)
            if self._way.is_spent:
                self._give_up()
                self._dialer.hurry()

    def _connect(self, now: float) -> None:
        """Connect when there is something to say, and once at the beginning, so that trouble is known early."""
        if not self._queue.size and self._has_tried and self._dialer.connecting is None:
            return
        self._has_tried = True
        plain = self._dialer.seek(now)
        if plain is None:
            return
        if plain.socket.family != socket.AF_UNIX and self._target.kind == socket.SOCK_STREAM:
            plain.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _STUCK_MS)
        self._stream, self._greeted, self._due = plain, True, now + _GREETING_SECONDS
        if self._target.context is not None:
            from ebpfless_arch.agent.tls import TlsStream  # heavy, and loaded by now

            self._stream, self._greeted = TlsStream(plain, self._target.context, self._target.host), False
        self._way = self._target.way(self._stream)
        self._arrived = 0

    def _count(self, way: Way) -> None:
        """See what has become of messages."""
        if way.lost:
            self._lose(way.lost, way.why)
            way.lost = 0
            self._tell("lines are lost: %s" % way.why)
        if way.arrived > self._arrived:
            self._arrived = way.arrived
            self._dialer.succeed()
            self._trouble = ""
            if self._is_down:
                self._is_down = False
                self._voice.complain("the output %s takes lines again" % self.name)

    def _give_up(self) -> None:
        """Let go of the connection; what has not arrived comes first over the next one."""
        if self._way is not None:
            self._count(self._way)
            self._queue.put_back(self._way.unconfirmed())
        if self._stream is not None:
            self._stream.close()
        self._stream = self._way = None

    def _fail(self, error: OSError, now: float) -> None:
        worked, stood = self._arrived > 0, self._stream is not None
        self._give_up()
        self._dialer.fail(now, worked)
        self._arrived = 0
        if not isinstance(error, Closed) or self._queue.size and not worked:
            if stood or not self._has_stood:  # of several addresses the one where somebody is tells more
                self._trouble = str(error.strerror or error)
            self._has_stood = (stood or self._has_stood) and not self._dialer.is_pausing
            if self._dialer.is_pausing and not self._is_down:
                self._is_down = self._tell("%s; up to %d MiB of lines are kept, and it is tried again and again"
                                           % (self._trouble, self._room >> 20))

    def _tell(self, text: str) -> bool:
        """Say what is wrong; the same again only if it comes back later."""
        now = time.monotonic()
        if now < self._told.get(text, -_TOLD_SECONDS) + _TOLD_SECONDS:
            return False
        self._told[text] = now
        self._voice.complain("the output %s: %s" % (self.name, text), "warning")
        return True

    def leave(self) -> None:
        """A copy of this process goes on with the connection, and with what is kept."""
        if self._stream is not None:
            self._stream.close()
        self._dialer.close()
        self._stream = self._way = None
        self._queue = Queue()
        self._has_tried = True

    def close(self) -> None:
        """Deliver what is left, as long as that goes on."""
        self._dialer.hurry()
        now = began = moved = time.monotonic()
        held = self._held
        while self._held and now < began + _CLOSING_SECONDS and now < moved + self._patience():
            self.flush()
            if self._dialer.is_pausing and self._trouble:
                break
            self._rest()
            now = time.monotonic()
            if self._held != held:
                held, moved = self._held, now
        self._end()

    def _patience(self) -> float:
        return _CONNECTION_SECONDS if self._way is None or not self._greeted else _PROGRESS_SECONDS

    def _rest(self) -> None:
        """Wait a moment for the other end."""
        poll = select.poll()
        stream = self._stream or self._dialer.connecting
        if stream is not None and stream.events:
            poll.register(stream.fileno(), stream.events)
        poll.poll(_REST_SECONDS * 1000)

    def _end(self) -> None:
        left = len(self._queue) + (len(self._way.unconfirmed()) if self._way is not None else 0)
        if left:
            self._lose(left, self._trouble or ("it takes less than there is" if self._way is not None else "no answer"))
        if self._stream is not None and self._greeted and self._way is not None:
            self._stream.finish()
        self.leave()
