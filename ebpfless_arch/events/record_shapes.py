"""What records may look like when they come from a stranger: the type, size and range of each part, as tables.

Whatever passes here can be handed to events/processes.py: no part is missing, none is of another type. A new kind of
record, event or value needs its line here before it can travel.
"""

from typing import Any, Callable, Dict, Sequence, Tuple

from ebpfless_arch.events import imds, records
from ebpfless_arch.events.msgpack import WireError, pack
from ebpfless_arch.events.own_calls import OWN_CALLS
from ebpfless_arch.events.records import ARGUMENT_BYTES_AT_MOST, ARGUMENTS_AT_MOST, Record

Shape = Callable[[Any], bool]


# --- the words of the tables: each makes a test for one value -------------------------

def number(low: int, high: int) -> Shape:
    """An int in this range, the ends included; True and False are none."""
    return lambda value: type(value) is int and low <= value <= high


def octets(limit: int) -> Shape:
    """Bytes, so many at most."""
    return lambda value: type(value) is bytes and len(value) <= limit


def text(limit: int) -> Shape:
    """A str of so many characters at most."""
    return lambda value: type(value) is str and len(value) <= limit


def maybe(shape: Shape) -> Shape:
    """What the shape says, or None."""
    return lambda value: value is None or shape(value)


def either(*shapes: Shape) -> Shape:
    """What one of the shapes says."""
    return lambda value: any(shape(value) for shape in shapes)


def row(*shapes: Shape) -> Shape:
    """A tuple with one element for each shape."""
    return lambda value: (type(value) is tuple and len(value) == len(shapes)
                          and all(shape(element) for shape, element in zip(shapes, value)))


def series(shape: Shape, limit: int) -> Shape:
    """A tuple of so many elements at most, all of one shape."""
    return lambda value: type(value) is tuple and len(value) <= limit and all(map(shape, value))


def table(shapes: Dict[Any, Shape]) -> Shape:
    """A dict that has nothing but these keys."""
    return lambda value: (type(value) is dict
                          and all(key in shapes and shapes[key](element) for key, element in value.items()))


def mapping(key: Shape, shape: Shape, limit: int) -> Shape:
    """A dict of so many pairs at most, with any keys of one shape."""
    return lambda value: (type(value) is dict and len(value) <= limit
                          and all(key(name) and shape(element) for name, element in value.items()))


def flag(value: Any) -> bool:
    """True or False."""
    return type(value) is bool


# --- records ----------------------------------------------------------------------------

U16, U32, U64 = number(0, (1 << 16) - 1), number(0, (1 << 32) - 1), number(0, (1 << 64) - 1)
I32, I64 = number(-1 << 31, (1 << 31) - 1), number(-1 << 63, (1 << 63) - 1)
ANY_INT = number(-1 << 63, (1 << 64) - 1)
PID = number(0, (1 << 31) - 1)
EVENT = text(64)
# A path below a root of its own may be longer than the kernel's 4096 bytes.
PATH = octets(16384)
NAME = octets(256)
ERROR = text(32)
STATUS = row(U32, U64, U64, U64, U32, U32, I64, I64, I64)
FOUND = row(PATH, maybe(STATUS), ERROR)
IDENTITY = row(U32, U32, U32, U32, U32, U32, U32, U64, U64)
WORDS = series(octets(ARGUMENT_BYTES_AT_MOST), ARGUMENTS_AT_MOST)

HEAD: Tuple[Tuple[str, Shape], ...] = (("kind", U16), ("time", U64), ("pid", PID), ("tid", PID))

# The parts after the head, by kind. A record that is not here does not travel.
PARTS: Dict[int, Tuple[Tuple[str, Shape], ...]] = {
    records.FORK: (("ppid", PID),),
    records.EXEC: (
        ("retval", I64), ("path", PATH), ("argument", PATH), ("argv", WORDS), ("argv_cut", flag), ("envp", WORDS),
        ("envp_cut", flag), ("file", maybe(STATUS)), ("interpreter_path", PATH), ("interpreter", maybe(STATUS)),
        ("identity", maybe(IDENTITY)), ("comm", NAME), ("tty", U32), ("start", U64), ("cgroup", octets(8192)),
        ("raced", flag)),
    records.SNAPSHOT: (
        ("ppid", PID), ("born", U64), ("path", PATH), ("argument", PATH), ("argv", WORDS), ("argv_cut", flag),
        ("envp", WORDS), ("envp_cut", flag), ("file", maybe(STATUS)), ("interpreter_path", PATH),
        ("interpreter", maybe(STATUS)), ("identity", maybe(IDENTITY)), ("comm", NAME), ("tty", U32), ("start", U64),
        ("cgroup", octets(8192)), ("cwd", PATH), ("descriptors", series(row(U32, PATH), 256))),
    records.OPEN: (("retval", I64), ("path", PATH), ("argument", PATH), ("flags", ANY_INT), ("mode", ANY_INT),
                   ("file", maybe(STATUS)), ("error", ERROR), ("raced", flag)),
    records.CALL: (("retval", I64), ("event", EVENT), ("values", mapping(text(32), lambda value: True, 64))),
    records.EXIT: (("cause", number(0, 2)), ("code", U32)),
    records.BLIND: (("reason", text(4096)), ("kind", text(32)), ("count", U64)),
    records.LOST: (("count", U64),),
    records.FAULT: (("text", text(65536)),),
}

_END = row(octets(16), U16)
_DNS = row(U16, flag, text(2048), U16, U16, U16, U32, I32, series(row(text(2048), octets(16)), 32))
_CREDENTIALS = row(*[text(4096)] * len(imds.Credentials._fields))
_IMDS = row(*[text(8192)] * 6 + [flag, _CREDENTIALS])

