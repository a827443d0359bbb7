"""What must hold for a rule to match of a file's path: told without the rule, so that the tracer can go by it.

The condition is derived from the typed tree and errs on one side only: whenever
the rule matches, the condition holds.
"""

from typing import Iterable, List, Optional, Sequence, Tuple

from ebpfless_arch.events.interest import PathNeed, either
from ebpfless_arch.rules.patterns import Shape, TextSet
from ebpfless_arch.rules.typed import Const, Junction, Read, TextTest, Typed

# What accesses in fields.py read of the file that an event is about.
_FILES = {"exec": "e.process.file"}
_USUAL_FILE = "e.file"
_NEVER = PathNeed()


def path_need(tree: Typed, event: str) -> Optional[PathNeed]:
    """What a rule on events of this type asks of the path of their file, None where it asks for nothing.

    The file is the one of records.path_of.
    """
    if isinstance(tree, Const):
        return None if tree.value else _NEVER
    if isinstance(tree, Junction):
        needs = [path_need(item, event) for item in tree.items]
        return either(needs) if tree.operator == "or" else strictest(needs)
    if isinstance(tree, TextTest) and isinstance(tree.subject, Read):
        return _text_need(tree.subject, tree.literals, _FILES.get(event, _USUAL_FILE))
    return None


def strictest(needs: Iterable[Optional[PathNeed]]) -> Optional[PathNeed]:
    """One of several conditions that hold together: that which fewest paths are likely to meet."""
    known = [need for need in needs if need is not None]
    return max(known, key=_strictness) if known else None


def _strictness(need: PathNeed) -> Tuple[bool, int]:
    parts = need.prefixes + need.suffixes + need.pieces
    return not parts, min(map(len, parts)) if parts else -len(need.exact)


def _text_need(subject: Read, literals: TextSet, file: str) -> Optional[PathNeed]:
    """That of one test of the file's path, name or extension."""
    field = subject.field
    if literals.folded or subject.register or "many" in field.flags or not field.access.startswith(file + "."):
        return None
    attribute = field.access[len(file) + 1:]
    if attribute not in ("path", "name", "extension"):
        return None
    needs: List[Optional[PathNeed]] = [_shape_need(shape, attribute) for shape in literals.shapes]
    return either(needs)


def _shape_need(shape: Shape, attribute: str) -> Optional[PathNeed]:
    """That of one literal. An attribute that is empty says nothing: what has no path has none in its record either,
    but may have a name there."""
    if not shape.text:
        return None
    try:
        if shape.kind == "equal":
            return _equal_need(shape.text.encode("utf-8", "surrogateescape"), attribute)
        pattern = shape.text + "*" if shape.kind == "prefix" else shape.text
        literals = pattern.encode("utf-8", "surrogateescape").split(b"*")
    except UnicodeEncodeError:
        return _NEVER  # half of a character, which no text out of the kernel holds
    if attribute != "path":
        literals[:1] = [b"", (b"/" if attribute == "name" else b"") + literals[0]]
    return _pattern_need(literals) if len(literals) > 1 else None


def _equal_need(text: bytes, attribute: str) -> PathNeed:
    if attribute == "path":
        return PathNeed(exact=frozenset([text]))
    return PathNeed(suffixes=(b"/" + text if attribute == "name" else text,))


def _pattern_need(literals: Sequence[bytes]) -> Optional[PathNeed]:
    """The longest one of the texts between stars: before the first, behind the last, or anywhere."""
    head, tail = literals[0], literals[-1]
    piece = max(literals[1:-1] or [b""], key=len)
    if len(max(head, tail, piece, key=len)) < 2:
        return None
    if len(head) >= len(tail) and len(head) >= len(piece):
        return PathNeed(prefixes=(head,))
    return PathNeed(suffixes=(tail,)) if len(tail) >= len(piece) else PathNeed(pieces=(piece,))
