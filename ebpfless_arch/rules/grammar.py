"""SECL text to syntax tree: the lexer, the parser and the one kind of error.

The language groups in ways that surprise: `and` and `or` share one precedence
level and group to the right, comparisons group to the right as well, and the
lexer takes the first token class that matches rather than the longest. The
tree keeps what the text says; meaning is left to check.py.
"""

import re
from typing import List, NoReturn, Optional, Tuple

from ebpfless_arch.named import NamedTuple
from ebpfless_arch.rules.tree import (
    Address, Array, Binary, Comparison, Duration, FieldRef, Logical, Name, Node, Number, Text, Unary, Variable)

# Nested deeper than this, a rule is refused: the generated function must stay
# within what the parser of every supported Python accepts (3.6 ends near 90).
MAX_DEPTH = 32
MAX_LENGTH = 1 << 20
_EXCERPT = 100
_INT64_MAX = (1 << 63) - 1
_NANOSECONDS = {"ms": 10**6, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9}


class SeclError(Exception):
    """A mistake in a rule or macro.

    `reason` is the class of the mistake (syntax_error, type_mismatch ...),
    `message` one sentence that ends in a hint where there is one, `line` and
    `column` count characters from 1.
    """

    def __init__(self, reason: str, message: str, line: int = 1, column: int = 1) -> None:
        Exception.__init__(self, reason, message, line, column)
        self.reason = reason
        self.message = message
        self.line = line
        self.column = column

    def __str__(self) -> str:
        return f"{self.line}:{self.column}: {self.message} ({self.reason})"

    def excerpt(self, text: str) -> str:
        """The line of `text` that holds the mistake, cut when it is long, and a caret below the place."""
        lines = text.split("\n")
        line = lines[self.line - 1] if self.line <= len(lines) else ""
        caret = self.column - 1
        if len(line) > _EXCERPT:
            start = max(0, min(caret - _EXCERPT // 2, len(line) - _EXCERPT))
            cut = "..." if start + _EXCERPT < len(line) else ""
            line = ("..." if start else "") + line[start:start + _EXCERPT] + cut
            caret += (3 if start else 0) - start
        # Control characters would move the cursor, and lone surrogates cannot be printed.
        line = "".join(char if char.isprintable() or char == "\t" else "?" for char in line)
        margin = "".join("\t" if char == "\t" else " " for char in line[:caret].ljust(caret))
        return f"{line}\n{margin}^"


def position(text: str, offset: int) -> Tuple[int, int]:
    """Line and column, both from 1, of an offset in `text`."""
    return text.count("\n", 0, offset) + 1, offset - text.rfind("\n", 0, offset)


def error_at(text: str, offset: int, reason: str, message: str) -> SeclError:
    """The error for a place in `text`."""
    line, column = position(text, offset)
    return SeclError(reason, message, line, column)


class Token(NamedTuple):
    """One token; kind is a token class, the character itself of punctuation, or "end"."""

    kind: str
    text: str
    offset: int


_IPV4 = r"[0-9]+\.[0-9]+\.[0-9]+\.[0-9]+"
_IPV6 = r"(?=[0-9a-fA-F:]*[0-9a-fA-F])(?:[0-9a-fA-F]*:){2,}(?:" + _IPV4 + r"|[0-9a-fA-F]*)"
_IP = f"(?:{_IPV4}|{_IPV6})"
_QUOTED = r'"(?:[^"\\\U00010000-\U0010ffff]|\\[\0-\uffff])*"'
_SHAPES = "|".join(f"(?P<{kind}>{shape})" for kind, shape in (
    ("comment", r"(?:#|//)[^\n]*"),
    ("cidr", f"(?:{_IP}|::)/[0-9]+"),
    ("ip", _IP),
    ("variable", r"\$\{[A-Za-z_][A-Za-z0-9_.]*\}"),
    ("fieldref", r"%\{[A-Za-z_][A-Za-z0-9_.\[\]]*\}"),
    ("duration", r"[0-9]+(?:ms|s|m|h)s*"),
    ("regexp", "r" + _QUOTED),
    ("ident", r"[A-Za-z_][A-Za-z0-9_.\[\]]*"),
    ("string", _QUOTED),
    ("pattern", "~" + _QUOTED),
    ("int", r"[+-]?[0-9]+"),
    ("punct", r"[!=<>+\-\[\](),&|~^]"),
)) + r"|\Z"
_BLANKS = " \t\n"
_TOKEN = re.compile(f"[{_BLANKS}]*(?:{_SHAPES})")
_TEXTS = {"string": 1, "pattern": 2, "regexp": 2}


def tokens(text: str) -> List[Token]:
    """Cuts `text` into tokens without blanks and comments; the last one is of kind "end"."""
    found: List[Token] = []
    end = len(text)
    match = _TOKEN.match
    offset = 0
    while offset < end:
        read = match(text, offset)
        if read is None:
            while text[offset] in _BLANKS:
                offset += 1
            raise error_at(text, offset, "syntax_error", _stray(text, offset))
        kind = read.lastgroup
        if kind is not None and kind != "comment":
            start, offset = read.span(kind)
            word = text[start:offset]
            found.append(Token(word if kind == "punct" else kind, word, start))
        else:
            offset = read.end()
    found.append(Token("end", "", end))
    return found


def _stray(text: str, offset: int) -> str:
    """Why no token starts here."""
    char = text[offset]
    if char == '"' or text[offset:offset + 2] == '~"':
        wide = next((c for c in text[offset:] if c > "\uffff"), "")
        if wide:
            return f"the character U+{ord(wide):X} is not allowed in a literal"
        return 'the text literal has no closing "'
    if char == "'":
        return "texts stand in double quotes"
    if char == "\r":
        return "a carriage return is not a blank; use plain line feeds"
    if char == "$":
        return "a variable is written ${name}"
    return f"unexpected character {char!r}"


_Operator = Tuple[str, int]
_COMPARISONS = frozenset(("==", "!=", "=~", "!~", ">=", "<=", ">", "<"))
_COMPARING = frozenset("=!<>")
_SIGNS = frozenset("+-")
_BITS = frozenset("&|^")
_PREFIXES = {"!": "not", "-": "-", "^": "^"}
_CONNECTIVES = {"&": "and", "|": "or"}
_WORDS = frozenset(("ident", "string"))
_RESERVED = frozenset(("and", "or", "in", "allin", "not"))
_AHEAD = 2  # how many tokens behind the next one are looked at


class _Parser:
    """Recursive descent over the tokens of one text."""

    def __init__(self, text: str) -> None:
        if len(text) > MAX_LENGTH:
            raise SeclError("syntax_error", f"the text is longer than {MAX_LENGTH} characters")
        self.text = text
        self.tokens = tokens(text)
        self.tokens += self.tokens[-1:] * _AHEAD
        self.at = 0
        self.depth = 0

    def peek(self, ahead: int = 0) -> Token:
        return self.tokens[self.at + ahead]

    def take(self) -> Token:
        token = self.peek()
        self.at += 1
        return token

    def fail(self, expected: str) -> NoReturn:
        token = self.peek()
        found = "the end" if token.kind == "end" else _short(token.text)
        raise error_at(self.text, token.offset, "syntax_error", f"expected {expected}, found {found}")

    def is_punct(self, char: str, ahead: int = 0) -> bool:
        return self.tokens[self.at + ahead].kind == char

    def word(self, ahead: int = 0) -> str:
        """The text of a name, or of a quoted string: the language lets `"and"` act as and."""
        token = self.peek(ahead)
        if token.kind == "string":
            return token.text[1:-1]
        return token.text if token.kind == "ident" else ""

    def deeper(self) -> None:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise _too_deep(self.text, self.peek().offset)

    def end(self) -> None:
        if self.peek().kind != "end":
            self.fail("an operator or the end of the expression")

    def expression(self) -> Node:
        """Operands joined by and/or, one level, grouped to the right."""
        self.deeper()
        operands = [self.comparison()]
        operators: List[_Operator] = []
        while True:
            operator = self.connective()
            if operator is None:
                break
            operators.append(operator)
            operands.append(self.comparison())
        self.depth -= 1
        tree = operands.pop()
        while operators:
            name, offset = operators.pop()
            tree = Logical(offset, name, operands.pop(), tree)
        return tree

    def connective(self) -> Optional[_Operator]:
        kind, _, offset = self.tokens[self.at]
        name = ""
        if kind in _CONNECTIVES and self.is_punct(kind, 1):
            name = _CONNECTIVES[kind]
            self.at += 2
        elif kind in _WORDS and self.word() in ("and", "or"):
            name = self.word()
            self.at += 1
        return (name, offset) if name else None

    def comparison(self) -> Node:
        left = self.arithmetic()
        kind, _, offset = self.tokens[self.at]
        operator = self.array_operator() if kind in _WORDS else ""
        if operator:
            return Comparison(offset, operator, left, self.array())
        operator = self.scalar_operator() if kind in _COMPARING else ""
        if not operator:
            return left
        self.deeper()
        right = self.comparison()
        self.depth -= 1
        return Comparison(offset, operator, left, right)

    def array_operator(self) -> str:
        if self.word() in ("in", "allin"):
            name = self.word()
            self.at += 1
            return name
        if self.word() == "not" and self.word(1) == "in":
            self.at += 2
            return "not in"
        return ""

    def scalar_operator(self) -> str:
        first, second = self.peek().kind, self.peek(1).kind
        for operator in (first + second, first):
            if operator in _COMPARISONS:
                self.at += len(operator)
                return operator
        if second == "pattern" and first in "=!":
            operator = first + "~"
            raise error_at(self.text, self.peek().offset, "syntax_error",
                           f"a blank must follow {operator}, otherwise the tilde belongs to the pattern")
        return ""

    def arithmetic(self) -> Node:
        tree = self.bits()
        while self.tokens[self.at].kind in _SIGNS:
            operator = self.take()
            tree = Binary(operator.offset, operator.text, tree, self.bits())
        return tree

    def bits(self) -> Node:
        left = self.unary()
        operator = self.tokens[self.at]
        if operator.kind not in _BITS or operator.kind in _CONNECTIVES and self.is_punct(operator.kind, 1):
            return left
        self.deeper()
        self.at += 1
        right = self.bits()
        self.depth -= 1
        return Binary(operator.offset, operator.text, left, right)

    def unary(self) -> Node:
        kind, text, offset = self.tokens[self.at]
        operator = "not" if text == "not" else _PREFIXES.get(kind, "")
        if not operator:
            return self.primary()
        self.deeper()
        self.at += 1
        operand = self.unary()
        self.depth -= 1
        return Unary(offset, operator, operand)

    def primary(self) -> Node:
        if self.is_punct("("):
            self.at += 1
            tree = self.expression()
            if not self.is_punct(")"):
                self.fail("an operator or )")
            self.at += 1
            return tree
        leaf = self.leaf()
        if leaf is None:
            self.fail("a field, a value or (")
        return leaf

    def leaf(self) -> Optional[Node]:
        token = self.tokens[self.at]
        kind, text, offset = token
        node: Optional[Node] = None
        if kind in _TEXTS:
            node = Text(offset, kind, text[_TEXTS[kind]:-1])
        elif kind == "ident":
            node = Name(offset, text) if text not in _RESERVED else None
        elif kind == "int":
            node = Number(offset, self.integer(token))
        elif kind == "duration":
            node = Duration(offset, self.nanoseconds(token), text)
        elif kind in ("ip", "cidr"):
            node = Address(offset, text)
        elif kind == "variable":
            node = Variable(offset, text[2:-1])
        elif kind == "fieldref":
            node = FieldRef(offset, text[2:-1])
        self.at += node is not None
        return node

    def integer(self, token: Token) -> int:
        digits = token.text.lstrip("+-")
        octal = len(digits) > 1 and digits[0] == "0"
        if octal and digits.strip("01234567"):
            raise error_at(self.text, token.offset, "syntax_error",
                           f"{token.text} starts with 0 and is octal, but has a digit above 7")
        # A long digit string is refused before conversion: newer Pythons bound it, older ones take long.
        value = int(digits, 8 if octal else 10) if len(digits.lstrip("0")) < 25 else _INT64_MAX + 2
        value = -value if token.text[0] == "-" else value
        if not -_INT64_MAX - 1 <= value <= _INT64_MAX:
            raise error_at(self.text, token.offset, "syntax_error", f"{_short(token.text)} does not fit into 64 bits")
        return value

    def nanoseconds(self, token: Token) -> int:
        digits = token.text.rstrip("hms")
        unit = _NANOSECONDS.get(token.text[len(digits):])
        if unit is None or len(digits) > 19 or int(digits) * unit > _INT64_MAX:
            raise error_at(self.text, token.offset, "bad_duration",
                           f"{_short(token.text)} is no duration; write a number and one of ms, s, m, h")
        return int(digits) * unit

    def array(self) -> Node:
        """What may follow in, not in and allin."""
        token = self.peek()
        if self.is_punct("["):
            return self.members()
        if token.kind in ("cidr", "variable", "fieldref", "ident"):
            leaf = self.leaf()
            if leaf is not None:
                return leaf
        self.fail("a list in [ ], a network, a list field, a macro or a variable")

    def members(self) -> Array:
        start = self.take().offset
        kinds = _MEMBER_KINDS.get(self.peek().kind)
        if kinds is None:
            self.fail("a text, a number, an address or a constant")
        found: List[Node] = []
        while True:
            if self.peek().kind not in kinds:
                self.fail("a member of the same kind as the first one")
            leaf = self.leaf()
            if leaf is None:
                self.fail("a member of the list")
            found.append(leaf)
            if self.is_punct("]"):
                self.at += 1
                return Array(start, tuple(found))
            if not self.is_punct(","):
                hint = " with a blank before it" if self.tokens[self.at - 1].text.endswith("]") else ""
                self.fail(f", or ]{hint}")
            self.at += 1


_TEXT_KINDS = ("string", "pattern", "regexp")
_MEMBER_KINDS = {"string": _TEXT_KINDS, "pattern": _TEXT_KINDS, "regexp": _TEXT_KINDS,
                 "ip": ("ip", "cidr"), "cidr": ("ip", "cidr"), "int": ("int",), "ident": ("ident",)}


def _short(text: str) -> str:
    return text if len(text) <= 40 else text[:37] + "..."


def parse_rule(text: str) -> Node:
    """The tree of a rule; raises SeclError."""
    parser = _Parser(text)
    if parser.peek().kind == "end":
        raise SeclError("syntax_error", "the expression is empty")
    tree = parser.expression()
    parser.end()
    if len(parser.tokens) > MAX_DEPTH:
        _refuse_depth(text, tree)
    return tree


def _too_deep(text: str, offset: int) -> SeclError:
    return error_at(text, offset, "syntax_error",
                    f"nested deeper than {MAX_DEPTH} levels; use macros or separate rules")


def _refuse_depth(text: str, tree: Node) -> None:
    """Counts levels; a run of one connective is a single level, however long it is."""
    waiting = [(tree, 0, "")]
    while waiting:
        node, depth, above = waiting.pop()
        if depth > MAX_DEPTH:
            raise _too_deep(text, node.offset)
        if isinstance(node, Unary):
            waiting.append((node.operand, depth + 1, ""))
        elif isinstance(node, Logical):
            inner = depth + (node.operator != above)
            waiting += [(node.left, inner, ""), (node.right, inner, node.operator)]
        elif isinstance(node, (Binary, Comparison)):
            waiting += [(node.left, depth + 1, ""), (node.right, depth + 1, "")]


def parse_macro(text: str) -> Node:
    """The tree of a macro: an expression, a list or a single value; raises SeclError."""
    parser = _Parser(text)
    if parser.is_punct("["):
        tree: Node = parser.members()
        parser.end()
        return tree
    return parse_rule(text)
