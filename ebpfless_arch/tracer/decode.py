"""A stopped call at its entry: the arguments that its row in syscalls.ROWS declares, read before they can change.

What becomes of it is in results.py.
"""

import os
import struct
import time
from typing import Any, Callable, Dict, Optional, Tuple

from ebpfless_arch.abi import Abi
from ebpfless_arch.kernel import elf, procfs
from ebpfless_arch.named import NamedTuple
from ebpfless_arch.tracer import mounts, paths, syscalls
from ebpfless_arch.tracer.readers import READERS
from ebpfless_arch.tracer.stops import Call, Stop
from ebpfless_arch.tracer.syscalls import Row

AT_SYMLINK_NOFOLLOW = 0x100
_AT_SYMLINK_FOLLOW = 0x400
_AT_EMPTY_PATH = 0x1000
_CREAT_FLAGS = os.O_CREAT | os.O_WRONLY | os.O_TRUNC
_MS_BIND, _MS_MOVE = 0x1000, 0x2000
_UMOUNT_NOFOLLOW = 8
# Names of links in /proc/PID/ns and CLONE_NEW... (namespaces(7))
_NAMESPACES = {b"mnt": 0x20000, b"cgroup": 0x2000000, b"uts": 0x4000000, b"ipc": 0x8000000, b"user": 0x10000000,
               b"pid": 0x20000000, b"net": 0x40000000, b"time": 0x80}
_PACKED_ARGUMENTS = 6
_NO_ID = 0xFFFFFFFF


class Pending(NamedTuple):
    """A call between its entry and its result; `values` by the names of syscalls' kinds."""

    row: Row
    call: Call
    values: Dict[str, Any]


def begin(stop: Stop, row: Row, call: Call) -> Optional[Pending]:
    """Read the arguments that may change before the result is there; None for a call that is of no interest."""
    unpacked = unpack(stop, row, call)
    if unpacked is None:
        return None
    call = unpacked
    values: Dict[str, Any] = {}
    for kind, argument in zip(row.kinds, call.arguments):
        read = READERS.get(kind)
        if read is not None:
            values[kind.partition(":")[0]] = read(stop, call, argument)
    if _has_short_ids(row, call):
        values.update((name, _lengthen(values[name])) for name in syscalls.IDS if name in values)
    pending = Pending(row, call, values)
    prepare = _AT_ENTRY.get(row.event)
    if prepare is not None and not row.remembered:
        prepare(stop, pending)
    return pending


def unpack(stop: Stop, row: Row, call: Call) -> Optional[Call]:
    """The call with the arguments that its row is about, which may lie in memory; None if it is of no interest."""
    if row.packed < 0:
        return call
    size = call.abi.pointer_size if call.abi else 8
    data = stop.read(call.arguments[row.packed], _PACKED_ARGUMENTS * size)
    data = data.ljust(_PACKED_ARGUMENTS * size, b"\0")
    arguments = struct.unpack("=%d%s" % (_PACKED_ARGUMENTS, "Q" if size == 8 else "I"), data)
    return call._replace(arguments=arguments) if all(condition.holds(arguments) for condition in row.also) else None


def _has_short_ids(row: Row, call: Call) -> bool:
    """Whether this is the old form of a call, with ids of 16 bits."""
    abi = call.abi
    return abi is not None and row.call + syscalls.WIDE in abi.syscalls and abi.syscalls[row.call] == call.number


def _lengthen(short: int) -> int:
    return _NO_ID if short & 0xFFFF == 0xFFFF else short & 0xFFFF


# --- what an event needs besides its arguments ------------------------------------

def _prepare_open(stop: Stop, pending: Pending) -> None:
    abi, values = pending.call.abi, pending.values
    if abi is not None and abi.open_flags:
        if syscalls.HOW in values:
            values[syscalls.HOW] = (common_flags(values[syscalls.HOW][0], abi),) + values[syscalls.HOW][1:]
        elif syscalls.FLAGS in values:
            values[syscalls.FLAGS] = common_flags(values[syscalls.FLAGS], abi)
    if pending.row.call in ("creat", "truncate", "truncate64"):
        pending.values[syscalls.FLAGS] = _CREAT_FLAGS


def common_flags(flags: int, abi: Abi) -> int:
    """Flags of open(2) as amd64 has them."""
    others = flags
    for native, _ in abi.open_flags:
        others &= ~native
    return others | sum(common for native, common in abi.open_flags if flags & native)


def _prepare_exec(stop: Stop, pending: Pending) -> None:
    """A directory of which only a descriptor is known may be closed by the exec."""
    if syscalls.DIRFD in pending.values:
        executed_file(stop, pending)


def executed_file(stop: Stop, pending: Pending) -> Tuple[bytes, str]:
    """The resolved path that an exec is about, and why there is none."""
    values = pending.values
    if syscalls.OTHER not in values:
        follow = not values.get(syscalls.EXEC_FLAGS, 0) & AT_SYMLINK_NOFOLLOW
        values[syscalls.OTHER] = paths.locate(stop.tid, values, follow)
    found: Tuple[bytes, str] = values[syscalls.OTHER]
    return found


def _prepare_file(stop: Stop, pending: Pending) -> None:
    """The file as it is before the call: afterwards its name, owner or mode is another."""
    pending.values["file"] = tuple(named_file(stop, pending))


