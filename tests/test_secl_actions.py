"""Actions: filters, hash, log, and what is handed to the agent; on real files and under `trace`."""

import hashlib
import json
import os
import socket
import subprocess
from pathlib import Path
from typing import Any, List, Optional

import pytest

from blackbox import is_detection, run, run_traced, trace_command, write_policy
from ebpfless_arch.events.model import File, OpenEvent
from ebpfless_arch.rules.actions import Deny, Kill
from ebpfless_arch.rules.fields import field_table
from ebpfless_arch.rules.hashing import Hasher
from secl_rules import USERS, Agent, Entry, at, load, opened, process, rule, setting, started

SET = 'open.file.path == "/set"'


# Shapes

@pytest.mark.parametrize("action, words", [
    ({}, "this one is none of them"), ({"st": {}}, "none of them"), ({"set": None}, "none of them"), (3, "an object"),
    ({"hash": {}, "log": {"level": "info"}}, "this one is hash and log"), ({"log": "x"}, "log must be an object"),
    ({"log": {}}, "unknown level None; there are debug, info, warning, error"), ({"log": {"level": "loud"}}, "'loud'"),
    ({"log": {"level": "info", "message": 3}}, "message must be a text"),
    ({"log": {"level": "info"}, "filter": 3}, "the filter of an action must be a text"),
    ({"kill": {}}, "the signal None is unknown"), ({"kill": {"signal": "SIGKIL"}}, "did you mean SIGKILL?"),
    ({"kill": {"signal": "SIG"}}, "is unknown"), ({"kill": {"signal": "SIGNALED"}}, "is unknown"),
    ({"kill": {"signal": 9}}, "the signal 9 is unknown"),
    ({"kill": {"signal": "SIGKILL", "scope": "world"}}, "there are process, container, cgroup"),
    ({"kill": {"signal": "SIGKILL", "disable_container_disarmer": 1}}, "must be true or false"),
    ({"deny": {"errno": "EPERN"}}, "did you mean EPERM?"), ({"deny": {"errno": "SIGKILL"}}, "neither the name"),
    ({"deny": {"errno": 0}}, "neither the name"), ({"deny": {"errno": 4096}}, "neither the name"),
    ({"deny": {"errno": -1}}, "neither the name"), ({"deny": {"errno": True}}, "neither the name"),
    ({"hash": {"max_file_size": "big"}}, "max_file_size must be a number"), ({"hash": {"field": 3}}, "must be a text"),
])
def test_bad_entries_are_reported_and_left_out(tmp_path: Path, action: Any, words: str) -> None:
    good = {"log": {"level": "info"}}
    loaded = load(tmp_path, rule("x", SET, action, good))
    problem, = loaded.problems
    assert problem.rule_id == "x" and words in problem.message and "left out" in problem.message
    assert [kept.kind for kept in loaded.rules[0].actions] == ["log"]


@pytest.mark.parametrize("action, reason, column", [
    ({"filter": "open.flags ==", "log": {"level": "info"}}, "syntax_error", 14),
    ({"filter": "open.flags", "log": {"level": "info"}}, "type_mismatch", 1),
    ({"filter": "exec.uid == 0", "log": {"level": "info"}}, "mixed_event_types", 10),
    ({"filter": "${nope}", "log": {"level": "info"}}, "unknown_variable", 1),
    ({"log": {"level": "info", "message": "by ${process.nope}"}}, "unknown_variable", 5),
    ({"hash": {"field": "open.fil"}}, "unknown_field", 1), ({"hash": {"field": "open.file.path"}}, "unknown_field", 1),
    ({"hash": {"field": "exec.file"}}, "mixed_event_types", 1),
])
def test_what_does_not_compile_spoils_the_rule(tmp_path: Path, action: Entry, reason: str, column: int) -> None:
    loaded = load(tmp_path, rule("x", SET, action), rule("fine", SET))
    problem, = loaded.problems
    assert (problem.rule_id, problem.reason, problem.line, problem.column) == ("x", reason, 1, column)
    assert "of an action" in problem.message or "of a " in problem.message
    assert [kept.id for kept in loaded.rules] == ["fine"]


