"""Policy files: YAML where it can be read, directories, policies that give way, entries of the wrong shape, size."""

import datetime
import json
import os
import subprocess
import sys
import time
import types
from pathlib import Path
from typing import Any, Dict, List, Tuple

import pytest

from ebpfless_arch.rules.policy import LoadedPolicies, PolicyError, load_policies
from secl_rules import Agent, load, opened, rule, setting

_SHARED = Path(__file__).resolve().parent.parent.parent / "shared" / "reference" / "datadog"
RULES = 'rules:\n  - id: y\n    expression: open.file.name == "y"\n'
# PyYAML is no part of our environment; a system's Python may have it.
YAML_PYTHONS = [python for python in (sys.executable, "/usr/bin/python3") if os.path.exists(python)
                and subprocess.call([python, "-c", "import yaml"], stderr=subprocess.DEVNULL) == 0]


def without_yaml(monkeypatch: pytest.MonkeyPatch) -> None:
    """Importing yaml fails from now on."""
    monkeypatch.setitem(sys.modules, "yaml", None)


def put(folder: Path, name: str, *rules: Dict[str, Any], **keys: Any) -> str:
    path = folder / name
    path.write_text(json.dumps(dict(keys, rules=list(rules))), encoding="utf-8")
    return str(path)


def names(loaded: LoadedPolicies) -> List[str]:
    return [rule.id for rule in loaded.rules]


# YAML

@pytest.mark.parametrize("ending", ["policy", "yaml", "yml"])
def test_without_pyyaml_the_error_says_how_to_convert(tmp_path: Path, ending: str,
                                                      monkeypatch: pytest.MonkeyPatch) -> None:
    without_yaml(monkeypatch)
    path = tmp_path / f"it's mine.{ending}"
    path.write_text(RULES)
    with pytest.raises(PolicyError) as caught:
        load_policies([str(path)])
    text = str(caught.value)
    assert text.startswith(str(path)) and "\n" not in text and "no PyYAML" in text
    # A stand-in for PyYAML on the path: what is proposed is a command that a shell can run.
    (tmp_path / "yaml.py").write_text(
        "import datetime\n\ndef safe_load(file):\n    return {'n': len(file.read()), 'day': datetime.date.min, "
        "'rules': [{'id': 'y', 'expression': 'open.flags == 0'}]}\n")
    command = text.split("convert the file: ")[1].replace("python3", sys.executable)
    subprocess.check_call(command, shell=True, env=dict(os.environ, PYTHONPATH=str(tmp_path)))
    assert names(load_policies([str(tmp_path / "it's mine.json")])) == ["y"]


def test_json_needs_no_pyyaml_whatever_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    without_yaml(monkeypatch)
    loaded = load_policies([put(tmp_path, "a.policy", rule("x", "open.flags == 0"))])
    assert names(loaded) == ["x"] and loaded.policies[0].name == "a"


def stand_in(content: object, fault: str = "") -> Any:
    """A module like PyYAML that reads `content` out of anything, or finds a fault."""
    module: Any = types.ModuleType("yaml")

    class Mark:
        line, column = 2, 4

    class Error(Exception):
        problem = fault
        problem_mark = Mark()

    def load_anything(text: str, Loader: object) -> object:
        assert Loader == "safe"
        if fault:
            raise Error()
        return content

    module.SafeLoader, module.YAMLError, module.load = "safe", Error, load_anything
    return module


def test_yaml_is_read_where_pyyaml_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = {"version": 1.5, "rules": [{"id": "y", "expression": "open.flags == 0", "version": 2}]}
    monkeypatch.setitem(sys.modules, "yaml", stand_in(content))
    (tmp_path / "mine.policy").write_text(RULES)
    loaded = load_policies([str(tmp_path)])
    assert loaded.problems == [] and names(loaded) == ["y"] and loaded.policies[0].version == "1.5"


