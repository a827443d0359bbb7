"""What the rules and outputs need to know, as plain data: the tracer stops for this and for nothing else."""

import errno
from typing import Any, Dict, FrozenSet, Iterable, Mapping, NamedTuple, Optional, Tuple

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
    ending with one of the others; with nothing in it, no path will do. A necessary condition, never a sufficient one.

    Paths are bytes as /proc shows them. Where nothing is known of the path there is no need, but None.
    """

    exact: FrozenSet[bytes] = frozenset()
    prefixes: Tuple[bytes, ...] = ()
    suffixes: Tuple[bytes, ...] = ()

    def admits(self, path: bytes) -> bool:
        """Whether a rule may match an event of this file."""
        # Rules know a file that was removed by its former path, and what has no path (a pipe) by its name.
        if path.endswith(_DELETED) and self.admits(path[:-len(_DELETED)]):
            return True
        whole = path if path.startswith(b"/") else b"/" + path
        return (whole in self.exact or path in self.exact
                or whole.startswith(self.prefixes) or whole.endswith(self.suffixes))


def either(needs: "Iterable[Optional[PathNeed]]") -> Optional[PathNeed]:
    """What must hold for one of several rules to match."""
    exact: FrozenSet[bytes] = frozenset()
    prefixes: Dict[bytes, None] = {}
    suffixes: Dict[bytes, None] = {}
    for need in needs:
        if need is None:
            return None
        exact |= need.exact
        prefixes.update(dict.fromkeys(need.prefixes))
        suffixes.update(dict.fromkeys(need.suffixes))
    return PathNeed(exact, tuple(prefixes), tuple(suffixes))


class Interest(NamedTuple):
    """`events`: SECL's event types. `failures`: whether calls matter that failed with other errors than those
    that rules see (`counts`). `denied`: events whose calls some rule may refuse, so that they wait for its word, and
    what the path of the file must be like for that (None: anything). `io_uring`: what becomes of rings, whose calls nobody
    sees: "allow", "alert" (the default) or "deny"."""

    events: FrozenSet[str]
    failures: bool = False
    denied: Mapping[str, Optional[PathNeed]] = {}
    io_uring: str = "alert"

    def wants(self, event: str) -> bool:
        """Whether events of this type are needed."""
        return event in self.events or event in ALWAYS

    def may_deny(self, event: str, path: Optional[bytes]) -> bool:
        """Whether some rule may refuse a call; `path` is that of the file it is about, None where there is none."""
        if event not in self.denied:
            return False
        need = self.denied[event]
        return need is None or path is None or need.admits(path)


def packed(denied: Mapping[str, Optional[PathNeed]]) -> Dict[str, Any]:
    """`Interest.denied` as marshal takes it."""
    return {event: None if need is None else tuple(need) for event, need in denied.items()}


def unpacked(plain: Mapping[str, Any]) -> Dict[str, Optional[PathNeed]]:
    """What `packed` made, as it was."""
    return {event: None if need is None else PathNeed(*need) for event, need in plain.items()}
