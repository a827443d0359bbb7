"""Attach mode: running programs are seen from then on, and left as they were, in whatever state they are."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import List, Optional

import pytest

from attaching import END, Attached, Loading, field, states, tasks, tracers
from blackbox import (Compiler, Event, Result, Session, ebpfless, environment, execs_of, is_detection, named, opens_of, retval, rule,
                      run, status_field, wait_until, write_policy)
from ordinary import copy_for_all, become_nobody, interpreter

# Threads that open a file again and again, and say how often each has done so.
THREADS = """
import os, sys, threading, time
counts = [0] * int(sys.argv[2])
def work(number):
    while True:
        os.close(os.open(sys.argv[1], os.O_RDONLY))
        counts[number] += 1
        time.sleep(0.001)
for number in range(len(counts)):
    threading.Thread(target=work, args=(number,), daemon=True).start()
print("ready", flush=True)
for line in sys.stdin:
    print(min(counts), flush=True)
sys.exit(7)
"""


def say(session: Session, word: str) -> str:
    assert session.process.stdin is not None
    session.process.stdin.write(word.encode() + b"\n")
    session.process.stdin.flush()
    return session.line()


def snapshots(events: List[Event]) -> List[Event]:
    return [event for event in events if event["evt"]["variables"].get("from_procfs")]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "file"
    path.write_text("content\n")
    return path


def threads(file: Path, count: int = 5) -> Session:
    session = Session([sys.executable, "-c", THREADS, str(file), str(count)], env=environment(WORD="secret value"))
    assert session.line() == "ready"
    return session


def test_every_thread_is_seen_and_left_as_it_was(file: Path, tmp_path: Path) -> None:
    with threads(file) as program:
        before = int(say(program, "count"))
        with Attached([program.pid], tmp_path / "events") as trace:
            assert set(tracers(program.pid)) == {trace.tracer}
            wait_until(lambda: len({event["process"]["tid"] for event in opens_of(trace.events, file)}) == 5,
                       "opens of each thread are seen")
            during = int(say(program, "count"))
            result = trace.end()
        assert (result.status, result.stdout) == (0, b"")
        assert set(tracers(program.pid)) == {0} and "T" not in states(program.pid) and "t" not in states(program.pid)
        wait_until(lambda: int(say(program, "count")) > during > before, "every thread goes on")
        assert program.finish().status == 7
    (first,) = snapshots(trace.events)
    assert first["evt"]["name"] == "exec" and trace.events[0] == first
    assert first["process"]["pid"] == program.pid
    assert first["process"]["args"][-2:] == [str(file), "5"]
    assert first["process"]["executable"]["path"] == os.path.realpath(sys.executable)
    assert "WORD" in first["process"]["envs"] and "secret" not in repr(first)
    assert first["process"]["credentials"]["uid"] == os.getuid()
    assert first["process"]["fork_time"] < first["date"]
    assert first["evt"]["variables"]["cwd"] == os.getcwd()
    assert first["evt"]["variables"]["descriptors"]["0"].startswith("pipe:")
    assert os.getpid() in [ancestor["pid"] for ancestor in first["process"]["ancestors"]]


@pytest.mark.slow
def test_the_cost_is_told_at_the_start(file: Path, tmp_path: Path) -> None:
    with threads(file) as program:
        for level, word in (("full", b"every system call"), ("process", b"programs and ends of processes only")):
            with Attached([program.pid], tmp_path / "events", ["--attach-level", level]) as trace:
                result = trace.end()
            (line,) = result.stderr.splitlines()
            assert line.startswith(b"ebpfless: tracing 1 running process; ") and word in line


def test_later_children_are_traced_and_those_of_before_are_not(file: Path, tmp_path: Path) -> None:
    code = "sleep 1000 & echo $!; while read word; do cat {0} >/dev/null; echo done; done".format(file)
    with Session(["sh", "-c", code]) as program:
        old = int(program.line())
        with Attached([program.pid], tmp_path / "events") as trace:
            assert tracers(old) == [0]
            assert say(program, "go") == "done"
            wait_until(lambda: len(opens_of(trace.events, file)) == 1, "the child's open is seen")
        os.kill(old, signal.SIGKILL)
        program.finish()
    (event,) = opens_of(trace.events, file)
    assert event["process"]["ppid"] == program.pid
    assert event["process"]["executable"]["name"] == "cat"
    (seen,) = execs_of(trace.events, os.path.realpath("/bin/cat"))
    assert seen["process"]["args"] == [str(file)]


@pytest.mark.parametrize("level", ["full", pytest.param("process", marks=pytest.mark.slow)])
def test_no_call_is_seen_to_fail_and_a_vforked_child_does_not_hold_us_up(level: str, compile_c: Compiler, file: Path,
                                                                       tmp_path: Path) -> None:
    with Session([compile_c("waits.c"), str(file)]) as program:
        assert program.line() == "ready"
        for _ in range(2):
            with Attached([program.pid], tmp_path / "events", ["--attach-level", level]) as trace:
                assert say(program, "open") == "done"
                if level == "full":
                    wait_until(lambda: len(opens_of(trace.events, file)) > 0, "the open is seen")
            (tmp_path / "events").unlink()
            assert set(tracers(program.pid)) == {0}
        assert say(program, "count") == "0" and program.line() == "done"
        with Attached([program.pid], tmp_path / "events", ["--attach-level", level]) as trace:
            child = int(say(program, "vfork"))
            assert trace.end().status == 0
        assert set(tracers(program.pid)) == {0} and tracers(child) == [0]
        os.kill(child, signal.SIGKILL)
        assert say(program, "count") == "0" and program.line() == "done"
        assert program.finish().status == 7


@pytest.mark.slow
def test_a_program_that_executes_itself_by_its_threads_is_had(compile_c: Compiler, tmp_path: Path) -> None:
    program = compile_c("execs_by_thread.c")
    for _ in range(5):
        with Session([program]) as session, Session(ebpfless(
                "trace", "--probe-addr", "none", "--attach-level", "process", "--pid", str(session.pid))) as trace:
            wait_until(lambda: b"\n" in trace.errors(), "it is had, or cannot be", 60)
            # Whoever is too fast for us is not had, and told so; nobody else is refused, or taken for dead.
            if b"come and go faster" not in trace.errors():
                assert b"tracing 1 running process" in trace.errors(), trace.errors()
                assert say(session, "enough") == "end"
                os.kill(trace.pid, signal.SIGINT)
                assert trace.finish().status == 0
                assert set(tracers(session.pid)) == {0}
            else:
                assert trace.finish().status == 1 and say(session, "enough") == "end"
            assert session.finish().status == 7


@pytest.mark.parametrize("when", ["before", pytest.param("during", marks=pytest.mark.slow)])
def test_a_stopped_program_stays_stopped(when: str, file: Path, tmp_path: Path) -> None:
    with threads(file) as program:
        if when == "before":
            os.kill(program.pid, signal.SIGSTOP)
            wait_until(lambda: states(program.pid) == "TTTTTT", "it is stopped")
        with Attached([program.pid], tmp_path / "events") as trace:
            os.kill(program.pid, signal.SIGSTOP)
            wait_until(lambda: set(states(program.pid)) <= {"t", "T"}, "all of it is stopped")
            assert trace.end().status == 0
        assert set(tracers(program.pid)) == {0} and states(program.pid) == "TTTTTT"
        os.kill(program.pid, signal.SIGCONT)
        count = int(say(program, "count"))
        wait_until(lambda: int(say(program, "count")) > count, "every thread goes on")


@pytest.mark.slow
def test_a_program_that_is_continued_under_trace_goes_on(file: Path, tmp_path: Path) -> None:
    with threads(file) as program:
        os.kill(program.pid, signal.SIGSTOP)
        with Attached([program.pid], tmp_path / "events") as trace:
            os.kill(program.pid, signal.SIGCONT)
            wait_until(lambda: len({event["process"]["tid"] for event in opens_of(trace.events, file)}) == 5, "it goes on")


@pytest.mark.parametrize("number", [signal.SIGTERM, pytest.param(signal.SIGHUP, marks=pytest.mark.slow)])
def test_what_ends_it(number: int, file: Path, tmp_path: Path) -> None:
    with threads(file) as program:
        with Attached([program.pid], tmp_path / "events") as trace:
            assert trace.end(number).status == 0
        assert set(tracers(program.pid)) == {0}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT])
def test_who_is_told_to_end_while_it_loads_ends_as_later(number: int, file: Path, tmp_path: Path) -> None:
    with threads(file) as program:
        with Loading("trace", tmp_path, ["--probe-addr", "none", "--pid", str(program.pid)]) as trace:
            os.kill(trace.pid, number)
            result = trace.finish(END)
        assert (result.status, result.stderr) == (0, b"")
        assert set(tracers(program.pid)) == {0}


def test_a_command_that_has_not_begun_is_ended_by_the_signal_itself(tmp_path: Path) -> None:
    with Loading("trace", tmp_path, ["--probe-addr", "none", "--", "true"]) as trace:
        os.kill(trace.pid, signal.SIGTERM)
        assert trace.finish(END).status == -signal.SIGTERM


@pytest.mark.slow
def test_it_ends_with_the_last_program(file: Path, tmp_path: Path) -> None:
    with threads(file) as one, threads(file) as two:
        with Attached([one.pid, two.pid], tmp_path / "events") as trace:
            assert one.finish().status == 7
            wait_until(lambda: len(named(trace.events, "exit")) == 1, "the first has ended")
            assert trace.session.process.poll() is None
            os.kill(two.pid, signal.SIGKILL)
            trace.result = trace.session.finish()
        assert trace.result.status == 0
    ends = {event["process"]["pid"]: event["exit"] for event in named(trace.events, "exit")}
    assert ends == {one.pid: {"cause": "EXITED", "code": 7}, two.pid: {"cause": "SIGNALED", "code": 9}}


def test_a_program_outlives_its_tracer_which_is_replaced(file: Path, tmp_path: Path) -> None:
    with threads(file) as program:
        with Attached([program.pid], tmp_path / "events") as trace:
            for number in range(3):
                old = trace.tracer
                os.kill(old, signal.SIGKILL)
                wait_until(lambda: set(tracers(program.pid)).isdisjoint([0, old]), "another tracer takes over")
                seen = len(opens_of(trace.events, file))
                wait_until(lambda: len(opens_of(trace.events, file)) > seen + 10, "it sees the program")
                count = int(say(program, "count"))
                wait_until(lambda: int(say(program, "count")) > count, "every thread goes on")
        assert set(tracers(program.pid)) == {0}
        assert program.finish().status == 7
    gaps = [event["evt"]["variables"]["reason"] for event in named(trace.events, "blind_spot")
            if event["evt"]["variables"]["kind"] == "tracer"]
    assert len(gaps) == 3 and all("6 threads are traced again" in gap for gap in gaps)


@pytest.mark.slow
def test_a_program_outlives_keeper_and_tracer(file: Path, tmp_path: Path) -> None:
    with threads(file) as program:
        with Attached([program.pid], tmp_path / "events") as trace:
            os.kill(trace.session.pid, signal.SIGKILL)
            trace.result = trace.session.finish()
        wait_until(lambda: set(tracers(program.pid)) == {0}, "the tracer lets go without its keeper")
        count = int(say(program, "count"))
        wait_until(lambda: int(say(program, "count")) > count, "every thread goes on")


PROCESSES = """
import os, subprocess, sys
for line in sys.stdin:
    open(sys.argv[1]).close()
    if os.fork() == 0:
        os.setresgid(5, 5, 5)
        os.setresuid(3, 3, 3)
        os._exit(2)
    os.wait()
    subprocess.call(["/bin/sh", "-c", "exit 3"])
    subprocess.call([sys.argv[2], "word"])
    print("done", flush=True)
