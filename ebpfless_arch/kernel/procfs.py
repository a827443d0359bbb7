"""What /proc tells of a process (proc(5)). Paths and names are bytes; a vanished process raises ProcessLookupError."""

import errno
import os
import stat as stat_module
from typing import Dict, Iterable, List, Optional, Tuple

from ebpfless_arch.kernel.statx import FileStatus, look
from ebpfless_arch.named import NamedTuple

PROC = b"/proc"
# How the names of those begin whom we start beside programs.
_OUR_NAMES = b"ebpfless-"
_READ_AT_MOST = 1 << 20
_MAPS_AT_MOST = 1 << 24
_SYMLINKS_AT_MOST = 40
_LOOKS = 50


class Stat(NamedTuple):
    """Fields of /proc/PID/stat: `tty` is a device number, `start` is in clock ticks since boot. Where we may not know, there
    are zeros: `code` and `stack` are where these lie in memory, `words` where the arguments begin and end, and the
    environment (Linux 3.5)."""

    comm: bytes
    state: str
    ppid: int
    group: int
    session: int
    tty: int
    flags: int
    start: int
    code: int
    stack: int
    words: Tuple[int, ...]


class Mount(NamedTuple):
    """A line of mountinfo: `root` is the part of the file system that is mounted."""

    id: int
    parent: int
    device: int
    root: bytes
    fs_type: bytes


def _path(pid: int, name: str) -> bytes:
    return b"%b/%d/%b" % (PROC, pid, name.encode())


def _gone(error: OSError) -> OSError:
    """ENOENT below /proc/PID and ESRCH mean the same: the process is no more."""
    if error.errno in (errno.ENOENT, errno.ESRCH):
        return ProcessLookupError(errno.ESRCH, "the process is gone")
    return error


