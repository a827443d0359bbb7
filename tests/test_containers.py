"""ebpfless in containers as engines make them: what Docker's default capabilities allow, and what SYS_PTRACE adds."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any, Dict, List

import pytest

import oci
import pythons
from blackbox import REPOSITORY, Result, status_field, wait_until

pytestmark = pytest.mark.root

FILE = "/app/ebpfless.py"
TRACE = [oci.PYTHON, FILE, "trace", "--probe-addr", "none", "--format", "json"]
READER = [oci.PYTHON, "-c", "open('/etc/shadow').read(); raise SystemExit(7)"]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root file system with a Python and nothing else."""
    oci.needed()
    return oci.python_root(tmp_path_factory.mktemp("root") / "root")


@pytest.fixture(scope="module")
def one_file(tmp_path_factory: pytest.TempPathFactory) -> Dict[str, str]:
    """A folder with the one file and nothing else, to be bound where FILE says."""
    folder = tmp_path_factory.mktemp("one")
    subprocess.check_call([str(REPOSITORY / "scripts" / "bundle"), str(folder / "ebpfless.py")], stdout=subprocess.DEVNULL)
    return {str(folder): "/app"}


def detections(result: Result) -> List[Dict[str, Any]]:
    """The lines of standard error, each of which has to be a detection."""
    found = [json.loads(line.decode()) for line in result.stderr.splitlines()]
    assert all("rule_id" in event["agent"] for event in found), result.stderr
    return found


@pytest.mark.parametrize("capabilities", [oci.DEFAULT_CAPABILITIES, oci.WITH_PTRACE], ids=["default", "SYS_PTRACE"])
def test_a_command_is_wrapped_as_process_1_without_any_further_capability(
        root: Path, one_file: Dict[str, str], capabilities: List[str]) -> None:
    with oci.Container(root, TRACE + ["--"] + READER, binds=one_file, capabilities=capabilities) as container:
        result = container.wait()
    [event] = detections(result)
    assert (result.status, result.stdout) == (7, b"")
    assert event["agent"]["rule_id"] == "credential_file_read"
    assert event["container"]["id"] == container.id


def minimal(root: Path, one_file: Dict[str, str]) -> None:
    """The one file does all that it can in a container with this root, which is read-only and has no shell."""
    found = oci.run(root, TRACE + ["--"] + READER, binds=one_file, directory="/app")
    assert found.status == 7 and [event["agent"]["rule_id"] for event in detections(found)] == ["credential_file_read"]
    check = oci.run(root, [oci.PYTHON, "ebpfless.py", "check", "/tmp/policy.json"], directory="/app",
                    binds=dict(one_file, **{str(REPOSITORY / "ebpfless_arch/rules/default.json"): "/tmp/policy.json"}))
    assert check.status == 0 and check.stdout.startswith(b"active "), check
    doctor = oci.run(root, [oci.PYTHON, "-m", "ebpfless", "doctor"], binds=one_file, directory="/app",
                     capabilities=oci.WITH_PTRACE)
    assert doctor.status == 1 and b"limited  setuid programs" in doctor.stdout, doctor
    assert doctor.stdout.endswith(b"\nWrap mode works here, with the limits above.\n"), doctor
    with oci.Container(root, [oci.PYTHON, FILE, "probe"], binds=one_file) as probe:
        probe.wait_for(b"listens on localhost:5678")
        traced = probe.execute(oci.PYTHON, FILE, "trace", "--wait-probe", "30", "--", *READER)
        assert traced[:3] == (7, b"", b"")
        probe.wait_for(b"credential_file_read")
        probe.signal("TERM")
        assert probe.wait().status == 0


def chosen_pythons() -> List[str]:
    """Names of the versions that the one file is tried on in a root of its own: 3.6, 3.8 and the newest."""
    found = list(pythons.installed())
    wanted = [version for version in found if version in ((3, 6), (3, 8))] + found[-1:]
    return ["%d.%d" % version for version in wanted]


@pytest.mark.slow
@pytest.mark.parametrize("version", chosen_pythons())
def test_a_root_with_this_python_alone_is_enough(tmp_path: Path, one_file: Dict[str, str], version: str) -> None:
    oci.needed()
    major, minor = map(int, version.split("."))
    minimal(oci.python_root(tmp_path / "root", pythons.installed()[major, minor]), one_file)


def debian(folder: Path, *packages: str) -> Path:
    """A root of Debian's packages of Python 3.11 with the name that python3-minimal gives it."""
    oci.needed()
    python = Path("/usr/bin/python3").resolve()
    if not python.name.startswith("python3.") or not Path("/var/lib/dpkg").exists():
        pytest.skip("needs Debian's Python")
    oci.debian_root(folder, [package % {"python": python.name} for package in packages])
    (folder / oci.PYTHON[1:]).symlink_to(python.name)
    return folder


