"""`kill -9` of the tracer, a hundred times at random moments: real programs finish with the right results every time."""

import glob
import hashlib
import os
import random
import re
import shutil
import signal
import subprocess
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Any, List, Optional, Type

import pytest

from blackbox import (Compiler, Session, environment, event_options, file_path, read_events, retval, trace_command,
                      wait_until)
from loaded_servers import POSTGRES, Loaded, postgres, redis
from ordinary import NOBODY
from test_standby import counts, deaths_told
from test_trace_failures import tracer_of

KILLS = 100
EVERYTHING = ["--events", "--output", "/dev/null"]
SOURCES = sorted(glob.glob("/usr/src/binutils/binutils-*.tar.*"))
NEEDED = ["libiberty", "include", "config", "config.sub", "config.guess", "install-sh", "move-if-change", "mkinstalldirs",
          "config-ml.in", "symlink-tree"]

pytestmark = pytest.mark.slow


class Killer:
    """Kills the tracer of a process again and again, each time some milliseconds after another one has taken over."""

    def __init__(self, pid: int, times: int = KILLS) -> None:
        self.left = times
        self._pid = pid
        self._over = False
        self._problem = ""
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> "Killer":
        self._thread.start()
        return self

    def __exit__(self, kind: Optional[Type[BaseException]], value: Optional[BaseException],
                 traceback: Optional[TracebackType]) -> None:
        self._over = True
        self._thread.join()
        assert kind is not None or not self._problem, self._problem

    @property
    def is_done(self) -> bool:
        return not self._thread.is_alive()

    def _run(self) -> None:
        killed = 0
        while self.left and not self._over and os.path.exists("/proc/%d" % self._pid):
            time.sleep(random.uniform(0.02, 0.12))
            tracer, end = tracer_of(self._pid), time.monotonic() + 30
            while tracer in (0, killed) and os.path.exists("/proc/%d" % self._pid) and not self._over:
                if time.monotonic() > end:
                    self._problem = "nobody took over; {} kills were to come".format(self.left)
                    return
                tracer = tracer_of(self._pid)
            if tracer not in (0, killed):
                os.kill(tracer, signal.SIGKILL)
                killed, self.left = tracer, self.left - 1


class Traced:
    """A server below `trace`, to be waited for and to be ended."""

    def __init__(self, server: Loaded) -> None:
        identity = ["--uid", str(NOBODY), "--gid", str(NOBODY)] if server.preexec is not None and os.getuid() == 0 else []
        self.process = subprocess.Popen(trace_command(server.command, EVERYTHING + identity), stdout=subprocess.DEVNULL,
                                        stderr=subprocess.PIPE, cwd="/", env=environment())
        self.server = server

    def __enter__(self) -> "Traced":
        wait_until(self._answers, "the server answers")
        return self

    def __exit__(self, *problem: Any) -> None:
        self.process.send_signal(signal.SIGINT)
        self.errors = self.process.communicate(timeout=60)[1]

    def _answers(self) -> bool:
        try:
            self.server.ask()
            return True
        except (OSError, AssertionError, subprocess.CalledProcessError):
            assert self.process.poll() is None
            return False

    @property
    def pid(self) -> int:
        """The server's own process, the command."""
        tracer, = [int(pid) for pid in children(self.process.pid)]
        return min(int(pid) for pid in children(tracer))


def children(pid: int) -> List[str]:
    return Path("/proc/%d/task/%d/children" % (pid, pid)).read_text().split()


@pytest.mark.skipif(not POSTGRES, reason="needs PostgreSQL")
def test_pgbench(public_dir: Path) -> None:
    with Traced(postgres(public_dir)) as traced:
        access = ["-h", str(public_dir), "-U", "postgres"]
        pgbench = [os.path.join(POSTGRES, "pgbench")] + access
        subprocess.check_call(pgbench + ["-i", "-q", "-s", "1", "postgres"], stderr=subprocess.DEVNULL)
        rounds = 0
        with Killer(traced.pid) as killer:
            while not killer.is_done:
                answer = subprocess.check_output(pgbench + ["-n", "-C", "-c", "3", "-t", "17", "postgres"],
                                                 stderr=subprocess.STDOUT)
                assert b"processed: 51/51" in answer and b"failed transactions: 0 " in answer, answer
                rounds += 1
        assert killer.left == 0
        query = "select count(*), sum(delta) = (select sum(abalance) from pgbench_accounts) from pgbench_history"
        found = subprocess.check_output(["psql", "-X", "-q", "-A", "-t"] + access + ["-c", query, "postgres"])
        assert found == b"%d|t\n" % (51 * rounds)