def test_actions_for_other_agents_are_idle(tmp_path: Path) -> None:
    loaded = load(tmp_path, rule("x", SET, {"coredump": {"process": True}}, {"network_filter": {"filter": "tcp"}},
                                 {"log": {"level": "info"}, "filter": 'process.user_session.k8s_username == "x"'},
                                 setting("v", field="process.user_session.k8s_uid")))
    assert loaded.problems == [] and loaded.rules[0].actions == []
    reasons = [idle.reason for idle in loaded.idle_actions]
    assert [reason.split(":")[0] for reason in reasons] == ["action coredump", "action network_filter", "action log",
                                                           "action set"]
    assert "user sessions" in reasons[2] and "user sessions" in reasons[3]


def test_actions_must_be_a_list(tmp_path: Path) -> None:
    loaded = load(tmp_path, dict(rule("x", SET), actions={"log": {}}))
    assert [problem.message for problem in loaded.problems] == ["actions must be a list"]


# Running

def test_filters_decide_when_their_action_runs(tmp_path: Path) -> None:
    agent = Agent(load(tmp_path, rule(
        "x", SET, {"filter": "process.pid == 1", "log": {"level": "info", "message": "one"}},
        {"filter": "${n} > 0", "log": {"level": "info", "message": "after the set"}},
        dict(setting("n", value=1), filter="process.pid == 2"),
        {"filter": 'process.ancestors[A].pid == 7', "log": {"level": "info", "message": "below"}})))
    agent.tell(opened("/set", process(1)))
    assert [message for _, message, _ in agent.logged] == ["one"]
    agent.tell(opened("/set", process(2, process(7))))
    assert [message for _, message, _ in agent.logged[1:]] == ["after the set", "below"]


def test_messages_hold_values(tmp_path: Path) -> None:
    agent = Agent(load(tmp_path, rule(
        "x", SET, setting("names", field="open.file.name", append=True),
        {"log": {"level": "warning", "message": 'a "${names}" of ${process.pid} $ ${ %{open.file.path}'}},
        {"log": {"level": "debug"}})))
    agent.tell(opened("/set"))
    assert agent.logged == [("warning", 'a "set" of 100 $ ${ /set', "x"), ("debug", "", "x")]


def test_kill_and_deny_are_handed_to_the_agent(tmp_path: Path) -> None:
    agent = Agent(load(tmp_path, rule(
        "x", SET, {"kill": {"signal": "SIGTERM", "scope": "cgroup", "disable_executable_disarmer": True}},
        {"kill": {"signal": "SIGKILL"}}, {"deny": {}}, {"deny": {"errno": "ENOENT"}}, {"deny": {"errno": 13}},
        {"deny": {}, "filter": "process.pid == 1"})))
    agent.tell(opened("/set"))
    assert [name for _, name in agent.performed] == ["x"] * 5
    found = [action for action, _ in agent.performed]
    kills = [kill for kill in found if isinstance(kill, Kill)]
    assert [(kill.signal, kill.number, kill.scope, kill.container_disarmer, kill.executable_disarmer)
            for kill in kills] == [("SIGTERM", 15, "cgroup", True, False), ("SIGKILL", 9, "process", True, True)]
    assert [deny.errno for deny in found if isinstance(deny, Deny)] == [1, 2, 13]


# Deny: what can be decided before the call

