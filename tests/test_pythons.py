"""However Python is started and whatever the host lacks around it, a command runs and its events are the same."""

import errno
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import List, Set

import pytest

import pythons
from blackbox import FOLDER, REPOSITORY, ebpfless, environment, event_options, opens_of, read_events, run, trace_command
from ebpfless_arch.kernel import scheduling, signals

MUSL = Path("/usr/lib") / (os.uname().machine + "-linux-musl") / "libc.so"
MUSL_PYTHONS = pythons.of_musl()
# Of these a C library may have none: kernel/ does without (their callers say how).
MAY_LACK = {"malloc_trim", "memfd_create", "statx"}
FUNCTION = re.compile(r'\bfunction\("(\w+)"')


def check_a_trace(before: List[str], folder: Path, *after: str) -> None:
    """A traced cat gives what it reads, and its open is told."""
    (folder / "file").write_text("seven!\n")
    output = folder / "out" / "events"
    output.parent.mkdir(exist_ok=True)
    command = before + ["trace", "--probe-addr", "none"] + event_options(str(output)) + ["--", "cat", str(folder / "file")]
    result = run(command, cwd="/", env={name: value for name, value in environment().items() if name != "PYTHONPATH"})
    assert (result.status, result.stdout, result.stderr) == (0, b"seven!\n", b"")
    assert len(opens_of(read_events(str(output)), folder / "file")) == 1


@pytest.mark.skipif(FOLDER != str(REPOSITORY), reason="is about the package")
@pytest.mark.parametrize("flags", [["-I"], ["-I", "-S"], ["-O"], ["-OO", "-B"], ["-E", "-s", "-S"]], ids=" ".join)
def test_ways_to_start_python(flags: List[str], tmp_path: Path) -> None:
    check_a_trace([sys.executable] + flags + [str(REPOSITORY / "ebpfless.py")], tmp_path)


@pytest.mark.skipif(FOLDER != str(REPOSITORY), reason="is about the package")
def test_a_python_that_lacks_what_small_images_leave_out(tmp_path: Path) -> None:
    """Debian's python3-minimal has no ctypes.util that works, and what is built without libraries has none of these."""
    lacking = "ctypes.util _ssl zlib _bz2 _lzma _uuid _hashlib _sqlite3 _curses readline _posixshmem _multiprocessing grp"
    code = ("import runpy, sys; sys.modules.update(dict.fromkeys(%r.split())); sys.argv[0] = 'ebpfless'; "
            "runpy.run_path(%r, run_name='__main__')" % (lacking, str(REPOSITORY / "ebpfless.py")))
    check_a_trace([sys.executable, "-I", "-c", code], tmp_path)


if MUSL_PYTHONS:
    # As in Alpine; scripts/test-musl runs the whole suite on one.
    @pytest.mark.skipif(FOLDER != str(REPOSITORY), reason="is about the package")
    @pytest.mark.parametrize("python", MUSL_PYTHONS)
    def test_a_python_on_musl(python: str, tmp_path: Path) -> None:
        check_a_trace([python, "-I", str(REPOSITORY / "ebpfless.py")], tmp_path)


