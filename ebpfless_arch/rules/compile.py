"""SECL text to Python functions: one function of an event for each rule.

A rule is parsed, checked and then written as Python source, with names for its
constants and matchers; rules that differ in these alone are compiled once. The
generated code is total: a field that is missing has the zero value of its kind,
so an evaluation does not raise. A rule with a register is a loop over the records.
"""

from typing import Any, Callable, Dict, Iterable, List, Mapping, Optional, Tuple

from ebpfless_arch.named import NamedTuple
from ebpfless_arch.rules import grammar
from ebpfless_arch.rules.addresses import overlaps_all, overlaps_some, parse_address
from ebpfless_arch.rules.check import Checker
from ebpfless_arch.rules.fields import ITERABLES_LIMIT, FieldTable
from ebpfless_arch.rules.grammar import SeclError
from ebpfless_arch.rules.names import Macro
from ebpfless_arch.rules.tree import Array, Node, Text
from ebpfless_arch.rules.typed import Compiled as Compiled
from ebpfless_arch.rules.typed import (
    AddressTest, Arithmetic, Checked, Const, Constants, Joined, Junction, Membership, Negation, Read, Relation,
    TextTest, Typed, VariableRead, Variables, children, is_array, is_many)

_ZERO = {"int": "0", "string": "''", "bool": "False", "ip": "None"}
# Rough times of evaluation, for ordering operands: a comparison is 1.
_FIELD_COSTS = {".hashes": 1000, ".ancestors.": 30, ".envs": 20, ".envp": 8, ".args": 4, ".argv": 4}
Maker = Callable[..., Callable[[object], Any]]
# What the values of an array can be in; the keys of a dictionary are those of a variable.
_COLLECTIONS = (list, tuple, dict)


class Value(NamedTuple):
    """An expression of any kind that can be computed: `read` takes an event and gives a tuple for an array.

    When `unavailable` has reasons, `read` gives None.
    """

    read: Callable[[object], object]
    kind: str
    unavailable: Tuple[str, ...]


def joined(value: object) -> str:
    """A value as it stands inside of a text: ints in decimal, lists joined by commas."""
    if isinstance(value, str):
        return value
    if isinstance(value, int):
        return str(value)
    return ",".join(str(item) for item in value) if isinstance(value, _COLLECTIONS) else ""


def length(value: object) -> int:
    """Bytes of a text, elements of a list."""
    if isinstance(value, str):
        return len(value.encode("utf-8", "surrogateescape"))
    return len(value) if isinstance(value, _COLLECTIONS) else 0


def nth(values: Iterable[object], index: int, zero: object) -> object:
    """The element at `index`, `zero` beyond the end."""
    for number, value in enumerate(values):
        if number == index:
            return value
    return zero


