"""The stop state machine: wait, read, decide, resume, and only then hand the record over.

What differs between kernels and modes is data in it, not another machine:
`Features.entry_after_seccomp` (the order of stops before 4.8), whether a
filter chooses the stops or every call stops, wrapped or seized later.
A tracee may vanish at any moment; that is no error, and `_handle` is the one
place that knows it.
"""

import errno
import os
import signal
import time
from typing import Callable, Dict, List, Optional, Sequence, Set, Tuple

from ebpfless_arch.events import interest, records
from ebpfless_arch.events.interest import Interest
from ebpfless_arch.events.records import Record
from ebpfless_arch.kernel import procfs, ptrace
from ebpfless_arch.tracer import decode, escapes, mounts, privileges, results, shield, syscalls
from ebpfless_arch.tracer.discarders import Discarders
from ebpfless_arch.tracer.handover import Gone, HandOver
from ebpfless_arch.tracer.news import is_over, next_news, other_news, pending_news
from ebpfless_arch.tracer.payload import Carried, Watch
from ebpfless_arch.tracer.pipe import Ends
from ebpfless_arch.tracer.places import Places
from ebpfless_arch.tracer.readers import READERS
from ebpfless_arch.tracer.reports import Reports
from ebpfless_arch.tracer.stops import Call, Machine, Stop
from ebpfless_arch.tracer.syscalls import BARRED, CARRIER, GUARD, HAND_OVER, LOOK, PLACE, SHIELD, TRACEME, Row
from ebpfless_arch.tracer.tracees import Thread, Tracee, Tracees, is_free, state_and_tracer, threads_below, untraced_from

_SYSCALL_STOP = signal.SIGTRAP | 0x80
_IS_STOPPED = 0x7F  # bits/waitstatus.h, __WIFSTOPPED
_STOP_SIGNALS = frozenset([signal.SIGSTOP, signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU])
_PATIENCE_SECONDS = 0.05
_TO_STOP_SECONDS = 1.0
_STARVED_SECONDS = 10.0
_GLANCE_SECONDS = 0.0002
_TURNS = 8
# A signal came first: the call starts anew, or its true result is EINTR, which nobody sees here (include/linux/errno.h).
_RESTARTS = frozenset([-512, -513, -514, -516])

_NOTHING = (0, 0)
_BEGINNINGS = frozenset([ptrace.EVENT_FORK, ptrace.EVENT_VFORK, ptrace.EVENT_CLONE])

DONE, BROKEN, ALONE = range(3)


def _will_stop(tid: int, since: float) -> bool:
    """Whether a thread is still to be waited for that was asked to stop: one that can run does as soon as it gets a CPU, on
    a busy machine after seconds."""
    waited = time.monotonic() - since
    return waited < _TO_STOP_SECONDS or waited < _STARVED_SECONDS and procfs.stat(tid).state == "R"


def _leader(tid: int) -> Tuple[int, int]:
    """Process id and parent's process id of a thread, as far as they can be known."""
    try:
        return procfs.group_leader(tid)
    except (OSError, KeyError, ValueError):
        return tid, 0


# The command, whether it has begun, whether it is stopped; its threads; the news that have not been dealt with.
Snapshot = Tuple[int, bool, bool, List[Thread], List[Tuple[int, int]]]


