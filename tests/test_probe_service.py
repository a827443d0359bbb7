"""The probe as a service: decisions that reach its tracers, reload, metrics, what a service manager wants; and dialects."""

import json
import os
import shutil
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any, Dict, List, Tuple

import pytest

from blackbox import Compiler, Session, ebpfless, environment, is_detection, read_events, rule, run, wait_until, write_policy
from ebpfless_arch.events import datadog_structs
from ebpfless_arch.events.msgpack import unpack
from probes import Probe, free_port, resident
from wire_samples import STREAMS, bodies, recorded


# --- decisions ---------------------------------------------------------------------------

def test_a_probe_denies_calls_of_its_tracers(tmp_path: Path) -> None:
    secret = tmp_path / "forbidden"
    secret.write_text("hidden\n")
    policy = write_policy(tmp_path / "p.json", [rule("no", 'open.file.path == "%s"' % secret,
                                                     actions=[{"deny": {"errno": "EACCES"}}])])
    other = write_policy(tmp_path / "q.json", [rule("x", 'open.file.path == "/nowhere"')])
    with Probe(tmp_path, "--policy", policy, events=False) as probe:
        script = ["sh", "-c", 'cat "$0" || exit 7', str(secret)]
        result = run(probe.tracer(script, "--policy", other, "--wait-probe", "20"))
        assert (result.status, result.stdout) == (7, b"") and b"Permission denied" in result.stderr
        probe.stop()
    detection, = probe.events()
    assert detection["agent"]["rule_actions"] == [{"type": "deny", "error": "EACCES", "status": "performed"}]
    assert detection["evt"]["outcome"] == "Refused"


def test_a_probe_has_processes_of_its_tracers_killed(tmp_path: Path) -> None:
    bad = tmp_path / "bad"
    bad.write_text("#!/bin/sh\nexec sleep 60\n")
    bad.chmod(0o755)
    policy = write_policy(tmp_path / "p.json", [rule("kill_it", 'exec.file.path == "%s"' % bad,
                                                     actions=[{"kill": {"signal": "SIGKILL"}}])])
    with Probe(tmp_path, "--policy", policy, events=False) as probe:
        result = run(probe.tracer(["sh", "-c", '"$0"; exit $(($? - 130))', str(bad)], "--wait-probe", "20"))
        assert result.status == 7  # 128 + SIGKILL - 130
        probe.stop()
    detection, = [event for event in probe.events() if event["agent"]["rule_id"] == "kill_it"]
    action, = detection["agent"]["rule_actions"]
    assert (action["type"], action["signal"], action["status"]) == ("kill", "SIGKILL", "ordered")
    assert [each["pid"] for each in action["processes"]] == [detection["process"]["pid"]]


def test_reloaded_rules_reach_tracers_that_are_there(tmp_path: Path) -> None:
    path, again = tmp_path / "seen", tmp_path / "again"
    path.write_text("")
    write_policy(tmp_path / "p.json", [rule("first", 'open.file.path == "%s"' % path)])
    with Probe(tmp_path, "--policy", str(tmp_path / "p.json"), events=False) as probe:
        script = 'cat "$0"; until [ -e "$1" ]; do sleep 0.05; done; cat "$0"; exit 7'
        tracer = subprocess.Popen(probe.tracer(["sh", "-c", script, str(path), str(again)], "--wait-probe", "20"),
                                  env=environment())
        wait_until(lambda: len(probe.events()) == 1, "the first rule matches")
        write_policy(tmp_path / "p.json", [rule("second", 'open.file.path == "%s"' % path),
                                           rule("third", 'mkdir.file.path == "/nowhere"')])
        probe.process.send_signal(signal.SIGHUP)
        wait_until(lambda: "ebpfless: reloaded: 2 rules" in probe.errors(), "it is reloaded")
        again.write_text("")
        assert tracer.wait(60) == 7
        (tmp_path / "p.json").write_text("{")
        probe.process.send_signal(signal.SIGHUP)
        wait_until(lambda: "kept the old policy" in probe.errors(), "a bad policy is not taken")
        assert probe.stop() == 0
    assert [event["agent"].get("rule_id") for event in probe.events() if is_detection(event)] == ["first", "second"]


