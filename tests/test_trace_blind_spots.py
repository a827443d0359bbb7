"""What cannot be seen is itself an event: told once for each process and reason, counted, and never in anybody's way."""

import os
from pathlib import Path
from typing import Any, Callable, Dict, List, Sequence, Tuple

import pytest

from attaching import Attached
from blackbox import (Compiler, Event, Result, Session, named, opens_of, read_events, retval, rule, run, run_traced,
                      trace_command, wait_until, write_policy)
from ordinary import copy_for_all, interpreter, run_as_nobody
from test_trace_attach import say

pytestmark = pytest.mark.machine("x86_64")  # its numbers

EPERM, EINVAL = -1, -22
MODES = [pytest.param([], id="seccomp"), pytest.param(["--disable-seccomp"], id="no-seccomp")]
UNSEEN = "this program's calls by it are not seen"


@pytest.fixture
def program(compile_c: Compiler) -> str:
    return compile_c("blind.c")


def spots(events: Sequence[Event]) -> List[Tuple[str, str, int]]:
    """(kind, reason, count) of the blind spots, in order."""
    return [(told["kind"], told["reason"], told["count"])
            for told in (event["evt"]["variables"] for event in named(events, "blind_spot"))]


def traced_alike(program: str, words: Sequence[str], options: Sequence[str] = ()) -> Result:
    """A traced run that does the same as a native one."""
    command = [program] + list(words)
    native = run(command)
    traced = run_traced(command, options)
    assert traced._replace(events=[]) == native
    return traced


def without_events(program: str, words: Sequence[str], folder: Path, *options: str) -> Tuple[Result, List[Event]]:
    """A run whose policy is about nothing that the program does: its result, and what is told all the same."""
    policy = write_policy(folder / "policy", [rule("never", 'rename.file.path == "/nonexistent/file"')])
    output = str(folder / "told")
    result = run(trace_command([program] + list(words), ["--policy", policy, "--format", "json", "--output", output]
                               + list(options)))
    return result, read_events(output)


@pytest.mark.parametrize("options", MODES)
def test_calls_by_numbers_that_nobody_knows(program: str, options: List[str]) -> None:
    result = traced_alike(program, ["x32", "number", "other-number"], options)
    assert spots(result.events) == [
        ("abi", "a system call of the x32 ABI (number 0x40000002); " + UNSEEN, 1),
        ("call_number", "a system call that is not known to us (amd64, number 500)", 1),
        ("call_number", "a system call that is not known to us (amd64, number 10001)", 1),
        ("abi", "a system call of the x32 ABI (number 0x40000002); " + UNSEEN, 3),
        ("call_number", "a system call that is not known to us (amd64, number 500)", 3),
        ("call_number", "a system call that is not known to us (amd64, number 10001)", 3)]
    names = [event["evt"]["name"] for event in result.events]
    assert names.index("exit") > max(place for place, name in enumerate(names) if name == "blind_spot")


def test_of_a_new_program_it_is_told_anew(program: str) -> None:
    result = traced_alike(program, ["number", "again", "number"])
    reason = "a system call that is not known to us (amd64, number 500)"
    assert spots(result.events) == [("call_number", reason, 1), ("call_number", reason, 3)] * 2


def test_however_many_numbers_a_program_tries_the_reasons_are_few(compile_c: Compiler, tmp_path: Path) -> None:
    source = "import ctypes; c = ctypes.CDLL(None).syscall; [c(1000 + n) for n in range(2003)]"
    result = run_traced(["python3", "-S", "-c", source])
    assert (result.status, result.stderr) == (0, b"")
    told = [(reason, count) for kind, reason, count in spots(result.events) if kind == "call_number"]
    assert told[:16] == [("a system call that is not known to us (amd64, number %d)" % (1000 + number), 1)
                         for number in range(16)]
    assert told[16:] == [("more of this kind, for other reasons", 1), ("more of this kind, for other reasons", 1987)]


