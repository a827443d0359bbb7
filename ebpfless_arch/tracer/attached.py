"""The engine of attach mode: it begins with programs that run, can let go of them, and has no filter.

Two levels. FULL stops at every system call and sees all events; PROCESS lives on PTRACE_EVENT stops alone: beginnings,
programs and ends of processes, and their credentials at those moments.
"""

import collections
import errno
import signal
import time
from typing import Dict, List, Optional, Sequence, Set, Tuple

from ebpfless_arch.events import records
from ebpfless_arch.events.interest import Interest
from ebpfless_arch.kernel import procfs, ptrace
from ebpfless_arch.kernel.waiting import Waiting, look
from ebpfless_arch.tracer import programs, refusals
from ebpfless_arch.tracer.engine import Engine
from ebpfless_arch.tracer.news import pending_news
from ebpfless_arch.tracer.orders import ATTACH, FULL, LET_GO, PROCESS
from ebpfless_arch.tracer.pipe import Ends
from ebpfless_arch.tracer.stops import Machine, Stop
from ebpfless_arch.tracer.tracees import Tracee, is_free

_PARTING_SECONDS = 1.0
# A thread that dies is refused as one that we may not have (EPERM; kernel/ptrace.c, ptrace_attach).
_REFUSALS_BELIEVED = 50
_CHASE_SECONDS = 20.0
_PATIENCE_SECONDS = 0.05
_LONG_SECONDS = 3600.0
# Births are known to a hundredth of a second.
_SLACK_NS = 50 * 10 ** 6
_UNTOLD_NS = 10 ** 9
# Events that a process shows without a stop at its calls.
_SHOWN = frozenset(["exec", "fork", "exit", "setuid", "setgid", "capset"])
_AWAITED = [signal.SIGCHLD, LET_GO, ATTACH]


