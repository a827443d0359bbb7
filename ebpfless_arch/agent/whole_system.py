"""Joins the view of the whole system to a receiver of a tracer's records: one model, one set of rules, one event for each
thing that happens.

What is traced is told by its tracer alone. The view leaves it out where it sees the tracer; what it told before it could
know is dropped here.
"""

import collections
import os
import select
import time
from typing import TYPE_CHECKING, Callable, Dict, List, Optional, Sequence, Set, Tuple

from ebpfless_arch.agent.evaluation import Agent
from ebpfless_arch.agent.following import Following
from ebpfless_arch.agent.options import UsageError
from ebpfless_arch.events import records
from ebpfless_arch.events.records import Record
from ebpfless_arch.tracer.receiver import Answer, Receiver

if TYPE_CHECKING:
    import selectors

    from ebpfless_arch.tracer.system import SystemView

_LOOK_SECONDS = 0.02
FANOTIFY = "fanotify"
_PATH, _ARGUMENTS = 5, 7  # of an EXEC
# The view may be so much later than the tracer.
_LATE_SECONDS = 1.0
_ENDED_KEPT = 4096


class Observer:
    """Takes what a view tells into an agent. `is_told`: whether a process is told of by somebody else. `following` sees
    every record afterwards. Without `tells` events are made of files alone: what else has happened is for the model and for
    `following`. `begun`: processes of whose program it has told.
    """

    def __init__(self, agent: Agent, view: "SystemView", is_told: Callable[[int], bool], notice: Callable[[str], None],
                 following: Optional[Following] = None, tells: bool = True) -> None:
        self._agent = agent
        self._view = view
        self._tells = tells
        self._is_told = is_told
        self._notice = notice
        self._following = following
        self._late: List[Tuple[float, Record]] = []
        self.begun: Set[int] = set()
        self._told: Set[str] = set()
        self.executions = 0
        self.fleeting = 0
        self.foreign = 0

    def pump(self) -> None:
        """Deal with what has come."""
        for is_news, record in self._view.read():
            if record[0] == records.LOST:
                self._agent.lost += record[4]
            elif not is_news and record[0] != records.BLIND:
                self._agent.meet(record)
                self._look(record)
            elif record[0] == records.EXIT and self._following is not None and self._following.is_asked_for(record[2]):
                # The tracer may have got it in its last moment, and then tells of its end as well.
                self._late.append((time.monotonic() + _LATE_SECONDS / 2, record))
            else:
                self._observe(record)
        while self._late and self._late[0][0] < time.monotonic():
            self._observe(self._late.pop(0)[1])
        for text, tell in ((self._view.problem, self._notice), (self._view.refusal, self._agent.notice)):
            if text and text not in self._told:
                self._told.add(text)
                tell(text)

    def _observe(self, record: Record) -> None:
        if self._is_told(record[2]) or record[0] == records.FORK and self._is_told(record[4]) and not self._is_late(record[2]):
            return
        self._count(record)
        if record[0] == records.OPEN:
            self._agent.observe(record, FANOTIFY)
        elif self._tells or record[0] == records.BLIND:
            self._agent.observe(record, self._view.way)
        else:
            self._agent.meet(record)
        self._look(record)

    def _is_late(self, child: int) -> bool:
        """Whether the child of a process that is followed was born before the tracer had its parent: then it is not traced."""
        if self._following is None:
            return False
        from ebpfless_arch.tracer.tracees import is_free  # it brings much of the tracer along

        return is_free(child)

    def _look(self, record: Record) -> None:
        if self._following is not None:
            self._following.look(record)

    def _count(self, record: Record) -> None:
        if record[0] == records.EXEC:
            self.executions += 1
            self.fleeting += not record[_PATH] and not record[_ARGUMENTS]
            self.foreign += not record[_PATH] and bool(record[_ARGUMENTS])
            if self._tells:
                self.begun.add(record[2])
        elif record[0] == records.EXIT:
            self.begun.discard(record[2])

    def summary(self) -> str:
        """What was seen and what was missed, in one line."""
        from ebpfless_arch.tracer.system import CONNECTOR

        way = "the proc connector" if self._view.way == CONNECTOR else "looks at /proc"
        text = "the whole system by %s: %d executions, %d of them over before their path was read" % (
            way, self.executions, self.fleeting)
        if self.foreign:
            text += ", %d whose path is hidden from us (programs of other users)" % self.foreign
        return text + ("; up to %d processes or threads were too short to be seen" % self._view.missed
                       if self._view.missed else "")


class Outlook:
    """A view in a loop with a selector; `source` is the probe's own, of its own host."""

    def __init__(self, agent: Agent, rate: float, watched: Sequence[bytes],
                 selector: "selectors.BaseSelector") -> None:
        self._agent = agent
        self._source = agent.source
        self._selector = selector
        self._view = _open_view(rate, watched=watched)
        self._observer = Observer(agent, self._view, lambda pid: False, agent.notice)
        self._descriptor = -1
        self.turn()

    def turn(self) -> None:
        """Deal with what has come, and wait for more."""
        import selectors  # a probe has it anyway

        self._agent.source = self._source
        self._observer.pump()
        if self._view.fileno() != self._descriptor:
            if self._descriptor >= 0:
                self._selector.unregister(self._descriptor)
            self._descriptor = self._view.fileno()
            if self._descriptor >= 0:
                self._selector.register(self._descriptor, selectors.EVENT_READ, self)

    def await_view(self, seconds: float) -> None:
        """Take in who runs already: what begins afterwards is news. Takes no longer than so many seconds."""
        end = time.monotonic() + seconds
        while not self._view.ready and self._view.fileno() >= 0 and time.monotonic() < end:
            select.select([self._view.fileno()], [], [], _LOOK_SECONDS)
            self.turn()

    def accept(self) -> None:
        """There is news."""
        self.turn()

    def close(self) -> None:
        """End it, and say what it saw."""
        self._view.close()
        self._agent.notice(self._observer.summary())


