"""Patterns, path globs and lists of texts as fast functions of one text.

A star is matched at the leftmost place and never tried elsewhere, as the
published engine does: `*ab` does not match "abab". So the cost of a match is
linear in the subject, whatever the pattern; regular expressions are linear too
(see regex.py). Nothing here can hang.

Every matcher has a `Shape`, which says what the pattern amounts to, so that
the many prefixes, suffixes and equal texts of a list become one look-up.
"""

from typing import Any, Callable, Dict, FrozenSet, Iterable, List, Optional, Tuple

from ebpfless_arch.named import NamedTuple

Matcher = Callable[[str], bool]
Literal = Tuple[str, str, bool]

# Linux: NAME_MAX; the number of segments is the published engine's.
_MAX_SEGMENT = 255
_MAX_SEGMENTS = 1363


class PatternError(ValueError):
    """A literal that cannot be used; `reason` is bad_pattern, bad_regex or bad_path."""

    def __init__(self, reason: str, message: str) -> None:
        ValueError.__init__(self, message)
        self.reason = reason


class Flavor(NamedTuple):
    """How a field wants its literals: as path globs, or without regard to case."""

    glob: bool = False
    folded: bool = False


class Shape(NamedTuple):
    """What a literal tests: kind is equal, prefix or call; `test` is set for call, and `text` is its pattern, "" for
    a regular expression. `literal` is the literal itself: its kind, its text, and whether it is a path glob."""

    kind: str
    text: str
    test: Optional[Matcher] = None
    literal: Literal = ("string", "", False)


def shape_of(kind: str, text: str, flavor: Flavor) -> Shape:
    """The shape of a literal of kind string, pattern or regexp; raises PatternError."""
    shape = _shape_of(kind, text, flavor)
    return Shape(shape.kind, shape.text, shape.test, (kind, text, flavor.glob))


def _shape_of(kind: str, text: str, flavor: Flavor) -> Shape:
    if kind == "regexp":
        return Shape("call", "", _regex(text, flavor.folded))
    if flavor.folded:
        text = text.lower()
    if kind == "string":
        return Shape("equal", text)
    return glob_shape(text) if flavor.glob else star_shape(text)


def _regex(text: str, folded: bool) -> Matcher:
    from ebpfless_arch.rules.regex import Regex  # of all patterns few are such, and it is heavy
    from ebpfless_arch.rules.regex_text import RegexError

    try:
        return Regex(text, folded).search
    except RegexError as error:
        raise PatternError("bad_regex", str(error))


def star_shape(pattern: str) -> Shape:
    """A pattern whose star crosses everything; `**` is refused."""
    if "**" in pattern:
        raise PatternError("bad_pattern", "** is for file paths only; use a single *")
    return _star_shape(pattern)


def _star_shape(pattern: str) -> Shape:
    if "*" not in pattern:
        return Shape("equal", pattern)
    pieces = pattern.split("*")
    if len(pieces) == 2 and not pieces[1]:
        return Shape("prefix", pieces[0])
    return Shape("call", pattern, _stars(pieces))


def _stars(pieces: List[str]) -> Matcher:
    """The leftmost matcher for the texts between stars."""
    head, tail = pieces[0], pieces[-1]
    middle = [piece for piece in pieces[1:-1] if piece]
    if not head and not tail and len(middle) == 1:
        only = middle[0]
        return lambda text: only in text

    def matches(text: str) -> bool:
        if not text.startswith(head):
            return False
        at = len(head)
        for piece in middle:
            at = text.find(piece, at)
            if at < 0:
                return False
            at += len(piece)
        return not tail or 0 <= text.find(tail, at) == len(text) - len(tail)

    return matches


def glob_shape(pattern: str) -> Shape:
    """A pattern on a path: `*` stays in its segment, `**` stands for segments."""
    segments = pattern.split("/")
    if segments.count("**") > 1:
        raise PatternError("bad_pattern", "at most one ** in a path")
    if segments[0] == "*":
        segments.insert(0, "")
    if "**" in segments:
        return _deep_shape(segments, segments.index("**"))
    if "*" not in pattern:
        return Shape("equal", pattern) if pattern else Shape("call", "", _never)
    if pattern.endswith("/*") and "*" not in pattern[:-1]:
        return Shape("call", pattern, _children(pattern[:-1]))
    return Shape("call", pattern, _segments(segments, [], False))


def _never(text: str) -> bool:
    return False


def _children(directory: str) -> Matcher:
    size = len(directory)
    return lambda text: text.startswith(directory) and text.find("/", size) < 0


