"""Unit tests for rules: cases in a JSON file, each an expression or a rule, an event, and what should come out.

The event is a dictionary of field names, so every field of the language can be
tested, whether this agent can see it or not. docs/check.md has the format.
"""

import json
import time
from typing import Dict, FrozenSet, Iterable, List, Mapping, Optional, Set, Tuple

from ebpfless_arch.named import NamedTuple
from ebpfless_arch.rules.compile import Compiled, Compiler
from ebpfless_arch.rules.fields import EVENT_TYPES, Field, FieldTable, field_table
from ebpfless_arch.rules.files import parse_json, read_text
from ebpfless_arch.rules.fim import expand_fim, uses_fim
from ebpfless_arch.rules.grammar import SeclError, parse_rule
from ebpfless_arch.rules.names import KIND_NAMES, Macro, nearest
from ebpfless_arch.rules.policy import LoadedPolicies, PolicyError, Rule, load_policies
from ebpfless_arch.rules.typed import Variables

Case = Dict[str, object]

_ZERO: Dict[str, object] = {"bool": False, "int": 0, "string": "", "ip": "", "bool[]": [], "int[]": [],
                            "string[]": [], "ip[]": []}
_KEYS = frozenset(["expr", "rule", "event", "match", "reject", "why", "topic", "macros", "vars", "stage", "dialect",
                   "checked"])
_SECOND = 10**9
# Linux: EPERM and EACCES. A call that fails otherwise fires no rule.
_REFUSED = (-1, -13)


class CaseError(Exception):
    """A file of cases that cannot be used; the text is one line."""


class Difference(NamedTuple):
    """A case that came out otherwise; number counts from 1, subject is the expression or "rule ID"."""

    number: int
    subject: str
    why: str
    expected: str
    got: str


class Facts:
    """An event as a dictionary of field names; `time` is the present, in ns since 1970."""

    def __init__(self, values: Mapping[str, object], now: int = 0) -> None:
        self.time = now or int(time.time() * _SECOND)
        self.values = {name: self._moment(value) for name, value in values.items()}
        # A value under one of exec.* and process.* holds for the other.
        for name in list(self.values):
            for one, other in (("exec.", "process."), ("process.", "exec.")):
                if name.startswith(one):
                    self.values.setdefault(other + name[len(one):], self.values[name])
        # The first ancestor is the parent.
        above = self.values.get("process.ancestors", [])
        if isinstance(above, list) and above:
            self.values.update({f"process.parent.{name}": self._moment(value) for name, value in above[0].items()})

    def get(self, name: str, kind: str) -> object:
        """A field's value or its zero."""
        if name.endswith(".length") and name not in self.values:
            whole = self.values.get(name[:-len(".length")], "")
            return len(whole) if isinstance(whole, (str, list)) else 0
        return self.values.get(name, _ZERO[kind])

    def spellings(self, name: str) -> List[object]:
        """The path or name of the executable, and those of its symlinks."""
        links = self.values.get("symlinks", [])
        assert isinstance(links, list)
        return [self.get(name, "string")] + (links[2:] if name.endswith(".name") else links[:2])

    def records(self, name: str) -> List["Facts"]:
        """The records of an iterable."""
        found = self.values.get(name, [])
        assert isinstance(found, list)
        return [Facts(record, self.time) for record in found]

    def every(self, place: str, name: str, kind: str) -> List[object]:
        """One field of all records."""
        values = [record.get(name, kind) for record in self.records(place)]
        return [item for value in values for item in (value if isinstance(value, list) else [value])]

    def _moment(self, value: object) -> object:
        """{"ago_s": n} as a time; records likewise inside."""
        if isinstance(value, dict) and set(value) == {"ago_s"}:
            return self.time - int(value["ago_s"] * _SECOND)
        return value


def facts_table() -> FieldTable:
    """Every field of SECL, read from Facts; none is unavailable."""
    table = field_table()
    fields = {name: _facts_field(field) for name, field in table.fields.items()}
    iterables = {name: f"e.records({name!r})" for name in table.iterables}
    return table._replace(fields=fields, iterables=iterables)


