"""scripts/bench: it runs, its figures are what they say, and it names what it does not know."""

import json
import shutil
import sys
from pathlib import Path

import pytest

from blackbox import REPOSITORY, Result, run

BENCH = str(REPOSITORY / "scripts" / "bench")


def bench(*words: str) -> Result:
    """Runs it."""
    return run([sys.executable, BENCH] + list(words))


@pytest.mark.skipif(not shutil.which("gcc"), reason="needs gcc")
def test_a_table_and_figures_of_one_workload(tmp_path: Path) -> None:
    output = tmp_path / "figures.json"
    result = bench("--quick", "--repetitions", "2", "--tracers", "native,floor,ebpfless,twice", "--json", str(output),
                   "--peer", "twice=env", "open-elsewhere")
    assert result.status == 0, result
    found = json.loads(output.read_text())
    assert found["repetitions"] == 2
    [workload] = found["workloads"]
    rows = workload["tracers"]
    assert list(rows) == ["native", "floor", "ebpfless", "twice"] and workload["unit"] == "open"
    assert all(row["operations"] == 5000 and len(row["us_all"]) == 2 and row["us"] > 0 for row in rows.values())
    # One open and one close each; the loop itself opens a few files when it starts.
    assert 1000 <= rows["floor"]["stops_per_thousand"] < 1010
    assert rows["ebpfless"]["stops_per_thousand"] >= 1000 and rows["ebpfless"]["memory_mb"] > 5
    lines = result.stdout.decode().splitlines()
    assert [line.split("|")[1].strip() for line in lines if line.startswith("|")] == ["tracer", "---"] + list(rows)


def test_an_unknown_workload_is_told_with_those_that_there_are() -> None:
    result = bench("opne")
    assert result.status == 2 and b"no workload 'opne'; there are: select, tpcb" in result.stderr


def test_a_peer_without_a_command_is_refused() -> None:
    result = bench("--peer", "strace", "open")
    assert result.status == 2 and b"--peer strace: expected NAME=COMMAND" in result.stderr
