"""`ebpfless check --explain`: what a rule costs is told by the calls that the filter really stops."""

import json
from pathlib import Path
from typing import Any, Dict, List

import bpf
from blackbox import REPOSITORY, ebpfless, rule, run, write_policy
from ebpfless_arch.abi import MACHINES
from ebpfless_arch.agent.evaluation import interest_of
from ebpfless_arch.kernel import seccomp
from ebpfless_arch.rules.policy import load_policies
from ebpfless_arch.tracer import syscalls

DEFAULT = str(REPOSITORY / "ebpfless_arch" / "rules" / "default.json")


def explained(policy: str) -> List[Dict[str, Any]]:
    result = run(ebpfless("check", "--explain", "--format", "json", policy))
    assert result.status == 0, result
    found: List[Dict[str, Any]] = json.loads(result.stdout.decode())["explained"]
    return found


def test_conditions_times_and_shares(tmp_path: Path) -> None:
    policy = write_policy(tmp_path / "p.json", [
        rule("written", 'open.file.path == "/a" && open.flags & (O_WRONLY|O_RDWR) > 0'), rule("read", "open.flags == 0"),
        rule("removed", 'unlink.file.path == "/a"'), rule("traced", "ptrace.request == PTRACE_TRACEME"),
        rule("started", 'exec.file.name == "a"'), rule("asked", 'dns.question.name == "a"')])
    lines = run(ebpfless("check", "--explain", policy)).stdout.decode().splitlines()
    at = lines.index("written (open): 7 calls stop, 0 of them for this rule alone; told only where the path may match")
    assert "    openat if flags & 0x3 != 0: 2 a call; shared with 1 other rule" in lines[at:at + 8]
    assert "    creat: 2 a call; shared with 1 other rule" in lines[at:at + 8]
    assert "    openat if flags in [0]: 2 a call; shared with 1 other rule" in lines
    assert "    unlink: 1, or 2 for a path that may match a call; for this rule alone" in lines
    assert "    ptrace if request in [0]: 2 a call; for this rule alone" in lines
    assert "started (exec): no stop of its own; all are followed in any case" in lines
    assert "    write if 17 <= argument 3 <= 4096: 1, or 2 by a descriptor that matters a call; for this rule alone" in lines
    assert lines[-1].startswith("0 errors")


def test_what_is_told_is_what_stops(tmp_path: Path) -> None:
    """Each call that is named stops in the filter of the whole policy, and no other stops that did not anyway."""
    named = {stop["call"] for one in explained(DEFAULT) for stop in one["stops"]}
    abi = MACHINES["x86_64"][0]
    rules = load_policies([DEFAULT]).rule_set
    program = seccomp.compile_filter(syscalls.blocks([abi], interest_of(rules, False)))
    plain = seccomp.compile_filter(syscalls.blocks([abi], interest_of(load_policies([write_policy(
        tmp_path / "p.json", [rule("exits", "exit.code == 3")])]).rule_set, False)))
    stopping = {name for name, number in abi.syscalls.items() if bpf.run(program, number, abi.audit_arch, [1] * 6)
                != bpf.run(plain, number, abi.audit_arch, [1] * 6)}
    assert stopping == named & set(abi.syscalls) and "openat" in stopping


def test_text_is_there_beside_the_usual_counts() -> None:
    result = run(ebpfless("check", "--explain", DEFAULT))
    assert result.status == 0 and b"\nstops     7 calls for 102 rules: creat, open, open_by_handle_at, openat" in result.stdout
    assert b"\nactive    102 rules: " in result.stdout
