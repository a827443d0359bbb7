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
from typing import Callable, Dict, List, Sequence, Tuple

from ebpfless_arch.events import interest, records
from ebpfless_arch.events.interest import Interest
from ebpfless_arch.events.records import Record
from ebpfless_arch.kernel import procfs, ptrace
from ebpfless_arch.tracer import decode, escapes, foreseen, mounts, results
from ebpfless_arch.tracer.news import is_over, next_news, other_news, pending_news
from ebpfless_arch.tracer.pipe import Ends
from ebpfless_arch.tracer.readers import PATH_AT_MOST
from ebpfless_arch.tracer.reaching import Reaching
from ebpfless_arch.tracer.stops import Call, Machine, Stop
from ebpfless_arch.tracer.syscalls import BARRED, CARRIER, GUARD, HAND_OVER, LOOK, MOVES, PLACE, SHIELD, UPSETS
from ebpfless_arch.tracer.tracees import Thread, Tracee, threads_below

_SYSCALL_STOP = signal.SIGTRAP | 0x80
_IS_STOPPED = 0x7F  # bits/waitstatus.h, __WIFSTOPPED
_STOP_SIGNALS = frozenset([signal.SIGSTOP, signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU])
_PATIENCE_SECONDS = 0.05
_TURNS = 8
# A signal came first: the call starts anew, or its true result is EINTR, which nobody sees here (include/linux/errno.h).
_RESTARTS = frozenset([-512, -513, -514, -516])

DONE, BROKEN, ALONE = range(3)


# The command, whether it has begun, whether it is stopped; its threads; the news that have not been dealt with.
Snapshot = Tuple[int, bool, bool, List[Thread], List[Tuple[int, int]]]


class Engine(Reaching):
    """Traces a tree of processes until the last one is gone."""

    def __init__(self, machine: Machine, wanted: Interest, ends: Ends, filtered: bool, keeper: int,
                 deadly: bool = False) -> None:
        Reaching.__init__(self, machine, wanted, ends, filtered, keeper, deadly)
        self._stops: Dict[int, Callable[[Stop, Tracee, int], None]] = {
            ptrace.EVENT_FORK: self._on_new_process,
            ptrace.EVENT_VFORK: self._on_vfork,
            ptrace.EVENT_CLONE: self._on_clone,
            ptrace.EVENT_EXEC: self._on_exec,
            ptrace.EVENT_SECCOMP: self._on_seccomp,
            ptrace.EVENT_STOP: self._on_event_stop,
        }

    # --- what the outside calls ---------------------------------------------

    def seize_command(self, pid: int) -> None:
        """Begin to trace the child that will become the command; its doings count from its first exec on."""
        self._reports.begin(pid)
        self.seize(pid, pid)

    def take_over(self, keeper: int, main: int, family: Sequence[int], spared: Sequence[int] = ()) -> Tuple[int, str]:
        """Seize every thread of a family and of the keeper's descendants, whose tracer has died, until no new one
        turns up.

        `spared` are the keeper's own children. Returns how many threads it has now, and why some could not be had ("" when all could).
        """
        self._foresight.end()
        self._reports.main = main
        _, problem = self._seize_all(lambda: threads_below(keeper, family), spared)
        return len(self._tracees), problem

    def learn(self, pid: int, status: int) -> None:
        """A process has ended, as a tracer learnt that did not live to tell of it. If it was the command, nobody else knows."""
        if pid and pid == self.main and not self._ended:
            self._on_end(pid, status)

    def threads(self) -> List[int]:
        """The ids of all threads under trace."""
        return [tracee.tid for tracee in self._tracees]

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
            self._reports.emit((records.STATE, records.now(), 0, 0, records.DONE, 0))
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
        self._foresight.end()
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
        left = self._writer.may_wait()
        while not news and left > 0:
            signal.sigtimedwait([signal.SIGCHLD], left)
            news = self._news = pending_news(not takes_all)
            left = self._writer.may_wait()
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
        tracee.hasty = False
        if tracee.moving:
            tracee.moving = False
            self._foresight.end_move(tid)
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
            self._lose_foresight(stop.tid)
            return False
        tracee.carried = None
        tracee.unread = 0
        tracee.pending = None
        late = self._discarders.late(call.abi, call.number)
        if late is not None:
            name = stop.string(call.arguments[late.path], PATH_AT_MOST)
            if tracee.alone and self._foresight.on and self._foresight.excludes(tracee, call, late, name):
                tracee.hasty = True
                return False
            tracee.pending = self._discarders.put_off(late, call, name)
            self._note_unread(stop, tracee, late.row.call)
            return True
        rows = self._tables[call.abi.name].get(call.number)
        if rows is None:
            if call.number not in self._numbers[call.abi.name]:
                self._reports.unknown(stop, call)
                self._lose_foresight(stop.tid)
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
            elif row.event == UPSETS:
                self._lose_foresight(stop.tid)
            elif row.event == MOVES:
                if self._foresight.on:
                    self._begin_move(tracee)
            elif tracee.pending is None:
                tracee.pending = self._discarders.begin(stop, row, call)
        self._note_unread(stop, tracee, rows[0].call)
        if not self._judge(stop, tracee, call) and reaching is not None:
            self._reach(stop, tracee, call, reaching)
        return tracee.pending is not None or tracee.carried is not None or tracee.moving or tracee.unread != 0

    def _begin_move(self, tracee: Tracee) -> None:
        tracee.moving = True
        self._foresight.begin_move(tracee.tid)
        self._settle(tracee.tid)

    def _note_unread(self, stop: Stop, tracee: Tracee, name: str) -> None:
        """Memory of a call that could not be read is told at once, or when it is known whether the call has succeeded."""
        if stop.unread and not self._reports.unread(stop, name, stop.unread, -1):
            tracee.unread, tracee.unread_in = stop.unread, name

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
            if pending.row.event == "open" and result >= 0 and self._foresight.on and foreseen.is_mighty(stop.tid, result):
                self._lose_foresight(stop.tid)
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
            if tracee.unread:  # all that the call would have told of may have been in that memory
                self._reports.unread(stop, tracee.unread_in, tracee.unread, result)
            elif awaited is not None and stop.unread:
                self._reports.unread(stop, awaited.row.call, stop.unread, result)
        tracee.unread = 0
        return found

    def _on_event_stop(self, stop: Stop, tracee: Tracee, number: int) -> None:
        if number in _STOP_SIGNALS:
            stop.listen()
            self._halt_keeper(stop.tid, True)
        else:
            stop.resume(self._request)
            self._halt_keeper(stop.tid, False)
