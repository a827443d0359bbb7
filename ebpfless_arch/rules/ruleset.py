"""A compiled rule with what its policy says about it, and the rules together as an engine."""

from typing import TYPE_CHECKING, Dict, FrozenSet, Iterable, List, Mapping, Optional, Tuple

from ebpfless_arch.events.interest import ANSWERS, Case, counts
from ebpfless_arch.events.model import Event
from ebpfless_arch.events.network import PayloadEvent
from ebpfless_arch.rules.actions import Action, in_order
from ebpfless_arch.rules.answers import ANSWER_FIELDS, NAME_FIELDS
from ebpfless_arch.rules.files import Entry, PolicyFile
from ebpfless_arch.rules.limits import Limiter

if TYPE_CHECKING:
    from ebpfless_arch.rules.typed import Checked, Compiled, Test


class Rule:
    """One compiled rule: `entry` is as the policy has it, `actions` are ready to run, in their order.

    `limiter` says when the rule may be told once more; silent rules never are. `base_id` is its id in the policy, which people
    are told; `id` differs from it in the copies of a rule about `fim.write.file.*`. `kinds` are those of the policy's sound
    actions, also of such as cannot run here.
    """

    __slots__ = ("id", "base_id", "kinds", "version", "description", "expression", "event_type", "tags", "product_tags",
                 "severity", "policy_name", "policy_version", "file", "silent", "priority", "actions", "entry",
                 "checked", "test", "limiter")

    def __init__(self, entry: Entry, policy: PolicyFile, rule_id: str, compiled: "Compiled",
                 actions: Iterable[Action] = (), limiter: Optional[Limiter] = None, kinds: Iterable[str] = ()) -> None:
        self.id = rule_id
        self.kinds = tuple(kinds)
        self.base_id = text_of(entry, "id")
        self.version = text_of(entry, "version")
        self.description = text_of(entry, "description")
        self.expression = text_of(entry, "expression")
        self.event_type = compiled.checked.event_type
        self.tags = tags_of(entry)
        self.product_tags = texts_of(entry, "product_tags")
        self.severity = self.tags.get("severity", "info")
        self.policy_name = policy.name
        self.policy_version = policy.version
        self.file = policy.path
        self.silent = entry.get("silent") is True
        priority = entry.get("priority")
        self.priority = priority if isinstance(priority, int) else 0
        self.actions = in_order(list(actions))
        self.limiter = limiter if limiter is not None else Limiter()
        self.entry = entry
        self.checked: "Checked" = compiled.checked
        self.test: "Test" = compiled.test

    @property
    def is_copy(self) -> bool:
        """Whether it is one of several that a rule of the policy has become."""
        return self.id != self.base_id

    def __repr__(self) -> str:
        return f"Rule({self.id!r}, {self.event_type})"


class RuleSet:
    """Rules ready to run, indexed by event type, in the order in which they fire. `cases` are those of narrowing.py, None
    where nobody has derived them."""

    def __init__(self, rules: Iterable[Rule], cases: Optional[Mapping[str, Tuple[Case, ...]]] = None) -> None:
        self.cases = cases
        self.rules: List[Rule] = [rule for rule in rules if not rule.checked.unavailable]
        self._by_type: Dict[str, List[Rule]] = {}
        for rule in self.rules:
            self._by_type.setdefault(rule.event_type, []).append(rule)
            answers = rule.event_type + ".response"
            if answers in ANSWERS and rule.checked.fields & ANSWER_FIELDS:
                self._by_type.setdefault(answers, []).append(rule)

    @property
    def event_types(self) -> FrozenSet[str]:
        """The events that some rule needs, and of those of the network whether answers are (see ANSWERS)."""
        named = any(rule.checked.fields & NAME_FIELDS for rule in self.rules)
        return frozenset(self._by_type) | frozenset(["dns", "dns.response"] if named else [])

    def evaluate(self, event: Event) -> List[Rule]:
        """The rules that match. Of calls that failed some count only: the refused ones, and what `counts` tells."""
        rules = self._by_type.get(event.type)
        if rules is None or not counts(event.type, event.retval):
            return []
        if isinstance(event, PayloadEvent) and event.is_answer:
            rules = self._by_type.get(event.type + ".response", [])
        return [rule for rule in rules if rule.test(event)]


def text_of(entry: Entry, key: str) -> str:
    """The text that an entry has under a key, "" for anything else."""
    value = entry.get(key)
    return value if isinstance(value, str) else ""


def texts_of(entry: Entry, key: str) -> List[str]:
    """The list of texts under a key, empty for anything else."""
    value = entry.get(key)
    return [str(item) for item in value] if isinstance(value, list) else []


def tags_of(entry: Entry) -> Dict[str, str]:
    """The tags of a rule."""
    value = entry.get("tags")
    return {str(name): str(text) for name, text in value.items()} if isinstance(value, dict) else {}
