"""The view of the whole system: what nobody traces is seen once, by the same rules, and can be ended."""

import calendar
import contextlib
import ctypes
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Iterator, List, Sequence, Tuple

import pytest

from attaching import Attached, slowness
from blackbox import (REPOSITORY, Event, Session, ebpfless, end_tree, environment, event_options, execs_of, file_path, is_detection, named, read_events, retval, rule, run,
                      status_field, trace_command, wait_until, write_policy)
from ebpfless_arch.kernel import fanotify, proc_connector
from ebpfless_arch.kernel.fanotify import Watcher
from ebpfless_arch.kernel.proc_connector import Connector
from ordinary import NOBODY, copy_for_all, interpreter
from probes import Probe

ON = {"EBPFLESS_TRACE_DISABLE_PROC_SCAN": "false"}
TRUE = os.path.realpath("/bin/true")


def has_connector() -> bool:
    try:
        Connector([proc_connector.EXEC]).close()
    except OSError:
        return False
    return True


def has_openings() -> bool:
    """Whether the kernel tells what is opened in order to be executed."""
    try:
        watcher = Watcher()
        try:
            watcher.add(b"/", fanotify.OPENED_TO_EXECUTE)
        finally:
            watcher.close()
    except OSError:
        return False
    return True


needs_connector = pytest.mark.skipif(not has_connector(), reason="needs the proc connector: root of the host's namespaces")
WITHOUT_CONNECTOR = ["unshare", "--net"]
AS_NOBODY = ["setpriv", "--reuid", str(NOBODY), "--regid", str(NOBODY), "--clear-groups"]


@pytest.fixture
def sleeper() -> Iterator[int]:
    """A process to attach to, so that there is a tracer with little to do."""
    process = subprocess.Popen(["sleep", "10000"])
    yield process.pid
    process.kill()
    process.wait()


class View(Attached):
    """`trace` of a sleeping process with the view on; it is at work when the block begins."""

    def __init__(self, sleeper: int, folder: Path, options: Sequence[str] = (), **more: Any) -> None:
        Attached.__init__(self, [sleeper], folder / "events",
                          ["--attach-level", "process", "--proc-scan-rate", "100ms"] + list(options), env=environment(**ON), **more)
        self._probe = folder / "begun-{}".format(os.getpid())

    def __enter__(self) -> "View":
        Attached.__enter__(self)
        shutil.copy("/bin/sleep", str(self._probe))
        with subprocess.Popen([str(self._probe), "1000"]) as marker:
            # Who runs already when the view begins is known, and no news: so somebody begins again and again.
            deadline = time.monotonic() + 30
            while not self.seen(marker.pid):
                assert time.monotonic() < deadline, self.session.errors()
                marker.kill()
                marker.wait()
                marker = subprocess.Popen([str(self._probe), "1000"])
                # What is seen is told some half a second later (agent/whole_system.py).
                end = time.monotonic() + 3
                while time.monotonic() < end and not self.seen(marker.pid):
                    time.sleep(0.01)
            marker.kill()
            marker.wait()
        return self

    def seen(self, pid: int) -> List[Event]:
        """The executions of a process. Between its fork and its execution, a scan may take it for what it is: a copy of us."""
        ours = Path("/proc/self/cmdline").read_text().split("\0")[1:-1]
        return [event for event in named(self.events, "exec")
                if event["process"]["pid"] == pid and event["process"]["args"] != ours]


def run_untraced(count: int) -> int:
    """Execute /bin/true so often, from a shell; returns the shell's id."""
    shell = subprocess.Popen(["bash", "-c", "for ((i = 0; i < {}; i++)); do /bin/true; done; :".format(count)])
    assert shell.wait() == 0
    return shell.pid


def children_of(events: Sequence[Event], pid: int, name: str) -> List[Event]:
    return [event for event in named(events, name) if event["process"]["ppid"] == pid]


