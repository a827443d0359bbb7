"""ebpfless in containers as engines make them: what Docker's default capabilities allow, and what SYS_PTRACE adds."""

import json
from pathlib import Path
from typing import List

import pytest

import oci
from blackbox import REPOSITORY

pytestmark = pytest.mark.root

APP = [oci.PYTHON, "-c", "import os; os.getpid() == 1 or open('/etc/shadow').read(); raise SystemExit(7)"]
TRACE = [oci.PYTHON, "/app/ebpfless.py", "trace", "--probe-addr", "none"]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root file system with a Python and nothing else."""
    oci.needed()
    return oci.python_root(tmp_path_factory.mktemp("root") / "root")


def wrapped(*command: str) -> List[str]:
    """The command line of a container whose first process is ours."""
    return TRACE + ["--format", "json", "--"] + list(command)


@pytest.mark.parametrize("capabilities", [oci.DEFAULT_CAPABILITIES, oci.WITH_PTRACE], ids=["default", "SYS_PTRACE"])
def test_a_command_is_wrapped_as_process_1_without_any_further_capability(root: Path, capabilities: List[str]) -> None:
    with oci.Container(root, wrapped(*APP), binds={str(REPOSITORY): "/app"}, capabilities=capabilities) as container:
        result = container.wait()
    [line] = result.stderr.splitlines()
    event = json.loads(line.decode())
    assert (result.status, result.stdout) == (7, b"")
    assert event["agent"]["rule_id"] == "credential_file_read"
    assert event["container"]["id"] == container.id
