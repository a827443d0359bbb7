"""The lexer and the parser of SECL: tokens, grouping, mistakes and their places."""

import random
from typing import List

import pytest

from ebpfless_arch.rules.grammar import MAX_DEPTH, SeclError, parse_macro, parse_rule, tokens
from ebpfless_arch.rules.tree import (
    Address, Array, Binary, Comparison, Duration, FieldRef, Logical, Name, Node, Number, Text, Unary, Variable, render)


def shape(node: Node) -> object:
    """The tree without positions."""
    if isinstance(node, Array):
        return "Array", tuple(shape(member) for member in node.members)
    if isinstance(node, Unary):
        return "Unary", node.operator, shape(node.operand)
    if isinstance(node, (Binary, Comparison, Logical)):
        return type(node).__name__, node.operator, shape(node.left), shape(node.right)
    return (type(node).__name__,) + tuple(node)[1:]


def mistake(text: str) -> SeclError:
    with pytest.raises(SeclError) as caught:
        parse_rule(text)
    return caught.value


@pytest.mark.parametrize("text, grouped", [
    ("a && b || c", "a && (b || c)"),
    ("a || b && c", "a || (b && c)"),
    ("a && b && c || d", "a && (b && (c || d))"),
    ("a == b == c", "a == (b == c)"),
    ("not a == b", "(not a) == b"),
    ("!!a", "!(!a)"),
    ("m & A|B > 0", "(m & (A | B)) > 0"),
    ("g + 3 & 2 == 1", "(g + (3 & 2)) == 1"),
    ("a - b - c == 1", "((a - b) - c) == 1"),
    ("a > = 3", "a >= 3"),
    ("a & & b", "a && b"),
    ("a or b and c", "a || (b && c)"),
    ('a "and" b', "a && b"),
    ('a "in" [ B ]', "a in [ B ]"),
    ("a not in b || c", "(a not in b) || c"),
    ("- 1 == ^a", "(- 1) == (^ a)"),
    ("a == 1 # remark\n&& b == 2 // another", "(a == 1) && (b == 2)"),
])
def test_grouping(text: str, grouped: str) -> None:
    assert shape(parse_rule(text)) == shape(parse_rule(grouped))


@pytest.mark.parametrize("text, kinds", [
    ("a[B].c", ["ident"]), ("in[1]", ["ident"]), ("x -1", ["ident", "int"]), ("x - 1", ["ident", "-", "int"]),
    ("10.0.0.0/8", ["cidr"]), ("10.0.0.1", ["ip"]), ("::1", ["ip"]), ("2001:db8::5", ["ip"]), ("::/128", ["cidr"]),
    ("2001:db8::/32", ["cidr"]), ("500ms", ["duration"]), ("5mss", ["duration"]), ("1h30m", ["duration", "duration"]),
    ('r"x"', ["regexp"]), ('~"x"', ["pattern"]), ('"a\\"b"', ["string"]), ("${a.b}", ["variable"]),
    ("%{a.b}", ["fieldref"]), ("0755", ["int"]), ("0x1f", ["int", "ident"]), ('rx"a"', ["ident", "string"]),
])
def test_the_first_class_that_matches_wins(text: str, kinds: List[str]) -> None:
    assert [token.kind for token in tokens(text)] == kinds + ["end"]


def test_literals() -> None:
    assert shape(parse_rule("0755 == -13")) == shape(Comparison(0, "==", Number(0, 493), Number(0, -13)))
    assert parse_rule("1m") == Duration(0, 60 * 10**9, "1m")
    assert parse_rule('"a\\"b"') == Text(0, "string", 'a\\"b')
    assert parse_rule("${x.y}") == Variable(0, "x.y")
    assert parse_rule("%{a.b[1]}") == FieldRef(0, "a.b[1]")
    assert parse_rule("10.0.0.300") == Address(0, "10.0.0.300")


def test_a_macro_may_be_a_list_a_rule_may_not() -> None:
    assert shape(parse_macro("[1, 2]")) == ("Array", (("Number", 1), ("Number", 2)))
    assert mistake("[1, 2]").reason == "syntax_error"


@pytest.mark.parametrize("text, reason, line, column", [
    ("", "syntax_error", 1, 1),
    ("a ==", "syntax_error", 1, 5),
    ("a == 1 &&\n  == 2", "syntax_error", 2, 3),
    ('a == "x', "syntax_error", 1, 6),
    ("a\r\n== 1", "syntax_error", 1, 2),
    ("a == 089", "syntax_error", 1, 6),
    ("a == 9223372036854775808", "syntax_error", 1, 6),
    ("a == 5hs", "bad_duration", 1, 6),
    ("a in [EPERM,EACCES]", "syntax_error", 1, 20),
    ("a in [1, \"x\"]", "syntax_error", 1, 10),
    ("a in 10.0.0.1", "syntax_error", 1, 6),
    ('a =~"x*"', "syntax_error", 1, 3),
    ('a == "\U0001f600"', "syntax_error", 1, 6),
    ("a == b)", "syntax_error", 1, 7),
    ("a * 2 == 4", "syntax_error", 1, 3),
])
def test_mistakes_have_a_place(text: str, reason: str, line: int, column: int) -> None:
    error = mistake(text)
    assert (error.reason, error.line, error.column) == (reason, line, column)


