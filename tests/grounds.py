"""Where the programs of real_programs.py run: the same place, as new, for each that looks on."""

import os
import re
import shutil
import sys
from pathlib import Path
from typing import Iterable, Iterator, List

import pytest

import strace
from blackbox import FOLDER, Event, event_options, read_events, run
from real_programs import EVERYWHERE, Program
from strace import Told

SEARCH = os.pathsep.join(["/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"]
                         + sorted(map(str, Path("/usr/lib/postgresql").glob("*/bin")))[-1:])
NOBODY = "65534"
TRACE = [sys.executable, os.path.join(FOLDER, "ebpfless.py"), "trace", "--probe-addr", "none", "--disable-proc-scan", "--wait-all"]


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


def ground_of(program: Program, folder: Path) -> Ground:
    """The ground of a program; skips where a package is missing."""
    for needed in (program.needs + " strace").split():
        if shutil.which(needed, path=SEARCH) is None:
            pytest.skip("needs " + needed)
    return Ground(program, folder)
