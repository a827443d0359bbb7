"""`fim.write.file.*`: one rule about any change of a file becomes a rule for each event that changes one."""

from typing import List

from ebpfless_arch.named import NamedTuple
from ebpfless_arch.rules.grammar import parse_rule
from ebpfless_arch.rules.tree import Binary, Comparison, FieldRef, Logical, Name, Node, Unary

FIM_PREFIX = "fim.write.file."

# Name of the copy and what stands for the prefix in it.
_COPIES = (
    ("open", "open.file."), ("chmod", "chmod.file."), ("chown", "chown.file."), ("link", "link.file."),
    ("rename", "rename.file."), ("rename_destination", "rename.file.destination."), ("unlink", "unlink.file."),
    ("utimes", "utimes.file."))
_WRITING = "open.flags & (O_CREAT|O_TRUNC|O_APPEND|O_RDWR|O_WRONLY) > 0"


class Copy(NamedTuple):
    """A rule for one event: `prefix` is what FIM_PREFIX means in `tree`."""

    name: str
    prefix: str
    tree: Node


def expand_fim(tree: Node) -> List[Copy]:
    """The copies of a rule; the one for open asks for a flag that writes."""
    found = []
    for name, prefix in _COPIES:
        writing = name == "open"
        found.append(Copy(name, prefix, Logical(0, "and", _at_start(parse_rule(_WRITING)), tree) if writing else tree))
    return found


def uses_fim(node: Node) -> bool:
    """Whether a field of the pseudo event occurs."""
    waiting = [node]
    while waiting:
        part = waiting.pop()
        if isinstance(part, (Name, FieldRef)):
            if (part.text if isinstance(part, Name) else part.name).startswith(FIM_PREFIX):
                return True
        elif isinstance(part, Unary):
            waiting.append(part.operand)
        elif isinstance(part, (Binary, Comparison, Logical)):
            waiting += [part.left, part.right]
    return False


def _at_start(node: Node) -> Node:
    """The tree with every position 0: it is not part of the rule's text."""
    if isinstance(node, (Binary, Comparison, Logical)):
        return node._replace(offset=0, left=_at_start(node.left), right=_at_start(node.right))
    return node._replace(offset=0)
