"""An open is decided at its entry only where nothing can come between: no links, no memory that others write to."""

import re
import sys
from pathlib import Path
from typing import Tuple

import pytest

from blackbox import Compiler, file_path, read_events, rule, run, trace_command, write_policy

OPENS = 1009


def observe(compile_c: Compiler, folder: Path, mode: str, times: int) -> Tuple[int, int, int, int]:
    """How often foreseen.c got the secret file and how often another one; how many stops and detections there were."""
    program, work = compile_c("foreseen.c"), folder / "work"
    for name in ("p", "s", "swap"):
        (work / name).mkdir(parents=True)
        (work / name / "f").write_bytes(b"")
    policy = write_policy(folder / "policy.json", [
        rule("secret", 'open.file.path == "%s" && open.flags & O_WRONLY == 0' % (work / "s" / "f"))])
    output = folder / "output"
    result = run(trace_command([str(program), mode, str(times)], [
        "--policy", policy, "--format", "json", "--output", str(output), "--verbose"]), cwd=str(work))
    assert result.status == 0, result
    hits, misses = map(int, result.stdout.split())
    told = re.search(rb"(\d+) stops, (\d+) events, (\d+) detections", result.stderr)
    assert told and b" 0 records lost, 0 errors" in result.stderr, result.stderr
    assert {file_path(event) for event in read_events(str(output))} <= {str(work / "s" / "f")}
    return hits, misses, int(told.group(1)), int(told.group(3))


@pytest.mark.parametrize("mode", ["links", "shared", "file", "memory", "mem", "orphan"])
def test_whoever_changes_what_a_name_means_hides_nothing(mode: str, compile_c: Compiler, tmp_path: Path) -> None:
    hits, misses, _, detections = observe(compile_c, tmp_path, mode, 20011)
    assert hits > 0 and misses > 0 and detections == hits, (hits, misses, detections)


@pytest.mark.parametrize("mode", ["once", "child"])
def test_an_open_of_which_all_is_known_stops_once(mode: str, compile_c: Compiler, tmp_path: Path) -> None:
    _, misses, stops, detections = observe(compile_c, tmp_path, mode, OPENS)
    assert misses == OPENS and detections == 0 and OPENS < stops < OPENS + 100, (misses, stops)


# Each makes the secret file of a name that meant nothing, or another one, too often before for more than one stop each.
CHANGES = {
    "a symlink": "os.rmdir('d'); os.symlink('s', 'd')",
    "a symlink that comes from elsewhere": "os.symlink('s', 'x'); os.rmdir('d'); os.rename('x', 'd')",
    "a linked symlink": "os.symlink('../s/f', 's/x'); os.link('s/x', 'd/f', follow_symlinks=False)",
    "a directory that has a symlink": "os.mkdir('e'); os.symlink('../s/f', 'e/f'); os.rename('e', 'd')",
    "another process": "subprocess.check_call(['ln', '-s', '../s/f', 'd/f'])",
    "another working directory": "os.rmdir('d'); os.mkdir('w'); os.symlink('../s', 'w/d'); os.chdir('w')",
}

@pytest.mark.parametrize("change", CHANGES)
def test_a_name_that_becomes_another_file_is_seen_at_once(change: str, tmp_path: Path) -> None:
    work = tmp_path / "work"
    (work / "d").mkdir(parents=True)
    (work / "s").mkdir()
    (work / "s" / "f").write_bytes(b"")
    program = """
import os, subprocess
name = os.fsencode("d/f")
def look():
    try: os.close(os.open(name, os.O_RDONLY))
    except FileNotFoundError: return False
    return True
for _ in range(%d): assert not look()
%s
assert look()
""" % (OPENS, CHANGES[change])
    output = tmp_path / "output"
    policy = write_policy(tmp_path / "policy.json", [rule("file", 'open.file.path == "%s"' % (work / "s" / "f"))])
    result = run(trace_command([sys.executable, "-c", program], [
        "--policy", policy, "--format", "json", "--output", str(output), "--verbose"]), cwd=str(work))
    assert result.status == 0, result
    (event,) = read_events(str(output))
    told = re.search(rb"(\d+) stops", result.stderr)
    assert told and int(told.group(1)) < 2 * OPENS
    assert file_path(event) == str(work / "s" / "f")


# Each opens the secret file by way of a symlink that its name does not show as long as, or because, a part of it is missing.
NAMES = {
    "what follows a directory that is made": """
os.symlink('s', 'l'); name = b'm/../l/f'
os.path.exists(name)
for _ in range(13): look()
os.mkdir('m')
""",
    "what is beside a directory that is gone": """
os.symlink('s', 'l'); name = b'../l/f'; os.mkdir('m'); os.chdir('m'); os.rmdir('../m'); os.path.exists(os.readlink('/proc/self/cwd'))
""",
}


@pytest.mark.parametrize("way", NAMES)
def test_a_name_is_looked_at_as_the_kernel_does(way: str, tmp_path: Path) -> None:
    work = tmp_path / "work"
    (work / "s").mkdir(parents=True)
    (work / "s" / "f").write_bytes(b"")
    program = """
import os
def look():
    try: os.close(os.open(name, os.O_RDONLY))
    except OSError: return False
    return True
%s
for _ in range(103): assert look()
""" % NAMES[way]
    policy = write_policy(tmp_path / "policy.json", [rule("file", 'open.file.path == "%s"' % (work / "s" / "f"))])
    result = run(trace_command([sys.executable, "-c", program], [
        "--policy", policy, "--format", "json", "--output", str(tmp_path / "output"), "--verbose"]), cwd=str(work))
    assert result.status == 0 and b", 103 detections " in result.stderr, result