def check_connector(count: int, sleeper: int, tmp_path: Path) -> None:
    with View(sleeper, tmp_path) as view:
        shell = run_untraced(count)
        wait_until(lambda: len(children_of(view.events, shell, "exit")) >= count, "the ends of all are seen")
    execs = children_of(view.events, shell, "exec")
    assert len(execs) == len({event["process"]["pid"] for event in execs}) == count
    # A process that is over before anybody looks, which happens on a machine that is busy, has a path by what it opened.
    unknown = [event["file"].get("path_resolution_error") for event in execs if file_path(event) != TRUE]
    assert unknown == [] if has_openings() else set(unknown) <= {"ESRCH"}
    assert {event["evt"]["variables"]["seen_by"] for event in execs} == {"proc_connector"}
    assert all(event["process"]["args"] == [] and event["process"]["parent"]["pid"] == event["process"]["pid"] for event in execs)
    assert len(children_of(view.events, shell, "fork")) == count
    assert {event["exit"]["code"] for event in children_of(view.events, shell, "exit")} == {0}


@needs_connector
def test_every_execution_is_seen_by_the_connector(sleeper: int, tmp_path: Path) -> None:
    check_connector(97, sleeper, tmp_path)


@needs_connector
@pytest.mark.slow
def test_many_executions_are_seen_by_the_connector(sleeper: int, tmp_path: Path) -> None:
    check_connector(997, sleeper, tmp_path)


RENAMING = "import ctypes, time\ntime.sleep(1)\nctypes.CDLL(None).prctl(15, b'another')\ntime.sleep(1000)"


@contextlib.contextmanager
def asleep(view: View) -> Iterator[None]:
    """The process that watches the system is stopped in this block, as on a machine that is too busy for it, and so is
    whoever would wake it."""
    (helper,) = helpers(view.session.pid)
    os.kill(view.session.pid, signal.SIGSTOP)
    wait_until(lambda: status_field(view.session.pid, "State").startswith("T"), "it is stopped")
    os.kill(helper, signal.SIGSTOP)
    wait_until(lambda: status_field(helper, "State").startswith("T"), "it is stopped")
    try:
        yield
    finally:
        os.kill(helper, signal.SIGCONT)
        os.kill(view.session.pid, signal.SIGCONT)


@pytest.mark.once
@pytest.mark.skipif(not (has_connector() and has_openings()), reason="needs the proc connector and fanotify's FAN_OPEN_EXEC")
def test_programs_that_are_over_before_anybody_looks_have_their_paths(sleeper: int, tmp_path: Path, public_dir: Path) -> None:
    script = public_dir / "script"
    script.write_text("#!/bin/sh\nexec /bin/true\n")
    script.chmod(0o755)
    broken = public_dir / "broken"
    broken.write_bytes(b"\x7fELF, but no program")
    broken.chmod(0o755)
    sh = os.path.realpath("/bin/sh")
    with View(sleeper, tmp_path) as view:
        with asleep(view):
            scripted = subprocess.Popen([str(script)])
            tried = subprocess.Popen(["/bin/sh", "-c", "{} 2>/dev/null; exec {} 2>/dev/null".format(broken, broken)])
            scripted.wait()
            tried.wait()
            survivor = subprocess.Popen(["/bin/sh", "-c", "exec sleep 1013"])
            wait_until(lambda: b"1013" in Path("/proc/%d/cmdline" % survivor.pid).read_bytes()[:12], "it is the second program")
        wait_until(lambda: len(view.seen(survivor.pid)) == 2 and len(view.seen(tried.pid)) == 1, "all are seen")
        survivor.kill()
        survivor.wait()
    first, second = view.seen(scripted.pid)
    assert (file_path(first), first["process"]["interpreter"]["path"]) == (str(script), sh) and file_path(second) == TRUE
    assert [file_path(event) for event in view.seen(survivor.pid)] == [sh, os.path.realpath("/bin/sleep")]
    assert [event["process"]["args"] for event in view.seen(survivor.pid)] == [[], ["1013"]]
    # That a file was opened to be executed does not say that it was: where that is not clear the path stays unknown.
    (shell,) = view.seen(tried.pid)
    assert file_path(shell) == "" and shell["file"]["path_resolution_error"] == "ESRCH"


