"""When the agent fails, the program goes on: a killed tracer, a killed keeper, an output that cannot be written."""

import json
import os
import re
import signal
import struct
import subprocess
from pathlib import Path
from typing import Any, List

import pytest

from blackbox import (Compiler, Event, Session, descendants, environment, event_options, is_detection, named, opens_of,
                      read_events, retval, rule, run, run_traced, status_field, trace_command, wait_until, write_policy)
from ebpfless_arch.abi import MACHINES
from ebpfless_arch.events.records import Record
from ebpfless_arch.tracer.keeper import Keeper
from ebpfless_arch.tracer.receiver import Answer, Receiver

OPENAT = str(MACHINES[os.uname().machine][0].syscalls["openat"])

# A shell that tells its pid, opens the given file for each line it reads and answers with what it read.
# It tries again: in the window without a tracer its calls may fail.
READER = ('echo $$; while read word; do while ! read line < "$0"; do :; done; '
          'until echo "$word" 2>/dev/null; do :; done; done; exit 7')


def start(file: Path, output: Path, **options: Any) -> Session:
    file.write_text("content\n")
    return Session(trace_command(["sh", "-c", READER, str(file)], event_options(str(output))), **options)


def ask(session: Session, word: str, answer: str = "") -> None:
    assert session.process.stdin is not None
    session.process.stdin.write(word.encode() + b"\n")
    session.process.stdin.flush()
    assert session.line() == (answer or word)


def tracer_of(pid: int) -> int:
    return int(status_field(pid, "TracerPid") or 0)


def finish(session: Session) -> None:
    """The shell ends as it does without us; what the dead tracer had not handed on yet is counted."""
    result = session.finish()
    assert result[:2] == (7, b"") and re.sub(rb"ebpfless: \d+ records of the tracer were lost\n", b"", result.stderr) == b""


def kill_tracer(pid: int) -> None:
    """Kill the tracer and wait for its successor."""
    old = tracer_of(pid)
    assert old > 1
    os.kill(old, signal.SIGKILL)
    wait_until(lambda: tracer_of(pid) not in (0, old), "another tracer takes over")


def opened(output: Path, file: Path) -> List[Event]:
    """The successful opens of a file that have been written out."""
    whole = output.read_bytes().rpartition(b"\n")[0] if output.exists() else b""
    events = [json.loads(line.decode()) for line in whole.splitlines()]
    return [event for event in opens_of(events, file) if retval(event) >= 0]


@pytest.mark.parametrize("kills", [1, 3])
def test_a_killed_tracer_is_replaced(tmp_path: Path, kills: int) -> None:
    file, output = tmp_path / "file", tmp_path / "events"
    with start(file, output) as session:
        shell = int(session.line())
        ask(session, "before")
        for number in range(kills):
            wait_until(lambda: len(opened(output, file)) == 1 + number, "the event is written")
            kill_tracer(shell)
            ask(session, "after%d" % number)
        finish(session)
    events = read_events(str(output))
    gaps = [event["evt"]["variables"]["reason"] for event in named(events, "blind_spot")
            if event["evt"]["variables"]["kind"] == "tracer"]
    assert len(gaps) == kills and all("traced again after" in gap for gap in gaps)
    assert len(opened(output, file)) == 1 + kills
    assert [event["exit"]["code"] for event in named(events, "exit")] == [7]


def test_a_killed_tracer_is_replaced_where_ends_of_children_are_ignored(tmp_path: Path) -> None:
    """A program inherits that from whoever starts it; then the kernel does not tell how a child has ended."""
    file, output = tmp_path / "file", tmp_path / "events"
    with start(file, output, preexec_fn=lambda: signal.signal(signal.SIGCHLD, signal.SIG_IGN)) as session:
        shell = int(session.line())
        ask(session, "before")
        kill_tracer(shell)
        ask(session, "after")
        finish(session)


def test_a_killed_tracer_s_children_are_taken_over_as_well(tmp_path: Path) -> None:
    file, output = tmp_path / "file", tmp_path / "events"
    file.write_text("content\n")
    script = 'sh -c "$1" "$0" & wait; exit 3'
    # In the background a shell reads from /dev/null, so the inner one gets the stream by another number.
    inner = READER.replace("while read word", "while read word <&3")
    with Session(trace_command(["sh", "-c", "exec 3<&0; " + script, str(file), inner],
                               event_options(str(output)))) as session:
        child = int(session.line())
        kill_tracer(child)
        assert tracer_of(child) == tracer_of(int(status_field(child, "PPid")))
        ask(session, "word")
        assert session.finish()[0] == 3
    events = read_events(str(output))
    assert [event["process"]["pid"] for event in opens_of(events, file) if retval(event) >= 0] == [child]


