"""A kernel that plays recorded sequences of stops: the engine above it calls the real floor 2, which calls this.

Records are lines such as

    fork sec->SYSCALL   L:SECCOMP(clone,rax=-38) L:FORK(->T1) T1:STOP(sig5) L:SYS[clone rax=104] ...  => fork child ...

of real kernels: L is the leader, T1 the first task that it makes. What is behind the tasks in /proc is real: each is a
copy of this process, so that our addresses are theirs. Played is what the kernel would have said to this engine: a
syscall stop comes only where the task was resumed with PTRACE_SYSCALL, an event only where its option was asked for.
"""

import ctypes
import errno
import os
import re
import signal
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, NamedTuple, Optional, Tuple

import pytest

from ebpfless_arch.abi import AMD64
from ebpfless_arch.events.records import Record
from ebpfless_arch.kernel import memory, procfs, ptrace
from ebpfless_arch.tracer.pulse import Pulse

RECORDS = Path(__file__).resolve().parent.parent.parent / "shared" / "reference" / "kernels"

_TOKEN = re.compile(r"(L|T\d):(\w+)(?:-E:ESRCH ptrace \w+|[(\[]([^)\]]*)[)\]])?")
_EVENTS = {"FORK": 1, "VFORK": 2, "CLONE": 3, "EXEC": 4, "VFORK_DONE": 5, "EXIT": 6, "SECCOMP": 7, "STOP": 128}
_OPTION_OF = {name: 1 << number for name, number in _EVENTS.items() if number < 8}
_SLOTS = {"r": 10, "nr": 15, "rip": 16, "cs": 17}
_ARGUMENTS = AMD64.argument_slots
_AT_FDCWD = -100
_PR_SET_PDEATHSIG = 1
_REAL_READV: Any = memory._process_vm_readv
_THREAD, _SIGCHLD = 0x3D0F00, 17


class Token(NamedTuple):
    """A stop or an end of one task: `word` says of which kind, `detail` what the record has in brackets."""

    task: str
    word: str
    detail: str


class Recorded(NamedTuple):
    """One line of a record."""

    name: str
    tokens: Tuple[Token, ...]
    outcome: str


def read_records(path: Path, section: str) -> List[Recorded]:
    """The lines of a section; empty where the record lacks it."""
    found, inside = [], False
    for line in path.read_text().splitlines():
        if line.startswith("##"):
            inside = line == "## " + section
        elif inside and re.search(r" (L|T\d):", line):
            name, _, rest = line.partition(re.search(r" (L|T\d):", line).group())  # type: ignore[union-attr]
            told, _, outcome = line[len(name):].partition("  => ")
            found.append(Recorded(" ".join(name.split()), tuple(Token(*(part or "" for part in match.groups()))
                                                                for match in _TOKEN.finditer(told)), outcome))
    return found


class Kernel:
    """What differs: `entry_after_seccomp` as in Features, which requests and ways there are. `closed` is the errno of
    process_vm_readv, 0 where it works."""

    def __init__(self, syscall_info: bool = False, exit_kill: bool = True, filters: bool = True,
                 entry_after_seccomp: bool = False, closed: int = 0) -> None:
        self.syscall_info = syscall_info
        self.exit_kill = exit_kill
        self.filters = filters
        self.entry_after_seccomp = entry_after_seccomp
        self.closed = closed


class Task:
    """A task of the play; `asked` is how it was resumed last, 0 while it is stopped, -1 before that."""

    def __init__(self, tid: int) -> None:
        self.tid = tid
        self.asked = -1
        self.token: Optional[Token] = None
        self.in_call = False
        self.registers: List[int] = [0] * AMD64.register_count


