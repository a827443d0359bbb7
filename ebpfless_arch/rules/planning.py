"""How an entry of `actions` becomes an action: it is first planned, which checks its shape, and then built for one rule, which
compiles its expressions."""

import errno
from typing import Callable, Dict, FrozenSet, Mapping, NoReturn, Optional, Tuple

from ebpfless_arch.named import NamedTuple
from ebpfless_arch.rules.actions import KILL_SCOPES, LEVELS, Action, Deny, Hash, Kill, Log, Set
from ebpfless_arch.rules.compile import Compiled, Compiler
from ebpfless_arch.rules.constants import CONSTANTS
from ebpfless_arch.rules.grammar import SeclError, error_at, parse_rule
from ebpfless_arch.rules.hashing import Hasher
from ebpfless_arch.rules.limits import Limiter
from ebpfless_arch.rules.names import KIND_NAMES, nearest
from ebpfless_arch.rules.store import Store
from ebpfless_arch.rules.tree import FieldRef, Node, Text
from ebpfless_arch.rules.variables import Definition, define

# Sound in a policy, but nothing that a tracer can do.
_FOREIGN = {"coredump": "only a hook in the kernel can do this", "network_filter": "a tracer does not see packets"}
# The file that `hash` means where no field is given.
_HASHED = {"exec": "exec.file", "open": "open.file"}
_ERRNO_AT_MOST = 4095
# SIG is a type of DNS records, SIGNALED a way to end.
_SIGNALS = tuple(name for name in CONSTANTS if name.startswith("SIG") and name not in ("SIG", "SIGNALED"))
_ERRORS = tuple(name for name, value in CONSTANTS.items() if name.startswith("E") and value < 0)

_Keys = Mapping[str, object]
_Read = Callable[[object], object]


# Planning

class Plan(NamedTuple):
    """An entry whose shape is sound; `definition` is that of the variable which a set action sets."""

    kind: str
    keys: _Keys
    condition: str
    definition: Optional[Definition] = None


def plan_action(entry: object, compiler: Compiler) -> Plan:
    """Checks the shape of an entry of `actions`. Raises ValueError."""
    if not isinstance(entry, dict):
        raise ValueError("an action must be an object")
    kinds = [kind for kind in list(_PLANNERS) + list(_FOREIGN) if entry.get(kind) is not None]
    if len(kinds) != 1:
        known = ", ".join(_PLANNERS)
        raise ValueError(f"an action is one of {known}; this one is {' and '.join(kinds) or 'none of them'}")
    kind = kinds[0]
    keys = entry[kind]
    condition = "" if entry.get("filter") is None else entry["filter"]
    if not isinstance(condition, str):
        raise ValueError("the filter of an action must be a text")
    if not isinstance(keys, dict):
        raise ValueError(f"{kind} must be an object")
    try:
        definition = define(keys, compiler.table) if kind == "set" else None
        _PLANNERS.get(kind, _plan_nothing)(keys)
    except ValueError as error:
        raise ValueError(f"in a {kind} action: {error}")
    return Plan(kind, keys, condition, definition)


def _plan_nothing(keys: _Keys) -> None:
    pass


def _plan_set(keys: _Keys) -> None:
    _text(keys, "scope_field")


def _plan_hash(keys: _Keys) -> None:
    _text(keys, "field")
    size = keys.get("max_file_size")
    if size is not None and (isinstance(size, bool) or not isinstance(size, int) or size < 0):
        raise ValueError("max_file_size must be a number of bytes")


def _plan_log(keys: _Keys) -> None:
    _one_of(keys, "level", LEVELS)
    _text(keys, "message")


def _plan_kill(keys: _Keys) -> None:
    name = keys.get("signal")
    if name not in _SIGNALS:
        raise ValueError(f"the signal {name!r} is unknown{nearest(str(name), _SIGNALS)}")
    if keys.get("scope") is not None:
        _one_of(keys, "scope", KILL_SCOPES)
    for key in ("disable_container_disarmer", "disable_executable_disarmer"):
        if not isinstance(keys.get(key) or False, bool):
            raise ValueError(f"{key} must be true or false")


def _plan_deny(keys: _Keys) -> None:
    _errno(keys.get("errno"))


def _errno(given: object) -> int:
    """The number that a deny action names, EPERM for None. Raises ValueError."""
    if given is None:
        return errno.EPERM
    if isinstance(given, str) and given in _ERRORS:
        return -CONSTANTS[given]
    if isinstance(given, int) and not isinstance(given, bool) and 0 < given <= _ERRNO_AT_MOST:
        return given
    raise ValueError(f"the errno {given!r} is neither the name nor the number of an error"
                     + nearest(str(given), _ERRORS))


def _one_of(keys: _Keys, key: str, known: Tuple[str, ...]) -> None:
    if keys.get(key) not in known:
        raise ValueError(f"unknown {key} {keys.get(key)!r}; there are {', '.join(known)}")


def _text(keys: _Keys, key: str) -> str:
    found = keys.get(key)
    if found is not None and not isinstance(found, str):
        raise ValueError(f"{key} must be a text")
    return found or ""


_PLANNERS: Dict[str, Callable[[_Keys], None]] = {
    "set": _plan_set, "kill": _plan_kill, "hash": _plan_hash, "log": _plan_log, "deny": _plan_deny}


# Building

class ActionError(Exception):
    """An expression beside the rule's own that does not compile: `text` is it, `where` the key that has it."""

    def __init__(self, where: str, text: str, error: SeclError) -> None:
        Exception.__init__(self, f"in {where}: {error.message}")
        self.text = text
        self.error = error


class Idle(Exception):
    """A sound action that cannot run here; the text says why."""