_PIDFD_OPEN, _PIDFD_GETFD = 434, 438


def copy_of_descriptor(pid: int, number: int) -> int:
    """A descriptor of another process in this one (pidfd_getfd(2), Linux 5.6), -1 where that cannot be had."""
    libc = ctypes.CDLL(None)
    process = libc.syscall(_PIDFD_OPEN, pid, 0)
    copy = libc.syscall(_PIDFD_GETFD, process, number, 0)
    if process >= 0:
        os.close(process)
    return int(copy)


def leave_little_room(pid: int) -> None:
    """Shrinks the receive buffers of a process's sockets to a few messages."""
    for name in os.listdir("/proc/%d/fd" % pid):
        if os.readlink("/proc/%d/fd/%s" % (pid, name)).startswith("socket:"):
            with socket.socket(fileno=copy_of_descriptor(pid, int(name))) as theirs:
                theirs.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)


@needs_connector
@pytest.mark.slow
def test_what_there_was_no_room_for_is_counted_and_looked_up(sleeper: int, tmp_path: Path) -> None:
    own = copy_of_descriptor(os.getpid(), 2)
    if own < 0:
        pytest.skip("needs pidfd_getfd")
    os.close(own)
    before = subprocess.Popen(["sleep", "1019"])
    changing = subprocess.Popen(["sh", "-c", "read word; exec sleep 1021"], stdin=subprocess.PIPE)
    with View(sleeper, tmp_path) as view:
        with asleep(view):
            leave_little_room(helpers(view.session.pid)[0])
            first = subprocess.Popen(["sleep", "1031"])
            subprocess.check_call(["bash", "-c", "for ((i = 0; i < 31; i++)); do ( : ); done"])
            second = subprocess.Popen(["sleep", "1033"])
            assert changing.stdin is not None
            changing.stdin.write(b"go\n")
            changing.stdin.flush()
            before.kill()
            before.wait()
            wait_until(lambda: b"1021" in Path("/proc/%d/cmdline" % changing.pid).read_bytes(), "it has executed sleep")
        wait_until(lambda: any("more than there was room for" in event["evt"]["variables"]["reason"]
                               for event in named(view.events, "blind_spot")), "the loss is told")
        wait_until(lambda: all(view.seen(process.pid) for process in (first, second, changing)), "all are found")
        for process in (first, second, changing):
            process.kill()
            process.wait()
        wait_until(lambda: {process.pid for process in (before, first, second, changing)}
                   <= {event["process"]["pid"] for event in named(view.events, "exit")}, "their ends are seen")
    for process, word in ((first, "1031"), (second, "1033"), (changing, "1021")):
        assert [event["process"]["args"] for event in view.seen(process.pid)] == [[word]]
    ends = [event["process"]["pid"] for event in named(view.events, "exit")]
    assert len(ends) == len(set(ends))


HASTY = """
import os, sys, time
from ebpfless_arch.tracer.system import Haste
haste = Haste()
haste.begin()
if os.sched_getscheduler(0) & ~0x40000000 != os.SCHED_RR:
    sys.exit(77)
while os.sched_getscheduler(0) & ~0x40000000 == os.SCHED_RR and time.process_time() < 10:
    pass
print(time.process_time())
"""


@pytest.mark.root
def test_haste_is_bounded_even_while_it_does_not_wait() -> None:
    result = run([sys.executable, "-c", HASTY])
    if result.status == 77:
        pytest.skip("nobody may be in a hurry here (SCHED_RR)")
    # 0.1 s, and what Python needed to start.
    assert result.status == 0 and float(result.stdout) < 2


