"""What the type checker hands to the code generator: expressions with types.

Kinds are bool, int, string and ip, with [] for arrays. Whoever wants to know
what a rule needs (events, fields, literals on paths) walks this tree.
"""

from typing import TYPE_CHECKING, Callable, Dict, FrozenSet, List, Optional, Tuple, Union

from ebpfless_arch.named import NamedTuple

if TYPE_CHECKING:
    from ebpfless_arch.rules.fields import Field
    from ebpfless_arch.rules.patterns import TextSet

Test = Callable[[object], bool]


class Const(NamedTuple):
    """A value known at compile time; form is string, pattern, regexp, duration or ""."""

    kind: str
    value: object
    form: str = ""


class Constants(NamedTuple):
    """A literal list; `kind` is that of the members with []."""

    kind: str
    members: Tuple[Const, ...]


class Read(NamedTuple):
    """A field; `register` is set for one record of an iterable, `nth` for one element of an array (-1: all)."""

    kind: str
    field: "Field"
    register: str = ""
    nth: int = -1


class VariableRead(NamedTuple):
    """A variable; with `length` the number of its bytes or elements."""

    kind: str
    name: str
    of: str
    length: bool = False


class Joined(NamedTuple):
    """A text with values in it."""

    kind: str
    parts: Tuple["Typed", ...]


class Arithmetic(NamedTuple):
    """+ - & | ^ on ints; prefix - and ^ have 0 and -1 on the left."""

    kind: str
    operator: str
    left: "Typed"
    right: "Typed"


class Junction(NamedTuple):
    """A run of one connective, "and" or "or"."""

    kind: str
    operator: str
    items: Tuple["Typed", ...]


class Negation(NamedTuple):
    """not."""

    kind: str
    item: "Typed"


class Relation(NamedTuple):
    """left OPERATOR right, with == < <= > >=; a left array holds when one element does.

    With `age` the left side is the event's time minus the value.
    """

    kind: str
    operator: str
    left: "Typed"
    right: "Typed"
    age: bool = False


class TextTest(NamedTuple):
    """A text, or some element of an array of texts, is in a set of literals."""

    kind: str
    subject: "Typed"
    literals: "TextSet"


class Membership(NamedTuple):
    """Some element of `left` (or left itself) is an element of the array `right`; ints, texts and bools."""

    kind: str
    left: "Typed"
    right: "Typed"


class AddressTest(NamedTuple):
    """Some element of `left` overlaps some of `right`; with `every`, all of left overlap all of right."""

    kind: str
    left: "Typed"
    right: "Typed"
    every: bool = False


Typed = Union[Const, Constants, Read, VariableRead, Joined, Arithmetic, Junction, Negation, Relation, TextTest,
              Membership, AddressTest]


class Checked(NamedTuple):
    """A rule that has passed the type checker.

    iterable and register are "" without a register. `unavailable` holds the
    reasons for which it cannot run, none when it can.
    """

    tree: Typed
    event_type: str
    fields: FrozenSet[str]
    register: str
    iterable: str
    unavailable: Tuple[str, ...]


class Compiled(NamedTuple):
    """A rule that can run: `test` takes an event.

    When `checked.unavailable` has reasons, `test` is constantly false.
    """

    test: Test
    checked: Checked


def is_array(node: Typed) -> bool:
    """True for a literal list, an array field and a list variable."""
    return node.kind.endswith("[]")


def is_many(node: Typed) -> bool:
    """True when a test of the node looks at several values: an array, or a text with several spellings."""
    return is_array(node) or (isinstance(node, Read) and "many" in node.field.flags)


def children(node: Typed) -> List[Typed]:
    """The expressions directly below a node."""
    below = _CHILDREN.get(type(node))
    return below(node) if below is not None else []


_Below = Callable[..., List["Typed"]]
_SIDES: _Below = lambda node: [node.left, node.right]
_CHILDREN: Dict[type, _Below] = {
    Junction: lambda node: list(node.items), Joined: lambda node: list(node.parts), Negation: lambda node: [node.item],
    TextTest: lambda node: [node.subject], Arithmetic: _SIDES, Relation: _SIDES, Membership: _SIDES, AddressTest: _SIDES}


def depth_of(tree: Typed) -> int:
    """Number of levels of an expression."""
    deepest = 0
    waiting = [(tree, 1)]
    while waiting:
        node, depth = waiting.pop()
        deepest = max(deepest, depth)
        waiting += [(child, depth + 1) for child in children(node)]
    return deepest


class Variables:
    """The variables that a rule may read: names and types when compiling, values when running.

    Kinds are those of fields. `definitions` gives each name its kind and its
    default; this class reads nothing but defaults. A store of values overrides
    `read`, which must return a value of the declared kind (a collection for an
    array, texts for addresses) and never raise.
    """

    def __init__(self, definitions: Optional[Dict[str, Tuple[str, object]]] = None) -> None:
        self.definitions = dict(definitions or {})

    def kind(self, name: str) -> str:
        """The kind of a variable, "" for an unknown name."""
        return self.definitions[name][0] if name in self.definitions else ""

    def read(self, name: str, event: object) -> object:
        """The value for the process, container or cgroup of `event`."""
        return self.definitions[name][1]
