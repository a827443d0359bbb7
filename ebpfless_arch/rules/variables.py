"""The variables that `set` actions define: names, kinds and defaults.

Setting them comes later; until then rules read the defaults.
"""

import re
from typing import Dict, NamedTuple

from ebpfless_arch.rules.constants import CONSTANTS
from ebpfless_arch.rules.fields import FieldTable

_NAME = re.compile(r"[A-Za-z0-9_]+\Z")
_SCOPES = ("process", "container", "cgroup")
_ZERO = {"bool": False, "int": 0, "string": "", "ip": ""}


class Definition(NamedTuple):
    """A variable: name with its scope, kind as of a field, and the value while it is unset."""

    name: str
    kind: str
    default: object


def define(action: object, table: FieldTable) -> Definition:
    """What a set action (the object under "set") defines. Raises ValueError."""
    if not isinstance(action, dict):
        raise ValueError("set must be an object")
    name = action.get("name")
    if not isinstance(name, str) or not _NAME.match(name):
        raise ValueError(f"the name {name!r} does not consist of letters, digits and underscores")
    scope = action.get("scope") or ""
    if scope and scope not in _SCOPES:
        raise ValueError(f"unknown scope {scope!r}; there are {', '.join(_SCOPES)}")
    full = f"{scope}.{name}" if scope else name
    if full in table.fields or full in CONSTANTS:
        raise ValueError(f"the name {full} is taken by a field or constant")
    kind = _kind(action, table)
    append = action.get("append") is True and not kind.endswith("[]")
    kind = kind + "[]" if append or kind == "ip" else kind
    return Definition(full, kind, _default(action.get("default_value"), kind))


def _kind(action: Dict[str, object], table: FieldTable) -> str:
    for key in ("default_value", "value"):
        if action.get(key) is not None:
            return _kind_of(action[key])
    field = table.fields.get(table.aliases.get(str(action.get("field")), str(action.get("field"))))
    if field is not None:
        return field.kind
    if "field" in action:
        raise ValueError(f"unknown field {action['field']!r}")
    raise ValueError("an expression needs a default_value" if "expression" in action
                     else "one of value, field and expression is needed")


def _kind_of(value: object) -> str:
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, int):
        return "int"
    if isinstance(value, str):
        return "string"
    if isinstance(value, list) and value and all(isinstance(item, type(value[0])) for item in value):
        return _kind_of(value[0]) + "[]"
    raise ValueError(f"{value!r} is no boolean, integer, text or list of one of them")


def _default(value: object, kind: str) -> object:
    """The value while unset; for a list, a scalar default stands as its one element."""
    if not kind.endswith("[]"):
        return _ZERO[kind] if value is None else value
    if value is None:
        return ()
    return tuple(value) if isinstance(value, list) else (value,)
