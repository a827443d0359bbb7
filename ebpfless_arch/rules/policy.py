"""Policies: files in, compiled rules out, mistakes collected.

One bad rule or macro never stops the others: it becomes a Problem. A rule that
needs what this agent cannot see, or that is meant for another host or agent,
is set aside with the reason. Only a file that cannot be read at all raises.
"""

import contextlib
import gc
from typing import Dict, Iterable, Iterator, List, Optional, Set, Tuple

from ebpfless_arch.named import NamedTuple
from ebpfless_arch.rules.actions import Action
from ebpfless_arch.rules.compile import Compiled, Compiler
from ebpfless_arch.rules.durations import nanoseconds
from ebpfless_arch.rules.fields import FieldTable, field_table
from ebpfless_arch.rules.files import Entry
from ebpfless_arch.rules.files import PolicyError as PolicyError
from ebpfless_arch.rules.files import PolicyFile as PolicyFile
from ebpfless_arch.rules.files import policy_files as policy_files
from ebpfless_arch.rules.files import read_policy as read_policy
from ebpfless_arch.rules.fim import FIM_PREFIX, expand_fim, uses_fim
from ebpfless_arch.rules.grammar import SeclError, parse_macro, parse_rule
from ebpfless_arch.rules.host import Host, host_table, this_host, version_matches
from ebpfless_arch.rules.limits import Limiter
from ebpfless_arch.rules.names import nearest
from ebpfless_arch.rules.loaded import LoadedPolicies as LoadedPolicies
from ebpfless_arch.rules.loaded import Problem as Problem
from ebpfless_arch.rules.loaded import Skipped as Skipped
from ebpfless_arch.rules.planning import ActionError, Idle, Late, Plan, Site, build_action, plan_action
from ebpfless_arch.rules.ruleset import Rule as Rule
from ebpfless_arch.rules.ruleset import RuleSet as RuleSet
from ebpfless_arch.rules.ruleset import tags_of, text_of, texts_of
from ebpfless_arch.rules.shapes import fault_of, keys_of
from ebpfless_arch.rules.store import Store
from ebpfless_arch.rules.tree import Node
from ebpfless_arch.rules.variables import Definition

# The release of the published agent whose rules we follow; `agent_version` refers to it.
AGENT_VERSION = (7, 80, 0)


def load_policies(paths: Iterable[str], host: Optional[Host] = None, table: Optional[FieldTable] = None,
                  former: Optional[Store] = None) -> LoadedPolicies:
    """Reads and compiles policies from files and from directories of them.

    Within a directory the default policy comes first, then the others by name.
    Variables that `former`, the store of rules that run already, has as well
    keep their values; it can be used further if the new rules are not wanted.
    Raises PolicyError for a file that is unreadable, no JSON or of another shape.
    """
    with _uncollected():
        loader = _Loader([read_policy(path) for path in policy_files(paths)], host if host is not None else this_host(),
                         table if table is not None else field_table())
        loaded = loader.load()
    if former is not None:
        loaded.variables.find_process = former.find_process
        loaded.variables.adopt(former)
    return loaded


