"""Tracers of several namespaces and one probe that is killed in between: every event arrives, once, and by its name."""

import json
import os
import re
import subprocess
from collections import Counter
from pathlib import Path
from typing import Dict, Iterator, List, NamedTuple

import pytest

from blackbox import Compiler, environment, rule, run, wait_until, write_policy
from probes import Probe

SECRET = "correct horse battery staple\n"
# What a line of JSON says first comes first: the path of the file, tags and the process come later in it.
LINE = re.compile(rb'"tracer":"([0-9a-f]{32})","record":(\d+)\}?.*?"file":\{"path":"([^"]+)".*?"tags":\[([^\]]*)\]')


class Network(NamedTuple):
    """A network namespace of its own; `address` is ours in its eyes."""

    name: str
    address: str

    def inside(self, command: List[str]) -> List[str]:
        """The same command, run in there, in a pid namespace of its own."""
        return ["ip", "netns", "exec", self.name, "unshare", "--pid", "--fork", "--mount-proc"] + command


@pytest.fixture
def network() -> Iterator[Network]:
    number = os.getpid() % 60000
    name, host = "ebpfless-%d" % number, "169.253.%d.%d" % (number >> 8, number & 252)
    outer, inner = "ebpf%dh" % number, "ebpf%dn" % number
    address, peer = host.rpartition(".")[0] + ".%d" % ((number & 252) + 1), host.rpartition(".")[0] + ".%d" % (
        (number & 252) + 2)
    subprocess.check_call(["ip", "netns", "add", name])
    try:
        for words in (["link", "add", outer, "type", "veth", "peer", "name", inner, "netns", name],
                      ["addr", "add", address + "/30", "dev", outer], ["link", "set", outer, "up"],
                      ["-n", name, "addr", "add", peer + "/30", "dev", inner], ["-n", name, "link", "set", inner, "up"]):
            subprocess.check_call(["ip"] + words)
        yield Network(name, address)
    finally:
        subprocess.call(["ip", "link", "delete", outer])
        subprocess.call(["ip", "netns", "delete", name])


@pytest.mark.root
def test_a_probe_of_another_host_without_a_secret_is_warned_of(tmp_path: Path, network: Network) -> None:
    with Probe(tmp_path, "--insecure", address="%s:5678" % network.address) as probe:
        assert "warning: anybody who reaches %s is believed" % probe.address in probe.errors()
        result = run(network.inside(probe.tracer(["sh", "-c", "exit 7"], "--wait-probe", "20")))
        assert result.status == 7 and result.stderr.count(b"\n") == 1
        assert b"warning: the probe is on another host, and without a --secret-file" in result.stderr
        assert probe.stop() == 0
    assert probe.events()


@pytest.mark.slow
@pytest.mark.root
def test_200003_events_of_three_tracers_survive_a_probe(tmp_path: Path, compile_c: Compiler, network: Network) -> None:
    opens = compile_c("many_opens.c")
    secret = tmp_path / "secret"
    secret.write_text(SECRET)
    secret.chmod(0o600)
    counts = {"one": 66667, "two": 66667, "three": 66669}
    policy = write_policy(tmp_path / "p.json", [rule("marked", 'open.file.name == ~"*.marked"')])
    shared = ["--secret-file", str(secret), "--policy", policy]
    with Probe(tmp_path, *shared, address="%s:5678" % network.address) as probe:
        tracers = []
        for name, count in counts.items():
            plain, marked = tmp_path / name, tmp_path / (name + ".marked")
            plain.write_text(""), marked.write_text("")
            script = 'read line <"$2"; exec "$0" "$1" %d' % count
            command = probe.tracer(["sh", "-c", script, opens, str(plain), str(marked)], "--wait-probe", "60", *shared)
            tracers.append(subprocess.Popen(network.inside(command) if name == "three" else command,
                                            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                                            env=environment(DD_SERVICE=name)))
        for size in (20 << 20, 100 << 20):
            wait_until(lambda: os.path.getsize(probe.output) > size, "half of it is written", 300)
            probe.kill()
            probe.start()
        for tracer in tracers:
            _, errors = tracer.communicate(timeout=600)
            assert (tracer.returncode, errors) == (0, b"")
        assert probe.stop() == 0
    found: "Dict[str, Counter[int]]" = {name: Counter() for name in counts}
    services: Dict[bytes, str] = {}
    with open(probe.output, "rb") as lines:
        for line in lines:
            match = LINE.search(line)
            name = match.group(3).decode()[len(str(tmp_path)) + 1:] if match else ""
            if match is None or name.partition(".")[0] not in counts:
                continue
            service = services.setdefault(match.group(1), name.partition(".")[0])
            assert name.startswith(service) and b'"service:%s"' % service.encode() in match.group(4)
            if name == service:
                found[name][int(match.group(2))] += 1
    assert {name: (len(numbers), sum(numbers.values())) for name, numbers in found.items()} == {
        name: (count, count) for name, count in counts.items()}
    assert sorted(services.values()) == ["one", "three", "two"]
    detections = [event for event in _marked(probe) if event["agent"].get("rule_id") == "marked"]
    assert sorted(event["file"]["name"] for event in detections) == ["one.marked", "three.marked", "two.marked"]
    for event in detections:
        assert "service:" + event["file"]["name"].partition(".")[0] in event["tags"]
        own = "pid_namespace:%d" % os.stat("/proc/self/ns/pid").st_ino
        assert (own in event["tags"]) == (event["file"]["name"] != "three.marked")


def _marked(probe: Probe) -> List[Dict[str, Dict[str, str]]]:
    with open(probe.output, "rb") as lines:
        return [json.loads(line.decode()) for line in lines if b'.marked"' in line]
