"""Policies: files, shapes, filters, combination, and mistakes that stop nobody else."""

import json
import os
import re
from pathlib import Path
from typing import Any, Dict, List, Sequence, Union

import pytest

from ebpfless_arch.events.model import Event, ExecEvent, File, OpenEvent, Process
from ebpfless_arch.events.users import Users
from ebpfless_arch.rules.attributes import needs_look
from ebpfless_arch.rules.fields import field_table
from ebpfless_arch.rules.host import Host, this_host, version_matches
from ebpfless_arch.rules.policy import LoadedPolicies, PolicyError, load_policies, read_policy

_PUBLISHED = os.path.join(os.path.dirname(__file__), "..", "..", "shared", "reference", "datadog",
                          "default.policy.json")
USERS = Users("/nonexistent/passwd", "/nonexistent/group")
Entry = Dict[str, Any]


def write(folder: Path, name: str, content: Union[str, Entry]) -> str:
    path = folder / name
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return str(path)


def load(folder: Path, *rules: Entry, macros: Sequence[Entry] = ()) -> LoadedPolicies:
    return load_policies([write(folder, "p.json", {"version": "1.2", "macros": list(macros), "rules": list(rules)})])


def opened(path: str, flags: int = 0, retval: int = 0) -> Event:
    return OpenEvent(10**18, Process(USERS, 1, 0), 1, retval, File(USERS, path), flags, 0, path)


def started(path: str, retval: int = 0) -> Event:
    record = Process(USERS, 1, 0)
    record.file = File(USERS, path)
    return ExecEvent(10**18, record, 1, retval, path)


def fired(loaded: LoadedPolicies, event: Event) -> List[str]:
    return [rule.id for rule in loaded.rule_set.evaluate(event)]


def test_a_rule_carries_what_the_policy_says(tmp_path: Path) -> None:
    actions = [{"log": {"level": "info"}}]
    loaded = load(tmp_path, {
        "id": "shadow", "version": "3", "description": "Reads it", "expression": 'open.file.path == "/etc/shadow"',
        "tags": {"severity": "high", "tactic": "TA0006"}, "product_tags": ["a", "b"], "silent": True,
        "actions": actions,
        "unknown": 1})
    rule, = loaded.rules
    assert (rule.id, rule.version, rule.description, rule.event_type) == ("shadow", "3", "Reads it", "open")
    assert rule.expression == 'open.file.path == "/etc/shadow"'
    assert (rule.tags, rule.product_tags) == ({"severity": "high", "tactic": "TA0006"}, ["a", "b"])
    assert (rule.severity, rule.policy_name, rule.policy_version, rule.silent) == ("high", "p", "1.2", True)
    assert [action.kind for action in rule.actions] == ["log"] and rule.entry["actions"] == actions
    assert loaded.rule_set.event_types == frozenset(["open"])
    assert fired(loaded, opened("/etc/shadow")) == ["shadow"]
    assert fired(loaded, opened("/etc/passwd")) == []
    assert load(tmp_path, {"id": "x", "expression": "exec.uid == 0"}).rules[0].severity == "info"


def test_failed_calls_count_only_when_refused(tmp_path: Path) -> None:
    loaded = load(tmp_path, {"id": "x", "expression": 'open.file.path == "/x"'})
    assert [fired(loaded, opened("/x", retval=value)) for value in (0, 5, -13, -1, -2, -4)] == [
        ["x"], ["x"], ["x"], ["x"], [], []]


def test_one_bad_rule_stops_nobody(tmp_path: Path) -> None:
    loaded = load(tmp_path, {"id": "bad", "expression": 'exec.uid == 0 &&\nexec.fil.path == "/x"'},
                  {"id": "good", "expression": "exec.uid == 0"}, {"expression": "exec.uid == 0"},
                  {"id": "a b", "expression": ""},
                  {"id": "number", "expression": 3}, {"id": "nothing"},
                  {"id": "badmacro", "expression": "exec.uid in LIST"},
                  macros=[{"id": "LIST", "expression": "[1, "}, {"id": "BOTH", "expression": "1", "values": ["1"]},
                          {"id": "FIM", "expression": 'fim.write.file.path == "/x"'}])
    assert [rule.id for rule in loaded.rules] == ["good"]
    assert [(p.what, p.rule_id, p.line, p.column, p.reason) for p in loaded.problems] == [
        ("macro", "LIST", 1, 5, "syntax_error"), ("macro", "BOTH", 0, 0, "error"),
        ("macro", "FIM", 1, 1, "restricted_field"), ("rule", "without id", 0, 0, "error"),
        ("rule", "a b", 0, 0, "error"),
        ("rule", "number", 0, 0, "error"), ("rule", "nothing", 0, 0, "error"), ("rule", "bad", 2, 1, "unknown_field"),
        ("rule", "badmacro", 1, 13, "unknown_macro")]
    problem = loaded.problems[7]
    assert str(problem) == (f"{tmp_path}/p.json: rule 'bad': 2:1: unknown field exec.fil.path; did you mean "
                            "exec.file.path?")
    assert problem.excerpt == 'exec.fil.path == "/x"\n^'


