"""What a policy says and its author may not have meant: one table of small checks.

A check is a function from an expression to findings; its docstring holds
examples of what it warns of and of what leaves it silent, which the tests try.
A finding never keeps a rule from running. `NOTES` are checks of what is usual
and mostly meant; they are told on request only.
"""

from typing import Callable, Dict, FrozenSet, Iterator, List, Tuple

from ebpfless_arch.named import NamedTuple
from ebpfless_arch.rules import lint_grouping, lint_texts, lint_values
from ebpfless_arch.rules.fields import FieldTable, field_table
from ebpfless_arch.rules.fim import uses_fim
from ebpfless_arch.rules.grammar import SeclError, parse_macro, position
from ebpfless_arch.rules.lint_keys import unknown_keys
from ebpfless_arch.rules.linted import Finding, Linted, Scope
from ebpfless_arch.rules.policy import LoadedPolicies
from ebpfless_arch.rules.tree import Array, Node, Text

Check = Callable[[Linted], Iterator[Finding]]

WARNINGS: Tuple[Check, ...] = (
    lint_grouping.mixed_connectives,
    lint_grouping.chained_comparisons,
    lint_grouping.tight_not,
    lint_grouping.mixed_bits,
    lint_grouping.bits_in_sums,
    lint_texts.backslash,
    lint_texts.literal_star,
    lint_texts.useless_pattern,
    lint_texts.foreign_wildcard,
    lint_texts.leftmost_piece,
    lint_texts.glued_stars,
    lint_texts.star_before_root,
    lint_texts.directory_itself,
    lint_texts.uninterpolated,
    lint_texts.pattern_on_variable,
    lint_texts.impossible_text,
    lint_texts.list_in_one_text,
    lint_values.positive_errno,
    lint_values.negated_errno,
    lint_values.duration_first,
    lint_values.age_of_a_number,
    lint_values.decimal_mode,
    lint_values.octal_number,
    lint_values.unsigned_id,
    lint_values.empty_mask,
    lint_values.beyond_the_mask,
    lint_values.host_bits,
    lint_values.allin_is_in,
    lint_values.negated_register,
    lint_values.empty_records,
    lint_values.independent_records,
    lint_values.constant_test,
    lint_values.contradiction,
)
NOTES: Tuple[Check, ...] = (
    lint_texts.starless_pattern,
    lint_texts.single_member,
    lint_values.negated_list,
)


class Warned(NamedTuple):
    """A finding with its place.

    level is warning or note, check the name of the check. what is rule or
    macro; part says which text of it is meant: expression, values, keys, or a part of
    an action. line and column count from 1 inside of that text.
    """

    level: str
    check: str
    file: str
    what: str
    id: str
    part: str
    line: int
    column: int
    message: str


def lint(text: str, scope: Scope) -> List[Tuple[str, str, Finding]]:
    """Level, check and finding for one expression or macro; nothing where it has a mistake, which is told elsewhere."""
    try:
        tree = parse_macro(text)
    except SeclError:
        return []
    if uses_fim(tree) and not scope.fim:
        scope = scope._replace(fim="open.file.")
    linted = Linted(text, tree, scope)
    if not isinstance(tree, Array) and linted.typed(tree) is None:
        return []
    return _findings(linted)


def lint_values_of(values: List[str], scope: Scope) -> List[Tuple[str, str, Finding]]:
    """The same for the values of a macro; every place is 0."""
    members: Tuple[Node, ...] = tuple(Text(0, "string", value) for value in values)
    return _findings(Linted("", Array(0, members), scope))


def _findings(linted: Linted) -> List[Tuple[str, str, Finding]]:
    found = [(level, check.__name__, finding) for level, checks in (("warning", WARNINGS), ("note", NOTES))
             for check in checks for finding in check(linted)]
    return sorted(found, key=lambda one: (one[2].offset, one[0] == "note"))


def lint_policies(loaded: LoadedPolicies) -> List[Warned]:
    """The findings in all macros, rules and actions of policies, in the order of the files."""
    table = field_table()
    return [warned for policy in loaded.policies for what, entries in (("macro", policy.macros), ("rule", policy.rules))
            for entry in entries for warned in _lint_entry(entry, what, policy.path, loaded, table)]


def _lint_entry(entry: Dict[str, object], what: str, file: str, loaded: LoadedPolicies,
                table: FieldTable) -> Iterator[Warned]:
    scope = Scope(table, loaded.macros, loaded.variables)
    if what == "macro" and str(entry.get("id")) in loaded.macros:
        scope = scope._replace(macros=loaded.macros[str(entry["id"])].known)
    for part, message in unknown_keys(entry, what):
        yield Warned("warning", "unknown_key", file, what, str(entry.get("id")), part, 0, 0, message)
    for part, text in _texts(entry):
        for level, check, finding in lint(text, scope):
            yield Warned(level, check, file, what, str(entry.get("id")), part, *position(text, finding.offset),
                         message=finding.message)
    values = entry.get("values")
    if what == "macro" and isinstance(values, list):
        for level, check, finding in lint_values_of([str(value) for value in values], scope):
            yield Warned(level, check, file, what, str(entry.get("id")), "values", 0, 0, finding.message)


def _texts(entry: Dict[str, object]) -> Iterator[Tuple[str, str]]:
    """The expressions of a rule or macro, each with what it is."""
    expression = entry.get("expression")
    if isinstance(expression, str):
        yield "expression", expression
    actions = entry.get("actions")
    for number, action in enumerate(actions if isinstance(actions, list) else [], 1):
        if not isinstance(action, dict):
            continue
        if isinstance(action.get("filter"), str):
            yield f"filter of action {number}", action["filter"]
        setting = action.get("set")
        if isinstance(setting, dict) and isinstance(setting.get("expression"), str):
            yield f"expression of action {number}", setting["expression"]
