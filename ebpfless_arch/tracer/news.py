"""What has become of the tracees: their wait statuses, all, the next one, or as many as there are."""

import os
import struct
from typing import List, Tuple

from ebpfless_arch.abi import MACHINES
from ebpfless_arch.kernel import ptrace

_PIDS_END = 1 << 22  # include/linux/threads.h, PID_MAX_LIMIT


def pending_news(only_one: bool = False) -> List[Tuple[int, int]]:
    """All statuses of tracees that have come, or one of them; raises ChildProcessError when there is none left that could
    have one."""
    news: List[Tuple[int, int]] = []
    while True:
        try:
            found = os.waitpid(-1, ptrace.WALL | os.WNOHANG)
        except ChildProcessError:
            if not news:
                raise
            return news
        if not found[0]:
            return news
        news.append(found)
        if only_one:
            return news


def next_news() -> Tuple[int, int]:
    """The status of the next tracee that has one."""
    return os.waitpid(-1, ptrace.WALL)


def other_news() -> List[Tuple[int, int]]:
    """All statuses of tracees that have come, besides one that was taken already."""
    try:
        return pending_news()
    except ChildProcessError:
        return []


def taken_last(tid: int) -> Tuple[int, int]:
    """The end of a process that a tracer, stopped at its own end, had just been told of, as (pid, wait status), or (0, 0).

    Killed in wait4(2), it still takes what has come, and nobody can wait for that again: but the registers with which it would
    have come out of the call say where the status is.
    """
    abi = MACHINES[os.uname().machine][0]
    registers = ptrace.registers(abi.register_count, abi.general_set)
    try:
        registers.read(tid)
        pid, address = registers.words[abi.result_slot], registers.words[abi.argument_slots[1]]
        if registers.words[abi.number_slot] != abi.syscalls["wait4"] or not 0 < pid < _PIDS_END:
            return 0, 0
        (status,) = struct.unpack_from("=i", ptrace.peek(tid, address))
    except OSError:
        return 0, 0
    return (0, 0) if os.WIFSTOPPED(status) else (pid, status)


def is_over(tid: int, status: int) -> bool:
    """Whether a thread is no longer in the stop that a status told of."""
    if not os.WIFSTOPPED(status):
        return False
    try:
        return not ptrace.is_at(tid, status >> 8)
    except OSError:
        return True
