"""What the tracer is at, in memory that it shares with the keeper: so that somebody notices when it hangs."""

import ctypes
import fcntl
import mmap
import os
import struct
import time
from typing import List, Optional, Sequence, Tuple

from ebpfless_arch.kernel.libc import function
from ebpfless_arch.named import NamedTuple

_STATE = struct.Struct("@Qq")  # written word by word, not byte by byte
_STOPS_OFFSET, _RECORDS_OFFSET, _DEATHS_OFFSET = 16, 24, 32
_GUARDED_OFFSET, _GUARDED_AT_MOST = 40, 16
_SPARE_OFFSET = 256
_MFD_CLOEXEC, _MFD_ALLOW_SEALING = 1, 2
# Who has it mapped must not be killed because somebody makes it shorter.
_F_ADD_SEALS, _SEALS = 1033, 7  # F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW
_CORRAL_OFFSET = 4096
_SIZE = 65536
_NOBODY = _STATE.pack(0, 0)

_memfd_create = function("memfd_create", ctypes.c_char_p, ctypes.c_uint)


class Held(NamedTuple):
    """A thread that the tracer holds in a stop, and since when (monotonic, in seconds)."""

    tid: int
    since: float


class Pulse:
    """Written at every stop, so both ways are short. `descriptor` lets a new image go on, -1 where there is none (before
    3.17, C libraries that lack the call, and where no file may have that size). `records` counts those that were made, whether they have arrived or not; `deaths`
    the tracers that were killed, whether that was told or not."""

    def __init__(self, descriptor: int = -1) -> None:
        self.descriptor = descriptor if descriptor >= 0 else _make_file()
        self._memory = mmap.mmap(self.descriptor, _SIZE)
        self._stops = ctypes.c_uint64.from_buffer(self._memory, _STOPS_OFFSET)
        self.records = ctypes.c_uint64.from_buffer(self._memory, _RECORDS_OFFSET)
        self.deaths = ctypes.c_uint64.from_buffer(self._memory, _DEATHS_OFFSET)
        self._guarded = (ctypes.c_uint64 * _GUARDED_AT_MOST).from_buffer(self._memory, _GUARDED_OFFSET)

    def begin(self, tid: int) -> None:
        """The tracer deals with a stop from now on."""
        self._stops.value += 1
        _STATE.pack_into(self._memory, 0, tid, int(time.monotonic() * 1e9))

    def end(self) -> None:
        """The stop is over."""
        self._memory[:_STATE.size] = _NOBODY

    def stops(self) -> int:
        """How many stops there were, whichever tracer dealt with them."""
        return self._stops.value

    def guard(self, pids: Sequence[int]) -> None:
        """These are ours besides tracer and stand-by: the keeper, and who works for it."""
        for index in range(_GUARDED_AT_MOST):
            self._guarded[index] = pids[index] if index < len(pids) else 0

    def guarded(self) -> List[int]:
        """Who was named so."""
        return [pid for pid in self._guarded if pid]

    def spare(self) -> Tuple[mmap.mmap, int]:
        """The memory, and from where on it is free for others: 3840 bytes."""
        return self._memory, _SPARE_OFFSET

    def corral(self) -> Tuple[mmap.mmap, int]:
        """The memory, and from where on it is for those who take over: 60 KiB."""
        return self._memory, _CORRAL_OFFSET

    def held(self) -> Optional[Held]:
        """The thread that is held just now, None when there is none."""
        tid, since = _STATE.unpack_from(self._memory)
        # Somebody who looks while the two are written sees the first of them only.
        return Held(tid, since / 1e9) if tid and since else None


def _make_file() -> int:
    descriptor = int(_memfd_create(b"ebpfless-pulse", _MFD_CLOEXEC | _MFD_ALLOW_SEALING)) if _memfd_create is not None else -1
    if descriptor < 0:
        return -1
    try:
        os.ftruncate(descriptor, _SIZE)
    except OSError:  # RLIMIT_FSIZE
        os.close(descriptor)
        return -1
    try:
        fcntl.fcntl(descriptor, _F_ADD_SEALS, _SEALS)
    except OSError:
        pass  # a kernel, or what stands for one, that keeps no seals
    return descriptor
