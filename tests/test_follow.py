"""--follow: a program is traced whenever it runs, however often it is started anew."""

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Any, List, Optional, Sequence, Set, Tuple, Type, cast

import pytest

from attaching import slowness, tracers
from blackbox import (Event, Session, ebpfless, environment, event_options, named, read_events, rule, run, wait_until,
                      write_policy)
from cgroups import remove_cgroup
from ebpfless_arch.agent.evaluation import Agent, Source
from ebpfless_arch.agent.following import Following
from ebpfless_arch.agent.outputs import Voice
from ebpfless_arch.agent.whole_system import Observer
from ebpfless_arch.events import records
from ebpfless_arch.events.processes import Processes
from ebpfless_arch.events.records import Record, now
from ebpfless_arch.events.users import Users
from ebpfless_arch.kernel.memory import Memory
from ebpfless_arch.rules.ruleset import RuleSet
from ebpfless_arch.tracer import programs
from test_whole_system import WITHOUT_CONNECTOR, has_connector

BY_SCAN = ([[], pytest.param(WITHOUT_CONNECTOR, marks=pytest.mark.slow)] if has_connector() else [[]])
BY_CONNECTOR = pytest.mark.skipif(not has_connector(), reason="needs the proc connector: root of the host's namespaces")
SECONDS = 1.0
"""Within which a program is traced again; a machine that is busy takes its time."""

PATIENT_SECONDS = 30.0


class Follower:
    """`trace --events --follow ...` at work."""

    def __init__(self, words: Sequence[str], output: Path, prefix: Sequence[str] = (), more: Sequence[str] = ()) -> None:
        self._output = str(output)
        options = [option for word in words for option in ("--follow", word)]
        self.session = Session(list(prefix) + ebpfless("trace", "--probe-addr", "none", "--proc-scan-rate", "100ms", *(
            event_options(self._output) + options + list(more))), env=environment())

    def __enter__(self) -> "Follower":
        self.session.__enter__()
        wait_until(lambda: b"tracing what is to be followed" in self.session.errors(), "it waits for the program")
        return self

    def __exit__(self, kind: Optional[Type[BaseException]], value: Optional[BaseException],
                 traceback: Optional[TracebackType]) -> None:
        self.session.__exit__(kind, value, traceback)

    def has(self, pid: int) -> bool:
        """Whether every thread of a process is traced."""
        return bool(tracers(pid)) and 0 not in tracers(pid)

    def end(self) -> List[Event]:
        """Tell it to end; returns its events."""
        os.kill(self.session.pid, signal.SIGINT)
        assert self.session.finish(20).status == 0
        return read_events(self._output)


def restart(command: Sequence[str], follower: Follower, times: int) -> List[int]:
    """Start a program so often, and see that it is traced each time; returns the ids."""
    pids = []
    for _ in range(times):
        slow = slowness()
        began = time.monotonic()
        with subprocess.Popen(list(command), stdout=subprocess.DEVNULL) as process:
            pids.append(process.pid)
            try:
                wait_until(lambda: follower.has(process.pid), "it is traced again", PATIENT_SECONDS)
                took = time.monotonic() - began
                assert took <= SECONDS * max(slow, slowness())
            finally:
                process.terminate()
    return pids


@pytest.mark.root
@pytest.mark.parametrize("prefix", BY_SCAN, ids=["connector", "scan"][:len(BY_SCAN)])
def test_redis_is_traced_again_after_each_of_5_restarts(prefix: List[str], public_dir: Path, tmp_path: Path) -> None:
    if shutil.which("redis-server") is None:
        pytest.skip("needs redis-server")
    command = ["redis-server", "--port", "0", "--unixsocket", str(public_dir / "socket"), "--dir", str(public_dir), "--save", ""]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as first:
        with Follower(["redis-server"], tmp_path / "events", prefix) as follower:
            wait_until(lambda: follower.has(first.pid), "what runs already is traced")
            first.terminate()
            first.wait()
            pids = restart(command, follower, 5)
            wait_until(lambda: len(named(read_events(str(tmp_path / "events")), "exit")) >= 6, "all ends are told")
            events = follower.end()
    for pid in pids:
        own = [event for event in events if event["process"]["pid"] == pid]
        assert len(named(own, "exec")) == len(named(own, "exit")) == 1, named(own, "exec")