def _facts_field(field: Field) -> Field:
    name = field.name
    flags = field.flags
    access = f"e.get({name!r}, {field.kind!r})"
    element = ""
    if field.iterable:
        attribute = name[len(field.iterable) + 1:]
        access = f"e.every({field.iterable!r}, {attribute!r}, {field.element_kind!r})"
        element = f"{{}}.get({attribute!r}, {field.element_kind!r})"
    elif name.endswith("ancestors.length") or name.endswith("flows.length"):
        access = f"len(e.records({name[:-len('.length')]!r}))"
    elif "spellings" in flags:
        access = f"e.spellings({name!r})"
        flags = flags | {"many"}
    return field._replace(access=access, element=element, unavailable="", flags=flags)


def load_cases(path: str) -> List[Case]:
    """Reads a file of cases and looks at their shape. Raises CaseError."""
    try:
        found = parse_json(path, read_text(path, "cases"))
    except PolicyError as error:
        raise CaseError(str(error))
    if not isinstance(found, list):
        raise CaseError(f"{path}: cases are a JSON list of objects")
    if not found:
        raise CaseError(f"{path}: there is no case in it, so nothing would be tested")
    table = field_table()
    for number, case in enumerate(found, 1):
        try:
            _check_case(case, table)
        except _Fault as fault:
            raise CaseError(f"{path}: case {number}: {fault}")
    return found


class _Fault(Exception):
    """What is wrong with one case."""


def _need(sound: bool, message: str) -> None:
    if not sound:
        raise _Fault(message)


def _check_case(case: object, table: FieldTable) -> None:
    if not isinstance(case, dict):
        raise _Fault("a case is an object")
    for key in case:
        _need(key in _KEYS, f"unknown key {key}{nearest(key, _KEYS)}")
    _need(("expr" in case) != ("rule" in case), 'a case has either "expr" or "rule"')
    _need(isinstance(case.get("expr", ""), str) and isinstance(case.get("rule", ""), str), "expr and rule are texts")
    _need(("match" in case) != ("reject" in case), 'a case has either "match" or "reject"')
    _need(isinstance(case.get("match", True), bool), "match is true or false")
    _need(isinstance(case.get("reject", ""), str), "reject is a text, the class of the mistake")
    _need("rule" not in case or "macros" not in case, "a rule has the macros of its policy and no others")
    _check_macros(case.get("macros", []))
    variables = case.get("vars", {})
    _need(isinstance(variables, dict), "vars is an object")
    for name, value in variables.items():
        _variable(name, value)
    event = case.get("event", {})
    _need(isinstance(event, dict), "event is an object of fields and values")
    for name, value in event.items():
        _check_fact(name, value, table)


def _check_macros(macros: object) -> None:
    if not isinstance(macros, list) or not all(isinstance(macro, dict) for macro in macros):
        raise _Fault("macros is a list of objects")
    for macro in macros:
        values = macro.get("values", [])
        _need(isinstance(macro.get("id"), str) and isinstance(macro.get("expression", ""), str),
              "a macro has an id and an expression or values")
        _need(("values" in macro) != ("expression" in macro), "a macro has either an expression or values")
        _need(isinstance(values, list) and all(isinstance(value, str) for value in values), "values is a list of texts")


def _check_fact(name: str, value: object, table: FieldTable) -> None:
    if name == "symlinks":
        _need(isinstance(value, list) and len(value) == 3 and all(isinstance(item, str) for item in value),
              "symlinks is [path 1, path 2, base name]")
        return
    if name in table.iterables:
        if not isinstance(value, list) or not all(isinstance(record, dict) for record in value):
            raise _Fault(f"{name} is a list of objects")
        for record in value:
            for attribute, inner in record.items():
                _check_fact_of(f"{name}.{attribute}", inner, table)
        return
    _check_fact_of(name, value, table)


