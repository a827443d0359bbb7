"""Patterns, globs, lists and regular expressions, each against a slow and obvious reference."""

import itertools
import random
import re
import time
from typing import List, Tuple

import pytest

from ebpfless_arch.rules.patterns import Flavor, PatternError, TextSet, check_path, shape_of
from ebpfless_arch.rules.regex import Regex
from ebpfless_arch.rules.regex_text import RegexError

GLOB = Flavor(glob=True)
PLAIN = Flavor()


def matches(kind: str, pattern: str, text: str, flavor: Flavor = PLAIN) -> bool:
    return TextSet([shape_of(kind, pattern, flavor)], flavor.folded).matcher()(text)


def slow_star(pattern: str, text: str) -> bool:
    """The leftmost match as the reference words it."""
    pieces = pattern.split("*")
    if len(pieces) == 1:
        return text == pattern
    if not text.startswith(pieces[0]):
        return False
    rest = text[len(pieces[0]):]
    for piece in pieces[1:]:
        before, found, after = rest.partition(piece) if piece else ("", "", rest)
        if piece and not found:
            return False
        rest = after
    return rest == "" or pattern.endswith("*")


def slow_glob(pattern: str, path: str) -> bool:
    """Tries every number of segments for the double star."""
    if not path:
        return False
    wanted = pattern.split("/")
    if wanted[0] == "*":
        wanted = [""] + wanted
    segments = path.split("/")
    if "**" not in wanted:
        return slow_segments(wanted, segments)
    at = wanted.index("**")
    least = 1 if at == len(wanted) - 1 else 0
    return any(slow_segments(wanted[:at] + ["*"] * count + wanted[at + 1:], segments)
               for count in range(least, len(segments) + 1))


def slow_segments(wanted: List[str], segments: List[str]) -> bool:
    return len(wanted) == len(segments) and all(map(slow_star, wanted, segments))


@pytest.mark.parametrize("pattern, text, wanted", [
    ("*.log", "core.log", True), ("*.log", "a.log.log", False), ("*ab", "aab", True), ("*ab", "abab", False),
    ("*aa", "aaa", False), ("a*a", "a", False), ("", "", True), ("", "x", False), ("*", "", True),
    ("a?c", "abc", False),
    ("a/*", "a/b/c", True), ("*b*", "abc", True), ("a*b*c", "acb", False), ("a*", "a", True),
])
def test_stars(pattern: str, text: str, wanted: bool) -> None:
    assert matches("pattern", pattern, text) is wanted


@pytest.mark.parametrize("pattern, path, wanted", [
    ("/t/*", "/t/a", True), ("/t/*", "/t/", True), ("/t/*", "/t", False), ("/t/*", "/t/a/b", False),
    ("/t/**", "/t/a", True), ("/t/**", "/t/a/b/c", True), ("/t/**", "/t/", True), ("/t/**", "/t", False),
    ("/t/**", "/tx/a", False), ("/t/**/x", "/t/x", True), ("/t/**/x", "/t/a/b/x", True), ("/t/**/x", "/t/x/y", False),
    ("/**/x", "/x", True), ("/**/x", "/a/b/x", True), ("**/x", "/a/b/x", True), ("/**/x", "/a/x/b", False),
    ("**", "/a/b", True), ("**", "", False), ("/*/x", "/a/x", True), ("*/x", "/a/x", True), ("*/x", "/x", False),
    ("/*/x", "/a/b/x", False), ("*x", "/x", False), ("/*/**", "/a/b", True), ("/*/**", "/a/b/c", True),
    ("/*/**", "/a", False), ("/**/d/*", "/d/x", True), ("/**/d/*", "/p/d/x", True), ("/**/d/*", "/d/x/y", False),
    ("/t/**x", "/t/ax", True), ("/t/**x", "/t/a/x", False), ("/t/a*b*", "/t/a1b2", True),
])
def test_globs(pattern: str, path: str, wanted: bool) -> None:
    assert matches("pattern", pattern, path, GLOB) is wanted


def test_stars_agree_with_the_slow_reference() -> None:
    texts = ["".join(letters) for size in range(6) for letters in itertools.product("ab", repeat=size)]
    patterns = ["".join(letters) for size in range(5) for letters in itertools.product("ab*", repeat=size)
                if "**" not in "".join(letters)]
    for pattern in patterns:
        test = TextSet([shape_of("pattern", pattern, PLAIN)], False).matcher()
        assert [text for text in texts if test(text)] == [text for text in texts if slow_star(pattern, text)], pattern


