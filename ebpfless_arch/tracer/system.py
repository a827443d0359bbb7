"""The view of the whole system: a process of its own that tells whoever started it of every execution on the host.

It is small and in a hurry: a program may have ended a millisecond after it began, and then nothing can be read of it any
more. So it runs ahead of everybody else (SCHED_RR) where that is permitted, as long as it takes little of the processor.
"""

import collections
import errno
import marshal
import os
import resource
import select
import signal
import time
from typing import Any, List, Optional, Sequence, Tuple

from ebpfless_arch.events import records
from ebpfless_arch.events.records import Record, now
from ebpfless_arch.kernel import process, proc_connector, scheduling, signals
from ebpfless_arch.kernel.proc_connector import Connector, Told
from ebpfless_arch.named import NamedTuple
from ebpfless_arch.tracer import afresh
from ebpfless_arch.tracer.census import Census, forks_so_far
from ebpfless_arch.tracer.openings import Openings
from ebpfless_arch.tracer.pipe import Reader, Writer, make_pipe
from ebpfless_arch.tracer.programs import Program
from ebpfless_arch.tracer.touches import Touches

NAME = b"ebpfless-system"

CONNECTOR, SCAN = "proc_connector", "proc_scan"

_START = "from ebpfless_arch.tracer import system; system.run(sys.argv[2])"
# Executions are urgent: they wake us, and what else has happened is looked at on the way.
_CALM_SECONDS = 0.05
_WINDOW_SECONDS = 0.25
_SHARE = 0.4
_PENALTY_SECONDS = 1.0
_LONGEST_MICROSECONDS = 100000
_RESTART_SECONDS = 1.0
_PAUSE_AT_MOST_SECONDS = 60.0
_LOOK_SECONDS = 0.5
_RESET_ON_FORK = 0x40000000
_AT_ONCE = (proc_connector.EXEC, proc_connector.FORK)


class Orders(NamedTuple):
    """What the process is to do: where to write, how often to scan (seconds), whether files are looked at; `connector`:
    whether to try that at all; `watched`: paths below which files are watched; `doubts`: whether to tell of tracers that are
    none of the keeper's."""

    output: int
    keeper: int
    rate: float
    attributes: bool
    connector: bool = True
    watched: List[bytes] = []
    doubts: bool = False


# --- the process ------------------------------------------------------------------------

def run(orders: str) -> None:
    """The process's whole life."""
    told = Orders(*marshal.loads(bytes.fromhex(orders)))
    process.set_name(NAME)
    process.shut()
    process.be_told_of_orphanhood(signal.SIGKILL)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal's Ctrl-C is for whoever started us
    if os.getppid() != told.keeper:
        return
    os.set_blocking(told.output, False)
    writer = Writer(told.output)
    census = Census(writer.put, told.keeper, told.attributes, told.doubts)
    source: Source
    try:
        source, way, problem = Ears(census, writer, _open_connectors(told)), CONNECTOR, ""
    except OSError as error:
        source, way = Rounds(census, writer, told.rate), SCAN
        problem = ("the proc connector cannot be used (%s); /proc is looked through every %g ms instead"
                   % (error.strerror, told.rate * 1000)) if told.connector else ""
    touches = _open_touches(census, writer, told.watched)
    _tell(writer, records.STARTED, (way, problem))
    _serve(census, writer, source, touches)


def _tell(writer: Writer, word: int, value: Any) -> None:
    writer.put((records.STATE, now(), 0, 0, word, value))


def _open_connectors(orders: Orders) -> Tuple[Connector, Connector]:
    """One for what is urgent, one for the rest."""
    if not orders.connector:
        raise OSError(errno.EPERM, "not wanted")
    return (Connector([proc_connector.EXEC]),
            Connector([proc_connector.FORK, proc_connector.UID, proc_connector.GID, proc_connector.EXIT]))


