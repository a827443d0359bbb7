"""`ebpfless doctor` and `version --json`: what a host allows, and how to mend what it does not."""

import json
import os
import re
import sys
from typing import Any, Dict, List

import pytest

from blackbox import ebpfless, run
from ebpfless_arch.agent import doctor
from ebpfless_arch.agent.doctor import LIMITED, MISSING, OK, Facts, Finding
from ebpfless_arch.kernel.features import NO_PTRACE, Features
from ebpfless_arch.kernel.walls import CAPABILITIES, Walls
from ebpfless_arch.tracer import modes

AS_ROOT = Walls(frozenset(CAPABILITIES), -1, False, False, "", False, False)
POWERLESS = AS_ROOT._replace(capabilities=frozenset())
ALL = Features(True, True, False, False, True, True, "", True)
HEALTHY = Facts("x86_64", ALL, AS_ROOT, "")
needs_root = pytest.mark.skipif(os.getuid() != 0, reason="needs root")


def told(found: Facts) -> Dict[str, Finding]:
    return {finding.name: finding for finding in doctor.findings(found)}


def report(*before: str) -> List[str]:
    result = run(list(before) + ebpfless("doctor"))
    assert result.stderr == b"" and result.status in (0, 1, 2)
    return [str(result.status)] + result.stdout.decode().splitlines()


def test_a_healthy_host_has_nothing_to_mend() -> None:
    assert [finding for finding in doctor.findings(HEALTHY) if finding.state != OK or finding.mend] == []


@pytest.mark.parametrize("facts,name,state,words", [
    (HEALTHY._replace(machine="vax"), "machine", MISSING, ["vax", "x86_64"]),
    (Facts("x86_64", NO_PTRACE._replace(problem="ptrace: Operation not permitted"), AS_ROOT._replace(seccomp=True), "x"),
     "wrap mode", MISSING, ["Operation not permitted", "--cap-add SYS_PTRACE", "linuxParameters", "securityContext"]),
    (Facts("x86_64", NO_PTRACE, AS_ROOT._replace(apparmor="docker-default (enforce)"), "x"), "wrap mode", MISSING,
     ["docker-default", "apparmor=unconfined"]),
    (Facts("x86_64", NO_PTRACE, AS_ROOT._replace(yama=3), "x"), "wrap mode", MISSING, ["ptrace_scope is 3", "reboot"]),
    (HEALTHY._replace(features=NO_PTRACE._replace(ptrace=True)), "filter", LIMITED, ["every call stops", "3.5"]),
    (HEALTHY._replace(walls=AS_ROOT._replace(no_new_privs=True)), "setuid programs", LIMITED,
     ["NO_NEW_PRIVS is set on us", "allowPrivilegeEscalation"]),
    (HEALTHY._replace(features=ALL._replace(filters_need_no_new_privs=True)), "setuid programs", LIMITED,
     ["needs NO_NEW_PRIVS", "CAP_SYS_ADMIN"]),
    (HEALTHY._replace(walls=POWERLESS), "setuid programs", LIMITED, ["we lack CAP_SYS_PTRACE"]),
    (HEALTHY._replace(walls=POWERLESS._replace(yama=1), strangers="Operation not permitted"), "other processes", LIMITED,
     ["Operation not permitted", "ptrace_scope=0"]),
    (HEALTHY._replace(walls=POWERLESS._replace(yama=2), strangers="Operation not permitted"), "other processes", LIMITED,
     ["ptrace_scope is 2"]),
    (HEALTHY._replace(strangers="Operation not permitted"), "killed tracer", LIMITED, ["cannot be replaced", "ptrace_scope"]),
    (HEALTHY._replace(gaps=(0.01, 0.02, -1.0)), "killed tracer", LIMITED, ["nobody can stand by", "SYS_PTRACE"]),
    (HEALTHY._replace(walls=AS_ROOT._replace(mapped=True)), "other users", LIMITED, ["user namespace"]),
    (HEALTHY._replace(features=ALL._replace(vm_read=False)), "arguments", LIMITED, ["/proc/PID/mem"]),
    (HEALTHY._replace(walls=AS_ROOT._replace(hidden=True)), "/proc", LIMITED, ["hidepid=0"]),
])
def test_each_lack_is_told_with_its_cure(facts: Facts, name: str, state: str, words: List[str]) -> None:
    finding = told(facts)[name]
    assert finding.state == state
    assert all(word in finding.text + " " + finding.mend for word in words), finding
    assert doctor.worst(doctor.findings(facts)) in (state, MISSING)