@pytest.mark.once
def test_globs_agree_with_the_slow_reference() -> None:
    source = random.Random(5)
    pieces = ["a", "b", "ab", "a*", "*b", "*", "**", "", "**a", "a*b"]
    names = ["a", "b", "ab", "", "aab", "abb"]
    paths = ["/" + "/".join(source.choice(names) for _ in range(source.randrange(1, 5))) for _ in range(300)] + ["",
                                                                                                                 "a"]
    compared = 0
    for _ in range(700):
        segments = [source.choice(pieces) for _ in range(source.randrange(1, 5))]
        if segments.count("**") > 1:
            continue
        pattern = source.choice(["/", "/", ""]) + "/".join(segments)
        if not pattern:
            continue
        test = TextSet([shape_of("pattern", pattern, GLOB)], False).matcher()
        for path in paths:
            compared += 1
            assert test(path) is slow_glob(pattern, path), (pattern, path)
    assert compared > 100000


def test_lists_agree_with_their_members() -> None:
    source = random.Random(9)
    members = [("string", "a"), ("string", "/x/y"), ("pattern", "a*"), ("pattern", "/x/*"), ("pattern", "*b*"),
               ("regexp", "^c"), ("string", "*"), ("pattern", "/x/**")]
    texts = ["a", "ab", "/x/y", "/x/z", "/x/", "b", "cab", "", "*", "/x/y/z"]
    for _ in range(200):
        chosen = source.sample(members, source.randrange(1, 6))
        whole = TextSet([shape_of(kind, text, GLOB) for kind, text in chosen], False).matcher()
        for text in texts:
            assert whole(text) is any(matches(kind, member, text, GLOB) for kind, member in chosen)


def test_folded_flavor_ignores_case() -> None:
    folded = Flavor(folded=True)
    for kind, text in (("string", "Mill.Example"), ("pattern", "MILL*"), ("regexp", "^mIll")):
        assert matches(kind, text, "mill.eXample", folded)


@pytest.mark.parametrize("pattern, flavor", [("**", PLAIN), ("a**b", PLAIN), ("/a/**/b/**", GLOB)])
def test_refused_patterns(pattern: str, flavor: Flavor) -> None:
    with pytest.raises(PatternError) as caught:
        shape_of("pattern", pattern, flavor)
    assert caught.value.reason == "bad_pattern"


@pytest.mark.parametrize("text", ["x", "./x", "~/x", "*", "/a//b", "/a/", "/a/./b", "/a/../b", "/" + "k" * 256,
                                  "/a" * 1364])
def test_refused_paths(text: str) -> None:
    with pytest.raises(PatternError) as caught:
        check_path("pattern", text)
    assert caught.value.reason == "bad_path"


@pytest.mark.parametrize("text", ["", "/", "/a", "*/a", "**", "/" + "k" * 255, "/a" * 1363, "/a/..b", "/a*/**"])
def test_accepted_paths(text: str) -> None:
    check_path("pattern", text)


@pytest.mark.parametrize("pattern, text, wanted", [
    ("a$", "a\n", False), ("(?m)a$", "a\nb", True), (r"\z", "x", True), ("^b", "a\nb", False), ("(?m)^b", "a\nb", True),
    (".", "\n", False), ("(?s).", "\n", True), (r"\d", "\u0663", False), (r"\w", "\xe9", False), (r"\pL", "\xe9", True),
    (r"\PL", "\xe9", False), (r"\p{Lu}", "a", False), ("[[:^digit:]]", "5", False), ("[^a-c]", "b", False),
    (r"[\d.]+x", "1.2x", True), (r"\Qa.b\E+", "a.bbb", True), (r"\Qa.b\E", "axb", False), ("x{2,3}y", "xy", False),
    ("x{2,3}y", "xxxxy", True), ("x{0}$", "x", True), ("a{,2}", "a{,2}", True), ("(?i)STRASSE", "strasse", True),
    ("(?i:A)b", "aB", False), ("(?P<n>a)(?:b|c)", "xac", True), (r"\x{1F600}", "\U0001f600", True),
    (r"\123", "S", True),
    (r"a\b", "a_", False), (r"\Ba", "ba", True), ("", "", True), ("a|", "b", True), ("[]a]", "]", True),
    ("[a-]", "-", True), ("(?i)[^a]", "A", False), ("()*x", "x", True), ("(a*)*b", "aab", True),
])
def test_regexes(pattern: str, text: str, wanted: bool) -> None:
    assert Regex(pattern).search(text) is wanted


