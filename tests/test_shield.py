"""A program inside the trace cannot take hold of ebpfless itself, nor make it its debugger; that it tried is told."""

import re
import sys
import tempfile
from pathlib import Path
from typing import List

import pytest

from blackbox import Compiler, Event, event_options, named, opens_of, read_events, run, run_traced, trace_command
from ordinary import copy_for_all, interpreter, run_as_nobody

MODES = pytest.mark.parametrize("mode", [
    pytest.param([], id="filter"), pytest.param(["--disable-seccomp"], id="no-filter", marks=pytest.mark.slow)])
DEEDS = {"attach": "trace", "seize": "trace", "write": "write the memory of", "take": "take a descriptor of", "limit": "limit",
         "confine": "confine", "schedule": "slow down", "parameter": "slow down", "attributes": "slow down", "nice": "slow down",
         "ionice": "slow down"}
CALLS = {"attach": "ptrace", "seize": "ptrace", "write": "process_vm_writev", "take": "pidfd_getfd", "limit": "prlimit64",
         "confine": "sched_setaffinity", "schedule": "sched_setscheduler", "parameter": "sched_setparam",
         "attributes": "sched_setattr", "nice": "setpriority", "ionice": "ioprio_set"}

# The shell's parent is the tracer; its parent is the keeper, and who traces it stands by.
VICTIMS = ('stands_by() { while read key value; do [ "$key" != TracerPid: ] || echo $value; done </proc/$PPID/status; }\n'
           'while by=$(stands_by); [ "$by" = 0 ]; do :; done; keeper=$(cut -d" " -f4 /proc/$PPID/stat)\n')


def spots(events: List[Event], kind: str) -> List[str]:
    """The reasons of a kind of blind spots."""
    return [event["evt"]["variables"]["reason"] for event in named(events, "blind_spot")
            if event["evt"]["variables"]["kind"] == kind]


def test_nobody_inside_takes_hold_of_us(compile_c: Compiler) -> None:
    script = VICTIMS + 'echo $PPID $keeper $by; for deed; do for pid in $PPID $keeper $by; do "$0" $deed $pid; done; done\n' \
        "read line </etc/hostname; exit 7"
    result = run_traced(["sh", "-c", script, compile_c("after_us.c")] + list(DEEDS))
    lines = result.stdout.decode().splitlines()
    assert result.status == 7 and lines[1:] == ["1 1"] * 3 * len(DEEDS)
    assert spots(result.events, "tampering") == [
        "tried to {} process {}, which is ebpfless itself ({}); refused (EPERM)".format(words, pid, CALLS[deed])
        for deed, words in DEEDS.items() for pid in lines[0].split()]
    assert opens_of(result.events, "/etc/hostname")
    assert [event["evt"]["outcome"] for event in named(result.events, "pidfd_getfd")] == ["Refused"] * 3


def test_without_a_filter_as_well(compile_c: Compiler) -> None:
    result = run_traced(["sh", "-c", '"$0" attach $PPID; read line </etc/hostname; exit 7', compile_c("after_us.c")],
                        ["--disable-seccomp"])
    assert result[:2] == (7, b"1 1\n") and len(spots(result.events, "tampering")) == 1
    assert opens_of(result.events, "/etc/hostname")


def test_others_may_be_limited_and_traced(compile_c: Compiler) -> None:
    """The same calls about a process that is none of us do what they do untraced."""
    script = 'sleep 60 & for deed in limit take confine schedule nice ionice attach; do "$0" $deed $!; done; kill -9 $!'
    command = ["sh", "-c", script, compile_c("after_us.c")]
    result = run_traced(command)
    assert result[:2] == run(command)[:2] == (0, b"0 1\n" * 7)
    assert spots(result.events, "tampering") == []


@MODES
@pytest.mark.parametrize("deed", ["traceme", "orphan"])
def test_who_asks_us_to_be_its_debugger_is_told_that_we_are(deed: str, mode: List[str], compile_c: Compiler) -> None:
    """As natively the call succeeds once; a signal is not lost, though natively the program would stop at it for ever."""
    result = run_traced([compile_c("after_us.c"), deed, "0"], ["--wait-all"] + mode)
    assert result[:2] == (0, b"0 1 1\n")
    asked = "asked to be traced by its parent, which is ebpfless itself (PTRACE_TRACEME): was told that it is, and stays with us"
    assert spots(result.events, "debugger") == [asked]
    assert [event["evt"]["outcome"] for event in named(result.events, "ptrace")] == ["Success", "Refused"]


