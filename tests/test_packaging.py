"""Wheel and sdist, built and installed without any network."""

import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import Dict, List

import pytest

import pythons
from blackbox import REPOSITORY, Result, run

# Debian's Python has setuptools and wheel where its packages are installed; a virtual environment rarely has both.
BUILDERS = ("/usr/bin/python3", sys.executable)


pytestmark = pytest.mark.slow


def environment(**changes: str) -> Dict[str, str]:
    """An environment in which pip asks no index and finds no checkout."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "PIP_", "VIRTUAL_ENV"))}
    return dict(kept, PIP_NO_INDEX="1", PIP_DISABLE_PIP_VERSION_CHECK="1", **changes)


def done(command: List[str], folder: Path) -> Result:
    """Runs a command that has to succeed."""
    result = run(command, cwd=str(folder), env=environment())
    assert result.status == 0, (command, result.stdout, result.stderr)
    return result


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel and the sdist of what git tracks."""
    builder = next((path for path in BUILDERS if os.path.exists(path)
                    and run([path, "-c", "import setuptools, wheel, pip"], env=environment()).status == 0), None)
    if builder is None:
        pytest.skip("needs a Python with pip, setuptools and wheel (Debian: python3-pip python3-setuptools python3-wheel)")
    source, target = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("built")
    names = subprocess.check_output(["git", "-c", "safe.directory=*", "ls-files", "-z", "--cached", "--others",
                                     "--exclude-standard"], cwd=str(REPOSITORY)).decode().split("\0")
    for name in filter(None, names):
        if (REPOSITORY / name).is_file():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_bytes((REPOSITORY / name).read_bytes())
    done([builder, "-c", "from setuptools import build_meta; build_meta.build_sdist(%r)" % str(target)], source)
    [sdist] = target.glob("*.tar.gz")
    # The wheel comes from the sdist: that proves that all is in it.
    done([builder, "-m", "pip", "wheel", "--no-build-isolation", "--no-deps", "-w", str(target), str(sdist)], target)
    return target


def wheel_of(built: Path) -> Path:
    [wheel] = built.glob("*.whl")
    return wheel


def test_the_wheel_is_pure_needs_nothing_and_holds_every_file(built: Path) -> None:
    wheel = wheel_of(built)
    assert wheel.name.endswith("-py3-none-any.whl")
    archive = zipfile.ZipFile(str(wheel))
    house = {path.relative_to(REPOSITORY).as_posix() for path in (REPOSITORY / "ebpfless_arch").rglob("*")
             if path.suffix in (".py", ".json")}
    packed = {name for name in archive.namelist() if name.startswith("ebpfless")
              and ".dist-info/" not in name and ".data/" not in name}
    assert packed == house | {"ebpfless.py"}
    [metadata] = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
    text = archive.read(metadata).decode()
    assert "Requires-Python: >=3.6\n" in text
    assert [line for line in text.splitlines() if line.startswith("Requires-Dist") and "extra ==" not in line] == []
    for name in ("man/man1/ebpfless.1", "man/man8/ebpfless-probe.8", "man/man5/ebpfless-rules.5"):
        assert any(one.endswith(".data/data/share/" + name) for one in archive.namelist()), name


def test_the_sdist_holds_what_a_host_needs(built: Path) -> None:
    [sdist] = built.glob("*.tar.gz")
    with tarfile.open(str(sdist)) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"README.md", "LICENSE", "pyproject.toml", "ebpfless.py", "ebpfless_arch/rules/default.json"} <= names


def works(commands: Path, folder: Path, **variables: str) -> None:
    """The command `ebpfless` of a folder does what it should when it is found by PATH."""
    known = environment(PATH="%s:%s" % (commands, os.environ["PATH"]), **variables)
    assert run(["ebpfless", "version"], cwd=str(folder), env=known).stdout.startswith(b"ebpfless ")
    result = run(["ebpfless", "trace", "--probe-addr", "none", "--events", "--", "sh", "-c", "exit 7"], cwd=str(folder),
                 env=known)
    assert result.status == 7 and b"EXIT      sh[" in result.stderr


def test_installed_into_an_environment_of_its_own_the_command_works_from_anywhere(built: Path, tmp_path: Path) -> None:
    """As pipx does it: an environment that nobody enters, and a link to the command on PATH."""
    home, commands = tmp_path / "venv", tmp_path / "bin"
    done([list(pythons.installed().values())[-1], "-m", "venv", str(home)], tmp_path)
    done([str(home / "bin" / "python"), "-m", "pip", "install", "--quiet", str(wheel_of(built))], tmp_path)
    commands.mkdir()
    (commands / "ebpfless").symlink_to(home / "bin" / "ebpfless")
    works(commands, tmp_path)
    listed = done([str(home / "bin" / "python"), "-m", "pip", "list", "--format", "freeze"], tmp_path).stdout.decode()
    assert {line.split("==")[0] for line in listed.splitlines()} <= {"ebpfless", "pip", "setuptools", "wheel"}
    assert (home / "share" / "man" / "man1" / "ebpfless.1").exists()
    done([str(home / "bin" / "python"), "-m", "pip", "uninstall", "--quiet", "--yes", "ebpfless"], tmp_path)
    assert not (home / "bin" / "ebpfless").exists() and not (home / "share" / "man" / "man1" / "ebpfless.1").exists()


def test_the_oldest_python_installs_the_same_wheel(built: Path, tmp_path: Path) -> None:
    version, python = list(pythons.installed().items())[0]
    done([python, "-m", "pip", "install", "--quiet", "--prefix", str(tmp_path), str(wheel_of(built))], tmp_path)
    works(tmp_path / "bin", tmp_path, PYTHONPATH=str(tmp_path / "lib" / ("python%d.%d" % version) / "site-packages"))