@contextlib.contextmanager
def _uncollected() -> Iterator[None]:
    """A block that makes much that stays: Python does not look for cycles in it again and again, which takes a quarter of
    the time."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


class _Candidate(NamedTuple):
    """A rule or macro that stays after filters and combination; `plans` are the sound ones of its actions."""

    entry: Entry
    policy: PolicyFile
    plans: Tuple[Plan, ...] = ()


class _Loader:
    """Loads policies once."""

    def __init__(self, policies: List[PolicyFile], host: Host, table: FieldTable) -> None:
        self.policies = policies
        self.host = host
        self.filters = Compiler(host_table())
        self.filter_results: Dict[str, bool] = {}
        self.definitions: Dict[str, Definition] = {}
        self.variables = Store()
        self.compiler = Compiler(table, self.variables)
        self.idle_actions: List[Skipped] = []
        self.macro_ids: Set[str] = set()
        self.seen_macros: Set[str] = set()
        self.filtered: Set[str] = set()
        self.problems: List[Problem] = []
        self.skipped: List[Skipped] = []
        self.rules: List[Rule] = []

    def load(self) -> LoadedPolicies:
        self.drop_replaced()
        macros = self.combined("macro", [(policy, policy.macros) for policy in self.policies])
        self.macro_ids.update(text_of(macro.entry, "id") for macro in macros)
        for macro in macros:
            self.load_macro(macro)
            self.seen_macros.add(text_of(macro.entry, "id"))
        candidates = self.combined("rule", [(policy, policy.rules) for policy in self.policies])
        planned = [candidate._replace(plans=self.plan(candidate)) for candidate in candidates]
        for candidate in [candidate for candidate in planned if self.define_variables(candidate)]:
            self.load_rule(candidate)
        self.rules.sort(key=_firing_order)
        return LoadedPolicies(self.policies, self.rules, self.problems, self.skipped, self.variables,
                              self.compiler.macros, self.idle_actions)

    def drop_replaced(self) -> None:
        """Sets whole policies aside: those that another one replaces, and a second default policy."""
        replaced = {policy.replaces: policy.path for policy in self.policies if policy.replaces}
        default = ""
        kept = []
        for policy in self.policies:
            reason = f"{replaced[policy.name]} replaces the policy" if policy.name in replaced else ""
            if policy.is_default and not reason and default:
                reason = f"the default policy is {default}"
            if reason:
                self.skipped += [Skipped(policy.path, text_of(entry, "id"), "filtered", reason) for entry in policy.rules]
                continue
            default = policy.path if policy.is_default else default
            kept.append(policy)
        self.policies = kept

    def problem(self, candidate: _Candidate, what: str, reason: str, message: str,
                error: Optional[SeclError] = None, text: str = "") -> None:
        line, column, excerpt = (error.line, error.column, error.excerpt(text)) if error is not None else (0, 0, "")
        shown = str(candidate.entry.get("id", "without id"))
        self.problems.append(Problem(candidate.policy.path, shown, line, column, message, excerpt, reason, what))

    def action_problem(self, candidate: _Candidate, error: ActionError) -> None:
        self.problem(candidate, "rule", error.error.reason, str(error), error.error, error.text)

    # Which entries count

    def combined(self, what: str, listed: List[Tuple[PolicyFile, List[Entry]]]) -> List[_Candidate]:
        """The entries that are meant for this host, each id once."""
        kept: Dict[str, _Candidate] = {}
        for policy, entries in listed:
            for entry in entries:
                candidate = _Candidate(entry, policy)
                if not self.is_sound(candidate, what) or not self.is_wanted(candidate, what):
                    continue
                entry_id = text_of(entry, "id")
                if entry_id in kept:
                    self.combine(kept[entry_id], candidate, what)
                elif what == "rule" and entry.get("expression") is None:
                    self.set_aside_change(candidate)
                else:
                    kept[entry_id] = candidate._replace(entry=dict(entry))
        return list(kept.values())

    def set_aside_change(self, candidate: _Candidate) -> None:
        """An entry that changes a rule which is not there."""
        entry_id = text_of(candidate.entry, "id")
        if entry_id in self.filtered:
            self.skipped.append(Skipped(candidate.policy.path, entry_id, "filtered", "the rule that it changes is"))
        else:
            self.problem(candidate, "rule", "error", "there is no expression, and no rule of this id to change"
                         + _mistyped(candidate.entry, "expression"))

    def is_sound(self, candidate: _Candidate, what: str) -> bool:
        """Reports an entry whose keys have the wrong types."""
        fault = fault_of(candidate.entry, what)
        if fault:
            self.problem(candidate, what, "error", fault)
        return not fault

    def is_wanted(self, candidate: _Candidate, what: str) -> bool:
        """Whether agent_version and filters keep the entry; a mistake in them is reported."""
        entry, policy = candidate.entry, candidate.policy
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
            self.skipped.append(Skipped(policy.path, text_of(entry, "id"), "filtered", reason))
            self.filtered.add(text_of(entry, "id"))
        return not reason

    def refused_by_filters(self, candidate: _Candidate, what: str) -> str:
        """Why the filters refuse an entry, "" when one holds or there is none; they are or-ed."""
        filters = texts_of(candidate.entry, "filters")
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
            self.override(first, second)
        elif what == "rule" and isinstance(second.entry.get("disabled"), bool):
            first.entry["disabled"] = second.entry["disabled"]
        else:
            self.problem(second, what, "error",
                         f"this id is defined before in {first.policy.path}; the first one stays")

    def override(self, first: _Candidate, second: _Candidate) -> None:
        """combine: override, as override_options.fields tell; the expression always stays."""
        options = second.entry.get("override_options")
        listed = options.get("fields") if isinstance(options, dict) else None
        fields = [str(name) for name in listed] if isinstance(listed, list) else []
        if "all" not in fields:
            _override(first.entry, second.entry, fields)
        elif first.policy.is_default:
            kept = {name: first.entry.get(name) for name in ("id", "expression")}
            first.entry.update(second.entry)
            first.entry.update(kept)
        else:
            self.problem(second, "rule", "error", f"override of all is for rules of a default policy, and "
                                                  f"{first.policy.path} is none")

    def combine_values(self, first: _Candidate, second: _Candidate, merge: bool) -> None:
        if not isinstance(first.entry.get("values"), list) or not isinstance(second.entry.get("values"), list):
            self.problem(second, "macro", "error", "combine is for macros with values")
            return
        old = first.entry["values"]
        new = second.entry["values"]
        assert isinstance(new, list)
        first.entry["values"] = (old if merge and isinstance(old, list) else []) + new

    # Compiling

    def load_macro(self, candidate: _Candidate) -> None:
        entry = candidate.entry
        text = text_of(entry, "expression")
        values = entry.get("values")
        if (entry.get("expression") is not None) == (values is not None):
            self.problem(candidate, "macro", "error", "a macro has either an expression or values")
            return
        try:
            if values is None:
                if uses_fim(parse_macro(text)):
                    raise SeclError("restricted_field", f"{FIM_PREFIX}* is not allowed in macros")
                self.compiler.add_macro(text_of(entry, "id"), text)
            else:
                assert isinstance(values, list)
                self.compiler.add_values(text_of(entry, "id"), [str(value) for value in values])
        except SeclError as error:
            self.problem(candidate, "macro", error.reason, error.message + self.macro_hint(error), error, text)

    def macro_hint(self, error: SeclError) -> str:
        """Why a macro that exists is not known."""
        name = error.message.partition(" ")[0]
        if error.reason != "unknown_macro" or name not in self.macro_ids:
            return ""
        if name in self.seen_macros:
            return f"; the macro {name} has a mistake of its own"
        return "; a macro may use those that are defined before it, and neither itself nor those after it"

    def plan(self, candidate: _Candidate) -> Tuple[Plan, ...]:
        """The rule's actions as far as they are sound; others are reported."""
        found = []
        actions = candidate.entry.get("actions")
        for action in actions if isinstance(actions, list) else []:
            try:
                found.append(plan_action(action, self.compiler))
            except ValueError as error:
                self.problem(candidate, "rule", "error", f"{error}; the action is left out")
        return tuple(found)

    def define_variables(self, candidate: _Candidate) -> bool:
        """Defines what the rule's set actions set; False when a definition contradicts an earlier one."""
        for plan in candidate.plans:
            wanted = plan.definition
            if wanted is None:
                continue
            if wanted.name not in self.definitions:
                self.definitions[wanted.name] = wanted
                self.variables.define(wanted)
            fault = _contradiction(self.definitions[wanted.name], wanted)
            if fault:
                self.problem(candidate, "rule", "type_mismatch", f"in a set action: {fault}")
                return False
        return True

    def load_rule(self, candidate: _Candidate) -> None:
        text = text_of(candidate.entry, "expression")
        rule_id = text_of(candidate.entry, "id")
        try:
            tree = parse_rule(text)
            if FIM_PREFIX not in text or not uses_fim(tree):
                found = [self.build(candidate, rule_id, tree, "")]
            else:
                group = candidate.entry.get("group_id")
                found = [self.build(candidate, f"__fim_expanded_{copy.name}_{group or ''}_{rule_id}", copy.tree,
                                    copy.prefix) for copy in expand_fim(tree)]
        except SeclError as error:
            self.problem(candidate, "rule", error.reason, error.message + self.macro_hint(error), error, text)
        except ActionError as error:
            self.action_problem(candidate, error)
        else:
            for rule in found:
                self.keep(rule)

    def build(self, candidate: _Candidate, name: str, tree: Node, fim: str) -> Rule:
        """Compiles a rule with all that belongs to it. Raises SeclError and ActionError."""
        entry = candidate.entry
        tags = tuple(f"{name}:{value}" for name, value in tags_of(entry).items())
        compiled = self.compiler.compile(text_of(entry, "expression"), True, tree, tags, fim)
        checked = compiled.checked
        site = Site(self.compiler, self.variables, checked.event_type, tags, fim, checked.fields)
        limiter = self.build_limiter(entry, site)
        site = site._replace(limiter=limiter)
        actions: List[Action] = []
        kinds = [plan.kind for plan in candidate.plans if self.build_action(candidate, plan, site, compiled, actions)]
        return Rule(entry, candidate.policy, name, compiled, actions, limiter, kinds)

    def build_action(self, candidate: _Candidate, plan: Plan, site: Site, compiled: Compiled, built: List[Action]) -> bool:
        """Builds an action, if it can run here, and tells if not; False for one with a mistake. Raises ActionError."""
        path, rule_id = candidate.policy.path, text_of(candidate.entry, "id")
        try:
            built.append(build_action(plan, site))
        except Idle as reason:
            status = "late" if isinstance(reason, Late) else "unavailable"
            idle = Skipped(path, rule_id, status, f"action {plan.kind}: {reason}")
            if not compiled.checked.unavailable and not (site.fim and idle in self.idle_actions):
                self.idle_actions.append(idle)
        except ValueError as error:
            self.problem(candidate, "rule", "error", f"{error}; the action is left out")
            return False
        return True

    def build_limiter(self, entry: Entry, site: Site) -> Limiter:
        """The limit of a rule. Raises ActionError for an unknown field."""
        tokens = []
        for name in texts_of(entry, "limiter_token"):
            try:
                tokens.append(site.field("limiter_token", name))
            except Idle:
                continue  # its value would always be the same
        return Limiter(nanoseconds(entry.get("every")), tuple(tokens))

    def keep(self, rule: Rule) -> None:
        if rule.entry.get("disabled") is True:
            self.set_aside(Skipped(rule.file, rule.base_id, "disabled", "disabled in the policy"))
        elif rule.checked.unavailable:
            self.set_aside(Skipped(rule.file, rule.base_id, "unavailable", "; ".join(rule.checked.unavailable)))
        else:
            self.rules.append(rule)

    def set_aside(self, skipped: Skipped) -> None:
        """Tells once of what concerns several copies of a rule."""
        if not self.skipped or skipped != self.skipped[-1]:
            self.skipped.append(skipped)


