"""Whether a file that was opened is the one that was named before: another thread may have changed the name meanwhile.

What the kernel took is in /proc/PID/fd and is what is reported; this is about the name that we had read. Most names are
the place itself, and cost nothing. Others are walked once for each place, in the kernel's cache only: a file system's
server may be waiting for us. Where that is not possible, the name is read again.
"""

import errno
import os
from typing import Any, Dict, Optional, Tuple

from ebpfless_arch.kernel import openat2, procfs
from ebpfless_arch.tracer import paths, syscalls
from ebpfless_arch.tracer.decode import Pending
from ebpfless_arch.tracer.stops import Stop

_DELETED = b" (deleted)"
_REMEMBERED_AT_MOST = 4096
_LEADS_NOWHERE = (errno.ENOENT, errno.ENOTDIR)

# By directory (b"" for a name from the root), name and place: pairs that were found to belong together.
Confirmed = Dict[Tuple[bytes, bytes, bytes], None]


def is_raced(stop: Stop, pending: Pending, place: bytes, follow: bool) -> bool:
    """Whether an open that has given the file at `place` was of another name than `pending` says."""
    argument = pending.values[syscalls.PATH]
    if argument is None or argument == place:
        return False
    if not place.startswith(b"/") or syscalls.HOW in pending.values:
        return _is_rewritten(stop, pending)
    return _leads_elsewhere(stop, pending, place, follow)


def _leads_elsewhere(stop: Stop, pending: Pending, place: bytes, follow: bool) -> bool:
    argument: bytes = pending.values[syscalls.PATH]
    try:
        base = b"" if argument.startswith(b"/") else paths.base(stop.tid, pending.values)
    except OSError:
        return _is_rewritten(stop, pending)
    deleted = place.endswith(_DELETED)
    named = os.path.normpath(base + b"/" + argument)
    if named in (place, place[:-len(_DELETED)] if deleted else place):
        return False
    confirmed, key = stop.machine.confirmed, (base, argument, place)
    if key in confirmed:
        return False
    found = _walk(stop, base + b"/" + argument, follow)
    if found == place:
        if len(confirmed) >= _REMEMBERED_AT_MOST:
            confirmed.clear()
        confirmed[key] = None
        return False
    # Of what is in /proc, every process sees its own; what was removed leads nowhere.
    return _is_rewritten(stop, pending) if found is None or deleted or b"/proc/" in place else True


def _walk(stop: Stop, path: bytes, follow: bool) -> Optional[bytes]:
    """Where a path leads for the tracee, b"" for nowhere; None if that cannot be known."""
    try:
        root = os.open(b"/proc/%d/root" % stop.tid, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        return _as_own(stop, openat2.where(root, paths.in_view(stop.tid, path), follow))
    except OSError as error:
        return b"" if error.errno in _LEADS_NOWHERE else None
    finally:
        os.close(root)


def _as_own(stop: Stop, place: bytes) -> bytes:
    """/proc/self and /proc/thread-self led to us; they are meant to lead to the tracee."""
    ours = b"/proc/%d" % os.getpid()
    if not place.startswith(ours + b"/"):
        return place
    thread = b"/task/%d/" % os.getpid()
    rest = place[len(ours):]
    return b"/proc/%d" % stop.pid + (b"/task/%d/" % stop.tid + rest[len(thread):] if rest.startswith(thread) else rest)


def _is_rewritten(stop: Stop, pending: Pending) -> bool:
    row, call, values = pending
    before: bytes = values[syscalls.PATH]
    return stop.string(call.arguments[row.kinds.index(syscalls.PATH)], len(before) + 1) != before


def executed_as(values: Dict[str, Any]) -> bytes:
    """The name that the kernel keeps of a program (AT_EXECFN), by the arguments of its exec (fs/exec.c, alloc_bprm)."""
    argument: bytes = values[syscalls.PATH] or b""
    directory = values.get(syscalls.DIRFD, paths.AT_FDCWD)
    if directory == paths.AT_FDCWD or argument.startswith(b"/"):
        return argument
    return b"/dev/fd/%d" % directory + (b"/" + argument if argument else b"")
