"""The model of processes: records of the tracer in, events with their process out."""

from collections import OrderedDict
from typing import Any, Callable, Dict, List, Optional, Set, Tuple

from ebpfless_arch.events import records
from ebpfless_arch.events.calls import PrctlEvent
from ebpfless_arch.events.containers import Containers
from ebpfless_arch.events.files import make_file
from ebpfless_arch.events.flags import O_TMPFILE
from ebpfless_arch.events.making import CallMaker
from ebpfless_arch.events.model import (BlindSpotEvent, Credentials, Event, ExecEvent, ExitEvent, ForkEvent, OpenEvent,
                                        Process, SnapshotEvent)
from ebpfless_arch.events.records import Record, decoded
from ebpfless_arch.events.users import Users
from ebpfless_arch.kernel import procfs
from ebpfless_arch.kernel.statx import FileStatus

_LINEAGE_AT_MOST = 128
_ENDED_KEPT = 256
# Why the path of a program is not known: its process hides it from us, or had ended before it was looked at.
_HIDDEN, _GONE = "EACCES", "ESRCH"


class Processes:
    """Every live process that the tracer reports on, with its lineage.

    `outer` is the record of whoever started us: the command's parent in the
    eyes of rules and readers, who care for neither keeper nor tracer.
    """

    def __init__(self, users: Users, outer: Optional[Process] = None) -> None:
        self._users = users
        self._outer = outer
        self._containers = Containers()
        self._live: Dict[int, Process] = {}
        self._ended: "OrderedDict[int, Process]" = OrderedDict()
        self._change: Optional[Tuple[Process, str, Any]] = None
        self._calls = CallMaker(users, self._target)
        self._makers: Dict[int, Callable[[Record], Event]] = {
            records.FORK: self._fork,
            records.EXEC: self._exec,
            records.OPEN: self._open,
            records.CALL: self._call,
            records.EXIT: self._exit,
            records.BLIND: self._blind_spot,
            records.SNAPSHOT: self._snapshot,
        }

    def apply(self, record: Record) -> Event:
        """Bring the model up to date and return the event that the record stands for.

        A new identity or name is the exception: its event shows the process as it was, so the model changes with
        the next record.
        """
        if self._change is not None:
            self._take_effect(*self._change)
            self._change = None
        return self._makers[record[0]](record)

    def live_in(self, container: str) -> None:
        """The records come from a tracer in this container ("" for none)."""
        self._containers.home = container

    def learn(self, record: Record) -> None:
        """Bring the model up to date with a process that runs already. The last SNAPSHOT before there is a command is
        that of whoever has started it."""
        is_outer = record[0] == records.SNAPSHOT and record[2] not in self._live
        event = self.apply(record)
        if is_outer:
            self._outer = event.process

    def __len__(self) -> int:
        return len(self._live)

    def live(self) -> List[Process]:
        """The current records of all processes that have not ended."""
        return list(self._live.values())

    def meant(self, scope: str, process: Process) -> List[Process]:
        """The live processes that a scope ("process", "container", "cgroup") means; without a container or cgroup it
        is the process alone."""
        if scope == "container" and process.container.id:
            return [each for each in self.live() if each.container.id == process.container.id]
        if scope == "cgroup" and process.cgroup.strip("/"):
            return [each for each in self.live() if each.cgroup == process.cgroup]
        return [process]

    def find(self, pid: int) -> Optional[Process]:
        """The record of a live process, None for one that we do not know."""
        return self._live.get(pid)

    def _get(self, pid: int) -> Process:
        found = self._live.get(pid)
        if found is None:
            found = self._live[pid] = self._unknown(pid)
        return found

    def _unknown(self, pid: int) -> Process:
        """A record of a process that was never told of. A number of another pid namespace must not be looked up here."""
        if self._users.elsewhere:
            return Process(self._users, pid, 0)
        return snapshot(self._users, pid, self._containers)

    def _target(self, pid: int) -> Process:
        """The record of any process: a live one, one that has just ended, one that is not ours, or an empty one."""
        found = self._live.get(pid) or self._ended.get(pid)
        if found is None and pid > 0:
            found = self._above(pid)
        return found or Process(self._users, max(pid, 0), 0)

    def _above(self, pid: int) -> Optional[Process]:
        """The record of a process that is not followed, with its ancestors; None where we cannot look."""
        return None if self._users.elsewhere else outer_lineage(self._users, pid)

    def _take_effect(self, process: Process, attribute: str, value: Any) -> None:
        setattr(process, attribute, value)
        for record in self._live.values():
            record.memo = None  # what was written of its descendants shows it as well

    def _fork(self, record: Record) -> Event:
        _, time, pid, _, ppid = record
        parent = self._get(ppid) if ppid else None
        _shorten(parent)
        child = parent.fork(pid, time) if parent else Process(self._users, pid, ppid)
        self._live[pid] = child
        return ForkEvent(time, child)

    def _exec(self, record: Record) -> Event:
        (_, time, pid, tid, retval, path, argument, argv, argv_cut, envp, envp_cut, file, interpreter_path,
         interpreter, identity, comm, tty, start, cgroup, raced) = record
        before = self._live.get(pid)
        parent = _shorten(before or self._outer)
        process = Process(self._users, pid, before.ppid if before else _pid(self._outer), parent)
        process.tid = tid
        self._fill(process, path, file, interpreter_path, interpreter)
        process.arguments, process.args_truncated = _texts(argv), argv_cut
        process.envp, process.envs_truncated = _texts(envp), envp_cut
        process.exec_time = time
        process.start = start
        process.fork_time = before.fork_time if before else time
        process.is_exec = True
        event = ExecEvent(time, process, tid, retval, decoded(argument), raced)
        if retval < 0:
            self._attempt(process, before)
            return event
        if identity is not None:
            process.credentials = Credentials(*identity)
        elif before is not None:
            process.credentials = before.credentials
        process.comm = decoded(comm)
        if not path:
            process.file.error = _HIDDEN if argv else _GONE
        process.tty_name = procfs.tty_name(tty)
        process.container, process.cgroup = self._containers.place(cgroup, time)
        self._live[pid] = process
        return event

    def _fill(self, process: Process, path: bytes, file: Optional[FileStatus], interpreter_path: bytes,
              interpreter: Optional[FileStatus]) -> None:
        process.file = make_file(self._users, path, file)
        if interpreter_path:
            process.interpreter = make_file(self._users, interpreter_path, interpreter)

    def _snapshot(self, record: Record) -> Event:
        (_, time, pid, _, ppid, born, path, argument, argv, argv_cut, envp, envp_cut, file, interpreter_path, interpreter,
         identity, comm, tty, start, cgroup, directory, descriptors) = record
        before = self._live.get(pid)
        parent = before.parent if before and before.start == start else self._live.get(ppid)
        process = Process(self._users, pid, ppid, _shorten(parent or self._above(ppid)))
        self._fill(process, path, file, interpreter_path, interpreter)
        process.arguments, process.args_truncated = _texts(argv), argv_cut
        process.envp, process.envs_truncated = _texts(envp), envp_cut
        process.start, process.fork_time, process.is_exec = start, born, bool(argv)
        process.credentials = Credentials(*identity) if identity is not None else process.credentials
        process.comm, process.tty_name = decoded(comm), procfs.tty_name(tty)
        process.container, process.cgroup = self._containers.place(cgroup, time)
        self._live[pid] = process
        targets = [(number, decoded(target)) for number, target in descriptors]
        return SnapshotEvent(time, process, decoded(argument), decoded(directory), targets)

    def _attempt(self, process: Process, before: Optional[Process]) -> None:
        """An exec that failed has its caller's identity."""
        if before is not None:
            for name in ("credentials", "tty_name", "container", "cgroup", "comm"):
                setattr(process, name, getattr(before, name))

    def _open(self, record: Record) -> Event:
        _, time, pid, tid, retval, path, argument, flags, mode, status, error, raced = record
        file = make_file(self._users, path, status)
        file.error = error
        if flags & O_TMPFILE == O_TMPFILE:
            file.deleted = False  # it never had a name to lose
        return OpenEvent(time, self._get(pid), tid, retval, file, flags, mode, decoded(argument), raced)

    def _call(self, record: Record) -> Event:
        pid, values = record[2], record[6]
        process = self._get(pid)
        identity = values.get("process_identity")
        if identity is not None:
            self._change = process, "credentials", Credentials(*identity)
        elif record[4] >= 0 and "change" in values:
            self._change = process, "credentials", process.credentials._replace(**values["change"])
        event = self._calls.make(record, process)
        if isinstance(event, PrctlEvent) and event.renames:
            self._change = process, "comm", event.new_name
        return event

    def _exit(self, record: Record) -> Event:
        _, time, pid, _, cause, code = record
        process = self._live.pop(pid, None) or Process(self._users, pid, 0)
        self._ended[pid] = process
        if len(self._ended) > _ENDED_KEPT:
            self._ended.popitem(last=False)
        process.exit_time = time
        process.memo = None
        return ExitEvent(time, process, cause, code)

    def _blind_spot(self, record: Record) -> Event:
        _, time, pid, tid, reason, kind, count = record
        process = self._get(pid) if pid else self._target(0)
        return BlindSpotEvent(time, process, tid, reason, kind, count)


