"""Events of system calls, a few kinds for many calls. What an event does not have is zero.

Built from the tracer's CALL records by events/making.py.
"""

from typing import List, Optional, Tuple

from ebpfless_arch.events.addresses import is_public
from ebpfless_arch.events.model import NO_CREDENTIALS, UNSET_ID, Event, File, Process

_PR_SET_NAME = 15


class CallEvent(Event):
    """A system call that was made, or refused."""

    __slots__ = ()

    def user(self, uid: int) -> str:
        """Name of a user id, "" for none."""
        return self.process.users.user(uid)

    def group(self, gid: int) -> str:
        """Name of a group id, "" for none."""
        return self.process.users.group(gid)


class FileEvent(CallEvent):
    """unlink, rmdir, rename, mkdir, utimes, link, chmod, chown, chdir, setxattr, removexattr, splice.

    `file` is what the call is about: as it was before, for mkdir and chdir as it is. `destination` is the new name of
    rename and link. `uid` and `gid` are chown's arguments, -1 where it leaves one; `attribute` is an extended
    attribute's full name; `dirfd` is -100 (AT_FDCWD) where the call has none.
    """

    __slots__ = ("file", "destination", "mode", "uid", "gid", "flags", "dirfd", "attribute", "syscall_path",
                 "syscall_destination_path")

    def __init__(self, kind: str, time: int, process: Process, tid: int, retval: int) -> None:
        Event.__init__(self, kind, time, process, tid, retval)
        self.file = File(process.users)
        self.destination = File(process.users)
        self.mode = 0
        self.uid = -1
        self.gid = -1
        self.flags = 0
        self.dirfd = -100
        self.attribute = ""
        self.syscall_path = ""
        self.syscall_destination_path = ""

    @property
    def namespace(self) -> str:
        """The class of an extended attribute: user, security ... (xattr(7))."""
        name, dot, _ = self.attribute.partition(".")
        return name if dot else ""


class MountEvent(CallEvent):
    """mount. `file` is the mount point, `source` what is mounted there: a path, or a word where there is none.

    The rest is known of a mount that succeeded: `root` is the part of its file system that it shows. A detached one
    (fsmount, open_tree) has a descriptor and no mount point yet.
    """

    __slots__ = ("file", "source", "fs_type", "root", "mount_id", "parent_id", "device", "visible", "detached",
                 "syscall_path", "syscall_source", "syscall_fs_type")

    def __init__(self, time: int, process: Process, tid: int, retval: int) -> None:
        Event.__init__(self, "mount", time, process, tid, retval)
        self.file = File(process.users)
        self.source = ""
        self.fs_type = ""
        self.root = ""
        self.mount_id = 0
        self.parent_id = 0
        self.device = 0
        self.visible = False
        self.detached = False
        self.syscall_path = ""
        self.syscall_source = ""
        self.syscall_fs_type = ""


class IdentityEvent(CallEvent):
    """setuid, setgid, capset. `after` is the thread's identity after the call, while `process` is still as before;
    of a call that failed, it is what was asked for, and UNSET_ID for the ids that were not."""

    __slots__ = ("after",)

    def __init__(self, kind: str, time: int, process: Process, tid: int, retval: int) -> None:
        Event.__init__(self, kind, time, process, tid, retval)
        self.after = NO_CREDENTIALS._replace(uid=UNSET_ID, euid=UNSET_ID, fsuid=UNSET_ID,
                                             gid=UNSET_ID, egid=UNSET_ID, fsgid=UNSET_ID)


class TargetEvent(CallEvent):
    """A call upon a process: `target` is its record (an empty one where there is no such process, or where there are
    many), `pid` its number as passed."""

    __slots__ = ("target", "pid")

    def __init__(self, kind: str, time: int, process: Process, tid: int, retval: int) -> None:
        Event.__init__(self, kind, time, process, tid, retval)
        self.target = process
        self.pid = 0


class SignalEvent(TargetEvent):
    """signal: any call that sends one, of number `signal`. A `pid` of 0 or less means a group, or all."""

    __slots__ = ("signal",)

    def __init__(self, time: int, process: Process, tid: int, retval: int) -> None:
        TargetEvent.__init__(self, "signal", time, process, tid, retval)
        self.signal = 0


class PtraceEvent(TargetEvent):
    """ptrace. `target` is the tracee."""

    __slots__ = ("request", "address")

    def __init__(self, time: int, process: Process, tid: int, retval: int) -> None:
        TargetEvent.__init__(self, "ptrace", time, process, tid, retval)
        self.request = 0
        self.address = 0


class LimitEvent(TargetEvent):
    """setrlimit. `current` and `maximum` are the soft and the hard limit, -1 for none."""

    __slots__ = ("resource", "current", "maximum")

    def __init__(self, time: int, process: Process, tid: int, retval: int) -> None:
        TargetEvent.__init__(self, "setrlimit", time, process, tid, retval)
        self.resource = 0
        self.current = 0
        self.maximum = 0