def test_a_zombie_does_not_keep_the_others_from_being_taken_over(tmp_path: Path, compile_c: Compiler) -> None:
    file, output = tmp_path / "file", tmp_path / "events"
    file.write_text("")
    with Session(trace_command([compile_c("zombie.c"), str(file)], event_options(str(output)))) as session:
        pid = int(session.line().split()[1])
        children = "/proc/%d/task/%d/children" % (pid, pid)
        (child,) = Path(children).read_text().split()
        wait_until(lambda: status_field(int(child), "State")[:1] == "Z", "the child is a zombie")
        kill_tracer(pid)
        ask(session, "x", "0")
        assert session.finish()[0] == 0
    assert len(opened(output, file)) == 1


def test_processes_that_fork_all_the_time_are_all_taken_over(tmp_path: Path) -> None:
    """In the window without a tracer calls fail, so the loops ask for nothing; but nobody stays without one."""
    flag = tmp_path / "flag"
    flag.write_text("")
    script = 'chain() { echo 0; while test -e "$0"; do (:); done; }; chain & chain & chain & echo $$; wait; exit 3'
    with Session(trace_command(["sh", "-c", script, str(flag)], ["--output", "/dev/null"])) as session:
        # A shell opens /dev/null for what it starts in the background, so these have to be under way.
        pid = sum(int(session.line()) for _ in range(4))
        for _ in range(3):
            kill_tracer(pid)
            wait_until(lambda: all(tracer_of(each) or not is_alive(each) for each in descendants(pid)),
                       "every process has its tracer")
        flag.unlink()
        assert session.finish()[0] == 3


def is_alive(pid: int) -> bool:
    return status_field(pid, "State")[:1] not in ("Z", "X", "")


def test_a_killed_keeper_leaves_the_program_running(tmp_path: Path) -> None:
    file, output = tmp_path / "file", tmp_path / "events"
    with start(file, output) as session:
        shell = int(session.line())
        tracer = tracer_of(shell)
        os.kill(session.pid, signal.SIGKILL)
        for number in range(7):
            ask(session, "word%d" % number)
        assert tracer_of(shell) == tracer
        assert session.process.stdin is not None
        session.process.stdin.close()
        wait_until(lambda: not os.path.exists("/proc/%d" % shell), "the program ends")
        wait_until(lambda: not os.path.exists("/proc/%d" % tracer), "the tracer ends with it")


def full_or_closed(kind: str) -> List[str]:
    return {"full": ["--output", "/dev/full"], "closed": []}[kind]


@pytest.mark.parametrize("kind", ["full", "closed"])
@pytest.mark.parametrize("form", ["text", "json"])
def test_an_output_that_fails_costs_lines_only(tmp_path: Path, kind: str, form: str) -> None:
    command = trace_command(["sh", "-c", "cat /etc/passwd >/dev/null; echo out; exit 5"],
                            ["--events", "--format", form] + full_or_closed(kind))
    if kind == "closed":
        command = ["sh", "-c", 'exec "$@" 2>&-', "sh"] + command
    result = run(command)
    assert (result.status, result.stdout) == (5, b"out\n")
    if kind == "full":
        told = b"the output /dev/full fails, its lines are lost: No space left on device"
        assert result.stderr.count(b"\n") == 1 and told in result.stderr


def test_every_detection_is_a_line_also_for_processes_that_outlive_the_command(tmp_path: Path) -> None:
    marker, output = tmp_path / "marker", tmp_path / "out"
    marker.write_text("")
    policy = write_policy(tmp_path / "p.json", [rule("marked", 'open.file.path == "%s"' % marker)])
    fifo = tmp_path / "fifo"
    os.mkfifo(str(fifo))
    daemon = 'setsid sh -c \'read line < "$1"; cat "$0"\' "%s" "%s" >/dev/null 2>&1 </dev/null &' % (marker, fifo)
    result = run(trace_command(["sh", "-c", daemon], ["--policy", policy, "--format", "json", "--output", str(output)]))
    assert (result.status, result.stdout, result.stderr) == (0, b"", b"")
    assert read_events(str(output)) == []
    fifo.write_text("go\n")
    wait_until(lambda: bool(read_events(str(output))), "the daemon's open is detected")
    (detection,) = read_events(str(output))
    assert is_detection(detection) and detection["process"]["comm"] == "cat"


