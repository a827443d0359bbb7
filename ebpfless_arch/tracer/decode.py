"""A stopped call -> a record: arguments at the entry, what became of it at the result. Driven by syscalls.ROWS."""

import errno
import os
import time
from typing import Any, Dict, List, NamedTuple, Optional, Tuple

from ebpfless_arch.events import records
from ebpfless_arch.events.records import ARGUMENT_BYTES_AT_MOST, ARGUMENTS_AT_MOST, Record
from ebpfless_arch.kernel import procfs
from ebpfless_arch.tracer import syscalls
from ebpfless_arch.tracer.stops import Call, Stop
from ebpfless_arch.tracer.syscalls import Row

PATH_AT_MOST = 4096
AT_FDCWD = -100
_AT_SYMLINK_NOFOLLOW = 0x100
_CREAT_FLAGS = os.O_CREAT | os.O_WRONLY | os.O_TRUNC
_DELETED = b" (deleted)"
_MEMFD = b"/memfd:"
# Kept first when an environment is too long.
_NOTED_VARIABLES = (b"LD_PRELOAD", b"LD_LIBRARY_PATH", b"PATH", b"HISTSIZE", b"HISTFILESIZE", b"GLIBC_TUNABLES")
_NO_IDENTITY = (0, 0, 0, 0, 0, 0, 0xFFFFFFFF, 0, 0)

FileStatus = Optional[procfs.FileStatus]


class Pending(NamedTuple):
    """A call between its entry and its result."""

    row: Row
    call: Call
    values: Dict[int, Any]


def now() -> int:
    """Nanoseconds since the epoch (to about 200 ns: Python 3.6 has no time_ns)."""
    return int(time.time() * 1e9)


# --- at the entry -----------------------------------------------------------

def begin(stop: Stop, row: Row, call: Call) -> Pending:
    """Read the arguments that may change before the result is there."""
    values: Dict[int, Any] = {}
    for kind, argument in zip(row.kinds, call.arguments):
        read = _READERS.get(kind)
        if read is not None:
            values[kind] = read(stop, call, argument)
    if row.call == "creat":
        values[syscalls.FLAGS] = _CREAT_FLAGS
    if row.event == "exec":
        path, error = _locate(stop.tid, values)
        values[syscalls.OTHER] = (path, error)
    return Pending(row, call, values)


def begin_clone(stop: Stop, row: Row, call: Call) -> Optional[Pending]:
    """Clear CLONE_UNTRACED in a clone3's struct clone_args (its first 64 bits are the flags); None if it is not set."""
    address = call.arguments[0]
    old = stop.read(address, 8)
    flags = int.from_bytes(old, "little")
    if not flags & syscalls.CLONE_UNTRACED:
        return None
    stop.write(address, (flags & ~syscalls.CLONE_UNTRACED).to_bytes(8, "little"))
    return Pending(row, call, {syscalls.CLONE_STRUCT: old})


def restore_clone(stop: Stop, pending: Pending) -> None:
    """Give a program its struct clone_args back as it was."""
    stop.write(pending.call.arguments[0], pending.values[syscalls.CLONE_STRUCT])


def _read_path(stop: Stop, call: Call, argument: int) -> Optional[bytes]:
    return stop.string(argument, PATH_AT_MOST)


def _read_int(stop: Stop, call: Call, argument: int) -> int:
    """An int argument: the kernel looks at the low 32 bits only."""
    low = argument & 0xFFFFFFFF
    return low - (1 << 32) if low & 0x80000000 else low


def _read_how(stop: Stop, call: Call, argument: int) -> Tuple[int, int]:
    """struct open_how: flags and mode, each 64 bits."""
    data = stop.read(argument, 16)
    return int.from_bytes(data[:8], "little"), int.from_bytes(data[8:16], "little")


