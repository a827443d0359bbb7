"""strace and `trace --events` see the same files, programs and connections of ten real programs, call by call."""

import os
import re
import shutil
import sys
from collections import Counter
from pathlib import Path
from typing import Dict, Iterable, Iterator, List, Tuple

import pytest

import strace
from blackbox import REPOSITORY, Event, event_options, read_events, run
from real_programs import EVERYWHERE, PROGRAMS, Program
from strace import Told

SEARCH = os.pathsep.join(["/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"]
                         + sorted(map(str, Path("/usr/lib/postgresql").glob("*/bin")))[-1:])
NOBODY = "65534"
TRACE = [sys.executable, str(REPOSITORY / "ebpfless.py"), "trace", "--probe-addr", "none", "--wait-all"]


class Ground:
    """A program with the directory that both observers find as new, and at the same place."""

    def __init__(self, program: Program, folder: Path) -> None:
        self.program = program
        self.work = folder / "work"
        self.script = folder / "script"
        self.script.write_text("set -e\n%s\n" % program.script)
        self.output = str(folder / "output")
        self.environment = {"PATH": SEARCH, "HOME": str(self.work), "LC_ALL": "C", "PYTHONHASHSEED": "0"}

    def run(self, observer: List[str]) -> bytes:
        """Runs the script below an observer; returns what it printed."""
        if self.work.exists():
            shutil.rmtree(str(self.work))
        self.work.mkdir()
        command = ["/bin/sh", str(self.script)]
        if self.program.as_nobody:
            os.chown(str(self.work), int(NOBODY), int(NOBODY))
            command = [str(shutil.which("setpriv")), "--reuid", NOBODY, "--regid", NOBODY, "--clear-groups"] + command
        result = run(observer + command, cwd=str(self.work), env=self.environment)
        assert result.status == 0, result
        return result.stdout

    def by_strace(self) -> List[Told]:
        """What strace tells."""
        self.run([str(shutil.which("strace")), "-o", self.output] + list(strace.OPTIONS))
        with open(self.output) as lines:
            return list(strace.calls(lines.read().splitlines()))

    def by_us(self) -> List[Event]:
        """What `trace --events` tells."""
        if os.path.exists(self.output):
            os.unlink(self.output)
        self.run(TRACE + event_options(self.output) + ["--"])
        return read_events(self.output)

    def settled(self, told: Iterable[Told]) -> Iterator[Told]:
        """The calls without what differs from run to run."""
        for each in told:
            if any(each.event == untimed.event and re.search(untimed.text, text)
                   for untimed in self.program.untimed for text in each.texts):
                continue
            yield each._replace(texts=tuple(map(self._same, each.texts)), place=self._same(each.place))

    def _same(self, text: str) -> str:
        for changing in EVERYWHERE + self.program.changing:
            text = re.sub(changing.pattern, changing.replacement, text)
        return text


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
    for needed in (program.needs + " strace").split():
        if shutil.which(needed, path=SEARCH) is None:
            pytest.skip("needs " + needed)
    ground = Ground(program, public_dir)
    ground.run([])  # what a program makes once and for all is there for both
    theirs = list(ground.settled(ground.by_strace()))
    ours = list(ground.settled(strace.events(ground.by_us())))
    assert len(ours) > 50 and {"open", "exec"} <= {each.event for each in ours}
    assert differences(theirs, ours) == {}
    # strace does not tell the absolute path of every call; where it does, it is ours.
    known = Counter(each for each in theirs if each.place)
    assert len(known) > 10 and known - Counter(ours) == Counter()
