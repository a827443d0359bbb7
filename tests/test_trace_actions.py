"""Actions that reach processes: kill ends exactly what the rule means, deny refuses a call before it runs."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Dict, Iterator, List

import pytest

from blackbox import (Compiler, Session, environment, is_detection, read_events, rule, run, trace_command, wait_until,
                      write_policy)
from ebpfless_arch.agent.ending import GONE, PERFORMED, REFUSED, Ender
from ebpfless_arch.events.model import Container, Event, Process
from ebpfless_arch.events.processes import Processes
from ebpfless_arch.events.users import Users
from ebpfless_arch.kernel import procfs
from ebpfless_arch.rules.actions import Kill


def kill_rule(name: str, expression: str, **kill: Any) -> Dict[str, object]:
    return rule(name, expression, actions=[{"kill": dict({"signal": "SIGKILL"}, **kill)}])


def detections(path: Path) -> List[Dict[str, Any]]:
    return [event for event in read_events(str(path)) if is_detection(event)]


def test_kill_ends_the_offender_and_nobody_else(tmp_path: Path) -> None:
    miner, output = tmp_path / "miner", tmp_path / "out"
    shutil.copy(str(shutil.which("sleep")), str(miner))
    policy = write_policy(tmp_path / "p.json", [kill_rule("miner", 'exec.file.path == "%s"' % miner)])
    script = '"$0" 1000; echo "miner $?"; sleep 0.01; echo "sibling $?"'
    result = run(trace_command(["sh", "-c", script, str(miner)],
                               ["--policy", policy, "--format", "json", "--output", str(output)]))
    assert (result.status, result.stdout) == (0, b"miner 137\nsibling 0\n")
    (detection,) = detections(output)
    (action,) = detection["agent"]["rule_actions"]
    assert (action["type"], action["signal"], action["scope"], action["status"]) == (
        "kill", "SIGKILL", "process", "performed")
    assert action["processes"] == [{"pid": detection["process"]["pid"], "status": "performed", "why": ""}]


@pytest.mark.parametrize("form", ["json", "text"])
def test_a_rule_on_file_changes_keeps_its_name(tmp_path: Path, form: str) -> None:
    """In detections, log lines and what is told at the end."""
    target, output = tmp_path / "target", tmp_path / "out"
    target.write_text("")
    policy = write_policy(tmp_path / "p.json", [rule("fimw", 'fim.write.file.path == "%s"' % target, every="1h", actions=[
        {"log": {"level": "info", "message": "told"}}])])
    script = ': > "$0"; : > "$0"; chmod 600 "$0"; mv "$0" "$0.new"'
    result = run(trace_command(["sh", "-c", script, str(target)], ["--policy", policy, "--format", form, "--output", str(output)]))
    assert result.status == 0
    written, errors = output.read_text("utf-8"), result.stderr.decode()
    assert "__fim" not in written + errors
    assert "rule fimw: told" in errors and "too often: fimw 1" in errors
    if form == "json":
        assert [(one["agent"]["rule_id"], one["evt"]["name"]) for one in detections(output)] == [
            ("fimw", "open"), ("fimw", "chmod"), ("fimw", "rename")]
    else:
        assert written.count("  fimw  ") == 3


def test_other_signals_can_be_caught(tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    marker.write_text("")
    policy = write_policy(tmp_path / "p.json", [kill_rule("marked", 'open.file.path == "%s"' % marker, signal="SIGUSR1")])
    script = 'trap "echo caught; exit 3" USR1; read x < "$0"; while :; do sleep 0.01; done'
    result = run(trace_command(["sh", "-c", script, str(marker)], ["--policy", policy, "--output", "/dev/null"]))
    assert (result.status, result.stdout) == (3, b"caught\n")


def deny_rule(name: str, expression: str, **deny: Any) -> Dict[str, object]:
    return rule(name, expression, actions=[{"deny": deny}])


@pytest.mark.parametrize("mode", [[], ["--disable-seccomp"]])
def test_deny_refuses_the_call_and_the_program_goes_on(tmp_path: Path, mode: List[str]) -> None:
    secret, link, tool, output = tmp_path / "secret", tmp_path / "link", tmp_path / "tool", tmp_path / "out"
    secret.write_text("secret\n")
    link.symlink_to(secret)
    shutil.copy(str(shutil.which("true")), str(tool))
    policy = write_policy(tmp_path / "p.json", [
        deny_rule("no_read", 'open.file.path == "%s" && open.flags & O_WRONLY == 0' % secret),
        deny_rule("no_run", 'exec.file.path == "%s"' % tool, errno="EACCES")])
    script = ('cd "$1"; cat secret; echo $?; cat ./x/../link 2>&1; cat link; echo $?; "$1/tool"; echo $?; '
              'echo more >> secret; echo $?')
    (tmp_path / "x").mkdir()
    result = run(trace_command(["sh", "-c", script, "sh", str(tmp_path)],
                               ["--policy", policy, "--format", "json", "--output", str(output)] + mode))
    text = result.stderr.decode()
    assert result.stdout.decode().splitlines() == ["1", "cat: ./x/../link: Operation not permitted", "1", "126", "0"]
    assert text.count("Operation not permitted") == 2 and text.count("Permission denied") == 1
    found = detections(output)
    assert [event["agent"]["rule_id"] for event in found] == ["no_read"] * 3 + ["no_run"]
    assert [event["evt"]["variables"]["retval"] for event in found] == [-1] * 3 + [-13]
    assert found[-1]["agent"]["rule_actions"] == [{"type": "deny", "error": "EACCES", "status": "performed"}]
    assert secret.read_text() == "secret\nmore\n"


_COUNTED = """
import sys
import ebpfless
from ebpfless_arch.tracer import pipe
from ebpfless_arch.events.records import path_of
ask = pipe.Asker.ask
def told(self, record):
    with open(sys.argv[1], "ab") as asked:
        asked.write(path_of(record) + b"\\n")
    return ask(self, record)
