"""--watch: files that processes touch which nobody traces."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Iterator, List

import pytest

from blackbox import Event, ebpfless, is_detection, named, opens_of, rule, run, run_traced, wait_until, write_policy
from ebpfless_arch.kernel.fanotify import Watcher
from test_whole_system import View, needs_connector, sleeper  # noqa: F401


def may_watch() -> bool:
    try:
        Watcher().close()
    except OSError:
        return False
    return True


pytestmark = [pytest.mark.skipif(not may_watch(), reason="needs fanotify, which is for CAP_SYS_ADMIN"), needs_connector]

WRITER = """
import sys
with open(sys.argv[1], "w") as file:
    for _ in range(17):
        file.write("word")
        file.flush()
"""


@pytest.fixture
def folder(public_dir: Path) -> Iterator[Path]:
    """A directory that is watched, with something beside it that is not."""
    (public_dir / "watched").mkdir()
    (public_dir / "watched" / "file").write_text("content\n")
    (public_dir / "watched-not").write_text("content\n")
    yield public_dir / "watched"


def seen(events: List[Event], pid: int) -> List[List[str]]:
    """Flags with which files were opened by a process that nobody traces."""
    return [event["file"]["flags"] for event in named(events, "open")
            if event["process"]["pid"] == pid and event["evt"]["variables"].get("seen_by") == "fanotify"]


def test_reads_and_writes_below_the_path_are_seen(sleeper: int, folder: Path, tmp_path: Path) -> None:  # noqa: F811
    with View(sleeper, tmp_path, ["--watch", str(folder)]) as view:
        reader = subprocess.Popen(["cat", str(folder / "file"), str(folder.parent / "watched-not")], stdout=subprocess.DEVNULL)
        reader.wait()
        writer = subprocess.Popen([sys.executable, "-S", "-c", WRITER, str(folder / "new")])
        writer.wait()
        wait_until(lambda: seen(view.events, writer.pid) == [["O_RDONLY"], ["O_WRONLY"]], "the write is seen once")
    events = view.events
    assert seen(events, reader.pid) == [["O_RDONLY"]]
    (event,) = [event for event in opens_of(events, folder / "file") if event["process"]["pid"] == reader.pid]
    assert event["process"]["executable"]["name"] == "cat" and event["file"]["inode"] == os.stat(str(folder / "file")).st_ino
    assert not opens_of(events, folder.parent / "watched-not")


@pytest.mark.slow
def test_a_rule_on_opens_ends_whoever_reads(sleeper: int, folder: Path, tmp_path: Path) -> None:  # noqa: F811
    policy = write_policy(tmp_path / "policy.json", [
        rule("read", 'open.file.path == "{}"'.format(folder / "file"), actions=[{"kill": {"signal": "SIGKILL"}}])])
    with View(sleeper, tmp_path, ["--watch", str(folder), "--policy", policy]) as view:
        reader = subprocess.Popen(["tail", "-f", str(folder / "file")], stdout=subprocess.DEVNULL)
        assert reader.wait(20) == -9
        wait_until(lambda: any(is_detection(event) for event in view.events), "it is told")


@pytest.mark.slow
def test_what_is_traced_is_told_by_its_tracer_alone(folder: Path) -> None:
    result = run_traced(["sh", "-c", "sleep 2; cat {}".format(folder / "file")], ["--watch", str(folder)])
    (event,) = opens_of(result.events, folder / "file")
    assert "seen_by" not in event["evt"]["variables"]


def test_a_path_that_is_not_there() -> None:
    result = run(ebpfless("trace", "--watch", "/nonexistent/folder", "--", "true"))
    (line,) = result.stderr.decode().splitlines()
    assert result.status == 2 and "--watch /nonexistent/folder" in line