@pytest.mark.skipif(shutil.which("redis-benchmark") is None, reason="needs redis")
def test_redis_benchmark(tmp_path: Path) -> None:
    with Traced(redis(tmp_path)) as traced:
        rounds = 0
        with Killer(traced.pid) as killer:
            while not killer.is_done:
                subprocess.check_call(["redis-benchmark", "-s", str(tmp_path / "socket"), "-q", "-c", "7", "-n", "1009",
                                       "-k", "0", "-t", "get,lpush"], stdout=subprocess.DEVNULL)
                rounds += 1
        assert killer.left == 0
        found = subprocess.check_output(["redis-cli", "-s", str(tmp_path / "socket"), "llen", "mylist"])
        assert int(found) == 1009 * rounds


@pytest.mark.skipif(not SOURCES, reason="needs Debian's binutils-source")
def test_make(tmp_path: Path) -> None:
    wanted = ["*/" + name for name in NEEDED]
    subprocess.check_call(["tar", "xf", SOURCES[-1], "-C", str(tmp_path), "--strip-components=1", "--wildcards"] + wanted)
    tree = tmp_path / "libiberty"
    subprocess.check_call(["./configure"], cwd=str(tree), stdout=subprocess.DEVNULL)
    build = ["make", "-j2", "libiberty.a", "CFLAGS=-O0"]
    subprocess.check_call(build, cwd=str(tree), stdout=subprocess.DEVNULL)
    archive = tree / "libiberty.a"
    native = hashlib.sha256(archive.read_bytes()).hexdigest()
    left = KILLS
    while left:
        subprocess.check_call(["make", "clean"], cwd=str(tree), stdout=subprocess.DEVNULL)
        command = trace_command(["sh", "-c", 'echo $$; exec "$@" >/dev/null', "sh"] + build, EVERYTHING)
        with Session(command, cwd=str(tree)) as session:
            with Killer(int(session.line()), left) as killer:
                result = session.finish(600)
        assert (result.status, result.stdout) == (0, b""), result
        assert hashlib.sha256(archive.read_bytes()).hexdigest() == native
        assert killer.left < left
        left = killer.left


@pytest.mark.parametrize("threads", [1, 3])
def test_a_loop_that_opens(threads: int, tmp_path: Path, compile_c: Compiler, capsys: Any) -> None:
    file, output = tmp_path / "file", tmp_path / "events"
    file.write_text("")
    with Session(trace_command([compile_c("open_loop.c"), str(threads), str(file)], event_options(str(output)))) as session:
        with Killer(int(session.line().split()[1])) as killer:
            wait_until(lambda: killer.is_done, "all kills are done", 120)
        assert killer.left == 0
        result = session.finish()
    found, events = counts(result.stdout), read_events(str(output))
    reasons = [event["evt"]["variables"]["reason"] for event in events if event["evt"]["name"] == "blind_spot"]
    windows = sorted(float(match.group(1)) for match in (re.search("of which ([0-9.]+) ms", each) for each in reasons) if match)
    with capsys.disabled():
        print("\n{} threads, {} kills, told in {} events: {} (errno: calls); without a tracer for {:.3f} ms (median), {:.3f} ms (worst)"
              .format(threads, KILLS, len(reasons), found, windows[len(windows) // 2], windows[-1]))
    # One that is killed before it could tell of its predecessor's end is counted by its successor.
    assert result.status == 0 and set(found) <= {0, 38} and sum(map(deaths_told, reasons)) == KILLS
    seen = sum(1 for event in events if event["evt"]["name"] == "open" and file_path(event) == str(file) and retval(event) >= 0)
    assert found[0] * 0.3 < seen <= found[0]
    assert windows[len(windows) // 2] < 1.0