@pytest.mark.root
def test_the_scan_sees_what_lasts_and_nothing_twice(sleeper: int, tmp_path: Path) -> None:
    with View(sleeper, tmp_path, ["--verbose"], prefix=WITHOUT_CONNECTOR) as view:
        lasting = [subprocess.Popen(["sleep", "1003"]) for _ in range(7)]
        renamed = subprocess.Popen([sys.executable, "-c", RENAMING])
        shell = subprocess.Popen(["sh", "-c", "sleep 1; exec sleep 1009"])
        wait_until(lambda: len(view.seen(shell.pid)) == 2, "both programs of one process are seen")
        short = run_untraced(31)
        wait_until(lambda: all(view.seen(process.pid) for process in lasting), "they are seen")
        wait_until(lambda: status_field(renamed.pid, "Name") == "another" and view.seen(renamed.pid) != [], "it has another name")
        for process in lasting + [shell, renamed]:
            process.kill()
            process.wait()
        wait_until(lambda: {process.pid for process in lasting} <= {event["process"]["pid"] for event in named(view.events, "exit")},
                   "their ends are seen")
        result = view.end()
    for process in lasting:
        (event,) = view.seen(process.pid)
        assert event["evt"]["variables"]["seen_by"] == "proc_scan" and event["process"]["args"] == ["1003"]
    assert len(view.seen(renamed.pid)) == 1
    assert [event["process"]["args"] for event in view.seen(shell.pid)] == [["-c", "sleep 1; exec sleep 1009"], ["1009"]]
    lines = result.stderr.decode().splitlines()
    (why,) = [line for line in lines if "proc connector cannot be used" in line]
    assert "--network host" in why and "/proc is looked through every 100 ms instead" in why
    (summary,) = [line for line in lines if "the whole system by looks at /proc" in line]
    assert int(summary.partition("up to ")[2].split()[0]) >= 31 - len(children_of(view.events, short, "fork"))


@needs_connector
@pytest.mark.slow
def test_changes_of_identity_are_seen(sleeper: int, tmp_path: Path) -> None:
    code = "import os, time\nos.setgid(5)\nos.setuid(3)\ntime.sleep(1000)"
    with View(sleeper, tmp_path) as view:
        process = subprocess.Popen([sys.executable, "-c", code])
        wait_until(lambda: status_field(process.pid, "Uid").startswith("3"), "it has changed")
        wait_until(lambda: any(event["process"]["pid"] == process.pid for event in named(view.events, "setuid")), "it is seen")
        process.kill()
        process.wait()
    events = [event for event in view.events if event["process"]["pid"] == process.pid]
    (group,), (user,) = named(events, "setgid"), named(events, "setuid")
    assert group["process"]["credentials"]["destination"]["gid"] == 5
    assert (user["process"]["credentials"]["uid"], user["process"]["credentials"]["destination"]["uid"]) == (0, 3)


TREE = r"""
import os, subprocess, sys
while not os.path.exists(sys.argv[1]):
    subprocess.call(["/bin/sh", "-c", "/bin/true; (/bin/true); exec /bin/true"])
"""


@needs_connector
@pytest.mark.slow
def test_what_is_traced_is_told_by_its_tracer_alone(tmp_path: Path) -> None:
    output = str(tmp_path / "events")
    command = trace_command([sys.executable, "-c", TREE, str(tmp_path / "enough")], event_options(output))
    with Session(command, env=environment(**ON)) as session:
        deadline = time.monotonic() + 60
        stranger = run_untraced(1)
        while not children_of(read_events(output), stranger, "exit"):
            assert time.monotonic() < deadline
            stranger = run_untraced(1)
            time.sleep(0.2)
        last = run_untraced(7)
        wait_until(lambda: len(children_of(read_events(output), last, "exit")) == 7, "strangers are seen")
        (tmp_path / "enough").touch()
        assert session.finish().status == 0
    events = read_events(output)
    execs = [event for event in named(events, "exec") if retval(event) == 0]
    own = [event for event in execs if "seen_by" not in event["evt"]["variables"]]
    foreign = [event for event in execs if "seen_by" in event["evt"]["variables"]]
    assert len(own) > 20
    assert len(children_of(foreign, last, "exec")) == 7
    traced = {event["process"]["pid"] for event in own}
    assert not traced & {event["process"]["pid"] for event in foreign}
    programs = [(event["process"]["pid"], file_path(event)) for event in own]
    assert len(programs) == len(set(programs))


