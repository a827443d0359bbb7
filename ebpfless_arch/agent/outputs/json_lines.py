"""JSON lines: one object per event or detection, in the shape of Datadog's messages."""

from typing import Any, Callable, Dict, List, Optional

from ebpfless_arch.agent.outputs import Lines, Sink, label_of
from ebpfless_arch.agent.outputs.written import Written
from ebpfless_arch.events.json_form import event_text
from ebpfless_arch.events.model import Event
from ebpfless_arch.events.text_form import headline
from ebpfless_arch.rules.ruleset import Rule


class JsonLines(Lines):
    """Writes lines. `agent` describes this program and its host; `variables` gives those of rules for an event;
    `written` knows what a killed probe has written already."""

    def __init__(self, file: Sink, agent: Dict[str, Any], variables: Callable[[Event], Dict[str, Any]],
                 written: Optional[Written] = None) -> None:
        super().__init__(file)
        self._written = written
        self._agent = agent
        self._variables = variables

    def write(self, event: Event, rule: Optional[Rule], sequence: int, performed: List[Dict[str, Any]]) -> None:
        """Append one line."""
        if event.number and self._written is not None and self._written.has(event.context.tracer, event.number):
            return
        if rule is None:
            line = event_text(event, headline(event), self._agent, sequence, list(event.context.tags) or None,
                              self._variables(event))
        else:
            agent = dict(self._agent, **about(rule))
            if performed:
                agent["rule_actions"] = performed
            line = event_text(event, rule.description or headline(event), agent, sequence,
                              rule_tags(rule) + list(event.context.tags), self._variables(event))
        self._file.add(line, label_of(event, rule))


def about(rule: Rule) -> Dict[str, Any]:
    """The agent's part of a detection: the rule and its policy."""
    found = {"rule_id": rule.base_id, "policy_name": rule.policy_name}
    if rule.version:
        found["rule_version"] = rule.version
    if rule.policy_version:
        found["policy_version"] = rule.policy_version
    return found


def rule_tags(rule: Rule) -> List[str]:
    """All tags of a rule as key:value texts."""
    return ["%s:%s" % (key, value) for key, value in sorted(rule.tags.items())] + list(rule.product_tags)
