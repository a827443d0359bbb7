"""Scripts of the project: shellcheck finds nothing in those for a shell, and they do not take an option for a file."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import List

import pytest

from blackbox import REPOSITORY, ebpfless, run

FOLDERS = (".ci", "scripts", "sysvinit")


def shell_scripts() -> List[Path]:
    """Every file in FOLDERS whose first line names a shell."""
    found = [path for folder in FOLDERS for path in sorted((REPOSITORY / folder).iterdir()) if path.is_file()]
    return [path for path in found if path.read_bytes().partition(b"\n")[0].endswith((b"sh", b"sh -eu"))]


def shellcheck(*arguments: str, stdin: bytes = b"") -> str:
    """What shellcheck says; skips without it."""
    if shutil.which("shellcheck") is None:
        pytest.skip("needs shellcheck")
    result = subprocess.run(["shellcheck"] + list(arguments), input=stdin, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    return result.stdout.decode()


@pytest.mark.once
def test_shellcheck_finds_nothing() -> None:
    scripts = shell_scripts()
    assert {"run", "test"} <= {path.name for path in scripts}
    assert shellcheck(*map(str, scripts)) == ""


def test_shellcheck_finds_nothing_in_the_completion_for_bash() -> None:
    assert shellcheck("-s", "bash", "-", stdin=run(ebpfless("completion", "bash")).stdout) == ""


def test_bundle_takes_one_file_and_no_option(tmp_path: Path) -> None:
    for words, wrong in (["--foo"], "--foo"), (["a", "b"], "b"):
        result = run([str(REPOSITORY / "scripts" / "bundle")] + words, cwd=str(tmp_path))
        assert result[:3] == (2, b"", ("scripts/bundle: '%s' is too much: one FILE is all that it takes; see --help\n"
                                       % wrong).encode())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("machine, program, package", [("arm64", "qemu-system-aarch64", "qemu-system-arm"),
                                                       ("amd64", "qemu-system-x86_64", "qemu-system-x86")])
def test_a_machine_without_its_qemu_is_told_in_one_line(machine: str, program: str, package: str, tmp_path: Path) -> None:
    script = str(REPOSITORY / "scripts" / "test-arm64")
    result = run([sys.executable, script, "--arch", machine], env=dict(os.environ, PATH=str(tmp_path)))
    assert result[:3] == (1, b"", "test-arm64: {} is not here: apt-get install {}\n".format(program, package).encode())


def test_a_schema_that_is_not_there_can_be_named(tmp_path: Path) -> None:
    """A copy of the script alone: nothing lies beside it."""
    script, lines = tmp_path / "a" / "scripts" / "check-schema", tmp_path / "lines"
    script.parent.mkdir(parents=True)
    shutil.copy(str(REPOSITORY / "scripts" / "check-schema"), str(script))
    lines.write_text("")
    result = run([str(script), str(lines)])
    assert (result.status, result.stdout) == (2, b"") and result.stderr.count(b"\n") == 1
    assert result.stderr.startswith(b"check-schema: cannot read %b/" % str(tmp_path).encode())
    assert result.stderr.endswith(b"backend_linux.schema.json; name a copy of Datadog's schema by --schema\n")
    named = run([str(script), "--schema", "/nowhere", str(lines)])
    assert named[:3] == (2, b"", b"check-schema: cannot read /nowhere\n")
