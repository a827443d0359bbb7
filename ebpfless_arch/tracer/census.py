"""The census: every process of the host that nobody traces for us, from what the kernel tells or from looks at /proc.

Both ways end in the same few facts (somebody was forked, has executed a program, has another identity, has ended), of
which records are made as a tracer makes them. Who is traced by an ebpfless is left out: its tracer tells more.
"""

import os
from typing import Callable, Dict, Optional, Set, Tuple

from ebpfless_arch.events import records
from ebpfless_arch.events.records import Record, now
from ebpfless_arch.kernel import procfs
from ebpfless_arch.kernel.memory import Memory
from ebpfless_arch.named import NamedTuple
from ebpfless_arch.tracer import programs
from ebpfless_arch.tracer.programs import Program

_KERNEL_THREAD = 0x00200000  # PF_KTHREAD (include/linux/sched.h)

Recall = Callable[[int, bool], Tuple[bool, Optional[Program]]]
"""Asked after each look at a program that a process has executed, with whether its name was seen: whether that look was too
late and saw the next program of the process, and what the program was if that is known otherwise."""

Mark = Tuple[bytes, int, int]
"""What an exec changes of /proc/PID/stat: where the code and the stack lie; the name, which a process can change as well,
where we may not know these."""


class Known:
    """What is remembered of a process. `hidden`: it is traced, or one of ours; nothing is told of it. `doubtful`: or may
    be, as its parent (of that number) was gone before we could look. `looked`: when a look at /proc has told of it (ns
    since the epoch, 0: never)."""

    __slots__ = ("start", "mark", "identity", "hidden", "doubtful", "looked")

    def __init__(self, start: int, mark: Mark, identity: Tuple[int, ...], hidden: bool, doubtful: int = 0) -> None:
        self.start = start
        self.mark = mark
        self.identity = identity
        self.hidden = hidden
        self.doubtful = doubtful
        self.looked = 0


class Look(NamedTuple):
    """A process in a look at /proc."""

    start: int
    ppid: int
    mark: Mark
    owner: int
    is_kernel: bool
    threads: int

    @property
    def is_settled(self) -> bool:
        """Whether it has a program. In an exec, and at its end, a process has none for a moment: the next look tells."""
        return self.is_kernel or self.mark[1] != 0


_NO_MARK: Mark = (b"", 0, 0)


