"""The type checker: names are resolved, kinds compared, constants folded.

A mistake is a SeclError with a reason class and the place in the text. What a
macro holds is checked again wherever it is used, because the meaning of a text
depends on the field beside it; mistakes in it are shown at the place of use.
"""

import functools
import re
from typing import Callable, Dict, FrozenSet, Iterable, List, Mapping, NoReturn, Union

from ebpfless_arch.rules import tree as syntax
from ebpfless_arch.rules.addresses import Network, to_network
from ebpfless_arch.rules.constants import CONSTANTS
from ebpfless_arch.rules.fields import Field, FieldTable
from ebpfless_arch.rules.grammar import MAX_DEPTH
from ebpfless_arch.rules.names import KIND_NAMES, Macro, Names, nearest
from ebpfless_arch.rules.patterns import Flavor, PatternError, Shape, TextSet, check_path, shape_of
from ebpfless_arch.rules.tree import Node
from ebpfless_arch.rules.typed import (
    AddressTest, Arithmetic, Checked, Const, Constants, Joined, Junction, Membership, Negation, Read, Relation,
    TextTest, Typed, VariableRead, Variables, depth_of, is_array, is_many)

_MIRRORED = {"<": ">", "<=": ">=", ">": "<", ">=": "<=", "==": "==", "!=": "!="}
_FOLDING: Dict[str, Callable[[int, int], int]] = {
    "+": lambda a, b: a + b, "-": lambda a, b: a - b, "&": lambda a, b: a & b, "|": lambda a, b: a | b,
    "^": lambda a, b: a ^ b}
_ORDERING: Dict[str, Callable[[int, int], bool]] = {
    "==": lambda a, b: a == b, "<": lambda a, b: a < b, "<=": lambda a, b: a <= b, ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b}
_REFERENCE = re.compile(r"([$%])\{([A-Za-z_][A-Za-z0-9_.]*)\}")
_SHORT = 16
_NO_FLAGS: FrozenSet[str] = frozenset()
_USUAL_FLAVOR = Flavor()
_SHAPES_AT_MOST = 4096
# What macros may add up to: they multiply when they use each other.
_MAX_NODES = 50000
_MAX_DEPTH = 3 * MAX_DEPTH


