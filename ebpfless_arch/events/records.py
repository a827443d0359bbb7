"""Records: what the tracer writes down about a stop, as plain tuples that marshal can carry to the keeper.

Every record is (kind, time, pid, tid, ...): time in ns since the epoch, pid the
process, tid the thread. Strings are bytes as the kernel gave them. What
follows depends on the kind:

    FORK   ppid
    EXEC   retval, path, argument, argv, argv_cut, envp, envp_cut, file, interpreter_path, interpreter,
           identity, comm, tty, start (clock ticks since boot), cgroup, raced
           (identity: 9 ints as events.model.Credentials; the rest after envp_cut is None or empty for a
           failed call; file and interpreter are file statuses, see kernel/statx.py; identity None: as before)
    OPEN   retval, path, argument, flags, mode, file, error, raced
           (raced: what the kernel took is not what had been read before the call)
    CALL   retval, event, values      any other call: SECL's event type and a table of what is known, by name:
           (of the events of events/own_calls.py its table tells by what names)
           file, destination          (path, file status or None, error): what the call is about, before it was made,
                                      and what it made. mount: procfs.Mount or None; detached: bool
           path, new_path, attribute, fs_type, source, name, parameters    arguments that are texts, None: unreadable
           dirfd, flags, mode, uid, gid, euid ...                          arguments that are numbers
           identity, process_identity 9 ints or None: the acting thread's after the call, and its process's
           change                     of a sender who does not know the identity: what of it becomes another, by name
           capabilities               effective and permitted set that were asked for
           family, ip, port, path, protocol, peer_port, socket (family, type, protocol), level, option, filter
           pid, signal, request, address, length, offset, protection, present, resource, limit, command,
           bpf (type, attach type, name, helpers), module, from_memory, type, backlog
           message, peer, own         of dns and imds: events/dns.Message or events/imds.Message as a plain tuple, the
                                      two ends as (ip, port); outgoing, size: which way it went, bytes looked at
           name, state, action, value, old_value, position                 of selinux and sysctl
    EXIT   cause, code
    BLIND  reason, kind, count         (kind: one of BLIND_KINDS; count: how often it happened so far)
    SNAPSHOT  ppid, born (ns since the epoch), then as EXEC from path on, cwd, descriptors: a process that ran before we
           came, from /proc; descriptors are pairs of a number and what it stands for
    LOST   count                      records that found no room
    FAULT  text                       an error inside the tracer; the tracee went on
    STATE  word, value                "started" (features), "ended" (wait status, tracees left),
                                      "failed" (text), "done", "refused" (why a process cannot be attached to),
                                      "tracer" (its pid, that of the one that stands by or 0),
                                      "ready" (who ran already is told), "missed" (how many were too short to be seen),
                                      "gap" (how many tracers were killed so far, what came of it)
    ASK    number, record             a call that waits at its entry for a verdict; the record is what it would be,
                                      were it refused with EPERM
"""

import time
from typing import Any, List, Optional, Tuple

Record = Tuple[Any, ...]

FORK, EXEC, OPEN, EXIT, BLIND, LOST, FAULT, STATE, CALL, ASK, SNAPSHOT = range(11)

STARTED, ENDED, FAILED, DONE, REFUSED, TRACER, READY, MISSED, GAP = range(9)

BLIND_KINDS = ("tracer", "lost", "abi", "call_number", "memory", "clone_untraced", "io_uring", "seccomp_listener",
               "privileges", "interest", "debugger", "tampering")
"""Why something cannot be seen: the tracer itself fails; records were lost on their way; a door into the kernel, or a
call's number, that we do not know; memory that cannot be read; a child without its tracer; calls that pass through a ring,
or are stopped by another listener before us; what a program would be allowed without us; what a probe's rules ask for and
the tracer was not started for; a thread that has another tracer; somebody who was after us."""

ARGUMENTS_AT_MOST = 256
ARGUMENT_BYTES_AT_MOST = 256

NOTED_VARIABLES = (b"LD_PRELOAD", b"LD_LIBRARY_PATH", b"PATH", b"HISTSIZE", b"HISTFILESIZE", b"GLIBC_TUNABLES")
"""Variables that change how programs run: kept first when an environment is too long, and rules see their values."""


def now() -> int:
    """Nanoseconds since the epoch (to about 200 ns: Python 3.6 has no time_ns)."""
    return int(time.time() * 1e9)


def decoded(data: bytes) -> str:
    """A text of the kernel: UTF-8, whatever the locale says, and surrogate escapes for what is none."""
    return data.decode("utf-8", "surrogateescape")


def blind(time: int, pid: int, tid: int, reason: str, kind: str = "tracer", count: int = 1) -> Record:
    """A record of something that cannot be seen."""
    return (BLIND, time, pid, tid, reason, kind, count)


def shorten(words: List[bytes], cut: bool) -> Tuple[Tuple[bytes, ...], bool]:
    """At most 256 words of 256 bytes; a longer one becomes its first 252 bytes and "...\""""
    short = [word if len(word) <= ARGUMENT_BYTES_AT_MOST else word[:252] + b"..." for word in words[:ARGUMENTS_AT_MOST]]
    return tuple(short), cut or short != words


def path_of(record: Record) -> Optional[bytes]:
    """The path of the file that an EXEC, OPEN or CALL is about, None where it is about none."""
    if record[0] in (EXEC, OPEN):
        path: bytes = record[5]
        return path
    found = record[6].get("file") if record[0] == CALL else None
    return found[0] if found is not None else None
