"""What the keys of macros and rules may hold; what they mean is policy.py's business."""

from typing import Callable, Dict, List

from ebpfless_arch.rules.durations import nanoseconds
from ebpfless_arch.rules.files import Entry

_ID_CHARS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_")
# What an override may change; "all" only on rules of the default policy.
OVERRIDABLE = ("all", "actions", "every", "tags", "product_tags")


def fault_of(entry: Entry, what: str) -> str:
    """What is wrong with the shape of an entry, "" when nothing is; `what` is rule or macro."""
    entry_id = entry.get("id")
    if not isinstance(entry_id, str) or not entry_id:
        return f"a {what} needs an id"
    if not _ID_CHARS.issuperset(entry_id):
        return "an id consists of letters, digits and underscores"
    for key, check in (_RULE if what == "rule" else _MACRO).items():
        fault = check(entry[key]) if entry.get(key) is not None else ""
        if fault:
            return f"{key} {fault}"
    return ""


def _text(value: object) -> str:
    return "" if isinstance(value, str) else "must be a text"


def _label(value: object) -> str:
    """YAML takes a version such as 1.2 for a number."""
    return "" if isinstance(value, (str, int, float)) else "must be a text"


def _truth(value: object) -> str:
    return "" if isinstance(value, bool) else "must be true or false"


def _number(value: object) -> str:
    return "" if isinstance(value, int) and not isinstance(value, bool) else "must be an integer"


def _texts(value: object) -> str:
    is_sound = isinstance(value, list) and all(isinstance(item, str) for item in value)
    return "" if is_sound else "must be a list of texts"


def _list(value: object) -> str:
    return "" if isinstance(value, list) else "must be a list"


def _map(value: object) -> str:
    is_sound = isinstance(value, dict) and not any(isinstance(item, (dict, list)) for item in value.values())
    return "" if is_sound else "must be an object with texts"


def _duration(value: object) -> str:
    try:
        nanoseconds(value)
    except ValueError as error:
        return f"is wrong: {error}"
    return ""


def _combine(value: object) -> str:
    return "" if value in ("merge", "override") else "is merge or override"


def _combine_rule(value: object) -> str:
    return "" if value == "override" else "is override"


def _options(value: object) -> str:
    fields = value.get("fields") if isinstance(value, dict) else None
    if not isinstance(fields, list):
        return "must be an object with a list of fields"
    unknown = [str(name) for name in fields if name not in OVERRIDABLE]
    return f"cannot name {', '.join(unknown)}; there are {', '.join(OVERRIDABLE)}" if unknown else ""


_Check = Callable[[object], str]
_COMMON: Dict[str, _Check] = {"expression": _text, "description": _text, "agent_version": _text, "filters": _texts}
_MACRO: Dict[str, _Check] = dict(_COMMON, combine=_combine, values=_list)
_RULE: Dict[str, _Check] = dict(
    _COMMON, version=_label, tags=_map, product_tags=_texts, disabled=_truth, silent=_truth, combine=_combine_rule,
    override_options=_options, actions=_list, every=_duration, limiter_token=_texts, group_id=_label, priority=_number)


def keys_of(what: str) -> List[str]:
    """The keys that a rule or macro may have."""
    return ["id"] + list(_RULE if what == "rule" else _MACRO)
