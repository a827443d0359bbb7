"""Seccomp filters: classic BPF over `struct seccomp_data` (Documentation/userspace-api/seccomp_filter.rst)."""

import ctypes
import errno
import struct
import sys
from typing import Dict, FrozenSet, List, Sequence, Tuple

from ebpfless_arch.kernel.libc import failure, function
from ebpfless_arch.named import NamedTuple

RET_ALLOW = 0x7FFF0000
RET_TRACE = 0x7FF00000
RET_USER_NOTIF = 0x7FC00000

# The filter's data, for whoever reads its answers: the index of the block that matched, or FOREIGN for an architecture
# or a number range that no block covers. The tracer does not go by it: a program can forge it (tracer/stops.py).
FOREIGN = 0xFFFF

_LOAD, _JUMP, _JUMP_EQUAL, _JUMP_GREATER_EQUAL, _JUMP_SET, _RETURN = 0x20, 0x05, 0x15, 0x35, 0x45, 0x06
_OFFSET_NUMBER, _OFFSET_ARCH, _OFFSET_ARGUMENTS = 0, 4, 16
_LOW_HALF = 0 if sys.byteorder == "little" else 4
_ALLOW = (_RETURN, 0, 0, RET_ALLOW)
_LEAF_AT_MOST = 3
_SKIP_AT_MOST = 255
_WORD = 0xFFFFFFFFFFFFFFFF

_PR_SET_NO_NEW_PRIVS = 38
_PR_SET_SECCOMP = 22
_MODE_FILTER = 2

_ADVICE = {
    errno.EINVAL: "this kernel has no seccomp filters (Linux 3.5): use --disable-seccomp",
    errno.EACCES: "a filter needs CAP_SYS_ADMIN or NO_NEW_PRIVS",
}

_prctl = function("prctl", ctypes.c_int, ctypes.c_ulong, ctypes.c_void_p, ctypes.c_ulong, ctypes.c_ulong)

Instruction = Tuple[int, int, int, int]


class Condition(NamedTuple):
    """A test of one argument of a call (an int: its low 32 bits count): it is one of `values`; or, without those,
    it has one of these `bits`, with `absent` none of them; or it is a length from `least` to `most` (all 64 bits count;
    most: below 2 ** 32 - 1, 0 for no bound). With nothing given, it is not NULL (all 64 bits count)."""

    argument: int
    bits: int = 0
    absent: bool = False
    values: Tuple[int, ...] = ()
    least: int = 0
    most: int = 0

    def holds(self, arguments: Sequence[int]) -> bool:
        """What the filter would say to these arguments."""
        value = arguments[self.argument]
        if self.values:
            return value & 0xFFFFFFFF in self.values
        if self.bits:
            return bool(value & self.bits) != self.absent
        if self.least or self.most:
            return self.least <= value & _WORD and (not self.most or value & _WORD <= self.most)
        return value != 0


class Match(NamedTuple):
    """Stop at call `number` when all conditions hold. One number may have several matches; one of them is enough."""

    number: int
    conditions: Tuple[Condition, ...] = ()


class Block(NamedTuple):
    """The calls to stop at for one audit architecture: matches, and numbers that are not `known` (if some are named).
    Numbers from `ceiling` on are foreign."""

    audit_arch: int
    ceiling: int
    matches: Sequence[Match]
    known: FrozenSet[int] = frozenset()


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


def for_listener(program: bytes) -> bytes:
    """A compiled filter that asks a listener where this one asks the tracer (seccomp_unotify(2), Linux 5.0)."""
    found = []
    for code, yes, no, value in struct.iter_unpack("=HBBI", program):
        asks = code == _RETURN and value & 0xFFFF0000 == RET_TRACE
        found.append(struct.pack("=HBBI", code, yes, no, RET_USER_NOTIF if asks else value))
    return b"".join(found)


def _compile_block(block: Block, index: int) -> List[Instruction]:
    groups: Dict[int, List[Match]] = {}
    for match in block.matches:
        groups.setdefault(match.number, []).append(match)
    stop = (_RETURN, 0, 0, RET_TRACE | index)
    head: List[Instruction] = [(_LOAD, 0, 0, _OFFSET_NUMBER), (_JUMP_GREATER_EQUAL, 0, 1, block.ceiling),
                               (_RETURN, 0, 0, RET_TRACE | FOREIGN)]
    spans = [(number, _one_number(number, matches, stop)) for number, matches in groups.items()]
    spans += [(first, _numbers(first, last, stop)) for first, last in _gaps(block.known, block.ceiling) if block.known]
    return head + _tree(sorted(spans))


