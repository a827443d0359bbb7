"""What became of a call: its record, made at its exit stop or, for a new program, at its EXEC stop."""

import errno
import os
import stat
from typing import Any, Callable, Dict, List, Tuple

from ebpfless_arch.events import records
from ebpfless_arch.events.flags import O_NOFOLLOW
from ebpfless_arch.events.records import Record, now
from ebpfless_arch.kernel import procfs, sockets
from ebpfless_arch.tracer import confirm, decode, mounts, paths, programs, readers, syscalls
from ebpfless_arch.tracer.decode import Pending
from ebpfless_arch.tracer.stops import Stop

_EPERM = -1
_WITHOUT_DESCRIPTOR = ("truncate", "truncate64")
_MAP_ANONYMOUS = 0x20
_SOCKADDR_AT_MOST = 128
_PORTS_AT_MOST = 4096


def finish(stop: Stop, pending: Pending, retval: int) -> Record:
    """The record of a call that is over (an exec: that failed)."""
    if pending.row.event == "exec":
        return _fail_exec(stop, pending, retval)
    if pending.row.event == "open":
        return _finish_open(stop, pending, retval)
    complete = _AT_RESULT.get(pending.row.event)
    if complete is not None:
        # What is added belongs to this record: of a call that waits for a verdict there are two.
        pending = pending._replace(values=dict(pending.values))
        complete(stop, pending, retval)
    return _call(stop, pending, retval)


def finish_killed(stop: Stop, pending: Pending) -> Record:
    """The record of a signal by which a process killed itself: such a call has no exit stop."""
    return _call(stop, pending, 0)


def outcome(stop: Stop, pending: Pending, result: int) -> int:
    """The result of a call: setfsuid and setfsgid return what was before, whether they did anything or not."""
    for name, index in ((syscalls.FSUID, 4), (syscalls.FSGID, 5)):
        if name in pending.values:
            return 0 if programs.identity(stop.tid)[index] == pending.values[name] else _EPERM
    return result


def _call(stop: Stop, pending: Pending, retval: int) -> Record:
    return (records.CALL, now(), stop.pid, stop.tid, retval, pending.row.event, pending.values)


# --- files ----------------------------------------------------------------------

def _finish_open(stop: Stop, pending: Pending, retval: int) -> Record:
    """The record of an open: where it succeeded, the file is what the new descriptor stands for."""
    values = pending.values
    how = values.get(syscalls.HOW)
    flags, mode = how[:2] if how is not None else (values[syscalls.FLAGS], values.get(syscalls.MODE, 0))
    if not flags & (os.O_CREAT | os.O_TMPFILE & ~os.O_DIRECTORY):
        mode = 0
    follow = not (flags & O_NOFOLLOW or flags & os.O_CREAT and flags & os.O_EXCL)
    path, status, error = _opened(stop, pending, retval, follow)
    raced = retval >= 0 and _may_race(pending, flags) and confirm.is_raced(stop, pending, path, follow)
    return (records.OPEN, now(), stop.pid, stop.tid, retval, path, values.get(syscalls.PATH) or b"",
            flags, mode, status, error, raced)


def _may_race(pending: Pending, flags: int) -> bool:
    """Whether a name was read that means the file which is open now: what O_TMPFILE makes has none."""
    return (syscalls.PATH in pending.values and flags & os.O_TMPFILE != os.O_TMPFILE
            and pending.row.call not in _WITHOUT_DESCRIPTOR)


def _opened(stop: Stop, pending: Pending, retval: int, follow: bool) -> paths.Found:
    values = pending.values
    if pending.row.call in _WITHOUT_DESCRIPTOR:
        return paths.find(stop, paths.AT_FDCWD, values[syscalls.PATH], True)
    found = paths.descriptor(stop, retval) if retval >= 0 else paths.NOTHING
    if found.path.startswith(b"/"):
        return found
    if syscalls.PATH not in values:  # only the kernel knows what a handle stands for
        return found if retval >= 0 else found._replace(error=errno.errorcode.get(-retval, ""))
    path, error = paths.locate(stop.tid, values, follow)
    return paths.Found(path, found.status, error)