@pytest.mark.parametrize("options", MODES)
def test_a_ring_is_an_event_and_one_that_is_there_a_blind_spot(program: str, options: List[str]) -> None:
    result = traced_alike(program, ["bad-uring", "uring"], options)
    rings = [(min(retval(event), 0), event["evt"]["variables"]["entries"], event["evt"]["variables"]["flags"])
             for event in named(result.events, "io_uring_setup")]
    assert rings == [(EINVAL, 0, "0")] * 3 + [(0, 4, "0")] * 3
    reason = "set up an io_uring: what it opens, sends and connects to through that is not seen"
    assert spots(result.events) == [("io_uring", reason, 1), ("io_uring", reason, 3)]


def test_rings_are_told_of_by_default_and_pass_in_silence_where_they_are_allowed(program: str, tmp_path: Path) -> None:
    native = run([program, "uring"])
    for options, kinds in ([], ["io_uring"] * 2), (["--io-uring", "alert"], ["io_uring"] * 2), (["--io-uring", "allow"], []):
        folder = tmp_path / (options or ["default"])[-1]
        folder.mkdir()
        result, told = without_events(program, ["uring"], folder, *options)
        assert result == native
        assert [kind for kind, _, _ in spots(told)] == kinds


@pytest.mark.parametrize("options", MODES)
def test_a_refused_ring_fails_as_where_the_host_forbids_it(program: str, options: List[str]) -> None:
    result = run_traced([program, "uring", "enter"], ["--io-uring", "deny"] + options)
    assert (result.status, result.stderr) == (0, b"")
    assert result.stdout == b"uring -1\n" * 3 + b"enter -1\n" * 3
    assert [retval(event) for event in named(result.events, "io_uring_setup")] == [EPERM] * 3
    setup, enter = ["tried to use io_uring (%s); refused, as asked for (--io-uring deny)" % name
                    for name in ("io_uring_setup", "io_uring_enter")]
    assert spots(result.events) == [("io_uring", setup, 1), ("io_uring", enter, 1),
                                    ("io_uring", setup, 3), ("io_uring", enter, 3)]


def test_a_rule_may_be_about_rings(program: str, tmp_path: Path) -> None:
    policy = write_policy(tmp_path / "policy", [
        rule("ring", 'io_uring_setup.entries == 4 && io_uring_setup.flags & IORING_SETUP_SQPOLL == 0 '
                     '&& io_uring_setup.retval >= 0', silent=False)])
    result = run(trace_command([program, "uring"], ["--policy", policy, "--io-uring", "allow"]))
    assert result.stderr.count(b"ring") >= 3


def test_a_filter_with_a_listener_of_its_own(program: str, tmp_path: Path) -> None:
    native = run([program, "listener"])
    result, told = without_events(program, ["listener"], tmp_path)
    assert result == native
    assert [(kind, count) for kind, _, count in spots(told)] == [("seccomp_listener", 1)]


@pytest.mark.parametrize("options", MODES)
def test_an_argument_in_memory_that_only_the_process_can_read(program: str, options: List[str]) -> None:
    native = run([program, "memory"])
    if native.stdout != b"memory 0\n" * 3:
        pytest.skip("the kernel maps no such memory")
    result = traced_alike(program, ["memory"], options)
    reason = "an argument of prctl could not be read (EFAULT)"
    assert spots(result.events) == [("memory", reason, 1), ("memory", reason, 3)]


def test_an_argument_that_the_kernel_cannot_read_either_hides_nothing(compile_c: Compiler, tmp_path: Path) -> None:
    result = run_traced([compile_c("calls.c"), "unlink"], cwd=str(tmp_path))
    assert -14 in [retval(event) for event in named(result.events, "unlink")]
    assert spots(result.events) == []


@pytest.mark.root
def test_a_program_that_its_unprivileged_tracer_may_not_look_into(program: str, public_dir: Path) -> None:
    python = interpreter()
    if python is None:
        pytest.skip("needs an interpreter that everybody may run")
    copy_for_all(public_dir)
    output = public_dir / "out"
    output.write_text("")
    output.chmod(0o666)
    target = public_dir / "blind"
    target.write_bytes(Path(program).read_bytes())
    target.chmod(0o755)
    result = run_as_nobody(python, public_dir, [str(target), "undumpable"],
                           ["--events", "--format", "json", "--output", str(output)])
    assert result.status == 0
    told = [spot for spot in spots(read_events(str(output))) if spot[0] == "memory"]
    assert [(kind, count > 1) for kind, _, count in told] == [("memory", False), ("memory", True)]
    assert told[0][1] == "its memory cannot be read (EPERM): names in its calls are not seen"


