"""Sees from the keeper whether the tracer gets on: a program must not wait for a tracer that waits for something else.

A tracer may hang in a file system: a dead server's, or one whose server is itself below our trace. Somebody may have
stopped it. Then every tracee that comes to a stop hangs as well.
"""

import os
import time
from typing import Optional

from ebpfless_arch.kernel import procfs, signals
from ebpfless_arch.tracer.pulse import Held, Pulse

PERIOD_SECONDS = 0.5
_LONG_SECONDS = 1.0
HOPELESS_SECONDS = 3.0
_SLEEPING = ("D", "S")


class Watchdog:
    """Looks at a tracer's pulse from time to time."""

    def __init__(self, pulse: Pulse) -> None:
        self._pulse = pulse
        self._told: Optional[Held] = None
        self._asleep = 0

    def look(self, tracer: int, standby: int = 0) -> str:
        """What is to be told of it, "" when all is well. A tracer that somebody has stopped is woken."""
        try:
            state = procfs.stat(tracer).state
        except OSError:
            return ""
        if signals.wake(tracer):
            return "somebody had stopped the tracer (SIGSTOP), and with it every traced program; it goes on"
        if standby and signals.wake(standby):
            return "somebody had stopped the process that stands by for the tracer (SIGSTOP); it goes on"
        held = self._pulse.held()
        late = held is not None and time.monotonic() - held.since >= _LONG_SECONDS
        # One that could run and does not get to is no hopeless case: the machine is busy.
        self._asleep = self._asleep + 1 if late and state in _SLEEPING else 0
        if held is None or not late or held == self._told:
            return ""
        self._told = held
        return self._describe(held, tracer, state)

    def is_hopeless(self) -> bool:
        """Whether the tracer has slept for seconds over one stop: somebody else has to go on."""
        held = self._pulse.held()
        return (held is not None and self._asleep > 1 and held == self._told
                and time.monotonic() - held.since >= HOPELESS_SECONDS)

    def forget(self) -> None:
        """The tracer is gone; what it was at is over."""
        self._pulse.end()
        self._asleep = 0

    def _describe(self, held: Held, tracer: int, state: str) -> str:
        return ("the tracer has held thread %d for %.1f s, in its call %s; it is itself in %s (state %s)"
                % (held.tid, time.monotonic() - held.since, self._call(held.tid), self._call(tracer), state))

    def _call(self, tid: int) -> str:
        """The name of the call that a thread is in (proc(5), /proc/PID/syscall)."""
        try:
            word = procfs.read(tid, "syscall", 256).split()[0]
        except (OSError, IndexError):
            return "?"
        return _name_of(int(word)) if word.isdigit() else word.decode()


def _name_of(number: int) -> str:
    """The name of a call of this machine's native ABI."""
    # Few commands last long enough for it.
    from ebpfless_arch.abi import MACHINES

    names = {value: name for name, value in MACHINES[os.uname().machine][0].syscalls.items()}
    return names.get(number, str(number))