pipe.Asker.ask = told
sys.exit(ebpfless.main(sys.argv[2:]))
"""


def test_only_calls_that_a_rule_may_deny_wait_for_a_verdict(tmp_path: Path) -> None:
    for name in ("secret", "public", "x.key"):
        (tmp_path / name).write_text("x")
    policy = write_policy(tmp_path / "p.json", [
        deny_rule("no", '(open.file.path == "%s/secret" || open.file.name == ~"*.key") && process.comm == "cat"' % tmp_path)])
    script = 'cd "$0"; cat public secret x.key public; cat < secret'
    result = run([sys.executable, "-c", _COUNTED, str(tmp_path / "asked"), "trace", "--policy", policy, "--output",
                  "/dev/null", "--", "sh", "-c", script, str(tmp_path)], env=environment())
    assert result.stdout == b"xxx" and result.stderr.count(b"Operation not permitted") == 2
    asked = (tmp_path / "asked").read_text().splitlines()
    assert asked == [str(tmp_path / name) for name in ("secret", "x.key", "secret")]


# Of each event a call by Python, and a rule that goes by what is known before it. D is the test's directory, with a
# file f (mode 0640) and an empty directory d; S is a program, P a port at which nobody listens.
DENIED = [
    ('open("D/new", "w")', 'open.file.path == "D/new" && open.file.destination.mode & 0777 == 0666'),
    ('os.unlink("D/f")', 'unlink.file.name == "f" && unlink.file.mode & 0777 == 0640'),
    ('os.rmdir("D/d")', 'rmdir.file.path == "D/d" && rmdir.file.inode > 0'),
    ('os.mkdir("D/new")', 'mkdir.file.path == "D/new" && mkdir.file.destination.rights == 0777'),
    ('os.rename("D/f", "D/new")',
     'rename.file.destination.path == "D/new" && rename.file.path == "D/f" && rename.file.rights == 0640'),
    ('os.link("D/f", "D/new")', 'link.file.destination.name == "new" && link.file.rights == 0640'),
    ('os.symlink("f", "D/new")', 'link.file.destination.path == "D/new" && link.file.path == "D/f"'),
    ('os.chmod("D/f", 0o777)', 'chmod.file.rights == 0640 && chmod.file.destination.rights == 0777'),
    ('os.chown("D/f", 7, 7)', 'chown.file.path == "D/f" && chown.file.destination.uid == 7'),
    ('os.utime("D/f")', 'utimes.file.path == "D/f" && utimes.file.modification_time > 0'),
    ('os.chdir("D/d")', 'chdir.file.path == "D/d" && chdir.file.inode > 0'),
    ('os.setxattr("D/f", "user.x", b"")', 'setxattr.file.path == "D/f" && setxattr.file.destination.name == "user.x"'),
    ('os.removexattr("D/f", "user.x")',
     'removexattr.file.path == "D/f" && removexattr.file.destination.namespace == "user"'),
    ('os.execv("S", ["x", "7"])',
     'exec.file.path == "S" && exec.argv == "7" && exec.uid == ${process.parent.uid} && exec.file.inode > 0'),
    ('os.kill(os.getpid(), 23)', 'signal.type == 23 && signal.target.comm == process.comm'),
    ('resource.setrlimit(resource.RLIMIT_CORE, (0, 0))', 'setrlimit.resource == RLIMIT_CORE && setrlimit.rlim_max == 0'),
    ('mmap.mmap(-1, 4096, prot=4)', 'mmap.protection == PROT_EXEC'),
    ('socket.socket().bind(("127.0.0.1", P))', 'bind.addr.port == P && bind.addr.ip == 127.0.0.0/8'),
    ('socket.socket().connect(("127.0.0.1", P))', 'connect.addr.port == P && connect.addr.ip == 127.0.0.1'),
]


@pytest.mark.parametrize("call, expression", DENIED, ids=[expression.partition(".")[0] for _, expression in DENIED])
def test_what_is_known_before_the_call_decides(tmp_path: Path, call: str, expression: str) -> None:
    (tmp_path / "f").write_text("x")
    (tmp_path / "f").chmod(0o640)
    (tmp_path / "d").mkdir()
    output, tool = tmp_path / "out", tmp_path / "tool"
    shutil.copy(str(shutil.which("true")), str(tool))

    def filled(text: str) -> str:
        return re.sub(r"\bP\b", "9", text.replace("D/", "%s/" % tmp_path).replace('"S"', '"%s"' % tool))

    policy = write_policy(tmp_path / "p.json", [deny_rule("no", filled(expression), errno="EDQUOT")])
    script = ("import mmap, os, resource, socket\n"
              "try:\n    %s\nexcept OSError as error:\n    print(error.errno)\nos.write(1, b'on')" % filled(call))
    result = run(trace_command([sys.executable, "-c", script],
                               ["--policy", policy, "--format", "json", "--output", str(output)]))
    assert result.stdout in (b"122\non", b"on122\n"), result.stderr
    (found,) = detections(output)
    assert found["agent"]["rule_id"] == "no" and found["evt"]["variables"]["retval"] == -122
    assert (tmp_path / "f").exists() and (tmp_path / "d").exists() and not (tmp_path / "new").exists()


def test_deny_reaches_32_bit_calls(tmp_path: Path, compile_c: Compiler) -> None:
    secret, output = tmp_path / "secret", tmp_path / "out"
    secret.write_text("x")
    policy = write_policy(tmp_path / "p.json", [deny_rule("no", 'open.file.path == "%s"' % secret)])
    program = compile_c("many_opens.c", "-m32", "-static")
    result = run(trace_command([program, str(secret), "1"], ["--policy", policy, "--output", str(output)]))
    assert result.status == 3
    assert run([program, str(secret), "1"]).status == 0


IN_ROOT = """
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
how = (ctypes.c_uint64 * 3)(0, 0, 0x10)
def try_to_open(directory, path):
    result = libc.syscall(437, directory, path, ctypes.byref(how), 24)
    print(0 if result >= 0 else ctypes.get_errno())
