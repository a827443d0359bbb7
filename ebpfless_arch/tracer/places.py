"""Where tracer and tracees run: on one CPU, as long as they take turns and stop often.

A tracee that is resumed while its tracer still runs is put on another CPU, if that is idle; waking it there, and the
tracer at the next stop, takes longer than all that is done in between. So while stops come thick and fast the tracer
stays on its CPU and narrows the affinity of those that stop to it; after a few milliseconds without a stop they have their
own back. Where that does not make it faster, or several of them want to run at once, it is left for a while.

No program sees it: to ask for an affinity or to set one is a stop, and before such a call all have their own, which they
keep until it is over. Children that are born narrow get their parent's. A tracer that is killed leaves a table in memory
that it shares with the keeper, and the next tracer puts all of them back first. It is done on request only: who was born
in the moment without a tracer, or had its cpuset changed while narrow, may not get its own back.
"""

import mmap
import os
import signal
import struct
import time
from typing import Callable, Dict, FrozenSet, Iterable, List, Optional, Set, Tuple

from ebpfless_arch.kernel import procfs
from ebpfless_arch.kernel.libc import function
from ebpfless_arch.tracer.pulse import Pulse

Mask = FrozenSet[int]

_PERIOD_SECONDS = 0.004
_WINDOW = 32
_THICK_SECONDS = 0.004  # for so many stops
_THIN = 4  # stops in a period
_THICK_WINDOWS = 8  # in a row, before anything is changed
_TRIAL_SECONDS, _TRIAL_STOPS = 0.03, 256
_GAIN = 0.85  # a stop's turn must become that much shorter, or it is not worth it
_GOOD_FOR_SECONDS = 5.0
_CROWDED_PAUSE, _CROWDED_AT_MOST = 0.1, 3.0
_USELESS_PAUSE, _USELESS_AT_MOST = 0.5, 30.0
_LATELY_SECONDS = 1.0
_LOOKED_AT = 6
_CROWDED_AT = 2  # looks in a row
_GENERATIONS = 4

_sched_getcpu = function("sched_getcpu")


