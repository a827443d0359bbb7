"""Whatever goes wrong inside the agent, the program ends as it would without us."""

import os
import signal
import sys
from pathlib import Path
from typing import List

import pytest

from blackbox import Result, Session, descendants, environment, named, read_events, run, trace_command, wait_until
from test_standby import wait_for_standby
from test_trace_failures import ask, tracer_of

# Runs ebpfless with a function that raises every time it is called.
BROKEN = """
import sys
from {module} import {owner} as owner
def failing(*rest, **named):
    raise {error}("injected")
setattr(owner, "{name}", failing)
import ebpfless
sys.exit(ebpfless.main(sys.argv[1:]))
"""

SCRIPT = 'for number in 1 2 3 4 5; do read line < /etc/passwd || exit 1; cat /etc/shadow >/dev/null || exit 2; done; echo done; exit 7'

PARTS = {
    "a decoder at the call": ("ebpfless_arch.tracer", "decode", "begin"),
    "a decoder at its result": ("ebpfless_arch.tracer", "results", "finish"),
    "what is told of a new program": ("ebpfless_arch.tracer", "results", "finish_exec"),
    "the model of processes": ("ebpfless_arch.events.processes", "Processes", "apply"),
    "the rules": ("ebpfless_arch.rules.ruleset", "RuleSet", "evaluate"),
}


def broken(part: str, error: str, options: List[str]) -> Result:
    module, owner, name = PARTS[part]
    program = BROKEN.format(module=module, owner=owner, name=name, error=error)
    command = trace_command(["sh", "-c", SCRIPT], options)
    return run([sys.executable, "-c", program] + command[command.index("trace"):], env=environment())


@pytest.mark.parametrize("part", sorted(PARTS))
def test_a_part_that_always_fails_costs_what_it_does_and_no_more(part: str, tmp_path: Path) -> None:
    result = broken(part, "KeyError", ["--events", "--format", "json", "--output", str(tmp_path / "events")])
    assert (result.status, result.stdout) == (7, b"done\n"), result
    assert b"KeyError" in result.stderr and b"injected" in result.stderr


def test_a_rule_that_fails_leaves_every_event(tmp_path: Path) -> None:
    output = tmp_path / "events"
    result = broken("the rules", "ZeroDivisionError", ["--events", "--format", "json", "--output", str(output)])
    assert (result.status, result.stdout) == (7, b"done\n") and b"ZeroDivisionError" in result.stderr
    events = read_events(str(output))
    assert [event["exit"]["code"] for event in named(events, "exit")] == [0] * 5 + [7]


@pytest.mark.root
def test_a_disk_that_is_full_costs_lines_and_is_told_once(tmp_path: Path) -> None:
    script = 'mount -t tmpfs -o size=64k none "$0" && "$@"; status=$?; stat -c %s "$0/events"; exit $status'
    command = trace_command(["sh", "-c", SCRIPT.replace("1 2 3 4 5", "$(seq 101)")],
                            ["--events", "--format", "json", "--output", str(tmp_path / "events")])
    result = run(["unshare", "--mount", "sh", "-c", script, str(tmp_path)] + command)
    assert result.status == 7 and result.stdout == b"done\n65536\n", result
    assert result.stderr.count(b"No space left on device") == 1


FORBIDDEN = """
import sys
from ebpfless_arch.kernel import ptrace
from ebpfless_arch.tracer import standby
from ebpfless_arch.tracer.engine import Engine
def refused(self, tid, pid):
    raise PermissionError(1, "not permitted")
original = standby.succeed
def succeed(*rest):
    Engine.seize = refused
    return original(*rest)
standby.succeed = succeed
import ebpfless
sys.exit(ebpfless.main(sys.argv[1:]))
"""


def test_where_nobody_may_take_over_the_status_is_still_the_command_s() -> None:
    """As with Yama's ptrace_scope 1: only an ancestor may trace. The script does no call that is filtered."""
    command = trace_command(["sh", "-c", "echo $$; while read word; do echo $word; done; exit 7"])
    with Session([sys.executable, "-c", FORBIDDEN] + command[command.index("trace"):], env=environment()) as session:
        shell = int(session.line())
        wait_for_standby(shell)
        os.kill(tracer_of(shell), signal.SIGKILL)
        wait_until(lambda: tracer_of(shell) == 0, "nobody traces it")
        ask(session, "word")
        os.kill(session.pid, signal.SIGCONT)
        ask(session, "another")
        result = session.finish()
    assert result[:2] == (7, b"")
    assert result.stderr.count(b"cannot be traced again: not permitted") == 1


def test_nothing_is_left_of_a_run(tmp_path: Path) -> None:
    before = set(descendants(os.getpid()))
    assert run(trace_command(["true"])).status == 0
    assert set(descendants(os.getpid())) <= before
