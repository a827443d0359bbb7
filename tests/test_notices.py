"""What ebpfless itself says on stderr: lines of text, or objects where JSON lines are written there."""

import json
import os
import re
import signal
import sys
from pathlib import Path
from typing import Any, Dict, List, Tuple

import pytest

from blackbox import Session, ebpfless, rule, run, trace_command, wait_until, write_policy

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")


def log(level: str, message: str) -> Dict[str, Any]:
    """A rule's action."""
    return {"log": {"level": level, "message": message}}


@pytest.fixture
def policy(tmp_path: Path) -> str:
    """Three rules that match the opening of one file, and a wrong one."""
    path = str(tmp_path / "secret")
    (tmp_path / "secret").write_text("")
    return write_policy(tmp_path / "policy.json", [
        rule("told", 'open.file.path == "%s"' % path, actions=[log("warning", "caf\u00e9 \"quoted\"")]),
        rule("long", 'open.file.path == "%s"' % path, actions=[log("info", "x\u00e9" * 4000)]),
        rule("wrong", 'open.file.pth == "x"')])


def told(stderr: bytes) -> List[Tuple[str, str]]:
    """The notices among the lines; every line is an object, of which the others are events."""
    found = [json.loads(line.decode("ascii")) for line in stderr.splitlines()]
    assert stderr.endswith(b"\n") and all(("evt" in each) != ("message" in each) for each in found)
    notices = [each for each in found if "message" in each]
    for each in notices:
        assert sorted(each) == ["agent", "date", "level", "message"], each
        assert TIME.fullmatch(each["date"]) and each["agent"]["origin"] == "ebpfless", each
    return [(each["level"], each["message"]) for each in notices]


def test_every_line_beside_json_lines_is_an_object(policy: str, tmp_path: Path) -> None:
    options = ["--format", "json", "--policy", policy, "--verbose", "--events"]
    result = run(trace_command(["cat", str(tmp_path / "secret")], options))
    assert result[:2] == (0, b"")
    notices = told(result.stderr)
    assert [level for level, _ in notices] == ["error", "warning", "info", "info"], notices
    assert "rule 'wrong': 1:1: unknown field open.file.pth" in notices[0][1]
    assert notices[1][1] == 'rule told: caf\u00e9 "quoted"'
    assert notices[2][1].startswith("rule long: x\u00e9x\u00e9") and len(notices[2][1]) > 500
    assert re.match(r"\d+ stops, \d+ events, 2 detections ", notices[3][1]), notices
    assert all(len(line) < 4096 for line in result.stderr.splitlines() if b'"message"' in line)


def test_text_is_as_it_was(policy: str, tmp_path: Path) -> None:
    for options in ([], ["--format", "json", "--output", str(tmp_path / "events")]):
        result = run(trace_command(["cat", str(tmp_path / "secret")], options + ["--policy", policy]))
        lines = result.stderr.decode().splitlines()
        assert [line for line in lines if line.startswith("ebpfless: warning: rule told: caf\u00e9")], lines
    assert all("evt" in json.loads(line) for line in (tmp_path / "events").read_text().splitlines())


def test_attach_mode_says_what_it_does_in_an_object(policy: str) -> None:
    with Session([sys.executable, "-c", "print('ready', flush=True); input()"]) as target:
        assert target.line() == "ready"
        options = ["trace", "--probe-addr", "none", "--format", "json", "--policy", policy, "--pid"]
        with Session(ebpfless(*options, str(target.pid))) as session:
            wait_until(lambda: b"tracing 1 running process;" in session.errors(), "it is attached to")
            os.kill(session.pid, signal.SIGTERM)
            result = session.finish()
    assert result.status == 0
    assert [level for level, _ in told(result.stderr)] == ["error", "info"]


def test_the_probe_s_lines_are_objects_as_well(policy: str, tmp_path: Path) -> None:
    with Session(ebpfless("probe", "--listen", "unix:%s/s" % tmp_path, "--format", "json", "--policy", policy)) as session:
        wait_until(lambda: b"the probe listens" in session.errors(), "it listens")
        os.kill(session.pid, signal.SIGHUP)
        wait_until(lambda: session.errors().count(b"unknown field") == 2, "it has loaded its policy again")
        os.kill(session.pid, signal.SIGTERM)
        result = session.finish()
    assert result.status == 0
    assert [level for level, _ in told(result.stderr)] == ["error", "info", "info", "error"]
