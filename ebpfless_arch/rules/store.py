"""The values of variables while rules run.

Time is that of events, so a value lives as long as its `ttl` says in the
events' time. Values of a process end with its record, those of a container or
cgroup when they expire or when too many others have come.
"""

import weakref
from collections import OrderedDict
from typing import Callable, Dict, Iterable, Optional, TYPE_CHECKING, Tuple

from ebpfless_arch.events.model import Event, Process
from ebpfless_arch.rules.typed import Variables

_COLLECTED_EVERY = 300 * 10**9
_OWNERS_AT_MOST = 4096

if TYPE_CHECKING:
    from ebpfless_arch.rules.variables import Definition

    # The values of one variable in one place, each with the time of its end in ns (0: never), the oldest first.
    # What is no list holds one at most.
    _Slot = OrderedDict[object, int]


class Store(Variables):
    """All variables of a rule set with their values.

    `find_process` gives the live process of a pid, for the key scope_field;
    the agent replaces it.
    """

    def __init__(self) -> None:
        Variables.__init__(self)
        self.find_process: Callable[[int], Optional[Process]] = lambda pid: None
        self._holders: Dict[str, _Holder] = {}
        self._collect_at = 0

    def define(self, definition: "Definition") -> None:
        """Makes a variable known, unset."""
        self.definitions[definition.name] = (definition.kind, definition.default)
        holder = _HOLDERS.get(definition.scope, _Holder)
        self._holders[definition.name] = holder(definition)

    def adopt(self, former: "Store") -> None:
        """Takes over the values of the variables that another store has by the same name, kind and scope."""
        for name, holder in self._holders.items():
            other = former._holders.get(name)
            if other is not None and other.is_like(holder):
                holder.slots, holder.guards = other.slots, other.guards

    def read(self, name: str, event: object) -> object:
        """The value for the process, container or cgroup of the event: a collection of the values for a list."""
        assert isinstance(event, Event)
        return self._holders[name].read(event.process, event.time)

    def put(self, name: str, process: Process, time: int, value: object, append: bool = False) -> None:
        """Sets the variable where `process` is; a list (value: one element or a tuple of them) may be added to."""
        self._holders[name].put(process, time, value if isinstance(value, tuple) else (value,), append)
        if time >= self._collect_at:
            self.collect(time)

    def collect(self, time: int) -> None:
        """Frees what has expired at `time`; `put` sees to it every five minutes."""
        self._collect_at = time + _COLLECTED_EVERY
        for holder in self._holders.values():
            holder.collect(time)

    def shown(self, event: Event) -> Dict[str, object]:
        """The variables that are set where the event happened, but for private ones; lists as lists."""
        found: Dict[str, object] = {}
        for name, holder in self._holders.items():
            is_shown = holder.slots and not holder.definition.private
            slot = holder.find(event.process, event.time) if is_shown else None
            if slot:
                found[name] = list(slot) if holder.is_list else _only(slot)
        return found

    def __len__(self) -> int:
        """Number of places that hold values."""
        return sum(len(holder.slots) for holder in self._holders.values())


def _only(slot: "_Slot") -> object:
    """The value of a variable that holds one."""
    values: Iterable[object] = slot
    for value in values:
        return value
    return None


class _Holder:
    """The values of one variable, in one slot for each owner; this one is for global variables."""

    def __init__(self, definition: "Definition") -> None:
        self.definition = definition
        self.is_list = definition.kind.endswith("[]")
        self.slots: Dict[object, "_Slot"] = {}
        self.guards: Dict[object, object] = {}

    def is_like(self, other: "_Holder") -> bool:
        """Whether the other one can use our values."""
        mine, its = self.definition, other.definition
        return (mine.kind, mine.scope) == (its.kind, its.scope)

    def owner(self, process: Process) -> object:
        """The key of the slot; one that is false means that there is none."""
        return "global"

    def read(self, process: Process, time: int) -> object:
        if not self.slots:
            return self.definition.default
        slot = self.find(process, time)
        if not slot:
            return self.definition.default
        return slot if self.is_list else _only(slot)

    def find(self, process: Process, time: int) -> "Optional[_Slot]":
        """The slot that is read, without what has expired; None or empty without a value."""
        slot = self.slots.get(self.owner(process))
        return slot if slot and _is_alive(slot, time) else None

    def put(self, process: Process, time: int, values: Tuple[object, ...], append: bool) -> None:
        slot = self.slot_to_change(process, time, append)
        if slot is None:
            return
        definition = self.definition
        if not append:
            slot.clear()
        for value in values:
            slot[value] = time + definition.ttl if definition.ttl else 0
            slot.move_to_end(value)
        while len(slot) > (definition.size if self.is_list else 1):
            slot.popitem(last=False)

    def slot_to_change(self, process: Process, time: int, append: bool) -> "Optional[_Slot]":
        owner = self.owner(process)
        if not owner:
            return None
        slot = self.slots.get(owner)
        if slot is None:
            slot = self.slots[owner] = OrderedDict()
            if len(self.slots) > _OWNERS_AT_MOST:
                self.slots.pop(next(iter(self.slots)))
        else:
            _is_alive(slot, time)
        return slot

    def collect(self, time: int) -> None:
        dead = [owner for owner, slot in self.slots.items() if not _is_alive(slot, time)]
        for owner in dead:
            self.drop(owner)

    def drop(self, owner: object) -> None:
        self.slots.pop(owner, None)
        self.guards.pop(owner, None)


class _ContainerHolder(_Holder):
    """A value for each container."""

    def owner(self, process: Process) -> object:
        return process.container.id


class _CgroupHolder(_Holder):
    """A value for each cgroup."""

    def owner(self, process: Process) -> object:
        return process.cgroup


class _ProcessHolder(_Holder):
    """A value for each record of a process, until nobody knows the record any more."""

    def owner(self, process: Process) -> object:
        return id(process)

    def find(self, process: Process, time: int) -> "Optional[_Slot]":
        slots = self.slots
        record: Optional[Process] = process
        while record is not None:
            slot = slots.get(id(record))
            if slot and _is_alive(slot, time):
                return slot
            record = record.parent if self.definition.inherited else None
        return None

    def slot_to_change(self, process: Process, time: int, append: bool) -> "Optional[_Slot]":
        owner = id(process)
        slot = self.slots.get(owner)
        if slot is None:
            # Adding to a list that was inherited makes a list of one's own, which begins with the inherited one.
            inherited = self.find(process, time) if append else None
            slot = self.slots[owner] = OrderedDict(inherited or ())
            self.guards[owner] = self.guard(process)
        else:
            _is_alive(slot, time)
        return slot

    def guard(self, process: Process) -> object:
        """A weak reference that ends the values together with the record."""
        owner, slots, guards = id(process), self.slots, self.guards

        def forget(reference: object) -> None:
            slots.pop(owner, None)
            guards.pop(owner, None)

        return weakref.ref(process, forget)


_HOLDERS = {"": _Holder, "container": _ContainerHolder, "cgroup": _CgroupHolder, "process": _ProcessHolder}


def _is_alive(slot: "_Slot", time: int) -> bool:
    """Takes out what has expired; False when nothing is left."""
    while slot:
        oldest = next(iter(slot))
        ends = slot[oldest]
        if not ends or time <= ends:
            return True
        del slot[oldest]
    return False
