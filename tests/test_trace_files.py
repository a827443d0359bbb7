"""What open and exec events say about files: attributes, flags, unusual files, other roots and namespaces."""

import os
import sys
from pathlib import Path
from typing import List

import pytest

from blackbox import (Compiler, Event, environment, execs_of, file_path, is_detection, named, opens_of, read_events, retval,
                      rule, run, run_traced, trace_command, write_policy)
from ebpfless_arch.abi import MACHINES

ENOENT = -2
ATTRIBUTES = {"inode", "mode", "uid", "gid", "user", "group", "modification_time", "change_time"}


def run_python(code: str, *arguments: object) -> List[Event]:
    """The events of a Python program that must end well."""
    result = run_traced([sys.executable, "-c", "import os, sys\n" + code] + [str(argument) for argument in arguments])
    assert (result.status, result.stderr) == (0, b"")
    return result.events


def test_attributes_of_an_opened_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("content")
    path.chmod(0o640)
    os.utime(str(path), ns=(1, 1500000000123456789))
    (event,) = opens_of(run_traced(["cat", str(path)]).events, path)
    attributes = path.stat()
    file = event["file"]
    assert file["name"] == "file"
    assert file["inode"] == attributes.st_ino
    assert file["mode"] & 0o7777 == 0o640
    assert (file["uid"], file["gid"]) == (attributes.st_uid, attributes.st_gid)
    assert file["user"] == path.owner() and file["group"] == path.group()
    assert file["flags"] == ["O_RDONLY"]
    assert file["modification_time"] and file["change_time"]


