"""An agent in trouble gets out of it by itself: errors in the tracer, a tracer that hangs or was stopped, daemons."""

import os
import signal
import sys
import time
from pathlib import Path
from typing import List

import pytest

from blackbox import (REPOSITORY, Event, Session, environment, ebpfless, event_options, named, opens_of, read_events, retval,
                      run, status_field, trace_command, wait_until)
from ebpfless_arch.kernel import walls
from test_trace_failures import READER, ask, kill_tracer, opened, start, tracer_of

needs_fuse = pytest.mark.skipif(os.getuid() != 0 or not os.path.exists("/dev/fuse"), reason="needs root and /dev/fuse")

# Runs ebpfless with a method of the engine that raises once whenever the file of that name appears.
FAULTY = """
import os, sys
import ebpfless
from ebpfless_arch.tracer import engine
where, flag = sys.argv[1:3]
original = getattr(engine.Engine, where)
def failing(self, *rest):
    if os.path.exists(flag):
        os.unlink(flag)
        raise {error}("injected")
    return original(self, *rest)
setattr(engine.Engine, where, failing)
sys.exit(ebpfless.main(sys.argv[3:]))
"""


def faulty(where: str, flag: Path, command: List[str], error: str = "MemoryError") -> List[str]:
    return [sys.executable, "-c", FAULTY.format(error=error), where, str(flag)] + command[3:]


def reasons(output: Path) -> List[str]:
    whole = output.read_bytes().rpartition(b"\n")[0] if output.exists() else b""
    events = [event for event in read_lines(whole) if event["evt"]["name"] == "blind_spot"]
    return [event["evt"]["variables"]["reason"] for event in events if event["evt"]["variables"]["kind"] != "lost"]


def read_lines(data: bytes) -> List[Event]:
    import json

    return [json.loads(line.decode()) for line in data.splitlines()]


@pytest.mark.parametrize("where", ["_handle", "_dispatch", "_wait", "_on_end"])
def test_a_tracer_that_fails_starts_itself_anew_and_no_call_fails(tmp_path: Path, where: str) -> None:
    """Every open that the shell does is good, and the tracer is the same process as before."""
    file, output, flag = tmp_path / "file", tmp_path / "events", tmp_path / "flag"
    file.write_text("content\n")
    script = 'echo $$; while read word; do (read line < "$0") && read line < "$0" && echo "$word" || echo bad; done; exit 7'
    command = trace_command(["sh", "-c", script, str(file)], event_options(str(output)))
    with Session(faulty(where, flag, command), env=environment()) as session:
        shell = int(session.line())
        tracer = tracer_of(shell)
        ask(session, "before")
        flag.write_text("")
        ask(session, "meanwhile")
        wait_until(lambda: not flag.exists(), "the error happens")
        ask(session, "after")
        assert tracer_of(shell) == tracer
        assert session.finish()[:2] == (7, b"")
    (reason,) = reasons(output)
    assert reason.startswith("the tracer failed and has started itself anew")
    # Of what happened while it failed one result is not seen, at most.
    assert len(opened(output, file)) in (5, 6)
    assert [event["exit"]["code"] for event in named(read_events(str(output)), "exit")][-1] == 7


def test_an_error_about_one_stop_costs_its_event_only(tmp_path: Path) -> None:
    file, output, flag = tmp_path / "file", tmp_path / "events", tmp_path / "flag"
    file.write_text("content\n")
    command = trace_command(["sh", "-c", 'read l < "$0"; : > "$1"; read l < "$0"; read l < "$0"; exit 7', str(file), str(flag)],
                            event_options(str(output)))
    result = run(faulty("_result", flag, command, "KeyError"), env=environment())
    assert (result.status, result.stdout) == (7, b"")
    assert result.stderr.count(b"\n") == 1 and b"KeyError" in result.stderr
    assert len(opened(output, file)) == 3