class Checker(Names):
    """Checks one rule."""

    def __init__(self, text: str, table: FieldTable, macros: Mapping[str, Macro], variables: Variables,
                 fim: str = "") -> None:
        Names.__init__(self, text, table, macros, variables, fim)
        self.nodes = 0
        self.depth = 0
        self.deepest = 0

    # Whole rules

    def rule(self, node: Node, needs_event: bool) -> Checked:
        """The checked rule; with `needs_event` exactly one event type must result."""
        tree = self.whole(node)
        if tree.kind != "bool":
            self.mismatch(node.offset, f"a rule must be true or false, this is {KIND_NAMES[tree.kind]}")
        return Checked(tree, self.event_type(node, needs_event), frozenset(self.reads), self.register, self.iterable,
                       self.unavailable())

    def whole(self, node: Node) -> Typed:
        """The typed form of a rule or macro, its size limited."""
        tree = self.check(node)
        # A level of the text has two at most of its typed form: a comparison, and its negation.
        if 2 * (self.deepest + 1) > MAX_DEPTH and depth_of(tree) > MAX_DEPTH + 1:
            self.fail(node.offset, "value_limit", f"with its macros it is nested deeper than {MAX_DEPTH} levels")
        return tree

    # Expressions

    def check(self, node: Node) -> Typed:
        """The typed form of any node."""
        self.nodes += 1
        if self.nodes > _MAX_NODES:
            self.fail(node.offset, "value_limit", f"with its macros it has more than {_MAX_NODES} parts")
        self.depth += 1
        if self.depth > self.deepest:
            self.deepest = self.depth
            if self.depth > _MAX_DEPTH:
                self.fail(node.offset, "value_limit", "with its macros it is nested too deeply")
        tree = _CHECKS[type(node)](self, node)
        self.depth -= 1
        return tree

    def number(self, node: syntax.Number) -> Typed:
        return Const("int", node.value)

    def duration(self, node: syntax.Duration) -> Typed:
        return Const("int", node.value, "duration")

    def address(self, node: syntax.Address) -> Typed:
        return Const("ip", self.network(node))

    def reference(self, node: Union[syntax.Variable, syntax.FieldRef]) -> Typed:
        read = self.variable if isinstance(node, syntax.Variable) else self.field
        return read(node.name, node.offset)

    def network(self, node: syntax.Address) -> Network:
        try:
            return to_network(node.text)
        except ValueError as error:
            self.fail(node.offset, "bad_address", f"{node.text} is no address: {error}")

    def text_value(self, node: syntax.Text) -> Typed:
        """A text literal; variables in an ordinary one make it a joined text."""
        if node.kind != "string":
            return Const("string", node.value, node.kind)
        if "{" not in node.value:
            return Const("string", node.value, "string")
        parts: List[Typed] = []
        at = 0
        for match in _REFERENCE.finditer(node.value):
            offset = node.offset + 1 + match.start()
            read = (self.variable if match.group(1) == "$" else self.field)(match.group(2), offset)
            if read.kind in ("bool", "bool[]", "ip", "ip[]"):
                self.mismatch(offset, f"{match.group()} is {KIND_NAMES[read.kind]} and cannot stand in a text")
            parts += [Const("string", node.value[at:match.start()], "string"), read]
            at = match.end()
        if not parts:
            return Const("string", node.value, "string")
        return Joined("string", tuple(parts) + (Const("string", node.value[at:], "string"),))

    def constants(self, node: syntax.Array) -> Constants:
        members = []
        for member in node.members:
            if isinstance(member, syntax.Text):
                # No variables inside of lists: ${ } is ordinary text here.
                members.append(Const("string", member.value, member.kind))
            elif isinstance(member, syntax.Name):
                members.append(self.constant_member(member))
            else:
                value = _CHECKS[type(member)](self, member)
                assert isinstance(value, Const)
                members.append(value)
            if members[-1].kind != members[0].kind:
                self.mismatch(member.offset, "the members of a list are of one type")
        return Constants((members[0].kind if members else "string") + "[]", tuple(members))

    def constant_member(self, node: syntax.Name) -> Const:
        value = CONSTANTS.get(node.text)
        if value is None:
            kind = "unknown_field" if "." in node.text else "unknown_macro"
            self.fail(node.offset, kind, f"{node.text} is no constant; a list holds literals or constants"
                                         + nearest(node.text, CONSTANTS))
        return _constant(value)

    # Names

    def name(self, node: syntax.Name, in_list: bool = False) -> Typed:
        """A constant, a macro or a field; in list position macros come first."""
        macro = self.macros.get(node.text)
        constant = CONSTANTS.get(node.text)
        if constant is not None and not (in_list and macro is not None):
            return _constant(constant)
        if macro is not None:
            return self.macro(macro, node)
        return self.field(node.text, node.offset)

    def macro(self, macro: Macro, node: syntax.Name) -> Typed:
        outer = self.used_at, self.macros
        self.used_at = node.offset if self.used_at is None else self.used_at
        self.macros = macro.known
        tree = self.check(macro.node)
        self.used_at, self.macros = outer
        return tree

    # Operators

    def junction(self, node: syntax.Logical) -> Typed:
        operator = node.operator
        items = []
        rest: Node = node
        while isinstance(rest, syntax.Logical) and rest.operator == operator:
            items.append(self.boolean(rest.left, operator))
            rest = rest.right
        items.append(self.boolean(rest, operator))
        return _junction(operator, items)

    def boolean(self, node: Node, operator: str) -> Typed:
        tree = self.check(node)
        if tree.kind != "bool":
            hint = "; compare it with something" if not is_array(tree) else "; use == or in"
            self.mismatch(node.offset, f"{operator} joins true and false, this is {KIND_NAMES[tree.kind]}{hint}")
        return tree

    def unary(self, node: syntax.Unary) -> Typed:
        operand = self.check(node.operand)
        if node.operator == "not":
            if operand.kind != "bool":
                self.mismatch(node.offset, f"not applies to {KIND_NAMES[operand.kind]} here, for it binds tighter "
                                           "than a comparison; write not (...) or use the opposite operator")
            return _negation(operand)
        if operand.kind != "int":
            self.mismatch(node.offset, f"{node.operator} needs an integer, this is {KIND_NAMES[operand.kind]}")
        return _arithmetic(*(("-", Const("int", 0), operand) if node.operator == "-"
                             else ("^", Const("int", -1), operand)))

    def arithmetic(self, node: syntax.Binary) -> Typed:
        left, right = self.check(node.left), self.check(node.right)
        for side, tree in ((node.left, left), (node.right, right)):
            if tree.kind != "int":
                self.mismatch(side.offset, f"{node.operator} needs integers, this is {KIND_NAMES[tree.kind]}")
        if node.operator in "&|^" and not isinstance(left, Const) and not isinstance(right, Const):
            self.fail(node.offset, "dynamic_bitmask", f"one side of {node.operator} must be constant")
        return _arithmetic(node.operator, left, right)

    def comparison(self, node: syntax.Comparison) -> Typed:
        if node.operator in ("in", "not in", "allin"):
            found = self.membership(node)
            return _negation(found) if node.operator == "not in" else found
        left, right = self.check(node.left), self.check(node.right)
        if isinstance(left, Constants) or isinstance(right, Constants):
            self.mismatch(node.offset, f"{node.operator} does not compare with a list; use in or not in")
        if node.operator in ("=~", "!~"):
            found = self.pattern_test(node, left, right)
        else:
            found = self.relation(node, left, right)
        return _negation(found) if node.operator[0] == "!" else found

    def relation(self, node: syntax.Comparison, left: Typed, right: Typed) -> Typed:
        """The positive form of a comparison."""
        kinds = {left.kind.rstrip("[]"), right.kind.rstrip("[]")}
        operator = "==" if node.operator == "!=" else node.operator
        if len(kinds) > 1 or (is_array(left) and is_array(right)):
            self.refuse_pair(node, left, right)
        kind = kinds.pop()
        if kind == "int":
            return self.int_relation(node, operator, left, right)
        if operator != "==":
            self.mismatch(node.offset, f"{node.operator} compares integers, not {KIND_NAMES[kind]}")
        if kind == "string":
            if is_array(right):
                self.mismatch(node.offset, "a list of texts stands on the left of == or on the right of in")
            return self.text_equality(node, left, right)
        if is_array(right):
            left, right = right, left
        if kind == "ip":
            return AddressTest("bool", left, right)
        if isinstance(left, Const) and isinstance(right, Const):
            return Const("bool", left.value == right.value)
        return Relation("bool", "==", left, right)

    def refuse_pair(self, node: syntax.Comparison, left: Typed, right: Typed) -> NoReturn:
        self.mismatch(node.offset,
                      f"{node.operator} cannot compare {KIND_NAMES[left.kind]} with {KIND_NAMES[right.kind]}")

    def int_relation(self, node: syntax.Comparison, operator: str, left: Typed, right: Typed) -> Typed:
        if isinstance(right, Const) and right.form == "duration":
            return self.duration_relation(node, operator, left, right)
        if is_array(right):
            left, right, operator = right, left, _MIRRORED[operator]
        if isinstance(left, Const) and isinstance(right, Const):
            return Const("bool", _ORDERING[operator](_int(left), _int(right)))
        return Relation("bool", operator, left, right)

    def duration_relation(self, node: syntax.Comparison, operator: str, left: Typed, right: Typed) -> Typed:
        if node.operator == "!=":
            self.mismatch(node.offset, "!= does not take a duration; use not (... == ...)")
        if is_array(left) and operator == "==":
            self.mismatch(node.offset, "== on a list does not take a duration; use < or >")
        plain = isinstance(left, (Read, VariableRead, Const)) and not isinstance(node.left, (syntax.Unary,
                                                                                            syntax.Binary))
        return Relation("bool", operator, left, right, plain)

    def text_equality(self, node: syntax.Comparison, left: Typed, right: Typed) -> Typed:
        if isinstance(left, Const) and isinstance(right, Const):
            return Const("bool", left.value == right.value)
        if isinstance(left, Const):
            return self.text_test(node.left.offset, right, left)
        if isinstance(right, Const):
            return self.text_test(node.right.offset, left, right)
        if not is_many(left) and is_many(right):
            left, right = right, left
        if is_many(left) and is_many(right):
            return Membership("bool", left, right)
        return Relation("bool", "==", left, right)

    def pattern_test(self, node: syntax.Comparison, left: Typed, right: Typed) -> Typed:
        if left.kind.rstrip("[]") != "string" or right.kind not in ("string", "string[]"):
            self.refuse_pair(node, left, right)
        if not isinstance(right, Const):
            self.fail(node.right.offset, "non_static_pattern", f"the right side of {node.operator} must be a literal")
        if right.form == "string":
            right = right._replace(form="pattern")
        if isinstance(left, Const):
            return Const("bool", left.value == right.value)
        return self.text_test(node.right.offset, left, right)

    def text_test(self, offset: int, subject: Typed, literal: Const) -> Typed:
        """One literal; beside anything but a field, patterns are ordinary texts."""
        if not isinstance(subject, Read):
            literal = literal._replace(form="string")
        elif subject.field.flags:
            self.limit(offset, subject.field, [literal], literal.form == "string")
        return TextTest("bool", subject, self.text_set(offset, subject, [literal]))

    def text_set(self, offset: int, subject: Typed, literals: Iterable[Const]) -> TextSet:
        flags = subject.field.flags if isinstance(subject, Read) else _NO_FLAGS
        flavor = Flavor("glob" in flags, "folded" in flags) if flags else _USUAL_FLAVOR
        shapes: List[Shape] = []
        for literal in literals:
            value = str(literal.value)
            if "extension" in flags and literal.form == "string" and value and value[0] != ".":
                value = "." + value
            try:
                shapes.append(_shape(literal.form, value, flavor, "path" in flags))
            except PatternError as error:
                self.fail(offset, error.reason, f"{_quoted(value)}: {error}")
        return TextSet(shapes, flavor.folded)

    def limit(self, offset: int, field: Field, literals: Iterable[Const], plain: bool) -> None:
        if "single" in field.flags and not plain:
            self.fail(offset, "value_limit", f"{field.name} is compared for equality with one literal only")
        for literal in literals:
            if "short" in field.flags and len(str(literal.value)) > _SHORT:
                self.fail(offset, "value_limit", f"{field.name} has at most {_SHORT} characters")

    # in, not in, allin

    def membership(self, node: syntax.Comparison) -> Typed:
        left = self.check(node.left)
        right = self.name(node.right, True) if isinstance(node.right, syntax.Name) else self.check(node.right)
        network = right.kind == "ip" and isinstance(right, Const)
        if isinstance(left, Constants) or not (is_array(right) or network):
            self.mismatch(node.right.offset,
                          f"{node.operator} needs a list on the right, this is {KIND_NAMES[right.kind]}")
        if left.kind.rstrip("[]") != right.kind.rstrip("[]"):
            self.refuse_pair(node, left, right)
        kind = left.kind.rstrip("[]")
        if kind == "ip":
            return AddressTest("bool", left, right, node.operator == "allin" and is_array(left))
        if kind == "string":
            return self.text_membership(node, left, right)
        if kind == "bool" and is_array(left):
            self.mismatch(node.offset, f"{node.operator} does not take a list of booleans; use ==")
        if isinstance(left, Const) and isinstance(right, Constants):
            return Const("bool", left.value in [member.value for member in right.members])
        return Membership("bool", left, right)

    def text_membership(self, node: syntax.Comparison, left: Typed, right: Typed) -> Typed:
        if isinstance(right, Constants):
            if isinstance(left, Read):
                self.limit(node.right.offset, left.field, right.members, False)
            literals = self.text_set(node.right.offset, left, right.members)
            if isinstance(left, Const):
                return Const("bool", literals.matcher()(str(left.value)))
            return TextTest("bool", left, literals)
        if isinstance(left, Const):
            if isinstance(right, Read):
                return self.text_test(node.left.offset, right, left)
            return TextTest("bool", right, self.text_set(node.left.offset, right, [left]))
        return Membership("bool", left, right)


