"""Opens of which it is known before they run that no rule can match them: they need no second stop.

A name proves nothing (tracer/discarders.py) unless it cannot lead elsewhere, nor be another one by the time the kernel
reads it. Both are known of an open if

- its thread is alone with its memory, and the name lies in a page that is there, is neither a file's nor a device's nor
  shared, and is mapped nowhere else, so that nobody can write to it meanwhile;
- no part of the path that exists is a symlink: then what is opened is what is written, whatever else is created,
  removed or moved. That is looked up in the kernel's cache only, and believed until something under trace makes, moves or
  links files. Such a call (MOVES) waits until each open that was let go on is surely over, and while it runs nothing
  is foreseen.

What could make another process share memory or working directory, a page change under its owner, or a path mean something
else to one process than to another, ends all foresight for good: it is rare, and what is left is two stops. What untraced
processes do to links is found out within some milliseconds, as a look is believed no longer; to do so at the right moment
they would have to be accomplices, who could open the file themselves.
"""

import os
import re
import time
from typing import Callable, Dict, Optional, Set, Tuple

from ebpfless_arch.events.interest import Interest
from ebpfless_arch.kernel import openat2, procfs, statx
from ebpfless_arch.tracer import syscalls
from ebpfless_arch.tracer.discarders import Late
from ebpfless_arch.tracer.readers import PATH_AT_MOST
from ebpfless_arch.tracer.stops import Call
from ebpfless_arch.tracer.tracees import Tracee

_PAGE = os.sysconf("SC_PAGE_SIZE")
_ENTRY = 8  # of /proc/PID/pagemap, for each page: a word whose highest bits are in its last byte
_PRESENT, _OF_FILE_OR_SHARED, _EXCLUSIVE = 0x80, 0x20, 0x01
_ADDRESS_MASK = (1 << 56) - 1  # without a tag; where that is too many bits, the page is not there
_BELIEVED_SECONDS = 0.05
_REMEMBERED_AT_MOST = 1024
_OPEN_AT_MOST = 64
_AT_FDCWD = 0xFFFFFF9C  # -100
_SLASH = 0x2F
_ROOT = b"/"
_PATH_ONLY = 0o10000000 | os.O_CLOEXEC  # O_PATH
# A new program first opens its libraries, whose names lie in files.
EXPERIENCED, _PAUSE = 2, 6
# Whoever opens these may change memory, or the file system, behind everybody's back.
_TOO_MIGHTY = re.compile(rb"/dev/userfaultfd|/dev/fuse|/dev/mem|.*/[0-9]+(/task/[0-9]+)?/mem", re.DOTALL)


def is_possible() -> bool:
    """Whether this kernel tells what it needs (openat2 with RESOLVE_CACHED, Linux 5.12; /proc/PID/pagemap)."""
    try:
        openat2.plain(b"/")
        os.stat("/proc/self/pagemap")
    except OSError:
        return False
    return True


def is_mighty(tid: int, descriptor: int) -> bool:
    """Whether a thread has opened what ends all foresight."""
    try:
        return _TOO_MIGHTY.fullmatch(procfs.link(tid, "fd/%d" % descriptor)) is not None
    except OSError:
        return True


