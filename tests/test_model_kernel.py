"""The engine on kernels that are not here, as their recorded stops play them (tests/model_kernel.py).

Whatever the kernel, the events are those of the newest one.
"""

import errno
import os
from typing import Any, Callable, Dict, Iterator, List, Tuple

import pytest

from blackbox import REPOSITORY
from ebpfless_arch.abi import MACHINES
from ebpfless_arch.events import records
from ebpfless_arch.events.interest import Interest
from ebpfless_arch.kernel import ptrace
from ebpfless_arch.kernel.features import Features, NO_PTRACE
from ebpfless_arch.tracer import modes
from ebpfless_arch.tracer.engine import DONE, Engine
from ebpfless_arch.tracer.stops import Machine
from model_kernel import RECORDS, Ends, Kernel, Play, Recorded, Token, read_records

pytestmark = [
    pytest.mark.skipif(not RECORDS.is_dir(), reason="the records of kernels are not beside the repository"),
    pytest.mark.machine("x86_64"),
]

FILTERED, PLAIN = "seccomp-stops", "plain-syscall"
NEWEST = "4.14.67-smp2"
KERNELS = sorted(path.stem for path in RECORDS.glob("*.txt")) if RECORDS.is_dir() else []
OLD_ORDER = ("3.10.108", "4.4.155")
PATH = b"/dev/null"
EVERYTHING = Interest(frozenset(["open", "exec", "fork", "exit"]), failures=True)
NOTHING = Interest(frozenset())

# Process, what happened to it, and how: the result's sign, or cause and code of its end.
Told = List[Tuple[Any, ...]]


def is_old(kernel: str) -> bool:
    """Whether a call stops at its entry after its SECCOMP stop."""
    return kernel.startswith(OLD_ORDER)


def lines(kernel: str, section: str) -> Dict[str, Recorded]:
    """The record of a kernel by the names of its lines."""
    return {recorded.name: recorded for recorded in read_records(RECORDS / (kernel + ".txt"), section)}


def features(kernel: Kernel) -> Features:
    """What the probe would have found on it."""
    return NO_PTRACE._replace(ptrace=True, filters=kernel.filters, entry_after_seccomp=kernel.entry_after_seccomp,
                              syscall_info=kernel.syscall_info, vm_read=not kernel.closed)


_SAYS: Dict[int, Callable[[Play, records.Record], Tuple[Any, ...]]] = {
    records.FORK: lambda play, record: ("fork", play.name_of(record[4])),
    records.EXEC: lambda play, record: ("exec", min(0, record[4])),
    records.OPEN: lambda play, record: ("open", min(0, record[4]), record[5]),
    records.EXIT: lambda play, record: ("exit",) + tuple(record[4:6]),
}


def simplify(play: Play, found: List[records.Record]) -> Dict[str, Told]:
    """What happened to each process, in its order."""
    told: Dict[str, Told] = {}
    for record in found:
        name = play.name_of(record[2]) if record[2] else ""
        assert record[0] not in (records.FAULT, records.BLIND), record
        if record[0] in _SAYS:
            told.setdefault(name, []).append(_SAYS[record[0]](play, record))
    return told


def run(recorded: Recorded, kernel: Kernel, monkeypatch: pytest.MonkeyPatch, wanted: Interest = EVERYTHING,
        ends: Any = None, play_out: Any = None) -> Dict[str, Told]:
    """Plays a line to an engine; returns what the engine told."""
    play, ends = Play(recorded, kernel, PATH), ends or Ends()
    try:
        with monkeypatch.context() as patch:
            play.install(patch)
            machine = Machine(MACHINES["x86_64"], features(kernel))
            engine = Engine(machine, wanted, ends, kernel.filters, 0)
            engine.seize(play.leader, play.leader)
            assert engine.run() == DONE
        if play_out is not None:
            play_out.append(play)
        return simplify(play, ends.records)
    finally:
        play.end()
        ends.close()


def cases(section: str) -> Iterator[Any]:
    """Every line of every kernel."""
    for kernel in KERNELS:
        for name in lines(kernel, section):
            yield pytest.param(kernel, name, id="%s-%s" % (kernel, name.replace(" ", "_")))


def expected(name: str, recorded: Recorded, section: str, wanted: Interest,
             monkeypatch: pytest.MonkeyPatch) -> Dict[str, Told]:
    """What the newest kernel's record of the same line leads to. Where the kernels differ in what they do to the program
    (actions of filters), its ends are those of this record."""
    newest = lines(NEWEST, section)[name]
    found = run(newest, Kernel(filters=section == FILTERED), monkeypatch, wanted)
    if name.startswith("filter action"):
        (end,) = [token for token in recorded.tokens if token.task == "L" and token.word in ("exited", "killed")]
        found["L"] = found["L"][:-1] + [("exit", 0 if end.word == "exited" else 2, int(end.detail))]
    return found