@pytest.mark.slow
def test_debian_s_minimal_python_with_its_standard_library_is_enough(tmp_path: Path, one_file: Dict[str, str]) -> None:
    minimal(debian(tmp_path / "root", "%(python)s-minimal", "lib%(python)s-minimal", "lib%(python)s-stdlib"), one_file)


@pytest.mark.slow
def test_what_debian_s_minimal_python_lacks_is_told_in_one_line(tmp_path: Path, one_file: Dict[str, str]) -> None:
    """python3-minimal by itself has neither ctypes nor json: nothing can be traced with it."""
    root = debian(tmp_path / "root", "%(python)s-minimal", "lib%(python)s-minimal")
    assert oci.run(root, [oci.PYTHON, FILE, "version"], binds=one_file)[0] == 0
    for words in (["trace", "--", "/bin/true"], ["check", "/x"], ["doctor"]):
        result = oci.run(root, [oci.PYTHON, FILE] + words, binds=one_file)
        assert result.status == 125
        assert result.stderr.decode().startswith(
            "ebpfless %s: this Python (/usr/bin/python3) lacks a part of its standard library: No module named '" % words[0])
        assert result.stderr.decode().endswith(
            "'; install all of it (on Debian python3, for python3-minimal is not enough)\n") and result.stderr.count(b"\n") == 1


# Side-cars

SERVICE = [oci.PYTHON, "-c", "import time\nprint('up', flush=True)\nwhile True:\n    open('/etc/shadow').read(); time.sleep(0.05)"]


@pytest.mark.slow
@pytest.mark.parametrize("capabilities, private", [(oci.WITH_PTRACE, True), (oci.DEFAULT_CAPABILITIES, False)],
                         ids=["SYS_PTRACE", "default"])
def test_a_side_car_attaches_to_what_it_shares_processes_with(
        root: Path, one_file: Dict[str, str], capabilities: List[str], private: bool) -> None:
    """Without SYS_PTRACE, too, where the application is of the same user and has no further capabilities."""
    with oci.Container(root, SERVICE, private_cgroup=private) as service:
        service.wait_for(b"up")
        attach = TRACE + ["--pid", "1"]
        with oci.Container(root, attach, binds=one_file, capabilities=capabilities, pid=service.namespace("pid"),
                           private_cgroup=private) as tracer:
            tracer.wait_for(b"credential_file_read")
            tracer.signal("TERM")
            result = tracer.wait()
        assert result.status == 0
        told = [json.loads(line.decode()) for line in result.stderr.splitlines() if line.startswith(b"{\"agent")]
        assert {event["container"]["id"] for event in told} == {service.id}
        assert {event["process"]["pid"] for event in told} == {1}
        # It runs on as if nothing had been.
        assert service.process.poll() is None and service.execute(oci.PYTHON, "-c", "print(7)").stdout == b"7\n"


@pytest.mark.slow
def test_without_the_capability_a_side_car_is_told_that_another_user_s_process_cannot_be_traced(
        root: Path, one_file: Dict[str, str]) -> None:
    with oci.Container(root, [oci.PYTHON, "-c", "import time; print('up', flush=True); time.sleep(600)"], uid=65532) as service:
        service.wait_for(b"up")
        without = oci.run(root, TRACE + ["--pid", "1"], binds=one_file, pid=service.namespace("pid"))
        assert without.status == 1 and b"SYS_PTRACE" in without.stderr, without
        with oci.Container(root, TRACE + ["--pid", "1", "--verbose"], binds=one_file, pid=service.namespace("pid"),
                           capabilities=oci.WITH_PTRACE) as tracer:
            wait_until(lambda: status_field(service.pid, "TracerPid") != "0", "the process is traced")
            tracer.signal("TERM")
            assert tracer.wait().status == 0


@pytest.mark.slow
@pytest.mark.parametrize("told_by", ["DD_CONTAINER_ID", "docker", "podman", "nothing"])
def test_in_cgroups_of_its_own_a_container_is_told_by_configuration_or_by_the_engine_s_mounts(
        root: Path, one_file: Dict[str, str], tmp_path: Path, told_by: str) -> None:
    """As with cgroup v2, where /proc/self/cgroup says "/" and no more."""
    identifier = "0123abcd" * 8
    environment = {"DD_CONTAINER_ID": identifier} if told_by == "DD_CONTAINER_ID" else {}
    places = {"docker": "containers/%s/hostname", "podman": "overlay-containers/%s/userdata/hostname"}
    binds = dict(one_file)
    if told_by in places:
        mounted = tmp_path / (places[told_by] % identifier)
        mounted.parent.mkdir(parents=True)
        mounted.write_text("app\n")
        binds[str(mounted)] = "/etc/hostname"
        (root / "etc/hostname").touch()
    result = oci.run(root, TRACE + ["--"] + READER, binds=binds, private_cgroup=True, environment=environment)
    [event] = detections(result)
    assert event.get("container", {}).get("id", "") == ("" if told_by == "nothing" else identifier)


