"""openat2(2), Linux 5.6: where a path leads, without asking whoever serves its file system (RESOLVE_CACHED, Linux 5.12)."""

import ctypes
import os
import struct

from ebpfless_arch.kernel.libc import failure, function
from ebpfless_arch.kernel.statx import FileStatus, look

_OPENAT2 = 437  # the same for every ABI
_RESOLVE_NO_MAGICLINKS, _RESOLVE_NO_SYMLINKS, _RESOLVE_IN_ROOT, _RESOLVE_CACHED = 0x02, 0x04, 0x10, 0x20
_O_PATH = 0o10000000

_syscall = function("syscall", ctypes.c_long, ctypes.c_long, ctypes.c_char_p, ctypes.c_void_p, ctypes.c_long)


def where(root: int, path: bytes, follow: bool) -> bytes:
    """The place, as /proc shows it to us, that a path leads to below an open directory that is its root; raises OSError."""
    descriptor = _open(root, path, follow)
    try:
        return os.readlink(b"/proc/self/fd/%d" % descriptor)
    finally:
        os.close(descriptor)


def plain(path: bytes, directory: int = -1) -> bytes:
    """The place that a path leads to, from an open directory or, if it is absolute, from our own root; raises OSError, ELOOP
    where a symlink is on the way."""
    descriptor = _open(directory, path, True, _RESOLVE_NO_MAGICLINKS | _RESOLVE_NO_SYMLINKS | _RESOLVE_CACHED)
    try:
        return os.readlink(b"/proc/self/fd/%d" % descriptor)
    finally:
        os.close(descriptor)


def status(root: int, path: bytes) -> FileStatus:
    """The attributes of what a path leads to below an open directory that is its root; raises OSError."""
    descriptor = _open(root, path, True)
    try:
        return look(b"", descriptor)
    finally:
        os.close(descriptor)


def _open(root: int, path: bytes, follow: bool, resolve: int = _RESOLVE_IN_ROOT | _RESOLVE_CACHED) -> int:
    """Raises OSError: ENOENT and the like where it leads nowhere, EAGAIN where the kernel would have to ask, ELOOP at the
    links of /proc/PID/fd, ENOSYS or EINVAL on older kernels."""
    flags = _O_PATH | os.O_CLOEXEC | (0 if follow else os.O_NOFOLLOW)
    how = ctypes.create_string_buffer(struct.pack("=QQQ", flags, 0, resolve), 24)
    descriptor: int = _syscall(_OPENAT2, root, path, ctypes.addressof(how), 24)
    if descriptor < 0:
        raise failure("openat2", {})
    return descriptor
