"""Between Datadog's messages and our records: one table of their types of messages, and what each field means to us.

What has no counterpart is None in either direction; docs/wire.md tells what that is.
"""

import os
import socket
import stat
from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence, Tuple

from ebpfless_arch.events import addresses, interest, records
from ebpfless_arch.events.containers import container_id
from ebpfless_arch.events.datadog_structs import SYSCALL
from ebpfless_arch.events.model import UNSET_ID
from ebpfless_arch.events.msgpack import WireError
from ebpfless_arch.events.record_shapes import PARTS, check_record
from ebpfless_arch.events.records import Record, decoded, shorten
from ebpfless_arch.events.users import Users
from ebpfless_arch.kernel import procfs
from ebpfless_arch.kernel.statx import FileStatus
from ebpfless_arch.named import NamedTuple

Values = Dict[str, Any]
Payload = Mapping[str, Any]

# A record's parts by their names, with a call's values among them; what we call a file is (path, status, error).
_RETVAL, _PID = "retval", "pid"
_PR_SET_NAME = 15
_COMM_AT_MOST = 15
_ONE_LINK = 1
_NAME_AT_MOST = 256
_FILTER_AT_MOST = 32768


class Told(NamedTuple):
    """What a message of theirs amounts to: a record and its container's id ("" for none). `known` marks a process
    that was running already: the model wants to know it, but nothing happened."""

    record: Record
    container: str
    known: bool = False


class Field(NamedTuple):
    """A field of a payload, "" for several of them: how it is made from a record's values, and what it tells us."""

    name: str
    make: Callable[[Values, Users], Any]
    tell: Callable[[Any], Values]


class Row(NamedTuple):
    """A type of message: its number, the payload's name, our event, the payload's fields.

    `having` is the value that tells such a record from others of this event, `besides` what we need and they lack.
    """

    number: int
    payload: str
    event: str
    fields: Tuple[Field, ...]
    having: str = ""
    besides: Tuple[Tuple[str, Any], ...] = ()


# --- single fields ----------------------------------------------------------------------

def _nothing(value: Any) -> Values:
    return {}


def _number(name: str, ours: str, bits: int = 32) -> Field:
    return Field(name, lambda values, users: values.get(ours, 0) & (1 << bits) - 1, lambda value: {ours: value})


def _identifier(name: str, ours: str) -> Field:
    """A user or group id; -1 is one that was not given."""
    def tell(value: int) -> Values:
        return {ours: value & UNSET_ID} if value != -1 else {}
    return Field(name, lambda values, users: _as_int32(values.get(ours, UNSET_ID)), tell)


def _owner(name: str, ours: str) -> Field:
    """chown's id, where -1 is a value as well."""
    return _identifier(name, ours)._replace(tell=lambda value: {ours: value & UNSET_ID})


def _user(name: str, ours: str) -> Field:
    return Field(name, lambda values, users: users.user(values.get(ours, UNSET_ID)), _nothing)


def _group(name: str, ours: str) -> Field:
    return Field(name, lambda values, users: users.group(values.get(ours, UNSET_ID)), _nothing)


def _text(name: str, *ours: str) -> Field:
    """A text; the first of ours that is not empty is sent, all of them are told."""
    def make(values: Values, users: Users) -> str:
        return decoded(next((values[key] for key in ours if values.get(key)), b""))
    return Field(name, make, lambda value: dict.fromkeys(ours, _encoded(value)))


def _flag(name: str, ours: str) -> Field:
    return Field(name, lambda values, users: values[ours], lambda value: {ours: value})


def _words(name: str, ours: str) -> Field:
    def make(values: Values, users: Users) -> List[str]:
        return [decoded(word) for word in values[ours]]

    def tell(value: Optional[Sequence[str]]) -> Values:
        words, cut = shorten([_encoded(word) for word in value or ()], False)
        return {ours: words, ours + "_cut": cut}
    return Field(name, make, tell)