def test_bad_yaml_is_refused_with_its_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "yaml", stand_in(None, "what is\nthis"))
    (tmp_path / "mine.yml").write_text(RULES)
    with pytest.raises(PolicyError) as caught:
        load_policies([str(tmp_path)])
    assert str(caught.value) == f"{tmp_path}/mine.yml:3:5: not YAML: what is this"


def test_yaml_that_no_json_can_hold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    circle: List[object] = []
    circle.append(circle)
    (tmp_path / "mine.yml").write_text(RULES)
    for bad, words in ((circle, "Circular reference"), ({(1, 2): 3}, "keys must be")):
        monkeypatch.setitem(sys.modules, "yaml", stand_in({"rules": [{"id": "x", "actions": bad}]}))
        with pytest.raises(PolicyError) as caught:
            load_policies([str(tmp_path)])
        assert "mine.yml: the YAML holds what a policy cannot: " in str(caught.value) and words in str(caught.value)
    rule = {"id": "x", "expression": "open.flags == 0", "version": datetime.date(2026, 1, 2), "description": "\ud812"}
    monkeypatch.setitem(sys.modules, "yaml", stand_in({"rules": [rule]}))
    loaded, = load_policies([str(tmp_path)]).rules
    assert (loaded.version, loaded.description) == ("2026-01-02", "\ufffd")


@pytest.mark.skipif(not YAML_PYTHONS, reason="needs a Python with PyYAML (Debian's python3-yaml)")
@pytest.mark.skipif(not _SHARED.exists(), reason="the published policy is not beside the repository")
def test_the_published_policy_is_the_same_in_both_forms() -> None:
    """Read by a Python that has PyYAML; the stand-ins above show what is done with it."""
    script = ("import sys; from ebpfless_arch.rules.policy import load_policies\n"
              "for path in sys.argv[1:]:\n"
              "    found = load_policies([path])\n"
              "    print(found.problems, [rule.id for rule in found.rules])\n")
    paths = [str(_SHARED / name) for name in ("default.policy", "default.policy.json")]
    root = str(Path(__file__).resolve().parent.parent)
    output = subprocess.check_output([YAML_PYTHONS[0], "-c", script] + paths, cwd=root).decode()
    one, other = output.splitlines()
    assert one == other and one.startswith("[] ['")


# Directories and whole policies

