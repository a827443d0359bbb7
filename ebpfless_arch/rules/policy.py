"""Policies: JSON files in, compiled rules out, mistakes collected.

One bad rule or macro never stops the others: it becomes a Problem. A rule that
needs what this agent cannot see, or that is meant for another host or agent,
is set aside with the reason. Only a file that cannot be read at all raises.
"""

import errno
import json
import os
from typing import Dict, FrozenSet, Iterable, List, NamedTuple, Optional, Tuple

from ebpfless_arch.events.model import Event
from ebpfless_arch.rules.compile import Compiled, Compiler, Test
from ebpfless_arch.rules.fields import FieldTable, field_table
from ebpfless_arch.rules.fim import FIM_PREFIX, expand_fim, uses_fim
from ebpfless_arch.rules.grammar import SeclError, parse_macro, parse_rule
from ebpfless_arch.rules.host import Host, host_table, this_host, version_matches
from ebpfless_arch.rules.typed import Checked, Variables
from ebpfless_arch.rules.variables import Definition, define

# The release of the published agent whose rules we follow; `agent_version` refers to it.
AGENT_VERSION = (7, 80, 0)
_ID_CHARS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_")
_REFUSED = (-errno.EACCES, -errno.EPERM)

Entry = Dict[str, object]


class PolicyError(Exception):
    """A policy file that cannot be used at all; the text is one line."""


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


class Rule:
    """One compiled rule. `actions` and `entry` are as the policy has them."""

    __slots__ = ("id", "base_id", "version", "description", "expression", "event_type", "tags", "product_tags",
                 "severity", "policy_name", "policy_version", "file", "silent", "priority", "actions", "entry",
                 "checked", "test")

    def __init__(self, entry: Entry, policy: "PolicyFile", rule_id: str, compiled: Compiled) -> None:
        self.id = rule_id
        self.base_id = _text(entry, "id")
        self.version = _text(entry, "version")
        self.description = _text(entry, "description")
        self.expression = _text(entry, "expression")
        self.event_type = compiled.checked.event_type
        self.tags = _tags(entry)
        self.product_tags = _texts(entry, "product_tags")
        self.severity = self.tags.get("severity", "info")
        self.policy_name = policy.name
        self.policy_version = policy.version
        self.file = policy.path
        self.silent = entry.get("silent") is True
        priority = entry.get("priority")
        self.priority = priority if isinstance(priority, int) else 0
        actions = entry.get("actions")
        self.actions: List[object] = actions if isinstance(actions, list) else []
        self.entry = entry
        self.checked: Checked = compiled.checked
        self.test: Test = compiled.test

    def __repr__(self) -> str:
        return f"Rule({self.id!r}, {self.event_type})"


class RuleSet:
    """Rules ready to run, indexed by event type, in the order in which they fire."""

    def __init__(self, rules: Iterable[Rule]) -> None:
        self.rules: List[Rule] = [rule for rule in rules if not rule.checked.unavailable]
        self._by_type: Dict[str, List[Rule]] = {}
        for rule in self.rules:
            self._by_type.setdefault(rule.event_type, []).append(rule)

    @property
    def event_types(self) -> FrozenSet[str]:
        """The events that some rule needs."""
        return frozenset(self._by_type)

    def evaluate(self, event: Event) -> List[Rule]:
        """The rules that match. Calls that failed count only when they were refused (EACCES, EPERM)."""
        rules = self._by_type.get(event.type)
        if rules is None or (event.retval < 0 and event.retval not in _REFUSED):
            return []
        return [rule for rule in rules if rule.test(event)]


class PolicyFile(NamedTuple):
    """A file as read: its macros and rules are JSON objects, not examined yet."""

    path: str
    name: str
    version: str
    macros: List[Entry]
    rules: List[Entry]

    @property
    def is_default(self) -> bool:
        """True for the default policy, which comes before all others."""
        return self.name == "default"


class LoadedPolicies(NamedTuple):
    """What loading gave. `rules` are those that run, in firing order."""

    policies: List[PolicyFile]
    rules: List[Rule]
    problems: List[Problem]
    skipped: List[Skipped]
    variables: Variables

    @property
    def rule_set(self) -> RuleSet:
        """The rules as an engine."""
        return RuleSet(self.rules)


