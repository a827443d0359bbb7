"""What the filter and the tracer leave out: never a call that some rule matches."""

import os
import random
from typing import Any, Dict, List, Optional, Tuple

import pytest

import bpf
from ebpfless_arch.abi import MACHINES
from ebpfless_arch.events import records
from ebpfless_arch.events.interest import ArgumentTest, Case, Interest
from ebpfless_arch.events.processes import Processes
from ebpfless_arch.events.records import Record
from ebpfless_arch.kernel import seccomp
from ebpfless_arch.rules.compile import Compiled, Compiler
from ebpfless_arch.rules.fields import field_table
from ebpfless_arch.rules.grammar import SeclError
from ebpfless_arch.rules.narrowing import cases_of
from ebpfless_arch.rules.typed import Variables
from ebpfless_arch.tracer import syscalls
from secl_rules import USERS
from test_secl_necessary import exact, random_path, random_test

COMPILER = Compiler(field_table(), Variables({}))
ABIS = AMD64, I386 = MACHINES["x86_64"]
WRITING = os.O_WRONLY | os.O_RDWR


def cases(expression: str) -> List[Case]:
    checked = COMPILER.compile(expression).checked
    return cases_of(checked.tree, checked.event_type)


def bits(mask: int, absent: bool = False) -> ArgumentTest:
    return ArgumentTest("flags", mask, absent)


@pytest.mark.parametrize("expression, wanted", [
    ("open.flags & (O_WRONLY|O_RDWR) > 0", [Case((bits(3),))]), ("open.flags & O_CREAT != 0", [Case((bits(64),))]),
    ("0 < open.flags & O_CREAT", [Case((bits(64),))]), ("open.flags & 3 == 0", [Case((bits(3, True),))]),
    ("!(open.flags & 3 > 0)", [Case((bits(3, True),))]), ("O_CREAT & open.flags == O_CREAT", [Case((bits(64),))]),
    ("(open.flags & 3) != 1", [Case()]), ("open.flags != 1", [Case()]), ("open.flags & 3 >= 0", [Case()]),
    ("open.flags == O_RDONLY", [Case((ArgumentTest("flags", values=(0,)),))]),
    ("open.flags in [2, 1]", [Case((ArgumentTest("flags", values=(1, 2)),))]),
    ("open.flags not in [1]", [Case()]), ("open.flags & 0 == 0", [Case()]), ("open.flags | 1 == 1", [Case()]),
    ('open.file.path == "/a" && open.flags & 3 > 0', [Case((bits(3),), exact(b"/a"))]),
    ('open.file.path == "/a" || open.flags & 3 > 0', [Case((), exact(b"/a")), Case((bits(3),))]),
    ('(open.file.path == "/a" || open.flags & 3 > 0) && open.flags & 3 == 0', [Case((bits(3, True),), exact(b"/a"))]),
    ("open.flags & 3 > 0 && process.uid == 0", [Case((bits(3),))]), ("open.flags == 1 && 1 == 2", []),
    ("open.flags & 3 > 0 || process.uid == 0", [Case()]),
    ("signal.type > 62", [Case((ArgumentTest("signal", values=(63, 64)),))]),
    ("ptrace.request == PTRACE_TRACEME", [Case((ArgumentTest("request", values=(0,)),))]),
    ("mprotect.req_protection & PROT_WRITE > 0", [Case((ArgumentTest("protection", 2),))]),
    ("signal.type == -1", [Case((ArgumentTest("signal", values=(0xFFFFFFFF,)),))]),
])
def test_cases(expression: str, wanted: List[Case]) -> None:
    assert cases(expression) == wanted


def stops(interest: Interest, call: str, *arguments: int) -> List[bool]:
    """Whether the filter stops at a call, by amd64's number and by i386's."""
    program = seccomp.compile_filter(syscalls.blocks(ABIS, interest))
    return [bpf.run(program, abi.syscalls[call], abi.audit_arch, arguments) != seccomp.RET_ALLOW for abi in ABIS]


def interest(event: str, *expressions: str) -> Interest:
    found = [case for expression in expressions for case in cases(expression)]
    return Interest(frozenset([event]), cases={event: tuple(found)})


def test_the_filter_follows_the_flags_of_all_rules() -> None:
    writing = interest("open", 'open.file.path == "/a" && open.flags & (O_WRONLY|O_RDWR) > 0')
    for flags in (os.O_WRONLY, os.O_RDWR, os.O_RDWR | os.O_CREAT):
        assert stops(writing, "openat", 0, 0, flags) == stops(writing, "open", 0, flags) == [True, True]
    for flags in (os.O_RDONLY, os.O_CREAT, os.O_CLOEXEC):
        assert stops(writing, "openat", 0, 0, flags) == stops(writing, "open", 0, flags) == [False, False]
    # These say it elsewhere, or do not say it.
    for call in ("openat2", "creat", "truncate", "open_by_handle_at"):
        assert stops(writing, call, 0, 0, os.O_RDWR) == [True, True]


def test_one_rule_that_reads_no_flags_is_enough_for_all() -> None:
    both = interest("open", "open.flags & O_WRONLY > 0", 'open.file.path == "/a"')
    assert stops(both, "openat", 0, 0, os.O_RDONLY) == [True, True]


