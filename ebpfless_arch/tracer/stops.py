"""A stop: the one thing that may read a tracee's registers and memory, and that is resumed exactly once."""

import ctypes
import errno
from typing import Any, Dict, List, Optional, Sequence, Tuple

from ebpfless_arch.abi import Abi
from ebpfless_arch.kernel import ptrace
from ebpfless_arch.kernel.features import Features
from ebpfless_arch.kernel.memory import Memory
from ebpfless_arch.kernel.waiting import Waiting, sleeps
from ebpfless_arch.named import NamedTuple

_I386_CODE_SEGMENT = 0x23
_INT_80 = b"\xcd\x80"
_ENTERS_KERNEL = 2
_ERRNO_AT_MOST = 4095
# Of 32-bit ARM: the slot of the status register, and the bit in it that stands for instructions of 16 bits.
_CPSR, _THUMB = 16, 0x20


class Call(NamedTuple):
    """A system call at its entry. `abi` is None when we do not know the way it came."""

    abi: Optional[Abi]
    number: int
    arguments: Tuple[int, ...]


class Machine:
    """The means of reading stops on this machine, made once: buffers, memory, what the kernel offers.

    `attributes` says whether files are looked at (owner, times, inode) or named only. `listening_ports` has the
    ports of listening sockets by inode, as far as they are known; `mounts` what tracer/mounts.py remembers, `confirmed`
    what tracer/confirm.py does, `inner_pids` what tracer/namespaces.py does.
    """

    def __init__(self, abis: Sequence[Abi], features: Features, attributes: bool = True) -> None:
        self.abis = abis
        self.attributes = attributes
        self.features = features
        self.memory = Memory(None if features.vm_read else ["mem", "peek"], abis[0].address_bits)
        self.registers = ptrace.registers(abis[0].register_count, abis[0].general_set)
        self.information = ptrace.InfoReader()
        self.listening_ports: Dict[int, int] = {}
        self.mounts: Dict[Tuple[int, int], Any] = {}
        self.confirmed: Dict[Tuple[bytes, bytes, bytes], None] = {}
        self.inner_pids: Dict[Tuple[bytes, int], int] = {}
        self.by_arch = {abi.audit_arch: abi for abi in abis}


