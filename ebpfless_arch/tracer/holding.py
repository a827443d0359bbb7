"""What every part of the engine works with: its tracees and how they come under trace, and how a call is answered for the kernel."""

from typing import Callable, List, Sequence, Set, Tuple

from ebpfless_arch.events import interest
from ebpfless_arch.events.interest import Interest
from ebpfless_arch.kernel import procfs, ptrace
from ebpfless_arch.tracer import opening, privileges, results, syscalls
from ebpfless_arch.tracer.discarders import Discarders
from ebpfless_arch.tracer.foreseen import Foresight
from ebpfless_arch.tracer.handover import HandOver
from ebpfless_arch.tracer.payload import Watch
from ebpfless_arch.tracer.pipe import Ends
from ebpfless_arch.tracer.places import Places
from ebpfless_arch.tracer.reports import Reports
from ebpfless_arch.tracer.stops import Call, Machine, Stop
from ebpfless_arch.tracer.tracees import Tracee, Tracees


def leader(tid: int) -> Tuple[int, int]:
    """Process id and parent's process id of a thread, as far as they can be known."""
    try:
        return procfs.group_leader(tid)
    except (OSError, KeyError, ValueError):
        return tid, 0


class Holder:
    """Holds tracees; `_news` are the statuses that have come and have not been dealt with."""

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
        self._numbers_of_opens = frozenset(
            abi.syscalls[name] for abi in machine.abis for name in ("open", "openat", "creat") if name in abi.syscalls)
        self._loses_arguments = machine.abis[0].result_slot in machine.abis[0].argument_slots
        self._numbers = {abi.name: frozenset(abi.syscalls.values()) for abi in machine.abis}
        self._silent = frozenset(["io_uring", ""]) if wanted.io_uring == "allow" else frozenset([""])
        self._discarders = Discarders(wanted, self._tables)
        self._foresight = Foresight(wanted)
        self._borrowers: Set[int] = set()  # vforked children, which have their parent's memory
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

    @property
    def main(self) -> int:
        """The command's process id."""
        return self._reports.main

    def seize(self, tid: int, pid: int) -> None:
        """Begin to trace a running thread; raises OSError."""
        ptrace.seize(tid, self._options())
        self._tracees.add(tid, pid)
        if not self._filtered:
            ptrace.interrupt(tid)

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

    def _options(self) -> int:
        options = (ptrace.O_TRACESYSGOOD | ptrace.O_TRACEFORK | ptrace.O_TRACEVFORK
                   | ptrace.O_TRACECLONE | ptrace.O_TRACEEXEC)
        if self._deadly:
            options |= ptrace.O_EXITKILL
        return options | ptrace.O_TRACESECCOMP if self._filtered else options

    def _onwards(self, tracee: Tracee) -> int:
        """How to resume from a stop in the middle of a call: to its result, if that is awaited."""
        return ptrace.SYSCALL if tracee.in_call else self._request

    def _answer(self, stop: Stop, tracee: Tracee, call: Call, result: int) -> None:
        """Have a call not done, and return this (0 or a negative errno); its event, if it has one, tells so."""
        assert call.abi is not None
        stop.refuse(call.abi, -result)
        pending, tracee.pending = tracee.pending, None
        if pending is not None and pending.row.event == syscalls.PLACE:
            self._places.answered(stop.tid)
        elif pending is not None and (self._interest.failures or interest.counts(pending.row.event, result)):
            self._reports.emit(results.finish(stop, pending, result))

    def _lose_foresight(self, tid: int) -> None:
        """Something has happened after which no open can be decided at its entry any more."""
        if self._foresight.on:
            self._foresight.end()
            self._settle(tid)

    def _settle(self, tid: int) -> None:
        """Wait until all opens of others than `tid` are over that were decided at their entry: whoever is at a stop, or
        sleeps in another call, has done with it; others are asked for a stop."""
        waiting = {each for each, _ in self._news[1:]}
        for tracee in [each for each in self._tracees if each.hasty and each.tid not in (tid, *waiting)]:
            tracee.hasty = False
            if not opening.is_over(tracee.tid, self._numbers_of_opens):
                stop = Stop(self._machine, tracee.tid, tracee.pid)
                self._news += opening.await_end(stop, self._loses_arguments)

    def _handle(self, tid: int, status: int) -> None:
        """Deal with one status."""
        raise NotImplementedError

    def _is_stale(self, tid: int, status: int) -> bool:
        """Whether a status that had to wait is no longer true."""
        raise NotImplementedError
