"""The process that stands by: when the tracer is killed, it takes its place before the dead one has let go.

Until somebody traces it again, a filtered call of the program fails with ENOSYS. So the stand-by traces the tracer: one that
is killed then stops once more before it gives up what it holds (PTRACE_EVENT_EXIT, ptrace(2)). As long as that
lasts, tracees wait at their stops and none fails; there is time to find them all. Then the dead one may go, and each of
them is seized in the moment in which it is free.
"""

import os
import signal
import struct
import time
from typing import Callable, List, NamedTuple, Tuple

from ebpfless_arch.kernel import process, procfs, ptrace
from ebpfless_arch.tracer.corral import Corral
from ebpfless_arch.tracer.engine import Engine
from ebpfless_arch.tracer.tracees import threads_traced_by

NAME = b"ebpfless-standby"
CANNOT = 3
_TRIES = 50
_PAUSE_SECONDS = 0.002
_LAST_MOMENT_SECONDS = 1.0
_GLANCE_SECONDS = 0.00005
_MEASURE = struct.Struct("=d")
_SIGNALS_TO_STOP = frozenset([signal.SIGSTOP, signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU])


Seize = Callable[[int, int], None]


class Gap(NamedTuple):
    """What came of it: threads that are traced again, why others are not ("" when all are), how long all of it took and how
    long a thread may have had no tracer, in ms (-1: nobody knows)."""

    threads: int
    problem: str
    milliseconds: float
    untraced: float

    def __str__(self) -> str:
        text = "the tracer was killed; %d threads are traced again after %.1f ms" % (self.threads, self.milliseconds)
        if self.untraced >= 0:
            text += ", of which %.3f ms without a tracer" % self.untraced
        return text + ("; others are not: " + self.problem if self.problem else "")


class Death(NamedTuple):
    """A tracer that is dying; while it is held, it still has its tracees. `since` is monotonic, in seconds."""

    tracer: int
    is_held: bool
    since: float


def fork() -> Tuple[int, int]:
    """Fork the stand-by of this process; returns its id and ours, to it 0 and its tracer's. Raises OSError."""
    tracer = os.getpid()
    child = os.fork()
    if child:
        process.allow_tracer(child)
    return child, tracer


def await_watch(standby: int) -> None:
    """Wait a moment for our own stand-by to watch us (0: there is none)."""
    end = time.monotonic() + _TRIES * _PAUSE_SECONDS
    while standby and time.monotonic() < end:
        if procfs.status(os.getpid())[b"TracerPid"] != b"0":
            return
        time.sleep(_GLANCE_SECONDS)


def attend(tracer: int) -> Death:
    """In the stand-by: wait for the tracer's death. Does not return when there is nothing to take over, nor where the
    tracer cannot be watched."""
    process.set_name(NAME)
    if not _watch(tracer):
        return Death(tracer, False, time.monotonic())
    return _await_death(tracer)


def _await_death(tracer: int) -> Death:
    while True:
        status = os.waitpid(tracer, ptrace.WALL)[1]
        if not os.WIFSTOPPED(status):
            if status == 0:
                os._exit(0)
            return Death(tracer, False, time.monotonic())
        if status >> 16 == ptrace.EVENT_EXIT:
            return _at_its_exit(tracer)
        # Whoever stops the tracer stops the program as well: that does not happen.
        number = os.WSTOPSIG(status)
        _resume(tracer, 0 if status >> 16 or number in _SIGNALS_TO_STOP else number)


def _watch(tracer: int) -> bool:
    """Become the tracer's tracer; False when it is dead already."""
    for _ in range(_TRIES):
        try:
            ptrace.seize(tracer, ptrace.O_TRACEEXIT)
            return True
        except ProcessLookupError:
            return False
        except OSError:
            if os.getppid() != tracer:
                return False
            time.sleep(_PAUSE_SECONDS)  # until it has allowed us to
    os._exit(CANNOT)


def _at_its_exit(tracer: int) -> Death:
    since = time.monotonic()
    try:
        is_regular = ptrace.event_message(tracer) == 0
    except ProcessLookupError:
        return Death(tracer, False, since)  # killed twice
    if is_regular:
        _resume(tracer, 0)
        os._exit(0)
    return Death(tracer, True, since)


