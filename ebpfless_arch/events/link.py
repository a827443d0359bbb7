"""Both ends of a link between a tracer and a probe, without any input or output: bytes in, messages and bytes out.

Whoever has a socket feeds what arrives, deals with the messages that come of it, and sends what `take` hands out.
A WireError means that the peer is to be left; what `take` still has may tell it why.

    tracer                                          probe
    Hello (as Datadog's, with ours in one key)  ->  (is silent, if it is Datadog's: the tracer falls back)
                                                <-  Welcome
    Response                                    ->
                                                <-  Accepted, or Refused
    Processes, Records, Question, Outcome,      ->
    Context, Counters, Goodbye                  <-  Acknowledged, Wanted, Verdict, Order

How long to wait for an answer, and for a peer's life signs, is the caller's to say.
"""

import os
from typing import Any, Callable, Dict, FrozenSet, Iterator, List, Optional, Sequence

from ebpfless_arch.events import datadog_records, datadog_structs, wire
from ebpfless_arch.events.msgpack import WireError, unpack
from ebpfless_arch.events.records import Record
from ebpfless_arch.events.users import Users
from ebpfless_arch.events.wire import (Accepted, Acknowledged, Context, Counters, FrameReader, Goodbye, Hello, Message, Offer,
                                       Order, Outcome, Processes, Question, Records, Refused, Response, Verdict,
                                       Wanted, Welcome)
from ebpfless_arch.named import NamedTuple

# What a link is: waiting for the first word of the other end, or for the next in turn; READY in our dialect,
# PLAIN in Datadog's; or over.
WAITING, PROVING, GREETED, READY, PLAIN, CLOSED = "waiting", "proving", "greeted", "ready", "plain", "closed"

_OF_TRACER: FrozenSet[type] = frozenset([Processes, Records, Question, Outcome, Context, Counters, Goodbye])
_OF_PROBE: FrozenSet[type] = frozenset([Acknowledged, Wanted, Verdict, Order])

Draw = Callable[[int], bytes]


class Missing(NamedTuple):
    """The probe's end noticed a gap: so many records were lost before they could be sent."""

    records: int


class _End:
    """What both ends have in common."""

    def __init__(self) -> None:
        self.state = WAITING
        self._reader = FrameReader()
        self._outgoing: List[bytes] = []
        self.waiting = 0
        self._handlers: Dict[str, Callable[[bytes], Iterator[Message]]] = {}

    def feed(self, data: bytes) -> Iterator[Message]:
        """The messages that become whole with what has arrived. They are made as one asks for them, and those before
        a bad one are good; raises WireError at a bad one, and the link is closed then."""
        if self.state != CLOSED:
            self._reader.feed(data)
        return self._messages()

    def take(self) -> bytes:
        """What is to be sent now; `waiting` tells how much that would be."""
        data = b"".join(self._outgoing)
        self._outgoing.clear()
        self.waiting = 0
        return data

    def close(self) -> None:
        """The link is over: what comes is not looked at any more."""
        self.state = CLOSED
        self._reader = FrameReader()

    @property
    def stands(self) -> bool:
        """Whether both ends understand each other, in our dialect or in Datadog's."""
        return self.state in (READY, PLAIN)

    @property
    def is_ready(self) -> bool:
        """Whether they do in ours."""
        return self.state == READY

    @property
    def is_proving(self) -> bool:
        """Whether the greeting has begun, and the other end is to go on with it."""
        return self.state == PROVING

    @property
    def is_unanswered(self) -> bool:
        """Whether the other end has not said a word yet."""
        return self.state == WAITING

    @property
    def held(self) -> int:
        """Bytes of a message that has not come to its end: who keeps that up is too slow."""
        return self._reader.held

    def _messages(self) -> Iterator[Message]:
        try:
            for body in self._reader:
                for message in self._handlers[self.state](body):
                    yield message
                if self.state == CLOSED:
                    return
        except WireError:
            self.close()
            raise

    def _put(self, body: bytes) -> None:
        data = wire.frame(body)
        self._outgoing.append(data)
        self.waiting += len(data)

    def _send(self, message: Message) -> None:
        self._put(wire.pack_message(message))

    def _require(self, state: str) -> None:
        if self.state != state:
            raise RuntimeError("the link is %s, not %s" % (self.state, state))


