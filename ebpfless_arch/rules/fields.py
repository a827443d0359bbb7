"""The fields of SECL: ONE table from which all else is derived.

Attributes of files and of processes are families, stated once; an event is a
row that says which families it has under which prefix, and its own fields.
`field_table()` expands the rows to every published name. A field that we
cannot read has the reason in `unavailable`; its name and type are known all
the same. To make an event available, give its row the accesses.

An access is Python source over `e`, the event, that never raises. The access
of an array yields an iterable. `NAMES` are the names that accesses may use.
"""

import os
from typing import Dict, FrozenSet, Iterable, Iterator, List, Tuple

from ebpfless_arch.events.model import Process
from ebpfless_arch.events.own_calls import OWN_CALLS, OwnCall
from ebpfless_arch.events.users import Users
from ebpfless_arch.named import NamedTuple
from ebpfless_arch.rules.hashing import Hasher


class Field(NamedTuple):
    """A field as rules see it.

    kind: bool, int, string or ip, with [] for an array. event: the event type
    that owns it, "" for the common families. access: Python source over `e`.
    iterable: the list of records that it belongs to ("process.ancestors"), with
    `element`, the source over the record `{}`, and `element_kind`.
    flags, see FLAGS. unavailable: why it cannot be read, "" when it can.
    """

    name: str
    kind: str
    event: str
    access: str = ""
    flags: FrozenSet[str] = frozenset()
    unavailable: str = ""
    iterable: str = ""
    element: str = ""
    element_kind: str = ""


FLAGS = {
    "glob": "patterns are path globs",
    "path": "literals must be clean absolute paths",
    "folded": "compares without regard to case",
    "extension": "literals may leave out the dot",
    "short": "literals have at most 16 characters",
    "single": "compares for equality with one literal only",
    "spellings": "also matches through the names of symlinks",
    "many": "the access yields several spellings; a test holds when one of them does",
    "network": "only in rules of the network events",
    "ours": "an extension of this agent, not in the published list",
    "late": "known only when the call is over, so that no verdict before it can go by it",
}

NETWORK_EVENTS = ("dns", "imds", "packet")

ITERABLES_LIMIT = 100


class FieldTable(NamedTuple):
    """All that the compiler needs to know of what it may read.

    aliases: old spelling to name. iterables: name to Python source over `e`
    of a sequence of records. names: what accesses may refer to.
    """

    fields: Dict[str, Field]
    aliases: Dict[str, str]
    iterables: Dict[str, str]
    names: Dict[str, object]

    def late(self, names: Iterable[str], event: str) -> List[str]:
        """Those of the fields that a rule on such events cannot know before the call is over."""
        return [name for name in sorted(names) if "late" in self.fields[_twin(name, event)].flags]


def _twin(name: str, event: str) -> str:
    """In exec events, process.X is the record of the new program, as exec.X is."""
    own = "process." if event == "exec" else ""
    inherited = ("process.parent.", "process.ancestors.")
    return "exec." + name[len(own):] if own and name.startswith(own) and not name.startswith(inherited) else name


class _Row(NamedTuple):
    """One attribute: access is source over the record `{}`, `why` the reason that it has none."""

    name: str
    kind: str
    access: str
    flags: str = ""
    why: str = ""


_NO_MOUNTS = "mount information is not collected yet"
_NO_PACKAGES = "the package database is not read yet"
_NO_METADATA = "the content of executables is not examined yet"
_NO_SESSIONS = "user sessions are not resolved yet"
_NO_CGROUP_FILES = "the cgroup directory is not examined yet"
_KERNEL_ONLY = "only a hook in the kernel sees this"


def _missing(names: str, kind: str, why: str) -> Tuple[_Row, ...]:
    return tuple(_Row(name, kind, "", "", why) for name in names.split())