class Foresight:
    """What is known, and whose opens were let go on by it. `on` is False where nothing may be foreseen."""

    def __init__(self, wanted: Interest) -> None:
        self._wanted = wanted
        self.on = wanted.foresees
        self._paths: Dict[Tuple[int, Tuple[bytes, int, int], bytes], Tuple[bool, float]] = {}
        self._pages: Dict[int, int] = {}
        self._moving: Set[int] = set()

    def end(self) -> None:
        """From now on nothing can be known any more."""
        self.on = False
        for pid in list(self._pages):
            self.forget(pid)

    def excludes(self, tracee: Tracee, call: Call, late: Late, name: Optional[bytes]) -> bool:
        """Whether it is certain that no rule matches an open of this name."""
        tracee.opens += 1
        if tracee.opens <= EXPERIENCED or self._moving or not name or len(name) >= PATH_AT_MOST:
            return False
        flags = late.flags_of(call)
        try:
            if not self._is_dull(flags, name, _ROOT if name[0] == _SLASH else _link(
                    tracee.tid, call.arguments[0] if late.path else _AT_FDCWD)):
                return False
        except OSError:
            return False
        if self._is_own(tracee.tid, call.arguments[late.path] & _ADDRESS_MASK, len(name)):
            return True
        tracee.opens = EXPERIENCED - _PAUSE
        return False

    # --- names -------------------------------------------------------------------------

    def _is_dull(self, flags: int, name: bytes, link: bytes) -> bool:
        """Whether a name is of no interest, seen from the directory that a link of /proc leads to. Directories that /proc calls
        alike need not be the same one (other mounts, those that are gone), so it is looked at from there. Raises OSError."""
        if link == _ROOT:
            return self._is_known(flags, name, (b"", 0, 0), -1)
        directory = os.open(link, _PATH_ONLY)
        try:
            _, inode, device, *_ = statx.look(b"", directory)
            return self._is_known(flags, name, (os.readlink(link), device, inode), directory)
        finally:
            os.close(directory)

    def _is_known(self, flags: int, name: bytes, base: Tuple[bytes, int, int], directory: int) -> bool:
        found = self._paths.get((flags, base, name))
        if found is None or found[1] < time.monotonic():
            if len(self._paths) >= _REMEMBERED_AT_MOST:
                self._paths.clear()
            found = self._look(flags, base[0], name, directory), time.monotonic() + _BELIEVED_SECONDS
            self._paths[(flags, base, name)] = found
        return found[0]

    def _look(self, flags: int, base: bytes, name: bytes, directory: int) -> bool:
        """Whether a path is nothing but what is written, and of no interest."""
        if flags >= 0 and flags & os.O_TMPFILE == os.O_TMPFILE:
            return False
        path = base + b"/" + name
        plain = b"/" + os.path.normpath(path).lstrip(b"/")
        # What lies below /proc is not the same for all, and what is a directory need not be one for ever.
        if path[:1] != b"/" or plain.startswith(b"/proc/") or plain == b"/proc" or _TOO_MIGHTY.fullmatch(plain):
            return False
        if self._wanted.needs("open", plain, {syscalls.FLAGS: flags} if flags >= 0 else {}):
            return False
        try:
            return openat2.plain(name, directory) == plain
        except (FileNotFoundError, NotADirectoryError):
            # What is behind the missing part was not looked at; from there .. leads to what there is already.
            return b".." not in name.split(b"/")
        except OSError:
            return False

    # --- memory ------------------------------------------------------------------------

    def _is_own(self, pid: int, address: int, size: int) -> bool:
        """Whether memory, with the byte behind it, is private to a process that is alone with it."""
        pages = self._pages.get(pid)
        try:
            if pages is None:
                pages = self._open_pages(pid)
            at = address // _PAGE
            kind = os.pread(pages, _ENTRY, at * _ENTRY)[_ENTRY - 1]
            if kind & (_PRESENT | _OF_FILE_OR_SHARED | _EXCLUSIVE) != _PRESENT | _EXCLUSIVE:
                return False
            rest = address + size - (at + 1) * _PAGE
            return rest < 0 or self._is_own(pid, (at + 1) * _PAGE, rest)
        except (OSError, IndexError, OverflowError):
            return False

    def _open_pages(self, pid: int) -> int:
        if len(self._pages) >= _OPEN_AT_MOST:
            self.forget(next(iter(self._pages)))
        self._pages[pid] = os.open(b"/proc/%d/pagemap" % pid, os.O_RDONLY | os.O_CLOEXEC)
        return self._pages[pid]

    def forget(self, pid: int) -> None:
        """A process has ended, or is another program now."""
        pages = self._pages.pop(pid, -1)
        if pages >= 0:
            os.close(pages)

    # --- what changes it ---------------------------------------------------------------

    def retain(self, is_known: Callable[[int], object]) -> None:
        """Threads may have gone without a word, when another one of theirs executed a program."""
        if self._moving:
            self._moving = {tid for tid in self._moving if is_known(tid)}

    def begin_move(self, tid: int) -> None:
        """A thread is about to make, move or link files."""
        self._paths.clear()
        self._moving.add(tid)

    def end_move(self, tid: int) -> None:
        """It has done so, or never will."""
        self._moving.discard(tid)


def _link(tid: int, directory: int) -> bytes:
    """The link in /proc that leads to the directory that a relative path begins at."""
    directory &= 0xFFFFFFFF
    return b"/proc/%d/cwd" % tid if directory == _AT_FDCWD else b"/proc/%d/fd/%d" % (tid, directory)
