"""Keeps threads from running for the moment in which they have no tracer, without their noticing.

They are confined to the CPU on which we are busy, and are let out as soon as they are traced again.
"""

import os
from typing import Dict, Iterable, Optional, Set

from ebpfless_arch.kernel import procfs

_PRIORITY = 1


class Corral:
    """Threads on one CPU, ours; the tracer that is about to end gets another one, so that it does end.

    On a machine with a single CPU nothing is confined.
    """

    def __init__(self, tracer: int, threads: Iterable[int]) -> None:
        self._former: Dict[int, Set[int]] = {}
        self._own = os.sched_getaffinity(0)
        self._cpu = self._choose(threads)
        # Others may want our CPU: where it is permitted, they get it later.
        for pid in (tracer, 0):
            _set_policy(pid, os.SCHED_FIFO, _PRIORITY)
        if self._cpu is None:
            return
        _confine(0, {self._cpu})
        _confine(tracer, self._own - {self._cpu})
        for tid in threads:
            mask = _mask(tid)
            if self._cpu in mask and _confine(tid, {self._cpu}):
                self._former[tid] = mask

    @property
    def is_alone(self) -> bool:
        """Whether the dying tracer needs the CPU on which we are."""
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
        """Threads that were born in here have their parents' confinement."""
        for tid in threads:
            if self._cpu is not None and tid not in self._former and _mask(tid) == {self._cpu}:
                _confine(tid, self._former_of_family(tid))

    def _former_of_family(self, tid: int) -> Set[int]:
        try:
            relatives = procfs.group_leader(tid)
        except (OSError, KeyError, ValueError):
            return self._own
        return next((self._former[each] for each in relatives if each in self._former), self._own)


def _mask(tid: int) -> Set[int]:
    try:
        return os.sched_getaffinity(tid)
    except OSError:
        return set()


def _confine(tid: int, cpus: Set[int]) -> bool:
    try:
        os.sched_setaffinity(tid, cpus)
        return True
    except OSError:
        return False


def _set_policy(pid: int, policy: int, priority: int) -> None:
    try:
        os.sched_setscheduler(pid, policy, os.sched_param(priority))
    except OSError:
        pass
