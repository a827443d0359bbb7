"""An expression as the checks of lint.py see it: tree, parentheses, types, and its text once more as it is read."""

from typing import Dict, Iterator, List, Mapping, Optional, Tuple

from ebpfless_arch.named import NamedTuple
from ebpfless_arch.rules.check import Checker
from ebpfless_arch.rules.fields import Field, FieldTable
from ebpfless_arch.rules.grammar import SeclError, Token, tokens
from ebpfless_arch.rules.names import Macro
from ebpfless_arch.rules.tree import Array, Binary, Comparison, Logical, Name, Node, Text, Unary, render
from ebpfless_arch.rules.typed import Const, Constants, Read, Typed, Variables

_SHORT = 48
_LONG_RUN = 4


class Finding(NamedTuple):
    """What a check noticed, and where: `message` is one sentence that ends in the reading where there is one."""

    offset: int
    message: str


class Scope(NamedTuple):
    """What an expression may name; `fim` is what the prefix of the pseudo event stands for."""

    table: FieldTable
    macros: Mapping[str, Macro]
    variables: Variables
    fim: str = ""


class Compared(NamedTuple):
    """A comparison with the types of its sides, None where one could not be told."""

    node: Comparison
    left: Optional[Typed]
    right: Optional[Typed]


class Tested(NamedTuple):
    """A text literal that `subject` is held against.

    form: string, pattern or regexp, as it takes effect. listed: it is member of
    a list. own: it stands in this expression and not in a macro.
    """

    subject: Typed
    operator: str
    form: str
    value: str
    offset: int
    listed: bool
    own: bool


class Linted:
    """One rule, filter or macro that has passed the type checker.

    `nodes` are all parts of the tree with what stands above each, from the top.
    """

    def __init__(self, text: str, tree: Node, scope: Scope) -> None:
        self.text = text
        self.tree = tree
        self.scope = scope
        self.nodes = list(_walk(tree))
        self._tokens: Dict[int, Token] = {}
        self._depths: Dict[int, int] = {}
        self._types: Dict[int, Optional[Typed]] = {}
        depth = 0
        for token in tokens(text) if text else []:
            depth -= token.kind == ")"
            self._tokens[token.offset] = token
            self._depths[token.offset] = depth
            depth += token.kind == "("
        self.comparisons = [
            Compared(node, self.typed(node.left), self.typed(node.right, node.operator in ("in", "not in", "allin")))
            for node, _ in self.nodes if isinstance(node, Comparison)]

    def on_one_level(self, one: Node, other: Node) -> bool:
        """Whether no parenthesis separates two operators, one of which is the other's operand."""
        return self._depths.get(one.offset) == self._depths.get(other.offset)

    def spelling(self, offset: int) -> str:
        """The token that stands at a place, "" where none begins."""
        token = self._tokens.get(offset)
        return token.text if token is not None else ""

    def typed(self, node: Node, in_list: bool = False) -> Optional[Typed]:
        """The checked form of a part, None where it has none of its own."""
        if id(node) not in self._types:
            checker = Checker(self.text, *self.scope)
            try:
                self._types[id(node)] = (checker.name(node, True) if in_list and isinstance(node, Name)
                                         else checker.check(node))
            except SeclError:
                self._types[id(node)] = None
        return self._types[id(node)]

    def tested(self) -> Iterator[Tested]:
        """Every text literal that something is compared with."""
        for node, left, right in self.comparisons:
            if left is None or right is None:
                continue
            if isinstance(right, Constants):
                for number, member in enumerate(right.members):
                    own = isinstance(node.right, Array)
                    offset = node.right.members[number].offset if isinstance(node.right, Array) else node.right.offset
                    if member.kind == "string":
                        yield Tested(left, node.operator, member.form, str(member.value), offset, True, own)
                continue
            subject, literal, at = (left, right, node.right) if isinstance(right, Const) else (right, left, node.left)
            if isinstance(literal, Const) and literal.kind == "string":
                form = "pattern" if node.operator in ("=~", "!~") and literal.form == "string" else literal.form
                yield Tested(subject, node.operator, form, str(literal.value), at.offset, False, isinstance(at, Text))

    def registers(self, node: Node) -> List[str]:
        """The names with a register that occur in a part, as written."""
        return [part.text for part, _ in _walk(node) if isinstance(part, Name) and "[" in part.text
                and not part.text.rstrip("]").rpartition("[")[2].isdigit()]

    def reading(self, node: Node) -> str:
        """The part as it is grouped, parentheses where its author might have expected others, long parts shortened."""
        if isinstance(node, Logical):
            return self._run(node)
        if isinstance(node, Unary):
            sign = "not " if self.spelling(node.offset) == "not" else node.operator.replace("not", "!")
            return sign + self._inner(node.operand)
        if isinstance(node, (Binary, Comparison)):
            return f"{self._inner(node.left)} {node.operator} {self._inner(node.right)}"
        return short(render(node), _SHORT)

    def _inner(self, node: Node) -> str:
        text = self.reading(node)
        return f"({text})" if isinstance(node, (Unary, Binary, Comparison, Logical)) else text

    def _run(self, node: Logical) -> str:
        """Operands of one connective; a long run shows its ends."""
        operands = []
        rest: Node = node
        while isinstance(rest, Logical) and rest.operator == node.operator:
            operands.append(rest.left)
            rest = rest.right
        operands.append(rest)
        shown = [f"({self.reading(part)})" if isinstance(part, Logical) else self.reading(part)
                 for part in (operands if len(operands) <= _LONG_RUN else [operands[0]] + operands[-2:])]
        if len(operands) > _LONG_RUN:
            shown.insert(1, "...")
        written = self.spelling(node.offset)
        return f" {written * 2 if written in ('&', '|') else node.operator} ".join(shown)


def short(text: str, limit: int = _SHORT) -> str:
    """The text on one line, its middle left out when it is long."""
    text = text.replace("\n", " ")
    half = limit // 2 - 2
    return text if len(text) <= limit else f"{text[:half]} ... {text[-half:]}"


def quoted(tested: Tested) -> str:
    """A literal as it is written where it takes this effect."""
    return {"string": "", "pattern": "~", "regexp": "r"}[tested.form] + f'"{short(tested.value)}"'


def field_of(node: Optional[Typed]) -> Optional[Field]:
    """The field that is read as it is, None for all else."""
    return node.field if isinstance(node, Read) else None


def name_of(node: Optional[Typed]) -> str:
    """The name of the field that is read as it is, "" for all else."""
    return node.field.name if isinstance(node, Read) else ""


def _walk(tree: Node) -> Iterator[Tuple[Node, Optional[Node]]]:
    """All parts of a tree and what stands above each; without recursion, for runs of connectives are long."""
    waiting: List[Tuple[Node, Optional[Node]]] = [(tree, None)]
    while waiting:
        node, above = waiting.pop()
        yield node, above
        below: Tuple[Node, ...] = ()
        if isinstance(node, Unary):
            below = (node.operand,)
        elif isinstance(node, (Binary, Comparison, Logical)):
            below = (node.left, node.right)
        elif isinstance(node, Array):
            below = node.members
        waiting += [(part, node) for part in reversed(below)]
