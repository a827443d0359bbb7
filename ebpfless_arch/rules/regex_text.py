"""Regular expressions of SECL as they are written: RE2 in Go syntax, read into a tree."""

import unicodedata
from typing import Dict, List, NoReturn, Optional, Tuple

from ebpfless_arch.named import NamedTuple

MAX_REPEAT = 1000
MAX_NESTING = 50


class RegexError(ValueError):
    """The text is no regular expression of RE2, or too large; the message says why."""


Ranges = Tuple[Tuple[int, int], ...]


class Chars(NamedTuple):
    """A set of characters: ranges of code points and Unicode categories, perhaps the complement."""

    ranges: Ranges
    categories: Tuple[Tuple[str, bool], ...] = ()
    negated: bool = False
    folded: bool = False

    def holds(self, char: str) -> bool:
        """True when the character is in the set."""
        found = self._plain(char)
        if not found and self.folded:
            found = self._plain(char.lower()[:1]) or self._plain(char.upper()[:1])
        return found != self.negated

    def _plain(self, char: str) -> bool:
        code = ord(char)
        if any(low <= code <= high for low, high in self.ranges):
            return True
        return any(_in_category(char, name) != negated for name, negated in self.categories)


def _in_category(char: str, name: str) -> bool:
    return name == "Any" or unicodedata.category(char).startswith(name)


_DIGIT: Ranges = ((48, 57),)
_WORD: Ranges = ((48, 57), (65, 90), (95, 95), (97, 122))
_SPACE: Ranges = ((9, 10), (12, 13), (32, 32))
_PERL = {"d": _DIGIT, "w": _WORD, "s": _SPACE}
_POSIX: Dict[str, Ranges] = {
    "alnum": ((48, 57), (65, 90), (97, 122)), "alpha": ((65, 90), (97, 122)), "ascii": ((0, 127),),
    "blank": ((9, 9), (32, 32)), "cntrl": ((0, 31), (127, 127)), "digit": _DIGIT, "graph": ((33, 126),),
    "lower": ((97, 122),), "print": ((32, 126),), "punct": ((33, 47), (58, 64), (91, 96), (123, 126)),
    "space": ((9, 13), (32, 32)), "upper": ((65, 90),), "word": _WORD, "xdigit": ((48, 57), (65, 70), (97, 102)),
}
_CATEGORIES = frozenset(
    "Any C Cc Cf Co Cs L Ll Lm Lo Lt Lu M Mc Me Mn N Nd Nl No P Pc Pd Pe Pf Pi Po Ps S Sc Sk Sm So Z Zl Zp Zs".split())
_CONTROLS = {"a": 7, "f": 12, "t": 9, "n": 10, "r": 13, "v": 11}
_LAST = 0x10FFFF


def _complement(ranges: Ranges) -> Ranges:
    found = []
    start = 0
    for low, high in sorted(ranges):
        if low > start:
            found.append((start, low - 1))
        start = max(start, high + 1)
    if start <= _LAST:
        found.append((start, _LAST))
    return tuple(found)


class Item(NamedTuple):
    """A node of the parsed expression.

    kind: empty, chars, assert, cat, alt, repeat. `least` and `most` belong to
    repeat (most -1: unbounded), `sign` to assert.
    """

    kind: str
    chars: Chars = Chars(())
    sign: str = ""
    items: Tuple["Item", ...] = ()
    least: int = 0
    most: int = 0


