"""What the rules and outputs need to know, as plain data: the tracer stops for this and for nothing else."""

from typing import FrozenSet, NamedTuple

# Events that a process model cannot do without; they come with every interest.
ALWAYS = frozenset(["exec", "fork", "exit"])


class Interest(NamedTuple):
    """`events`: SECL's event types. `failures`: whether calls matter that failed with other errors than
    EACCES and EPERM, which are all that rules see."""

    events: FrozenSet[str]
    failures: bool = False

    def wants(self, event: str) -> bool:
        """Whether events of this type are needed."""
        return event in self.events or event in ALWAYS