@needs_connector
@pytest.mark.slow
def test_a_view_that_is_killed_is_replaced(sleeper: int, tmp_path: Path) -> None:
    with View(sleeper, tmp_path) as view:
        (old,) = helpers(view.session.pid)
        os.kill(old, signal.SIGKILL)
        wait_until(lambda: helpers(view.session.pid) not in ([], [old]), "another one is there")
        shell = 0
        for _ in range(100):
            shell = run_untraced(1)
            time.sleep(0.05)
            if children_of(view.events, shell, "exec"):
                break
        assert children_of(view.events, shell, "exec")
    assert watcher_told(view) == ["was killed; another one begins after 1 s, and what happens until then and is over is not seen"]


def watcher_told(view: View) -> List[str]:
    """What was told of the process that watches the system."""
    texts = [event["evt"]["variables"]["reason"] for event in named(view.events, "blind_spot")]
    return [text.partition("the process that watches the whole system ")[2] for text in texts if "that watches" in text]


@needs_connector
@pytest.mark.slow
def test_a_view_that_is_stopped_is_woken(sleeper: int, tmp_path: Path) -> None:
    with View(sleeper, tmp_path) as view:
        os.kill(helpers(view.session.pid)[0], signal.SIGSTOP)
        wait_until(lambda: watcher_told(view) == ["(SIGSTOP); it goes on"], "it is told")
        shell = run_untraced(7)
        wait_until(lambda: len(children_of(view.events, shell, "exec")) == 7, "all is seen")


def helpers(keeper: int) -> List[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdigit() and status_field(int(name), "Name") == "ebpfless-system"
            and status_field(int(name), "PPid") == str(keeper)]


@needs_connector
@pytest.mark.slow
def test_a_probe_watches_its_host_and_takes_nothing_twice(tmp_path: Path) -> None:
    with Probe(tmp_path, "--system") as probe:
        untraced = run_untraced(7)  # all of it, for what begins once the probe listens is news
        traced = run(ebpfless("trace", "--probe-addr", probe.address, "--wait-probe", "20", "--", "sh", "-c",
                              "echo $$; /bin/true; /bin/true; :"))
        assert traced.status == 0
        own = int(traced.stdout)
        wait_until(lambda: len(children_of(read_events(probe.output), untraced, "exit")) == 7
                   and len(children_of(read_events(probe.output), own, "exit")) == 2, "all has come")
        assert probe.stop() == 0
    events = read_events(probe.output)
    assert len(children_of(events, untraced, "exec")) == 7
    of_traced = children_of(events, own, "exec")
    assert len(of_traced) == 2 and not any("seen_by" in event["evt"]["variables"] for event in of_traced)
    assert "the whole system by the proc connector: " in probe.errors()