def _texts(words: Tuple[bytes, ...]) -> List[str]:
    return [decoded(word) for word in words]


def _pid(process: Optional[Process]) -> int:
    return process.pid if process else 0


def _shorten(process: Optional[Process]) -> Optional[Process]:
    """Bound the lineage of programs that execute themselves again and again: the oldest records go."""
    record, length = process, 0
    while record is not None and length < _LINEAGE_AT_MOST:
        record, length = record.parent, length + 1
    if record is not None:
        record.parent = None
    return process


def snapshot(users: Users, pid: int, containers: Containers) -> Process:
    """A record of a process as /proc shows it now; what cannot be read stays empty."""
    process = Process(users, pid, 0)
    try:
        told = procfs.stat(pid)
        process.ppid, process.comm, process.start = told.ppid, decoded(told.comm), told.start
        process.tty_name = procfs.tty_name(told.tty)
        process.credentials = Credentials(*procfs.identity(pid))
        process.container, process.cgroup = containers.place(procfs.read(pid, "cgroup", 8192), 0)
        words, process.args_truncated = records.shorten(procfs.read(pid, "cmdline").split(b"\0")[:-1], False)
        process.arguments = _texts(words)
        process.is_exec = bool(process.arguments)
        process.file = make_file(users, procfs.link(pid, "exe"), procfs.status_of(pid, "exe"))
    except (OSError, KeyError, ValueError, IndexError):
        pass  # a vanished or foreign process: its number is all that is known
    return process


def outer_lineage(users: Users, pid: int) -> Optional[Process]:
    """Records of the process `pid` and its ancestors from /proc; None for pid 0."""
    containers = Containers()
    first: Optional[Process] = None
    last: Optional[Process] = None
    seen: Set[int] = set()
    while pid > 0 and pid not in seen and len(seen) < _LINEAGE_AT_MOST:
        seen.add(pid)
        record = snapshot(users, pid, containers)
        if last is not None:
            last.parent = record
        first, last = first or record, record
        pid = record.ppid
    return first