@pytest.mark.slow
def test_by_path_and_by_script(public_dir: Path, tmp_path: Path) -> None:
    program, script = public_dir / "program", public_dir / "script"
    shutil.copy("/bin/sleep", str(program))
    script.write_text("#!/bin/sh\nread word\n")
    script.chmod(0o755)
    link = public_dir / "link"
    link.symlink_to(program)
    with Follower([str(link), str(script)], tmp_path / "events") as follower:
        other = subprocess.Popen(["sleep", "1000"])
        for command in ([str(program), "1000"], [str(script)]):
            with subprocess.Popen(command, stdin=subprocess.PIPE) as process:
                wait_until(lambda: follower.has(process.pid), "it is traced", PATIENT_SECONDS)
                process.kill()
        assert tracers(other.pid) == [0]
        other.kill()
        other.wait()
        follower.end()


@pytest.mark.slow
def test_a_tracer_that_is_killed_while_it_waits_is_replaced(tmp_path: Path, public_dir: Path) -> None:
    program = public_dir / "program"
    shutil.copy("/bin/sleep", str(program))
    with Follower(["program"], tmp_path / "events") as follower:
        (tracer,) = [int(name) for name in os.listdir("/proc") if name.isdigit() and _is_tracer_of(int(name), follower.session.pid)]
        os.kill(tracer, signal.SIGKILL)
        restart([str(program), "1000"], follower, 3)
        follower.end()


def _is_tracer_of(pid: int, keeper: int) -> bool:
    try:
        words = Path("/proc/%d/stat" % pid).read_text().rpartition(")")
    except OSError:
        return False
    return words[0].endswith("(ebpfless-tracer") and words[2].split()[1] == str(keeper)


class Told:
    """A view that tells what it is given."""

    def __init__(self) -> None:
        self.news: List[Tuple[bool, Record]] = []
        self.way, self.problem, self.refusal = "proc_connector", "", ""

    def read(self) -> List[Tuple[bool, Record]]:
        news, self.news = self.news, []
        return news


