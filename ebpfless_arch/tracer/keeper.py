"""The keeper: the process that the user started. It owns signals, exit status, reaping, rules and output.

It holds no ptrace link while all is well: the tracer is its child, the command
is the tracer's. When the tracer is killed, the keeper starts another at once,
which seizes every process again.
"""

import os
import select
import signal
import sys
import time
from typing import Any, Callable, Dict, List, Optional, Sequence, Set, Tuple

from ebpfless_arch.events import records
from ebpfless_arch.events.faults import last_words
from ebpfless_arch.events.records import Record
from ebpfless_arch.kernel import channels, process, procfs, signals
from ebpfless_arch.named import NamedTuple
from ebpfless_arch.tracer import orders, passing, pipe, streams, watchdog
from ebpfless_arch.tracer.orders import ATTACH, LET_GO, Left, Plan
from ebpfless_arch.tracer.pulse import Pulse
from ebpfless_arch.tracer.receiver import Receiver
from ebpfless_arch.tracer.watchdog import Watchdog

_NO_STATUS = -1
_TAKE_OVERS_AT_MOST = 1000
_FORK_PAUSE_SECONDS = 0.02
_DEATH_PAUSE_SECONDS = 0.0005
_HELD_UP_MS = 50
# When to load what another tracer would need: once there is nothing to do, or so long after the start.
_CALM_SECONDS, _READY_SECONDS = 0.1, 2.0
_UNKNOWN_END = "how the command ended is not known: that went to its tracer, which was killed in the same moment (status 125)"
# What tells a keeper of attached programs to let them go.
_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)


class Outcome(NamedTuple):
    """How it ended: the command's wait status, or -1 and the problem that kept it from starting; and how many stops
    it took until then."""

    status: int
    problem: str
    stops: int = 0