@pytest.mark.parametrize("first", [34, 35], ids=["glibc", "musl"])
def test_the_c_library_s_own_signals_are_left_alone(first: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Python warns of those when they are blocked, in the midst of what the command says."""
    monkeypatch.setattr(signal, "SIGRTMIN", first)
    assert signals.catchable() == [number for number in range(1, 32) if number not in (9, 19)] + list(range(first, 65))


def test_one_cpu_is_enough(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    output = str(tmp_path / "events")
    cpu = min(os.sched_getaffinity(0))
    result = run(trace_command(["cat", str(tmp_path / "file")], event_options(output)),
                 preexec_fn=lambda: os.sched_setaffinity(0, {cpu}))
    assert (result.status, result.stderr) == (0, b"")
    assert len(opens_of(read_events(output), tmp_path / "file")) == 1


# Only what is named by its option can be written; /proc hides other users' processes.
ALONE = ["unshare", "--mount", "--pid", "--fork", "sh", "-c"]
ALL_READ_ONLY = """
mount -t tmpfs none "$0"/out && mount -o remount,ro,bind / && mount -t proc proc /proc && ! touch /new-file 2>/dev/null && exec "$@"
"""
HIDING = 'mount -t proc -o hidepid=2 proc /proc && exec setpriv --reuid 65534 --regid 65534 --clear-groups "$@"'


@pytest.mark.root
def test_a_read_only_root(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "file").write_text("seven!\n")
    show = ' && cat "$OUT"'
    command = trace_command(["cat", str(tmp_path / "file")], event_options(str(tmp_path / "out" / "events")))
    result = run(ALONE + [ALL_READ_ONLY.replace('exec "$@"', '"$@"' + show), str(tmp_path)] + command,
                 env=environment(OUT=str(tmp_path / "out" / "events")))
    assert (result.status, result.stderr) == (0, b"")
    first, _, rest = result.stdout.partition(b"\n")
    assert first == b"seven!" and rest.count(b'"name":"open"') >= 1


@pytest.mark.root
def test_proc_that_hides_others(public_dir: Path) -> None:
    (public_dir / "file").write_text("seven!\n")
    output = public_dir / "out"
    output.mkdir()
    output.chmod(0o777)
    python = ["/usr/bin/python3" if os.access("/usr/bin/python3", os.X_OK) else sys.executable]
    command = python + trace_command(["cat", str(public_dir / "file")], event_options(str(output / "events")))[1:]
    result = run(ALONE + [HIDING, "sh"] + command, env=environment(PYTHONDONTWRITEBYTECODE="1"), cwd="/")
    assert (result.status, result.stdout, result.stderr) == (0, b"seven!\n", b"")
    assert len(opens_of(read_events(str(output / "events")), public_dir / "file")) == 1


@pytest.mark.root
def test_without_proc_one_line_says_what_to_do() -> None:
    result = run(["unshare", "--mount", "sh", "-c", 'umount -l /proc && exec "$@"', "sh"] + trace_command(["true"]))
    assert (result.status, result.stdout) == (2, b"")
    assert result.stderr == (b"ebpfless trace: /proc is not mounted here, and nothing can be seen without it: "
                             b"mount -t proc proc /proc\n")


@pytest.mark.parametrize("command", [["trace", "--", "true"], ["doctor"], ["version", "--json"]], ids=lambda words: words[0])
def test_a_python_without_ctypes_is_told_in_one_line(command: List[str]) -> None:
    code = ("import runpy, sys; sys.modules['_ctypes'] = None; sys.argv[0] = 'ebpfless'; "
            "runpy.run_module('ebpfless', run_name='__main__')")
    result = run([sys.executable, "-c", code] + command)
    assert (result.stdout, result.stderr.count(b"\n")) == (b"", 1)
    assert result.status in (2, 125) and b"_ctypes" in result.stderr and b"Traceback" not in result.stderr


def functions() -> Set[str]:
    """The functions of the C library that we call by name."""
    return {name for path in (REPOSITORY / "ebpfless_arch").glob("**/*.py") for name in FUNCTION.findall(path.read_text())}


def test_the_c_library_is_found_without_any_tool() -> None:
    """ctypes.util runs ldconfig or gcc, which small images lack, and finds no musl."""
    for path in (REPOSITORY / "ebpfless_arch").glob("**/*.py"):
        assert "ctypes.util" not in path.read_text() and "find_library" not in path.read_text(), path
    assert {"ptrace", "prctl"} <= functions()


def test_no_extended_attribute_is_read_by_what_python_has_with_glibc_only() -> None:
    for path in (REPOSITORY / "ebpfless_arch").glob("**/*.py"):
        assert not re.search(r"\bos\.(get|set|list|remove)xattr\b", path.read_text()), path


def test_a_policy_is_set_where_the_c_library_s_function_only_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    """As musl's does; of a process that we may change without a privilege."""
    def failing(*_: object) -> None:
        raise OSError(errno.ENOSYS, "")
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as process:
        monkeypatch.setattr(os, "sched_setscheduler", failing)
        scheduling.set_policy(process.pid, os.SCHED_BATCH, 0)
        # Its field 41 is the policy (proc(5)); sched_getscheduler(3) is no better there.
        assert Path("/proc/%d/stat" % process.pid).read_text().rpartition(") ")[2].split()[41 - 3] == str(os.SCHED_BATCH)
        with pytest.raises(OSError) as caught:
            scheduling.set_policy(process.pid, os.SCHED_BATCH, 77)
        assert caught.value.errno == errno.EINVAL


@pytest.mark.skipif(not MUSL.exists(), reason="needs musl (Debian's package of that name)")
def test_musl_has_what_we_call() -> None:
    """Of Alpine's C library, too, every function is there; the others are done without."""
    table = subprocess.check_output(["nm", "-D", "--defined-only", str(MUSL)]).decode()
    present = {line.split()[-1] for line in table.splitlines()}
    assert functions() - present <= MAY_LACK


def test_version_works_everywhere() -> None:
    result = run(ebpfless("version"))
    assert result.status == 0 and result.stdout.startswith(b"ebpfless ")