def test_what_some_rule_has_and_another_has_not_is_everything_by_the_shortest_way() -> None:
    both = interest("open", "open.flags & 3 == 0", "open.flags & (O_WRONLY|O_RDWR|O_CREAT) > 0")
    [match] = [match for block in syscalls.blocks(ABIS[:1], both) for match in block.matches
               if match.number == AMD64.syscalls["openat"]]
    assert match.conditions == ()


def test_a_name_is_followed_whatever_the_rules_are() -> None:
    other = interest("prctl", "prctl.option == PR_SET_KEEPCAPS")
    assert [stops(other, "prctl", option)[0] for option in (15, 8, 4)] == [True, True, False]


# The property

_FIELDS = {
    "open": ("open.flags", "flags", [0, 1, 2, 64, 66, 0x241, 0x80000, 3]),
    "signal": ("signal.type", "signal", [0, 1, 9, 15, 31, 32, 63, 64]),
    "ptrace": ("ptrace.request", "request", [0, 1, 4, 16, 0x4206]),
    "prctl": ("prctl.option", "option", [1, 4, 15, 22, 38]),
    "mprotect": ("mprotect.req_protection", "protection", [4, 5, 6, 7]),
    "unshare": ("unshare.flags", "flags", [0, 0x20000, 0x10000000, 0x10020000]),
}


def random_number_test(source: random.Random, field: str, values: List[int]) -> str:
    number, mask = source.choice(values), source.choice(values + [1, 2, 3, 64])
    other = source.choice(values)
    return source.choice([
        f"{field} == {number}", f"{field} != {number}", f"{field} in [{number}, {other}]",
        f"{field} not in [{number}, {other}]", f"{field} & {mask} > 0", f"{field} & {mask} == 0",
        f"{field} & {mask} != 0", f"({field} & {mask}) == {number}", f"{field} > {number}", f"{field} <= {number}",
        f"{number} >= {field}", f"{mask} & {field} >= {number}", f"!({field} & {mask} > 0)",
        f"{field} & {mask} < {number}", f"({field} | {mask}) == {number}", f"{field} & {mask} <= 0"])


def random_expression(source: random.Random, event: str, depth: int = 0) -> str:
    field, _, values = _FIELDS[event]
    if depth > 2 or source.random() < 0.3:
        if event == "open" and source.random() < 0.4:
            return random_test(source, "open.file")
        return random_number_test(source, field, values) if source.random() < 0.9 else "process.uid == 0"
    parts = [random_expression(source, event, depth + 1) for _ in range(source.randrange(2, 4))]
    whole = f" {source.choice(['&&', '||'])} ".join(f"({part})" for part in parts)
    return f"!({whole})" if source.random() < 0.1 else whole


def random_call(source: random.Random, event: str) -> Tuple[int, Record]:
    """A value of the argument, and the record of a call that has it."""
    start = (7, os.getpid(), os.getpid())
    value = source.choice(_FIELDS[event][2])
    if event == "open":
        path = random_path(source)
        return value, (records.OPEN,) + start + (3, path, path, value, 0, None, "", False)
    values: Dict[str, Any] = {"pid": 0, "address": 0, "length": 7, "name": None, _FIELDS[event][1]: value}
    return value, (records.CALL,) + start + (0, event, values)


def row_of(event: str) -> syscalls.Row:
    calls = {"open": "openat", "signal": "kill"}
    return [row for row in syscalls.ROWS
            if row.call == calls.get(event, event) and row.event == event and not row.always][0]


def compiled(source: random.Random, event: str) -> Optional[Compiled]:
    try:
        return COMPILER.compile(f"({random_expression(source, event)}) && {event}.retval >= 0")
    except SeclError:
        return None


@pytest.mark.once
@pytest.mark.parametrize("event", sorted(_FIELDS))
def test_whenever_a_rule_matches_the_filter_stops_and_the_tracer_tells(event: str) -> None:
    source = random.Random(23)
    processes = Processes(USERS)
    samples = [(value, record, processes.apply(record)) for value, record in
               [random_call(source, event) for _ in range(40)]]
    row, name = row_of(event), _FIELDS[event][1]
    at = row.kinds.index(name)
    matched = left_out = 0
    for _ in range(150):
        rules = [rule for rule in [compiled(source, event) for _ in range(source.randrange(1, 3))] if rule is not None]
        found = tuple(case for rule in rules for case in cases_of(rule.checked.tree, event))
        wanted = Interest(frozenset([event]), cases={event: found})
        program = seccomp.compile_filter(syscalls.blocks(ABIS, wanted))
        answers: Dict[int, bool] = {}
        for value in {value for value, _, _ in samples}:
            arguments = [5 if event == "mprotect" else 1] * 6
            arguments[at] = value & 0xFFFFFFFF | source.choice([0, 7 << 32])
            told = {bpf.run(program, abi.syscalls[row.call], abi.audit_arch, arguments) != seccomp.RET_ALLOW
                    for abi in ABIS}
            assert len(told) == 1, "both ABIs are alike"
            answers[value] = told.pop()
        for value, record, happened in samples:
            path, known = records.path_of(record), {name: value}
            if any(rule.test(happened) for rule in rules):
                matched += 1
                assert answers[value], ([rule.checked.tree for rule in rules], value)
                assert wanted.needs(event, path, known), ([rule.checked.tree for rule in rules], value, path)
            else:
                left_out += not answers[value] or not wanted.needs(event, path, known)
    assert matched > 100 and left_out > 500, (matched, left_out)
