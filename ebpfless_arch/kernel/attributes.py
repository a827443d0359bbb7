"""Extended attributes of files (xattr(7))."""

import ctypes
import os

from ebpfless_arch.kernel.libc import failure, function

_ROOM = 256

_getxattr = function("getxattr", ctypes.c_char_p, ctypes.c_char_p, ctypes.c_void_p, ctypes.c_size_t)


def read(path: bytes, name: str) -> bytes:
    """A short attribute of the file that a path leads to; raises OSError. Of a Python with musl, os has no such function."""
    room = ctypes.create_string_buffer(_ROOM)
    size: int = _getxattr(path, os.fsencode(name), ctypes.addressof(room), _ROOM)
    if size < 0:
        raise failure("getxattr", {})
    return room.raw[:size]