def test_the_trace_of_a_command_that_does_nothing(tmp_path: Path) -> None:
    result = run_traced(["true"])
    names = [event["evt"]["name"] for event in result.events]
    assert (result.status, names[0], names[-1], set(names[1:-1])) == (0, "exec", "exit", {"open", "mmap"})
    sequence = [event["evt"]["variables"]["sequence"] for event in result.events]
    assert sequence == list(range(1, len(sequence) + 1))


@pytest.mark.parametrize("form", ["text", "json"])
def test_a_reader_that_goes_away_costs_lines_only(tmp_path: Path, form: str) -> None:
    script = "for i in 1 2 3 4 5 6 7; do cat /etc/passwd >/dev/null; done; echo out; exit 5"
    command = trace_command(["sh", "-c", script],
                            ["--events", "--format", form])
    result = run(["bash", "-c", '"$@" 2> >(head -c 1 >/dev/null); echo $?', "bash"] + command)
    assert result.stdout == b"out\n5\n"


@pytest.mark.once
def test_a_reader_that_does_not_read_delays_nobody(tmp_path: Path) -> None:
    """The pipe fills up; the command ends all the same, and its end is not waited for much longer."""
    first, second = os.pipe()
    script = "for i in 1 2 3 4 5 6 7 8 9; do cat /etc/passwd >/dev/null; done; echo out; exit 5"
    command = trace_command(["sh", "-c", script],
                            ["--events", "--format", "json"])
    try:
        slow = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=second, env=environment())
        assert slow.stdout is not None
        assert slow.stdout.read() == b"out\n"
        assert slow.wait(30) == 5
    finally:
        os.close(first)
        os.close(second)


def test_a_named_pipe_without_a_reader_is_refused(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(str(fifo))
    result = run(trace_command(["true"], ["--output", str(fifo)]))
    assert result.status == 2 and str(fifo).encode() in result.stderr and result.stderr.count(b"\n") == 1


def test_what_cannot_be_encoded_is_no_error(tmp_path: Path) -> None:
    policy = tmp_path / "p.json"
    policy.write_text('{"rules": [{"id": "odd", "expression": "exec.file.name == \\"true\\"", '
                      '"product_tags": ["tactic:\\ud800"]}]}')
    result = run(trace_command(["sh", "-c", "/bin/true; exit 5"], ["--policy", str(policy)]))
    assert result.status == 5 and b"Traceback" not in result.stderr and result.stderr.count(b"\n") == 1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_before_the_start_ends_ebpfless(tmp_path: Path, number: int) -> None:
    policy = tmp_path / "p.json"
    os.mkfifo(str(policy))
    with Session(trace_command(["echo", "started"], ["--policy", str(policy)])) as session:
        wait_until(lambda: waits_in(session.pid) == OPENAT, "it waits for its policy")
        os.kill(session.pid, number)
        assert session.finish()[:2] == (-number, b"")


def waits_in(pid: int) -> str:
    """The number of the system call in which a process sleeps (proc(5), /proc/PID/syscall)."""
    try:
        return Path("/proc/%d/syscall" % pid).read_text().split()[0]
    except OSError:
        return ""


class Failing(Receiver):
    """A receiver that raises whatever it is asked for, and keeps what it is told of that."""

    def __init__(self) -> None:
        self.told: List[str] = []

    def receive(self, record: Record) -> None:
        """Raises."""
        raise KeyError("receive")

    def judge(self, record: Record, answer: Answer) -> None:
        """Raises."""
        raise KeyError("judge")

    def failed(self, text: str) -> None:
        """Keeps the last line."""
        self.told.append(text.splitlines()[-1])


def test_an_error_of_the_receiver_is_reported_and_lets_calls_run() -> None:
    keeper, receiver = Keeper.__new__(Keeper), Failing()
    keeper._receiver = receiver
    assert not keeper._hand_over(receiver.receive, ())
    reading, keeper._verdicts = os.pipe()
    keeper._take_overs = 0
    keeper._ask(17, ())
    assert os.read(reading, 64) == struct.pack("=QI", 17, 0), "the call may run"
    assert receiver.told == ["KeyError: 'receive'", "KeyError: 'judge'"]
