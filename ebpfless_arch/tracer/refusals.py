"""Why a process cannot be attached to, in a line for whoever asked for it."""

import errno
import os

from ebpfless_arch.events.records import decoded
from ebpfless_arch.events.text_parts import printable
from ebpfless_arch.kernel import procfs, walls

_KERNEL_THREAD = 0x00200000  # PF_KTHREAD (include/linux/sched.h)


def why_not(pid: int, keeper: int) -> str:
    """What is wrong with a process, as far as /proc shows it; raises OSError where it is gone."""
    if pid in (os.getpid(), keeper):
        return "process %d is ebpfless itself" % pid
    try:
        told, table = procfs.stat(pid), procfs.status(pid)
    except ProcessLookupError:
        return "there is no process %d" % pid
    leader, tracer = int(table[b"Tgid"]), int(table[b"TracerPid"])
    if leader != pid:
        return "%d is a thread of process %d; name that one" % (pid, leader)
    if told.flags & _KERNEL_THREAD:
        return "process %d is a thread of the kernel (%s), which cannot be traced" % (pid, _readable(told.comm))
    if procfs.has_ended_for_good(pid):
        return "process %d has ended; its parent, process %d, has not waited for it yet (a zombie)" % (pid, told.ppid)
    if tracer:
        return "process %d is traced already, by process %d (%s)" % (pid, tracer, _name(tracer))
    return ""


def advice(pid: int, error: OSError) -> str:
    """Why the kernel refuses, and how to mend that."""
    if error.errno != errno.EPERM:
        return str(error.strerror)
    table = procfs.status(pid)
    owner, ours = int(table[b"Uid"].split()[0]), os.getuid()
    if owner != ours and ours:
        return "it belongs to user %d, and we are user %d; run ebpfless as root or as that user" % (owner, ours)
    yama = walls.look().yama
    if ours and yama > 0:
        return ("the kernel lets a process trace its own descendants only (kernel.yama.ptrace_scope=%d); run ebpfless as "
                "root, or set that to 0 (sysctl)" % yama)
    return str(error.strerror)


def _name(pid: int) -> str:
    try:
        return _readable(procfs.stat(pid).comm)
    except OSError:
        return "gone"


def _readable(name: bytes) -> str:
    return printable(decoded(name))
