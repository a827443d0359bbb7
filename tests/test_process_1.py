"""`trace` as process 1 of a container: one that has no shell, a read-only root, and what Docker allows by default."""

import json
import signal
from pathlib import Path
from typing import List

import pytest

import oci
from blackbox import REPOSITORY, wait_until
from test_standby import wait_for_standby
from test_trace_failures import kill_tracer, tracer_of

pytestmark = pytest.mark.root

PLACE = "/app"
TRACE = [oci.PYTHON, "-B", PLACE + "/ebpfless.py", "trace", "--probe-addr", "none", "--disable-proc-scan", "--format", "json"]
BINDS = {str(REPOSITORY): PLACE}
CAPABILITIES = pytest.mark.parametrize("capabilities", [
    pytest.param(oci.DEFAULT_CAPABILITIES, id="default"),
    pytest.param(oci.WITH_PTRACE, id="SYS_PTRACE", marks=pytest.mark.slow)])

SIGNALS = """
import signal, sys
got = []
for number in (1, 10, 12, 15, 18, 28, 37, 64):
    signal.signal(number, lambda number, frame: print("got", number, flush=True))
print("ready", flush=True)
while True:
    signal.pause()
"""

# Children of children end, and their parents before them: somebody has to wait for them.
ORPHANS = """
import os, time
def zombies():
    found = 0
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                found += open("/proc/%s/stat" % name).read().rpartition(")")[2].split()[0] == "Z"
            except OSError:
                pass
    return found
for _ in range(11):
    if os.fork() == 0:
        for _ in range(3):
            if os.fork() == 0:
                time.sleep(0.05)
                open("/etc/shadow").close()
                os._exit(0)
        os._exit(0)
    os.wait()
end = time.monotonic() + 20
while (zombies() or len([name for name in os.listdir("/proc") if name.isdigit()]) > 4) and time.monotonic() < end:
    time.sleep(0.01)
print("zombies", zombies(), flush=True)
raise SystemExit(7)
"""

OPENS = """
import signal, sys
failed = 0
def end(number, frame):
    print("failed", failed, flush=True)
    sys.exit(9)
signal.signal(15, end)
print("ready", flush=True)
while True:
    try:
        open("/etc/passwd").close()
    except OSError:
        failed += 1
"""

DAEMON = """
import os, time
if os.fork() == 0:
    os.setsid()
    time.sleep(1000)
raise SystemExit(5)
"""


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root file system with a Python and nothing else."""
    oci.needed()
    return oci.python_root(tmp_path_factory.mktemp("root") / "root")


def python(program: str) -> List[str]:
    return TRACE + ["--", oci.PYTHON, "-I", "-S", "-c", program]


@CAPABILITIES
def test_signals_reach_the_command_once_and_its_status_is_the_container_s(root: Path, capabilities: List[str]) -> None:
    with oci.Container(root, python(SIGNALS), binds=BINDS, capabilities=capabilities) as container:
        container.wait_for(b"ready")
        for count, number in enumerate([1, 10, 12, 15, 18, 28, 37, 64, 15], 1):
            container.signal(str(number))
            wait_until(lambda: container.output().count(b"got") == count, "signal %d arrives" % number)
            assert container.output().endswith(b"got %d\n" % number)
        container.signal("KILL")
        assert container.wait().status == 128 + signal.SIGKILL
    for number in (signal.SIGTERM, signal.SIGSEGV, signal.SIGKILL):
        result = oci.run(root, python("import os; os.kill(os.getpid(), %d)" % number), binds=BINDS, capabilities=capabilities)
        assert result == (128 + number, b"", b"", [])


@CAPABILITIES
def test_orphans_are_waited_for_and_watched(root: Path, capabilities: List[str]) -> None:
    result = oci.run(root, python(ORPHANS), binds=BINDS, capabilities=capabilities)
    assert (result.status, result.stdout) == (7, b"zombies 0\n"), result
    found = [json.loads(line.decode()) for line in result.stderr.splitlines()]
    assert found and {event["agent"]["rule_id"] for event in found} == {"credential_file_read"}


@CAPABILITIES
def test_the_container_ends_with_the_command(root: Path, capabilities: List[str]) -> None:
    result = oci.run(root, python(DAEMON), binds=BINDS, capabilities=capabilities)
    assert result == (5, b"", b"", [])


def test_with_wait_all_the_container_s_signals_go_to_the_daemon(root: Path) -> None:
    orphan = "while os.getppid() != 1: time.sleep(0.01)\n    print('ready', flush=True)\n    "
    daemon = DAEMON.replace("time.sleep", orphan + "time.sleep")
    command = TRACE + ["--wait-all"] + python(daemon)[len(TRACE):]
    with oci.Container(root, command, binds=BINDS, capabilities=oci.DEFAULT_CAPABILITIES) as container:
        container.wait_for(b"ready")
        container.signal("TERM")
        assert container.wait() == (5, b"ready\n", b"", [])


@CAPABILITIES
def test_a_killed_tracer_is_replaced_by_the_one_that_stands_by(root: Path, capabilities: List[str]) -> None:
    with oci.Container(root, python(OPENS), binds=BINDS, capabilities=capabilities) as container:
        container.wait_for(b"ready")
        (tracer,) = children(container.pid)
        (command,) = [pid for pid in children(tracer) if tracer_of(pid) == tracer]
        for _ in range(5):
            successor = wait_for_standby(command)
            kill_tracer(command)
            assert tracer_of(command) == successor
        container.signal("TERM")
        result = container.wait()
    # Without CAP_SYS_NICE others on a busy machine may get the CPU first, so some may have failed.
    assert result.status == 9 and b"failed " in result.stdout, result


def children(pid: int) -> List[int]:
    with open("/proc/%d/task/%d/children" % (pid, pid)) as file:
        return [int(word) for word in file.read().split()]
