"""The call that a thread sleeps in: /proc/PID/syscall (proc(5)) tells it with its arguments, of sleeping threads only."""

from typing import Optional, Tuple

from ebpfless_arch.kernel import procfs
from ebpfless_arch.named import NamedTuple

_CALL_STACK_INSTRUCTION = 9


class Waiting(NamedTuple):
    """A call that a thread slept in: its number, its six arguments, the instruction behind it, and how often the thread had
    gone to sleep by then."""

    number: int
    arguments: Tuple[int, ...]
    instruction: int
    sleeps: int


def look(tid: int) -> Optional[Waiting]:
    """What a thread sleeps in now; None when it runs, sleeps outside of a call, is gone, or this may not be seen."""
    try:
        before = sleeps(tid)
        words = procfs.read(tid, "syscall", 4096).split()
        if len(words) < _CALL_STACK_INSTRUCTION or sleeps(tid) != before:
            return None
    except OSError:
        return None
    return Waiting(int(words[0]), tuple(int(word, 16) for word in words[1:7]), int(words[8], 16), before)


def sleeps(tid: int) -> int:
    """How often a thread has gone to sleep or stopped; raises OSError."""
    return int(procfs.status(tid).get(b"voluntary_ctxt_switches", b"0"))