@pytest.mark.parametrize("expression, late", [
    ('open.file.path == "/x" && open.flags & O_CREAT > 0 && open.file.destination.mode == 0644', []),
    ('open.file.name == "x" && process.file.uid == 0 && process.ancestors.comm == "sh"', []),
    ("open.file.uid == 0 && open.retval >= 0", ["open.file.uid", "open.retval"]),
    ('open.file.hashes == "sha1:0"', ["open.file.hashes"]), ("open.file.mount_id == 3 || open.flags == 7", None),
    ('exec.file.path == "/x" && exec.file.hashes == "sha1:0" && exec.argv == "x" && exec.uid == 0', []),
    ('exec.file.path == "/x" && exec.euid == 0', ["exec.euid"]),
    ('exec.file.path == "/x" && process.comm == "x" && process.parent.comm == "x"', ["process.comm"]),
    ('exec.interpreter.file.name == "x"', ["exec.interpreter.file.name"]),
    ("exec.file.path == \"/${process.comm}\"", ["process.comm"]),
    ('exit.file.path == "/x"', ["exit.file.path"]), ("setuid.uid == 0", ["setuid.uid"]),
    ("capset.cap_effective == 0", []), ('rename.file.uid == 0 && rename.file.destination.path == "/x"', []),
    ("rename.file.destination.uid == 0", ["rename.file.destination.uid"]),
    ("mkdir.file.destination.rights == 0777", []), ("mkdir.file.rights == 0777", ["mkdir.file.rights"]),
    ('mount.fs_type == "x"', ["mount.fs_type"]), ('mount.syscall.fs_type == "x"', []),
    ("accept.addr.port == 7", []), ("accept.addr.ip == 1.2.3.4", ["accept.addr.ip"]),
    ('dns.question.name == "x.org" && dns.question.type == A', []), ("dns.response.code == NXDOMAIN", ["dns.response.code"]),
    ('imds.url == "/x" && imds.server == "y"', ["imds.server"]), ('sysctl.name == "x" && sysctl.old_value == "1"', []),
    ("connect.addr.ip == 1.2.3.4 && signal_is", None), ("signal.retval < 0", ["signal.retval"]),
])
def test_a_deny_goes_by_what_is_known_before_the_call(tmp_path: Path, expression: str, late: Optional[List[str]]) -> None:
    loaded = load(tmp_path, rule("x", expression, {"deny": {}}, {"log": {"level": "info"}}))
    if late is None:
        assert not loaded.rules
        return
    assert loaded.problems == []
    assert [kept.kind for kept in loaded.rules[0].actions] == ([] if late else ["deny"]) + ["log"]
    verb = "is" if len(late) == 1 else "are"
    assert [(idle.status, idle.reason) for idle in loaded.idle_actions] == (
        [("late", f"action deny: {', '.join(late)} {verb} known only when the call is over")] if late else [])


# Hashing real files

def file_at(path: Path) -> File:
    """A file as the tracer sees it."""
    file = File(USERS, str(path))
    about = os.stat(str(path))
    file.inode, file.device, file.mode = about.st_ino, about.st_dev, about.st_mode
    return file


def opening(file: File, pid: Optional[int] = None, seconds: float = 0) -> OpenEvent:
    """We, or `pid`, open a file."""
    record = process(os.getpid() if pid is None else pid)
    return OpenEvent(at(seconds), record, record.pid, 3, file, 0, 0, file.path)


def digests(data: bytes) -> List[str]:
    return [f"{name}:{hashlib.new(name, data).hexdigest()}" for name in ("sha1", "sha256", "md5")]


def test_the_hash_action_hashes_the_file_of_the_event(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"content")
    agent = Agent(load(tmp_path, rule("x", 'open.file.name == "f"', {"hash": {}}),
                       rule("y", 'open.file.name == "g"', {"hash": {"field": "process.file"}})))
    event = opening(file_at(tmp_path / "f"))
    agent.tell(event)
    assert (list(event.file.hashes), event.file.hash_state) == (digests(b"content"), "DONE")
    (tmp_path / "f").rename(tmp_path / "g")
    event = opening(file_at(tmp_path / "g"))
    event.process.file = file_at(Path(os.readlink("/proc/self/exe")))
    event.process.memo = "{}"
    agent.tell(event)
    assert event.file.hash_state == ""
    with open("/proc/self/exe", "rb") as file:
        data = file.read()
    wanted = ([], "FILE_TOO_BIG") if len(data) > 10 << 20 else (digests(data), "DONE")
    assert (list(event.process.file.hashes), event.process.file.hash_state) == wanted
    assert event.process.memo is None, "what was written of the process is out of date"


def test_a_program_is_hashed_by_its_process_when_its_file_is_gone(tmp_path: Path) -> None:
    program = tmp_path / "sleep"
    program.write_bytes(Path("/bin/sleep").resolve().read_bytes())
    program.chmod(0o755)
    running = subprocess.Popen([str(program), "60"])
    try:
        record = process(running.pid)
        record.file = file_at(program)
        program.unlink()
        child = process(99999999, record)
        agent = Agent(load(tmp_path, rule("x", "exec.pid > 0", {"hash": {}}),
                           rule("y", 'open.file.name == "z"', {"hash": {"field": "process.parent.file"}})))
        agent.tell(started(record))
        wanted = digests(Path("/bin/sleep").resolve().read_bytes())
        assert list(record.file.hashes) == wanted
        record.file.hashes, record.file.hash_state = (), ""
        agent.tell(OpenEvent(at(0), child, child.pid, 0, File(USERS, "/z"), 0, 0, "/z"))
        assert list(record.file.hashes) == wanted
    finally:
        running.kill()
        running.wait()


