"""What a probe knows of each run of a tracer, from one connection to the next."""

import collections
import os
import time
from typing import Any, Callable, Dict, List, Optional, Set, Tuple

from ebpfless_arch.agent.evaluation import Source
from ebpfless_arch.events.json_form import timestamp
from ebpfless_arch.events.model import WITHOUT_METADATA, Context, Event, Process
from ebpfless_arch.events.processes import Processes
from ebpfless_arch.events.records import Record
from ebpfless_arch.events.users import Users
from ebpfless_arch.events.wire import Hello, Order
from ebpfless_arch.rules.actions import Kill

_KEPT_SECONDS = 600.0
_KEPT_AT_MOST = 4096
_WHOLE_AT_MOST = 8
_KEY_BYTES = 16
_ORDERS_AT_MOST = 1024
PROCESSES_AT_MOST = 65536


class Session:
    """One run of a tracer, which has sent records up to `last` (None: nothing is known of it)."""

    def __init__(self, hello: Hello, users: Users, last: Optional[int] = None) -> None:
        self.hello = hello
        self.key = hello.offer.session if hello.offer is not None else b""
        self.last = last
        self.counters: Dict[str, int] = {}
        self.order: Optional[Callable[[Order], None]] = None
        self._orders = 0
        self._open_orders: "collections.OrderedDict[int, bool]" = collections.OrderedDict()
        self._learned: Set[int] = set()
        self.source = Source(Processes(users), self._kill)
        self.source.processes.live_in(hello.container)
        self.describe(())

    @property
    def name(self) -> str:
        """Which run it is, for people."""
        command = " ".join(self.hello.command or ("attached",))
        return "%s of %.40s" % (self.key.hex()[:8] or "a tracer in Datadog's dialect", ascii(command)[1:-1])

    def describe(self, tags: Tuple[str, ...]) -> None:
        """Take what the tracer says of where it runs; what its hello says comes with it."""
        own = ["pid_namespace:%d" % self.hello.namespace] if self.hello.namespace else []
        if self.hello.container:
            own.append("container_id:" + self.hello.container)
        own += [tag for tag in tags if tag not in own]
        self.source.context = Context(tuple(own), self.key.hex())
        self.source.looks = ":".join(WITHOUT_METADATA) not in own

    def attach(self) -> None:
        """Another connection begins."""
        self._learned.clear()

    def learns(self, record: Record) -> bool:
        """Whether a record of a process that runs already is news: a session that went on knows most of them."""
        pid = record[2]
        if pid in self._learned or self.source.processes.find(pid) is None:
            self._learned.add(pid)
            return True
        return False

    def settles(self, number: int) -> bool:
        """Whether an outcome is that of an order which had none until now."""
        return self._open_orders.pop(number, False)

    def _kill(self, action: Kill, event: Event) -> Dict[str, Any]:
        """Have the tracer send the signal: the numbers of processes are those of its own namespace."""
        told = []
        for process in self._targets(action, event):
            if self.order is None:
                told.append({"pid": process.pid, "status": "refused", "why": "this tracer takes no orders"})
                continue
            self._orders += 1
            self._open_orders[self._orders] = True
            if len(self._open_orders) > _ORDERS_AT_MOST:
                self._open_orders.popitem(last=False)
            self.order(Order(self._orders, process.pid, process.start, event.time, action.number))
            told.append({"pid": process.pid, "status": "ordered", "why": ""})
        return {"type": "kill", "signal": action.signal, "scope": action.scope, "processes": told,
                "status": "ordered" if self.order is not None else "refused", "killed_at": timestamp(int(time.time() * 1e9))}

    def _targets(self, action: Kill, event: Event) -> List[Process]:
        return self.source.processes.meant(action.scope, event.process)


class Sessions:
    """All of them. Of those whose tracer is away the number of the last record is kept for ten minutes, of the newest
    few everything: what is known of its processes a tracer tells anew."""

    def __init__(self) -> None:
        self._users = {elsewhere: Users(elsewhere=elsewhere) for elsewhere in (False, True)}
        self._present: Dict[bytes, Session] = {}
        self._away: "collections.OrderedDict[bytes, Session]" = collections.OrderedDict()
        # When a session's tracer left, and after which record.
        self._lasts: "collections.OrderedDict[bytes, Tuple[float, int]]" = collections.OrderedDict()
        # Records that no tracer could keep, of all runs until now.
        self.missing = 0

    def take_up(self, hello: Hello, elsewhere: bool) -> Session:
        """The session that a tracer goes on with, present or away, or a new one; it is present from now on.

        `elsewhere`: its processes are not those of our own /proc."""
        key = hello.offer.session if hello.offer is not None else b""
        found = self._present.get(key) if key else None
        if found is None:
            _, last = self._lasts.pop(key, (0.0, None))
            found = self._away.pop(key, None) or Session(hello, self._users[elsewhere], last)
            self._present[key or os.urandom(_KEY_BYTES)] = found
        return found

    def leave(self, session: Session, for_good: bool) -> None:
        """Its connection has ended."""
        for key in [key for key, present in self._present.items() if present is session]:
            del self._present[key]
            if not for_good and session.last:
                self._lasts[key] = time.monotonic(), session.last
                self._away[key] = session
        self.forget()

    def forget(self) -> None:
        """Let go of those that have been away too long."""
        end = time.monotonic() - _KEPT_SECONDS
        while self._lasts and (len(self._lasts) > _KEPT_AT_MOST or next(iter(self._lasts.values()))[0] < end):
            key, _ = self._lasts.popitem(last=False)
            self._away.pop(key, None)
        while len(self._away) > _WHOLE_AT_MOST:
            self._away.popitem(last=False)

    def shrink(self) -> Optional[Session]:
        """Memory is short: let go of all that can be told anew; who has most of what is left."""
        self._away.clear()
        return max(self._present.values(), key=lambda session: len(session.source.processes), default=None)

    def present(self) -> List[Session]:
        """Those that are connected."""
        return list(self._present.values())
