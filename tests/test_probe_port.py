"""The probe's port before strangers: whoever sends nonsense, half of something, too much or nothing at all is left with
one line, and nobody else notices."""

import random
import re
import socket
import struct
import subprocess
import time
from pathlib import Path
from typing import Any, Iterator, List

import pytest

from blackbox import Compiler, Session as Program, ebpfless, environment, opens_of, rule, run, wait_until, write_policy
from ebpfless_arch.agent.doors import open_doors
from ebpfless_arch.agent.endpoints import Endpoint
from ebpfless_arch.agent.peers import Host, Peer
from ebpfless_arch.agent.sessions import Session
from ebpfless_arch.agent.stream import Stream
from ebpfless_arch.events import link, wire
from ebpfless_arch.events.link import TracerEnd
from ebpfless_arch.events.msgpack import WireError
from ebpfless_arch.events.record_shapes import pack_record
from ebpfless_arch.events.users import Users
from ordinary import interpreter
from probes import Probe, free_port, resident
from test_msgpack import mutated
from wire_samples import HELLO, RECORDS

PACKED = [pack_record(record) for record in RECORDS]


def call(probe: Probe) -> socket.socket:
    """A connection to a probe."""
    host, _, port = probe.address.rpartition(":")
    return socket.create_connection((host, int(port)), 30)


def ends(connection: socket.socket) -> bool:
    """Whether the other end leaves, whatever it says before."""
    try:
        while connection.recv(65536):
            pass
    except ConnectionResetError:
        pass
    return True


def greeting(seed: int) -> TracerEnd:
    """A tracer's end, whose hello is ready to be taken."""
    randomly = random.Random(seed)
    return TracerEnd(wire.Hello(1, "", int(time.time() * 1e9), ("x",), "wrapped"), bytes(randomly.randrange(256) for _ in range(16)))


def greeted(connection: socket.socket, seed: int) -> TracerEnd:
    """A tracer that was accepted."""
    end = greeting(seed)
    connection.sendall(end.take())
    while end.state != link.READY:
        for _ in end.feed(connection.recv(65536)):
            pass
        connection.sendall(end.take())
    return end


