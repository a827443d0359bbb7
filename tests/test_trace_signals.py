"""Signals, stopping and job control are what they are without a tracer."""

import os
import shlex
import shutil
import signal
import sys
from pathlib import Path

import pytest

from blackbox import (Compiler, Session, descendants, ebpfless, event_options, opens_of, read_events, run, status_field,
                      thread_states, trace_command, wait_until)
from terminal import Terminal

SHELL = ["bash", "--norc", "--noprofile", "--noediting", "-i"]


def is_stopped(pid: int) -> bool:
    """Whether every thread of a process is stopped."""
    states = thread_states(pid)
    return bool(states) and set(states) <= set("Tt")


def ready_pid(line: str) -> int:
    """The process id in the first line of signals.c."""
    word, pid = line.split()
    assert word == "ready"
    return int(pid)


@pytest.mark.parametrize("number,word", [
    (signal.SIGHUP, "HUP"), (signal.SIGINT, "INT"), (signal.SIGUSR1, "USR1"), (signal.SIGTERM, "TERM"),
    (signal.SIGCONT, "CONT"), (signal.SIGRTMIN + 3, "RT+3")])
def test_a_signal_to_ebpfless_reaches_the_command_once(number: int, word: str, compile_c: Compiler) -> None:
    with Session(trace_command([compile_c("signals.c")])) as session:
        command = ready_pid(session.line())
        for _ in range(3):
            os.kill(session.pid, number)
            assert session.line() == "got " + word
        os.kill(command, signal.SIGUSR2)
        assert session.line() == "end"
        assert session.finish()[:3] == (5, b"", b"")


def test_queued_signals_to_ebpfless_all_reach_the_command(compile_c: Compiler) -> None:
    with Session(trace_command([compile_c("signals.c")])) as session:
        ready_pid(session.line())
        for _ in range(20):
            os.kill(session.pid, signal.SIGRTMIN + 3)
        assert [session.line() for _ in range(20)] == ["got RT+3"] * 20
        os.kill(session.pid, signal.SIGUSR2)
        assert session.line() == "end"
        assert session.finish()[:3] == (5, b"", b"")


def test_a_deadly_signal_to_ebpfless_ends_the_command_and_is_the_status() -> None:
    with Session(trace_command(["sh", "-c", "echo started; exec sleep 1000"])) as session:
        assert session.line() == "started"
        os.kill(session.pid, signal.SIGTERM)
        assert session.finish()[:3] == (-signal.SIGTERM, b"", b"")


def test_a_signal_that_the_command_ignores_ends_nothing() -> None:
    with Session(trace_command(["sh", "-c", "trap '' TERM HUP; echo started; read line; echo \"$line\"; exit 5"])) as session:
        assert session.line() == "started"
        for number in (signal.SIGTERM, signal.SIGHUP):
            os.kill(session.pid, number)
        assert session.stays_silent(0.1)
        assert session.process.stdin is not None
        session.process.stdin.write(b"alive\n")
        session.process.stdin.flush()
        assert session.line() == "alive"
        assert session.finish()[:3] == (5, b"", b"")


# The command ends once it has two children of its own, of which each has a child.
DAEMONS = """
import os, signal, time
parent = os.getpid()
def got(number, frame):
    os.write(1, b"%b got %d\\n" % (name, number))
    if number == signal.SIGTERM:
        os._exit(0)
for name in b"a", b"b":
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            name = b"child of " + name
        for number in (signal.SIGHUP, signal.SIGUSR1, signal.SIGRTMIN + 3, signal.SIGTERM):
            signal.signal(number, got)
        while os.getppid() == parent:
            time.sleep(0.01)
        os.write(1, name + b" ready\\n")
        while True:
            signal.pause()
raise SystemExit(5)
"""


