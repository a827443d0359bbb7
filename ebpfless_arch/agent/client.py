"""A tracer's link to a probe: finds it, connects again and again, speaks whichever dialect is understood.

Nothing here ever waits. Whoever owns a client calls `turn` whenever one of its descriptors is ready, and every now
and then.
"""

import os
import select
import socket
import time
from typing import Any, Callable, Collection, Dict, List, Optional

from ebpfless_arch.agent import stream
from ebpfless_arch.agent.endpoints import Endpoint, Place, look_up, peer_of, places_at_once, trusted_uids
from ebpfless_arch.events import link, wire
from ebpfless_arch.events.link import TracerEnd
from ebpfless_arch.events.msgpack import WireError
from ebpfless_arch.events.wire import Accepted, Hello
from ebpfless_arch.kernel import procfs, signals, sockets

_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.1, 5.0
_CONNECT_SECONDS = 5.0
_WELCOME_SECONDS = 2.0
_ANSWER_SECONDS = 10.0
# A probe says something every ten seconds.
_SILENCE_SECONDS = 60.0
_WAITING_AT_MOST = 256 << 10


class Handler:
    """What a client tells its owner; subclassed there."""

    def on_accepted(self, accepted: Accepted) -> None:
        """The link stands, in our dialect."""

    def on_plain(self) -> None:
        """The link stands, in Datadog's dialect."""

    def on_message(self, message: Any) -> None:
        """The probe has said something."""

    def on_down(self, reason: str, was_up: bool) -> None:
        """There is no link any more, or none has come about."""

    def watched(self) -> Collection[int]:
        """The processes that the probe is to judge."""
        return ()


class _UnknownHost(OSError):
    """There is no such name."""


class Client:
    """`hello` gives what is to be said at the beginning of a link, `session` is this run's random name."""

    def __init__(self, endpoint: Endpoint, hello: Callable[[], Hello], secret: bytes, handler: Handler) -> None:
        self._endpoint = endpoint
        self._hello = hello
        self._secret = secret
        self._handler = handler
        self.session = os.urandom(wire.SESSION_BYTES)
        self.acknowledged = 0
        # Why there was no link the last time that one was wanted.
        self.trouble = "no answer yet"
        # Whether the probe may order: it has to know the secret, or is of root or of our own user.
        self.is_trusted = False
        self._places: List[Place] = []
        self._search: Optional[_Search] = None
        self._stream: Optional[stream.Stream] = None
        self._link: Optional[TracerEnd] = None
        self._place: Optional[Place] = None
        self._pause = _FIRST_PAUSE_SECONDS
        self._due = 0.0
        self._heard = 0.0

    @property
    def address(self) -> str:
        """Where the probe is looked for."""
        return self._endpoint.text

    @property
    def link(self) -> Optional[TracerEnd]:
        """The link, where it stands in our dialect or in Datadog's."""
        found = self._link
        return found if found is not None and found.state in (link.READY, link.PLAIN) else None

    @property
    def is_ready(self) -> bool:
        """Whether the link stands in our dialect."""
        return self._link is not None and self._link.state == link.READY

    @property
    def is_exposed(self) -> bool:
        """Whether the probe is on another host, and neither end has to prove anything."""
        return self._place is not None and not self._place.is_local and not self._secret

    @property
    def has_room(self) -> bool:
        """Whether more should be handed to the link: it is not the place to keep what a slow probe does not take."""
        return self.waiting < _WAITING_AT_MOST

    @property
    def waiting(self) -> int:
        """Bytes that are on their way to the probe."""
        ends = (self._stream.waiting if self._stream else 0), (self._link.waiting if self._link else 0)
        return sum(ends)

    def descriptors(self) -> Dict[int, int]:
        """What to wait for, as poll(2) takes it."""
        return {self._stream.fileno(): self._stream.events} if self._stream else {}

    def patience(self, now: float) -> float:
        """Seconds until something is due."""
        return 0.05 if self._search is not None else max(0.0, self._due - now) if self._stream is None else 1.0

    def turn(self) -> None:
        """Do what can be done now. Never raises for what the other end, or the network, does."""
        now = time.monotonic()
        try:
            if self._stream is None:
                self._seek(now)
            elif not self._stream.connected:
                self._await_connection(now)
            else:
                self._read(now)
                self._watch(now)
                self._write()
        except (OSError, WireError) as error:
            self._fail(error)

    def close(self) -> None:
        """End the connection, without a word."""
        if self._stream is not None:
            self._stream.close()
        self._stream = self._link = None

    # --- the connection ------------------------------------------------------------

    def _seek(self, now: float) -> None:
        if self._search is not None:
            if self._search.is_alive():
                return
            self._places, self._search = self._search.places, None
        elif now < self._due:
            return
        elif not self._places:
            found = places_at_once(self._endpoint)
            if found is None:
                self._search = _Search(self._endpoint)
                signals.start_without(self._search.start)
                return
            self._places = found
        if not self._places:
            raise _UnknownHost("the probe is not looked for at %s for now: no name server knows that host" % self._endpoint.text)
        self._place = self._places.pop(0)
        self._due = now + _CONNECT_SECONDS
        self._stream = stream.connect(self._place)
        if self._stream.connected:
            self._greet(now)

    def _await_connection(self, now: float) -> None:
        assert self._stream is not None
        poll = select.poll()
        poll.register(self._stream.fileno(), select.POLLOUT)
        if poll.poll(0):
            self._stream.finish_connecting()
            self._greet(now)
        elif now > self._due:
            raise OSError("no answer from %s" % self._endpoint.text)

    def _greet(self, now: float) -> None:
        assert self._stream is not None and self._place is not None
        owners = _owners(self._stream, self._place)
        strangers = sorted(set(owners).difference(trusted_uids()))
        if strangers and not self._secret:
            raise WireError("whoever listens at %s is user %d; a probe that is neither root's nor ours needs a shared "
                            "secret" % (self._endpoint.text, strangers[0]))
        self._refuse_watched()
        self.is_trusted = bool(self._secret or owners)
        self._link = TracerEnd(self._hello(), self.session, self.acknowledged, self._secret)
        self._due, self._heard = now + _WELCOME_SECONDS, now
        self._write()

    def _refuse_watched(self) -> None:
        """Who is judged must not be the judge, whatever its user may do otherwise."""
        assert self._stream is not None and self._place is not None
        watched = self._handler.watched()
        if watched and _is_among(self._stream.socket, self._place, set(watched).union(procfs.descendants(*watched))):
            raise WireError("whoever listens at %s is traced here, and so can be no probe; the rules are evaluated here"
                            % self._endpoint.text)

    def _fail(self, error: Exception) -> None:
        """Try the next address at once, and all of them again after a pause that becomes longer and longer."""
        was_up = self.link is not None
        self.trouble = self._turned_away() or str(getattr(error, "strerror", "") or error)
        self.close()
        if was_up:
            self._pause, self._places = _FIRST_PAUSE_SECONDS, []
        now = time.monotonic()
        if self._places:
            self._due = now
        else:
            self._due = now + self._pause * (0.8 + 0.4 * os.urandom(1)[0] / 255)
            self._pause = min(self._pause * 2, _LONGEST_PAUSE_SECONDS)
        self._handler.on_down(str(error) if isinstance(error, (WireError, _UnknownHost)) else "", was_up)

    def _turned_away(self) -> str:
        """What may be the reason where a socket's owner has closed the connection before a word; "" where that is not so."""
        if self._link is None or self._link.state != link.WAITING or self._place is None or self._place.family != socket.AF_UNIX:
            return ""
        return "the probe has closed the connection at once; user %d may not be among its --peers" % os.geteuid()

    # --- the link ------------------------------------------------------------------

    def _read(self, now: float) -> None:
        assert self._stream is not None and self._link is not None
        data = self._stream.receive()
        if data is None:
            return
        if not data:
            raise OSError("the probe has closed the connection")
        self._heard = now
        for message in self._link.feed(data):
            if isinstance(message, Accepted):
                self._refuse_watched()  # by now it holds the connection, even if it has closed what it listened on
                self._pause = _FIRST_PAUSE_SECONDS
                self._handler.on_accepted(message)
            elif isinstance(message, wire.Welcome):
                raise OSError("the probe answers after all: connect anew")
            else:
                self._handler.on_message(message)

    def _watch(self, now: float) -> None:
        """Whom nobody answers falls back to Datadog's dialect, or gives up."""
        assert self._link is not None
        state = self._link.state
        if state == link.WAITING and now > self._due:
            self._link.fall_back()
            self._handler.on_plain()
        elif state == link.PROVING and now > self._due + _ANSWER_SECONDS:
            raise OSError("the probe does not go on with the greeting")
        elif state == link.READY and now > self._heard + _SILENCE_SECONDS:
            raise OSError("the probe is silent")

    def _write(self) -> None:
        assert self._stream is not None and self._link is not None
        if self._link.waiting:
            self._stream.send(self._link.take())
        else:
            self._stream.flush()


