"""The state machine's hard cases: vfork, exec from threads, leaders that leave first, failing execs."""

import os
import sys
from pathlib import Path
from typing import Dict, List, Tuple

import pytest

from blackbox import (Compiler, Event, execs_of, file_path, named, opens_below, opens_of, retval, run, run_traced,
                      trace_command)

ECHO = os.path.realpath("/bin/echo")
ENOENT, EACCES, ENOEXEC = -2, -13, -8


def successful_execs(events: List[Event]) -> List[Event]:
    """The exec events of calls that succeeded."""
    return [event for event in named(events, "exec") if retval(event) == 0]


def life_of(events: List[Event], pid: int) -> List[str]:
    """Beginning, programs and end of a process, by the names of their events."""
    return [event["evt"]["name"] for event in events
            if event["process"]["pid"] == pid and event["evt"]["name"] in ("fork", "exec", "exit")]


def check_spawns(compile_c: Compiler) -> None:
    """Each way to start a program gives a fork, an exec and an exit, in this order."""
    program = compile_c("spawn.c")
    result = run_traced([program, "/bin/echo"])
    rows = [line.split() for line in result.stdout.decode().splitlines() if len(line.split()) == 3]
    assert [(row[0], row[2]) for row in rows] == [("vfork", "0"), ("posix_spawn", "0"), ("execveat", "0")]
    (parent,) = [event["process"]["pid"] for event in execs_of(result.events, program)]
    for how, pid, _ in rows:
        assert life_of(result.events, int(pid)) == ["fork", "exec", "exit"]
        (event,) = [event for event in execs_of(result.events, ECHO) if event["process"]["pid"] == int(pid)]
        assert event["process"]["args"] == ["by-" + how]
        assert event["process"]["ppid"] == parent
        assert parent in [ancestor["pid"] for ancestor in event["process"]["ancestors"]]


def test_vfork_posix_spawn_and_execveat(compile_c: Compiler) -> None:
    check_spawns(compile_c)


@pytest.mark.slow
def test_spawning_again_and_again(compile_c: Compiler) -> None:
    for _ in range(7):
        check_spawns(compile_c)


def test_exec_from_a_thread_among_eight_that_open_files(compile_c: Compiler, tmp_path: Path) -> None:
    rounds = 30
    (tmp_path / "spin").write_text("")
    program = compile_c("thread_exec.c")
    result = run_traced([program, str(tmp_path), str(rounds)])
    lines = [line.split() for line in result.stdout.decode().splitlines()]
    assert (result.status, result.stderr) == (6, b"")
    assert [line[:2] for line in lines] == [["image", str(left)] for left in range(rounds, -1, -1)]
    (pid,) = {int(line[2]) for line in lines}
    execs = successful_execs(result.events)
    assert [event["process"]["args"][-1] for event in execs] == [str(left) for left in range(rounds, -1, -1)]
    assert {(event["process"]["pid"], file_path(event)) for event in execs} == {(pid, program)}
    assert {event["process"]["pid"] for event in opens_of(result.events, tmp_path / "spin")} == {pid}
    assert len(opens_of(result.events, tmp_path / "spin")) >= 8 * rounds
    (end,) = named(result.events, "exit")
    assert (end["process"]["pid"], end["exit"]) == (pid, {"cause": "EXITED", "code": 6})
    assert not named(result.events, "fork")


@pytest.mark.once
@pytest.mark.parametrize("options", [[], ["--disable-seccomp"]], ids=["seccomp", "no-seccomp"])
def test_no_thread_is_starved_by_others(options: List[str], compile_c: Compiler, tmp_path: Path) -> None:
    """wait4 looks at threads in a fixed order: whoever serves the first news alone never gets to the last thread."""
    (tmp_path / "file").write_text("")
    output = ["--output", str(tmp_path / "detections")]
    result = run(trace_command([compile_c("fair.c"), str(tmp_path / "file")], output + options))
    least, most = [int(word) for word in result.stdout.split()]
    assert least * 5 >= most


def test_threads_go_on_when_the_leader_has_left(compile_c: Compiler, tmp_path: Path) -> None:
    names = ["after-{}".format(number) for number in range(3)]
    for name in names:
        (tmp_path / name).write_text("")
    result = run_traced([compile_c("leader_exit.c"), str(tmp_path)])
    assert result[:3] == (7, b"all done\n", b"")
    opens = opens_below(result.events, tmp_path)
    assert sorted(file_path(event).rpartition("/")[2] for event in opens) == names
    assert len({event["process"]["tid"] for event in opens}) == 3
    (end,) = named(result.events, "exit")
    assert end["exit"] == {"cause": "EXITED", "code": 7}
    assert {event["process"]["pid"] for event in opens} == {end["process"]["pid"]}


@pytest.mark.parametrize("name,error,outcome", [
    ("missing", ENOENT, "Error"), ("plain", EACCES, "Refused"), ("garbage", ENOEXEC, "Error")])
def test_failing_execs_are_events(name: str, error: int, outcome: str, tmp_path: Path) -> None:
    (tmp_path / "plain").write_text("text")
    (tmp_path / "garbage").write_text("no program")
    (tmp_path / "garbage").chmod(0o755)
    code = ("import os, sys\ntry:\n    os.execv(sys.argv[1], ['name', 'argument'])\n"
            "except OSError as error:\n    print(error.errno)\n")
    path = str(tmp_path / name)
    result = run_traced([sys.executable, "-c", code, path])
    assert result[:3] == (0, str(-error).encode() + b"\n", b"")
    (event,) = execs_of(result.events, path)
    assert (retval(event), event["evt"]["outcome"]) == (error, outcome)
    assert event["syscall"]["exec"]["path"] == path
    (end,) = named(result.events, "exit")
    assert end["process"]["executable"]["path"] == os.path.realpath(sys.executable)


