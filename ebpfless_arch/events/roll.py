"""Who runs, and how they came to be: the records that bring another model of processes to where this one is."""

from typing import Any, Dict, Iterator, List, Optional, Tuple

from ebpfless_arch.events import records
from ebpfless_arch.events.records import Record
from ebpfless_arch.kernel import procfs

_LINEAGE_AT_MOST = 128
_PR_SET_NAME = 15
_IDENTITY, _NAME = "process_identity", "name"


class _Step:
    """One step of a lineage, a fork or an exec, and what has changed since: the newest of each kind of change, with its
    place in the order of all that happened."""

    __slots__ = ("number", "record", "former", "depth", "changes")

    def __init__(self, number: int, record: Record, former: "Optional[_Step]") -> None:
        self.number = number
        self.record = record
        self.former = former
        self.depth: int = former.depth + 1 if former is not None else 1
        self.changes: Dict[str, Tuple[int, Record]] = {}

    def told(self) -> List[Tuple[int, Record]]:
        """Its records with their places in the order."""
        return [(self.number, self.record)] + list(self.changes.values())


class Roll:
    """Keeps, for every live process, the records of its lineage: told again in their order, they make the same model
    (events/processes.py), ancestors included.

    `outer` are records of whoever started the command (see outer_records).
    """

    def __init__(self, outer: Tuple[Record, ...] = ()) -> None:
        self._live: Dict[int, _Step] = {}
        self._number = 0
        self._outer: Optional[_Step] = None
        for record in outer:
            self.apply(record)
            self._outer = self._live[record[2]]

    def apply(self, record: Record) -> None:
        """Note what a record changes; most change nothing."""
        kind, pid = record[0], record[2]
        if kind == records.FORK:
            self._fork(record)
        elif kind == records.EXEC and record[4] >= 0:
            self._live[pid] = self._step(record, self._live.get(pid, self._outer))
        elif kind == records.SNAPSHOT:
            self._live[pid] = self._step(record, self._live.get(record[4]))
        elif kind == records.EXIT:
            self._live.pop(pid, None)
        elif kind == records.CALL and pid in self._live:
            for change in _changes(record):
                self._live[pid].changes[change[5]] = self._next(), change

    def _fork(self, record: Record) -> None:
        """A child takes over what has changed so far; what changes in its parent from now on is not its own."""
        parent = self._live.get(record[4])
        child = self._live[record[2]] = self._step(record, parent)
        for kind, (_, change) in parent.changes.items() if parent is not None else ():
            child.changes[kind] = self._next(), change[:2] + (record[2], record[2]) + change[4:]

    def _step(self, record: Record, former: Optional[_Step]) -> _Step:
        if former is not None and former.depth >= 2 * _LINEAGE_AT_MOST:
            former = _shortened(former)
        return _Step(self._next(), record, former)

    def _next(self) -> int:
        self._number += 1
        return self._number

    def records(self) -> Iterator[Record]:
        """The records that tell of all this, in their order; processes of which only descendants live end last."""
        steps: Dict[int, _Step] = {}
        for last in self._live.values():
            step: Optional[_Step] = last
            while step is not None and step.number not in steps:
                steps[step.number] = step
                step = step.former
        seen: Dict[int, Record] = {}
        told = [each for step in steps.values() for each in step.told()]
        for _, record in sorted(told, key=lambda each: each[0]):
            seen[record[2]] = record
            yield record
        for pid, record in seen.items():
            if pid not in self._live:
                yield records.EXIT, record[1], pid, pid, 0, 0


def _shortened(step: _Step) -> _Step:
    """The younger half of a lineage."""
    chain: List[_Step] = []
    walk: Optional[_Step] = step
    while walk is not None and len(chain) < _LINEAGE_AT_MOST:
        chain.append(walk)
        walk = walk.former
    made: Optional[_Step] = None
    for old in reversed(chain):
        made = _Step(old.number, old.record, made)
        made.changes = old.changes
    assert made is not None
    return made


def concerns_model(record: Record) -> bool:
    """Whether a record changes what is known of a process."""
    kind = record[0]
    if kind == records.CALL:
        values = record[6]
        return values.get(_IDENTITY) is not None or _renames(record)
    return kind in (records.FORK, records.EXEC, records.EXIT, records.SNAPSHOT)


def _renames(record: Record) -> bool:
    values = record[6]
    return (record[5] == "prctl" and record[4] >= 0 and record[2] == record[3]
            and values.get("option") == _PR_SET_NAME and values.get(_NAME) is not None)


def _changes(record: Record) -> Iterator[Record]:
    """The same change, of the process and without the rest of the call."""
    head, values = (records.CALL, record[1], record[2], record[2], 0), record[6]
    identity = values.get(_IDENTITY)
    if identity is not None:
        yield head + ("setuid", {"identity": identity, _IDENTITY: identity})
    if _renames(record):
        yield head + ("prctl", {"option": _PR_SET_NAME, _NAME: values[_NAME]})


# --- those above ----------------------------------------------------------------------

def outer_records(*pids: int) -> Tuple[Record, ...]:
    """The processes `pids` and their ancestors as /proc shows them (SNAPSHOT), parents before children."""
    found: Dict[int, Record] = {}
    for pid in pids:
        chain: List[Record] = []
        while pid > 0 and pid not in found and len(chain) < _LINEAGE_AT_MOST:
            try:
                chain.append(_snapshot(pid))
            except (OSError, KeyError, ValueError, IndexError):
                break  # a vanished or foreign process: what is above it remains unknown
            pid = chain[-1][4]
        found.update((record[2], record) for record in reversed(chain))
    return tuple(found.values())


def _snapshot(pid: int) -> Record:
    """A process that runs, without what only its children could inherit."""
    told = procfs.stat(pid)
    words = procfs.read(pid, "cmdline").split(b"\0")[:-1]
    argv, cut = records.shorten(words, False)
    try:
        path, file = procfs.link(pid, "exe"), tuple(procfs.status_of(pid, "exe"))
    except OSError:
        path, file = b"", None  # a kernel thread, or somebody else's process
    return (records.SNAPSHOT, 0, pid, pid, told.ppid, 0, path, path, argv, cut, (), False, file, b"", None,
            tuple(procfs.identity(pid)), told.comm, told.tty, told.start, procfs.read(pid, "cgroup", 8192), b"", ())
