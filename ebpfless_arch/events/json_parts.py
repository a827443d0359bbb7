"""Parts of JSON messages that many events have: moments, results, files, processes."""

import errno
import time
from typing import Any, Dict, List

from ebpfless_arch.events.model import UNKNOWN_ID, File, Process

Json = Dict[str, Any]

# Characters of the arguments of one ancestor, and of all.
_ANCESTOR_ARGUMENTS, _ANCESTORS_ARGUMENTS = 4096, 16384

CAUSES = ("EXITED", "CORE_DUMPED", "SIGNALED")
"""Why a process ended, by the numbers of model.ExitEvent."""

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
    """A file; attributes only where they are known, and -1 for the ids that the schema asks for."""
    known = file.inode != 0
    form: Json = {"path": file.path, "name": file.name, "uid": file.uid if known else UNKNOWN_ID,
                  "gid": file.gid if known else UNKNOWN_ID}
    if known:
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
    """A process with its ancestors. Their arguments stand in every event of every descendant, so there is less room for them
    than for its own."""
    form = process_json(process)
    ancestors = [ancestor_json(record) for record in process.ancestors]
    room = _ANCESTORS_ARGUMENTS
    for ancestor in ancestors:
        room -= _cut_arguments(ancestor, min(room, _ANCESTOR_ARGUMENTS))
    if ancestors:
        form["parent"] = ancestors[0]
        form["ancestors"] = ancestors
    return form


def _cut_arguments(form: Json, room: int) -> int:
    """Keep the first arguments of a process, in so many characters; how many they take."""
    words, taken = form["args"], 0
    for position, word in enumerate(words):
        if taken + len(word) > room:
            form.update(args=words[:position], args_truncated=True)
            break
        taken += len(word)
    return taken
