"""Whether an open that a thread began is over by now, without its having stopped since."""

import os
import time
from typing import Collection, List, Tuple

from ebpfless_arch.kernel import procfs, ptrace
from ebpfless_arch.kernel.waiting import look
from ebpfless_arch.tracer.stops import Stop

TO_STOP_SECONDS = 1.0
STARVED_SECONDS = 10.0
GLANCE_SECONDS = 0.0002


def will_stop(tid: int, since: float) -> bool:
    """Whether a thread is still to be waited for that was asked to stop: one that can run does as soon as it gets a CPU, on
    a busy machine after seconds."""
    waited = time.monotonic() - since
    return waited < TO_STOP_SECONDS or waited < STARVED_SECONDS and procfs.stat(tid).state == "R"


def is_over(tid: int, opens: Collection[int]) -> bool:
    """Whether a thread sleeps elsewhere: in a call of another number than those of opens; False where that cannot be told."""
    try:
        first = procfs.read(tid, "syscall", 4096).split()[:1]
        return bool(first) and first[0].isdigit() and int(first[0]) not in opens
    except OSError:
        return False


def await_end(stop: Stop, loses_arguments: bool) -> List[Tuple[int, int]]:
    """Bring a thread to a stop and let it go on; if it has come to another one, return that status, which nobody has dealt with.

    loses_arguments: as in attached.py, where a result takes the place of the first argument.
    """
    waiting = look(stop.tid) if loses_arguments else None
    try:
        found, status = os.waitpid(stop.tid, ptrace.WALL | os.WNOHANG)
        if found:
            return [(found, status)]  # asked now, it would stop once more in the middle of its next call
        ptrace.interrupt(stop.tid)
        since = time.monotonic()
        while will_stop(stop.tid, since):
            found, status = os.waitpid(stop.tid, ptrace.WALL | os.WNOHANG)
            if not found:
                time.sleep(GLANCE_SECONDS)
            elif os.WIFSTOPPED(status) and status >> 8 == ptrace.EVENT_STOP << 8 | 5:
                stop.repeat_interrupted(waiting)
                stop.resume(ptrace.CONT)
                return []
            else:
                return [(stop.tid, status)]  # any stop takes the place of the one that was asked for
    except (ProcessLookupError, ChildProcessError):
        pass
    return []