def load_policies(paths: Iterable[str], host: Optional[Host] = None,
                  table: Optional[FieldTable] = None) -> LoadedPolicies:
    """Reads and compiles policies from JSON files and from directories of *.json files.

    Within a directory the default policy comes first, then the others by name.
    Raises PolicyError for a file that is unreadable, no JSON or of another shape.
    """
    loader = _Loader([read_policy(path) for path in policy_files(paths)], host if host is not None else this_host(),
                     table if table is not None else field_table())
    return loader.load()


def policy_files(paths: Iterable[str]) -> List[str]:
    """The files meant by `paths`, in loading order. Raises PolicyError."""
    found: List[str] = []
    for path in paths:
        if not os.path.isdir(path):
            found.append(path)
            continue
        try:
            names = [name for name in os.listdir(path) if name.endswith(".json")]
        except OSError as error:
            raise PolicyError(f"{path}: cannot read the directory: {error.strerror}")
        if not names:
            raise PolicyError(f"{path}: the directory holds no *.json file")
        found += [os.path.join(path, name) for name in sorted(names, key=lambda name: (not _is_default(name), name))]
    return found


def _is_default(name: str) -> bool:
    return _policy_name(name) == "default"


def _policy_name(path: str) -> str:
    name = os.path.basename(path)
    for ending in (".json", ".policy"):
        name = name[:-len(ending)] if name.endswith(ending) else name
    return name


def read_policy(path: str) -> PolicyFile:
    """Reads one file. Raises PolicyError."""
    try:
        with open(path, encoding="utf-8-sig") as file:
            content = json.load(file)
    except OSError as error:
        raise PolicyError(f"{path}: cannot read the policy: {error.strerror}")
    except UnicodeDecodeError as error:
        raise PolicyError(f"{path}: not UTF-8 at byte {error.start}")
    except json.JSONDecodeError as error:
        raise PolicyError(f"{path}:{error.lineno}:{error.colno}: not JSON: {error.msg}")
    except RecursionError:
        raise PolicyError(f"{path}: the JSON is nested too deeply")
    return _policy_of(path, content)


def _policy_of(path: str, content: object) -> PolicyFile:
    if not isinstance(content, dict):
        raise PolicyError(f"{path}: a policy is a JSON object with the keys macros and rules")
    entries: Dict[str, List[Entry]] = {}
    for key in ("macros", "rules"):
        listed = content.get(key)
        listed = [] if listed is None else listed
        if not isinstance(listed, list) or not all(isinstance(entry, dict) for entry in listed):
            raise PolicyError(f"{path}: {key} must be a list of objects")
        entries[key] = listed
    if not entries["macros"] and not entries["rules"]:
        raise PolicyError(f"{path}: the policy has neither rules nor macros")
    return PolicyFile(path, _policy_name(path), str(content.get("version") or ""), entries["macros"], entries["rules"])


class _Candidate(NamedTuple):
    """A rule or macro that stays after filters and combination."""

    entry: Entry
    policy: PolicyFile