class Engine:
    """Traces a tree of processes until the last one is gone."""

    def __init__(self, machine: Machine, wanted: Interest, ends: Ends, filtered: bool, keeper: int,
                 deadly: bool = False) -> None:
        self._machine = machine
        self._writer, self._asker, self._pulse = ends
        self._deadly = deadly
        self._interest = wanted
        self._request = ptrace.CONT if filtered else ptrace.SYSCALL
        self._filtered = filtered
        self._keeper = keeper
        self._tables = {abi.name: syscalls.by_number(abi, syscalls.rows(wanted)) for abi in machine.abis}
        self._numbers = {abi.name: frozenset(abi.syscalls.values()) for abi in machine.abis}
        self._silent = frozenset(["io_uring", ""]) if wanted.io_uring == "allow" else frozenset([""])
        self._discarders = Discarders(wanted, self._tables)
        self._watch = Watch(wanted)
        self._tracees = Tracees()
        self._handover = HandOver(machine, wanted, filtered)
        self._reports = Reports(self._writer)
        self._takes_privileges = privileges.are_taken_away(machine.features, filtered)
        self._halted = False
        self._ended = False
        self._exhausted = False
        self._alone = False
        self._turn = 0
        self._crowded = False
        self.standby = 0
        self.watched = filtered and not deadly
        self._news: List[Tuple[int, int]] = []
        self._places = Places(self._pulse, wanted.colocate and filtered)
        self._stops: Dict[int, Callable[[Stop, Tracee, int], None]] = {
            ptrace.EVENT_FORK: self._on_new_process,
            ptrace.EVENT_VFORK: self._on_new_process,
            ptrace.EVENT_CLONE: self._on_clone,
            ptrace.EVENT_EXEC: self._on_exec,
            ptrace.EVENT_SECCOMP: self._on_seccomp,
            ptrace.EVENT_STOP: self._on_event_stop,
        }

    # --- what the outside calls ---------------------------------------------

    def seize(self, tid: int, pid: int) -> None:
        """Begin to trace a running thread; raises OSError."""
        ptrace.seize(tid, self._options())
        self._tracees.add(tid, pid)
        if not self._filtered:
            ptrace.interrupt(tid)

    def seize_command(self, pid: int) -> None:
        """Begin to trace the child that will become the command; its doings count from its first exec on."""
        self._reports.begin(pid)
        self.seize(pid, pid)

    def take_over(self, keeper: int, main: int, family: Sequence[int], spared: Sequence[int] = ()) -> Tuple[int, str]:
        """Seize every thread of a family and of the keeper's descendants, whose tracer has died, until no new one
        turns up.

        `spared` are the keeper's own children. Returns how many threads it has now, and why some could not be had ("" when all could).
        """
        self._reports.main = main
        _, problem = self._seize_all(lambda: threads_below(keeper, family), spared)
        return len(self._tracees), problem

    def _seize_all(self, find: Callable[[], List[Tuple[int, int]]], spared: Sequence[int] = ()) -> Tuple[List[int], str]:
        """Seize what is found until nothing new turns up; the processes of what was seized, and why some could not be."""
        seized: List[int] = []
        problem = ""
        tried: Set[int] = set(spared)
        while True:
            fresh = [(tid, pid) for tid, pid in find() if tid not in tried]
            if not fresh:
                return seized, problem
            for tid, pid in fresh:
                tried.add(tid)
                try:
                    self.seize(tid, pid)
                    seized.append(pid)
                except ProcessLookupError:
                    continue
                except OSError as error:
                    problem = problem or str(error.strerror)

    def threads(self) -> List[int]:
        """The ids of all threads under trace."""
        return [tracee.tid for tracee in self._tracees]

    @property
    def main(self) -> int:
        """The command's process id."""
        return self._reports.main

    def run(self) -> int:
        """Trace until there is nothing left to trace (DONE), or nobody stands by any more (ALONE); BROKEN when it cannot
        go on like this, and another engine has to restore this one's snapshot."""
        self._alone = False
        self._places.recover(self.threads())
        try:
            while not self._exhausted and not self._alone:
                self._deal_with(self._wait())
            return ALONE if self._alone and not self._exhausted else BROKEN
        except ChildProcessError:
            self._reports.emit((records.STATE, decode.now(), 0, 0, records.DONE, 0))
            return DONE
        except Exception:  # fail-open: the tracees that wait for us must be resumed by somebody
            self._reports.fault(0, 0)
        finally:
            self._places.leave()
        return BROKEN

    def snapshot(self) -> Snapshot:
        """What another engine needs to go on with these tracees."""
        return self._reports.main, self._reports.launched, self._halted, self._tracees.snapshot(), self._news

    def restore(self, snapshot: Snapshot) -> int:
        """Go on for an engine that failed in this very process; returns how many calls' results are not awaited."""
        self._reports.main, self._reports.launched, self._halted, threads, news = snapshot
        self._tracees.restore(threads)
        # The first of these may have been dealt with, wholly or in part, when it came to the failure.
        self._deal_with([(tid, status) for tid, status in news if not is_over(tid, status)])
        return sum(1 for _, _, in_call, _ in threads if in_call)

    def _deal_with(self, news: List[Tuple[int, int]]) -> None:
        self._news = news
        first = True
        while self._news:
            tid, status = self._news[0]
            if first or not self._is_stale(tid, status):
                self._handle(tid, status)
            first = False
            self._news.pop(0)

    # --- the loop -------------------------------------------------------------

    def _wait(self) -> List[Tuple[int, int]]:
        """The threads with news and their statuses; writes records out while there are none.

        All that is there is taken before any of it is dealt with: the kernel looks for news from the
        same end each time, so a few busy threads could starve the others. While one thread alone has news, it is seldom
        asked for more. It is noted at once: whoever goes on after a failure has to know of it.
        """
        self._turn += 1
        takes_all = self._crowded or not self._turn % _TURNS
        news = self._take(takes_all)
        if takes_all:
            self._crowded = len(news) > 1
        return news

    def _take(self, takes_all: bool) -> List[Tuple[int, int]]:
        if self._writer.is_idle() and self.main and not self._ended and len(self._tracees):
            self._news = [self._places.wait(next_news)]
            if takes_all and len(self._tracees) > 1:
                self._news += other_news()
            return self._news
        news = self._news = pending_news(not takes_all)
        if self._deadly and self._writer.broken:
            raise ChildProcessError  # our end is the program's
        while not news and not self._writer.flush():
            # The next stop ends this as well (SIGCHLD is blocked here): no tracee waits for a slow reader.
            signal.sigtimedwait([signal.SIGCHLD], _PATIENCE_SECONDS)
            news = self._news = pending_news()
        if not news and self.standby and self._nobody_is_left():
            self.dismiss_standby()
        return news or [self._places.wait(next_news)]

    def _nobody_is_left(self) -> bool:
        """Whether only our own child, which stands by, could still have news. When the command has ended, what we know is
        checked: a thread may have gone without a word (ptrace(2), "execve")."""
        if self._ended or not self.main:
            return not any(procfs.exists(tracee.tid) for tracee in self._tracees)
        return not len(self._tracees)

    def dismiss_standby(self) -> None:
        """Nobody has to stand by any more."""
        if self.standby:
            os.kill(self.standby, signal.SIGKILL)
            os.waitpid(self.standby, 0)
        self.standby = 0

    def _is_stale(self, tid: int, status: int) -> bool:
        """Whether a status that had to wait is no longer true: when another thread has exec'ed meanwhile, the
        leader's id means that thread, which has a stop of its own that is still to be waited for."""
        return self._tracees.is_threaded(tid) and is_over(tid, status)

    def _handle(self, tid: int, status: int) -> None:
        """One status: whatever happens in here, a stopped thread goes on."""
        if status & 0xFF != _IS_STOPPED:
            self._on_end(tid, status)
            return
        tracee = self._tracees.get(tid) or self._introduced(tid)
        self._pulse.begin(tid)
        self._places.stopped(tid)
        tracee = tracee or self._adopt(tid)
        stop = Stop(self._machine, tid, tracee.pid)
        try:
            self._dispatch(stop, tracee, status)
        except ProcessLookupError:
            self._release(stop, tracee, status)
        except Exception as error:  # fail-open: an error of ours must never hold a program
            self._release(stop, tracee, status)
            self._exhausted = isinstance(error, MemoryError)
            self._reports.fault(tracee.pid, tid)
        self._pulse.end()

    def _release(self, stop: Stop, tracee: Tracee, status: int) -> None:
        """Resume a stop whose handling failed, unless that was done already or the thread is gone."""
        if stop.resumed:
            return
        tracee.pending = tracee.carried = None
        plain = status >> 16 == 0 and os.WSTOPSIG(status) != _SYSCALL_STOP
        try:
            stop.resume(self._request, os.WSTOPSIG(status) if plain else 0)
        except ProcessLookupError:
            pass

    def _dispatch(self, stop: Stop, tracee: Tracee, status: int) -> None:
        event = status >> 16
        number = status >> 8 & 0xFF
        if event:
            self._stops[event](stop, tracee, number)
        elif number == _SYSCALL_STOP:
            self._on_syscall(stop, tracee)
        else:
            stop.resume(self._request, number)

    # --- stops ----------------------------------------------------------------

    def _on_seccomp(self, stop: Stop, tracee: Tracee, number: int) -> None:
        call = stop.seccomp_call()
        if not self._on_entry(stop, tracee, call):
            if not stop.resumed:
                stop.resume(ptrace.CONT)
            return
        tracee.in_call = True
        tracee.skip_entry = self._machine.features.entry_after_seccomp
        stop.resume(ptrace.SYSCALL)

    def _on_syscall(self, stop: Stop, tracee: Tracee) -> None:
        if tracee.skip_entry:
            tracee.skip_entry = False
            stop.resume(ptrace.SYSCALL)
            return
        entry, call, result = stop.syscall_stop(not tracee.in_call)
        tracee.in_call = entry
        if entry:
            if not self._filtered:
                self._on_entry(stop, tracee, call)
            if not stop.resumed:
                stop.resume(ptrace.SYSCALL)
            return
        found = self._result(stop, tracee, result)
        stop.resume(self._request)
        for record in found:
            self._reports.emit(record)

    def _on_entry(self, stop: Stop, tracee: Tracee, call: Call) -> bool:
        """Look at a call before it runs; True when its result is needed."""
        if call.abi is None:
            self._reports.foreign(stop, call)
            return False
        tracee.carried = None
        tracee.unread = 0
        tracee.pending = self._discarders.late(stop, call.abi, call)
        if tracee.pending is not None:
            self._note_unread(stop, tracee, tracee.pending.row.call)
            return True
        rows = self._tables[call.abi.name].get(call.number)
        if rows is None:
            if call.number not in self._numbers[call.abi.name]:
                self._reports.unknown(stop, call)
                stop.keep_failing(call)
            return False
        reaching = None
        for row in rows:
            if row.only and not row.wants(call.arguments):
                continue
            if row.event == CARRIER:
                tracee.carried = self._watch.begin(stop, row, call)
                if tracee.carried is not None or row.packed < 0:
                    break  # the other rows of this call are about other sizes
            elif row.event == LOOK:
                self._take_ends()
            elif row.event == GUARD:
                tracee.pending = self._disarm(stop, call, row)
            elif row.event == PLACE:
                self._places.ask(stop.tid)
                tracee.pending = decode.Pending(row, call, {})
            elif row.event == BARRED:
                self._bar(stop, tracee, call, row)
            elif row.event in (HAND_OVER, SHIELD):
                reaching = row
            elif tracee.pending is None:
                tracee.pending = self._discarders.begin(stop, row, call)
        self._note_unread(stop, tracee, rows[0].call)
        if not self._judge(stop, tracee, call) and reaching is not None:
            self._reach(stop, tracee, call, reaching)
        return tracee.pending is not None or tracee.carried is not None

    def _note_unread(self, stop: Stop, tracee: Tracee, name: str) -> None:
        """Memory of a call that could not be read is told at once, or when it is known whether the call has succeeded."""
        if stop.unread and not self._reports.unread(stop, name, stop.unread, -1):
            tracee.unread = stop.unread

    def _reach(self, stop: Stop, tracee: Tracee, call: Call, row: Row) -> None:
        """A call that does something to another process, which is refused if that is one of us."""
        ours = (self._keeper, os.getpid(), self.standby or self._keeper)
        victim = shield.victim(stop, row, call, ours)
        if victim:
            self._answer(stop, tracee, call, -errno.EPERM)
            self._reports.protected(stop, shield.deed(row, victim))
        elif row.event == SHIELD:
            pass
        elif call.arguments[0] == TRACEME and shield.is_parent(stop, ours):
            # By us it would be stopped at its next signal, and that would be lost. Whoever asks twice has a tracer already.
            if not tracee.stays:
                tracee.stays = True
                self._answer(stop, tracee, call, 0)
                self._reports.pretended(stop)
        else:
            self._hand_over(stop, tracee, call)

    def _answer(self, stop: Stop, tracee: Tracee, call: Call, result: int) -> None:
        """Have a call not done, and return this (0 or a negative errno); its event, if it has one, tells so."""
        assert call.abi is not None
        stop.refuse(call.abi, -result)
        pending, tracee.pending = tracee.pending, None
        if pending is not None and (self._interest.failures or interest.counts(pending.row.event, result)):
            self._reports.emit(results.finish(stop, pending, result))

    def _hand_over(self, stop: Stop, tracee: Tracee, call: Call) -> None:
        """Somebody is about to trace a thread of ours, which can have one tracer only: let it go."""
        if call.arguments[0] != TRACEME:
            number = READERS[syscalls.PID](stop, call, call.arguments[1])
            target = self._tracees.get(number)
            if target is None:
                self._note_stranger(number, stop.pid)
            elif target is not tracee:
                self._fetch(target, stop.pid)
            return
        parent = procfs.stat(stop.pid).ppid
        told = [results.finish(stop, tracee.pending, 0)] if tracee.pending is not None else []
        if tracee.stays or not self._give(stop, tracee, parent, True):
            return
        for record in told:
            self._reports.emit(record)

    def _note_stranger(self, tid: int, debugger: int) -> None:
        """Somebody is about to trace a thread that is not ours, but would be, if it had not been let go or got away."""
        if not is_free(tid):
            return
        pid = _leader(tid)[0]
        if escapes.is_below(pid, [self._keeper] + [each.pid for each in self._tracees]):
            self._reports.handed_over(Stop(self._machine, tid, pid), debugger)

    def _give(self, stop: Stop, tracee: Tracee, debugger: int, is_entering: bool) -> bool:
        """Whether a stopped thread could be let go. Where not, it does its call again, and stays with us then."""
        self._places.ask(stop.tid)
        self._places.answered(stop.tid)
        try:
            problem = self._handover.let_go(stop, is_entering)
        except Gone as gone:
            stop.resumed = True
            self._news.append((stop.tid, gone.status))
            return False
        tracee.stays = bool(problem)
        if problem and not stop.resumed:
            self._reports.kept(stop, debugger, problem)
            return False  # it was not even tried: the call that it is in goes on
        tracee.pending = tracee.carried = None
        tracee.in_call = tracee.skip_entry = False
        if problem:
            self._reports.kept(stop, debugger, problem)
            return False
        self._tracees.remove(stop.tid)
        self._reports.handed_over(stop, debugger)
        return True

    def _fetch(self, tracee: Tracee, debugger: int) -> None:
        """Bring a thread to a stop in which nothing else is to be done, and let it go there."""
        stop = Stop(self._machine, tracee.tid, tracee.pid)
        waiting = [status for tid, status in self._news[1:] if tid == tracee.tid]
        self._news[1:] = [each for each in self._news[1:] if each[0] != tracee.tid]
        for status in waiting:
            self._handle(tracee.tid, status)
        ptrace.interrupt(tracee.tid)
        since = time.monotonic()
        while self._tracees.get(tracee.tid) is tracee:
            if not _will_stop(tracee.tid, since):
                self._reports.kept(stop, debugger, "it does not come to a stop")
                return
            found, status = os.waitpid(tracee.tid, ptrace.WALL | os.WNOHANG)
            if not found:
                time.sleep(_GLANCE_SECONDS)  # one that waits for its vforked child does not stop at all
            elif os.WIFSTOPPED(status) and status >> 16 == ptrace.EVENT_STOP:
                stop.repeat_interrupted()
                self._give(stop, tracee, debugger, False)
                return
            else:
                if os.WIFSTOPPED(status):
                    ptrace.interrupt(tracee.tid)  # any stop takes the place of the one that was asked for
                self._handle(tracee.tid, status)

    def _take_ends(self) -> None:
        """Somebody looks whether a child has ended, perhaps because its pidfd has told: a parent cannot find it before
        we, its tracer, have (kernel/exit.c, wait_consider_task). What has come is dealt with after this stop."""
        self._news += pending_news()

    def _judge(self, stop: Stop, tracee: Tracee, call: Call) -> bool:
        """Have a call refused that some rule denies; the keeper, who decides, also reports it. Returns whether it is."""
        if not self._interest.denied or not self._reports.counts(stop.pid):
            return False
        pending = tracee.pending
        asked: List[Record] = []
        if pending is not None and not pending.row.remembered and pending.row.event in self._interest.denied:
            record = results.finish(stop, pending, -errno.EPERM)
            if self._interest.may_deny(pending.row.event, records.path_of(record)):
                asked.append(record)
        if tracee.carried is not None:
            asked += self._watch.forecast(stop, tracee.carried)
        for record in asked:
            refusal = self._asker.ask(record)
            if refusal:
                assert call.abi is not None
                stop.refuse(call.abi, refusal)
                tracee.pending = tracee.carried = None
                return True
        return False

    def _result(self, stop: Stop, tracee: Tracee, result: int) -> List[Record]:
        """What a finished call amounts to: nothing where nobody wants to know."""
        pending, tracee.pending = tracee.pending, None
        carried, tracee.carried = tracee.carried, None
        found: List[Record] = []
        if pending is not None:
            pending = self._discarders.read_late(stop, pending, result)
        if pending is not None and pending.row.event == GUARD:
            self._look_for_child(stop, pending, result)
            escapes.restore_clone(stop, pending)
        elif pending is not None and pending.row.event == PLACE:
            self._places.answered(stop.tid)
        elif result not in _RESTARTS:
            if pending is not None and pending.row.remembered:
                mounts.remember(stop, pending.values, result)
            elif pending is not None:
                retval = results.outcome(stop, pending, result)
                if retval >= 0 and pending.row.blinds not in self._silent:
                    self._reports.blinded(stop, pending.row.blinds)
                if self._interest.failures or interest.counts(pending.row.event, retval):
                    # A successful exec was reported at the EXEC stop and left nothing pending.
                    record = results.finish(stop, pending, retval)
                    if pending.row.always or self._discarders.keeps(pending.row.event, record):
                        found.append(record)
            if carried is not None:
                found += self._watch.finish(stop, carried, result)
            awaited = pending or carried
            if awaited is not None and (tracee.unread or stop.unread):
                self._reports.unread(stop, awaited.row.call, tracee.unread or stop.unread, result)
        return found

    def _on_exec(self, stop: Stop, tracee: Tracee, number: int) -> None:
        former = stop.message()
        if former != stop.tid:
            self._places.renamed(former, stop.tid)
        tracee = self._tracees.execed(stop.tid, former)
        self._reports.forget(tracee.pid)
        stop.pid = tracee.pid
        pending, tracee.pending = tracee.pending, None
        tracee.carried = None
        tracee.skip_entry = False
        tracee.in_call = not self._filtered
        try:
            if pending is not None and pending.row.event == "exec":
                record = results.finish_exec(stop, pending)
            else:
                record = results.plain_exec(stop)
        finally:
            self._reports.execed(tracee.pid)
        if pending is not None and tracee.unread:
            self._reports.unread(stop, pending.row.call, tracee.unread, 0)
        lost = privileges.taken_away(stop.tid, record[5]) if self._takes_privileges else ""
        stop.resume(self._request)
        self._reports.emit(record)
        if lost:
            self._reports.neutralised(record, lost)

    def _on_new_process(self, stop: Stop, tracee: Tracee, number: int) -> None:
        child = self._born(stop, tracee)
        stop.resume(self._onwards(tracee))
        self._add_process(child, tracee.pid)

    def _on_clone(self, stop: Stop, tracee: Tracee, number: int) -> None:
        child = self._born(stop, tracee)
        thread = procfs.is_thread_of(child, tracee.pid)
        stop.resume(self._onwards(tracee))
        if not thread:
            self._add_process(child, tracee.pid)
            return
        self._tracees.introduce(child, tracee.pid)

    def _born(self, stop: Stop, tracee: Tracee) -> int:
        """The child that an event tells of."""
        child = stop.message()
        self._places.born(child, stop.tid)
        if tracee.pending is not None:
            tracee.pending.values[escapes.BORN] = child
        return child

    def _add_process(self, child: int, parent: int) -> None:
        if self._tracees.introduce(child, child):
            self._begin_process(child, child, parent)

    def _begin_process(self, pid: int, tid: int, parent: int) -> None:
        self._watch.forked(pid, parent)
        self._reports.emit((records.FORK, decode.now(), pid, tid, parent))

    def _onwards(self, tracee: Tracee) -> int:
        """How to resume from a stop in the middle of a call: to its result, if that is awaited."""
        return ptrace.SYSCALL if tracee.in_call else self._request

    def _on_event_stop(self, stop: Stop, tracee: Tracee, number: int) -> None:
        if number in _STOP_SIGNALS:
            stop.listen()
            self._halt_keeper(stop.tid, True)
        else:
            stop.resume(self._request)
            self._halt_keeper(stop.tid, False)

    # --- ends and beginnings --------------------------------------------------

    def _introduced(self, tid: int) -> Optional[Tracee]:
        """A thread that we do not know: its parent's event may have come by now, which tells what /proc would."""
        self._news += other_news()
        for parent, status in iter(self._next_beginning, _NOTHING):
            if not self._is_stale(parent, status):
                self._handle(parent, status)
        return self._tracees.get(tid)

    def _next_beginning(self) -> Tuple[int, int]:
        """The next of the waiting statuses that tells of a new thread, which waits no more; _NOTHING if there is none."""
        for index, (_, status) in enumerate(self._news):
            if index and status >> 16 in _BEGINNINGS:
                return self._news.pop(index)
        return _NOTHING

    def _adopt(self, tid: int) -> Tracee:
        """A thread stops whose parent's event has not come yet, or never will."""
        pid, parent = _leader(tid)
        tracee = self._tracees.add(tid, pid)
        tracee.adopted = True
        if pid == tid:
            self._begin_process(pid, tid, parent)
        return tracee

    def _on_end(self, tid: int, status: int) -> None:
        if tid == self.standby:
            self.standby, self._alone = 0, True
            self.watched = os.WIFSIGNALED(status)  # it ends by itself where it cannot do its work
            return
        self._places.ended(tid)
        tracee = self._tracees.remove(tid)
        if tracee is not None:
            self._report_last_act(tracee)
        # One that a debugger has is still our child if it is the command.
        if tid != (tracee.pid if tracee is not None else self.main):
            return
        self._reports.forget(tid)
        self._watch.ended(tid)
        if os.WIFEXITED(status):
            cause, code = 0, os.WEXITSTATUS(status)
        else:
            cause, code = (1 if os.WCOREDUMP(status) else 2), os.WTERMSIG(status)
        self._reports.emit((records.EXIT, decode.now(), tid, tid, cause, code))
        self._halt_keeper(tid, False)
        self._ended = self._ended or tid == self.main
        self._reports.state(tid, records.ENDED, (status, len(self._tracees)))

    def _report_last_act(self, tracee: Tracee) -> None:
        """A process that killed itself never came back from the call that did it."""
        pending = tracee.pending
        if pending is not None and pending.row.event == "signal" and pending.values["pid"] in (0, tracee.pid):
            self._reports.emit(results.finish_killed(Stop(self._machine, tracee.tid, tracee.pid), pending))

    def _halt_keeper(self, pid: int, halt: bool) -> None:
        """The keeper stops and goes on with the command, so that whoever started it sees job control at work."""
        if pid == self._reports.main and self._halted != halt and os.getppid() == self._keeper:
            self._halted = halt
            os.kill(self._keeper, signal.SIGSTOP if halt else signal.SIGCONT)

    # --- escapes ----------------------------------------------------------------

    def _disarm(self, stop: Stop, call: Call, row: Row) -> Optional[decode.Pending]:
        """Take CLONE_UNTRACED away, so that the child keeps its tracer: with the filter but without a tracer,
        each filtered call would fail with ENOSYS. Returns what is to be put back when the call is over."""
        pending = None
        if row.kinds[0] == syscalls.CLONE_FLAGS:
            assert call.abi is not None
            stop.set_argument(call.abi, 0, call.arguments[0] & ~syscalls.CLONE_UNTRACED)
        else:
            try:
                pending = escapes.begin_clone(stop, row, call)
            except ProcessLookupError:
                raise
            except escapes.Hidden:
                assert call.abi is not None
                stop.refuse(call.abi, errno.ENOSYS)
                self._reports.hidden_clone(stop)
                return None
            except OSError:
                # Memory that not even we can write. As before Linux 5.3: whoever asks so can try clone.
                assert call.abi is not None
                stop.refuse(call.abi, errno.ENOSYS)
                self._reports.escape(stop, "the call was refused (ENOSYS)")
                return None
            if syscalls.CLONE_STRUCT not in pending.values:
                return pending
        self._reports.escape(stop)
        return pending

    def _look_for_child(self, stop: Stop, pending: decode.Pending, result: int) -> None:
        """Seize a child of clone3 that no event has told of: its flags were changed when we had looked at them."""
        if result <= 0 or escapes.BORN in pending.values:
            return
        child, pid = escapes.find_child(stop, result)
        if child and state_and_tracer(child)[1] == os.getpid():
            return  # CLONE_PTRACE
        seized, problem = self._seize_all(lambda: untraced_from(child, pid) if child else [])
        if problem:
            self._reports.escaped(stop, "it cannot be traced: " + problem)
        else:
            self._reports.escaped(stop, "it is traced from now on" if seized else "it had ended before it could be traced")
        for each in dict.fromkeys(seized):
            if each != stop.pid:
                self._begin_process(each, each, stop.pid if each == pid else _leader(each)[1])

    def _bar(self, stop: Stop, tracee: Tracee, call: Call, row: Row) -> None:
        """Refuse a call of io_uring, if it is the command's; its event, if it has one, tells so."""
        if not self._reports.counts(stop.pid):
            return
        self._answer(stop, tracee, call, -errno.EPERM)
        self._reports.barred(stop, row.call)

    def _options(self) -> int:
        options = (ptrace.O_TRACESYSGOOD | ptrace.O_TRACEFORK | ptrace.O_TRACEVFORK
                   | ptrace.O_TRACECLONE | ptrace.O_TRACEEXEC)
        if self._deadly:
            options |= ptrace.O_EXITKILL
        return options | ptrace.O_TRACESECCOMP if self._filtered else options
