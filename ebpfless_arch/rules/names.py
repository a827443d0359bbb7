"""Names in rules: fields, registers and variables, and what a rule has read so far."""

import re
from typing import Dict, Iterable, List, Mapping, NoReturn, Optional, Tuple

from ebpfless_arch.named import NamedTuple
from ebpfless_arch.rules.constants import CONSTANTS
from ebpfless_arch.rules.fields import NETWORK_EVENTS, Field, FieldTable
from ebpfless_arch.rules.fim import FIM_PREFIX
from ebpfless_arch.rules.grammar import error_at
from ebpfless_arch.rules.tree import Node
from ebpfless_arch.rules.typed import Read, Typed, VariableRead, Variables, is_array

_BUILTIN_VARIABLES = {"builtins.uuid4": "string"}
_REGISTER = re.compile(r"([A-Za-z0-9_.]+)\[([A-Za-z0-9_]*)\](?:\.([A-Za-z0-9_.]+))?\Z")
KIND_NAMES = {"bool": "a boolean", "int": "an integer", "string": "a text", "ip": "an address",
              "bool[]": "a list of booleans", "int[]": "a list of integers", "string[]": "a list of texts",
              "ip[]": "a list of addresses"}


class Macro(NamedTuple):
    """A macro and the macros that it may use itself."""

    name: str
    text: str
    node: Node
    known: Mapping[str, "Macro"]

    def __repr__(self) -> str:
        # The known macros know others in turn: all of them written out would double with every macro.
        return f"Macro({self.name!r})"