def _gaps(known: FrozenSet[int], ceiling: int) -> List[Tuple[int, int]]:
    """Runs of numbers below the ceiling, first and last, of which none is known."""
    bounds = [-1] + sorted(known) + [ceiling]
    return [(low + 1, high - 1) for low, high in zip(bounds, bounds[1:]) if high - low > 1]


def _one_number(number: int, matches: Sequence[Match], stop: Instruction) -> List[Instruction]:
    decision = _decision(matches, stop)
    if len(decision) > _SKIP_AT_MOST:
        return [(_JUMP_EQUAL, 1, 0, number), (_JUMP, 0, 0, len(decision))] + decision
    return [(_JUMP_EQUAL, 0, len(decision), number)] + decision


def _numbers(first: int, last: int, stop: Instruction) -> List[Instruction]:
    return [(_JUMP_GREATER_EQUAL, 0, 2, first), (_JUMP_GREATER_EQUAL, 1, 0, last + 1), stop]


def _tree(spans: Sequence[Tuple[int, List[Instruction]]]) -> List[Instruction]:
    """A search tree over call numbers: every call pays for the filter, so it has to be short for each."""
    if len(spans) > _LEAF_AT_MOST:
        middle = len(spans) // 2
        low, high = _tree(spans[:middle]), _tree(spans[middle:])
        return [(_JUMP_GREATER_EQUAL, 0, 1, spans[middle][0]), (_JUMP, 0, 0, len(low))] + low + high
    return [instruction for _, body in spans for instruction in body] + [_ALLOW]


def _decision(matches: Sequence[Match], stop: Instruction) -> List[Instruction]:
    """What becomes of one call: instructions that end in a return whatever happens."""
    if any(not match.conditions for match in matches):
        return [stop]
    body: List[Instruction] = []
    for match in matches:
        tests = [stop]
        for condition in reversed(match.conditions):
            tests = _test(condition, len(tests)) + tests
        body += tests
    return body + [_ALLOW]


def _test(condition: Condition, skip: int) -> List[Instruction]:
    """Fall through when the condition holds, else jump over `skip` instructions."""
    low = _OFFSET_ARGUMENTS + 8 * condition.argument + _LOW_HALF
    high = _OFFSET_ARGUMENTS + 8 * condition.argument + 4 - _LOW_HALF
    if condition.values:
        last = len(condition.values) - 1
        return [(_LOAD, 0, 0, low)] + [(_JUMP_EQUAL, last - place, 0 if place < last else skip, value)
                                       for place, value in enumerate(condition.values)]
    if condition.bits:
        jumps = (skip, 0) if condition.absent else (0, skip)
        return [(_LOAD, 0, 0, low), (_JUMP_SET, jumps[0], jumps[1], condition.bits)]
    if condition.most:
        return [(_LOAD, 0, 0, high), (_JUMP_SET, skip + 3, 0, 0xFFFFFFFF), (_LOAD, 0, 0, low),
                (_JUMP_GREATER_EQUAL, 0, skip + 1, condition.least),
                (_JUMP_GREATER_EQUAL, skip, 0, condition.most + 1)]
    if condition.least:
        return [(_LOAD, 0, 0, high), (_JUMP_SET, 2, 0, 0xFFFFFFFF), (_LOAD, 0, 0, low),
                (_JUMP_GREATER_EQUAL, 0, skip, condition.least)]
    return [(_LOAD, 0, 0, low), (_JUMP_SET, 2, 0, 0xFFFFFFFF), (_LOAD, 0, 0, high), (_JUMP_SET, 0, skip, 0xFFFFFFFF)]


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


def install(program: bytes) -> bool:
    """Install a filter, with NO_NEW_PRIVS only where the kernel insists on it; returns whether it did.

    Without NO_NEW_PRIVS setuid programs keep working, but that needs CAP_SYS_ADMIN (seccomp(2)).
    """
    try:
        load_filter(program)
        return False
    except OSError as error:
        if error.errno != errno.EACCES:
            raise
    set_no_new_privs()
    load_filter(program)
    return True
