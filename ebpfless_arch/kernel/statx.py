"""Attributes of files without asking whoever serves them: statx(2) with AT_STATX_DONT_SYNC (Linux 4.11), else stat(2).

A file system's server may be dead, or be waiting for us: what the kernel knows already has to do.
"""

import ctypes
import errno
import os
import struct
from typing import Tuple

from ebpfless_arch.kernel.libc import failure, function

# mode, inode, device, links, uid, gid, size, mtime ns, ctime ns
FileStatus = Tuple[int, int, int, int, int, int, int, int, int]

_AT_FDCWD = -100
_DONT_SYNC = 0x4000
_NO_FOLLOW, _EMPTY_PATH = 0x100, 0x1000
_SIZE = 256
_BASIC_STATS = 0x7FF
# struct statx: mask, block size, attributes, links, uid, gid, mode; inode, size, blocks, attributes; four times, each
# with 4 bytes of padding; the device of a special file, and of the file system.
_LAYOUT = struct.Struct("=IIQIIIHxxQQQQ qI4x qI4x qI4x qI4x IIII")
_NOT_THERE = (errno.ENOSYS, errno.EPERM, errno.EINVAL)

_statx = function("statx", ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_uint, ctypes.c_void_p)


def look(path: bytes, directory: int = _AT_FDCWD, follow: bool = True) -> FileStatus:
    """The attributes of a file, seen from an open directory, of a symlink itself unless `follow`; without a path those of
    what is open (O_PATH will do). Raises OSError."""
    if _statx is not None:
        buffer = ctypes.create_string_buffer(_SIZE)
        flags = _DONT_SYNC | (0 if follow else _NO_FOLLOW) | (0 if path else _EMPTY_PATH)
        if _statx(directory, path, flags, _BASIC_STATS, ctypes.addressof(buffer)) == 0:
            return _unpack(buffer)
        # C libraries emulate what a kernel lacks, and sandboxes forbid what they do not know.
        if ctypes.get_errno() not in _NOT_THERE:
            raise failure("statx", {})
    if not path:
        return as_status(os.fstat(directory))
    seen_from = None if directory == _AT_FDCWD else directory
    return as_status(os.stat(path, dir_fd=seen_from, follow_symlinks=follow))


def _unpack(data: "ctypes.Array[ctypes.c_char]") -> FileStatus:
    found = _LAYOUT.unpack_from(data)
    return (found[6], found[7], os.makedev(found[21], found[22]), found[3], found[4], found[5], found[8],
            found[17] * 10 ** 9 + found[18], found[15] * 10 ** 9 + found[16])


def as_status(found: os.stat_result) -> FileStatus:
    """A stat result as a plain tuple."""
    return (found.st_mode, found.st_ino, found.st_dev, found.st_nlink, found.st_uid, found.st_gid,
            found.st_size, found.st_mtime_ns, found.st_ctime_ns)
