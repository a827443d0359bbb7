"""The messages of Datadog's tracer as they lie on the wire: one table of structs, written and read by it.

A struct is a map with its fields' names as keys, all of them, in this order; a number has the full width of its type.
Read is more than is written: keys may be missing, unknown ones are passed over, nil is a zero value.
"""

from typing import Any, Callable, Dict, Mapping, Tuple

from ebpfless_arch.events import msgpack
from ebpfless_arch.events.msgpack import WireError
from ebpfless_arch.named import NamedTuple

HELLO, SYSCALL, GOODBYE = 1, 2, 3
OUR_KEY = "Ebpfless"

_FILE = "Filename:str CTime:u64 MTime:u64 Mode:u32 Inode:u64 Credentials:*Credentials"
_ADDRESS = "AddressFamily:u16 Addr:address Port:u16"

# name: fields with their types; * is a pointer, whose zero value is nil. A file or an address that Go embeds is flat.
STRUCTS: Dict[str, str] = {
    "Message": "Type:i32 Hello:*Hello Syscall:*Syscall",
    "Hello": "NSID:u64 ContainerContext:*ContainerContext EntrypointArgs:strs Mode:str",
    "OurHello": "NSID:u64 ContainerContext:*ContainerContext EntrypointArgs:strs Mode:str " + OUR_KEY + ":any",
    "OurMessage": "Type:i32 Hello:*OurHello Syscall:*Syscall",
    "ContainerContext": "ID:str CreatedAt:u64",
    "Syscall": "Type:i32 PID:u32 SpanContext:*SpanContext Timestamp:u64 Retval:i64 ContainerID:str "
               "Exec:*Exec Open:*Open Fork:*Fork Exit:*Exit Fcntl:*Fcntl SetUID:*SetUID SetGID:*SetGID "
               "SetFSUID:*SetFSUID SetFSGID:*SetFSGID Capset:*Capset Unlink:*OneFile Rmdir:*OneFile Rename:*Rename "
               "Mkdir:*Mkdir Utimes:*Utimes Link:*Link Chmod:*Chmod Chown:*Chown LoadModule:*LoadModule "
               "UnloadModule:*UnloadModule Chdir:*Chdir Mount:*Mount Umount:*Umount Bind:*Address Connect:*Address "
               "Accept:*Accept Setsockopt:*Setsockopt Setrlimit:*Setrlimit Prctl:*Prctl Dup:*Dup Pipe:*Pipe "
               "Socket:*Socket",
    "SpanContext": "SpanID:u64 TraceID:TraceID",
    "TraceID": "Lo:u64 Hi:u64",
    "Credentials": "UID:u32 User:str EUID:u32 EUser:str GID:u32 Group:str EGID:u32 EGroup:str",
    "File": _FILE,
    "Exec": "File:File Args:strs ArgsTruncated:bool Envs:strs EnvsTruncated:bool TTY:str Credentials:*Credentials "
            "PPID:u32 FromProcFS:bool",
    "Open": _FILE + " Flags:u32",
    "Fork": "PPID:u32",
    "Exit": "Code:u32 Cause:u32",
    "Fcntl": "Fd:u32 Cmd:u32",
    "SetUID": "UID:i32 User:str EUID:i32 EUser:str",
    "SetGID": "GID:i32 Group:str EGID:i32 EGroup:str",
    "SetFSUID": "FSUID:i32 FSUser:str",
    "SetFSGID": "FSGID:i32 FSGroup:str",
    "Capset": "Effective:u64 Permitted:u64",
    "OneFile": "File:File",
    "Rename": "OldFile:File NewFile:File",
    "Mkdir": "Dir:File Mode:u32",
    "Utimes": "File:File ATime:u64 MTime:u64",
    "Link": "Type:u8 Target:File Link:File",
    "Chmod": "File:File Mode:u32",
    "Chown": "File:File UID:i32 User:str GID:i32 Group:str",
    "LoadModule": "File:File LoadedFromMemory:bool Name:str Args:str",
    "UnloadModule": "Name:str",
    "Chdir": "Dir:File",
    "Mount": "Source:str Target:str FSType:str",
    "Umount": "Path:str",
    "Address": _ADDRESS + " Protocol:u16",
    "Accept": _ADDRESS + " SocketFd:i32",
    "Setsockopt": "SocketFamily:u16 SocketProtocol:u16 SocketType:u16 Level:u32 OptName:u32 Filter:bytes FilterLen:u16",
    "Setrlimit": "Resource:int CurLimit:u64 MaxLimit:u64 Pid:u32",
    "Prctl": "Option:int Arg2:u64 NewName:str",
    "Dup": "OldFd:i32",
    "Pipe": "FdsPtr:u64",
    "Socket": "AddressFamily:u16 Protocol:u16 SocketType:u16",
}


