"""What has become of the tracees: their wait statuses, all, the next one, or as many as there are."""

import os
from typing import List, Tuple

from ebpfless_arch.kernel import ptrace


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


def is_over(tid: int, status: int) -> bool:
    """Whether a thread is no longer in the stop that a status told of."""
    if not os.WIFSTOPPED(status):
        return False
    try:
        return not ptrace.is_at(tid, status >> 8)
    except OSError:
        return True