def test_a_failing_exec_after_another_leaves_the_process_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    code = ("import os, sys\nfor path in ('/nonexistent/a', '/nonexistent/b'):\n    try:\n"
            "        os.execv(path, ['x'])\n    except OSError:\n        pass\nos.open(sys.argv[1], os.O_RDONLY)\n")
    result = run_traced([sys.executable, "-c", code, str(tmp_path / "file")])
    (event,) = opens_of(result.events, tmp_path / "file")
    assert event["process"]["executable"]["path"] == os.path.realpath(sys.executable)
    assert event["process"]["args"][0] == "-c"


def test_exits_tell_how_a_process_ended() -> None:
    result = run_traced(["bash", "-c", "ulimit -c 0; (exit 3); (kill -9 $BASHPID); (kill -TERM $BASHPID); exit 4"])
    ends = [event["exit"] for event in named(result.events, "exit")]
    assert ends == [{"cause": "EXITED", "code": 3}, {"cause": "SIGNALED", "code": 9},
                    {"cause": "SIGNALED", "code": 15}, {"cause": "EXITED", "code": 4}]


def test_children_and_grandchildren_are_known_by_their_ancestors(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    command = ["sh", "-c", "sh -c 'cat {}; true'; true".format(tmp_path / "file")]
    (event,) = opens_of(run_traced(command).events, tmp_path / "file")
    process = event["process"]
    names = [ancestor["executable"]["name"] for ancestor in process["ancestors"]]
    shell = os.path.basename(os.path.realpath("/bin/sh"))
    assert process["executable"]["name"] == "cat"
    assert names.count(shell) >= 2
    assert process["parent"]["pid"] == process["ancestors"][0]["pid"]


def test_a_daemon_outlives_the_command_and_is_not_harmed(tmp_path: Path) -> None:
    code = ("import os, sys, time\nif os.fork():\n    os._exit(0)\nos.setsid()\n"
            "while os.getppid() == int(sys.argv[2]):\n    time.sleep(0.01)\n"
            "for number in range(200):\n    os.close(os.open(sys.argv[1], os.O_RDONLY))\n"
            "print('daemon done', flush=True)\n")
    (tmp_path / "file").write_text("")
    start = "exec {} -c \"$1\" \"$2\" $$".format(sys.executable)
    result = run(trace_command(["sh", "-c", start, "sh", code, str(tmp_path / "file")]))
    assert result[:3] == (0, b"daemon done\n", b"")


def test_wait_all_waits_for_daemons(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    outlive = "while kill -0 $$ 2>/dev/null; do :; done; cat '{}'".format(tmp_path / "file")
    command = ["sh", "-c", "({}) & exit 5".format(outlive)]
    result = run_traced(command, ["--wait-all"])
    assert result.status == 5
    assert len(opens_of(result.events, tmp_path / "file")) == 1
    assert [event["exit"]["code"] for event in named(result.events, "exit")].count(5) == 1


MIXED = r"""
import os, subprocess, sys
folder = sys.argv[1]
os.chdir(folder)
open("made", "w").close()
try:
    open("missing/file")
except OSError:
    pass
subprocess.call(["/bin/cat", "made"])
subprocess.call(["./script", "one", "two"])
child = os.fork()
if child == 0:
    os.open("made", os.O_RDWR | os.O_APPEND)
    os.kill(os.getpid(), 9)
os.waitpid(child, 0)
try:
    os.execv("./made", ["x"])
except OSError:
    pass
os.execv("/bin/sh", ["sh", "-c", "/bin/true; echo end >made; exit 6"])
"""


def shape(events: List[Event]) -> List[Tuple[int, List[Tuple[object, ...]]]]:
    """The events of each process in order, without what differs from run to run."""
    lives: Dict[int, List[Tuple[object, ...]]] = {}
    for event in events:
        path = event.get("file", {}).get("path", "").replace("/proc/{}/".format(event["process"]["pid"]), "/proc/self/")
        entry = (event["evt"]["name"], path, event.get("file", {}).get("flags"),
                 event.get("exit"), event["evt"]["outcome"], event["process"]["args"],
                 retval(event) if event["evt"]["name"] in ("open", "exec") else None)
        lives.setdefault(event["process"]["pid"], []).append(entry)
    return [(number, lives[pid]) for number, pid in enumerate(sorted(lives))]


def test_without_seccomp_the_events_are_the_same(tmp_path: Path) -> None:
    (tmp_path / "script").write_text("#!/bin/sh\necho \"$@\" <made\n")
    (tmp_path / "script").chmod(0o755)
    command = [sys.executable, "-S", "-c", MIXED, str(tmp_path)]
    run(command)  # so that compiled modules are where they will be
    fast = run_traced(command)
    slow = run_traced(command, ["--disable-seccomp"])
    assert (fast.status, fast.stdout, fast.stderr) == (6, b"one two\n", b"") == slow[:3]
    assert len(shape(fast.events)) >= 5
    assert shape(slow.events) == shape(fast.events)
