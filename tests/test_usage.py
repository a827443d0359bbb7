"""Help and wrong usage: what a command line that cannot be understood is answered with."""

import json
import os
import sys
from pathlib import Path
from typing import List, Optional, Tuple

import pytest

import ebpfless as door
from blackbox import FOLDER, ebpfless, environment, run

# Runs command lines one after the other in one Python, and tells status, standard output and standard error of each.
SERIES = """
import contextlib, io, json, sys
import ebpfless

told = []
for words in json.load(sys.stdin):
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            status = ebpfless.main(words)
        except SystemExit as end:
            status = end.code
    told.append([status, out.getvalue(), err.getvalue()])
json.dump(told, sys.stdout)
"""


def series(command_lines: List[List[str]], **changes: str) -> List[Tuple[int, str, str]]:
    """What each of them leaves: status, standard output, standard error."""
    result = run([sys.executable, "-c", SERIES], json.dumps(command_lines).encode(), env=environment(COLUMNS="80", **changes),
                 cwd=FOLDER)
    assert result.status == 0, result
    return [(status, out, err) for status, out, err in json.loads(result.stdout.decode())]


# --- help ---------------------------------------------------------------------------


def test_help_of_every_command_fits_the_screen_and_begins_with_an_example_and_usage() -> None:
    names = [command.name for command in door.COMMANDS]
    found = series([[name, "--help"] for name in names] + [["help", name] for name in names])
    assert found[:len(names)] == found[len(names):]
    for command, (status, text, complaint) in zip(door.COMMANDS, found):
        assert (status, complaint) == (0, ""), command.name
        lines = text.splitlines()
        assert lines[0] == "Example: " + command.example and max(map(len, lines)) <= 80, command.name
        assert lines[1].startswith("Usage:   ebpfless " + command.name), command.name
        for names_of_option, _ in command.options:
            assert any(line.startswith("  " + names_of_option[0]) for line in lines), names_of_option


def test_help_of_trace_tells_how_to_attach_and_what_its_statuses_mean() -> None:
    ((_, text, _),) = series([["trace", "--help"]])
    assert text.splitlines()[1:4] == ["Usage:   ebpfless trace [OPTIONS] -- COMMAND [ARG...]",
                                      "         ebpfless trace [OPTIONS] --pid PID[,PID...]",
                                      "         ebpfless trace [OPTIONS] --follow NAME|EXE|UNIT"]
    assert "\n  ebpfless trace --pid 17,19 " in text
    for status in ("125 ebpfless itself failed", "126 not\nexecutable", "127 not found", "2 wrong usage"):
        assert status in text, status


def test_the_overview_names_every_command() -> None:
    plain, asked, short, long = series([[], ["help"], ["-h"], ["--help"]])
    assert plain == (2, "", asked[1]) and asked == short == long and asked[0] == 0
    for command in door.COMMANDS:
        assert "\n  %-10s %s\n" % (command.name, command.summary) in asked[1]


# --- wrong usage --------------------------------------------------------------------

HELP = "; see 'ebpfless %s --help'"
MISSING = "its value is missing (if that begins with a hyphen: %s=VALUE)"

