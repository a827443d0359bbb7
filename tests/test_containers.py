"""ebpfless in containers as engines make them: what Docker's default capabilities allow, and what SYS_PTRACE adds."""

import json
import subprocess
from pathlib import Path
from typing import Any, Dict, List

import pytest

import oci
import pythons
from blackbox import REPOSITORY, Result

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