def test_signals_go_on_to_what_outlives_the_command(tmp_path: Path) -> None:
    with Session(trace_command([sys.executable, "-c", DAEMONS], ["--wait-all"])) as session:
        assert sorted(session.line() for _ in range(4)) == ["a ready", "b ready", "child of a ready", "child of b ready"]
        all_of_them = len(descendants(session.pid))
        for number in (signal.SIGHUP, signal.SIGUSR1, signal.SIGRTMIN + 3, signal.SIGTERM):
            os.kill(session.pid, number)
            assert sorted(session.line() for _ in range(2)) == ["a got %d" % number, "b got %d" % number]
        # Those below them have been children of others so far.
        wait_until(lambda: len(descendants(session.pid)) == all_of_them - 2, "the two have ended")
        os.kill(session.pid, signal.SIGTERM)
        assert sorted(session.line() for _ in range(2)) == ["child of a got 15", "child of b got 15"]
        assert session.finish()[:3] == (5, b"", b"")


# The command ends as soon as it is told to, and has a child that lives on.
LATE_DAEMON = """
import os, signal, sys, time
parent = os.getpid()
print("here", flush=True)
sys.stdin.readline()
if os.fork() == 0:
    signal.signal(signal.SIGTERM, lambda number, frame: os._exit(0 * os.write(1, b"got TERM\\n")))
    while os.getppid() == parent:
        time.sleep(0.01)
    os.write(1, b"ready\\n")
    while True:
        signal.pause()
raise SystemExit(5)
"""


def test_a_signal_that_is_faster_than_the_news_of_who_outlives_the_command_reaches_it() -> None:
    with Session(trace_command([sys.executable, "-c", LATE_DAEMON], ["--wait-all"])) as session:
        assert session.line() == "here"
        os.kill(session.pid, signal.SIGSTOP)
        wait_until(lambda: is_stopped(session.pid), "the keeper hears nothing for a while, as on a busy machine")
        assert session.process.stdin is not None
        session.process.stdin.write(b"go\n")
        session.process.stdin.flush()
        assert session.line() == "ready"
        os.kill(session.pid, signal.SIGTERM)
        os.kill(session.pid, signal.SIGCONT)
        assert session.line() == "got TERM"
        assert session.finish()[:3] == (5, b"", b"")


def test_signals_within_the_tree_go_where_they_are_sent(compile_c: Compiler) -> None:
    with Session(trace_command([compile_c("signals.c")])) as session:
        command = ready_pid(session.line())
        for number, word in [(signal.SIGTERM, "TERM"), (signal.SIGINT, "INT"), (signal.SIGRTMIN + 3, "RT+3")]:
            os.kill(command, number)
            assert session.line() == "got " + word
        os.kill(command, signal.SIGUSR2)
        assert session.line() == "end"
        assert session.finish()[:3] == (5, b"", b"")


def test_stopped_children_are_reported_and_really_stop(compile_c: Compiler) -> None:
    program = compile_c("stopper.c")
    native = run([program])
    assert native.stdout.endswith(b"killed while stopped by 9\n")
    assert run(trace_command([program])) == native


def test_the_command_itself_stops_and_continues(compile_c: Compiler) -> None:
    with Session(trace_command([compile_c("signals.c")])) as session:
        command = ready_pid(session.line())
        for _ in range(3):
            os.kill(command, signal.SIGSTOP)
            wait_until(lambda: is_stopped(command), "SIGSTOP stops the command")
            os.kill(command, signal.SIGUSR1)
            assert session.stays_silent(0.2)
            assert is_stopped(command)
            os.kill(command, signal.SIGCONT)
            assert sorted([session.line(), session.line()]) == ["got CONT", "got USR1"]
        os.kill(command, signal.SIGUSR2)
        assert session.line() == "end"
        assert session.finish()[:3] == (5, b"", b"")


