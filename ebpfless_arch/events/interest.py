"""What the rules and outputs need to know, as plain data: the tracer stops for this and for nothing else."""

import errno
from typing import Dict, FrozenSet, NamedTuple

# Events that a process model cannot do without; they come with every interest.
ALWAYS = frozenset(["exec", "fork", "exit"])

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


class Interest(NamedTuple):
    """`events`: SECL's event types. `failures`: whether calls matter that failed with other errors than those
    that rules see (`counts`). `denied`: events whose calls some rule may refuse, so that they wait for its word."""

    events: FrozenSet[str]
    failures: bool = False
    denied: FrozenSet[str] = frozenset()

    def wants(self, event: str) -> bool:
        """Whether events of this type are needed."""
        return event in self.events or event in ALWAYS