def _read_argv(stop: Stop, call: Call, argument: int) -> Tuple[Tuple[bytes, ...], bool]:
    pointer_size = call.abi.pointer_size if call.abi else 8
    addresses = stop.pointers(argument, ARGUMENTS_AT_MOST + 1, pointer_size)
    found = [stop.string(address, ARGUMENT_BYTES_AT_MOST + 1) or b"" for address in addresses[:ARGUMENTS_AT_MOST]]
    return _shorten(found, len(addresses) > ARGUMENTS_AT_MOST)


def _shorten(words: List[bytes], cut: bool) -> Tuple[Tuple[bytes, ...], bool]:
    """At most 256 words of 256 bytes; a longer one becomes its first 252 bytes and "...\""""
    short = [word if len(word) <= ARGUMENT_BYTES_AT_MOST else word[:252] + b"..." for word in words[:ARGUMENTS_AT_MOST]]
    return tuple(short), cut or short != words


def _read_address(stop: Stop, call: Call, argument: int) -> int:
    return argument


_READERS = {
    syscalls.DIRFD: _read_int,
    syscalls.PATH: _read_path,
    syscalls.FLAGS: _read_int,
    syscalls.MODE: _read_int,
    syscalls.HOW: _read_how,
    syscalls.ARGV: _read_argv,
    syscalls.ENVP: _read_address,
    syscalls.EXEC_FLAGS: _read_int,
}


# --- at the result ----------------------------------------------------------

def finish_open(stop: Stop, pending: Pending, retval: int) -> Record:
    """The record of an open: where it succeeded, the file is what the new descriptor stands for."""
    values = pending.values
    how = values.get(syscalls.HOW)
    flags, mode = how if how is not None else (values[syscalls.FLAGS], values.get(syscalls.MODE, 0))
    if not flags & (os.O_CREAT | os.O_TMPFILE & ~os.O_DIRECTORY):
        mode = 0
    status: FileStatus = None
    if retval >= 0:
        path, status, error = _descriptor(stop, retval)
        if not path.startswith(b"/"):
            path, error = _locate(stop.tid, values)
    else:
        path, error = _locate(stop.tid, values)
    return (records.OPEN, now(), stop.pid, stop.tid, retval, path, values[syscalls.PATH] or b"",
            flags, mode, status, error)


def _descriptor(stop: Stop, number: int) -> Tuple[bytes, FileStatus, str]:
    """Path and attributes behind a descriptor of the tracee."""
    name = "fd/%d" % number
    try:
        return procfs.link(stop.tid, name), procfs.status_of(stop.tid, name) if stop.machine.attributes else None, ""
    except ProcessLookupError:
        # Another thread may have closed it again; the process lives, its stop says so.
        return b"", None, errno.errorcode[errno.EBADF]
    except OSError as error:
        return b"", None, errno.errorcode.get(error.errno or 0, "")


def _locate(tid: int, values: Dict[int, Any]) -> Tuple[bytes, str]:
    """Absolute, resolved path that a call's arguments mean to the tracee, and why there is none."""
    argument: Optional[bytes] = values[syscalls.PATH]
    if argument is None:
        return b"", errno.errorcode[errno.EFAULT]
    try:
        view = procfs.View(tid)
    except OSError as error:
        return argument, errno.errorcode.get(error.errno or 0, "")
    try:
        return _resolve(view, tid, values.get(syscalls.DIRFD, AT_FDCWD), argument, _follows(values)), ""
    except OSError as error:
        return argument, errno.errorcode.get(error.errno or 0, "")
    finally:
        view.close()


def _follows(values: Dict[int, Any]) -> bool:
    flags = values.get(syscalls.FLAGS, 0)
    if flags & os.O_NOFOLLOW or flags & os.O_CREAT and flags & os.O_EXCL:
        return False
    return not values.get(syscalls.EXEC_FLAGS, 0) & _AT_SYMLINK_NOFOLLOW


