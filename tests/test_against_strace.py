"""strace and `trace --events` see the same files, programs and connections of ten real programs, call by call."""

from collections import Counter
from pathlib import Path
from typing import Dict, Iterable, List, Tuple

import pytest

import strace
from grounds import ground_of
from real_programs import PROGRAMS, Program
from strace import Told


def count(told: Iterable[Told]) -> "Counter[Tuple[str, ...]]":
    """How often each call was made, wherever it led."""
    return Counter((each.event,) + each.texts + (each.result,) for each in told)


def differences(strace_told: List[Told], our_told: List[Told]) -> Dict[Tuple[str, ...], Tuple[int, int]]:
    """Calls whose number differs, with both numbers: strace's and ours."""
    theirs, ours = count(strace_told), count(our_told)
    return {call: (theirs[call], ours[call]) for call in sorted(theirs.keys() | ours.keys())
            if theirs[call] != ours[call]}


QUICK = ("bash", "tar")


@pytest.mark.root
@pytest.mark.parametrize("program", [
    pytest.param(program, id=program.name, marks=[] if program.name in QUICK else [pytest.mark.slow])
    for program in PROGRAMS])
def test_strace_sees_the_same(program: Program, public_dir: Path) -> None:
    ground = ground_of(program, public_dir)
    ground.run([])  # what a program makes once and for all is there for both
    theirs = list(ground.settled(ground.by_strace()))
    ours = list(ground.settled(strace.events(ground.by_us())))
    assert len(ours) > 50 and {"open", "exec"} <= {each.event for each in ours}
    assert differences(theirs, ours) == {}
    # strace does not tell the absolute path of every call; where it does, it is ours.
    known = Counter(each for each in theirs if each.place)
    assert len(known) > 10 and known - Counter(ours) == Counter()
