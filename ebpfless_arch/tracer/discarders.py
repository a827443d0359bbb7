"""What no rule can match goes no further: no arguments are read for it, no record is made of it, nobody is told.

Decided is by the path that the record would have, as the kernel tells it when the call is over, and never by the path
that the program wrote: that may be a symlink, lie below another root, or be changed by another thread until the kernel
reads it. So an open keeps its second stop, which costs little more than asking where its path leads would, and no trick
with links, mounts, renames or memory hides a file. Calls that rename or remove a file have lost its path by then; what
their record will say is known at the entry, and decides there.
"""

from typing import Dict, List, Optional, Sequence, Tuple

from ebpfless_arch.abi import Abi
from ebpfless_arch.events.interest import Interest, counts
from ebpfless_arch.events.records import CALL, OPEN, Record, path_of
from ebpfless_arch.kernel import procfs
from ebpfless_arch.named import NamedTuple
from ebpfless_arch.tracer import decode, syscalls
from ebpfless_arch.tracer.decode import Pending
from ebpfless_arch.tracer.stops import Call, Stop
from ebpfless_arch.tracer.syscalls import Row

_OPEN = "open"
_REMEMBERED_AT_MOST = 1024
_UNKNOWN = -1
_NAME = "name only"


class Late(NamedTuple):
    """An open whose arguments are read when it is over; which of them are its name and its flags (-1: none is)."""

    row: Row
    path: int
    flags: int

    def flags_of(self, call: Call) -> int:
        """The flags of a call of its, -1 where the registers do not tell."""
        return call.arguments[self.flags] if self.flags >= 0 else _UNKNOWN


class Discarders:
    """By the cases in which rules may match."""

    def __init__(self, wanted: Interest, tables: Dict[str, Dict[int, List[Row]]]) -> None:
        self._wanted = wanted
        self._answers: Dict[Tuple[int, bytes], bool] = {}
        late = wanted.decides_late()
        self._late = {name: {number: _late(rows[0]) for number, rows in table.items() if late and _opens(rows)}
                      for name, table in tables.items()}

    def late(self, abi: Abi, number: int) -> Optional[Late]:
        """An open of which only the name is read before its result is there; None for all else."""
        return self._late[abi.name].get(number)

    @staticmethod
    def put_off(late: Late, call: Call, name: Optional[bytes]) -> Pending:
        """Such an open, to be read when it is over."""
        return Pending(late.row, call, {_NAME: name, syscalls.FLAGS: late.flags_of(call)})

    def read_late(self, stop: Stop, pending: Pending, result: int) -> Optional[Pending]:
        """What `late` put off, if it did, now that the call has its result; None where no rule can match."""
        if _NAME not in pending.values:
            return pending
        if result < 0:
            if not counts(_OPEN, result):
                return None
        elif not self._may_match(stop.tid, result, pending.values[syscalls.FLAGS]):
            return None
        whole = decode.begin(stop, pending.row, pending.call)
        if whole is not None:
            whole.values[syscalls.PATH] = pending.values[_NAME]
        return whole

    def begin(self, stop: Stop, row: Row, call: Call) -> Optional[Pending]:
        """Read the arguments of a call at its entry; None where no rule can match."""
        pending = decode.begin(stop, row, call)
        if pending is None or row.remembered or row.always:
            return pending
        path = pending.values["file"][0] if row.event in decode.FILE_EVENTS else None
        return pending if self._wanted.needs(row.event, path, pending.values) else None

    def keeps(self, event: str, record: Record) -> bool:
        """Whether some rule may match a finished record."""
        values = {syscalls.FLAGS: record[7]} if record[0] == OPEN else record[6] if record[0] == CALL else {}
        return event not in self._wanted.cases or self._wanted.needs(event, path_of(record), values)

    def _may_match(self, tid: int, descriptor: int, flags: int) -> bool:
        try:
            path = procfs.link(tid, "fd/%d" % descriptor)
        except OSError:
            return True  # whoever reads it all finds out why
        if not path.startswith(b"/"):
            return True  # has no path of its own: the record will say what its program wrote
        answer = self._answers.get((flags, path))
        if answer is None:
            if len(self._answers) >= _REMEMBERED_AT_MOST:
                self._answers.clear()
            known = {} if flags == _UNKNOWN else {syscalls.FLAGS: flags}
            answer = self._answers[(flags, path)] = self._wanted.needs(_OPEN, path, known)
        return answer


def _late(row: Row) -> Late:
    return Late(row, row.kinds.index(syscalls.PATH), row.kinds.index(syscalls.FLAGS) if syscalls.FLAGS in row.kinds else -1)


def _opens(rows: Sequence[Row]) -> bool:
    """Whether a call makes an open event and nothing else, has all but the name in registers and returns a descriptor."""
    return len(rows) == 1 and rows[0].event == _OPEN and rows[0].call in ("open", "openat", "creat")
