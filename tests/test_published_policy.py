"""Datadog's published policy at work: its rules match what they are for and miss what is next to it.

Its rules on modules of the kernel need one that has such: scripts/test-arm64 boots one.
"""

import json
import os
import subprocess
from collections import Counter
from typing import Any, Dict, Iterator

import pytest

from blackbox import REPOSITORY, Compiler, ebpfless, run
from policy_world import Case, Found, World, chosen, containers, named, play
from published_policy_cases import CASES, FAMILY_CASES, FILES, MODULE_CASES

POLICY = REPOSITORY.parent / "shared" / "reference" / "datadog" / "default.policy.json"
MODULES = os.path.exists("/proc/modules")
PREPARE = """
played /usr/bin/dpkg /usr/bin/passwd
ip link set lo up
ip route add local 0.0.0.0/0 dev lo
"""

WORLD_CASES = CASES + FAMILY_CASES + (MODULE_CASES if MODULES else ())
NAMED_CASES = named(WORLD_CASES)
FOR_EACH_CASE = pytest.mark.parametrize("name, case", NAMED_CASES, ids=[name for name, _ in NAMED_CASES])

pytestmark = pytest.mark.skipif(not POLICY.exists(), reason="needs the published policy beside the repository")


@pytest.fixture(scope="module")
def active() -> Dict[str, str]:
    """The rules of the policy that are active here, with the event of each."""
    told = json.loads(run(ebpfless("check", "--format", "json", str(POLICY))).stdout.decode())
    return {rule["id"]: rule["event"] for rule in told["rules"]}


def test_the_cases_are_of_active_rules_and_of_every_event(active: Dict[str, str]) -> None:
    rules = {case.rule for case in CASES + FAMILY_CASES + MODULE_CASES}
    assert rules <= set(active) and len(rules) >= 61
    assert {active[rule] for rule in rules} >= {
        "accept", "bpf", "chdir", "chmod", "chown", "connect", "exec", "exit", "link", "load_module", "mount", "open",
        "prctl", "ptrace", "rename", "setsockopt", "setuid", "signal", "unlink", "utimes"}
    by_event = Counter(active[rule] for rule in rules)
    assert by_event["exec"] >= 41 and by_event["open"] >= 19


@pytest.fixture(scope="module")
def cgroups() -> Iterator[str]:
    """Where containers can be made."""
    yield from containers("published")


@pytest.fixture(scope="module")
def sleeper() -> Iterator[int]:
    """A process that no trace watches."""
    process = subprocess.Popen(["sleep", "997"])
    yield process.pid
    process.kill()
    process.wait()


@pytest.fixture(scope="module")
def audible(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The policy, but rules that only set variables (`silent`) are reported as well."""
    policy = json.loads(POLICY.read_text())
    for rule in policy["rules"]:
        rule.pop("silent", None)
    path = tmp_path_factory.mktemp("policy") / "default.policy.json"
    path.write_text(json.dumps(policy))
    return str(path)


@pytest.fixture(scope="module")
def found(request: Any, tmp_path_factory: pytest.TempPathFactory, compile_c: Compiler, cgroups: str, sleeper: int,
          audible: str) -> Found:
    """What the cases led to."""
    world = World(WORLD_CASES, FILES, PREPARE, ["--net"], ["--policy", audible])
    return play(world, chosen(request), tmp_path_factory.mktemp("world"), compile_c, cgroups, SLEEPER=str(sleeper))


@pytest.mark.root
@FOR_EACH_CASE
def test_a_rule_matches(name: str, case: Case, found: Found) -> None:
    assert (name, "match", case.rule) in found


@pytest.mark.root
@FOR_EACH_CASE
def test_a_rule_misses_what_is_next_to_it(name: str, case: Case, found: Found) -> None:
    assert (name, "miss", case.rule) not in found