class PrctlEvent(CallEvent):
    """prctl. `new_name` is PR_SET_NAME's, as the kernel cuts it, and `truncated` whether it did."""

    __slots__ = ("option", "new_name", "truncated")

    def __init__(self, time: int, process: Process, tid: int, retval: int) -> None:
        Event.__init__(self, "prctl", time, process, tid, retval)
        self.option = 0
        self.new_name = ""
        self.truncated = False

    @property
    def renames(self) -> bool:
        """Whether its process has another name now: that of its first thread."""
        return self.option == _PR_SET_NAME and self.retval >= 0 and self.tid == self.process.pid


class MemoryEvent(CallEvent):
    """mmap and mprotect, where the memory becomes executable. `file` is what was mapped; `present` has the mapping's
    VM_ bits from before an mprotect; the address of a mapping that succeeded is the kernel's choice."""

    __slots__ = ("file", "address", "length", "offset", "protection", "flags", "present")

    def __init__(self, kind: str, time: int, process: Process, tid: int, retval: int) -> None:
        Event.__init__(self, kind, time, process, tid, retval)
        self.file = File(process.users)
        self.address = 0
        self.length = 0
        self.offset = 0
        self.protection = 0
        self.flags = 0
        self.present = 0


class BpfEvent(CallEvent):
    """bpf. Map and program are known of the commands that make one: BPF_MAP_CREATE, BPF_PROG_LOAD."""

    __slots__ = ("command", "map_type", "map_name", "program_type", "program_name", "attach_type", "helpers")

    def __init__(self, time: int, process: Process, tid: int, retval: int) -> None:
        Event.__init__(self, "bpf", time, process, tid, retval)
        self.command = 0
        self.map_type = 0
        self.map_name = ""
        self.program_type = 0
        self.program_name = ""
        self.attach_type = 0
        self.helpers: Tuple[int, ...] = ()


class ModuleEvent(CallEvent):
    """load_module and unload_module. `args` are the module's parameters; `file` is empty when it came from memory."""

    __slots__ = ("file", "name", "args", "truncated", "from_memory")

    def __init__(self, kind: str, time: int, process: Process, tid: int, retval: int) -> None:
        Event.__init__(self, kind, time, process, tid, retval)
        self.file = File(process.users)
        self.name = ""
        self.args = ""
        self.truncated = False
        self.from_memory = False

    @property
    def argv(self) -> List[str]:
        """The parameters one by one."""
        return self.args.split()


class SocketEvent(CallEvent):
    """bind, connect, accept. `ip` is an address as text, "" for families other than IPv4 and IPv6; `path` is that of
    a unix socket, `@name` for an abstract one. Of an accept, `ip` and `peer_port` are the peer's, `port` is ours.
    `hostnames` are the names under which the address was found by DNS."""

    __slots__ = ("family", "ip", "port", "protocol", "path", "peer_port", "hostnames", "_public")

    def __init__(self, kind: str, time: int, process: Process, tid: int, retval: int) -> None:
        Event.__init__(self, kind, time, process, tid, retval)
        self.family = 0
        self.ip = ""
        self.port = 0
        self.protocol = 0
        self.path = ""
        self.peer_port = 0
        self.hostnames: List[str] = []
        self._public: Optional[bool] = None

    @property
    def is_public(self) -> bool:
        """Whether the address is outside of private, local and reserved ranges."""
        if self._public is None:
            self._public = is_public(self.ip)
        return self._public


class SocketOptionEvent(CallEvent):
    """setsockopt that attaches a program to a socket. `instructions` are those of a classic BPF filter, as (code,
    jump if true, jump if false, constant)."""

    __slots__ = ("level", "option", "family", "socket_type", "protocol", "instructions", "filter_hash")

    def __init__(self, time: int, process: Process, tid: int, retval: int) -> None:
        Event.__init__(self, "setsockopt", time, process, tid, retval)
        self.level = 0
        self.option = 0
        self.family = 0
        self.socket_type = 0
        self.protocol = 0
        self.instructions: Tuple[Tuple[int, int, int, int], ...] = ()
        self.filter_hash = ""

    @property
    def option_name(self) -> str:
        """SO_..., of those that attach."""
        return {26: "SO_ATTACH_FILTER", 50: "SO_ATTACH_BPF", 51: "SO_ATTACH_REUSEPORT_CBPF",
                52: "SO_ATTACH_REUSEPORT_EBPF"}.get(self.option, str(self.option))

    @property
    def immediates(self) -> List[int]:
        """The constants that the filter compares with: of its conditional jumps, each once, in order."""
        found: List[int] = []
        for code, _, _, constant in self.instructions:
            # BPF_JMP with BPF_K, but for BPF_JA (linux/bpf_common.h)
            if code & 0x0F == 0x05 and code != 0x05 and constant not in found:
                found.append(constant)
        return found
