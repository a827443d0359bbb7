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
from typing import Callable, List, Sequence, Tuple

from ebpfless_arch.kernel import process, procfs, ptrace
from ebpfless_arch.named import NamedTuple
from ebpfless_arch.tracer.corral import Corral, table_of
from ebpfless_arch.tracer.engine import Engine
from ebpfless_arch.tracer.news import taken_last
from ebpfless_arch.tracer.places import Table
from ebpfless_arch.tracer.pulse import Pulse
from ebpfless_arch.tracer.tracees import state_and_tracer, threads_traced_by, traced_again

NAME = b"ebpfless-standby"
CANNOT = 3
_TRIES = 50
_PAUSE_SECONDS = 0.002
_LAST_MOMENT_SECONDS = 1.0
_GLANCE_SECONDS = 0.00005
_TO_WATCH_SECONDS = 2.0
_MEASURE = struct.Struct("=d")
_SIGNALS_TO_STOP = frozenset([signal.SIGSTOP, signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU])

Seize = Callable[[int, int], None]
Threads = List[Tuple[int, int]]


class Gap(NamedTuple):
    """What came of it: threads that are traced again, why others are not ("" when all are), how long all of it took and how
    long a thread may have had no tracer, in ms (-1: nobody knows)."""

    threads: int
    problem: str
    milliseconds: float
    untraced: float

    def __str__(self) -> str:
        text = "the tracer was killed; %s after %.1f ms" % (traced_again(self.threads), self.milliseconds)
        if self.untraced >= 0:
            text += ", of which %.3f ms without a tracer" % self.untraced
        return text + ("; others are not: " + self.problem if self.problem else "")


class Death(NamedTuple):
    """A tracer that is dying; while it is held, it still has its tracees. `since` is monotonic, in seconds; `taken` is the end
    of a process that the kernel had just told it of, as (pid, wait status)."""

    tracer: int
    is_held: bool
    since: float
    taken: Tuple[int, int] = (0, 0)


def fork() -> Tuple[int, int]:
    """Fork the stand-by of this process; returns its id and ours, to it 0 and its tracer's. Raises OSError."""
    tracer = os.getpid()
    child = os.fork()
    if child:
        process.allow_tracer(child)
    return child, tracer


def await_watch(standby: int) -> None:
    """Wait a moment for our own stand-by to watch us (0: there is none). On a busy machine it takes its time; until then
    nobody has been let go, and should we be killed when they have, somebody must see to it."""
    end = time.monotonic() + _TO_WATCH_SECONDS
    while standby and time.monotonic() < end and not procfs.is_dead(standby, standby):
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
    return Death(tracer, True, since, taken_last(tracer))


def _resume(tracer: int, number: int) -> None:
    try:
        ptrace.resume(ptrace.CONT, tracer, number)
    except ProcessLookupError:
        pass


def succeed(engine: Engine, deaths: Sequence[Death], keeper: int, main: int, pulse: Pulse) -> Gap:
    """Seize with a new engine what dying tracers hold, and what lives below the command or the keeper without one. The last
    of them is the one that we stood by for; those before it had been killed while the next was about to take over."""
    last = deaths[-1]
    spared = _own_kind(keeper)
    if not last.is_held:
        for death in deaths:
            _await_end(death.tracer)
        count, problem = engine.take_over(keeper, main, [main] if main else [], spared)
        return Gap(count, problem, (time.monotonic() - last.since) * 1e3, -1.0)
    dying = _chain(deaths)
    # When the keeper has ended, its id may be a stranger's.
    root = keeper if procfs.stat(dying[-1]).ppid == keeper else main
    corral, held = _gather(dying, table_of(pulse))
    untraced, refusal = _move(engine.seize, held, dying, corral)
    family = sorted({pid for threads in held for _, pid in threads})
    count, problem = engine.take_over(root, main, family, spared)
    corral.let_out(engine.threads())
    for death in deaths:
        engine.learn(*death.taken)
    # Those who were refused may have ended since.
    problem = problem if count else problem or refusal
    return Gap(count, problem, (time.monotonic() - last.since) * 1e3, untraced * 1e3)


def _own_kind(keeper: int) -> List[int]:
    """Processes below the keeper that are ours: who stands by for us, who looks at the rest of the system."""
    return [pid for pid in procfs.descendants(keeper) if procfs.bears_our_name(pid)]


def _chain(deaths: Sequence[Death]) -> List[int]:
    """Those that have not let go yet, the last to die first: each is traced by the one before it."""
    dying = [deaths[-1].tracer]
    for death in reversed(deaths[:-1]):
        state, tracer = state_and_tracer(death.tracer)
        if tracer == dying[-1] and state not in b"ZX":
            dying.append(death.tracer)
    return dying


def _gather(dying: Sequence[int], table: Table) -> Tuple[Corral, List[Threads]]:
    """Keep all that dying tracers hold from running; returns them by their tracers. It is looked for them until none has
    come since the last was confined. Those yet to come wait at their first stop."""
    held = [_held_by(tracer, dying) for tracer in dying]
    corral = Corral(dying, [tid for threads in held for tid, _ in threads], table)
    while True:
        again = [_held_by(tracer, dying) for tracer in dying]
        fresh = [each for threads, former in zip(again, held) for each in set(threads).difference(former)]
        if not fresh:
            return corral, again
        corral.confine([tid for tid, _ in fresh])
        held = again


def _held_by(tracer: int, dying: Sequence[int]) -> Threads:
    return [each for each in threads_traced_by(tracer) if each[1] not in dying]


def _move(seize: Seize, held: Sequence[Threads], dying: Sequence[int], corral: Corral) -> Tuple[float, str]:
    """Let dying tracers go, each with the next, and seize what they held; returns for how long, in seconds, a thread may have
    been without any, and why one could not be had ("")."""
    untraced, problem = 0.0, ""
    try:
        _resume(dying[0], 0)
        for tracer, threads in zip(dying, held):
            if corral.is_alone:
                _await_end(tracer)
            else:
                _await_last_moment(tracer)
            took, refusal = _seize(seize, threads, 0 if corral.is_alone else tracer)
            untraced, problem = max(untraced, took), problem or refusal
        return untraced, problem
    finally:
        corral.open()


def _await_end(tracer: int) -> None:
    """Wait until a dying process has given up all that it had."""
    end = time.monotonic() + _LAST_MOMENT_SECONDS
    while not _has_ended(tracer) and time.monotonic() < end:
        time.sleep(_GLANCE_SECONDS)


def _has_ended(tracer: int) -> bool:
    try:
        return os.waitpid(tracer, ptrace.WALL | os.WNOHANG)[0] != 0
    except ChildProcessError:  # another one's, or waited for already
        return procfs.is_dead(tracer, tracer)


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


def _seize(seize: Seize, threads: List[Tuple[int, int]], tracer: int) -> Tuple[float, str]:
    """Seize threads as soon as their tracer lets go, 0 if it has; returns what _move does."""
    last, problem = time.monotonic(), ""
    is_dead, is_free = not tracer, False
    for tid, pid in threads:
        while True:
            try:
                seize(tid, pid)
            except ProcessLookupError:
                pass
            except OSError as error:
                if not is_dead:
                    is_dead = _has_ended(tracer)
                    last = last if is_free else time.monotonic()
                    continue
                problem = problem or str(error.strerror)
            else:
                is_free = True
            break
    return time.monotonic() - last, problem


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
        if not death.is_held:
            return -1e-3
        corral, held = _gather([tracer], table_of(Pulse()))
        return _move(lambda tid, pid: ptrace.seize(tid, 0), held, [tracer], corral)[0] if held[0] else -1e-3
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