@pytest.mark.parametrize("number,word", [(signal.SIGTERM, "TERM"), (signal.SIGCONT, "CONT")])
def test_a_signal_to_the_group_reaches_the_command_once(number: int, word: str, compile_c: Compiler) -> None:
    with Session(trace_command([compile_c("signals.c")]), preexec_fn=os.setpgrp) as session:
        command = ready_pid(session.line())
        wait_until(lambda: os.getpgid(session.pid) != session.pid, "ebpfless leaves the command's group")
        for _ in range(7):
            os.killpg(session.pid, number)
            assert session.line() == "got " + word
        os.kill(command, signal.SIGUSR2)
        assert session.line() == "end"


def test_a_stopped_command_can_be_killed(compile_c: Compiler) -> None:
    with Session(trace_command([compile_c("signals.c")])) as session:
        command = ready_pid(session.line())
        os.kill(command, signal.SIGSTOP)
        wait_until(lambda: is_stopped(command), "SIGSTOP stops the command")
        os.kill(command, signal.SIGKILL)
        assert session.finish()[:3] == (-signal.SIGKILL, b"", b"")


def test_ctrl_c_reaches_the_command_once(compile_c: Compiler) -> None:
    with Terminal(trace_command([compile_c("signals.c")])) as terminal:
        command = int(terminal.expect(r"ready (\d+)").group(1))
        for _ in range(3):
            terminal.type("\x03")
            terminal.expect("got INT")
        os.kill(command, signal.SIGUSR2)
        terminal.expect("end")
        assert terminal.finish() == 5
        assert terminal.output.count(b"got") == 3


@pytest.mark.parametrize("key,number", [("\x03", signal.SIGINT), ("\x1c", signal.SIGQUIT)])
def test_a_key_that_kills_the_command_is_the_status(key: str, number: int) -> None:
    with Terminal(trace_command(["sh", "-c", "ulimit -c 0; echo started; exec sleep 1000"])) as terminal:
        terminal.expect("started")
        terminal.type(key)
        assert terminal.finish() == -number


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_job_control_of_a_traced_shell(compile_c: Compiler) -> None:
    with Terminal(trace_command(SHELL)) as terminal:
        terminal.expect(r"prompt\$ ")
        stop_and_resume(terminal, compile_c("signals.c"))
        terminal.type("exit 3\n")
        assert terminal.finish() == 3


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_job_control_of_ebpfless_in_a_shell(compile_c: Compiler, tmp_path: Path) -> None:
    command = trace_command([compile_c("signals.c")], ["--output", str(tmp_path / "detections")])
    with Terminal(SHELL) as terminal:
        terminal.expect(r"prompt\$ ")
        stop_and_resume(terminal, " ".join(shlex.quote(word) for word in command))
        terminal.type("exit 3\n")
        assert terminal.finish() == 3


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_ctrl_z_right_after_fg_always_stops(compile_c: Compiler, tmp_path: Path) -> None:
    """The shell continues the whole group: a SIGCONT that is passed on late must not undo the next stop."""
    command = trace_command([compile_c("signals.c")], ["--output", str(tmp_path / "detections")])
    with Terminal(SHELL) as terminal:
        terminal.expect(r"prompt\$ ")
        terminal.type(" ".join(shlex.quote(word) for word in command) + "\n")
        pid = int(terminal.expect(r"ready (\d+)").group(1))
        for _ in range(101):
            terminal.type("\x1a")
            terminal.expect("Stopped")
            terminal.expect(r"prompt\$ ")
            terminal.type("fg\n")
            terminal.expect("got CONT")
        os.kill(pid, signal.SIGUSR2)
        terminal.expect("end")
        assert terminal.output.count(b"got CONT") == 101