@needs_root
def test_root_on_a_host_can_do_everything() -> None:
    lines = report()
    assert lines[0] == "0" and lines[-1] == "Everything works here."
    assert all(line.startswith("  ok ") for line in lines[2:-1]), lines


def test_how_long_a_thread_has_no_tracer_is_measured() -> None:
    (line,) = [line for line in report() if "killed tracer" in line]
    found = re.search(r"for ([0-9.]+) ms \(median of 5, worst ([0-9.]+)\)$", line)
    assert found and 0 < float(found.group(1)) <= float(found.group(2)), line
    assert told(HEALTHY._replace(gaps=(0.3, 7.0, 0.2)))["killed tracer"].text.endswith("0.300 ms (median of 3, worst 7.000)")


@needs_root
def test_without_capabilities_children_can_be_traced_and_strangers_of_other_users_not() -> None:
    lines = report("setpriv", "--securebits", "+noroot", "--bounding-set", "-all", "--inh-caps", "-all")
    assert lines[0] == "1" and lines[-1] == "Wrap mode works here, with the limits above."
    text = "\n".join(lines)
    assert "ok       wrap mode " in text and "ok       filter " in text
    assert "limited  setuid programs  run without their privileges below trace: its filter needs NO_NEW_PRIVS here" in text
    assert "limited  other users      processes of other users cannot be traced: we lack CAP_SYS_PTRACE" in text


@needs_root
def test_no_new_privs_and_a_user_namespace_are_seen() -> None:
    assert any("NO_NEW_PRIVS is set on us" in line for line in report("setpriv", "--no-new-privs"))
    assert any("user namespace of our own" in line for line in report("unshare", "--user", "--map-root-user"))


@needs_root
def test_without_proc_that_is_what_it_says() -> None:
    lines = report("unshare", "--mount", "sh", "-c", 'umount -l /proc; exec "$@"', "sh")
    assert lines[0] == "2" and "mount -t proc proc /proc" in "\n".join(lines)


def test_version_tells_the_features_that_the_engine_goes_by() -> None:
    result = run(ebpfless("version", "--json"))
    found = json.loads(result.stdout.decode())
    assert (result.status, result.stderr) == (0, b"")
    assert set(found["features"]) == set(Features._fields)
    assert found["python"] == sys.version.split()[0] and found["kernel"] == os.uname().release
    assert found["features"]["ptrace"] is True
    assert set(found["engine"]) == {"stops", "order", "calls", "memory", "on_failure_kill"}
    (line,) = [line for line in report() if line.split()[1:2] == ["engine"]]
    assert all("%s %s" % (part, way) in line for part, way in found["engine"].items())


@pytest.mark.parametrize("lacking,part,way", [
    ("filters", "stops", "at every call"), ("syscall_info", "calls", "by registers"),
    ("vm_read", "memory", "/proc/PID/mem"), ("exit_kill", "on_failure_kill", "refused")])
def test_the_mode_of_the_engine_follows_from_the_features(lacking: str, part: str, way: str) -> None:
    values: Dict[str, Any] = dict(ALL._asdict(), **{lacking: False})
    without = Features(**values)
    assert way in modes.mode(without)[part] and way not in modes.mode(ALL)[part]
    assert ("order" in modes.mode(ALL._replace(filters=False))) is False
    assert modes.mode(NO_PTRACE) == {}


@pytest.mark.parametrize("command", ["doctor", "version", "config"])
def test_operands_are_refused(command: str) -> None:
    result = run(ebpfless(command, "more"))
    assert (result.status, result.stdout) == (2, b"")
    assert result.stderr == b"ebpfless %s: 'more' is too much; see 'ebpfless %s --help'\n" % (command.encode(), command.encode())
