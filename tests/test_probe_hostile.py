"""Tracers of the probe that mean no good, and who asks its web server: each harms itself at most."""

import socket
import sys
import time
from pathlib import Path
from typing import List

import pytest

from blackbox import ebpfless, is_detection, run, wait_until
from ebpfless_arch.events import records, wire
from ebpfless_arch.events.link import TracerEnd
from ebpfless_arch.events.record_shapes import pack_record
from probes import Probe, free_port, resident
from test_probe_port import call, ends, greeted
from test_probe_service import get

_ODD = "\x1b]0;owned\x07\x1b[31m\r\u202e\n"


def opened(path: str, moment: int) -> bytes:
    """The record of an open."""
    return pack_record((records.OPEN, moment, 7, 7, 3, path.encode(), path.encode(), 0, 0, None, "", False))


def now() -> int:
    return int(time.time() * 1e9)


def tell(connection: socket.socket, end: TracerEnd, first: int, packed: List[bytes]) -> None:
    end.send_records(first, packed)
    connection.sendall(end.take())


def test_neither_noise_nor_a_clock_that_runs_ahead_hides_what_others_do(tmp_path: Path) -> None:
    with Probe(tmp_path, events=False) as probe, call(probe) as bad, call(probe) as good:
        loud, quiet = greeted(bad, 3), greeted(good, 5)
        tell(bad, loud, 1, [opened("/etc/shadow", now())] * 101 + [opened("/etc/shadow", 1 << 63)])
        wait_until(lambda: len(probe.events()) >= 40, "as many are told as may be")
        tell(good, quiet, 1, [opened("/etc/shadow", now())])
        wait_until(lambda: len({event["evt"]["variables"]["tracer"] for event in probe.events()}) == 2, "the other one is heard")
        assert probe.stop() == 0
    assert all(event["date"] < "2100" for event in probe.events()), "the probe's own time is believed"


def test_nothing_that_a_tracer_says_reaches_a_terminal(tmp_path: Path) -> None:
    with Probe(tmp_path, "--format", "text", events=False) as probe, call(probe) as connection:
        end = TracerEnd(wire.Hello(1, _ODD, 0, (_ODD, _ODD), _ODD[:9]), bytes(range(16)))
        connection.sendall(end.take())
        while not any(type(message) is wire.Accepted for message in end.feed(connection.recv(65536))):
            connection.sendall(end.take())
        end.send(wire.Context(("x:" + _ODD,)))
        for number in range(101):
            end.send(wire.Outcome(number, "refused", _ODD))
        tell(connection, end, 1, [pack_record((records.FAULT, now(), 7, 7, _ODD + "x" * 9999)),
                                  pack_record((records.BLIND, now(), 7, 7, _ODD, _ODD, 1)), opened("/etc/shadow" + _ODD, now()),
                                  opened("/etc/shadow", now())])
        wait_until(lambda: "shadow" in Path(probe.output).read_text(), "the last one is judged")
        assert probe.stop() == 0
    for text in (probe.errors(), Path(probe.output).read_text()):
        assert not set(text).intersection("\x1b\x07\r\u202e") and max(map(len, text.split("\n"))) < 6000
    assert "a kill was refused" not in probe.errors(), "nobody ordered one"
    assert probe.errors().count("\n") < 12


@pytest.mark.once
def test_whoever_makes_the_probe_large_is_left(tmp_path: Path) -> None:
    with Probe(tmp_path) as probe:
        usual = resident(probe.process.pid)
    (tmp_path / "ini").write_text("[probe]\nmemory = %dKiB\n" % ((usual >> 10) + (2 << 10)))
    words = tuple([b"%0250d" % number for number in range(64)])
    with Probe(tmp_path, "--config", str(tmp_path / "ini"), events=False) as probe, call(probe) as bad, call(probe) as good:
        quiet, loud = greeted(good, 3), greeted(bad, 5)
        halves = [call(probe) for _ in range(13)]  # more would not be told one by one
        for number, half in enumerate(halves):
            greeted(half, 100 + number)
            half.sendall((256 << 10).to_bytes(4, sys.byteorder) + bytes(255 << 10))
        wait_until(lambda: "the probe is short of memory, and waits for the rest of a message" in probe.errors(), "halves go")
        for half in halves:
            half.close()
        number, told = 1, "and this tracer has the most processes"
        while told not in probe.errors():
            packed = [pack_record((records.SNAPSHOT, now(), pid, pid, 0, 0, b"/bin/x%d" % pid, b"", words, False, (), False, None,
                                   b"", None, None, b"x", 0, 0, b"", b"/", ())) for pid in range(number + 1, number + 11)]
            try:
                tell(bad, loud, number, packed)
            except ConnectionError:
                wait_until(lambda: told in probe.errors(), "it is told why")
            number += 10
            assert number < 65536
        tell(good, quiet, 1, [opened("/etc/shadow", now())])
        wait_until(lambda: any(map(is_detection, probe.events())), "the others never notice")
        assert probe.stop() == 0