def _cut(name: str, ours: str) -> Field:
    """Whether words were cut; that is so as well where we had to do it."""
    return Field(name, lambda values, users: values[ours], lambda value: {ours: True} if value else {})


def _file(name: str, ours: str) -> Field:
    return Field(name, lambda values, users: _file_payload(values[ours], users),
                 lambda value: {ours: _found(value)})


def _unsent(name: str) -> Field:
    """What we do not know of: a zero in what is sent, passed over in what comes."""
    return Field(name, lambda values, users: None, _nothing)


def _as_int32(number: int) -> int:
    return number - (1 << 32) if number & 1 << 31 else number


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


# --- files ------------------------------------------------------------------------------

def _file_payload(found: Sequence[Any], users: Users) -> Payload:
    path, status, _ = found
    if status is None:
        return {"Filename": decoded(path)}
    mode, inode, _, _, uid, gid, _, modified, changed = status
    owner = {"UID": uid, "User": users.user(uid), "GID": gid, "Group": users.group(gid)}
    return {"Filename": decoded(path), "CTime": max(0, changed), "MTime": max(0, modified), "Mode": mode,
            "Inode": inode, "Credentials": owner}


def _found(payload: Payload) -> Tuple[bytes, Optional[FileStatus], str]:
    return _encoded(payload["Filename"]), _status(payload, payload["Mode"]), ""


def _status(payload: Payload, mode: int) -> Optional[FileStatus]:
    """The status that a file's fields tell: without an inode, or with times that no clock has, there is none."""
    if not payload["Inode"] or payload["CTime"] >> 63 or payload["MTime"] >> 63:
        return None
    owner = payload["Credentials"] or {"UID": 0, "GID": 0}
    return (mode, payload["Inode"], 0, _ONE_LINK, owner["UID"], owner["GID"], 0, payload["MTime"], payload["CTime"])


def _make_open(values: Values, users: Users) -> Payload:
    payload = dict(_file_payload(values["file"], users), Flags=values["flags"] & 0xFFFFFFFF)
    if values["mode"]:
        payload["Mode"] = values["mode"] & 0xFFFFFFFF
    return payload


def _tell_open(payload: Payload) -> Values:
    """Mode is the open's argument if that is not zero, else the file's; where nothing is created, the argument is
    whatever the register had."""
    mode, creates = payload["Mode"], payload["Flags"] & (os.O_CREAT | os.O_TMPFILE & ~os.O_DIRECTORY)
    of_file = stat.S_IFMT(mode) != 0
    return {"file": (_encoded(payload["Filename"]), _status(payload, mode if of_file else 0), ""),
            "argument": _encoded(payload["Filename"]), "flags": payload["Flags"],
            "mode": mode if creates and not of_file else 0, "error": "", "raced": False}


def _make_link(values: Values, users: Users) -> int:
    """1 for a hard link: then both names are of one file."""
    target, link = values["file"][1], values["destination"][1]
    return int(target is not None and link is not None and target[1:3] == link[1:3])


# --- processes --------------------------------------------------------------------------

def _make_identity(values: Values, users: Users) -> Optional[Payload]:
    if values["identity"] is None:
        return None
    uid, gid, euid, egid = values["identity"][:4]
    return {"UID": uid, "User": users.user(uid), "EUID": euid, "EUser": users.user(euid),
            "GID": gid, "Group": users.group(gid), "EGID": egid, "EGroup": users.group(egid)}


def _tell_identity(payload: Optional[Payload]) -> Values:
    if payload is None:
        return {"identity": None}
    euid, egid = payload["EUID"], payload["EGID"]
    return {"identity": (payload["UID"], payload["GID"], euid, egid, euid, egid, UNSET_ID, 0, 0)}


def _tell_program(payload: Payload) -> Values:
    found = _found(payload)
    return {"file": found, "argument": found[0], "comm": found[0].rpartition(b"/")[2][:_COMM_AT_MOST]}


def _make_name(values: Values, users: Users) -> str:
    return decoded(values["name"][0]) if values["name"] is not None else ""


