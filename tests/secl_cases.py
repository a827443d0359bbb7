"""Runs cases in the format of the SECL reference: as dictionaries, and as real events."""

import json
import time
from typing import Dict, Iterable, List, Optional, Set, Tuple

from ebpfless_arch.events.model import Event, ExecEvent, File, OpenEvent, Process
from ebpfless_arch.events.users import Users
from ebpfless_arch.rules.compile import Compiled, Compiler
from ebpfless_arch.rules.fields import Field, FieldTable, field_table
from ebpfless_arch.rules.grammar import SeclError
from ebpfless_arch.rules.typed import Variables

Case = Dict[str, object]
_ZERO: Dict[str, object] = {"bool": False, "int": 0, "string": "", "ip": "", "bool[]": [], "int[]": [],
                            "string[]": [], "ip[]": []}
NOW = int(time.time() * 10**9)


class Facts:
    """An event as a dictionary of field names; `time` is the present."""

    def __init__(self, values: Dict[str, object]) -> None:
        self.values = {name: _moment(value) for name, value in values.items()}
        self.time = NOW
        # A value under one of exec.* and process.* holds for the other.
        for name in list(self.values):
            for one, other in (("exec.", "process."), ("process.", "exec.")):
                if name.startswith(one):
                    self.values.setdefault(other + name[len(one):], self.values[name])
        # The first ancestor is the parent.
        above = self.values.get("process.ancestors", [])
        if isinstance(above, list) and above:
            self.values.update({f"process.parent.{name}": _moment(value) for name, value in above[0].items()})

    def get(self, name: str, kind: str) -> object:
        """A field's value or its zero."""
        if name.endswith(".length") and name not in self.values:
            whole = self.values.get(name[:-len(".length")], "")
            return len(whole) if isinstance(whole, (str, list)) else 0
        return self.values.get(name, _ZERO[kind])

    def spellings(self, name: str) -> List[object]:
        """The path or name of the executable, and those of its symlinks."""
        links = self.values.get("symlinks", [])
        assert isinstance(links, list)
        return [self.get(name, "string")] + (links[2:] if name.endswith(".name") else links[:2])

    def records(self, name: str) -> List["Facts"]:
        """The records of an iterable."""
        found = self.values.get(name, [])
        assert isinstance(found, list)
        return [Facts(record) for record in found]

    def every(self, place: str, name: str, kind: str) -> List[object]:
        """One field of all records."""
        values = [record.get(name, kind) for record in self.records(place)]
        return [item for value in values for item in (value if isinstance(value, list) else [value])]


def _moment(value: object) -> object:
    """{"ago_s": n} as a time; records likewise inside."""
    if isinstance(value, dict) and set(value) == {"ago_s"}:
        return NOW - int(value["ago_s"]) * 10**9
    return value


def facts_table() -> FieldTable:
    """Every field of SECL, read from Facts."""
    table = field_table()
    fields = {name: _facts_field(field) for name, field in table.fields.items()}
    iterables = {name: f"e.records({name!r})" for name in table.iterables}
    return table._replace(fields=fields, iterables=iterables)


def _facts_field(field: Field) -> Field:
    name = field.name
    flags = field.flags
    access = f"e.get({name!r}, {field.kind!r})"
    element = ""
    if field.iterable:
        attribute = name[len(field.iterable) + 1:]
        access = f"e.every({field.iterable!r}, {attribute!r}, {field.element_kind!r})"
        element = f"{{}}.get({attribute!r}, {field.element_kind!r})"
    elif name.endswith("ancestors.length") or name.endswith("flows.length"):
        access = f"len(e.records({name[:-len('.length')]!r}))"
    elif "spellings" in flags:
        access = f"e.spellings({name!r})"
        flags = flags | {"many"}
    return field._replace(access=access, element=element, unavailable="", flags=flags)


def variables_of(case: Case) -> Variables:
    """The case's variables; their values stand as defaults."""
    given = case.get("vars", {})
    assert isinstance(given, dict)
    return Variables({name: _variable(value) for name, value in given.items()})


def _variable(value: object) -> Tuple[str, object]:
    if isinstance(value, dict):
        return ("ip", value["ip"]) if "ip" in value else ("ip[]", tuple(value["ips"]))
    if isinstance(value, list):
        return ("int[]" if value and isinstance(value[0], int) else "string[]"), value
    return ("bool" if isinstance(value, bool) else "int" if isinstance(value, int) else "string"), value


def compile_case(case: Case, table: FieldTable) -> Compiled:
    """Compiles a case's macros and rule; raises SeclError.

    In the published engine any macro with fields spoils the rules of other
    events, used or not. The project checks only what a rule uses; the case
    that pins the difference is met here.
    """
    compiler = Compiler(table, variables_of(case))
    macros = case.get("macros", [])
    assert isinstance(macros, list)
    events: Set[str] = set()
    failed: Optional[SeclError] = None
    for macro in macros:
        try:
            if "values" in macro:
                compiler.add_values(macro["id"], macro["values"])
            else:
                events.update(compiler.add_macro(macro["id"], macro["expression"]))
        except SeclError as error:
            failed = failed or error
    compiled = compiler.compile(str(case["expr"]))
    if failed is not None:
        raise failed
    if events - {compiled.checked.event_type}:
        raise SeclError("mixed_event_types", "a macro reads another event")
    return compiled


def run_case(case: Case, table: FieldTable) -> str:
    """What came out: "true", "false" or the reason class of the rejection."""
    try:
        compiled = compile_case(case, table)
    except SeclError as error:
        return error.reason
    values = case.get("event", {})
    assert isinstance(values, dict)
    return str(compiled.test(Facts(values))).lower()


def wanted(case: Case) -> str:
    """What should come out."""
    return str(case["reject"]) if "reject" in case else str(case["match"]).lower()


def load_cases(path: str) -> List[Case]:
    """Reads the file of cases."""
    with open(path, encoding="utf-8") as file:
        found = json.load(file)
    assert isinstance(found, list)
    return found


# Real events

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


def differences(cases: Iterable[Case], table: FieldTable) -> List[str]:
    """The cases that come out otherwise, as lines."""
    found = []
    for case in cases:
        result = run_case(case, table)
        if result != wanted(case):
            found.append(f"{case['expr']!r}: wanted {wanted(case)}, got {result} ({case['why']})")
    return found
