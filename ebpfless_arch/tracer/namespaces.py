"""Processes by the numbers that a tracee in another pid namespace has for them (pid_namespaces(7))."""

import os

from ebpfless_arch.kernel import procfs
from ebpfless_arch.tracer.stops import Stop

_REMEMBERED_AT_MOST = 1024


def outward(stop: Stop, number: int) -> int:
    """The number that we have for what a tracee calls `number`: a process, or the negative number of a process group; 0
    where we know of none. Numbers that are none (0, -1) stay as they are."""
    if number in (0, -1):
        return number
    try:
        theirs = procfs.link(stop.tid, "ns/pid")
        if theirs == procfs.link(os.getpid(), "ns/pid"):
            return number
        found = _find(stop, theirs, abs(number))
    except (OSError, KeyError, ValueError):
        return number  # a kernel without the links, before 3.8, cannot tell
    return found if number > 0 else -found


def _find(stop: Stop, namespace: bytes, number: int) -> int:
    known = stop.machine.inner_pids
    found = known.get((namespace, number), 0)
    if found and _is_called(found, namespace, number):
        return found
    for pid in procfs.threads(stop.pid) + procfs.processes():
        if _is_called(pid, namespace, number):
            if len(known) >= _REMEMBERED_AT_MOST:
                known.clear()
            known[(namespace, number)] = pid
            return pid
    return 0


def _is_called(pid: int, namespace: bytes, number: int) -> bool:
    """Whether a process, or a thread, lives in a namespace and has this number there."""
    try:
        return procfs.link(pid, "ns/pid") == namespace and procfs.innermost_pid(pid) == number
    except (OSError, KeyError, ValueError):
        return False