def _contradiction(first: Definition, second: Definition) -> str:
    """Why two definitions of one variable do not go together, "" when they do."""
    if first.kind != second.kind:
        return f"{first.name} is {first.kind} elsewhere, {second.kind} here"
    if first.private != second.private:
        return f"{first.name} is {'' if first.private else 'not '}private elsewhere"
    return ""


def _firing_order(rule: Rule) -> Tuple[bool, bool, int]:
    """Rules that set the execution context first, then the default policy, then by priority."""
    return "execution_context" not in rule.tags, rule.policy_name != "default", -rule.priority


def _override(entry: Entry, change: Entry, fields: Iterable[str]) -> None:
    """Changes some keys of a rule."""
    for name in fields:
        old, new = entry.get(name), change.get(name)
        if name == "tags" and isinstance(old, dict) and isinstance(new, dict):
            entry[name] = dict(old, **new)
        elif name == "actions" and isinstance(old, list) and isinstance(new, list):
            entry[name] = old + [action for action in new if action not in old]
        elif new is not None:
            entry[name] = new
    if isinstance(change.get("disabled"), bool):
        entry["disabled"] = change["disabled"]


def _mistyped(entry: Entry, key: str) -> str:
    """A hint at a key of a rule that may be meant for this one, "" without one."""
    found = next((each for each in entry if each not in keys_of("rule") and nearest(each, [key])), "")
    return f"; {found!r} is no key of a rule{nearest(found, [key])}" if found else ""