_FILE = (
    _Row("path", "string", "{}.path", "glob path"),
    _Row("path.length", "int", "size({}.path)"),
    _Row("name", "string", "{}.name"),
    _Row("name.length", "int", "size({}.name)"),
    _Row("extension", "string", "{}.extension", "extension"),
    _Row("inode", "int", "{}.inode"),
    _Row("mode", "int", "{}.mode"),
    _Row("rights", "int", "{}.rights"),
    _Row("uid", "int", "{}.uid"),
    _Row("gid", "int", "{}.gid"),
    _Row("user", "string", "{}.user"),
    _Row("group", "string", "{}.group"),
    _Row("change_time", "int", "{}.change_time"),
    _Row("modification_time", "int", "{}.modification_time"),
    _Row("hashes", "string[]", "hasher.hashes({}, e)"),
    _Row("deleted", "bool", "{}.deleted", "ours"),
) + _missing("filesystem", "string", _NO_MOUNTS) \
  + _missing("mount_id", "int", _NO_MOUNTS) \
  + _missing("in_upper_layer mount_detached mount_visible", "bool", _NO_MOUNTS) \
  + _missing("package.name package.release package.source_release package.source_version package.version",
             "string", _NO_PACKAGES) \
  + _missing("package.epoch package.source_epoch", "int", _NO_PACKAGES)

_PROCESS = (
    _Row("pid", "int", "{}.pid"),
    _Row("ppid", "int", "{}.ppid"),
    _Row("tid", "int", "{}.tid"),
    _Row("comm", "string", "{}.comm"),
    _Row("argv0", "string", "{}.argv0"),
    _Row("argv", "string[]", "{}.argv"),
    _Row("args", "string", "{}.args"),
    _Row("args_flags", "string[]", "{}.args_flags"),
    _Row("args_options", "string[]", "{}.args_options"),
    _Row("args_truncated", "bool", "{}.args_truncated"),
    _Row("envp", "string[]", "{}.envp"),
    _Row("envs", "string[]", "{}.envs_and_values"),
    _Row("envs_truncated", "bool", "{}.envs_truncated"),
    _Row("tty_name", "string", "{}.tty_name"),
    _Row("uid", "int", "{}.credentials.uid"),
    _Row("gid", "int", "{}.credentials.gid"),
    _Row("euid", "int", "{}.credentials.euid"),
    _Row("egid", "int", "{}.credentials.egid"),
    _Row("fsuid", "int", "{}.credentials.fsuid"),
    _Row("fsgid", "int", "{}.credentials.fsgid"),
    _Row("auid", "int", "{}.credentials.auid"),
    _Row("cap_effective", "int", "{}.credentials.cap_effective"),
    _Row("cap_permitted", "int", "{}.credentials.cap_permitted"),
    _Row("user", "string", "{}.user"),
    _Row("group", "string", "{}.group"),
    _Row("euser", "string", "{}.euser"),
    _Row("egroup", "string", "{}.egroup"),
    _Row("fsuser", "string", "{}.fsuser"),
    _Row("fsgroup", "string", "{}.fsgroup"),
    _Row("created_at", "int", "{}.created_at"),
    _Row("is_exec", "bool", "{}.is_exec"),
    _Row("is_thread", "bool", "{}.is_thread"),
    _Row("container.id", "string", "{}.container.id"),
    _Row("container.created_at", "int", "{}.container.created_at"),
    _Row("cgroup.id", "string", "{}.cgroup"),
) + _missing("is_kworker", "bool", "kernel threads are not recorded yet") \
  + _missing("caps_attempted caps_used", "int", _KERNEL_ONLY) \
  + _missing("cgroup.file.inode cgroup.file.mount_id cgroup.version", "int", _NO_CGROUP_FILES) \
  + _missing("container.tags", "string[]", "no tagger knows the containers") \
  + _missing("user_session.id user_session.session_type user_session.ssh_auth_method user_session.ssh_port",
             "int", _NO_SESSIONS) \
  + _missing("user_session.k8s_uid user_session.k8s_username user_session.ssh_public_key", "string", _NO_SESSIONS) \
  + _missing("user_session.k8s_groups", "string[]", _NO_SESSIONS) \
  + _missing("user_session.ssh_client_ip", "ip", _NO_SESSIONS)

_METADATA = _missing("abi architecture compression size type", "int", _NO_METADATA) \
    + _missing("is_executable is_garble_obfuscated is_upx_packed", "bool", _NO_METADATA)


_FLOW = _missing("destination.ip source.ip", "ip", "") \
    + _missing("destination.is_public source.is_public", "bool", "") \
    + _missing("destination.port source.port egress.data_size egress.packet_count ingress.data_size "
               "ingress.packet_count l3_protocol l4_protocol", "int", "")


