"""Children that were to have no tracer (CLONE_UNTRACED): the flag is taken away before a clone3, and who got it all the same
is found afterwards.

A thread may change the flags between our look and the kernel's, so what is seen before the call proves nothing.
"""

from typing import Dict, List, Sequence, Tuple

from ebpfless_arch.kernel import procfs
from ebpfless_arch.tracer import syscalls
from ebpfless_arch.tracer.decode import Pending
from ebpfless_arch.tracer.stops import Call, Stop
from ebpfless_arch.tracer.syscalls import Row

BORN = "born"
"""Under this name a call's values hold the child that an event has told of."""

_FLAGS_BYTES = 8
_ACCESSIBLE = 7


class Hidden(Exception):
    """The kernel may be able to read the flags, but we are not."""


def begin_clone(stop: Stop, row: Row, call: Call) -> Pending:
    """Clear CLONE_UNTRACED in a clone3's struct clone_args (its first 64 bits are the flags). Raises Hidden, and OSError where
    it cannot be written."""
    address = call.arguments[0]
    old = stop.read(address, _FLAGS_BYTES)
    if len(old) < _FLAGS_BYTES and _may_be_readable(stop, address):
        raise Hidden
    flags = int.from_bytes(old, "little")
    if len(old) < _FLAGS_BYTES or not flags & syscalls.CLONE_UNTRACED:
        return Pending(row, call, {syscalls.FLAGS: flags})
    stop.write(address, (flags & ~syscalls.CLONE_UNTRACED).to_bytes(_FLAGS_BYTES, "little"))
    return Pending(row, call, {syscalls.FLAGS: flags, syscalls.CLONE_STRUCT: old})


def _may_be_readable(stop: Stop, address: int) -> bool:
    """Whether the kernel may find there what we do not, as in memory of memfd_secret(2); of other memory it says EFAULT."""
    first = stop.machine.memory.untagged(address)
    try:
        return all(procfs.protection_at(stop.tid, place) & _ACCESSIBLE for place in (first, first + _FLAGS_BYTES - 1))
    except ProcessLookupError:
        raise
    except OSError:
        return True


def restore_clone(stop: Stop, pending: Pending) -> None:
    """Give a program its struct clone_args back as it was."""
    if syscalls.CLONE_STRUCT in pending.values:
        stop.write(pending.call.arguments[0], pending.values[syscalls.CLONE_STRUCT])


def find_child(stop: Stop, number: int) -> Tuple[int, int]:
    """Thread and process id of the child that a thread has just made and calls `number`; (0, 0) where it is gone.

    It may live in a pid namespace below the caller's, where it has yet another number.
    """
    tables = {tid: _status(tid) for tid in [stop.tid, number] + procfs.threads(stop.pid) + procfs.processes()}
    level = len(tables[stop.tid].get(b"NSpid", b"").split()) - 1
    parents = stop.pid, int(tables[stop.tid].get(b"PPid", b"0"))
    for tid, table in tables.items():
        if _is_called(table, level, number) and (int(table[b"Tgid"]) == stop.pid or int(table[b"PPid"]) in parents):
            return tid, int(table[b"Tgid"])
    return 0, 0


def _status(tid: int) -> Dict[bytes, bytes]:
    try:
        return procfs.status(tid)
    except OSError:
        return {}


def _is_called(table: Dict[bytes, bytes], level: int, number: int) -> bool:
    numbers: List[bytes] = table.get(b"NSpid", b"").split()
    return 0 <= level < len(numbers) and int(numbers[level]) == number


def is_below(pid: int, family: Sequence[int]) -> bool:
    """Whether a process has one of a family among its ancestors."""
    while pid > 1:
        try:
            pid = procfs.stat(pid).ppid
        except OSError:
            return False
        if pid in family:
            return True
    return False
