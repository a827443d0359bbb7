"""The mount calls of Linux 5.2 (fsopen ... move_mount): what they mount is known only from one call to the next.

A descriptor stands for a file system that is being configured, then for a mount that hangs nowhere yet. What it will
be is remembered by process and descriptor in `Machine.mounts`.
"""

from typing import Any, Dict

from ebpfless_arch.kernel import procfs
from ebpfless_arch.named import NamedTuple
from ebpfless_arch.tracer import paths, syscalls
from ebpfless_arch.tracer.stops import Stop

_AT_SYMLINK_NOFOLLOW = 0x100
_F_SYMLINKS, _T_SYMLINKS = 0x01, 0x10
_SOURCE = b"source"
_REMEMBERED_AT_MOST = 256


class Making(NamedTuple):
    """A file system or a mount behind a descriptor; `mount` is the mount's number, 0 where there is none yet."""

    fs_type: bytes
    source: bytes
    mount: int


_UNKNOWN = Making(b"", b"", 0)


def remember(stop: Stop, values: Dict[str, Any], retval: int) -> None:
    """An fsopen or fsconfig that is over."""
    if retval < 0:
        return
    if syscalls.FS_TYPE in values:
        _keep(stop, retval, Making(values[syscalls.FS_TYPE], b"", 0))
    elif values[syscalls.NAME] == _SOURCE:
        known = _known(stop, values[syscalls.FD])
        _keep(stop, values[syscalls.FD], known._replace(source=values[syscalls.SOURCE] or b""))


def prepare(stop: Stop, values: Dict[str, Any]) -> None:
    """What an fsmount, open_tree or move_mount is about, before it is done."""
    values["detached"] = syscalls.PATH not in values
    values["file"] = tuple(paths.NOTHING)
    values.setdefault(syscalls.SOURCE, b"")
    if syscalls.FD in values:
        values[syscalls.FS_TYPE], values["source_path"], _ = _known(stop, values[syscalls.FD])
        return
    flags, directory = values[syscalls.FLAGS], values[syscalls.DIRFD]
    follow = not flags & _AT_SYMLINK_NOFOLLOW
    if not values["detached"]:
        values["file"] = tuple(paths.find(stop, values[syscalls.NEW_DIRFD], values[syscalls.PATH],
                                          bool(flags & _T_SYMLINKS)))
        follow = bool(flags & _F_SYMLINKS)
    known = _known(stop, directory) if not values[syscalls.SOURCE] else _UNKNOWN
    if known.mount and known.mount == _mount_behind(stop, directory):
        values[syscalls.FS_TYPE], values["source_path"] = known.fs_type, known.source
    else:
        values[syscalls.FS_TYPE] = b""
        values["source_path"] = paths.find(stop, directory, values[syscalls.SOURCE], follow).path


def complete(stop: Stop, values: Dict[str, Any], retval: int) -> None:
    """The mount that hangs nowhere, behind the new descriptor."""
    values["mount"] = None
    if retval < 0:
        return
    number = _mount_behind(stop, retval)
    device = _device(stop, retval)
    fs_type = values[syscalls.FS_TYPE] or _type_of(stop, device)
    values["mount"] = number, 0, device, b"", fs_type
    _keep(stop, retval, Making(fs_type, values["source_path"], number))


def _known(stop: Stop, descriptor: int) -> Making:
    found: Making = stop.machine.mounts.get((stop.pid, descriptor), _UNKNOWN)
    return found


def _keep(stop: Stop, descriptor: int, making: Making) -> None:
    kept = stop.machine.mounts
    if len(kept) >= _REMEMBERED_AT_MOST:
        kept.clear()
    kept[stop.pid, descriptor] = making


def _mount_behind(stop: Stop, descriptor: int) -> int:
    try:
        return procfs.mount_of_descriptor(stop.tid, descriptor)
    except (OSError, ValueError):
        return 0


def _device(stop: Stop, descriptor: int) -> int:
    try:
        return procfs.status_of(stop.tid, "fd/%d" % descriptor)[2]
    except OSError:
        return 0


def _type_of(stop: Stop, device: int) -> bytes:
    try:
        return procfs.fs_type_of(stop.tid, device)
    except (OSError, ValueError):
        return b""