def _check_fact_of(name: str, value: object, table: FieldTable) -> None:
    field = table.fields.get(name)
    if field is None:
        if name in table.aliases:
            raise _Fault(f"{name} is the old spelling of {table.aliases[name]}")
        raise _Fault(f"unknown field {name}{nearest(name, table.fields)}")
    kind = field.element_kind or field.kind
    if not _is_of(kind, value):
        raise _Fault(f"{name} is {KIND_NAMES[kind]}, {json.dumps(value)} is none")


def _is_of(kind: str, value: object) -> bool:
    if kind.endswith("[]"):
        return isinstance(value, list) and all(_is_of(kind[:-2], item) for item in value)
    if kind == "int":
        return (isinstance(value, int) and not isinstance(value, bool)) or (
            isinstance(value, dict) and set(value) == {"ago_s"} and isinstance(value["ago_s"], (int, float)))
    return isinstance(value, bool if kind == "bool" else str)


def variables_of(case: Case) -> Variables:
    """The case's variables; their values stand as defaults."""
    given = case.get("vars", {})
    assert isinstance(given, dict)
    return Variables({name: _variable(name, value) for name, value in given.items()})


def _variable(name: str, value: object) -> Tuple[str, object]:
    """Kind and value; raises _Fault."""
    if isinstance(value, dict) and isinstance(value.get("ip"), str):
        return "ip", value["ip"]
    if isinstance(value, dict) and _is_of("ip[]", value.get("ips")):
        return "ip[]", tuple(value["ips"])
    for kind in ("string[]", "int[]") if isinstance(value, list) else ("bool", "int", "string"):
        if not isinstance(value, dict) and _is_of(kind, value):
            return kind, value
    raise _Fault(f"the variable {name} is a boolean, integer, text, list of one of the last two, "
                 '{"ip": ...} or {"ips": [...]}')


class Bench:
    """What cases are tried on: every field of the language, and what policies give."""

    def __init__(self, paths: Iterable[str] = (), table: Optional[FieldTable] = None) -> None:
        """Raises PolicyError."""
        self.table = table if table is not None else facts_table()
        policies = list(paths)
        self.loaded: Optional[LoadedPolicies] = load_policies(policies, table=self.table) if policies else None

    def run(self, case: Case) -> str:
        """What comes out: "true", "false", the reason class of a rejection, or why the rule does not run.

        Raises CaseError for a rule that is not there.
        """
        if "rule" in case:
            return self.run_rule(case, str(case["rule"]))
        try:
            compiled = compile_case(case, self.table, self.macros(), self.definitions())
        except SeclError as error:
            return error.reason
        return str(compiled.test(self.facts(case))).lower()

    def facts(self, case: Case, tags: Tuple[str, ...] = ()) -> Facts:
        """The case's event."""
        values = case.get("event", {})
        assert isinstance(values, dict)
        return Facts(dict({"event.rule.tags": list(tags)}, **values))

    def macros(self) -> Mapping[str, Macro]:
        """Those of the policies."""
        return self.loaded.macros if self.loaded is not None else {}

    def definitions(self) -> Dict[str, Tuple[str, object]]:
        """Variables of the policies with their defaults."""
        return dict(self.loaded.variables.definitions) if self.loaded is not None else {}

    def run_rule(self, case: Case, rule_id: str) -> str:
        """The same for a rule of the policies, which fires as it would under `trace`.

        That is on events of its type only, and on calls that failed only when they were refused.
        """
        rules = self.rules(rule_id)
        if not rules:
            return self.absence(rule_id)
        values = case.get("event", {})
        assert isinstance(values, dict)
        events = _event_types(values)
        for rule in rules:
            result = values.get(rule.event_type + ".retval", 0)
            if (events and rule.event_type not in events) or (isinstance(result, int) and result < 0
                                                              and result not in _REFUSED):
                continue
            if self.compile_rule(rule, case).test(self.facts(case, _tags(rule))):
                return "true"
        return "false"

    def rules(self, rule_id: str) -> List[Rule]:
        """The rules that an entry of the policies has become."""
        found = self.loaded.rules if self.loaded is not None else []
        return [rule for rule in found if rule_id in (rule.base_id, rule.id)]

    def compile_rule(self, rule: Rule, case: Case) -> Compiled:
        """The rule once more, with the case's variables."""
        compiler = _compiler(case, self.table, self.macros(), self.definitions())
        tree = parse_rule(rule.expression)
        if not uses_fim(tree):
            return compiler.compile(rule.expression, True, tree, _tags(rule))
        # The name of one copy begins with that of another.
        copy = max((copy for copy in expand_fim(tree) if rule.id.startswith(f"__fim_expanded_{copy.name}_")),
                   key=lambda copy: len(copy.name))
        return compiler.compile(rule.expression, True, copy.tree, _tags(rule), copy.prefix)

    def absence(self, rule_id: str) -> str:
        """Why a rule does not run."""
        if self.loaded is None:
            raise CaseError(f"the rule {rule_id} needs its policy: say 'ebpfless check --cases FILE POLICY'")
        for skipped in self.loaded.skipped:
            if skipped.rule_id == rule_id:
                return f"{skipped.status} ({skipped.reason})"
        for problem in self.loaded.problems:
            if problem.rule_id == rule_id and problem.what == "rule":
                return problem.reason
        raise CaseError(f"no policy has the rule {rule_id}{nearest(rule_id, {r.base_id for r in self.loaded.rules})}")

    def differences(self, cases: Iterable[Case]) -> List[Difference]:
        """The cases that come out otherwise. Raises CaseError."""
        found = []
        for number, case in enumerate(cases, 1):
            try:
                got = self.run(case)
            except CaseError as error:
                raise CaseError(f"case {number}: {error}")
            if got != wanted(case):
                subject = f"rule {case['rule']}" if "rule" in case else str(case["expr"])
                found.append(Difference(number, subject, str(case.get("why", "")), wanted(case), got))
        return found


