"""The same programs make the same events on every machine: how many of each kind, as they were counted on amd64."""

from collections import Counter
from pathlib import Path
from typing import Dict, List, NamedTuple

import pytest

from blackbox import Compiler, Event, file_path, run_traced
from call_runs import WIDTHS
from test_trace_counting import create_files

pytestmark = pytest.mark.once

LOADER = frozenset(["mmap"])
"""Events of the C library's loader, which differ with it; so do its opens, which lie outside of the working directory."""


class Program(NamedTuple):
    """A program of tests/programs with its arguments, and how many events of each kind it makes."""

    source: str
    arguments: str
    counts: str


PROGRAMS = [
    Program("count.c", ".", "exec 1 exit 14 fork 13 open 1022 open-failed 211"),
    Program("calls.c", "unlink rmdir rename mkdir link signal socket",
            "accept 2 accept-failed 1 bind 2 bind-failed 1 connect 4 connect-failed 2 exec 1 exit 3 fork 2 link 7 "
            "link-failed 2 listen 1 mkdir 4 mkdir-failed 2 open 12 open-failed 7 rename 3 rename-failed 2 rmdir 2 "
            "rmdir-failed 1 setsockopt 1 signal 8 signal-failed 2 unlink 3 unlink-failed 3"),
    Program("spawn.c", "/bin/true", "exec 4 exit 4 fork 3"),
    Program("untraced.c", ".", "blind_spot 2 exec 1 exit 5 fork 4 open-failed 4"),
]


def kind(event: Event) -> str:
    """What is counted; calls that failed apart."""
    result: int = event["evt"]["variables"].get("retval", 0)
    return str(event["evt"]["name"]) + ("-failed" if result < 0 else "")


def counted(command: List[str], folder: Path) -> Dict[str, int]:
    """How many events of each kind a program makes in a directory."""
    result = run_traced(command, cwd=str(folder))
    assert (result.status, result.stderr) == (0, b"")
    return Counter(kind(event) for event in result.events if event["evt"]["name"] not in LOADER
                   and (event["evt"]["name"] != "open" or file_path(event).startswith(str(folder))))


@pytest.mark.parametrize("flags", WIDTHS)
@pytest.mark.parametrize("program", PROGRAMS, ids=[program.source for program in PROGRAMS])
def test_as_many_events_of_each_kind(program: Program, flags: List[str], compile_c: Compiler, tmp_path: Path) -> None:
    create_files(tmp_path)
    found = counted([compile_c(program.source, *flags)] + program.arguments.split(), tmp_path)
    assert " ".join("%s %d" % each for each in sorted(found.items())) == program.counts
