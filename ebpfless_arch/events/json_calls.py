"""JSON parts of the events of events/calls.py, in the shape of backend_linux.schema.json."""

from typing import Callable, Dict

from ebpfless_arch.events import constants
from ebpfless_arch.events.calls import (BpfEvent, FileEvent, IdentityEvent, LimitEvent, MemoryEvent, ModuleEvent,
                                        MountEvent, PrctlEvent, PtraceEvent, SignalEvent, SocketEvent,
                                        SocketOptionEvent)
from ebpfless_arch.events.constants import name_of, names_of
from ebpfless_arch.events.json_parts import Json, capability_names, file_json, lineage_json
from ebpfless_arch.events.model import UNSET_ID, Event
from ebpfless_arch.events.own_calls import OWN_CALLS, OwnEvent, shown

_FILE_EVENTS = "unlink rmdir rename mkdir utimes link chmod chown chdir setxattr removexattr splice".split()

CATEGORIES = dict.fromkeys(_FILE_EVENTS + ["mount"], "File Activity")
CATEGORIES.update(dict.fromkeys("setuid setgid capset setrlimit prctl signal".split(), "Process Activity"))
CATEGORIES.update(dict.fromkeys("ptrace mmap mprotect bpf load_module unload_module".split(), "Kernel Activity"))
CATEGORIES.update(dict.fromkeys("bind connect accept setsockopt".split(), "Network Activity"))
CATEGORIES.update((kind, call.category) for kind, call in OWN_CALLS.items())

# What `syscall` has of the arguments of these calls, besides the path.
_ARGUMENTS = {"chmod": "mode", "mkdir": "mode", "chown": "uid gid", "unlink": "flags dirfd", "rmdir": "", "rename": "",
              "link": "", "utimes": "", "chdir": ""}


def destination_json(event: IdentityEvent) -> Json:
    """Credentials after a change: those that it is about, and of them what is known."""
    after = event.after
    if event.type == "capset":
        return {"cap_effective": capability_names(after.cap_effective),
                "cap_permitted": capability_names(after.cap_permitted)}
    form: Json = {}
    if event.type == "setuid":
        ids = {"uid": after.uid, "euid": after.euid, "fsuid": after.fsuid}
        names = {"user": event.user(after.uid), "euser": event.user(after.euid), "fsuser": event.user(after.fsuid)}
    else:
        ids = {"gid": after.gid, "egid": after.egid, "fsgid": after.fsgid}
        names = {"group": event.group(after.gid), "egroup": event.group(after.egid),
                 "fsgroup": event.group(after.fsgid)}
    for (id_name, number), (name, text) in zip(ids.items(), names.items()):
        if number != UNSET_ID:
            form.update({id_name: number, name: text})
    return form


def _file(event: Event, form: Json) -> None:
    assert isinstance(event, FileEvent)
    file = form["file"] = file_json(event.file)
    if event.type in ("rename", "link"):
        file["destination"] = file_json(event.destination)
    elif event.type in ("chmod", "mkdir"):
        file["destination"] = {"uid": event.file.uid, "gid": event.file.gid, "mode": event.mode}
    elif event.type == "chown":
        file["destination"] = _owner(event)
    elif event.attribute:
        file.update(attribute_name=event.attribute, attribute_namespace=event.namespace)
    if event.type in _ARGUMENTS:
        arguments: Json = {"path": event.syscall_path}
        arguments.update((name, getattr(event, name)) for name in _ARGUMENTS[event.type].split())
        if event.syscall_destination_path:
            arguments["destination_path"] = event.syscall_destination_path
        form["syscall"] = {event.type: arguments}


def _owner(event: FileEvent) -> Json:
    uid = event.file.uid if event.uid < 0 else event.uid
    gid = event.file.gid if event.gid < 0 else event.gid
    return {"uid": uid, "gid": gid, "user": event.user(uid), "group": event.group(gid)}


def _mount(event: Event, form: Json) -> None:
    assert isinstance(event, MountEvent)
    form["mount"] = {"mount_id": event.mount_id, "parent_mount_id": event.parent_id, "bind_src_mount_id": 0,
                     "device": event.device, "fs_type": event.fs_type, "mountpoint.path": event.file.path,
                     "source.path": event.source, "mp": file_json(event.file), "visible": event.visible,
                     "detached": event.detached}
    form["syscall"] = {"mount": {"path": event.syscall_source, "destination_path": event.syscall_path,
                                 "fs_type": event.syscall_fs_type}}


def _limit(event: Event, form: Json) -> None:
    """The schema has no place for these."""
    assert isinstance(event, LimitEvent)
    form["evt"]["variables"].update(resource=name_of(constants.RESOURCES, event.resource), rlim_cur=event.current,
                                    rlim_max=event.maximum, target_pid=event.pid)


def _prctl(event: Event, form: Json) -> None:
    assert isinstance(event, PrctlEvent)
    form["prctl"] = {"option": name_of(constants.PRCTL_OPTIONS, event.option), "new_name": event.new_name,
                     "is_name_truncated": event.truncated}


