"""The command line of `trace`: wrong usage, exit statuses, outputs."""

import json
import os
import signal
import subprocess
from pathlib import Path
from typing import List

import pytest

from blackbox import (Compiler, Result, ebpfless, environment, file_path, is_detection, named, read_events, retval, rule,
                      run, run_traced, trace_command, write_policy)
from terminal import Terminal

WRONG_USAGE, OWN_FAILURE, NOT_EXECUTABLE, NOT_FOUND = 2, 125, 126, 127


def check_complaint(result: Result, status: int, *words: str) -> None:
    """One clear line on stderr that contains all words, nothing on stdout."""
    text = result.stderr.decode()
    assert "Traceback" not in text
    assert (result.status, result.stdout) == (status, b""), text
    assert len(text.splitlines()) == 1, text
    assert all(word in text for word in words), text


@pytest.mark.parametrize("arguments", [["trace"], ["trace", "--"], ["trace", "--events"]])
def test_no_command(arguments: List[str]) -> None:
    check_complaint(run(ebpfless(*arguments)), WRONG_USAGE, "COMMAND")


@pytest.mark.parametrize("command", ["/nonexistent/program", "no-such-command-anywhere", "./relative-missing"])
def test_a_missing_command(command: str) -> None:
    check_complaint(run(trace_command([command])), NOT_FOUND, command)


@pytest.mark.parametrize("name", ["folder", "plain"])
def test_a_command_that_cannot_be_executed(name: str, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "plain").write_text("exit 0")
    check_complaint(run(trace_command([str(tmp_path / name)])), NOT_EXECUTABLE, str(tmp_path / name))
    check_complaint(run(trace_command(["./" + name]), cwd=str(tmp_path)), NOT_EXECUTABLE, "./" + name)


def test_a_script_without_a_first_line_runs_in_the_shell_as_usual(tmp_path: Path) -> None:
    (tmp_path / "script").write_text("echo \"$1\"; exit 4\n")
    (tmp_path / "script").chmod(0o755)
    native = run(["env", str(tmp_path / "script"), "word"])
    assert native[:2] == (4, b"word\n")
    assert run(trace_command([str(tmp_path / "script"), "word"])) == native


@pytest.mark.parametrize("option,suggestion", [
    ("--ouput=x", "--output"), ("--event", "--events"), ("--polcy=x", "--policy"), ("--disable-secomp", "--disable-seccomp")])
def test_an_unknown_option_gets_a_suggestion(option: str, suggestion: str) -> None:
    check_complaint(run(trace_command(["echo", "ran"], [option])), WRONG_USAGE, option.split("=")[0], suggestion)


@pytest.mark.parametrize("words,status,line", [
    ("--debug", 0, " stops, "), ("--verbose=true", 0, " stops, "), ("--verbose=T", 0, " stops, "), ("--verbose=false", 0, ""),
    ("--verbose=false --verbose", 0, " stops, "), ("--verbose --verbose=0", 0, ""), ("--debug=false", 0, ""),
    ("--verbose --async=true --disable-stats=true --disable-proc-scan=true --disable-seccomp=false --wait-all=false "
     "--pid-per-tracer 5 --uid=-1 --gid=-1 --uid -1 --gid -1", 0, " stops, "),
    ("--verbose=maybe", 2, "argument --verbose: 'maybe' is not true or false"),
    ("--uid=-2", 2, "'-2' is not a numeric id (-1: unchanged)"), ("--pid-per-tracer x", 2, "'x' is not a whole number")])
def test_options_of_units_written_for_others(words: str, status: int, line: str) -> None:
    result = run(trace_command(["true"], words.split()))
    assert result[:2] == (status, b"") and result.stderr.count(b"\n") == bool(line), result
    assert line in result.stderr.decode()


def test_an_unknown_subcommand_gets_a_suggestion() -> None:
    check_complaint(run(ebpfless("trase", "--", "true")), WRONG_USAGE, "trase", "trace")


@pytest.mark.parametrize("options,word", [
    (["--format", "xml"], "xml"), (["--uid", "root"], "root"), (["--gid", "x1"], "x1"), (["--pid", "first"], "first"),
    (["--output"], "--output"), (["--wait-probe", "soon"], "soon"), (["--proc-scan-rate", "often"], "often")])