def test_a_child_of_before_its_parent_was_taken_is_followed_however_late_it_is_told_of(tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_text("#!/bin/sh\nsleep 1000 & echo $!; sleep 1000 & echo $!; wait\n")
    script.chmod(0o755)
    asked: List[int] = []
    taken: Set[int] = set()
    agent = Agent(RuleSet([]), Source(Processes(Users()), lambda action, event: {}), [], False, False, Voice())
    view = Told()
    observer = Observer(agent, cast(Any, view), taken.__contains__, lambda text: None,
                        Following([str(script)], agent, asked.append), False)
    with Session([str(script)]) as session:
        first, second = int(session.line()), int(session.line())
        view.news.append((False, programs.snapshot(session.pid, Memory(["process_vm_readv", "mem"]), False)))
        observer.pump()
        assert asked == [session.pid]
        # The tracer has it, by its own news, when the view tells that it had two children before. One of them has been had since.
        taken.update([session.pid, second])
        view.news += [(True, (records.FORK, now(), child, child, session.pid)) for child in (first, second)]
        observer.pump()
        assert asked == [session.pid, first]
    view.news.append((True, (records.FORK, now(), first, first, session.pid)))
    asked.clear()
    observer.pump()
    assert asked == [], "it is no more"


def test_follow_and_a_command_are_two_things() -> None:
    result = run(ebpfless("trace", "--follow", "nginx", "--", "true"))
    assert result.status == 2 and b"--follow" in result.stderr and len(result.stderr.splitlines()) == 1


def new_unit(name: str) -> str:
    """Makes a cgroup where systemd would: in the hierarchy by which a process's unit is told."""
    for folder in ("/sys/fs/cgroup/unified", "/sys/fs/cgroup/systemd", "/sys/fs/cgroup"):
        path = os.path.join(folder, "ebpfless-test-%d" % os.getpid(), name)
        try:
            if os.path.exists(os.path.join(folder, "cgroup.procs")):
                os.makedirs(path)
                return path
        except OSError:
            continue
    pytest.skip("needs a cgroup file system that can be written")


@pytest.mark.root
@pytest.mark.slow
def test_a_unit_is_followed_with_all_its_processes(tmp_path: Path) -> None:
    unit = new_unit("app.service")
    # Whoever starts a unit moves it into its cgroup before it executes the program.
    join = "echo 0 >{}/cgroup.procs; exec sh -c 'sleep 1000 & echo $!; wait'".format(unit)
    with Follower(["app.service"], tmp_path / "events") as follower:
        for _ in range(2):
            shell = subprocess.Popen(["sh", "-c", join], stdout=subprocess.PIPE)
            assert shell.stdout is not None
            child = int(shell.stdout.readline())
            try:
                wait_until(lambda: follower.has(shell.pid) and follower.has(child), "both are traced", PATIENT_SECONDS)
            finally:
                os.kill(child, signal.SIGKILL)
                shell.communicate()
        follower.end()
    remove_cgroup(unit)


def killed(program: Path) -> int:
    """Starts a program that a rule kills once it is traced; returns its id."""
    with subprocess.Popen([str(program), "1000"]) as process:
        assert process.wait(PATIENT_SECONDS) == -signal.SIGUSR1
        return process.pid


@pytest.mark.parametrize("prefix", [pytest.param([], marks=BY_CONNECTOR), pytest.param(WITHOUT_CONNECTOR, marks=[pytest.mark.root, pytest.mark.slow])],
                         ids=["connector", "scan"])
def test_without_the_view_nobody_is_told_of_or_killed_but_what_is_followed(prefix: List[str], public_dir: Path, tmp_path: Path) -> None:
    followed, victim = public_dir / "followed", public_dir / "victim"
    for program in (followed, victim):
        shutil.copy("/bin/sleep", str(program))
    policy = write_policy(public_dir / "policy.json", [rule(
        "both", 'exec.file.path in ["{}", "{}"]'.format(followed, victim), actions=[{"kill": {"signal": "SIGUSR1"}}])])
    with Follower(["followed"], tmp_path / "events", prefix, ["--disable-proc-scan", "--policy", policy]) as follower:
        first = killed(followed)  # from then on the connector is heard
        with subprocess.Popen([str(victim), "1000"]) as stranger:
            second = killed(followed)  # by then the stranger has been seen as well
            assert stranger.poll() is None
            stranger.kill()
        events = follower.end()
    assert {event["process"]["pid"] for event in events} == {first, second}
    assert not [event for event in events if "seen_by" in event["evt"]["variables"]]


@BY_CONNECTOR
def test_children_of_before_are_left_alone_and_those_of_a_later_start_are_had(public_dir: Path, tmp_path: Path) -> None:
    script = public_dir / "script"
    script.write_text("#!/bin/sh\nsleep 1000 & echo $!; wait\n")
    script.chmod(0o755)
    with Session([str(script)]) as before:
        early = int(before.line())
        wait_until(lambda: Path("/proc/%d/comm" % early).read_text() == "sleep\n", "the child runs its program")
        with Follower(["script"], tmp_path / "events") as follower:
            wait_until(lambda: follower.has(before.pid), "what runs already is traced", PATIENT_SECONDS)
            with Session([str(script)]) as later:
                child = int(later.line())
                wait_until(lambda: follower.has(later.pid) and follower.has(child), "both are traced", PATIENT_SECONDS)
                assert tracers(early) == [0]
            told = [line for line in follower.session.errors().splitlines() if line.endswith(b"is traced from now on")]
            follower.end()
    assert all(b"(script)" in line or b"(sleep), started by one of those that are followed," in line for line in told), told
