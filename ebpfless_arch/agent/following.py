"""Follows programs across their restarts: whatever runs by a name, a path or in a systemd unit is traced, now and later."""

import os
import time
from typing import Callable, Dict, List

from ebpfless_arch.agent.evaluation import Agent
from ebpfless_arch.events import records
from ebpfless_arch.events.model import Process
from ebpfless_arch.events.records import Record

_NAME_BYTES = 15  # of a process's name, without the zero (TASK_COMM_LEN)
_UNITS = (".service", ".scope", ".slice")
_AGAIN_SECONDS = 0.3
_TRIES = 5


class Following:
    """`words` say what to follow: NAME of a program or process, PATH of an executable or script, or UNIT.

    `take` has the tracer attach to a process; raises OSError where it cannot be asked just now.
    """

    def __init__(self, words: List[str], agent: Agent, take: Callable[[int], None]) -> None:
        self._words = [os.path.realpath(word) if "/" in word else word for word in words]
        self._agent = agent
        self._take = take
        self._asked: Dict[int, float] = {}
        self._tries: Dict[int, int] = {}

    def look(self, record: Record) -> None:
        """A record of a process that nobody traces, which the agent knows already."""
        if record[0] == records.EXIT:
            self._forget(record[2])
        elif record[0] in (records.SNAPSHOT, records.FORK, records.EXEC):
            process = self._agent.find(record[2])
            if process is not None and self._is_meant(process):
                self._asked.setdefault(record[2], 0.0)
                self.turn()

    def turn(self) -> None:
        """Ask for those that have not been taken yet."""
        moment = time.monotonic()
        for pid in [pid for pid, asked in self._asked.items() if moment > asked + _AGAIN_SECONDS]:
            self._tries[pid] = self._tries.get(pid, 0) + 1
            if self._tries[pid] > _TRIES:
                self._forget(pid)
                continue
            self._asked[pid] = moment
            try:
                self._take(pid)
            except OSError:
                pass  # the tracer has just been killed: its successor is asked

    def taken(self, record: Record) -> None:
        """The tracer has told of a process: it has it."""
        if record[2] in self._asked:
            self._forget(record[2])
            process = self._agent.find(record[2])
            self._agent.notice("process %d (%s)%s is traced from now on" % (
                record[2], process.comm if process else "?",
                "" if process is None or self._is_meant(process) else ", started by one of those that are followed,"))

    def is_asked_for(self, pid: int) -> bool:
        """Whether the tracer may just now be taking a process."""
        return pid in self._asked

    def _is_meant(self, process: Process) -> bool:
        return any(_is(process, word) for word in self._words)

    def _forget(self, pid: int) -> None:
        self._asked.pop(pid, None)
        self._tries.pop(pid, None)


def _is(process: Process, word: str) -> bool:
    if "/" in word:
        return word in (process.file.path, process.interpreter.path)
    if word.endswith(_UNITS):
        return word in process.cgroup.split("/")
    return word in (process.file.name, process.comm) or len(word) > _NAME_BYTES and process.comm == word[:_NAME_BYTES]