class Census:
    """`put` takes the records; `keeper` is our own agent, of which neither it nor what it starts is told. `doubts`: tell of tracers
    that are none of its."""

    def __init__(self, put: Callable[[Record], None], keeper: int, attributes: bool, doubts: bool = False) -> None:
        self._put = put
        self._ours = {keeper, os.getpid()}
        self._keeper = keeper
        self._attributes = attributes
        self._memory = Memory(["process_vm_readv", "mem"])
        self._known: Dict[int, Known] = {}
        self._doubts = doubts
        self._left: Set[int] = set()

    def begin(self) -> None:
        """Tell who runs already."""
        for pid, seen in sorted(_look_at_all().items()):
            if seen.is_kernel or not self._enter(pid, seen) or self._known[pid].hidden:
                continue
            try:
                self._put(programs.snapshot(pid, self._memory, self._attributes))
            except OSError:
                continue  # it is gone
        self._have_looked()

    def _have_looked(self) -> None:
        """What the kernel tells later of what had happened by now is no news."""
        moment = now()
        for known in self._known.values():
            known.looked = moment

    def _enter(self, pid: int, seen: Look) -> bool:
        """Note a process that is new to us, whatever it has done before; False where it is gone."""
        try:
            tracer = int(procfs.status(pid)[b"TracerPid"])
        except (OSError, KeyError, ValueError):
            return False
        hidden = pid in self._ours or seen.ppid == self._keeper or self._hides(seen.ppid) or self._leaves(pid, tracer)
        self._known[pid] = Known(seen.start, seen.mark, programs.identity(pid), hidden)
        return True

    def _leaves(self, pid: int, tracer: int) -> bool:
        """Whether a process is told of by an ebpfless that traces it. Of one that is none of ours we have its name and user
        only, which anybody of that user can have: that something is left to it is told, once."""
        if not reports_itself(tracer):
            return False
        if tracer not in self._left:
            self._left.add(tracer)
            text = left_to(tracer, self._keeper) if self._doubts else ""
            if text:
                self._put(records.blind(now(), pid, pid, text, "debugger"))
        return True

    def _hides(self, pid: int) -> bool:
        known = self._known.get(pid)
        return known is not None and known.hidden

    def is_hidden(self, pid: int) -> bool:
        """Whether nothing is to be told of a process; one that we do not know is looked at."""
        known = self._known.get(pid) or self._introduce(pid)
        return known is None or known.hidden

    # --- what has happened ----------------------------------------------------------

    def forked(self, pid: int, parent: int, time: int) -> None:
        """A process has a child."""
        if pid in self._known and time <= self._known[pid].looked:
            return
        mother = self._known.get(parent) or self._introduce(parent)
        if mother is None:
            # Between our first look and the first news somebody came and went: a child of whom we know nothing yet.
            self._known[pid] = Known(0, _NO_MARK, programs.NO_IDENTITY, True, parent)
            return
        hidden = parent in self._ours or mother.hidden
        self._known[pid] = Known(0, mother.mark, mother.identity, hidden, mother.doubtful)
        if not hidden:
            self._put((records.FORK, time, pid, pid, parent))

    def _introduce(self, pid: int) -> Optional[Known]:
        seen = _look_at(pid)
        return self._known[pid] if seen is not None and self._enter(pid, seen) else None

    def execed(self, pid: int, time: int, recall: Recall = lambda pid, seen: (False, None)) -> bytes:
        """A process has executed a program: look at once, for it may end as fast. Returns the executable, b"" where that
        was not seen."""
        known = self._known.get(pid)
        if known is not None and known.hidden and not known.doubtful:
            return b""
        seen = programs.glimpse(pid, self._memory)
        if known is not None and time <= known.looked and known.mark == _mark_of(seen):
            return b""
        if known is None or known.doubtful:
            known = self._resolve(pid, seen, time)
        if known is None or known.hidden:
            return seen.executable
        if self._leaves(pid, seen.tracer):
            known.hidden = True
            return seen.executable
        overtaken, recalled = recall(pid, bool(seen.name))
        if overtaken:
            seen = seen._replace(executable=b"", argv=((), True), name=b"", told=None)
        record = programs.seen_exec(pid, time, seen, known.identity, self._attributes, recalled)
        known.identity = record[14]
        if seen.told is not None:
            known.start, known.mark = seen.told.start, _mark_of(seen)
        self._put(record)
        return seen.executable

    def _resolve(self, pid: int, seen: programs.Glimpse, time: int) -> Optional[Known]:
        """Somebody of whom we know nothing certain has executed a program; None where that is over already: it may have
        been traced, and then is told by its tracer."""
        if seen.told is None:
            return None
        hidden = self._leaves(pid, seen.tracer)
        known = self._known[pid] = Known(seen.told.start, _NO_MARK, programs.identity(pid), hidden)
        if not hidden:
            self._put((records.FORK, time, pid, pid, seen.told.ppid))
        return known

    def changed(self, pid: int) -> None:
        """A process has, or may have, another identity."""
        known = self._known.get(pid)
        if known is None or known.hidden:
            return
        after = programs.identity(pid)
        if after != programs.NO_IDENTITY and after != known.identity:
            changes = programs.identity_changes(pid, known.identity, after)
            known.identity = after
            for record in changes:
                self._put(record)

    def ended(self, pid: int, time: int, cause: int, code: int) -> None:
        """A process is no more."""
        known = self._known.pop(pid, None)
        if known is not None and not known.hidden:
            self._put((records.EXIT, time, pid, pid, cause, code))

    # --- by looking -------------------------------------------------------------------

    def look(self) -> Tuple[int, int]:
        """Compare /proc with what is known, and tell what must have happened; returns how many processes are new and how
        many threads there are besides the first ones."""
        time = now()
        found = _look_at_all()
        for pid in [pid for pid, known in self._known.items()
                    if pid not in found or known.start and known.start != found[pid].start]:
            self.ended(pid, time, 0, 0)
        fresh = [pid for pid in found if pid not in self._known and not found[pid].is_kernel and found[pid].is_settled]
        for pid in sorted(fresh, key=lambda pid: found[pid].start):
            self._meet(pid, found[pid], time)
        for pid, seen in found.items():
            known = self._known.get(pid)
            if known is not None and not known.hidden and seen.is_settled:
                self._compare(pid, known, seen, time)
        self._have_looked()
        return len(fresh), sum(seen.threads - 1 for seen in found.values())

    def _meet(self, pid: int, seen: Look, time: int) -> None:
        mother = self._known.get(seen.ppid)
        if not self._enter(pid, seen):
            return
        known = self._known[pid]
        if known.hidden:
            return
        identity, known.identity = known.identity, mother.identity if mother is not None else known.identity
        self._put((records.FORK, time, pid, pid, seen.ppid))
        if mother is None or mother.mark != seen.mark:
            known.identity = identity
            self.execed(pid, time)

    def _compare(self, pid: int, known: Known, seen: Look, time: int) -> None:
        known.start = seen.start
        if known.mark != seen.mark:
            was_known, known.mark = known.mark != _NO_MARK, seen.mark
            if was_known:
                self.execed(pid, time)
        elif known.identity[2] != seen.owner:
            self.changed(pid)