def test_directories_take_all_endings_and_json_before_yaml_of_the_same_name(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    without_yaml(monkeypatch)
    (tmp_path / "a.policy").write_text(RULES)
    put(tmp_path, "a.policy.json", rule("a", "open.flags == 0"))
    put(tmp_path, "z.yml", rule("z", "open.flags == 0"))
    put(tmp_path, "default.yaml", rule("d", "open.flags == 0"))
    (tmp_path / "b.txt").write_text("x")
    assert [policy.name for policy in load_policies([str(tmp_path)]).policies] == ["default", "a", "z"]


def test_of_two_default_policies_the_first_counts(tmp_path: Path) -> None:
    for folder in ("1", "2"):
        (tmp_path / folder).mkdir()
        put(tmp_path / folder, "default.json", rule("r" + folder, "open.flags == 0"))
    loaded = load_policies([str(tmp_path / "1"), str(tmp_path / "2")])
    assert names(loaded) == ["r1"] and loaded.problems == []
    assert [(skipped.rule_id, skipped.status, skipped.reason) for skipped in loaded.skipped] == [
        ("r2", "filtered", f"the default policy is {tmp_path}/1/default.json")]


def test_a_policy_can_replace_another(tmp_path: Path) -> None:
    put(tmp_path, "old.json", rule("old", "open.flags == 0"))
    put(tmp_path, "new.json", rule("new", "open.flags == 0"), replace_policy_id="old")
    loaded = load_policies([str(tmp_path)])
    assert names(loaded) == ["new"]
    assert [skipped.rule_id for skipped in loaded.skipped] == ["old"] and "new.json" in loaded.skipped[0].reason


# Combining

def test_override_of_all_takes_everything_but_the_expression_of_a_default_rule(tmp_path: Path) -> None:
    put(tmp_path, "default.json", rule("x", "open.flags == 0", tags={"a": "1"}))
    put(tmp_path, "first.json", rule("y", "open.flags == 0"))
    change: Dict[str, Any] = dict(
        combine="override", override_options={"fields": ["all"]}, tags={"b": "2"}, every="1h",
        actions=[{"log": {"level": "info"}}], silent=True)
    put(tmp_path, "second.json", dict(change, id="x", expression="open.flags == 1"), dict(change, id="y"))
    loaded = load_policies([str(tmp_path)])
    changed, kept = loaded.rules
    assert (changed.id, changed.expression, changed.tags, changed.silent) == ("x", "open.flags == 0", {"b": "2"}, True)
    assert changed.limiter.burst == 1 and [action.kind for action in changed.actions] == ["log"]
    assert (kept.id, kept.tags, kept.silent) == ("y", {}, False)
    problem, = loaded.problems
    assert problem.rule_id == "y" and "override of all is for rules of a default policy" in problem.message


def test_override_of_single_keys(tmp_path: Path) -> None:
    log, other = {"log": {"level": "info"}}, {"log": {"level": "error"}}
    put(tmp_path, "a.json", dict(rule("x", "open.flags == 0", log, every="1h"), product_tags=["p"], tags={"a": "1"}))
    put(tmp_path, "b.json", {"id": "x", "combine": "override", "actions": [log, other], "every": 7, "tags": {"b": "2"},
                             "product_tags": ["q"], "silent": True,
                             "override_options": {"fields": ["actions", "every", "product_tags"]}})
    loaded = load_policies([str(tmp_path)])
    changed, = loaded.rules
    assert loaded.problems == []
    assert len(changed.actions) == 2 and changed.limiter.interval == 7
    assert (changed.product_tags, changed.tags, changed.silent) == (["q"], {"a": "1"}, False)


def test_a_change_of_a_rule_for_other_hosts_is_no_mistake(tmp_path: Path) -> None:
    put(tmp_path, "a.json", dict(rule("x", "open.flags == 0"), filters=['os == "windows"']))
    put(tmp_path, "b.json", {"id": "x", "disabled": True}, {"id": "y", "disabled": True})
    loaded = load_policies([str(tmp_path)])
    assert [skipped.status for skipped in loaded.skipped] == ["filtered", "filtered"]
    assert [problem.rule_id for problem in loaded.problems] == ["y"]


def test_macros_in_a_circle_are_told_as_such(tmp_path: Path) -> None:
    loaded = load(tmp_path, rule("bad", "exec.uid in ONE"), rule("good", "exec.uid == FINE"), macros=[
        {"id": "ONE", "expression": "TWO || true"}, {"id": "TWO", "expression": "ONE || true"},
        {"id": "SELF", "expression": "SELF"}, {"id": "FINE", "expression": "1"}])
    assert [(problem.what, problem.rule_id) for problem in loaded.problems] == [
        ("macro", "ONE"), ("macro", "TWO"), ("macro", "SELF"), ("rule", "bad")]
    texts = [problem.message for problem in loaded.problems]
    assert ["defined before it" in text for text in texts] == [True, False, True, False]
    assert ["the macro ONE has a mistake of its own" in text for text in texts] == [False, True, False, True]
    assert names(loaded) == ["good"]


@pytest.mark.parametrize("key, value, words", [
    ("tags", [], "tags must be an object with texts"), ("tags", {"a": []}, "tags must be"),
    ("product_tags", "x", "product_tags must be a list of texts"), ("silent", "yes", "silent must be true or false"),
    ("disabled", 1, "disabled must be"), ("priority", "high", "priority must be an integer"),
    ("priority", True, "priority must be"), ("description", 3, "description must be a text"),
    ("combine", "merge", "combine is override"), ("override_options", [], "must be an object with a list"),
    ("override_options", {"fields": ["expression"]}, "cannot name expression"), ("agent_version", 7, "must be a text"),
    ("filters", [3], "filters must be a list of texts"), ("version", [], "version must be a text"),
])
def test_entries_of_the_wrong_shape_are_reported(tmp_path: Path, key: str, value: object, words: str) -> None:
    loaded = load(tmp_path, dict(rule("x", "open.flags == 0"), **{key: value}), rule("fine", "open.flags == 0"))
    problem, = loaded.problems
    assert problem.rule_id == "x" and words in problem.message
    assert names(loaded) == ["fine"]


def test_null_is_the_same_as_nothing(tmp_path: Path) -> None:
    empty = {key: None for key in ("tags", "silent", "every", "actions", "filters", "priority", "combine", "version",
                                   "limiter_token", "product_tags", "agent_version", "group_id", "disabled")}
    loaded = load(tmp_path, dict(empty, id="x", expression="open.flags == 0"))
    assert loaded.problems == [] and names(loaded) == ["x"]


# Size

def big_rule(number: int) -> Dict[str, Any]:
    texts = (f'open.file.path == "/etc/f{number}" && open.flags & O_WRONLY > 0 && process.file.name != "a{number}"',
             f'exec.file.path in ["/bin/x{number}", ~"/usr/lib/{number}/**"] && process.args =~ "*-{number}*"',
             f'exec.file.name == "p{number}" && process.ancestors.file.name in ["sshd", "c{number}"] && exec.uid == 0',
             f'unlink.file.path == "/var/log/{number}" && process.file.path != "/usr/bin/y{number}"')
    pids = setting(f"v{number % 50}", field="process.pid", append=True, ttl="1h")
    return rule(f"rule_{number}", texts[number % 4], pids,
                description="A rule among many others, as a site may have them")


def test_five_thousand_rules_load_in_three_seconds_and_one_bad_one_among_them_is_told(tmp_path: Path) -> None:
    rules = [big_rule(number) for number in range(5000)]
    rules[2501]["expression"] += " && exec.nope == 1"
    path = put(tmp_path, "big.json", *rules)
    assert os.path.getsize(path) > 10**6
    spent, loaded = timed_load(path)
    if spent >= 3 * slowness():
        spent, loaded = timed_load(path)
    assert [problem.rule_id for problem in loaded.problems] == ["rule_2501"]
    assert len(loaded.rules) + len(loaded.skipped) == 4999
    assert Agent(loaded).tell(opened("/etc/f4")) == []
    assert spent < 3 * slowness()


def timed_load(path: str) -> Tuple[float, LoadedPolicies]:
    """What a policy is loaded to, after how many seconds of the processor. Those who run beside us take its caches, so that one
    try may be unlucky."""
    began = time.process_time()
    loaded = load_policies([path])
    return time.process_time() - began, loaded


def slowness() -> float:
    """How much slower than usual this machine is: an empty function call takes 0.05 us there."""
    def function() -> None:
        pass

    best = 1.0
    for _ in range(20):
        began = time.process_time()
        for _ in range(20000):
            function()
        best = min(best, time.process_time() - began)
    return max(1.0, best / 20000 / 0.05e-6)


def test_the_benchmark_prints_its_table() -> None:
    script = str(Path(__file__).resolve().parent.parent / "scripts" / "bench-rules")
    lines = subprocess.check_output([sys.executable, script, "--rounds", "1"]).decode().splitlines()
    assert lines[0].startswith("load: ") and lines[1].startswith("an empty function call: ")
    assert {"exec", "open", "exit"} <= {line.split()[0] for line in lines[3:]}
    assert b"--limit" in subprocess.check_output([sys.executable, script, "--help"])
