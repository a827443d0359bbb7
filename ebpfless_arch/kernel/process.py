"""prctl(2) and identities of this very process."""

import ctypes
import gc
import os
import sys
from typing import List, Optional

from ebpfless_arch.kernel.libc import failure, function

_PR_SET_PDEATHSIG = 1
_PR_SET_DUMPABLE = 4
_PR_SET_NAME = 15
_PR_SET_PTRACER = 0x59616D61
_PR_SET_CHILD_SUBREAPER = 36

_prctl = function("prctl", ctypes.c_int, ctypes.c_ulong, ctypes.c_void_p, ctypes.c_ulong, ctypes.c_ulong)


def interpreter() -> List[str]:
    """The words that start this Python once more. Its own file will do, unless a dynamic linker that was named as the
    command has loaded it (ld.so(8)): then that linker and its options come first."""
    program = sys.executable or "/proc/self/exe"
    try:
        if os.path.samefile(program, "/proc/self/exe"):
            return [program]
        with open("/proc/self/cmdline", "rb") as file:
            words = [os.fsdecode(word) for word in file.read().split(b"\0")]
    except OSError:
        return [program]
    return words[:words.index(program)] + [program] if program in words else [program]


def settle() -> None:
    """What has been loaded stays for good: the collector of cycles, which may have been off until now, need not look at it
    again (gc.freeze, Python 3.7)."""
    freeze = getattr(gc, "freeze", None)
    if freeze is not None:
        freeze()
    gc.enable()


def become_subreaper(truly: bool = True) -> None:
    """Orphans among the descendants become children of this process (Linux 3.4), or no longer; raises OSError."""
    if _prctl(_PR_SET_CHILD_SUBREAPER, int(truly), None, 0, 0) != 0:
        raise failure("prctl(CHILD_SUBREAPER)", {})


def be_told_of_orphanhood(number: int) -> None:
    """Get this signal when our parent dies (prctl(2), PR_SET_PDEATHSIG)."""
    _prctl(_PR_SET_PDEATHSIG, number, None, 0, 0)


def shut(truly: bool = True) -> None:
    """Let nobody of our user look into this process or trace it, or let them again (prctl(2), PR_SET_DUMPABLE): /proc/PID/mem,
    /proc/PID/fd and the like are for CAP_SYS_PTRACE then. An exec opens it; a fork leaves it as it is."""
    _prctl(_PR_SET_DUMPABLE, int(not truly), None, 0, 0)


def allow_tracer(pid: int) -> None:
    """Let a process that is no ancestor trace us where Yama asks for that (ptrace_scope 1); without Yama it is of no
    effect (prctl(2), PR_SET_PTRACER)."""
    _prctl(_PR_SET_PTRACER, pid, None, 0, 0)


def ask_to_be_spared(score: int = -900) -> bool:
    """Ask not to be the one that is killed when memory runs out (proc(5), oom_score_adj); False where that is not
    permitted: it needs CAP_SYS_RESOURCE."""
    try:
        with open("/proc/self/oom_score_adj", "w") as file:
            file.write(str(score))
    except OSError:
        return False
    return True


def is_overseen() -> bool:
    """Whether our parent looks after our process group as a shell does after its jobs: it is of the same session, and
    not of the group. The keys that stop a job have no effect on a group of which no member has such a parent (POSIX,
    "orphaned process group"). A parent outside of our process namespace cannot be asked, and is none."""
    parent = os.getppid()
    try:
        return parent > 0 and os.getsid(parent) == os.getsid(0) and os.getpgid(parent) != os.getpgrp()
    except OSError:
        return False


def leave_group(overseen: bool, group: int = 0) -> None:
    """Leave our process group for another (0: one of our own), so that our children in it stay as overseen as they
    were: a parent in the same session oversees them. Raises PermissionError for the leader of a session, and
    without `overseen` of a group."""
    if overseen:
        os.setpgid(0, group)
    else:
        os.setsid()


def set_name(name: bytes) -> None:
    """Name this thread as ps shows it, 15 bytes at most."""
    buffer = ctypes.create_string_buffer(name[:15])
    ctypes_address = ctypes.addressof(buffer)
    _prctl(_PR_SET_NAME, ctypes_address, None, 0, 0)


def change_identity(uid: Optional[int], gid: Optional[int]) -> None:
    """Become another user and group for good; raises OSError. A user who is known here has the groups of /etc/group
    besides; others have that group as the only one."""
    try:
        groups = _groups(uid, gid)
        if groups is not None:
            os.setgroups(groups)
        if gid is not None:
            os.setgid(gid)
        if uid is not None:
            os.setuid(uid)
    except PermissionError as error:
        wanted = ["%s %d" % (name, wanted) for name, wanted in (("uid", uid), ("gid", gid)) if wanted is not None]
        raise OSError(error.errno, "changing to %s: %s; --uid and --gid need root"
                      % (", ".join(wanted), os.strerror(error.errno or 0)))


def _groups(uid: Optional[int], gid: Optional[int]) -> Optional[List[int]]:
    """The supplementary groups for a change of identity, None where they stay (initgroups(3))."""
    if uid is not None and uid != os.getuid():
        # Few need it, and what looks users up (nsswitch.conf(5)) may be large.
        import pwd

        try:
            return os.getgrouplist(pwd.getpwuid(uid).pw_name, os.getgid() if gid is None else gid)
        except KeyError:
            pass
    return None if gid is None else [gid]
