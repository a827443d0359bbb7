"""Checks of how an expression is grouped: precedence differs from other languages."""

from typing import Iterator

from ebpfless_arch.rules.linted import Finding, Linted, short
from ebpfless_arch.rules.tree import Binary, Comparison, Logical, Unary

_BITS = ("&", "|", "^")
_READING = 400


def mixed_connectives(linted: Linted) -> Iterator[Finding]:
    """`&&` and `||` share one level and group to the right.

    warns: exec.uid == 0 && exec.gid == 0 || exec.pid == 1
    warns: exec.uid == 0 || exec.gid == 0 && exec.pid == 1
    silent: exec.uid == 0 && (exec.gid == 0 || exec.pid == 1)
    """
    for node, above in linted.nodes:
        if not isinstance(node, Logical):
            continue
        # The head of a level tells the whole grouping.
        if isinstance(above, Logical) and linted.on_one_level(node, above) and above.right is node:
            continue
        rest = node
        while isinstance(rest.right, Logical) and linted.on_one_level(rest, rest.right):
            if rest.right.operator != rest.operator:
                yield Finding(rest.right.offset, "&& and || have one precedence and group to the right; this is read "
                                                 "as " + short(linted.reading(node), _READING))
                break
            rest = rest.right


def chained_comparisons(linted: Linted) -> Iterator[Finding]:
    """A comparison of a comparison groups to the right.

    warns: exec.is_thread == exec.args_truncated == exec.envs_truncated
    silent: exec.is_thread == (exec.args_truncated == exec.envs_truncated)
    """
    for node, _ in linted.nodes:
        if isinstance(node, Comparison) and isinstance(node.right, Comparison):
            if linted.on_one_level(node, node.right):
                yield Finding(node.right.offset, "comparisons group to the right; this is read as "
                              + short(linted.reading(node), _READING))


def tight_not(linted: Linted) -> Iterator[Finding]:
    """`not` and `!` belong to the operand and not to the comparison.

    warns: not exec.is_thread == exec.args_truncated
    silent: (not exec.is_thread) == exec.args_truncated
    silent: not (exec.is_thread == exec.args_truncated)
    """
    for node, _ in linted.nodes:
        if isinstance(node, Comparison) and isinstance(node.left, Unary) and node.left.operator == "not":
            if linted.on_one_level(node, node.left):
                yield Finding(node.left.offset, "not binds tighter than a comparison; this is read as "
                              + short(linted.reading(node), _READING))


def mixed_bits(linted: Linted) -> Iterator[Finding]:
    """`&`, `|` and `^` share one level and group to the right.

    warns: open.flags & O_CREAT | O_TRUNC > 0
    silent: open.flags & (O_CREAT | O_TRUNC) > 0
    """
    for node, _ in linted.nodes:
        if isinstance(node, Binary) and isinstance(node.right, Binary) and linted.on_one_level(node, node.right):
            if node.operator in _BITS and node.right.operator in _BITS and node.right.operator != node.operator:
                yield Finding(node.right.offset, "&, | and ^ have one precedence and group to the right; this is read "
                                                 "as " + short(linted.reading(node), _READING))


def bits_in_sums(linted: Linted) -> Iterator[Finding]:
    """`&`, `|` and `^` bind tighter than `+` and `-`.

    warns: exec.gid + 3 & 2 == 2
    silent: exec.gid + (3 & 2) == 2
    """
    for node, _ in linted.nodes:
        if isinstance(node, Binary) and node.operator not in _BITS:
            for part in (node.left, node.right):
                if isinstance(part, Binary) and part.operator in _BITS and linted.on_one_level(node, part):
                    yield Finding(part.offset, f"{part.operator} binds tighter than {node.operator}; this is read as "
                                  + short(linted.reading(node), _READING))