class _Event(NamedTuple):
    """An event's row.

    families: words PREFIX=FAMILY or PREFIX=FAMILY@ACCESS; FAMILY is file,
    process, metadata, flows or lineage (a process with parent and ancestors).
    own: words NAME:KIND, NAME:KIND@ACCESS or either with !FLAG... before @; NAME:KIND?WHY for a field that
    cannot be read, with a name of _UNREAD.
    why: the reason when no field of the event can be read.
    late: names of fields that are known only when the call is over, besides retval: NAME, NAME.* for all below it,
    NAME.+ for all of a file but its name, * for everything.
    ours: whether the event is an extension of this agent.
    """

    name: str
    families: str
    own: str
    why: str = "this event is not traced yet"
    late: str = ""
    ours: bool = False


_SEEN = ""

# What of a file cannot be known before there is one: all but its name.
_ATTRIBUTES = frozenset(row.name for row in _FILE) - {"path", "path.length", "name", "name.length", "extension"}
# A setuid program has other rights than its caller; a script's interpreter is the kernel's choice.
_NEW_PROGRAM = ("comm euid egid fsuid fsgid euser egroup fsuser fsgroup cap_effective cap_permitted "
                "interpreter.file.*")

_UNREAD = {
    "pipe": "only the kernel sees the flags of a pipe's buffers",
    "listing": "filters are not disassembled yet",
    "tag": "only the kernel knows the tag of a program",
    "packet": "a tracer does not see packets",
}