class Table:
    """The affinities of those that are narrowed, by thread, and the CPU: in shared memory, for whoever comes after us."""

    _SLOT = struct.Struct("=Q128s")
    _CPU = struct.Struct("=q")
    SLOTS = 24
    CPUS = 1024

    def __init__(self, memory: mmap.mmap, start: int, slots: int = SLOTS) -> None:
        self._memory, self._start = memory, start
        self._count = slots
        self._free = list(range(slots))
        self._slots: Dict[int, int] = {}

    def put(self, tid: int, mask: Mask) -> bool:
        """Note a thread's own affinity; False where there is no room."""
        if not self._free or max(mask) >= self.CPUS:
            return False
        slot = self._slots[tid] = self._free.pop()
        bits = sum(1 << cpu for cpu in mask)
        self._SLOT.pack_into(self._memory, self._at(slot), tid, bits.to_bytes(self.CPUS // 8, "little"))
        return True

    def drop(self, tid: int) -> None:
        """A thread has its own again, or is gone."""
        slot = self._slots.pop(tid, -1)
        if slot >= 0:
            self._SLOT.pack_into(self._memory, self._at(slot), 0, b"")
            self._free.append(slot)

    def use(self, cpu: int) -> None:
        """The CPU that they are narrowed to."""
        self._CPU.pack_into(self._memory, self._start, cpu + 1)

    def left(self) -> Tuple[int, Dict[int, Mask]]:
        """What another tracer has left here: its CPU, -1 for none, and the affinities of its tracees."""
        found = {}
        for slot in range(self._count):
            tid, data = self._SLOT.unpack_from(self._memory, self._at(slot))
            bits = int.from_bytes(data, "little")
            if tid and bits:
                found[tid] = frozenset(cpu for cpu in range(bits.bit_length()) if bits >> cpu & 1)
        return self._CPU.unpack_from(self._memory, self._start)[0] - 1, found

    def clear(self) -> None:
        """Forget it all."""
        for slot in range(self._count):
            self._SLOT.pack_into(self._memory, self._at(slot), 0, b"")
        self._free, self._slots = list(range(self._count)), {}

    def _at(self, slot: int) -> int:
        return self._start + self._CPU.size + slot * self._SLOT.size


class Places:
    """Told of every stop; `wait` is told when the tracer waits, for only then it may be interrupted."""

    def __init__(self, pulse: Pulse, enabled: bool) -> None:
        self._table = Table(*pulse.spare())
        self._enabled = enabled and _sched_getcpu is not None and len(os.sched_getaffinity(0)) > 1
        self._cpu = -1
        self._own: Mask = frozenset()
        self._narrowed: Dict[int, Mask] = {}
        self._fresh: Set[int] = set()
        self._refused: Set[int] = set()
        self._asking: Set[int] = set()
        self._stops = self._seen = self._first = self._crowded = self._thick = 0
        self._since = self._spent = self._resting_until = self._last = self._began = self._before = 0.0
        self._good_until = 0.0
        self._crowded_pause, self._useless_pause = _CROWDED_PAUSE, _USELESS_PAUSE
        self._due = self._waiting = False

    # --- what the engine calls ----------------------------------------------------

    def stopped(self, tid: int) -> None:
        """A thread is at a stop, and will be resumed soon."""
        self._stops += 1
        if self._cpu >= 0:
            self._fresh.add(tid)
            if tid not in self._narrowed:
                self._narrow(tid)
        elif self._enabled and self._stops % _WINDOW == 0:
            self._consider()

    def wait(self, call: Callable[[], Tuple[int, int]]) -> Tuple[int, int]:
        """Do a call that waits; what is due meanwhile is done."""
        if self._cpu < 0:
            return call()
        if self._due:
            self._look()
        self._waiting = True
        try:
            return call()
        finally:
            self._waiting = False

    def born(self, child: int, parent: int) -> None:
        """A thread or process has begun with its parent's affinity, whichever that was just then."""
        if self._cpu < 0 and (not self._last or time.monotonic() - self._last > _LATELY_SECONDS):
            return
        mask = self._narrowed.get(parent)
        try:
            if mask is None:
                mask = frozenset(os.sched_getaffinity(parent))
            if len(mask) > 1 and child not in self._narrowed and len(os.sched_getaffinity(child)) == 1:
                self._adopt(child, mask)
        except OSError:
            pass  # gone, or not ours to change

    def ended(self, tid: int) -> None:
        """A thread is no more."""
        self._asking.discard(tid)
        self._refused.discard(tid)
        if self._narrowed.pop(tid, None) is not None:
            self._table.drop(tid)

    def renamed(self, former: int, tid: int) -> None:
        """A thread has another's id now, and that one is no more."""
        self.ended(tid)
        mask = self._narrowed.pop(former, None)
        if mask is not None:
            self._table.drop(former)
            self._table.put(tid, mask)
            self._narrowed[tid] = mask

    def ask(self, tid: int) -> None:
        """A thread is about to ask for an affinity, or to set one: until it has done, all have their own."""
        self._asking.add(tid)
        self._restore(list(self._narrowed))

    def answered(self, tid: int) -> None:
        """It has been told."""
        self._asking.discard(tid)

    def leave(self) -> None:
        """Give all of them back what was theirs."""
        self._stop()

    def recover(self, threads: Iterable[int] = ()) -> None:
        """Give those back what was theirs that another tracer has left; and, of the threads named, those that were born
        narrow when it died."""
        recover(self._table, threads)

    # --- when ---------------------------------------------------------------------

    def _consider(self) -> None:
        """Do stops keep coming thick and fast?"""
        now = time.monotonic()
        took, self._since = now - self._since, now
        if took >= _THICK_SECONDS:
            self._thick, self._spent = 0, 0.0
            return
        self._thick += 1
        self._spent += took
        if self._thick >= _THICK_WINDOWS:
            before = self._spent / (self._thick * _WINDOW)
            self._thick, self._spent = 0, 0.0
            if now >= self._resting_until:
                self._start(now, before)

    def _start(self, now: float, cycle: float) -> None:
        self._own = frozenset(os.sched_getaffinity(0))
        self._cpu = int(_sched_getcpu())
        self._before, self._began, self._last = cycle, 0.0, now
        self._seen = self._stops
        try:
            os.sched_setaffinity(0, {self._cpu})
        except OSError:
            self._enabled, self._cpu = False, -1
            return
        self._table.use(self._cpu)
        signal.signal(signal.SIGALRM, self._on_alarm)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGALRM])
        signal.setitimer(signal.ITIMER_REAL, _PERIOD_SECONDS, _PERIOD_SECONDS)

    def _stop(self) -> None:
        if self._cpu < 0:
            return
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGALRM])
        self._restore(list(self._narrowed))
        self._cpu, self._due, self._since, self._last = -1, False, 0.0, time.monotonic()
        try:
            os.sched_setaffinity(0, self._own)
        except OSError:
            pass  # they may have been taken away from us meanwhile

    def _on_alarm(self, number: int, frame: object) -> None:
        self._due = True
        if self._waiting:
            # Another alarm may come while this one is dealt with, and what is raised here would lose a stop.
            self._waiting = False
            self._look()
            self._waiting = True

    def _look(self) -> None:
        """Every now and then: is it still of use?"""
        self._due = False
        stops, self._seen = self._stops - self._seen, self._stops
        if stops < _THIN:
            self._stop()
        elif self._is_crowded():
            self._rest(self._crowded_pause)
            self._crowded_pause = min(2 * self._crowded_pause, _CROWDED_AT_MOST)
        else:
            fresh, self._fresh = self._fresh, set()
            self._restore([tid for tid in self._narrowed if tid not in fresh])
            self._judge()

    def _judge(self) -> None:
        """After a while: has it become faster? And that may change."""
        now = time.monotonic()
        if not self._before:
            if now > self._good_until:
                self._stop()
        elif not self._began:
            self._began, self._first = now, self._stops  # until now they found their places
        elif now - self._began >= _TRIAL_SECONDS and self._stops - self._first >= _TRIAL_STOPS:
            if (now - self._began) / (self._stops - self._first) > self._before * _GAIN:
                self._rest(self._useless_pause)
                self._useless_pause = min(2 * self._useless_pause, _USELESS_AT_MOST)
            else:
                self._before, self._good_until = 0.0, now + _GOOD_FOR_SECONDS
                self._crowded_pause, self._useless_pause = _CROWDED_PAUSE, _USELESS_PAUSE

    def _rest(self, seconds: float) -> None:
        self._stop()
        self._resting_until = time.monotonic() + seconds

    def _is_crowded(self) -> bool:
        """Whether several of them wanted to run at this moment and at the one before."""
        some = [tid for tid in self._narrowed if tid in self._fresh][:_LOOKED_AT]
        self._crowded = self._crowded + 1 if sum(map(_is_runnable, some)) > 1 else 0
        return self._crowded >= _CROWDED_AT

    # --- how ----------------------------------------------------------------------

    def _narrow(self, tid: int) -> None:
        if self._asking or tid in self._refused:
            return
        try:
            mask = frozenset(os.sched_getaffinity(tid))
            if self._cpu not in mask or len(mask) == 1:
                self._refused.add(tid)
            elif self._table.put(tid, mask):
                self._narrowed[tid] = mask
                os.sched_setaffinity(tid, {self._cpu})
        except OSError:
            self.ended(tid)
            self._refused.add(tid)

    def _adopt(self, child: int, mask: Mask) -> None:
        if self._cpu < 0 or self._asking or not self._table.put(child, mask):
            os.sched_setaffinity(child, mask)
        else:
            self._narrowed[child] = mask
            self._fresh.add(child)

    def _restore(self, tids: List[int]) -> None:
        for tid in tids:
            mask = self._narrowed.pop(tid, None)
            if mask is not None:
                _widen(tid, mask, self._cpu)
                self._table.drop(tid)


