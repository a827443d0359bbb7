"""`ebpfless probe` and tracers that report to it, as processes: what arrives, and whose it is."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, List, Tuple

import pytest

from attaching import Loading
from blackbox import Event, ebpfless, environment, opens_of, read_events, rule, run, run_traced, wait_until, write_policy
from probes import Probe, free_port

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
        told = b"ebpfless: the probe at %s has come, and evaluates the rules from now on\n" % probe.address.encode()
        assert (tracer.returncode, errors) == (7, told)
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
    (["--secret-file", "/nowhere"], "the secret file /nowhere cannot be read: No such file or directory"),
    (["--listen", "0.0.0.0:1"], "other hosts can reach 0.0.0.0:1: name a --secret-file"),
    (["--peers", "root"], "--peers root: numeric user ids are needed"),
    (["--policy", "/nowhere"], "/nowhere: cannot read the policy"), (["extra"], "'extra' is too much")])
def test_what_a_user_has_to_change_is_one_line(arguments: List[str], words: str) -> None:
    result = run(ebpfless("probe", *(arguments if "--listen" in arguments else ["--listen", "127.0.0.1:1"] + arguments)))
    assert result.status == 2 and result.stderr.count(b"\n") == 1, result.stderr
    assert words in result.stderr.decode() and result.stderr.startswith(b"ebpfless probe: ")


def test_a_probe_that_cannot_listen_ends_with_125(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = "127.0.0.1:%d" % taken.getsockname()[1]
        for options, words in ((["--listen", address], "cannot listen on %s: somebody else does" % address),
                               (["--listen", "unix:/nowhere/x"], "cannot listen on unix:/nowhere/x: No such file or directory"),
                               (["--listen", "192.0.2.1:5"], "cannot listen on 192.0.2.1:5: Cannot assign requested address"),
                               (["--listen", "a..b:5"], "cannot listen on a..b:5: 'a..b' can be no host's name"),
                               (["--listen", "127.0.0.1:0x"], "'127.0.0.1:0x' is no address"),
                               (["--listen", "unix:%s/s" % tmp_path, "--http", address],
                                "cannot listen on %s for --http: Address already in use" % address)):
            result = run(ebpfless("probe", *options))
            assert result.status == (2 if "0x" in options[1] else 125) and result.stderr.count(b"\n") == 1, result.stderr
            assert words in result.stderr.decode() and result.stderr.startswith(b"ebpfless probe: ")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_probe_that_is_told_to_end_while_it_loads_ends_as_later(number: int, tmp_path: Path) -> None:
    with Loading("probe", tmp_path, ["--listen", "unix:%s" % (tmp_path / "socket")]) as probe:
        os.kill(probe.pid, number)
        result = probe.finish(30)
    assert (result.status, result.stderr) == (0, b"")


def test_a_probe_that_is_not_reached_is_told_where_somebody_asks(tmp_path: Path) -> None:
    address = "127.0.0.1:%d" % free_port()
    options = ["trace", "--probe-addr"]
    assert run(ebpfless(*options, address, "--", "true")) == (0, b"", b"", [])
    waiting = run(ebpfless(*options, address, "--wait-probe", "0.3s", "--", "true"))
    assert waiting == (0, b"", b"ebpfless: no answer from the probe at %b within 0.3 s (Connection refused); we begin without "
                       b"it, and go on looking\n" % address.encode(), [])
    verbose = run(ebpfless(*options, address, "--verbose", "--", "true")).stderr.decode().splitlines()
    assert len(verbose) == 2 and " stops, " in verbose[1], verbose
    assert verbose[0] == ("ebpfless: no probe at %s so far (Connection refused); the rules are evaluated here until one answers"
                          % address)
    unknown = run(ebpfless(*options, "no..such..host:5678", "--wait-probe", "2s", "--", "true"))
    assert unknown.status == 0 and unknown.stderr.decode().splitlines()[0] == (
        "ebpfless: the probe is not looked for at no..such..host:5678 for now: no name server knows that host")


def test_options_that_are_for_a_probe_alone_are_told_where_none_is_looked_for() -> None:
    words = ["trace", "--secret-file", "/nowhere", "--spool-file", "/nowhere/x"]
    assert run(ebpfless(*words, "--probe-addr", "none", "--", "sh", "-c", "exit 7")) == (
        7, b"", b"ebpfless: --secret-file, --spool-file: without effect, for no probe is looked for (none, by --probe-addr)\n", [])
    # A configuration is for others as well.
    assert run(ebpfless("trace", "--probe-addr", "none", "--", "true"),
               env=environment(EBPFLESS_TRACE_SPOOL_FILE="/nowhere/x")) == (0, b"", b"", [])


def test_with_verbose_it_is_told_how_much_the_probe_got(tmp_path: Path) -> None:
    with Probe(tmp_path) as probe:
        result = run(probe.tracer(["sh", "-c", "cat /etc/shadow >/dev/null"], "--wait-probe", "20", "--verbose"))
        count, words = result.stderr.decode().splitlines()[0].split(" ", 2)[1:]
    assert words == "records were handed to the probe" and int(count) > 3, result


def test_a_probe_that_stays_away_is_replaced(tmp_path: Path) -> None:
    policy = write_policy(tmp_path / "p.json", [rule("reads", 'open.file.path == ~"%s/*"' % tmp_path)])
    first, second, go = tmp_path / "first", tmp_path / "second", tmp_path / "go"
    first.write_text("")
    second.write_text("")
    script = "read line <%s; while ! [ -e %s ]; do sleep 0.02; done; bash -c 'read line <%s'; exit 7" % (first, go, second)
    output = str(tmp_path / "local.json")
    with Probe(tmp_path, "--policy", policy, events=False) as probe:
        tracer = subprocess.Popen(probe.tracer(["bash", "-c", script], "--policy", policy, "--format", "json", "--output",
                                               output, "--wait-probe", "20"), env=environment())
        wait_until(lambda: len(probe.events()) == 1, "the first read is detected")
        probe.kill()
        go.write_text("")
        assert tracer.wait(60) == 7
    local, = [event for event in read_events(output) if event["file"]["path"] != str(first)]
    assert local["file"]["path"] == str(second)
    # Its model of processes is whole, although the probe had it.
    assert [each["executable"]["name"] for each in local["process"]["ancestors"]][:2] == ["bash"] * 2
    assert local["process"]["args"] == ["-c", "read line <%s" % second]


def test_records_that_find_no_room_while_the_probe_is_away_are_judged_here(tmp_path: Path) -> None:
    go, output = tmp_path / "go", str(tmp_path / "local.json")
    marked = [str(tmp_path / ("%d.marked" % number)) for number in range(1009)]
    # It waits without a record: what the probe has not acknowledged when it dies must not fill the spool by itself.
    script = 'read line <>"$0"; for name in {0..1008}; do : >"${0%go}$name.marked"; done; exit 7'
    os.mkfifo(str(go))
    with Probe(tmp_path) as probe:
        tracer = subprocess.Popen(probe.tracer(["bash", "-c", script, str(go)], "--events", "--format", "json",
                                               "--output", output, "--wait-probe", "20", "--spool", "64KiB"),
                                  env=environment(), stderr=subprocess.PIPE)
        wait_until(lambda: bool(opens_of(probe.events(), go)), "the probe has all until the command waits")
        probe.kill()
        wait_until(lambda: not has_socket(tracer.pid), "the tracer has noticed")
        go.write_text("\n")
        _, errors = tracer.communicate(timeout=60)
        assert (tracer.returncode, errors) == (7, b"")
    opened = [event["file"]["path"] for event in read_events(output) + probe.events() if event["evt"]["name"] == "open"]
    assert sorted(path for path in opened if path.endswith(".marked")) == sorted(marked)


def test_a_record_that_is_larger_than_the_spool_is_told_as_that(tmp_path: Path) -> None:
    many = {"LONG%d" % number: "x" * 200 for number in range(199)}
    with Probe(tmp_path) as probe:
        result = run(probe.tracer(["true"], "--wait-probe", "20", "--spool", "16KiB"), env=environment(**many))
        assert result == (0, b"", b"ebpfless: 1 record was lost for each is larger than --spool 16KiB has room for\n", [])
        assert probe.stop() == 0


def has_socket(pid: int) -> bool:
    """Whether a process has a connection of TCP."""
    folder = "/proc/%d/fd" % pid
    lines = Path("/proc/%d/net/tcp" % pid).read_text().splitlines()[1:]
    inodes = {"socket:[%s]" % line.split()[9] for line in lines}
    return any(target(os.path.join(folder, name)) in inodes for name in os.listdir(folder))


def target(link: str) -> str:
    """Where a link of /proc leads to, "" if it is gone by now."""
    try:
        return os.readlink(link)
    except FileNotFoundError:
        return ""


@pytest.mark.slow
def test_a_command_starts_as_soon_without_a_probe(tmp_path: Path) -> None:
    policy = write_policy(tmp_path / "p.json", [READS])

    def starts(address: str) -> float:
        """Seconds until the command says something."""
        begin = time.monotonic()
        tracer = subprocess.Popen(ebpfless("trace", "--policy", policy, "--probe-addr", address, "--", "echo"),
                                  env=environment(), stdout=subprocess.PIPE)
        assert tracer.stdout is not None and tracer.stdout.readline() == b"\n"
        took = time.monotonic() - begin
        tracer.communicate()
        return took

    nobody = "127.0.0.1:%d" % free_port()
    with Probe(tmp_path) as probe:
        # One after the other, so that other work on the machine strikes both; the best of each counts.
        pairs = [(starts(probe.address), starts(nobody)) for _ in range(13)]
    present, absent = map(min, zip(*pairs))
    print("with a probe %.0f ms, without %.0f ms" % (present * 1000, absent * 1000))
    assert absent < present + 0.05


def test_what_outlives_its_command_reports_on(tmp_path: Path) -> None:
    path, go = tmp_path / "late", tmp_path / "go"
    path.write_text("")
    script = '(until [ -e "$1" ]; do sleep 0.02; done; read line <"$0") >/dev/null 2>&1 & exit 7'
    with Probe(tmp_path) as probe:
        command = probe.tracer(["sh", "-c", script, str(path), str(go)], "--wait-probe", "20")
        assert subprocess.call(command, env=environment()) == 7
        assert "has gone" not in probe.errors()
        go.write_text("")
        wait_until(lambda: "has gone" in probe.errors(), "the background ends")
        assert probe.errors().count("has come from") == 1
        probe.stop()
    assert str(path) in [event["file"]["path"] for event in probe.events() if event["evt"]["name"] == "open"]


# A name server that takes questions and never answers; the resolver would ask it for minutes.
DUMB_SERVER = """
import os, socket, subprocess, sys
server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind(("127.0.0.1", 53))
tracer = subprocess.Popen(sys.argv[1:], stdin=subprocess.PIPE)
print(b"nobody" in server.recv(999), flush=True)
sys.exit(tracer.communicate(b"go on\\n") and tracer.returncode)
"""


@pytest.mark.root
def test_a_name_server_that_never_answers_delays_nothing(tmp_path: Path) -> None:
    (tmp_path / "resolv.conf").write_text("nameserver 127.0.0.1\noptions timeout:30 attempts:5\n")
    (tmp_path / "nsswitch.conf").write_text("hosts: files dns\n")
    script = ('ip link set lo up; for name in resolv nsswitch; do file=/etc/$name.conf; [ -e $file ] || continue; '
              'mount --bind "$0/$name.conf" "$(readlink -f $file)"; done; exec "$@"')
    command = ebpfless("trace", "--probe-addr", "nobody.invalid:5678", "--", "sh", "-c", "read word; exit 7")
    result = run(["unshare", "--mount", "--net", "sh", "-c", script, str(tmp_path), sys.executable, "-c", DUMB_SERVER] + command)
    assert result == (7, b"True\n", b"", [])


def test_a_tracer_that_attaches_reports_as_well(tmp_path: Path) -> None:
    path = tmp_path / "seen"
    path.write_text("")
    reader = subprocess.Popen(["sh", "-c", 'while read word; do read line <"$0"; done', str(path)], stdin=subprocess.PIPE,
                              stdout=subprocess.DEVNULL)
    assert reader.stdin is not None
    with Probe(tmp_path) as probe:
        tracer = subprocess.Popen(ebpfless("trace", "--probe-addr", probe.address, "--wait-probe", "20", "--pid",
                                           str(reader.pid)), env=environment(), stderr=subprocess.DEVNULL)
        wait_until(lambda: any(event["process"]["pid"] == reader.pid for event in probe.events()), "it is known")
        reader.stdin.write(b"now\n")
        reader.stdin.close()
        reader.wait(30)
        tracer.wait(60)
        probe.stop()
    opened = [event for event in probe.events() if event["evt"]["name"] == "open" and event["file"]["path"] == str(path)]
    assert [event["process"]["args"] for event in opened] == [["-c", 'while read word; do read line <"$0"; done', str(path)]]
    assert opened[0]["process"]["ancestors"], "whoever started it is known as well"
