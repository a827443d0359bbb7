"""`ebpfless check`: what is wrong with policies, what of them will run, and whether cases come out as they say.

What is printed is described in docs/check.md.
"""

import json
import os
from collections import Counter
from typing import Any, Counter as Counts, Dict, Iterable, List, Tuple

from ebpfless_arch.agent import explaining
from ebpfless_arch.agent.options import CheckOptions, UsageError
from ebpfless_arch.agent.printing import emit
from ebpfless_arch.rules.cases import Bench, CaseError, Difference, load_cases
from ebpfless_arch.rules.lint import Warned, lint_policies
from ebpfless_arch.rules.policy import LoadedPolicies, PolicyError, Problem, Rule, Skipped, load_policies

SOUND, UNSOUND = 0, 1


def check(options: CheckOptions) -> int:
    """Print what was found; returns 1 for an error or a case that differs. Raises UsageError for unreadable files."""
    try:
        if options.cases:
            return _check_cases(options)
        return _check_policies(options)
    except (PolicyError, CaseError) as error:
        raise UsageError(_printable(str(error)) + _misplaced(options.policies))


def _misplaced(policies: Iterable[str]) -> str:
    """A hint at an option that stands where a policy is expected."""
    option = next((path for path in policies if path.startswith("--") and not os.path.exists(path)), "")
    return f"; options such as {option} stand before the policies" if option else ""


# Policies

def _late(loaded: LoadedPolicies) -> List[Warned]:
    """A warning for each deny that can never be carried out."""
    return [Warned("warning", "late_deny", one.file, "rule", one.rule_id, "actions", 0, 0,
                   f"{one.reason}: the call is not refused, only reported")
            for one in loaded.idle_actions if one.status == "late"]


def _check_policies(options: CheckOptions) -> int:
    loaded = load_policies(options.policies)
    warned = lint_policies(loaded) + _late(loaded)
    if options.format == "json":
        document = _document(loaded, warned)
        if options.explain:
            document["explained"] = explaining.document(loaded.rule_set)
        emit(json.dumps(document, indent=2) + "\n")
    else:
        explained = explaining.lines(loaded.rule_set) if options.explain else []
        emit(_lines(explained + _text(loaded, warned, options.verbose)))
    return UNSOUND if loaded.problems else SOUND


def _text(loaded: LoadedPolicies, warned: List[Warned], verbose: bool) -> List[str]:
    lines = _error_lines(loaded.problems)
    lines += [_warning_line(one) for one in warned if verbose or one.level == "warning"]
    if verbose:
        lines += [f"{one.file}: rule '{one.rule_id}': {one.status}: {one.reason}"
                  for one in loaded.skipped + loaded.idle_actions]
    return lines + _summary_lines(loaded, warned, verbose)


def _error_lines(problems: Iterable[Problem]) -> List[str]:
    """Each mistake with its line of the expression and a caret."""
    lines = []
    for one in problems:
        place = f" {one.line}:{one.column}:" if one.line else ""
        lines.append(f"{one.file}: {one.what} '{one.rule_id}':{place} error: {one.message} [{one.reason}]")
        lines += ["    " + line for line in one.excerpt.split("\n") if one.excerpt]
    return lines


def _warning_line(one: Warned) -> str:
    place = f" {one.line}:{one.column}:" if one.line else ""
    part = f" {one.part}:" if one.part != "expression" else ""
    return f"{one.file}: {one.what} '{one.id}':{part}{place} {one.level}: {one.message} [{one.check}]"


def _summary_lines(loaded: LoadedPolicies, warned: List[Warned], verbose: bool) -> List[str]:
    summary = _summary(loaded, warned)
    lines = [f"active    {_count(summary['active'], 'rule')}{_listed(summary['by_event'])}"]
    if loaded.skipped:
        lines.append(f"inactive  {_count(len(loaded.skipped), 'rule')}{_listed(summary['inactive'])}"
                     + ("" if verbose else "; --verbose names them"))
        lines += [f"          {count:5d} {reason}" for reason, count in _grouped(loaded.skipped)]
    lines.append(f"fields    {len(summary['fields'])}")
    lines.append(f"actions   {sum(summary['actions'].values())}{_listed(summary['actions'])}")
    if summary["deny"]["rules"]:
        lines.append(f"deny      {_count(summary['deny']['rules'], 'rule')}, "
                     f"{summary['deny']['at_entry']} can be decided at entry")
    if loaded.idle_actions:
        lines.append(f"idle      {_count(len(loaded.idle_actions), 'action')}"
                     + ("" if verbose else "; --verbose names them"))
        lines += [f"          {count:5d} {reason}" for reason, count in _grouped(loaded.idle_actions)]
    lines.append(f"{_count(summary['errors'], 'error')}, {_count(summary['warnings'], 'warning')}, "
                 f"{_count(summary['notes'], 'note')}"
                 + ("" if verbose or not summary["notes"] else " (--verbose shows them)"))
    return lines


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _listed(counts: Dict[str, int]) -> str:
    return ": " + ", ".join(f"{name} {count}" for name, count in counts.items()) if counts else ""


