"""The action `kill`: ends exactly the processes that a rule means, and never anybody else.

A process id may mean another process by the time of the signal. So the
process is opened (pidfd, where kernel and Python have it), compared by its
start time, and only then signalled.
"""

import os
import signal
import time
from typing import Any, Dict, List

from ebpfless_arch.events.json_parts import timestamp
from ebpfless_arch.events.model import Event, Process
from ebpfless_arch.events.processes import Processes
from ebpfless_arch.kernel import procfs
from ebpfless_arch.named import NamedTuple
from ebpfless_arch.rules.actions import Kill

_KERNEL_THREAD = 0x00200000  # PF_KTHREAD (include/linux/sched.h)
_TICKS = os.sysconf("SC_CLK_TCK")
# Start times are cut to clock ticks, and the two clocks are read one after the other.
_SLACK_NS = 3 * 10 ** 9 // _TICKS

PERFORMED, GONE, REFUSED = "performed", "gone", "refused"


class Ending(NamedTuple):
    """What became of one process: PERFORMED, GONE (it had ended already) or REFUSED, and why."""

    pid: int
    status: str
    why: str = ""


class Ender:
    """Sends the signals. `protected` are process ids that are never touched, besides process 1 and kernel threads."""

    def __init__(self, processes: Processes, protected: List[int]) -> None:
        self._processes = processes
        self._protected = frozenset(protected + [0, 1])

    def kill(self, action: Kill, event: Event) -> Dict[str, Any]:
        """Carry the action out; returns what is told of it in `agent.rule_actions`."""
        targets = self._processes.meant(action.scope, event.process)
        endings = [self._end(process, action.number, event.time) for process in targets]
        return {"type": "kill", "signal": action.signal, "scope": action.scope,
                "status": _overall(endings), "killed_at": timestamp(int(time.time() * 1e9)),
                "processes": [dict(zip(ending._fields, ending)) for ending in endings]}

    def _end(self, process: Process, number: int, moment: int) -> Ending:
        if process.pid in self._protected:
            return Ending(process.pid, REFUSED, "this process is never ended")
        return end_process(process.pid, process.start, moment, number)


def end_process(pid: int, start: int, moment: int, number: int) -> Ending:
    """Send a signal to a process, if it is still the one that began at `start` (clock ticks since boot; 0: unknown) and
    had begun before `moment` (ns since the epoch); never to ourselves, process 1 or a kernel thread."""
    # Behind a command that has ended, a copy of the keeper has another number than at the start.
    if pid in (0, 1, os.getpid()):
        return Ending(pid, REFUSED, "this process is never ended")
    try:
        told = procfs.stat(pid)
        if told.flags & _KERNEL_THREAD:
            return Ending(pid, REFUSED, "a kernel thread")
        with _Handle(pid) as handle:
            if not _is_still(pid, start, moment):
                return Ending(pid, GONE)
            handle.send(number)
    except ProcessLookupError:
        return Ending(pid, GONE)
    except PermissionError as error:
        return Ending(pid, REFUSED, str(error.strerror))
    return Ending(pid, PERFORMED)


class _Handle:
    """A process that cannot become another one, as far as kernel (5.3) and Python (3.9) can do that."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._descriptor = -1
        self._open = getattr(os, "pidfd_open", None)
        self._send: Any = getattr(signal, "pidfd_send_signal", None)

    def __enter__(self) -> "_Handle":
        if self._open is not None and self._send is not None:
            try:
                self._descriptor = self._open(self._pid)
            except ProcessLookupError:
                raise
            except OSError:
                pass  # older kernels, and hosts that forbid it
        return self

    def __exit__(self, *problem: object) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)

    def send(self, number: int) -> None:
        """Send a signal; raises OSError."""
        if self._descriptor >= 0:
            self._send(self._descriptor, number)
        else:
            os.kill(self._pid, number)


def _is_still(pid: int, start: int, moment: int) -> bool:
    """Whether the process that has this id now is the one that is meant.

    Its start time tells, where it was taken down; else it must have begun before the event.
    """
    told = procfs.stat(pid)
    if told.state in "ZX":
        return False
    if start:
        return told.start == start
    age = procfs.uptime() - told.start * 10 ** 9 // _TICKS
    return age + _SLACK_NS >= time.time() * 1e9 - moment


def _overall(endings: List[Ending]) -> str:
    """One word for all: performed, if one was ended."""
    words = [ending.status for ending in endings]
    for word in (PERFORMED, REFUSED):
        if word in words:
            return word
    return GONE
