"""The configuration as a user meets it: files, variables, flags, what is in effect, and what is wrong."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Dict, List

import pytest

from blackbox import REPOSITORY, Result, ebpfless, environment, is_detection, read_events, rule, run, write_policy
from ebpfless_arch.agent import config, settings
from ebpfless_arch.agent.options import UsageError

SOCKET = "runtime_security_config.ebpfless.socket"


def write(path: Path, text: str) -> str:
    path.write_text(text)
    return str(path)


def effective(*arguments: str, **variables: str) -> List[str]:
    result = run(ebpfless("config", *arguments), env=environment(**variables))
    assert (result.status, result.stderr) == (0, b"")
    return result.stdout.decode().splitlines()


def complaint(*arguments: str, **variables: str) -> str:
    result = run(ebpfless(*arguments), env=environment(**variables))
    assert (result.status, result.stdout, len(result.stderr.splitlines())) == (2, b"", 1), result
    return result.stderr.decode()


def test_grep_finds_the_two_lines_that_the_guide_shows() -> None:
    result = subprocess.run(["sh", "-c", '"$0" -m ebpfless config | grep -A 1 ebpfless', sys.executable],
                            stdout=subprocess.PIPE, env=environment(), cwd=str(REPOSITORY))
    assert result.stdout == b"  ebpfless:\n    enabled: true\n"


def test_a_variable_of_datadogs_moves_the_port() -> None:
    lines = effective(DD_RUNTIME_SECURITY_CONFIG_EBPFLESS_SOCKET="localhost:9797")
    assert "    socket: localhost:9797" in lines


def test_flags_come_before_the_environment_the_environment_before_the_file_the_file_before_defaults(tmp_path: Path) -> None:
    path = write(tmp_path / "e.ini", "[runtime_security_config.ebpfless]\nsocket = a:1\n[trace]\nuid = 7\nformat = json\n")
    variables = {"EBPFLESS_TRACE_UID": "11"}
    found = config.load(path, {"trace.format": "text"}, variables)
    told = {key: tuple(found.values[key]) for key in (SOCKET, "trace.uid", "trace.format", "trace.gid")}
    assert told == {SOCKET: ("a:1", path + " [runtime_security_config.ebpfless]"), "trace.uid": (11, "EBPFLESS_TRACE_UID"),
                    "trace.format": ("text", "--format"), "trace.gid": (None, "default")}


def test_our_own_variable_comes_before_datadogs() -> None:
    both = {"EBPFLESS_RUNTIME_SECURITY_CONFIG_EBPFLESS_SOCKET": "a:1", "DD_RUNTIME_SECURITY_CONFIG_EBPFLESS_SOCKET": "b:2"}
    assert config.load("", {}, both)[SOCKET] == "a:1"


def test_origins_are_told(tmp_path: Path) -> None:
    path = write(tmp_path / "e.ini", "[trace]\nevents = yes\n")
    lines = effective("--origin", "--config", path, DD_CWS_INSTRUMENTATION_STATS_DISABLED="true")
    lines = lines[lines.index("trace:"):lines.index("probe:")]
    told = dict(line.split(":", 1) for line in (line.strip() for line in lines) if "#" in line)
    assert told["events"].split() == ["true", "#", path, "[trace]"]
    assert told["disable_stats"].split() == ["true", "#", "DD_CWS_INSTRUMENTATION_STATS_DISABLED"]
    assert told["wait_all"].split() == ["false", "#", "default"]


SAMPLE: Dict[str, Any] = {"runtime_security_config": {"enabled": False, "ebpfless": {"socket": "[::1]:5679"},
                                                      "policies": {"dir": ["/a", "/b c"]}},
                          "trace": {"uid": 13, "proc_scan_rate": "1m30s"}}
SAMPLE_INI = """
# the same as INI
[runtime_security_config]
enabled = no
[runtime_security_config.ebpfless]
socket = [::1]:5679
[runtime_security_config.policies]
dir = /a,
  /b c
