"""Keeps programs inside the trace from taking hold of ebpfless itself.

Natively there would be no such process, so nothing that a program needs is taken from it. A tracer that somebody traces, or
whose memory somebody writes, holds every program up for good. Signals are let through: what they do is undone (watchdog.py,
standby.py).
"""

import os
from typing import Collection, Container

from ebpfless_arch.kernel import procfs
from ebpfless_arch.tracer.readers import READERS
from ebpfless_arch.tracer.stops import Call, Stop
from ebpfless_arch.tracer.syscalls import THREAD, TRACEME, Row

_DEEDS = {
    "ptrace": "trace", "process_vm_writev": "write the memory of", "pidfd_getfd": "take a descriptor of",
    "prlimit64": "limit", "sched_setaffinity": "confine", "sched_setscheduler": "slow down", "sched_setparam": "slow down",
    "sched_setattr": "slow down", "setpriority": "slow down", "ioprio_set": "slow down",
}
# What says that a whole process group is meant: PRIO_PGRP, IOPRIO_WHO_PGRP.
_GROUP = {"setpriority": 1, "ioprio_set": 2}


def victim(stop: Stop, row: Row, call: Call, ours: Collection[int]) -> int:
    """The one of our own processes that a call is after, 0 for none. One that begins to trace has its target second."""
    if row.call in _GROUP:
        found: int = READERS[THREAD](stop, call, call.arguments[1])
        return _one_of_group(found, ours) if call.arguments[0] & 0xFFFFFFFF == _GROUP[row.call] else found if found in ours else 0
    if row.call != "ptrace":
        found = READERS[row.kinds[0]](stop, call, call.arguments[0])
    elif call.arguments[0] & 0xFFFFFFFF != TRACEME:
        found = READERS[THREAD](stop, call, call.arguments[1])
    else:
        return 0
    return found if found in ours else 0


def _one_of_group(group: int, ours: Collection[int]) -> int:
    for pid in ours:
        try:
            if os.getpgid(pid) == group:
                return pid
        except ProcessLookupError:
            pass
    return 0


def deed(row: Row, pid: int) -> str:
    """What was tried, in words."""
    return "tried to %s process %d, which is ebpfless itself (%s); refused (EPERM)" % (_DEEDS[row.call], pid, row.call)


def is_parent(stop: Stop, ours: Container[int]) -> bool:
    """Whether one of us is a process's parent, whom PTRACE_TRACEME would make its debugger. Natively it would be whoever has
    started us, or looks after orphans: nobody who debugs."""
    return procfs.stat(stop.pid).ppid in ours
