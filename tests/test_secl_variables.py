"""Variables at run time: scopes, times, sizes, inheritance. Time is that of events."""

import gc
import os
import weakref
from pathlib import Path
from typing import Any, List

import pytest

from ebpfless_arch.events.model import Process
from ebpfless_arch.rules.host import Host, this_host
from ebpfless_arch.rules.policy import load_policies
from secl_rules import Agent, Entry, at, load, opened, process, rule, setting, started

_PUBLISHED = os.path.join(os.path.dirname(__file__), "..", "..", "shared", "reference", "datadog",
                          "default.policy.json")
SET = 'open.file.path == "/set"'


def setter(*actions: Entry) -> Entry:
    """A rule that runs actions when /set is opened."""
    return rule("setter", SET, *actions)


def test_rules_see_the_values_from_before_the_event(tmp_path: Path) -> None:
    agent = Agent(load(tmp_path, setter(setting("seen", value=True)), rule("first", SET + " && !${seen}"),
                       rule("again", SET + " && ${seen}")))
    assert agent.tell(opened("/other")) == []
    assert agent.tell(opened("/set")) == ["setter", "first"]
    assert agent.tell(opened("/set")) == ["setter", "again"]


def test_sets_of_one_rule_run_in_order_and_see_each_other(tmp_path: Path) -> None:
    agent = Agent(load(tmp_path, setter(
        setting("old", expression='"${key}"', default_value="none"), setting("key", expression='"${key}x"',
                                                                             default_value="a"),
        setting("count", expression="${count} + 1", default_value=0)),
        rule("second", 'open.file.path == "/look" && ${old} == "ax" && ${key} == "axx" && ${count} == 2')))
    agent.tell(opened("/set"))
    assert agent.tell(opened("/look")) == []
    agent.tell(opened("/set"))
    assert agent.tell(opened("/look")) == ["second"]


@pytest.mark.parametrize("keys, wanted", [
    (dict(value=5), "${v} == 5"), (dict(value="t"), '${v} == "t"'), (dict(value=True), "${v}"),
    (dict(value=["a", "b"]), '"b" in ${v}'), (dict(value=[4, 7]), "open.flags + 4 in ${v}"),
    (dict(field="open.file.name"), '${v} == "set"'), (dict(field="process.pid"), "${v} == 100"),
    (dict(field="process.ancestors.pid"), "50 in ${v} && ${v.length} == 1"),
    (dict(field="open.file.name", append=True), '"set" in ${v}'),
    (dict(expression="process.pid + 1", default_value=0), "${v} == 101"),
    (dict(expression='"<${process.pid}>"', default_value=""), '${v} == "<100>"'),
    (dict(expression='open.file.name == "set"', default_value=False), "${v}"),
    (dict(expression="process.file.path", default_value=[""]), '"/bin/sh" in ${v} && ${v.length} == 1'),
    (dict(expression="process.pid", value=9), "${v} == 100"),
])
def test_sources_of_values(tmp_path: Path, keys: Any, wanted: str) -> None:
    loaded = load(tmp_path, setter(setting("v", **keys)), rule("look", 'open.file.path == "/look" && ' + wanted))
    assert loaded.problems == []
    agent = Agent(loaded)
    record = process(parent=process(50))
    agent.tell(opened("/look", record))
    assert agent.tell(opened("/set", record)) == ["setter"]
    assert agent.tell(opened("/look", record)) == ["look"]


@pytest.mark.parametrize("keys, default", [
    (dict(value=5), "${v} == 0"), (dict(value=5, default_value=3), "${v} == 3"), (dict(value="t"), '${v} == ""'),
    (dict(field="open.file.name", append=True), "${v.length} == 0"),
    (dict(field="open.file.name", append=True, default_value=""), '${v.length} == 1 && "" in ${v}'),
])
def test_values_end_when_their_time_is_over(tmp_path: Path, keys: Any, default: str) -> None:
    agent = Agent(load(tmp_path, setter(setting("v", ttl="10s", **keys)),
                       rule("unset", 'open.file.path == "/look" && ' + default)))
    assert agent.tell(opened("/look")) == ["unset"]
    agent.tell(opened("/set"))
    assert agent.tell(opened("/look", seconds=10)) == []
    late = opened("/look", seconds=10)
    late.time += 1
    assert agent.tell(late) == ["unset"]


