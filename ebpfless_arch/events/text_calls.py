"""The events of events/calls.py in words."""

from typing import Any, Callable, Dict

from ebpfless_arch.events import constants
from ebpfless_arch.events.calls import (BpfEvent, FileEvent, IdentityEvent, LimitEvent, MemoryEvent, ModuleEvent,
                                        MountEvent, PrctlEvent, PtraceEvent, SignalEvent, SocketEvent,
                                        SocketOptionEvent, TargetEvent)
from ebpfless_arch.events.constants import name_of, names_of
from ebpfless_arch.events.model import UNSET_ID, Event, Process
from ebpfless_arch.events.own_calls import OWN_CALLS, OwnEvent, OwnField, shown
from ebpfless_arch.events.text_network import socket_place
from ebpfless_arch.events.text_parts import file_text, printable, who

_UNLIMITED = -1

# Words around the file.
_FILE_WORDS = {"unlink": "deleted %s", "rmdir": "removed the directory %s", "utimes": "set the times of %s",
               "chdir": "changed into %s", "splice": "spliced %s"}


def _file(event: Event) -> str:
    assert isinstance(event, FileEvent)
    name = file_text(event.file)
    if event.type == "rename":
        return "renamed %s to %s" % (name, file_text(event.destination))
    if event.type == "link":
        return "linked %s as %s" % (name, file_text(event.destination))
    if event.type == "mkdir":
        return "made the directory %s with mode 0%o" % (name, event.mode)
    if event.type == "chmod":
        return "changed the mode of %s to 0%o" % (name, event.mode & 0o7777)
    if event.type == "chown":
        return "gave %s to %s" % (name, _owner(event))
    if event.type == "setxattr":
        return "set the attribute %s of %s" % (printable(event.attribute), name)
    if event.type == "removexattr":
        return "removed the attribute %s of %s" % (printable(event.attribute), name)
    return _FILE_WORDS[event.type] % name


def _owner(event: FileEvent) -> str:
    """user:group as chown(1) takes it."""
    user = "" if event.uid < 0 else event.user(event.uid) or str(event.uid)
    group = "" if event.gid < 0 else event.group(event.gid) or str(event.gid)
    return "%s:%s" % (user, group) if group else user or "nobody else"


def _mount(event: Event) -> str:
    assert isinstance(event, MountEvent)
    if event.detached:
        return "made a mount of %s that hangs nowhere yet (%s)" % (printable(event.source) or "nothing",
                                                                   printable(event.fs_type) or "any type")
    return "mounted %s on %s (%s)" % (printable(event.source), file_text(event.file),
                                      printable(event.fs_type) or "any type")


def _identity(event: Event) -> str:
    assert isinstance(event, IdentityEvent)
    after = event.after
    if event.type == "capset":
        return "changed its capabilities to %#x of %#x" % (after.cap_effective, after.cap_permitted)
    if event.type == "setuid":
        ids = (("uid", after.uid), ("euid", after.euid), ("fsuid", after.fsuid))
    else:
        ids = (("gid", after.gid), ("egid", after.egid), ("fsgid", after.fsgid))
    return "changed its identity to " + ", ".join("%s %d" % pair for pair in ids if pair[1] != UNSET_ID)


def _target(event: TargetEvent) -> str:
    if event.target.pid == event.process.pid:
        return "itself"
    return who(event.target) if event.target.pid == event.pid else "process %d" % event.pid


def _limit(event: Event) -> str:
    assert isinstance(event, LimitEvent)
    limits = ["unlimited" if limit == _UNLIMITED else str(limit) for limit in (event.current, event.maximum)]
    return "limited %s of %s to %s, at most %s" % (name_of(constants.RESOURCES, event.resource), _target(event),
                                                   limits[0], limits[1])


def _prctl(event: Event) -> str:
    assert isinstance(event, PrctlEvent)
    option = name_of(constants.PRCTL_OPTIONS, event.option)
    if option == "PR_SET_NAME":
        return "named itself " + printable(event.new_name)
    return "called prctl with " + option


