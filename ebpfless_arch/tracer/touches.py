"""Files that somebody whom nobody traces touches, below the paths that are watched: opens and modifications."""

import collections
import os
from typing import Callable, Sequence, Tuple

from ebpfless_arch.events import records
from ebpfless_arch.events.records import Record, now
from ebpfless_arch.kernel import fanotify, procfs
from ebpfless_arch.kernel.fanotify import Happened, Watcher
from ebpfless_arch.tracer.census import Census

_WRITERS_KEPT = 4096
_BATCHES = 16

_File = Tuple[int, int, int]


class Touches:
    """Makes OPEN records of what a watcher tells; raises OSError where it cannot be used.

    fanotify does not tell how a file was opened: an open is told as one for reading, and the first modification by a
    process, until it closes the file, as an open for writing.
    """

    def __init__(self, census: Census, put: Callable[[Record], None], watched: Sequence[bytes]) -> None:
        self._census = census
        self._put = put
        self._watched = [path.rstrip(b"/") for path in watched]
        self._writers: "collections.OrderedDict[_File, None]" = collections.OrderedDict()
        self._watcher = Watcher()
        for path in watched:
            self._watcher.add(path)

    def fileno(self) -> int:
        """The descriptor that has news."""
        return self._watcher.fileno()

    def read(self) -> None:
        """Deal with what has come; if that is much, with some of it."""
        self._watcher.drain(_BATCHES, self._take, self._lose)

    def _take(self, happened: Happened) -> None:
        try:
            self._tell(happened)
        except OSError:
            pass  # the file system is gone

    def _lose(self) -> None:
        self._put(records.blind(now(), os.getppid(), os.getppid(), "fanotify told more than there was room for", "lost"))

    def _tell(self, happened: Happened) -> None:
        if self._census.is_hidden(happened.pid):
            return
        path = procfs.link(os.getpid(), "fd/%d" % happened.descriptor)
        if not any(path == prefix or path.startswith(prefix + b"/") for prefix in self._watched):
            return
        status = procfs.status_of(os.getpid(), "fd/%d" % happened.descriptor)
        file = happened.pid, status[2], status[1]
        if happened.mask & fanotify.OPENED:
            self._open(happened.pid, path, os.O_RDONLY, status)
        if happened.mask & fanotify.MODIFIED and file not in self._writers:
            self._writers[file] = None
            if len(self._writers) > _WRITERS_KEPT:
                self._writers.popitem(last=False)
            self._open(happened.pid, path, os.O_WRONLY, status)
        if happened.mask & fanotify.CLOSED:
            self._writers.pop(file, None)

    def _open(self, pid: int, path: bytes, flags: int, status: object) -> None:
        self._put((records.OPEN, now(), pid, pid, 0, path, path, flags, 0, status, "", False))