def named_file(stop: Stop, pending: Pending) -> paths.Found:
    """The file that the first path of a call, or its descriptor, stands for now."""
    row, call, values = pending
    if syscalls.FD in values:
        return paths.descriptor(stop, values[syscalls.FD])
    directory, argument = values.get(syscalls.DIRFD, paths.AT_FDCWD), values[syscalls.PATH]
    flags = values.get(syscalls.FLAGS, 0)
    unnamed = flags & _AT_EMPTY_PATH and not argument or call.arguments[row.kinds.index(syscalls.PATH)] == 0
    if unnamed and directory != paths.AT_FDCWD:
        return paths.descriptor(stop, directory)
    follow = row.follow and not flags & AT_SYMLINK_NOFOLLOW or bool(flags & _AT_SYMLINK_FOLLOW)
    return paths.find(stop, directory, argument, follow)


def _prepare_link(stop: Stop, pending: Pending) -> None:
    if not pending.row.call.startswith("symlink"):
        _prepare_file(stop, pending)


def _prepare_mount(stop: Stop, pending: Pending) -> None:
    values = pending.values
    if pending.row.call != "mount":
        mounts.prepare(stop, values)
        return
    values["detached"] = False
    values["file"] = tuple(paths.find(stop, paths.AT_FDCWD, values[syscalls.PATH], True))
    source = values[syscalls.SOURCE] or b""
    # Only a bind or a move has a path here for sure; else it may be a device or any word.
    named = values[syscalls.FLAGS] & (_MS_BIND | _MS_MOVE) or source.startswith(b"/")
    values["source_path"] = paths.find(stop, paths.AT_FDCWD, source, True).path if source and named else source


def _prepare_protection(stop: Stop, pending: Pending) -> None:
    address = stop.machine.memory.untagged(pending.values[syscalls.ADDRESS])
    pending.values["present"] = procfs.protection_at(stop.tid, address)


def _prepare_module(stop: Stop, pending: Pending) -> None:
    values = pending.values
    descriptor = values.get(syscalls.FD)
    values["from_memory"] = descriptor is None
    if descriptor is None:
        values["file"] = tuple(paths.NOTHING)
        return
    values["file"] = tuple(paths.descriptor(stop, descriptor))
    values[syscalls.IMAGE] = _module_in_file(stop.tid, descriptor)


def _module_in_file(tid: int, descriptor: int) -> bytes:
    try:
        image = procfs.open_regular(tid, descriptor)
    except OSError:
        return b""
    try:
        return elf.module_name(lambda offset, size: os.pread(image, size, offset))
    except OSError:
        return b""
    finally:
        os.close(image)


def _prepare_splice(stop: Stop, pending: Pending) -> None:
    """The file is what is read from, or, where that is a pipe, what is written to."""
    values = pending.values
    found = paths.descriptor(stop, values[syscalls.FD])
    if found.path.startswith(b"pipe:"):
        found = paths.descriptor(stop, values[syscalls.OUTPUT])
    values["file"] = tuple(found)


def _prepare_umount(stop: Stop, pending: Pending) -> None:
    values = pending.values
    follow = not values.setdefault(syscalls.FLAGS, 0) & _UMOUNT_NOFOLLOW
    values["file"] = tuple(paths.find(stop, paths.AT_FDCWD, values[syscalls.PATH], follow))


def _prepare_pivot(stop: Stop, pending: Pending) -> None:
    values = pending.values
    values["file"] = tuple(paths.find(stop, paths.AT_FDCWD, values[syscalls.PATH], True))
    values["destination"] = tuple(paths.find(stop, paths.AT_FDCWD, values[syscalls.NEW_PATH], True))


def _prepare_namespace(stop: Stop, pending: Pending) -> None:
    """A descriptor of /proc/PID/ns tells its type; a pidfd, whose namespaces they are."""
    values = pending.values
    found = paths.descriptor(stop, values[syscalls.FD])
    values["file"] = tuple(found)
    values[syscalls.TYPE] = values[syscalls.TYPE] or _NAMESPACES.get(found.path.partition(b":")[0], 0)
    try:
        values[syscalls.PID] = procfs.pid_of_descriptor(stop.tid, values[syscalls.FD])
    except (OSError, ValueError):
        values[syscalls.PID] = 0


def _prepare_perf(stop: Stop, pending: Pending) -> None:
    """A process of 0 is the caller, -1 every one (perf_event_open(2))."""
    values = pending.values
    values[syscalls.TYPE], values["config"] = values.pop(syscalls.PERF)
    values[syscalls.PID] = values[syscalls.PID] or stop.pid


_AT_ENTRY: Dict[str, Callable[[Stop, Pending], None]] = {
    "open": _prepare_open, "exec": _prepare_exec, "link": _prepare_link, "mount": _prepare_mount,
    "mprotect": _prepare_protection, "load_module": _prepare_module, "splice": _prepare_splice,
    "umount": _prepare_umount, "pivot_root": _prepare_pivot, "setns": _prepare_namespace,
    "perf_event_open": _prepare_perf,
}
# The file of these is known at the entry, and is what the record will say.
FILE_EVENTS = frozenset(["unlink", "rmdir", "rename", "chmod", "chown", "utimes", "setxattr", "removexattr",
                         "name_to_handle_at", "chroot", "mount_setattr", "fspick"])
for _event in FILE_EVENTS:
    _AT_ENTRY[_event] = _prepare_file
