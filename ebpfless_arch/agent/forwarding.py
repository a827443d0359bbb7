"""The keeper's receiver under `trace`: judges records itself until a probe answers, then forwards them.

What a probe has not acknowledged is kept (agent/spool.py) and sent again over the next link. A probe that stays away, or
is away when the spool is full, is replaced: what it has not acknowledged is judged here, and so is what follows, until
a probe answers again. A probe in Datadog's dialect never answers: it is told everything, and we judge all the same.
"""

import os
import select
import time
from typing import TYPE_CHECKING, Any, Collection, Dict, List, Optional, Set, Tuple

from ebpfless_arch.agent.client import Client, Handler
from ebpfless_arch.agent.config import size
from ebpfless_arch.agent.evaluation import Agent, own_source
from ebpfless_arch.agent.spool import Spool
from ebpfless_arch.agent.surroundings import Surroundings
from ebpfless_arch.events import records
from ebpfless_arch.events.interest import ANSWERS, Interest, counts
from ebpfless_arch.events.msgpack import WireError, unpack
from ebpfless_arch.events.processes import Processes
from ebpfless_arch.events.records import Record
from ebpfless_arch.events.roll import Roll, concerns_model
from ebpfless_arch.events.users import Users
from ebpfless_arch.named import NamedTuple
from ebpfless_arch.tracer.receiver import Answer, Receiver

if TYPE_CHECKING:
    # Loaded with the first connection, see client.py.
    from ebpfless_arch.events import wire

_BATCH_BYTES = 64 << 10
# A message of 256 KiB has room for it.
_RECORD_AT_MOST = 255 << 10
_PATIENCE_SECONDS = 30.0
_VERDICT_SECONDS = 0.8
_COUNTERS_SECONDS = 10.0
# At the end: how long to wait for a probe that takes nothing more, for one that takes in and says nothing (all has been
# judged here as well then), for one that is away, and at most.
_PROGRESS_SECONDS, _PLAIN_SECONDS, _RETURN_SECONDS, _CLOSING_SECONDS = 3.0, 0.5, 1.5, 60.0


class _Question(NamedTuple):
    """A call that waits for the probe's word, until when, and who is to be answered."""

    record: Record
    answer: Answer
    end: float