def _made(stop: Stop, pending: Pending, retval: int) -> None:
    """A new directory."""
    pending.values["file"] = tuple(decode.named_file(stop, pending))


def _renamed(stop: Stop, pending: Pending, retval: int) -> None:
    values = pending.values
    values["destination"] = tuple(paths.find(stop, values.get(syscalls.NEW_DIRFD, paths.AT_FDCWD),
                                             values[syscalls.NEW_PATH], False))


def _linked(stop: Stop, pending: Pending, retval: int) -> None:
    _renamed(stop, pending, retval)
    values = pending.values
    if "file" not in values:
        target, link = values[syscalls.PATH], values["destination"][0]
        values["file"] = tuple(paths.beside(stop, target, link) if target else paths.NOTHING)


def _moved_into(stop: Stop, pending: Pending, retval: int) -> None:
    """A new working directory."""
    values = pending.values
    values["file"] = tuple(paths.working_directory(stop) if retval >= 0 else decode.named_file(stop, pending))


def _mounted(stop: Stop, pending: Pending, retval: int) -> None:
    if pending.values["detached"]:
        mounts.complete(stop, pending.values, retval)
        return
    mount = paths.mount_of(stop.tid, pending.values["file"][0]) if retval >= 0 else None
    pending.values["mount"] = tuple(mount) if mount is not None else None


def _made_node(stop: Stop, pending: Pending, retval: int) -> None:
    """A new device, pipe, socket or plain file."""
    values = pending.values
    _made(stop, pending, retval)
    device = values.pop(syscalls.DEVICE)
    values["major"], values["minor"] = os.major(device), os.minor(device)
    values[syscalls.MODE] &= 0xFFFF
    values[syscalls.TYPE] = stat.S_IFMT(values[syscalls.MODE]) or stat.S_IFREG


def _taken(stop: Stop, pending: Pending, retval: int) -> None:
    """Another process's descriptor, which is ours now."""
    pending.values["file"] = tuple(paths.descriptor(stop, retval) if retval >= 0 else paths.NOTHING)


# --- identities -------------------------------------------------------------------

def _changed_identity(stop: Stop, pending: Pending, retval: int) -> None:
    """What the process is now, for as far as its first thread is concerned; what the thread is, that asked for it."""
    values = pending.values
    values["identity"] = None
    if retval >= 0:
        try:
            values["identity"] = procfs.identity(stop.tid)
        except (OSError, KeyError, ValueError):
            pass
    values["process_identity"] = values["identity"] if stop.tid == stop.pid else None


# --- memory, sockets ----------------------------------------------------------------

def _mapped(stop: Stop, pending: Pending, retval: int) -> None:
    values = pending.values
    anonymous = values[syscalls.FLAGS] & _MAP_ANONYMOUS
    values["file"] = tuple(paths.NOTHING if anonymous else paths.descriptor(stop, values[syscalls.FD]))


def _addressed(stop: Stop, pending: Pending, retval: int) -> None:
    values = pending.values
    values.update(sockets.parse(values.pop(syscalls.SOCKADDR)))
    values["protocol"] = sockets.kind(stop.tid, values[syscalls.FD]).protocol


def _accepted(stop: Stop, pending: Pending, retval: int) -> None:
    """The peer's address, and the port at which it was accepted: the address is in the program's memory, if it asked
    for it."""
    values = pending.values
    address, length = values.pop(syscalls.ADDRESS), values.pop(syscalls.LENGTH)
    peer = b""
    if retval >= 0 and address:
        size = int.from_bytes(stop.read(length, 4), "little")
        peer = stop.read(address, min(size, _SOCKADDR_AT_MOST))
    values.update(sockets.parse(peer))
    kind = sockets.kind(stop.tid, values[syscalls.FD])
    values["family"] = values["family"] or kind.family
    values["protocol"], values["peer_port"], values["port"] = kind.protocol, values["port"], 0
    if kind.family in (sockets.AF_INET, sockets.AF_INET6):
        _complete_ends(stop, values, retval)


