"""What cannot be seen, told once for each process and reason: a program that does it in a loop floods nobody.

More of the same is counted; the count is told when the process ends or executes another program.
"""

from typing import Callable, Dict, Tuple

from ebpfless_arch.events import records
from ebpfless_arch.events.records import Record

_REASONS_AT_MOST = 16
_OTHERS = "more of this kind, for other reasons"

# The words for what a call brings about, by its row's `blinds`.
EFFECTS = {
    "io_uring": "set up an io_uring: what it opens, sends and connects to through that is not seen",
    "seccomp_listener": "set a filter with a listener of its own (SECCOMP_FILTER_FLAG_NEW_LISTENER): calls that go there "
                        "are not seen",
}


class BlindSpots:
    """The reasons of all live processes, and how often each came true."""

    def __init__(self, emit: Callable[[Record], None]) -> None:
        self._emit = emit
        self._counts: Dict[int, Dict[Tuple[str, str], int]] = {}

    def add(self, pid: int, tid: int, kind: str, reason: str) -> None:
        """Something could not be seen; `kind` is one of records.BLIND_KINDS."""
        counts = self._counts.setdefault(pid, {})
        key = kind, reason
        if key not in counts and len(counts) >= _REASONS_AT_MOST:
            key = kind, _OTHERS
        counts[key] = counts.get(key, 0) + 1
        if counts[key] == 1:
            self._emit(records.blind(records.now(), pid, tid, key[1], kind))

    def forget(self, pid: int) -> None:
        """A process has ended, or is another program now: tell what happened more than once."""
        for (kind, reason), count in self._counts.pop(pid, {}).items():
            if count > 1:
                self._emit(records.blind(records.now(), pid, pid, reason, kind, count))