def in_list(agent: Agent, *names: str, **where: Any) -> List[str]:
    """Those of the names for which a rule in_NAME fires."""
    return [name for name in names if agent.tell(opened("/look/" + name, **where))]


def collecting(folder: Path, *names: str, **keys: Any) -> Agent:
    """A list variable that takes in the names of files below /set, and a rule for each name that looks for it."""
    variable = f"{keys['scope']}.v" if "scope" in keys else "v"
    looks = [rule("in_" + name, f'open.file.path == "/look/{name}" && "{name}" in ${{{variable}}}') for name in names]
    return Agent(load(folder, rule("setter", 'open.file.path == ~"/set/*"',
                                   setting("v", field="open.file.name", append=True, **keys)), *looks))


def test_elements_of_lists_end_one_by_one_and_are_renewed(tmp_path: Path) -> None:
    agent = collecting(tmp_path, "a", "b", ttl=10 * 10**9)
    agent.tell(opened("/set/a", seconds=0))
    agent.tell(opened("/set/b", seconds=4))
    assert in_list(agent, "a", "b", seconds=10) == ["a", "b"]
    assert in_list(agent, "a", "b", seconds=11) == ["b"]
    agent.tell(opened("/set/a", seconds=12))
    agent.tell(opened("/set/b", seconds=13))
    agent.tell(opened("/set/a", seconds=14))
    assert in_list(agent, "a", "b", seconds=24) == ["a"]
    assert in_list(agent, "a", "b", seconds=25) == []


def test_a_full_list_forgets_what_was_not_added_for_longest(tmp_path: Path) -> None:
    agent = collecting(tmp_path, "a", "b", "c", size=2)
    for name in "abac":
        agent.tell(opened("/set/" + name))
    assert in_list(agent, "a", "b", "c") == ["a", "c"]


def test_a_list_holds_a_hundred_unless_told_otherwise(tmp_path: Path) -> None:
    agent = collecting(tmp_path, "0", "1", "100")
    for number in range(101):
        agent.tell(opened(f"/set/{number}"))
    assert in_list(agent, "0", "1", "100") == ["1", "100"]


def test_setting_a_list_without_append_replaces_it(tmp_path: Path) -> None:
    agent = Agent(load(tmp_path, rule("add", 'open.file.path == "/add"', setting("v", value="x", append=True)),
                       setter(setting("v", value=["a", "b"])),
                       rule("look", 'open.file.path == "/look" && ${v.length} == 2 && "${v}" == "a,b"')))
    agent.tell(opened("/add"))
    agent.tell(opened("/set"))
    assert agent.tell(opened("/look")) == ["look"]


@pytest.mark.parametrize("scope, one, other, nowhere", [
    ("container", process(container="c1"), process(container="c2"), process()),
    ("cgroup", process(cgroup="/a"), process(cgroup="/b"), process()),
])
def test_containers_and_cgroups_have_their_own_values(tmp_path: Path, scope: str, one: Process, other: Process,
                                                      nowhere: Process) -> None:
    agent = collecting(tmp_path, "a", "b", "c", scope=scope)
    for name, record in (("a", one), ("b", other), ("c", nowhere)):
        agent.tell(opened("/set/" + name, record))
    assert in_list(agent, "a", "b", "c", record=one) == ["a"]
    assert in_list(agent, "a", "b", "c", record=other) == ["b"]
    assert in_list(agent, "a", "b", "c", record=nowhere) == []