def test_a_mistyped_key_is_told_with_what_it_costs(tmp_path: Path) -> None:
    loaded = load(tmp_path, {"id": "x", "expresion": 'open.file.path == "/x"', "tag": {}}, {"id": "y", "tags": {}})
    assert [problem.message for problem in loaded.problems] == [
        "there is no expression, and no rule of this id to change; 'expresion' is no key of a rule; did you mean expression?",
        "there is no expression, and no rule of this id to change"]


def test_a_problem_is_one_printable_line(tmp_path: Path) -> None:
    loaded = load(tmp_path, {"id": "x", "expression": 'open.file.path == "\x1b[31m\n\ud800/\u202e"'})
    assert "\n" not in str(loaded.problems[0]) and "\x1b" not in str(loaded.problems[0])
    str(loaded.problems[0]).encode("utf-8")
    loaded.problems[0].excerpt.encode("utf-8")


@pytest.mark.parametrize("content, words", [
    ('{"rules": [\n  {"id": }\n]}', "p.json:2:10: not JSON"), ("[]", "a JSON object"),
    ("{}", "neither rules nor macros"),
    ('{"rules": {}}', "rules must be a list"), ('{"rules": [1]}', "rules must be a list of objects"),
    ('{"macros": "x"}', "macros must be a list"), ("", "p.json:1:1: not JSON"), ("[" * 100000, "nested too deeply"),
])
def test_files_of_another_shape_are_refused(tmp_path: Path, content: str, words: str) -> None:
    with pytest.raises(PolicyError) as caught:
        load_policies([write(tmp_path, "p.json", content)])
    assert words in str(caught.value) and "\n" not in str(caught.value)


def test_half_a_character_is_no_text(tmp_path: Path) -> None:
    """JSON can name surrogates that are alone; only those that stand for bytes which are no UTF-8 mean something."""
    expression = r'open.file.path == \"/%s\"'
    texts = {"half": r"\ud812", "both": r"\ude00\ud83d", "escaped": r"\\\\ud812x", "byte": r"\udcff", "pair": r"\ud83d\ude00"}
    rules = ['{"id": "%s", "expression": "%s"}' % (name, expression % text) for name, text in texts.items()]
    rules.append(r'{"id": "set", "expression": "open.flags == 0", "actions": [{"set": {"name": "v", "value": "\ud812"}}]}')
    rules.append(r'{"id": "read", "expression": "open.flags == 0 && ${v.length} == 0"}')
    loaded = load_policies([write(tmp_path, "p.json", '{"rules": [%s]}' % ", ".join(rules))])
    assert [(problem.rule_id, problem.reason) for problem in loaded.problems] == [("pair", "syntax_error")]
    assert fired(loaded, opened("/\ufffd")) == ["half", "set", "read"]
    assert fired(loaded, opened("/\ufffd\ufffd")) == ["both", "set", "read"]
    assert fired(loaded, opened("/\udcff")) == ["byte", "set", "read"]


def test_files_that_cannot_be_read_are_refused(tmp_path: Path) -> None:
    (tmp_path / "latin.json").write_bytes(b'{"rules": "\xe9"}')
    (tmp_path / "empty").mkdir()
    for name, words in (("none.json", "No such file"), ("latin.json", "not UTF-8"), ("empty", "no *.json file")):
        with pytest.raises(PolicyError) as caught:
            load_policies([str(tmp_path / name)])
        assert words in str(caught.value) and name in str(caught.value)


def test_a_directory_begins_with_the_default_policy(tmp_path: Path) -> None:
    for name in ("b.json", "default.policy.json", "a.json", "notes.txt"):
        write(tmp_path, name, {"rules": [{"id": name[0], "expression": "exec.uid == 0"}]})
    loaded = load_policies([str(tmp_path)])
    assert [policy.name for policy in loaded.policies] == ["default", "a", "b"]
    assert fired(loaded, started("/bin/sh")) == ["d", "a", "b"]


def test_rules_of_the_execution_context_fire_first_then_by_priority(tmp_path: Path) -> None:
    loaded = load(tmp_path, {"id": "low", "expression": "exec.uid == 0"},
                  {"id": "high", "expression": "exec.uid == 0", "priority": 5},
                  {"id": "context", "expression": "exec.uid == 0", "tags": {"execution_context": "True"}})
    assert fired(loaded, started("/bin/sh")) == ["context", "high", "low"]


