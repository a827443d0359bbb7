"""A tracer's connection as the probe sees it: bytes in, messages handled, bytes out, and how long that may take."""

import time
from typing import Any, Callable, Dict, Optional

from ebpfless_arch.agent.sessions import PROCESSES_AT_MOST, Session
from ebpfless_arch.agent.stream import Stream
from ebpfless_arch.events import link, wire
from ebpfless_arch.events.datadog_records import Told
from ebpfless_arch.events.link import Missing, ProbeEnd
from ebpfless_arch.events.msgpack import WireError
from ebpfless_arch.events.records import Record

_HELLO_SECONDS = 10.0
_FRAME_SECONDS = 30.0
_SILENCE_SECONDS = 60.0
_WAITING_AT_MOST = 1 << 20
_HEARTBEAT_SECONDS = 10.0
_STALLED_SECONDS, _MUCH = 3.0, 16 << 10
# How many records a tracer may have had at most, in its life or in a hundred days; a fast one makes some 20,000 a second.
_RECORDS_AT_LEAST, _RECORDS_A_SECOND, _OLDEST_SECONDS = 1000000, 100000, 8640000.0


class Host:
    """What a peer needs of the probe; implemented there."""

    def greet(self, peer: "Peer", hello: wire.Hello) -> Session:
        """The session that a tracer goes on with, or a new one."""
        raise NotImplementedError

    def judge(self, session: Session, record: Record, number: int) -> None:
        """Take one record."""
        raise NotImplementedError

    def learn(self, session: Session, record: Record) -> None:
        """Take one record of a process that runs already."""
        raise NotImplementedError

    def refusal(self, session: Session, record: Record) -> int:
        """The errno with which a call shall fail, 0 to let it run."""
        raise NotImplementedError

    def miss(self, records: int) -> None:
        """So many records were lost before they could be sent."""
        raise NotImplementedError

    def warn_of_blindness(self) -> None:
        """A tracer does not look at files, which costs rules."""
        raise NotImplementedError

    def tell(self, text: str) -> None:
        """A line for whoever runs the probe."""
        raise NotImplementedError