class Play:
    """One recorded sequence under one kernel. Install it with `install`, then run an engine on task `leader`."""

    def __init__(self, recorded: Recorded, kernel: Kernel, path: bytes) -> None:
        self.kernel = kernel
        self.options = 0
        self.written: List[List[int]] = []
        self.resumed: List[Tuple[str, int]] = []
        self._tokens = list(recorded.tokens)
        # A thread whose birth the leader was killed too early to tell of is known by what it does to the leader.
        self._threads = {token.detail[2:] for token in recorded.tokens if token.word == "CLONE"} | {
            token.detail[7:] for token in recorded.tokens if token.word == "EXEC" and token.detail[7:] != token.task}
        self._parents = {token.detail[2:]: token.task for token in recorded.tokens
                         if token.word in ("FORK", "VFORK", "CLONE")}
        self.tasks = {name: Task(_sleeper()) for name in sorted({token.task for token in self._tokens} | set(self._parents))}
        self.path = ctypes.create_string_buffer(path)
        self._code = ctypes.create_string_buffer(b"\xcd\x80")
        self._empty = ctypes.create_string_buffer(128)

    @property
    def leader(self) -> int:
        """The id of task L."""
        return self.tasks["L"].tid

    def name_of(self, tid: int) -> str:
        """The name of a task."""
        return next(name for name, task in self.tasks.items() if task.tid == tid)

    def install(self, patch: pytest.MonkeyPatch) -> None:
        """Put this kernel in the place of the real one."""
        patch.setattr(ptrace, "_ptrace", self._ptrace)
        patch.setattr(os, "waitpid", self._waitpid)
        patch.setattr(procfs, "is_thread_of", lambda tid, pid: self.name_of(tid) in self._threads)
        patch.setattr(procfs, "group_leader", self._group_leader)
        patch.setattr(memory, "_process_vm_readv", self._process_vm_readv)

    def end(self) -> None:
        """End what stands for the tasks."""
        for task in self.tasks.values():
            os.kill(task.tid, signal.SIGKILL)
            os.waitpid(task.tid, 0)

    # --- waitpid(2) -------------------------------------------------------------

    def _waitpid(self, pid: int, options: int) -> Tuple[int, int]:
        assert pid == -1
        while self._tokens and self._is_unasked(self._tokens[0]):
            self._tokens.pop(0)
        if not self._tokens:
            raise ChildProcessError(errno.ECHILD, "the play is over")
        token = self._tokens[0]
        if self.tasks[token.task].asked == 0:
            assert options & os.WNOHANG, "waits for ever: %s is not resumed" % token.task
            return 0, 0
        self._tokens.pop(0)
        return self.tasks[token.task].tid, self._status(self.tasks[token.task], token)

    def _is_unasked(self, token: Token) -> bool:
        """Whether this engine would not have got this stop."""
        task = self.tasks[token.task]
        if token.word == "SYS":
            return task.asked == ptrace.CONT
        return task.asked != 0 and token.word in ("VFORK_DONE", "EXIT") and not self.options & _OPTION_OF[token.word]

    def _status(self, task: Task, token: Token) -> int:
        if token.word in ("exited", "killed"):
            return int(token.detail) << (8 if token.word == "exited" else 0)
        task.token, task.asked = token, 0
        if token.word == "EXEC":
            task.in_call = False
        if token.word == "signal":
            return int(token.detail) << 8 | 0x7F
        if token.word in ("SYS", "SECCOMP", "resume"):
            self._call(task, token)
            return 0x85 << 8 | 0x7F if token.word == "SYS" else 7 << 16 | 5 << 8 | 0x7F
        return _EVENTS[token.word] << 16 | 5 << 8 | 0x7F

    def _call(self, task: Task, token: Token) -> None:
        """The registers as they are at a stop of a call."""
        name, result = (re.split(r"[, ]rax=", token.detail) + ["-38"])[:2] if token.detail else ("openat", "-38")
        number = int(name) if name.lstrip("-").isdigit() else AMD64.syscalls[name]
        task.in_call = token.word != "SYS" or not task.in_call
        if self.kernel.entry_after_seccomp and token.word != "SYS":
            task.in_call = False  # its entry is still to come
        path = ctypes.addressof(self.path)
        makes_thread = task is self.tasks["L"] and bool(self._threads)
        arguments = {"openat": (_AT_FDCWD, path), "execve": (path, ctypes.addressof(self._empty)),
                     "clone": (_THREAD if makes_thread else _SIGCHLD,), "clone3": (ctypes.addressof(self._empty), 88),
                     "wait4": (-1,)}.get(name, ())
        registers = [0] * AMD64.register_count
        registers[_SLOTS["r"]], registers[_SLOTS["nr"]] = int(result), number
        registers[_SLOTS["cs"]] = 0x33
        registers[_SLOTS["rip"]] = ctypes.addressof(self._code if name == "20" else self._empty) + 2
        for slot, value in zip(_ARGUMENTS, arguments):
            registers[slot] = value
        task.registers = registers

    def _group_leader(self, tid: int) -> Tuple[int, int]:
        name = self.name_of(tid)
        parent = self.tasks[self._parents[name]].tid if name in self._parents else os.getpid()
        return (self.leader, os.getpid()) if name in self._threads else (tid, parent)

    # --- ptrace(2) --------------------------------------------------------------

    def _ptrace(self, request: int, tid: int, address: int, data: int) -> int:
        try:
            return self._requested(request, self.tasks[self.name_of(tid)], address, data)
        except OSError as error:
            ctypes.set_errno(error.errno or 0)
            return -1

    def _requested(self, request: int, task: Task, address: int, data: int) -> int:
        if request == ptrace.SEIZE:
            self._seize(data)
            return 0
        if request == ptrace.INTERRUPT:
            self._tokens.insert(0, Token(self.name_of(task.tid), "STOP", "sig5"))
            return 0
        if task.asked != 0 or task.token is None:
            raise OSError(errno.ESRCH, "not stopped")
        if request in (ptrace.CONT, ptrace.SYSCALL, ptrace.LISTEN):
            if task.token.word == "resume":
                task.asked = ptrace.CONT
                raise OSError(errno.ESRCH, "killed by an exec")
            task.asked = request
            self.resumed.append((task.token.word, request))
            return 0
        return self._AT_STOP[request](self, task, address, data)

    def _seize(self, options: int) -> None:
        if options & ptrace.O_TRACESECCOMP and not self.kernel.filters:
            raise OSError(errno.EIO, "no such option")
        if options & ptrace.O_EXITKILL and not self.kernel.exit_kill:
            raise OSError(errno.EIO, "no such option")
        self.options = options

    def _message(self, task: Task, address: int, data: int) -> int:
        assert task.token is not None
        found = re.search(r"(L|T\d)$", task.token.detail)
        ctypes.c_ulong.from_address(data).value = self.tasks[found.group()].tid if found else 0
        return 0

    def _get_registers(self, task: Task, address: int, data: int) -> int:
        for place, value in enumerate(task.registers):
            ctypes.c_long.from_address(data + 8 * place).value = value
        return 0

    def _set_registers(self, task: Task, address: int, data: int) -> int:
        task.registers = list((ctypes.c_long * len(task.registers)).from_address(data))
        self.written.append(task.registers)
        return 0

    def _siginfo(self, task: Task, address: int, data: int) -> int:
        assert task.token is not None
        words = (ctypes.c_int * 3).from_address(data)
        status = {"SYS": 0x85, "resume": 7 << 8 | 5}.get(task.token.word, _EVENTS.get(task.token.word, 0) << 8 | 5)
        words[0], words[2] = int(task.token.detail) if task.token.word == "signal" else 5, status
        return 0

    def _information(self, task: Task, address: int, data: int) -> int:
        assert task.token is not None
        if not self.kernel.syscall_info:
            raise OSError(errno.EIO, "no such request")
        words = (ctypes.c_uint64 * 11).from_address(data)
        kind = ptrace.INFO_SECCOMP if task.token.word != "SYS" else (
            ptrace.INFO_ENTRY if task.in_call else ptrace.INFO_EXIT)
        words[0] = kind | AMD64.audit_arch << 32
        if kind == ptrace.INFO_EXIT:
            words[3] = task.registers[_SLOTS["r"]] & (1 << 64) - 1
        else:
            words[3] = task.registers[_SLOTS["nr"]]
            words[4:10] = [task.registers[slot] & (1 << 64) - 1 for slot in _ARGUMENTS]
        return 0

    def _peek(self, task: Task, address: int, data: int) -> int:
        return ctypes.c_long.from_address(address).value

    _AT_STOP: Dict[int, Callable[["Play", Task, int, int], int]] = {
        ptrace.GETEVENTMSG: _message, ptrace.GETREGS: _get_registers, ptrace.SETREGS: _set_registers,
        ptrace.GETSIGINFO: _siginfo, ptrace.GET_SYSCALL_INFO: _information, ptrace.PEEKDATA: _peek,
    }

    def _process_vm_readv(self, tid: int, local: int, locals_: int, remote: int, pieces: int, flags: int) -> int:
        """Where it works: our memory is what the task's was when it began."""
        if self.kernel.closed:
            ctypes.set_errno(self.kernel.closed)
            return -1
        count: int = _REAL_READV(os.getpid(), local, locals_, remote, pieces, flags)
        return count


def _sleeper() -> int:
    """A copy of this process that does nothing, and ends with it."""
    pid = os.fork()
    if pid == 0:
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        for descriptor in range(16):
            os.dup2(os.open(os.devnull, os.O_RDWR), descriptor)
        while True:
            signal.pause()
    return pid


class Ends:
    """The engine's side of a link, whose other end is a list. `refusal`: what is answered to who asks."""

    def __init__(self, refusal: int = 0) -> None:
        self.records: List[Record] = []
        self.broken = False
        self._refusal = refusal
        self._pulse = Pulse()

    def __iter__(self) -> Iterator[Any]:
        return iter((self, self, self._pulse))

    def close(self) -> None:
        """Give back what the pulse holds."""
        os.close(self._pulse.descriptor)

    def is_idle(self) -> bool:
        """Nothing is left to write."""
        return True

    def may_wait(self) -> float:
        """Nor is there anything that could wait for more."""
        return 0.0

    def put(self, record: Record) -> None:
        """Take a record."""
        self.records.append(record)

    def flush(self) -> bool:
        """Nothing ever waits."""
        return True

    def ask(self, record: Record) -> int:
        """The verdict."""
        return self._refusal
