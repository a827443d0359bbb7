"""The syntax tree of SECL. Every node knows its offset in the text; `render` writes a tree as text again."""

from typing import Tuple, Union

from ebpfless_arch.named import NamedTuple


class Name(NamedTuple):
    """An identifier as written: constant, macro or field, perhaps with [REGISTER]."""

    offset: int
    text: str


class Text(NamedTuple):
    """A quoted literal without quotes, not unescaped; kind is string, pattern or regexp."""

    offset: int
    kind: str
    value: str


class Number(NamedTuple):
    """An integer literal."""

    offset: int
    value: int


class Duration(NamedTuple):
    """A duration literal; value in nanoseconds, spelling as written."""

    offset: int
    value: int
    spelling: str


class Address(NamedTuple):
    """An address or a network in prefix form, not validated yet."""

    offset: int
    text: str


class Variable(NamedTuple):
    """${name}."""

    offset: int
    name: str


class FieldRef(NamedTuple):
    """%{name}: a field where a value is wanted."""

    offset: int
    name: str


class Array(NamedTuple):
    """A literal list."""

    offset: int
    members: Tuple["Node", ...]


class Unary(NamedTuple):
    """Prefix operator: "not" (also written !), "-" or "^"."""

    offset: int
    operator: str
    operand: "Node"


class Binary(NamedTuple):
    """Arithmetic: + - & | ^."""

    offset: int
    operator: str
    left: "Node"
    right: "Node"


class Comparison(NamedTuple):
    """== != < <= > >= =~ !~ in, "not in", allin; `offset` is that of the operator."""

    offset: int
    operator: str
    left: "Node"
    right: "Node"


class Logical(NamedTuple):
    """and, or."""

    offset: int
    operator: str
    left: "Node"
    right: "Node"


Node = Union[Name, Text, Number, Duration, Address, Variable, FieldRef, Array, Unary, Binary, Comparison, Logical]

_QUOTES = {"string": '"', "pattern": '~"', "regexp": 'r"'}


def render(node: Node) -> str:
    """Text that parses to the same tree (positions apart)."""
    if isinstance(node, Text):
        return _QUOTES[node.kind] + node.value + '"'
    if isinstance(node, (Name, Address)):
        return node.text
    if isinstance(node, Number):
        return str(node.value)
    if isinstance(node, Duration):
        return node.spelling
    if isinstance(node, Variable):
        return "${" + node.name + "}"
    if isinstance(node, FieldRef):
        return "%{" + node.name + "}"
    if isinstance(node, Array):
        return "[ " + ", ".join(render(member) for member in node.members) + " ]"
    if isinstance(node, Unary):
        return f"{node.operator} {_operand(node.operand)}"
    return f"{_operand(node.left)} {node.operator} {_operand(node.right)}"


def _operand(node: Node) -> str:
    text = render(node)
    return f"({text})" if isinstance(node, (Unary, Binary, Comparison, Logical)) else text