def test_children_that_were_to_have_no_tracer_are_counted(program: str) -> None:
    result = traced_alike(program, ["untraced"])
    reason = "tried to start a process without its tracer (CLONE_UNTRACED); the flag was taken away"
    assert spots(result.events) == [("clone_untraced", reason, 1), ("clone_untraced", reason, 3)]


@pytest.mark.parametrize("options", MODES)
def test_children_that_ask_for_no_tracer_in_memory_that_cannot_be_written(program: str, options: List[str]) -> None:
    if run([program, "fixed"]).stdout != b"fixed 7\n" * 3:
        pytest.skip("needs clone3")
    result = traced_alike(program, ["fixed"], options)
    assert [count for kind, _, count in spots(result.events) if kind == "clone_untraced"] == [1, 3]
    assert len(named(result.events, "fork")) == 3
    assert len([event for event in opens_of(result.events, "/etc/hostname") if retval(event) >= 0]) == 3


@pytest.mark.parametrize("options", MODES)
def test_where_the_request_for_no_tracer_cannot_be_taken_away_nobody_escapes(program: str, options: List[str]) -> None:
    if run([program, "shared"]).stdout != b"shared 7\n" * 3:
        pytest.skip("needs clone3")
    result = run_traced([program, "shared"], options)
    assert (result.status, result.stdout, result.stderr) == (0, b"shared -38\n" * 3, b"")
    reason = "tried to start a process without its tracer (CLONE_UNTRACED); the call was refused (ENOSYS)"
    assert spots(result.events) == [("clone_untraced", reason, 1), ("clone_untraced", reason, 3)]


@pytest.mark.parametrize("options", MODES)
def test_no_child_escapes_by_memory_that_only_the_kernel_can_read(options: List[str], compile_c: Compiler) -> None:
    program = compile_c("clones.c")
    if run([program, "secret"]).stdout != b"secret 7\n" * 3:
        pytest.skip("the kernel lacks memfd_secret")
    result = run_traced([program, "secret"], options)
    assert (result.status, result.stdout, result.stderr) == (0, b"secret -38\n" * 3, b"")
    reason = ("tried to start a process by clone3 with arguments in memory that only the kernel can read; "
              "the call was refused (ENOSYS)")
    assert spots(result.events) == [("clone_untraced", reason, 1), ("clone_untraced", reason, 3)]


@pytest.mark.parametrize("options", MODES)
def test_arguments_that_nobody_can_read_are_the_same_error_as_ever(options: List[str], compile_c: Compiler) -> None:
    program = compile_c("clones.c")
    if b"null -14\n" not in run([program, "bad"]).stdout:
        pytest.skip("needs clone3")
    result = traced_alike(program, ["bad"], options)
    assert result.stdout == b"none -14\nunmapped -14\nnull -14\n"
    assert spots(result.events) == []


CAUGHT = "started a process without its tracer (CLONE_UNTRACED, set while the call was looked at); it is traced from now on"


@pytest.mark.parametrize("options", MODES)
@pytest.mark.parametrize("what, processes", [("process", 53), ("thread", 0), ("sibling", 53)])
def test_a_child_is_caught_whose_flags_are_changed_while_we_look(what: str, processes: int, options: List[str],
                                                                 compile_c: Compiler) -> None:
    program = compile_c("clones.c")
    if run([program, what]).stdout != b"%b 53\n" % what.encode():
        pytest.skip("needs clone3")
    expect_one_caught(lambda: traced_alike(program, [what], options), processes)


def test_it_is_caught_in_attach_mode_too(compile_c: Compiler, tmp_path: Path) -> None:
    program = compile_c("clones.c")
    if run([program, "process"]).stdout != b"process 53\n":
        pytest.skip("needs clone3")
    with Session(["sh", "-c", 'read go; exec "$0" process', program]) as session:
        with Attached([session.pid], tmp_path / "events") as trace:
            assert say(session, "go") == "process 53"
            wait_until(lambda: session.pid in [event["process"]["pid"] for event in named(trace.events, "exit")], "its end")
        events = trace.events
    assert len([event for event in opens_of(events, "/etc/hostname") if retval(event) >= 0]) == 53
    told = {(kind, reason) for kind, reason, _ in spots(events)}
    assert {kind for kind, _ in told} <= {"clone_untraced"}