@pytest.mark.parametrize("pattern", [
    "(?=x)", "(?!x)", "(?<=x)", "(?<!x)", "(?>x)", r"(a)\1", "(", ")", "a**", "a++", "a{2}{3}", "x{1001}", "x{3,2}",
    "[",
    "[z-a]", "*", "\\", r"\Z", r"\8", r"\p{Greek}", "[[:nope:]]", "(?P<n", "(?z)", r"\xZZ", r"\x{110000}",
    "a{1000}{1000}",
    "((a{100}){100}){100}", "(" * 60 + ")" * 60,
])
def test_refused_regexes(pattern: str) -> None:
    with pytest.raises(RegexError):
        Regex(pattern)


def test_regexes_agree_with_python_where_both_mean_the_same() -> None:
    source = random.Random(3)
    atoms = ["a", "b", "c", ".", "[ab]", "[^a]", "(a|bc)", "(?:ab|b)", "^", "$", r"\b", r"\w", "b?", "a*", "(ab)+",
             "c{1,2}"]
    texts = ["".join(source.choice("abc_- ") for _ in range(source.randrange(9))) for _ in range(120)]
    for _ in range(600):
        pattern = "".join(source.choice(atoms) for _ in range(source.randrange(1, 6)))
        if source.random() < 0.3:
            pattern += "|" + source.choice(atoms)
        ours, theirs = Regex(pattern), re.compile(pattern, re.ASCII)
        for text in texts:
            assert ours.search(text) is bool(theirs.search(text)), (pattern, text)


@pytest.mark.parametrize("pattern, wanted", [
    ("abc", ("abc",)), ("ab*c", ("a",)), ("ab+cd", ("cd",)), ("(abc|de)x?", ("abc", "de")), ("(abc|d*)ef", ("ef",)),
    (r"a\bb", ("ab",)), ("a(bc)d", ("abcd",)), ("(?i)abc", ()), ("[ab]c", ("c",)), ("[ab]|c", ()), (".*", ()),
    ("x{2,}yz", ("yz",)), (r"\Qa.b\E", ("a.b",)), ("(ab){0,2}c", ("c",)), ("", ()), ("a|", ()),
])
def test_what_a_text_must_have_to_match(pattern: str, wanted: Tuple[str, ...]) -> None:
    assert Regex(pattern).needles == wanted


def test_noise_is_a_regex_or_refused() -> None:
    source = random.Random(4)
    parsed = 0
    for _ in range(5000):
        text = "".join(source.choice("ab(){}[]*+?|^$.\\-:,1i?PpQEdxz<>") for _ in range(source.randrange(10)))
        try:
            Regex(text).search("ab-1\nxyz")
            parsed += 1
        except RegexError:
            pass
    assert parsed > 500


@pytest.mark.parametrize("pattern", ["(a+)+$", "(a|a)*$", "a*a*a*a*a*b", "(.*a){10}b", "(a|b)*a(a|b){12}$"])
def test_no_pattern_hangs(pattern: str) -> None:
    """Backtracking would need longer than the age of the universe for some of these."""
    regex = Regex(pattern)
    begin = time.process_time()
    regex.search("a" * 20000 + "c")
    assert time.process_time() - begin < 5


def test_a_search_that_takes_too_long_is_given_up() -> None:
    regex = Regex("(a|b)*a(a|b){900}c")
    source = random.Random(2)
    subject = "".join(source.choice("ab") for _ in range(65536))
    begin = time.process_time()
    assert not regex.search(subject + "c")
    assert time.process_time() - begin < 10
    assert regex.search("a" + subject[:900] + "c"), "and the next one is not"


def test_building_an_empty_repetition_is_quick() -> None:
    begin = time.process_time()
    Regex("(((){1000}){1000}){1000}")
    assert time.process_time() - begin < 1


def test_a_regex_remembers_a_limited_number_of_transitions() -> None:
    regex = Regex("(a|b)*a(a|b){12}$")
    source = random.Random(8)
    regex.search("".join(source.choice("ab") for _ in range(20000)) + "".join(chr(256 + n) for n in range(2000)))
    assert sum(len(known) for known in regex.moves.values()) < 50000
