"""What no rule can match is not told, and nothing that one matches is left out: not by links, mounts, renames, roots,
nor by a thread that changes a path while the kernel reads it."""

import os
import re
import sys
from pathlib import Path
from typing import Any, Dict, List, Tuple

import pytest

from blackbox import Result, file_path, is_detection, read_events, rule, run, trace_command, write_policy

ROOT = os.getuid() == 0


def detections(tmp_path: Path, program: str, *rules: Dict[str, object]) -> List[Dict[str, Any]]:
    """Runs a Python program in an empty directory and returns what the rules found."""
    return read_events(str(observe(tmp_path, program, *rules)[1]))


def observe(tmp_path: Path, program: str, *rules: Dict[str, object]) -> Tuple[Result, Path]:
    work, output = tmp_path / "work", tmp_path / "output"
    work.mkdir()
    options = ["--policy", write_policy(tmp_path / "policy.json", rules), "--format", "json", "--output", str(output),
               "--verbose"]
    result = run(trace_command([sys.executable, "-c", program], options), cwd=str(work))
    assert result.status == 0, result
    return result, output


def found(tmp_path: Path, program: str, more: str = "") -> List[str]:
    """The paths of all detections."""
    events = detections(tmp_path, "import os\nos.mkdir('d')\nopen('d/secret', 'w').close()\n" + program,
                        rule("secret", 'open.file.path == "%s" && open.flags & O_WRONLY == 0%s'
                             % (tmp_path / "work" / "d" / "secret", more)))
    assert all(is_detection(event) for event in events)
    return [file_path(event) for event in events]


WAYS = {
    "its path": "open('d/secret')",
    "dots": "open('d/../d/./secret')",
    "a symlink": "os.symlink('d/secret', 'link'); open('link')",
    "a symlink to its directory": "os.symlink('d', 'link'); open('link/secret')",
    "a chain of symlinks": "os.symlink('d/secret', 'a'); os.symlink(os.getcwd() + '/a', 'b'); open('b')",
    "another directory": "os.chdir('d'); open('secret')",
    "a descriptor": "os.open('secret', os.O_RDONLY, dir_fd=os.open('d', os.O_RDONLY))",
    "/proc/self/cwd": "open('/proc/self/cwd/d/secret')",
    "/proc/self/root": "open('/proc/self/root' + os.getcwd() + '/d/secret')",
    "a directory that has moved": "os.rename('d', 'e'); d = os.open('e', os.O_RDONLY); os.rename('e', 'd')\n"
                                  "os.open('secret', os.O_RDONLY, dir_fd=d)",
    "a file that has come there": "open('x', 'w').close(); os.rename('x', 'd/secret'); open('d/secret')",
    "a child": "os.fork() or (open('d/secret'), os._exit(0)); os.wait()",
    "a thread": "import threading; t = threading.Thread(target=open, args=('d/secret',)); t.start(); t.join()",
    "openat2": "import ctypes; ctypes.CDLL(None).syscall(437, -100, b'd/secret', "
                                    "ctypes.byref((ctypes.c_uint64 * 3)()), 24)",
}


def test_a_file_is_seen_whatever_way_it_is_opened(tmp_path: Path) -> None:
    program = """
import os, sys
for name, way in %r.items():
    os.mkdir(name)
    if not os.fork():
        os.chdir(name)
        os.mkdir("d")
        os.close(os.open("d/secret", os.O_CREAT | os.O_WRONLY))
        exec(way)
        os._exit(0)
    if os.wait()[1]: sys.exit(name)
""" % {name.replace("/", "_"): way for name, way in WAYS.items()}
    events = detections(tmp_path, program, rule(
        "secret", 'open.file.path == ~"%s/*/d/secret" && open.flags & O_WRONLY == 0' % (tmp_path / "work")))
    assert [file_path(event) for event in events] == [
        str(tmp_path / "work" / name.replace("/", "_") / "d" / "secret") for name in WAYS]


@pytest.mark.skipif(not ROOT, reason="mounts and roots need root")
@pytest.mark.parametrize("way", [
    "mount --bind e d; cat d/secret >&2", "mount --bind d e; mount --bind e d; cat d/secret >&2"])