class Compiler:
    """Compiles rules over one table of fields; holds the macros and the variables they may use."""

    def __init__(self, table: FieldTable, variables: Optional[Variables] = None) -> None:
        self.table = table
        self.variables = variables if variables is not None else Variables()
        self.macros: Dict[str, Macro] = {}
        self._names = dict(table.names, **_RUNTIME, read_variable=self.variables.read)
        self._makers: Dict[str, Maker] = {}

    def add_macro(self, name: str, text: str) -> Tuple[str, ...]:
        """Defines a macro from an expression; returns the event types it reads. Raises SeclError."""
        return self._define(Macro(name, text, grammar.parse_macro(text), dict(self.macros)))

    def add_values(self, name: str, values: Iterable[str]) -> Tuple[str, ...]:
        """Defines a macro from a list of ordinary texts."""
        members = tuple(Text(0, "string", value) for value in values)
        return self._define(Macro(name, "", Array(0, members), dict(self.macros)))

    def _define(self, macro: Macro) -> Tuple[str, ...]:
        checker = Checker(macro.text, self.table, macro.known, self.variables)
        checker.whole(macro.node)
        self.macros[macro.name] = macro
        return tuple(sorted({field.event for field, _ in checker.reads.values() if field.event}))

    def check(self, text: str, needs_event: bool = True, tree: Optional[Node] = None, fim: str = "") -> Checked:
        """Parses and checks a rule; for `tree` and `fim` see compile. Raises SeclError."""
        checker = Checker(text, self.table, self.macros, self.variables, fim)
        return checker.rule(tree if tree is not None else grammar.parse_rule(text), needs_event)

    def compile(self, text: str, needs_event: bool = True, tree: Optional[Node] = None,
                tags: Tuple[str, ...] = (), fim: str = "") -> Compiled:
        """Compiles a rule.

        `tree` replaces what the text parses to, `tags` are what event.rule.tags
        reads, `fim` is what the prefix of the pseudo event stands for. Raises SeclError.
        """
        checked = self.check(text, needs_event, tree, fim)
        if checked.unavailable:
            return Compiled(_never, checked)
        writer = _Writer()
        body = writer.body(checked, self.table.iterables)
        return Compiled(self._function(writer, body, tags), checked)

    def value(self, text: str, node: Node, event_type: str, tags: Tuple[str, ...] = (), fim: str = "",
              names: Optional[Mapping[str, object]] = None) -> Value:
        """Compiles an expression of any kind for events of one type; `node` is the tree of `text`.

        `names` replaces some of those that accesses refer to. Raises SeclError.
        """
        checker = Checker(text, self.table, self.macros, self.variables, fim)
        tree = checker.whole(node)
        self.require_event(text, node, checker.event_type(node, False), event_type)
        if checker.register:
            raise grammar.error_at(text, node.offset, "iterator_misuse", "there is no register in a value")
        if is_array(tree) and isinstance(tree, Constants) or tree.kind == "ip" and isinstance(tree, Const):
            raise grammar.error_at(text, node.offset, "type_mismatch", "a value is no list and no address literal")
        unavailable = checker.unavailable()
        if unavailable:
            return Value(_nothing, tree.kind, unavailable)
        writer = _Writer()
        body = writer.value_body(tree)
        return Value(self._function(writer, body, tags, names), tree.kind, ())

    def condition(self, text: str, event_type: str, tags: Tuple[str, ...] = (), fim: str = "") -> Compiled:
        """Compiles a filter over events of one type. Raises SeclError."""
        tree = grammar.parse_rule(text)
        compiled = self.compile(text, False, tree, tags, fim)
        self.require_event(text, tree, compiled.checked.event_type, event_type)
        return compiled

    def require_event(self, text: str, node: Node, found: str, wanted: str) -> None:
        """Raises SeclError for an expression about other events than `wanted`."""
        if found not in ("", wanted):
            raise grammar.error_at(text, node.offset, "mixed_event_types",
                                   f"this reads {found} events, the rule is about {wanted} events")

    def _function(self, writer: "_Writer", body: str, tags: Tuple[str, ...],
                  names: Optional[Mapping[str, object]] = None) -> Callable[[object], Any]:
        """The function of an event with this body. Its constants are an argument of what makes it, so that there is one such
        maker for all bodies that read alike. (Before Python 3.7 a function has 255 arguments at most.)"""
        constants = writer.constants
        unpacked = f" {', '.join(constants)}, = constants\n" if constants else ""
        source = f"def make(rule_tags, constants):\n{unpacked} def rule(e):\n{body} return rule\n"
        if names:
            return _maker(source, dict(self._names, **names))(tags, constants.values())
        maker = self._makers.get(source)
        if maker is None:
            maker = self._makers[source] = _maker(source, self._names)
        return maker(tags, constants.values())


def _maker(source: str, names: Dict[str, object]) -> Maker:
    """What `make` of a source is, whose other names are among these."""
    exec(compile(source, "<rule>", "exec"), names)
    made = names["make"]
    assert callable(made)
    return made


def _never(event: object) -> bool:
    return False


def _nothing(event: object) -> object:
    return None


def _uuid4() -> str:
    import uuid

    return str(uuid.uuid4())


_RUNTIME: Dict[str, object] = {
    "overlaps_some": overlaps_some, "overlaps_all": overlaps_all, "joined": joined,
    "length": length, "nth": nth, "new_uuid": _uuid4, "parse_address": parse_address}


def written(rules: Iterable[Checked], table: FieldTable) -> Tuple[List[str], Dict[str, object]]:
    """The bodies of rules as functions of `e`, and the constants that all of them together refer to: for the matcher of
    texts its TextSet."""
    writer = _Writer(True)
    return [writer.body(rule, table.iterables) for rule in rules], writer.recipes


