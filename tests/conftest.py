"""Markers, the --all option and the fixtures that all black-box tests share."""

import os
import platform
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path
from typing import Dict, Iterator, List, Tuple

import pytest

from blackbox import PREBUILT, PROGRAMS, Compiler


def pytest_addoption(parser: pytest.Parser) -> None:
    """Adds --all, which lets the tests marked `slow` take part."""
    parser.addoption("--all", action="store_true", default=False, help="run the slow tests as well")


def pytest_configure(config: pytest.Config) -> None:
    """Registers the markers, so that --strict-markers knows them."""
    _heed_signals()
    config.addinivalue_line("markers", "slow: takes part with --all only")
    config.addinivalue_line("markers", "root: needs to be run as root")
    config.addinivalue_line("markers", "once: takes long, and what it shows is not Python's doing; scripts/test has it run on the "
                            "current Python only")
    config.addinivalue_line("markers", "machine(NAME): is about that machine, as uname -m names it, and takes part there only")


def _heed_signals() -> None:
    """Who starts us in the background (nohup, the & of sh) may have these ignored, and what tests start would inherit that."""
    for number, usual in ((signal.SIGHUP, signal.SIG_DFL), (signal.SIGINT, signal.default_int_handler), (signal.SIGQUIT, signal.SIG_DFL)):
        if signal.getsignal(number) == signal.SIG_IGN:
            signal.signal(number, usual)


def pytest_collection_modifyitems(config: pytest.Config, items: List[pytest.Item]) -> None:
    """Deselects slow tests without --all and those about another machine, skips those that need root for others."""
    slow = not config.getoption("--all")
    left = [item for item in items if (slow and item.get_closest_marker("slow")) or is_of_another_machine(item)]
    if left:
        items[:] = [item for item in items if item not in left]
        config.hook.pytest_deselected(items=left)
    if os.geteuid() != 0:
        for item in items:
            if item.get_closest_marker("root"):
                item.add_marker(pytest.mark.skip(reason="needs root"))


def is_of_another_machine(item: pytest.Item) -> bool:
    """Whether a test is about what this machine does not have."""
    marker = item.get_closest_marker("machine")
    return marker is not None and platform.machine() not in marker.args


@pytest.fixture(scope="session")
def compile_c(tmp_path_factory: pytest.TempPathFactory) -> Compiler:
    """compile_c("name.c", *flags) builds a program of tests/programs once per session and returns its path."""
    folder = tmp_path_factory.mktemp("programs")
    built: Dict[Tuple[str, ...], str] = {}

    def compile_program(source: str, *flags: str) -> str:
        if PREBUILT:
            return _prebuilt(source, flags)
        key = (source,) + flags
        if key not in built:
            target = folder / "{}-{}".format(Path(source).stem, len(built))
            built[key] = _compile(PROGRAMS / source, target, flags)
        return built[key]

    return compile_program


def _prebuilt(source: str, flags: Tuple[str, ...]) -> str:
    path = os.path.join(PREBUILT, Path(source).stem + "".join(flags))
    if not os.path.exists(path):
        pytest.skip("{} is for another machine".format(source))
    return path


def _compile(source: Path, target: Path, flags: Tuple[str, ...]) -> str:
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        pytest.skip("needs a C compiler")
    if "-m32" in flags and not _builds_32_bit(compiler, target.parent):
        pytest.skip("needs a compiler for 32-bit programs (gcc-multilib)")
    command = [compiler, "-O1", "-Wall", "-Wextra", "-Werror", "-pthread", "-o", str(target), str(source)]
    subprocess.check_call(command + list(flags) + _headers(compiler, flags))
    return str(target)


def _headers(compiler: str, flags: Tuple[str, ...]) -> List[str]:
    """Where <asm/...> is for 32-bit programs: Debian's gcc-multilib, which links it, refuses to stand beside a compiler
    for another machine; gcc-12-multilib does not."""
    if "-m32" not in flags:
        return []
    machine = subprocess.check_output([compiler, "-print-multiarch"]).decode().strip()
    return ["-isystem", "/usr/include/" + machine] if machine else []


def _builds_32_bit(compiler: str, folder: Path) -> bool:
    source = folder / "empty.c"
    source.write_text("#include <stdio.h>\nint main(void) { return 0; }\n")
    command = [compiler, "-m32", "-static", "-o", str(folder / "empty"), str(source)]
    return subprocess.call(command + _headers(compiler, ("-m32",)), stderr=subprocess.DEVNULL) == 0


@pytest.fixture
def public_dir() -> Iterator[Path]:
    """A directory that every user may enter (pytest's own belong to one user alone)."""
    folder = tempfile.mkdtemp(prefix="ebpfless-test-")
    os.chmod(folder, 0o755)
    yield Path(folder)
    shutil.rmtree(folder)