def _event_types(values: Mapping[str, object]) -> FrozenSet[str]:
    return frozenset(name.partition(".")[0] for name in values) & EVENT_TYPES


def compile_case(case: Case, table: FieldTable, macros: Optional[Mapping[str, Macro]] = None,
                 definitions: Optional[Dict[str, Tuple[str, object]]] = None) -> Compiled:
    """Compiles a case's macros and expression; `macros` and `definitions` are known besides. Raises SeclError.

    In the published engine any macro with fields spoils the rules of other
    events, used or not. The project checks only what a rule uses; the case
    that pins the difference is met here.
    """
    compiler = _compiler(case, table, macros or {}, definitions or {})
    given = case.get("macros", [])
    assert isinstance(given, list)
    events: Set[str] = set()
    failed: Optional[SeclError] = None
    for macro in given:
        try:
            if "values" in macro:
                compiler.add_values(macro["id"], macro["values"])
            else:
                events.update(compiler.add_macro(macro["id"], macro["expression"]))
        except SeclError as error:
            failed = failed or error
    compiled = compiler.compile(str(case["expr"]))
    if failed is not None:
        raise failed
    if events - {compiled.checked.event_type}:
        raise SeclError("mixed_event_types", "a macro reads another event")
    return compiled


def _compiler(case: Case, table: FieldTable, macros: Mapping[str, Macro],
              definitions: Dict[str, Tuple[str, object]]) -> Compiler:
    """What compiles rules for this case."""
    compiler = Compiler(table, Variables(dict(definitions, **variables_of(case).definitions)))
    compiler.macros.update(macros)
    return compiler


def _tags(rule: Rule) -> Tuple[str, ...]:
    """What event.rule.tags reads."""
    return tuple(f"{name}:{text}" for name, text in rule.tags.items())


def wanted(case: Case) -> str:
    """What should come out."""
    return str(case["reject"]) if "reject" in case else str(case["match"]).lower()