OFFENCES = [
    (b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", "a frame of 542393671 bytes; 1 to 262144 are taken"),
    (struct.pack("=I", 0), "a frame of 0 bytes; 1 to 262144 are taken"),
    (struct.pack("=I", 262145) + b"x" * 99, "a frame of 262145 bytes; 1 to 262144 are taken"),
    (struct.pack("=I", 3) + b"\x92\x01\xcd", "a message ends in the middle"),
    (struct.pack("=I", 4) + b"\x93\x0d\xc1\xc0", "the byte 0xc1 begins no value"),
    (struct.pack("=I", 40) + b"\x91" * 40, "nested deeper than 32 levels"),
    (struct.pack("=I", 1) + b"\xc0", "the first message is no hello"),
    (wire.frame(HELLO) * 2, "a second hello"),
]


def test_offenders_are_left_with_one_line_and_others_never_notice(tmp_path: Path) -> None:
    with Probe(tmp_path) as probe:
        with call(probe) as silent, call(probe) as good:
            end = greeted(good, 17)
            for data, words in OFFENCES:
                with call(probe) as connection:
                    connection.sendall(data)
                    assert ends(connection)
                lines = [line for line in probe.errors().splitlines() if " is left: " in line]
                assert lines[-1].endswith(" is left: " + words), words
            assert len(lines) == len(OFFENCES)
            end.send_records(1, PACKED)
            good.sendall(end.take())
            wait_until(lambda: sum("record" in event["evt"]["variables"] for event in probe.events()) > 0, "all arrives")
            assert silent.fileno() >= 0
        assert probe.stop() == 0
    told = {event["evt"]["variables"].get("record") for event in probe.events()}
    assert len(told) >= len(PACKED) - 2, "all but what is no event"


def test_a_flood_of_offenders_is_no_flood_of_lines(tmp_path: Path) -> None:
    with Probe(tmp_path) as probe:
        for _ in range(101):
            with call(probe) as connection:
                connection.sendall(b"\0\0\0\0")
                assert ends(connection)
        assert probe.errors().count(" is left: ") <= 40
        assert probe.stop() == 0


def test_a_secret_is_asked_for(tmp_path: Path) -> None:
    right, wrong = tmp_path / "right", tmp_path / "wrong"
    right.write_text("0123456789abcdef0123456789abcdef\n")
    wrong.write_text("0123456789abcdef0123456789abcdeX\n")
    right.chmod(0o600)
    wrong.chmod(0o600)
    script = ["sh", "-c", "exit 7"]
    with Probe(tmp_path, "--secret-file", str(right)) as probe:
        for options, words in (
                (["--secret-file", str(right)], b""),
                (["--secret-file", str(wrong)], b"ebpfless: the probe refuses: the tracer does not know the shared secret\n"),
                ([], b"ebpfless: the probe asks for a shared secret, and this tracer was given none\n")):
            result = run(probe.tracer(script, "--wait-probe", "1", *options))
            assert (result.status, result.stderr) == (7, words)
        with call(probe) as theirs:
            theirs.sendall(wire.frame(HELLO))
            assert ends(theirs)
        assert "is left: this probe asks for a shared secret, which Datadog's dialect cannot show" in probe.errors()
        probe.stop()
    assert len({event["evt"]["variables"]["tracer"] for event in probe.events()}) == 1
    # A tracer that has a secret trusts no probe that has none.
    with Probe(tmp_path) as probe:
        result = run(probe.tracer(script, "--wait-probe", "1", "--secret-file", str(right)))
        assert result.status == 7 and b"does not ask for the shared secret" in result.stderr


@pytest.mark.parametrize("content, mode, words", [
    ("short\n", 0o600, "holds 5 bytes; a secret has 16 to 4096"), ("x" * 32, 0o644, "is open to other users: chmod 600")])
def test_a_bad_secret_file_is_one_line(tmp_path: Path, content: str, mode: int, words: str) -> None:
    path = tmp_path / "secret"
    path.write_text(content)
    path.chmod(mode)
    for command in (["probe", "--secret-file", str(path), "--listen", "127.0.0.1:1"],
                    ["trace", "--secret-file", str(path), "--", "true"]):
        result = run(ebpfless(*command))
        assert result.status == 2 and words in result.stderr.decode() and result.stderr.count(b"\n") == 1


@pytest.mark.root
def test_a_unix_socket_is_for_those_who_may(public_dir: Path) -> None:
    path = public_dir / "probe.sock"
    nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
    with Probe(public_dir, address="unix:%s" % path) as probe:
        assert run(probe.tracer(["true"], "--wait-probe", "20")).stderr == b""
        python = interpreter()
        if python is None:
            pytest.skip("needs a Python that every user can run")
        result = run(nobody + [python] + probe.tracer(["sh", "-c", "exit 7"], "--wait-probe", "1")[1:])
        assert result[:3] == (7, b"", b"ebpfless: no answer from the probe at unix:%b within 1 s (the probe has closed the connection at "
                              b"once; user 65534 may not be among its --peers); we begin without it, and go on looking\n"
                              % str(path).encode())
        assert "user 65534 (process " in probe.errors() and "it may not use %s, --peers says who may" % path in probe.errors()
        assert probe.stop() == 0 and not path.exists()
    before = len(probe.events())
    assert before > 0
    with Probe(public_dir, "--peers", "65533,65534", address="unix:%s" % path) as probe:
        assert run(nobody + [python] + probe.tracer(["true"], "--wait-probe", "20")[1:]).status == 0
        probe.kill()
        probe.start()  # over the socket that the dead one has left
        assert probe.stop() == 0
    assert len(probe.events()) > before


@pytest.mark.root
def test_a_stranger_on_the_port_is_told_nothing(tmp_path: Path) -> None:
    port = free_port()
    script = ("import socket,sys; s = socket.socket(); s.bind(('127.0.0.1', %d)); s.listen(5); print('ready', flush=True); "
              "c = s.accept()[0]; print(len(c.recv(99)), flush=True)" % port)
    stranger = subprocess.Popen(["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "/usr/bin/python3", "-c",
                                 script], stdout=subprocess.PIPE, stdin=subprocess.DEVNULL)
    assert stranger.stdout is not None and stranger.stdout.readline() == b"ready\n"
    probe = Probe(tmp_path, address="127.0.0.1:%d" % port)
    result = run(probe.tracer(["sh", "-c", "exit 7"], "--wait-probe", "1"))
    assert result.status == 7
    assert b"whoever listens at 127.0.0.1:%d is user 65534; a probe that is neither" % port in result.stderr
    assert stranger.communicate(timeout=30)[0] == b"0\n"


# --- time --------------------------------------------------------------------------------

class Desk(Host):
    """A probe without a network."""

    def greet(self, peer: Peer, hello: wire.Hello) -> Session:
        session = peer.session = Session(hello, Users(elsewhere=True))
        if hello.offer is not None:
            peer.accept({"events": (), "failures": False, "denied": (), "paths": {}})
        return session

    def __init__(self) -> None:
        self.missing = 0
        self.lines: List[str] = []

    def judge(self, session: Session, record: Any, number: int) -> None:
        pass

    def miss(self, records: int) -> None:
        self.missing += records

    def tell(self, text: str) -> None:
        self.lines.append(text)


@pytest.fixture
def pair() -> Iterator[List[socket.socket]]:
    ours, theirs = socket.socketpair()
    yield [ours, theirs]
    ours.close()
    theirs.close()


def join(peer: Peer, theirs: socket.socket) -> None:
    """Greets, until the peer is ready."""
    end = greeting(3)
    theirs.settimeout(30)
    while end.state != link.READY:
        theirs.sendall(end.take())
        peer.read()
        peer.write()
        list(end.feed(theirs.recv(65536)))
    assert peer.is_ready


def test_who_takes_too_long_is_left(pair: List[socket.socket]) -> None:
    peer = Peer(Desk(), Stream(pair[0]), "x", True, b"")
    now = time.monotonic()
    peer.watch(now + 9)
    with pytest.raises(WireError, match="no greeting came within 10 s"):
        peer.watch(now + 11)
    join(peer, pair[1])
    peer.watch(now + 59)
    with pytest.raises(WireError, match="silent for 60 s"):
        peer.watch(now + 70)
    pair[1].sendall(struct.pack("=I", 1000) + b"x")
    peer.read()
    peer.watch(now + 29)
    with pytest.raises(WireError, match="half a message came, and no more of it within 30 s"):
        peer.watch(now + 35)


def test_a_claim_of_lost_records_has_to_be_plausible(pair: List[socket.socket]) -> None:
    desk = Desk()
    peer = Peer(desk, Stream(pair[0]), "x", True, b"")
    join(peer, pair[1])
    first = 1
    for missing in (500, 1 << 62, 1 << 61, 1000):
        first += missing
        pair[1].sendall(wire.frame(wire.pack_records(first, PACKED[:1])))
        peer.read()
        first += 1
    assert desk.missing == 1500
    (line,) = desk.lines
    assert line.endswith(" of x says that %d records are missing, more than it can have had: that is not counted" % (1 << 62))


def test_who_sends_without_a_pause_is_not_taken_for_slow(pair: List[socket.socket]) -> None:
    peer = Peer(Desk(), Stream(pair[0]), "x", True, b"")
    join(peer, pair[1])
    frame = wire.frame(wire.pack_message(wire.Counters({"x": 1})))
    pair[1].sendall(frame[:5])
    peer.read()
    later = time.monotonic()
    pair[1].sendall(frame[5:] + frame[:5])  # a message has become whole, and half of the next one is here
    peer.read()
    peer.watch(later + 30)
    with pytest.raises(WireError, match="half a message came"):
        peer.watch(time.monotonic() + 31)


def test_who_never_reads_is_left(pair: List[socket.socket]) -> None:
    peer = Peer(Desk(), Stream(pair[0]), "x", True, b"")
    join(peer, pair[1])
    with pytest.raises(WireError, match="does not read what it is answered"):
        for _ in range(1 << 16):
            peer.want({"events": ("open",) * 100, "failures": False, "denied": (), "paths": {}})
            peer.write()
    assert peer.stream.waiting < 3 << 20


def test_the_kernel_asks_whether_a_silent_host_is_there() -> None:
    met: List[socket.socket] = []
    door, = open_doors(Endpoint("x", "127.0.0.1", free_port()), lambda connection, address, place: met.append(connection))
    with socket.create_connection(door.place.address):
        door.accept()
    assert [met[0].getsockopt(*each) for each in (
        (socket.SOL_SOCKET, socket.SO_KEEPALIVE), (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE), (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL),
        (socket.IPPROTO_TCP, socket.TCP_KEEPCNT))] == [1, 60, 15, 4]
    met[0].close()
    door.close()


@pytest.mark.slow
def test_silent_tracers_in_datadog_s_dialect_make_room_for_others(tmp_path: Path) -> None:
    """They have no heart-beat; as many as there is room for are left alone, until others come."""
    address = "127.0.0.1:%d" % free_port()
    policy = write_policy(tmp_path / "p.json", [rule("seen", 'open.file.path == "%s"' % (tmp_path / "file"))])
    (tmp_path / "file").write_text("")
    hello = TracerEnd(wire.Hello(1, "", 0, ("x",), "wrapped")).take()
    with Program(["prlimit", "--nofile=101:101"] + ebpfless("probe", "--listen", address, "--policy", policy, "--verbose")) as probe:
        wait_until(lambda: b"the probe listens" in probe.errors(), "it listens")
        guests = []
        for _ in range(37):
            guests.append(socket.create_connection(("127.0.0.1", int(address.rpartition(":")[2]))))
            guests[-1].sendall(hello)
        wait_until(lambda: probe.errors().count(b"has come from") == 37, "all are in")
        assert ends(socket.create_connection(("127.0.0.1", int(address.rpartition(":")[2]))))
        assert b"no room for" in probe.errors()
        result = run(ebpfless("trace", "--probe-addr", address, "--wait-probe", "60", "--", "cat", str(tmp_path / "file")))
        assert (result.status, result.stdout) == (0, b"")
        wait_until(lambda: b"  seen  " in probe.errors(), "the tracer was heard")
        assert re.findall(rb"is left: it had been silent for \d+ s when others came\n", probe.errors())
        for guest in guests:
            guest.close()


# --- masses ------------------------------------------------------------------------------

def stranger(probe: Probe, seed: int) -> None:
    """One connection that is not as it should be."""
    randomly = random.Random(seed)
    with call(probe) as connection:
        try:
            kind = seed % 7
            if kind == 0:
                connection.sendall(bytes(randomly.randrange(256) for _ in range(randomly.randrange(300))))
            elif kind == 1:
                connection.sendall(wire.frame(mutated(randomly, HELLO) or b"x"))
            elif kind == 2:
                connection.sendall(wire.frame(HELLO) + b"".join(
                    wire.frame(mutated(randomly, wire.pack_records(1, PACKED[:5])) or b"x") for _ in range(3)))
            elif kind == 3:
                connection.sendall(mutated(randomly, wire.frame(HELLO)))
            elif kind == 4:
                connection.sendall(struct.pack("=I", 262144) + b"\xdd\x00\x00\xff\xff" * randomly.randrange(9999))
            else:
                end = greeted(connection, seed)
                end.send_records(1, PACKED[:randomly.randrange(len(PACKED))])
                connection.sendall(end.take() + mutated(randomly, wire.frame(wire.pack_records(99, PACKED[:3]))))
        except (ConnectionError, WireError):
            pass


STRANGERS = 10000


@pytest.mark.slow
def test_10000_strangers_cost_nobody_anything(tmp_path: Path, compile_c: Compiler) -> None:
    path = tmp_path / "opened"
    path.write_text("")
    with Probe(tmp_path) as probe:
        tracer = subprocess.Popen(probe.tracer([compile_c("many_opens.c"), str(path), "5003"], "--wait-probe", "60"),
                                  stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment())
        assert tracer.stdout is not None and tracer.stdout.readline().startswith(b"done ")
        told = b'"file":{"path":"%s"' % str(path).encode()
        wait_until(lambda: Path(probe.output).read_bytes().count(told) >= 5003, "all of it is written")
        before = resident(probe.process.pid)
        for seed in range(STRANGERS):
            stranger(probe, seed)
        idle = [call(probe) for _ in range(1000)]
        late = run(probe.tracer([compile_c("many_opens.c"), str(path), "13"], "--wait-probe", "60"))
        assert late.status == 0
        for connection in idle:
            connection.close()
        assert tracer.communicate(b"", timeout=60)[1] is None and tracer.returncode == 0
        wait_until(lambda: resident(probe.process.pid) < before + 5 * 10 ** 6,
                   "memory is back: %d KiB before, %d KiB now" % (before >> 10, resident(probe.process.pid) >> 10), 30)
        print("%d KiB before, %d KiB more behind them" % (before >> 10, (resident(probe.process.pid) - before) >> 10))
        assert probe.errors().count(" is left: ") < 1000
        assert probe.stop() == 0
    assert len(opens_of(probe.events(), path)) == 5003 + 13