def test_a_value_of_a_process_is_its_own(tmp_path: Path) -> None:
    agent = collecting(tmp_path, "a", scope="process")
    record = process()
    child = record.fork(101, at(0))
    agent.tell(opened("/set/a", record))
    assert in_list(agent, "a", record=record) == ["a"]
    assert in_list(agent, "a", record=child) == []
    assert in_list(agent, "a", record=process()) == []


def test_values_of_a_process_end_with_its_record(tmp_path: Path) -> None:
    loaded = load(tmp_path, setter(setting("v", value=1, scope="process", inherited=True)))
    agent = Agent(loaded)
    record = process()
    agent.tell(opened("/set", record))
    assert len(loaded.variables) == 1
    gone = weakref.ref(record)
    del record
    gc.collect()
    assert gone() is None
    assert len(loaded.variables) == 0


def test_an_inherited_value_is_that_of_the_nearest_ancestor(tmp_path: Path) -> None:
    agent = Agent(load(tmp_path, rule("setter", 'open.file.path == ~"/set/*"', setting(
        "v", field="open.file.name", scope="process", inherited=True)),
        rule("a", 'open.file.path == "/look" && ${process.v} == "a"'),
        rule("b", 'open.file.path == "/look" && ${process.v} == "b"'),
        rule("none", 'open.file.path == "/look" && ${process.v} == ""')))
    first = process(1)
    second = process(2, first)
    third = process(3, second)
    agent.tell(opened("/set/a", first))
    assert [agent.tell(opened("/look", record)) for record in (first, second, third)] == [["a"]] * 3
    agent.tell(opened("/set/b", second))
    assert [agent.tell(opened("/look", record)) for record in (first, second, third)] == [["a"], ["b"], ["b"]]
    assert agent.tell(opened("/look", process(4))) == ["none"]


def test_an_inherited_value_that_has_ended_is_passed_over(tmp_path: Path) -> None:
    agent = Agent(load(tmp_path, setter(setting("v", field="process.pid", scope="process", inherited=True, ttl="10s")),
                       rule("one", 'open.file.path == "/look" && ${process.v} == 1')))
    first = process(1)
    second = process(2, first)
    agent.tell(opened("/set", second, 0))
    agent.tell(opened("/set", first, 5))
    third = process(3, second)
    assert agent.tell(opened("/look", third, 9)) == []
    assert agent.tell(opened("/look", third, 11)) == ["one"]


def test_adding_to_an_inherited_list_begins_with_what_was_inherited(tmp_path: Path) -> None:
    agent = collecting(tmp_path, "a", "b", scope="process", inherited=True)
    parent = process(1)
    child = process(2, parent)
    agent.tell(opened("/set/a", parent))
    agent.tell(opened("/set/b", child))
    assert in_list(agent, "a", "b", record=parent) == ["a"]
    assert in_list(agent, "a", "b", record=child) == ["a", "b"]


def test_a_value_can_go_to_another_process(tmp_path: Path) -> None:
    loaded = load(tmp_path, setter(setting("v", value=True, scope="process", scope_field="process.ppid")),
                  rule("marked", 'open.file.path == "/look" && ${process.v}'))
    agent = Agent(loaded)
    parent = process(1)
    child = process(2, parent)
    agent.tell(opened("/set", child))
    assert [agent.tell(opened("/look", record)) for record in (parent, child)] == [[], []], "nobody knows the process"
    loaded.variables.find_process = {1: parent}.get
    agent.tell(opened("/set", child))
    assert [agent.tell(opened("/look", record)) for record in (parent, child)] == [["marked"], []]


def test_variables_are_shown_unless_private(tmp_path: Path) -> None:
    loaded = load(tmp_path, setter(
        setting("word", value="w"), setting("names", value="n", append=True, scope="process"),
        setting("secret", value=1, private=True), setting("elsewhere", value=1, scope="container"),
        setting("short", value=1, ttl="5s")))
    record = process()
    assert loaded.variables.shown(opened("/x", record)) == {}
    Agent(loaded).tell(opened("/set", record))
    assert loaded.variables.shown(opened("/x", record)) == {"word": "w", "process.names": ["n"], "short": 1}
    assert loaded.variables.shown(opened("/x", process(), 6)) == {"word": "w"}


