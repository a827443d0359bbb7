"""Pairs of joined sockets, where pipes would do as well.

Whoever may look at a process can open its pipes by way of /proc/PID/fd, and read or write there. Sockets cannot be opened
so, not even by root (ENXIO, proc(5)).
"""

import ctypes
import os
from typing import List

from ebpfless_arch.kernel.libc import failure, function

# Not from the module socket: it takes longer to load than all of this.
_AF_UNIX, _SOL_SOCKET = 1, 1
_SO_SNDBUF, _SO_SNDBUFFORCE = 7, 32
STREAM, MESSAGES = 1, 5  # SOCK_STREAM, SOCK_SEQPACKET
_CLOSE_ON_EXEC = 0o2000000

_Ends = ctypes.c_int * 2
_socketpair = function("socketpair", ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_void_p)
_setsockopt = function("setsockopt", ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_void_p, ctypes.c_uint)


def make(kind: int, room: int = 0, waits: bool = True) -> List[int]:
    """Two descriptors that are joined, closed by an exec: bytes, or messages that arrive whole or not at all. `room`: how
    many bytes may be on their way, as far as the host allows it (0: as usual). Raises OSError."""
    ends = _Ends()
    if _socketpair(_AF_UNIX, kind | _CLOSE_ON_EXEC, 0, ctypes.addressof(ends)) != 0:
        raise failure("socketpair", {})
    found = list(ends)
    wanted = ctypes.c_int(room)
    for end in found:
        os.set_blocking(end, waits)
        if room and _setsockopt(end, _SOL_SOCKET, _SO_SNDBUFFORCE, ctypes.addressof(wanted), 4) != 0:
            _setsockopt(end, _SOL_SOCKET, _SO_SNDBUF, ctypes.addressof(wanted), 4)
    return found
