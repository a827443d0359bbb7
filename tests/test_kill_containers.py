"""The action `kill` where containers are: it ends what its scope means, in whatever pid namespace, and nobody else."""

import json
import subprocess
from pathlib import Path
from typing import Any, Dict, List

import pytest

import oci
from blackbox import Session, descendants, ebpfless, rule, thread_states, wait_until, write_policy
from test_containers import FILE, one_file, root

__all__ = ["one_file", "root"]

pytestmark = [pytest.mark.root, pytest.mark.slow]

# Three processes, of which none ends by itself, and another one on request.
SERVICE = [oci.PYTHON, "-c", """
import os, time
for _ in range(2):
    if os.fork() == 0:
        os.setsid()
        time.sleep(600)
print('up', flush=True)
while True:
    time.sleep(600)
"""]
MINER = "/usr/bin/miner-of-this-test"
BEGINNING = "/usr/bin/beginning-of-this-test"


@pytest.fixture
def policy(tmp_path: Path, root: Path) -> str:
    """A rule that ends the whole container in which a program is executed."""
    for path, text in ((MINER, "import time\ntime.sleep(600)"), (BEGINNING, "")):
        (root / path[1:]).write_text("#!%s\n%s\n" % (oci.PYTHON, text))
        (root / path[1:]).chmod(0o755)
    return write_policy(tmp_path / "policy.json", [
        rule("mined", 'exec.file.path == "%s"' % MINER, actions=[{"kill": {"signal": "SIGKILL", "scope": "container"}}]),
        rule("begun", 'exec.file.path == "%s"' % BEGINNING)])


def alive(pids: List[int]) -> List[bool]:
    """Which of these processes have not ended."""
    return [thread_states(pid) not in ("", "Z", "X") for pid in pids]


def members(container: oci.Container) -> List[int]:
    """The processes of a container, by their numbers on the host."""
    return [container.pid] + descendants(container.pid)


def killed(line: bytes) -> Dict[str, Any]:
    """What a detection tells of its action."""
    (action,) = json.loads(line.decode())["agent"]["rule_actions"]
    found: Dict[str, Any] = action
    return found


def test_only_the_processes_of_that_container_die(root: Path, policy: str, tmp_path: Path) -> None:
    """The agent runs on the host and sees the whole system."""
    with oci.Container(root, SERVICE) as doomed, oci.Container(root, SERVICE) as other:
        doomed.wait_for(b"up")
        other.wait_for(b"up")
        victims, bystanders = members(doomed), members(other)
        assert len(victims) == len(bystanders) == 3
        words = ["probe", "--system", "--listen", "unix:%s/s" % tmp_path, "--policy", policy, "--format", "json"]
        with Session(ebpfless(*words)) as probe:
            wait_until(lambda: b"the probe listens" in probe.errors(), "it listens")

            def is_watched() -> bool:
                return doomed.execute(BEGINNING).status == 0 and b'"rule_id":"begun"' in probe.errors()
            wait_until(is_watched, "executions are seen")
            assert doomed.execute(MINER).status == 128 + 9
            wait_until(lambda: not any(alive(victims)), "all of it has ended")
            wait_until(lambda: b'"rule_id":"mined"' in probe.errors(), "that is told")
            assert all(alive(bystanders)) and probe.process.poll() is None
            (line,) = [line for line in probe.errors().splitlines() if b'"rule_id":"mined"' in line]
        assert json.loads(line.decode())["container"]["id"] == doomed.id
        told = killed(line)
        assert told["status"] == "performed" and {each["pid"] for each in told["processes"]} >= set(victims)
        assert not {each["pid"] for each in told["processes"]} & set(bystanders + [probe.pid])
        assert doomed.wait().status == 128 + 9 and other.process.poll() is None