@pytest.mark.parametrize("kernel,name", cases(FILTERED))
def test_a_filter_s_stops_lead_to_the_same_events(kernel: str, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    recorded = lines(kernel, FILTERED)[name]
    # What was recorded with PTRACE_CONT knows no results.
    wanted = NOTHING if name.endswith("CONT") else EVERYTHING
    found = run(recorded, Kernel(entry_after_seccomp=is_old(kernel)), monkeypatch, wanted)
    assert found == expected(name, recorded, FILTERED, wanted, monkeypatch)
    assert "L" in found or "INTERRUPT" in name


@pytest.mark.parametrize("kernel,name", cases(PLAIN))
def test_without_a_filter_it_is_the_same(kernel: str, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    recorded = lines(kernel, PLAIN)[name]
    found = run(recorded, Kernel(filters=False), monkeypatch)
    assert found == expected(name, recorded, PLAIN, EVERYTHING, monkeypatch)
    assert found["L"][-1] == ("exit", 0, 0)


def test_the_events_are_these(monkeypatch: pytest.MonkeyPatch) -> None:
    table = lines(NEWEST, FILTERED)
    opened = ("open", 0, PATH)
    assert run(table["openat sec->SYSCALL"], Kernel(), monkeypatch) == {"L": [opened, ("exit", 0, 0)]}
    assert run(table["execve fail sec->SYSCALL"], Kernel(), monkeypatch) == {"L": [("exec", -2), ("exit", 0, 0)]}
    assert run(table["vfork+exec sec->SYSCALL"], Kernel(), monkeypatch) == {
        "T1": [("fork", "L"), ("exec", 0), ("exit", 0, 0)], "L": [("exit", 0, 0)]}
    assert run(table["mt execve non-leader sec->SYSCALL"], Kernel(), monkeypatch) == {
        "L": [("exec", 0), ("exit", 0, 0)]}
    assert run(table["leader exits first, thread goes on"], Kernel(), monkeypatch) == {"L": [("exit", 0, 2)]}


WAYS = {"EPERM": errno.EPERM, "ENOSYS": errno.ENOSYS, "EACCES": errno.EACCES}


@pytest.mark.parametrize("closed", sorted(WAYS))
@pytest.mark.parametrize("name", ["openat sec->SYSCALL", "fork(clone SIGCHLD) sec->SYSCALL",
                                  "execve fail sec->SYSCALL"])
def test_without_process_vm_readv(closed: str, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    recorded = lines(NEWEST, FILTERED)[name]
    found = run(recorded, Kernel(closed=WAYS[closed]), monkeypatch)
    assert found == run(recorded, Kernel(), monkeypatch)
    assert name.startswith("execve") or any(event[0] == "open" and event[2] == PATH
                                            for told in found.values() for event in told)


@pytest.mark.parametrize("name", sorted(lines(NEWEST, FILTERED)) if KERNELS else [])
def test_with_get_syscall_info(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    recorded = lines(NEWEST, FILTERED)[name]
    assert run(recorded, Kernel(syscall_info=True), monkeypatch) == run(recorded, Kernel(), monkeypatch)


def child_first(recorded: Recorded) -> Recorded:
    """The line with each new task's first stop before the event that tells of it."""
    tokens = list(recorded.tokens)
    for place, token in enumerate(recorded.tokens):
        if token.word in ("FORK", "VFORK", "CLONE"):
            born = Token(token.detail[2:], "STOP", "sig5")
            if born in tokens[place:]:
                tokens.remove(born)
                tokens.insert(tokens.index(token), born)
    return recorded._replace(tokens=tuple(tokens))


@pytest.mark.parametrize("section", [FILTERED, PLAIN])
def test_a_child_may_stop_before_its_parent_tells(section: str, monkeypatch: pytest.MonkeyPatch) -> None:
    swapped = 0
    for recorded in lines(NEWEST, section).values():
        other = child_first(recorded)
        if other != recorded:
            swapped += 1
            kernel = Kernel(filters=section == FILTERED)
            assert run(other, kernel, monkeypatch) == run(recorded, kernel, monkeypatch), recorded.name
    assert swapped >= 2


def test_a_record_has_both_orders_of_birth() -> None:
    first = {"child": 0, "parent": 0}
    for kernel in KERNELS:
        for recorded in lines(kernel, FILTERED).values():
            first["parent" if child_first(recorded) != recorded else "child"] += any(
                token.word in ("FORK", "CLONE", "VFORK") for token in recorded.tokens)
    assert first["child"] > 5 and first["parent"] > 50


@pytest.mark.parametrize("kernel", KERNELS)
def test_a_denied_call_is_skipped_with_its_errno(kernel: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the engine writes is what the record shows to work there."""
    filtered = kernel != "3.4.113"
    name = "sec stop orig=-1 rax=-13 ->CONT" if filtered else "entry stop orig=-1 rax=-13 ->CONT"
    recorded = lines(kernel, "skip")[name]
    assert recorded.outcome.endswith("openat=-13")
    played: List[Play] = []
    wanted = Interest(frozenset(["open"]), True, {"open": None})
    run(recorded, Kernel(filters=filtered, entry_after_seccomp=is_old(kernel)), monkeypatch, wanted,
        Ends(errno.EACCES), played)
    (registers,) = played[0].written
    assert (registers[15], registers[10]) == (-1, -13)
    if filtered:
        assert played[0].resumed == [("SECCOMP", ptrace.CONT)]


def test_a_kernel_without_exitkill_refuses_only_who_asks_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    recorded = lines(NEWEST, FILTERED)["openat sec->SYSCALL"]
    play = Play(recorded, Kernel(exit_kill=False), PATH)
    ends: Any = Ends()
    try:
        with monkeypatch.context() as patch:
            play.install(patch)
            machine = Machine(MACHINES["x86_64"], features(play.kernel))
            with pytest.raises(OSError) as raised:
                Engine(machine, EVERYTHING, ends, True, 0, deadly=True).seize(play.leader, play.leader)
            assert raised.value.errno == errno.EIO
            Engine(machine, EVERYTHING, ends, True, 0).seize(play.leader, play.leader)
    finally:
        play.end()
        ends.close()


# --- the page of docs/ that tells it ---------------------------------------------------

PAGE = REPOSITORY / "docs" / "kernels.md"
MODERN = Features(True, True, False, False, True, True, "", True)
HEAD = """# Kernels, and how the engine works on them

Whatever a kernel offers is found out at each start by trying (`ebpfless version --json` and `doctor` tell what was found),
never by its version. From that follows how the engine works; there is one state machine, and these are the data in it.

| what the kernel has | with it | without it |
|---|---|---|
%s
The kernels below were recorded, stop by stop. `tests/test_model_kernel.py` plays each recorded sequence of stops to the
engine; in all of them the events are those of the newest. It also writes this page (`TEST_WRITE=1 scripts/test
tests/test_model_kernel.py`).

| kernel | %s | sequences played |
|---|%s|---|
%s"""
HAS = {"filters": "seccomp filters and PTRACE_O_TRACESECCOMP (3.5)", "entry_after_seccomp": "the older order of stops (before 4.8)",
       "syscall_info": "PTRACE_GET_SYSCALL_INFO (5.3)", "vm_read": "process_vm_readv (3.2, where it is permitted)",
       "exit_kill": "PTRACE_O_EXITKILL (3.8)"}


def recorded_features(kernel: str) -> Features:
    """What the probe would have found, by what the record says."""
    text = (RECORDS / (kernel.replace("-smp2", "") + ".txt")).read_text()  # with two CPUs only the stops were recorded
    filtered = lines(kernel, FILTERED).get("openat sec->SYSCALL")
    return NO_PTRACE._replace(
        ptrace="PTRACE_SEIZE opts 0 -> 0" in text, filters="SETOPTIONS SECCOMP -> 0" in text and "SET_SECCOMP(FILTER)=0" in text,
        entry_after_seccomp=filtered is not None and sum(token.word == "SYS" for token in filtered.tokens) == 2,
        syscall_info="GET_SYSCALL_INFO -> EIO" not in text, vm_read="process_vm_readv -> 8" in text,
        exit_kill="SETOPTIONS EXITKILL -> 0" in text)


def row(name: str, found: Features, played: str) -> str:
    """A line of the second table."""
    ways = modes.mode(found)
    return "| %s | %s | %s |\n" % (name, " | ".join(ways.get(part, "-") for part in modes.PARTS), played)


def page() -> str:
    """The text of docs/kernels.md."""
    ways = "".join("| %s | %s: %s | %s |\n" % (HAS[feature], part, yes, no) for part, feature, yes, no in modes.WAYS)
    rows = [row(kernel, recorded_features(kernel), str(sum(len(lines(kernel, section)) for section in (FILTERED, PLAIN))))
            for kernel in KERNELS]
    rows.append(row("5.3 and later", MODERN, "%d of 4.14" % len(lines(NEWEST, FILTERED))))
    return HEAD % (ways, " | ".join(modes.PARTS), "|".join("---" for _ in modes.PARTS), "".join(rows))


def test_the_page_of_kernels_is_current() -> None:
    if os.environ.get("TEST_WRITE"):
        PAGE.write_text(page())
    assert PAGE.read_text() == page()
    assert [kernel for kernel in KERNELS if recorded_features(kernel).entry_after_seccomp] == [
        kernel for kernel in KERNELS if is_old(kernel)]