class Names:
    """What one rule may name.

    `table` are its fields, `macros` and `variables` what it may use besides;
    `fim` replaces the prefix of the pseudo event. `reads` are the fields met
    so far, with the place of the first use; `used_at` is where the macro that
    is being looked at stands in the text.
    """

    def __init__(self, text: str, table: FieldTable, macros: Mapping[str, Macro], variables: Variables,
                 fim: str = "") -> None:
        self.text = text
        self.table = table
        self.macros = macros
        self.variables = variables
        self.fim = fim
        self.reads: Dict[str, Tuple[Field, int]] = {}
        self.register = ""
        self.iterable = ""
        self.used_at: Optional[int] = None

    def fail(self, offset: int, reason: str, message: str) -> NoReturn:
        raise error_at(self.text, offset if self.used_at is None else self.used_at, reason, message)

    def mismatch(self, offset: int, message: str) -> NoReturn:
        self.fail(offset, "type_mismatch", message)

    def field(self, name: str, offset: int) -> Typed:
        if "[" in name or "]" in name:
            return self.indexed(name, offset)
        field = self.find(name, offset)
        self.reads.setdefault(field.name, (field, offset))
        return Read(field.kind, field)

    def find(self, name: str, offset: int) -> Field:
        name = self.table.aliases.get(name, name)
        if self.fim and name.startswith(FIM_PREFIX):
            name = self.fim + name[len(FIM_PREFIX):]
        field = self.table.fields.get(name)
        if field is None:
            self.unknown(name, offset)
        return field

    def unknown(self, name: str, offset: int) -> NoReturn:
        event = name.partition(".")[0]
        if "." not in name:
            hint = self.whole_name(name) or nearest(name, list(self.macros) + list(CONSTANTS))
            self.fail(offset, "unknown_macro", f"{name} is no macro, constant or field{hint}")
        events = {field.partition(".")[0] for field in self.table.fields}
        if event not in events:
            self.fail(offset, "unknown_field", f"unknown event type {event}{nearest(event, events)}")
        near = [field for field in self.table.fields if field.startswith(event + ".")]
        self.fail(offset, "unknown_field", f"unknown field {name}{nearest(name, near)}")

    def whole_name(self, name: str) -> str:
        """A hint at the field of the rule's event, or of the process, whose last part this is, or at any; "" without one."""
        for event in [field.event for field, _ in self.reads.values() if field.event] + ["process"]:
            if event + "." + name in self.table.fields:
                return f"; did you mean {event}.{name}?"
        found = next((field for field in self.table.fields if field.partition(".")[2] == name), "")
        return f"; a field's name begins with its event, as in {found}" if found else ""

    def indexed(self, name: str, offset: int) -> Typed:
        """iterable[REGISTER].attribute, or array[NUMBER]."""
        match = _REGISTER.match(name)
        if match is None:
            self.fail(offset, "iterator_misuse", f"{name}: one [REGISTER] after the name of an iterable is allowed")
        place, register, attribute = match.groups()
        if attribute is None:
            return self.element(place, register, offset)
        if place not in self.table.iterables:
            self.fail(offset, "iterator_misuse",
                      f"{place} is no iterable; these are: {', '.join(self.table.iterables)}")
        if register in ("", "_"):
            self.fail(offset, "iterator_misuse", f"a register needs a name, as in {place}[A].{attribute}")
        if self.register and (register, place) != (self.register, self.iterable):
            self.fail(offset, "iterator_misuse", f"one register in a rule: {self.iterable}[{self.register}] is in use")
        field = self.find(f"{place}.{attribute}", offset)
        if field.iterable != place:
            self.fail(offset, "iterator_misuse", f"{field.name} does not belong to a single record")
        self.register, self.iterable = register, place
        self.reads.setdefault(field.name, (field, offset))
        return Read(field.element_kind, field, register)

    def element(self, name: str, index: str, offset: int) -> Typed:
        name = self.table.aliases.get(name, name)
        field = self.table.fields.get(name)
        if field is None or not is_array(Read(field.kind, field)) or not index.isdigit() or len(index) > 9:
            self.fail(offset, "iterator_misuse", f"{name}[{index}]: only a list field takes an index, from 0")
        self.reads.setdefault(field.name, (field, offset))
        return Read(field.kind[:-2], field, "", int(index))

    def variable(self, name: str, offset: int) -> Typed:
        kind = _BUILTIN_VARIABLES.get(name) or self.variables.kind(name)
        if kind:
            return VariableRead(kind, name, kind)
        whole = name[:-len(".length")] if name.endswith(".length") else ""
        kind = _BUILTIN_VARIABLES.get(whole) or self.variables.kind(whole)
        if kind:
            if kind != "string" and not kind.endswith("[]"):
                self.mismatch(offset, f"${{{whole}}} is {KIND_NAMES[kind]} and has no length")
            return VariableRead("int", whole, kind, True)
        # ${process.pid} is published as a variable; for the others, engines of 2025 read the field as well.
        if self.table.aliases.get(name, name) in self.table.fields:
            return self.field(name, offset)
        known = list(self.variables.definitions) + list(_BUILTIN_VARIABLES)
        self.fail(offset, "unknown_variable", f"no action sets the variable {name}{nearest(name, known)}")

    def unavailable(self) -> Tuple[str, ...]:
        reasons: Dict[str, List[str]] = {}
        for name, (field, _) in self.reads.items():
            if field.unavailable:
                reasons.setdefault(field.unavailable, []).append(name)
        return tuple(why if why.startswith("event ") else f"field {', '.join(names)}: {why}"
                     for why, names in reasons.items())

    def event_type(self, node: Node, needs_event: bool) -> str:
        first: Optional[Field] = None
        for field, offset in self.reads.values():
            if field.event and first is not None and field.event != first.event:
                self.fail(offset, "mixed_event_types",
                          f"{field.name} belongs to {field.event} events, {first.name} to {first.event} events")
            if field.event:
                first = field
        found = first.event if first is not None else ""
        if needs_event and not found:
            self.fail(node.offset, "no_event",
                      "no field of an event; add one, such as exec.file.path or open.file.path")
        for field, offset in self.reads.values():
            if "network" in field.flags and found not in NETWORK_EVENTS:
                self.fail(offset, "restricted_field", f"{field.name} is for {', '.join(NETWORK_EVENTS)} rules only")
        return found


def nearest(name: str, known: Iterable[str]) -> str:
    """A hint at the known name that looks most like `name`, "" without one."""
    import difflib

    found = difflib.get_close_matches(name, list(known), 1, 0.6)
    return f"; did you mean {found[0]}?" if found else ""
