"""Job control of bash at a terminal: the shell traced with its jobs, or `ebpfless trace` as a job of the shell."""

import os
import shlex
import shutil
import signal
from pathlib import Path
from typing import List

import pytest

from blackbox import Compiler, thread_states, trace_command, wait_until
from terminal import Terminal

pytestmark = pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")

SHELL = ["bash", "--norc", "--noprofile", "--noediting", "-i"]
HOW = ["native", "shell traced", "job traced"]
PROMPT = r"prompt\$ "


def shell(how: str) -> Terminal:
    """A shell at a terminal of its own."""
    terminal = Terminal(trace_command(SHELL, ["--output", "/dev/null"]) if how == "shell traced" else SHELL)
    terminal.expect(PROMPT)
    return terminal


def job(how: str, command: List[str]) -> str:
    """A command as it is typed into that shell."""
    line = trace_command(command, ["--output", "/dev/null"]) if how == "job traced" else command
    return " ".join(shlex.quote(word) for word in line)


def type_line(terminal: Terminal, line: str) -> None:
    """Types a command and waits for the next prompt."""
    terminal.type(line + "\n")
    terminal.expect(PROMPT)


def background_pid(terminal: Terminal) -> int:
    """The process id that bash tells of a job in the background."""
    return int(terminal.expect(r"\[\d+\] (\d+)\r").group(1))


def wait_for_job(terminal: Terminal, state: str) -> None:
    """Asks the shell about its only job until it is in a state."""
    def has_come() -> bool:
        terminal.type("jobs; echo asked\n")
        terminal.expect("echo asked")
        shown = terminal.expect(r"(?s)(.*?)asked\r").group(1).decode()
        terminal.expect(PROMPT)
        return state in shown

    wait_until(has_come, "the job is " + state)


@pytest.mark.parametrize("how", HOW)
def test_ctrl_z_jobs_bg_kill_and_wait(how: str, compile_c: Compiler) -> None:
    with shell(how) as terminal:
        terminal.type(job(how, [compile_c("signals.c")]) + "\n")
        pid = int(terminal.expect(r"ready (\d+)").group(1))
        terminal.type("\x1a")
        terminal.expect(r"\[1\]\+  Stopped")
        terminal.expect(PROMPT)
        type_line(terminal, "jobs -s; jobs -r")
        assert b"Stopped" in terminal.output.rpartition(b"jobs -r")[2]
        terminal.type("bg\n")
        terminal.expect("got CONT")
        wait_for_job(terminal, "Running")
        assert not set(thread_states(pid)) & set("Tt")
        terminal.type("kill -TERM %1\n")
        terminal.expect("got TERM")
        # A shell forgets a job that has ended when it prompts, so that job lasts until the wait is read.
        terminal.type("kill -USR2 %1; wait %1; echo status=$?\n")
        terminal.expect(r"status=5\r")
        type_line(terminal, "")
        terminal.type("jobs; exit 3\n")
        assert terminal.finish() == 3
        assert terminal.output.count(b"got TERM") == 1


@pytest.mark.parametrize("how", HOW)
def test_a_job_that_reads_in_the_background_stops(how: str) -> None:
    with shell(how) as terminal:
        terminal.type(job(how, ["sh", "-c", "read line; echo \"<$line>\"; exit 4"]) + " &\n")
        background_pid(terminal)
        wait_for_job(terminal, "Stopped")
        terminal.type("fg\n")
        terminal.expect("exit 4")
        terminal.type("typed\n")
        terminal.expect("<typed>")
        terminal.expect(PROMPT)
        terminal.type("echo status=$?\n")
        terminal.expect(r"status=4\r")


@pytest.mark.parametrize("how", HOW)
def test_tostop_stops_a_job_that_writes_in_the_background(how: str) -> None:
    words = ["sh", "-c", "echo wri''tten; exit 6"]
    with shell(how) as terminal:
        terminal.type(job(how, words) + " & wait $!; echo first=$?\n")
        terminal.expect(r"written\r")
        terminal.expect(r"first=6\r")
        terminal.expect(PROMPT)
        type_line(terminal, "stty tostop")
        terminal.type(job(how, words) + " &\n")
        background_pid(terminal)
        wait_for_job(terminal, "Stopped")
        assert terminal.output.count(b"written\r") == 1
        terminal.type("fg\n")
        terminal.expect(r"written\r")
        terminal.expect(PROMPT)
        terminal.type("echo second=$?\n")
        terminal.expect(r"second=6\r")


@pytest.mark.parametrize("how", HOW)
def test_a_pipeline_stops_and_goes_on_as_one_job(how: str, tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(str(fifo))
    inner = "cat {0} | sed s/in/out/ | tee {1}".format(shlex.quote(str(fifo)), shlex.quote(str(tmp_path / "copy")))
    with shell(how) as terminal:
        terminal.type(job(how, ["sh", "-c", "echo start$$; " + inner]) + "\n")
        leader = int(terminal.expect(r"start(\d+)\r").group(1))
        for _ in range(3):
            terminal.type("\x1a")
            terminal.expect("Stopped")
            terminal.expect(PROMPT)
            wait_until(lambda: set(thread_states(leader)) <= set("Tt"), "the pipeline is stopped")
            terminal.type("fg\n")
            terminal.expect("tee")
            wait_until(lambda: os.tcgetpgrp(terminal.master) == os.getpgid(leader), "it has the terminal")
        with fifo.open("wb") as writer:
            writer.write(b"in 1\nin 2\n")
        terminal.expect(r"out 1\r\nout 2\r")
        terminal.expect(PROMPT)
    assert (tmp_path / "copy").read_bytes() == b"out 1\nout 2\n"


@pytest.mark.parametrize("how", HOW)
def test_a_closed_terminal_hangs_up(how: str) -> None:
    """The shell passes SIGHUP on to its jobs, stopped ones as well, and they end."""
    with shell(how) as terminal:
        terminal.type(job(how, ["sh", "-c", "echo start$$; exec sleep 1000"]) + "\n")
        pid = int(terminal.expect(r"start(\d+)\r").group(1))
        wait_until(lambda: os.tcgetpgrp(terminal.master) == os.getpgid(pid), "the job has the terminal")
        terminal.type("\x1a")
        terminal.expect("Stopped")
        terminal.expect(PROMPT)
        os.close(terminal.master)
        terminal.master = os.open(os.devnull, os.O_RDONLY)
        wait_until(lambda: not os.path.exists("/proc/%d" % pid), "the job ends")
        assert terminal.process.wait(30) is not None
