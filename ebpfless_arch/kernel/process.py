"""prctl(2) and identities of this very process."""

import ctypes
import os
from typing import Optional

from ebpfless_arch.kernel.libc import failure, function

_PR_SET_NAME = 15
_PR_SET_CHILD_SUBREAPER = 36

_prctl = function("prctl", ctypes.c_int, ctypes.c_ulong, ctypes.c_void_p, ctypes.c_ulong, ctypes.c_ulong)


def become_subreaper(truly: bool = True) -> None:
    """Orphans among the descendants become children of this process (Linux 3.4), or no longer; raises OSError."""
    if _prctl(_PR_SET_CHILD_SUBREAPER, int(truly), None, 0, 0) != 0:
        raise failure("prctl(CHILD_SUBREAPER)", {})


def set_name(name: bytes) -> None:
    """Name this thread as ps shows it, 15 bytes at most."""
    buffer = ctypes.create_string_buffer(name[:15])
    ctypes_address = ctypes.addressof(buffer)
    _prctl(_PR_SET_NAME, ctypes_address, None, 0, 0)


def change_identity(uid: Optional[int], gid: Optional[int]) -> None:
    """Become another user and group for good, with that group as the only one; raises OSError."""
    try:
        if gid is not None:
            os.setgroups([gid])
            os.setgid(gid)
        if uid is not None:
            os.setuid(uid)
    except PermissionError as error:
        raise OSError(error.errno, "changing to uid %s, gid %s: %s; --uid and --gid need root"
                      % (uid, gid, os.strerror(error.errno or 0)))