@pytest.mark.once
@pytest.mark.root
@pytest.mark.parametrize("prefix", [[], WITHOUT_CONNECTOR], ids=["connector", "scan"])
def test_programs_of_other_users_are_told_as_far_as_they_show(prefix: List[str], public_dir: Path) -> None:
    """Their executables are hidden from an ordinary user, their arguments and names are not."""
    python = interpreter()
    assert python is not None
    copy_for_all(public_dir)
    output = public_dir / "events"
    output.write_text("")
    os.chown(str(output), NOBODY, NOBODY)
    script, program = public_dir / "script", public_dir / "program"
    script.write_text("#!/bin/sh -e\nsleep 1000; :\n")
    script.chmod(0o755)
    shutil.copy("/bin/sleep", str(program))
    changing = public_dir / "changing"
    changing.write_text("#!/bin/sh\nsleep 1; exec {} 1003\n".format(program))
    changing.chmod(0o755)
    command = prefix + AS_NOBODY + [
               python, "-m", "ebpfless", "trace", "--probe-addr", "none", "--verbose", "--proc-scan-rate", "50ms",
               "--format", "json", "--events", "--output", str(output), "--", "cat"]
    begun = []
    with Session(command, cwd=str(public_dir), env=dict(environment(**ON), PYTHONPATH=str(public_dir))) as session:
        def told(words: List[str], name: str = "") -> Event:
            """The execution of a program that is started again and again, until the view is there."""
            for _ in range(30):
                begun.append(subprocess.Popen([name or words[0]] + words[1:], executable=words[0], start_new_session=True))
                end = time.monotonic() + 1
                while time.monotonic() < end:
                    for event in named(read_events(str(output)), "exec"):
                        if event["process"]["pid"] == begun[-1].pid:
                            return event
                    time.sleep(0.02)
            raise AssertionError(session.errors())
        try:
            plain, scripted, hidden = told([str(program), "1000"]), told([str(script)]), told([str(program), "1001"], "other")
            pid = told([str(changing)])["process"]["pid"]
            wait_until(lambda: [event["process"]["args"] for event in named(read_events(str(output)), "exec")
                                if event["process"]["pid"] == pid][1:] == [["1003"]], "its next program is seen")
            result = session.finish()
        finally:
            for process in begun:
                end_tree(process.pid)
                process.wait()
    assert [event["file"]["path"] for event in (plain, scripted)] == [str(program), str(script)]
    assert not any("path_resolution_error" in event["file"] for event in (plain, scripted))
    assert hidden["file"]["path"] == "" and hidden["file"]["path_resolution_error"] == "EACCES"
    assert hidden["title"] == "program[%d] executed (unreadable path: EACCES) 1001" % hidden["process"]["pid"]
    assert b" whose path is hidden from us (programs of other users)" in result.stderr and result.status == 0


# --- ending ---------------------------------------------------------------------------

