"""Warnings about what a rule's author may not have meant: the examples in the checks' own words, and the policies."""

import json
import os
import re
from pathlib import Path
from typing import Iterator, List, Tuple

import pytest

from ebpfless_arch.rules.cases import Facts, facts_table
from ebpfless_arch.rules.compile import Compiler
from ebpfless_arch.rules.fields import field_table
from ebpfless_arch.rules.lint import NOTES, WARNINGS, Check, Warned, lint, lint_policies
from ebpfless_arch.rules.linted import Scope
from ebpfless_arch.rules.policy import LoadedPolicies, load_policies
from ebpfless_arch.rules.typed import Variables

_PUBLISHED = os.path.join(os.path.dirname(__file__), "..", "..", "shared", "reference", "datadog",
                          "default.policy.json")
_EXAMPLE = re.compile(r"^ *(warns|silent): (.*)$", re.MULTILINE)
TABLE = field_table()
VARIABLES = Variables({"name": ("string", "")})
SCOPE = Scope(TABLE, {}, VARIABLES)


def examples() -> Iterator[Tuple[Check, str, str]]:
    """What the docstrings of the checks promise."""
    for check in WARNINGS + NOTES:
        for verdict, text in _EXAMPLE.findall(check.__doc__ or ""):
            yield check, verdict, text


@pytest.mark.parametrize("check, verdict, text", list(examples()),
                         ids=lambda value: getattr(value, "__name__", str(value)))
def test_a_check_does_as_it_says(check: Check, verdict: str, text: str) -> None:
    Compiler(TABLE, VARIABLES).compile(text)
    found = [name for _, name, _ in lint(text, SCOPE)]
    assert (check.__name__ in found) == (verdict == "warns"), found


@pytest.mark.parametrize("check", WARNINGS + NOTES, ids=lambda check: str(check.__name__))
def test_a_check_has_examples_of_both_kinds(check: Check) -> None:
    assert {verdict for verdict, _ in _EXAMPLE.findall(check.__doc__ or "")} == {"warns", "silent"}


def test_checks_have_names_of_their_own() -> None:
    names = [check.__name__ for check in WARNINGS + NOTES]
    assert sorted(set(names)) == sorted(names)


def told(text: str) -> List[Tuple[int, str]]:
    return [(finding.offset, finding.message) for level, _, finding in lint(text, SCOPE) if level == "warning"]


@pytest.mark.parametrize("text, column, reading", [
    ("exec.uid == 0 && exec.gid == 0 || exec.pid == 1", 31, "exec.uid == 0 && (exec.gid == 0 || exec.pid == 1)"),
    ("exec.uid == 0 or exec.gid == 0 and exec.pid == 1 or exec.tid == 2", 31,
     "exec.uid == 0 or (exec.gid == 0 and (exec.pid == 1 or exec.tid == 2))"),
    ("exec.pid > 1 && (exec.uid == 0 && exec.gid == 0 || exec.pid == 1)", 48,
     "exec.uid == 0 && (exec.gid == 0 || exec.pid == 1)"),
    ("(exec.uid == 0 || exec.gid == 0) && exec.pid == 1 || !exec.is_thread", 50,
     "(exec.uid == 0 || exec.gid == 0) && (exec.pid == 1 || !exec.is_thread)"),
    ("!exec.is_thread == exec.args_truncated", 0, "(!exec.is_thread) == exec.args_truncated"),
    ("open.flags & O_CREAT|O_TRUNC > 0", 20, "open.flags & (O_CREAT | O_TRUNC)"),
    ("exec.gid + 3 & 2 == 2", 13, "exec.gid + (3 & 2)"),
])
def test_readings(text: str, column: int, reading: str) -> None:
    (offset, message), = told(text)
    assert offset == column
    assert message.endswith("this is read as " + reading)


def test_the_reading_is_what_the_language_does() -> None:
    """The reading, written out, gives the same tree."""
    from ebpfless_arch.rules.grammar import parse_rule
    from ebpfless_arch.rules.tree import render

    for text in ("exec.uid == 0 && exec.gid == 0 || exec.pid == 1 && !exec.is_thread",
                 "exec.uid == 0 || exec.gid == 0 && exec.pid == 1 || exec.tid == 2"):
        (_, message), = told(text)
        assert render(parse_rule(message.partition("read as ")[2])) == render(parse_rule(text))


@pytest.mark.parametrize("text", [
    "exec.uid == 0 && (exec.gid == 0 || exec.pid == 1)", "(exec.uid == 0 && exec.gid == 0) || exec.pid == 1",
    "exec.uid == 0 && exec.gid == 0 && exec.pid == 1", 'exec.file.name in ["a", ~"b*"] && !exec.is_thread',
    "open.flags & (O_CREAT|O_TRUNC|O_RDWR) > 0", 'exec.file.path =~ "/usr/**/x" && exec.uid != 0',
])
def test_what_is_usual_is_left_alone(text: str) -> None:
    assert told(text) == []


