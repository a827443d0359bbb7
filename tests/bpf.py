"""An interpreter for the classic BPF that seccomp filters are written in, for tests."""

import struct
from typing import List, Sequence, Tuple

LOAD, JUMP, JUMP_EQUAL, JUMP_GREATER_EQUAL, JUMP_SET, RETURN = 0x20, 0x05, 0x15, 0x35, 0x45, 0x06


def run(program: bytes, number: int, arch: int, arguments: Sequence[int] = ()) -> int:
    """What the filter answers to a call; raises AssertionError for a program that the kernel would refuse."""
    return _answer(program, number, arch, arguments)[0]


def steps(program: bytes, number: int, arch: int, arguments: Sequence[int] = ()) -> int:
    """How many instructions the filter takes for its answer."""
    return _answer(program, number, arch, arguments)[1]


def _answer(program: bytes, number: int, arch: int, arguments: Sequence[int]) -> Tuple[int, int]:
    padded = (list(arguments) + [0] * 6)[:6]
    data = struct.pack("=IIQ6Q", number & 0xFFFFFFFF, arch, 0, *[value & 0xFFFFFFFFFFFFFFFF for value in padded])
    code = [struct.unpack_from("=HBBI", program, start) for start in range(0, len(program), 8)]
    assert len(code) <= 4096
    return _steps(code, data)


def _steps(code: List[Tuple[int, int, int, int]], data: bytes) -> Tuple[int, int]:
    accumulator, position, taken = 0, 0, 0
    while True:
        taken += 1
        operation, if_true, if_false, constant = code[position]
        position += 1
        if operation == RETURN:
            return constant, taken
        if operation == LOAD:
            accumulator = struct.unpack_from("=I", data, constant)[0]
        elif operation == JUMP:
            position += constant
        else:
            holds = {JUMP_EQUAL: accumulator == constant, JUMP_GREATER_EQUAL: accumulator >= constant,
                     JUMP_SET: bool(accumulator & constant)}[operation]
            position += if_true if holds else if_false