def test_a_file_of_a_process_that_has_ended_is_found_if_it_is_the_same(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"content")
    file = file_at(tmp_path / "f")
    event = opening(file, 99999999)
    assert list(Hasher().hashes(file, event)) == digests(b"content")
    unknown = File(USERS, str(tmp_path / "f"))
    assert Hasher().hashes(unknown, event) == () and unknown.hash_state == "FILE_NOT_FOUND"


def test_another_file_in_its_place_is_not_hashed(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"content")
    file = file_at(tmp_path / "f")
    (tmp_path / "g").write_bytes(b"innocent")
    (tmp_path / "g").rename(tmp_path / "f")
    assert Hasher().hashes(file, opening(file)) == () and file.hash_state == "FILE_NOT_FOUND"


def test_what_is_no_ordinary_file_is_not_opened(tmp_path: Path) -> None:
    os.mkfifo(str(tmp_path / "pipe"))
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "socket"))
        for path in (tmp_path / "pipe", tmp_path / "socket", tmp_path, Path("/dev/null")):
            file = file_at(path)
            assert Hasher().hashes(file, opening(file)) == () and file.hash_state == "FILE_NOT_FOUND"


@pytest.mark.parametrize("content, limit, state", [
    (b"", 10, "FILE_EMPTY"), (b"x" * 10, 10, "DONE"), (b"x" * 11, 10, "FILE_TOO_BIG")])
def test_sizes(tmp_path: Path, content: bytes, limit: int, state: str) -> None:
    (tmp_path / "f").write_bytes(content)
    file = file_at(tmp_path / "f")
    Hasher(limit).hashes(file, opening(file))
    assert file.hash_state == state
    assert bool(file.hashes) == (state == "DONE")


def test_the_action_sets_its_own_size_limit(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"x" * 100)
    agent = Agent(load(tmp_path, rule("a", 'open.file.name == "f"', {"hash": {"max_file_size": 99}}),
                       rule("b", 'open.file.name == "f" && open.flags == 64', {"hash": {"max_file_size": 100}})))
    event = opening(file_at(tmp_path / "f"))
    agent.tell(event)
    assert event.file.hash_state == "FILE_TOO_BIG"
    event.flags = 64
    agent.tell(event)
    assert event.file.hash_state == "DONE"


def test_there_is_a_limit_to_hashing_by_the_time_of_events(tmp_path: Path) -> None:
    hasher = Hasher(64 << 20)
    files = []
    for number in range(4):
        with open(str(tmp_path / str(number)), "wb") as sparse:
            sparse.truncate((60 << 20) + number)
        files.append(file_at(tmp_path / str(number)))
    for file in files[:3]:
        hasher.limited(61 << 20).hashes(file, opening(file))
    assert [file.hash_state for file in files[:3]] == ["DONE", "DONE", "HASH_WAS_RATE_LIMITED"]
    again = file_at(tmp_path / "0")
    hasher.hashes(again, opening(again))
    assert again.hashes == files[0].hashes, "what is known costs nothing"
    hasher.hashes(files[2], opening(files[2], seconds=1))
    assert files[2].hash_state == "HASH_WAS_RATE_LIMITED"
    hasher.hashes(files[2], opening(files[2], seconds=2))
    assert files[2].hash_state == "DONE"


def test_a_path_that_is_not_known_is_no_file(tmp_path: Path) -> None:
    file = File(USERS, "", "memfd:x")
    assert Hasher().hashes(file, opening(file)) == () and file.hash_state == "PATHNAME_RESOLUTION_ERROR"


def test_rules_read_hashes_which_are_computed_only_then(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"content")
    bad = digests(b"content")[1]
    agent = Agent(load(tmp_path, rule("known_bad", f'open.file.hashes == "{bad}" && open.flags == 0'),
                       rule("unread", f'open.file.hashes in ["{bad}"] && process.pid == 1'),
                       rule("of_ancestors", 'process.ancestors.file.hashes =~ "sha256:*" && open.flags == 2')))
    event = opening(file_at(tmp_path / "f"))
    event.flags = 1
    assert agent.tell(event) == [] and event.file.hash_state == ""
    event.flags = 0
    assert agent.tell(event) == ["known_bad"] and event.file.hash_state == "DONE"
    parent = process(99999999)
    parent.file = file_at(tmp_path / "f")
    event = opened("/x", process(100, parent))
    event.flags = 2
    assert agent.tell(event) == ["of_ancestors"]