def _open_touches(census: Census, writer: Writer, watched: Sequence[bytes]) -> Optional[Touches]:
    try:
        return Touches(census, writer.put, watched) if watched else None
    except OSError as error:
        _tell(writer, records.REFUSED, "files that nobody traced touches are not seen: %s" % error.strerror)
        return None


def _serve(census: Census, writer: Writer, source: "Source", touches: Optional[Touches]) -> None:
    census.begin()
    source.begin()
    _tell(writer, records.READY, 0)
    writer.drain(_RESTART_SECONDS)
    haste = Haste()
    poll = select.poll()
    for has_news in (source, touches):
        if has_news is not None and has_news.fileno() >= 0:
            poll.register(has_news.fileno(), select.POLLIN)
    while not writer.broken:
        haste.begin()
        poll.poll((source.pause() if writer.flush() else min(source.pause(), _CALM_SECONDS)) * 1000)
        source.listen()
        if touches is not None:
            touches.read()
        writer.flush()
        haste.end()


class Source:
    """Where the census gets its facts from."""

    def fileno(self) -> int:
        """The descriptor that has urgent news, -1 for none."""
        return -1

    def begin(self) -> None:
        """All who run already are known."""

    def pause(self) -> float:
        """Seconds after which there is something to do without news."""
        return _CALM_SECONDS

    def listen(self) -> None:
        """Deal with what has come."""


class Rounds(Source):
    """Looks at /proc from time to time."""

    def __init__(self, census: Census, writer: Writer, rate: float) -> None:
        self._census = census
        self._writer = writer
        self._rate = rate
        self._next = 0.0
        self._forks = self._threads = 0

    def begin(self) -> None:
        """All who run already are known."""
        self._forks, self._next = forks_so_far(), time.monotonic() + self._rate

    def pause(self) -> float:
        """Until the next look."""
        return max(0.001, self._next - time.monotonic())

    def listen(self) -> None:
        """Look, if it is time to."""
        moment = time.monotonic()
        if moment < self._next:
            return
        self._next = moment + self._rate
        before, threads_before = self._forks, self._threads
        fresh, self._threads = self._census.look()
        self._forks = forks_so_far()
        more_threads = max(0, self._threads - threads_before) if threads_before else 0
        if self._forks - before > fresh + more_threads:
            _tell(self._writer, records.MISSED, self._forks - before - fresh - more_threads)


