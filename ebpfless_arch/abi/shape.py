"""What a table of this floor consists of."""

from typing import Dict, NamedTuple, Tuple


class Abi(NamedTuple):
    """One way of entering the kernel: how a call's number, arguments and result are found.

    Slots are indices into the register set as a native tracer reads it
    (register_count words of the machine's size). Numbers from number_ceiling
    on belong to another ABI that shares the audit architecture (x32).
    """

    name: str
    audit_arch: int
    pointer_size: int
    register_count: int
    number_slot: int
    result_slot: int
    argument_slots: Tuple[int, ...]
    instruction_slot: int
    code_segment_slot: int
    number_ceiling: int
    syscalls: Dict[str, int]
