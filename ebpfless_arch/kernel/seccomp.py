"""Seccomp filters: classic BPF over `struct seccomp_data` (Documentation/userspace-api/seccomp_filter.rst)."""

import ctypes
import errno
import struct
from typing import List, NamedTuple, Optional, Sequence, Tuple

from ebpfless_arch.kernel.libc import failure, function

RET_ALLOW = 0x7FFF0000
RET_TRACE = 0x7FF00000

# The filter's data, which the tracer gets with the stop, says by which ABI the call came: the index of the block,
# or FOREIGN for an architecture or a number range that no block covers.
FOREIGN = 0xFFFF

_LOAD, _JUMP, _JUMP_EQUAL, _JUMP_GREATER_EQUAL, _JUMP_SET, _RETURN = 0x20, 0x05, 0x15, 0x35, 0x45, 0x06
_OFFSET_NUMBER, _OFFSET_ARCH, _OFFSET_ARGUMENTS = 0, 4, 16

_PR_SET_NO_NEW_PRIVS = 38
_PR_SET_SECCOMP = 22
_MODE_FILTER = 2

_ADVICE = {
    errno.EINVAL: "this kernel has no seccomp filters (Linux 3.5): use --disable-seccomp",
    errno.EACCES: "a filter needs CAP_SYS_ADMIN or NO_NEW_PRIVS",
}

_prctl = function("prctl", ctypes.c_int, ctypes.c_ulong, ctypes.c_void_p, ctypes.c_ulong, ctypes.c_ulong)

Instruction = Tuple[int, int, int, int]


class Match(NamedTuple):
    """Stop at call `number`; with `mask`, only when argument `argument` has one of these bits (low 32)."""

    number: int
    argument: int = 0
    mask: int = 0


class Block(NamedTuple):
    """The calls to stop at for one audit architecture; numbers from `ceiling` on are foreign."""

    audit_arch: int
    ceiling: int
    matches: Sequence[Match]


def compile_filter(blocks: Sequence[Block]) -> bytes:
    """The filter as an array of `struct sock_filter`: TRACE for what the blocks name, else ALLOW."""
    program: List[Instruction] = [(_LOAD, 0, 0, _OFFSET_ARCH)]
    for index, block in enumerate(blocks):
        body = _compile_block(block, index)
        program.append((_JUMP_EQUAL, 1, 0, block.audit_arch))
        program.append((_JUMP, 0, 0, len(body)))
        program.extend(body)
    program.append((_RETURN, 0, 0, RET_TRACE | FOREIGN))
    return b"".join(struct.pack("=HBBI", *instruction) for instruction in program)


def _compile_block(block: Block, index: int) -> List[Instruction]:
    stop = (_RETURN, 0, 0, RET_TRACE | index)
    allow = (_RETURN, 0, 0, RET_ALLOW)
    body: List[Instruction] = [(_LOAD, 0, 0, _OFFSET_NUMBER),
                               (_JUMP_GREATER_EQUAL, 0, 1, block.ceiling),
                               (_RETURN, 0, 0, RET_TRACE | FOREIGN)]
    for match in block.matches:
        if not match.mask:
            body += [(_JUMP_EQUAL, 0, 1, match.number), stop]
        else:
            body += [(_JUMP_EQUAL, 0, 4, match.number),
                     (_LOAD, 0, 0, _OFFSET_ARGUMENTS + 8 * match.argument),
                     (_JUMP_SET, 0, 1, match.mask), stop, allow]
    return body + [allow]


def set_no_new_privs() -> None:
    """Give up gaining privileges by exec, for good (PR_SET_NO_NEW_PRIVS, Linux 3.5); raises OSError."""
    if _prctl(_PR_SET_NO_NEW_PRIVS, 1, None, 0, 0) != 0:
        raise failure("prctl(NO_NEW_PRIVS)", _ADVICE)


def load_filter(program: bytes) -> None:
    """Install a compiled filter for this thread and all that it starts; raises OSError."""
    code = ctypes.create_string_buffer(program, len(program))

    class _Program(ctypes.Structure):
        _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_void_p)]

    description = _Program(len(program) // 8, ctypes.addressof(code))
    if _prctl(_PR_SET_SECCOMP, _MODE_FILTER, ctypes.addressof(description), 0, 0) != 0:
        raise failure("prctl(SECCOMP)", _ADVICE)


def install(program: bytes, no_new_privs: Optional[bool] = None) -> bool:
    """Install a filter, with NO_NEW_PRIVS only where the kernel insists on it; returns whether it did.

    Without NO_NEW_PRIVS setuid programs keep working, but that needs CAP_SYS_ADMIN (seccomp(2)).
    """
    if not no_new_privs:
        try:
            load_filter(program)
            return False
        except OSError as error:
            if error.errno != errno.EACCES or no_new_privs is False:
                raise
    set_no_new_privs()
    load_filter(program)
    return True
