"""The threads under trace, by their ids: who they are, and what is awaited of each."""

import os
from typing import Dict, Iterable, Iterator, List, Optional, Sequence, Set, Tuple

from ebpfless_arch.kernel import procfs
from ebpfless_arch.tracer.decode import Pending
from ebpfless_arch.tracer.payload import Carried

# The states (proc(5)) in which a thread may soon do a call: those that run before those that wait at a stop.
_ACTIVE = b"tR"

Thread = Tuple[int, int, bool, bool]
"""A thread, its process, whether it is in a call, and at which of its stops: what outlives an engine."""


class Tracee:
    """One thread under trace. `pid` is its process; `pending` the call whose result we wait for, `carried` what we know
    of that call's payload; `unread`: the errno with which memory of its call could not be read, 0 for none, `unread_in` that call's name; `adopted`: it
    stopped before its parent's event had come; `alone`: nobody shares its process's memory; `hasty`: since its last stop an
    open may be under way that was decided at its entry; `opens`: how many opens it has begun; `moving`: it is in a call
    that may make paths lead elsewhere."""

    __slots__ = ("alone", "hasty", "opens", "moving", "tid", "pid", "pending", "carried", "unread",
                 "unread_in", "in_call", "skip_entry", "stays", "adopted")

    def __init__(self, tid: int, pid: int) -> None:
        self.tid = tid
        self.pid = pid
        self.pending: Optional[Pending] = None
        self.carried: Optional[Carried] = None
        self.unread = 0
        self.unread_in = ""
        self.in_call = False
        self.skip_entry = False
        self.stays = False
        self.adopted = False
        self.alone = False
        self.hasty = False
        self.opens = 0
        self.moving = False


class Tracees:
    """All of them."""

    def __init__(self) -> None:
        self._by_tid: Dict[int, Tracee] = {}
        self._threaded: Set[int] = set()
        self.get = self._by_tid.get

    def __len__(self) -> int:
        return len(self._by_tid)

    def __iter__(self) -> Iterator[Tracee]:
        return iter(self._by_tid.values())

    def is_threaded(self, pid: int) -> bool:
        """Whether a process is known to have, or to have had, more than one thread."""
        return pid in self._threaded

    def add(self, tid: int, pid: int) -> Tracee:
        """A thread of which nothing is known yet."""
        tracee = self._by_tid[tid] = Tracee(tid, pid)
        if tid != pid:
            self._threaded.add(pid)
        return tracee

    def introduce(self, tid: int, pid: int) -> bool:
        """A thread that its parent's event tells of; False if it was adopted, and is known already."""
        known = self._by_tid.get(tid)
        if known is not None and known.adopted:
            known.adopted = False
            return False
        self.add(tid, pid)
        return True

    def execed(self, tid: int, former: int) -> Tracee:
        """The thread that exec'ed has the leader's id now, and the other threads are gone (ptrace(2), "execve")."""
        tracee = self._by_tid[tid]
        if former != tid and former in self._by_tid:
            tracee = self._by_tid.pop(former)
            tracee.tid = tracee.pid = tid
            self._by_tid[tid] = tracee
        if tid in self._threaded:
            self._threaded.discard(tid)
            for other in [each.tid for each in self if each.pid == tid and each.tid != tid]:
                del self._by_tid[other]
        return tracee

    def remove(self, tid: int) -> Optional[Tracee]:
        """A thread that has ended, None if it was not known."""
        tracee = self._by_tid.pop(tid, None)
        if tracee is not None and tracee.pid == tid:
            self._threaded.discard(tid)
        return tracee

    def snapshot(self) -> List[Thread]:
        """What another engine needs to go on with them."""
        return [(each.tid, each.pid, each.in_call, each.skip_entry) for each in self]

    def restore(self, threads: Sequence[Thread]) -> None:
        """Take over those of another engine."""
        for tid, pid, in_call, skip_entry in threads:
            tracee = self.add(tid, pid)
            tracee.in_call, tracee.skip_entry = in_call, skip_entry


def traced_again(count: int) -> str:
    """So many threads have a tracer again, in words."""
    return "1 thread is traced again" if count == 1 else "%d threads are traced again" % count


def threads_below(keeper: int, family: Sequence[int]) -> List[Tuple[int, int]]:
    """Thread and process ids of all that live without a tracer below the keeper or are of the family, but for this very
    process."""
    pids = set(procfs.descendants(keeper, *family)).union(family)
    pids.discard(os.getpid())
    return _threads_of(sorted(pids), 0)


def untraced_from(tid: int, pid: int) -> List[Tuple[int, int]]:
    """Thread and process ids of all that live without a tracer in a process; if `tid` is the process itself, and no other
    thread of it, below it as well."""
    return _threads_of([pid] + (procfs.descendants(pid) if tid == pid else []), 0)


def threads_traced_by(tracer: int) -> List[Tuple[int, int]]:
    """Thread and process ids of all that a process traces, those first that are the next to do something."""
    return _threads_of([pid for pid in procfs.processes() if state_and_tracer(pid)[1] == tracer], tracer)


def _threads_of(pids: Iterable[int], tracer: int) -> List[Tuple[int, int]]:
    found: List[Tuple[int, int, int]] = []
    for pid in pids:
        try:
            tids = procfs.threads(pid)
        except OSError:
            continue
        for tid in tids:
            state, its_tracer = state_and_tracer(tid)
            if its_tracer == tracer and state not in b"ZX":
                found.append((_ACTIVE.find(state), tid, pid))
    return [(tid, pid) for _, tid, pid in sorted(found, reverse=True)]


def is_free(tid: int) -> bool:
    """Whether a thread lives and is traced by nobody."""
    state, tracer = state_and_tracer(tid)
    return not tracer and state not in b"ZX"


def state_and_tracer(tid: int) -> Tuple[bytes, int]:
    """What a thread is doing, by a letter, and the process that traces it; "X" for one that is gone."""
    try:
        table = procfs.status(tid)
        return table[b"State"][:1], int(table[b"TracerPid"])
    except (OSError, KeyError, ValueError):
        return b"X", -1
