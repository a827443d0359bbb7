"""What a start does not do: load what it does not need, and parse a policy that is known."""

import subprocess
import sys
from typing import Any, FrozenSet

import pytest

from blackbox import REPOSITORY, environment
from ebpfless_arch.events.interest import packed_cases
from ebpfless_arch.rules import prepared
from ebpfless_arch.rules.files import BUILT_IN, read_data
from ebpfless_arch.rules.narrowing import needed_cases
from ebpfless_arch.rules.policy import load_policies

LOADED = """
import atexit, sys
sys.argv[1:2] = []
import ebpfless
status = ebpfless.main(sys.argv[1:])
sys.stderr.write("".join("module %s\\n" % name for name in sys.modules))
sys.exit(status)
"""
# Each of them takes milliseconds, or brings others along; only errors, other policies, other outputs, files of
# configuration and probes that answer need them.
NOT_AT_A_START = frozenset("""
    argparse
    configparser difflib hashlib http.client http.server importlib.util json platform shlex socketserver ssl subprocess tempfile
    traceback uuid
    ebpfless_arch.agent.checking ebpfless_arch.agent.completion ebpfless_arch.agent.doctor ebpfless_arch.agent.patch
    ebpfless_arch.agent.probe ebpfless_arch.rules.check ebpfless_arch.rules.compile ebpfless_arch.rules.fields
    ebpfless_arch.rules.grammar ebpfless_arch.rules.lint ebpfless_arch.rules.narrowing ebpfless_arch.rules.planning
    ebpfless_arch.rules.policy ebpfless_arch.tracer.system
""".split())


def loaded_by(*options: str) -> FrozenSet[str]:
    """The modules that `trace` has loaded when a command is over in which nothing happens."""
    done = subprocess.run([sys.executable, "-S", "-c", LOADED, "", "trace"] + list(options) + ["--", "/bin/true"], cwd=str(REPOSITORY),
                          env=environment(), stderr=subprocess.PIPE, stdout=subprocess.DEVNULL)
    assert done.returncode == 0, done.stderr
    return frozenset(line[len("module "):] for line in done.stderr.decode().splitlines() if line.startswith("module "))


@pytest.mark.parametrize("address", ["none", "unix:/no/such/probe"])
def test_what_a_start_does_not_need_is_not_loaded(address: str) -> None:
    loaded = loaded_by("--probe-addr", address)
    assert "ebpfless_arch.rules.prepared_default" in loaded
    assert sorted(NOT_AT_A_START & loaded) == []


def test_the_prepared_policy_is_the_built_in_one() -> None:
    known, rules = prepared.built_in(), load_policies([BUILT_IN])
    assert known is not None and known.cases is not None
    assert [(rule.id, rule.entry, rule.event_type, rule.checked.fields, rule.policy_name, rule.policy_version, rule.file)
            for rule in known.rules] == [
                (rule.id, rule.entry, rule.event_type, rule.checked.fields, rule.policy_name, rule.policy_version, rule.file)
                for rule in rules.rules]
    assert packed_cases(known.cases) == packed_cases(needed_cases(rules.rules))
    assert known.rule_set.event_types == rules.rule_set.event_types


def test_a_policy_that_was_changed_is_not_the_prepared_one(monkeypatch: Any) -> None:
    changed = read_data(BUILT_IN).replace(b"/etc/shadow", b"/etc/shadov", 1)
    monkeypatch.setattr(prepared, "read_data", lambda path: changed)
    assert prepared.built_in() is None