def test_each_table_of_fields_has_a_hasher_of_its_own() -> None:
    assert field_table().names["hasher"] is not field_table().names["hasher"]


# Under trace

def test_actions_under_trace(tmp_path: Path) -> None:
    (tmp_path / "watched").write_bytes(b"content")
    policy = write_policy(tmp_path / "p.json", [
        rule("first", 'open.file.name == "watched" && !${process.seen}',
             setting("seen", value=True, scope="process"), {"hash": {}},
             {"log": {"level": "warning", "message": "${process.comm} reads"}}),
        rule("later", 'open.file.name == "watched" && ${process.seen}', {"log": {"level": "debug"}}),
        rule("quiet", 'open.file.name == "watched"', {"log": {"level": "error"}}, silent=True)])
    result = run_traced(["cat", "watched", "watched"], ["--policy", policy], cwd=str(tmp_path))
    assert (result.status, result.stdout) == (0, b"contentcontent")
    detections = [event for event in result.events if is_detection(event)]
    assert [event["agent"]["rule_id"] for event in detections] == ["first", "later"]
    assert detections[0]["file"]["hashes"] == digests(b"content") and detections[0]["file"]["hash_state"] == "DONE"
    assert "hashes" not in detections[1]["file"]
    assert detections[0]["evt"]["variables"]["process.seen"] is True
    lines = result.stderr.decode().splitlines()
    assert lines[0] == "ebpfless: warning: rule first: cat reads"
    assert lines[1].startswith("ebpfless: error: rule quiet: cat[") and lines[1].endswith("watched (O_RDONLY)")
    assert len(lines) == 3 and "rule quiet" in lines[2]


def test_the_record_of_a_hashed_program_shows_it(tmp_path: Path) -> None:
    policy = write_policy(tmp_path / "p.json", [rule("run", 'exec.file.name == "cat"', {"hash": {}})])
    output = tmp_path / "out"
    result = run(trace_command(["/bin/cat", "/dev/null"],
                               ["--policy", policy, "--format", "json", "--output", str(output)]))
    assert result.status == 0
    line, = output.read_text().splitlines()
    told = json.loads(line)
    wanted = digests(Path("/bin/cat").resolve().read_bytes())
    assert told["file"]["hashes"] == wanted and told["process"]["executable"]["hashes"] == wanted


@pytest.mark.parametrize("options", [[], ["--disable-stats"]])
def test_a_script_is_hashed_and_not_its_interpreter(tmp_path: Path, options: List[str]) -> None:
    # It ends when its detection is written: the digest is taken while it runs.
    script, told = tmp_path / "script", tmp_path / "told"
    script.write_bytes(b'#!/bin/sh\nuntil grep -q \'"rule_id":"run"\' told; do :; done\nexit 3\n')
    script.chmod(0o755)
    policy = write_policy(tmp_path / "p.json", [rule("run", 'exec.file.path == "%s"' % script, {"hash": {}})])
    result = run_traced([str(script)], ["--policy", policy, "--output", str(told)] + options, cwd=str(tmp_path))
    assert result.status == 3
    found, = [event for event in result.events if is_detection(event)]
    assert found["process"]["executable"]["hashes"] == digests(script.read_bytes())


@pytest.mark.parametrize("options", [[], ["--disable-stats"]])
def test_a_program_is_refused_by_its_digest(tmp_path: Path, options: List[str]) -> None:
    """Before the call, /proc/PID/exe is still the caller."""
    (tmp_path / "tool").write_bytes(Path("/bin/echo").resolve().read_bytes())
    (tmp_path / "other").write_bytes(Path("/bin/sleep").resolve().read_bytes())
    for name in ("tool", "other"):
        (tmp_path / name).chmod(0o755)
    wanted = digests((tmp_path / "tool").read_bytes())[1]
    policy = write_policy(tmp_path / "p.json", [
        rule("no", 'exec.file.hashes == "%s" && exec.file.path =~ "%s/*"' % (wanted, tmp_path), {"deny": {"errno": "EACCES"}})])
    result = run_traced(["sh", "-c", "./tool; echo $?; ./other 0; echo $?"], ["--policy", policy] + options,
                        cwd=str(tmp_path))
    assert result.stdout == b"126\n0\n"
