"""What the command inherits is what it would have without ebpfless: identity, descriptors, signals, limits, terminal."""

import os
import resource
import shutil
import signal
from pathlib import Path
from typing import Any, List

import pytest

from blackbox import Compiler, Session, environment, execs_of, run, run_traced, status_field, trace_command
from terminal import Terminal

MEGABYTE = 1024  # in kB, as /proc tells memory


def unusual_state() -> None:
    """Gives the process to be started attributes that differ from the defaults."""
    os.umask(0o027)
    os.nice(3)
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    signal.signal(signal.SIGTSTP, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR2, signal.SIGALRM, signal.SIGRTMIN + 5])
    resource.setrlimit(resource.RLIMIT_NOFILE, (300, 400))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_STACK, (4 << 20, 1 << 30))
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})


def inherited(command: List[str], traced: bool, **options: Any) -> List[str]:
    """The lines of inherited.c, native or traced."""
    result = run(trace_command(command) if traced else command, **options)
    assert (result.status, result.stderr) == (0, b"")
    return result.stdout.decode().splitlines()


def test_everything_is_inherited_as_without_a_tracer(compile_c: Compiler, tmp_path: Path) -> None:
    command = [compile_c("inherited.c"), "one", ""]
    native = inherited(command, False, cwd=str(tmp_path))
    assert "group {} session {}".format(os.getpgrp(), os.getsid(0)) in native
    assert inherited(command, True, cwd=str(tmp_path)) == native


def test_unusual_attributes_are_inherited_too(compile_c: Compiler, tmp_path: Path) -> None:
    first, second = os.pipe()
    for extra in (first, second):
        os.set_inheritable(extra, True)
    command = [compile_c("inherited.c")]
    try:
        native = inherited(command, False, cwd=str(tmp_path), preexec_fn=unusual_state, close_fds=False)
        traced = inherited(command, True, cwd=str(tmp_path), preexec_fn=unusual_state, close_fds=False)
    finally:
        os.close(first)
        os.close(second)
    assert {"umask 27", "nice %d" % min(19, os.nice(0) + 3), "limit 7 300 400"} <= {line for line in native}
    assert len([line for line in native if line.startswith("fd ")]) >= 5
    assert traced == native


def test_closed_standard_streams_stay_closed(compile_c: Compiler, tmp_path: Path) -> None:
    """The descriptors that we open must not slip into the places of closed ones."""
    program = compile_c("inherited.c")
    shell = 'exec 0<&- 2>&-; exec "$@"'
    native = inherited(["sh", "-c", shell, "sh", program], False)
    options = ["--output", str(tmp_path / "detections")]
    traced = run(["sh", "-c", shell, "sh"] + trace_command([program], options))
    assert traced.status == 0
    assert traced.stdout.decode().splitlines() == native
    assert [line.split()[1] for line in native if line.startswith("fd ")] == ["1"]


def test_the_terminal_is_the_command_s(compile_c: Compiler) -> None:
    program = compile_c("inherited.c")
    for command in ([program], trace_command([program])):
        with Terminal(command) as terminal:
            terminal.expect("terminal foreground")
            assert terminal.finish() == 0


def test_the_environment_of_the_tracer_leaves_no_trace(compile_c: Compiler) -> None:
    clean = {"PATH": os.environ["PATH"], "PYTHONPATH": environment()["PYTHONPATH"], "LC_ALL": "C"}
    command = [compile_c("inherited.c")]
    assert inherited(command, True, env=clean) == inherited(command, False, env=clean)


def test_no_new_privileges_is_unchanged() -> None:
    command = ["grep", "-E", "^(NoNewPrivs|Cap)", "/proc/self/status"]
    native = run(command)
    if os.geteuid() == 0:  # without CAP_SYS_ADMIN a filter needs it, see seccomp(2)
        assert run(trace_command(command)) == native
    assert run(trace_command(command, ["--disable-seccomp"])) == native


@pytest.mark.root
def test_another_user_s_command(compile_c: Compiler, public_dir: Path) -> None:
    program = public_dir / "identity"
    shutil.copy(compile_c("identity.c"), str(program))
    result = run_traced([str(program)], ["--uid", "1234", "--gid", "4321"])
    assert result[:3] == (0, b"uid 1234 1234 1234 gid 4321 4321 4321 groups 0\n", b"")
    (event,) = execs_of(result.events, program)
    assert (event["process"]["uid"], event["process"]["gid"]) == (1234, 4321)


def test_resident_memory_of_the_tracer(compile_c: Compiler, tmp_path: Path) -> None:
    opens = 5003
    (tmp_path / "file").write_text("")
    output = tmp_path / "events"
    options = ["--events", "--format", "json", "--output", str(output)]
    command = trace_command([compile_c("many_opens.c"), str(tmp_path / "file"), str(opens)], options)
    with Session(command) as session:
        word, pid = session.line(60).split()
        tracer = int(status_field(int(pid), "TracerPid"))
        resident = int(status_field(tracer, "VmRSS").split()[0])
        assert (word, session.finish().status) == ("done", 0)
    assert resident < 16 * MEGABYTE
    assert output.read_bytes().count(str(tmp_path / "file").encode()) >= opens


def test_a_descriptor_of_ours_never_shows_in_ls() -> None:
    command = ["sh", "-c", "ls /proc/self/fd; ls /proc/$$/fd; sh -c 'ls /proc/self/fd'; true"]
    native = run(command)
    assert native.stdout.startswith(b"0\n1\n2\n3\n0\n1\n2\n")
    assert run_traced(command)[:3] == native[:3]


@pytest.mark.parametrize("most", [0, 65535])
def test_a_limit_on_the_size_of_files_is_the_commands_alone(most: int) -> None:
    """What ebpfless itself shares in a file of memory is larger."""
    result = run(trace_command(["sh", "-c", "ulimit -f; exit 7"]),
                 preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (most, most)))
    assert result[:3] == (7, b"%d\n" % (most // 512), b"")
