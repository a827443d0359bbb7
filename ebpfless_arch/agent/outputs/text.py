"""Text for people: one line per event or detection."""

from typing import TYPE_CHECKING, Any, Dict, List, Optional

from ebpfless_arch.agent.outputs import Lines, Sink, label_of

if TYPE_CHECKING:
    from ebpfless_arch.events.model import Event
    from ebpfless_arch.rules.ruleset import Rule

_COLOURS = {"critical": "1;31", "high": "31", "medium": "33", "low": "36"}
_ATTACK_TAGS = ("tactic:", "technique:")


class Text(Lines):
    """Writes lines, in colours where asked to."""

    def __init__(self, file: Sink, colours: bool) -> None:
        super().__init__(file)
        self._colours = colours

    def write(self, event: "Event", rule: "Optional[Rule]", sequence: int, performed: List[Dict[str, Any]]) -> None:
        """Append one line: time, severity, rule, what happened, ATT&CK tags, process and ancestors."""
        # Most commands are told nothing of, and their start does without what this loads.
        from ebpfless_arch.events.text_form import clock, headline, lineage, printable

        parts = [clock(event.time), "%-8s" % event.type.upper() if rule is None else self._mark(rule)]
        parts.append(headline(event))
        user = event.process.user or str(event.process.credentials.uid)
        parts.append("user=" + printable(user))
        if rule is not None:
            parts += [tag for tag in rule.product_tags if tag.startswith(_ATTACK_TAGS)]
        parts += ["%s %s: %s" % (each["type"], each.get("signal") or each.get("error"), each["status"])
                  for each in performed]
        if event.process.container.id:
            parts.append("container=" + event.process.container.id[:12])
        if event.context.tracer:
            parts.append("tracer=" + event.context.tracer[:8])
        chain = lineage(event.process)
        if chain:
            parts.append("ancestors: " + chain)
        self._file.add("  ".join(parts), label_of(event, rule))

    def _mark(self, rule: "Rule") -> str:
        severity = "%-8s" % rule.severity.upper()
        if self._colours and rule.severity in _COLOURS:
            severity = "\x1b[%sm%s\x1b[0m" % (_COLOURS[rule.severity], severity)
        return "%s  %s" % (severity, rule.base_id)