_EVENTS = (
    _Event("exec", "exec=process@e.process exec.file.metadata=metadata", "syscall.path:string@e.syscall_path raced:bool!ours@e.raced",
           _SEEN, _NEW_PROGRAM + " raced"),
    _Event("exit", "exit=process@e.process", "cause:int@e.cause code:int@e.code", _SEEN, "*"),
    _Event("open", "open.file=file@e.file",
           "flags:int@e.flags file.destination.mode:int@e.mode retval:int@e.retval syscall.flags:int@e.flags "
           "syscall.mode:int@e.mode syscall.path:string@e.syscall_path raced:bool!ours@e.raced", _SEEN, "file.+ raced"),
    _Event("unlink", "unlink.file=file@e.file",
           "flags:int@e.flags retval:int@e.retval syscall.dirfd:int@e.dirfd syscall.flags:int@e.flags "
           "syscall.path:string@e.syscall_path", _SEEN),
    _Event("rmdir", "rmdir.file=file@e.file", "retval:int@e.retval syscall.path:string@e.syscall_path", _SEEN),
    _Event("rename", "rename.file=file@e.file rename.file.destination=file@e.destination",
           "retval:int@e.retval syscall.path:string@e.syscall_path "
           "syscall.destination.path:string!path@e.syscall_destination_path", _SEEN, "file.destination.+"),
    _Event("mkdir", "mkdir.file=file@e.file",
           "file.destination.mode:int@e.mode file.destination.rights:int@e.mode&0o7777 retval:int@e.retval "
           "syscall.mode:int@e.mode syscall.path:string@e.syscall_path", _SEEN, "file.+"),
    _Event("utimes", "utimes.file=file@e.file", "retval:int@e.retval syscall.path:string@e.syscall_path", _SEEN),
    _Event("link", "link.file=file@e.file link.file.destination=file@e.destination",
           "retval:int@e.retval syscall.path:string@e.syscall_path "
           "syscall.destination.path:string!path@e.syscall_destination_path", _SEEN, "file.destination.+"),
    _Event("chmod", "chmod.file=file@e.file",
           "file.destination.mode:int@e.mode file.destination.rights:int@e.mode&0o7777 retval:int@e.retval "
           "syscall.mode:int@e.mode syscall.path:string@e.syscall_path", _SEEN),
    _Event("chown", "chown.file=file@e.file",
           "file.destination.gid:int@e.gid file.destination.group:string@e.group(e.gid) "
           "file.destination.uid:int@e.uid file.destination.user:string@e.user(e.uid) retval:int@e.retval "
           "syscall.gid:int@e.gid syscall.path:string@e.syscall_path syscall.uid:int@e.uid", _SEEN),
    _Event("chdir", "chdir.file=file@e.file", "retval:int@e.retval syscall.path:string@e.syscall_path", _SEEN),
    _Event("mount", "",
           "detached:bool@e.detached fs_type:string@e.fs_type mountpoint.path:string!path@e.file.path retval:int@e.retval "
           "root.path:string!path@e.root source.path:string!path@e.source syscall.fs_type:string@e.syscall_fs_type "
           "syscall.mountpoint.path:string!path@e.syscall_path syscall.source.path:string!path@e.syscall_source "
           "visible:bool@e.visible", _SEEN, "fs_type root.path visible"),
    _Event("setuid", "",
           "euid:int@e.after.euid euser:string@e.user(e.after.euid) fsuid:int@e.after.fsuid "
           "fsuser:string@e.user(e.after.fsuid) uid:int@e.after.uid user:string@e.user(e.after.uid)", _SEEN, "*"),
    _Event("setgid", "",
           "egid:int@e.after.egid egroup:string@e.group(e.after.egid) fsgid:int@e.after.fsgid "
           "fsgroup:string@e.group(e.after.fsgid) gid:int@e.after.gid group:string@e.group(e.after.gid)", _SEEN, "*"),
    _Event("capset", "", "cap_effective:int@e.after.cap_effective cap_permitted:int@e.after.cap_permitted", _SEEN),
    _Event("load_module", "load_module.file=file@e.file",
           "args:string@e.args args_truncated:bool@e.truncated argv:string[]@e.argv "
           "loaded_from_memory:bool@e.from_memory name:string@e.name retval:int@e.retval", _SEEN),
    _Event("unload_module", "", "name:string@e.name retval:int@e.retval", _SEEN),
    _Event("connect", "",
           "addr.family:int@e.family addr.hostname:string[]!folded@e.hostnames addr.ip:ip@e.ip addr.is_public:bool@e.is_public "
           "addr.port:int@e.port protocol:int@e.protocol retval:int@e.retval", _SEEN),
    _Event("accept", "",
           "addr.family:int@e.family addr.hostname:string[]!folded@e.hostnames addr.ip:ip@e.ip addr.is_public:bool@e.is_public "
           "addr.port:int@e.port retval:int@e.retval", _SEEN, "addr.ip addr.is_public"),
    _Event("bind", "",
           "addr.family:int@e.family addr.ip:ip@e.ip addr.is_public:bool@e.is_public addr.port:int@e.port "
           "protocol:int@e.protocol retval:int@e.retval", _SEEN),
    _Event("setsockopt", "",
           "filter_hash:string@e.filter_hash filter_instructions:string?listing filter_len:int@len(e.instructions) "
           "is_filter_truncated:bool@False level:int@e.level optname:int@e.option retval:int@e.retval "
           "socket_family:int@e.family socket_protocol:int@e.protocol socket_type:int@e.socket_type "
           "used_immediates:int[]@e.immediates", _SEEN),
    _Event("setrlimit", "setrlimit.target=lineage@e.target",
           "resource:int@e.resource retval:int@e.retval rlim_cur:int@e.current rlim_max:int@e.maximum", _SEEN),
    _Event("prctl", "",
           "is_name_truncated:bool@e.truncated new_name:string@e.new_name option:int@e.option retval:int@e.retval",
           _SEEN),
    _Event("ptrace", "ptrace.tracee=lineage@e.target", "request:int@e.request retval:int@e.retval", _SEEN),
    _Event("signal", "signal.target=lineage@e.target", "pid:int@e.pid retval:int@e.retval type:int@e.signal", _SEEN),
    _Event("mmap", "mmap.file=file@e.file", "flags:int@e.flags protection:int@e.protection retval:int@e.retval", _SEEN),
    _Event("mprotect", "",
           "req_protection:int@e.protection retval:int@e.retval vm_protection:int@e.present", _SEEN),
    _Event("splice", "splice.file=file@e.file", "pipe_entry_flag:int?pipe pipe_exit_flag:int?pipe retval:int@e.retval",
           _SEEN),
    _Event("setxattr", "setxattr.file=file@e.file",
           "file.destination.name:string@e.attribute file.destination.namespace:string@e.namespace retval:int@e.retval",
           _SEEN),
    _Event("removexattr", "removexattr.file=file@e.file",
           "file.destination.name:string@e.attribute file.destination.namespace:string@e.namespace retval:int@e.retval",
           _SEEN),
    _Event("dns", "",
           "id:int@e.id question.class:int@e.question_class question.count:int@e.count question.length:int@e.length "
           "question.name:string!folded@e.name question.name.length:int@size(e.name) "
           "question.type:int@e.question_type response.code:int@e.code", _SEEN, "response.code"),
    _Event("bpf", "",
           "cmd:int@e.command map.name:string!short@e.map_name map.type:int@e.map_type "
           "prog.attach_type:int@e.attach_type prog.helpers:int[]@e.helpers prog.name:string!short@e.program_name "
           "prog.tag:string?tag prog.type:int@e.program_type retval:int@e.retval", _SEEN),
    _Event("selinux", "",
           "bool.name:string@e.boolean bool.state:string@e.boolean_state bool_commit.state:bool@e.is_commit "
           "enforce.status:string@e.status", _SEEN),
    _Event("sysctl", "",
           "action:int@e.action file_position:int@e.position name:string@e.name name_truncated:bool@False "
           "old_value:string@e.old_value old_value_truncated:bool@e.old_value_truncated value:string@e.value "
           "value_truncated:bool@e.value_truncated", _SEEN),
    _Event("cgroup_write", "cgroup_write.file=file@e.file", "pid:int@e.pid", _SEEN),
    _Event("imds", "",
           "aws.is_imds_v2:bool@e.is_imds_v2 aws.security_credentials.type:string@e.credentials_type "
           "cloud_provider:string@e.cloud_provider host:string@e.host server:string@e.server "
           "type:string@e.message_type url:string@e.url user_agent:string@e.user_agent", _SEEN,
           "server aws.security_credentials.type"),
    _Event("socket", "",
           "domain:int!ours@e.family type:int!ours@e.socket_type protocol:int!ours@e.protocol retval:int!ours@e.retval",
           _SEEN),
    _Event("listen", "",
           "addr.family:int!ours@e.family addr.ip:ip!ours@e.ip addr.port:int!ours@e.port addr.path:string!ours@e.path "
           "backlog:int!ours@e.backlog protocol:int!ours@e.protocol retval:int!ours@e.retval", _SEEN),
    _Event("send", "",
           "addr.family:int!ours@e.family addr.ip:ip!ours@e.ip addr.is_public:bool!ours@e.is_public "
           "addr.port:int!ours@e.port addr.path:string!ours@e.path protocol:int!ours@e.protocol "
           "retval:int!ours@e.retval size:int!ours@e.size", _SEEN),
    _Event("capabilities", "", "attempted:int used:int", _KERNEL_ONLY),
    _Event("packet", "",
           "destination.ip:ip destination.is_public:bool destination.port:int device.ifname:string "
           "filter:string!single l3_protocol:int l4_protocol:int network_direction:int size:int source.ip:ip "
           "source.is_public:bool source.port:int tls.version:int type:int",
           "a tracer does not see packets"),
    _Event("network_flow_monitor", "network_flow_monitor.flows=flows", "device.ifname:string",
           "a tracer does not see packets"),
    _Event("ondemand", "",
           "arg1.str:string arg1.uint:int arg2.str:string arg2.uint:int arg3.str:string arg3.uint:int arg4.str:string "
           "arg4.uint:int arg5.str:string arg5.uint:int arg6.str:string arg6.uint:int name:string!single"),
)


