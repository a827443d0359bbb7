"""Words written into files that steer the kernel: lists of cgroups, switches of SELinux, parameters below /proc/sys."""

import json
from pathlib import Path
from typing import Any, Dict, Iterator, List, Sequence

import pytest

from blackbox import (Compiler, Event, Result, event_options, is_detection, named, read_events, retval, rule, run,
                      run_traced, trace_command, write_policy)
from call_runs import WIDTHS
from cgroups import new_cgroup, remove_cgroup

pytestmark = pytest.mark.root

PUBLISHED = Path(__file__).resolve().parent.parent.parent / "shared/reference/datadog/default.policy.json"
SHELLS = [["sh", "-c"], ["bash", "-c"]]
EINVAL, EACCES = -22, -13
# A directory in the place of SELinux's file system, in a mount namespace of its own.
SELINUX = ["unshare", "--mount", "sh", "-c", """
mount -t tmpfs none /sys/fs && mkdir -p /sys/fs/selinux/booleans && cd /sys/fs/selinux
for name in enforce disable commit_pending_bools booleans/httpd_enable_cgi other; do echo 0 >$name; done
exec "$@"
""", "sh"]


@pytest.fixture
def cgroup() -> Iterator[str]:
    path = new_cgroup("mill")
    yield path
    remove_cgroup(path)


def control_events(result: Result) -> List[Event]:
    return [event for event in result.events if event["evt"]["name"] in ("cgroup_write", "selinux", "sysctl")
            and not is_detection(event)]


# --- cgroups -----------------------------------------------------------------------


@pytest.mark.parametrize("shell", SHELLS, ids=["sh", "bash"])
def test_a_process_that_is_put_into_a_cgroup(shell: List[str], cgroup: str) -> None:
    script = "sleep 17 & echo $! >{0}/cgroup.procs; echo 0 >{0}/cgroup.procs; kill $!; echo $$ $!".format(cgroup)
    result = run_traced(shell + [script])
    own, child = [int(word) for word in result.stdout.split()]
    events = named(result.events, "cgroup_write")
    assert [(event["cgroup_write"]["pid"], event["process"]["pid"], retval(event) > 0) for event in events] == [
        (child, own, True), (own, own, True)]
    assert {event["cgroup_write"]["file"]["path"] for event in events} == {cgroup + "/cgroup.procs"}


def test_a_write_that_fails_and_files_that_are_only_called_so(cgroup: str, tmp_path: Path) -> None:
    result = run_traced(["sh", "-c", "echo 999999999 >%s/cgroup.procs; echo 17 >%s/cgroup.procs; true"
                         % (cgroup, tmp_path)])
    assert [(event["cgroup_write"]["pid"], retval(event)) for event in named(result.events, "cgroup_write")] == [
        (999999999, -3)]


@pytest.mark.skipif(not PUBLISHED.exists(), reason="the published policy is not beside the repository")
def test_the_published_rule_on_cgroups_sets_its_variables(cgroup: str, tmp_path: Path) -> None:
    policy = json.loads(PUBLISHED.read_text())
    extra = rule("seen", 'exec.args == "17.17" && ${process.correlation_key} in [~"cgroup_*"]')
    mine = dict(policy, rules=[found for found in policy["rules"]
                               if found["id"] == "execution_context_cgroup_write"] + [extra])
    path = tmp_path / "policy.json"
    path.write_text(json.dumps(mine))
    output = str(tmp_path / "events")
    script = "/bin/echo 17.17; echo $$ >%s/cgroup.procs; /bin/echo 17.17; true" % cgroup
    result = run(trace_command(["sh", "-c", script],
                               ["--format", "json", "--output", output, "--policy", str(path)]))
    assert (result.status, result.stderr, result.stdout) == (0, b"", b"17.17\n17.17\n")
    assert [event["agent"]["rule_id"] for event in read_events(output)] == ["seen"]


# --- SELinux -------------------------------------------------------------------------


@pytest.mark.parametrize("script,expected", [
    ("echo 0 >enforce", [{"enforce": {"status": "permissive"}}]),
    ("printf 1 >enforce", [{"enforce": {"status": "enforcing"}}]),
    ("echo 1 >disable; echo 0 >disable", [{"enforce": {"status": "disabled"}}]),
    ("echo 1 >booleans/httpd_enable_cgi; echo 0 >booleans/httpd_enable_cgi; echo 1 >commit_pending_bools",
     [{"bool": {"name": "httpd_enable_cgi", "state": "on"}}, {"bool": {"name": "httpd_enable_cgi", "state": "off"}},
      {"bool_commit": {"state": True}}]),
    ("echo word >enforce; echo 1 >other; cat enforce; echo 1 >/tmp/enforce; rm /tmp/enforce", []),
], ids=["permissive", "enforcing", "disabled", "booleans", "nothing"])
def test_switches_of_selinux(script: str, expected: List[Dict[str, Any]], tmp_path: Path) -> None:
    output = str(tmp_path / "events")
    # Our own mounts come first: it is the inner shell that is traced.
    result = run(SELINUX + trace_command(["sh", "-c", script], event_options(output)))
    assert (result.status, result.stderr) == (0, b"")
    assert [event["selinux"] for event in named(read_events(output), "selinux")] == expected