def test_a_signal_sent_to_the_tracer_does_nothing(tmp_path: Path) -> None:
    file, output = tmp_path / "file", tmp_path / "events"
    with start(file, output) as session:
        shell = int(session.line())
        tracer = tracer_of(shell)
        for number in (signal.SIGSEGV, signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE):
            os.kill(tracer, number)
            ask(session, "after%d" % number)
        assert tracer_of(shell) == tracer
        assert session.finish()[0] == 7
    assert reasons(output) == [] and len(opened(output, file)) == 4


def test_a_tracer_that_crashes_is_replaced(tmp_path: Path) -> None:
    file, output, flag = tmp_path / "file", tmp_path / "events", tmp_path / "flag"
    file.write_text("content\n")
    command = trace_command(["sh", "-c", READER, str(file)], event_options(str(output)))
    crash = faulty("_dispatch", flag, command, "__import__('ctypes').string_at(0) or ")
    with Session(crash, env=environment()) as session:
        shell = int(session.line())
        tracer = tracer_of(shell)
        ask(session, "before")
        flag.write_text("")
        ask(session, "meanwhile")
        wait_until(lambda: tracer_of(shell) not in (0, tracer), "another tracer takes over")
        ask(session, "after")
        assert session.finish()[0] == 7
    assert [reason.split(";")[0] for reason in reasons(output)] == ["the tracer was killed"]


def test_a_stopped_tracer_is_woken(tmp_path: Path) -> None:
    """Without anybody who stands by."""
    file, output = tmp_path / "file", tmp_path / "events"
    file.write_text("content\n")
    command = trace_command(["sh", "-c", READER, str(file)], ["--disable-seccomp"] + event_options(str(output)))
    with Session(command) as session:
        shell = int(session.line())
        os.kill(tracer_of(shell), signal.SIGSTOP)
        began = time.monotonic()
        ask(session, "word")
        assert time.monotonic() - began < 10
        assert session.finish()[0] == 7
    assert any(reason.startswith("somebody had stopped the tracer (SIGSTOP)") for reason in reasons(output))
    assert len(opened(output, file)) == 1


@needs_fuse
@pytest.mark.parametrize("kind", ["careful", "silent"])
def test_a_file_system_that_waits_for_us_does_not_hold_the_program(tmp_path: Path, kind: str) -> None:
    """A dead server, and one below our own trace that needs us before it can answer: they are not asked."""
    mount, output = tmp_path / "mount", tmp_path / "events"
    mount.mkdir()
    script = 'coproc "$1" "$2" "$3" ' + kind + '; read -u ${COPROC[0]} line; read line < "$3/file"; echo "$line"; ' \
        'read line < "$3/file"; echo "$line"; pid=$COPROC_PID; eval "exec ${COPROC[1]}>&-"; wait $pid; exit 7'
    command = ["bash", "-c", script, "bash", sys.executable, str(REPOSITORY / "tests" / "fuse.py"), str(mount)]
    result = run(trace_command(command, event_options(str(output))))
    assert (result.status, result.stdout) == (7, b"content\ncontent\n"), result.stderr
    assert reasons(output) == []
    opens = opens_of(read_events(str(output)), mount / "file")
    assert [(event["file"]["inode"], event["file"]["mode"]) for event in opens] == [(2, 0o100644)] * 2


def test_a_tracer_that_hangs_is_told_of_and_replaced(tmp_path: Path) -> None:
    file, output, flag = tmp_path / "file", tmp_path / "events", tmp_path / "flag"
    file.write_text("content\n")
    command = trace_command(["sh", "-c", READER, str(file)], event_options(str(output)))
    with Session(faulty("_dispatch", flag, command, "__import__('time').sleep(1000) or KeyError"), env=environment()) as session:
        shell = int(session.line())
        tracer = tracer_of(shell)
        ask(session, "before")
        flag.write_text("")
        began = time.monotonic()
        ask(session, "after")
        assert 3 <= time.monotonic() - began < 15
        wait_until(lambda: tracer_of(shell) not in (0, tracer), "another tracer takes over")
        assert session.finish()[0] == 7
    told = reasons(output)
    assert told[0].startswith("the tracer has held thread %d for 1." % shell) and "in its call openat" in told[0]
    assert "state S" in told[0]
    assert told[1].startswith("the tracer hangs") and told[2].startswith("the tracer was killed") and len(told) == 3


