"""`fim.write.file.*`: one rule about any change of a file becomes a rule for each event that changes one."""

from typing import List, Tuple

from ebpfless_arch.rules import grammar
from ebpfless_arch.rules.grammar import Array, Binary, Comparison, FieldRef, Logical, Name, Node, Unary

FIM_PREFIX = "fim.write.file."

# Name of the copy and what stands for the prefix in it.
_COPIES = (
    ("open", "open.file."), ("chmod", "chmod.file."), ("chown", "chown.file."), ("link", "link.file."),
    ("rename", "rename.file."), ("rename_destination", "rename.file.destination."), ("unlink", "unlink.file."),
    ("utimes", "utimes.file."))
_WRITING = "open.flags & (O_CREAT|O_TRUNC|O_APPEND|O_RDWR|O_WRONLY) > 0"


def expand_fim(text: str) -> List[Tuple[str, Node]]:
    """The copies of a rule: their names and trees. Raises SeclError."""
    tree = grammar.parse_rule(text)
    found = []
    for name, prefix in _COPIES:
        copy = _renamed(tree, prefix)
        if name == "open":
            copy = Logical(0, "and", _at_start(grammar.parse_rule(_WRITING)), copy)
        found.append((name, copy))
    return found


def _renamed(node: Node, prefix: str) -> Node:
    """The tree with the prefix replaced."""
    if isinstance(node, Name):
        return node._replace(text=_replaced(node.text, prefix))
    if isinstance(node, FieldRef):
        return node._replace(name=_replaced(node.name, prefix))
    if isinstance(node, Unary):
        return node._replace(operand=_renamed(node.operand, prefix))
    if isinstance(node, Array):
        return node
    if isinstance(node, (Binary, Comparison, Logical)):
        return node._replace(left=_renamed(node.left, prefix), right=_renamed(node.right, prefix))
    return node


def _replaced(name: str, prefix: str) -> str:
    return prefix + name[len(FIM_PREFIX):] if name.startswith(FIM_PREFIX) else name


def _at_start(node: Node) -> Node:
    """The tree with every position 0: it is not part of the rule's text."""
    if isinstance(node, (Binary, Comparison, Logical)):
        return node._replace(offset=0, left=_at_start(node.left), right=_at_start(node.right))
    return node._replace(offset=0)
