"""Tracer and program on one CPU: nobody below the trace sees it, and nothing of it stays."""

import os
import signal
import sys
from pathlib import Path
from typing import FrozenSet, List

import pytest

from blackbox import REPOSITORY, Session, descendants, rule, run, status_field, trace_command, wait_until, write_policy

ALL = frozenset(os.sched_getaffinity(0))

pytestmark = pytest.mark.skipif(len(ALL) < 2, reason="needs two CPUs")

STOPPING = """
import os, sys
print(os.getpid(), flush=True)
while os.getppid() != 1:
    for _ in range(97): os.close(os.open("/etc/hostname", os.O_RDONLY))
"""


def options(tmp_path: Path) -> List[str]:
    return ["--colocate", "--policy", write_policy(tmp_path / "policy.json", [rule("shadow", 'open.file.path == "/etc/shadow"')])]


def affinity(pid: int) -> FrozenSet[int]:
    try:
        return frozenset(os.sched_getaffinity(pid))
    except ProcessLookupError:
        return frozenset()


def tracer_of(pid: int) -> int:
    return int(status_field(pid, "TracerPid") or 0)


def is_narrow(pid: int) -> bool:
    return len(affinity(pid)) == 1


def test_a_program_that_stops_often_is_kept_on_one_cpu_and_gets_its_own_back(tmp_path: Path) -> None:
    program = STOPPING.replace("while os.getppid() != 1", "while not os.path.exists('%s')" % (tmp_path / "enough")) + """
print("resting", flush=True)
sys.stdin.readline()
"""
    with Session(trace_command([sys.executable, "-c", program], options(tmp_path))) as session:
        pid = int(session.line())
        wait_until(lambda: is_narrow(pid) and is_narrow(tracer_of(pid)), "one CPU")
        assert affinity(pid) == affinity(tracer_of(pid))
        (tmp_path / "enough").touch()
        assert session.line() == "resting"
        wait_until(lambda: affinity(pid) == affinity(tracer_of(pid)) == ALL, "their own")
        assert session.finish().status == 0


@pytest.mark.once
def test_nobody_sees_it(tmp_path: Path) -> None:
    """Not the program, its threads or its children; and what they set themselves is kept."""
    program = """
import os, sys, threading
def stop():
    for _ in range(211): os.close(os.open("/etc/hostname", os.O_RDONLY))
seen = set()
for turn in range(23):
    stop()
    seen.add(frozenset(os.sched_getaffinity(0)))
    thread = threading.Thread(target=lambda: (stop(), seen.add(frozenset(os.sched_getaffinity(0)))))
    thread.start(); stop(); thread.join()
    child = os.fork()
    if not child:
        stop()
        os._exit(len(os.sched_getaffinity(0)))
    seen.add(frozenset(os.sched_getaffinity(child)))
    stop()
    assert os.WEXITSTATUS(os.waitpid(child, 0)[1]) == len(os.sched_getaffinity(0))
assert seen == {frozenset(os.sched_getaffinity(0))}, seen
one = min(os.sched_getaffinity(0))
os.sched_setaffinity(0, {one})
for turn in range(11):
    stop()
    assert os.sched_getaffinity(0) == {one}
    if not os.fork(): stop(); os._exit(os.sched_getaffinity(0) != {one})
    assert os.wait()[1] == 0
"""
    result = run(trace_command([sys.executable, "-W", "ignore", "-c", program], options(tmp_path)))
    assert (result.status, result.stderr) == (0, b"")


def test_a_killed_tracer_leaves_nothing_behind(tmp_path: Path) -> None:
    program = """
import os, sys
for _ in range(2): os.fork()
os.write(1, b"%%d%%c" %% (os.getpid(), 10))
while True:
    for _ in range(97):
        try: os.close(os.open("/etc/hostname", os.O_RDONLY))
        except OSError: pass  # killed twice in a moment: nobody stood by
    if os.path.exists("%s"): break
sys.stdin.readline()
""" % (tmp_path / "enough")
    with Session(trace_command([sys.executable, "-c", program], options(tmp_path) + ["--wait-all"])) as session:
        pids = [int(session.line()) for _ in range(4)]
        for _ in range(5):
            former = tracer_of(pids[0])
            wait_until(lambda: any(map(is_narrow, pids)), "one CPU")
            os.kill(former, signal.SIGKILL)
            wait_until(lambda: all(tracer_of(pid) not in (0, former) for pid in pids), "another tracer")
        (tmp_path / "enough").touch()
        wait_until(lambda: all(affinity(pid) == ALL for pid in pids), "their own")
        assert session.finish().status == 0


def test_it_is_done_on_request_only(tmp_path: Path) -> None:
    command = trace_command([sys.executable, "-c", STOPPING], options(tmp_path)[1:] + ["--no-colocate"])
    with Session(command) as session:
        pid = int(session.line())
        for _ in range(503):
            assert affinity(pid) == ALL and affinity(tracer_of(pid)) == ALL
        for member in descendants(session.pid):
            if member == pid:
                os.kill(member, signal.SIGTERM)
        assert session.finish().status == -signal.SIGTERM


@pytest.mark.once
def test_an_alarm_during_an_alarm_loses_no_stop(tmp_path: Path) -> None:
    """What an alarm's handler raised went out of waitpid, and the stop that it had taken was lost with it."""
    quick = ("import sys; sys.path.insert(0, %r)\n"
             "from ebpfless_arch.tracer import places\n"
             "places._PERIOD_SECONDS, places._THIN, places._GAIN = 0.00015, -1, 100.0\n"
             "import ebpfless; sys.exit(ebpfless.main(sys.argv[1:]))" % str(REPOSITORY))
    loops = str(tmp_path / "loops")
    assert run(["gcc", "-O2", "-o", loops, str(REPOSITORY / "scripts" / "loops.c")]).status == 0
    for _ in range(3):
        result = run([sys.executable, "-c", quick, "trace", "--probe-addr", "none"] + options(tmp_path)
                     + ["--", loops, "live", "5", "2003", "/etc/hostname"])
        assert (result.status, result.stderr) == (0, b""), "the tracer never failed"