"""


@pytest.mark.root
def test_the_level_of_processes_sees_beginnings_programs_identities_and_ends(file: Path, tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_text("#!/bin/sh\nexit 4\n")
    script.chmod(0o755)
    with Session([sys.executable, "-c", PROCESSES, str(file), str(script)]) as program:
        with Attached([program.pid], tmp_path / "events", ["--attach-level", "process"]) as trace:
            assert say(program, "go") == "done"
            wait_until(lambda: len(named(trace.events, "exit")) == 3, "all ends are seen")
    events = trace.events
    assert named(events, "open") == [] and len(named(events, "fork")) == 3
    children = [event["process"]["pid"] for event in named(events, "fork")]
    assert [event["exit"]["code"] for event in named(events, "exit")] == [2, 3, 4]
    (user,), (group,) = named(events, "setuid"), named(events, "setgid")
    assert user["process"]["pid"] == group["process"]["pid"] == children[0]
    assert user["process"]["credentials"]["destination"]["uid"] == 3
    assert group["process"]["credentials"]["destination"]["gid"] == 5
    shell, by_name = [event for event in named(events, "exec") if not event["evt"]["variables"].get("from_procfs")]
    assert shell["process"]["args"] == ["-c", "exit 3"] and shell["process"]["ppid"] == program.pid
    assert by_name["file"]["path"] == str(script)
    assert by_name["process"]["interpreter"]["path"] == os.path.realpath("/bin/sh")


def test_rules_see_an_attached_program_as_what_it_executed(tmp_path: Path) -> None:
    policy = write_policy(tmp_path / "policy.json", [
        rule("runs_sleep", 'exec.file.name == "sleep" && exec.args =~ "*1001*"')])
    sleep = subprocess.Popen(["sleep", "1001"])
    try:
        with Attached([sleep.pid], tmp_path / "events", ["--policy", policy]) as trace:
            wait_until(lambda: len(trace.events) == 2, "event and detection are there")
    finally:
        sleep.kill()
        sleep.wait()
    assert [is_detection(event) for event in trace.events] == [False, True]


# --- refusals ---------------------------------------------------------------------------

def refusal(*pids: int) -> List[str]:
    """What is said of processes none of which can be traced."""
    result = run(ebpfless("trace", "--probe-addr", "none", "--pid", ",".join(map(str, pids))))
    assert (result.status, result.stdout) == (1, b"")
    return result.stderr.decode().splitlines()


def test_a_process_that_is_not_there() -> None:
    gone = subprocess.Popen(["true"])
    gone.wait()
    assert refusal(gone.pid) == ["ebpfless: there is no process %d" % gone.pid]


def number_again(pid: int) -> "Optional[subprocess.Popen[bytes]]":
    """Another process with this number, None where others were faster."""
    Path("/proc/sys/kernel/ns_last_pid").write_text(str(pid - 1))
    process = subprocess.Popen(["sleep", "600"])
    if process.pid == pid:
        return process
    process.kill()
    process.wait()
    return None


@pytest.mark.root
@pytest.mark.parametrize("was_there", [True, False])
def test_another_process_that_has_got_the_number_meanwhile(was_there: bool, tmp_path: Path) -> None:
    """While ebpfless loads its policy the process ends, and its number comes to be used again."""
    named = subprocess.Popen(["sleep", "600"])
    if not was_there:
        named.kill()
        named.wait()
    loading = Loading("trace", tmp_path, ["--probe-addr", "none", "--pid", str(named.pid)])
    with loading as session:
        named.kill()
        named.wait()
        found: "List[subprocess.Popen[bytes]]" = []

        def is_used() -> bool:
            found.extend(filter(None, [number_again(named.pid)]))
            return bool(found)
        wait_until(is_used, "the number is used again")
        loading.give(json.dumps({"rules": [rule("x", 'open.file.path == "/nowhere"')]}).encode())
        result = session.finish(30)
        assert field(named.pid, named.pid, "TracerPid") == "0" and found[0].poll() is None
        found[0].kill()
        found[0].wait()
    words = "process %d has ended, and another one has its number now" if was_there else "there was no process %d"
    assert (result.status, result.stderr.decode()) == (1, "ebpfless: %s\n" % (words % named.pid))


def test_a_zombie() -> None:
    zombie = subprocess.Popen(["true"])
    wait_until(lambda: status_field(zombie.pid, "State").startswith("Z"), "it has ended")
    (line,) = refusal(zombie.pid)
    zombie.wait()
    assert "has ended" in line and "zombie" in line and str(os.getpid()) in line


@pytest.mark.skipif(status_field(2, "Name") != "kthreadd", reason="no kernel threads can be seen from here")
def test_a_kernel_thread() -> None:
    assert "a thread of the kernel (kthreadd)" in refusal(2)[0]


def test_a_thread(file: Path) -> None:
    with threads(file) as program:
        tid = [tid for tid in tasks(program.pid) if tid != program.pid][0]
        assert refusal(tid) == ["ebpfless: %d is a thread of process %d; name that one" % (tid, program.pid)]


def test_a_process_that_is_traced_already(file: Path, tmp_path: Path) -> None:
    with threads(file) as program:
        with Attached([program.pid], tmp_path / "events") as trace:
            (line,) = refusal(program.pid)
            assert "traced already" in line and "%d (ebpfless-tracer)" % trace.tracer in line


@pytest.fixture
def python(public_dir: Path) -> str:
    """An interpreter that every user may run, with a copy of ebpfless for it in public_dir."""
    found: Optional[str] = interpreter()
    if found is None:
        pytest.skip("no interpreter that every user may run")
    copy_for_all(public_dir)
    return found


def attach_as_nobody(python: str, folder: Path, pid: int) -> Result:
    """What an unprivileged user is told who attaches."""
    return run([python] + ebpfless("trace", "--probe-addr", "none", "--pid", str(pid))[1:], preexec_fn=become_nobody, cwd="/",
               env=dict(os.environ, PYTHONPATH=str(folder)))


def test_ourselves() -> None:
    (line,) = run(["sh", "-c", 'exec "$@" --pid $$', "sh"] + ebpfless("trace", "--probe-addr", "none")).stderr.splitlines()
    assert line.endswith(b"is ebpfless itself")


@pytest.mark.slow
@pytest.mark.root
def test_another_users_process(python: str, public_dir: Path) -> None:
    result = attach_as_nobody(python, public_dir, os.getpid())
    (line,) = result.stderr.decode().splitlines()
    assert result.status == 1 and "belongs to user 0, and we are user 65534; run ebpfless as root" in line


@pytest.mark.root
def test_a_set_user_id_program_of_the_same_user(python: str, public_dir: Path) -> None:
    sleep = public_dir / "sleep"
    shutil.copy("/bin/sleep", str(sleep))
    sleep.chmod(0o4755)
    program = subprocess.Popen([str(sleep), "600"], preexec_fn=become_nobody, cwd="/")
    wait_until(lambda: status_field(program.pid, "Uid").split() == ["65534", "0", "0", "0"], "it has root's rights")
    result = attach_as_nobody(python, public_dir, program.pid)
    program.kill()
    program.wait()
    assert (result.status, result.stderr.decode()) == (1, (
        "ebpfless: process %d cannot be traced: it has the rights of user 0 besides ours, as set-user-ID programs have; run ebpfless "
        "as root\n" % program.pid))


UNDUMPABLE = """
import ctypes, sys
assert ctypes.CDLL(None).prctl(4, 0, 0, 0, 0) == 0  # PR_SET_DUMPABLE
print("ready", flush=True)
sys.stdin.read()
"""


def can_make_user_namespaces() -> bool:
    return shutil.which("unshare") is not None and run(["unshare", "-Ur", "true"]).status == 0


@pytest.mark.skipif(not can_make_user_namespaces(), reason="no user namespaces here")
def test_a_process_of_an_outer_user_namespace() -> None:
    with subprocess.Popen(["sleep", "1000"]) as outside:
        try:
            result = run(["unshare", "-Ur"] + ebpfless("trace", "--probe-addr", "none", "--pid", str(outside.pid)))
        finally:
            outside.kill()
    (line,) = result.stderr.decode().splitlines()
    assert result.status == 1 and line.startswith("ebpfless: process %d cannot be traced: we have CAP_SYS_PTRACE" % outside.pid)
    assert "refuses this one (EPERM): it is of a user namespace outside of ours" in line and "cap-add" not in line


@pytest.mark.root
def test_a_process_that_is_undumpable_for_who_is_not_root(python: str, public_dir: Path) -> None:
    with Session([python, "-c", UNDUMPABLE], preexec_fn=become_nobody, cwd="/") as program:
        assert program.line() == "ready"
        result = attach_as_nobody(python, public_dir, program.pid)
    (line,) = result.stderr.decode().splitlines()
    assert result.status == 1 and "made itself undumpable" in line and line.endswith("; run ebpfless as root"), line


@pytest.mark.slow
def test_the_others_are_traced_and_each_refusal_has_its_line(file: Path, tmp_path: Path) -> None:
    with threads(file) as program:
        with Attached([program.pid, 0x7FFFFFF0, 0x7FFFFFF1], tmp_path / "events") as trace:
            result = trace.end()
    assert result.status == 0
    assert [line.partition(b";")[0] for line in sorted(result.stderr.splitlines())] == [
        b"ebpfless: there is no process 2147483632", b"ebpfless: there is no process 2147483633",
        b"ebpfless: tracing 1 running process"]


@pytest.mark.parametrize("arguments,words", [
    (["--pid", "0"], ["'0'", "pidof"]), (["--pid", "12,x"], ["'12,x'", "no process id"]), (["--pid", "-3"], ["--pid"]),
    (["--pid", "1", "--uid", "5"], ["--uid", "COMMAND"]), (["--pid", "1", "--", "true"], ["true", "--pid"]),
    (["--pid", "1", "--attach-level", "none"], ["none"]),
    (["--attach-level", "process", "--", "true"], ["--attach-level", "--pid"])])
def test_wrong_usage(arguments: List[str], words: List[str]) -> None:
    result = run(ebpfless("trace", *arguments))
    (line,) = result.stderr.decode().splitlines()
    assert result.status == 2 and all(word in line for word in words), line