def test_of_two_rules_with_one_id_the_first_stays(tmp_path: Path) -> None:
    loaded = load(tmp_path, {"id": "x", "expression": "exec.uid == 0"}, {"id": "x", "expression": "exec.uid == 1"})
    assert [rule.expression for rule in loaded.rules] == ["exec.uid == 0"]
    assert "defined before" in str(loaded.problems[0])


def test_a_later_policy_disables_and_overrides(tmp_path: Path) -> None:
    write(tmp_path, "default.json", {"rules": [{"id": "a", "expression": "exec.uid == 0", "tags": {"x": "1"}},
                                               {"id": "b", "expression": "exec.uid == 0"}]})
    write(tmp_path, "mine.json", {"rules": [{"id": "b", "disabled": True}, {
        "id": "a", "combine": "override", "override_options": {"fields": ["tags"]}, "tags": {"severity": "low"}}]})
    loaded = load_policies([str(tmp_path)])
    assert loaded.problems == []
    assert [(rule.id, rule.tags) for rule in loaded.rules] == [("a", {"x": "1", "severity": "low"})]
    assert [(skipped.rule_id, skipped.status) for skipped in loaded.skipped] == [("b", "disabled")]


def test_macros_merge(tmp_path: Path) -> None:
    loaded = load(tmp_path, {"id": "x", "expression": "exec.file.name in NAMES"}, macros=[
        {"id": "NAMES", "values": ["a*"]}, {"id": "NAMES", "values": ["b"], "combine": "merge"}])
    assert loaded.problems == []
    assert [fired(loaded, started("/bin/" + name)) for name in ("a*", "ab", "b")] == [["x"], [], ["x"]]


def test_filters_are_ored_and_look_at_the_host(tmp_path: Path) -> None:
    rules = [{"id": f"r{number}", "expression": "exec.uid == 0", "filters": filters} for number, filters in enumerate([
        ['os == "linux"'], ['os == "windows"'], ['os == "windows"', 'os == "linux"'], ["kernel.version.major >= 3"],
        ["kernel.version.major == 2 && kernel.version.minor < 7"], ['hostname == "mill"'], ["os.nope"], "linux",
        ["1m > 30s && os.is_debian == os.is_ubuntu && os.is_ubuntu"], ["kernel.version.major > 5s"]])]
    facts = dict(this_host().facts, **{"hostname": "mill", "kernel.version.major": 6})
    loaded = load_policies([write(tmp_path, "p.json", {"rules": rules})], Host(facts))
    assert [rule.id for rule in loaded.rules] == ["r0", "r2", "r3", "r5"]
    assert [(problem.rule_id, problem.reason) for problem in loaded.problems] == [("r6", "unknown_field"),
                                                                                  ("r7", "error")]
    assert [(skipped.rule_id, skipped.status) for skipped in loaded.skipped if skipped.rule_id != "r6"] == [
        ("r1", "filtered"), ("r4", "filtered"), ("r8", "filtered"), ("r9", "filtered")]


@pytest.mark.parametrize("constraint, wanted", [
    (">=7.68", True), (">= 7.80.0", True), ("> 7.80", False), ("< 7.71", False), (">=7.65 <7.70", False),
    (">=7.65 <7.81", True),
    ("7.80", True), ("= 7.79", False), ("!= 7.80", False), ("<= 7.80", True), (">= 7.80.1", False), ("", True),
    (">=7,<8", True),
])
def test_agent_versions(constraint: str, wanted: bool) -> None:
    assert version_matches(constraint, (7, 80, 0)) is wanted


def test_a_bad_version_constraint_is_a_problem(tmp_path: Path) -> None:
    loaded = load(tmp_path, {"id": "x", "expression": "exec.uid == 0", "agent_version": "new"})
    assert [problem.reason for problem in loaded.problems] == ["agent_version_error"]


def test_rules_on_events_to_come_are_set_aside_with_the_reason(tmp_path: Path) -> None:
    loaded = load(tmp_path, {"id": "x", "expression": 'packet.filter == "x"'})
    assert (loaded.rules, loaded.problems) == ([], [])
    assert [(skipped.rule_id, skipped.status, skipped.reason) for skipped in loaded.skipped] == [
        ("x", "unavailable", "event packet: a tracer does not see packets")]


def test_a_rule_on_file_changes_becomes_one_for_each_event(tmp_path: Path) -> None:
    loaded = load(tmp_path, {"id": "x", "expression": 'fim.write.file.path == "/etc/x" || fim.write.file.name == "y"'})
    assert loaded.problems == []
    assert sorted(rule.id for rule in loaded.rules) == [
        "__fim_expanded_%s__x" % name for name in ("chmod", "chown", "link", "open", "rename", "rename_destination",
                                                   "unlink", "utimes")]
    assert {rule.base_id for rule in loaded.rules} == {"x"}
    assert loaded.skipped == []
    assert [bool(fired(loaded, opened("/etc/x", flags))) for flags in (0, 1, 2, 0o100, 0o2000000)] == [
        False, True, True, True, False]
    assert [bool(fired(loaded, opened("/tmp/y", flags))) for flags in (0, 1)] == [False, True]