def test_what_a_tracer_cannot_see_for_its_probe_is_told(tmp_path: Path) -> None:
    policy = write_policy(tmp_path / "p.json", [rule("made", 'mkdir.file.path == "/nowhere"')])
    other = write_policy(tmp_path / "q.json", [rule("x", 'open.file.path == "/nowhere"')])
    with Probe(tmp_path, "--policy", policy, events=False) as probe:
        tracer = subprocess.Popen(probe.tracer(["cat"], "--policy", other), stdin=subprocess.PIPE, env=environment())
        wait_until(lambda: "has come from" in probe.errors(), "the tracer comes")
        tracer.communicate(b"", timeout=60)
        probe.stop()
    spot, = probe.events()
    assert spot["evt"]["name"] == "blind_spot" and "not started for: mkdir;" in spot["evt"]["variables"]["reason"]


def test_rules_that_need_a_look_at_files_do_not_run_for_who_does_not_look(tmp_path: Path) -> None:
    """Their owner would be -1, which is not 0."""
    path = tmp_path / "file"
    path.write_text("")
    policy = write_policy(tmp_path / "p.json", [rule("seen", 'open.file.path == "%s"' % path),
                                                rule("strange", 'open.file.path == "%s" && open.file.uid != %d' % (path, os.getuid()))])
    with Probe(tmp_path, "--policy", policy, events=False) as probe:
        for options in (["--disable-stats"], ["--disable-stats"], []):
            assert run(probe.tracer(["cat", str(path)], "--wait-probe", "20", *options)).status == 0
        probe.stop()
        told = [line for line in probe.errors().splitlines() if "--disable-stats" in line]
    assert told == ["ebpfless: for tracers with --disable-stats, which look at no files, rules that need that do not run: 1 of them: strange"]
    assert [event["agent"]["rule_id"] for event in probe.events()] == ["seen"] * 3
    assert ["file_metadata:none" in event["tags"] for event in probe.events()] == [True, True, False]


def test_a_wish_to_load_again_while_a_probe_loads(tmp_path: Path) -> None:
    """It reads its configuration from a pipe that nobody has written into yet."""
    pipe = str(tmp_path / "pipe")
    os.mkfifo(pipe)
    policy = write_policy(tmp_path / "p.json", [rule("x", 'open.file.path == "/nowhere"')])
    with Session(ebpfless("probe", "--config", pipe, "--listen", "unix:%s/s" % tmp_path, "--policy", policy)) as probe:
        ends: List[int] = []

        def is_read() -> bool:
            try:
                ends.append(os.open(pipe, os.O_WRONLY | os.O_NONBLOCK))
            except OSError:
                pass
            return bool(ends)
        wait_until(is_read, "it reads its configuration")
        os.kill(probe.pid, signal.SIGHUP)
        os.close(ends[0])
        wait_until(lambda: probe.errors().count(b"\n") == 2, "it has loaded")
        os.kill(probe.pid, signal.SIGTERM)
        result = probe.finish()
    listens, reloaded = result.stderr.decode().splitlines()
    assert result.status == 0 and "the probe listens" in listens and reloaded == "ebpfless: reloaded: 1 rule"


# --- silence -----------------------------------------------------------------------------

class Silent:
    """A server that accepts, and never reads."""

    def __init__(self) -> None:
        self.socket = socket.socket()
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self.socket.bind(("127.0.0.1", 0))
        self.socket.listen(16)
        self.address = "127.0.0.1:%d" % self.socket.getsockname()[1]


@pytest.mark.slow
def test_a_probe_that_never_reads_is_not_waited_for(tmp_path: Path, compile_c: Compiler) -> None:
    silent, opens, path = Silent(), compile_c("many_opens.c"), str(tmp_path / "file")
    Path(path).write_text("")
    policy = write_policy(tmp_path / "p.json", [rule("all", 'open.file.path == "%s"' % path, silent=True)])

    def lasts(*options: str) -> Tuple[float, int]:
        """Seconds that the command runs, and the memory of the keeper at its end in bytes."""
        command = ["sh", "-c", 'echo begun; exec "$0" "$1" 10007', opens, path]
        tracer = subprocess.Popen(ebpfless("trace", "--policy", policy, *options) + ["--"] + command,
                                  stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment())
        assert tracer.stdout is not None and tracer.stdout.readline() == b"begun\n"
        begin = time.monotonic()
        assert tracer.stdout.readline().startswith(b"done ")
        took = time.monotonic() - begin
        memory = resident(tracer.pid)
        _, errors = tracer.communicate(b"", timeout=60)
        assert tracer.returncode == 0
        return took, memory

    away = ("--probe-addr", silent.address, "--wait-probe", "5", "--spool", "1MiB")
    # One after the other: other work on the machine strikes both, or one of them by chance, but not in every pair.
    pairs = [(lasts("--probe-addr", "none"), lasts(*away)) for _ in range(5)]
    ratios = sorted(took / without for (without, _), (took, _) in pairs)
    more = sorted((memory - plain) >> 10 for (_, plain), (_, memory) in pairs)
    print("with a probe that never reads: %s times as long, %s KiB more" % (", ".join("%.2f" % ratio for ratio in ratios), more))
    assert ratios[0] < 1.5
    assert more[-1] < (1 << 10) + (8 << 10), "the client itself takes some"
    silent.socket.close()


