"""A program that runs, as /proc and its own memory tell of it: records of its start, and of one that began before us.

Nothing in here needs the process to be traced or stopped; what it hides from us stays empty.
"""

import os
import struct
from typing import Callable, Dict, List, Optional, Sequence, Tuple

from ebpfless_arch.events import records
from ebpfless_arch.events.records import ARGUMENTS_AT_MOST, NOTED_VARIABLES, Record, now, shorten
from ebpfless_arch.kernel import procfs
from ebpfless_arch.kernel.memory import Memory
from ebpfless_arch.named import NamedTuple
from ebpfless_arch.tracer import paths, syscalls

NO_IDENTITY = (0, 0, 0, 0, 0, 0, 0xFFFFFFFF, 0, 0)

_AT_EXECFN = 31
_KEYS_BELOW = 256
_PATH_AT_MOST = 4096
_DESCRIPTORS_AT_MOST = 256
_ENVIRONMENT_AT_MOST = 1 << 17

_CLAIMS = 3
_COMM_LENGTH = 15

_TICKS = os.sysconf("SC_CLK_TCK")
# Events and the places in an identity (procfs.identity) that they change.
_CHANGES = (("setuid", (0, 2, 4)), ("setgid", (1, 3, 5)), ("capset", (7, 8)))

Words = Tuple[Tuple[bytes, ...], bool]


class Program(NamedTuple):
    """The file that was executed, and the interpreter that runs it if it is a script."""

    path: bytes
    file: paths.FileStatus
    interpreter_path: bytes
    interpreter: paths.FileStatus


class Begun(NamedTuple):
    """What a new program was given besides its arguments: the path by which it was executed, its environment."""

    told: procfs.Stat
    name: bytes
    envp: Words


def begun(tid: int, memory: Memory, expected: bytes) -> Begun:
    """Look at a program that has just begun; `expected` is the path by which it should have been executed. Raises OSError
    where it is gone.

    That path lies on its stack behind the environment (fs/exec.c, do_execveat_common), where both are read at once. If
    it is another one there, the program's auxiliary vector is asked.
    """
    told = procfs.stat(tid)
    start, end = told.words[2:4] if len(told.words) == 4 else (0, 0)
    size = end - start
    if not start or not 0 <= size <= _ENVIRONMENT_AT_MOST or memory.is_slow:
        return Begun(told, exec_name(tid, memory), environment(tid))
    data = memory.read(tid, start, size + len(expected) + 1)
    if data[size:] != expected + b"\0":
        return Begun(told, exec_name(tid, memory), environment(tid))
    return Begun(told, expected, _environment(data[:size]))


def exec_record(pid: int, tid: int, argument: bytes, program: Program, argv: Words, seen: Begun, attributes: bool,
                raced: bool = False) -> Record:
    """The EXEC of a program that has just begun; `argument` is the path as it was given. `raced`: the kernel took another
    one."""
    told = seen.told
    return ((records.EXEC, now(), pid, tid, 0) + _of_program(program, argument, argv, seen.envp, attributes)
            + (identity(tid), told.comm, told.tty, told.start, _cgroup(tid), raced))


def told_exec(pid: int, memory: Memory, attributes: bool) -> Record:
    """The EXEC of a program of whose start we saw nothing; raises OSError where it is gone."""
    argument, argv = exec_name(pid, memory), _arguments(pid)
    program = find_program(pid, argument, lambda: meant(pid, argument))
    return exec_record(pid, pid, argument, program, argv, Begun(procfs.stat(pid), argument, environment(pid)), attributes)


class Glimpse(NamedTuple):
    """What could be read of a process that may be gone the next moment, in the order of haste."""

    executable: bytes
    argv: Words
    name: bytes
    table: Dict[bytes, bytes]
    told: Optional[procfs.Stat]

    @property
    def tracer(self) -> int:
        """Who traces it, 0 for nobody, -1 where it was gone already."""
        return int(self.table.get(b"TracerPid", b"-1"))


