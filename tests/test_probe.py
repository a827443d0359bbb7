"""`ebpfless probe` and tracers that report to it, as processes: what arrives, and whose it is."""

import subprocess
from pathlib import Path
from typing import Any, List, Tuple

import pytest

from blackbox import Event, ebpfless, environment, read_events, rule, run, run_traced, wait_until, write_policy
from probes import Probe

READS = rule("reads", 'open.file.path == "/etc/shadow"')


def lineage(event: Event) -> List[Tuple[Any, ...]]:
    """What is told of a process and its ancestors; arguments travel as far as those of an exec are kept."""
    chain = [event["process"]] + event["process"]["ancestors"]
    return [(each["executable"]["path"], [word[:252] for word in each["args"]], each["is_thread"],
             each["comm"], each["ppid"] > 0) for each in chain]


def test_a_probe_sees_what_a_tracer_alone_sees(tmp_path: Path) -> None:
    script = ["sh", "-c", "cat /etc/hostname >/dev/null; (cat /etc/passwd >/dev/null); exit 7"]
    alone = run_traced(script)
    with Probe(tmp_path) as probe:
        result = run(probe.tracer(script, "--events", "--wait-probe", "20"))
        assert (result.status, result.stdout, result.stderr) == (7, b"", b"")
        assert probe.stop() == 0
    found = probe.events()
    assert [event["evt"]["name"] for event in found] == [event["evt"]["name"] for event in alone.events]
    for mine, its in zip(found, alone.events):
        for part in ("file", "exit", "syscall"):
            assert mine.get(part) == its.get(part)
        assert lineage(mine) == lineage(its)


def test_a_tracer_judges_until_the_probe_answers_and_forwards_then(tmp_path: Path) -> None:
    policy = write_policy(tmp_path / "p.json", [rule("reads", 'open.file.path == ~"%s/*"' % tmp_path)])
    first, second, go = tmp_path / "first", tmp_path / "second", tmp_path / "go"
    first.write_text(""), second.write_text("")
    script = "read line <%s; while ! [ -e %s ]; do sleep 0.02; done; read line <%s; exit 7" % (first, go, second)
    with Probe(tmp_path, "--policy", policy, events=False) as probe:
        probe.stop()
        output = str(tmp_path / "local.json")
        tracer = subprocess.Popen(probe.tracer(["bash", "-c", script], "--policy", policy, "--format", "json",
                                               "--output", output), env=environment(), stderr=subprocess.PIPE)
        wait_until(lambda: len(read_events(output)) == 1, "the first read is detected")
        probe.start()
        wait_until(lambda: "has come from" in probe.errors(), "the tracer comes")
        go.write_text("")
        _, errors = tracer.communicate(timeout=60)
        assert (tracer.returncode, errors) == (7, b"")
        probe.stop()
    local, = read_events(output)
    remote, = probe.events()
    assert (local["file"]["path"], remote["file"]["path"]) == (str(first), str(second))
    assert [each["comm"] for each in remote["process"]["ancestors"]] == [
        each["comm"] for each in local["process"]["ancestors"]]
    assert remote["agent"]["rule_id"] == "reads"


def test_without_a_probe_nobody_notices(tmp_path: Path) -> None:
    with Probe(tmp_path) as probe:
        probe.kill()
    result = run(probe.tracer(["sh", "-c", "cat /etc/shadow; exit 7"], "--policy",
                              write_policy(tmp_path / "p.json", [READS])))
    assert result.status == 7 and result.stderr.count(b"  reads  ") == 1 and result.stderr.count(b"\n") == 1


@pytest.mark.parametrize("arguments, words", [
    (["--listen", "nowhere"], "'nowhere' is no address to listen on"),
    (["--listen", "unix:/nowhere/x"], "cannot listen on unix:/nowhere/x: No such file or directory"),
    (["--secret-file", "/nowhere"], "the secret file /nowhere cannot be read: No such file or directory"),
    (["--listen", "0.0.0.0:1"], "other hosts can reach 0.0.0.0:1: name a --secret-file"),
    (["--peers", "root"], "--peers root: numeric user ids are needed"),
    (["--policy", "/nowhere"], "/nowhere: cannot read the policy"), (["extra"], "'extra' is too much")])
def test_what_a_user_has_to_change_is_one_line(arguments: List[str], words: str) -> None:
    result = run(ebpfless("probe", *(arguments if "--listen" in arguments else ["--listen", "127.0.0.1:1"] + arguments)))
    assert result.status == 2 and result.stderr.count(b"\n") == 1, result.stderr
    assert words in result.stderr.decode() and result.stderr.startswith(b"ebpfless probe: ")