def recover(table: Table, threads: Iterable[int]) -> None:
    """Give those back what was theirs that another process has left in a table; and, of the threads named, those that were
    born narrow."""
    cpu, left = table.left()
    for tid, mask in left.items():
        _widen(tid, mask, cpu)
    for tid in threads if left else ():
        inherited = _ancestor_s(tid, left)
        if inherited is not None and tid not in left:
            _widen(tid, inherited, cpu)
    table.clear()


def _widen(tid: int, mask: Mask, cpu: int) -> None:
    """Give a thread its own affinity, unless somebody else has changed it meanwhile."""
    try:
        if os.sched_getaffinity(tid) == {cpu}:
            os.sched_setaffinity(tid, mask)
    except OSError:
        pass  # it is gone


def _ancestor_s(tid: int, left: Dict[int, Mask]) -> Optional[Mask]:
    """The affinity of the nearest ancestor of a thread that is known, None where there is none."""
    try:
        for _ in range(_GENERATIONS):
            pid, parent = procfs.group_leader(tid)
            if pid in left:
                return left[pid]
            tid = parent
    except (OSError, KeyError, ValueError):
        pass  # gone, or the first of all
    return None


def _is_runnable(tid: int) -> bool:
    try:
        return procfs.stat(tid).state == "R"
    except (OSError, ValueError, IndexError):
        return False
