"""What a table of this floor consists of."""

from typing import Dict, Tuple

from ebpfless_arch.named import NamedTuple


class Abi(NamedTuple):
    """One way of entering the kernel: how a call's number, arguments and result are found.

    Slots are indices into the register set as a native tracer reads it
    (register_count words of the machine's size). Numbers from number_ceiling
    on belong to another ABI that shares the audit architecture (x32).

    general_set: the register set that holds the registers (elf.h, NT_...), 0 where PTRACE_GETREGS gives them.
    number_set: the register set by which a call's number is changed, 0 where its slot does that.
    open_flags: flags of open(2) that have another value than on amd64, as pairs of bits: here and there. All that
    leaves the tracer is as on amd64.
    address_bits: how many bits of a pointer are its address; above them may be a tag that the kernel takes no notice of.
    even_pairs: whether an argument of 64 bits begins at an even register (32-bit ABIs; syscall(2), "Architecture-
    specific requirements").
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
    general_set: int = 0
    number_set: int = 0
    open_flags: Tuple[Tuple[int, int], ...] = ()
    address_bits: int = 64
    even_pairs: bool = False