class TracerEnd(_End):
    """The tracer's end. `session` is its run's random name (wire.SESSION_BYTES, the same for all its links), or b"" to
    speak Datadog's dialect only; `acknowledged` the last record of this run that a probe has acknowledged.

    With a secret, it talks only to a probe that proves that it has the same one.
    """

    def __init__(self, hello: Hello, session: bytes = b"", acknowledged: int = 0, secret: bytes = b"",
                 draw: Draw = os.urandom) -> None:
        _End.__init__(self)
        self._secret = secret
        self._handlers = {WAITING: self._on_welcome, PROVING: self._on_accepted, READY: self._on_message,
                          PLAIN: self._on_late}
        self._transcript = b""
        if session:
            offer = Offer((wire.VERSION,), session, draw(wire.NONCE_BYTES), acknowledged)
            self._hello = hello._replace(offer=offer).pack()
        else:
            self._hello = hello.pack()
            self.fall_back()
        self._put(self._hello)

    def fall_back(self) -> None:
        """Nobody has answered the hello: from now on Datadog's dialect is spoken. Raises WireError where a secret is
        given, for such a probe can prove nothing."""
        self._require(WAITING)
        if self._secret:
            self.close()
            raise WireError("the probe does not answer, so it cannot show that it knows the shared secret: "
                            "start an ebpfless probe, or take the secret out of the tracer's configuration")
        self.state = PLAIN

    def send(self, message: Message) -> None:
        """Send one of Processes, Question, Outcome, Context, Counters, Goodbye; raises WireError for one that is too long."""
        self._require(READY)
        self._send(message)

    def send_processes(self, packed: Sequence[bytes]) -> None:
        """Send records of processes that run already, as record_shapes.pack_record made them."""
        self._require(READY)
        for batch in wire.batches(packed):
            self._put(wire.pack_processes(batch))

    def send_records(self, first: int, packed: Sequence[bytes]) -> None:
        """Send records as record_shapes.pack_record made them; the first has the number `first`."""
        self._require(READY)
        for batch in wire.batches(packed):
            self._put(wire.pack_records(first, batch))
            first += len(batch)

    def tell(self, record: Record, users: Users, container: str = "") -> bool:
        """Send a record in Datadog's dialect; False for one that it has no words for."""
        self._require(PLAIN)
        message = datadog_records.as_message(record, users, container)
        if message is None:
            return False
        self._put(datadog_structs.write("Message", message))
        return True

    def _on_welcome(self, body: bytes) -> Iterator[Message]:
        welcome = self._answer(body, Welcome)
        if welcome.version != wire.VERSION or len(welcome.nonce) != wire.NONCE_BYTES:
            raise WireError("the probe wants to speak version %d of our dialect, which is unknown here"
                            % welcome.version)
        if welcome.secret and not self._secret:
            raise WireError("the probe asks for a shared secret, and this tracer was given none")
        if self._secret and not welcome.secret:
            raise WireError("the probe does not ask for the shared secret, so it cannot show that it knows it")
        self._transcript = _transcript(self._hello, body)
        self._send(Response(_proof(self._secret, b"tracer", self._transcript)))
        self.state = PROVING
        return iter(())

    def _on_accepted(self, body: bytes) -> Iterator[Message]:
        accepted = self._answer(body, Accepted)
        if not _is_same(accepted.proof, _proof(self._secret, b"probe", self._transcript)):
            raise WireError("the probe does not know the shared secret")
        self.state = READY
        yield accepted

    def _on_message(self, body: bytes) -> Iterator[Message]:
        message = wire.message_of(unpack(body))
        _refusal(message)
        if type(message) not in _OF_PROBE:
            raise WireError("a probe does not send %s" % type(message).__name__)
        yield message

    def _on_late(self, body: bytes) -> Iterator[Message]:
        """A probe of ours that was too slow to answer: whoever cares may connect to it anew."""
        yield self._answer(body, Welcome)

    def _answer(self, body: bytes, wanted: type) -> Any:
        message = wire.message_of(unpack(body))
        _refusal(message)
        if type(message) is not wanted:
            raise WireError("the probe sends %s instead of %s" % (type(message).__name__, wanted.__name__))
        return message