class _Loader:
    """Loads policies once."""

    def __init__(self, policies: List[PolicyFile], host: Host, table: FieldTable) -> None:
        self.policies = policies
        self.host = host
        self.filters = Compiler(host_table())
        self.filter_results: Dict[str, bool] = {}
        self.definitions: Dict[str, Definition] = {}
        self.variables = Variables()
        self.compiler = Compiler(table, self.variables)
        self.problems: List[Problem] = []
        self.skipped: List[Skipped] = []
        self.rules: List[Rule] = []

    def load(self) -> LoadedPolicies:
        for candidate in self.combined("macro", [(policy, policy.macros) for policy in self.policies]):
            self.load_macro(candidate)
        candidates = self.combined("rule", [(policy, policy.rules) for policy in self.policies])
        sound = [candidate for candidate in candidates if self.define_variables(candidate)]
        for candidate in sound:
            self.load_rule(candidate)
        self.rules.sort(key=_firing_order)
        return LoadedPolicies(self.policies, self.rules, self.problems, self.skipped, self.variables)

    def problem(self, candidate: _Candidate, what: str, reason: str, message: str,
                error: Optional[SeclError] = None, text: str = "") -> None:
        line, column, excerpt = (error.line, error.column, error.excerpt(text)) if error is not None else (0, 0, "")
        shown = str(candidate.entry.get("id", "without id"))
        self.problems.append(Problem(candidate.policy.path, shown, line, column, message, excerpt, reason, what))

    # Which entries count

    def combined(self, what: str, listed: List[Tuple[PolicyFile, List[Entry]]]) -> List[_Candidate]:
        """The entries that are meant for this host, each id once."""
        kept: Dict[str, _Candidate] = {}
        for policy, entries in listed:
            for entry in entries:
                candidate = _Candidate(entry, policy)
                if not self.is_sound(candidate, what) or not self.is_wanted(candidate, what):
                    continue
                entry_id = _text(entry, "id")
                if entry_id in kept:
                    self.combine(kept[entry_id], candidate, what)
                elif what == "rule" and "expression" not in entry:
                    self.problem(candidate, what, "error", "there is no expression, and no rule of this id to change")
                else:
                    kept[entry_id] = candidate._replace(entry=dict(entry))
        return list(kept.values())

    def is_sound(self, candidate: _Candidate, what: str) -> bool:
        """Reports an entry whose keys have the wrong types."""
        entry = candidate.entry
        entry_id = entry.get("id")
        fault = ""
        if not isinstance(entry_id, str) or not entry_id:
            fault = f"a {what} needs an id"
        elif not _ID_CHARS.issuperset(entry_id):
            fault = "an id consists of letters, digits and underscores"
        elif not isinstance(entry.get("expression", ""), str):
            fault = "the expression must be a text"
        elif not _is_texts(entry.get("filters")):
            fault = "filters must be a list of texts"
        if fault:
            self.problem(candidate, what, "error", fault)
        return not fault

    def is_wanted(self, candidate: _Candidate, what: str) -> bool:
        """Whether agent_version and filters keep the entry; a mistake in them is reported."""
        entry, policy = candidate
        constraint = entry.get("agent_version")
        try:
            reason = ""
            if constraint is not None and not version_matches(str(constraint), AGENT_VERSION):
                reason = f"agent_version {constraint}"
            else:
                reason = self.refused_by_filters(candidate, what)
        except ValueError as error:
            self.problem(candidate, what, "agent_version_error", str(error))
            return False
        if reason and what == "rule":
            self.skipped.append(Skipped(policy.path, _text(entry, "id"), "filtered", reason))
        return not reason

    def refused_by_filters(self, candidate: _Candidate, what: str) -> str:
        """Why the filters refuse an entry, "" when one holds or there is none; they are or-ed."""
        filters = _texts(candidate.entry, "filters")
        for text in filters:
            try:
                if self.filter_holds(text):
                    return ""
            except SeclError as error:
                self.problem(candidate, what, error.reason, f"in filters: {error.message}", error, text)
        return "filters " + ", ".join(filters) if filters else ""

    def filter_holds(self, text: str) -> bool:
        if text not in self.filter_results:
            self.filter_results[text] = self.filters.compile(text, needs_event=False).test(self.host)
        return self.filter_results[text]

    def combine(self, first: _Candidate, second: _Candidate, what: str) -> None:
        """A second entry of one id: it may disable, override or merge; otherwise it is a mistake."""
        change = second.entry.get("combine")
        if what == "macro" and change in ("merge", "override"):
            self.combine_values(first, second, change == "merge")
        elif what == "rule" and change == "override":
            _override(first.entry, second)
        elif what == "rule" and isinstance(second.entry.get("disabled"), bool):
            first.entry["disabled"] = second.entry["disabled"]
        else:
            self.problem(second, what, "error",
                         f"this id is defined before in {first.policy.path}; the first one stays")

    def combine_values(self, first: _Candidate, second: _Candidate, merge: bool) -> None:
        if "values" not in first.entry or not isinstance(second.entry.get("values"), list):
            self.problem(second, "macro", "error", "combine is for macros with values")
            return
        old = first.entry["values"]
        new = second.entry["values"]
        assert isinstance(new, list)
        first.entry["values"] = (old if merge and isinstance(old, list) else []) + new

    # Compiling

    def load_macro(self, candidate: _Candidate) -> None:
        entry = candidate.entry
        text = _text(entry, "expression")
        values = entry.get("values")
        if ("expression" in entry) == (values is not None):
            self.problem(candidate, "macro", "error", "a macro has either an expression or values")
            return
        try:
            if values is None:
                if uses_fim(parse_macro(text)):
                    raise SeclError("restricted_field", f"{FIM_PREFIX}* is not allowed in macros")
                self.compiler.add_macro(_text(entry, "id"), text)
            elif not isinstance(values, list):
                self.problem(candidate, "macro", "error", "values must be a list")
            else:
                self.compiler.add_values(_text(entry, "id"), [str(value) for value in values])
        except SeclError as error:
            self.problem(candidate, "macro", error.reason, error.message, error, text)

    def define_variables(self, candidate: _Candidate) -> bool:
        """Defines what the rule's set actions set; False when a definition contradicts an earlier one."""
        actions = candidate.entry.get("actions")
        for action in actions if isinstance(actions, list) else []:
            wanted = action.get("set") if isinstance(action, dict) else None
            if wanted is None:
                continue
            try:
                definition = define(wanted, self.compiler.table)
            except ValueError as error:
                self.problem(candidate, "rule", "error", f"in a set action: {error}")
                continue
            known = self.definitions.setdefault(definition.name, definition)
            if known.kind != definition.kind:
                self.problem(candidate, "rule", "type_mismatch",
                             f"in a set action: {definition.name} is {known.kind} elsewhere, {definition.kind} here")
                return False
            self.variables.definitions[definition.name] = (known.kind, known.default)
        return True

    def load_rule(self, candidate: _Candidate) -> None:
        entry, policy = candidate
        text = _text(entry, "expression")
        rule_id = _text(entry, "id")
        tags = tuple(f"{name}:{value}" for name, value in _tags(entry).items())
        try:
            tree = parse_rule(text)
            if uses_fim(tree):
                found = [(f"__fim_expanded_{copy.name}_{_text(entry, 'group_id')}_{rule_id}",
                          self.compiler.compile(text, True, copy.tree, tags, copy.prefix)) for copy in expand_fim(tree)]
            else:
                found = [(rule_id, self.compiler.compile(text, True, tree, tags))]
        except SeclError as error:
            self.problem(candidate, "rule", error.reason, error.message, error, text)
            return
        for name, compiled in found:
            self.keep(Rule(entry, policy, name, compiled))

    def keep(self, rule: Rule) -> None:
        if rule.entry.get("disabled") is True:
            self.skipped.append(Skipped(rule.file, rule.id, "disabled", "disabled in the policy"))
        elif rule.checked.unavailable:
            self.skipped.append(Skipped(rule.file, rule.id, "unavailable", "; ".join(rule.checked.unavailable)))
        else:
            self.rules.append(rule)


