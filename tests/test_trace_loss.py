"""Nothing is lost silently: what arrives has no gap, and what does not is counted."""

import collections
import os
import signal
from pathlib import Path

import pytest

from blackbox import (Compiler, Session, event_options, named, opens_of, read_events, retval, run, status_field,
                      trace_command, wait_until)

OPENS, EVENTS = 2003, 1000003


def test_what_finds_no_room_is_counted_and_told(compile_c: Compiler, tmp_path: Path) -> None:
    """While the keeper is stopped the program goes on, and the tracer keeps what it can."""
    (tmp_path / "file").write_text("")
    output = tmp_path / "events"
    name = "./" * 1900 + "file"
    script = 'echo ready; read word; exec "$0" "$1" "$2"'
    command = ["sh", "-c", script, compile_c("many_opens.c"), name, str(OPENS)]
    with Session(trace_command(command, event_options(str(output)) + ["--verbose"]), cwd=str(tmp_path)) as session:
        assert session.line() == "ready"
        os.kill(session.pid, signal.SIGSTOP)
        wait_until(lambda: status_field(session.pid, "State")[:1] == "T", "the keeper is stopped")
        assert session.process.stdin is not None
        session.process.stdin.write(b"go\n")
        session.process.stdin.flush()
        assert session.line().startswith("done")
        os.kill(session.pid, signal.SIGCONT)
        result = session.finish()
    assert result.status == 0
    events = read_events(str(output))
    seen = [event for event in opens_of(events, tmp_path / "file") if retval(event) >= 0]
    lost = sum(event["evt"]["variables"]["count"] for event in named(events, "blind_spot")
               if event["evt"]["variables"]["kind"] == "lost")
    assert 0 < len(seen) < OPENS and len(seen) + lost == OPENS
    assert b" %d records lost, 0 errors" % lost in result.stderr
    assert [event["exit"]["code"] for event in named(events, "exit")] == [0]


@pytest.mark.slow
def test_a_million_events_and_three_arrive(compile_c: Compiler, tmp_path: Path) -> None:
    """As lines of text: one of JSON has all ancestors of its process, and a million of those is gigabytes."""
    output = tmp_path / "events"
    result = run(trace_command([compile_c("many_sends.c"), str(EVENTS)], ["--events", "--verbose", "--output", str(output)]),
                 timeout=600)
    assert (result.status, result.stdout) == (0, b"%d\n" % EVENTS)
    (counted,) = [line for line in result.stderr.decode().splitlines() if "records lost" in line]
    assert ", 0 records lost, 0 errors" in counted
    with output.open("rb") as lines:
        kinds = collections.Counter(b" sent " in line for line in lines)
    output.unlink()
    assert kinds[True] == EVENTS
    assert " %d events, " % sum(kinds.values()) in counted
