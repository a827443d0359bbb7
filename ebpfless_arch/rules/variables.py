"""The variables that `set` actions define: names, kinds, defaults and how long values live."""

import re
from typing import Dict

from ebpfless_arch.named import NamedTuple
from ebpfless_arch.rules.constants import CONSTANTS
from ebpfless_arch.rules.durations import nanoseconds
from ebpfless_arch.rules.fields import FieldTable
from ebpfless_arch.rules.fim import FIM_PREFIX

_NAME = re.compile(r"[A-Za-z0-9_]+\Z")
_SCOPES = ("process", "container", "cgroup")
_ZERO = {"bool": False, "int": 0, "string": "", "ip": ""}
_FLAGS = ("append", "inherited", "private")
DEFAULT_SIZE = 100


class Definition(NamedTuple):
    """A variable: name with its scope, kind as of a field, and the value while it is unset.

    ttl: how long a value lives, in ns, 0 for ever. size: what a list holds at
    most. inherited: a process without a value reads its ancestors'. private:
    outputs do not show it.
    """

    name: str
    kind: str
    default: object
    scope: str = ""
    ttl: int = 0
    size: int = DEFAULT_SIZE
    inherited: bool = False
    private: bool = False


def define(action: object, table: FieldTable) -> Definition:
    """What a set action (the object under "set") defines. Raises ValueError."""
    if not isinstance(action, dict):
        raise ValueError("set must be an object")
    scope = _scope(action)
    name = _name(action, scope, table)
    for flag in _FLAGS:
        if not isinstance(action.get(flag) or False, bool):
            raise ValueError(f"{flag} must be true or false")
    kind = _kind(action, table)
    if action.get("append") is True and kind == "bool":
        raise ValueError("append is not for booleans")
    if kind == "ip" or (action.get("append") is True and not kind.endswith("[]")):
        kind += "[]"
    initial = action.get("default_value")
    if initial is None and "expression" in action:
        initial = action.get("value")
    return Definition(name, kind, _default(initial, kind), scope, nanoseconds(action.get("ttl")), _size(action),
                      action.get("inherited") is True, action.get("private") is True)


def _scope(action: Dict[str, object]) -> str:
    scope = action.get("scope") or ""
    if scope and scope not in _SCOPES:
        raise ValueError(f"unknown scope {scope!r}; there are {', '.join(_SCOPES)}")
    for key in ("inherited", "scope_field"):
        if action.get(key) and scope != "process":
            raise ValueError(f"{key} is for the scope process")
    return str(scope)


def _name(action: Dict[str, object], scope: str, table: FieldTable) -> str:
    name = action.get("name")
    if not isinstance(name, str) or not _NAME.match(name):
        raise ValueError(f"the name {name!r} does not consist of letters, digits and underscores")
    full = f"{scope}.{name}" if scope else name
    if full in table.fields or full in CONSTANTS:
        raise ValueError(f"the name {full} is taken by a field or constant")
    return full


def _size(action: Dict[str, object]) -> int:
    size = action.get("size") or DEFAULT_SIZE
    if isinstance(size, bool) or not isinstance(size, int) or size < 0:
        raise ValueError(f"size {size!r} is no number of elements")
    return size


def _kind(action: Dict[str, object], table: FieldTable) -> str:
    sources = [key for key in ("value", "field", "expression") if action.get(key) is not None]
    # A value beside an expression only tells the type, as default_value does.
    if len(sources) != 1 and sources != ["value", "expression"]:
        raise ValueError("one of value, field and expression is needed")
    for key in sources[-1:]:
        if key != "value" and not isinstance(action[key], str):
            raise ValueError(f"{key} must be a text")
    for key in ("default_value", "value"):
        if action.get(key) is not None:
            return _kind_of(action[key])
    if "expression" in sources:
        raise ValueError("an expression needs a default_value")
    name = str(action["field"])
    # Every event that fim stands for has fields of the same kinds.
    name = "open.file." + name[len(FIM_PREFIX):] if name.startswith(FIM_PREFIX) else name
    field = table.fields.get(table.aliases.get(name, name))
    if field is None:
        raise ValueError(f"unknown field {action['field']!r}")
    return field.kind


def _kind_of(value: object) -> str:
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, int):
        return "int"
    if isinstance(value, str):
        return "string"
    if isinstance(value, list) and value and not isinstance(value[0], list):
        if all(type(item) is type(value[0]) for item in value):
            return _kind_of(value[0]) + "[]"
    raise ValueError(f"{value!r} is no boolean, integer, text or list of one of them")


def _default(value: object, kind: str) -> object:
    """The value while unset; for a list, a scalar default stands as its one element."""
    if not kind.endswith("[]"):
        return _ZERO[kind] if value is None else value
    if value is None:
        return ()
    return tuple(value) if isinstance(value, list) else (value,)