class Ears(Source):
    """Two connectors, one for executions and one for the rest, heard as one in the order of time."""

    def __init__(self, census: Census, writer: Writer, connectors: Tuple[Connector, Connector]) -> None:
        self._census = census
        self._writer = writer
        self._urgent, self._calm = connectors
        self._openings = _open_openings()
        self._fresh: List[Told] = []
        self._held: List[Told] = []
        # Executions of each process that have been told and not been dealt with.
        self._to_come: "collections.Counter[int]" = collections.Counter()
        self._has_lost = False
        self._seen: List[Tuple[int, bytes]] = []

    def fileno(self) -> int:
        """Executions are urgent."""
        return self._urgent.fileno()

    def pause(self) -> float:
        """None where something has been read already."""
        return 0.0 if self._fresh else _CALM_SECONDS

    def listen(self) -> None:
        """Deal with what has come: first executions are read, so that the beginnings of their processes are among the rest.
        What is quite new waits for the next turn, but for beginnings: between the two reads a process may have executed a
        program and have ended."""
        limit = time.monotonic() * 1e9
        self._read(self._urgent)
        self._read(self._calm)
        events = sorted(self._held + self._fresh, key=lambda told: told.time)
        self._held, self._fresh = [], []
        for told in events:
            if told.kind in _AT_ONCE or told.time <= limit:
                self._note(told)
            else:
                self._held.append(told)
        self._settle()
        if self._has_lost:
            self._has_lost = False
            self._look_around()

    def _read(self, connector: Connector) -> None:
        events, has_lost = connector.read(time.monotonic() * 1e9)
        self._has_lost = self._has_lost or has_lost
        self._fresh += events
        self._to_come.update(told.pid for told in events if told.kind == proc_connector.EXEC)

    def _look_around(self) -> None:
        """Something was lost: the model is made right again."""
        fresh, _ = self._census.look()
        self._writer.put(records.blind(
            now(), os.getppid(), os.getppid(), "the proc connector told more than there was room for; %d new processes "
            "were found in /proc, shorter ones are missing" % fresh, "lost"))

    def _note(self, told: Told) -> None:
        moment = told.time + int((time.time() - time.monotonic()) * 1e9)
        if told.kind == proc_connector.EXEC:
            self._to_come[told.pid] -= 1
            executable = self._census.execed(told.pid, moment, self._recall)
            if executable:
                self._seen.append((told.pid, executable))
        elif told.kind == proc_connector.FORK:
            self._census.forked(told.pid, told.other, moment)
        elif told.kind == proc_connector.EXIT:
            self._census.ended(told.pid, moment, *_ending(told.first))
            self._to_come.pop(told.pid, None)
            if self._openings is not None:
                self._openings.forget(told.pid)
        else:
            self._census.changed(told.pid)

    def _recall(self, pid: int, was_seen: bool) -> Tuple[bool, Optional[Program]]:
        """Whether a process has executed another program since (census.Recall); and, of one that was not seen, what it was
        by what its process had opened, if all of that is known."""
        self._read(self._urgent)
        later = self._to_come[pid]
        if was_seen and not later or self._openings is None:
            return later > 0, None
        self._settle()
        return later > 0, self._openings.take(pid, 1 + later)

    def _settle(self) -> None:
        if self._openings is not None:
            self._openings.read()
            for pid, executable in self._seen:
                self._openings.settle(pid, executable)
        self._seen = []


def _ending(status: int) -> Tuple[int, int]:
    """Cause and code of an end, by its wait status."""
    number = status & 0x7F
    return (1 if status & 0x80 else 2) if number else 0, number or status >> 8 & 0xFF


def _open_openings() -> Optional[Openings]:
    try:
        return Openings()
    except OSError:
        return None  # an older kernel, or we may not: then fleeting programs have no path


class Haste:
    """Runs this process ahead of others, unless it takes too much of the processor: then as any other for a while. The
    kernel sees to that, too, while we are busy: SIGXCPU comes when we have not waited for so long (RLIMIT_RTTIME)."""

    def __init__(self) -> None:
        signal.signal(signal.SIGXCPU, lambda number, frame: self._rest())
        self._resting = 0.0
        self._hasty = self._hurry(True)
        self._since = time.monotonic()
        self._used = time.process_time()

    def begin(self) -> None:
        """Before a wait."""
        if self._resting and time.monotonic() > self._resting:
            self._resting = 0.0
            self._hasty = self._hurry(True)
            self._since, self._used = time.monotonic(), time.process_time()

    def end(self) -> None:
        """After some work."""
        moment = time.monotonic()
        if not self._hasty or moment < self._since + _WINDOW_SECONDS:
            return
        used = time.process_time()
        if used - self._used > _SHARE * (moment - self._since):
            self._rest()
        self._since, self._used = moment, used

    def _rest(self) -> None:
        self._hasty = self._hurry(False)
        self._resting = time.monotonic() + _PENALTY_SECONDS

    def _hurry(self, truly: bool) -> bool:
        try:
            resource.setrlimit(resource.RLIMIT_RTTIME, (_LONGEST_MICROSECONDS, resource.getrlimit(resource.RLIMIT_RTTIME)[1]))
            policy = os.SCHED_RR | _RESET_ON_FORK if truly else os.SCHED_OTHER
            scheduling.set_policy(0, policy, 1 if truly else 0)
        except (OSError, ValueError):
            return False
        return truly


# --- whoever started it -------------------------------------------------------------------

