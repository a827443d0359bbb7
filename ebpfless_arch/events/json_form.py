"""Events as JSON objects in the shape of Datadog's workload-protection messages (backend_linux.schema.json).

What their schema has no place for (the result, our sequence number, that a
program's file was deleted) is in `evt.variables`, which the schema leaves open. Values of environment variables
are never part of it.
"""

import errno
import json
import time
from typing import Any, Callable, Dict, List, Optional

from ebpfless_arch.events import flags
from ebpfless_arch.events.model import BlindSpotEvent, Event, ExecEvent, ExitEvent, File, OpenEvent, Process

Json = Dict[str, Any]

CATEGORIES = {"exec": "Process Activity", "fork": "Process Activity", "exit": "Process Activity",
              "open": "File Activity", "blind_spot": "Agent Activity"}
CAUSES = ("EXITED", "CORE_DUMPED", "SIGNALED")

# Bit numbers of capabilities(7).
CAPABILITIES = (
    "CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE NET_BIND_SERVICE "
    "NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT SYS_PTRACE SYS_PACCT "
    "SYS_ADMIN SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL SETFCAP "
    "MAC_OVERRIDE MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ PERFMON BPF CHECKPOINT_RESTORE").split()


def timestamp(nanoseconds: int) -> str:
    """RFC 3339 in UTC with microseconds."""
    seconds, rest = divmod(nanoseconds, 10 ** 9)
    return "%s.%06dZ" % (time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)), rest // 1000)


def outcome(retval: int) -> str:
    """Success, Refused (no permission) or Error."""
    if retval >= 0:
        return "Success"
    return "Refused" if retval in (-errno.EACCES, -errno.EPERM) else "Error"


def error_name(retval: int) -> str:
    """Name of a negative result's errno, "" for results that are none."""
    return errno.errorcode.get(-retval, "errno %d" % -retval) if retval < 0 else ""


def file_json(file: File) -> Json:
    """A file; attributes only where they are known."""
    form: Json = {"path": file.path, "name": file.name, "uid": file.uid, "gid": file.gid}
    if file.inode:
        form.update(inode=file.inode, mode=file.mode, user=file.user, group=file.group,
                    modification_time=timestamp(file.modification_time), change_time=timestamp(file.change_time))
    if file.error:
        form["path_resolution_error"] = file.error
    if file.hash_state:
        form.update(hashes=list(file.hashes), hash_state=file.hash_state)
    return form


def credentials_json(process: Process) -> Json:
    """Identity of a process with its names."""
    known = process.credentials
    return {"uid": known.uid, "user": process.user, "gid": known.gid, "group": process.group,
            "euid": known.euid, "euser": process.euser, "egid": known.egid, "egroup": process.egroup,
            "fsuid": known.fsuid, "fsuser": process.fsuser, "fsgid": known.fsgid, "fsgroup": process.fsgroup,
            "auid": known.auid, "cap_effective": capability_names(known.cap_effective),
            "cap_permitted": capability_names(known.cap_permitted)}


def capability_names(mask: int) -> List[str]:
    """Names of the capabilities in a bit mask."""
    return ["CAP_" + name for bit, name in enumerate(CAPABILITIES) if mask >> bit & 1]


def process_json(process: Process) -> Json:
    """One record of a process in full, without its lineage."""
    form = ancestor_json(process)
    form.update(credentials=credentials_json(process), envs=process.envs, envs_truncated=process.envs_truncated)
    return form


def ancestor_json(process: Process) -> Json:
    """One record of a process without what a reader of a lineage does not need."""
    form: Json = {"pid": process.pid, "ppid": process.ppid, "tid": process.tid,
                  "uid": process.credentials.uid, "gid": process.credentials.gid,
                  "user": process.user, "group": process.group, "comm": process.comm, "tty": process.tty_name,
                  "executable": file_json(process.file),
                  "argv0": process.argv0, "args": process.argv, "args_truncated": process.args_truncated,
                  "is_thread": process.is_thread}
    if process.interpreter.name:
        form["interpreter"] = file_json(process.interpreter)
    if process.container.id:
        form["container"] = {"id": process.container.id}
    if process.cgroup:
        form["cgroup"] = {"id": process.cgroup}
    for name in ("fork_time", "exec_time", "exit_time"):
        moment = getattr(process, name)
        if moment:
            form[name] = timestamp(moment)
    return form


def lineage_json(process: Process) -> Json:
    """A process with its ancestors."""
    form = process_json(process)
    ancestors = [ancestor_json(record) for record in process.ancestors]
    if ancestors:
        form["parent"] = ancestors[0]
        form["ancestors"] = ancestors
    return form


def lineage_text(event: Event) -> str:
    """The process of an event as JSON text; `tid` is the thread that acted. Written once a record: a program
    that does much does not change."""
    process = event.process
    if process.memo is None:
        form = lineage_json(process)
        del form["tid"]
        process.memo = json.dumps(form, separators=(",", ":"))[1:]
    return '{"tid":%d,%s' % (event.tid, process.memo)


def _exec_json(event: Event, form: Json) -> None:
    assert isinstance(event, ExecEvent)
    form["file"] = file_json(event.process.file)
    form["syscall"] = {"exec": {"path": event.syscall_path}}


def _open_json(event: Event, form: Json) -> None:
    assert isinstance(event, OpenEvent)
    form["file"] = file_json(event.file)
    form["file"]["flags"] = flags.open_flag_names(event.flags)
    form["syscall"] = {"open": {"path": event.syscall_path, "flags": event.flags & 0xFFFFFFFF, "mode": event.mode}}


def _exit_json(event: Event, form: Json) -> None:
    assert isinstance(event, ExitEvent)
    form["exit"] = {"cause": CAUSES[event.cause], "code": event.code}


def _blind_spot_json(event: Event, form: Json) -> None:
    assert isinstance(event, BlindSpotEvent)
    form["evt"]["variables"]["reason"] = event.reason


_PARTS: Dict[str, Callable[[Event, Json], None]] = {
    "exec": _exec_json, "open": _open_json, "exit": _exit_json, "blind_spot": _blind_spot_json,
}


def event_text(event: Event, title: str, agent: Json, sequence: int, tags: Optional[List[str]],
               variables: Optional[Json] = None) -> str:
    """The message of an event as one line of JSON; `agent` describes us and, for a detection, the rule.

    `variables` are those of rules, by name with their scope.
    """
    form = _event_json(event, title, agent, sequence)
    form["evt"]["variables"] = dict(variables or {}, **form["evt"]["variables"])
    if tags is not None:
        form["tags"] = tags
    return '%s,"process":%s}' % (json.dumps(form, separators=(",", ":"))[:-1], lineage_text(event))


def _event_json(event: Event, title: str, agent: Json, sequence: int) -> Json:
    variables: Json = {"sequence": sequence}
    if event.type in ("exec", "open"):
        variables["retval"] = event.retval
    form: Json = {"agent": agent, "title": title, "date": timestamp(event.time),
                  "evt": {"name": event.type, "category": CATEGORIES[event.type], "outcome": outcome(event.retval),
                          "variables": variables}}
    if event.process.file.deleted:
        variables["executable_deleted"] = True
    part: Optional[Callable[[Event, Json], None]] = _PARTS.get(event.type)
    if part is not None:
        part(event, form)
    if event.process.container.id:
        form["container"] = {"id": event.process.container.id}
    return form