# What a CALL may tell, by name, whatever its event.
VALUES: Dict[str, Shape] = {
    "file": FOUND, "destination": FOUND, "mount": maybe(row(I64, I64, U64, PATH, NAME)),
    "from_memory": flag, "name": maybe(either(NAME, row(NAME, flag))),
    "capabilities": row(U64, U64), "limit": row(U64, U64), "socket": row(U32, U32, U32),
    "detached": flag, "outgoing": flag, "type": either(ANY_INT, maybe(PATH)), "description": maybe(PATH),
    "own": _END, "peer": _END, "state": flag, "value": octets(65536), "old_value": octets(65536),
    "bpf": row(U32, U32, NAME, series(U32, 32768)), "filter": octets(32768), "ip": octets(16),
    "resource": I64, "option": I64, "family": U16, "port": U16, "peer_port": U16, "protocol": U32,
    "identity": maybe(IDENTITY), "process_identity": maybe(IDENTITY),
    "change": table(dict([(name, U32) for name in ("uid", "gid", "euid", "egid", "fsuid", "fsgid")],
                         cap_effective=U64, cap_permitted=U64)),
}
VALUES.update((name, U32) for name in ("uid", "gid", "euid", "egid", "fsuid", "fsgid"))
VALUES.update((name, maybe(PATH)) for name in (
    "path", "new_path", "source", "source_path", "fs_type", "attribute", "parameters", "module"))
VALUES.update((name, ANY_INT) for name in (
    "dirfd", "new_dirfd", "fd", "flags", "mode", "exec_flags", "pid", "signal", "request",
    "address", "length", "protection", "offset", "present", "command", "level", "size", "backlog", "action", "position",
    "operation", "output", "target_fd", "major", "minor", "config", "entries"))

# What the model cannot do without, by event.
_FILE = ("file",)
_FILES = ("file", "destination")
_ADDRESS = ("family", "ip", "port", "protocol")
_MESSAGE = ("message", "own", "peer", "outgoing", "protocol", "size")
NEEDED: Dict[str, Tuple[str, ...]] = {
    "unlink": _FILE, "rmdir": _FILE, "rename": _FILES, "mkdir": _FILE, "utimes": _FILE, "link": _FILES, "chmod": _FILE,
    "chown": _FILE, "chdir": _FILE, "setxattr": _FILE, "removexattr": _FILE, "mount": ("file", "mount"),
    "setuid": ("identity",), "setgid": ("identity",), "capset": ("identity", "capabilities"),
    "setrlimit": ("resource", "limit"), "prctl": ("option", "name"), "ptrace": ("request", "pid", "address"),
    "signal": ("pid", "signal"), "mmap": ("address", "length", "protection"),
    "mprotect": ("address", "length", "protection"), "bpf": ("command", "bpf"),
    "load_module": ("file", "from_memory", "parameters"), "unload_module": ("name",),
    "bind": _ADDRESS, "connect": _ADDRESS, "accept": _ADDRESS,
    "setsockopt": ("level", "option", "socket", "filter"), "splice": _FILE,
    "socket": ("family", "type", "protocol"), "listen": _ADDRESS + ("path", "backlog"), "send": _ADDRESS + ("path", "size"),
    "dns": _MESSAGE, "imds": _MESSAGE, "cgroup_write": ("file", "pid"), "selinux": ("name", "state"),
    "sysctl": ("name", "action", "position", "value", "old_value"),
}
NEEDED.update((event, tuple(field.value for field in call.fields)) for event, call in OWN_CALLS.items())
# Where one name means two things, this event's; else VALUES has it.
_OF_EVENT: Dict[Tuple[str, str], Shape] = {
    ("unload_module", "name"): maybe(NAME), ("prctl", "name"): maybe(row(NAME, flag)),
    ("memfd_create", "name"): maybe(NAME), ("selinux", "name"): maybe(PATH), ("sysctl", "name"): maybe(PATH),
    ("dns", "message"): _DNS, ("imds", "message"): _IMDS,
    ("socket", "type"): ANY_INT, ("mknod", "type"): ANY_INT, ("setns", "type"): ANY_INT,
    ("perf_event_open", "type"): ANY_INT, ("add_key", "type"): maybe(PATH), ("request_key", "type"): maybe(PATH),
}


def check_record(record: Any) -> Record:
    """The record, if it has the shape that its kind asks for; raises WireError."""
    parts = PARTS.get(record[0]) if type(record) is tuple and record and type(record[0]) is int else None
    if parts is None:
        raise WireError("a record of no known kind")
    parts = HEAD + parts
    if len(record) != len(parts):
        raise WireError("a record of kind %d with %d parts, not %d" % (record[0], len(record), len(parts)))
    for (name, shape), value in zip(parts, record):
        if not shape(value):
            raise WireError("a record of kind %d whose %s is not as it should be" % (record[0], name))
    if record[0] == records.CALL:
        _check_values(record[5], record[6])
    checked: Record = record
    return checked


def _check_values(event: str, values: Dict[str, Any]) -> None:
    needed = NEEDED.get(event)
    if needed is None:
        raise WireError("a call of the unknown event %.64r" % event)
    for name in needed:
        if name not in values:
            raise WireError("a record of %s without %s" % (event, name))
    for name, value in values.items():
        shape = _OF_EVENT.get((event, name)) or VALUES.get(name)
        if shape is None or not shape(value):
            raise WireError("a record of %s whose %.32r is not as it should be" % (event, name))


def pack_record(record: Record) -> bytes:
    """A record as it travels; raises WireError for one that would be refused at the other end."""
    return pack(check_record(record))


def names_of(kind: int) -> Sequence[str]:
    """The names of a record's parts, the head's included."""
    return [name for name, _ in HEAD + PARTS[kind]]
