"""What loading policies gives: rules that run, and what is to be said of the others."""

from typing import TYPE_CHECKING, List, Mapping, Optional, Tuple

from ebpfless_arch.events.interest import Case
from ebpfless_arch.named import NamedTuple
from ebpfless_arch.rules.files import PolicyFile
from ebpfless_arch.rules.ruleset import Rule, RuleSet
from ebpfless_arch.rules.store import Store

if TYPE_CHECKING:
    from ebpfless_arch.rules.names import Macro


class Problem(NamedTuple):
    """A mistake in one rule or macro.

    line and column count from 1 inside of the expression, 0 where there is no
    place. excerpt is the line with a caret below it, "" without a place.
    """

    file: str
    rule_id: str
    line: int
    column: int
    message: str
    excerpt: str
    reason: str
    what: str = "rule"

    def __str__(self) -> str:
        place = f"{self.line}:{self.column}: " if self.line else ""
        return _one_line(f"{self.file}: {self.what} '{self.rule_id}': {place}{self.message}")


def _one_line(text: str) -> str:
    """The text with what would break the line or the terminal escaped."""
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)


class Skipped(NamedTuple):
    """A sound rule that does not run; status is filtered, disabled or unavailable."""

    file: str
    rule_id: str
    status: str
    reason: str


class LoadedPolicies(NamedTuple):
    """What loading gave. `rules` are those that run, in firing order.

    `variables` hold the values at run time. `idle_actions` are actions of rules
    that run, set aside with the reason. `cases` are those of narrowing.py, None where nobody has derived them.
    """

    policies: List[PolicyFile]
    rules: List[Rule]
    problems: List[Problem]
    skipped: List[Skipped]
    variables: Store
    macros: "Mapping[str, Macro]" = {}
    idle_actions: List[Skipped] = []
    cases: Optional[Mapping[str, Tuple[Case, ...]]] = None

    @property
    def rule_set(self) -> RuleSet:
        """The rules as an engine."""
        return RuleSet(self.rules, self.cases)