def _grouped(skipped: Iterable[Skipped]) -> List[Tuple[str, int]]:
    """Reasons without what differs from rule to rule, the most frequent first."""
    counts: Counts[str] = Counter()
    details: Dict[str, Counts[str]] = {}
    for one in skipped:
        reason, detail = _reason(one)
        counts[reason] += 1
        details.setdefault(reason, Counter()).update([detail] if detail else [])
    return [(reason + _listed(_by_count(details[reason])), count) for reason, count in _by_count(counts).items()]


def _reason(one: Skipped) -> Tuple[str, str]:
    """What to group a rule by, and the event that is concerned. Of several reasons the event's counts."""
    if one.status == "filtered" and one.reason.startswith("agent_version"):
        return "for other versions of the agent", ""
    if one.status == "filtered" and one.reason.startswith("filters"):
        return "for other hosts", ""
    if one.status != "unavailable":
        return one.reason, ""
    reasons = one.reason.split("; ")
    first = next((reason for reason in reasons if reason.startswith("event ")), reasons[0])
    subject, _, why = first.partition(": ")
    return (why, subject[len("event "):]) if subject.startswith("event ") else (why or first, "")


def _by_count(counts: Dict[str, int]) -> Dict[str, int]:
    """The largest first, equals by name."""
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def _summary(loaded: LoadedPolicies, warned: List[Warned]) -> Dict[str, Any]:
    """The numbers, as the JSON form has them."""
    levels = Counter(one.level for one in warned)
    written = _written(loaded.rules)
    return {
        "active": len(written),
        "by_event": _by_count(Counter(_written_event(rule) for rule in written)),
        "inactive": _by_count(Counter(one.status for one in loaded.skipped)),
        "fields": sorted({name for rule in loaded.rules for name in rule.checked.fields}),
        "actions": _by_count(Counter(kind for rule in written for kind in rule.kinds)),
        "deny": _denying(loaded),
        "errors": len(loaded.problems), "warnings": levels["warning"], "notes": levels["note"]}


def _denying(loaded: LoadedPolicies) -> Dict[str, int]:
    """Rules that deny, and those of them whose every deny can be decided before the call."""
    late = {(one.file, one.rule_id) for one in loaded.idle_actions if one.status == "late"}
    rules = late | {(rule.file, rule.base_id) for rule in loaded.rules
                    if any(action.kind == "deny" for action in rule.actions)}
    return {"rules": len(rules), "at_entry": len(rules - late)}


def _written(rules: Iterable[Rule]) -> List[Rule]:
    """One for each rule as the policies have them; a rule about `fim.write.file.*` runs as several."""
    return list({(rule.file, rule.base_id): rule for rule in reversed(list(rules))}.values())[::-1]


def _written_event(rule: Rule) -> str:
    return "fim.write" if rule.is_copy else rule.event_type


def _document(loaded: LoadedPolicies, warned: List[Warned]) -> Dict[str, Any]:
    """The JSON form; keys stay as they are, new ones may come."""
    return {
        "policies": [{"file": policy.path, "name": policy.name, "version": policy.version,
                      "rules": len(policy.rules), "macros": len(policy.macros)} for policy in loaded.policies],
        "rules": [{"file": rule.file, "id": rule.base_id, "event": _written_event(rule)} for rule in _written(loaded.rules)],
        "errors": [{"file": one.file, "what": one.what, "id": one.rule_id, "line": one.line, "column": one.column,
                    "reason": one.reason, "message": one.message, "excerpt": one.excerpt} for one in loaded.problems],
        "warnings": [one._asdict() for one in warned],
        "inactive": [_inactive(one) for one in loaded.skipped],
        "idle_actions": [_inactive(one) for one in loaded.idle_actions],
        "summary": _summary(loaded, warned)}


def _inactive(one: Skipped) -> Dict[str, str]:
    return {"file": one.file, "id": one.rule_id, "status": one.status, "reason": one.reason}


# Cases

def _check_cases(options: CheckOptions) -> int:
    cases = load_cases(options.cases)
    bench = Bench(options.policies)
    problems = bench.loaded.problems if bench.loaded is not None else []
    try:
        found = bench.differences(cases)
    except CaseError as error:
        raise CaseError(f"{options.cases}: {error}")
    if options.format == "json":
        emit(json.dumps({"cases": len(cases), "errors": len(problems), "differ": [_difference(one) for one in found]},
                         indent=2) + "\n")
    else:
        lines = _error_lines(problems) + [line for one in found for line in _difference_lines(one)]
        emit(_lines(lines + [f"{_count(len(cases), 'case')}, {len(found)} differ"]))
    return UNSOUND if found or problems else SOUND


def _difference(one: Difference) -> Dict[str, Any]:
    return {"index": one.number, "subject": one.subject, "why": one.why, "expected": one.expected, "got": one.got}


def _difference_lines(one: Difference) -> List[str]:
    why = f" ({one.why})" if one.why else ""
    return [f"case {one.number}: expected {one.expected}, got {one.got}{why}", "    " + one.subject.replace("\n", " ")]


# Output

def _lines(lines: Iterable[str]) -> str:
    return "".join(_printable(line) + "\n" for line in lines)


def _printable(line: str) -> str:
    """The line with what would break it or move the cursor escaped; tabs stay, a caret stands behind as many."""
    return "".join(char if char.isprintable() or char == "\t" else repr(char)[1:-1] for char in line)