class AttachedEngine(Engine):
    """Traces processes that it did not start, until they have all ended or it is told to let go."""

    def __init__(self, machine: Machine, wanted: Interest, ends: Ends, keeper: int, level: str,
                 deadly: bool = False, follows: bool = False) -> None:
        Engine.__init__(self, machine, wanted._replace(events=wanted.events & _SHOWN) if level == PROCESS else wanted,
                        ends, level == PROCESS, keeper, deadly)
        # Without a tracer no call of theirs fails: the keeper's next one is soon enough.
        self.watched = False
        self._level = level
        self._follows = follows
        self._memory = machine.memory
        # Who is to stop once more, and what it slept in when it was told so, as far as that is of use.
        self._interrupted: Dict[int, Optional[Waiting]] = {}
        self._identities: Dict[int, Tuple[int, ...]] = {}
        self._parting = 0.0
        self._stops[ptrace.EVENT_EXIT] = self._on_exit_stop

    # --- beginning --------------------------------------------------------------

    def take(self, pid: int, birth: Optional[int] = None) -> str:
        """Attach to a process, which has to be the one that began at `birth` if that is given (clock ticks since boot, 0 for one
        that was not there); "" or why that cannot be."""
        try:
            problem = refusals.why_not(pid, self._keeper, birth)
            if not problem:
                self.attach(pid)
            return problem
        except ProcessLookupError:
            return "process %d is gone" % pid
        except OSError as error:
            return "process %d cannot be traced: %s" % (pid, refusals.advice(pid, error))

    def attach(self, pid: int) -> int:
        """Trace every thread of a running process, and tell what it is; returns how many threads it has. Raises OSError
        where not a single one can be had."""
        tids = self._seize_threads(pid)
        try:
            self._reports.emit(programs.snapshot(pid, self._memory, self._machine.attributes))
            self._identities[pid] = programs.identity(pid)
        except OSError:
            pass  # it is gone, and its end will tell
        self._interrupt(tids)
        return len(tids)

    def _seize_threads(self, pid: int) -> List[int]:
        """Look for threads until there is none that nobody traces; those of a seized thread are ours already. One that
        cannot be had may have died meanwhile, and its number may mean another one soon: whoever executes a program takes
        over the number of the process."""
        seized: Set[int] = set()
        refusals: "collections.Counter[int]" = collections.Counter()
        end = time.monotonic() + _CHASE_SECONDS
        while time.monotonic() < end:
            fresh = [tid for tid in procfs.threads(pid) if refusals[tid] < _REFUSALS_BELIEVED and is_free(tid)]
            if not fresh and seized:
                return sorted(seized)
            if not fresh and procfs.has_ended_for_good(pid):
                raise ProcessLookupError
            for tid in fresh or [pid]:
                try:
                    ptrace.seize(tid, self._options())
                except OSError as error:
                    refusals[tid] += 1
                    if not seized and refusals[tid] >= _REFUSALS_BELIEVED:
                        raise error
                    continue
                self._tracees.add(tid, pid)
                seized.add(tid)
        raise OSError(errno.EAGAIN, "its threads come and go faster than they can be taken hold of")

    def seize(self, tid: int, pid: int) -> None:
        """Begin to trace a running thread; raises OSError."""
        ptrace.seize(tid, self._options())
        self._tracees.add(tid, pid)
        self._interrupt([tid])

    def _interrupt(self, tids: Sequence[int]) -> None:
        """Only from a stop on does a thread stop at its calls."""
        for tid in tids if self._level == FULL else ():
            self._press(tid)

    def _press(self, tid: int) -> None:
        self._interrupted[tid] = look(tid) if self._loses_arguments else None
        try:
            ptrace.interrupt(tid)
        except ProcessLookupError:
            pass

    def take_over(self, keeper: int, main: int, family: Sequence[int], spared: Sequence[int] = ()) -> Tuple[int, str]:
        """Go on for a tracer that was killed: the family alone, which the keeper knows; raises nothing."""
        problem = ""
        for pid in family:
            try:
                self._interrupt(self._seize_threads(pid))
                self._identities[pid] = programs.identity(pid)
            except ProcessLookupError:
                continue
            except OSError as error:
                problem = problem or str(error.strerror)
        return len(self._tracees), problem

    def _options(self) -> int:
        options = Engine._options(self) & ~ptrace.O_TRACESECCOMP
        return options | ptrace.O_TRACEEXIT if self._level == PROCESS else options

    # --- waiting ------------------------------------------------------------------

    def _wait(self) -> List[Tuple[int, int]]:
        """As the engine's, but a signal wakes it, too: that of a stop, or that which tells it to let go."""
        while True:
            news = self._look_for_news()
            if news:
                return news
            if self._writer.broken and not self._parting:
                self._let_go()
            if self._parting and time.monotonic() > self._parting:
                # What is left does not stop: it waits for a vforked child, or for a device. Our end sets it free.
                raise ChildProcessError
            self._sleep()

    def _sleep(self) -> None:
        if self._writer.flush():
            told = signal.sigtimedwait(_AWAITED, _PATIENCE_SECONDS if self._parting else _LONG_SECONDS)
        else:
            self._writer.wait(_PATIENCE_SECONDS)
            told = signal.sigtimedwait(_AWAITED, 0)
        if told is not None and told.si_signo == LET_GO and not self._parting:
            self._let_go()
        elif told is not None and told.si_signo == ATTACH and not self._parting:
            # What a signal was queued with lies where an ended child's status is (struct siginfo).
            self._take_later(told.si_status)

    def _take_later(self, pid: int) -> None:
        """One more process; who has gone meanwhile, or is ours already, is no news."""
        if any(tracee.pid == pid for tracee in self._tracees):
            return
        problem = self.take(pid)
        if problem and procfs.exists(pid):
            self._writer.put((records.STATE, records.now(), 0, pid, records.REFUSED, problem))

    def _look_for_news(self) -> List[Tuple[int, int]]:
        try:
            return pending_news()
        except ChildProcessError:
            if self._follows and not self._parting:
                return []
            raise

    # --- letting go ---------------------------------------------------------------

    def _let_go(self) -> None:
        """Bring every thread to a stop that is nobody's business but ours: in that one it can be left."""
        self._parting = time.monotonic() + _PARTING_SECONDS
        self._request = ptrace.CONT
        for tid in [tracee.tid for tracee in self._tracees]:
            self._press(tid)

    def _dispatch(self, stop: Stop, tracee: Tracee, status: int) -> None:
        if stop.tid in self._interrupted and status >> 16 != ptrace.EVENT_STOP:
            # Any stop takes the place of the one that was asked for (kernel/signal.c, ptrace_stop).
            if self._parting:
                waiting = self._interrupted[stop.tid]
                self._interrupted[stop.tid] = waiting and waiting._replace(sleeps=waiting.sleeps + 1)
                ptrace.interrupt(stop.tid)
            else:
                del self._interrupted[stop.tid]
        Engine._dispatch(self, stop, tracee, status)

    def _on_event_stop(self, stop: Stop, tracee: Tracee, number: int) -> None:
        if stop.tid in self._interrupted and number == signal.SIGTRAP:
            waiting = self._interrupted.pop(stop.tid)
            if not _has_signals(stop.tid):
                stop.repeat_interrupted(waiting)
        if self._parting:
            stop.detach()
            self._tracees.remove(stop.tid)
        else:
            Engine._on_event_stop(self, stop, tracee, number)

    # --- credentials ----------------------------------------------------------------

    def _begin_process(self, pid: int, tid: int, parent: int) -> None:
        if self._level == PROCESS:
            self._compare(parent)
            self._identities[pid] = self._identities.get(parent, programs.NO_IDENTITY)
        Engine._begin_process(self, pid, tid, parent)

    def _on_exec(self, stop: Stop, tracee: Tracee, number: int) -> None:
        Engine._on_exec(self, stop, tracee, number)
        if self._level == PROCESS:
            self._identities[stop.pid] = programs.identity(stop.pid)

    def _on_exit_stop(self, stop: Stop, tracee: Tracee, number: int) -> None:
        if stop.tid == stop.pid:
            self._compare(stop.pid)
            self._identities.pop(stop.pid, None)
        stop.resume(self._request)

    def _compare(self, pid: int) -> None:
        """Tell of an identity that has changed since we last looked."""
        before, after = self._identities.get(pid), programs.identity(pid)
        if before is not None and after not in (before, programs.NO_IDENTITY):
            self._identities[pid] = after
            for record in programs.identity_changes(pid, before, after):
                self._reports.emit(record)


