"""How often a rule is told: buckets that go by the time of events, and what the agent says of the rest."""

from pathlib import Path
from typing import Any, List

import pytest

from blackbox import is_detection, run_traced, write_policy
from ebpfless_arch.events.model import Event
from ebpfless_arch.rules.durations import nanoseconds
from ebpfless_arch.rules.limits import Bucket, Limiter
from ebpfless_arch.rules.policy import LoadedPolicies
from secl_rules import START, Agent, load, opened, process, rule, setting

MILLISECOND = 10**6
SET = 'open.file.path == "/set"'


@pytest.mark.parametrize("given, wanted", [
    (None, 0), (0, 0), (30, 30), ("0", 0), ("1h", 3600 * 10**9), ("1m30s", 90 * 10**9), ("500ms", 5 * 10**8),
    ("1.5s", 1500 * 10**6), ("0.000001ms", 1), ("7ns", 7), ("2us", 2000), ("2µs", 2000),
])
def test_durations(given: object, wanted: int) -> None:
    assert nanoseconds(given) == wanted


@pytest.mark.parametrize("given", ["", "5", "5x", "s", "1s ", "-1s", "1 s", -1, True, 1.5, [], "9" * 18 + "h", "٣s"])
def test_what_is_no_duration(given: object) -> None:
    with pytest.raises(ValueError):
        nanoseconds(given)


def taken(bucket: Bucket, *moments: int) -> List[bool]:
    return [bucket.take(START + moment) for moment in moments]


def test_a_bucket_is_full_at_first_and_fills_with_time() -> None:
    assert taken(Bucket(100, 3), 0, 0, 0, 0, 99, 100, 100, 199, 200) == [
        True, True, True, False, False, True, False, False, True]
    assert taken(Bucket(100, 2), 0, 0, 0, 1000, 1000, 1000) == [True, True, False, True, True, False]


def test_a_bucket_bears_that_time_goes_back() -> None:
    assert taken(Bucket(100, 1), 50, 0, 149, 150) == [True, False, False, True]


def test_a_bucket_gives_several_tokens_or_none() -> None:
    bucket = Bucket(10, 5)
    assert not bucket.take(START, 6)
    assert bucket.take(START, 4) and not bucket.take(START, 2) and bucket.take(START, 1)
    assert bucket.take(START + 50, 5)


def told(limiter: Limiter, moments: List[int]) -> int:
    event = opened("/x")
    count = 0
    for moment in moments:
        event.time = START + moment
        count += limiter.allows(event)
    return count


def test_the_usual_limit_is_forty_at_once_and_ten_a_second() -> None:
    limiter = Limiter()
    assert told(limiter, [0] * 100) == 40
    assert limiter.held_back == 60
    assert told(limiter, [99 * MILLISECOND] * 5) == 0
    assert told(limiter, [100 * MILLISECOND] * 5) == 1
    assert told(limiter, [10**10] * 100) == 40


def only_rule(folder: Path, **keys: Any) -> LoadedPolicies:
    loaded = load(folder, rule("x", 'open.file.path == ~"/x/*"', **keys))
    assert loaded.problems == []
    return loaded


@pytest.mark.parametrize("every, interval, burst", [
    ("30s", 30 * 10**9, 1), (5, 5, 1), (0, 10**8, 40), (None, 10**8, 40), ("0s", 10**8, 40)])
def test_every_replaces_the_usual_limit(tmp_path: Path, every: object, interval: int, burst: int) -> None:
    limiter = only_rule(tmp_path, every=every).rules[0].limiter
    assert (limiter.interval, limiter.burst) == (interval, burst)
    assert told(limiter, [0] * 100) == burst
    assert told(limiter, [interval]) == 1


def test_each_value_of_the_token_has_a_bucket(tmp_path: Path) -> None:
    limiter = only_rule(tmp_path, every="1h", limiter_token=["open.file.name", "process.argv"]).rules[0].limiter

    def event(name: str, argument: str) -> Event:
        record = process()
        record.arguments = ["program", argument]
        return opened("/x/" + name, record)

    events = [("a", "1"), ("a", "1"), ("a", "2"), ("b", "1"), ("b", "1"), ("a", "2")]
    assert [limiter.allows(event(*values)) for values in events] == [True, False, True, True, False, False]
    assert limiter.held_back == 3


def test_five_hundred_values_are_remembered(tmp_path: Path) -> None:
    limiter = only_rule(tmp_path, every="1h", limiter_token=["open.file.name"]).rules[0].limiter
    assert all(limiter.allows(opened(f"/x/{number}")) for number in range(500))
    assert not limiter.allows(opened("/x/0")) and not limiter.allows(opened("/x/499"))
    assert limiter.allows(opened("/x/500"))
    assert not limiter.allows(opened("/x/0")), "was looked at a moment ago"
    assert limiter.allows(opened("/x/1")), "was not looked at for longest"


