"""Strings in the program's memory: long, odd, at the edge of a mapping or nowhere, and what of them is reported."""

import os
import sys
from pathlib import Path
from typing import List

import pytest

from blackbox import (Compiler, Event, environment, event_options, execs_of, file_path, named, opens_below, retval,
                      rule, run, run_traced, trace_command, write_policy)

EFAULT, ENAMETOOLONG, ENOENT = -14, -36, -2
SECRET = "correct-horse-battery-staple"


def nested_file(folder: Path, length: int) -> str:
    """Creates a file whose absolute path has `length` bytes, below directories with long names."""
    path = str(folder)
    while length - len(path) > 300:
        path += "/" + "d" * 200
    left = length - len(path) - 2
    path += "/" + "d" * (left // 2)
    os.makedirs(path)
    path += "/" + "f" * (length - len(path) - 1)
    with open(path, "w"):
        return path


def path_bytes(event: Event) -> bytes:
    """The path of an event's file as the kernel knows it."""
    return file_path(event).encode("utf-8", "surrogateescape")


def test_paths_that_are_hard_to_read(compile_c: Compiler, tmp_path: Path) -> None:
    folder = os.fsencode(str(tmp_path))
    latin = folder + b"/caf\xe9-\xff\xfe\x80"
    for name in (folder + b"/edge", latin):
        with open(name, "w"):
            pass
    nested = nested_file(tmp_path, 3900)
    command: List[str] = [compile_c("strings.c"), str(tmp_path), nested, os.fsdecode(latin)]
    native = run(command)
    assert native.stdout == b"edge 0\nlong 0\ntoo-long -36\nlatin 0\nunreadable -14\n"
    traced = run_traced(command)
    assert traced._replace(events=[]) == native

    opens = [event for event in named(traced.events, "open") if event["process"]["argv0"] == command[0]]
    opens = [event for event in opens if retval(event) == EFAULT or str(tmp_path) in event["syscall"]["open"]["path"]]
    edge, long, too_long, odd, unreadable = opens
    assert [retval(event) >= 0 for event in opens] == [True, True, False, True, False]
    assert path_bytes(edge) == folder + b"/edge"
    assert file_path(long) == nested
    assert len(long["syscall"]["open"]["path"]) == 4095
    assert retval(too_long) == ENAMETOOLONG
    assert path_bytes(odd) == latin
    assert odd["file"]["name"].encode("utf-8", "surrogateescape") == b"caf\xe9-\xff\xfe\x80"
    assert (retval(unreadable), file_path(unreadable), unreadable["evt"]["outcome"]) == (EFAULT, "", "Error")
    assert unreadable["file"]["path_resolution_error"]
    assert not any("path_resolution_error" in event["file"] for event in (edge, long, odd))


def test_the_longest_possible_path(tmp_path: Path) -> None:
    path = nested_file(tmp_path, 4095)
    (event,) = opens_below(run_traced(["cat", path]).events, tmp_path)
    assert (file_path(event), retval(event) >= 0) == (path, True)


def test_relative_and_winding_paths_are_resolved(tmp_path: Path) -> None:
    (tmp_path / "real" / "deep").mkdir(parents=True)
    (tmp_path / "real" / "file").write_text("x")
    (tmp_path / "link").symlink_to("real/deep")
    command = ["cat", "link/../file", "link/../missing", "./real//deep/../file"]
    opens = opens_below(run_traced(command, cwd=str(tmp_path)).events, tmp_path)
    real = str(tmp_path / "real" / "file")
    assert [file_path(event) for event in opens if retval(event) >= 0] == [real, real]
    assert [event["syscall"]["open"]["path"] for event in opens] == command[1:]
    (missing,) = [event for event in opens if retval(event) < 0]
    assert (retval(missing), missing["file"]["name"]) == (ENOENT, "missing")
    assert file_path(missing).startswith(str(tmp_path) + "/")


def test_a_path_relative_to_a_directory_descriptor(tmp_path: Path) -> None:
    (tmp_path / "found").write_text("x")
    code = ("import os, sys\nfolder = os.open(sys.argv[1], os.O_RDONLY)\nos.open('found', os.O_RDONLY, dir_fd=folder)\n"
            "try:\n    os.open('lost', os.O_WRONLY, dir_fd=folder)\nexcept OSError:\n    pass\n")
    opens = opens_below(run_traced([sys.executable, "-c", code, str(tmp_path)], cwd="/").events, tmp_path)
    assert [(file_path(event), retval(event) >= 0) for event in opens] == [
        (str(tmp_path / "found"), True), (str(tmp_path / "lost"), False)]


def test_long_argument_lists_are_cut_and_say_so() -> None:
    command = ["/bin/echo"] + ["argument-{}".format(number) for number in range(299)]
    command[40] = "x" * 10000
    command[41] = "y" * 256
    command[42] = "z" * 257
    result = run_traced(command)
    assert result.stdout.decode() == " ".join(command[1:]) + "\n"
    (event,) = [event for event in named(result.events, "exec") if retval(event) == 0]
    process = event["process"]
    wanted = command[1:257]
    wanted[39] = "x" * 252 + "..."
    wanted[41] = "z" * 252 + "..."
    assert len(process["args"]) in (255, 256)  # 256 with or without argv0
    assert process["args"] == wanted[:len(process["args"])]
    assert process["argv0"] == "/bin/echo"
    assert process["args_truncated"] is True


@pytest.mark.parametrize("arguments", [[], ["256 bytes " + "x" * 246], ["", " ", "\u00e9\n\t\"", "--"]])
def test_argument_lists_within_the_limits_are_complete(arguments: List[str]) -> None:
    (event,) = execs_of(run_traced(["/bin/echo"] + arguments).events, os.path.realpath("/bin/echo"))
    assert event["process"]["args"] == arguments
    assert not event["process"].get("args_truncated")


def test_arguments_need_not_be_utf_8() -> None:
    result = run_traced(["/bin/echo", os.fsdecode(b"caf\xe9")])
    assert result.stdout == b"caf\xe9\n"
    (event,) = execs_of(result.events, os.path.realpath("/bin/echo"))
    assert event["process"]["args"][0].encode("utf-8", "surrogateescape") == b"caf\xe9"


def test_an_empty_argument_vector_harms_nothing() -> None:
    code = "import ctypes\nctypes.CDLL(None).execve(b'/bin/true', None, None)\n"
    native = run([sys.executable, "-c", code])
    traced = run_traced([sys.executable, "-c", code])
    assert traced.status == native.status == 0
    assert execs_of(traced.events, os.path.realpath("/bin/true"))


@pytest.mark.parametrize("form", ["json", "text"])
def test_values_of_the_environment_are_never_written(form: str, tmp_path: Path) -> None:
    output = tmp_path / "output"
    policy = write_policy(tmp_path / "policy.json", [rule("seen", 'open.file.name == "secret-test-file"'),
                                                     rule("run", 'exec.file.name == "cat"')])
    (tmp_path / "secret-test-file").write_text("x")
    options = event_options(str(output)) + ["--policy", policy, "--format", form]
    result = run(trace_command(["sh", "-c", "cat secret-test-file"], options), cwd=str(tmp_path),
                 env=environment(API_TOKEN=SECRET))
    written = output.read_bytes()
    assert (result.status, result.stderr) == (0, b"")
    assert b"seen" in written and b"run" in written
    assert SECRET.encode() not in written
    if form == "json":
        assert b'"API_TOKEN"' in written


def test_the_environment_of_the_command_is_complete() -> None:
    result = run_traced(["sh", "-c", 'echo "$API_TOKEN"'], env=environment(API_TOKEN=SECRET))
    assert result.stdout.decode() == SECRET + "\n"
    execs = [event for event in named(result.events, "exec") if retval(event) == 0]
    assert all("API_TOKEN" in event["process"]["envs"] for event in execs)
