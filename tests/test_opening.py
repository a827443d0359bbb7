"""tracer/opening.py: whether a thread has done with an open is known, and it is none the wiser."""

import os
import signal
import time
from pathlib import Path
from typing import Callable, Iterator

import pytest

from ebpfless_arch.abi import MACHINES
from ebpfless_arch.kernel import features, procfs, ptrace
from ebpfless_arch.tracer import opening
from ebpfless_arch.tracer.stops import Machine, Stop

ABIS = MACHINES[os.uname().machine]
OPENS = frozenset(ABIS[0].syscalls[name] for name in ("open", "openat") if name in ABIS[0].syscalls)
Start = Callable[[Callable[[], None]], int]


@pytest.fixture
def start() -> Iterator[Start]:
    """Forks a child that does something for ever, and seizes it."""
    children = []

    def begin(work: Callable[[], None]) -> int:
        ready = os.pipe()
        child = os.fork()
        if not child:
            try:
                os.write(ready[1], b"r")
                work()
            finally:
                os._exit(1)
        children.append(child)
        assert os.read(ready[0], 1) == b"r"
        for end in ready:
            os.close(end)
        ptrace.seize(child, 0)
        return child

    yield begin
    for child in children:
        os.kill(child, signal.SIGKILL)
        while os.WIFSTOPPED(os.waitpid(child, ptrace.WALL)[1]):
            pass


def run_for_ever() -> None:
    """Never sleeps."""
    while True:
        pass


def await_state(child: int, state: str) -> None:
    """Until /proc says so."""
    while procfs.stat(child).state != state:
        time.sleep(0.001)


def stop_of(child: int) -> Stop:
    """What is asked to wait for it."""
    return Stop(Machine(ABIS, features.probe(ABIS[0])), child, child)


def test_whoever_sleeps_in_another_call_has_done_with_it(start: Start) -> None:
    child = start(lambda: time.sleep(1009))
    await_state(child, "S")
    assert opening.is_over(child, OPENS)


def test_whoever_sleeps_in_an_open_has_not(start: Start, tmp_path: Path) -> None:
    fifo = str(tmp_path / "fifo")
    os.mkfifo(fifo)
    child = start(lambda: os.close(os.open(fifo, os.O_RDONLY)))
    await_state(child, "S")
    assert not opening.is_over(child, OPENS)


def test_whoever_runs_is_asked_and_goes_on(start: Start) -> None:
    child = start(run_for_ever)
    assert not opening.is_over(child, OPENS)
    assert opening.await_end(stop_of(child), False) == []
    await_state(child, "R")
    assert os.waitpid(child, ptrace.WALL | os.WNOHANG) == (0, 0)


def test_another_stop_is_left_to_others(start: Start) -> None:
    child = start(run_for_ever)
    os.kill(child, signal.SIGUSR1)
    await_state(child, "t")
    [(tid, status)] = opening.await_end(stop_of(child), False)
    assert tid == child and os.WSTOPSIG(status) == signal.SIGUSR1
    ptrace.resume(ptrace.CONT, child, 0)
    await_state(child, "R")