def test_values_survive_a_reload_where_the_variable_stays(tmp_path: Path) -> None:
    look = [rule("kept", 'open.file.path == "/look" && ${process.kept} == "x"'),
            rule("other", 'open.file.path == "/look" && ${other} == ""')]
    kept = setting("kept", value="x", scope="process")
    old = load(tmp_path, setter(kept, setting("other", value=1)), look[0])
    record = process()
    old.variables.find_process = {1: record}.get
    Agent(old).tell(opened("/set", record))
    new = load(tmp_path, setter(kept, setting("other", value="text")), *look, former=old.variables)
    assert Agent(new).tell(opened("/look", record)) == ["kept", "other"]
    assert new.variables.find_process(1) is record
    Agent(new).tell(opened("/set", process()))
    assert Agent(old).tell(opened("/look", record)) == ["kept"], "the old rules still work"
    del record
    old.variables.find_process = new.variables.find_process = lambda pid: None
    gc.collect()
    assert len(new.variables) == 1, "a global one"


def test_expired_values_are_freed(tmp_path: Path) -> None:
    loaded = load(tmp_path, setter(setting("v", value=1, scope="cgroup", ttl="10s")))
    agent = Agent(loaded)
    for number in range(5):
        agent.tell(opened("/set", process(cgroup=f"/c{number}")))
    agent.tell(opened("/set", process(cgroup="/last"), 299))
    assert len(loaded.variables) == 6
    agent.tell(opened("/set", process(cgroup="/last"), 300))
    assert len(loaded.variables) == 1


def test_cgroups_without_end_do_not_fill_the_memory(tmp_path: Path) -> None:
    loaded = load(tmp_path, setter(setting("v", value=1, scope="cgroup")),
                  rule("set_there", 'open.file.path == "/look" && ${cgroup.v} == 1'))
    agent = Agent(loaded)
    for number in range(5000):
        agent.tell(opened("/set", process(cgroup=f"/c{number}")))
    assert len(loaded.variables) == 4096
    assert agent.tell(opened("/look", process(cgroup="/c4999"))) == ["set_there"]


@pytest.mark.parametrize("action, words", [
    (setting("v", value=1, inherited=True), "inherited is for the scope process"),
    (setting("v", value=1, scope="cgroup", scope_field="open.flags"), "scope_field is for the scope process"),
    (setting("v", value=1, ttl="soon"), "'soon' is no duration"), (setting("v", value=1, ttl=-1), "no duration"),
    (setting("v", value=1, size="big"), "size 'big'"), (setting("v", value=1, size=-1), "size -1"),
    (setting("v", value=1, append="yes"), "append must be true or false"),
    (setting("v", value=True, append=True), "append is not for booleans"),
    (setting("v", value=1, field="process.pid"), "one of value, field and expression"),
    (setting("v", field="process.pid", expression="1", default_value=1), "one of value, field and expression"),
    (setting("v", field=1), "field must be a text"), (setting("v", value={}), "no boolean, integer, text or list"),
    (setting("v", value=[[1]]), "no boolean, integer, text or list"),
    (setting("v", value=1, scope="process", scope_field=3), "scope_field must be a text"),
])
def test_bad_definitions_are_reported_and_left_out(tmp_path: Path, action: Entry, words: str) -> None:
    loaded = load(tmp_path, setter(action))
    problem, = loaded.problems
    assert words in problem.message and "left out" in problem.message and problem.rule_id == "setter"
    assert [fine.actions for fine in loaded.rules] == [[]]