def glimpse(pid: int, memory: Memory) -> Glimpse:
    """Look at a program that has just begun, the most fleeting things first: a process that ends has no program, no
    arguments and no memory any more."""
    try:
        executable = procfs.link(pid, "exe")
    except OSError:
        executable = b""
    argv = _arguments_if_any(pid)
    name = exec_name(pid, memory)
    try:
        table, told = procfs.status(pid), procfs.stat(pid)
    except (OSError, ValueError, IndexError):
        table, told = {}, None
    return Glimpse(executable, argv, name, table, told)


def seen_exec(pid: int, time: int, seen: Glimpse, known: Tuple[int, ...], attributes: bool,
              recalled: Optional[Program] = None) -> Record:
    """The EXEC of a program that was looked at; `known` is the identity that its process had before, `recalled` what is
    known by other means of a program that was over before it could be looked at."""
    program, cgroup, after = Program(seen.executable, None, b"", None), b"", known
    envp: Words = ((), True)
    if recalled is not None:
        program = recalled if attributes else recalled._replace(file=None, interpreter=None)
    elif seen.told is not None:
        program = find_program(pid, seen.name, lambda: meant(pid, seen.name)) if attributes else program
    if seen.told is not None:
        envp, cgroup, after = environment(pid), _cgroup(pid), identity(pid)
        after = known if after == NO_IDENTITY else after
    if seen.executable and not program.interpreter_path:
        program = program._replace(path=seen.executable)  # what was seen first; the process may have ended meanwhile
    if not program.path and seen.told is not None:
        program = program._replace(path=_claimed(seen.argv[0], seen.told.comm))
    comm, tty, start = (seen.told.comm, seen.told.tty, seen.told.start) if seen.told is not None else (b"", 0, 0)
    return ((records.EXEC, time, pid, pid, 0, program.path, seen.name or program.path) + seen.argv + envp
            + (program.file, program.interpreter_path, program.interpreter, after, comm, tty, start, cgroup, False))


def _claimed(argv: Sequence[bytes], comm: bytes) -> bytes:
    """The path of the program of another user's process, whose links in /proc are not for us: what its arguments say,
    where the kernel's name for it agrees; else b"". A script's path comes behind its interpreter and the option of that."""
    for path in argv[:_CLAIMS]:
        if comm and path.startswith(b"/") and os.path.basename(path)[:_COMM_LENGTH] == comm:
            return os.path.realpath(path)
    return b""


def snapshot(pid: int, memory: Memory, attributes: bool) -> Record:
    """The SNAPSHOT of a process that runs already; raises OSError where it is gone."""
    told = procfs.stat(pid)
    argument = exec_name(pid, memory)
    argv = _arguments(pid)
    program = _of_program(find_program(pid, argument, lambda: meant(pid, argument)), argument, argv, environment(pid),
                          attributes)
    return ((records.SNAPSHOT, now(), pid, pid, told.ppid, born(told.start)) + program
            + (identity(pid), told.comm, told.tty, told.start, _cgroup(pid), _directory(pid), _descriptors(pid)))


