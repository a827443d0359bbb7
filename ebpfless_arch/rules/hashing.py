"""Digests of files that events are about: computed when asked for, within limits, and kept with the file.

The file is found by way of the process: its executable through /proc/PID/exe,
others below /proc/PID/root, and at last by the path as we see it. Whatever is
found there must be the file of the event, by device and inode, and a regular
one; it is not opened before that is known.
"""

import os
import stat
from collections import OrderedDict
from typing import Iterator, List, Optional, Tuple

from ebpfless_arch.events.model import Event, File, Process
from ebpfless_arch.named import NamedTuple
from ebpfless_arch.rules.limits import Bucket

ALGORITHMS = ("sha1", "sha256", "md5")
DEFAULT_SIZE_LIMIT = 10 << 20

# The states of the published engine.
DONE, RATE_LIMITED, TOO_BIG = "DONE", "HASH_WAS_RATE_LIMITED", "FILE_TOO_BIG"
NOT_FOUND, NO_PATH, EMPTY = "FILE_NOT_FOUND", "PATHNAME_RESOLUTION_ERROR", "FILE_EMPTY"
NOT_OPENED, FAILED = "FILE_OPEN_ERROR", "HASH_FAILED"

# Hashing may keep pace with 32 MiB of files a second and with 128 MiB at once: a fraction of what a processor does.
# Opening a small file costs as much as reading a block.
_BLOCK = 64 << 10
_BLOCKS_PER_SECOND = 512
_BLOCKS_AT_ONCE = 2048
_KEPT_AT_MOST = 1000

_Identity = Tuple[int, int, int, int, int]


class _Place(NamedTuple):
    """Where a file may be; `is_ours` when the path means something else to the process."""

    path: str
    is_ours: bool


class _Failure(Exception):
    """The state to note."""

    def __init__(self, state: str) -> None:
        Exception.__init__(self, state)
        self.state = state


class _Shared:
    """What hashers with different limits have in common."""

    def __init__(self) -> None:
        self.bucket = Bucket(10**9 // _BLOCKS_PER_SECOND, _BLOCKS_AT_ONCE)
        self.known: "OrderedDict[_Identity, Tuple[str, ...]]" = OrderedDict()


class Hasher:
    """Computes digests. `size_limit`: files with more bytes are not read."""

    def __init__(self, size_limit: int = DEFAULT_SIZE_LIMIT, shared: Optional[_Shared] = None) -> None:
        self.size_limit = size_limit
        self._shared = shared if shared is not None else _Shared()

    def limited(self, size_limit: int) -> "Hasher":
        """Another one with a limit of its own, but the same rate limit and memory."""
        return Hasher(size_limit, self._shared)

    def hashes(self, file: File, event: Event) -> Tuple[str, ...]:
        """The digests as `sha1:...`, `sha256:...`, `md5:...`, none when there are none.

        Computes them unless the file has them already; its `hash_state` tells
        how that went. Never raises.
        """
        if file.hash_state in ("", RATE_LIMITED, TOO_BIG):
            event.process.memo = None  # it may show the file
            try:
                file.hashes, file.hash_state = self._compute(file, event), DONE
            except _Failure as failure:
                file.hash_state = failure.state
        return file.hashes

    def _compute(self, file: File, event: Event) -> Tuple[str, ...]:
        descriptor = _open(file, event.process)
        try:
            about = os.fstat(descriptor)
            if about.st_size > self.size_limit:
                raise _Failure(TOO_BIG)
            if about.st_size == 0:
                raise _Failure(EMPTY)
            key = (about.st_dev, about.st_ino, about.st_size, about.st_mtime_ns, about.st_ctime_ns)
            known = self._shared.known
            if key not in known:
                if not self._shared.bucket.take(event.time, 1 + about.st_size // _BLOCK):
                    raise _Failure(RATE_LIMITED)
                known[key] = _digests(descriptor, self.size_limit)
                if len(known) > _KEPT_AT_MOST:
                    known.popitem(last=False)
            known.move_to_end(key)
            return known[key]
        except OSError:
            raise _Failure(FAILED)
        finally:
            os.close(descriptor)


def _open(file: File, process: Process) -> int:
    """A descriptor for reading the file; raises _Failure."""
    places = [] if process.users.elsewhere else list(_places(file, process))
    if not places:
        raise _Failure(NO_PATH)
    state = NOT_FOUND
    for place in places:
        try:
            return _open_at(place, file)
        except (FileNotFoundError, NotADirectoryError, ProcessLookupError):
            continue
        except (OSError, ValueError):
            state = NOT_OPENED
    raise _Failure(state)


def _places(file: File, process: Process) -> Iterator[_Place]:
    for record in (process,) + process.ancestors:
        executable = f"/proc/{record.pid}/exe"
        if record.file is file and (file.inode or _leads_to(executable, file.path)):
            yield _Place(executable, False)
    if file.path:
        yield _Place(f"/proc/{process.pid}/root{file.path}", False)
        yield _Place(file.path, True)


def _leads_to(link: str, path: str) -> bool:
    """Whether a process runs this very file, for when nothing but its path is known: a script's process runs its
    interpreter, and one that asks for another program still runs its own."""
    try:
        return os.readlink(link) == path
    except OSError:
        return False


def _open_at(place: _Place, file: File) -> int:
    """Opens the regular file that the event was about; FileNotFoundError for another one."""
    # Opening a device or pipe may have effects or wait for ever: with O_PATH it has none.
    first = os.open(place.path, os.O_PATH | os.O_CLOEXEC)
    try:
        about = os.fstat(first)
        is_same = (about.st_dev, about.st_ino) == (file.device, file.inode)
        if not is_same and (file.inode or place.is_ours) or not stat.S_ISREG(about.st_mode):
            raise FileNotFoundError(place.path)
        return _open_for_reading(f"/proc/self/fd/{first}")
    finally:
        os.close(first)


def _open_for_reading(path: str) -> int:
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        return os.open(path, flags | os.O_NOATIME)
    except PermissionError:
        return os.open(path, flags)  # a file of somebody else has to bear the new access time


def _digests(descriptor: int, size_limit: int) -> Tuple[str, ...]:
    """Reads the file; raises OSError, and _Failure when it has grown beyond the limit."""
    import hashlib  # brings a large library along, which few policies need

    found: List[Tuple[str, "hashlib._Hash"]] = []
    for name in ALGORITHMS:
        try:
            found.append((name, hashlib.new(name)))
        except ValueError:
            continue  # this system forbids the old ones
    size = 0
    while True:
        data = os.read(descriptor, 1 << 20)
        size += len(data)
        if size > size_limit:
            raise _Failure(TOO_BIG)
        if not data:
            return tuple(f"{name}:{digest.hexdigest()}" for name, digest in found)
        for _, digest in found:
            digest.update(data)