def test_datadogs_probe_is_spoken_to_in_its_own_dialect(tmp_path: Path) -> None:
    with socket.socket() as sink:
        sink.bind(("127.0.0.1", 0))
        sink.listen(1)
        policy = write_policy(tmp_path / "p.json", [rule("reads", 'open.file.path == "/etc/hostname"')])
        tracer = subprocess.Popen(ebpfless("trace", "--probe-addr", "127.0.0.1:%d" % sink.getsockname()[1], "--wait-probe",
                                           "30", "--policy", policy, "--", "sh", "-c", "cat /etc/hostname >/dev/null; exit 7"),
                                  stderr=subprocess.PIPE, env=environment())
        connection, _ = sink.accept()
        data = b""
        while True:
            part = connection.recv(65536)
            if not part:
                break
            data += part
        errors = tracer.communicate(timeout=60)[1]
    assert tracer.returncode == 7 and errors.count(b"  reads  ") == 1, "who is silent may be nobody: judged here as well"
    messages = [datadog_structs.read("Message", unpack(body)) for body in bodies(data)]
    assert messages[0]["Hello"]["EntrypointArgs"] == ("sh", "-c", "cat /etc/hostname >/dev/null; exit 7")
    calls = [message["Syscall"] for message in messages[1:]]
    assert [call["Exec"]["Args"] for call in calls if call["Exec"]] == [
        ("sh", "-c", "cat /etc/hostname >/dev/null; exit 7"), ("cat", "/etc/hostname")]
    assert [call["Open"]["Filename"] for call in calls if call["Open"]].count("/etc/hostname") == 1
    assert [call["Exit"]["Code"] for call in calls if call["Exit"]] == [0, 7]


def test_datadogs_probe_is_told_what_an_attached_process_is(tmp_path: Path) -> None:
    with socket.socket() as sink, subprocess.Popen(["sleep", "1009"]) as sleep:
        sink.bind(("127.0.0.1", 0))
        sink.listen(1)
        began = time.time()
        tracer = subprocess.Popen(ebpfless("trace", "--probe-addr", "127.0.0.1:%d" % sink.getsockname()[1], "--pid", str(sleep.pid)),
                                  stderr=subprocess.DEVNULL, env=environment())
        sink.settimeout(60)
        connection, _ = sink.accept()
        connection.settimeout(60)
        with connection:
            data = connection.recv(65536)
            while b"1009" not in data:
                part = connection.recv(65536)
                assert part
                data += part
            sleep.kill()
            part = b"."
            while part:
                part = connection.recv(65536)
                data += part
        assert tracer.wait(60) == 0
    messages = [datadog_structs.read("Message", unpack(body)) for body in bodies(data)]
    assert (messages[0]["Hello"]["EntrypointArgs"], messages[0]["Hello"]["Mode"]) == (None, "attached")
    first, last = messages[1]["Syscall"], messages[-1]["Syscall"]
    assert (first["PID"], first["Exec"]["FromProcFS"], first["Exec"]["Args"], first["Exec"]["PPID"]) == (
        sleep.pid, True, ("sleep", "1009"), os.getpid())
    assert first["Exec"]["File"]["Filename"] == os.path.realpath("/bin/sleep") and first["Exec"]["Credentials"]["UID"] == os.getuid()
    assert abs(first["Timestamp"] / 1e9 - began) < 60, "it is the time of its start"
    assert (last["PID"], last["Exit"]) == (sleep.pid, {"Code": 9, "Cause": 2})


def test_a_slow_probe_of_datadogs_gets_everything(tmp_path: Path, compile_c: Compiler) -> None:
    path = str(tmp_path / "file")
    Path(path).write_text("")
    with socket.socket() as sink:
        sink.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sink.bind(("127.0.0.1", 0))
        sink.listen(1)
        policy = write_policy(tmp_path / "p.json", [rule("all", 'open.file.path == "%s"' % path, silent=True)])
        tracer = subprocess.Popen(ebpfless("trace", "--probe-addr", "127.0.0.1:%d" % sink.getsockname()[1], "--wait-probe",
                                           "30", "--policy", policy, "--", compile_c("many_opens.c"), path, "2003"),
                                  stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment())
        connection, _ = sink.accept()
        assert tracer.stdout is not None and tracer.stdin is not None
        assert tracer.stdout.readline().startswith(b"done ")
        tracer.stdin.close()
        data = bytearray()
        while True:
            part = connection.recv(65536)
            if not part:
                break
            data += part
        assert tracer.wait(60) == 0 and tracer.stderr is not None and tracer.stderr.read() == b""
    messages = [datadog_structs.read("Message", unpack(body)) for body in bodies(bytes(data))]
    names = [message["Syscall"]["Open"]["Filename"] for message in messages[1:] if message["Syscall"]["Open"]]
    assert names.count(path) == 2003