def _resume(tracer: int, number: int) -> None:
    try:
        ptrace.resume(ptrace.CONT, tracer, number)
    except ProcessLookupError:
        pass


def succeed(engine: Engine, death: Death, keeper: int, main: int) -> Gap:
    """Seize with a new engine what a dying tracer holds, and what lives below the command or the keeper without one."""
    if not death.is_held:
        count, problem = engine.take_over(keeper, main, [main] if main else [])
        return Gap(count, problem, (time.monotonic() - death.since) * 1e3, -1.0)
    held = _find(death.tracer)
    corral = Corral(death.tracer, [tid for tid, _ in held])
    untraced = _move(engine.seize, held, death.tracer, corral)
    count, problem = engine.take_over(main, main, sorted({pid for _, pid in held}))
    corral.let_out(engine.threads())
    return Gap(count, problem, (time.monotonic() - death.since) * 1e3, untraced * 1e3)


def _find(tracer: int) -> List[Tuple[int, int]]:
    """All that a process traces; looked for until none has come meanwhile. Those yet to come wait at their first stop."""
    found = threads_traced_by(tracer)
    while True:
        again = threads_traced_by(tracer)
        if set(again) <= set(found):
            return again
        found = again


def _move(seize: Seize, held: List[Tuple[int, int]], tracer: int, corral: Corral) -> float:
    """Let a dying tracer go and seize what it held; returns for how long, in seconds, a thread may have been without any."""
    try:
        _resume(tracer, 0)
        if corral.is_alone:
            os.waitpid(tracer, ptrace.WALL)
        else:
            _await_last_moment(tracer)
        return _seize(seize, held, 0 if corral.is_alone else tracer)
    finally:
        corral.open()


def _await_last_moment(tracer: int) -> None:
    """Wait until a dying process has given its memory back, which takes the longest; its tracees are soon to follow."""
    end = time.monotonic() + _LAST_MOMENT_SECONDS
    while time.monotonic() < end:
        try:
            if procfs.read(tracer, "statm", 64).startswith(b"0 "):
                return
        except OSError:
            return
        time.sleep(_GLANCE_SECONDS)


def _seize(seize: Seize, threads: List[Tuple[int, int]], tracer: int) -> float:
    """Seize threads as soon as their tracer lets go, 0 if it has; returns for how long, in seconds, one may have been
    without any."""
    last = time.monotonic()
    is_dead, is_free = not tracer, False
    for tid, pid in threads:
        while True:
            try:
                seize(tid, pid)
            except ProcessLookupError:
                pass
            except OSError:
                if not is_dead:
                    is_dead = os.waitpid(tracer, ptrace.WALL | os.WNOHANG)[0] != 0
                    last = last if is_free else time.monotonic()
                    continue
            else:
                is_free = True
            break
    return time.monotonic() - last


# --- how good it is here -----------------------------------------------------------------

def measure() -> float:
    """Try it with three processes of our own: for how long, in ms, a thread is without a tracer when that one is killed; -1
    where nobody can stand by."""
    ends = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.write(ends[1], _MEASURE.pack(_try() * 1e3))
        finally:
            os._exit(0)
    os.close(ends[1])
    try:
        found = os.read(ends[0], _MEASURE.size)
        return float(_MEASURE.unpack(found)[0]) if found else -1.0
    finally:
        os.close(ends[0])
        os.waitpid(child, 0)


def _try() -> float:
    program = os.fork()
    while program == 0:
        time.sleep(_PAUSE_SECONDS)
    try:
        ready = os.pipe()
        tracer = os.fork()
        if tracer == 0:
            _hold(program, ready[1])
        os.close(ready[1])
        if not os.read(ready[0], 1) or not _watch(tracer):
            return -1e-3
        os.kill(tracer, signal.SIGKILL)
        death = _await_death(tracer)
        held = _find(tracer)
        if not death.is_held or not held:
            return -1e-3
        return _move(lambda tid, pid: ptrace.seize(tid, 0), held, tracer, Corral(tracer, [tid for tid, _ in held]))
    finally:
        os.kill(program, signal.SIGKILL)


def _hold(program: int, ready: int) -> None:
    """In a tracer to be killed: trace the program."""
    try:
        ptrace.seize(program, 0)
        os.write(ready, b".")
        signal.pause()
    finally:
        os._exit(1)
