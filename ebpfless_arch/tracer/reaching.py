"""Calls that reach for other processes: those that begin to trace, hurt one of us, or start children without their tracer."""

import errno
import os
import time
from typing import Optional

from ebpfless_arch.kernel import procfs, ptrace
from ebpfless_arch.tracer import decode, escapes, results, shield, syscalls
from ebpfless_arch.tracer.handover import Gone
from ebpfless_arch.tracer.holding import leader
from ebpfless_arch.tracer.kin import Kin
from ebpfless_arch.tracer.opening import GLANCE_SECONDS, will_stop
from ebpfless_arch.tracer.readers import READERS
from ebpfless_arch.tracer.stops import Call, Stop
from ebpfless_arch.tracer.syscalls import SHIELD, TRACEME, Row
from ebpfless_arch.tracer.tracees import Tracee, is_free, state_and_tracer, untraced_from


class Reaching(Kin):
    """Decides what becomes of them."""

    def _reach(self, stop: Stop, tracee: Tracee, call: Call, row: Row) -> None:
        """A call that does something to another process, which is refused if that is one of us."""
        ours = (self._keeper, os.getpid(), self.standby or self._keeper) + tuple(self._pulse.guarded())
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
        pid = leader(tid)[0]
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
            tracee.pending = tracee.carried = None
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
        self._lose_foresight(stop.tid)
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
            if not will_stop(tracee.tid, since):
                self._reports.kept(stop, debugger, "it does not come to a stop")
                return
            found, status = os.waitpid(tracee.tid, ptrace.WALL | os.WNOHANG)
            if not found:
                time.sleep(GLANCE_SECONDS)  # one that waits for its vforked child does not stop at all
            elif os.WIFSTOPPED(status) and status >> 16 == ptrace.EVENT_STOP:
                stop.repeat_interrupted()
                self._give(stop, tracee, debugger, False)
                if not stop.resumed:
                    stop.resume(self._request)
                return
            else:
                if os.WIFSTOPPED(status):
                    ptrace.interrupt(tracee.tid)  # any stop takes the place of the one that was asked for
                self._handle(tracee.tid, status)

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
        self._lose_foresight(stop.tid)
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
                self._begin_process(each, each, stop.pid if each == pid else leader(each)[1])

    def _bar(self, stop: Stop, tracee: Tracee, call: Call, row: Row) -> None:
        """Refuse a call of io_uring, if it is the command's; its event, if it has one, tells so."""
        if not self._reports.counts(stop.pid):
            return
        self._answer(stop, tracee, call, -errno.EPERM)
        self._reports.barred(stop, row.call)