class _Reader:
    """Parses one expression."""

    def __init__(self, text: str, flags: str) -> None:
        self.text = text
        self.at = 0
        self.flags = set(flags)
        self.nesting = 0

    def fail(self, message: str) -> NoReturn:
        raise RegexError(f"{message} at character {self.at + 1} of the regular expression")

    def starts(self, text: str) -> bool:
        return self.text.startswith(text, self.at)

    def parse(self) -> Item:
        item = self.alternatives()
        if self.at < len(self.text):
            self.fail("there is no group for this )")
        return item

    def alternatives(self) -> Item:
        self.nesting += 1
        if self.nesting > MAX_NESTING:
            self.fail("groups are nested too deeply")
        branches = [self.sequence()]
        while self.starts("|"):
            self.at += 1
            branches.append(self.sequence())
        self.nesting -= 1
        return branches[0] if len(branches) == 1 else Item("alt", items=tuple(branches))

    def sequence(self) -> Item:
        items: List[Item] = []
        while self.at < len(self.text) and self.text[self.at] not in "|)":
            found = self.quoted() if self.starts("\\Q") else [self.atom()]
            # What repeats is the last character of a quotation.
            items += found[:-1] + [self.repeated(item) for item in found[-1:]]
        return Item("cat", items=tuple(items))

    def quoted(self) -> List[Item]:
        """\\Q...\\E: everything literal."""
        end = self.text.find("\\E", self.at)
        literal = self.text[self.at + 2:end if end >= 0 else len(self.text)]
        self.at = end + 2 if end >= 0 else len(self.text)
        return [self.literal(ord(char)) for char in literal]

    def repeated(self, item: Item) -> Item:
        bounds = self.quantifier()
        if bounds is None:
            return item
        if self.starts("?"):
            self.at += 1
        if self.at < len(self.text) and self.quantifier() is not None:
            self.fail("a repetition of a repetition is not allowed; use a group")
        return Item("repeat", items=(item,), least=bounds[0], most=bounds[1])

    def quantifier(self) -> Optional[Tuple[int, int]]:
        char = self.text[self.at:self.at + 1]
        if char == "{":
            return self.counted()
        simple = {"*": (0, -1), "+": (1, -1), "?": (0, 1)}.get(char)
        if simple:
            self.at += 1
        return simple

    def counted(self) -> Optional[Tuple[int, int]]:
        """{n}, {n,} and {n,m}; any other brace is an ordinary character."""
        end = self.text.find("}", self.at)
        least, comma, most = self.text[self.at + 1:max(end, 0)].partition(",")
        if end < 0 or not _is_digits(least) or (most and not _is_digits(most)):
            return None
        numbers = [int(text) if len(text) < 6 else MAX_REPEAT + 1 for text in (least, most) if text]
        if max(numbers) > MAX_REPEAT or numbers[-1] < numbers[0]:
            self.fail(f"bad repetition (0 to {MAX_REPEAT}, ascending)")
        self.at = end + 1
        return numbers[0], numbers[-1] if most or not comma else -1

    def literal(self, code: int) -> Item:
        return Item("chars", Chars(((code, code),), folded="i" in self.flags))

    def atom(self) -> Item:
        char = self.text[self.at]
        if char in "*+?":
            self.fail(f"nothing to repeat before {char}")
        if char == "(":
            return self.group()
        if char == "[":
            return self.char_class()
        if char == "\\":
            return self.escape()
        self.at += 1
        if char == ".":
            return Item("chars", Chars((), negated=True) if "s" in self.flags else Chars(((10, 10),), negated=True))
        if char == "^":
            return Item("assert", sign="line start" if "m" in self.flags else "start")
        if char == "$":
            return Item("assert", sign="line end" if "m" in self.flags else "end")
        return self.literal(ord(char))

    def group(self) -> Item:
        outer = set(self.flags)
        self.at += 1
        if self.starts("?") and not self.open_special():
            return Item("empty")
        item = self.alternatives()
        if not self.starts(")"):
            self.fail("a group has no closing )")
        self.at += 1
        self.flags = outer
        return item

    def open_special(self) -> bool:
        """After `(?`: a name, flags or (?: ; False when it was (?flags) alone."""
        for opening in ("?P<", "?<"):
            rest = self.text[self.at + len(opening):]
            name = rest.partition(">")[0]
            if self.starts(opening) and rest[:1] not in ("=", "!") and name.replace("_", "a").isalnum():
                if ">" not in rest:
                    self.fail("a group name has no closing >")
                self.at += len(opening) + len(name) + 1
                return True
        return self.open_flags()

    def open_flags(self) -> bool:
        self.at += 1
        adding = True
        while self.at < len(self.text):
            char = self.text[self.at]
            self.at += 1
            if char in ":)":
                return char == ":"
            if char == "-" and adding:
                adding = False
            elif char in "imsU":
                (self.flags.add if adding else self.flags.discard)(char)
            else:
                break
        self.fail("RE2 has no such group (look-around, atomic groups and conditions do not exist)")

    def escape(self) -> Item:
        char = self.text[self.at + 1:self.at + 2]
        signs = {"A": "start", "z": "end", "b": "boundary", "B": "inside"}
        if char in signs and char:
            self.at += 2
            return Item("assert", sign=signs[char])
        if char == "C":
            self.fail("\\C (a single byte) is not supported")
        return Item("chars", self.escaped_set())

    def escaped_set(self) -> Chars:
        """A class or a character after a backslash, in and outside of brackets."""
        char = self.text[self.at + 1:self.at + 2]
        folded = "i" in self.flags
        if char and char in "dwsDWS":
            self.at += 2
            ranges = _PERL[char.lower()]
            return Chars(ranges if char.islower() else _complement(ranges), folded=folded and char.islower())
        if char and char in "pP":
            return Chars((), (self.category(),), folded=folded)
        code = self.escaped_code()
        return Chars(((code, code),), folded=folded)

    def category(self) -> Tuple[str, bool]:
        negated = self.text[self.at + 1] == "P"
        self.at += 2
        if self.starts("{"):
            end = self.text.find("}", self.at)
            name = self.text[self.at + 1:max(end, 0)]
            self.at = max(end, self.at) + 1
        else:
            name = self.text[self.at:self.at + 1]
            self.at += 1
        if name.startswith("^"):
            name, negated = name[1:], not negated
        if name not in _CATEGORIES:
            self.fail(f"unknown class {name!r} (general categories are supported, scripts are not)")
        return name, negated

    def escaped_code(self) -> int:
        char = self.text[self.at + 1:self.at + 2]
        self.at += 2
        if char in _CONTROLS:
            return _CONTROLS[char]
        if char == "x":
            return self.hexadecimal()
        if char and char in "01234567":
            return self.octal(char)
        if not char or char.isalnum() or ord(char) > 127:
            self.at -= 2
            self.fail(f"unknown escape \\{char} (back-references do not exist in RE2)")
        return ord(char)

    def octal(self, first: str) -> int:
        digits = first
        while len(digits) < 3 and self.text[self.at:self.at + 1] in tuple("01234567"):
            digits += self.text[self.at]
            self.at += 1
        if first != "0" and len(digits) == 1:
            self.fail("back-references do not exist in RE2")
        return int(digits, 8)

    def hexadecimal(self) -> int:
        if self.starts("{"):
            end = self.text.find("}", self.at)
            digits = self.text[self.at + 1:max(end, 0)]
            self.at = end + 1
        else:
            digits = self.text[self.at:self.at + 2]
            self.at += 2
            if len(digits) != 2:
                digits = ""
        if not digits or len(digits) > 8 or digits.strip("0123456789abcdefABCDEF") or int(digits, 16) > _LAST:
            self.fail("bad hexadecimal escape")
        return int(digits, 16)

    def char_class(self) -> Item:
        self.at += 1
        negated = self.starts("^")
        self.at += negated
        ranges: List[Tuple[int, int]] = []
        categories: List[Tuple[str, bool]] = []
        first = True
        while first or not self.starts("]"):
            if self.at >= len(self.text):
                self.fail("a class has no closing ]")
            first = False
            self.class_member(ranges, categories)
        self.at += 1
        return Item("chars", Chars(tuple(ranges), tuple(categories), negated, "i" in self.flags))

    def class_member(self, ranges: List[Tuple[int, int]], categories: List[Tuple[str, bool]]) -> None:
        if self.starts("[:"):
            ranges.extend(self.posix())
            return
        if self.starts("\\") and self.text[self.at + 1:self.at + 2] in tuple("dwsDWSpP"):
            escaped = self.escaped_set()
            ranges.extend(escaped.ranges)
            categories.extend(escaped.categories)
            return
        low = high = self.class_code()
        if self.starts("-") and not self.starts("-]"):
            self.at += 1
            high = self.class_code()
            if high < low:
                self.fail("a range of characters is reversed")
        ranges.append((low, high))

    def class_code(self) -> int:
        if self.starts("\\"):
            return self.escaped_code()
        if self.at >= len(self.text):
            self.fail("a class has no closing ]")
        self.at += 1
        return ord(self.text[self.at - 1])

    def posix(self) -> Ranges:
        end = self.text.find(":]", self.at)
        name = self.text[self.at + 2:max(end, 0)]
        plain = name[1:] if name.startswith("^") else name
        if plain not in _POSIX:
            self.fail("unknown class of characters")
        self.at = end + 2
        return _complement(_POSIX[plain]) if name != plain else _POSIX[plain]


def _is_digits(text: str) -> bool:
    return bool(text) and not text.strip("0123456789")


def parse(text: str, ignore_case: bool) -> Item:
    """The tree of an expression; raises RegexError."""
    return _Reader(text, "i" if ignore_case else "").parse()