@pytest.mark.once
@needs_connector
def test_a_rule_ends_what_nobody_traces(sleeper: int, tmp_path: Path, public_dir: Path) -> None:
    miner, worker = public_dir / "miner", public_dir / "worker"
    for name in (miner, worker):
        shutil.copy("/bin/sleep", str(name))
    policy = write_policy(tmp_path / "policy.json", [
        rule("miner", 'exec.file.path == "{}"'.format(miner), actions=[{"kill": {"signal": "SIGKILL"}}])])
    with View(sleeper, tmp_path, ["--policy", policy]) as view:
        siblings = [subprocess.Popen([str(worker), "1000"]) for _ in range(3)]
        slow = slowness()
        for _ in range(5):
            begun = subprocess.Popen([str(miner), "1000"])
            assert begun.wait(10) == -signal.SIGKILL
        assert [sibling.poll() for sibling in siblings] == [None] * 3
        wait_until(lambda: len([event for event in view.events if is_detection(event)]) == 5
                   and len([event for event in named(view.events, "exit") if event["exit"]["cause"] == "SIGNALED"]) >= 5, "all are told")
        limit = KILLED_WITHIN * max(slow, slowness())
        for sibling in siblings:
            sibling.kill()
            sibling.wait()
    for event in [event for event in view.events if is_detection(event)]:
        (action,) = event["agent"]["rule_actions"]
        assert (action["type"], action["signal"], action["status"]) == ("kill", "SIGKILL", "performed")
        assert action["processes"][0]["pid"] == event["process"]["pid"]
        assert action["killed_at"] >= event["date"]
    # The kernel's own times of execution and death.
    ends = {event["process"]["pid"]: moment(event) for event in named(view.events, "exit")}
    lives = sorted(ends[event["process"]["pid"]] - moment(event) for event in view.events if is_detection(event))
    assert lives[len(lives) // 2] <= limit, (lives, limit)


KILLED_WITHIN = 0.1


def moment(event: Event) -> float:
    """When it happened, in seconds since the epoch."""
    whole, _, fraction = event["date"].rstrip("Z").partition(".")
    return calendar.timegm(time.strptime(whole, "%Y-%m-%dT%H:%M:%S")) + float("0." + (fraction or "0"))


@needs_connector
@pytest.mark.slow
def test_what_has_gone_already_is_told_as_gone(sleeper: int, tmp_path: Path) -> None:
    policy = write_policy(tmp_path / "policy.json", [
        rule("ends", 'exit.file.path == "{}"'.format(TRUE), actions=[{"kill": {"signal": "SIGKILL"}}])])
    with View(sleeper, tmp_path, ["--policy", policy]) as view:
        shell = run_untraced(3)
        wait_until(lambda: len([event for event in view.events if is_detection(event)]) >= 2, "their ends are told")
    for event in [event for event in view.events if is_detection(event) and event["process"]["ppid"] == shell]:
        assert event["agent"]["rule_actions"][0]["status"] == "gone"


@needs_connector
@pytest.mark.slow
def test_a_tracer_that_takes_over_leaves_the_view_alone(tmp_path: Path) -> None:
    output = str(tmp_path / "events")
    command = trace_command(["sh", "-c", "echo $$; read line; exit 7"], event_options(output) + ["--disable-seccomp"])
    with Session(command, env=environment(**ON)) as session:
        shell = int(session.line())
        wait_until(lambda: helpers(session.pid) != [], "the view is there")
        tracer = int(status_field(shell, "TracerPid"))
        os.kill(tracer, signal.SIGKILL)
        wait_until(lambda: status_field(shell, "TracerPid") not in ("0", str(tracer)), "another tracer takes over")
        (view,) = helpers(session.pid)
        assert status_field(view, "TracerPid") == "0"
        assert session.finish().status == 7


PRETENDER = """
import ctypes, os, sys
sys.path.insert(0, sys.argv[1])
from ebpfless_arch.kernel import process, ptrace
process.set_name(b"ebpfless-tracer")
child = os.fork()
if child == 0:
    sys.stdin.readline()
    os.execv("/bin/sleep", ["sleep", "1009"])
ptrace.seize(child, 0)
print(child, flush=True)
os.waitpid(child, ptrace.WALL)
"""


@pytest.mark.slow
def test_what_hides_behind_our_name_is_told_to_be_left_to_it(sleeper: int, tmp_path: Path) -> None:
    """Before the view begins, and when it is at work."""
    command = [sys.executable, "-c", PRETENDER, str(REPOSITORY)]
    with pretender(command) as early, View(sleeper, tmp_path) as view, pretender(command) as late:
        assert late[0].stdin is not None
        late[0].stdin.write(b"\n")
        late[0].stdin.flush()
        expected = [(child, "is traced by ebpfless-tracer[%d], which is no tracer of ours: it and all that it traces are left to that one"
                     % process.pid) for process, child in (early, late)]
        wait_until(lambda: [each for each in left(view) if each in expected] == expected, "it is told")


@contextlib.contextmanager
def pretender(command: List[str]) -> "Iterator[Tuple[subprocess.Popen[bytes], int]]":
    """A program that bears a name of ours, and what it traces: that executes sleep when it is told to."""
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        child = int(process.stdout.readline())
        try:
            yield process, child
        finally:
            os.kill(child, signal.SIGKILL)


def left(view: View) -> List[Tuple[int, str]]:
    """Whose doings are left to another tracer, and in what words that was told."""
    return [(event["process"]["pid"], event["evt"]["variables"]["reason"]) for event in named(view.events, "blind_spot")
            if "left to that one" in event["evt"]["variables"]["reason"]]