def _complete_ends(stop: Stop, values: Dict[str, Any], retval: int) -> None:
    """What /proc tells of a TCP connection: its own end from the socket that listens, which is asked only once."""
    listening = sockets.socket_inode(stop.tid, values[syscalls.FD])
    ports = stop.machine.listening_ports
    if retval >= 0 and not values["ip"]:
        found = sockets.ends(stop.tid, sockets.socket_inode(stop.tid, retval))
        if found is not None:
            values["ip"], values["peer_port"] = found[1]
    if listening not in ports:
        found = sockets.ends(stop.tid, listening)
        if len(ports) >= _PORTS_AT_MOST:
            ports.clear()
        ports[listening] = found[0].port if found is not None else 0
    values["port"] = ports[listening]


def _listening(stop: Stop, pending: Pending, retval: int) -> None:
    """The address of a socket that listens: a call that succeeded has given it one."""
    values = pending.values
    number = values[syscalls.FD]
    kind, inode = sockets.kind(stop.tid, number), sockets.socket_inode(stop.tid, number)
    values.update(family=kind.family, protocol=kind.protocol, ip=b"", port=0, path=b"")
    if kind.family == sockets.AF_UNIX:
        values["path"] = sockets.unix_path(stop.tid, inode)
    elif inode:
        found = sockets.ends(stop.tid, inode)
        if found is not None:
            values["ip"], values["port"] = found[0]


def _attached(stop: Stop, pending: Pending, retval: int) -> None:
    pending.values["socket"] = tuple(sockets.kind(stop.tid, pending.values[syscalls.FD]))


_AT_RESULT: Dict[str, Callable[[Stop, Pending, int], None]] = {
    "mkdir": _made, "rename": _renamed, "link": _linked, "chdir": _moved_into, "mount": _mounted,
    "setuid": _changed_identity, "setgid": _changed_identity, "capset": _changed_identity,
    "mknod": _made_node, "pidfd_getfd": _taken,
    "mmap": _mapped, "bind": _addressed, "connect": _addressed, "accept": _accepted, "setsockopt": _attached,
    "listen": _listening,
}


# --- programs -----------------------------------------------------------------------

def finish_exec(stop: Stop, pending: Pending) -> Record:
    """The record of a new program, at its EXEC stop: the kernel's own view of it."""
    values = pending.values
    argument, expected = values[syscalls.PATH], confirm.executed_as(values)
    seen = programs.begun(stop.tid, stop.machine.memory, expected)
    raced = argument is not None and seen.name not in (b"", expected)
    taken = seen.name if raced or argument is None else b""
    named = b"" if syscalls.DIRFD in values else taken or argument or b""
    program = programs.find_program(
        stop.tid, named, lambda: programs.meant(stop.tid, taken) if taken else decode.executed_file(stop, pending)[0])
    return programs.exec_record(stop.pid, stop.tid, argument or taken, program, values[syscalls.ARGV], seen,
                                stop.machine.attributes, raced)


def _fail_exec(stop: Stop, pending: Pending, retval: int) -> Record:
    """The record of an exec that did not happen."""
    values = pending.values
    path, error = decode.executed_file(stop, pending)
    argv, argv_cut = values[syscalls.ARGV]
    envp, envp_cut = readers.read_argv(stop, pending.call, values[syscalls.ENVP])
    return (records.EXEC, now(), stop.pid, stop.tid, retval, path, values[syscalls.PATH] or b"", argv, argv_cut,
            envp, envp_cut, paths.status_in_view(stop.tid, path) if path else None, b"", None, programs.NO_IDENTITY, b"",
            0, 0, b"", False)


def plain_exec(stop: Stop) -> Record:
    """The record of an exec whose entry we did not see: all from /proc and the program's memory."""
    return programs.told_exec(stop.pid, stop.machine.memory, stop.machine.attributes)