class Forwarder(Receiver, Handler):
    """`agent` judges here, `roll` knows whoever started us; `verbose` tells how it goes with the probe."""

    def __init__(self, agent: Agent, spool: Spool, roll: Roll, users: Users, around: Surroundings,
                 verbose: bool = False) -> None:
        self._verbose = verbose
        # Whether the probe was not there at first, and whether it was told that it has come.
        self._missed = self._has_come = False
        self._stored = 0
        self._agent = agent
        self._spool = spool
        self._roll = roll
        self._seen: Optional[Interest] = None
        self._users = users
        self._around = around
        self._described: Tuple[str, ...] = ()
        self._client: Client
        self._judging = True
        self._forwarding = False
        self._wanted: Optional[Interest] = None
        self._complained = ""
        self._warned = False
        self._unseen: List[str] = []
        self._questions: Dict[int, _Question] = {}
        self._asked = 0
        self._down_since = 0.0
        self._counted = 0.0
        self._untold = 0
        self._unsendable = 0
        self._left = False
        self._family: Set[int] = set()

    def start(self, client: Client) -> None:
        """Begin to look for the probe, and around."""
        self._client = client
        self._around.ask(lambda: None)  # each turn looks whether there is more
        client.turn()

    def wait(self, seconds: float) -> Optional[Interest]:
        """Wait that long for a link; what its probe is interested in, None where none came or it did not say."""
        end = time.monotonic() + seconds
        while self._client.link is None and time.monotonic() < end:
            self._rest(min(0.05, end - time.monotonic()))
        if self._client.link is None and not self._complained:
            self._missed = True
            self._agent.notice("no answer from the probe at %s within %g s (%s); we begin without it, and go on looking"
                               % (self._client.address, seconds, self._client.trouble))
        return self._wanted

    def begin(self, seen: Interest) -> None:
        """Records will follow, of a tracer that stops for this."""
        self._seen = seen
        if self._wanted is not None:
            self._tell_unseen(self._wanted, seen)

    # --- records ---------------------------------------------------------------------

    def receive(self, record: Record) -> None:
        """Judge a record, or put it on its way, or both."""
        self._note(record)
        if self._judging:
            self._agent.receive(record)
        elif concerns_model(record):
            self._agent.learn(record)
        if self._forwarding:
            self._store(record)
        elif concerns_model(record):
            self._roll.apply(record)

    def _note(self, record: Record) -> None:
        """Who is traced."""
        if record[0] in (records.FORK, records.SNAPSHOT, records.EXEC):
            self._family.add(record[2])
        elif record[0] == records.EXIT:
            self._family.discard(record[2])

    def watched(self) -> Collection[int]:
        """The processes that are traced."""
        return self._family

    def _store(self, record: Record) -> None:
        wanted = self._wanted
        if wanted is not None and not _is_wanted(wanted, record):
            return
        vital = concerns_model(record)
        packed = _packed(record)
        if packed is None:
            self._unsendable += 1
            self._spool.skip()
            return
        if not self._judging and not self._client.is_ready and not self._spool.fits(packed):
            self._replace_probe()
            self._agent.receive(record)
            self._roll.apply(record)
            return
        self._stored += 1
        self._spool.put(packed, vital)

    def judge(self, record: Record, answer: Answer) -> None:
        """Whether a call may run is the probe's to say, if it can do so in time, else ours."""
        if self._judging or not self._client.is_ready or not self._client.is_trusted:
            self._agent.judge(record, answer)
            return
        self._pump()
        if self._spool.has_more() or _packed(record) is None:
            self._agent.judge(record, answer)  # the probe is far behind
            return
        self._asked += 1
        self._questions[self._asked] = _Question(record, answer, time.monotonic() + _VERDICT_SECONDS)
        from ebpfless_arch.events import wire

        self._send(wire.Question(self._asked, record))
        self._client.turn()

    def notice(self, text: str) -> None:
        """A line for whoever started us."""
        self._agent.notice(text)

    def failed(self, text: str) -> None:
        """An error of ours: it is told once and counted."""
        self._agent.failed(text)

    def get_ready(self) -> None:
        """Load what may be needed later."""
        from ebpfless_arch.events import link as link

        self._agent.get_ready()

    def idle(self) -> bool:
        """Write out what is held back; True when something could not be written yet, or is waited for."""
        return self._agent.idle() or bool(self._questions)

    # --- the link --------------------------------------------------------------------

    def descriptors(self) -> Dict[int, int]:
        """Do what is due, and say what to wait for."""
        self._client.turn()
        self._describe()
        self._pump()
        now = time.monotonic()
        for number in [number for number, question in self._questions.items() if question.end < now]:
            self._judge_instead(number)
        if self._forwarding and not self._judging and self._client.link is None \
                and now > self._down_since + _PATIENCE_SECONDS:
            self._replace_probe()
        if self._client.is_ready and now > self._counted + _COUNTERS_SECONDS:
            self._counted = now
            from ebpfless_arch.events import wire

            self._send(wire.Counters(self._counters()))
        return self._client.descriptors()

    def _describe(self) -> None:
        """Say where we are, as far as that is news."""
        tags = self._around.tags
        if tags != self._described:
            self._described = tags
            self._agent.describe(tags)
            if self._client.is_ready:
                from ebpfless_arch.events import wire

                self._send(wire.Context(tags))

    def patience(self) -> float:
        """Seconds until something is due."""
        return self._client.patience(time.monotonic())

    def _pump(self) -> None:
        """Hand on what there is, as far as the other end takes it."""
        end = self._client.link
        while end is not None and self._spool.has_more() and self._client.has_room:
            first, packed = self._spool.take(_BATCH_BYTES)
            if self._client.is_ready:
                end.send_records(first, packed)
            else:
                self._tell_plainly(packed)
            self._client.turn()
            end = self._client.link

    def _tell_plainly(self, packed: List[bytes]) -> None:
        """In Datadog's dialect: nothing is acknowledged, so what is told is let go."""
        end = self._client.link
        assert end is not None
        for each in packed:
            try:
                end.tell(unpack(each), self._users, self._around.container)
            except WireError:
                self._untold += 1  # longer than any of their messages may be
        self._let_go(self._spool.acknowledge(self._spool.last))

    def _let_go(self, packed: Any) -> None:
        """These records need not be kept any more; what they tell of processes stays."""
        for each in packed:
            record = unpack(each)
            if concerns_model(record):
                self._roll.apply(record)
        self._client.acknowledged = self._spool.acknowledged

    def _send(self, message: Any) -> None:
        if self._client.is_ready:
            end = self._client.link
            assert end is not None
            end.send(message)

    def on_accepted(self, accepted: "wire.Accepted") -> None:
        """From now on the probe judges. Its model of processes begins where its records do."""
        self._warn()
        if self._judging and self._missed and not self._has_come:
            self._has_come = True
            self._agent.notice("the probe at %s has come, and evaluates the rules from now on" % self._client.address)
        self._forwarding, self._judging = True, False
        self._spool.rewind()
        self._let_go(self._spool.drop_up_to(accepted.last))
        end = self._client.link
        assert end is not None
        from ebpfless_arch.events import wire
        from ebpfless_arch.events.record_shapes import pack_record

        end.send(wire.Context(self._described))
        end.send_processes([pack_record(record) for record in self._roll.records()])
        self._use(accepted.interest)

    def on_plain(self) -> None:
        """The probe is told, but whether anybody listens there we do not know."""
        self._warn()
        if not self._judging:
            self._replace_probe()
        self._forwarding = True
        self._wanted = None
        for record in list(self._roll.records()):
            # What was attached to before; whoever is above has no time.
            if record[0] == records.SNAPSHOT and record[1]:
                self._store(record)

    def _warn(self) -> None:
        if self._client.is_exposed and not self._warned:
            self._warned = True
            self._agent.notice("warning: the probe is on another host, and without a --secret-file nobody knows who that is; "
                     "it is told everything, and its orders are not taken")

    def on_message(self, message: Any) -> None:
        """The probe has said something."""
        from ebpfless_arch.events import wire

        if isinstance(message, wire.Acknowledged):
            self._let_go(self._spool.acknowledge(message.last))
        elif isinstance(message, wire.Wanted):
            self._use(message.interest)
        elif isinstance(message, wire.Verdict) and message.number in self._questions:
            self._questions.pop(message.number).answer(message.errno)
        elif isinstance(message, wire.Order):
            self._obey(message)

    def on_down(self, reason: str, was_up: bool) -> None:
        """Keep what was not acknowledged, and tell of what is no mere absence."""
        if reason and reason != self._complained:
            self._complained = reason
            self._agent.notice(reason)
        for number in list(self._questions):
            self._judge_instead(number)
        if was_up:
            self._down_since = time.monotonic()
        elif self._client.is_away and not self._missed:
            self._missed = True
            if self._verbose and not reason:
                self._agent.notice("no probe at %s so far (%s); the rules are evaluated here until one answers"
                                   % (self._client.address, self._client.trouble))
        if self._judging and self._forwarding:
            self._forwarding = False
            left = list(self._spool.drain())
            self._untold += len(left)
            self._let_go(left)

    def _judge_instead(self, number: int) -> None:
        question = self._questions.pop(number)
        self._agent.judge(question.record, question.answer)

    def _replace_probe(self) -> None:
        """Judge here what the probe has not acknowledged, and what follows. It may have judged some of it, too."""
        self._agent.source = own_source(Processes(self._users), self._agent.source.context)
        self._agent.source.processes.live_in(self._around.container)
        for known in self._roll.records():
            self._agent.learn(known)
        self._judging, self._forwarding = True, False
        for packed in self._spool.drain():
            record = unpack(packed)
            self._agent.receive(record)
            self._roll.apply(record)
        self._client.acknowledged = self._spool.acknowledged

    def _use(self, plain: Dict[str, Any]) -> None:
        """The probe's interest: what it does not want is not sent, and what is not seen is told."""
        from ebpfless_arch.events import wire

        self._wanted = wire.interest_of(plain)
        if self._seen is not None:
            self._tell_unseen(self._wanted, self._seen)

    def _tell_unseen(self, wanted: Interest, seen: Interest) -> None:
        unseen = sorted(event for event in wanted.events if not seen.wants(event))
        if wanted.failures and not seen.failures:
            unseen.append("calls that failed")
        if unseen and unseen != self._unseen:
            self._unseen = unseen
            reason = ("the probe's rules ask for what this tracer was not started for: %s; with --wait-probe it is known "
                      "before the start" % ", ".join(unseen))
            self.receive(records.blind(int(time.time() * 1e9), os.getpid(), os.getpid(), reason, "interest"))

    def _obey(self, order: "wire.Order") -> None:
        """Send a signal, if the probe may order that."""
        from ebpfless_arch.events import wire

        if self._client.is_trusted:
            from ebpfless_arch.agent.ending import end_process

            ending = end_process(order.pid, order.start, order.time, order.signal)
            self._send(wire.Outcome(order.number, ending.status, ending.why))
        else:
            self._send(wire.Outcome(order.number, "refused", "without a secret no orders are taken"))

    def _counters(self) -> Dict[str, int]:
        return {"records": self._spool.last, "lost": self._spool.lost + self._agent.lost,
                "faults": self._agent.faults, "spooled": self._spool.size}

    # --- the end ---------------------------------------------------------------------

    def leave(self) -> None:
        """A copy of this process goes on with the link; here nothing more is said."""
        self._left = True
        self._client.close()
        self._agent.leave()

    def close(self) -> None:
        """Deliver what is left, as long as the probe takes it; judge the rest here."""
        if not self._left and self._forwarding:
            self._deliver()
        self._client.close()
        if self._verbose and self._stored:
            self._agent.notice("%d records were handed to the probe" % max(0, self._stored - self._untold - self._spool.lost))
        if self._untold:
            self._agent.notice("%d records were not told to the probe, but judged here" % self._untold)
        self._tell_lost()
        self._agent.close()

    def _tell_lost(self) -> None:
        oversized, unsendable = self._spool.oversized, self._unsendable
        for count, reason in ((self._spool.lost - oversized - unsendable, "on their way to the probe, which takes less than there is"),
                              (oversized, "for each is larger than --spool %s has room for" % size(self._spool.room)),
                              (unsendable, "for no message to a probe can hold them")):
            if count:
                self._agent.notice("%d record%s lost %s" % (count, " was" if count == 1 else "s were", reason))

    def _deliver(self) -> None:
        now = moved = time.monotonic()
        end = now + _CLOSING_SECONDS
        state = (0, 0)
        while (not self._spool.is_empty() or self._client.waiting) and now < min(end, moved + self._closing_patience()):
            self._rest(0.05)
            now = time.monotonic()
            if (self._spool.acknowledged, self._client.waiting) != state:
                state, moved = (self._spool.acknowledged, self._client.waiting), now
        if self._client.is_ready and self._spool.is_empty():
            from ebpfless_arch.events import wire

            self._send(wire.Goodbye(self._spool.last))
            self._client.turn()
        elif not self._judging:
            self._replace_probe()
        else:
            self._untold += len(list(self._spool.drain()))

    def _closing_patience(self) -> float:
        if self._client.is_ready:
            return _PROGRESS_SECONDS
        return _PLAIN_SECONDS if self._client.link is not None else _RETURN_SECONDS

    def _rest(self, seconds: float) -> None:
        """Wait for the other end, and do what is due then."""
        poll = select.poll()
        for descriptor, events in self.descriptors().items():
            poll.register(descriptor, events)
        poll.poll(seconds * 1000)
        self._client.turn()


def _packed(record: Record) -> Optional[bytes]:
    """A record as it travels; None for one that no probe would take, which is counted as lost there."""
    from ebpfless_arch.events.record_shapes import pack_record

    try:
        packed = pack_record(record)
    except WireError:
        return None
    return packed if len(packed) < _RECORD_AT_MOST else None


def _is_wanted(wanted: Interest, record: Record) -> bool:
    """Whether the probe wants to know of a record; what is not about a call always matters."""
    kind = record[0]
    if kind == records.OPEN:
        return "open" in wanted.events and (wanted.failures or counts("open", record[4]))
    if kind != records.CALL or concerns_model(record):
        return True
    event = record[5]
    asked = event in wanted.events or event + ".response" in wanted.events & ANSWERS
    return asked and (wanted.failures or counts(event, record[4]))
