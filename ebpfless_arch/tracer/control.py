"""Files that steer the kernel: the process lists of cgroups, SELinux's switches, the parameters of /proc/sys."""

import os
from typing import Any, Dict, FrozenSet, Optional

from ebpfless_arch.kernel import procfs
from ebpfless_arch.named import NamedTuple
from ebpfless_arch.tracer import paths
from ebpfless_arch.tracer.stops import Stop

WRITTEN_AT_MOST = 4096
VALUE_AT_MOST = 1024
SYSCTL_READ, SYSCTL_WRITE = 1, 2

_CGROUP_NAMES = (b"cgroup.procs", b"cgroup.threads", b"tasks")
_CGROUP_TYPES, _PROC_TYPES = (b"cgroup", b"cgroup2", b""), (b"proc", b"")
_SELINUX_FOLDERS = (b"/sys/fs/selinux/", b"/selinux/")
_SELINUX_NAMES = (b"enforce", b"disable", b"commit_pending_bools")
_BOOLEANS = b"booleans/"
_SYSCTL_FOLDER = b"/proc/sys/"

Values = Dict[str, Any]


class Control(NamedTuple):
    """A file that steers: the event that a write to it is, and its name (of a parameter: below /proc/sys)."""

    event: str
    name: bytes


def recognize(tid: int, descriptor: int, path: bytes, wanted: FrozenSet[str]) -> Optional[Control]:
    """What the file behind a descriptor steers, by its path; None for other files, and for events not wanted."""
    name = path.rpartition(b"/")[2]
    if name in _CGROUP_NAMES:
        found = Control("cgroup_write", name)
        return found if found.event in wanted and _filesystem(tid, descriptor) in _CGROUP_TYPES else None
    if "sysctl" in wanted and _SYSCTL_FOLDER in path:
        found = Control("sysctl", path.partition(_SYSCTL_FOLDER)[2])
        return found if _filesystem(tid, descriptor) in _PROC_TYPES else None
    if "selinux" in wanted and b"/selinux/" in path:
        return _recognize_switch(paths.in_view(tid, path))
    return None


def _recognize_switch(path: bytes) -> Optional[Control]:
    for folder in _SELINUX_FOLDERS:
        name = path[len(folder):] if path.startswith(folder) else b""
        if name in _SELINUX_NAMES or name.startswith(_BOOLEANS):
            return Control("selinux", name)
    return None


def _filesystem(tid: int, descriptor: int) -> bytes:
    try:
        return procfs.filesystem_of(tid, descriptor)
    except OSError:
        return b""


def written(stop: Stop, control: Control, descriptor: int, data: bytes, offset: Optional[int]) -> Optional[Values]:
    """What a write of `data` says, at `offset` or the descriptor's position; None where it says nothing."""
    if control.event == "cgroup_write":
        return _cgroup_values(stop, control, descriptor, data)
    if control.event == "selinux":
        return _selinux_values(control.name, data)
    return _sysctl_values(stop, control.name, descriptor, data, offset)


def _number(data: bytes) -> Optional[int]:
    try:
        return int(data.strip(b" \t\n\0"))
    except ValueError:
        return None


def _cgroup_values(stop: Stop, control: Control, descriptor: int, data: bytes) -> Optional[Values]:
    """The process that is moved: 0 means the writer. The files of threads take the number of a thread."""
    number = _number(data)
    if number is None or number < 0:
        return None
    if number and control.name != b"cgroup.procs":
        try:
            number = procfs.group_leader(number)[0]
        except (OSError, KeyError, ValueError):
            pass
    return {"file": tuple(paths.descriptor(stop, descriptor)), "pid": number or stop.pid}


def _selinux_values(name: bytes, data: bytes) -> Optional[Values]:
    number = _number(data)
    if number is None or name == b"disable" and not number:
        return None
    return {"name": name, "state": number != 0}


def _sysctl_values(stop: Stop, name: bytes, descriptor: int, data: bytes, offset: Optional[int]) -> Values:
    return {"name": name, "action": SYSCTL_WRITE, "value": data[:VALUE_AT_MOST + 1],
            "old_value": _content(stop.tid, descriptor),
            "position": _position(stop.tid, descriptor) if offset is None else offset}


def _position(tid: int, descriptor: int) -> int:
    try:
        return procfs.position(tid, descriptor)
    except (OSError, ValueError):
        return 0


def _content(tid: int, descriptor: int) -> bytes:
    """The parameter as it is now: the file behind the descriptor belongs to its opener's namespaces, not to ours."""
    try:
        file = os.open(b"/proc/%d/fd/%d" % (tid, descriptor), os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError:
        return b""
    try:
        return os.read(file, VALUE_AT_MOST + 1)
    except OSError:
        return b""
    finally:
        os.close(file)