class _Writer:
    """Writes Python for one typed tree; constants get names in `constants`, but for texts with `texts_inline`.

    `recipes` are what constants are made of, where that is not the constant itself."""

    def __init__(self, texts_inline: bool = False) -> None:
        self.texts_inline = texts_inline
        self.constants: Dict[str, object] = {}
        self.recipes: Dict[str, object] = {}
        self.count = 0

    def body(self, checked: Checked, iterables: Mapping[str, str]) -> str:
        """What stands below `def rule(e):`."""
        test = self.write(checked.tree)
        if not checked.register:
            return f"    return {test}\n"
        return (f"    for {_loop_name(checked.register)} in {iterables[checked.iterable]}"
                f"[:{ITERABLES_LIMIT}]:\n        if {test}:\n            return True\n    return False\n")

    def value_body(self, tree: Typed) -> str:
        """The same for the value of an expression."""
        value = self.write(tree)
        return f"    return {f'tuple({value})' if is_array(tree) else value}\n"

    def constant(self, value: object, recipe: object = None) -> str:
        """A name for a constant."""
        self.count += 1
        name = f"k{self.count}"
        self.constants[name] = value
        self.recipes[name] = recipe if recipe is not None else value
        return name

    def text(self, value: str) -> str:
        """A text, or a name for it."""
        return repr(value) if self.texts_inline else self.constant(value)

    def write(self, node: Typed) -> str:
        """The expression of a node, in parentheses where it needs them."""
        return _WRITERS[type(node)](self, node)

    def literal(self, node: Const) -> str:
        if node.kind in ("int", "bool"):
            return f"({node.value})" if isinstance(node.value, int) and node.value < 0 else str(node.value)
        return self.text(str(node.value)) if node.kind == "string" else self.constant(node.value)

    def literals(self, node: Constants) -> str:
        values = [member.value for member in node.members]
        return self.constant(tuple(values) if node.kind == "ip[]" else frozenset(values))

    def read(self, node: Read) -> str:
        field = node.field
        source = field.element.replace("{}", _loop_name(node.register)) if node.register else field.access
        if node.nth >= 0:
            return f"nth({source}, {node.nth}, {_ZERO[node.kind]})"
        return source

    def variable(self, node: VariableRead) -> str:
        source = "new_uuid()" if node.name == "builtins.uuid4" else f"read_variable({node.name!r}, e)"
        return f"length({source})" if node.length else source

    def join(self, node: Joined) -> str:
        return "(" + " + ".join(self.write(part) if isinstance(part, Const) else f"joined({self.write(part)})"
                                for part in node.parts) + ")"

    def arithmetic(self, node: Arithmetic) -> str:
        return f"({self.write(node.left)} {node.operator} {self.write(node.right)})"

    def junction(self, node: Junction) -> str:
        """Cheap operands first: the order cannot be observed, for nothing raises and nothing has effects."""
        return "(" + f" {node.operator} ".join(self.write(item) for item in sorted(node.items, key=_cost)) + ")"

    def negation(self, node: Negation) -> str:
        return f"(not {self.write(node.item)})"

    def some(self, values: str, test: Callable[[str], str]) -> str:
        """Python for: the test holds for some value."""
        self.count += 1
        name = f"v{self.count}"
        return f"any({test(name)} for {name} in {values})"

    def relation(self, node: Relation) -> str:
        left, right = self.write(node.left), self.write(node.right)

        def test(value: str) -> str:
            return f"(e.time - {value} {node.operator} {right})" if node.age else f"({value} {node.operator} {right})"

        return self.some(left, test) if is_many(node.left) else test(left)

    def text_test(self, node: TextTest) -> str:
        subject = self.write(node.subject)
        literals = node.literals
        many = is_many(node.subject)
        if literals.plain:
            if len(literals.literals) == 1:
                only = self.text(next(iter(literals.literals)))
                return f"({only} in {subject})" if many else f"({subject} == {only})"
            known = self.constant(literals.literals)
            return f"(not {known}.isdisjoint({subject}))" if many else f"({subject} in {known})"
        if literals.prefixes and not literals.literals and not literals.tests and not literals.folded and not many:
            return f"{subject}.startswith({self.constant(literals.prefixes)})"
        matcher = self.constant(literals.matcher(), literals)
        return f"any(map({matcher}, {subject}))" if many else f"{matcher}({subject})"

    def membership(self, node: Membership) -> str:
        left, right = self.write(node.left), self.write(node.right)
        if is_many(node.left):
            return f"(not {{*{left}}}.isdisjoint({right}))"
        return f"({left} in {right})"

    def address_test(self, node: AddressTest) -> str:
        left, right = self.addresses(node.left), self.addresses(node.right)
        return f"{'overlaps_all' if node.every else 'overlaps_some'}({left}, {right})"

    def addresses(self, node: Typed) -> str:
        """Python for a sequence of networks."""
        source = self.write(node)
        if isinstance(node, (Const, Constants)):
            return source if is_array(node) else f"({source},)"
        values = source if is_array(node) else f"({source},)"
        return f"map(parse_address, {values})"


_WRITERS: Dict[type, Callable[..., str]] = {
    Const: _Writer.literal, Constants: _Writer.literals, Read: _Writer.read, VariableRead: _Writer.variable,
    Joined: _Writer.join, Arithmetic: _Writer.arithmetic, Junction: _Writer.junction, Negation: _Writer.negation,
    Relation: _Writer.relation, TextTest: _Writer.text_test, Membership: _Writer.membership,
    AddressTest: _Writer.address_test}


def _loop_name(register: str) -> str:
    return "r_" + register


def _cost(node: Typed) -> int:
    """Roughly how long a node takes."""
    own = 1
    if isinstance(node, Read):
        own = max([cost for part, cost in _FIELD_COSTS.items() if part in node.field.name] or [0])
    elif isinstance(node, TextTest):
        per_value = 1 + 3 * len(node.literals.tests) + bool(node.literals.prefixes)
        own = per_value * (4 if is_many(node.subject) else 1)
    elif isinstance(node, (VariableRead, AddressTest)):
        own = 10
    return own + sum(map(_cost, children(node)))