@pytest.mark.skipif(not PUBLISHED.exists(), reason="the published policy is not beside the repository")
def test_the_published_rule_on_selinux_fires(tmp_path: Path) -> None:
    output = str(tmp_path / "events")
    # Traced from outside of the mount namespace.
    run(trace_command(SELINUX + ["sh", "-c", "echo 1 >enforce; echo 0 >enforce"],
                      ["--format", "json", "--output", output, "--policy", str(PUBLISHED)]))
    fired = [event for event in read_events(output) if event["agent"]["rule_id"] == "selinux_disable_enforcement"]
    assert [event["selinux"] for event in fired][-1:] == [{"enforce": {"status": "permissive"}}]


# --- parameters ----------------------------------------------------------------------


def in_own_network(command: Sequence[str], folder: Path, options: Sequence[str] = ()) -> Result:
    output = str(folder / "events")
    result = run(trace_command(["unshare", "--net"] + list(command), event_options(output) + list(options)))
    return result._replace(events=read_events(output))


@pytest.mark.parametrize("shell", SHELLS, ids=["sh", "bash"])
def test_a_parameter_that_is_set(shell: List[str], tmp_path: Path) -> None:
    result = in_own_network(shell + ["cd /proc/sys/net/ipv4; echo 1 >ip_forward; echo 0 >>ip_forward; cat ip_forward"],
                            tmp_path)
    assert (result.status, result.stdout) == (0, b"0\n")
    common = {"action": "write", "name": "net/ipv4/ip_forward", "file_position": 0, "name_truncated": False,
              "value_truncated": False, "old_value_truncated": False}
    assert [(event["sysctl"], retval(event)) for event in named(result.events, "sysctl")] == [
        (dict(common, value=value, old_value=old, proc={"sys": {"net": {"ipv4": {"ip_forward": value}}}}), 2)
        for value, old in (("1", "0"), ("0", "1"))]


@pytest.mark.parametrize("flags", WIDTHS)
def test_every_call_that_writes(flags: List[str], compile_c: Compiler, tmp_path: Path) -> None:
    program = compile_c("network.c", *flags)
    result = in_own_network([program, "write", "/proc/sys/net/ipv4/ip_forward", "17"], tmp_path)
    results = [int(line.split()[1]) for line in result.stdout.decode().splitlines()]
    events = named(result.events, "sysctl")
    assert len(results) == 4 and [retval(event) for event in events] == results
    assert [event["sysctl"]["value"] for event in events] == ["17"] * 4
    assert [event["sysctl"]["file_position"] for event in events] == [0, 0, results[0], 0]


def test_rules_on_parameters(tmp_path: Path) -> None:
    policy = write_policy(tmp_path / "policy", [
        rule("on", 'sysctl.name == "net/ipv4/ip_forward" && sysctl.value == "1" && sysctl.old_value == "0" '
                   '&& sysctl.action == SYSCTL_WRITE'),
        rule("no", 'sysctl.name == "net/ipv4/tcp_syncookies"', actions=[{"deny": {"errno": "EACCES"}}])])
    result = in_own_network(["sh", "-c", "echo 1 >/proc/sys/net/ipv4/ip_forward; cd /proc/sys/net/ipv4; "
                             "echo 17 >tcp_syncookies; cat tcp_syncookies"], tmp_path, ["--policy", policy])
    assert result.stdout == b"1\n"
    assert [event["agent"]["rule_id"] for event in result.events if is_detection(event)] == ["on", "no"]
    assert [retval(event) for event in named(result.events, "sysctl")] == [2, EACCES]


def test_what_was_opened_before_the_trace(tmp_path: Path) -> None:
    output = str(tmp_path / "events")
    script = 'exec 7>/proc/sys/net/ipv4/ip_forward; exec "$@"'
    result = run(["unshare", "--net", "sh", "-c", script, "sh"]
                 + trace_command(["sh", "-c", "echo 1 >&7"], event_options(output)))
    assert (result.status, result.stderr) == (0, b"")
    assert [event["sysctl"]["value"] for event in named(read_events(output), "sysctl")] == ["1"]
