"""A name that another thread changes between our look and the kernel's: the file is told that the kernel took, and that
its name was another. What leads to a file in a roundabout way is no race."""

import re
import shutil
from pathlib import Path
from typing import Any, List, Sequence, Tuple

import pytest

from blackbox import Compiler, Event, file_path, is_detection, named, rule, run, run_traced, trace_command, write_policy

OPENS, EXECS = 101, 17
RUNS_AT_MOST = 40


def said_and_taken(events: Sequence[Event], kind: str, folder: Path) -> List[Tuple[str, str, bool]]:
    """(letter that we read, letter that the kernel took, whether that is told) of the events below a directory."""
    return [(event["syscall"][kind]["path"][-1], file_path(event)[-1], event["evt"]["variables"].get("raced", False))
            for event in named(events, kind) if file_path(event).startswith(str(folder) + "/")]


def run_until_raced(command: Sequence[str], kind: str, folder: Path, count: int, **options: Any) -> List[Event]:
    """Runs the program until a busy machine has let its threads race: exactly the events whose names differ are marked.
    Returns the events of the last run."""
    for _ in range(RUNS_AT_MOST):
        result = run_traced(command, **options)
        # A rule that matches too often is not written each time, and that is said.
        said = [line for line in result.stderr.splitlines() if b"matched too often" not in line]
        assert (result.status, said) == (0, [])
        told = said_and_taken(result.events, kind, folder)
        assert len(told) == count
        assert [raced for _, _, raced in told] == [said != taken for said, taken, _ in told]
        if kind == "open":
            assert [taken for _, taken, _ in told] == result.stdout.decode().split()
        if {raced for _, _, raced in told} == {False, True}:
            return result.events
    raise AssertionError("no race in %d runs" % RUNS_AT_MOST)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A directory with a file for each letter."""
    files = tmp_path / "files"
    files.mkdir()
    for letter in "ab":
        (files / letter).write_text(letter)
    return files


def test_files_that_are_opened_by_a_changing_name(compile_c: Compiler, folder: Path) -> None:
    run_until_raced([compile_c("race.c"), str(folder), "open", str(OPENS)], "open", folder, OPENS)


def test_a_relative_name_below_a_link(compile_c: Compiler, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("files")
    run_until_raced([compile_c("race.c"), "link", "open", str(OPENS)], "open", folder, OPENS, cwd=str(tmp_path))


def test_programs_that_are_executed_by_a_changing_name(compile_c: Compiler, folder: Path) -> None:
    """A script that a name led to for us, and to a program for the kernel, is no script."""
    program = compile_c("race.c")
    shutil.copy(program, str(folder / "a"))
    (folder / "b").write_text("#!%s\n" % program)
    (folder / "b").chmod(0o755)
    events = run_until_raced([program, str(folder), "exec", str(EXECS)], "exec", folder, EXECS)
    for event in named(events, "exec"):
        if file_path(event).startswith(str(folder) + "/"):
            interpreter = event["process"].get("interpreter", {}).get("path")
            assert interpreter == (program if file_path(event).endswith("b") else None)


def test_rules_and_people_see_it(compile_c: Compiler, folder: Path, tmp_path: Path) -> None:
    policy = write_policy(tmp_path / "policy", [rule("raced", "open.raced"), rule("never", "exec.raced")])
    command = [compile_c("race.c"), str(folder), "open", str(OPENS)]
    events = run_until_raced(command, "open", folder, OPENS, options=["--policy", policy])
    assert {event["agent"]["rule_id"] for event in events if is_detection(event)} == {"raced"}
    output = tmp_path / "text"
    for _ in range(RUNS_AT_MOST):
        assert run(trace_command(command, ["--policy", policy, "--output", str(output)])).status == 0
        if output.read_text():
            break
    assert re.search(r"opened %s/(a|b) \(O_RDONLY\), though its argument was read as %s/(?!\1)[ab] \(raced\)"
                     % (folder, folder), output.read_text())


ROUNDABOUT = """
import os, tempfile, threading
os.mkdir("real"); os.symlink("real", "link"); os.symlink("../link", "real/up")
for name in ("link/f", "./link/./g", "link/up/up/../h"):
    os.close(os.open(name, os.O_CREAT | os.O_WRONLY))
os.close(os.open("f", os.O_RDONLY, dir_fd=os.open("link", os.O_RDONLY)))
gone = os.open("gone", os.O_CREAT | os.O_WRONLY); os.unlink("gone")
os.open("/proc/self/fd/%d" % gone, os.O_WRONLY); os.open("/dev/fd/%d" % gone, os.O_WRONLY)
with tempfile.TemporaryFile() as file:
    os.open("/proc/self/fd/%d" % file.fileno(), os.O_RDONLY)
reader, writer = os.pipe(); os.open("/dev/fd/%d" % writer, os.O_WRONLY)
def by_thread():
    for name in ("/proc/thread-self/comm", "/proc/self/maps", "/proc/mounts", "/proc/net/unix", "/proc/self/root/etc/passwd"):
        open(name).close()
thread = threading.Thread(target=by_thread); thread.start(); thread.join()
memory = getattr(os, "memfd_create", lambda name: gone)("m")
os.open("/proc/self/fd/%d" % memory, os.O_RDONLY); os.open("/dev/null", os.O_RDONLY); os.open("/dev/ptmx", os.O_RDWR)
os.fchdir(os.open("link", os.O_RDONLY)); open("f").close(); open("../link/f").close(); open("../real//f").close()
"""


def test_names_that_lead_to_their_file_in_a_roundabout_way(tmp_path: Path) -> None:
    result = run_traced(["python3", "-S", "-c", ROUNDABOUT], cwd=str(tmp_path))
    assert (result.status, result.stderr) == (0, b"")
    assert len([event for event in named(result.events, "open") if "/real/" in file_path(event)]) == 6
    assert [event["syscall"] for event in result.events if "raced" in event["evt"]["variables"]] == []


@pytest.mark.root
def test_below_a_root_and_mounts_of_its_own(tmp_path: Path) -> None:
    shutil.copy("/bin/busybox", str(tmp_path / "sh"))
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/real").write_text("x")
    (tmp_path / "etc/link").symlink_to("/etc/real")
    script = "read x < /etc/link; cd etc; read x < link; read x < ../etc/real"
    result = run_traced(["chroot", str(tmp_path), "/sh", "-c", script + "; exit 7"])
    assert result.status == 7
    assert [event["syscall"]["open"]["path"] for event in named(result.events, "open")
            if file_path(event) == str(tmp_path / "etc/real")] == ["/etc/link", "link", "../etc/real"]
    inside = run_traced(["unshare", "--mount", "--pid", "--fork", "--mount-proc", "sh", "-c",
                         "mount -t tmpfs none /mnt; echo x > /mnt/f; ln -s f /mnt/l; cat /mnt/l /proc/self/comm /proc/1/comm"])
    assert inside.stdout == b"x\ncat\nsh\n"
    for events in (result.events, inside.events):
        assert [event["syscall"] for event in events if "raced" in event["evt"]["variables"]] == []
