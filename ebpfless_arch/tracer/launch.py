"""The tracer process, and the child of it that becomes the command (wrap mode)."""

import errno
import os
import signal
import stat
from typing import Any, List, Optional, Sequence, Tuple

from ebpfless_arch.abi import MACHINES, Abi
from ebpfless_arch.events import records
from ebpfless_arch.kernel import features, process, seccomp
from ebpfless_arch.tracer import foreseen, syscalls
from ebpfless_arch.tracer.corral import table_of
from ebpfless_arch.tracer.engine import Engine
from ebpfless_arch.tracer.orders import FAILED, LET_GO, NOT_EXECUTABLE, NOT_FOUND, Left, Plan, Start, receive_plan
from ebpfless_arch.tracer.pipe import Ends, Link, Writer, open_ends
from ebpfless_arch.tracer.places import recover
from ebpfless_arch.tracer.stops import Machine
from ebpfless_arch.tracer.tracees import traced_again

_DEFAULT_PATH = b"/usr/local/bin:/usr/bin:/bin"
_SHELL = b"/bin/sh"
DRAIN_SECONDS = 30.0
NAME = b"ebpfless-tracer"
# Python ignores these two from its start on; the command must not inherit that.
_RESET_SIGNALS = (signal.SIGPIPE, signal.SIGXFSZ)


def run_tracer(orders: int, link: Link, start: Start) -> None:
    """The tracer process from its fork to its end: wait for the plan, start the command, trace it."""
    abis = MACHINES.get(os.uname().machine, ())
    if not abis:
        return  # the keeper says so
    found = features.probe(abis[0])
    # It imports this module. Later, what it loads would keep the command waiting.
    from ebpfless_arch.tracer import renewal as renewal

    process.settle()
    plan = receive_plan(orders)
    if plan is None:
        return
    ends = open_ends(link)
    writer = ends.writer
    if not found.ptrace:
        _fail(writer, found.problem or "ptrace does not work here")
        return
    if plan.deadly and not found.exit_kill:
        _fail(writer, "this kernel cannot let a program die with its tracer (Linux 3.8): leave out --on-failure kill")
        return
    if plan.level:
        _attach(abis, plan, found, link, ends, start)
        return
    engine, program = make_engine(abis, found, plan, ends)
    go = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(go[1])
        _become(plan, go[0], program, start)
    os.close(go[0])
    step_aside(start.inherited, start.overseen)
    try:
        engine.seize_command(child)
    except OSError as error:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        _fail(writer, str(error.strerror))
        return
    writer.put((records.STATE, records.now(), child, child, records.STARTED, tuple(found)))
    writer.flush()
    os.write(go[1], b"g")
    os.close(go[1])
    _trace(engine, plan, found, link, ends)


def make_engine(abis: Sequence[Abi], found: features.Features, plan: Plan, ends: Ends) -> Tuple[Engine, bytes]:
    """The engine for a plan and the filter that goes with it (b"" where there is none)."""
    filtered = plan.use_filter and found.filters and not plan.level
    wanted = plan.interest()
    if filtered and wanted.decides_late():
        wanted = wanted._replace(foresees=foreseen.is_possible())
    program = seccomp.compile_filter(syscalls.blocks(abis, wanted)) if filtered else b""
    machine = Machine(abis, found, plan.attributes)
    if plan.level:
        from ebpfless_arch.tracer.attached import AttachedEngine

        return AttachedEngine(machine, wanted, ends, plan.keeper, plan.level, plan.deadly, plan.follows), b""
    return Engine(machine, wanted, ends, filtered, plan.keeper, plan.deadly), program


def step_aside(inherited: Sequence[int], overseen: bool) -> None:
    """Leave the terminal's process group and everybody's streams and descriptors: none of them are ours."""
    process.leave_group(overseen)
    process.set_name(NAME)
    process.ask_to_be_spared()
    nothing = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nothing, descriptor)
    if nothing > 2:
        os.close(nothing)
    for descriptor in inherited:
        os.close(descriptor)


def _fail(writer: Writer, text: str) -> None:
    writer.put((records.STATE, records.now(), 0, 0, records.FAILED, text))
    writer.drain(DRAIN_SECONDS)


# --- the child ------------------------------------------------------------------

def _become(plan: Plan, go: int, program: bytes, start: Start) -> None:
    """In the child: wait until it is seized, then turn into the command. Never returns."""
    status = FAILED
    try:
        if os.read(go, 1):
            _reset_signals()
            if start.ignores_children:
                signal.signal(signal.SIGCHLD, signal.SIG_IGN)
            signal.pthread_sigmask(signal.SIG_SETMASK, start.mask)
            if program:
                seccomp.install(program)
            process.change_identity(plan.uid, plan.gid)
            status = _execute(plan.command)
    except OSError as error:
        _complain(str(error.strerror or error))
    finally:
        os._exit(status)