def test_a_long_run_is_shortened() -> None:
    text = " && ".join(f"exec.pid != {number}" for number in range(300)) + " || exec.uid == 0"
    (_, message), = told(text)
    assert len(message) < 300
    assert message.endswith("exec.pid != 0 && ... && exec.pid != 298 && (exec.pid != 299 || exec.uid == 0)")


@pytest.mark.parametrize("field, pattern", [
    ("exec.file.name", "*abab"), ("exec.file.name", "*s"), ("exec.file.name", "lib*.so*.so"), ("exec.args", "-x*11"),
    ("open.file.path", "/usr/*/lib*1"), ("open.file.path", "/**/x*aa"),
])
def test_the_text_that_is_missed_is_true(field: str, pattern: str) -> None:
    """The language does not match it, a matcher that goes back would."""
    rule = f'{field} == ~"{pattern}"'
    (_, message), = told(rule)
    missed = message.partition('does not match "')[2].partition('"')[0]
    assert not Compiler(facts_table()).compile(rule).test(Facts({field: missed}))
    assert re.match(re.escape(pattern).replace(r"\*", ".*") + r"\Z", missed)


def test_mistakes_are_left_to_the_checker() -> None:
    for text in ("exec.uid ==", "exec.nope == 1 && exec.uid == 0 || exec.gid == 0", 'exec.uid == "a*"', "", "("):
        assert lint(text, SCOPE) == []


def load(folder: Path, **content: object) -> LoadedPolicies:
    path = folder / "p.json"
    path.write_text(json.dumps(content), encoding="utf-8")
    return load_policies([str(path)])


def warnings_of(loaded: LoadedPolicies) -> List[Warned]:
    return [warned for warned in lint_policies(loaded) if warned.level == "warning"]


def test_macros_and_actions_are_looked_at(tmp_path: Path) -> None:
    loaded = load(tmp_path, macros=[{"id": "VALUES", "values": ["a*", "b"]}, {"id": "LIST", "expression": '["c*"]'},
                                    {"id": "LATER", "expression": "exec.uid == 0 && LIST_IS_UNKNOWN || true"}],
                  rules=[{"id": "x", "expression": "exec.file.name in VALUES", "actions": [
                      {"filter": "exec.uid == 0 &&\n exec.gid == 0 || exec.pid == 1",
                       "set": {"name": "v", "default_value": 1, "expression": "exec.gid + 3 & 2"}}]}])
    assert [(one.what, one.id, one.part, one.line, one.column, one.check) for one in warnings_of(loaded)] == [
        ("macro", "VALUES", "values", 0, 0, "literal_star"),
        ("macro", "LIST", "expression", 1, 2, "literal_star"),
        ("rule", "x", "filter of action 1", 2, 16, "mixed_connectives"),
        ("rule", "x", "expression of action 1", 1, 14, "bits_in_sums")]


def test_what_a_macro_holds_is_judged_beside_the_field(tmp_path: Path) -> None:
    loaded = load(tmp_path, macros=[{"id": "NAMES", "expression": '["systemd-journald"]'}],
                  rules=[{"id": "x", "expression": "exec.file.name in NAMES || exec.comm in NAMES"}])
    (warned,) = warnings_of(loaded)
    assert (warned.check, warned.column) == ("impossible_text", 41)


def test_rules_on_file_changes_are_looked_at_once(tmp_path: Path) -> None:
    loaded = load(tmp_path, rules=[{"id": "x", "expression": 'fim.write.file.path == ~"*/x"'}])
    assert [warned.check for warned in warnings_of(loaded)] == ["star_before_root"]


def test_a_large_policy_is_looked_at_quickly(tmp_path: Path) -> None:
    """Nothing grows with the square of a run's length: this would take minutes."""
    long_run = " || ".join(f'exec.file.name == "name{number}"' for number in range(5000))
    loaded = load(tmp_path, rules=[{"id": "x", "expression": long_run}])
    assert loaded.problems == []
    assert lint_policies(loaded) == []


def test_the_built_in_policy_has_no_warning() -> None:
    path = os.path.join(os.path.dirname(__file__), "..", "ebpfless_arch", "rules", "default.json")
    assert warnings_of(load_policies([path])) == []


@pytest.mark.skipif(not os.path.exists(_PUBLISHED), reason="the published policy is not beside the repository")
def test_the_published_policy_has_few_warnings() -> None:
    found = [(warned.id, warned.check) for warned in warnings_of(load_policies([_PUBLISHED]))]
    assert len(found) < 20
    assert ("release_agent_escape", "literal_star") in found
    assert ("lateral_movement_tool", "contradiction") in found
