"""What the rules and outputs need to know, as plain data: the tracer stops for this and for nothing else."""

import errno
from typing import Any, Dict, FrozenSet, Iterable, List, Mapping, Optional, Sequence, Tuple

from ebpfless_arch.named import NamedTuple

# Events that a process model cannot do without; they come with every interest.
ALWAYS = frozenset(["exec", "fork", "exit", "setuid", "setgid", "capset"])

# What rules may want besides an event's questions and requests: what was answered, read by other calls. The event's
# name is what stands before the dot.
ANSWERS = frozenset(["dns.response", "imds.response"])

_REFUSED = frozenset([-errno.EACCES, -errno.EPERM])
# Of these events rules see more failures than the refused ones.
_TOLD: Dict[str, FrozenSet[int]] = {
    "connect": _REFUSED | {-errno.ECONNREFUSED, -errno.ETIMEDOUT, -errno.EINPROGRESS},
    "accept": _REFUSED | {-errno.ECONNABORTED},
    "bind": _REFUSED | {-errno.EADDRINUSE, -errno.EFAULT},
}


def counts(event: str, retval: int) -> bool:
    """Whether rules see an event whose call had this result."""
    return retval >= 0 or retval in _TOLD.get(event, _REFUSED)


_DELETED = b" (deleted)"


class PathNeed(NamedTuple):
    """What the path of an event's file must be like for a rule to match: equal to one of `exact`, or beginning or
    ending with one of the others, or having one of `pieces` somewhere; with nothing in it, no path will do. A necessary
    condition, never a sufficient one.

    Paths are bytes as /proc shows them. Where nothing is known of the path there is no need, but None.
    """

    exact: FrozenSet[bytes] = frozenset()
    prefixes: Tuple[bytes, ...] = ()
    suffixes: Tuple[bytes, ...] = ()
    pieces: Tuple[bytes, ...] = ()

    def admits(self, path: bytes) -> bool:
        """Whether a rule may match an event of this file."""
        # Rules know a file that was removed by its former path, and what has no path (a pipe) by its name.
        if path.endswith(_DELETED) and self.admits(path[:-len(_DELETED)]):
            return True
        whole = path if path.startswith(b"/") else b"/" + path
        return (whole in self.exact or path in self.exact
                or whole.startswith(self.prefixes) or whole.endswith(self.suffixes)
                or any(piece in whole for piece in self.pieces))


def either(needs: "Iterable[Optional[PathNeed]]") -> Optional[PathNeed]:
    """What must hold for one of several rules to match."""
    exact: FrozenSet[bytes] = frozenset()
    parts: List[Dict[bytes, None]] = [{}, {}, {}]
    for need in needs:
        if need is None:
            return None
        exact |= need.exact
        for known, more in zip(parts, need[1:]):
            known.update(dict.fromkeys(more))
    return PathNeed(exact, *map(tuple, parts))


class ArgumentTest(NamedTuple):
    """A test of a call's argument, by its name in the record; its low 32 bits count. It is one of `values`; or, without
    those, it has one of these `bits`, with `absent` none of them."""

    name: str
    bits: int = 0
    absent: bool = False
    values: Tuple[int, ...] = ()

    def holds(self, value: int) -> bool:
        """Whether a value passes."""
        low = value & 0xFFFFFFFF
        return low in self.values if self.values else bool(low & self.bits) != self.absent


class Case(NamedTuple):
    """One way in which an event may come to match: all tests hold, and the path of its file is such (None: any)."""

    tests: Tuple[ArgumentTest, ...] = ()
    path: Optional[PathNeed] = None

    def admits(self, path: Optional[bytes], values: Mapping[str, Any]) -> bool:
        """Whether a rule may match. What is not known does not count: values that are missing, a path of None."""
        return ((self.path is None or path is None or self.path.admits(path))
                and all(test.holds(values[test.name]) for test in self.tests if test.name in values))


class Interest(NamedTuple):
    """`events`: SECL's event types. `failures`: whether calls matter that failed with other errors than those
    that rules see (`counts`). `denied`: events whose calls some rule may refuse, so that they wait for its word, and
    what the path of the file must be like for that (None: anything). `io_uring`: what becomes of rings, whose calls nobody
    sees: "allow", "alert" (the default) or "deny". `colocate`: whether affinities may change meanwhile, so that a program
    must not see them (tracer/places.py). `cases`: for an event the cases of which one holds whenever a rule
    matches; an event that is not named there is always needed. `foresees`: whether opens may be decided before they run
    (tracer/foreseen.py), for which a few more calls have to be seen."""

    events: FrozenSet[str]
    failures: bool = False
    denied: Mapping[str, Optional[PathNeed]] = {}
    io_uring: str = "alert"
    colocate: bool = False
    cases: Mapping[str, Tuple[Case, ...]] = {}
    foresees: bool = False

    def decides_late(self) -> bool:
        """Whether of an open only what may match is read, and only when it is over."""
        return self.wants("open") and "open" in self.cases and "open" not in self.denied and not self.failures

    def wants(self, event: str) -> bool:
        """Whether events of this type are needed."""
        return event in self.events or event in ALWAYS

    def may_deny(self, event: str, path: Optional[bytes]) -> bool:
        """Whether some rule may refuse a call; `path` is that of the file it is about, None where there is none."""
        if event not in self.denied:
            return False
        need = self.denied[event]
        return need is None or path is None or need.admits(path)


    def needs(self, event: str, path: Optional[bytes], values: Mapping[str, Any]) -> bool:
        """Whether some rule may match an event; `path` is that of the file it is about, `values` are what is known of
        its call, by the names of records.CALL."""
        cases = self.cases.get(event)
        return cases is None or any(case.admits(path, values) for case in cases)


def packed(wanted: Interest) -> Tuple[Any, ...]:
    """An interest as marshal takes it."""
    return sorted(wanted.events), wanted.failures, _plain(wanted.denied), packed_cases(wanted.cases)


def _plain(needs: Mapping[str, Optional[PathNeed]]) -> Dict[str, Any]:
    return {event: None if need is None else tuple(need) for event, need in needs.items()}


def packed_cases(cases: Mapping[str, Sequence[Case]]) -> Dict[str, Any]:
    """The cases of an interest as marshal takes them."""
    return {event: [(list(map(tuple, case.tests)), None if case.path is None else tuple(case.path)) for case in found]
            for event, found in cases.items()}


def unpacked(plain: Sequence[Any]) -> Interest:
    """What `packed` made, as it was."""
    events, failures, denied, cases = plain
    return Interest(frozenset(events), failures, {event: _need(need) for event, need in denied.items()},
                    cases=unpacked_cases(cases))


def unpacked_cases(plain: Mapping[str, Any]) -> Dict[str, Tuple[Case, ...]]:
    """What `packed_cases` made, as it was."""
    return {event: tuple(_case(*case) for case in found) for event, found in plain.items()}


def _case(tests: Sequence[Any], need: Optional[Sequence[Any]]) -> Case:
    return Case(tuple(ArgumentTest(*test) for test in tests), _need(need))


def _need(plain: Optional[Sequence[Any]]) -> Optional[PathNeed]:
    return None if plain is None else PathNeed(*plain)