folder = os.open("d", os.O_RDONLY)
for path in (b"/secret", b"secret", b"../../secret", b"link", b"/other"):
    try_to_open(folder, path)
os.chdir("d")
try_to_open(-100, b"/secret")
"""


def test_deny_reaches_what_is_opened_with_a_directory_for_its_root(tmp_path: Path) -> None:
    """openat2(2) with RESOLVE_IN_ROOT."""
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "link").symlink_to("/secret")
    for name in ("secret", "other"):
        (tmp_path / "d" / name).write_text("x")
    policy = write_policy(tmp_path / "p.json", [deny_rule("no", 'open.file.path == "%s/d/secret"' % tmp_path)])
    command = [sys.executable, "-S", "-c", IN_ROOT]
    native = run(command, cwd=str(tmp_path))
    if native.stdout.split()[:1] != [b"0"]:
        pytest.skip("needs openat2 (Linux 5.6)")
    result = run(trace_command(command, ["--policy", policy, "--output", "/dev/null"]), cwd=str(tmp_path))
    assert native.stdout.split() == [b"0"] * 6
    assert result.stdout.split() == [b"1"] * 4 + [b"0", b"1"]


def test_without_an_answer_the_call_runs(tmp_path: Path) -> None:
    """A keeper that does not answer delays such a call by a second at most."""
    secret = tmp_path / "secret"
    secret.write_text("secret\n")
    policy = write_policy(tmp_path / "p.json", [deny_rule("no", 'open.file.path == "%s"' % secret)])
    command = trace_command(["sh", "-c", 'echo ready; read x; cat "$0"', str(secret)],
                            ["--policy", policy, "--output", "/dev/null"])
    with Session(command) as session:
        assert session.line() == "ready"
        os.kill(session.pid, signal.SIGSTOP)
        assert session.process.stdin is not None
        session.process.stdin.write(b"go\n")
        session.process.stdin.flush()
        assert session.line() == "secret"
        os.kill(session.pid, signal.SIGCONT)
        assert session.finish()[0] == 0


# --- the one who sends, alone ------------------------------------------------------------


@pytest.fixture
def sleeper() -> Iterator[int]:
    """A process that sleeps until the end of the test."""
    process = subprocess.Popen(["sleep", "1000"])
    wait_until(lambda: procfs.stat(process.pid).comm == b"sleep", "the program runs")
    yield process.pid
    process.kill()
    process.wait()


class World:
    """A model with one known process."""

    def __init__(self, pid: int, start: int) -> None:
        self.processes = Processes(Users())
        self.process = Process(Users(), pid, os.getpid())
        self.process.start = start
        self.processes._live[pid] = self.process

    def kill(self, scope: str = "process", protected: int = -1, age: float = 0.0) -> Dict[str, Any]:
        event = Event("exec", int((time.time() - age) * 1e9), self.process, self.process.pid)
        action = Kill("SIGTERM", scope, True, True)
        return Ender(self.processes, [os.getpid(), protected]).kill(action, event)


def is_alive(pid: int) -> bool:
    return procfs.stat(pid).state not in "ZX"


def test_the_process_itself_is_ended(sleeper: int) -> None:
    assert World(sleeper, procfs.stat(sleeper).start).kill()["status"] == PERFORMED
    wait_until(lambda: not is_alive(sleeper), "the process ends")


def test_a_number_that_has_become_another_process_is_spared(sleeper: int) -> None:
    world = World(sleeper, procfs.stat(sleeper).start - 1)
    told = world.kill()
    assert (told["status"], told["processes"]) == (GONE, [{"pid": sleeper, "status": GONE, "why": ""}])
    assert is_alive(sleeper)


def test_without_a_known_start_a_process_younger_than_the_event_is_spared(sleeper: int) -> None:
    assert World(sleeper, 0).kill(age=1000.0)["status"] == GONE
    assert is_alive(sleeper)
    assert World(sleeper, 0).kill()["status"] == PERFORMED


def test_a_process_that_has_ended_is_told_as_gone() -> None:
    process = subprocess.Popen(["true"])
    process.wait()
    assert World(process.pid, 17).kill()["status"] == GONE


def test_protected_processes_are_refused(sleeper: int) -> None:
    for pid in (0, 1, os.getpid()):
        assert World(pid, 0).kill()["status"] == REFUSED
    assert World(sleeper, 0).kill(protected=sleeper)["status"] == REFUSED
    assert is_alive(sleeper)
    assert World(2, 0).kill()["status"] in (REFUSED, GONE)


def test_a_copy_of_the_keeper_spares_itself() -> None:
    world = World(os.getpid(), 0)
    event = Event("exec", int(time.time() * 1e9), world.process, os.getpid())
    assert Ender(world.processes, []).kill(Kill("SIGCONT", "process", True, True), event)["status"] == REFUSED


@pytest.mark.parametrize("scope", ["container", "cgroup"])
def test_a_scope_reaches_its_members_only(sleeper: int, scope: str) -> None:
    other = subprocess.Popen(["sleep", "1000"])
    try:
        world = World(sleeper, 0)
        stranger = Process(Users(), other.pid, 1)
        world.processes._live[other.pid] = stranger
        for process, name in ((world.process, "a"), (stranger, "b")):
            process.container, process.cgroup = Container(name, 0), "/" + name
        assert [each["pid"] for each in world.kill(scope)["processes"]] == [sleeper]
        stranger.container, stranger.cgroup = world.process.container, world.process.cgroup
        wait_until(lambda: not is_alive(sleeper), "the member ends")
        told = {each["pid"]: each["status"] for each in world.kill(scope)["processes"]}
        assert told == {sleeper: GONE, other.pid: PERFORMED}
        assert other.wait() == -signal.SIGTERM
    finally:
        other.kill()
        other.wait()