def run_untraced(command: List[bytes], uid: Optional[int], gid: Optional[int]) -> int:
    """Become the command, which nobody watches; returns the exit status where that fails."""
    try:
        _reset_signals()
        process.become_subreaper(False)
        process.change_identity(uid, gid)
        return _execute(command)
    except OSError as error:
        _complain(str(error.strerror or error))
        return FAILED


def _reset_signals() -> None:
    for number in _RESET_SIGNALS:
        signal.signal(number, signal.SIG_DFL)


def _execute(command: List[bytes]) -> int:
    """Replace this process as execvp(3) would; returns the exit status that tells why that failed."""
    name = command[0]
    problem = OSError(errno.ENOENT, os.strerror(errno.ENOENT))
    for candidate in _candidates(name):
        try:
            _exec_file(candidate, command)
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.ENOTDIR) or b"/" in name:
                problem = error
    shown = os.fsdecode(name)
    if problem.errno in (errno.ENOENT, errno.ENOTDIR):
        hint = "; it is in no directory of PATH" if b"/" not in name else \
            "; the interpreter or loader that it names is missing" if os.path.exists(name) else ""
        _complain("cannot run '%s': %s%s" % (shown, os.strerror(problem.errno), hint))
        return NOT_FOUND
    directory = "it is a directory" if os.path.isdir(name) else os.strerror(problem.errno or 0)
    _complain("cannot run '%s': %s" % (shown, directory))
    return NOT_EXECUTABLE


def _exec_file(path: bytes, command: List[bytes]) -> None:
    try:
        os.execve(path, command, os.environb)
    except OSError as error:
        if error.errno != errno.ENOEXEC:
            raise
    os.execve(_SHELL, [_SHELL, path] + command[1:], os.environb)


def _candidates(name: bytes) -> List[bytes]:
    """Where the command may be; directories of PATH that lack it cost no failing execve."""
    if b"/" in name:
        return [name]
    places = os.environb.get(b"PATH", _DEFAULT_PATH).split(b":")
    paths = [os.path.join(place or b".", name) for place in places]
    return [path for path in paths if _is_file(path)]


def _is_file(path: bytes) -> bool:
    try:
        return stat.S_ISREG(os.stat(path).st_mode)
    except OSError as error:
        return error.errno == errno.EACCES


def _complain(text: str) -> None:
    try:
        os.write(2, os.fsencode("ebpfless: " + text + "\n"))
    except OSError:
        pass  # nobody to tell; the exit status tells as well


def take_over(plan: Plan, found: features.Features, link: Link, left: Left) -> None:
    """A new tracer process: seize what a dead one left behind and trace on."""
    abis = MACHINES[os.uname().machine]
    link.pulse.deaths.value += 1
    step_aside([], left.overseen)
    if plan.level:
        stay_with_keeper(plan.keeper)
    ends = open_ends(link)
    writer, main = ends.writer, left.main
    engine, _ = make_engine(abis, found, plan, ends)
    family = _left_behind(left) if plan.level else left.family
    count, problem = engine.take_over(left.keeper, main, family, left.spared)
    recover(table_of(link.pulse), engine.threads())
    if problem and not count:
        _fail(writer, "the tracer was killed, and its processes cannot be traced again: " + problem)
        return
    gap: Any = records.now() - left.since
    text = "the tracer was killed; %s after %.1f ms" % (traced_again(count), gap / 1e6)
    text += "; others are not: " + problem if problem else ""
    writer.put((records.STATE, records.now(), main, main, records.GAP, (link.pulse.deaths.value, text)))
    _trace(engine, plan, found, link, ends)


def _left_behind(left: Left) -> Sequence[int]:
    from ebpfless_arch.tracer.attached import left_behind

    return left_behind(left.family, left.since)


def stay_with_keeper(keeper: int) -> None:
    """In attach mode nobody would look after us when it has ended: then we let go, too."""
    process.be_told_of_orphanhood(LET_GO)
    if os.getppid() != keeper:
        os.kill(os.getpid(), LET_GO)


def _attach(abis: Sequence[Abi], plan: Plan, found: features.Features, link: Link, ends: Ends, start: Start) -> None:
    # It imports this module as well.
    from ebpfless_arch.tracer import attach

    attach.run(abis, plan, found, link, ends, start)


def _trace(engine: Engine, plan: Plan, found: features.Features, link: Link, ends: Ends) -> None:
    # It imports this module, and is needed only now.
    from ebpfless_arch.tracer import renewal

    renewal.trace(engine, plan, found, link, ends)
