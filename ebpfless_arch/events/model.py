"""What happened, as objects that rules read and outputs print.

Strings that came from the kernel (paths, arguments, names) are `str` with
surrogateescape, so that bytes which are not UTF-8 survive a round trip.
Times are nanoseconds since the epoch, ids plain ints, 4294967295 is "unset"
for user and group ids (uid_t -1).
"""

from typing import List, Optional, Tuple

from ebpfless_arch.events.arguments import flag_names, option_values
from ebpfless_arch.events.records import NOTED_VARIABLES, decoded
from ebpfless_arch.events.users import Users
from ebpfless_arch.named import NamedTuple

UNSET_ID = 0xFFFFFFFF
# The owner of a file that nobody has looked at: no id of anybody, as for chown(2).
UNKNOWN_ID = -1

EXITED, CORE_DUMPED, SIGNALED = range(3)

_NOTED = frozenset(map(decoded, NOTED_VARIABLES))


class Credentials(NamedTuple):
    """Identity of a process (capabilities(7), credentials(7)); capability sets are bit masks."""

    uid: int
    gid: int
    euid: int
    egid: int
    fsuid: int
    fsgid: int
    auid: int
    cap_effective: int
    cap_permitted: int


NO_CREDENTIALS = Credentials(0, 0, 0, 0, 0, 0, UNSET_ID, 0, 0)


class Container(NamedTuple):
    """The container of a process; id is "" and created_at 0 outside of any."""

    id: str
    created_at: int


NO_CONTAINER = Container("", 0)


class File:
    """A file as an event saw it.

    `path` is absolute and resolved; it is "" where it is unknown and for
    anonymous memory files, whose `name` is "memfd:...". `error` says why a
    path or the attributes are missing. `hashes` ("sha256:...") are computed on
    demand only; `hash_state` is then "DONE" or why there are none.
    """

    __slots__ = ("path", "name", "inode", "device", "mode", "uid", "gid", "size",
                 "modification_time", "change_time", "deleted", "error", "users", "hashes", "hash_state")

    def __init__(self, users: Users, path: str = "", name: str = "") -> None:
        self.users = users
        self.path = path
        self.name = name or path.rpartition("/")[2]
        self.inode = 0
        self.device = 0
        self.mode = 0
        self.uid = 0
        self.gid = 0
        self.size = 0
        self.modification_time = 0
        self.change_time = 0
        self.deleted = False
        self.error = ""
        self.hashes: Tuple[str, ...] = ()
        self.hash_state = ""

    @property
    def user(self) -> str:
        """Name of the owner, "" when it has none."""
        return self.users.user(self.uid) if self.inode else ""

    @property
    def group(self) -> str:
        """Name of the owning group, "" when it has none."""
        return self.users.group(self.gid) if self.inode else ""

    @property
    def rights(self) -> int:
        """Permission bits: mode & 07777."""
        return self.mode & 0o7777

    @property
    def extension(self) -> str:
        """Last suffix of the name with its dot, "" when there is none."""
        head, dot, tail = self.name.rpartition(".")
        return dot + tail if head else ""


class Process:
    """One record of a process's life: every fork and every exec makes a new one.

    `parent` is the record before this one in the lineage: after fork + exec it
    is the forked copy with the same pid, which still shows the program that
    forked. `ppid` is the number of the parent process. `memo` is for whoever
    writes the record out, to write it only once.
    """

    __slots__ = ("pid", "tid", "ppid", "parent", "file", "interpreter", "arguments",
                 "args_truncated", "envp", "envs_truncated", "comm", "tty_name",
                 "credentials", "container", "cgroup", "fork_time", "exec_time", "exit_time", "start",
                 "is_exec", "users", "memo", "_ancestors", "_flags", "_options", "_args", "__weakref__")

    def __init__(self, users: Users, pid: int, ppid: int, parent: Optional["Process"] = None) -> None:
        self.users = users
        self.pid = pid
        self.tid = pid
        self.ppid = ppid
        self.parent = parent
        self.file = File(users)
        self.interpreter = File(users)
        self.arguments: List[str] = []
        self.args_truncated = False
        self.envp: List[str] = []
        self.envs_truncated = False
        self.comm = ""
        self.tty_name = ""
        self.credentials = NO_CREDENTIALS
        self.container = NO_CONTAINER
        self.cgroup = ""
        self.fork_time = 0
        self.start = 0
        self.exec_time = 0
        self.exit_time = 0
        self.is_exec = False
        self.memo: Optional[str] = None
        self._ancestors: Optional[Tuple["Process", ...]] = None
        self._flags: Optional[List[str]] = None
        self._options: Optional[List[str]] = None
        self._args: Optional[str] = None

    @property
    def ancestors(self) -> Tuple["Process", ...]:
        """The records before this one, nearest first; element 0 is `parent`."""
        if self._ancestors is None:
            found = []
            record = self.parent
            while record is not None:
                found.append(record)
                record = record.parent
            self._ancestors = tuple(found)
        return self._ancestors

    def fork(self, pid: int, time: int) -> "Process":
        """The record of a child just forked from this one: the same program, a new number."""
        child = Process(self.users, pid, self.pid, self)
        for name in _INHERITED:
            setattr(child, name, getattr(self, name))
        child.fork_time = time
        return child

    @property
    def created_at(self) -> int:
        """Start of this record: the exec's time, else the fork's, in ns."""
        return self.exec_time or self.fork_time

    @property
    def argv0(self) -> str:
        """First element of the argument vector."""
        return self.arguments[0] if self.arguments else ""

    @property
    def argv(self) -> List[str]:
        """Arguments after argv0."""
        return self.arguments[1:]

    @property
    def args(self) -> str:
        """Arguments after argv0, joined by blanks."""
        if self._args is None:
            self._args = " ".join(self.argv)
        return self._args

    @property
    def args_flags(self) -> List[str]:
        """Names of the options, without dashes (see events/arguments.py)."""
        if self._flags is None:
            self._flags = flag_names(self.argv)
        return self._flags

    @property
    def args_options(self) -> List[str]:
        """Options with a value, as name=value (see events/arguments.py)."""
        if self._options is None:
            self._options = option_values(self.argv)
        return self._options

    @property
    def envs(self) -> List[str]:
        """Names of the environment variables."""
        return [entry.partition("=")[0] for entry in self.envp]

    @property
    def envs_and_values(self) -> List[str]:
        """The same as rules see it: the noted variables also stand there as NAME=value.

        Published rules look there for LD_PRELOAD=/tmp/...; the published engine has these with their values only.
        """
        return self.envs + [entry for entry in self.envp if entry.partition("=")[0] in _NOTED]

    @property
    def is_thread(self) -> bool:
        """True for a record that is not the result of an exec of its own."""
        return not self.is_exec

    @property
    def user(self) -> str:
        """Name of the real user."""
        return self.users.user(self.credentials.uid)

    @property
    def group(self) -> str:
        """Name of the real group."""
        return self.users.group(self.credentials.gid)

    @property
    def euser(self) -> str:
        """Name of the effective user."""
        return self.users.user(self.credentials.euid)

    @property
    def egroup(self) -> str:
        """Name of the effective group."""
        return self.users.group(self.credentials.egid)

    @property
    def fsuser(self) -> str:
        """Name of the file-system user."""
        return self.users.user(self.credentials.fsuid)

    @property
    def fsgroup(self) -> str:
        """Name of the file-system group."""
        return self.users.group(self.credentials.fsgid)


