"""A tracer's link to a probe: finds it, connects again and again, speaks whichever dialect is understood.

Nothing here ever waits. Whoever owns a client calls `turn` whenever one of its descriptors is ready, and every now
and then.
"""

import os
import socket
import time
from typing import TYPE_CHECKING, Any, Callable, Collection, Dict, List, Optional

from ebpfless_arch.agent import stream
from ebpfless_arch.agent.dialing import Dialer, UnknownHost
from ebpfless_arch.agent.endpoints import Endpoint, Place, peer_of, trusted_uids
from ebpfless_arch.events.msgpack import WireError
from ebpfless_arch.kernel import procfs, sockets

if TYPE_CHECKING:
    # Loaded with the first connection: where no probe answers a start does without what they bring along.
    from ebpfless_arch.events.link import TracerEnd
    from ebpfless_arch.events.wire import Accepted, Hello

_WELCOME_SECONDS = 2.0
_ANSWER_SECONDS = 10.0
# A probe says something every ten seconds.
_SILENCE_SECONDS = 60.0
_WAITING_AT_MOST = 256 << 10


class Handler:
    """What a client tells its owner; subclassed there."""

    def on_accepted(self, accepted: "Accepted") -> None:
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


class Client:
    """`hello` gives what is to be said at the beginning of a link, `session` is this run's random name."""

    def __init__(self, endpoint: Endpoint, hello: "Callable[[], Hello]", secret: bytes, handler: Handler) -> None:
        self._endpoint = endpoint
        self._hello = hello
        self._secret = secret
        self._handler = handler
        self.session = b""
        self.acknowledged = 0
        # Why there was no link the last time that one was wanted.
        self.trouble = "no answer yet"
        # Whether the probe may order: it has to know the secret, or is of root or of our own user.
        self.is_trusted = False
        self._dialer = Dialer(endpoint)
        self._stream: Optional[stream.Stream] = None
        self._link: "Optional[TracerEnd]" = None
        self._due = 0.0
        self._heard = 0.0

    @property
    def address(self) -> str:
        """Where the probe is looked for."""
        return self._endpoint.text

    @property
    def link(self) -> "Optional[TracerEnd]":
        """The link, where it stands in our dialect or in Datadog's."""
        found = self._link
        return found if found is not None and found.stands else None

    @property
    def is_ready(self) -> bool:
        """Whether the link stands in our dialect."""
        return self._link is not None and self._link.is_ready

    @property
    def is_exposed(self) -> bool:
        """Whether the probe is on another host, and neither end has to prove anything."""
        return self._dialer.place is not None and not self._dialer.place.is_local and not self._secret

    @property
    def is_away(self) -> bool:
        """Whether the probe has been looked for in vain at all its addresses."""
        return self._dialer.is_pausing

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
        found = self._stream or self._dialer.connecting
        return {found.fileno(): found.events} if found else {}

    def patience(self, now: float) -> float:
        """Seconds until something is due."""
        return self._dialer.patience(now) if self._stream is None and self._dialer.connecting is None else 1.0

    def turn(self) -> None:
        """Do what can be done now. Never raises for what the other end, or the network, does."""
        now = time.monotonic()
        try:
            if self._stream is None:
                self._seek(now)
            else:
                self._read(now)
                self._watch(now)
                self._write()
        except (OSError, WireError) as error:
            self._fail(error)

    def close(self) -> None:
        """End the connection, without a word."""
        self._dialer.close()
        if self._stream is not None:
            self._stream.close()
        self._stream = self._link = None

    # --- the connection ------------------------------------------------------------

    def _seek(self, now: float) -> None:
        self._stream = self._dialer.seek(now)
        if self._stream is not None:
            self._greet(now)

    def _greet(self, now: float) -> None:
        assert self._stream is not None and self._dialer.place is not None
        owners = _owners(self._stream, self._dialer.place)
        strangers = sorted(set(owners).difference(trusted_uids()))
        if strangers and not self._secret:
            raise WireError("whoever listens at %s is user %d; a probe that is neither root's nor ours needs a shared "
                            "secret" % (self._endpoint.text, strangers[0]))
        self._refuse_watched()
        self.is_trusted = bool(self._secret or owners)
        from ebpfless_arch.events import wire
        from ebpfless_arch.events.link import TracerEnd

        self.session = self.session or os.urandom(wire.SESSION_BYTES)
        self._link = TracerEnd(self._hello(), self.session, self.acknowledged, self._secret)
        self._due, self._heard = now + _WELCOME_SECONDS, now
        self._write()

    def _refuse_watched(self) -> None:
        """Who is judged must not be the judge, whatever its user may do otherwise."""
        assert self._stream is not None and self._dialer.place is not None
        watched = self._handler.watched()
        if watched and _is_among(self._stream.socket, self._dialer.place, set(watched).union(procfs.descendants(*watched))):
            raise WireError("whoever listens at %s is traced here, and so can be no probe; the rules are evaluated here"
                            % self._endpoint.text)

    def _fail(self, error: Exception) -> None:
        """Try the next address at once, and all of them again after a pause that becomes longer and longer."""
        was_up = self.link is not None
        self.trouble = self._turned_away() or str(getattr(error, "strerror", "") or error)
        self.close()
        self._dialer.fail(time.monotonic(), was_up)
        reason = str(error) if isinstance(error, WireError) else ""
        if isinstance(error, UnknownHost):
            reason = "the probe is not looked for at %s for now: %s" % (self._endpoint.text, error)
        self._handler.on_down(reason, was_up)

    def _turned_away(self) -> str:
        """What may be the reason where a socket's owner has closed the connection before a word; "" where that is not so."""
        place = self._dialer.place
        if self._link is None or not self._link.is_unanswered or place is None or place.family != socket.AF_UNIX:
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
        from ebpfless_arch.events import wire

        self._heard = now
        for message in self._link.feed(data):
            if isinstance(message, wire.Accepted):
                self._refuse_watched()  # by now it holds the connection, even if it has closed what it listened on
                self._dialer.succeed()
                self._handler.on_accepted(message)
            elif isinstance(message, wire.Welcome):
                raise OSError("the probe answers after all: connect anew")
            else:
                self._handler.on_message(message)

    def _watch(self, now: float) -> None:
        """Whom nobody answers falls back to Datadog's dialect, or gives up."""
        assert self._link is not None
        if self._link.is_unanswered and now > self._due:
            self._link.fall_back()
            self._handler.on_plain()
        elif self._link.is_ready and now > self._heard + _SILENCE_SECONDS:
            raise OSError("the probe is silent")
        elif self._link.is_proving and now > self._due + _ANSWER_SECONDS:
            raise OSError("the probe does not go on with the greeting")

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
