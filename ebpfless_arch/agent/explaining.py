"""`ebpfless check --explain`: what each rule costs, as the calls at which programs stop for it."""

from typing import Any, Dict, List, Sequence, Set, Tuple

from ebpfless_arch.agent.evaluation import interest_of
from ebpfless_arch.events.interest import ALWAYS, Interest
from ebpfless_arch.kernel.seccomp import Condition
from ebpfless_arch.named import NamedTuple
from ebpfless_arch.rules.ruleset import Rule, RuleSet
from ebpfless_arch.tracer import decode, syscalls
from ebpfless_arch.tracer.syscalls import CARRIER, Row


class Stop(NamedTuple):
    """A call that stops for a rule: under which conditions on its arguments ("" for none), how often (entry, result), and
    how many of the other rules it stops for as well."""

    call: str
    conditions: str
    times: str
    shared: int


class Explained(NamedTuple):
    """A rule with its stops; `path` says whether its event is told only if the path of the file is such."""

    rule: Rule
    stops: Tuple[Stop, ...]
    path: bool


def explain(rules: RuleSet) -> List[Explained]:
    """What each of the rules costs."""
    interests = [interest_of(RuleSet([rule]), False) for rule in rules.rules]
    rows = [_own_rows(interest) for interest in interests]
    users: Dict[str, Set[Tuple[str, str]]] = {}
    for rule, own in zip(rules.rules, rows):
        for row in own:
            users.setdefault(row.call, set()).add((rule.file, rule.base_id))
    found = []
    for rule, interest, own in zip(rules.rules, interests, rows):
        cases = interest.cases.get(rule.event_type, ())
        stops = tuple(Stop(row.call, _conditions(row, interest), _times(row, interest), len(users[row.call]) - 1)
                      for row in sorted(own, key=lambda row: row.call))
        found.append(Explained(rule, stops, bool(cases) and all(case.path is not None for case in cases)))
    return found


def _own_rows(interest: Interest) -> List[Row]:
    """Rows that are there for the rules, and not for the model of processes."""
    anyway = set(syscalls.rows(Interest(frozenset(), colocate=True)))
    return [row for row in syscalls.rows(interest) if row not in anyway]


def _times(row: Row, interest: Interest) -> str:
    if row.event == CARRIER:
        return "1, or 2 by a descriptor that matters"
    paths = [case.path for case in interest.cases.get(row.event, ())]
    if row.event in decode.FILE_EVENTS and paths and None not in paths:
        return "1, or 2 for a path that may match"
    return "2" if row.result else "1"


def _conditions(row: Row, interest: Interest) -> str:
    texts = []
    for more in syscalls.narrowed(row, interest):
        texts.append(" and ".join(_words(condition, row) for condition in row.only + more))
    return "" if "" in texts else " or ".join(sorted(set(texts)))


def _words(condition: Condition, row: Row) -> str:
    at, packed = condition.argument, row.packed >= 0
    name = "" if packed or at >= len(row.kinds) else row.kinds[at].partition(":")[0]
    name = name or "argument %d" % (at + 1)
    if condition.values:
        return "%s in [%s]" % (name, ", ".join(map(str, condition.values)))
    if condition.bits:
        return "%s & %#x %s 0" % (name, condition.bits, "==" if condition.absent else "!=")
    if condition.most:
        return "%d <= %s <= %d" % (condition.least, name, condition.most)
    return "%s >= %d" % (name, condition.least) if condition.least else "%s != 0" % name


# --- text and JSON ------------------------------------------------------------------

def lines(rules: RuleSet) -> List[str]:
    """A paragraph for each rule, and at last what all of them together stop."""
    explained = explain(rules)
    found = []
    for one in explained:
        found.append("%s (%s): %s" % (one.rule.base_id, one.rule.event_type, _summary(one)))
        found += ["    %s%s: %s a call; %s" % (stop.call, stop.conditions and " if " + stop.conditions, stop.times,
                                               _sharing(stop.shared)) for stop in one.stops]
    calls = sorted({stop.call for one in explained for stop in one.stops})
    found.append("stops     %d calls for %d rules%s" % (len(calls), len({(rule.file, rule.base_id) for rule in rules.rules}), ": " + ", ".join(calls) if calls else ""))
    return found


def _summary(one: Explained) -> str:
    if not one.stops:
        return "no stop of its own" + ("; all are followed in any case" if one.rule.event_type in ALWAYS else "")
    alone = [stop.call for stop in one.stops if not stop.shared]
    text = "%d calls stop, %d of them for this rule alone" % (len(one.stops), len(alone))
    return text + ("; told only where the path may match" if one.path else "")


def _sharing(shared: int) -> str:
    return "shared with %d other rule%s" % (shared, "" if shared == 1 else "s") if shared else "for this rule alone"


def document(rules: RuleSet) -> List[Dict[str, Any]]:
    """The same as plain data."""
    return [{"rule": one.rule.base_id, "event": one.rule.event_type, "by_path": one.path, "stops": _plain(one.stops)}
            for one in explain(rules)]


def _plain(stops: Sequence[Stop]) -> List[Dict[str, Any]]:
    return [dict(stop._asdict()) for stop in stops]