def _own_row(name: str, call: OwnCall) -> _Event:
    """The row of an event that SECL does not have."""
    places = [(field, f"@e.values[{field.name!r}]") for field in call.fields]
    families = [f"{name}.{field.name}={field.kind}{access}" for field, access in places
                if field.kind in ("file", "lineage")]
    own = [f"{field.name}:{field.kind}{access}" for field, access in places if field.kind in ("int", "string")]
    return _Event(name, " ".join(families), " ".join(own + ["retval:int@e.retval"]), _SEEN, call.late, True)


_OWN_EVENTS = tuple(_own_row(name, call) for name, call in OWN_CALLS.items())

# The common families, as a pseudo event without a name.
_COMMON = (
    _Event("", "process=lineage@e.process",
           "event.async:bool@False event.hostname:string@HOSTNAME event.origin:string@'ebpfless' "
           "event.os:string@'linux' event.rule.tags:string[]@rule_tags event.service:string@service(e.process) "
           "event.source:string@'runtime' event.timestamp:int@e.time", _SEEN),
    _Event("", "",
           "network.destination.ip:ip!network@e.destination.ip "
           "network.destination.is_public:bool!network@e.destination.is_public "
           "network.destination.port:int!network@e.destination.port network.device.ifname:string!network?packet "
           "network.l3_protocol:int!network@e.l3_protocol network.l4_protocol:int!network@e.l4_protocol "
           "network.network_direction:int!network@e.direction network.size:int!network@e.size "
           "network.source.ip:ip!network@e.source.ip network.source.is_public:bool!network@e.source.is_public "
           "network.source.port:int!network@e.source.port network.type:int!network?packet", _SEEN),
)