def test_attributes_are_left_out_on_request(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("content")
    (event,) = opens_of(run_traced(["cat", str(tmp_path / "file")], ["--disable-stats"]).events, tmp_path / "file")
    assert set(event["file"]) & ATTRIBUTES == {"uid", "gid"}  # the schema asks for these
    assert (event["file"]["uid"], event["file"]["gid"]) == (-1, -1)
    executable = event["process"]["executable"]
    assert set(executable) & ATTRIBUTES == {"uid", "gid"} and (executable["uid"], executable["gid"]) == (-1, -1)


def test_rules_on_attributes_do_not_run_where_nobody_looks(tmp_path: Path) -> None:
    """They are told, one line each; the others run."""
    path, output = tmp_path / "file", tmp_path / "out"
    opened = 'open.file.path == "%s" && ' % path
    rules = [rule("own", opened + "open.file.gid != 12347"), rule("by", opened + "process.ancestors.file.mode >= 0"),
             rule("any", 'fim.write.file.path == "%s" && fim.write.file.uid < 12347' % path),
             rule("seen", opened + "process.uid >= 0"),
             rule("set", 'chown.file.path == "%s" && chown.file.destination.gid >= 0' % path)]
    policy = write_policy(tmp_path / "p.json", rules)
    found = {}
    for options in ([], ["--disable-stats"]):
        output.write_text("")
        path.write_text("content")
        command = ["sh", "-c", 'cat "$0"; chgrp "$(id -g)" "$0"; : > "$0"', str(path)]
        result = run(trace_command(command, ["--policy", policy, "--format", "json", "--output", str(output)] + options))
        assert (result.status, result.stdout) == (0, b"content")
        found[len(options)] = {event["agent"]["rule_id"] for event in read_events(str(output)) if is_detection(event)}
        told = [line for line in result.stderr.decode().splitlines() if "does not run" in line]
        assert [line.partition("rule '")[2] for line in told] == [
            "%s': field %s: --disable-stats keeps us from looking at files: the rule does not run" % (name, field)
            for name, field in (("own", "open.file.gid"), ("by", "process.ancestors.file.mode"), ("any", "open.file.uid"))
            if options]
    assert found == {0: {"own", "by", "any", "seen", "set"}, 1: {"seen", "set"}}


def test_flags_and_mode_of_a_created_file(tmp_path: Path) -> None:
    path = tmp_path / "new"
    code = "os.open(sys.argv[1], os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_TRUNC | os.O_APPEND | os.O_NOFOLLOW, 0o4621)"
    (event,) = opens_of(run_python(code, path), path)
    wanted = {"O_RDWR", "O_CREAT", "O_EXCL", "O_TRUNC", "O_APPEND", "O_NOFOLLOW"}
    assert wanted <= set(event["file"]["flags"]) <= wanted | {"O_CLOEXEC", "O_LARGEFILE"}
    assert event["syscall"]["open"]["mode"] == 0o4621
    assert event["syscall"]["open"]["path"] == str(path)


def test_what_stands_in_the_place_of_a_mode_is_none_without_a_creation(tmp_path: Path) -> None:
    """A program need not set the register of the mode when it creates nothing: anything may be in there."""
    path = tmp_path / "file"
    path.write_text("")
    code = "import ctypes; ctypes.CDLL(None).syscall(%d, -100, os.fsencode(sys.argv[1]), 0, 321250128)"
    (event,) = opens_of(run_python(code % MACHINES[os.uname().machine][0].syscalls["openat"], path), path)
    assert not event["syscall"]["open"].get("mode")


def test_a_file_without_a_name(tmp_path: Path) -> None:
    code = "file = os.open(sys.argv[1], os.O_TMPFILE | os.O_RDWR, 0o600)\nprint(os.fstat(file).st_ino)"
    result = run_traced([sys.executable, "-c", "import os, sys\n" + code, str(tmp_path)])
    (event,) = [event for event in named(result.events, "open") if event["syscall"]["open"]["path"] == str(tmp_path)]
    assert "O_TMPFILE" in event["file"]["flags"]
    assert event["file"]["inode"] == int(result.stdout)
    assert file_path(event) == "{}/#{}".format(tmp_path, event["file"]["inode"])


def test_a_path_descriptor(tmp_path: Path) -> None:
    (event,) = opens_of(run_python("os.open(sys.argv[1], os.O_PATH)", tmp_path), tmp_path)
    assert "O_PATH" in event["file"]["flags"] and retval(event) >= 0


def test_a_pipe_by_name_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(str(tmp_path / "fifo"))
    command = ["sh", "-c", "cat fifo & echo through >fifo; wait"]
    result = run_traced(command, cwd=str(tmp_path))
    assert result[:3] == (0, b"through\n", b"")
    assert sorted(event["file"]["flags"][0] for event in opens_of(result.events, tmp_path / "fifo")) == [
        "O_RDONLY", "O_WRONLY"]


def test_proc_self_is_the_program_and_not_the_tracer() -> None:
    result = run_traced(["cat", "/proc/self/status"])
    (pid,) = [line.split()[1] for line in result.stdout.decode().splitlines() if line.startswith("Pid:")]
    (event,) = opens_of(result.events, "/proc/{}/status".format(pid))
    assert event["process"]["pid"] == int(pid)


@pytest.mark.root
def test_a_path_in_another_root(tmp_path: Path) -> None:
    (tmp_path / "inside").write_text("")
    code = ("os.chroot(sys.argv[1])\nos.chdir('/')\nos.open('/inside', os.O_RDONLY)\n"
            "try:\n    os.open('/outside', os.O_RDONLY)\nexcept OSError:\n    pass\n")
    events = run_python(code, tmp_path)
    (found,) = [event for event in named(events, "open") if event["syscall"]["open"]["path"] == "/inside"]
    (missing,) = [event for event in named(events, "open") if event["syscall"]["open"]["path"] == "/outside"]
    assert file_path(found) == str(tmp_path / "inside")
    assert found["file"]["inode"] == (tmp_path / "inside").stat().st_ino
    assert (retval(missing), missing["file"]["name"]) == (ENOENT, "outside")


@pytest.mark.root
def test_a_path_in_another_mount_namespace(tmp_path: Path) -> None:
    script = "mount -t tmpfs none {0}; echo x >{0}/file; cat {0}/file; stat -c %i {0}/file".format(tmp_path)
    if run(["unshare", "-m", "sh", "-ec", script]).status != 0:
        pytest.skip("needs mount namespaces")
    (tmp_path / "file").write_text("another file behind the same path")
    result = run_traced(["unshare", "-m", "sh", "-ec", script])
    assert result.status == 0
    (event,) = [event for event in opens_of(result.events, tmp_path / "file")
                if event["file"]["flags"] == ["O_RDONLY"] and event["process"]["comm"] == "cat"]
    assert event["file"]["inode"] == int(result.stdout.split()[1])


@pytest.mark.parametrize("how", ["memfd", "deleted"])
def test_a_program_without_a_path(how: str, compile_c: Compiler, tmp_path: Path) -> None:
    program = tmp_path / "program"
    program.write_bytes(Path("/bin/echo").read_bytes())
    program.chmod(0o755)
    result = run_traced([compile_c("anonymous_exec.c"), how, str(program), "ran"])
    assert result[:3] == (0, b"ran\n", b"")
    event = [event for event in named(result.events, "exec") if retval(event) == 0][-1]
    executable = event["process"]["executable"]
    assert event["process"]["args"] == ["ran"]
    assert executable["name"] == ("memfd:payload" if how == "memfd" else "program")
    assert executable["path"] == ("" if how == "memfd" else str(program))
    (end,) = named(result.events, "exit")
    assert end["process"]["executable"]["name"] == executable["name"]


@pytest.mark.parametrize("line", ["#!/bin/sh", "#! /bin/sh -e"])
def test_a_script_and_its_interpreter(line: str, tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_text(line + "\necho \"$1\"\n")
    script.chmod(0o755)
    result = run_traced(["sh", "-c", "cd {}; ./script word; true".format(tmp_path)])
    assert result.stdout == b"word\n"
    (event,) = execs_of(result.events, script)
    assert event["process"]["executable"]["path"] == str(script)
    assert event["process"]["interpreter"]["path"] == os.path.realpath("/bin/sh")
    assert event["syscall"]["exec"]["path"] == "./script"
    assert event["file"]["inode"] == script.stat().st_ino


def test_a_script_run_by_a_script(tmp_path: Path) -> None:
    inner, outer = tmp_path / "inner", tmp_path / "outer"
    inner.write_text("#!/bin/sh\necho ran \"$#\"\n")
    inner.chmod(0o755)
    outer.write_text("#!{}\n".format(inner))
    outer.chmod(0o755)
    result = run_traced([str(outer)])
    assert result[:3] == (0, b"ran 1\n", b"")
    (event,) = [event for event in named(result.events, "exec") if retval(event) == 0]
    assert file_path(event) == str(outer)


def test_a_program_is_no_script() -> None:
    (event,) = execs_of(run_traced(["/bin/true"]).events, os.path.realpath("/bin/true"))
    assert not event["process"].get("interpreter", {}).get("path")


def test_a_linked_program_is_resolved(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/bin/echo")
    result = run_traced([str(tmp_path / "link"), "hi"])
    (event,) = execs_of(result.events, os.path.realpath("/bin/echo"))
    assert event["syscall"]["exec"]["path"] == str(tmp_path / "link")
    assert event["process"]["argv0"] == str(tmp_path / "link")
    attributes = os.stat("/bin/echo")
    assert (event["file"]["inode"], event["file"]["mode"] & 0o7777) == (attributes.st_ino, attributes.st_mode & 0o7777)


def test_a_program_found_by_path_gives_one_event(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin" / "unique-name"
    program.symlink_to("/bin/true")
    search = "{}:{}".format(tmp_path / "bin", os.environ["PATH"])
    result = run_traced(["unique-name"], env=environment(PATH=search))
    (event,) = [event for event in named(result.events, "exec") if event["process"]["argv0"] == "unique-name"]
    assert (event["syscall"]["exec"]["path"], retval(event)) == (str(program), 0)


PIPES_BY_NAME = """
import os, threading
end, other = os.pipe()
os.write(other, b"x")
name = "/dev/fd/%d" % end
print(os.getpid(), end)
open(name, "rb", 0)
try: os.open(name, os.O_DIRECTORY)
except OSError: pass
def act():
    for missing in ("/proc/self/missing", "/proc/thread-self/missing"):
        try: open(missing)
        except OSError: pass
    print(threading.get_native_id() if hasattr(threading, "get_native_id") else 0)
thread = threading.Thread(target=act); thread.start(); thread.join()
"""


def test_a_pipe_opened_by_its_descriptor_s_name_has_that_name() -> None:
    result = run_traced([sys.executable, "-c", PIPES_BY_NAME])
    pid, end = map(int, result.stdout.split()[:2])
    opens = [event for event in named(result.events, "open") if event["syscall"]["open"]["path"].startswith("/dev/fd/")]
    path = "/proc/%d/fd/%d" % (pid, end)
    assert [(retval(event) >= 0, file_path(event), event["file"]["name"]) for event in opens] == [
        (True, path, str(end)), (False, path, str(end))]


def test_proc_self_is_the_process_and_not_the_thread() -> None:
    result = run_traced([sys.executable, "-c", PIPES_BY_NAME])
    words = result.stdout.split()
    missing = [event for event in named(result.events, "open") if file_path(event).endswith("/missing")]
    thread = missing[0]["process"]["tid"]
    assert thread != int(words[0]) and int(words[2]) in (0, thread)
    assert list(map(file_path, missing)) == ["/proc/%s/missing" % words[0].decode(),
                                             "/proc/%s/task/%d/missing" % (words[0].decode(), thread)]