def test_a_daemon_s_tracer_is_replaced_as_well(tmp_path: Path) -> None:
    file, output, fifo = tmp_path / "file", tmp_path / "events", tmp_path / "fifo"
    file.write_text("content\n")
    os.mkfifo(str(fifo))
    # Without a tracer an open may fail: it is tried again.
    loop = ('echo $$ > "$0"; while :; do until read word < "$1"; do :; done; until read line < "$0"; do :; done; '
            'until echo $word > "$0"; do :; done; done')
    daemon = "setsid sh -c '%s' \"$0\" \"$1\" >/dev/null 2>&1 </dev/null &" % loop
    result = run(trace_command(["sh", "-c", daemon, str(file), str(fifo)], event_options(str(output))))
    assert result[:3] == (0, b"", b"")
    wait_until(lambda: file.read_text().strip().isdigit(), "the daemon runs")
    pid = int(file.read_text())
    try:
        for number, word in enumerate(("one", "two", "three")):
            kill_tracer(pid)
            wait_until(lambda: len(reasons(output)) == number + 1, "the gap is told")
            fifo.write_text(word + "\n")
            wait_until(lambda: file.read_text() == word + "\n", "the daemon answers")
    finally:
        os.kill(pid, signal.SIGTERM)
    wait_until(lambda: len(named(read_events(str(output)), "exit")) >= 2, "its end is seen")
    assert sum(reason.startswith("the tracer was killed") for reason in reasons(output)) == 3
    events = read_events(str(output))
    reads = [event for event in opens_of(events, file) if retval(event) >= 0]
    # What a tracer had in its hands when it was killed is gone, and is counted.
    lost = sum(event["evt"]["variables"]["count"] for event in named(events, "blind_spot")
               if event["evt"]["variables"]["kind"] == "lost")
    assert len(reads) + lost >= 7, (len(reads), lost)


def test_on_request_the_program_dies_with_its_tracer(tmp_path: Path) -> None:
    file, output = tmp_path / "file", tmp_path / "events"
    file.write_text("content\n")
    script = 'echo $$; sleep 1000 & echo $!; wait'
    with Session(trace_command(["sh", "-c", script], ["--on-failure", "kill"] + event_options(str(output)))) as session:
        shell, child = int(session.line()), int(session.line())
        os.kill(tracer_of(shell), signal.SIGKILL)
        result = session.finish()
        assert result.status == -signal.SIGKILL, result
        wait_until(lambda: not status_field(child, "State"), "its child is dead, too")


def test_a_wrong_word_for_failures() -> None:
    result = run(ebpfless("trace", "--on-failure", "maybe", "--", "true"))
    assert result.status == 2 and b"maybe" in result.stderr


@pytest.mark.skipif(os.getuid() != 0, reason="needs root")
def test_the_agent_asks_to_be_spared_when_memory_runs_out_and_the_command_does_not(tmp_path: Path) -> None:
    native = int(Path("/proc/self/oom_score_adj").read_text())
    with start(tmp_path / "file", tmp_path / "events") as session:
        shell = int(session.line())
        ask(session, "word")
        scores = [int(Path("/proc/%d/oom_score_adj" % pid).read_text()) for pid in (session.pid, tracer_of(shell), shell)]
        # Root of a container may lack what this needs.
        ours = -900 if "CAP_SYS_RESOURCE" in walls.look().capabilities else native
        assert scores == [ours, ours, native]
        assert session.finish()[0] == 7
