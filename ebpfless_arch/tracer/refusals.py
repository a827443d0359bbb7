"""Why a process cannot be attached to, in a line for whoever asked for it."""

import errno
import os
from typing import Mapping, Optional

from ebpfless_arch.events.records import decoded
from ebpfless_arch.events.text_parts import printable
from ebpfless_arch.kernel import procfs, walls

_DESPITE_CAPABILITY = (
    "we have CAP_SYS_PTRACE, but the kernel refuses this one (EPERM): it is of a user namespace outside of "
    "ours, where our capabilities do not count, or a security module (AppArmor, SELinux) protects it%s")
_WITHOUT_CAPABILITY = "the kernel refuses this one (EPERM), which may have groups or capabilities that we lack; "
_KERNEL_THREAD = 0x00200000  # PF_KTHREAD (include/linux/sched.h)


def why_not(pid: int, keeper: int, birth: Optional[int] = None) -> str:
    """What is wrong with a process, as far as /proc shows it; raises OSError where it is gone. `birth` as in take() of attached.py."""
    if pid in (os.getpid(), keeper):
        return "process %d is ebpfless itself" % pid
    try:
        told, table = procfs.stat(pid), procfs.status(pid)
    except ProcessLookupError:
        return "there is no process %d" % pid
    if birth is not None and told.start != birth:
        return "process %d has ended, and another one has its number now" % pid if birth else "there was no process %d" % pid
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
    """Why the kernel refuses a process while it lets us trace children of our own, and how to mend that."""
    try:
        if error.errno == errno.EPERM:
            return _why_not_permitted(pid)
    except OSError:
        pass  # it is gone, and nothing more can be found out
    return str(error.strerror)


def _why_not_permitted(pid: int) -> str:
    """What stands in the way, as ptrace(2) has it under "Ptrace access mode checking"; raises OSError."""
    table, around, ours = procfs.status(pid), walls.look(), os.getuid()
    owner, *others = map(int, table[b"Uid"].split()[:3])
    if "CAP_SYS_PTRACE" in around.capabilities:
        return _DESPITE_CAPABILITY % ("; AppArmor's profile %s is on us" % around.apparmor if around.apparmor else "")
    mend = "run ebpfless as root" if ours else "give it CAP_SYS_PTRACE (docker run --cap-add SYS_PTRACE)"
    if owner != ours and ours:
        return "it belongs to user %d, and we are user %d; %s or as that user" % (owner, ours, mend)
    if ours and others != [ours, ours]:
        return "it has the rights of user %d besides ours, as set-user-ID programs have; %s" % (max(others, key=ours.__ne__), mend)
    if not _is_dumpable(pid, table):
        return "it has made itself undumpable, or runs a program that it may not read; " + mend
    if around.yama > 0:
        return ("the kernel lets a process trace its own descendants only (kernel.yama.ptrace_scope=%d); %s, or set that to 0 "
                "(sysctl)" % (around.yama, mend))
    return _WITHOUT_CAPABILITY + mend


def _is_dumpable(pid: int, table: Mapping[bytes, bytes]) -> bool:
    """Whether its files below /proc are its own: an undumpable one's are root's (proc(5)), which says nothing of root's own."""
    return os.stat("/proc/%d/status" % pid).st_uid == int(table[b"Uid"].split()[1])


def _name(pid: int) -> str:
    try:
        return _readable(procfs.stat(pid).comm)
    except OSError:
        return "gone"


def _readable(name: bytes) -> str:
    return printable(decoded(name))