WRONG: List[Tuple[List[str], str]] = [
    # commands
    (["foo"], "foo: unknown command; see 'ebpfless --help'"),
    (["trac", "--", "ls"], "trac: unknown command; did you mean trace?; see 'ebpfless --help'"),
    (["help", "chek"], "chek: unknown command; did you mean check?; see 'ebpfless --help'"),
    ([""], "'': unknown command; see 'ebpfless --help'"),
    (["--config", "x", "trace"], "--config: the command comes first, then its options: 'ebpfless trace [OPTIONS] -- COMMAND'"),
    (["--version", "x"], "version: 'x' is too much" + HELP % "version"),
    (["doctor", "x"], "doctor: 'x' is too much" + HELP % "doctor"),
    # options
    (["trace", "--evnts", "--", "true"], "trace: unknown option --evnts; did you mean --events?" + HELP % "trace"),
    (["trace", "--events=maybe", "--", "true"], "trace: argument --events: 'maybe' is not true or false" + HELP % "trace"),
    (["trace", "--output", "--", "true"], "trace: argument --output: " + MISSING % "--output" + HELP % "trace"),
    (["trace", "--output", "", "--", "true"], "trace: argument --output: it is empty" + HELP % "trace"),
    (["check", "--cases"], "check: argument --cases: " + MISSING % "--cases" + HELP % "check"),
    # what is to be traced
    (["trace"], "trace: no command; say 'ebpfless trace -- COMMAND [ARG...]', or --pid PID for one that runs"),
    (["trace", "--pid", "1", "ls"],
     "trace: --pid and --follow are for programs that somebody else starts, 'ls' is a command; say one of them"),
    (["trace", "--pid", "nginx"], "trace: argument --pid: 'nginx' is no process id; `pidof NAME` prints them" + HELP % "trace"),
    (["trace", "--follow", ""], "trace: argument --follow: it is empty" + HELP % "trace"),
    # others
    (["probe", "x"], "probe: 'x' is too much" + HELP % "probe"),
    (["check"], "check: no policy; say 'ebpfless check POLICY...'"),
    (["completion"], "completion: say which shell: bash, fish, zsh"),
    (["patch", "ecs"], "patch: say what and which file: 'ebpfless patch ecs task-definition.json'"),
    (["patch", "k8s"], "patch: say what and which file: 'ebpfless patch k8s pod.json'"),
    (["patch", "rkt", "x", "y"], "patch: say what and which file: 'ebpfless patch ecs task-definition.json'"),
    (["patch", "--from", "", "k8s", "x"], "patch: argument --from: it is empty" + HELP % "patch"),
    (["patch", "--python", " ", "k8s", "x"], "patch: argument --python: it is empty" + HELP % "patch"),
    (["patch", "--python", "[]", "k8s", "x"], "patch: argument --python: it names no program" + HELP % "patch"),
    (["patch", "--options", "--events", "docker", "x"], "patch: argument --options: " + MISSING % "--options" + HELP % "patch"),
    (["patch", "--options", "--policy 'x", "docker", "x"],
     "patch: argument --options: cannot be split into words: No closing quotation" + HELP % "patch"),
    (["patch", "--options", "--uid 7 --evnts", "docker", "x"],
     "patch: --options: unknown option --evnts; did you mean --events?" + HELP % "trace"),
    (["patch", "--options", "--events ls -l", "docker", "x"],
     "patch: --options: the command is the container's own, so there is no place for 'ls'"),
    (["patch", "--options", "--pid 7", "docker", "x"],
     "patch: --options: the command is the container's own, so there is no place for --pid, --follow and --attach-level"),
    (["patch", "--options=--attach-level=process", "docker", "x"],
     "patch: --options: the command is the container's own, so there is no place for --pid, --follow and --attach-level"),
]


def test_wrong_usage_is_one_line_and_status_2() -> None:
    for (words, complaint), found in zip(WRONG, series([words for words, _ in WRONG])):
        assert found == (2, "", "ebpfless %s\n" % complaint), words


def test_options_for_a_command_are_refused_beside_pids() -> None:
    """0 is a user, too."""
    result = run(ebpfless("trace", "--uid", "0", "--pid", str(os.getpid())))
    assert result[:3] == (2, b"", b"ebpfless trace: --uid is for a COMMAND, and --pid is for programs that run already\n")


@pytest.mark.parametrize("uid, gid, told", [(7, None, "uid 7"), (None, 7, "gid 7"), (7, 11, "uid 7, gid 11")])
def test_who_may_not_change_identity_is_told_which(uid: Optional[int], gid: Optional[int], told: str) -> None:
    code = ("import os; from ebpfless_arch.kernel import process\n"
            "if os.geteuid() == 0: os.setgroups([]); os.setresgid(99, 99, 99); os.setresuid(99, 99, 99)\n"
            "try: process.change_identity(%r, %r)\n"
            "except OSError as error: print(error.strerror)" % (uid, gid))
    result = run([sys.executable, "-c", code], cwd=FOLDER)
    assert result.stdout.decode() == "changing to %s: Operation not permitted; --uid and --gid need root\n" % told, result


def test_a_program_whose_interpreter_is_missing_is_told_from_one_that_is(tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_text("#!/no/such/interpreter\n")
    script.chmod(0o755)
    result = run(ebpfless("trace", "--probe-addr", "none", "--", str(script)))
    assert result[:3] == (127, b"", ("ebpfless: cannot run '%s': No such file or directory; the interpreter or loader that it "
                                     "names is missing\n" % script).encode())


@pytest.mark.parametrize("words", ["--help", "trace --help", "completion fish"])
def test_a_result_that_cannot_be_written_is_one_line(words: str) -> None:
    """Standard output that is full; one that is closed is nobody's wish."""
    name = "" if words.startswith("-") else words.split()[0] + ": "
    for buffered in ("", "1"):
        result = run(["sh", "-c", '"$@" >/dev/full', "sh"] + ebpfless(*words.split()), env=environment(PYTHONUNBUFFERED=buffered))
        assert result[:3] == (2, b"", ("ebpfless %scannot write the result: No space left on device\n" % name).encode())
    assert run(["sh", "-c", '"$@" >&-', "sh"] + ebpfless(*words.split()))[:3] == (0, b"", b"")