# Events that exist without fields of their own, so no rule can name them.

EVENT_TYPES = frozenset(event.name for event in _EVENTS + _OWN_EVENTS)


def _expand(event: _Event) -> Iterator[Field]:
    prefix = event.name + "." if event.name else ""
    late = frozenset(event.late.split()) | {"retval"}
    ours = frozenset(["ours"] if event.ours else [])
    for field in _fields(event):
        is_late = event.name and _is_late(field.name[len(prefix):], late)
        yield field._replace(flags=field.flags | ours | ({"late"} if is_late else frozenset()))


def _is_late(name: str, late: FrozenSet[str]) -> bool:
    """Whether one of the words of an event's `late` means the field of this name below the event."""
    if name in late or "*" in late:
        return True
    words = name.split(".")
    splits = [(".".join(words[:count]), ".".join(words[count:])) for count in range(1, len(words))]
    return any(head + ".*" in late or head + ".+" in late and tail in _ATTRIBUTES for head, tail in splits)


def _fields(event: _Event) -> Iterator[Field]:
    prefix = event.name + "." if event.name else ""
    for word in event.families.split():
        place, _, family = word.partition("=")
        family, _, access = family.partition("@")
        yield from _family(event, place, family, access)
    for word in event.own.split():
        name, _, access = word.partition("@")
        name, _, unread = name.partition("?")
        name, _, flags = name.partition("!")
        name, _, kind = name.partition(":")
        yield Field(prefix + name, kind, event.name, access, frozenset(flags.split()),
                    _reason(event) or (_UNREAD[unread] if unread else ""))


def _reason(event: _Event) -> str:
    return f"event {event.name}: {event.why}" if event.why and event.name else event.why


def _family(event: _Event, place: str, family: str, access: str) -> Iterator[Field]:
    if family == "lineage":
        yield from _process(event, place, access)
        yield from _process(event, place + ".parent", access and f"({access}.parent or NOBODY)")
        many = access + ".ancestors" if access else "()"
        yield from _array(event, place + ".ancestors", list(_process(event, "", "{}")), many)
    elif family == "flows":
        yield from _array(event, place, list(_records(event, "", _FLOW, "")), "()")
    elif family == "process":
        yield from _process(event, place, access)
    else:
        yield from _records(event, place, _FILE if family == "file" else _METADATA, access)


def _process(event: _Event, place: str, access: str) -> Iterator[Field]:
    prefix = place + "." if place else ""
    yield from _records(event, place, _PROCESS, access)
    executable = _records(event, prefix + "file", _FILE, access and access + ".file")
    for field in executable:
        links = place in ("exec", "process") and field.name.endswith((".path", ".name")) and "package" not in field.name
        yield field._replace(flags=field.flags | {"spellings"}) if links else field
    yield from _records(event, prefix + "interpreter.file", _FILE, access and access + ".interpreter")


def _records(event: _Event, place: str, rows: Tuple[_Row, ...], access: str) -> Iterator[Field]:
    prefix = place + "." if place else ""
    for row in rows:
        # The acting thread is the event's; a record only knows its first one.
        source = "e.tid" if row.name == "tid" and access == "e.process" else row.access.replace("{}", access)
        yield Field(prefix + row.name, row.kind, event.name, source, frozenset(row.flags.split()),
                    _reason(event) or row.why)


