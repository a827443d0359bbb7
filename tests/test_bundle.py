"""The one file: what scripts/bundle writes is the same program, wherever it lies."""

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Dict, List

import pytest

from blackbox import REPOSITORY, Result, run

BUNDLE = str(REPOSITORY / "scripts" / "bundle")

# What an everyday run can afford, and with --all: whatever starts the program.
SELECTION = ("test_trace_cli.py::test_the_events_of_a_command", "test_trace_cli.py::test_text_tells_what_who_and_whose_child",
             "test_config.py::test_origins_are_told", "test_trace_recovery.py::test_a_tracer_that_crashes_is_replaced",
             "test_trace_recovery.py::test_a_tracer_that_fails_starts_itself_anew_and_no_call_fails")
MODULES = ("test_check.py", "test_config.py", "test_doctor.py", "test_trace_cli.py", "test_trace_recovery.py")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the one file and nothing else."""
    path = tmp_path_factory.mktemp("one")
    subprocess.check_call([BUNDLE, str(path / "ebpfless.py")], stdout=subprocess.DEVNULL)
    return path


def environment(**changes: str) -> Dict[str, str]:
    """An environment that does not lead to the checkout."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    return dict(kept, PYTHONDONTWRITEBYTECODE="1", **changes)


def ask(folder: Path, *words: str, **changes: str) -> Result:
    """Runs this Python in the folder, without the checkout in reach."""
    return run([sys.executable] + list(words), cwd=str(folder), env=environment(**changes))


def test_it_is_run_as_a_script_as_a_module_as_a_program_and_imported(folder: Path) -> None:
    expected = run([sys.executable, str(REPOSITORY / "ebpfless.py"), "version"]).stdout
    assert expected.startswith(b"ebpfless ")
    assert ask(folder, "ebpfless.py", "version").stdout == expected
    assert ask(folder, "-m", "ebpfless", "version").stdout == expected
    path = "%s:%s" % (os.path.dirname(sys.executable), os.environ["PATH"])
    assert run(["./ebpfless.py", "version"], cwd=str(folder), env=environment(PATH=path)).stdout.startswith(b"ebpfless ")
    result = ask(folder, "-c", "import ebpfless; ebpfless.main(['version'])")
    assert result[:3] == (0, expected, b"")


def test_the_same_input_gives_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    first = (folder / "ebpfless.py").read_bytes()
    other = next((path for path in ("/usr/bin/python3", sys.executable) if os.path.exists(path)))
    line = run([other, BUNDLE, str(tmp_path / "again" / "e.py")], env=environment(PYTHONHASHSEED="7")).stdout.decode()
    assert (tmp_path / "again" / "e.py").read_bytes() == first
    assert line.endswith("e.py: %d bytes, sha256 %s\n" % (len(first), hashlib.sha256(first).hexdigest()))
    assert os.access(str(folder / "ebpfless.py"), os.X_OK)


def test_every_file_of_the_house_is_in_it_byte_by_byte(folder: Path) -> None:
    code = ("import ebpfless, sys; house = sys.meta_path[0]; "
            "sys.stdout.buffer.write(house.get_data(house.file + '/' + sys.argv[1]))")
    house = [path for path in (REPOSITORY / "ebpfless_arch").rglob("*") if path.suffix in (".py", ".json")]
    assert len(house) > 100
    longest = max(house, key=lambda path: path.stat().st_size)
    for path in (longest, REPOSITORY / "ebpfless_arch" / "__init__.py", REPOSITORY / "ebpfless_arch" / "agent" / "doctor.py"):
        name = path.relative_to(REPOSITORY).as_posix()
        assert ask(folder, "-c", code, name).stdout == path.read_bytes(), name


def test_code_is_kept_where_python_keeps_it_and_not_used_for_another_file(tmp_path: Path, folder: Path) -> None:
    program = tmp_path / "ebpfless.py"
    shutil.copy(str(folder / "ebpfless.py"), str(program))
    kept = environment()
    del kept["PYTHONDONTWRITEBYTECODE"]

    def files() -> List[Path]:
        return sorted(path for path in (tmp_path / "__pycache__").rglob("ebpfless_arch.*") if path.is_file())

    def config() -> Result:
        return run([sys.executable, str(program), "config"], env=kept)

    first = config()
    assert first.status == 0 and "ebpfless_arch.agent.config" in [path.name for path in files()]
    before = {path: path.stat().st_mtime_ns for path in files()}
    assert config() == first
    assert {path: path.stat().st_mtime_ns for path in files()} == before
    # One that is damaged is made anew, and so are all when the file is another one.
    files()[0].write_bytes(b"damaged")
    assert config() == first and files()[0].stat().st_size > 7
    os.utime(str(program), (1, 1))
    assert config().status == 0
    assert all(path.stat().st_mtime_ns != before[path] for path in files())


def test_nothing_is_needed_but_a_folder_that_can_be_read(tmp_path: Path, folder: Path) -> None:
    shutil.copy(str(folder / "ebpfless.py"), str(tmp_path))
    tmp_path.chmod(0o555)
    try:
        assert ask(tmp_path, "ebpfless.py", "check", "/dev/null").stderr.startswith(b"ebpfless check: /dev/null:1:1: not JSON")
    finally:
        tmp_path.chmod(0o755)
    assert os.listdir(str(tmp_path)) == ["ebpfless.py"]


def test_a_traceback_names_file_and_line_of_the_house(folder: Path) -> None:
    code = "import ebpfless, traceback\nfrom ebpfless_arch.rules import files\ntry: files.parse_json(0, 0)\n" \
           "except TypeError: traceback.print_exc()"
    text = ask(folder, "-c", code).stderr.decode()
    lines = (REPOSITORY / "ebpfless_arch" / "rules" / "files.py").read_text().splitlines()
    number = next(number for number, line in enumerate(lines, 1) if "json.loads(" in line)
    assert '"%s/ebpfless.py/ebpfless_arch/rules/files.py", line %d, in parse_json' % (folder, number) in text
    assert lines[number - 1].strip() in text


def black_box(folder: Path, *words: str) -> None:
    """Runs tests against the one file: pytest starts in its folder, so nothing else can be found."""
    changed = environment(TESTED_FOLDER=str(folder))
    result = subprocess.run([sys.executable, "-m", "pytest", "-q", "--color=no", "-p", "no:cacheprovider", "--rootdir",
                             str(REPOSITORY), "-c", str(REPOSITORY / "pyproject.toml")] + list(words), cwd=str(folder),
                            env=changed, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    text = result.stdout.decode("utf-8", "replace")
    assert result.returncode == 0, text[-6000:]
    assert " passed" in text.splitlines()[-1]


def test_a_selection_of_the_black_box_tests_passes(folder: Path) -> None:
    black_box(folder, *[str(REPOSITORY / "tests" / name) for name in SELECTION])


@pytest.mark.slow
def test_the_black_box_tests_of_whole_parts_pass(folder: Path) -> None:
    black_box(folder, *[str(REPOSITORY / "tests" / name) for name in MODULES])
