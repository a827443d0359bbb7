"""What a keeper tells its tracer: what to do, where it begins, by which signals it is spoken to.

Both load it; all else that a tracer consists of only the tracer does.
"""

import marshal
import os
import signal
from typing import Any, List, Optional, Sequence, Tuple

from ebpfless_arch.events.interest import Interest, unpacked
from ebpfless_arch.named import NamedTuple

# The exit status for a command that could not be started.
FAILED, NOT_EXECUTABLE, NOT_FOUND = 125, 126, 127

# Levels of attach mode, see attached.py.
FULL, PROCESS = "full", "process"
_COSTS = {
    FULL: "every system call of theirs stops twice, which slows down programs that make many (--attach-level process costs "
          "next to nothing, and shows beginnings, programs and ends of processes)",
    PROCESS: "beginnings, programs and ends of processes only, and by whose rights they run then",
}
LET_GO = signal.SIGTERM
"""What tells the tracer to let go of everything and to end."""

ATTACH = signal.SIGRTMIN + 1
"""What tells it to attach to one more process, whose id it is queued with."""


class Plan(NamedTuple):
    """What a tracer is to do: run `command` as `uid`/`gid`, or, with a `level` (see attached.py), attach to `pids`, which began
    at `births` (clock ticks since boot; 0: were not there), and to others later if it `follows`; stop for what is `wanted` (see
    interest.packed), look at files or not. `deadly`: the program dies with its tracer; `io_uring` and `colocate` as in Interest.
    """

    command: List[bytes]
    wanted: Tuple[Any, ...]
    use_filter: bool
    attributes: bool
    uid: Optional[int]
    gid: Optional[int]
    keeper: int
    deadly: bool = False
    pids: List[int] = []
    births: List[int] = []
    follows: bool = False
    level: str = ""
    io_uring: str = "alert"
    colocate: bool = False

    def interest(self) -> Interest:
        """The plan's interest."""
        return unpacked(self.wanted)._replace(io_uring=self.io_uring, colocate=self.colocate and not self.level)

    def cost(self, processes: int) -> str:
        """What so many attached processes pay, in words."""
        count = "%d running process%s" % (processes, "" if processes == 1 else "es")
        return "tracing %s; %s" % ("what is to be followed" if self.follows else count, _COSTS[self.level])


class Left(NamedTuple):
    """What a dead tracer leaves behind: the keeper with its descendants and the family of its tracees' processes, of
    which `main` is the command. `since` is when that was noticed, in ns since the epoch; `overseen` as in Start;
    `spared` are children of the keeper's that were never traced."""

    keeper: int
    family: Sequence[int]
    main: int
    since: int
    overseen: bool
    spared: Sequence[int] = ()


class Start(NamedTuple):
    """What a tracer finds at its fork: descriptors and blocked signals that are the command's, whether SIGCHLD is to be
    ignored in it, and whether the keeper's parent oversees the process group."""

    inherited: List[int]
    mask: List[int]
    ignores_children: bool
    overseen: bool


def send_plan(descriptor: int, plan: Plan) -> None:
    """Hand the plan to a waiting tracer."""
    os.write(descriptor, marshal.dumps(tuple(plan)))
    os.close(descriptor)


def receive_plan(descriptor: int) -> Optional[Plan]:
    """Wait for the plan; None where there will be none."""
    parts = []
    while True:
        part = os.read(descriptor, 65536)
        if not part:
            break
        parts.append(part)
    os.close(descriptor)
    data = b"".join(parts)
    return Plan(*marshal.loads(data)) if data else None
