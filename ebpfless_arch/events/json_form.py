"""Events as JSON objects in the shape of Datadog's workload-protection messages (backend_linux.schema.json).

What their schema has no place for (the result, our sequence number, that a
program's file was deleted) is in `evt.variables`, which the schema leaves open. Values of environment variables
are never part of it.
"""

import json
from typing import Callable, Dict, List, Optional

from ebpfless_arch.events import flags, json_calls, json_network
from ebpfless_arch.events.calls import IdentityEvent
from ebpfless_arch.events.json_bytes import well_formed
from ebpfless_arch.events.json_parts import CAUSES, Json, error_name, file_json, lineage_json, outcome, timestamp
from ebpfless_arch.events.model import BlindSpotEvent, Event, ExecEvent, ExitEvent, OpenEvent, SnapshotEvent

__all__ = ["CATEGORIES", "CAUSES", "error_name", "event_text", "outcome", "timestamp"]

CATEGORIES = {"exec": "Process Activity", "fork": "Process Activity", "exit": "Process Activity",
              "open": "File Activity", "blind_spot": "Agent Activity"}
CATEGORIES.update(json_calls.CATEGORIES)
CATEGORIES.update(json_network.CATEGORIES)
_WITHOUT_RESULT = ("fork", "exit", "blind_spot")


def lineage_text(event: Event) -> str:
    """The process of an event as JSON text; `tid` is the thread that acted. Written once a record: a program
    that does much does not change."""
    process = event.process
    if isinstance(event, IdentityEvent):
        form = lineage_json(process)
        form["tid"] = event.tid
        form["credentials"]["destination"] = json_calls.destination_json(event)
        return json.dumps(form, separators=(",", ":"))
    if process.memo is None:
        form = lineage_json(process)
        del form["tid"]
        process.memo = json.dumps(form, separators=(",", ":"))[1:]
    return '{"tid":%d,%s' % (event.tid, process.memo)


def _exec_json(event: Event, form: Json) -> None:
    assert isinstance(event, ExecEvent)
    form["file"] = file_json(event.process.file)
    form["syscall"] = {"exec": {"path": event.syscall_path}}
    if isinstance(event, SnapshotEvent):
        form["evt"]["variables"].update(from_procfs=True, cwd=event.directory,
                                        descriptors={str(number): target for number, target in event.descriptors})
    _mark_raced(event.raced, form)


def _open_json(event: Event, form: Json) -> None:
    assert isinstance(event, OpenEvent)
    form["file"] = file_json(event.file)
    form["file"]["flags"] = flags.open_flag_names(event.flags)
    form["syscall"] = {"open": {"path": event.syscall_path, "flags": event.flags & 0xFFFFFFFF, "mode": event.mode}}
    _mark_raced(event.raced, form)


def _mark_raced(raced: bool, form: Json) -> None:
    if raced:
        form["evt"]["variables"]["raced"] = True


def _exit_json(event: Event, form: Json) -> None:
    assert isinstance(event, ExitEvent)
    form["exit"] = {"cause": CAUSES[event.cause], "code": event.code}


def _blind_spot_json(event: Event, form: Json) -> None:
    assert isinstance(event, BlindSpotEvent)
    form["evt"]["variables"].update(reason=event.reason, kind=event.kind, count=event.count)


_PARTS: Dict[str, Callable[[Event, Json], None]] = {
    "exec": _exec_json, "open": _open_json, "exit": _exit_json, "blind_spot": _blind_spot_json,
}
_PARTS.update(json_calls.PARTS)
_PARTS.update(json_network.PARTS)


def event_text(event: Event, title: str, agent: Json, sequence: int, tags: Optional[List[str]],
               variables: Optional[Json] = None) -> str:
    """The message of an event as one line of JSON; `agent` describes us and, for a detection, the rule.

    `variables` are those of rules, by name with their scope.
    """
    form = _event_json(event, title, agent, sequence)
    form["evt"]["variables"] = dict(variables or {}, **form["evt"]["variables"])
    if tags is not None:
        form["tags"] = tags
    return well_formed('%s,"process":%s}' % (json.dumps(form, separators=(",", ":"))[:-1], lineage_text(event)))


def _event_json(event: Event, title: str, agent: Json, sequence: int) -> Json:
    variables: Json = {"sequence": sequence}
    if event.number:
        variables.update(tracer=event.context.tracer, record=event.number)
    if event.type not in _WITHOUT_RESULT:
        variables["retval"] = event.retval
    form: Json = {"agent": agent, "title": title, "date": timestamp(event.time),
                  "evt": {"name": event.type, "category": CATEGORIES[event.type], "outcome": outcome(event.retval),
                          "variables": variables}}
    if event.seen_by:
        variables["seen_by"] = event.seen_by
    if event.process.file.deleted:
        variables["executable_deleted"] = True
    part: Optional[Callable[[Event, Json], None]] = _PARTS.get(event.type)
    if part is not None:
        part(event, form)
    if event.process.container.id:
        form["container"] = {"id": event.process.container.id}
    return form
