"""Runs `ebpfless trace --pid` beside a program that runs already."""

import json
import os
import signal
import time
from pathlib import Path
from typing import Any, List, Optional, Sequence, Type
from types import TracebackType

from blackbox import Event, Result, Session, ebpfless, event_options, wait_until, with_bytes

END = 15.0


def tasks(pid: int) -> List[int]:
    """The ids of a process's threads, [] when it is gone."""
    try:
        return [int(name) for name in os.listdir("/proc/{}/task".format(pid))]
    except OSError:
        return []


def field(pid: int, tid: int, name: str) -> str:
    """One field of a thread's status, "" when it is gone."""
    try:
        with open("/proc/{}/task/{}/status".format(pid, tid)) as lines:
            found = [line.partition(":")[2].strip() for line in lines if line.startswith(name + ":")]
        return found[0] if found else ""
    except OSError:
        return ""


def tracers(pid: int) -> List[int]:
    """Who traces the threads of a process, 0 for nobody."""
    return [int(field(pid, tid, "TracerPid") or 0) for tid in tasks(pid)]


def states(pid: int) -> str:
    """The state letters of all threads, sorted."""
    return "".join(sorted(field(pid, tid, "State")[:1] for tid in tasks(pid)))


def slowness() -> float:
    """How many times longer than alone a process needs for its work on this machine just now; 1 or more."""
    began, used = time.monotonic(), time.process_time()
    while time.process_time() < used + 0.1:
        pass
    return max(1.0, (time.monotonic() - began) / (time.process_time() - used))


class Loading:
    """A run of ebpfless that waits for its policy; `arguments` follow the option that names it."""

    def __init__(self, command: str, folder: Path, arguments: Sequence[str]) -> None:
        self._pipe = str(folder / "policy.json")
        self._end = -1
        os.mkfifo(self._pipe)
        self.session = Session(ebpfless(command, "--policy", self._pipe, *arguments))

    def __enter__(self) -> Session:
        self.session.__enter__()
        try:
            wait_until(self._is_read, "the policy is asked for")
        except AssertionError:
            raise AssertionError(self.session.errors())
        return self.session

    def give(self, policy: bytes) -> None:
        """Let it have the policy; then it goes on."""
        os.write(self._end, policy)
        os.close(self._end)
        self._end = os.open("/dev/null", os.O_WRONLY)

    def _is_read(self) -> bool:
        try:
            self._end = os.open(self._pipe, os.O_WRONLY | os.O_NONBLOCK)
        except OSError:
            return False
        return True

    def __exit__(self, kind: Optional[Type[BaseException]], value: Optional[BaseException],
                 traceback: Optional[TracebackType]) -> None:
        self.session.__exit__(kind, value, traceback)
        os.close(self._end)


class Growing:
    """An output that is being written: each line is read once, and the last one when it is whole."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._end = 0
        self._events: List[Event] = []

    def events(self) -> List[Event]:
        """What has been written so far."""
        if os.path.exists(self._path):
            with open(self._path, "rb") as file:
                file.seek(self._end)
                whole, newline, _ = file.read().rpartition(b"\n")
            self._end += len(whole) + len(newline)
            self._events += [with_bytes(json.loads(line.decode("utf-8"))) for line in whole.splitlines()]
        return list(self._events)


class Attached:
    """`trace --events --pid ...` at work: it has hold of all threads when the block begins, and is told to end after it."""

    def __init__(self, pids: Sequence[int], output: Path, options: Sequence[str] = (),
                 prefix: Sequence[str] = (), **session_options: Any) -> None:
        self.pids = list(pids)
        self._output = str(output)
        self._written = Growing(self._output)
        words = [word for pid in pids for word in ("--pid", str(pid))]
        self.session = Session(list(prefix) + ebpfless("trace", "--probe-addr", "none", *(event_options(self._output) + list(options) + words)),
                               **session_options)
        self.result: Optional[Result] = None

    def __enter__(self) -> "Attached":
        self.session.__enter__()
        try:
            wait_until(lambda: b"tracing" in self.session.errors(), "ebpfless has hold of the program")
        except AssertionError:
            raise AssertionError(self.session.errors())
        return self

    def __exit__(self, kind: Optional[Type[BaseException]], value: Optional[BaseException],
                 traceback: Optional[TracebackType]) -> None:
        try:
            if kind is None and self.result is None:
                self.end()
        finally:
            self.session.__exit__(kind, value, traceback)

    @property
    def tracer(self) -> int:
        """The tracer's process id."""
        return [pid for pid in tracers(self.pids[0]) if pid][0]

    @property
    def events(self) -> List[Event]:
        """What has been written so far, but for a line that is not whole yet."""
        return self._written.events()

    def end(self, number: int = signal.SIGINT) -> Result:
        """Tell it to end as a user does, and see that it leaves nobody behind."""
        os.kill(self.session.pid, number)
        self.result = self.session.finish(END)
        return self.result