def _tell_prctl(payload: Payload) -> Values:
    name = _encoded(payload["NewName"])
    told = (name[:_COMM_AT_MOST], len(name) > _COMM_AT_MOST)
    return {"option": payload["Option"], "name": told if payload["Option"] == _PR_SET_NAME else None}


def _make_prctl(values: Values, users: Users) -> Payload:
    return {"Option": values["option"], "NewName": _make_name(values, users)}


def _make_limits(values: Values, users: Users) -> Payload:
    current, maximum = values["limit"]
    return {"Resource": values["resource"], "CurLimit": current, "MaxLimit": maximum,
            "Pid": values["pid"] & 0xFFFFFFFF}


def _tell_limits(payload: Payload) -> Values:
    return {"resource": payload["Resource"], "limit": (payload["CurLimit"], payload["MaxLimit"]),
            "pid": payload["Pid"]}


def _make_capabilities(values: Values, users: Users) -> Payload:
    return dict(zip(("Effective", "Permitted"), values["capabilities"]))


def _tell_capabilities(payload: Payload) -> Values:
    sets = payload["Effective"], payload["Permitted"]
    return {"capabilities": sets, "change": dict(zip(("cap_effective", "cap_permitted"), sets))}


def _changing(kind: str) -> Callable[[Payload], Values]:
    """What setting ids does, as far as their message tells: it is the same for setuid(id) and setreuid(id, -1), of
    which the first is the usual one; so an effective id that is not given becomes the real one."""
    def tell(payload: Payload) -> Values:
        real, effective = payload[kind.upper()], payload["E" + kind.upper()]
        change = {kind: real & UNSET_ID} if real != -1 else {}
        if (real, effective) != (-1, -1):
            change["e" + kind] = change["fs" + kind] = (effective if effective != -1 else real) & UNSET_ID
        return {"change": change}
    return tell


# --- sockets ----------------------------------------------------------------------------

def _make_address(values: Values, users: Users) -> Payload:
    return {"AddressFamily": values["family"], "Addr": addresses.as_text(values["ip"]), "Port": values["port"]}


def _tell_address(payload: Payload) -> Values:
    return {"family": payload["AddressFamily"], "ip": _packed(payload["Addr"]), "port": payload["Port"],
            "protocol": payload.get("Protocol", 0), "path": b""}


def _packed(text: str) -> bytes:
    if not text:
        return b""
    try:
        return socket.inet_pton(socket.AF_INET6 if ":" in text else socket.AF_INET, text)
    except (OSError, ValueError):
        raise WireError("%.60r is no IP address" % text)


