"""Events of system calls out of the tracer's CALL records (events/records.py tells what these hold)."""

import struct
from typing import Any, Callable, Dict, Sequence, Tuple

from ebpfless_arch.events.calls import (BpfEvent, CallEvent, FileEvent, IdentityEvent, LimitEvent, MemoryEvent,
                                        ModuleEvent, MountEvent, PrctlEvent, PtraceEvent, SignalEvent,
                                        SocketEvent, SocketOptionEvent, TargetEvent)
from ebpfless_arch.events.files import make_file
from ebpfless_arch.events.hostnames import Hostnames
from ebpfless_arch.events.making_network import MAKERS, place
from ebpfless_arch.events.model import UNSET_ID, Credentials, File, Process
from ebpfless_arch.events.network import DnsEvent
from ebpfless_arch.events.own_calls import OWN_CALLS, OwnEvent, OwnField
from ebpfless_arch.events.records import Record, decoded
from ebpfless_arch.events.users import Users
from ebpfless_arch.kernel.sockets import plain

_AT_FDCWD = -100
_PTRACE_TRACEME = 0
_BPF_MAP_CREATE = 0
_PARAMETERS_AT_MOST = 4096

Values = Dict[str, Any]


class CallMaker:
    """Makes events. `find` gives the record of a process by its number, an empty one for a process that is not."""

    def __init__(self, users: Users, find: Callable[[int], Process]) -> None:
        self._users = users
        self._find = find
        self._hostnames = Hostnames()
        self._makers: Dict[str, Callable[[Record, Process], CallEvent]] = {
            "mount": self._mount, "setuid": self._identity, "setgid": self._identity, "capset": self._identity,
            "setrlimit": self._limit, "prctl": self._prctl, "ptrace": self._ptrace, "signal": self._signal,
            "mmap": self._memory, "mprotect": self._memory, "bpf": self._bpf, "load_module": self._module,
            "unload_module": self._module, "bind": self._socket, "connect": self._socket, "accept": self._socket,
            "setsockopt": self._socket_option,
        }
        self._makers.update(MAKERS)
        self._makers.update(dict.fromkeys(OWN_CALLS, self._own))

    def make(self, record: Record, process: Process) -> CallEvent:
        """The event that a CALL record stands for; `process` is the one that made the call."""
        event = self._makers.get(record[5], self._file)(record, process)
        if isinstance(event, DnsEvent) and event.addresses:
            self._hostnames.learn(event.name, event.addresses)
        return event

    def _found(self, found: Sequence[Any]) -> File:
        path, status, error = found
        file = make_file(self._users, path, status)
        file.error = error
        if not error and not path.startswith(b"/"):
            file.path = ""  # a pipe or a socket has a name only
        return file

    def _file(self, record: Record, process: Process) -> CallEvent:
        _, time, _, tid, retval, kind, values = record
        event = FileEvent(kind, time, process, tid, retval)
        event.file = self._found(values["file"])
        if "destination" in values:
            event.destination = self._found(values["destination"])
        event.mode = values.get("mode", 0) & 0xFFFF
        event.uid, event.gid = _signed(values.get("uid", UNSET_ID)), _signed(values.get("gid", UNSET_ID))
        event.flags, event.dirfd = values.get("flags", 0), values.get("dirfd", _AT_FDCWD)
        event.attribute = _text(values, "attribute")
        event.syscall_path = _text(values, "path")
        event.syscall_destination_path = _text(values, "new_path")
        return event

    def _mount(self, record: Record, process: Process) -> CallEvent:
        _, time, _, tid, retval, _, values = record
        event = MountEvent(time, process, tid, retval)
        event.file = self._found(values["file"])
        event.source = _text(values, "source_path")
        event.fs_type = _text(values, "fs_type")
        event.syscall_source, event.syscall_path = _text(values, "source"), _text(values, "path")
        event.syscall_fs_type = event.fs_type
        event.detached = values.get("detached", False)
        mount = values["mount"]
        if mount is not None:
            event.mount_id, event.parent_id, event.device, root, fs_type = mount
            event.root, event.fs_type, event.visible = decoded(root), decoded(fs_type), not event.detached
        return event

    def _identity(self, record: Record, process: Process) -> CallEvent:
        _, time, _, tid, retval, kind, values = record
        event = IdentityEvent(kind, time, process, tid, retval)
        asked = {name: values[name] for name in ("uid", "euid", "fsuid", "gid", "egid", "fsgid") if name in values}
        if kind == "capset":
            effective, permitted = values["capabilities"]
            asked = {"cap_effective": effective, "cap_permitted": permitted}
        known = values["identity"]
        if known is not None:
            event.after = Credentials(*known)
        elif retval >= 0 and "change" in values:
            event.after = process.credentials._replace(**values["change"])
        else:
            event.after = event.after._replace(**asked)
        return event

    def _limit(self, record: Record, process: Process) -> CallEvent:
        _, time, _, tid, retval, _, values = record
        event = LimitEvent(time, process, tid, retval)
        self._aim(event, values.get("pid", 0) or process.pid)
        event.resource = values["resource"]
        event.current, event.maximum = [_signed_64(limit) for limit in values["limit"]]
        return event

    def _aim(self, event: TargetEvent, pid: int) -> None:
        event.pid = pid
        event.target = event.process if pid == event.process.pid else self._find(pid)

    def _prctl(self, record: Record, process: Process) -> CallEvent:
        _, time, _, tid, retval, _, values = record
        event = PrctlEvent(time, process, tid, retval)
        event.option = values["option"]
        if values["name"] is not None:
            name, event.truncated = values["name"]
            event.new_name = decoded(name)
        return event

    def _ptrace(self, record: Record, process: Process) -> CallEvent:
        _, time, _, tid, retval, _, values = record
        event = PtraceEvent(time, process, tid, retval)
        self._aim(event, process.pid if values["request"] == _PTRACE_TRACEME else values["pid"])
        event.request, event.address = values["request"], values["address"]
        return event

    def _signal(self, record: Record, process: Process) -> CallEvent:
        _, time, _, tid, retval, _, values = record
        event = SignalEvent(time, process, tid, retval)
        self._aim(event, values["pid"])
        event.signal = values["signal"]
        return event

    def _memory(self, record: Record, process: Process) -> CallEvent:
        _, time, _, tid, retval, kind, values = record
        event = MemoryEvent(kind, time, process, tid, retval)
        if "file" in values:
            event.file = self._found(values["file"])
        event.address = retval if kind == "mmap" and retval >= 0 else values["address"]
        event.length, event.protection = values["length"], values["protection"]
        event.offset, event.flags = values.get("offset", 0), values.get("flags", 0)
        event.present = values.get("present", 0)
        return event

    def _bpf(self, record: Record, process: Process) -> CallEvent:
        _, time, _, tid, retval, _, values = record
        event = BpfEvent(time, process, tid, retval)
        event.command = values["command"]
        kind, attach_type, name, helpers = values["bpf"]
        if event.command == _BPF_MAP_CREATE:
            event.map_type, event.map_name = kind, decoded(name)
        else:
            event.program_type, event.program_name = kind, decoded(name)
            # The language counts the types from 1 (BPF_CGROUP_INET_INGRESS), the kernel from 0.
            event.attach_type, event.helpers = attach_type + 1, helpers
        return event

    def _module(self, record: Record, process: Process) -> CallEvent:
        _, time, _, tid, retval, kind, values = record
        event = ModuleEvent(kind, time, process, tid, retval)
        if kind == "unload_module":
            event.name = _text(values, "name")
            return event
        event.file = self._found(values["file"])
        # A compressed module does not show its name; depmod names files after modules.
        event.name = _text(values, "module") or event.file.name.partition(".")[0].replace("-", "_")
        event.args = _text(values, "parameters")
        event.truncated = len(values["parameters"] or b"") >= _PARAMETERS_AT_MOST
        event.from_memory = values["from_memory"]
        return event

    def _socket(self, record: Record, process: Process) -> CallEvent:
        _, time, _, tid, retval, kind, _ = record
        event = SocketEvent(kind, time, process, tid, retval)
        place(event, record)
        event.hostnames = self._hostnames.of(plain(record[6]["ip"]))
        return event

    def _socket_option(self, record: Record, process: Process) -> CallEvent:
        _, time, _, tid, retval, _, values = record
        event = SocketOptionEvent(time, process, tid, retval)
        event.level, event.option = values["level"], values["option"]
        event.family, event.socket_type, event.protocol = values["socket"]
        event.instructions = _instructions(values["filter"])
        if event.instructions:
            import hashlib

            event.filter_hash = hashlib.sha256(values["filter"]).hexdigest()
        return event

    def _own(self, record: Record, process: Process) -> CallEvent:
        _, time, _, tid, retval, kind, values = record
        event = OwnEvent(kind, time, process, tid, retval)
        event.values = {field.name: self._own_value(field, values, process) for field in OWN_CALLS[kind].fields}
        return event

    def _own_value(self, field: OwnField, values: Values, process: Process) -> Any:
        if field.kind == "file":
            return self._found(values[field.value])
        if field.kind == "lineage":
            pid = values[field.value]
            return process if pid == process.pid else self._find(pid)
        return _text(values, field.value) if field.kind == "string" else values[field.value]


def _text(values: Values, name: str) -> str:
    return decoded(values.get(name) or b"")


def _signed(number: int) -> int:
    return -1 if number == UNSET_ID else number


def _signed_64(number: int) -> int:
    return number - (1 << 64) if number >> 63 else number


def _instructions(program: bytes) -> Tuple[Tuple[int, int, int, int], ...]:
    """struct sock_filter: code, jt, jf, k."""
    found = []
    for start in range(0, len(program) - 7, 8):
        code, if_true, if_false, constant = struct.unpack_from("=HBBI", program, start)
        found.append((code, if_true, if_false, constant))
    return tuple(found)