def left_behind(family: Sequence[int], since: int) -> List[int]:
    """Whom to take over from a tracer that is dead since a moment (ns since the epoch): those of its family that are still
    the same, and the children that they have had meanwhile, or so shortly before that nobody has told of them."""
    births = {pid: birth for pid, birth in map(_birth, procfs.processes()) if birth}
    found = [pid for pid in family if 0 < births.get(pid, 0) <= since + _SLACK_NS]
    for pid in found:
        for child in procfs.descendants(pid):
            if child not in found and births.get(child, 0) >= since - _UNTOLD_NS and _parent(child) == pid:
                found.append(child)
    return found


def _birth(pid: int) -> Tuple[int, int]:
    try:
        return pid, programs.born(procfs.stat(pid).start)
    except OSError:
        return pid, 0


def _parent(pid: int) -> int:
    try:
        return procfs.stat(pid).ppid
    except OSError:
        return 0


def _has_signals(tid: int) -> bool:
    """Whether a signal waits for a thread that it does not block: then its call has been interrupted in earnest."""
    try:
        table = procfs.status(tid)
        waiting = int(table[b"SigPnd"], 16) | int(table[b"ShdPnd"], 16)
        return bool(waiting & ~int(table[b"SigBlk"], 16))
    except (OSError, KeyError, ValueError):
        return True
