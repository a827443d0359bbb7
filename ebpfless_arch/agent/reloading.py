"""The policies of a running agent: loaded once, and again on request.

What is bad as a whole changes nothing: a file that cannot be read or has
another shape, and policies without a single rule that can be used although they
hold some. Single mistakes do not keep the others from being used, as at the
start. A rule that is gone, disabled or wrong now does not run on in its old form.
"""

from typing import TYPE_CHECKING, Any, Dict, Iterable, List, Optional, Tuple

from ebpfless_arch.events.model import Event
from ebpfless_arch.named import NamedTuple
from ebpfless_arch.rules.actions import Log
from ebpfless_arch.rules import prepared
from ebpfless_arch.rules.files import BUILT_IN, PolicyError
from ebpfless_arch.rules.limits import Limiter
from ebpfless_arch.rules.loaded import LoadedPolicies, Problem, Skipped
from ebpfless_arch.rules.ruleset import Rule, RuleSet
from ebpfless_arch.rules.store import Store

if TYPE_CHECKING:
    from ebpfless_arch.rules.fields import FieldTable


class NoRules(Exception):
    """None of the rules of the policies can be used; `problems` say why."""

    def __init__(self, paths: Iterable[str], problems: List[Problem]) -> None:
        Exception.__init__(self, f"no rule of {', '.join(paths)} can be used")
        self.problems = problems


class Reload(NamedTuple):
    """What came of a request to load the policies again.

    taken: whether the new ones are in use. line: that in one line, for a log.
    problems: the mistakes in single rules, of the old policies where those stay.
    """

    taken: bool
    line: str
    problems: List[Problem]


class Policies:
    """What is loaded from some paths: `loaded`, and its rules as an engine, `rules`.

    A reload puts new ones in their place. Variables keep their values and limits
    go on where they are, as far as rules of the same id have the same limit.
    Without `looks` the tracer does not look at files, and rules that need it to are `blind`: they do not run.
    Raises PolicyError and NoRules.
    """

    def __init__(self, paths: Iterable[str], looks: bool = True) -> None:
        self.paths = list(paths)
        self.blind: List[Skipped] = []
        self._looks = looks
        # The same one for ever: it remembers the digests of files, and how many may be read.
        self._table: "Optional[FieldTable]" = None
        self.loaded = self._usable((prepared.built_in() if self.paths == [BUILT_IN] else None) or self._load())
        self.rules: RuleSet = self.loaded.rule_set
        _refuse_nothing(self.paths, self.loaded)

    def reload(self) -> Reload:
        """Loads the policies again. Never raises for what is in them."""
        try:
            loaded = self._load(self.loaded.variables)
            _refuse_nothing(self.paths, loaded)
        except (PolicyError, NoRules) as error:
            problems = error.problems if isinstance(error, NoRules) else []
            return Reload(False, f"kept the old policy: {error}{_counted(problems)}", problems)
        loaded = self._usable(loaded)
        _take_over_limits(loaded.rules, self.loaded.rules)
        rules = loaded.rule_set
        self.loaded, self.rules = loaded, rules
        return Reload(True, f"reloaded: {_count(len(rules.rules), 'rule')}{_counted(loaded.problems)}", loaded.problems)

    def sightless(self) -> Tuple[RuleSet, List[str]]:
        """The rules for events of tracers that do not look at files, and the ids of those that are left out for them."""
        from ebpfless_arch.rules.attributes import without_looks

        kept, skipped = without_looks(self.loaded)
        return kept.rule_set, [each.rule_id for each in skipped]

    def _usable(self, loaded: LoadedPolicies) -> LoadedPolicies:
        if self._looks:
            return loaded
        from ebpfless_arch.rules.attributes import without_looks

        loaded, self.blind = without_looks(loaded)
        return loaded

    def _load(self, former: Optional[Store] = None) -> LoadedPolicies:
        # The built-in policy does without all that these load.
        from ebpfless_arch.rules.fields import field_table
        from ebpfless_arch.rules.policy import load_policies

        if self._table is None:
            self._table = field_table()
        return load_policies(self.paths, table=self._table, former=former)

    def shown(self, event: Event) -> Dict[str, Any]:
        """The variables that are set where an event happened, by the policies in use."""
        return self.loaded.variables.shown(event)


def _refuse_nothing(paths: List[str], loaded: LoadedPolicies) -> None:
    if not loaded.rules and loaded.problems:
        raise NoRules(paths, loaded.problems)


def _counted(problems: List[Problem]) -> str:
    return f", {_count(len(problems), 'error')}" if problems else ""


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _take_over_limits(rules: Iterable[Rule], former: Iterable[Rule]) -> None:
    known = {rule.id: rule for rule in former}
    for rule in rules:
        old = known.get(rule.id)
        if old is not None and all(rule.entry.get(key) == old.entry.get(key) for key in ("every", "limiter_token")):
            rule.limiter.take_over(old.limiter)
            for mine, its in zip(_log_limiters(rule), _log_limiters(old)):
                mine.take_over(its)


def _log_limiters(rule: Rule) -> List[Limiter]:
    return [action.limiter for action in rule.actions if isinstance(action, Log)]
