"""scripts/bench: it runs, its figures are what they say, and it names what it does not know."""

import json
import re
import shutil
import sys
from pathlib import Path
from typing import Any, Dict

import pytest

from blackbox import REPOSITORY, Result, run

BENCH = str(REPOSITORY / "scripts" / "bench")


def bench(*words: str) -> Result:
    """Runs it."""
    return run([sys.executable, BENCH] + list(words))


@pytest.mark.once
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
    assert all(row["operations"] == 4000 and len(row["us_all"]) == 2 and row["us"] > 0 for row in rows.values())
    # One open and one close each; the loop itself opens a few files when it starts.
    assert 1000 <= rows["floor"]["stops_per_thousand"] < 1010
    assert rows["ebpfless"]["stops_per_thousand"] >= 1000 and rows["ebpfless"]["memory_mb"] > 5
    lines = result.stdout.decode().splitlines()
    assert [line.split("|")[1].strip() for line in lines if line.startswith("|")] == (
        ["tracer", "---"] + list(rows) + ["workload", "---", workload["what"]])


def test_growth_is_a_table_of_its_own(tmp_path: Path) -> None:
    """What an operation costs with so many processes is no line of the table of workloads."""
    def told(processes: str, cpu: float) -> Dict[str, Any]:
        ours = {"us": 9.0, "cpu_us": cpu, "stops_per_thousand": 2000.0}
        return {"workload": "live", "what": "opens", "unit": "open", "processes": processes, "tracers": {"ebpfless": ours}}

    figures = {"machine": "", "repetitions": 1, "workloads": [told("1", 23.4), told("300", 24.6)]}
    (tmp_path / "figures.json").write_text(json.dumps(figures))
    lines = bench("--read", str(tmp_path / "figures.json")).stdout.decode().splitlines()
    assert [line for line in lines if line.startswith("|") and "---" not in line] == [
        "| workload | without a tracer | ebpfless | strace | ebpfless's stops |",
        "| processes at once | CPU time of ebpfless | stops |",
        "| 1 | 23.4 us per open | 2000 for 1000 |", "| 300 | 24.6 us per open | 2000 for 1000 |"]


def test_an_unknown_workload_is_told_with_those_that_there_are() -> None:
    result = bench("opne")
    assert result.status == 2 and b"no workload 'opne'; there are: select, tpcb" in result.stderr


def test_a_peer_without_a_command_is_refused() -> None:
    result = bench("--peer", "strace", "open")
    assert result.status == 2 and b"--peer strace: expected NAME=COMMAND" in result.stderr


def test_the_readme_shows_what_it_prints(tmp_path: Path) -> None:
    """Each line of the table is one that a workload can have, and so is its head."""
    figures = {"machine": "", "repetitions": 1, "workloads": []}  # type: Dict[str, Any]
    (tmp_path / "none.json").write_text(json.dumps(figures))
    told = bench("--read", str(tmp_path / "none.json"))
    assert told.status == 0
    head = told.stdout.decode().splitlines()[:2]
    lines = (REPOSITORY / "README.md").read_text().splitlines()
    at = lines.index(head[0])
    assert lines[at + 1] == head[1]
    rows = [line for line in lines[at + 2:lines.index("", at)]]
    known = re.findall(r'Workload\("[\w-]+", "([^"]+)"', (REPOSITORY / "scripts" / "bench_workloads.py").read_text())
    assert len(rows) >= 7
    for row in rows:
        what, native, ours, strace, stops = [cell.strip() for cell in row.strip("|").split("|")]
        assert what in known
        assert re.match(r"[\d.]+ us per \w+$", native) and re.match(r"x [\d.]+$", ours), row
        assert re.match(r"(x [\d.]+)?$", strace) and re.match(r"[\d.]+ for 1000$", stops), row