_CHECKS: Dict[type, Callable[..., Typed]] = {
    syntax.Logical: Checker.junction, syntax.Comparison: Checker.comparison, syntax.Unary: Checker.unary,
    syntax.Binary: Checker.arithmetic, syntax.Array: Checker.constants, syntax.Name: Checker.name,
    syntax.Text: Checker.text_value, syntax.Number: Checker.number, syntax.Duration: Checker.duration,
    syntax.Address: Checker.address, syntax.Variable: Checker.reference, syntax.FieldRef: Checker.reference}


@functools.lru_cache(_SHAPES_AT_MOST)
def _shape(form: str, value: str, flavor: Flavor, path: bool) -> Shape:
    """The shape of a literal, which the next rule may have as well; raises PatternError."""
    if path:
        check_path(form, value)
    return shape_of(form, value, flavor)


def _constant(value: Union[int, bool]) -> Const:
    return Const("bool" if isinstance(value, bool) else "int", value)


def _int(const: Const) -> int:
    assert isinstance(const.value, int)
    return const.value


def _arithmetic(operator: str, left: Typed, right: Typed) -> Typed:
    if isinstance(left, Const) and isinstance(right, Const):
        return Const("int", _FOLDING[operator](_int(left), _int(right)))
    return Arithmetic("int", operator, left, right)


def _negation(item: Typed) -> Typed:
    if isinstance(item, Const):
        return Const("bool", not item.value)
    return item.item if isinstance(item, Negation) else Negation("bool", item)


def _junction(operator: str, items: List[Typed]) -> Typed:
    """Constant operands are folded."""
    decisive = operator == "or"
    kept = [item for item in items if not isinstance(item, Const)]
    if any(isinstance(item, Const) and item.value is decisive for item in items):
        return Const("bool", decisive)
    if not kept:
        return Const("bool", not decisive)
    return kept[0] if len(kept) == 1 else Junction("bool", operator, tuple(kept))


def _quoted(text: str) -> str:
    return '"' + (text if len(text) <= 60 else text[:57] + "...") + '"'
