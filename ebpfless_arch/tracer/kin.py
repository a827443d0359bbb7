"""Beginnings, programs and ends of the processes under trace."""

import os
import signal
from typing import Optional, Tuple

from ebpfless_arch.events import records
from ebpfless_arch.kernel import procfs, ptrace
from ebpfless_arch.tracer import escapes, privileges, results, syscalls
from ebpfless_arch.tracer.foreseen import EXPERIENCED
from ebpfless_arch.tracer.holding import Holder, leader
from ebpfless_arch.tracer.news import other_news
from ebpfless_arch.tracer.stops import Stop
from ebpfless_arch.tracer.tracees import Tracee

_NOTHING = (0, 0)
_BEGINNINGS = frozenset([ptrace.EVENT_FORK, ptrace.EVENT_VFORK, ptrace.EVENT_CLONE])


def _shared(tracee: Tracee) -> int:
    """The flags of a clone3, by which it makes a process. Another thread may have changed them since they were read."""
    pending = tracee.pending
    if pending is None or pending.row.event != syscalls.GUARD:
        return 0
    flags: int = pending.values.get(syscalls.FLAGS, 0)
    return flags if tracee.alone else flags | syscalls.CLONE_FS


class Kin(Holder):
    """Knows who has begun and who has ended."""

    def _on_exec(self, stop: Stop, tracee: Tracee, number: int) -> None:
        former = stop.message()
        if former != stop.tid:
            self._places.renamed(former, stop.tid)
        tracee = self._tracees.execed(stop.tid, former)
        self._reports.forget(tracee.pid)
        self._own_memory(tracee)
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

    def _own_memory(self, tracee: Tracee) -> None:
        """A program that has just begun shares its memory with nobody."""
        tracee.alone, tracee.opens = True, 0
        self._borrowers.discard(tracee.pid)
        self._foresight.forget(tracee.pid)
        self._foresight.retain(self._tracees.get)

    def _on_new_process(self, stop: Stop, tracee: Tracee, number: int) -> None:
        child = self._born(stop, tracee)
        if _shared(tracee) & (syscalls.CLONE_VM | syscalls.CLONE_FS | syscalls.CLONE_FILES):
            self._lose_foresight(stop.tid)
        stop.resume(self._onwards(tracee))
        self._add_process(child, tracee.pid, tracee)

    def _on_vfork(self, stop: Stop, tracee: Tracee, number: int) -> None:
        child = self._born(stop, tracee)
        # Where a borrower is killed that waits for one of its own, the lender runs beside that one.
        if _shared(tracee) & (syscalls.CLONE_FS | syscalls.CLONE_FILES) or tracee.pid in self._borrowers:
            self._lose_foresight(stop.tid)
        self._borrowers.add(child)
        stop.resume(self._onwards(tracee))
        self._add_process(child, tracee.pid)

    def _on_clone(self, stop: Stop, tracee: Tracee, number: int) -> None:
        child = self._born(stop, tracee)
        thread = procfs.is_thread_of(child, tracee.pid)
        tracee.alone = False
        if not thread or tracee.pid in self._borrowers:
            self._lose_foresight(stop.tid)
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

    def _add_process(self, child: int, parent: int, image: Optional[Tracee] = None) -> None:
        """`image` is the thread of whose process's memory it has a copy."""
        is_news = self._tracees.introduce(child, child)
        tracee = self._tracees.get(child)
        if tracee is not None and image is not None:
            tracee.alone, tracee.opens = image.alone, EXPERIENCED
        if is_news:
            self._begin_process(child, child, parent)

    def _begin_process(self, pid: int, tid: int, parent: int) -> None:
        self._watch.forked(pid, parent)
        self._reports.emit((records.FORK, records.now(), pid, tid, parent))

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
        pid, parent = leader(tid)
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
        self._foresight.end_move(tid)
        tracee = self._tracees.remove(tid)
        if tracee is not None:
            self._report_last_act(tracee)
        # One that a debugger has is still our child if it is the command.
        if tid != (tracee.pid if tracee is not None else self.main):
            return
        self._reports.forget(tid)
        self._watch.ended(tid)
        self._foresight.forget(tid)
        self._borrowers.discard(tid)
        if os.WIFEXITED(status):
            cause, code = 0, os.WEXITSTATUS(status)
        else:
            cause, code = (1 if os.WCOREDUMP(status) else 2), os.WTERMSIG(status)
        self._reports.emit((records.EXIT, records.now(), tid, tid, cause, code))
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