def test_a_wrong_value_of_an_option(options: List[str], word: str) -> None:
    check_complaint(run(ebpfless("trace", *options)), WRONG_USAGE, word)


def test_an_output_that_cannot_be_written(tmp_path: Path) -> None:
    path = str(tmp_path / "missing" / "file")
    result = run(trace_command(["echo", "ran"], ["--output", path]))
    check_complaint(result, result.status, path)
    assert result.status in (WRONG_USAGE, OWN_FAILURE)


@pytest.mark.parametrize("content,words", [
    (None, []), ("{", [":1:2:"]), ("[]", []), ('{"version": "1", "rules": 3}', ["rules"]), ("\x00\x01", [])])
def test_a_policy_that_is_none(content: object, words: List[str], tmp_path: Path) -> None:
    path = tmp_path / "policy.json"
    if content is not None:
        path.write_text(str(content))
    result = run(trace_command(["echo", "ran"], ["--policy", str(path)]))
    check_complaint(result, WRONG_USAGE, str(path), *words)


def test_a_directory_without_policies(tmp_path: Path) -> None:
    result = run(trace_command(["echo", "ran"], ["--policy", str(tmp_path)]))
    check_complaint(result, WRONG_USAGE, str(tmp_path))


def test_a_broken_rule_is_reported_and_the_others_live_on(tmp_path: Path) -> None:
    policy = write_policy(tmp_path / "policy.json", [
        rule("good_one", 'open.file.name == "watched"'), rule("broken_one", 'open.file.path == == "x"'),
        rule("unknown_field", 'open.file.pth == "x"')])
    (tmp_path / "watched").write_text("content")
    output = tmp_path / "detections"
    command = trace_command(["cat", "watched"], ["--policy", policy, "--format", "json", "--output", str(output)])
    result = run(command, cwd=str(tmp_path))
    assert (result.status, result.stdout) == (0, b"content")
    text = result.stderr.decode()
    assert "Traceback" not in text
    (broken,) = [line for line in text.splitlines() if "broken_one" in line]
    (unknown,) = [line for line in text.splitlines() if "unknown_field" in line]
    for line in (broken, unknown):
        assert policy in line
    assert ":19:" in broken  # the column of the second ==
    assert "open.file.path" in unknown  # the suggestion
    assert [event["agent"]["rule_id"] for event in read_events(str(output))] == ["good_one"]


def test_a_policy_without_a_valid_rule(tmp_path: Path) -> None:
    policy = write_policy(tmp_path / "policy.json", [rule("broken_one", "open.file.path ==")])
    result = run(trace_command(["echo", "ran"], ["--policy", policy]))
    assert (result.status, result.stdout) == (WRONG_USAGE, b"")
    assert b"broken_one" in result.stderr and b"Traceback" not in result.stderr
    assert policy.encode() in result.stderr.splitlines()[-1]


def test_where_ptrace_is_forbidden_one_line_says_so(compile_c: Compiler) -> None:
    result = run([compile_c("without_ptrace.c")] + trace_command(["echo", "ran"]))
    check_complaint(result, OWN_FAILURE, "ptrace")


def test_options_after_the_command_are_the_command_s() -> None:
    command = ebpfless("trace", "--probe-addr", "none", "echo", "--events", "--format", "--", "x")
    assert run(command)[:3] == (0, b"--events --format -- x\n", b"")


def test_a_silent_command_is_silent_with_the_built_in_policy() -> None:
    assert run(ebpfless("trace", "--", "true"))[:3] == (0, b"", b"")


@pytest.fixture
def policy(tmp_path: Path) -> str:
    """A policy whose one rule matches an open of any file named "watched"; creates such a file."""
    (tmp_path / "watched").write_text("content")
    return write_policy(tmp_path / "policy.json", [rule("watched_file", 'open.file.name == "watched"')])


def test_text_tells_what_who_and_whose_child(policy: str, tmp_path: Path) -> None:
    command = ["sh", "-c", "cat watched; true"]
    result = run(trace_command(command, ["--policy", policy]), cwd=str(tmp_path))
    assert (result.status, result.stdout) == (0, b"content")
    (line,) = result.stderr.decode().splitlines()
    for word in ("watched_file", "HIGH", str(tmp_path / "watched"), "cat[", "sh["):
        assert word in line
    assert line.index("cat[") < line.index("sh[") < line.index("python")
    assert "\x1b" not in line