class SystemView:
    """Starts that process and reads what it tells; starts another one when it ends.

    `known` records come first, of what ran already. Everything stops with `close`, or with this process.
    """

    def __init__(self, rate: float, attributes: bool = True, connector: bool = True,
                 watched: Sequence[bytes] = (), doubts: bool = False) -> None:
        self._doubts = doubts
        self._watched = list(watched)
        self._rate = rate
        self._attributes = attributes
        self._connector = connector
        self._reader = Reader(-1)
        self._pid = 0
        self._restart = self._begun = self._looked = 0.0
        self._pause = _RESTART_SECONDS
        self.way = ""
        self.ready = False
        self.missed = 0
        self.problem = ""
        self.refusal = ""
        self._start()

    @property
    def pid(self) -> int:
        """The process, 0 while there is none."""
        return self._pid

    def fileno(self) -> int:
        """The descriptor that has news; -1 while there is none."""
        return self._reader.descriptor

    def _start(self) -> None:
        ends = make_pipe()
        orders = Orders(ends[1], os.getpid(), self._rate, self._attributes, self._connector, self._watched,
                        self._doubts)
        words = afresh.command(_START, marshal.dumps(tuple(orders)).hex())
        self._reader = Reader(ends[0])
        self.ready = False
        self._begun = time.monotonic()
        try:
            self._pid = os.fork()
        except OSError:
            os.close(ends[1])
            return
        if self._pid == 0:
            _become(words, ends[1])
        os.close(ends[1])

    def read(self) -> List[Tuple[bool, Record]]:
        """What has come: whether it is news (else somebody who ran already), and the record."""
        if self._reader.descriptor < 0:
            if time.monotonic() > self._restart:
                self._start()
            return []
        self._reader.fill()
        found: List[Tuple[bool, Record]] = []
        while self._reader.has_batch():
            for record in self._reader.batch():
                if record[0] == records.STATE:
                    self._on_state(record[4], record[5])
                else:
                    found.append((self.ready, record))
        if self._reader.ended:
            found.append((True, self._lose()))
        elif time.monotonic() > self._looked + _LOOK_SECONDS:
            self._looked = time.monotonic()
            if signals.wake(self._pid):
                found.append((True, _told("somebody had stopped the process that watches the whole system (SIGSTOP); it goes on")))
        return found

    def _on_state(self, word: int, value: Any) -> None:
        if word == records.STARTED:
            self.way, self.problem = value
        elif word == records.READY:
            self.ready = True
        elif word == records.MISSED:
            self.missed += value
        elif word == records.REFUSED:
            self.refusal = value

    def _lose(self) -> Record:
        """It has ended, which it never does by itself; another one starts after a moment, which grows where it happens
        again and again. Returns what is to be told."""
        self.close()
        moment = time.monotonic()
        if moment - self._begun > _PAUSE_AT_MOST_SECONDS:
            self._pause = _RESTART_SECONDS
        self._restart, pause = moment + self._pause, self._pause
        self._pause = min(2 * pause, _PAUSE_AT_MOST_SECONDS)
        return _told("the process that watches the whole system was killed; another one begins after %g s, and what happens "
                     "until then and is over is not seen" % pause)

    def close(self) -> None:
        """End it."""
        if self._reader.descriptor >= 0:
            os.close(self._reader.descriptor)
            self._reader = Reader(-1)
        if self._pid:
            try:
                os.kill(self._pid, signal.SIGKILL)
                os.waitpid(self._pid, 0)
            except (ProcessLookupError, ChildProcessError):
                pass
            self._pid = 0


def _told(text: str) -> Record:
    return records.blind(now(), os.getpid(), os.getpid(), text)


def _become(words: Sequence[str], output: int) -> None:
    """In the child: the new Python, with nothing of ours but the pipe."""
    try:
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
        nothing = os.open(os.devnull, os.O_RDWR)
        for descriptor in (0, 1, 2):
            os.dup2(nothing, descriptor)
        os.set_inheritable(output, True)
        os.execv(words[0], list(words))
    finally:
        os._exit(1)