class Keeper:
    """Runs one command under a tracer."""

    def __init__(self) -> None:
        streams.occupy_standard_streams()
        self._mask = signal.pthread_sigmask(signal.SIG_BLOCK, [])
        self._inherited = streams.open_descriptors()
        self._overseen = process.is_overseen()
        self._signals = -1
        self._plan: Optional[Plan] = None
        self._receiver = Receiver()
        self._held: List[signals.Received] = []
        self._tracer = 0
        self._tracer_status = 0
        self._standby = 0
        self._reader = pipe.Reader(-1)
        self._features: Tuple[Any, ...] = ()
        self._main = 0
        self._begun = False
        self._parting = False
        self._status = _NO_STATUS
        self._problem = ""
        self._done = False
        self._left = 0
        self._wait_all = False
        self._in_background = False
        self._take_overs = 0
        self._deaths = 0
        self._orders = -1
        self._held_up = False
        self._is_ready = False
        self._verdicts = -1
        self._family: Set[int] = set()
        self._early: Dict[int, int] = {}
        self._pulse = Pulse()
        self._watchdog = Watchdog(self._pulse)
        self._looked = 0.0
        self._start_tracer()

    def launch(self, plan: Plan, receiver: Receiver, wait_all: bool = False) -> Outcome:
        """Run the plan's command to its end, handing every record to the receiver.

        Processes that outlive the command stay traced by a keeper in the background.
        """
        self._wait_all = wait_all
        self._carry_out(plan, receiver)
        return Outcome(self._status, self._problem, self._pulse.stops())

    def attach(self, plan: Plan, receiver: Receiver) -> Outcome:
        """Trace the plan's processes until they have ended or a signal says that it is enough; the status is -1 when not
        one of them could be traced."""
        self._carry_out(plan, receiver)
        if self._tracer:
            self._reap(0)  # some of what it has is free only with its end
        return Outcome(0 if self._begun else _NO_STATUS, self._problem, self._pulse.stops())

    def take(self, pid: int) -> None:
        """Have the tracer attach to one more process; raises OSError when there is none just now."""
        if self._begun:
            signals.send(self._tracer, signals.Received(ATTACH, signals.SI_QUEUE, 0, pid))

    def _carry_out(self, plan: Plan, receiver: Receiver) -> None:
        self._plan = plan
        self._receiver = receiver
        # Until now a signal ended us, as there was nobody to pass it to, or nobody to let go.
        signal.pthread_sigmask(signal.SIG_BLOCK, signals.catchable())
        self._signals = signals.open_signals(signals.catchable())
        orders.send_plan(self._orders, plan)
        self._let_go()
        self._watch()

    def _get_ready(self) -> None:
        """Load what another tracer needs, should it come to that: by then there may be no descriptor left for it, or no file.
        A command does not wait for this."""
        self._is_ready = True
        from ebpfless_arch.tracer import launch as launch

        self._receiver.get_ready()
        process.settle()

    def __enter__(self) -> "Keeper":
        return self

    def __exit__(self, *problem: object) -> None:
        """A tracer that still waits for its orders is sent home: there will be no command."""
        if self._plan is None:
            os.close(self._orders)
            os.waitpid(self._tracer, 0)

    # --- processes ---------------------------------------------------------------

    def _start_tracer(self) -> None:
        """Fork the tracer early, while this process is small: what it loads later, the tracer never has."""
        process.become_subreaper()
        orders_end, self._orders = os.pipe()
        # Where SIGCHLD is ignored, which a program inherits, nobody learns how a child ended.
        ignores = signal.signal(signal.SIGCHLD, signal.SIG_DFL) == signal.SIG_IGN
        start = orders.Start(self._inherited, list(self._mask), ignores, self._overseen)
        self._fork(lambda link: _run_tracer(orders_end, link, start), [self._orders])
        process.shut()  # not before: who is to trace the command has to get at its own child
        os.close(orders_end)

    def _fork(self, work: Callable[[pipe.Link], None], unwanted: Sequence[int]) -> None:
        """Run `work` in a child that is linked to us by new pipes: its records, our verdicts."""
        ends = pipe.make_pipe()
        verdicts = channels.make(channels.MESSAGES)
        child = os.fork()
        if child == 0:
            status = 1
            try:
                signal.pthread_sigmask(signal.SIG_BLOCK, signals.catchable())
                for descriptor in [ends[0], verdicts[1]] + list(unwanted):
                    os.close(descriptor)
                work(pipe.Link(ends[1], verdicts[0], self._pulse))
                status = 0
            except Exception:  # the tracer's last words; the keeper then takes over
                sys.excepthook(*sys.exc_info())
            finally:
                os._exit(status)
        os.close(ends[1])
        os.close(verdicts[0])
        if self._verdicts >= 0:
            os.close(self._verdicts)
        self._verdicts = verdicts[1]
        self._tracer = child
        self._standby = 0
        self._tracer_status = 0
        self._reader.move(ends[0])

    def _let_go(self) -> None:
        """Keep neither the command's streams nor inherited descriptors: who waits for their end must get it."""
        streams.nullify((0, 1))
        for descriptor in self._inherited:
            os.close(descriptor)

    # --- the loop ------------------------------------------------------------------

    def _watch(self) -> None:
        """Until all is done: take in records first, so that the tracer never waits, then deal with a batch."""
        until = time.monotonic() + _READY_SECONDS
        while not self._finished():
            reader = self._reader
            ready = self._ready(reader)
            if self._begun and not self._is_ready and (not ready and not reader.is_loaded() or time.monotonic() > until):
                self._hand_over(lambda record: self._get_ready(), ())
            for descriptor in ready:
                if descriptor == self._signals:
                    for received in signals.read_signals(self._signals):
                        self._on_signal(received)
                elif descriptor == reader.descriptor:
                    reader.fill()
            if reader.ended and self._tracer_was_killed() and self._take_over():
                continue
            self._look_after_tracer()
            batch = reader.batch()
            if batch:
                self._on_records(batch)
            elif reader.ended:
                self._outlast()
                self._done = True
            if not reader.is_loaded():
                self._held_up = self._receiver.idle()
        if self._done:
            if self._main and self._status == _NO_STATUS and not self._problem:
                self._hand_over(lambda record: self._receiver.notice(_UNKNOWN_END), ())
            self._lose(self._pulse.records.value - self._reader.expected)
            if self._pulse.deaths.value > self._deaths and not self._problem:
                self._tell_gap(records.now(), self._pulse.deaths.value, "the tracer was killed, and there was nothing left to trace")
        self._hand_over(lambda record: self._receiver.close(), ())

    def _outlast(self) -> None:
        """Nobody traces the command any more, nor can. It goes on, and so do we, until it has ended."""
        while self._main and self._status == _NO_STATUS and self._is_ours(self._main):
            select.select([self._signals], [], [])
            for received in signals.read_signals(self._signals):
                self._on_signal(received)

    def _lose(self, count: int) -> None:
        """So many records have not arrived."""
        if count > 0:
            main = self._main or min(self._family, default=0)
            self._hand_over(self._receiver.receive, (records.LOST, records.now(), main, main, count))

    def _ready(self, reader: pipe.Reader) -> List[int]:
        """Descriptors with news; waits for some unless there is something to do already."""
        poll = select.poll()
        poll.register(self._signals, select.POLLIN)
        if reader.has_room():
            poll.register(reader.descriptor, select.POLLIN)
        watched: Dict[int, int] = {}
        self._hand_over(lambda record: watched.update(self._receiver.descriptors()), ())
        for descriptor, events in watched.items():
            poll.register(descriptor, events)
        return [descriptor for descriptor, _ in poll.poll(self._patience(reader))]

    def _patience(self, reader: pipe.Reader) -> int:
        """How long to wait for news, in ms."""
        if reader.is_loaded():
            return 0
        if self._held_up:
            return _HELD_UP_MS
        period = watchdog.PERIOD_SECONDS if self._is_ready else _CALM_SECONDS
        return int(min(period, self._receiver.patience()) * 1000) + 1

    def _look_after_tracer(self) -> None:
        """Every now and then: does it get on? One that hangs over a file is replaced by one that looks at none."""
        now = time.monotonic()
        if now - self._looked < watchdog.PERIOD_SECONDS or not self._tracer or not self._begun:
            return
        self._looked = now
        self._pulse.guard([os.getpid()] + self._receiver.helpers())
        told = self._watchdog.look(self._tracer, self._standby)
        if told:
            self._tell(told)
        if self._watchdog.is_hopeless() and self._plan is not None and not self._plan.deadly:
            self._plan = self._plan._replace(attributes=False)
            self._tell("the tracer hangs; another one takes its place, which looks at no file's attributes")
            os.kill(self._tracer, signal.SIGKILL)

    def _tell(self, text: str) -> None:
        main = self._main or min(self._family, default=0)
        self._hand_over(self._receiver.receive, records.blind(records.now(), main, main, text))

    def _finished(self) -> bool:
        if self._done:
            return True
        if self._status == _NO_STATUS or not self._left or self._wait_all:
            return False
        return self._stay_in_background()

    def _stay_in_background(self) -> bool:
        """The command has ended, others live on: a copy of this process keeps watching them; True in the original."""
        self._wait_all = True
        self._receiver.idle()
        try:
            if os.fork():
                self._receiver.leave()
                return True
        except OSError:
            return False  # no room for a copy: then the original stays
        self._in_background = True
        streams.nullify((0, 1, 2))
        self._watch()
        os._exit(0)

    def _on_records(self, batch: List[Record]) -> None:
        for record in batch:
            if record[0] == records.STATE:
                self._on_state(record)
            elif record[0] == records.ASK:
                self._ask(record[4], record[5])
            elif record[0] == records.LOST:
                self._lose(record[4])
            else:
                self._keep_family(record)
                self._hand_over(self._receiver.receive, record)

    def _keep_family(self, record: Record) -> None:
        """Who is traced: in the background they are not our descendants."""
        if record[0] in (records.FORK, records.SNAPSHOT):
            self._family.add(record[2])
        elif record[0] == records.EXIT:
            self._family.discard(record[2])

    def _hand_over(self, work: Callable[[Record], None], record: Record) -> bool:
        """Let the receiver do something with a record; False after an error of its own, which is reported."""
        try:
            work(record)
            return True
        except Exception:  # the keeper must live: without it nobody would look after the command
            self._receiver.failed(last_words())
            return False

    def _ask(self, number: int, record: Record) -> None:
        """Have a call judged, which then runs if the receiver fails."""
        tracers = self._take_overs
        if not self._hand_over(lambda asked: self._receiver.judge(asked, lambda errno: self._answer(
                tracers, number, errno)), record):
            self._answer(tracers, number, 0)

    def _answer(self, tracers: int, number: int, refusal: int) -> None:
        if tracers != self._take_overs:
            return
        try:
            pipe.send_verdict(self._verdicts, number, refusal)
        except OSError:
            pass  # whoever asked is dead, and the call has run

    def _on_state(self, record: Record) -> None:
        pid, word, value = record[2], record[4], record[5]
        if word == records.STARTED and not pid:
            self._begun = True
            self._features = value
            process.ask_to_be_spared()
            self._tell_cost()
        elif word == records.STARTED:
            self._main, self._begun = pid, True
            self._status = self._early.get(pid, _NO_STATUS)
            self._family.add(pid)
            self._features = value
            self._leave_group()
            process.ask_to_be_spared()
            held, self._held = self._held, []
            for received in held:
                self._forward(received)
        elif word == records.ENDED:
            self._status, self._left = value
        elif word == records.FAILED:
            self._problem = value
            self._done = not self._begun
        elif word == records.REFUSED:
            self._receiver.notice(value)
        elif word == records.DONE:
            self._done = True
        elif word == records.TRACER:
            self._tracer, self._standby = value
            self._tracer_status = 0
        elif word == records.GAP:
            self._tell_gap(record[1], *value)

    def _tell_gap(self, time: int, deaths: int, text: str) -> None:
        """A tracer has taken over. One that was killed before it could say so is told of now: `deaths` counts them all."""
        # A new image that shares no memory with the old one begins anew.
        count = deaths - self._deaths if deaths > self._deaths else 1
        self._deaths = deaths
        if count > 1:
            text = text.replace("was killed", "was killed %d times in a row" % count, 1)
        main = self._main or min(self._family, default=0)
        self._hand_over(self._receiver.receive, records.blind(time, main, main, text, count=count))

    def _tell_cost(self) -> None:
        assert self._plan is not None
        self._receiver.notice(self._plan.cost(len(self._family)))

    def _tracer_was_killed(self) -> bool:
        """Its pipe has closed: see how it ended. That comes a little before its children become ours, so wait."""
        while not self._begun and self._reader.has_batch():
            self._on_records(self._reader.batch())
        if self._tracer and self._is_ours(self._tracer):
            self._reap(0)
        elif self._tracer and not self._reader.has_batch():
            # It is not our child, and says before it ends of itself that all is done.
            while not procfs.is_dead(self._tracer, self._tracer):
                time.sleep(_DEATH_PAUSE_SECONDS)
            self._tracer, self._tracer_status = 0, signal.SIGKILL
        return self._tracer_status != 0

    def _is_ours(self, pid: int) -> bool:
        """Whether a process is our child: in the background the tracer may be none."""
        try:
            return procfs.stat(pid).ppid == os.getpid()
        except OSError:
            return False

    def _take_over(self) -> bool:
        """Start another tracer for what is left of the command's processes; False when nothing is left.

        What the dead one had reported is dealt with later: until they are seized, its tracees get ENOSYS.
        """
        since = records.now()
        from ebpfless_arch.kernel.features import NO_PTRACE, Features
        from ebpfless_arch.tracer import launch

        found = Features(*self._features) if self._features else NO_PTRACE
        self._take_overs += 1
        plan, old = self._plan, self._reader.descriptor
        self._watchdog.forget()
        left = Left(os.getpid(), [pid for pid in self._family if self._is_left(pid, found.filters)], self._main, since, self._overseen,
                    self._receiver.helpers())
        if plan is None or plan.deadly or self._parting or self._take_overs > _TAKE_OVERS_AT_MOST \
                or not left.family and not plan.follows and not set(procfs.descendants(os.getpid())).difference(left.spared):
            self._tracer_status = 0
            # Such a program dies with its tracer, and its end is to be told.
            self._reap(0 if plan is not None and plan.deadly else os.WNOHANG)
            return False
        known: Plan = plan
        try:
            self._fork(lambda link: launch.take_over(known, found, link, left), [old, self._signals])
        except OSError:
            time.sleep(_FORK_PAUSE_SECONDS)
            return True  # tried again, for the pipe is still closed
        os.close(old)
        return True

    def _is_left(self, pid: int, filters: bool) -> bool:
        """Whether a process of the family lives without a tracer; its id may be a stranger's by now, without our
        filter or with a tracer of its own."""
        try:
            table = procfs.status(pid)
        except OSError:
            return False
        filtered = filters and self._plan is not None and self._plan.use_filter and not self._plan.level
        return table[b"TracerPid"] == b"0" and (not filtered or table[b"Seccomp"] != b"0")

    # --- signals ---------------------------------------------------------------------

    def _on_signal(self, received: signals.Received) -> None:
        if received.number == signal.SIGCHLD:
            self._reap()  # also when a process has sent it: a child's own may have been merged with that one
        if received.number == signal.SIGCHLD and received.code > 0:
            pass
        elif self._plan is not None and self._plan.level:
            self._on_signal_to_us(received)
        elif not self._main:
            self._held.append(received)
        elif received.code > 0 or received.sender and received.sender in (self._tracer, os.getpid()):
            # A terminal has sent it to the command as well; the tracer only wakes us; our own is a broken output. Nobody (0)
            # is who sends from outside of a container.
            pass
        else:
            self._forward(received)

    def _on_signal_to_us(self, received: signals.Received) -> None:
        """In attach mode signals are for us: the first that says "end" lets the programs go, the second does not wait for
        the tracer any more (the kernel frees what it holds). Ctrl-Z stops us as it stops any program."""
        if received.number in _ENDING and self._tracer:
            os.kill(self._tracer, signal.SIGKILL if self._parting else LET_GO)
            self._parting = True
        elif received.number == signal.SIGTSTP:
            signals.stop_by(received.number)  # the tracer, in a group of its own, goes on

    def _leave_group(self) -> None:
        """What is sent to the command's process group is for the command, and reaches it without us: from now on we
        are in the tracer's group, or in a session of our own. A session's leader has to stay."""
        try:
            process.leave_group(self._overseen, os.getpgid(self._tracer))
        except (PermissionError, ProcessLookupError):
            pass

    def _forward(self, received: signals.Received) -> None:
        """In the background we pass nothing on: what reaches us there, say at shutdown, reaches the others as well."""
        if not self._in_background:
            passing.pass_on(received, self._main if self._status == _NO_STATUS else 0, self._family)

    def _reap(self, options: int = os.WNOHANG) -> None:
        """Take leave of children: the tracer, or without one the command (of which it waits for the end, without
        WNOHANG), and orphans that have become ours."""
        while True:
            try:
                pid, status = os.waitpid(-1 if options else self._tracer or self._main, options)
            except ChildProcessError:
                return
            if pid == 0:
                return
            options = os.WNOHANG
            if pid == self._tracer:
                self._tracer, self._tracer_status = 0, status
            elif pid == self._main:
                self._status = status
            elif not self._main:
                self._early[pid] = status


def _run_tracer(orders_end: int, link: pipe.Link, start: orders.Start) -> None:
    """The tracer process. What it loads the keeper does without: it is busy with its own part meanwhile."""
    from ebpfless_arch.tracer import launch

    launch.run_tracer(orders_end, link, start)