class ProbeEnd(_End):
    """The probe's end. The first message that comes out of it is a Hello. If the link is GREETED then, call `accept`
    (or `refuse`); if it is PLAIN, the tracer speaks Datadog's dialect, and what follows are datadog_records.Told.

    With a secret, only tracers of ours that prove that they have the same one come that far.
    """

    def __init__(self, secret: bytes = b"", name: str = "ebpfless", draw: Draw = os.urandom) -> None:
        _End.__init__(self)
        self._secret = secret
        self._name = name
        self._draw = draw
        self._handlers = {WAITING: self._on_hello, PROVING: self._on_response, GREETED: self._on_early,
                          READY: self._on_message, PLAIN: self._on_plain}
        self._hello: Optional[Hello] = None
        self._transcript = b""
        self.last = 0
        self.untold = 0

    def accept(self, last: Optional[int], interest: Dict[str, Any]) -> None:
        """Let the tracer go on after record `last`, None if nothing is known of its session, with this interest
        (wire.plain_interest). Records that come a second time are dropped here from now on."""
        self._require(GREETED)
        assert self._hello is not None and self._hello.offer is not None
        self.last = max(last or 0, self._hello.offer.acknowledged)
        self._send(Accepted(_proof(self._secret, b"probe", self._transcript), self.last, interest))
        self.state = READY

    def refuse(self, reason: str) -> None:
        """Tell a tracer of ours why it is left; the link is closed."""
        if self.state in (PROVING, GREETED, READY):
            self._send(Refused(reason))
        self.close()

    def send(self, message: Message) -> None:
        """Send one of Acknowledged, Wanted, Verdict, Order."""
        self._require(READY)
        self._send(message)

    def _on_hello(self, body: bytes) -> Iterator[Message]:
        value = unpack(body)
        if type(value) is not dict or value.get("Type") != datadog_structs.HELLO:
            raise WireError("the first message is no hello")
        self._hello = wire.hello_of(value)
        offer = self._hello.offer
        if offer is None or wire.VERSION not in offer.versions:
            yield self._become_plain()
            return
        welcome = wire.pack_message(Welcome(wire.VERSION, self._draw(wire.NONCE_BYTES), bool(self._secret),
                                            self._name))
        self._transcript = _transcript(body, welcome)
        self._put(welcome)
        self.state = PROVING

    def _become_plain(self) -> Hello:
        """Go on in Datadog's dialect."""
        assert self._hello is not None
        offer = self._hello.offer
        if self._secret:
            reason = "this probe asks for a shared secret, which Datadog's dialect cannot show"
            if offer is not None:
                reason = "this probe speaks version %d of our dialect, the tracer others" % wire.VERSION
                self._send(Refused(reason))
            raise WireError(reason)
        self.state = PLAIN
        return self._hello._replace(offer=None)

    def _on_response(self, body: bytes) -> Iterator[Message]:
        value = unpack(body)
        if type(value) is dict:
            # It had given up waiting for us when our welcome was on its way.
            yield self._become_plain()
            for message in self._on_plain(body):
                yield message
            return
        response = wire.message_of(value)
        if type(response) is not Response:
            raise WireError("the tracer sends %s instead of Response" % type(response).__name__)
        if not _is_same(response.proof, _proof(self._secret, b"tracer", self._transcript)):
            reason = "the tracer does not know the shared secret"
            self.refuse(reason)
            raise WireError(reason)
        self.state = GREETED
        assert self._hello is not None
        yield self._hello

    def _on_early(self, body: bytes) -> Iterator[Message]:
        raise WireError("the tracer speaks before it was accepted")

    def _on_message(self, body: bytes) -> Iterator[Message]:
        message = wire.message_of(unpack(body))
        if type(message) not in _OF_TRACER:
            raise WireError("a tracer does not send %s" % type(message).__name__)
        if type(message) is Records:
            return self._fresh(message)
        if type(message) is Goodbye:
            return self._end(message)
        return iter((message,))

    def _fresh(self, message: Records) -> Iterator[Message]:
        """What of a batch has not been here before; and first, how many are missing before it."""
        known = self.last + 1 - message.first
        if known < 0 and message.records:
            yield Missing(-known)
        fresh = message.records[max(known, 0):]
        if fresh:
            self.last = message.first + len(message.records) - 1
            yield Records(message.first + max(known, 0), fresh)

    def _end(self, message: Goodbye) -> Iterator[Message]:
        if message.last > self.last:
            yield Missing(message.last - self.last)
        yield message

    def _on_plain(self, body: bytes) -> Iterator[Message]:
        message = datadog_structs.read("Message", unpack(body))
        if message["Type"] == datadog_structs.HELLO:
            raise WireError("a second hello")
        if message["Type"] == datadog_structs.GOODBYE:
            yield Goodbye(0)
            return
        told = None
        if message["Type"] == datadog_structs.SYSCALL:
            if message["Syscall"] is None:
                raise WireError("a system call without its part Syscall")
            told = datadog_records.as_told(message["Syscall"])
        if told is None:
            self.untold += 1
        else:
            yield told


def _refusal(message: Message) -> None:
    if type(message) is Refused:
        raise WireError("the probe refuses: %s" % ascii(message.reason)[1:-1])


def _transcript(hello: bytes, welcome: bytes) -> bytes:
    """What both ends have said, with both of their nonces in it: a proof is for this one link."""
    import hashlib

    return hashlib.sha256(hello).digest() + hashlib.sha256(welcome).digest()


def _proof(secret: bytes, role: bytes, transcript: bytes) -> bytes:
    """That this end knows the secret; b"" where there is none."""
    import hmac

    return hmac.new(secret, role + transcript, "sha256").digest() if secret else b""


def _is_same(proof: bytes, wanted: bytes) -> bool:
    """Whether they are the same, in a time that does not tell where they differ."""
    import hmac

    return hmac.compare_digest(proof, wanted)
