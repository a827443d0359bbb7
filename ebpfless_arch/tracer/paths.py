"""Files that a tracee means: by a path as its call gave it, or by a descriptor."""

import errno
import os
import stat
from typing import Any, Dict, Optional, Tuple

from ebpfless_arch.kernel import openat2, procfs, statx
from ebpfless_arch.named import NamedTuple
from ebpfless_arch.tracer import syscalls
from ebpfless_arch.tracer.stops import Stop

AT_FDCWD = -100
_RESOLVE_IN_ROOT = 0x10
_PLAIN = (0, 0, 0)

FileStatus = Optional[statx.FileStatus]


class Found(NamedTuple):
    """A file: its absolute, resolved path, its attributes if they are known, and why something is missing."""

    path: bytes
    status: FileStatus
    error: str


NOTHING = Found(b"", None, "")


def error_name(error: OSError) -> str:
    """The name of an error's errno."""
    return errno.errorcode.get(error.errno or 0, "")


def descriptor(stop: Stop, number: int) -> Found:
    """What is behind a descriptor of the tracee; its path is as /proc shows it."""
    name = "fd/%d" % number
    try:
        return Found(procfs.link(stop.tid, name),
                     procfs.status_of(stop.tid, name) if stop.machine.attributes else None, "")
    except ProcessLookupError:
        # Another thread may have closed it again; the process lives, its stop says so.
        return Found(b"", None, errno.errorcode[errno.EBADF])
    except OSError as error:
        return Found(b"", None, error_name(error))


def locate(tid: int, values: Dict[str, Any], follow: bool) -> Tuple[bytes, str]:
    """Absolute, resolved path that a call's `dirfd` and `path` mean to the tracee, and why there is none."""
    directory, argument = values.get(syscalls.DIRFD, AT_FDCWD), values[syscalls.PATH]
    if argument and values.get(syscalls.HOW, _PLAIN)[2] & _RESOLVE_IN_ROOT:
        return _locate_in_root(tid, directory, argument, follow)
    found = _look(tid, directory, argument, follow, False)
    return found.path, found.error


def find(stop: Stop, directory: int, argument: Optional[bytes], follow: bool) -> Found:
    """The file that a path means to the tracee, with its attributes if there is one."""
    return _look(stop.tid, directory, argument, follow, stop.machine.attributes)


def sees_all(tid: int) -> bool:
    """Whether the tracee's root is that of its mounts, so that its absolute paths are ours."""
    try:
        return not _root(tid)
    except OSError:
        return False


def means(tid: int, argument: bytes, status: statx.FileStatus) -> bool:
    """Whether a path means to the tracee the file with these attributes; False as well where the kernel cannot tell at
    once."""
    try:
        root = os.open(b"/proc/%d/root" % tid, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        if not argument.startswith(b"/"):
            argument = _inside(_root(tid), _base(tid, AT_FDCWD)) + b"/" + argument
        return openat2.status(root, argument)[1:3] == status[1:3]
    except OSError:
        return False
    finally:
        os.close(root)


def base(tid: int, values: Dict[str, Any]) -> bytes:
    """The directory that a call's relative path begins at, as /proc shows it to us; raises OSError."""
    return _base(tid, values.get(syscalls.DIRFD, AT_FDCWD))


def beside(stop: Stop, target: bytes, link: bytes) -> Found:
    """What a symlink at the resolved path `link` says with the text `target`."""
    if not target.startswith(b"/"):
        target = _inside(_root(stop.tid), link.rpartition(b"/")[0]) + b"/" + target
    return find(stop, AT_FDCWD, target, False)


def working_directory(stop: Stop) -> Found:
    """The working directory of the tracee."""
    try:
        return Found(procfs.link(stop.tid, "cwd"),
                     procfs.status_of(stop.tid, "cwd") if stop.machine.attributes else None, "")
    except OSError as error:
        return Found(b"", None, error_name(error))


def in_view(tid: int, path: bytes) -> bytes:
    """A path as /proc shows it to us as the tracee would write it."""
    try:
        return _inside(_root(tid), path)
    except OSError:
        return path


def mount_of(tid: int, path: bytes) -> Optional[procfs.Mount]:
    """The mount at a path that `find` resolved, None where there is none."""
    try:
        return procfs.mounted_at(tid, _inside(_root(tid), path) or b"/")
    except (OSError, ValueError):
        return None


def status_in_view(tid: int, path: bytes, script: bool = False) -> FileStatus:
    """Attributes of a path that `locate` resolved; with `script`, None for what does not begin with "#!"."""
    try:
        view = procfs.View(tid)
    except OSError:
        return None
    try:
        inner = _inside(_root(tid), path)
        found = view.status(inner)
        if script and (found is None or not stat.S_ISREG(found[0]) or not view.begins_with(inner, b"#!")):
            return None
        return found
    except OSError:
        return None
    finally:
        view.close()


def _look(tid: int, directory: int, argument: Optional[bytes], follow: bool, attributes: bool) -> Found:
    if argument is None:
        return Found(b"", None, errno.errorcode[errno.EFAULT])
    try:
        root = _root(tid)
        base = b"" if argument.startswith(b"/") else _base(tid, directory)
        # From a directory outside of its root, a process sees what there is (chroot(2)).
        outside = bool(root and base) and _inside(root, base) == base
        view = procfs.View(tid, b"/" if outside else b"")
    except OSError as error:
        return Found(argument, None, error_name(error))
    try:
        start = b"" if outside else root
        inside = _resolve(view, _inside(start, base), argument, follow)
        return Found(start + inside, view.status(inside) if attributes else None, "")
    except OSError as error:
        return Found(argument, None, error_name(error))
    finally:
        view.close()


def _locate_in_root(tid: int, directory: int, argument: bytes, follow: bool) -> Tuple[bytes, str]:
    """What a path means whose call takes a directory for its root (openat2(2))."""
    try:
        root = _base(tid, directory).rstrip(b"/")
        view = procfs.View(tid, b"/proc/%d/%b" % (tid, _entry(directory).encode()))
    except OSError as error:
        return argument, error_name(error)
    try:
        return root + view.resolve(argument, follow), ""
    finally:
        view.close()


def _base(tid: int, directory: int) -> bytes:
    return procfs.link(tid, _entry(directory))


def _entry(directory: int) -> str:
    return "cwd" if directory == AT_FDCWD else "fd/%d" % directory


def _resolve(view: procfs.View, base: bytes, argument: bytes, follow: bool) -> bytes:
    """The path below the view's root."""
    return view.resolve(base + b"/" + argument, follow) if argument else base


def _root(tid: int) -> bytes:
    return procfs.link(tid, "root").rstrip(b"/")


def _inside(root: bytes, path: bytes) -> bytes:
    """A path of ours as the tracee would write it, whose root is `root`."""
    if root and (path == root or path.startswith(root + b"/")):
        return path[len(root):]
    return path
