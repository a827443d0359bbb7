"""strace and gdb inside a traced tree work on their targets, whose calls go on to succeed; that they are not seen is told."""

import os
import re
import shutil
import signal
from pathlib import Path
from typing import Any, Callable, List

import pytest

from blackbox import Compiler, Event, Session, event_options, named, read_events, run, status_field, trace_command, wait_until
from ordinary import NOBODY
from test_standby import counts
from test_trace_failures import tracer_of

pytestmark = pytest.mark.once

needs_strace = pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace")
needs_gdb = pytest.mark.skipif(shutil.which("gdb") is None, reason="needs gdb")
MODES = pytest.mark.parametrize("mode", [
    pytest.param([], id="filter"), pytest.param(["--disable-seccomp"], id="no-filter", marks=pytest.mark.slow)])


def debugged(events: List[Event]) -> List[str]:
    """What is told of threads that were handed over."""
    return [event["evt"]["variables"]["reason"] for event in named(events, "blind_spot")
            if event["evt"]["variables"]["kind"] == "debugger"]


def traced(command: List[str], output: Path, mode: List[str], **options: Any) -> List[str]:
    return trace_command(command, event_options(str(output)) + mode)


@needs_strace
@MODES
@pytest.mark.parametrize("options", [[], ["-f"]], ids=["one", "follow"])
def test_strace_runs_a_program(mode: List[str], options: List[str], tmp_path: Path) -> None:
    told, output = tmp_path / "told", tmp_path / "events"
    command = ["strace", "-o", str(told), "-e", "trace=openat,execve,exit_group"] + options + [
        "sh", "-c", "read line < /etc/hostname; cat /etc/passwd >/dev/null; exit 7"]
    result = run(traced(command, output, mode))
    assert result[:3] == (7, b"", b"")
    lines = told.read_text()
    assert '"/etc/hostname", O_RDONLY) = 3' in lines and "ENOSYS" not in lines and "exited with 7" in lines
    assert ('"/etc/passwd"' in lines) == bool(options)
    events = read_events(str(output))
    reasons = debugged(events)
    assert reasons and all(reason.startswith("is traced by strace[") for reason in reasons)
    assert {"PTRACE_SEIZE", "PTRACE_SYSCALL"} <= {event["ptrace"]["request"] for event in named(events, "ptrace")}


@needs_gdb
@MODES
def test_gdb_runs_a_program(mode: List[str], tmp_path: Path, compile_c: Compiler) -> None:
    program, output = compile_c("open_loop.c"), tmp_path / "events"
    script = ["gdb", "-nx", "-batch", "-ex", "break main", "-ex", "run 1 /etc/hostname < /dev/null", "-ex", "backtrace 1",
              "-ex", "delete", "-ex", "continue", program]
    result = run(traced(script, output, mode))
    assert result.status == 0 and b"Breakpoint 1, " in result.stdout and b"exited normally" in result.stdout, result
    assert b"errno 38" not in result.stdout
    reasons = debugged(read_events(str(output)))
    assert reasons and all(reason.startswith("is traced by gdb[") for reason in reasons)


def attach(debugger: str, is_done: Callable[[bytes], bool], threads: int, folder: Path, program: str, mode: List[str]) -> None:
    """A shell starts a program that opens files, has a debugger attach to it and leave it, and lets it end. The debugger's
    command ends after the next line from standard input; the program has an input of its own, or it would take that line."""
    file, output, until = folder / "file", folder / "events", folder / "until"
    file.write_text("")
    os.mkfifo(str(until))
    script = ('"$1" {} "$0" <"$2" & pid=$!; echo $pid; read word; {} >&2; echo left; wait $pid; echo status $?'
              .format(threads, debugger))
    command = traced(["sh", "-c", script, str(file), program, str(until)], output, mode)
    with open(str(until), "r+b", buffering=0) as end, Session(command) as session:
        pids = [int(session.line().split()[-1]) for _ in range(2)]
        assert pids[0] == pids[1] and session.process.stdin is not None
        for number in range(2):
            session.process.stdin.write(b"\n")
            session.process.stdin.flush()
            wait_until(lambda: bool(number) or is_done(session.errors()), "the debugger has done something", 60)
        assert session.line(60) == "left"
        assert tracer_of(pids[0]) == 0
        end.close()
        result = session.finish()
    lines = result.stdout.splitlines()
    assert result.status == 0 and lines[-1] == b"status 0" and set(counts(b"\n".join(lines[:-1]))) == {0}
    assert len(debugged(read_events(str(output)))) >= 1


ATTACHING = pytest.mark.parametrize("mode,threads", [
    ([], 1), pytest.param([], 5, marks=pytest.mark.slow), pytest.param(["--disable-seccomp"], 1, marks=pytest.mark.slow),
    pytest.param(["--disable-seccomp"], 5, marks=pytest.mark.slow)])


@needs_strace
@ATTACHING
def test_strace_attaches_and_leaves(mode: List[str], threads: int, tmp_path: Path, compile_c: Compiler) -> None:
    told = tmp_path / "told"
    debugger = "strace -f -e trace=openat -o {} -p $pid & debugger=$!; read word; kill -INT $debugger; wait $debugger".format(told)

    def is_done(errors: bytes) -> bool:
        """Every thread's opens are seen."""
        lines = told.read_text().splitlines() if told.exists() else []
        return len({line.split()[0] for line in lines if "openat(" in line}) >= threads

    attach(debugger, is_done, threads, tmp_path, compile_c("open_loop.c"), mode)


@needs_gdb
@ATTACHING
def test_gdb_attaches_and_leaves(mode: List[str], threads: int, tmp_path: Path, compile_c: Compiler) -> None:
    debugger = "gdb -nx -batch -ex 'info threads' -ex 'shell read word' -p $pid"
    attach(debugger, lambda errors: errors.count(b"Thread 0x") > threads, threads, tmp_path, compile_c("open_loop.c"), mode)