class Stop:
    """One stop of one thread. `unread`: the errno with which memory could not be read at all, 0 if that never was."""

    __slots__ = ("machine", "tid", "pid", "resumed", "unread")

    def __init__(self, machine: Machine, tid: int, pid: int) -> None:
        self.machine = machine
        self.tid = tid
        self.pid = pid
        self.resumed = False
        self.unread = 0

    def resume(self, request: int, signal: int = 0) -> None:
        """Let the thread go on; raises ProcessLookupError when it has gone already."""
        assert not self.resumed, "a stop is resumed once"
        self.resumed = True
        ptrace.resume(request, self.tid, signal)

    def listen(self) -> None:
        """Leave the thread in its group-stop."""
        self.resumed = True
        ptrace.listen(self.tid)

    def detach(self, signal: int = 0) -> None:
        """Let the thread go on without us; in a group-stop it stays."""
        self.resumed = True
        ptrace.detach(self.tid, signal)

    def repeat_interrupted(self, waiting: Optional[Waiting] = None) -> None:
        """Where the call that the thread comes from failed for a signal, let it begin anew.

        Some calls return EINTR when they are merely interrupted by a tracer, and the kernel does not restart them
        (signal(7), "Interruption of system calls ... by stop signals"). `waiting` is what the thread was seen to sleep in
        before: where the result takes the place of the first argument (arm64), only that knows it.
        """
        machine = self.machine
        abi = machine.abis[0]
        machine.registers.read(self.tid)
        if abi.result_slot in abi.argument_slots:
            if waiting is not None:
                self._begin_again(machine.abis[self._entered_by()], waiting)
            return
        words: Any = machine.registers.words
        number = ctypes.c_long(words[abi.number_slot]).value
        if number < 0 or self._result() != -errno.EINTR or self._closes(number):
            return
        words[abi.result_slot] = number
        words[abi.instruction_slot] -= _ENTERS_KERNEL
        machine.registers.write(self.tid)

    def _begin_again(self, abi: Abi, waiting: Waiting) -> None:
        """Let the call begin anew that the thread slept in, if it has not slept since but for this stop: only then is it
        surely the same one that failed."""
        words: Any = self.machine.registers.words
        bits = (1 << 8 * abi.pointer_size) - 1
        slept_in = (waiting.number, waiting.instruction) + tuple(value & bits for value in waiting.arguments[1:])
        comes_from = tuple(words[slot] for slot in (abi.number_slot, abi.instruction_slot) + abi.argument_slots[1:])
        if self._result() != -errno.EINTR or comes_from != slept_in or self._closes(waiting.number):
            return
        if sleeps(self.tid) == waiting.sleeps + 1:
            words[abi.result_slot] = waiting.arguments[0] & bits
            is_thumb = abi.pointer_size == 4 and words[_CPSR] & _THUMB
            words[abi.instruction_slot] -= 2 if is_thumb else 4
            self.machine.registers.write(self.tid)

    def _closes(self, number: int) -> bool:
        """Whether a call is the one that has done its work in spite of EINTR (close(2))."""
        return self.machine.abis[self._entered_by()].syscalls["close"] == number

    def message(self) -> int:
        """What belongs to an event stop."""
        return ptrace.event_message(self.tid)

    def seccomp_call(self) -> Call:
        """The call at a SECCOMP stop. The filter's data would tell its ABI, too, but a program can add a filter of its
        own with other data, and the newest one's counts (seccomp(2), "SECCOMP_RET_TRACE")."""
        machine = self.machine
        if machine.features.syscall_info:
            found = machine.information.read(self.tid)
            return self._known(found[1], found[2], found[3:9])
        machine.registers.read(self.tid)
        return self._from_registers(self._entered_by())

    def syscall_stop(self, expect_entry: bool) -> Tuple[bool, Call, int]:
        """A plain syscall stop: whether it is an entry, then the call (entry) or the result (exit).

        The kernel says which it is since 5.3; before, the caller's count decides.
        """
        machine = self.machine
        if machine.features.syscall_info:
            found = machine.information.read(self.tid)
            if found[0] == ptrace.INFO_EXIT:
                if found[2] >> 63:
                    return False, _NO_CALL, self._as_unsigned(found[1], found[2] - (1 << 64))
                return False, _NO_CALL, found[2]
            if found[0] == ptrace.INFO_ENTRY:
                return True, self._known(found[1], found[2], found[3:9]), 0
        machine.registers.read(self.tid)
        if expect_entry:
            return True, self._from_registers(self._entered_by()), 0
        return False, _NO_CALL, self._result()

    def set_argument(self, abi: Abi, index: int, value: int) -> None:
        """Change an argument of the call before it runs."""
        registers = self.machine.registers
        registers.read(self.tid)
        registers.words[abi.argument_slots[index]] = value
        registers.write(self.tid)

    def refuse(self, abi: Abi, error: int) -> None:
        """Make the call that is about to run fail with an errno instead (kernel/seccomp/seccomp.c: a call number of
        -1 is skipped, and what stands in the result's register is the result)."""
        registers = self.machine.registers
        registers.read(self.tid)
        if abi.number_set:
            ptrace.set_call_number(self.tid, abi.number_set, -1)
        else:
            registers.words[abi.number_slot] = -1
        registers.words[abi.result_slot] = -error
        registers.write(self.tid)

    def keep_failing(self, call: Call) -> None:
        """See to it that a call of a negative number fails as it does untraced: after its SECCOMP stop the kernel skips it
        (kernel/seccomp.c, __seccomp_filter), and what stands in the result's register is the result. On arm64 that is
        the first argument."""
        abi = call.abi
        if abi is not None and abi.result_slot in abi.argument_slots and call.number >> 31:
            self.refuse(abi, errno.ENOSYS)

    def string(self, address: int, limit: int) -> Optional[bytes]:
        """A string of the tracee, None where it cannot be read."""
        found = self.machine.memory.string(self.tid, address, limit)
        if found is None and address:
            self.unread = self.machine.memory.problem
        return found

    def strings(self, addresses: Sequence[int], limit: int) -> List[bytes]:
        """Some strings of the tracee, b"" where one cannot be read."""
        found = self.machine.memory.strings(self.tid, addresses, limit)
        if None in found:
            self.unread = self.machine.memory.problem
        return [text or b"" for text in found]

    def pointers(self, address: int, limit: int, size: int) -> List[int]:
        """A NULL-terminated array of pointers of the tracee."""
        return self.machine.memory.pointers(self.tid, address, limit, size)

    def read(self, address: int, size: int) -> bytes:
        """Memory of the tracee, as much of it as can be read."""
        found = self.machine.memory.read(self.tid, address, size)
        if not found and address and size:
            self.unread = self.machine.memory.problem
        return found

    def write(self, address: int, data: bytes) -> None:
        """Change memory of the tracee; raises OSError."""
        self.machine.memory.write(self.tid, address, data)

    def _known(self, arch: int, number: int, arguments: Tuple[int, ...]) -> Call:
        """A call by its audit architecture; numbers of another ABI that shares it have none."""
        abi = self.machine.by_arch.get(arch)
        number &= 0xFFFFFFFF  # an int, which PTRACE_GET_SYSCALL_INFO sign-extends
        if abi is not None and number >= abi.number_ceiling:
            abi = None
        return Call(abi, number, arguments)

    def _from_registers(self, index: int) -> Call:
        words: Any = self.machine.registers.words
        abi = self.machine.abis[index]
        mask = (1 << 8 * abi.pointer_size) - 1
        number = words[abi.number_slot] & 0xFFFFFFFF
        return self._known(abi.audit_arch, number, tuple(words[slot] & mask for slot in abi.argument_slots))

    def _as_unsigned(self, arch: int, result: int) -> int:
        """The result of a 32-bit call, which some machines sign-extend, as its program sees it: an address or an error."""
        abi = self.machine.by_arch.get(arch)
        return result & 0xFFFFFFFF if abi is not None and abi.pointer_size == 4 and result < -_ERRNO_AT_MOST else result

    def _entered_by(self) -> int:
        """Index of the ABI by which a syscall stop's call came: the size of the register set tells, or on x86 the code
        segment, or the instruction that did it."""
        abis = self.machine.abis
        if abis[0].code_segment_slot < 0:
            return int(self.machine.registers.is_narrow())
        words = self.machine.registers.words
        if words[abis[0].code_segment_slot] == _I386_CODE_SEGMENT:
            return 1
        start = words[abis[0].instruction_slot] - _ENTERS_KERNEL
        return 1 if self.machine.memory.read(self.tid, start, _ENTERS_KERNEL) == _INT_80 else 0

    def _result(self) -> int:
        abi = self.machine.abis[0]
        result = ctypes.c_long(self.machine.registers.words[abi.result_slot]).value
        # A 32-bit call leaves its negative errno zero-extended.
        return result - (1 << 32) if -_ERRNO_AT_MOST <= result - (1 << 32) < 0 else result


_NO_CALL = Call(None, -1, ())