def test_an_agent_within_the_container_ends_what_it_traces_and_not_itself(
        root: Path, one_file: Dict[str, str], policy: str) -> None:
    script = "import os, time\nfor _ in range(2):\n    os.fork() or time.sleep(600)\nos.execv('%s', ['miner'])" % MINER
    trace = [oci.PYTHON, FILE, "trace", "--probe-addr", "none", "--format", "json", "--policy", "/run/policy.json"]
    with oci.Container(root, SERVICE) as other:
        other.wait_for(b"up")
        bystanders = members(other)
        with oci.Container(root, trace + ["--", oci.PYTHON, "-c", script], binds=dict(one_file, **{policy: "/run/policy.json"}),
                           capabilities=oci.WITH_PTRACE) as container:
            result = container.wait()
        assert result.status == 128 + 9, result
        (line,) = result.stderr.splitlines()
        told = killed(line)
        assert told["status"] == "performed" and 1 not in {each["pid"] for each in told["processes"]}
        assert {each["status"] for each in told["processes"]} == {"performed"} and len(told["processes"]) == 3
        assert all(alive(bystanders))


def test_a_side_car_ends_the_other_container_and_not_its_own(root: Path, one_file: Dict[str, str], policy: str) -> None:
    script = ("import os, signal, time\nsignal.signal(signal.SIGUSR1, lambda *a: os.fork() or os.execv('%s', ['miner']))\n"
              "print('up', flush=True)\nwhile True:\n    time.sleep(600)" % MINER)
    attach = [oci.PYTHON, FILE, "trace", "--probe-addr", "none", "--format", "json", "--policy", "/run/policy.json", "--pid", "1"]
    with oci.Container(root, [oci.PYTHON, "-c", script]) as service:
        service.wait_for(b"up")
        with oci.Container(root, attach, binds=dict(one_file, **{policy: "/run/policy.json"}), capabilities=oci.WITH_PTRACE,
                           pid=service.namespace("pid")) as tracer:
            tracer.wait_for(b"tracing 1 running process")
            service.signal("USR1")
            tracer.wait_for(b'"rule_id":"mined"')
            (line,) = [line for line in tracer.errors().splitlines() if b'"rule_id":"mined"' in line]
            told = killed(line)
            assert told["status"] == "performed", told
            # The first process of a pid namespace is never ended, and nobody of the side-car's.
            assert [each["status"] for each in told["processes"] if each["pid"] == 1] == ["refused"]
            assert [each["status"] for each in told["processes"] if each["pid"] != 1] == ["performed"]
            assert service.process.poll() is None and tracer.process.poll() is None


def test_a_probe_on_the_host_has_a_process_of_another_pid_namespace_ended(
        root: Path, one_file: Dict[str, str], policy: str, tmp_path: Path) -> None:
    """Its number there is another process's number on the host; the tracer sends the signal."""
    folder = tmp_path / "run"
    folder.mkdir()
    with Session(ebpfless("probe", "--listen", "unix:%s/s" % folder, "--policy", policy, "--format", "json")) as probe:
        wait_until(lambda: b"the probe listens" in probe.errors(), "it listens")
        script = "import os, sys, time\npid = os.fork() or os.execv('%s', ['miner'])\nsys.exit(os.waitpid(pid, 0)[1])" % MINER
        trace = [oci.PYTHON, FILE, "trace", "--probe-addr", "unix:/run/probe/s", "--wait-probe", "30", "--", oci.PYTHON, "-c", script]
        (root / "run/probe").mkdir(parents=True, exist_ok=True)
        with oci.Container(root, trace, binds=one_file, writable={str(folder): "/run/probe"}, capabilities=oci.WITH_PTRACE) as container:
            result = container.wait()
        wait_until(lambda: b'"rule_id":"mined"' in probe.errors(), "that is told")
        (line,) = [line for line in probe.errors().splitlines() if b'"rule_id":"mined"' in line]
    told = killed(line)
    assert told["status"] == "ordered" and result.status in (9, 128 + 9)
