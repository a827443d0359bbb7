"""Keys of rules, macros and actions that mean nothing: mostly typing errors, which would silently do nothing."""

from typing import Dict, Iterator, Mapping, Tuple

from ebpfless_arch.rules.actions import KEYS
from ebpfless_arch.rules.files import Entry
from ebpfless_arch.rules.names import nearest
from ebpfless_arch.rules.shapes import keys_of


def unknown_keys(entry: Entry, what: str) -> Iterator[Tuple[str, str]]:
    """The part of a rule or macro (`what`) where each unknown key stands, and a sentence about it."""
    known = keys_of(what)
    for key in entry:
        if key not in known:
            yield "keys", f"{key!r} is no key of a {what} and has no effect{nearest(key, known)}"
    actions = entry.get("actions")
    for number, action in enumerate(actions if isinstance(actions, list) else [], 1):
        if isinstance(action, dict):
            for message in _unknown_in_action(action):
                yield f"action {number}", message


def _unknown_in_action(action: Dict[str, object]) -> Iterator[str]:
    for kind, given in action.items():
        known = KEYS.get(kind)
        if known is None and kind != "filter":
            yield f"{kind!r} is no action and has no effect{nearest(kind, list(KEYS) + ['filter'])}"
        elif known and isinstance(given, Mapping):
            for key in given:
                if key not in known:
                    yield f"{key!r} is no key of {kind} and has no effect{nearest(key, known)}"