def read(pid: int, name: str, limit: int = _READ_AT_MOST) -> bytes:
    """Contents of /proc/PID/name, up to `limit` bytes; raises OSError."""
    try:
        descriptor = os.open(_path(pid, name), os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise _gone(error)
    parts: List[bytes] = []
    left = limit
    try:
        while left > 0:
            part = os.read(descriptor, min(left, 65536))
            if not part:
                break
            parts.append(part)
            left -= len(part)
    except OSError as error:
        raise _gone(error)
    finally:
        os.close(descriptor)
    return b"".join(parts)


def _read_at_once(pid: int, name: str, limit: int) -> bytes:
    """Contents of one of those files that the kernel writes as a whole (proc_single_show), by one read; raises OSError."""
    try:
        descriptor = os.open(_path(pid, name), os.O_RDONLY | os.O_CLOEXEC)
        try:
            return os.read(descriptor, limit)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise _gone(error)


def link(pid: int, name: str) -> bytes:
    """Target of the link /proc/PID/name (exe, cwd, root, fd/N); raises OSError."""
    try:
        return os.readlink(_path(pid, name))
    except OSError as error:
        raise _gone(error)


def status_of(pid: int, name: str) -> FileStatus:
    """Attributes of the file behind the link /proc/PID/name; raises OSError."""
    try:
        return look(_path(pid, name))
    except OSError as error:
        raise _gone(error)


def stat(pid: int) -> Stat:
    """Parse /proc/PID/stat; raises OSError."""
    text = _read_at_once(pid, "stat", 4096)
    opened, closed = text.find(b"("), text.rfind(b")")
    rest = text[closed + 2:].split()
    return Stat(text[opened + 1:closed], rest[0].decode(), int(rest[1]), int(rest[2]), int(rest[3]),
                int(rest[4]), int(rest[6]), int(rest[19]), int(rest[23]), int(rest[25]), tuple(map(int, rest[45:49])))


def status(pid: int) -> Dict[bytes, bytes]:
    """/proc/PID/status as a table of its lines; raises OSError."""
    table = {}
    for line in _read_at_once(pid, "status", 16384).split(b"\n"):
        name, _, value = line.partition(b":")
        table[name] = value.strip()
    return table


def filters(pid: int) -> int:
    """How many seccomp filters a thread has, -1 where the kernel does not tell (Linux 5.9); raises OSError."""
    return int(status(pid).get(b"Seccomp_filters", b"-1"))


def _value(status_text: bytes, name: bytes) -> bytes:
    """The rest of a line of /proc/PID/status that is not its first one; raises KeyError."""
    start = status_text.find(b"\n" + name + b":")
    if start < 0:
        raise KeyError(name)
    start += len(name) + 2
    return status_text[start:status_text.find(b"\n", start)]


def identity(pid: int) -> Tuple[int, ...]:
    """uid, gid, euid, egid, fsuid, fsgid, auid, effective and permitted capabilities; raises OSError."""
    text = _read_at_once(pid, "status", 16384)
    uids = [int(word) for word in _value(text, b"Uid").split()]
    gids = [int(word) for word in _value(text, b"Gid").split()]
    return (uids[0], gids[0], uids[1], gids[1], uids[3], gids[3], login_id(pid),
            int(_value(text, b"CapEff"), 16), int(_value(text, b"CapPrm"), 16))


def login_id(pid: int) -> int:
    """Audit user id, 4294967295 where there is none or the kernel has no audit."""
    try:
        return int(_read_at_once(pid, "loginuid", 32) or b"4294967295")
    except (OSError, ValueError):
        return 0xFFFFFFFF


def group_leader(tid: int) -> Tuple[int, int]:
    """Process id (thread-group id) and parent's process id of a thread; raises OSError."""
    text = _read_at_once(tid, "status", 16384)
    return int(_value(text, b"Tgid")), int(_value(text, b"PPid"))


def innermost_pid(pid: int) -> int:
    """The number of a process in its own pid namespace (NSpid, Linux 4.1); raises OSError, KeyError on older kernels."""
    return int(_value(_read_at_once(pid, "status", 16384), b"NSpid").split()[-1])


def is_thread_of(tid: int, pid: int) -> bool:
    """Whether `tid` is a thread of process `pid`."""
    return os.path.exists(b"%b/%d/task/%d" % (PROC, pid, tid))


def exists(tid: int) -> bool:
    """Whether there is a thread of that id, be it a dead one that nobody has waited for yet."""
    return os.path.exists(b"%b/%d" % (PROC, tid))


def threads(pid: int) -> List[int]:
    """Ids of the threads of a process; raises OSError."""
    try:
        return [int(name) for name in os.listdir(_path(pid, "task"))]
    except OSError as error:
        raise _gone(error)


def open_regular(pid: int, number: int) -> int:
    """Open the regular file behind a descriptor of a process for reading; raises OSError, EINVAL for other files,
    for which an open may have effects."""
    name = "fd/%d" % number
    if not stat_module.S_ISREG(status_of(pid, name)[0]):
        raise OSError(errno.EINVAL, "no regular file")
    try:
        return os.open(_path(pid, name), os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
    except OSError as error:
        raise _gone(error)


def pid_of_descriptor(pid: int, number: int) -> int:
    """The process that a pidfd of a process stands for; raises OSError, ValueError for other descriptors."""
    return _descriptor_number(pid, number, b"Pid:")


def mount_of_descriptor(pid: int, number: int) -> int:
    """The number of the mount that a descriptor of a process lies on; raises OSError, ValueError before Linux 3.15."""
    return _descriptor_number(pid, number, b"mnt_id:")


def _descriptor_number(pid: int, number: int, word: bytes) -> int:
    for line in read(pid, "fdinfo/%d" % number, 4096).split(b"\n"):
        if line.startswith(word):
            return int(line[len(word):])
    raise ValueError("no %s in fdinfo" % word.decode())


def descriptors(pid: int) -> List[int]:
    """The open descriptors of a process; raises OSError."""
    try:
        return [int(name) for name in os.listdir(_path(pid, "fd"))]
    except OSError as error:
        raise _gone(error)


def position(pid: int, number: int) -> int:
    """The file position of a descriptor of a process; raises OSError."""
    for line in read(pid, "fdinfo/%d" % number, 4096).split(b"\n"):
        if line.startswith(b"pos:"):
            return int(line[len(b"pos:"):])
    return 0


def filesystem_of(pid: int, number: int) -> bytes:
    """The type of the file system that a descriptor's file is on, b"" where it is not known (before Linux 3.15, or in
    a mount that is not the process's any more); raises OSError."""
    mount = b""
    for line in read(pid, "fdinfo/%d" % number, 4096).split(b"\n"):
        if line.startswith(b"mnt_id:"):
            mount = line[len(b"mnt_id:"):].strip()
    for line in read(pid, "mountinfo", _MAPS_AT_MOST).split(b"\n") if mount else ():
        words = line.split()
        if words and words[0] == mount and b"-" in words:
            return words[words.index(b"-") + 1]
    return b""


def mapping(pid: int, name: bytes) -> Tuple[int, int]:
    """Where the first mapping of that name begins and ends; raises OSError, ENOENT where there is none."""
    for line in read(pid, "maps", _MAPS_AT_MOST).split(b"\n"):
        if line.endswith(b" " + name):
            start, _, end = line.split()[0].partition(b"-")
            return int(start, 16), int(end, 16)
    raise OSError(errno.ENOENT, "no mapping " + name.decode())


def protection_at(pid: int, address: int) -> int:
    """VM_READ, VM_WRITE, VM_EXEC and VM_SHARED (1, 2, 4, 8) of the mapping at an address, 0 where there is none."""
    for line in read(pid, "maps", _MAPS_AT_MOST).split(b"\n"):
        start, _, rest = line.partition(b"-")
        end, _, rest = rest.partition(b" ")
        if end and int(start, 16) <= address < int(end, 16):
            return sum(1 << bit for bit, letter in enumerate(b"rwxs") if rest[bit] == letter)
    return 0


def mounted_at(pid: int, path: bytes) -> Optional[Mount]:
    """The uppermost mount at a path of a process's mount namespace (proc(5), mountinfo); raises OSError."""
    found = None
    for line in read(pid, "mountinfo", _MAPS_AT_MOST).split(b"\n"):
        words = line.split()
        if len(words) > 6 and _unescape(words[4]) == path and b"-" in words:
            major, _, minor = words[2].partition(b":")
            found = Mount(int(words[0]), int(words[1]), os.makedev(int(major), int(minor)), _unescape(words[3]),
                          words[words.index(b"-") + 1])
    return found


def fs_type_of(pid: int, device: int) -> bytes:
    """The type of the file system on a device, b"" where no mount of the process shows it; raises OSError."""
    wanted = b"%d:%d" % (os.major(device), os.minor(device))
    for line in read(pid, "mountinfo", _MAPS_AT_MOST).split(b"\n"):
        words = line.split()
        if len(words) > 6 and words[2] == wanted and b"-" in words:
            return words[words.index(b"-") + 1]
    return b""


def _unescape(text: bytes) -> bytes:
    """Blanks, line breaks and backslashes are octal there."""
    for code in (b"\\040", b"\\011", b"\\012", b"\\134"):
        text = text.replace(code, bytes([int(code[1:], 8)]))
    return text


def is_dead(pid: int, tid: int) -> bool:
    """Whether a thread has ended and only waits to be waited for."""
    try:
        return read(pid, "task/%d/stat" % tid, 4096).rpartition(b")")[2].split()[0] in b"ZX"
    except (OSError, IndexError):
        return True


def has_ended(pid: int) -> bool:
    """Whether no thread of a process lives any more; its first one may have ended before others."""
    try:
        return all(is_dead(pid, tid) for tid in threads(pid))
    except OSError:
        return True


def has_ended_for_good(pid: int) -> bool:
    """The same, with patience: while one thread executes a program the others die, and it takes over the number of the first;
    who looks at them one after the other may find none that lives."""
    return all(has_ended(pid) for _ in range(_LOOKS))


def processes() -> List[int]:
    """Ids of all processes that this /proc shows."""
    return [int(name) for name in os.listdir(PROC) if name.isdigit()]


def descendants(*roots: int) -> List[int]:
    """Ids of all processes below these, each once, parents before children."""
    children: Dict[int, List[int]] = {}
    for pid in processes():
        try:
            children.setdefault(stat(pid).ppid, []).append(pid)
        except (OSError, ValueError, IndexError):
            continue
    found: List[int] = []
    waiting = list(roots)
    while waiting:
        # Each parent is asked once, or a root below another root would be counted twice.
        offspring = children.pop(waiting.pop(0), [])
        found += offspring
        waiting += offspring
    return found


def bears_our_name(pid: int) -> bool:
    """Whether a process is named as those of ebpfless are; False where it is gone."""
    try:
        return stat(pid).comm.startswith(_OUR_NAMES)
    except OSError:
        return False


def children(parent: int) -> List[int]:
    """Ids of the processes whose parent is this one."""
    found = []
    for pid in processes():
        try:
            if stat(pid).ppid == parent:
                found.append(pid)
        except (OSError, ValueError, IndexError):
            continue
    return found


def tops(family: Iterable[int]) -> List[int]:
    """Those of a family who live and have no parent in it."""
    parents: Dict[int, int] = {}
    for pid in family:
        try:
            if not has_ended(pid):
                parents[pid] = stat(pid).ppid
        except OSError:
            continue
    return sorted(pid for pid, parent in parents.items() if parent not in parents)


def resident_bytes() -> int:
    """Memory of this process that is in RAM; raises OSError."""
    return int(read(os.getpid(), "statm").split()[1]) * os.sysconf("SC_PAGE_SIZE")


def pid_namespace() -> int:
    """The inode of our own pid namespace, 0 where the kernel (before 3.8) does not tell."""
    try:
        return os.stat(b"%b/self/ns/pid" % PROC).st_ino
    except OSError:
        return 0


def uptime() -> int:
    """Time since boot in ns, to a hundredth of a second (/proc/uptime); raises OSError."""
    with open("/proc/uptime", "rb") as file:
        seconds, _, hundredths = file.read().split()[0].partition(b".")
    return int(seconds) * 10 ** 9 + int(hundredths) * 10 ** 7


def tty_name(device: int) -> str:
    """Name of a terminal by its device number (stat's tty): pts0, tty1 ...; "" for none or others."""
    major, minor = os.major(device), os.minor(device)
    if 136 <= major <= 143:
        return "pts%d" % ((major - 136) * 256 + minor)
    if major == 4:
        return "tty%d" % minor if minor < 64 else "ttyS%d" % (minor - 64)
    return "console" if (major, minor) == (5, 1) else ""


# Names of terminals: how many there are, their first major and minor number.
_TERMINALS = {"pts": (2048, 136, 0), "tty": (64, 4, 0), "ttyS": (192, 4, 64)}


def tty_device(name: str) -> int:
    """The device number of a terminal's name, 0 for other names; pts/0 is known as well as pts0."""
    kind = name.rstrip("0123456789")
    index = int(name[len(kind):][:5] or -1)
    count, major, minor = _TERMINALS.get(kind.rstrip("/"), (0, 0, 0))
    if 0 <= index < count:
        return os.makedev(major + (minor + index) // 256, (minor + index) % 256)
    return os.makedev(5, 1) if name == "console" else 0


class View:
    """The file system as one process sees it: its root, below which symlinks are followed for it.

    The kernel would follow an absolute symlink below /proc/PID/root from *our*
    root; so the walk is done here, one component at a time.
    """

    def __init__(self, tid: int, root: bytes = b"") -> None:
        """`root` is the directory to begin at, if it is not the process's root."""
        self.tid = tid
        try:
            self._root = os.open(root or _path(tid, "root"), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise _gone(error)

    def close(self) -> None:
        """Give the descriptor of the root back."""
        os.close(self._root)

    def resolve(self, path: bytes, follow_last: bool = True) -> bytes:
        """An absolute path without symlinks, `.` and `..`; what does not exist stays as it is written."""
        done: List[bytes] = []
        waiting = [part for part in reversed(path.split(b"/")) if part not in (b"", b".")]
        followed = 0
        exists = True
        while waiting:
            part = waiting.pop()
            if part == b"..":
                done = done[:-1]
                continue
            done.append(part)
            if not exists or (not waiting and not follow_last):
                continue
            target = self._target(done)
            if target is None:
                continue
            exists = target != b"?" and followed < _SYMLINKS_AT_MOST
            if not exists:
                continue
            followed += 1
            if target.startswith(b"/"):
                done = []
            else:
                done.pop()
            waiting += [piece for piece in reversed(target.split(b"/")) if piece not in (b"", b".")]
        return b"/" + b"/".join(done)

    def status(self, path: bytes) -> Optional[FileStatus]:
        """Attributes of a resolved path, None where it cannot be looked at."""
        try:
            return look(path.lstrip(b"/") or b".", self._root, follow=False)
        except OSError:
            return None

    def begins_with(self, path: bytes, word: bytes) -> bool:
        """Whether the content of a regular file, by its resolved path, begins so; True where it cannot be read."""
        try:
            file = os.open(path.lstrip(b"/"), os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC,
                           dir_fd=self._root)
        except OSError:
            return True
        try:
            return os.read(file, len(word)) == word
        except OSError:
            return True
        finally:
            os.close(file)

    def _target(self, parts: List[bytes]) -> Optional[bytes]:
        """Target of a symlink, None for anything else, b"?" where nothing is there."""
        if parts[0] == b"proc" and len(parts) == 2:
            # These two speak of whoever reads them.
            if parts[1] == b"self":
                return b"%d" % self._leader()
            if parts[1] == b"thread-self":
                return b"%d/task/%d" % (self._leader(), self.tid)
        try:
            target = os.readlink(b"/".join(parts), dir_fd=self._root)
        except OSError as error:
            return None if error.errno == errno.EINVAL else b"?"
        # A link to what has no path, such as "pipe:[17]": its text leads nowhere, but it can be opened.
        return None if len(parts) > 3 and parts[0] == b"proc" and not target.startswith(b"/") else target

    def _leader(self) -> int:
        try:
            return group_leader(self.tid)[0]
        except (OSError, KeyError, ValueError):
            return self.tid
