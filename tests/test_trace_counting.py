"""Nothing is lost and nothing appears twice: programs with a known number of events."""

from pathlib import Path
from typing import Dict, List, Tuple

import pytest

from blackbox import Compiler, Event, Result, file_path, named, opens_below, retval, rule, run_traced, write_policy

ITEMS, THREADS, CHILDREN = 1220, 3, 13
FOUND, MISSING = 1009, 211
ENOENT = -2


def is_missing(item: int) -> bool:
    """Spreads the missing files evenly among the items (211 is prime to 1220)."""
    return item * MISSING % ITEMS < MISSING


def thread_files(thread: int) -> List[Tuple[str, bool]]:
    """What one thread of count.c opens, in order: (name, whether it exists)."""
    return [("t{}-{:04d}".format(thread, item), not is_missing(item)) for item in range(thread, ITEMS, THREADS)]


def create_files(folder: Path) -> None:
    """Creates the files that count.c shall find."""
    names = [name for thread in range(THREADS) for name, exists in thread_files(thread) if exists]
    assert len(names) == FOUND
    for name in names + ["c-{}".format(child) for child in range(CHILDREN)]:
        (folder / name).write_bytes(b"")


def told(result: Result, word: str) -> Dict[int, int]:
    """The lines "<word> <number> <number>" that the program printed."""
    rows = [line.split() for line in result.stdout.decode().splitlines()]
    return {int(row[1]): int(row[2]) for row in rows if row[0] == word}


def seen_by_thread(events: List[Event], tid: int) -> List[Tuple[str, bool]]:
    """(name, whether it was found) of each open of one thread, in order."""
    mine = [event for event in events if event["process"]["tid"] == tid]
    assert {retval(event) for event in mine if retval(event) < 0} <= {ENOENT}
    return [(file_path(event).rpartition("/")[2], retval(event) >= 0) for event in mine]


def check_opens(result: Result, folder: Path) -> None:
    """Exactly the opens that the program made, in order within each thread."""
    opens = opens_below(result.events, folder)
    assert len(opens) == FOUND + MISSING + CHILDREN
    for number, tid in told(result, "thread").items():
        assert seen_by_thread(opens, tid) == thread_files(number)
    for number, pid in enumerate(sorted(told(result, "child"), key=told(result, "child").__getitem__)):
        assert seen_by_thread(opens, pid) == [("c-{}".format(number), True)]


def check_lives(result: Result) -> None:
    """One fork and one exit with the right code for each child, around its own events; nothing for threads."""
    children = told(result, "child")
    (program,) = [event["process"]["pid"] for event in named(result.events, "exec") if retval(event) == 0]
    forks = named(result.events, "fork")
    assert sorted(event["process"]["pid"] for event in forks) == sorted(children)
    assert {event["process"]["ppid"] for event in forks} == {program}
    exits = {event["process"]["pid"]: event["exit"] for event in named(result.events, "exit")}
    assert len(named(result.events, "exit")) == CHILDREN + 1
    assert exits.pop(program) == {"cause": "EXITED", "code": 0}
    assert exits == {pid: {"cause": "EXITED", "code": code} for pid, code in children.items()}
    for pid in children:
        life = [event["evt"]["name"] for event in result.events if event["process"]["pid"] == pid]
        assert (life[0], life[-1]) == ("fork", "exit")


def check_sequence(events: List[Event]) -> None:
    """Every event has the number after the one before."""
    numbers = [event["evt"]["variables"]["sequence"] for event in events]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))


def count_once(program: str, folder: Path) -> None:
    """Runs count.c traced and checks every event."""
    policy = write_policy(folder.parent / "policy.json", [rule("never", 'open.file.path == "/nonexistent/file"')])
    result = run_traced([program, str(folder)], ["--policy", policy])
    assert (result.status, result.stderr) == (0, b"")
    assert result.stdout.decode().splitlines()[-1] == "opened {} {}".format(FOUND, MISSING)
    check_opens(result, folder)
    check_lives(result)
    check_sequence(result.events)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A directory with the files for count.c."""
    files = tmp_path / "files"
    files.mkdir()
    create_files(files)
    return files


def test_every_event_of_three_threads_and_thirteen_children_is_seen(compile_c: Compiler, folder: Path) -> None:
    count_once(compile_c("count.c"), folder)


@pytest.mark.slow
def test_run_after_run_is_exact(compile_c: Compiler, folder: Path) -> None:
    for _ in range(7):
        count_once(compile_c("count.c"), folder)
