"""Loading policies again while their rules are in use: what is taken, what is kept, what is said."""

import json
from pathlib import Path
from typing import Any, List

import pytest

from ebpfless_arch.agent.evaluation import interest_of
from ebpfless_arch.agent.reloading import NoRules, Policies
from ebpfless_arch.events.model import Event
from ebpfless_arch.rules.policy import PolicyError
from secl_rules import Agent, Entry, opened, process, rule, setting

SEEN = rule("seen", 'open.file.path == "/a"', setting("names", field="open.file.name", append=True),
            setting("n", expression="${n} + 1", default_value=0))
ASK = rule("ask", 'open.file.path == "/b" && ${n} == 2 && "a" in ${names}')
BAD = rule("bad", "open.nothing == 1")


def write(folder: Path, *rules: Entry, name: str = "p.json", **more: Any) -> Path:
    path = folder / name
    path.write_text(json.dumps(dict(more, rules=list(rules))), encoding="utf-8")
    return path


class Running:
    """Policies in use."""

    def __init__(self, folder: Path, *rules: Entry) -> None:
        self.policies = Policies([str(write(folder, *rules))])

    def tell(self, path: str, seconds: float = 0) -> List[str]:
        agent = Agent(self.policies.loaded)
        agent.rules = self.policies.rules
        return agent.tell(opened(path, process(7), seconds))

    def allowed(self, name: str, count: int) -> int:
        found, = [each for each in self.policies.rules.rules if each.id == name]
        return sum(found.limiter.allows(opened("/x")) for _ in range(count))


def test_new_rules_take_the_place_of_the_old_ones(tmp_path: Path) -> None:
    running = Running(tmp_path, SEEN)
    assert (running.tell("/a"), running.tell("/b")) == (["seen"], [])
    write(tmp_path, rule("other", 'open.file.path == "/b"'), BAD, rule("third", 'exec.file.path == "/b"'))
    reload = running.policies.reload()
    assert (reload.taken, reload.line) == (True, "reloaded: 2 rules, 1 error")
    assert [problem.rule_id for problem in reload.problems] == ["bad"]
    assert (running.tell("/a"), running.tell("/b")) == ([], ["other"])
    assert interest_of(running.policies.rules, False).events == {"open", "exec"}
    write(tmp_path, SEEN)
    assert running.policies.reload().line == "reloaded: 1 rule"


@pytest.mark.parametrize("content, words", [
    (None, "cannot read the policy: No such file or directory"), ("{", "not JSON"), ("[]", "a policy is a JSON object"),
    ('{"rules": []}', "neither rules nor macros"), ('{"rules": [{"id": "x"}]}', "no rule of "),
    ('{"rules": [{"id": "x", "expression": "open."}, {"id": "y", "expression": "1 =="}]}', "can be used, 2 errors")])
def test_what_is_bad_as_a_whole_changes_nothing(tmp_path: Path, content: Any, words: str) -> None:
    running = Running(tmp_path, SEEN, ASK)
    running.tell("/a")
    loaded, rules = running.policies.loaded, running.policies.rules
    path = tmp_path / "p.json"
    path.unlink() if content is None else path.write_text(content)
    reload = running.policies.reload()
    assert not reload.taken and reload.line.startswith("kept the old policy: ") and words in reload.line
    assert "\n" not in reload.line
    assert (running.policies.loaded, running.policies.rules) == (loaded, rules)
    assert running.tell("/a") == ["seen"] and running.tell("/b") == ["ask"], "variables are as they were"
    write(tmp_path, SEEN, ASK)
    assert running.policies.reload().taken
    assert running.tell("/b") == ["ask"]


def test_a_policy_without_active_rules_is_no_mistake(tmp_path: Path) -> None:
    running = Running(tmp_path, SEEN)
    write(tmp_path, dict(SEEN, disabled=True))
    assert running.policies.reload().line == "reloaded: 0 rules"
    assert running.tell("/a") == []


def test_at_the_start_mistakes_are_errors(tmp_path: Path) -> None:
    with pytest.raises(NoRules) as caught:
        Running(tmp_path, BAD)
    assert str(caught.value) == f"no rule of {tmp_path / 'p.json'} can be used"
    assert [problem.rule_id for problem in caught.value.problems] == ["bad"]
    with pytest.raises(PolicyError):
        Policies([str(tmp_path / "missing")])


def test_variables_keep_their_values(tmp_path: Path) -> None:
    running = Running(tmp_path, SEEN)
    running.policies.loaded.variables.find_process = find = lambda pid: None
    running.tell("/a")
    write(tmp_path, ASK, SEEN)
    assert running.policies.reload().taken
    assert running.policies.loaded.variables.find_process is find
    running.tell("/a")
    assert running.tell("/b") == ["ask"]
    event: Event = opened("/x")
    assert running.policies.shown(event) == {"names": ["a"], "n": 2}
    write(tmp_path, ASK, dict(SEEN, actions=[setting("n", value="text"), setting("names", value=["x"])]),
          rule("length", '"${n}" == "" && open.file.path == "/b"'))
    assert running.policies.reload().line == "reloaded: 2 rules, 1 error", "ask compares a text with a number now"
    assert running.tell("/b") == ["length"], "a variable of another type begins anew"


def test_limits_go_on_where_they_are(tmp_path: Path) -> None:
    usual, hour = rule("usual", 'open.file.path == "/a"'), rule("hour", 'open.file.path == "/a"', every="1h")
    running = Running(tmp_path, usual, hour)
    assert (running.allowed("usual", 30), running.allowed("hour", 3)) == (30, 1)
    write(tmp_path, dict(hour, description="new"), dict(usual, expression='open.file.path == "/b"'),
          rule("fresh", 'open.file.path == "/a"'))
    assert running.policies.reload().taken
    assert (running.allowed("usual", 30), running.allowed("hour", 3), running.allowed("fresh", 50)) == (10, 0, 40)
    held = {each.id: each.limiter.held_back for each in running.policies.rules.rules}
    assert held == {"usual": 20, "hour": 5, "fresh": 10}
    write(tmp_path, dict(usual, every="1s"), dict(hour, limiter_token=["open.file.name"]))
    assert running.policies.reload().taken
    assert (running.allowed("usual", 3), running.allowed("hour", 3)) == (1, 1), "another limit begins anew"


def test_limits_of_log_actions_go_on(tmp_path: Path) -> None:
    log = rule("log", 'open.file.path == "/a"', {"log": {"level": "info", "message": "x"}}, every="1h")
    running = Running(tmp_path, log)

    def logged() -> int:
        agent = Agent(running.policies.loaded)
        agent.tell(opened("/a"))
        return len(agent.logged)

    assert (logged(), logged()) == (1, 0)
    assert running.policies.reload().taken
    assert logged() == 0


def test_digests_and_their_rate_limit_are_kept(tmp_path: Path) -> None:
    hashing = rule("hash", 'open.file.path == "/a"', {"hash": {}})
    running = Running(tmp_path, hashing)
    table = running.policies._table
    assert table is not None and running.policies.reload().taken
    assert running.policies._table is table