def test_colours_on_a_terminal_only_unless_unwanted(policy: str, tmp_path: Path) -> None:
    command = trace_command(["cat", "watched"], ["--policy", policy])
    for environ, coloured in [(environment(TERM="xterm"), True), (environment(TERM="xterm", NO_COLOR="1"), False),
                              (environment(TERM="dumb"), False)]:
        with Terminal(command, cwd=str(tmp_path), env=environ) as terminal:
            assert terminal.finish() == 0
            assert b"watched_file" in terminal.output
            assert (b"\x1b[" in terminal.output) == coloured


@pytest.mark.parametrize("form", ["text", "json"])
def test_output_moves_detections_off_stderr(form: str, policy: str, tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    options = ["--policy", policy, "--format", form, "--output", str(first), "--output", str(second)]
    result = run(trace_command(["sh", "-c", "cat watched; echo own >&2"], options), cwd=str(tmp_path))
    assert result[:3] == (0, b"content", b"own\n")
    assert first.read_bytes() == second.read_bytes()
    assert first.read_bytes().count(b"\n") == 1 and b"watched_file" in first.read_bytes()
    assert b"\x1b" not in first.read_bytes()


def test_a_dash_is_stderr(policy: str, tmp_path: Path) -> None:
    options = ["--policy", policy, "--format", "json", "--output", "-"]
    result = run(trace_command(["cat", "watched"], options), cwd=str(tmp_path))
    (line,) = result.stderr.splitlines()
    assert json.loads(line.decode())["agent"]["rule_id"] == "watched_file"


def test_a_detection_in_full(policy: str, tmp_path: Path) -> None:
    result = run_traced(["sh", "-c", "cat watched; true"], ["--policy", policy], cwd=str(tmp_path))
    (event,) = [event for event in result.events if is_detection(event)]
    assert event["agent"]["rule_id"] == "watched_file"
    assert event["agent"]["origin"] == "ebpfless" and event["agent"]["os"] == "linux"
    assert event["agent"]["kernel_version"] == os.uname().release
    assert {"severity:high", "tactic:TA0006-credential-access",
            "technique:T1003-os-credential-dumping"} <= set(event["tags"])
    assert event["title"] and event["date"]
    assert (event["evt"]["name"], event["evt"]["outcome"]) == ("open", "Success")
    assert file_path(event) == str(tmp_path / "watched")
    assert event["process"]["executable"]["name"] == "cat"
    assert event["process"]["ancestors"]
    plain = [event for event in named(result.events, "open") if event["file"]["name"] == "watched"]
    assert len(plain) == 1


def test_the_events_of_a_command(tmp_path: Path) -> None:
    (tmp_path / "script").write_text("exit 3\n")
    result = run_traced(["sh", str(tmp_path / "script")])
    assert result[:3] == (3, b"", b"")
    (first,) = named(result.events, "exec")
    (last,) = named(result.events, "exit")
    assert (retval(first), first["evt"]["outcome"]) == (0, "Success")
    process = first["process"]
    assert (process["argv0"], process["args"]) == ("sh", [str(tmp_path / "script")])
    assert (process["uid"], process["gid"], process["tid"]) == (os.getuid(), os.getgid(), process["pid"])
    assert process["comm"] == "sh" and "PATH" in process["envs"]
    assert process["executable"]["inode"] == os.stat("/bin/sh").st_ino
    assert last["exit"] == {"cause": "EXITED", "code": 3}
    assert last is result.events[-1]
    assert {event["evt"]["category"] for event in (first, last)} == {"Process Activity"}


@pytest.mark.parametrize("words", ["config", "completion zsh"])
def test_a_reader_that_has_seen_enough_is_no_error(words: str) -> None:
    """As with `ebpfless config | head -1`: the pipe has no reader any more, and that ends it as it ends any program."""
    reader, writer = os.pipe()
    os.close(reader)
    try:
        process = subprocess.Popen(ebpfless(*words.split()), stdout=writer, stderr=subprocess.PIPE, env=environment())
    finally:
        os.close(writer)
    assert (process.communicate()[1], process.returncode) == (b"", -signal.SIGPIPE)
