"""Which rows of the table of system calls some programs do, with success and with failure: strace tells the numbers, the
arguments and the results, and the rows themselves say which calls are theirs."""

import re
from pathlib import Path
from typing import Dict, Iterator, List, NamedTuple, Sequence, Set, Tuple

from blackbox import run
from ebpfless_arch.abi import Abi
from ebpfless_arch.tracer.syscalls import ROWS, Row, by_number

# Sub-calls of i386's socketcall, whose names and arguments strace shows (include/uapi/linux/net.h).
_SUB_CALLS = ("", "socket", "bind", "connect", "listen", "accept", "getsockname", "getpeername", "socketpair", "send", "recv",
              "sendto", "recvfrom", "shutdown", "setsockopt", "getsockopt", "sendmsg", "recvmsg", "accept4", "recvmmsg",
              "sendmmsg")
_CALL = re.compile(r"(\d+) +\[ *(-?\d+)\] (\w+)\((.*)\) += (-?(?:0x)?[0-9a-f]+|\?)")
_BEGUN = re.compile(r"(\d+) +(\[.*) <unfinished \.\.\.>$")
_RESUMED = re.compile(r"(\d+) +\[ *-?\d+\] <\.\.\. \w+ resumed>(.*)$")


class Done(NamedTuple):
    """A call by its number, with the name that strace has for it."""

    number: int
    name: str
    arguments: Tuple[int, ...]
    result: int


def rows_done(command: Sequence[str], abi: Abi, folder: Path) -> Dict[Row, Set[bool]]:
    """The rows that a program does, and whether with success (True) and failure (False)."""
    log = folder / "strace"
    run(["strace", "-f", "-n", "-e", "raw=all", "-e", "signal=none", "-o", str(log)] + list(command), cwd=str(folder),
        timeout=120)
    found: Dict[Row, Set[bool]] = {}
    numbers = by_number(abi, ROWS)
    for done in _calls(log.read_text(errors="replace").splitlines()):
        for row in numbers.get(done.number, []):
            if _is_of(row, done):
                found.setdefault(row, set()).add(done.result >= 0)
    return found


def _calls(lines: List[str]) -> Iterator[Done]:
    begun: Dict[str, str] = {}
    for line in lines:
        start, end = _BEGUN.match(line), _RESUMED.match(line)
        if start:
            begun[start.group(1)] = start.group(2)
            continue
        if end and end.group(1) in begun:
            line = "%s %s%s" % (end.group(1), begun.pop(end.group(1)), end.group(2))
        call = _CALL.match(line)
        if call and call.group(5) != "?":
            words = [word for word in call.group(4).split(", ") if word]
            yield Done(int(call.group(2)), call.group(3), tuple(int(word, 0) for word in words), int(call.group(5), 0))


def _is_of(row: Row, done: Done) -> bool:
    """Whether a call is one of a row. Where strace has unpacked the arguments, its name tells the sub-call."""
    arguments = done.arguments + (0,) * 6
    if row.packed < 0:
        return row.wants(arguments)
    if not row.only:
        return True  # only the kernel sees the arguments of i386's old mmap
    (sub_call,) = row.only[0].values
    return _SUB_CALLS[sub_call] == done.name and all(test.holds(arguments) for test in row.also)


def rows_of(abi: Abi) -> List[Row]:
    """All rows that an ABI has, each once."""
    return list(dict.fromkeys(row for rows in by_number(abi, ROWS).values() for row in rows))