def _resolve(view: procfs.View, tid: int, directory: int, argument: bytes, follow: bool) -> bytes:
    root = procfs.link(tid, "root").rstrip(b"/")
    if not argument.startswith(b"/"):
        base = procfs.link(tid, "cwd" if directory == AT_FDCWD else "fd/%d" % directory)
        if not argument:
            return base
        if root and (base == root or base.startswith(root + b"/")):
            base = base[len(root):]
        argument = base + b"/" + argument
    return root + view.resolve(argument, follow)


def finish_exec(stop: Stop, pending: Pending) -> Record:
    """The record of a new program, at its EXEC stop: the kernel's own view of it."""
    values = pending.values
    wanted, error = values[syscalls.OTHER]
    tid = stop.tid
    executable, status, _ = _executable(tid)
    path, file, interpreter_path, interpreter = executable or wanted, status, b"", None
    if executable and wanted and executable != wanted:
        named = _status_in_view(tid, wanted)
        if named is not None and status is not None and named[1:3] != status[1:3]:
            path, file, interpreter_path, interpreter = wanted, named, executable, status
    if not stop.machine.attributes:
        file = interpreter = None
    argv, argv_cut = values[syscalls.ARGV]
    envp, envp_cut = _environment(tid)
    told = procfs.stat(tid)
    return (records.EXEC, now(), stop.pid, tid, 0, path, values[syscalls.PATH] or b"", argv, argv_cut, envp, envp_cut,
            file, interpreter_path, interpreter, _identity(tid), told.comm, told.tty, _cgroup(tid))


def fail_exec(stop: Stop, pending: Pending, retval: int) -> Record:
    """The record of an exec that did not happen."""
    values = pending.values
    path, error = values[syscalls.OTHER]
    argv, argv_cut = values[syscalls.ARGV]
    envp, envp_cut = _read_argv(stop, pending.call, values[syscalls.ENVP])
    return (records.EXEC, now(), stop.pid, stop.tid, retval, path, values[syscalls.PATH] or b"", argv, argv_cut,
            envp, envp_cut, _status_in_view(stop.tid, path) if path else None, b"", None, _NO_IDENTITY, b"", 0, b"")


def plain_exec(stop: Stop) -> Record:
    """The record of an exec whose entry we did not see: all from /proc."""
    executable, status, _ = _executable(stop.tid)
    argv, argv_cut = _shorten(_split(procfs.read(stop.tid, "cmdline")), False)
    envp, envp_cut = _environment(stop.tid)
    told = procfs.stat(stop.tid)
    return (records.EXEC, now(), stop.pid, stop.tid, 0, executable, executable, argv, argv_cut, envp, envp_cut,
            status, b"", None, _identity(stop.tid), told.comm, told.tty, _cgroup(stop.tid))


def _executable(tid: int) -> Tuple[bytes, FileStatus, str]:
    try:
        return procfs.link(tid, "exe"), procfs.status_of(tid, "exe"), ""
    except OSError as error:
        # A setuid program hides this from a tracer without privileges.
        return b"", None, errno.errorcode.get(error.errno or 0, "")


def _status_in_view(tid: int, path: bytes) -> FileStatus:
    try:
        view = procfs.View(tid)
    except OSError:
        return None
    try:
        root = procfs.link(tid, "root").rstrip(b"/")
        return view.status(path[len(root):] if root and path.startswith(root + b"/") else path)
    except OSError:
        return None
    finally:
        view.close()


def _environment(tid: int) -> Tuple[Tuple[bytes, ...], bool]:
    try:
        words = _split(procfs.read(tid, "environ"))
    except OSError:
        return (), True
    if len(words) > ARGUMENTS_AT_MOST:
        words.sort(key=lambda word: not word.startswith(_NOTED_VARIABLES))
    return _shorten(words, False)


def _split(text: bytes) -> List[bytes]:
    return text.split(b"\0")[:-1] if text else []


def _identity(tid: int) -> Tuple[int, ...]:
    try:
        return procfs.identity(tid)
    except (OSError, KeyError, ValueError):
        return _NO_IDENTITY


def _cgroup(tid: int) -> bytes:
    try:
        return procfs.read(tid, "cgroup", 8192)
    except OSError:
        return b""
