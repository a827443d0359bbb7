"""Somebody stands by for the tracer: no call fails when it is killed, and nobody has to be there to see to it."""

import errno
import os
import re
import signal
from pathlib import Path
from typing import Dict, Tuple

import pytest

from blackbox import (Compiler, Event, Session, event_options, file_path, read_events, retval, run, status_field, trace_command,
                      wait_until)
from ebpfless_arch.tracer.standby import Gap
from test_trace_failures import ask, finish, kill_tracer, opened, tracer_of
from test_trace_recovery import reasons

# Opens the file for every line that it reads, and says whether that failed.
STRICT = 'echo $$; while read word; do (read line < "$0") && read line < "$0" && echo "$word" || echo failed; done; exit 7'


def start(file: Path, output: Path) -> Session:
    file.write_text("content\n")
    return Session(trace_command(["sh", "-c", STRICT, str(file)], event_options(str(output))))


def standby_of(pid: int) -> int:
    """Who stands by for the tracer of a process."""
    return tracer_of(tracer_of(pid))


def wait_for_standby(pid: int, other_than: int = 0) -> int:
    wait_until(lambda: standby_of(pid) not in (0, other_than), "somebody stands by")
    return standby_of(pid)


def counts(output: bytes) -> Dict[int, int]:
    """What open_loop tells: how often each errno came."""
    lines = [line.split() for line in output.decode().splitlines()]
    return {int(words[1].rstrip(":")): int(words[2]) for words in lines}


def test_the_one_that_stands_by_takes_over(tmp_path: Path) -> None:
    file, output = tmp_path / "file", tmp_path / "events"
    with start(file, output) as session:
        shell = int(session.line())
        for number in range(7):
            successor = wait_for_standby(shell)
            ask(session, "word%d" % number)
            wait_until(lambda: len(opened(output, file)) == 2 * number + 2, "what was seen is written")
            kill_tracer(shell)
            assert tracer_of(shell) == successor
        ask(session, "last")
        finish(session)
    told = reasons(output)
    assert len(told) == 7 and all("without a tracer" in reason for reason in told)
    assert len(opened(output, file)) == 16
    wait_until(lambda: not os.path.exists("/proc/%d" % successor), "nobody is left")


def test_one_that_is_killed_is_replaced(tmp_path: Path) -> None:
    file, output = tmp_path / "file", tmp_path / "events"
    with start(file, output) as session:
        shell = int(session.line())
        tracer = tracer_of(shell)
        for number in range(5):
            old = wait_for_standby(shell)
            os.kill(old, signal.SIGKILL)
            wait_for_standby(shell, old)
            ask(session, "word%d" % number)
        assert tracer_of(shell) == tracer
        kill_tracer(shell)
        ask(session, "last")
        finish(session)
    assert len(reasons(output)) == 1


def test_signals_to_stop_do_not_stop_the_tracer(tmp_path: Path) -> None:
    file, output = tmp_path / "file", tmp_path / "events"
    with start(file, output) as session:
        shell = int(session.line())
        wait_for_standby(shell)
        for number in (signal.SIGSTOP, signal.SIGTSTP, signal.SIGTTIN):
            os.kill(tracer_of(shell), number)
            ask(session, "after%d" % number)
        finish(session)
    assert reasons(output) == []


def test_one_that_is_stopped_is_woken(tmp_path: Path) -> None:
    file, output = tmp_path / "file", tmp_path / "events"
    with start(file, output) as session:
        shell = int(session.line())
        os.kill(wait_for_standby(shell), signal.SIGSTOP)
        kill_tracer(shell)
        ask(session, "word")
        finish(session)
    assert reasons(output)[0].startswith("somebody had stopped the process that stands by for the tracer (SIGSTOP)")