# A probe on a bridge

@pytest.mark.slow
@pytest.mark.parametrize("private", [False, True], ids=["cgroups of the host", "cgroups of their own"])
def test_a_probe_on_a_bridge_hears_of_two_containers_and_tells_them_apart(
        root: Path, one_file: Dict[str, str], tmp_path: Path, private: bool) -> None:
    secret = tmp_path / "secret"
    secret.write_text("correct horse battery staple\n")
    secret.chmod(0o600)
    binds = dict(one_file, **{str(secret): "/run/secret"})
    common = ["--secret-file", "/run/secret", "--format", "json"]
    with oci.Networks() as networks:
        probe_network = networks.join("probe")
        listen = [oci.PYTHON, FILE, "probe", "--listen", "0.0.0.0:5678"] + common
        with oci.Container(root, listen, binds=binds, network=probe_network) as probe:
            probe.wait_for(b"listens on")
            start = [oci.PYTHON, FILE, "trace", "--probe-addr", networks.address("probe") + ":5678", "--wait-probe", "30"] + common
            ids = {name: "%d" % number * 64 for number, name in enumerate(("first", "second"), 1)} if private else {}
            tracers = [oci.Container(root, start + ["--"] + READER, binds=binds, network=networks.join(name), private_cgroup=private,
                                     environment={"DD_CONTAINER_ID": ids[name]} if private else {})
                       for name in ("first", "second")]
            try:
                ended = [tracer.wait() for tracer in tracers]
                assert [(result.status, result.stderr) for result in ended] == [(7, b"")] * 2
                wait_until(lambda: probe.errors().count(b"credential_file_read") >= 2, "both detections arrive")
            finally:
                for tracer in tracers:
                    tracer.__exit__(None, None, None)
            probe.signal("TERM")
            result = probe.wait()
    assert result.status == 0
    told = [json.loads(line.decode()) for line in result.stderr.splitlines() if line.startswith(b"{\"agent")]
    assert sorted(event["container"]["id"] for event in told) == sorted(ids.values() or [tracer.id for tracer in tracers])
    assert {event["agent"]["rule_id"] for event in told} == {"credential_file_read"}


# An image without Python

@pytest.mark.slow
def test_an_image_without_python_or_a_c_library_gets_a_folder_with_both(tmp_path: Path) -> None:
    """The tracer can start itself anew there, too, though its Python has to be loaded by the linker that came along."""
    oci.needed()
    root = oci.busybox_root(tmp_path / "root")
    script = [str(REPOSITORY / "scripts" / "portable"), str(root / "ebpfless")]
    start = json.loads(subprocess.check_output([sys.executable] + script).decode())
    assert [path.name for path in (root / "usr/lib").iterdir()] == []
    result = oci.run(root, start + ["trace", "--probe-addr", "none", "--format", "json", "--", "/bin/busybox", "sh", "-c",
                                    "busybox cat /etc/shadow; exit 7"])
    assert result.status == 7 and [event["agent"]["rule_id"] for event in detections(result)] == ["credential_file_read"]
    renewed = start[:-1] + ["-c", RENEWED, "trace", "--probe-addr", "none", "--format", "json", "--", "/bin/busybox", "sh", "-c",
                            "busybox cat /etc/os-release; busybox cat /etc/shadow; exit 7"]
    result = oci.run(root, renewed)
    assert result.status == 7 and b"ID=none" in result.stdout
    assert b"the tracer failed and has started itself anew" in result.stderr and b"credential_file_read" in result.stderr


# Lets the engine fail once, when the tracee is in the middle of its work.
RENEWED = """
import os, sys
sys.path.insert(0, "/ebpfless")
import ebpfless
from ebpfless_arch.tracer import engine
original = engine.Engine._handle
def failing(self, *rest):
    if not os.path.exists("/tmp/failed") and os.path.exists("/tmp"):
        with open("/tmp/failed", "w"):
            pass
        raise MemoryError("injected")
    return original(self, *rest)
engine.Engine._handle = failing
sys.exit(ebpfless.main(sys.argv[1:]))
"""
