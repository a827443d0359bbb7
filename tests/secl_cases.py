"""Cases in the format of the SECL reference, as real events."""

import time
from typing import Dict, Optional

from ebpfless_arch.events.model import Event, ExecEvent, File, OpenEvent, Process
from ebpfless_arch.events.users import Users
from ebpfless_arch.rules.cases import Case

NOW = int(time.time() * 10**9)


def _moment(value: object) -> object:
    """{"ago_s": n} as a time."""
    if isinstance(value, dict) and set(value) == {"ago_s"}:
        return NOW - int(value["ago_s"]) * 10**9
    return value


_PROCESS_SLOTS = {"pid", "ppid", "comm", "tty_name", "envp", "is_exec"}
_DERIVED = {"args": "_args", "args_flags": "_flags", "args_options": "_options"}
_CREDENTIALS = {"uid", "gid", "euid", "egid", "auid"}


def _set_process(process: Process, values: Dict[str, object]) -> bool:
    """Gives a record its attributes; False when it has no place for one."""
    for name, given in sorted(values.items()):
        value = _moment(given)
        if name in _PROCESS_SLOTS:
            setattr(process, name, value)
        elif name in _CREDENTIALS and isinstance(value, int):
            process.credentials = process.credentials._replace(**{name: value})
        elif name == "argv" and isinstance(value, list):
            process.arguments = [process.argv0] + value
        elif name == "created_at" and isinstance(value, int):
            process.exec_time = value
        elif name in ("file.path", "file.name"):
            setattr(process.file, name[len("file."):], value)
        elif name == "container.id":
            process.container = process.container._replace(id=str(value))
        elif name in _DERIVED:
            # The cases give these as they like, not as they follow from argv.
            setattr(process, _DERIVED[name], value)
        elif name != "envs" or process.envs != value:
            return False
    return True


def real_event(case: Case) -> Optional[Event]:
    """The case's event as the tracer would make it; None when it has values that the model lacks."""
    values = case.get("event")
    assert isinstance(values, dict)
    kinds = {name.partition(".")[0] for name in values} - {"process"}
    if "symlinks" in kinds or len(kinds) != 1 or not kinds <= {"exec", "open"}:
        return None
    users = Users("/nonexistent/passwd", "/nonexistent/group")
    records = [Process(users, 0, 0) for _ in values.get("process.ancestors", [])]
    for record, above in zip(records, records[1:]):
        record.parent = above
    process = Process(users, 0, 0, records[0] if records else None)
    own = {name.partition(".")[2]: value for name, value in values.items()
           if name.startswith(("exec.", "process.")) and name != "process.ancestors"}
    sound = [_set_process(process, own)]
    sound += [_set_process(record, given) for record, given in zip(records, values.get("process.ancestors", []))]
    if "exec" in kinds:
        return ExecEvent(NOW, process, process.pid, 0, "") if all(sound) else None
    event = OpenEvent(NOW, process, process.pid, 0, File(users), 0, 0, "")
    return event if all(sound) and _set_open(event, values) else None


def _set_open(event: OpenEvent, values: Dict[str, object]) -> bool:
    """Gives an open its attributes; False when it has no place for one."""
    for name, given in values.items():
        value = _moment(given)
        if name in ("open.file.path", "open.file.name", "open.file.modification_time"):
            setattr(event.file, name[len("open.file."):], value)
        elif name in ("open.flags", "open.retval"):
            setattr(event, name[len("open."):], value)
        elif name == "open.file.destination.mode":
            setattr(event, "mode", value)
        elif name == "open.file.extension":
            if event.file.extension != value:
                return False
        elif name.startswith("open."):
            return False
    return True