@pytest.mark.parametrize("action, reason, column, words", [
    (setting("v", expression="process.pid", default_value="x"), "type_mismatch", 1, "a text is wanted"),
    (setting("v", field="process.pid", default_value="x"), "type_mismatch", 1, "a text is wanted"),
    (setting("v", field="process.argv", default_value="x"), "type_mismatch", 1, "a list of texts"),
    (setting("v", expression="process.pid +", default_value=1), "syntax_error", 14, "in expression of a set action"),
    (setting("v", expression="1 + process.nope", default_value=1), "unknown_field", 5, "unknown field process.nope"),
    (setting("v", expression="exec.pid", default_value=1), "mixed_event_types", 1, "the rule is about open events"),
    (setting("v", expression="process.ancestors[A].pid", default_value=1), "iterator_misuse", 1, "no register"),
    (setting("v", expression='"${nope}"', default_value=""), "unknown_variable", 2, "no action sets"),
    (setting("v", value=1, scope="process", scope_field="process.comm"), "type_mismatch", 1, "an integer is wanted"),
    (setting("v", value=1, scope="process", scope_field="process.nope"), "unknown_field", 1, "process.nope"),
])
def test_values_that_do_not_compile_spoil_the_rule(tmp_path: Path, action: Entry, reason: str, column: int,
                                                   words: str) -> None:
    loaded = load(tmp_path, setter(action), rule("fine", "exec.uid == 0"))
    problem, = loaded.problems
    assert (problem.rule_id, problem.reason, problem.line, problem.column) == ("setter", reason, 1, column)
    assert words in problem.message and problem.excerpt
    assert [fine.id for fine in loaded.rules] == ["fine"]


def test_definitions_of_one_variable_agree(tmp_path: Path) -> None:
    loaded = load(tmp_path, setter(setting("v", value=1, private=True)), rule("other", SET, setting("v", value=2)))
    assert [(problem.rule_id, problem.message) for problem in loaded.problems] == [
        ("other", "in a set action: v is private elsewhere")]
    assert [fine.id for fine in loaded.rules] == ["setter"]


def test_rules_on_file_changes_set_by_their_own_event(tmp_path: Path) -> None:
    loaded = load(tmp_path, rule("fim", 'fim.write.file.name == "x"', setting("v", field="fim.write.file.path")),
                  rule("look", 'open.file.path == "/look" && ${v} == "/a/x"'))
    assert loaded.problems == []
    agent = Agent(loaded)
    event = opened("/a/x")
    event.flags = os.O_WRONLY
    assert agent.tell(event) == ["__fim_expanded_open__fim"]
    assert agent.tell(opened("/look")) == ["look"]


@pytest.mark.skipif(not os.path.exists(_PUBLISHED), reason="the published policy is not beside the repository")
def test_actions_of_the_published_policy_run() -> None:
    facts = dict(this_host().facts, **{"kernel.version.major": 6, "kernel.version.minor": 1})
    loaded = load_policies([_PUBLISHED], Host(facts))
    assert loaded.problems == []
    agent = Agent(loaded)
    session = process(2, process(1, cgroup="/init"), cgroup="/session")
    assert agent.tell(started(session)) == ["execution_context_cgroup"]
    outer = loaded.variables.shown(started(session))
    assert str(outer["process.correlation_key"]).startswith("cgroup_")
    assert outer["process.correlation_entity"] == "/session" and "process.parent_correlation_keys" not in outer
    child = process(3, session, cgroup="/session")
    assert agent.tell(started(child)) == []
    assert loaded.variables.shown(started(child)) == outer, "inherited"
    job = process(4, child, cgroup="/job")
    assert agent.tell(started(job)) == ["execution_context_cgroup"]
    inner = loaded.variables.shown(started(job))
    assert inner["process.correlation_entity"] == "/job"
    assert inner["process.correlation_key"] != outer["process.correlation_key"]
    assert inner["process.parent_correlation_keys"] == [f"{outer['process.correlation_key']}:/session"]