def test_nobody_fails_when_keeper_and_tracer_are_killed(tmp_path: Path) -> None:
    file, output = tmp_path / "file", tmp_path / "events"
    with start(file, output) as session:
        shell = int(session.line())
        wait_for_standby(shell)
        os.kill(session.pid, signal.SIGKILL)
        for number in range(3):
            ask(session, "word%d" % number)
            wait_for_standby(shell)
            kill_tracer(shell)
        ask(session, "last")
        last = wait_for_standby(shell)
        assert session.process.stdin is not None
        session.process.stdin.close()
        wait_until(lambda: not os.path.exists("/proc/%d" % shell), "the program ends")
        wait_until(lambda: not os.path.exists("/proc/%d" % last), "whoever stands by ends with it")


def test_keeper_and_tracer_killed_at_once(tmp_path: Path) -> None:
    file, output = tmp_path / "file", tmp_path / "events"
    with start(file, output) as session:
        shell = int(session.line())
        successor = wait_for_standby(shell)
        tracer = tracer_of(shell)
        for pid in (session.pid, tracer):
            os.kill(pid, signal.SIGKILL)
        wait_until(lambda: tracer_of(shell) == successor, "another tracer takes over")
        ask(session, "word")


def test_tracer_and_stand_by_killed_at_once_are_replaced_by_the_keeper(tmp_path: Path) -> None:
    """Their calls may fail for some milliseconds, so the shell has to have some patience."""
    file, output = tmp_path / "file", tmp_path / "events"
    with start(file, output) as session:
        shell = int(session.line())
        ask(session, "before")
        standby, tracer = wait_for_standby(shell), tracer_of(shell)
        for pid in (standby, tracer):
            os.kill(pid, signal.SIGKILL)
        wait_until(lambda: tracer_of(shell) not in (0, tracer, standby), "another tracer takes over")
        wait_for_standby(shell)
        ask(session, "after")
        finish(session)
    assert len(reasons(output)) == 1


def test_affinities_are_left_as_they_were(tmp_path: Path, compile_c: Compiler) -> None:
    cpus = os.sched_getaffinity(0)
    file = tmp_path / "file"
    file.write_text("")
    script = 'taskset -p -c {0} $$ >/dev/null; "$1" 3 "$0" & echo $!; echo $$; wait'.format(min(cpus))
    command = ["bash", "-c", "exec 3<&0; " + script.replace(' &', ' <&3 &', 1), str(file), compile_c("open_loop.c")]
    with Session(trace_command(["sh", "-c", '"$@"; exit 3', "sh"] + command, ["--output", "/dev/null"])) as session:
        pids = sorted([int(session.line().split()[-1]) for _ in range(3)])
        for _ in range(7):
            wait_for_standby(pids[0])
            kill_tracer(pids[0])
        wait_for_standby(pids[0])
        assert [os.sched_getaffinity(pid) for pid in set(pids)] == [{min(cpus)}] * 2
        outer = int(status_field(min(pids), "PPid"))
        assert os.sched_getaffinity(outer) == cpus
        result = session.finish()
        assert result.status == 3 and b"errno 0: " in result.stdout


@pytest.mark.parametrize("threads", [1, 5])
def test_opens_are_seen_again_after_every_death_of_the_tracer(threads: int, tmp_path: Path, compile_c: Compiler) -> None:
    file, output = tmp_path / "file", tmp_path / "events"
    file.write_text("")
    # Without a pause there is more to write than a busy machine can, and the gap is told after all of it.
    with Session(trace_command([compile_c("open_loop.c"), str(threads), str(file), "2000"], event_options(str(output)))) as session:
        pid, told = int(session.line().split()[1]), Told(output, file)
        for number in range(8):
            wait_until(lambda: told.look().gaps >= number, "the gap is told")
            wait_until(lambda: told.look().opens > 17, "opens are seen again")
            if number < 7:
                wait_for_standby(pid)
                kill_tracer(pid)
        result = session.finish()
    found, events = counts(result.stdout), read_events(str(output))
    assert result.status == 0 and set(found) <= {0, errno.ENOSYS}
    seen = [number for number, event in enumerate(events) if is_open(event, file)]
    gaps = [number for number, event in enumerate(events)
            if event["evt"]["variables"].get("reason", "").startswith("the tracer was killed;")]
    assert len(gaps) == 7
    # Some opens are seen before, between and after all of them; unseen are those under way when the tracer dies.
    assert all(any(first < number < last for number in seen) for first, last in zip([-1] + gaps, gaps + [len(events)]))
    assert 100 < len(seen) <= found[0]


