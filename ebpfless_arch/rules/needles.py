"""Texts of which one occurs wherever a regular expression matches: whether one does is known long before the expression
has been walked through a command line."""

from typing import Iterator, List, Tuple

from ebpfless_arch.rules.regex_text import Item

Needles = Tuple[str, ...]
_AT_MOST = 64
_NONE: Needles = ()


def needles(item: Item) -> Needles:
    """One of these is part of each text that matches; without any, nothing is known."""
    if item.kind == "cat":
        return _best(list(_of_parts(item)))
    if item.kind == "alt":
        return _union([needles(part) for part in item.items])
    if item.kind == "repeat":
        return needles(item.items[0]) if item.least else _NONE
    return (_literal(item),) if _literal(item) else _NONE


def _of_parts(item: Item) -> Iterator[Needles]:
    """The needles of each part of a sequence, characters that follow upon each other together."""
    run = ""
    for part in _flat(item):
        if part.kind in ("assert", "empty"):
            continue  # they take no characters
        literal = _literal(part)
        if not literal:
            yield (run,)
            yield needles(part)
        run = run + literal if literal else ""
    yield (run,)


def _flat(item: Item) -> Iterator[Item]:
    for part in item.items:
        if part.kind == "cat":
            yield from _flat(part)
        else:
            yield part


def _literal(item: Item) -> str:
    """The one character that an item stands for, "" if it may be another."""
    chars = item.chars
    if item.kind != "chars" or chars.folded or chars.negated or chars.categories or len(chars.ranges) != 1:
        return ""
    low, high = chars.ranges[0]
    return chr(low) if low == high else ""


def _union(branches: List[Needles]) -> Needles:
    found = tuple(sorted({needle for branch in branches for needle in branch}))
    return found if all(branches) and len(found) <= _AT_MOST else _NONE


def _best(choices: List[Needles]) -> Needles:
    """Those that are seldom found by chance: the longest, then the fewest."""
    known = [choice for choice in choices if choice and all(choice)]
    return max(known, key=lambda choice: (min(map(len, choice)), -len(choice)), default=_NONE)