def _array(event: _Event, place: str, members: List[Field], many: str) -> Iterator[Field]:
    """Fields of the records of an iterable, as arrays and for use with a register; `many` is the access to them."""
    yield Field(place + ".length", "int", event.name, f"len({many})", frozenset(), _reason(event))
    for field in members:
        element = field.access
        source = (f"(v for r in {many} for v in {element.replace('{}', 'r')})" if field.kind.endswith("[]")
                  else f"({element.replace('{}', 'r')} for r in {many})")
        kind = field.kind if field.kind.endswith("[]") else field.kind + "[]"
        yield Field(f"{place}.{field.name}", kind, event.name, source, field.flags, field.unavailable,
                    place, element, field.kind)


_ITERABLES = ("process.ancestors", "ptrace.tracee.ancestors", "signal.target.ancestors", "setrlimit.target.ancestors",
              "network_flow_monitor.flows") + tuple(
                  f"{name}.{field.name}.ancestors" for name, call in OWN_CALLS.items() for field in call.fields
                  if field.kind == "lineage")

# Events whose file had the old names EVENT.filename and EVENT.basename.
_OLD_FILE_NAMES = ("chmod chown exec mkdir open process process.ancestors removexattr rmdir setxattr unlink "
                   "utimes").split()
_OLD_NAMES = (
    "async=event.async chmod.mode=chmod.file.destination.mode chown.gid=chown.file.destination.gid "
    "chown.group=chown.file.destination.group chown.uid=chown.file.destination.uid "
    "chown.user=chown.file.destination.user exec.name=exec.comm exec.overlay_numlower=exec.file.overlay_numlower "
    "link.source.basename=link.file.name link.source.filename=link.file.path "
    "link.target.basename=link.file.destination.name link.target.filename=link.file.destination.path "
    "mkdir.mode=mkdir.file.destination.mode open.mode=open.file.destination.mode "
    "process.ancestors.name=process.ancestors.comm process.name=process.comm "
    "removexattr.name=removexattr.file.destination.name removexattr.namespace=removexattr.file.destination.namespace "
    "rename.new.basename=rename.file.destination.name rename.new.filename=rename.file.destination.path "
    "rename.old.basename=rename.file.name rename.old.filename=rename.file.path "
    "setxattr.name=setxattr.file.destination.name setxattr.namespace=setxattr.file.destination.namespace "
    "cgroup.file.inode=process.cgroup.file.inode cgroup.file.mount_id=process.cgroup.file.mount_id "
    "cgroup.id=process.cgroup.id cgroup.version=process.cgroup.version container.id=process.container.id "
    "container.created_at=process.container.created_at container.tags=process.container.tags")


def _aliases() -> Dict[str, str]:
    found = {}
    for event in _OLD_FILE_NAMES:
        found[event + ".filename"] = event + ".file.path"
        found[event + ".basename"] = event + ".file.name"
    for word in _OLD_NAMES.split():
        old, _, name = word.partition("=")
        found[old] = name
    return found


def byte_size(text: str) -> int:
    """Number of bytes of a text that came from the kernel."""
    return len(text.encode("utf-8", "surrogateescape"))


def service_of(process: Process) -> str:
    """The value of DD_SERVICE in the environment, "" without it."""
    for entry in process.envp:
        if entry.startswith("DD_SERVICE="):
            return entry[len("DD_SERVICE="):]
    return ""


def field_table() -> FieldTable:
    """The table of SECL over the events of events/model.py."""
    fields = {}
    for event in _COMMON + _EVENTS + _OWN_EVENTS:
        for field in _expand(event):
            fields[field.name] = field
    names: Dict[str, object] = {"NOBODY": Process(Users(), 0, 0), "HOSTNAME": os.uname().nodename,
                                "size": byte_size, "service": service_of, "hasher": Hasher()}
    iterables = {name: fields[name + ".length"].access[len("len("):-1] for name in _ITERABLES}
    return FieldTable(fields, _aliases(), iterables, names)