def test_people_read_who_did_it(tmp_path: Path, compile_c: Compiler) -> None:
    told = tmp_path / "told"
    assert run(trace_command([compile_c("after_us.c"), "traceme", "0"], ["--output", str(told)])).status == 0
    assert re.search(r"  after_us[^ ]*\[\d+\] asked to be traced by its parent", told.read_text())


# Opens whatever of us could be read or written, and says what came of it; then kills the tracer.
BREAKS_IN = """
import errno, os, signal, sys, time
def field(pid, name):
    try:
        return next(int(line.split()[1]) for line in open("/proc/%d/status" % pid) if line.startswith(name + ":"))
    except OSError:
        return 0  # without the privilege to run ahead of others, a tracer that takes over may let a call fail
tracer = os.getppid()
while not field(tracer, "TracerPid"):
    pass
found = set()
for pid in (tracer, field(tracer, "PPid"), field(tracer, "TracerPid")):
    for name in ["mem", "environ", "maps", "syscall", "fd"] + ["fd/%d" % number for number in range(67)]:
        try:
            os.close(os.open("/proc/%d/%s" % (pid, name), os.O_RDWR if name in ("mem", "fd") else os.O_RDONLY))
            found.add("opened " + name)
        except OSError as error:
            found.add(errno.errorcode[error.errno])
print(*sorted(found))
for number in range(7):
    os.kill(tracer, signal.SIGKILL)
    while field(os.getpid(), "TracerPid") in (0, tracer):
        pass
    tracer = field(os.getpid(), "TracerPid")
    while not field(tracer, "TracerPid"):
        pass
open("/etc/hostname").close()
sys.exit(7)
"""


def test_what_runs_as_our_own_user_can_open_nothing_of_us() -> None:
    """And who stands by takes over all the same."""
    python = interpreter()
    if python is None:
        pytest.skip("needs an interpreter that others may run")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o777)
        copy_for_all(folder)
        output = str(folder / "events")
        result = run_as_nobody(python, folder, [python, "-S", "-c", BREAKS_IN], event_options(output))
        events = read_events(output)
    assert result[:2] == (7, b"EACCES EISDIR\n")
    told = spots(events, "tracer")
    assert told and all("without a tracer" in reason for reason in told)
    assert opens_of(events, "/etc/hostname")


CUTS = """
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
folder = "/proc/%d/fd/" % os.getppid()
for name in os.listdir(folder):
    if "ebpfless-pulse" in os.readlink(folder + name):
        fd = os.open(folder + name, os.O_RDWR)
        for size in (0, 1 << 20):
            try:
                print(os.ftruncate(fd, size))
            except PermissionError as error:
                print(error.strerror)
open("/etc/hostname").close()
sys.exit(7)
"""


def test_nobody_inside_makes_our_shared_memory_shorter() -> None:
    """Whoever has it mapped would be killed by SIGBUS."""
    result = run_traced([sys.executable, "-S", "-c", CUTS])
    assert result.status == 7 and set(result.stdout.splitlines()) == {b"Operation not permitted"}
    assert opens_of(result.events, "/etc/hostname")


def test_nor_our_process_group(compile_c: Compiler) -> None:
    """Tracer and keeper are in a group of their own, with nobody else."""
    result = run_traced(["sh", "-c", VICTIMS + '"$0" group $PPID; exit 7', compile_c("after_us.c")])
    assert result[:2] == (7, b"1 1\n")
    (told,) = spots(result.events, "tampering")
    assert re.match(r"tried to slow down process \d+, which is ebpfless itself \(setpriority\); refused \(EPERM\)$", told)


def test_nor_are_we_confined_where_affinities_are_hidden(compile_c: Compiler) -> None:
    result = run_traced([compile_c("after_us.c"), "confine", "1"], ["--colocate"])
    assert result[:2] == (0, b"0 1\n"), "process 1 is none of us"
    result = run_traced(["sh", "-c", '"$0" confine $PPID; exit 7', compile_c("after_us.c")], ["--colocate"])
    assert result[:2] == (7, b"1 1\n") and len(spots(result.events, "tampering")) == 1
    assert not named(result.events, "place")
