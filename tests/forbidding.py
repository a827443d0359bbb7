"""Forbids system calls, as the seccomp profile of a container does."""

import errno
import os
import struct
from typing import Callable, Sequence

from ebpfless_arch.abi import MACHINES
from ebpfless_arch.kernel import seccomp

_LOAD, _JUMP_EQUAL, _RETURN = 0x20, 0x15, 0x06
_RET_ERRNO = 0x00050000
_NUMBERS = MACHINES[os.uname().machine][0].syscalls


def forbid(names: Sequence[str], code: int = errno.EPERM) -> None:
    """Makes calls of this process and all that it starts fail with an errno from now on."""
    program = [(_LOAD, 0, 0, 0)]
    for name in names:
        program += [(_JUMP_EQUAL, 0, 1, _NUMBERS[name]), (_RETURN, 0, 0, _RET_ERRNO | code)]
    program.append((_RETURN, 0, 0, seccomp.RET_ALLOW))
    seccomp.install(b"".join(struct.pack("=HBBI", *instruction) for instruction in program))


def forbidding(names: Sequence[str], code: int = errno.EPERM) -> Callable[[], None]:
    """The same as the `preexec_fn` of a process."""
    return lambda: forbid(names, code)