class Late(Idle):
    """A deny that would have to be decided before what it goes by is known."""


class Site(NamedTuple):
    """The rule that an action is built for: its event type and tags, what fim stands for in this copy, its fields and
    its limit."""

    compiler: Compiler
    store: Store
    event_type: str
    tags: Tuple[str, ...] = ()
    fim: str = ""
    fields: FrozenSet[str] = frozenset()
    limiter: Limiter = Limiter()

    def condition(self, text: str) -> Compiled:
        """A filter, ready to run. Raises ActionError and Idle."""
        try:
            compiled = self.compiler.condition(text, self.event_type, self.tags, self.fim)
        except SeclError as error:
            raise ActionError("the filter of an action", text, error)
        if compiled.checked.unavailable:
            raise Idle("; ".join(compiled.checked.unavailable))
        return compiled

    def field(self, where: str, name: str, kind: str = "", names: Optional[Mapping[str, object]] = None) -> _Read:
        """A field as a function; for `kind` see value."""
        return self.value(where, name, FieldRef(0, name), kind, names)

    def expression(self, where: str, text: str, kind: str) -> _Read:
        """An expression as a function; for `kind` see value."""
        try:
            return self.value(where, text, parse_rule(text), kind)
        except SeclError as error:
            raise ActionError(where, text, error)

    def message(self, where: str, text: str) -> _Read:
        """A text with ${...} in it as a function."""
        return self.value(where, f'"{text}"', Text(0, "string", text), "string")

    def value(self, where: str, text: str, node: Node, kind: str = "",
              names: Optional[Mapping[str, object]] = None) -> _Read:
        """What `node` means, as a function; `kind` is what it is for: a list takes an element as well.

        Raises ActionError and Idle.
        """
        try:
            value = self.compiler.value(text, node, self.event_type, self.tags, self.fim, names)
            if kind and value.kind not in (kind, kind.replace("[]", "")):
                raise error_at(text, node.offset, "type_mismatch",
                               f"{KIND_NAMES[kind]} is wanted, this is {KIND_NAMES[value.kind]}")
        except SeclError as error:
            raise ActionError(where, text, error)
        if value.unavailable:
            raise Idle("; ".join(value.unavailable))
        return value.read


def build_action(plan: Plan, site: Site) -> Action:
    """Compiles an action. Raises ActionError, Idle, and ValueError for what cannot be used with this rule."""
    if plan.kind in _FOREIGN:
        raise Idle(_FOREIGN[plan.kind])
    # The filter comes last, so that its own mistakes show even where nothing is to be done.
    action = _BUILDERS[plan.kind](plan, site)
    fields = site.fields
    if plan.condition:
        condition = site.condition(plan.condition)
        action.condition = condition.test
        fields |= condition.checked.fields
    late = site.compiler.table.late(fields, site.event_type) if plan.kind == "deny" else []
    if late:
        raise Late(f"{', '.join(late)} {'is' if len(late) == 1 else 'are'} known only when the call is over")
    return action


def _build_set(plan: Plan, site: Site) -> Action:
    keys, definition = plan.keys, plan.definition
    assert definition is not None
    target = _text(keys, "scope_field")
    return Set(site.store, definition.name, _source(keys, definition.kind, site), keys.get("append") is True,
               site.field("scope_field of a set action", target, "int") if target else None)


def _source(keys: _Keys, kind: str, site: Site) -> _Read:
    """What a set action sets."""
    if keys.get("expression") is not None:
        return site.expression("expression of a set action", _text(keys, "expression"), kind)
    if keys.get("field") is not None:
        return site.field("field of a set action", _text(keys, "field"), kind)
    given = keys["value"]
    constant = tuple(given) if isinstance(given, list) else given
    return lambda event: constant


def _build_hash(plan: Plan, site: Site) -> Action:
    field = _text(plan.keys, "field") or site.fim.rstrip(".") or _HASHED.get(site.event_type, "")
    if not field:
        raise ValueError(f"in a hash action: a rule on {site.event_type} events must name the field of a file")
    compiler = site.compiler
    digests = field + ".hashes"
    if compiler.table.aliases.get(digests, digests) not in compiler.table.fields and not site.fim:
        _refuse_file(field, compiler)
    hasher = compiler.table.names["hasher"]
    assert isinstance(hasher, Hasher)
    size = plan.keys.get("max_file_size")
    if isinstance(size, int) and size:
        hasher = hasher.limited(size)
    return Hash(field, site.field("field of a hash action", digests, "string[]", {"hasher": hasher}))


def _refuse_file(field: str, compiler: Compiler) -> NoReturn:
    files = [name[:-len(".hashes")] for name in compiler.table.fields if name.endswith(".hashes")]
    raise ActionError("field of a hash action", field, error_at(field, 0, "unknown_field",
                                               f"{field} is no file of an event{nearest(field, files)}"))


def _build_log(plan: Plan, site: Site) -> Action:
    message = site.message("message of a log action", _text(plan.keys, "message"))
    return Log(_text(plan.keys, "level"), message, site.limiter.fresh())


def _build_kill(plan: Plan, site: Site) -> Action:
    keys = plan.keys
    return Kill(_text(keys, "signal"), _text(keys, "scope") or "process",
                keys.get("disable_container_disarmer") is not True,
                keys.get("disable_executable_disarmer") is not True)


def _build_deny(plan: Plan, site: Site) -> Action:
    return Deny(_errno(plan.keys.get("errno")))


_BUILDERS: Dict[str, Callable[[Plan, Site], Action]] = {
    "set": _build_set, "hash": _build_hash, "log": _build_log, "kill": _build_kill, "deny": _build_deny}