def stop_and_resume(terminal: Terminal, command: str) -> None:
    """Runs signals.c as a shell's job: Ctrl-Z stops it, fg continues it, Ctrl-C reaches it once."""
    terminal.type(command + "\n")
    pid = int(terminal.expect(r"ready (\d+)").group(1))
    for _ in range(3):
        terminal.type("\x1a")
        terminal.expect(r"Stopped")
        terminal.expect(r"prompt\$ ")
        wait_until(lambda: is_stopped(pid), "Ctrl-Z stops the job")
        terminal.type("fg\n")
        terminal.expect("got CONT")
    terminal.type("\x1a")
    terminal.expect(r"prompt\$ ")
    terminal.type("bg\n")
    terminal.expect("got CONT")
    terminal.type("fg\n")
    wait_until(lambda: foreground(terminal) == os.getpgid(pid), "fg gives the job the terminal")
    terminal.type("\x03")
    terminal.expect("got INT")
    os.kill(pid, signal.SIGUSR2)
    terminal.expect("end")
    terminal.expect(r"prompt\$ ")
    terminal.type("echo status=$?\n")
    terminal.expect(r"status=5\r")
    assert terminal.output.count(b"got INT") == 1
    assert pid not in descendants(terminal.process.pid)


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_ctrl_z_stops_ebpfless_and_not_what_it_is_attached_to(tmp_path: Path) -> None:
    output = tmp_path / "events"
    options = ["trace", "--probe-addr", "none", "--pid"]
    program = "import os, sys\nfor line in sys.stdin: open(line.strip()).close(); os.write(1, b'opened\\n')"
    with Session([sys.executable, "-c", program]) as target, Terminal(SHELL) as terminal:
        def open_one(number: int) -> None:
            assert target.process.stdin is not None
            path = tmp_path / str(number)
            path.write_text("")
            target.process.stdin.write(os.fsencode(str(path)) + b"\n")
            target.process.stdin.flush()
            assert target.line() == "opened"

        terminal.expect(r"prompt\$ ")
        command = ebpfless(*options, str(target.pid)) + event_options(str(output))
        terminal.type(" ".join(shlex.quote(word) for word in command) + "\n")
        terminal.expect("tracing 1 running process;")
        for number in (1, 2, 3):
            if number == 2:
                terminal.type("\x1a")
            else:
                os.kill(foreground(terminal), signal.SIGTSTP)
            terminal.expect("Stopped")
            terminal.expect(r"prompt\$ ")
            open_one(number)
            assert status_field(target.pid, "TracerPid") != "0"
            assert opens_of(read_events(str(output)), tmp_path / str(number)) == []
            terminal.type("fg\n")
            wait_until(lambda: len(opens_of(read_events(str(output)), tmp_path / str(number))) == 1, "it goes on")
        terminal.type("\x03")
        terminal.expect(r"prompt\$ ")
        terminal.type("echo status=$?\n")
        terminal.expect(r"status=0\r")


def foreground(terminal: Terminal) -> int:
    """The process group that has the terminal."""
    return os.tcgetpgrp(terminal.master)


def test_keys_do_not_stop_what_nobody_could_continue(compile_c: Compiler) -> None:
    """Ctrl-Z has no effect where no shell looks after the command, as in a container or below ssh."""
    program = compile_c("signals.c")
    for command in ([program], trace_command([program])):
        with Terminal(command) as terminal:
            pid = int(terminal.expect(r"ready (\d+)").group(1))
            for _ in range(3):
                terminal.type("\x1a\x03")
                terminal.expect("got INT")
            assert not is_stopped(pid)
            os.kill(pid, signal.SIGUSR2)
            assert terminal.finish() == 5


def test_a_command_that_nobody_oversees_stays_so_with_another_tracer(compile_c: Compiler) -> None:
    with Terminal(trace_command([compile_c("signals.c")])) as terminal:
        pid = int(terminal.expect(r"ready (\d+)").group(1))
        tracer = status_field(pid, "TracerPid")
        os.kill(int(tracer), signal.SIGKILL)
        wait_until(lambda: status_field(pid, "TracerPid") not in ("0", tracer), "another tracer takes over")
        terminal.type("\x1a\x03")
        terminal.expect("got INT")
        os.kill(pid, signal.SIGUSR2)
        assert terminal.finish() == 5