def test_long_rules_on_file_changes_load(tmp_path: Path) -> None:
    text = " || ".join(f'fim.write.file.path == "/a{number}"' for number in range(1000))
    loaded = load(tmp_path, {"id": "x", "expression": text})
    assert loaded.problems == []
    assert fired(loaded, opened("/a999", 1)) == ["__fim_expanded_open__x"]


def setting(name: str, **keys: Any) -> Entry:
    return {"set": dict({"name": name}, **keys)}


def test_set_actions_define_variables_with_their_defaults(tmp_path: Path) -> None:
    actions = [setting("word", value="x", scope="process", default_value="none"),
               setting("count", expression="1", default_value=0),
               setting("seen", field="process.pid", append=True, scope="cgroup"), setting("flag", value=True),
               setting("names", value="a", append=True, default_value="")]
    loaded = load(tmp_path, {"id": "set", "expression": "exec.uid == 9", "actions": actions}, {
        "id": "read",
        "expression": '${process.word} == "none" && ${count} == 0 && exec.pid not in ${cgroup.seen} && !${flag} '
                                    '&& ${names.length} == 1'})
    assert loaded.problems == []
    assert fired(loaded, started("/bin/sh")) == ["read"]


@pytest.mark.parametrize("action, words", [
    (setting("bad name", value=1), "letters, digits"), (setting("x", value=1, scope="moon"), "unknown scope"),
    (setting("x", field="exec.nope"), "unknown field"), (setting("x", expression="1"), "needs a default_value"),
    (setting("x"), "one of value"), ({"set": 3}, "must be an object"), (setting("x", value=[1, "a"]), "list of one"),
    (setting("SIGKILL", value=1), "taken"), (setting("pid", value=1, scope="process"), "taken"),
])
def test_bad_definitions_of_variables_are_reported(tmp_path: Path, action: Entry, words: str) -> None:
    loaded = load(tmp_path, {"id": "x", "expression": "exec.uid == 0", "actions": [action]})
    assert [words in problem.message for problem in loaded.problems] == [True]
    assert [rule.id for rule in loaded.rules] == ["x"]


def test_two_types_of_one_variable_are_refused(tmp_path: Path) -> None:
    loaded = load(tmp_path, {"id": "a", "expression": "exec.uid == 0", "actions": [setting("v", value=1)]},
                  {"id": "b", "expression": "exec.uid == 0", "actions": [setting("v", value="x")]})
    assert [rule.id for rule in loaded.rules] == ["a"]
    assert [(problem.rule_id, problem.reason) for problem in loaded.problems] == [("b", "type_mismatch")]


def test_tags_can_be_read(tmp_path: Path) -> None:
    loaded = load(tmp_path, {"id": "x", "expression": 'event.rule.tags == "team:mill" && exec.uid == 0',
                             "tags": {"team": "mill"}})
    assert fired(loaded, started("/bin/sh")) == ["x"]


def test_the_built_in_policy_is_sound() -> None:
    path = os.path.join(os.path.dirname(read_policy.__code__.co_filename), "default.json")
    loaded = load_policies([path])
    assert loaded.problems == [] and loaded.rules != []


@pytest.mark.skipif(not os.path.exists(_PUBLISHED), reason="the published policy is not beside the repository")
def test_the_published_policy_loads_without_a_problem() -> None:
    facts = dict(this_host().facts, **{"kernel.version.major": 6, "kernel.version.minor": 1})
    loaded = load_policies([_PUBLISHED], Host(facts))
    assert loaded.problems == []
    assert len(loaded.rules) == 248
    statuses = [skipped.status for skipped in loaded.skipped]
    assert statuses.count("filtered") == 64
    assert loaded.rule_set.event_types == frozenset(
        "exec exit open unlink rename chmod chown link utimes bpf connect load_module ptrace mount accept chdir prctl "
        "setsockopt setuid signal dns dns.response imds cgroup_write selinux".split())
    reasons = [skipped.reason for skipped in loaded.skipped if skipped.status == "unavailable"]
    assert sum(not reason.startswith("event ") for reason in reasons) == 11


def test_the_fields_that_need_a_look_at_the_file_are_those_of_its_attributes() -> None:
    fields = [field.name for field in field_table().fields.values() if not field.unavailable]
    files = [name[:-len("inode")] for name in fields if name.endswith(".inode")]
    assert {"open.file.", "rename.file.destination.", "process.ancestors.interpreter.file."} <= set(files)
    names = "inode mode rights uid gid user group change_time modification_time".split()
    assert {name for name in fields if needs_look(name)} == {file + name for file in files for name in names}
