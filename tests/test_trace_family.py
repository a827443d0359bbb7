"""What a program sees of its signals and its children, case by case, native and traced: the same."""

import os
import signal
from pathlib import Path
from typing import Any, List

import pytest

from blackbox import Compiler, Result, Session, named, retval, run, run_traced, trace_command
from ebpfless_arch.kernel import signals

MODES = [["--output", "/dev/null"], ["--events", "--output", "/dev/null"], ["--disable-seccomp", "--output", "/dev/null"]]
NAMES = ["seccomp", "events", "no-seccomp"]


def check_same(command: List[str], options: List[str], **run_options: Any) -> Result:
    """Runs a command native and traced; returns what both gave."""
    native = run(command, **run_options)
    assert (native.status, native.stderr) == (0, b"")
    assert run(trace_command(command, options), **run_options) == native
    return native


@pytest.mark.parametrize("options", MODES, ids=NAMES)
def test_parents_and_children(options: List[str], compile_c: Compiler) -> None:
    lines = check_same([compile_c("family.c")], options).stdout.decode().splitlines()
    assert {"death: signo 17 code 2 status 9 pid child uid %d" % os.getuid(), "signal at the parent's death: d",
            "orphaned group: 0 hup1", "races of setpgid that went wrong: 0"} <= set(lines)


@pytest.mark.slow
def test_parents_and_children_again_and_again(compile_c: Compiler) -> None:
    for _ in range(7):
        check_same([compile_c("family.c")], MODES[1])


@pytest.mark.once
@pytest.mark.parametrize("options", MODES, ids=NAMES)
def test_every_signal_in_every_way_to_every_disposition(options: List[str], compile_c: Compiler) -> None:
    output = check_same([compile_c("matrix.c")], options).stdout
    assert output.count(b"signal ") == 64 * 3 * 6
    assert b"signal 64 handled way 5\n  got 64 code -1 value 4775 sender p" in output


def test_core_dumps_are_told_and_written(compile_c: Compiler, tmp_path: Path) -> None:
    command = [compile_c("matrix.c"), "dump"]
    written = []
    for name, line in (("native", command), ("traced", trace_command(command, MODES[0]))):
        folder = tmp_path / name
        folder.mkdir()
        result = run(line, cwd=str(folder))
        assert (result.status, result.stderr) == (0, b"")
        written.append((result.stdout, len(list(folder.iterdir()))))
    assert written[0] == written[1]
    assert written[0][0].count(b"killed by") == 10


@pytest.mark.parametrize("options", MODES[1:], ids=NAMES[1:])
def test_a_child_whose_pidfd_has_told_its_end_is_found_at_once(options: List[str], compile_c: Compiler) -> None:
    """Until its tracer has seen the end, a parent cannot find it; event loops rely on finding it."""
    command = [compile_c("pidfd_wait.c"), "101"]
    native = run(command)
    if native.status == 9:
        pytest.skip("this kernel has no pidfd (Linux 5.3)")
    assert native[:3] == (0, b"pidfd 101 waitid 101 wait4 101\n", b"")
    assert run(trace_command(command, options)) == native


def from_outside(command: List[str], to_command: bool) -> List[str]:
    """What `matrix catch` tells of every signal, sent plainly and queued with a value, to it or to what runs it."""
    told = []
    with Session(command) as session:
        pid = int(session.line().split()[1])
        target = pid if to_command else session.pid
        for number in [each for each in signals.catchable() if each != signal.SIGUSR2]:
            os.kill(target, number)
            told.append(session.line())
            signals.send(target, signals.Received(number, signals.SI_QUEUE, 0, 4700 + number))
            told.append(session.line())
        os.kill(target, signal.SIGUSR2)
        told.append(session.line())
        assert session.finish()[:3] == (3, b"", b"")
    return told


@pytest.mark.parametrize("to_command", [True, False], ids=["command", "ebpfless"])
def test_every_signal_from_outside_arrives_as_it_was_sent(to_command: bool, compile_c: Compiler) -> None:
    command = [compile_c("matrix.c"), "catch"]
    native = from_outside(command, True)
    assert len(native) == 2 * 59 + 1
    assert {"10 code 0 value 0", "34 code -1 value 4734", "64 code -1 value 4764"} <= set(native)
    assert from_outside(trace_command(command, MODES[0]), to_command) == native


@pytest.mark.root
@pytest.mark.parametrize("options", [[], ["--disable-seccomp"]], ids=["seccomp", "no-seccomp"])
def test_signals_in_another_pid_namespace_have_the_processes_that_they_meant(options: List[str]) -> None:
    """There every process has another number; a process outside that has the same number is none of theirs."""
    script = ('sleep 997 & until grep -q sleep /proc/$!/comm; do :; done; kill -TERM $!; wait $!; echo $?; '
              'kill -USR1 4194000 2>/dev/null; sh -c "kill -KILL \\$\\$"; echo $?')
    result = run_traced(["unshare", "--pid", "--fork", "--mount-proc", "sh", "-c", script], options)
    assert (result.status, result.stdout) == (0, b"143\n137\n")
    signals = [(event["signal"]["type"], event["process"]["pid"], event["signal"]["pid"], event["signal"]["target"]["pid"],
                retval(event)) for event in named(result.events, "signal")]
    executed = {event["process"]["args"][0] if event["process"]["args"] else "": event["process"]["pid"]
                for event in named(result.events, "exec") if retval(event) == 0}
    ends = {event["process"]["pid"]: event["exit"] for event in named(result.events, "exit")}
    sleeper = [pid for pid, end in ends.items() if end == {"cause": "SIGNALED", "code": 15}]
    itself = [pid for pid, end in ends.items() if end == {"cause": "SIGNALED", "code": 9}]
    assert executed["997"] == sleeper[0]
    assert [signal[:1] + signal[2:] for signal in signals] == [
        ("SIGTERM", sleeper[0], sleeper[0], 0), ("SIGUSR1", 0, 0, -3), ("SIGKILL", itself[0], itself[0], 0)]
    assert signals[2][1] == itself[0]