[trace]
; how
uid=13
proc_scan_rate = 1m30s
"""


def test_json_and_ini_say_the_same(tmp_path: Path) -> None:
    ini, as_json = write(tmp_path / "e.ini", SAMPLE_INI), write(tmp_path / "e.json", "\n" + json.dumps(SAMPLE))
    found = [{key: value.value for key, value in config.load(path, {}, {}).values.items()} for path in (ini, as_json)]
    assert found[0] == found[1]
    assert found[0]["runtime_security_config.policies.dir"] == ["/a", "/b c"]
    assert (found[0]["trace.proc_scan_rate"], found[0]["trace.uid"], found[0][SOCKET]) == (90.0, 13, "[::1]:5679")
    assert not config.load(ini, {}, {}).enabled


WRONG_FILES = {
    "[trace]\nfromat = json\n": ["[trace] fromat", "unknown key", "trace.format"],
    "[tarce]\nformat = json\n": ["[tarce] format", "trace.format"],
    "[trace]\nformat = yaml\n": ["[trace] format", "'yaml'", "text, json"],
    "[trace]\nuid = root\n": ["[trace] uid", "'root'", "numeric"],
    "[trace]\nevents = maybe\n": ["[trace] events", "'maybe'", "true or false"],
    "[trace]\nproc_scan_rate = 5 parsecs\n": ["proc_scan_rate", "duration"],
    "[runtime_security_config.ebpfless]\nsocket = localhost\n": ["socket", "'localhost'", "HOST:PORT"],
    "[runtime_security_config.ebpfless]\nsocket = localhost:70000\n": ["socket", "'localhost:70000'", "HOST:PORT"],
    "format = json\n": ["line 1", "[section]"],
    "[trace]\nformat\n": ["line 2", "key = value"],
    "[trace]\nuid = 1\nuid = 2\n": ["line 3", "uid", "already"],
    "[trace]\n[trace]\n": ["line 2", "[trace]", "already"],
    '{"trace": {"uid": "7"}}': ["trace.uid", '"7"', "numeric"],
    '{"trace": {"uid": true}}': ["trace.uid", "true", "numeric"],
    '{"trace": {"events": "yes"}}': ["trace.events", '"yes"', "true or false"],
    '{"trace": {"output": [1]}}': ["trace.output", "[1]", "words"],
    '{"trace": {"format": ["text"]}}': ["trace.format", '["text"]'],
    '{"trace": {"format": "yaml"}}': ["trace.format", "'yaml'", "text, json"],
    '{"trace": 7}': ["trace: 7 is no object with settings"],
    '{"trace": "x"}': ['trace: "x" is no object with settings'],
    '{"tarce": {}}': ["tarce: unknown key"],
    "[tarce]\n": ["[tarce]: unknown section; did you mean trace?"],
    "[1]": ["[1]: unknown section"],
    '{"trace": {"uid": 7, "uid": 8}}': ["'uid' is set twice"],
    '{"trace": ': ["not valid JSON", "line 1"],
    "{" * 100000: ["not valid JSON"],
    "{}[": ["not valid JSON"],
}


@pytest.mark.parametrize("text", list(WRONG_FILES), ids=lambda text: repr(text[:40]))
def test_a_wrong_file_is_one_clear_line(text: str, tmp_path: Path) -> None:
    path = write(tmp_path / "e.ini", text)
    with pytest.raises(UsageError) as raised:
        config.load(path, {}, {})
    line = str(raised.value)
    assert line.startswith(path + ": ") and "\n" not in line
    assert all(word in line for word in WRONG_FILES[text]), line


@pytest.mark.parametrize("command", ["config", "trace"])
def test_a_file_that_cannot_be_used_ends_with_2(command: str, tmp_path: Path) -> None:
    rest = ["--", "touch", str(tmp_path / "ran")] if command == "trace" else []
    missing, folder = str(tmp_path / "none.ini"), str(tmp_path)
    binary = tmp_path / "binary"
    binary.write_bytes(b"[trace]\nformat = \xff\n")
    assert "no such" in complaint(command, "--config", missing, *rest)
    assert "Is a directory" in complaint(command, "--config", folder, *rest)
    assert "byte 17 is not UTF-8" in complaint(command, "--config", str(binary), *rest)
    assert missing in complaint(command, *rest, EBPFLESS_CONFIG=missing)
    assert "EBPFLESS_TRACE_UID: 'x' is not a numeric id" in complaint(command, *rest, EBPFLESS_TRACE_UID="x")
    assert not (tmp_path / "ran").exists()


def test_a_stray_variable_is_told_and_no_obstacle() -> None:
    result = run(ebpfless("config"), env=environment(EBPFLESS_TRACE_FORMT="json"))
    assert result.status == 0
    assert result.stderr == b"ebpfless config: EBPFLESS_TRACE_FORMT: no such setting; did you mean EBPFLESS_TRACE_FORMAT?\n"



@pytest.mark.parametrize("kind,text,value", [
    ("duration", "500ms", 0.5), ("duration", "1m30s", 90.0), ("duration", "1.5h", 5400.0), ("size", "64KiB", 65536),
    ("size", "16 MB", 16 * 10 ** 6), ("size", "7", 7), ("bool", "On", True), ("address", "unix:/run/x", "unix:/run/x"),
    ("address", "none", "none"), ("address", "", "none"), ("words", "a, b\nc,,", ["a", "b", "c"]), ("id", "0", 0),
    ("id", "-1", None)])
def test_values(kind: str, text: str, value: Any) -> None:
    found = settings.read(settings.Setting("x", kind, "", ""), text)
    assert found == value and isinstance(found, type(value))


@pytest.mark.parametrize("kind,text", [
    ("duration", "5"), ("duration", "s"), ("duration", "-1s"), ("duration", "1.2.3s"), ("size", "KiB"), ("size", "1.5MB"),
    ("size", "1Kb2"), ("address", ":5678"), ("address", "::1:5678"), ("address", "host:0"), ("address", "unix:x"),
    ("id", "4294967295"), ("id", "-2"), ("bool", "2"), ("number", "1e3")])
def test_values_that_are_none(kind: str, text: str) -> None:
    with pytest.raises(ValueError):
        settings.read(settings.Setting("x", kind, "", ""), text)


@pytest.mark.parametrize("text", ["16MiB", "3GiB", "64KiB", "1000", "1025", "0"])
def test_sizes_are_shown_as_one_writes_them(text: str) -> None:
    assert "  spool: " + text in config.lines(config.load("", {"trace.spool": config.load("", {}, {
        "EBPFLESS_TRACE_SPOOL": text})["trace.spool"]}, {}))


def test_what_is_shown_can_be_read() -> None:
    shown = [line.strip().partition(": ")[2] for line in config.lines(config.load("", {}, {})) if ": " in line]
    assert "32MiB" in shown and "0" in shown and "512MiB" in shown and "500ms" in shown


def test_sections_may_be_empty(tmp_path: Path) -> None:
    for text in ("[trace]\n[runtime_security_config]\n", '{"trace": {}, "runtime_security_config": {"ebpfless": {}}}', "{}", ""):
        config.load(write(tmp_path / "e.ini", text), {}, {})


def test_every_default_is_a_value_of_its_kind() -> None:
    for setting in settings.SETTINGS:
        settings.read(setting, setting.default)


def test_trace_takes_its_settings_from_the_file(tmp_path: Path) -> None:
    output = str(tmp_path / "out")
    policy = write_policy(tmp_path / "p.json", [rule("seen", 'exec.file.name == "true"')])
    path = write(tmp_path / "e.ini", "[runtime_security_config.policies]\ndir = %s\n[trace]\nformat = json\noutput = %s\n"
                 % (policy, output))
    assert run(ebpfless("trace", "--config", path, "--", "true"))[:3] == (0, b"", b"")
    assert [event["agent"]["rule_id"] for event in read_events(output) if is_detection(event)] == ["seen"]


@pytest.mark.parametrize("variable", ["DD_RUNTIME_SECURITY_CONFIG_ENABLED", "DD_RUNTIME_SECURITY_CONFIG_EBPFLESS_ENABLED"])
def test_what_is_switched_off_runs_its_command_untraced(variable: str) -> None:
    shown = "grep TracerPid /proc/self/status; kill -TERM $$"
    traced = run(ebpfless("trace", "--", "sh", "-c", shown))
    native = run(["sh", "-c", shown])
    off = run(ebpfless("trace", "--", "sh", "-c", shown), env=environment(**{variable: "false"}))
    assert traced.status == off.status == -15
    assert traced.stdout != native.stdout == off.stdout == b"TracerPid:\t0\n"
    key = variable[3:].lower().replace("config_", "config.").replace("ebpfless_", "ebpfless.")
    assert off.stderr == ("ebpfless: nothing is traced: %s is false (%s)\n" % (key, variable)).encode()
    attached = run(ebpfless("trace", "--pid", str(os.getpid())), env=environment(**{variable: "false"}))
    assert attached == (0, b"", off.stderr, [])


@pytest.mark.once
def test_the_pages_made_from_tables_are_current() -> None:
    result = run([sys.executable, os.path.join(str(REPOSITORY), "scripts", "reference"), "--check"])
    assert Result(0, b"", b"", []) == result, result.stdout.decode()