@needs_gdb
def test_the_command_itself_is_debugged_and_its_status_is_known(tmp_path: Path) -> None:
    output = tmp_path / "events"
    script = 'gdb -nx -batch -ex "info threads" -p $$ >/dev/null 2>&1 & wait $!; read line < /etc/hostname || exit 3; exit 7'
    result = run(traced(["sh", "-c", script], output, []))
    assert result[:3] == (7, b"", b"")
    assert [event["exit"]["code"] for event in named(read_events(str(output)), "exit")][-1] == 7


@needs_strace
@pytest.mark.root
def test_an_unprivileged_strace_works_below_a_privileged_tracer(public_dir: Path) -> None:
    """The target needs NO_NEW_PRIVS for its second filter."""
    public_dir.chmod(0o777)
    told = public_dir / "told"
    command = ["strace", "-f", "-o", str(told), "sh", "-c", "read line < /etc/hostname; exit 7"]
    result = run(traced(command, public_dir / "events", ["--uid", str(NOBODY), "--gid", str(NOBODY)]), cwd="/")
    assert result[:3] == (7, b"", b"")
    assert '"/etc/hostname", O_RDONLY) = 3' in told.read_text()


@needs_strace
def test_below_a_debugger_that_follows_forks_its_name_is_told(tmp_path: Path) -> None:
    result = run(["strace", "-f", "-o", str(tmp_path / "told")] + trace_command(["true"], event_options(str(tmp_path / "events"))))
    assert result.status == 125 and result.stdout == b""
    assert re.match(rb"ebpfless: it is traced already, by process \d+ \(strace\), and so is all that it starts: run it "
                    rb"outside of that one, or have that one not follow forks \(strace without -f\)\n$", result.stderr), result.stderr


OWN_FILTER = "has seccomp filters of its own, which might end it at the calls that we would need"


def test_what_might_be_killed_by_its_own_filter_is_not_handed_over(tmp_path: Path, compile_c: Compiler) -> None:
    """To be handed over it would have to call seccomp(2). The debugger gets EPERM, and the program goes on under trace."""
    output, file = tmp_path / "events", tmp_path / "file"
    file.write_text("")
    command = traced(["bash", "-c", 'coproc "$0" "$1" wait; read pid <&"${COPROC[0]}"; for word in one two; do "$2" attach $pid; '
                      'echo >&"${COPROC[1]}"; read line <&"${COPROC[0]}"; echo opened $line; done; exec {COPROC[1]}>&-; wait $COPROC_PID',
                      compile_c("own_filter.c"), str(file), compile_c("after_us.c")], output, [])
    result = run(command)
    assert result[:2] == (7, b"1 1\nopened 0\n" * 2), result
    events = read_events(str(output))
    assert {reason.partition(": it ")[2] for reason in debugged(events)} == {OWN_FILTER}
    assert len([event for event in named(events, "open") if event["file"]["path"] == str(file)]) == 2


def test_nor_where_it_asks_for_it(tmp_path: Path, compile_c: Compiler) -> None:
    output, file = tmp_path / "events", tmp_path / "file"
    file.write_text("")
    result = run(traced(["sh", "-c", '"$0" "$1" traceme; exit $?', compile_c("own_filter.c"), str(file)], output, []), b"word\nword\n")
    assert result[:2] == (7, b"traceme 1\n0\n0\n"), result
    assert [reason.partition(": it ")[2] for reason in debugged(read_events(str(output)))] == [OWN_FILTER]


def attendants() -> List[int]:
    """Who lets the calls run of what was handed over."""
    return [int(name) for name in os.listdir("/proc") if name.isdigit() and status_field(int(name), "Name") == "ebpfless-attend"]


def is_stopped(pid: int) -> bool:
    """Stops a process; whether it is by now."""
    os.kill(pid, signal.SIGSTOP)
    return status_field(pid, "State").startswith("T")


@needs_strace
def test_who_lets_its_calls_run_may_be_killed_and_stopped(tmp_path: Path, compile_c: Compiler) -> None:
    """For each thread two of them hold what its calls come to, so none fails; each that is killed is replaced."""
    before, file, until = set(attendants()), tmp_path / "file", tmp_path / "until"
    file.write_text("")
    os.mkfifo(str(until))
    script = '"$1" 1 "$0" <"$2" & pid=$!; strace -f -o /dev/null -e trace=none -p $pid & echo $!; wait $!; wait $pid'
    command = trace_command(["sh", "-c", script, str(file), compile_c("open_loop.c"), str(until)], ["--output", "/dev/null"])
    end = os.open(str(until), os.O_RDWR)
    with Session(command) as session:
        strace = int(next(line for line in iter(session.line, "") if line.isdigit()))
        for number in range(19):
            wait_until(lambda: len(set(attendants()) - before) == 4, "there are two for each thread")
            if number == 7:
                os.kill(strace, signal.SIGINT)
            victim = sorted(set(attendants()) - before)[number % 4]
            if number == 5:
                wait_until(lambda: is_stopped(victim), "it is stopped")
                wait_until(lambda: not status_field(victim, "State").startswith("T"), "it is woken")
            else:
                os.kill(victim, signal.SIGKILL)
                wait_until(lambda: victim not in attendants(), "it is gone")
        os.close(end)
        output, _ = session.process.communicate(timeout=60)
    found = counts(b"\n".join(line for line in output.splitlines() if line.startswith(b"errno")))
    assert set(found) == {0} and found[0] > 19, output
    wait_until(lambda: set(attendants()) <= before, "nobody is left")
