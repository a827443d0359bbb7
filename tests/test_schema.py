"""JSON lines hold to the published schema of Datadog's messages, except where scripts/check-schema says so and why."""

import json
from pathlib import Path
from typing import Any, Dict, List

import pytest

from blackbox import REPOSITORY, Compiler, Result, event_options, read_events, rule, run, trace_command, write_policy
from grounds import ground_of
from real_programs import PROGRAMS

CHECK = str(REPOSITORY / "scripts" / "check-schema")
SCHEMA = REPOSITORY.parent / "shared" / "reference" / "datadog" / "backend_linux.schema.json"

# What tests/programs/calls.c can do.
PARTS = ("unlink rmdir rename mkdir link chmod chown utimes chdir xattr mount setuid setgid capset setrlimit prctl "
         "ptrace signal memory bpf module socket").split()

# Every detection of a small run, with everything that a rule can add to a line.
RULES = [rule("opened", 'open.file.path == "/etc/hosts"', version="1.2", actions=[
             {"set": {"name": "last", "field": "open.file.path", "scope": "process"}}, {"hash": {}}]),
         rule("denied", 'open.file.path == "/etc/hostname"', actions=[{"deny": {"errno": "EACCES"}}])]

pytestmark = [pytest.mark.slow, pytest.mark.skipif(not SCHEMA.exists(), reason="needs the published schema")]


def check(*paths: str) -> Result:
    """Runs the checker."""
    return run([CHECK, "--schema", str(SCHEMA)] + list(paths), timeout=600)


def traced(command: List[str], output: str, options: List[str], folder: Path) -> None:
    """Appends what `trace` tells of a command to a file."""
    run(trace_command(command, event_options(output) + options), cwd=str(folder))


def test_every_event_and_detection_is_in_the_schema_s_form(compile_c: Compiler, tmp_path: Path) -> None:
    output, policy = str(tmp_path / "output"), write_policy(tmp_path / "policy.json", RULES)
    for number, flags in enumerate(([], ["-m32", "-static"])):
        folder = tmp_path / str(number)
        folder.mkdir()
        traced([compile_c("calls.c", *flags)] + PARTS, output, [], folder)
    names = "caf\udce9 a\nb \x1b[31m \udcff\udcfe ä€😀"
    traced(["cat", "/etc/hosts", "/etc/hostname", names, "x" * 4000, "y" * 100003], output, ["--policy", policy],
           tmp_path)
    traced([compile_c("strings.c"), str(tmp_path), "/x" * 1900, "/z"], output, [], tmp_path)
    traced([compile_c("untraced.c")], output, [], tmp_path)
    result = check(output)
    assert (result.status, result.stderr) == (0, b""), result.stdout.decode()
    events = read_events(output)
    assert result.stdout == b"%d lines, 0 differences of 0 kinds\n" % len(events)
    assert {event["agent"].get("rule_id") for event in events} == {None, "opened", "denied"}
    assert len({event["evt"]["name"] for event in events}) >= 30


@pytest.mark.root
def test_so_are_all_events_of_real_programs(public_dir: Path) -> None:
    outputs, count = [], 0
    for program in PROGRAMS:
        folder = public_dir / program.name
        folder.mkdir()
        ground = ground_of(program, folder)
        count += len(ground.by_us())
        outputs.append(ground.output)
    result = check(*outputs)
    assert (result.status, result.stdout) == (0, b"%d lines, 0 differences of 0 kinds\n" % count), result


def good() -> Dict[str, Any]:
    """An event as it should be."""
    return {"agent": {"version": "1"}, "title": "t", "date": "2026-01-01T00:00:00.5Z", "evt": {"name": "open"},
            "process": {"uid": 0, "gid": 0, "pid": 1}}


WRONG = (
    (json.dumps(dict(good(), tags=["a:b", 1])), "'tags' was unexpected"),
    (json.dumps(dict(good(), date="yesterday")), "'yesterday' is not a 'date-time'"),
    (json.dumps(dict(good(), process={"uid": "0", "gid": 0})), "process.uid: '0' is not of type 'integer'"),
    (json.dumps(dict(good(), agent={"policy_name": "p"})), "'rule_id' is a required property"),
    (json.dumps(dict(good(), title="\ud800")), "half a surrogate pair"),
    (json.dumps(dict(good(), file={"uid": float("nan")})), "NaN is no JSON"),
    ('{"title": "a", "title": "b"}', "a key stands twice"), ("{", "Expecting"), ("[]", "no object"),
)


def test_the_checker_finds_what_is_wrong(tmp_path: Path) -> None:
    (tmp_path / "lines").write_text("".join("%s\n%s\n" % (json.dumps(good()), text) for text, _ in WRONG))
    result = check(str(tmp_path / "lines"))
    told = result.stdout.decode().splitlines()
    assert result.status == 1 and told.pop() == "18 lines, 9 differences of 9 kinds"
    for number, (_, words) in enumerate(WRONG):
        (line,) = [line for line in told if line.endswith("lines:%d)" % (2 * number + 2))]
        assert words in line and line.startswith("      1  ")
