"""The one table of system calls: what each means to us. Filter, decoder and documents are derived from it."""

from typing import Dict, List, NamedTuple, Sequence, Tuple

from ebpfless_arch.abi import Abi
from ebpfless_arch.events.interest import Interest
from ebpfless_arch.kernel.seccomp import Block, Match

# Kinds of arguments.
DIRFD, PATH, FLAGS, MODE, HOW, ARGV, ENVP, EXEC_FLAGS, CLONE_FLAGS, CLONE_STRUCT, OTHER = range(11)

# What a row is for, where it is not an event: a clone that would escape its tracer.
GUARD = "guard"

CLONE_UNTRACED = 0x00800000


class Row(NamedTuple):
    """One call: the event it makes, the kinds of its arguments, whether the event needs the call's result.

    With `mask`, only calls whose first argument has one of these bits are of interest.
    """

    call: str
    event: str
    kinds: Tuple[int, ...]
    result: bool = True
    mask: int = 0


ROWS = (
    Row("openat", "open", (DIRFD, PATH, FLAGS, MODE)),
    Row("open", "open", (PATH, FLAGS, MODE)),
    Row("openat2", "open", (DIRFD, PATH, HOW, OTHER)),
    Row("creat", "open", (PATH, MODE)),
    Row("execve", "exec", (PATH, ARGV, ENVP)),
    Row("execveat", "exec", (DIRFD, PATH, ARGV, ENVP, EXEC_FLAGS)),
    Row("clone", GUARD, (CLONE_FLAGS,), result=False, mask=CLONE_UNTRACED),
    Row("clone3", GUARD, (CLONE_STRUCT,), result=False),
)


def rows(interest: Interest) -> List[Row]:
    """The rows that an interest needs, guards always."""
    return [row for row in ROWS if row.event == GUARD or interest.wants(row.event)]


def by_number(abi: Abi, chosen: Sequence[Row]) -> Dict[int, Row]:
    """The chosen rows by the call numbers of one ABI; calls that it lacks are left out."""
    return {abi.syscalls[row.call]: row for row in chosen if row.call in abi.syscalls}


def blocks(abis: Sequence[Abi], chosen: Sequence[Row]) -> List[Block]:
    """What the seccomp filter has to stop at."""
    return [Block(abi.audit_arch, abi.number_ceiling,
                  [Match(number, 0, row.mask) for number, row in by_number(abi, chosen).items()])
            for abi in abis]