def _mark_of(seen: programs.Glimpse) -> Mark:
    return _mark(seen.told.comm, seen.told.code, seen.told.stack) if seen.told is not None else _NO_MARK


def _mark(comm: bytes, code: int, stack: int) -> Mark:
    # Whoever may not know where the code lies reads 1 (fs/proc/array.c, do_task_stat).
    return (b"" if code > 1 else comm, code, stack)


def reports_itself(tracer: int) -> bool:
    """Whether a tracer is an ebpfless, of root or of our own user: what it traces is told by itself."""
    if tracer <= 0:
        return False
    try:
        return procfs.bears_our_name(tracer) and os.stat("/proc/%d" % tracer).st_uid in (0, os.getuid())
    except OSError:
        return False


def left_to(tracer: int, keeper: int) -> str:
    """What is to be told of a process that another ebpfless than the keeper's traces, "" if it is the keeper's."""
    try:
        told = procfs.stat(tracer)
    except OSError:
        return ""
    if told.ppid == keeper:
        return ""
    return ("is traced by %s[%d], which is no tracer of ours: it and all that it traces are left to that one"
            % (records.decoded(told.comm), tracer))


def _look_at_all() -> Dict[int, Look]:
    found: Dict[int, Look] = {}
    for pid in procfs.processes():
        seen = _look_at(pid)
        if seen is not None:
            found[pid] = seen
    return found


def _look_at(pid: int) -> Optional[Look]:
    """A process that has not ended, by one read (proc(5), /proc/PID/stat)."""
    try:
        text = procfs.read(pid, "stat", 4096)
        owner = os.stat("/proc/%d" % pid).st_uid
    except OSError:
        return None
    opened, closed = text.find(b"("), text.rfind(b")")
    words = text[closed + 2:].split()
    if words[0] in (b"Z", b"X"):
        return None
    mark = _mark(text[opened + 1:closed], int(words[23]), int(words[25]))
    return Look(int(words[19]), int(words[1]), mark, owner, bool(int(words[6]) & _KERNEL_THREAD), int(words[17]))


def forks_so_far() -> int:
    """Processes and threads that have begun since boot (proc(5), /proc/stat)."""
    with open("/proc/stat", "rb") as file:
        for line in file:
            if line.startswith(b"processes "):
                return int(line.split()[1])
    return 0