def _deep_shape(segments: List[str], at: int) -> Shape:
    head, tail = segments[:at], segments[at + 1:]
    if head and not tail and "*" not in "".join(head):
        return Shape("prefix", "/".join(head) + "/")
    test = _segments(head, tail, True)
    if head == [""] and "*" not in "".join(tail):
        ending = "/" + "/".join(tail)
        return Shape("call", "**" + ending, lambda text: text.startswith("/") and text.endswith(ending))
    return Shape("call", "/".join(segments), test)


def _segments(head: List[str], tail: List[str], deep: bool) -> Matcher:
    """Compares segment by segment; with `deep`, any segments lie between head and tail."""
    first = [_segment(piece) for piece in head]
    last = [_segment(piece) for piece in tail]
    # A closing ** wants the slash before it: `/t/**` does not match `/t`.
    least = len(head) + len(tail) + (deep and not tail)
    # Most paths are refused by the text before the first star.
    start = "/".join(head + [""] if deep and head else head).partition("*")[0]

    def matches(text: str) -> bool:
        if not text.startswith(start):
            return False
        pieces = text.split("/")
        if not text or len(pieces) < least or (not deep and len(pieces) > least):
            return False
        return (all(test(piece) for test, piece in zip(first, pieces))
                and all(test(piece) for test, piece in zip(last, pieces[len(pieces) - len(last):])))

    return matches


def _segment(pattern: str) -> Matcher:
    shape = _star_shape(pattern)
    return shape.test or (_prefix(shape.text) if shape.kind == "prefix" else _equal(shape.text))


def _prefix(head: str) -> Matcher:
    return lambda text: text.startswith(head)


def _equal(whole: str) -> Matcher:
    return lambda text: text == whole


class TextSet:
    """A list of literals as one test; `literals` holds the equal texts, `shapes` all of them."""

    def __init__(self, shapes: Iterable[Shape], folded: bool) -> None:
        kept = self.shapes = tuple(shapes)
        self.literals: FrozenSet[str] = frozenset(shape.text for shape in kept if shape.kind == "equal")
        self.prefixes: Tuple[str, ...] = tuple(shape.text for shape in kept if shape.kind == "prefix")
        self.tests: List[Matcher] = [shape.test for shape in kept if shape.test]
        self.folded = folded

    @property
    def plain(self) -> bool:
        """True when membership in `literals` is the whole test."""
        return not self.prefixes and not self.tests and not self.folded

    def matcher(self) -> Matcher:
        """The test as a function."""
        test = self._matcher()
        return (lambda text: test(text.lower())) if self.folded else test

    def _matcher(self) -> Matcher:
        literals, prefixes, tests = self.literals, self.prefixes, self.tests
        if not literals and not prefixes and len(tests) == 1:
            return tests[0]
        if not literals and not tests:
            return lambda text: text.startswith(prefixes)
        if not prefixes and not tests:
            return literals.__contains__

        def matches(text: str) -> bool:
            if text in literals or (prefixes and text.startswith(prefixes)):
                return True
            for test in tests:
                if test(text):
                    return True
            return False

        return matches


def later(names: Dict[str, Any], name: str, literals: Iterable[Literal], folded: bool = False) -> Matcher:
    """The test of a list of literals, which is made when it is first asked, and then takes its place among the names of
    whoever asks."""
    made: List[Matcher] = []

    def matches(text: str) -> bool:
        if not made:  # who has got hold of this function already asks it again
            shapes = [shape_of(kind, literal, Flavor(glob, folded)) for kind, literal, glob in literals]
            made.append(TextSet(shapes, folded).matcher())
            names[name] = made[0]
        return made[0](text)

    return matches


def check_path(kind: str, text: str) -> None:
    """Refuses a literal that no path can equal; raises PatternError.

    The check is for fields whose name ends in .path.
    """
    if kind == "regexp":
        raise PatternError("bad_path", "regular expressions are not allowed on paths; use a glob such as ~\"/etc/**\"")
    fault = _path_fault(text)
    if fault:
        raise PatternError("bad_path", f"{fault}; a path is absolute and in clean form")


def _path_fault(text: str) -> str:
    if not text:
        return ""
    if text == "*":
        return "a lone * is no path"
    if text.startswith("~"):
        return "~ is not expanded"
    if text[0] not in "/*":
        return "the path is relative"
    segments = text.split("/")
    if len(text) > 1 and not segments[-1]:
        return "the path ends in /"
    if "" in segments[1:-1]:
        return "the path has an empty segment"
    if "." in segments or ".." in segments:
        return "the path has a . or .. segment"
    if len(segments) - 1 > _MAX_SEGMENTS:
        return f"the path has more than {_MAX_SEGMENTS} segments"
    if len(text) > _MAX_SEGMENT // 4 and any(len(segment.encode("utf-8", "surrogateescape")) > _MAX_SEGMENT for segment in segments):
        return f"a segment is longer than {_MAX_SEGMENT} bytes"
    return ""