@pytest.mark.root
@pytest.mark.parametrize("what", ["process", "namespace"])
def test_one_that_has_another_number_in_its_own_pid_namespace_is_caught_too(what: str, compile_c: Compiler) -> None:
    command = ["unshare", "-pf", compile_c("clones.c"), what]
    if run(command).stdout != b"%b 53\n" % what.encode():
        pytest.skip("needs clone3 and namespaces")
    expect_one_caught(lambda: run_traced(command), 54)


def expect_one_caught(play: Callable[[], Result], processes: int) -> None:
    """Whoever wins the race, all is seen; somebody wins it in some round, where two can race."""
    rounds = range(1 if len(os.sched_getaffinity(0)) == 1 else 11)
    assert any(all_is_seen(play(), 53, processes) for _ in rounds) or len(rounds) == 1


def all_is_seen(result: Result, children: int, processes: int) -> bool:
    """What each of some children did is an event; returns whether one of them at least had no tracer at first."""
    assert result.stdout.endswith(b" %d\n" % children)
    assert len([event for event in opens_of(result.events, "/etc/hostname") if retval(event) >= 0]) == children
    assert len(named(result.events, "fork")) == processes + 1
    assert len(named(result.events, "exit")) == processes + 2
    kinds = {(kind, reason) for kind, reason, _ in spots(result.events)}
    assert {kind for kind, _ in kinds} <= {"clone_untraced"}
    return ("clone_untraced", CAUGHT) in kinds


def test_whoever_traces_a_process_that_is_not_ours_is_told(compile_c: Compiler) -> None:
    result = run_traced([compile_c("clones.c"), "strangers"])
    assert (result.status, result.stderr) == (0, b"")
    child, grandchild = map(int, result.stdout.splitlines()[-1].split())
    assert result.stdout.startswith(b"child 0\ngrandchild 0\n")
    (program,) = [event["process"]["pid"] for event in named(result.events, "exec")]
    told = [(event["process"]["pid"], event["evt"]["variables"]["kind"], event["evt"]["variables"]["reason"])
            for event in named(result.events, "blind_spot")]
    name = Path(compile_c("clones.c")).name
    reason = "is traced by %s[%d] from now on: what it does is not seen" % (name[:15], program)
    assert told == [(child, "debugger", reason), (grandchild, "debugger", reason)]


def test_people_are_told_how_often(program: str, tmp_path: Path) -> None:
    output = tmp_path / "told"
    assert run(trace_command([program, "number"], ["--output", str(output)])).status == 0
    lines = output.read_text().splitlines()
    assert [line.partition("is not fully seen: ")[2].partition("  ")[0] for line in lines] == [
        "a system call that is not known to us (amd64, number 500)",
        "a system call that is not known to us (amd64, number 500) (3 times)"]


def test_the_default_of_the_option_is_checked(program: str) -> None:
    result = run(trace_command([program], ["--io-uring", "maybe"]))
    assert result.status == 2 and b"allow" in result.stderr and b"Traceback" not in result.stderr


@pytest.mark.parametrize("options", MODES)
@pytest.mark.parametrize("what, call, flags", [("write", "write", []), ("sendto", "sendto", []), ("socketcall", "socketcall", ["-m32"])])
def test_what_is_sent_from_memory_that_only_the_kernel_can_read_is_told(what: str, call: str, flags: List[str], options: List[str],
                                                                        compile_c: Compiler) -> None:
    """Nobody listens there; a datagram goes off all the same."""
    program = compile_c("secret.c", *flags)
    if run([program, what, "53"]).stdout != b"29\n":
        pytest.skip("the kernel lacks memfd_secret, or something listens")
    result = traced_alike(program, [what, "53"], options)
    assert spots(result.events) == [("memory", "an argument of %s could not be read (EFAULT)" % call, 1)]


def test_what_the_kernel_could_not_read_either_has_not_escaped(compile_c: Compiler) -> None:
    command = ["python3", "-c", "import ctypes; print(ctypes.CDLL(None).sendto(0, 8, 64, 0, 8, 16))"]
    assert spots(run_traced(command).events) == []
