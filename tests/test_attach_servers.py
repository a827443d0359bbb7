"""Attach mode and real servers under load: no request fails, no thread stays behind."""

import os
import signal
from pathlib import Path

import pytest

from attaching import Attached, states, tracers
from blackbox import wait_until
from loaded_servers import SERVERS

ROUNDS, KILLS = 50, 20

pytestmark = [pytest.mark.slow]


@pytest.mark.parametrize("name", sorted(SERVERS))
def test_a_server_is_attached_to_and_left_again_and_again(name: str, public_dir: Path, tmp_path: Path) -> None:
    with SERVERS[name](public_dir) as server:
        for number in range(ROUNDS):
            output = tmp_path / "events-{}".format(number)
            pids = server.pids
            with Attached(pids, output) as trace:
                wait_until(lambda: any("from_procfs" not in event["evt"]["variables"] for event in trace.events),
                           "something is seen of it")
                assert trace.end().status == 0
            for pid in server.pids:
                assert set(tracers(pid)) <= {0} and not set(states(pid)) & set("tT"), (number, pid)
            server.answers_on()


@pytest.mark.parametrize("name", sorted(SERVERS))
def test_a_server_outlives_its_tracers(name: str, public_dir: Path, tmp_path: Path) -> None:
    with SERVERS[name](public_dir) as server:
        with Attached(server.pids, tmp_path / "events") as trace:
            for _ in range(KILLS):
                old = trace.tracer
                os.kill(old, signal.SIGKILL)
                wait_until(lambda: not {0, old} & set(tracers(server.process.pid)), "another tracer takes over")
                server.answers_on()
            assert trace.end().status == 0
        server.answers_on()
        assert all(set(tracers(pid)) <= {0} and not set(states(pid)) & set("tT") for pid in server.pids)