def _ptrace(event: Event, form: Json) -> None:
    assert isinstance(event, PtraceEvent)
    form["ptrace"] = {"request": name_of(constants.PTRACE_REQUESTS, event.request), "address": "%#x" % event.address,
                      "tracee": lineage_json(event.target)}


def _signal(event: Event, form: Json) -> None:
    assert isinstance(event, SignalEvent)
    form["signal"] = {"type": name_of(constants.SIGNALS, event.signal), "pid": event.pid,
                      "target": lineage_json(event.target)}


def _mmap(event: Event, form: Json) -> None:
    assert isinstance(event, MemoryEvent)
    form["mmap"] = {"address": "%#x" % event.address, "offset": event.offset, "length": event.length,
                    "protection": names_of(constants.PROTECTIONS, event.protection),
                    "flags": names_of(constants.MAP_FLAGS, event.flags)}
    if event.file.name:
        form["file"] = file_json(event.file)


def _mprotect(event: Event, form: Json) -> None:
    assert isinstance(event, MemoryEvent)
    form["mprotect"] = {"vm_start": "%#x" % event.address, "vm_end": "%#x" % (event.address + event.length),
                        "vm_protection": names_of(constants.VM_FLAGS, event.present),
                        "req_protection": names_of(constants.PROTECTIONS, event.protection)}


def _bpf(event: Event, form: Json) -> None:
    assert isinstance(event, BpfEvent)
    command = name_of(constants.BPF_COMMANDS, event.command)
    part = form["bpf"] = {"cmd": command}
    if command == "BPF_MAP_CREATE":
        part["map"] = {"name": event.map_name, "map_type": name_of(constants.BPF_MAP_TYPES, event.map_type)}
    elif command == "BPF_PROG_LOAD":
        part["program"] = {"name": event.program_name,
                           "program_type": name_of(constants.BPF_PROGRAM_TYPES, event.program_type),
                           "attach_type": name_of(constants.BPF_ATTACH_TYPES, event.attach_type),
                           "helpers": [name_of(constants.BPF_HELPERS, number) for number in event.helpers]}


def _module(event: Event, form: Json) -> None:
    assert isinstance(event, ModuleEvent)
    part = form["module"] = {"name": event.name}
    if event.type == "load_module":
        part.update(loaded_from_memory=event.from_memory, argv=event.argv, args_truncated=event.truncated)
        if event.file.name:
            form["file"] = file_json(event.file)


def _socket(event: Event, form: Json) -> None:
    assert isinstance(event, SocketEvent)
    part: Json = {"addr": {"family": name_of(constants.FAMILIES, event.family), "ip": event.ip, "port": event.port}}
    if event.type != "accept":
        part["protocol"] = name_of(constants.L4_PROTOCOLS, event.protocol)
    if event.type != "bind":
        part["hostnames"] = event.hostnames
    form[event.type] = part
    if event.path:
        form["evt"]["variables"]["socket_path"] = event.path
    if event.peer_port:
        form["evt"]["variables"]["peer_port"] = event.peer_port


def _socket_option(event: Event, form: Json) -> None:
    assert isinstance(event, SocketOptionEvent)
    form["setsockopt"] = {"socket_type": name_of(constants.SOCKET_TYPES, event.socket_type),
                          "socket_family": name_of(constants.FAMILIES, event.family),
                          "socket_protocol": name_of(constants.L4_PROTOCOLS, event.protocol),
                          "level": name_of(constants.SOCKET_LEVELS, event.level), "optname": event.option_name,
                          "filter_len": len(event.instructions), "filter_hash": event.filter_hash}


def _own(event: Event, form: Json) -> None:
    """The schema knows none of these events: what is no file goes to the variables."""
    assert isinstance(event, OwnEvent)
    variables = form["evt"]["variables"]
    for field in OWN_CALLS[event.type].fields:
        value, name = event.values[field.name], field.name.replace(".", "_")
        if field.kind == "lineage":
            variables.update({name + "_pid": value.pid, name + "_comm": value.comm,
                              name + "_executable": value.file.path})
        elif field.name == "file":
            form["file"] = file_json(value)
        elif field.kind == "file":
            variables[name] = value.path
        else:
            variables[name] = shown(field, value) if field.heading else value


PARTS: Dict[str, Callable[[Event, Json], None]] = {
    "mount": _mount, "setrlimit": _limit, "prctl": _prctl, "ptrace": _ptrace, "signal": _signal, "mmap": _mmap,
    "mprotect": _mprotect, "bpf": _bpf, "load_module": _module, "unload_module": _module, "bind": _socket,
    "connect": _socket, "accept": _socket, "setsockopt": _socket_option,
}
PARTS.update(dict.fromkeys(_FILE_EVENTS, _file))
PARTS.update(dict.fromkeys(OWN_CALLS, _own))