def _firing_order(rule: Rule) -> Tuple[bool, bool, int]:
    """Rules that set the execution context first, then the default policy, then by priority."""
    return "execution_context" not in rule.tags, rule.policy_name != "default", -rule.priority


def _override(entry: Entry, second: _Candidate) -> None:
    """combine: override, as override_options.fields tell; the expression always stays."""
    options = second.entry.get("override_options")
    listed = options.get("fields") if isinstance(options, dict) else None
    fields = [str(name) for name in listed] if isinstance(listed, list) else []
    if "all" in fields:
        kept = {name: entry.get(name) for name in ("id", "expression")}
        entry.update(second.entry)
        entry.update(kept)
        return
    for name in fields:
        old, new = entry.get(name), second.entry.get(name)
        if name == "tags" and isinstance(old, dict) and isinstance(new, dict):
            entry[name] = dict(old, **new)
        elif name == "actions" and isinstance(old, list) and isinstance(new, list):
            entry[name] = old + [action for action in new if action not in old]
        elif name in ("tags", "actions", "every", "product_tags") and new is not None:
            entry[name] = new
    if isinstance(second.entry.get("disabled"), bool):
        entry["disabled"] = second.entry["disabled"]


def _text(entry: Entry, key: str) -> str:
    value = entry.get(key)
    return value if isinstance(value, str) else ""


def _texts(entry: Entry, key: str) -> List[str]:
    value = entry.get(key)
    return [str(item) for item in value] if isinstance(value, list) else []


def _is_texts(value: object) -> bool:
    return value is None or (isinstance(value, list) and all(isinstance(item, str) for item in value))


def _tags(entry: Entry) -> Dict[str, str]:
    value = entry.get("tags")
    return {str(name): str(text) for name, text in value.items()} if isinstance(value, dict) else {}