class WholeSystem(Receiver):
    """A keeper's receiver with such a view beside it, which starts `delay` seconds after the first record; `following` and
    `tells` as in Observer."""

    def __init__(self, inner: Receiver, agent: Agent, rate: float, attributes: bool, delay: float, verbose: bool,
                 following: Optional[Following] = None, watched: Sequence[bytes] = (), tells: bool = True) -> None:
        self._following = following
        self._tells = tells
        self._watched = watched
        self._inner = inner
        self._agent = agent
        self._rate = rate
        self._attributes = attributes
        self._delay = delay
        self._verbose = verbose
        self._due = 0.0
        self._looked = 0.0
        self._family: Set[int] = set()
        self._ended: "collections.OrderedDict[int, float]" = collections.OrderedDict()
        self._view: "Optional[SystemView]" = None
        self._observer: Optional[Observer] = None

    def receive(self, record: Record) -> None:
        """Take a record of the tracer, and note who is traced."""
        if record[0] in (records.FORK, records.SNAPSHOT, records.EXEC):
            self._family.add(record[2])
        elif record[0] == records.EXIT:
            self._family.discard(record[2])
            self._ended[record[2]] = time.monotonic()
            if len(self._ended) > _ENDED_KEPT:
                self._ended.popitem(last=False)
        self._due = self._due or time.monotonic() + self._delay
        if record[0] == records.SNAPSHOT and self._observer is not None and record[2] in self._observer.begun:
            self._agent.meet(record)  # of its program the view has told
        else:
            self._inner.receive(record)
        if self._following is not None and record[0] == records.SNAPSHOT:
            self._following.taken(record)
        if self._view is not None and time.monotonic() > self._looked + _LOOK_SECONDS:
            self._pump()  # a tracer that tells much must not keep us from what is urgent

    def descriptors(self) -> Dict[int, int]:
        """Those of the other receiver, and the view's."""
        if self._view is None and (self._due and time.monotonic() > self._due or self._following is not None or self._watched):
            self._start()
        if self._following is not None:
            self._following.turn()
        self._pump()
        found = dict(self._inner.descriptors())
        if self._view is not None and self._view.fileno() >= 0:
            found[self._view.fileno()] = select.POLLIN
        return found

    def _start(self) -> None:
        self._view = _open_view(self._rate, self._attributes, self._watched, doubts=True)
        self._observer = Observer(self._agent, self._view, self._is_told, self._tell, self._following, self._tells)

    def _is_told(self, pid: int) -> bool:
        """Whether the tracer tells of a process, or has just told of its end."""
        return pid in self._family or time.monotonic() < self._ended.get(pid, 0.0) + _LATE_SECONDS

    def _tell(self, text: str) -> None:
        if self._verbose:
            self._agent.notice(text)

    def _pump(self) -> None:
        self._looked = time.monotonic()
        if self._observer is not None:
            self._observer.pump()

    def helpers(self) -> List[int]:
        """Its process is nobody's to trace."""
        return self._inner.helpers() + ([self._view.pid] if self._view is not None and self._view.pid else [])

    def patience(self) -> float:
        """Until the view is due, or the other receiver wants to be asked."""
        waiting = self._due and self._view is None
        return min(self._inner.patience(), max(0.01, self._due - time.monotonic())) if waiting else self._inner.patience()

    def judge(self, record: Record, answer: Answer) -> None:
        """The other receiver's business, as is most of what follows."""
        self._inner.judge(record, answer)

    def notice(self, text: str) -> None:
        """A line for whoever started us."""
        self._inner.notice(text)

    def failed(self, text: str) -> None:
        """An error of ours."""
        self._inner.failed(text)

    def get_ready(self) -> None:
        """A moment to load what may be needed."""
        self._inner.get_ready()

    def idle(self) -> bool:
        """A moment to write out."""
        return self._inner.idle()

    def leave(self) -> None:
        """A copy of this process goes on; it starts a view of its own, for this one ends with its parent."""
        self._inner.leave()

    def close(self) -> None:
        """The end of all records."""
        if self._view is not None and self._observer is not None:
            self._view.close()
            self._tell(self._observer.summary())
        self._inner.close()


def _open_view(rate: float, attributes: bool = True, watched: Sequence[bytes] = (), doubts: bool = False) -> "SystemView":
    # Most commands are over before there is a view, and a start does without what it loads.
    from ebpfless_arch.tracer.system import SystemView

    return SystemView(rate, attributes, watched=watched, doubts=doubts)


def watched_paths(words: List[str]) -> List[bytes]:
    """What --watch names, as the kernel names it; raises UsageError."""
    for word in words:
        if not os.path.exists(word):
            raise UsageError("--watch %s: there is no such file or directory" % word)
    return [os.fsencode(os.path.realpath(word)) for word in words]
