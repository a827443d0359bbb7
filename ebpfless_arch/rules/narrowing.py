"""What must hold of a call for a rule to match: its arguments and the path of its file, as cases that the tracer, and
partly the kernel's filter, can go by without the rule.

As in necessary.py it errs on one side only: whenever a rule matches, one of its cases holds.
"""

from typing import Dict, Iterable, List, Optional, Sequence, Tuple

from ebpfless_arch.events.interest import ALWAYS, ArgumentTest, Case, PathNeed, either
from ebpfless_arch.named import NamedTuple
from ebpfless_arch.rules.necessary import path_need, strictest
from ebpfless_arch.rules.ruleset import Rule
from ebpfless_arch.rules.typed import (Arithmetic, Const, Constants, Junction, Membership, Negation, Read, Relation,
                                       TextTest, Typed)

# Fields that have the value of a record as it is, with its name there (events/making.py, events/own_calls.py).
_ARGUMENTS = {
    "open.flags": "flags", "mmap.flags": "flags", "mmap.protection": "protection",
    "mprotect.req_protection": "protection", "prctl.option": "option", "ptrace.request": "request",
    "signal.type": "signal", "setsockopt.level": "level", "setsockopt.optname": "option", "bpf.cmd": "command",
    "setrlimit.resource": "resource", "socket.domain": "family", "unshare.flags": "flags",
    "memfd_create.flags": "flags", "seccomp.operation": "operation", "seccomp.flags": "flags",
    "keyctl.operation": "operation", "userfaultfd.flags": "flags",
}
# Numbers of which there are few enough to name all that are less or greater; with any other the call fails.
_RANGES = {"signal": range(65)}
_MIRRORED = {"<": ">", "<=": ">=", ">": "<", ">=": "<=", "==": "=="}
_WORD = 0xFFFFFFFF
_CASES_AT_MOST = 16

_ANY = Case()
Cases = List[Case]


class _Comparison(NamedTuple):
    """A named value, or some of its bits, compared with a number."""

    name: str
    mask: Optional[int]
    operator: str
    number: int


def cases_of(tree: Typed, event: str) -> Cases:
    """The cases of a rule on events of this type: none where it never matches."""
    if isinstance(tree, Const):
        return [_ANY] if tree.value else []
    if isinstance(tree, Junction):
        parts = [cases_of(item, event) for item in tree.items]
        return _joined(sum(parts, [])) if tree.operator == "or" else _together(parts)
    if isinstance(tree, TextTest):
        return [Case(path=path_need(tree, event))]
    test = _test(tree, event)
    return [Case((test,))] if test is not None else [_ANY]


def needed_cases(rules: Iterable[Rule]) -> Dict[str, Tuple[Case, ...]]:
    """By event, the cases of which one holds whenever some rule matches; without the events where that says nothing,
    and those that are needed in any case."""
    found: Dict[str, Cases] = {}
    for rule in rules:
        found.setdefault(rule.event_type, []).extend(cases_of(rule.checked.tree, rule.event_type))
    joined = {event: _joined(cases) for event, cases in found.items() if event not in ALWAYS}
    return {event: tuple(cases) for event, cases in joined.items() if _ANY not in cases}


def _joined(cases: Sequence[Case]) -> Cases:
    """One of several: those with the same tests become one; too many become any."""
    paths: Dict[Tuple[ArgumentTest, ...], List[Optional[PathNeed]]] = {}
    for case in cases:
        paths.setdefault(case.tests, []).append(case.path)
    found = [Case(tests, either(needs)) for tests, needs in paths.items()]
    if _ANY in found or len(found) > _CASES_AT_MOST:
        return [_ANY]
    return found


def _together(parts: Sequence[Cases]) -> Cases:
    """All of several: each case of one with each of the others. What would make too many is left out, which is less
    strict."""
    found = [_ANY]
    for cases in parts:
        if len(found) * len(cases) <= _CASES_AT_MOST:
            found = _joined([_both(one, other) for one in found for other in cases if not _exclude(one, other)])
    return found


def _both(one: Case, other: Case) -> Case:
    # The same tests in the same order, whatever the order of the rule.
    return Case(tuple(sorted(set(one.tests + other.tests))), strictest([one.path, other.path]))


def _exclude(one: Case, other: Case) -> bool:
    """Whether two cases cannot hold together: one has bits that the other has not."""
    return any(first.name == second.name and first.absent != second.absent and not first.values and not second.values
               and (first if second.absent else second).bits & ~(second if second.absent else first).bits == 0
               for first in one.tests for second in other.tests)


# --- one comparison ---------------------------------------------------------------

def _test(tree: Typed, event: str) -> Optional[ArgumentTest]:
    """The test that a comparison amounts to, None where it says nothing that can be told so simply."""
    if isinstance(tree, Membership) and isinstance(tree.right, Constants):
        name = _name(tree.left, event)
        values = tuple(sorted({_number(member) & _WORD for member in tree.right.members}))
        return ArgumentTest(name, values=values) if name and values else None
    negated = isinstance(tree, Negation)
    found = _comparison(tree.item if isinstance(tree, Negation) else tree, event)
    if found is None:
        return None
    return _plain_test(found, negated) if found.mask is None else _bits_test(found, found.mask, negated)


def _plain_test(found: _Comparison, negated: bool) -> Optional[ArgumentTest]:
    if found.operator == "==" and not negated:
        return ArgumentTest(found.name, values=(found.number & _WORD,))
    values = tuple(value for value in _RANGES.get(found.name, ()) if _compare(value, found) != negated)
    return ArgumentTest(found.name, values=values) if values else None


def _compare(value: int, found: _Comparison) -> bool:
    results = {"==": value == found.number, "<": value < found.number, "<=": value <= found.number,
               ">": value > found.number, ">=": value >= found.number}
    return results[found.operator]


def _bits_test(found: _Comparison, mask: int, negated: bool) -> Optional[ArgumentTest]:
    """`value & mask` compared with a number: bits that must be there, or must not."""
    equal = found.operator == "=="
    if equal and found.number == 0 and not negated or found.operator == ">" and found.number == 0 and negated:
        return ArgumentTest(found.name, bits=mask, absent=True)
    if equal and found.number > 0 and not negated and found.number <= _WORD:
        return ArgumentTest(found.name, bits=found.number)
    positive = found.operator == ">" and found.number >= 0 or found.operator == ">=" and found.number > 0
    if positive and not negated or equal and found.number == 0 and negated:
        return ArgumentTest(found.name, bits=mask)
    return None


def _comparison(tree: Typed, event: str) -> Optional[_Comparison]:
    if not isinstance(tree, Relation) or tree.age:
        return None
    left, operator, right = tree.left, tree.operator, tree.right
    if isinstance(left, Const):
        left, operator, right = right, _MIRRORED[operator], left
    if not isinstance(right, Const) or not isinstance(right.value, int):
        return None
    mask = None
    if isinstance(left, Arithmetic) and left.operator == "&":
        sides = (left.left, left.right)
        constants = [side for side in sides if isinstance(side, Const)]
        if len(constants) != 1 or not 0 < _number(constants[0]) <= _WORD:
            return None
        mask, left = _number(constants[0]), sides[0] if sides[1] is constants[0] else sides[1]
    name = _name(left, event)
    return _Comparison(name, mask, operator, right.value) if name else None


def _name(node: Typed, event: str) -> str:
    """The name of the value that a node reads, "" for all others."""
    if not isinstance(node, Read) or node.register or node.field.event != event:
        return ""
    return _ARGUMENTS.get(node.field.name, "")


def _number(node: Const) -> int:
    return node.value if isinstance(node.value, int) else 0
