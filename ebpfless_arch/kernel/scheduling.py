"""Who runs before whom (sched(7))."""

import ctypes
import errno
import os

from ebpfless_arch.kernel.libc import failure, function

# sched_setscheduler of amd64 and arm64
_NUMBERS = {"x86_64": 144, "aarch64": 119}

_syscall = function("syscall", ctypes.c_long, ctypes.c_long, ctypes.c_long, ctypes.c_void_p)


def set_policy(pid: int, policy: int, priority: int) -> None:
    """Give a process (0: this one) a policy and its priority; raises OSError."""
    try:
        os.sched_setscheduler(pid, policy, os.sched_param(priority))
    except OSError as error:
        # musl's function does nothing but fail so, as what POSIX asks of it is not what the kernel does.
        if error.errno != errno.ENOSYS:
            raise
        _ask(pid, policy, priority)


def _ask(pid: int, policy: int, priority: int) -> None:
    parameter = ctypes.c_int(priority)
    if _syscall(_NUMBERS[os.uname().machine], pid, policy, ctypes.addressof(parameter)) < 0:
        raise failure("sched_setscheduler", {})