def _ptrace(event: Event) -> str:
    assert isinstance(event, PtraceEvent)
    return "traced %s with %s" % (_target(event), name_of(constants.PTRACE_REQUESTS, event.request))


def _signal(event: Event) -> str:
    assert isinstance(event, SignalEvent)
    target = _target(event)
    if event.pid == -1:
        target = "every process"
    elif event.pid <= 0:
        target = "process group %d" % -event.pid if event.pid else "its process group"
    return "sent %s to %s" % (name_of(constants.SIGNALS, event.signal), target)


def _memory(event: Event) -> str:
    assert isinstance(event, MemoryEvent)
    protection = names_of(constants.PROTECTIONS, event.protection)
    if event.type == "mprotect":
        return "changed %d bytes of its memory from %s to %s" % (
            event.length, names_of(constants.VM_FLAGS, event.present), protection)
    what = file_text(event.file) if event.file.name else "%d bytes of memory" % event.length
    return "mapped %s with %s" % (what, protection)


def _bpf(event: Event) -> str:
    assert isinstance(event, BpfEvent)
    command = name_of(constants.BPF_COMMANDS, event.command)
    if command == "BPF_PROG_LOAD":
        return "loaded the BPF program %s (%s)" % (printable(event.program_name) or "without a name",
                                                   name_of(constants.BPF_PROGRAM_TYPES, event.program_type))
    if command == "BPF_MAP_CREATE":
        return "made the BPF map %s (%s)" % (printable(event.map_name) or "without a name",
                                             name_of(constants.BPF_MAP_TYPES, event.map_type))
    return "called bpf with " + command


def _module(event: Event) -> str:
    assert isinstance(event, ModuleEvent)
    name = printable(event.name) or "without a name"
    if event.type == "unload_module":
        return "unloaded the kernel module " + name
    return "loaded the kernel module %s from %s" % (name, "memory" if event.from_memory else file_text(event.file))


def _socket(event: Event) -> str:
    assert isinstance(event, SocketEvent)
    if event.type == "accept":
        at = " on port %d" % event.port if event.port else ""
        return "accepted a connection from %s%s" % (socket_place(event, event.peer_port), at)
    words = {"connect": "connected to %s%s", "bind": "bound a socket to %s%s"}[event.type]
    protocol = name_of(constants.L4_PROTOCOLS, event.protocol)[len("IP_PROTO_"):] if event.protocol else ""
    return words % (socket_place(event, event.port), " (%s)" % protocol if protocol else "")


def _socket_option(event: Event) -> str:
    assert isinstance(event, SocketOptionEvent)
    return "attached a filter to a socket of %s (%s)" % (name_of(constants.FAMILIES, event.family), event.option_name)


def _own(event: Event) -> str:
    assert isinstance(event, OwnEvent)
    call = OWN_CALLS[event.type]
    return call.words % {field.name: _own_word(field, event.values[field.name], event.process)
                         for field in call.fields}


def _own_word(field: OwnField, value: Any, process: Process) -> str:
    if field.kind == "file":
        return file_text(value)
    if field.kind == "lineage":
        return "itself" if value.pid == process.pid else who(value)
    return printable(value) if field.kind == "string" else shown(field, value)


TEXTS: Dict[str, Callable[[Event], str]] = {
    "mount": _mount, "setuid": _identity, "setgid": _identity, "capset": _identity, "setrlimit": _limit,
    "prctl": _prctl, "ptrace": _ptrace, "signal": _signal, "mmap": _memory, "mprotect": _memory, "bpf": _bpf,
    "load_module": _module, "unload_module": _module, "bind": _socket, "connect": _socket, "accept": _socket,
    "setsockopt": _socket_option,
}
TEXTS.update(dict.fromkeys(
    "unlink rmdir rename mkdir utimes link chmod chown chdir setxattr removexattr splice".split(), _file))
TEXTS.update(dict.fromkeys(OWN_CALLS, _own))