_INHERITED = ("file", "interpreter", "arguments", "args_truncated", "envp", "envs_truncated", "comm",
              "tty_name", "credentials", "container", "cgroup", "exec_time")


class Context(NamedTuple):
    """Where an event was recorded: what is said of all events from there, as key:value texts, and the run of a tracer
    ("" for one without a link)."""

    tags: Tuple[str, ...] = ()
    tracer: str = ""


WITHOUT_METADATA = "file_metadata", "none"
"""The tag, key and value, of all events of a tracer that does not look at files (--disable-stats)."""

NO_CONTEXT = Context()


class Event:
    """Something that a process did. `process` is never None; `tid` is the acting thread.

    `retval` is the call's result, negative errno on failure. `type` is SECL's
    name: "exec", "fork", "exit", "open" ... or "blind_spot" (ours). `number` is that of its record in the tracer's
    run, 0 for one that did not travel. `seen_by` says how an event was seen that no tracer told: proc_connector,
    proc_scan or fanotify.
    """

    __slots__ = ("type", "time", "process", "tid", "retval", "context", "number", "seen_by")

    def __init__(self, kind: str, time: int, process: Process, tid: int, retval: int = 0) -> None:
        self.type = kind
        self.time = time
        self.process = process
        self.tid = tid
        self.retval = retval
        self.context = NO_CONTEXT
        self.number = 0
        self.seen_by = ""


class ExecEvent(Event):
    """A new program: `process` is its record, whose parent shows what ran before.

    When the call failed, `process` is a record of the attempt, unknown to the process model. `raced`: the path that the
    kernel took is not the one that had been read before the call.
    """

    __slots__ = ("syscall_path", "raced")

    def __init__(self, time: int, process: Process, tid: int, retval: int, syscall_path: str, raced: bool = False) -> None:
        Event.__init__(self, "exec", time, process, tid, retval)
        self.syscall_path = syscall_path
        self.raced = raced


class SnapshotEvent(ExecEvent):
    """A process that ran before we came, as /proc shows it: rules take it for the exec that it once was.

    `directory` is its working directory, `descriptors` are the lowest of its open ones, with what they stand for.
    """

    __slots__ = ("directory", "descriptors")

    def __init__(self, time: int, process: Process, syscall_path: str, directory: str,
                 descriptors: List[Tuple[int, str]]) -> None:
        ExecEvent.__init__(self, time, process, process.pid, 0, syscall_path)
        self.directory = directory
        self.descriptors = descriptors


class OpenEvent(Event):
    """A file was opened, or the attempt failed. `flags` and `mode` as passed; `raced` as in ExecEvent."""

    __slots__ = ("file", "flags", "mode", "syscall_path", "raced")

    def __init__(self, time: int, process: Process, tid: int, retval: int,
                 file: File, flags: int, mode: int, syscall_path: str, raced: bool = False) -> None:
        Event.__init__(self, "open", time, process, tid, retval)
        self.file = file
        self.flags = flags
        self.mode = mode
        self.syscall_path = syscall_path
        self.raced = raced


class ForkEvent(Event):
    """A new process; `process` is the child's record."""

    __slots__ = ()

    def __init__(self, time: int, process: Process) -> None:
        Event.__init__(self, "fork", time, process, process.pid)


class ExitEvent(Event):
    """The end of a process: `cause` is EXITED, CORE_DUMPED or SIGNALED, `code` the status or signal."""

    __slots__ = ("cause", "code")

    def __init__(self, time: int, process: Process, cause: int, code: int) -> None:
        Event.__init__(self, "exit", time, process, process.pid)
        self.cause = cause
        self.code = code


class BlindSpotEvent(Event):
    """Something that we could not see, and why: in words, and as one of records.BLIND_KINDS; how often it happened."""

    __slots__ = ("reason", "kind", "count")

    def __init__(self, time: int, process: Process, tid: int, reason: str, kind: str = "tracer", count: int = 1) -> None:
        Event.__init__(self, "blind_spot", time, process, tid)
        self.reason = reason
        self.kind = kind
        self.count = count
