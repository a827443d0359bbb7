"""Who is traced cannot make itself the judge: a probe among the traced processes is refused, and one that comes late is
told of."""

import sys
from pathlib import Path

import pytest

from blackbox import Session, ebpfless, read_events, rule, run, wait_until, write_policy
from ordinary import interpreter
from probes import Probe, free_port

# Listens as a probe does, tells of the connections it was offered, and opens the file afterwards.
JUDGE = """
import ctypes, os, socket, sys
address, file, kind = sys.argv[1:]
if kind == "hidden":
    ctypes.CDLL(None).prctl(4, 0, 0, 0, 0)
if address.startswith("unix:"):
    server = socket.socket(socket.AF_UNIX)
    server.bind(address[5:])
else:
    server = socket.socket()
    server.bind(("127.0.0.1", int(address.rpartition(":")[2])))
server.listen(7)
if kind == "heir" and os.fork():
    os._exit(7)
for _ in range(2):
    connection = server.accept()[0]
    print(len(connection.recv(99)), flush=True)
    connection.close()
open(file).close()
sys.exit(7)
"""


def place(folder: Path, family: str) -> str:
    """An address for a probe."""
    return "127.0.0.1:%d" % free_port() if family == "tcp" else "unix:%s" % (folder / "probe")


@pytest.mark.parametrize("family,kind", [("tcp", "plain"), ("unix", "heir"),
                                         pytest.param("unix", "plain", marks=pytest.mark.slow),
                                         pytest.param("tcp", "heir", marks=pytest.mark.slow)])
def test_who_is_traced_is_no_probe(family: str, kind: str, tmp_path: Path) -> None:
    """Twice it is asked, and it is told nothing."""
    address, file, output = place(tmp_path, family), tmp_path / "file", tmp_path / "events"
    file.write_text("")
    policy = write_policy(tmp_path / "policy", [rule("seen", 'open.file.path == "%s"' % file)])
    options = ["--probe-addr", address, "--policy", policy, "--format", "json", "--output", str(output), "--wait-all"]
    result = run(ebpfless("trace", *options) + ["--", sys.executable, "-S", "-c", JUDGE, address, str(file), kind])
    assert result[:2] == (7, b"0\n" * 2)
    assert result.stderr == (b"ebpfless: whoever listens at %s is traced here, and so can be no probe; the rules are "
                             b"evaluated here\n" % address.encode())
    assert [event["agent"]["rule_id"] for event in read_events(str(output))] == ["seen"]


@pytest.mark.root
def test_who_hides_its_descriptors_is_no_probe_either(public_dir: Path) -> None:
    python = interpreter()
    if python is None:
        pytest.skip("needs a Python that every user can run")
    address, file = place(public_dir, "tcp"), public_dir / "file"
    file.write_text("")
    nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", python]
    command = [python, "-S", "-c", JUDGE, address, str(file), "hidden"]
    result = run(nobody + ebpfless("trace", "--probe-addr", address)[1:] + ["--"] + command)
    assert result[:2] == (7, b"0\n" * 2) and result.stderr.count(b" is traced here, and so can be no probe") == 1


def test_a_probe_that_comes_late_is_told_of_once(tmp_path: Path) -> None:
    probe = Probe(tmp_path)
    told = b"ebpfless: the probe at %s has come, and evaluates the rules from now on\n" % probe.address.encode()
    with Session(probe.tracer(["sh", "-c", "echo ready; read line; exit 7"])) as session:
        session.line()
        with probe:
            wait_until(lambda: told in session.errors(), "the probe has taken over")
            probe.kill()
            probe.start()
            wait_until(lambda: probe.errors().count("has come from") == 2, "the tracer has come to the next one")
            result = session.finish()
    assert result[:3] == (7, b"", told)


def test_a_probe_that_is_there_is_not_told_of(tmp_path: Path) -> None:
    with Probe(tmp_path) as probe:
        assert run(probe.tracer(["sh", "-c", "read line; exit 7"])) == (7, b"", b"", [])