class Type(NamedTuple):
    """A type of a field: its zero value, how it is written, and how what was read is checked (raises WireError)."""

    zero: Any
    write: Callable[[Any], bytes]
    read: Callable[[Any], Any]


class Field(NamedTuple):
    """A field of a struct; `key` is its name as it is written."""

    name: str
    key: bytes
    type: Type


def write(struct: str, values: Mapping[str, Any]) -> bytes:
    """A struct with these values; what is not among them is zero. Raises WireError for what does not fit."""
    fields = _FIELDS[struct]
    parts = [msgpack.map_head(len(fields)) if struct != "Syscall" else b"\xde\x00\x26"]
    for name, key, kind in fields:
        parts.append(key)
        value = values.get(name)
        parts.append(kind.write(kind.zero if value is None else value))
    return b"".join(parts)


def read(struct: str, value: Any) -> Dict[str, Any]:
    """The fields of a struct out of what was unpacked, all of them; raises WireError for what is of another type."""
    fields = _FIELDS[struct]
    if type(value) is tuple:
        value = dict(zip([field.name for field in fields], value))
    if type(value) is not dict:
        raise WireError("a %s instead of the struct %s" % (type(value).__name__, struct))
    found = {}
    for name, _, kind in fields:
        part = value.get(name)
        try:
            found[name] = _zero(kind) if part is None else kind.read(part)
        except _Mismatch as mismatch:
            raise WireError("the field %s of %s: %s" % (name, struct, mismatch))
    return found


def _zero(kind: Type) -> Any:
    return kind.zero if type(kind.zero) is not dict else kind.read(kind.zero)


class _Mismatch(Exception):
    """A value that is not of a field's type."""


def _read_text(value: Any) -> str:
    if type(value) is bytes:
        return str(value.decode("utf-8", "surrogateescape"))
    if type(value) is not str:
        raise _Mismatch("a %s instead of a text" % type(value).__name__)
    return str(value)


def _read_bytes(value: Any) -> bytes:
    return value if type(value) is bytes else _read_text(value).encode("utf-8", "surrogateescape")


def _read_texts(value: Any) -> Tuple[str, ...]:
    if type(value) is not tuple:
        raise _Mismatch("a %s instead of an array" % type(value).__name__)
    return tuple([_read_text(element) for element in value])


def _read_flag(value: Any) -> bool:
    if type(value) is not bool:
        raise _Mismatch("a %s instead of true or false" % type(value).__name__)
    return bool(value)


def _write_texts(values: Any) -> bytes:
    return msgpack.pack(values if values is None else list(values))


def _write_address(address: str) -> bytes:
    return msgpack.packed_bytes(address.encode("ascii", "replace"))


def _number(code: int, bits: int, signed: bool) -> Type:
    """A number of a fixed width: its first byte, and how many bits follow."""
    low, high = (-1 << bits - 1, (1 << bits - 1) - 1) if signed else (0, (1 << bits) - 1)

    def check(value: Any) -> int:
        if type(value) is not int or not low <= value <= high:
            raise _Mismatch("%.40r instead of a number from %d to %d" % (value, low, high))
        return int(value)

    def put(value: int) -> bytes:
        try:
            return b"%c%b" % (code, value.to_bytes(bits // 8, "big", signed=signed))
        except OverflowError:
            raise WireError("the number %d does not fit into %d bits" % (value, bits))

    return Type(0, put, check)


def _struct(name: str, pointer: bool) -> Type:
    empty: Any = None if pointer else {}

    def put(value: Any) -> bytes:
        return msgpack.NIL if value is None else write(name, value)

    return Type(empty, put, lambda value: read(name, value))


_LONG = _number(0xD3, 64, True)
_TYPES: Dict[str, Type] = {
    "i32": _number(0xD2, 32, True), "i64": _LONG, "u8": _number(0xCC, 8, False), "u16": _number(0xCD, 16, False),
    "u32": _number(0xCE, 32, False), "u64": _number(0xCF, 64, False),
    "int": Type(0, msgpack.packed_int, _LONG.read),
    "bool": Type(False, msgpack.pack, _read_flag),
    "str": Type("", msgpack.packed_text, _read_text),
    "strs": Type(None, _write_texts, _read_texts),
    "bytes": Type(None, msgpack.pack, _read_bytes),
    "address": Type("", _write_address, _read_text),
    "any": Type(None, msgpack.pack, lambda value: value),
}


def _field(described: str) -> Field:
    name, _, kind = described.partition(":")
    known = _TYPES.get(kind)
    return Field(name, msgpack.packed_text(name), known or _struct(kind.lstrip("*"), kind.startswith("*")))


_FIELDS: Dict[str, Tuple[Field, ...]] = {
    name: tuple([_field(word) for word in fields.split()]) for name, fields in STRUCTS.items()}
