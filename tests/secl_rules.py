"""Policies made by tests, and events that never happened, to run their rules and actions on."""

import json
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence, Tuple

from ebpfless_arch.events.model import Container, Event, ExecEvent, File, OpenEvent, Process
from ebpfless_arch.events.users import Users
from ebpfless_arch.rules.actions import Action, Hands, run_actions
from ebpfless_arch.rules.policy import LoadedPolicies, Rule, load_policies
from ebpfless_arch.rules.store import Store

Entry = Dict[str, Any]
USERS = Users("/nonexistent/passwd", "/nonexistent/group")
START = 10**18
SECOND = 10**9


def load(folder: Path, *rules: Entry, macros: Sequence[Entry] = (), former: Optional[Store] = None) -> LoadedPolicies:
    """A policy of these rules, loaded."""
    path = folder / "p.json"
    path.write_text(json.dumps({"macros": list(macros), "rules": list(rules)}), encoding="utf-8")
    return load_policies([str(path)], former=former)


def rule(name: str, expression: str, *actions: Entry, **keys: Any) -> Entry:
    """A rule with actions."""
    return dict(keys, id=name, expression=expression, actions=list(actions))


def setting(name: str, **keys: Any) -> Entry:
    """A set action."""
    return {"set": dict(keys, name=name)}


def process(pid: int = 100, parent: Optional[Process] = None, path: str = "/bin/sh", container: str = "",
            cgroup: str = "") -> Process:
    """A record of a process."""
    record = Process(USERS, pid, parent.pid if parent else 0, parent)
    record.file = File(USERS, path)
    record.container = Container(container, 0)
    record.cgroup = cgroup
    return record


def opened(path: str, record: Optional[Process] = None, seconds: float = 0) -> OpenEvent:
    """A file was opened, `seconds` after the start of time."""
    record = record or process()
    return OpenEvent(at(seconds), record, record.pid, 3, File(USERS, path), 0, 0, path)


def started(record: Process, seconds: float = 0) -> ExecEvent:
    """A program was executed."""
    return ExecEvent(at(seconds), record, record.pid, 0, record.file.path)


def at(seconds: float) -> int:
    """A moment in ns."""
    return START + int(seconds * SECOND)


class Agent:
    """Takes events through the rules as the agent does; keeps what the actions asked of it."""

    def __init__(self, loaded: LoadedPolicies) -> None:
        self.rules = loaded.rule_set
        self.logged: List[Tuple[str, str, str]] = []
        self.performed: List[Tuple[Action, str]] = []
        self._hands = Hands(self._log, self._perform)

    def _log(self, level: str, message: str, rule: Rule, event: Event) -> None:
        self.logged.append((level, message, rule.id))

    def _perform(self, action: Action, rule: Rule, event: Event) -> None:
        self.performed.append((action, rule.id))

    def tell(self, event: Event) -> List[str]:
        """The rules that fired; their actions have run."""
        found = self.rules.evaluate(event)
        for fired in found:
            run_actions(fired, event, self._hands)
        return [fired.id for fired in found]