def _make_option(values: Values, users: Users) -> Payload:
    family, kind, protocol = values["socket"]
    program = values["filter"]
    return {"SocketFamily": family & 0xFFFF, "SocketType": kind & 0xFFFF, "SocketProtocol": protocol & 0xFFFF,
            "Level": values["level"] & 0xFFFFFFFF, "OptName": values["option"] & 0xFFFFFFFF,
            "Filter": program or None, "FilterLen": len(program) // 8}


def _tell_option(payload: Payload) -> Values:
    return {"socket": (payload["SocketFamily"], payload["SocketType"], payload["SocketProtocol"]),
            "level": payload["Level"], "option": payload["OptName"],
            "filter": (payload["Filter"] or b"")[:_FILTER_AT_MOST]}


# --- the table --------------------------------------------------------------------------

def _whole(make: Callable[[Values, Users], Payload], tell: Callable[[Payload], Values] = _nothing) -> Field:
    """A field that is all of a payload at once."""
    return Field("", make, tell)


def _read_only(tell: Callable[[Payload], Values]) -> Field:
    return Field("", lambda values, users: {}, tell)


_SAME = (("identity", None), ("process_identity", None))
_PROGRAM = Field("File", lambda values, users: _file_payload(values["file"], users), _tell_program)
_OPENED = _whole(_make_open, _tell_open)
_CONNECTED = (_whole(_make_address, _tell_address), _number("Protocol", "protocol", 16))

ROWS = (
    Row(1, "Exec", "exec", (
        _PROGRAM, _words("Args", "argv"), _cut("ArgsTruncated", "argv_cut"), _words("Envs", "envp"),
        _cut("EnvsTruncated", "envp_cut"),
        Field("TTY", lambda values, users: procfs.tty_name(values["tty"]),
              lambda value: {"tty": procfs.tty_device(value)}),
        Field("Credentials", _make_identity, _tell_identity), Field("PPID", lambda values, users: values.get("ppid", 0), _nothing),
        Field("FromProcFS", lambda values, users: "born" in values, _nothing)),
        besides=(("interpreter_path", b""), ("interpreter", None), ("start", 0), ("raced", False))),
    Row(2, "Fork", "fork", (_number("PPID", "ppid"),)),
    Row(3, "Open", "open", (_OPENED,)),
    Row(4, "Exit", "exit", (_number("Code", "code"), _number("Cause", "cause"))),
    Row(7, "SetFSUID", "setuid", (_identifier("FSUID", "fsuid"), _user("FSUser", "fsuid"), _read_only(
        lambda payload: {"change": {"fsuid": payload["FSUID"] & UNSET_ID}})), having="fsuid", besides=_SAME),
    Row(8, "SetFSGID", "setgid", (_identifier("FSGID", "fsgid"), _group("FSGroup", "fsgid"), _read_only(
        lambda payload: {"change": {"fsgid": payload["FSGID"] & UNSET_ID}})), having="fsgid", besides=_SAME),
    Row(5, "SetUID", "setuid", (_identifier("UID", "uid"), _user("User", "uid"), _identifier("EUID", "euid"),
                                _user("EUser", "euid"), _read_only(_changing("uid"))), besides=_SAME),
    Row(6, "SetGID", "setgid", (_identifier("GID", "gid"), _group("Group", "gid"), _identifier("EGID", "egid"),
                                _group("EGroup", "egid"), _read_only(_changing("gid"))), besides=_SAME),
    Row(9, "Capset", "capset", (_whole(_make_capabilities, _tell_capabilities),), besides=_SAME),
    Row(10, "Unlink", "unlink", (_file("File", "file"),)),
    Row(11, "Rmdir", "rmdir", (_file("File", "file"),)),
    Row(12, "Rename", "rename", (_file("OldFile", "file"), _file("NewFile", "destination"))),
    Row(13, "Mkdir", "mkdir", (_file("Dir", "file"), _number("Mode", "mode"))),
    Row(14, "Utimes", "utimes", (_file("File", "file"), _unsent("ATime"), _unsent("MTime"))),
    Row(15, "Link", "link", (Field("Type", _make_link, _nothing), _file("Target", "file"),
                             _file("Link", "destination"))),
    Row(16, "Chmod", "chmod", (_file("File", "file"), _number("Mode", "mode"))),
    Row(17, "Chown", "chown", (_file("File", "file"), _owner("UID", "uid"), _user("User", "uid"),
                               _owner("GID", "gid"), _group("Group", "gid"))),
    Row(18, "LoadModule", "load_module", (_file("File", "file"), _flag("LoadedFromMemory", "from_memory"),
                                          _text("Name", "module"), _text("Args", "parameters"))),
    Row(19, "UnloadModule", "unload_module", (_text("Name", "name"), _read_only(
        lambda payload: {"name": _encoded(payload["Name"])[:_NAME_AT_MOST]}))),
    Row(20, "Chdir", "chdir", (_file("Dir", "file"),)),
    Row(21, "Mount", "mount", (
        _text("Source", "source_path", "source"),
        Field("Target", lambda values, users: decoded(values["file"][0]),
              lambda value: {"file": (_encoded(value), None, ""), "path": _encoded(value)}),
        _text("FSType", "fs_type")), besides=(("mount", None), ("flags", 0))),
    Row(22, "Umount", "", ()),
    Row(23, "Accept", "accept", (_whole(_make_address, _tell_address), _unsent("SocketFd"))),
    Row(24, "Connect", "connect", _CONNECTED),
    Row(25, "Bind", "bind", _CONNECTED),
    Row(26, "Setsockopt", "setsockopt", (_whole(_make_option, _tell_option),)),
    Row(27, "Setrlimit", "setrlimit", (_whole(_make_limits, _tell_limits),)),
    Row(28, "Prctl", "prctl", (_whole(_make_prctl, _tell_prctl),)),
)

_BY_NUMBER = {row.number: row for row in ROWS}
_KINDS = {"fork": records.FORK, "exec": records.EXEC, "open": records.OPEN, "exit": records.EXIT}
# Of a process that runs already theirs tells as of an exec at its beginning.
_EVENTS = {**{kind: event for event, kind in _KINDS.items()}, records.SNAPSHOT: "exec"}


# --- ours to theirs ---------------------------------------------------------------------

def as_message(record: Record, users: Users, container: str = "") -> Optional[Dict[str, Any]]:
    """The message (for datadog_structs.write) that a record becomes, with the container's id; None for a record that
    theirs cannot tell, and for a call that failed in a way that they do not report."""
    event, values = _values(record)
    retval = values.get(_RETVAL, 0)
    row = _row_for(event, values)
    if row is None or not interest.counts(event, retval):
        return None
    payload: Dict[str, Any] = {}
    for field in row.fields:
        made = field.make(values, users)
        payload.update(made if field.name == "" else {field.name: made})
    return {"Type": SYSCALL, "Syscall": {
        "Type": row.number, "PID": record[2], "Timestamp": values.get("born") or record[1], "Retval": retval, "ContainerID": container,
        row.payload: payload}}


def _row_for(event: str, values: Values) -> Optional[Row]:
    for row in ROWS:
        if row.event == event and event and (not row.having or row.having in values):
            return row
    return None


def _values(record: Record) -> Tuple[str, Values]:
    """A record's event and its values by name; "" for one that is no event of theirs."""
    kind = record[0]
    if kind == records.CALL:
        return record[5], dict(record[6], retval=record[4], pid=record[6].get(_PID) or record[2])
    if kind not in _EVENTS:
        return "", {}
    values = dict(zip([name for name, _ in PARTS[kind]], record[4:]))
    if "path" in values:
        values["file"] = (values["path"], values["file"], "")
    return _EVENTS[kind], values


# --- theirs to ours ---------------------------------------------------------------------

def as_told(syscall: Payload) -> Optional[Told]:
    """What the struct Syscall of a message amounts to, None for what our model has no place for.

    Raises WireError for one that contradicts itself.
    """
    row = _BY_NUMBER.get(syscall["Type"])
    if row is None or not row.event:
        return None
    payload = syscall[row.payload]
    if payload is None:
        raise WireError("a message of type %d without its part %s" % (row.number, row.payload))
    values = dict(row.besides)
    for field in row.fields:
        values.update(field.tell(payload if field.name == "" else payload[field.name]))
    known = bool(payload.get("FromProcFS"))
    return Told(check_record(_record(row.event, syscall, values)), syscall["ContainerID"], known)


def _record(event: str, syscall: Payload, values: Values) -> Record:
    """Theirs tell the process alone: it is taken for the thread."""
    head = (_KINDS.get(event, records.CALL), syscall["Timestamp"], syscall["PID"], syscall["PID"])
    if head[0] == records.CALL:
        return head + (syscall["Retval"], event, values)
    values[_RETVAL] = syscall["Retval"]
    if event == "exec":
        values["cgroup"] = _cgroup(syscall["ContainerID"])
    if "file" in values:
        values["path"], values["file"], _ = values["file"]
    return head + tuple([values[name] for name, _ in PARTS[head[0]]])


def _cgroup(container: str) -> bytes:
    """A line of /proc/PID/cgroup that says as much as a container's id does, for events/containers.py to read."""
    return b"0::/%b\n" % _encoded(container) if container_id(container) == container != "" else b""
