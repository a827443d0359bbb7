"""Keeps threads from running for the moment in which they have no tracer, without their noticing.

They are confined to the CPU on which we are busy, and are let out as soon as they are traced again. What was theirs stands
in memory shared with whoever comes after us, should we be killed meanwhile.
"""

import os
from typing import Dict, FrozenSet, Iterable, Optional, Sequence

from ebpfless_arch.kernel import procfs, scheduling
from ebpfless_arch.tracer.places import Table, recover
from ebpfless_arch.tracer.pulse import Pulse

_PRIORITY = 1
_SLOTS = 400

Mask = FrozenSet[int]


def table_of(pulse: Pulse) -> Table:
    """Where the affinities of those stand that are confined."""
    return Table(*pulse.corral(), slots=_SLOTS)


class Corral:
    """Threads on one CPU, ours; tracers that are about to end get another one, so that they do end.

    On a machine with a single CPU nothing is confined. `threads` are those that will be confined first.
    """

    def __init__(self, tracers: Sequence[int], threads: Sequence[int], table: Table) -> None:
        recover(table, threads)  # one who was killed at this may have left them confined
        self._table = table
        self._former: Dict[int, Mask] = {}
        self._own = os.sched_getaffinity(0)
        self._cpu = self._choose(threads)
        # Others may want our CPU: where it is permitted, they get it later.
        for pid in list(tracers) + [0]:
            _set_policy(pid, os.SCHED_FIFO, _PRIORITY)
        if self._cpu is None:
            return
        table.use(self._cpu)
        _confine(0, {self._cpu})
        for tracer in tracers:
            _confine(tracer, self._own - {self._cpu})
        self.confine(threads)

    def confine(self, threads: Iterable[int]) -> None:
        """Keep these in as well. One that was born in here has its parent's confinement, and is to get its parent's own."""
        for tid in threads if self._cpu is not None else ():
            mask = _mask(tid)
            if mask == {self._cpu}:
                mask = self._former_of_family(tid) or mask
            if self._cpu in mask:
                self._table.put(tid, mask)
                self._former[tid] = mask
                _confine(tid, {self._cpu})

    @property
    def is_alone(self) -> bool:
        """Whether a dying tracer needs the CPU on which we are."""
        return self._cpu is None

    def _choose(self, threads: Iterable[int]) -> Optional[int]:
        """A CPU that the first of the threads may use, None where we have only one."""
        if len(self._own) < 2:
            return None
        common = [cpu for tid in threads for cpu in _mask(tid) & self._own]
        return common[-1] if common else None

    def open(self) -> None:
        """Let everybody out."""
        for tid, mask in self._former.items():
            if _mask(tid) == {self._cpu}:
                _confine(tid, mask)
        _set_policy(0, os.SCHED_OTHER, 0)
        if self._cpu is not None:
            _confine(0, self._own)

    def let_out(self, threads: Iterable[int]) -> None:
        """And those who were born in here and found only now; then nobody is left."""
        for tid in threads:
            if self._cpu is not None and tid not in self._former and _mask(tid) == {self._cpu}:
                _confine(tid, self._former_of_family(tid) or self._own)
        self._table.clear()

    def _former_of_family(self, tid: int) -> Mask:
        """What its process had, or its parent; nothing where neither is known."""
        try:
            relatives = procfs.group_leader(tid)
        except (OSError, KeyError, ValueError):
            return frozenset()
        return next((self._former[each] for each in relatives if each in self._former), frozenset())


def _mask(tid: int) -> Mask:
    try:
        return frozenset(os.sched_getaffinity(tid))
    except OSError:
        return frozenset()


def _confine(tid: int, cpus: Iterable[int]) -> bool:
    try:
        os.sched_setaffinity(tid, cpus)
        return True
    except OSError:
        return False


def _set_policy(pid: int, policy: int, priority: int) -> None:
    try:
        scheduling.set_policy(pid, policy, priority)
    except OSError:
        pass