class Peer:
    """One connection. `where` names it, `is_local` says that it does not come from another host."""

    def __init__(self, host: Host, stream: Stream, where: str, is_local: bool, secret: bytes) -> None:
        self.stream = stream
        self.where = where
        self.is_local = is_local
        self.session: Optional[Session] = None
        self.is_done = False
        self._host = host
        self._link = ProbeEnd(secret)
        self._opened = self._heard = self._told = self._moved = time.monotonic()
        self._acknowledged = 0
        self._boasts = False

    def fileno(self) -> int:
        """The connection's descriptor, -1 when it is closed."""
        return self.stream.fileno()

    @property
    def is_ready(self) -> bool:
        """Whether a tracer of ours is there."""
        return self._link.state == link.READY

    @property
    def is_plain(self) -> bool:
        """Whether a tracer in Datadog's dialect is there, which may be silent as long as it likes."""
        return self._link.state == link.PLAIN

    @property
    def heard(self) -> float:
        """When something came last, by time.monotonic()."""
        return self._heard

    def stalls(self, now: float) -> bool:
        """Whether much is kept for it: half a message of which no end comes, or answers that it does not take."""
        return self._link.held + self.stream.waiting > _MUCH and now > self._moved + _STALLED_SECONDS

    def read(self) -> bool:
        """Take in what has arrived and deal with it; False when nothing has. Raises WireError and OSError when the peer
        is to be left."""
        data = self.stream.receive()
        if data is None:
            return False
        if not data:
            raise EOFError
        self._heard = time.monotonic()
        moved = False
        for message in self._link.feed(data):
            self._HANDLERS[type(message)](self, message)
            moved = True
        if moved or not self._link.held:
            self._moved = self._heard
        return True

    def write(self) -> None:
        """Send what there is to be sent; raises WireError for who does not take it, and OSError."""
        if self._link.waiting:
            self.stream.send(self._link.take())
        else:
            self.stream.flush()
        if self.stream.waiting > _WAITING_AT_MOST:
            raise WireError("it does not read what it is answered")

    def watch(self, now: float) -> None:
        """Raises WireError for a peer that takes too long; sends a sign of life to the others."""
        if self.session is None and now > self._opened + _HELLO_SECONDS:
            raise WireError("no greeting came within %d s" % _HELLO_SECONDS)
        if self._link.held and now > self._moved + _FRAME_SECONDS:
            raise WireError("half a message came, and no more of it within %d s" % _FRAME_SECONDS)
        if self.is_ready:
            if now > self._heard + _SILENCE_SECONDS:
                raise WireError("silent for %d s" % _SILENCE_SECONDS)
            if now > self._told + _HEARTBEAT_SECONDS:
                self._acknowledge(now, self._acknowledged)

    def acknowledge(self) -> None:
        """All records until now have been dealt with for good."""
        if self.is_ready and self._link.last != self._acknowledged:
            self._acknowledge(time.monotonic(), self._link.last)

    def _acknowledge(self, now: float, last: int) -> None:
        self._told, self._acknowledged = now, last
        self._link.send(wire.Acknowledged(last))

    def want(self, interest: Dict[str, Any]) -> None:
        """The rules are others now."""
        if self.is_ready:
            self._link.send(wire.Wanted(interest))

    def accept(self, interest: Dict[str, Any]) -> None:
        """Let a tracer of ours go on."""
        assert self.session is not None
        self._link.accept(self.session.last, interest)
        self.session.last = self._acknowledged = self._link.last
        self.session.order = self._link.send

    def refuse(self, reason: str) -> None:
        """Tell a tracer of ours why it is left."""
        self._link.refuse(reason)
        if self._link.waiting:
            self.stream.send(self._link.take())

    # --- messages ------------------------------------------------------------------

    def _on_hello(self, hello: wire.Hello) -> None:
        self.session = self._host.greet(self, hello)

    def _known(self) -> Session:
        assert self.session is not None
        return self.session

    def _on_records(self, message: wire.Records) -> None:
        session = self._known()
        number = message.first
        for record in message.records:
            self._host.judge(session, record, number)
            number += 1
        session.last = self._link.last
        if len(session.source.processes) > PROCESSES_AT_MOST:
            raise WireError("more than %d processes" % PROCESSES_AT_MOST)

    def _on_told(self, told: Told) -> None:
        if told.known:
            self._host.learn(self._known(), told.record)
        else:
            self._host.judge(self._known(), told.record, 0)
        if len(self._known().source.processes) > PROCESSES_AT_MOST:
            raise WireError("more than %d processes" % PROCESSES_AT_MOST)

    def _on_missing(self, missing: Missing) -> None:
        born = self._known().hello.created / 1e9
        age = min(max(0.0, time.time() - born), _OLDEST_SECONDS)
        if missing.records <= _RECORDS_AT_LEAST + age * _RECORDS_A_SECOND:
            self._host.miss(missing.records)
        elif not self._boasts:
            self._boasts = True
            self._host.tell("%s says that %d records are missing, more than it can have had: that is not counted"
                            % (self._known().name, missing.records))

    def _on_processes(self, message: wire.Processes) -> None:
        for record in message.records:
            if self._known().learns(record):
                self._host.learn(self._known(), record)

    def _on_question(self, question: wire.Question) -> None:
        refusal = self._host.refusal(self._known(), question.record)
        self._link.send(wire.Verdict(question.number, refusal))

    def _on_context(self, context: wire.Context) -> None:
        self._known().describe(context.tags)
        if not self._known().source.looks:
            self._host.warn_of_blindness()

    def _on_counters(self, counters: wire.Counters) -> None:
        self._known().counters = counters.values

    def _on_outcome(self, outcome: wire.Outcome) -> None:
        if self._known().settles(outcome.number) and outcome.status == "refused":
            self._host.tell("%s: a kill was refused: %s" % (self._known().name, ascii(outcome.why)[1:-1]))

    def _on_goodbye(self, goodbye: wire.Goodbye) -> None:
        self.is_done = True

    _HANDLERS: Dict[type, Callable[["Peer", Any], None]] = {
        wire.Hello: _on_hello, wire.Records: _on_records, Told: _on_told, Missing: _on_missing, wire.Processes: _on_processes,
        wire.Question: _on_question, wire.Context: _on_context, wire.Counters: _on_counters, wire.Outcome: _on_outcome,
        wire.Goodbye: _on_goodbye}
