"""The built-in policy: every rule matches what it is for and misses what is next to it; ordinary work is silent."""

import json
import os
import re
import shutil
from pathlib import Path
from typing import Any, Dict, Iterator, List

import pytest

from blackbox import REPOSITORY, Compiler, ebpfless, environment, read_events, run, trace_command
from default_policy_cases import CASES, FILES, WORKS, Work
from policy_world import Case, Found, World, chosen, containers, named, play

POLICY = REPOSITORY / "ebpfless_arch" / "rules" / "default.json"
SEVERITIES = ("critical", "high", "medium", "low", "info")
WORLD = World(CASES, FILES, "played /usr/bin/dpkg /usr/bin/passwd /usr/sbin/sysctl")


def policy() -> Dict[str, Any]:
    """The built-in policy as its file has it."""
    found = json.loads(POLICY.read_text())
    assert isinstance(found, dict)
    return found


RULES: List[Dict[str, Any]] = policy()["rules"]
NAMED_CASES = named(CASES)


# --- what the file says ------------------------------------------------------------


def test_the_policy_has_no_mistake_and_all_of_it_is_active() -> None:
    result = run(ebpfless("check", str(POLICY)))
    told = result.stdout.decode()
    assert result.status == 0 and "%d rules" % len(RULES) in told and "0 errors, 0 warnings" in told, told


def test_every_rule_has_its_cases() -> None:
    assert {case.rule for case in CASES} == {rule["id"] for rule in RULES}
    assert len(RULES) >= 45


def test_every_macro_is_used() -> None:
    expressions = [rule["expression"] for rule in RULES]
    for macro in policy()["macros"]:
        assert any(re.search(r"\b%s\b" % macro["id"], text) for text in expressions), macro["id"]


@pytest.mark.parametrize("rule", RULES, ids=[rule["id"] for rule in RULES])
def test_a_rule_says_what_and_how_bad(rule: Dict[str, Any]) -> None:
    assert set(rule) == {"id", "description", "expression", "tags", "product_tags"}
    assert rule["tags"]["severity"] in SEVERITIES
    assert rule["description"][0].isupper() and not rule["description"].endswith(".")
    kinds = [tag.partition(":")[0] for tag in rule["product_tags"]]
    assert {"tactic", "technique"} == set(kinds)
    for tag in rule["product_tags"]:
        assert re.match(r"(tactic:TA\d{4}|technique:T\d{4}(\.\d{3})?)-[a-z0-9]+(-[a-z0-9]+)*$", tag), tag


def test_no_rule_leans_on_the_precedence_of_and_and_or() -> None:
    """SECL has one level for both, so a mixture without parentheses rarely means what it says."""
    for rule in RULES:
        text = re.sub(r'"(\\.|[^"\\])*"', "", rule["expression"])
        assert text.count("(") == text.count(")"), rule["id"]
        while "(" in text:
            inner = re.findall(r"\(([^()]*)\)", text)
            assert not any("&&" in part and "||" in part for part in inner), rule["id"]
            text = re.sub(r"\([^()]*\)", "", text)
        assert not ("&&" in text and "||" in text), rule["id"]


# --- what it does ------------------------------------------------------------------


@pytest.fixture(scope="module")
def cgroups() -> Iterator[str]:
    """Where containers can be made."""
    yield from containers("built-in")


@pytest.fixture(scope="module")
def found(request: Any, tmp_path_factory: pytest.TempPathFactory, compile_c: Compiler, cgroups: str) -> Found:
    """What the cases led to."""
    return play(WORLD, chosen(request), tmp_path_factory.mktemp("world"), compile_c, cgroups)


@pytest.mark.root
@pytest.mark.parametrize("name, case", NAMED_CASES, ids=[name for name, _ in NAMED_CASES])
def test_a_rule_matches(name: str, case: Case, found: Found) -> None:
    assert (name, "match", case.rule) in found


@pytest.mark.root
@pytest.mark.parametrize("name, case", NAMED_CASES, ids=[name for name, _ in NAMED_CASES])
def test_a_rule_misses_what_is_next_to_it(name: str, case: Case, found: Found) -> None:
    assert (name, "miss", case.rule) not in found


# --- silence -----------------------------------------------------------------------


SEARCH = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"]
                         + sorted(map(str, Path("/usr/lib/postgresql").glob("*/bin")))[-1:])


@pytest.mark.once
@pytest.mark.parametrize("work", WORKS, ids=[work.name for work in WORKS])
def test_ordinary_work_is_silent(work: Work, public_dir: Path) -> None:
    """As a job of a build service, which says that it is one; the last command shows that somebody listens."""
    for program in work.needs.split():
        if shutil.which(program, path=SEARCH) is None:
            pytest.skip("needs " + program)
    if work.name == "postgres" and os.geteuid() != 0:
        pytest.skip("needs root, to run a server as somebody else")
    output = public_dir / "detections"
    (public_dir / "work").mkdir()
    (public_dir / "script").write_text("set -e\n%s\nsh -c 'history -c' || true\n" % work.script)
    result = run(trace_command(["sh", "../script"], ["--wait-all", "--format", "json", "--output", str(output)]),
                 cwd=str(public_dir / "work"), env=environment(CI="true", PATH=SEARCH))
    assert result.status == 0, result.stderr.decode()
    detections = [(event["agent"]["rule_id"], event["process"]["args"]) for event in read_events(str(output))]
    assert detections == [("history_removed", ["-c", "history -c"])]