@pytest.mark.parametrize("name", STREAMS)
def test_datadogs_tracer_is_understood(tmp_path: Path, name: str) -> None:
    raw, messages = recorded(name)
    policy = write_policy(tmp_path / "p.json", [rule("ran", "exec.file.path != \"\"")])
    with Probe(tmp_path, "--policy", policy) as probe:
        host, _, port = probe.address.rpartition(":")
        with socket.create_connection((host, int(port))) as connection:
            for start in range(0, len(raw), 1009):
                connection.sendall(raw[start:start + 1009])
        wait_until(lambda: "Datadog's dialect" in probe.errors() and "has gone" in probe.errors(), "it is all read")
        assert probe.stop() == 0
    assert " is left: " not in probe.errors()
    sent = [message["Syscall"] for message in messages if message.get("Syscall")]
    found = [event for event in probe.events() if not is_detection(event)]
    execs = [call for call in sent if call.get("Exec") and not call["Exec"].get("FromProcFS")]
    assert [event["process"]["pid"] for event in found if event["evt"]["name"] == "exec"] == [call["PID"] for call in execs]
    opened = [call["Open"]["Filename"] for call in sent if call.get("Open")]
    assert [event["file"]["path"] for event in found if event["evt"]["name"] == "open"] == opened
    assert len([event for event in probe.events() if is_detection(event)]) == len(execs) > 0


# --- a service ---------------------------------------------------------------------------

def get(address: str, path: str) -> Tuple[int, str]:
    try:
        with urllib.request.urlopen("http://%s%s" % (address, path), timeout=30) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, ""


def test_metrics_and_health(tmp_path: Path) -> None:
    address = "127.0.0.1:%d" % free_port()
    policy = write_policy(tmp_path / "p.json", [rule("ran", 'exec.file.name == "true"')])
    with Probe(tmp_path, "--policy", policy, "--http", address) as probe:
        assert run(probe.tracer(["true"], "--wait-probe", "20", "--events")).status == 0
        wait_until(lambda: 'ebpfless_detections_total{rule="ran"} 1\n' in get(address, "/metrics")[1], "it is counted")
        page = get(address, "/metrics")[1]
        values = dict(line.rsplit(" ", 1) for line in page.splitlines() if not line.startswith("#"))
        assert values['ebpfless_events_total{type="exec"}'] == "1" and values['ebpfless_lost_total{where="wire"}'] == "0"
        assert int(values["ebpfless_resident_memory_bytes"]) > 1 << 20
        assert int(values["ebpfless_delay_seconds_count"]) >= int(values['ebpfless_events_total{type="exit"}'])
        assert get(address, "/healthz") == (200, "ok\n") and get(address, "/x")[0] == 404
        # Somebody who asks slowly holds up nobody but those who ask.
        host, _, port = address.rpartition(":")
        with socket.create_connection((host, int(port))):
            assert run(probe.tracer(["true"], "--wait-probe", "20")).status == 0
        assert probe.stop() == 0


def test_a_policy_whose_rules_are_all_off_is_warned_of(tmp_path: Path) -> None:
    warning, off = "ebpfless: warning: no rule is active, so nothing is detected\n", rule("r", 'open.file.path == "/a"', disabled=True)
    policy = write_policy(tmp_path / "p.json", [rule("r", 'open.file.path == "/a"')])
    with Probe(tmp_path, "--policy", policy) as probe:
        assert warning not in probe.errors()
        write_policy(tmp_path / "p.json", [off])
        probe.process.send_signal(signal.SIGHUP)
        wait_until(lambda: probe.errors().endswith("ebpfless: reloaded: 0 rules\n" + warning), "it is warned of")
        assert probe.stop() == 0
    with Probe(tmp_path, "--policy", policy) as probe:
        wait_until(lambda: probe.errors().endswith(" with 0 rules\n" + warning), "it is warned of at the start as well")
        assert probe.stop() == 0