def _owners(connection: stream.Stream, place: Place) -> List[int]:
    """The users who may be at the other end, none where this host cannot tell."""
    if place.family == socket.AF_UNIX:
        return [peer_of(connection.socket).uid]
    return sockets.listening_users(place.address[1]) if place.is_local else []


def _is_among(connection: socket.socket, place: Place, pids: Collection[int]) -> bool:
    """Whether one of these processes may be at the other end."""
    if place.family == socket.AF_UNIX:
        peer = peer_of(connection)
        # Where it has ended, its heirs listen, whoever that is.
        return peer.pid in pids or peer.pid > 0 and peer.uid == os.geteuid() and not procfs.exists(peer.pid)
    if not place.is_local and connection.getsockname()[0] != connection.getpeername()[0]:
        return False  # another host
    found = [each for each in sockets.at_port(place.address[1]) if each.inode]
    inodes = {each.inode for each in found}
    answers = {sockets.holds(pid, inodes) for pid in pids}
    if True in answers or None not in answers or os.geteuid() not in (each.uid for each in found):
        return True in answers
    # One of them hides what it has open (prctl(PR_SET_DUMPABLE)): it is that one, if it is nobody else.
    return not any(sockets.holds(pid, inodes) for pid in procfs.processes() if pid not in pids)


class _Search:
    """Asks name servers, in a thread of its own, as that may take long."""

    def __init__(self, endpoint: Endpoint) -> None:
        import threading

        self._endpoint = endpoint
        self.places: List[Place] = []
        thread = threading.Thread(target=self._ask, daemon=True)
        self.start, self.is_alive = thread.start, thread.is_alive

    def _ask(self) -> None:
        try:
            self.places = look_up(self._endpoint)
        except OSError:
            self.places = []