@pytest.mark.parametrize("keys, words", [
    ({"every": "often"}, "every is wrong: 'often' is no duration"), ({"every": -1}, "every is wrong"),
    ({"every": True}, "every is wrong"), ({"limiter_token": "x"}, "limiter_token must be a list of texts"),
    ({"limiter_token": ["open.nope"]}, "in limiter_token: unknown field open.nope"),
    ({"limiter_token": ["exec.uid"]}, "in limiter_token: this reads exec events"),
])
def test_bad_limits_spoil_the_rule(tmp_path: Path, keys: Any, words: str) -> None:
    loaded = load(tmp_path, rule("x", "open.flags == 0", **keys), rule("fine", "open.flags == 0"))
    problem, = loaded.problems
    assert problem.rule_id == "x" and words in problem.message
    assert [kept.id for kept in loaded.rules] == ["fine"]


def test_a_limit_does_not_keep_actions_from_running(tmp_path: Path) -> None:
    opener = "for i in 1 2 3 4 5; do : <watched; done"
    (tmp_path / "watched").touch()
    policy = write_policy(tmp_path / "p.json", [
        rule("often", 'open.file.name == "watched"', setting("n", expression="${n} + 1", default_value=0), every="1h"),
        rule("fifth", 'open.file.name == "watched" && ${n} == 4')])
    result = run_traced(["sh", "-c", opener], ["--policy", policy, "--verbose"], cwd=str(tmp_path))
    names = [event["agent"]["rule_id"] for event in result.events if is_detection(event)]
    assert names == ["often", "fifth"]
    lines = result.stderr.decode().splitlines()
    assert lines[0] == "ebpfless: 4 detections were not written, for their rules matched too often: often 4"
    assert "6 detections (4 not written)" in lines[1]


def test_the_agent_tells_what_it_held_back(tmp_path: Path) -> None:
    program = "i=0; while [ $i -lt 1000 ]; do : <watched; i=$((i+1)); done"
    (tmp_path / "watched").touch()
    rules = [rule(f"r{number}", 'open.file.name == "watched"', every=number and 1) for number in range(2)]
    rules += [rule(f"hour{number}", 'open.file.name == "watched"', every="1h") for number in range(12)]
    policy = write_policy(tmp_path / "p.json", rules)
    result = run_traced(["sh", "-c", program], ["--policy", policy], cwd=str(tmp_path))
    detections = [event["agent"]["rule_id"] for event in result.events if is_detection(event)]
    assert detections.count("r1") == 1000, "every: 1 is no limit"
    usual = detections.count("r0")
    assert 40 <= usual < 1000
    assert result.stderr.decode().splitlines() == [
        f"ebpfless: {12 * 999 + 1000 - usual} detections were not written, for their rules matched too often: "
        + ", ".join(f"hour{number} 999" for number in range(10)) + ", 3 other rules"]


def test_log_actions_have_a_limit_of_their_own(tmp_path: Path) -> None:
    actions = [{"log": {"level": "info", "message": "one"}}, {"log": {"level": "error", "message": "two"}}]
    agent = Agent(load(tmp_path, rule("usual", SET, *actions),
                       rule("hour", SET, {"log": {"level": "info", "message": "three"}}, every="1h")))
    for _ in range(47):
        agent.tell(opened("/set"))
    told = [message for _, message, _ in agent.logged]
    assert (told.count("one"), told.count("two"), told.count("three")) == (40, 40, 1)
    agent.tell(opened("/set", seconds=1))
    agent.tell(opened("/set", seconds=3600))
    assert [message for _, message, _ in agent.logged[81:]] == ["one", "two", "one", "two", "three"]


def test_log_lines_under_trace(tmp_path: Path) -> None:
    opener = "for i in 1 2 3 4 5 6 7; do : <watched; done"
    (tmp_path / "watched").touch()
    policy = write_policy(tmp_path / "p.json", [
        rule("often", 'open.file.name == "watched"', {"log": {"level": "info", "message": "seen"}},
             {"log": {"level": "debug", "message": "detail"}}, every="1h", silent=True)])
    held = "ebpfless: %d lines of log actions were not written, for their rules matched too often"
    seen = "ebpfless: info: rule often: seen"
    result = run_traced(["sh", "-c", opener], ["--policy", policy], cwd=str(tmp_path))
    assert result.stderr.decode().splitlines() == [seen, held % 6]
    result = run_traced(["sh", "-c", opener], ["--policy", policy, "--verbose"], cwd=str(tmp_path))
    lines = result.stderr.decode().splitlines()
    assert lines[:3] == [seen, "ebpfless: debug: rule often: detail", held % 12]