def test_a_file_for_the_process_id_that_cannot_be_written_is_all_that_is_said() -> None:
    result = run(ebpfless("probe", "--listen", "127.0.0.1:%d" % free_port(), "--pid-file", "/nowhere/x"))
    assert result[:3] == (2, b"", b"ebpfless probe: --pid-file /nowhere/x: No such file or directory\n")


def test_a_service_manager_is_told(tmp_path: Path) -> None:
    path, pid_file = str(tmp_path / "notify"), tmp_path / "pid"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(path)
        manager.settimeout(30)
        address = "127.0.0.1:%d" % free_port()
        probe = subprocess.Popen(ebpfless("probe", "--listen", address, "--pid-file", str(pid_file)),
                                 env=environment(NOTIFY_SOCKET=path, WATCHDOG_USEC="400000"), stderr=subprocess.DEVNULL)
        assert manager.recv(999) == b"READY=1\nSTATUS=listening on " + address.encode()
        begin = time.monotonic()
        assert [manager.recv(999) for _ in range(7)] == [b"WATCHDOG=1"] * 7
        assert time.monotonic() - begin > 1, "every fifth of a second"
        assert pid_file.read_text() == "%d\n" % probe.pid
        probe.terminate()
        told = b""
        while told != b"STOPPING=1":
            told = manager.recv(999)
        assert probe.wait(30) == 0 and not pid_file.exists()


@pytest.mark.skipif(not shutil.which("systemd-socket-activate"), reason="needs systemd")
@pytest.mark.parametrize("is_unix", [False, True])
def test_a_service_manager_can_listen_for_it(tmp_path: Path, is_unix: bool) -> None:
    path = str(tmp_path / "probe.sock")
    address = "unix:" + path if is_unix else "127.0.0.1:%d" % free_port()
    output = str(tmp_path / "events")
    command = ["systemd-socket-activate", "--listen", path if is_unix else address, "-E", "PYTHONPATH"] + ebpfless(
        "probe", "--events", "--format", "json", "--output", output, "--policy", write_policy(tmp_path / "p.json", [
            rule("ran", 'exec.file.name == "true"')]))
    manager = subprocess.Popen(command, env=environment(), stderr=subprocess.PIPE)
    assert manager.stderr is not None and b"Listening on" in manager.stderr.readline()
    try:
        # Whoever comes first has it started.
        with socket.socket(socket.AF_UNIX if is_unix else socket.AF_INET) as first:
            first.connect(path if is_unix else ("127.0.0.1", int(address.rpartition(":")[2])))
            told = iter(manager.stderr.readline, b"")
            assert any(b"the probe listens on %s with " % address.encode() in line for line in told)
        result = run(ebpfless("trace", "--probe-addr", address, "--wait-probe", "60", "--", "sh", "-c", "exit 7"))
        assert (result.status, result.stderr) == (7, b"")
    finally:
        manager.terminate()
        status = manager.wait(30)
        manager.stderr.close()
    assert status == 0
    assert [event["exit"]["code"] for event in read_events(output) if event["evt"]["name"] == "exit"] == [7]


@pytest.mark.slow
def test_prometheus_scrapes_it(tmp_path: Path) -> None:
    address, own = "127.0.0.1:%d" % free_port(), "127.0.0.1:%d" % free_port()
    (tmp_path / "prometheus.yml").write_text(json.dumps({
        "global": {"scrape_interval": "1s"},
        "scrape_configs": [{"job_name": "ebpfless", "static_configs": [{"targets": [address]}]}]}))
    with Probe(tmp_path, "--http", address) as probe:
        page = subprocess.run(["promtool", "check", "metrics"], input=get(address, "/metrics")[1].encode(),
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        assert (page.returncode, page.stdout) == (0, b"")
        server = subprocess.Popen(["prometheus", "--config.file", str(tmp_path / "prometheus.yml"), "--storage.tsdb.path",
                                   str(tmp_path / "data"), "--web.listen-address", own, "--log.level", "error"])
        try:
            assert run(probe.tracer(["true"], "--wait-probe", "20")).status == 0
            wait_until(lambda: _asked(own, 'ebpfless_events_total{type="exec"}') == "1", "Prometheus knows", 60)
            assert _asked(own, 'up{job="ebpfless"}') == "1"
        finally:
            server.terminate()
            server.wait(30)


def _asked(address: str, query: str) -> str:
    try:
        found = json.loads(get(address, "/api/v1/query?query=" + urllib.parse.quote(query))[1] or "{}")
    except OSError:
        return ""
    results: List[Dict[str, Any]] = found.get("data", {}).get("result", [])
    return str(results[0]["value"][1]) if results else ""