def test_what_is_mounted_there_counts(way: str, tmp_path: Path) -> None:
    program = ("import subprocess; os.mkdir('e'); open('e/secret', 'w').close()\n"
               "subprocess.check_call(['unshare', '-m', 'sh', '-ec', %r])" % way)
    assert found(tmp_path, program) == [str(tmp_path / "work" / "d" / "secret")]


@pytest.mark.skipif(not ROOT, reason="roots need root")
def test_another_root_hides_nothing(tmp_path: Path) -> None:
    assert found(tmp_path, "os.chroot('d'); open('/secret')") == [str(tmp_path / "work" / "d" / "secret")]


@pytest.mark.once
def test_a_thread_that_changes_the_path_meanwhile_hides_nothing(tmp_path: Path) -> None:
    """The path is another one at the call's beginning than at its end, some of the time: the kernel's word counts."""
    program = """
import ctypes, sys, threading
sys.setswitchinterval(0.0001)  # else each return of a call waits 5 ms for the other thread
libc = ctypes.CDLL(None)
path = ctypes.create_string_buffer(b"d/secret")
over = False
def change():
    while not over:
        path[2] = b"x"
        path[2] = b"s"
changing = threading.Thread(target=change)
changing.start()
opened = 0
for _ in range(1009):
    file = libc.open(path, 0)
    if file >= 0:
        opened += 1
        os.close(file)
over = True
changing.join()
open("count", "w").write(str(opened))
"""
    result, output = observe(tmp_path, "import os\nos.mkdir('d')\nopen('d/secret', 'w').close()\n" + program,
                             rule("secret", 'open.file.path == "%s" && open.flags & O_WRONLY == 0'
                                  % (tmp_path / "work" / "d" / "secret")))
    opened = int((tmp_path / "work" / "count").read_text())
    told = re.search(rb"(\d+) events, (\d+) detections", result.stderr)
    assert told and int(told.group(2)) == opened and 0 < opened < 1009, (opened, result.stderr)


def test_what_no_rule_matches_is_not_even_told_to_the_keeper(tmp_path: Path) -> None:
    program = "for n in range(1009): open('/etc/passwd').close()\nopen('/etc/hostname')"
    result, output = observe(tmp_path, program, rule("other", 'open.file.path == "/etc/hostname"'))
    told = re.search(rb"(\d+) stops, (\d+) events, (\d+) detections", result.stderr)
    assert told and int(told.group(1)) >= 1009 and int(told.group(2)) < 100 and told.group(3) == b"1", result.stderr
    assert [file_path(event) for event in read_events(str(output))] == ["/etc/hostname"]


def test_a_policy_about_writing_does_not_stop_what_reads(tmp_path: Path) -> None:
    program = "for n in range(1009): open('/etc/passwd').close()\nopen('x', 'w')"
    result, output = observe(tmp_path, program, rule("written", 'open.file.path == "%s" && open.flags & O_WRONLY > 0'
                                                     % (tmp_path / "work" / "x")))
    told = re.search(rb"(\d+) stops, (\d+) events, (\d+) detections", result.stderr)
    assert told and int(told.group(1)) < 500 and told.group(3) == b"1", result.stderr


def test_calls_on_files_that_no_rule_means_do_not_wait_for_their_end(tmp_path: Path) -> None:
    program = "for n in range(503): open('x', 'w').close(); os.chmod('x', 0o600); os.unlink('x')"
    rules = [rule(name, '%s.file.path == "/etc/hostname"' % name) for name in ("chmod", "unlink")]
    result, output = observe(tmp_path, "import os\n" + program, *rules)
    told = re.search(rb"(\d+) stops, (\d+) events", result.stderr)
    assert told and 2 * 503 <= int(told.group(1)) < 2 * 503 + 200 and int(told.group(2)) < 100, result.stderr


def test_a_refused_open_is_told_by_its_path(tmp_path: Path) -> None:
    program = """
import os
os.mkdir("d")
open("d/secret", "w").close()
os.chmod("d/secret", 0)
if os.getuid() == 0:
    os.chmod(".", 0o777), os.chmod("..", 0o777), os.setuid(65534)
for name in ("d/secret", "d/missing"):
    try: open(name)
    except OSError: pass
"""
    events = detections(tmp_path, program, rule("refused", 'open.file.name in ["secret", "missing"] && open.retval == -13'))
    assert [file_path(event) for event in events] == [str(tmp_path / "work" / "d" / "secret")]