# Starts programs all the time, says which of them failed, and ends when the file is there.
STORM = ('echo $$; until test -e "$0"; do found=$(echo word | cat | cat); test "$found" = word || echo "$found"; done; '
         'taskset -p $$; exit 7')


def test_a_tracer_that_is_killed_while_it_takes_over_is_told_of_as_well(tmp_path: Path) -> None:
    """Each is killed as soon as the shell is in its hands, while it still seizes others: whoever comes next has to find those
    that wait for the dead one before it."""
    flag, output = tmp_path / "flag", tmp_path / "events"
    with Session(trace_command(["bash", "-c", STORM, str(flag)], event_options(str(output)))) as session:
        shell = int(session.line())
        wait_for_standby(shell)
        tracer = 0
        for _ in range(13):
            wait_until(lambda: tracer_of(shell) not in (0, tracer), "another tracer takes over")
            tracer = tracer_of(shell)
            os.kill(tracer, signal.SIGKILL)
        flag.write_text("")
        result = session.finish()
    mask = sum(1 << cpu for cpu in os.sched_getaffinity(0))
    assert (result.status, result.stdout) == (7, b"pid %d's current affinity mask: %x\n" % (shell, mask))
    assert sum(map(deaths_told, reasons(output))) == 13


def deaths_told(reason: str) -> int:
    """Of how many killed tracers an event tells."""
    match = re.match("the tracer was killed( ([0-9]+) times in a row)?", reason)
    return int(match.group(2) or 1) if match else 0


class Told:
    """How many gaps an output has told so far, and of how many opens of a file since the last. Lines may be long and many: they
    are not parsed, and each is read once."""

    def __init__(self, output: Path, file: Path) -> None:
        self._output = output
        # As its file, and as the call's argument.
        self._twice = b'"path":"%s"' % str(file).encode()
        self._read = 0
        self._gaps = 0
        self._paths = 0

    def look(self) -> "Told":
        """Read what is new."""
        if self._output.exists():
            with self._output.open("rb") as lines:
                lines.seek(self._read)
                new = lines.read()
            new = new[:new.rfind(b"\n") + 1]
            self._read += len(new)
            parts = new.split(b'"reason":"the tracer was killed')
            self._gaps += len(parts) - 1
            self._paths = (0 if len(parts) > 1 else self._paths) + parts[-1].count(self._twice)
        return self

    @property
    def gaps(self) -> int:
        """Since the beginning."""
        return self._gaps

    @property
    def opens(self) -> int:
        """Since the last gap."""
        return self._paths // 2


def is_open(event: Event, file: Path) -> bool:
    return event["evt"]["name"] == "open" and file_path(event) == str(file) and retval(event) >= 0


def test_one_thread_is_told_as_one() -> None:
    assert str(Gap(1, "", 2.0, 0.5)) == ("the tracer was killed; 1 thread is traced again after 2.0 ms, of which 0.500 ms without "
                                         "a tracer")
    assert str(Gap(2, "", 2.0, -1.0)) == "the tracer was killed; 2 threads are traced again after 2.0 ms"


def test_the_status_of_a_command_that_ends_with_its_tracer_is_known(tmp_path: Path) -> None:
    """The kernel tells it to the tracer, which may be dying already."""
    command = trace_command(["bash", "-c", "kill -9 $PPID; exit 7"], ["--output", str(tmp_path / "told")])
    for _ in range(13):
        status, output, errors = run(command)[:3]
        assert (status, output) == (7, b""), errors
        assert re.match(rb"(ebpfless: \d+ records of the tracer were lost\n)?$", errors), errors