def test_the_smallest_and_largest_integers() -> None:
    assert parse_rule("-9223372036854775808") == Number(0, -2**63)
    assert parse_rule("9223372036854775807") == Number(0, 2**63 - 1)
    assert mistake("1" * 5000 + " == a").reason == "syntax_error"


def test_the_excerpt_points_at_the_place() -> None:
    text = 'exec.uid == 0 &&\n\texec.gid === 2'
    assert mistake(text).excerpt(text) == "\texec.gid === 2\n\t           ^"


def test_the_excerpt_of_a_long_line_is_cut() -> None:
    text = "a == 1 && " * 40 + "b === 2" + " && a == 1" * 40
    line, caret = mistake(text).excerpt(text).split("\n")
    assert len(line) < 120 and line.startswith("...") and line.endswith("...")
    assert line[caret.index("^") - len("b =="):].startswith("b ===")


def test_control_characters_stay_out_of_excerpts() -> None:
    text = 'a == "\x1b[31m\ud800'
    assert mistake(text).excerpt(text).split("\n")[0] == 'a == "?[31m?'


@pytest.mark.parametrize("text", [
    "(" * 5000, "!" * 5000 + "a", "(" * 500 + "a == 1" + ")" * 500, "a" + " == a" * 5000, "a" + " | 1" * 5000,
    "a" + " + a" * 5000, " && ".join("a == 1 || b == 2" for _ in range(5000)),
], ids=["open", "not", "parentheses", "comparisons", "bits", "sums", "alternation"])
def test_nesting_is_limited(text: str) -> None:
    assert mistake(text).reason == "syntax_error"


def test_a_run_of_one_connective_may_be_long() -> None:
    tree = parse_rule(" || ".join("a == {}".format(number) for number in range(5000)))
    count = 1
    while isinstance(tree, Logical):
        tree = tree.right
        count += 1
    assert count == 5000


def random_tree(source: random.Random, depth: int) -> Node:
    """Any tree the language can express, at most `depth` levels deep."""
    if depth <= 1 or source.random() < 0.2:
        return random_leaf(source)
    left, right = random_tree(source, depth - 1), random_tree(source, depth - 1)
    kind = source.randrange(5)
    if kind == 0:
        return Unary(0, source.choice(["not", "-", "^"]), left)
    if kind == 1:
        return Binary(0, source.choice("+-&|^"), left, right)
    if kind == 2:
        return Logical(0, source.choice(["and", "or"]), left, right)
    if kind == 3:
        return Comparison(0, source.choice(["in", "not in", "allin"]), left, random_list(source))
    return Comparison(0, source.choice(["==", "!=", "<", "<=", ">", ">=", "=~", "!~"]), left, right)


def random_leaf(source: random.Random) -> Node:
    leaves: List[Node] = [
        Name(0, source.choice(["exec.uid", "process.ancestors[A].pid", "true", "_x9"])),
        Text(0, source.choice(["string", "pattern", "regexp"]),
             source.choice(["", "a*", "x y", "\\\"", "#", "gr\xfc"])),
        Number(0, source.randrange(-2**63, 2**63)), Number(0, source.randrange(10)),
        Duration(0, 5 * 10**9, "5s"), Address(0, source.choice(["::1", "10.0.0.1", "fe80::/10"])),
        Variable(0, "process.x"), FieldRef(0, "exec.argv")]
    return source.choice(leaves)


def random_list(source: random.Random) -> Node:
    kinds: List[List[Node]] = [[Text(0, "string", "a"), Text(0, "pattern", "*"), Text(0, "regexp", "^b")],
                               [Number(0, 4), Number(0, -4)],
             [Name(0, "EPERM"), Name(0, "EACCES")], [Address(0, "::1"), Address(0, "10.0.0.0/8")]]
    if source.random() < 0.3:
        bare: List[Node] = [Name(0, "LIST"), Variable(0, "seen"), Address(0, "10.0.0.0/8"), FieldRef(0, "a.b")]
        return source.choice(bare)
    members = source.choice(kinds)
    return Array(0, tuple(source.choice(members) for _ in range(source.randrange(1, 5))))


@pytest.mark.parametrize("seed", range(20))
def test_rendered_trees_parse_to_themselves(seed: int) -> None:
    source = random.Random(seed)
    for _ in range(100):
        tree = random_tree(source, 6)
        assert shape(parse_rule(render(tree))) == shape(tree)


def test_noise_raises_nothing_but_secl_errors() -> None:
    """20,000 texts: random bytes, and random sequences of what the language is made of."""
    source = random.Random(1)
    pieces = ["exec.uid", "==", "(", ")", "[", "]", '"x"', '~"*"', "5s", "12", "in", "not", "&&", "||", "-", "10.0.0.1",
              " ", " ", "${x}", "%{y}", "a[b]", ",", 'r"', "~", "\n", "#", "/8", "::", "^"]
    parsed = 0
    for number in range(20000):
        if number % 2:
            text = "".join(source.choice(pieces) for _ in range(source.randrange(12)))
        else:
            text = bytes(source.randrange(256) for _ in range(source.randrange(40))).decode("utf-8", "surrogateescape")
        try:
            parse_rule(text)
            parsed += 1
        except SeclError as error:
            assert error.reason in ("syntax_error", "bad_duration")
            assert 1 <= error.line <= text.count("\n") + 1
            assert len(error.excerpt(text).split("\n")) == 2
    assert parsed > 100
    assert MAX_DEPTH >= 32