# --- orders --------------------------------------------------------------------------------

# A probe on another host, as it seems, which nobody has proved anything of: it orders to kill what it is told of.
UNPROVEN = """
import socket, subprocess, sys, time
from ebpfless_arch.events import link, wire
from ebpfless_arch.events.interest import Interest
server = socket.socket()
server.bind(("192.0.2.1", 5678))
server.listen(1)
tracer = subprocess.Popen(sys.argv[1:], stdin=subprocess.PIPE, stderr=subprocess.DEVNULL)
connection, end, ordered, outcome = server.accept()[0], link.ProbeEnd(), False, None
while outcome is None:
    for message in end.feed(connection.recv(65536)):
        if isinstance(message, wire.Hello):
            end.accept(None, wire.plain_interest(Interest(frozenset(["exec"]), False, {})))
        elif isinstance(message, wire.Records) and not ordered:
            ordered = True
            end.send(wire.Order(1, message.records[-1][2], 0, int(time.time() * 1e9), 9))
        elif isinstance(message, wire.Outcome):
            outcome = message
    connection.sendall(end.take())
print(outcome.status + ":", outcome.why)
tracer.communicate(b"go on\\n")
sys.exit(tracer.returncode)
"""


@pytest.mark.root
def test_a_probe_that_has_proved_nothing_orders_nothing() -> None:
    command = ebpfless("trace", "--probe-addr", "192.0.2.1:5678", "--wait-probe", "30", "--", "sh", "-c", "read word; exit 7")
    script = 'ip link set lo up; ip addr add 192.0.2.1/32 dev lo; exec "$@"'
    result = run(["unshare", "--net", "sh", "-c", script, "sh", sys.executable, "-c", UNPROVEN] + command)
    assert (result.status, result.stdout) == (7, b"refused: without a secret no orders are taken\n"), result


# --- the web server ------------------------------------------------------------------------

@pytest.mark.once
def test_who_asks_the_web_server_badly_is_nobodys_problem(tmp_path: Path) -> None:
    address = "127.0.0.1:%d" % free_port()
    host, _, port = address.rpartition(":")
    with Probe(tmp_path, "--http", address) as probe:
        for data, status in ((b"\x16\x03\x01\x02\0\1\n\n", b"400"), (b"GET / HTTP/9.9\r\n\r\n", b"505"),
                             (b"POST /metrics HTTP/1.0\r\n\r\n", b"501"), (b"GET /%00%ff HTTP/1.0\r\n\r\n", b"404"),
                             (b"GET / HTTP/1.0\r\n" + b"a: b\r\n" * 101 + b"\r\n", b"431")):
            with socket.create_connection((host, int(port)), 30) as connection:
                connection.sendall(data)
                assert status in b"".join(iter(lambda: connection.recv(65536), b"")), data[:20]
        with socket.create_connection((host, int(port)), 30) as connection:
            connection.sendall(b"GET /" + b"x" * 65536)
            assert ends(connection)
        slow = [socket.create_connection((host, int(port)), 30) for _ in range(67)]
        for connection in slow:
            connection.sendall(b"GET /metr")
        assert get(address, "/healthz") == (200, "ok\n")
        assert ends(slow[0]), "the oldest has gone for the newest"
        for connection in slow:
            connection.close()
        assert run(probe.tracer(["true"], "--wait-probe", "20")).status == 0
        assert probe.stop() == 0


@pytest.mark.slow
def test_who_asks_the_web_server_byte_by_byte_is_left(tmp_path: Path) -> None:
    address = "127.0.0.1:%d" % free_port()
    host, _, port = address.rpartition(":")
    with Probe(tmp_path, "--http", address) as probe:
        with socket.create_connection((host, int(port)), 30) as connection:
            sent = 0
            with pytest.raises(ConnectionError):
                while sent < 3000:
                    sent += connection.send(b"x")
                    time.sleep(0.02)
        assert probe.stop() == 0