def born(start: int) -> int:
    """When a process began, in ns since the epoch, by its start in clock ticks since boot."""
    return now() - procfs.uptime() + start * (10 ** 9 // _TICKS)


def identity_changes(pid: int, before: Tuple[int, ...], after: Tuple[int, ...]) -> List[Record]:
    """What must have happened to a process whose identity is another one now, as far as that shows: a new user, a new
    group, other capabilities."""
    found: List[Record] = []
    so_far = list(before)
    for event, places in _CHANGES:
        if any(so_far[place] != after[place] for place in places):
            for place in places:
                so_far[place] = after[place]
            values = {"identity": tuple(so_far), "process_identity": tuple(so_far)}
            found.append((records.CALL, now(), pid, pid, 0, event,
                          dict(values, capabilities=after[7:9]) if event == "capset" else values))
    return found


def _of_program(program: Program, argument: bytes, argv: Words, envp: Words, attributes: bool) -> Tuple[object, ...]:
    if not attributes:
        program = program._replace(file=None, interpreter=None)
    return (program.path, argument) + argv + envp + (program.file, program.interpreter_path, program.interpreter)


def find_program(tid: int, named: bytes, wanted: Callable[[], bytes]) -> Program:
    """What a process runs; `named` is the path by which it was executed (b"": not known), `wanted` resolves it (to b""
    where that cannot be done)."""
    executable, status = _executable(tid)
    if executable and named and (executable == named and paths.sees_all(tid)
                                 or status is not None and paths.means(tid, named, status)):
        return Program(executable, status, b"", None)
    place = wanted()
    if executable and place and executable != place:
        # Only a script runs by another program than the one named; else the name was changed after we had looked.
        script = paths.status_in_view(tid, place, script=True)
        if script is not None and status is not None and script[1:3] != status[1:3]:
            return Program(place, script, executable, status)
    return Program(executable or place, status, b"", None)


def exec_name(pid: int, memory: Memory) -> bytes:
    """The path with which a process's program was executed, a script's as well: it lies in the process's memory, and the
    auxiliary vector tells where (getauxval(3), AT_EXECFN); b"" where that cannot be read."""
    try:
        address = _auxiliary(procfs.read(pid, "auxv", 4096)).get(_AT_EXECFN, 0)
        return memory.string(pid, address, _PATH_AT_MOST) or b"" if address else b""
    except OSError:
        return b""


def _auxiliary(data: bytes) -> Dict[int, int]:
    """The pairs of an auxiliary vector, of a 64-bit program or a 32-bit one, which has small words."""
    for form in ("=QQ", "=II"):
        found = dict(struct.iter_unpack(form, data[:len(data) - len(data) % struct.calcsize(form)]))
        if all(key < _KEYS_BELOW for key in found):
            return found
    return {}


def meant(pid: int, argument: bytes) -> bytes:
    """The resolved path that a name means to a process, b"" where that cannot be found out."""
    if not argument:
        return b""
    try:
        return paths.locate(pid, {syscalls.PATH: argument}, True)[0]
    except OSError:
        return b""


def _executable(tid: int) -> Tuple[bytes, paths.FileStatus]:
    try:
        return procfs.link(tid, "exe"), procfs.status_of(tid, "exe")
    except OSError:
        return b"", None  # a setuid program hides this from a tracer without privileges


def _arguments(pid: int) -> Words:
    return shorten(_split(procfs.read(pid, "cmdline")), False)


def _arguments_if_any(pid: int) -> Words:
    try:
        return _arguments(pid)
    except OSError:
        return (), True


def environment(tid: int) -> Words:
    """The environment that a program was started with; empty and cut where it cannot be read."""
    try:
        return _environment(procfs.read(tid, "environ"))
    except OSError:
        return (), True


def _environment(text: bytes) -> Words:
    words = _split(text)
    if len(words) > ARGUMENTS_AT_MOST:
        words.sort(key=lambda word: not word.startswith(NOTED_VARIABLES))
    return shorten(words, False)


def _split(text: bytes) -> List[bytes]:
    return text.split(b"\0")[:-1] if text else []


def identity(tid: int) -> Tuple[int, ...]:
    """Ids and capabilities as procfs.identity, zeros where they cannot be read."""
    try:
        return procfs.identity(tid)
    except (OSError, KeyError, ValueError):
        return NO_IDENTITY


def _cgroup(tid: int) -> bytes:
    try:
        return procfs.read(tid, "cgroup", 8192)
    except OSError:
        return b""


def _directory(pid: int) -> bytes:
    try:
        return procfs.link(pid, "cwd")
    except OSError:
        return b""


def _descriptors(pid: int) -> Tuple[Tuple[int, bytes], ...]:
    """The lowest open descriptors and what they stand for."""
    try:
        numbers = sorted(procfs.descriptors(pid))[:_DESCRIPTORS_AT_MOST]
    except OSError:
        return ()
    found: List[Tuple[int, bytes]] = []
    for number in numbers:
        target = _target(pid, number)
        if target is not None:
            found.append((number, target))
    return tuple(found)


def _target(pid: int, number: int) -> Optional[bytes]:
    try:
        return os.readlink(b"/proc/%d/fd/%d" % (pid, number))
    except OSError:
        return None
