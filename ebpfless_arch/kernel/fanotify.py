"""fanotify(7): opens and modifications of files on a mount, whoever does them; no eBPF.

Linux 2.6.37 and later; it needs CAP_SYS_ADMIN (for whole mounts also where newer kernels let others in).
"""

import ctypes
import errno
import os
import struct
from typing import Callable, Iterator

from ebpfless_arch.kernel.libc import failure, function
from ebpfless_arch.named import NamedTuple

MODIFIED, CLOSED, OPENED, OPENED_TO_EXECUTE = 0x2, 0x8, 0x20, 0x1000

_CLOEXEC, _NONBLOCK, _UNLIMITED_QUEUE = 0x1, 0x2, 0x10
_MARK_ADD, _MARK_MOUNT = 0x1, 0x10
_AT_FDCWD = -100
_VERSION = 3
# struct fanotify_event_metadata: length, version, reserved, length of this, mask, descriptor, process.
_EVENT = struct.Struct("=IBBHQii")
# Each event comes with an open descriptor, of which a process may have 1024.
_AT_ONCE = 256 * _EVENT.size
_O_LARGEFILE = 0o100000

_ADVICE = {
    errno.EPERM: "it needs CAP_SYS_ADMIN: run ebpfless as root, in a container with --cap-add SYS_ADMIN",
    errno.EINVAL: "this kernel does not know these events (those of executions came with Linux 5.0)",
    errno.ENOSYS: "this kernel has none (CONFIG_FANOTIFY), or a seccomp profile hides it",
}

_init = function("fanotify_init", ctypes.c_uint, ctypes.c_uint)
_mark = function("fanotify_mark", ctypes.c_int, ctypes.c_uint, ctypes.c_ulonglong, ctypes.c_int, ctypes.c_char_p)


class Happened(NamedTuple):
    """An event: bits of what happened, the process, and a descriptor of the file, -1 for none, that has to be closed."""

    mask: int
    pid: int
    descriptor: int


class Watcher:
    """Watches whole mounts; `how` are further flags (O_NOATIME) with which files come. Raises OSError, with advice, where
    that is not permitted."""

    def __init__(self, how: int = 0) -> None:
        if _init is None or _mark is None:
            raise OSError(errno.ENOSYS, "fanotify: this C library lacks it")
        flags = _CLOEXEC | _NONBLOCK
        self._descriptor = int(_init(flags | _UNLIMITED_QUEUE, os.O_RDONLY | _O_LARGEFILE | os.O_CLOEXEC | how))
        if self._descriptor < 0:
            raise failure("fanotify", _ADVICE)

    def fileno(self) -> int:
        """The descriptor that has news."""
        return self._descriptor

    def close(self) -> None:
        """Watch nothing any more."""
        os.close(self._descriptor)

    def add(self, path: bytes, mask: int = MODIFIED | CLOSED | OPENED) -> None:
        """Watch the mount that a path lies on for what the mask names; raises OSError."""
        if _mark(self._descriptor, _MARK_ADD | _MARK_MOUNT, mask, _AT_FDCWD, path) != 0:
            raise failure("watching %s" % os.fsdecode(path), _ADVICE)

    def drain(self, batches: int, tell: Callable[[Happened], None], lose: Callable[[], None]) -> None:
        """Hand over what has come, so many batches of it at most, and close its descriptors; `lose` is for when there was more
        than the kernel had room for."""
        for _ in range(batches):
            if not self._drain_batch(tell, lose):
                return

    def _drain_batch(self, tell: Callable[[Happened], None], lose: Callable[[], None]) -> bool:
        some = False
        for happened in self.read():
            some = True
            if happened.descriptor < 0:
                lose()
                continue
            try:
                tell(happened)
            finally:
                os.close(happened.descriptor)
        return some

    def read(self) -> Iterator[Happened]:
        """What has come, some hundred events at most; each event's descriptor is the caller's to close."""
        try:
            data = os.read(self._descriptor, _AT_ONCE)
        except BlockingIOError:
            return
        start = 0
        while start + _EVENT.size <= len(data):
            length, version, _, _, mask, descriptor, pid = _EVENT.unpack_from(data, start)
            if version != _VERSION or length < _EVENT.size:
                raise OSError(errno.EPROTO, "fanotify speaks version %d, and we know %d" % (version, _VERSION))
            yield Happened(mask, pid, descriptor)
            start += length
