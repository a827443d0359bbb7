"""Gives a traced thread to a debugger inside the trace: only one can trace it.

Its filtered calls would fail without us (and no debugger asks for their stops), so it first gets a second filter whose
listener lets them run. For that the thread does some calls on our behalf, between two instructions of its own.
"""

import errno
import os
import signal
import struct
from typing import Any, List, Optional

from ebpfless_arch.abi import AMD64
from ebpfless_arch.events.interest import Interest
from ebpfless_arch.kernel import listener, procfs, ptrace, seccomp
from ebpfless_arch.tracer import syscalls
from ebpfless_arch.tracer.stops import Machine, Stop

_SYSCALL_STOP = signal.SIGTRAP | 0x80
_SYSCALL = b"\x0f\x05"
_NARROW_CODE = 0x23
_PAGE = 4096
_READ_WRITE, _PRIVATE_ANONYMOUS = 3, 0x22
_SET_MODE_FILTER, _NEW_LISTENER = 1, 8
_SET_NO_NEW_PRIVS = 38
_PROGRAM = struct.Struct("=H6xQ")
# A call that a signal has interrupted begins anew by itself, but not when other calls came between (include/linux/errno.h).
_RESTARTS, _RESTARTS_BY_CALL = (-512, -513, -514), -516


class Gone(Exception):
    """The thread ended in the midst of it; `status` is its wait status."""

    def __init__(self, status: int) -> None:
        Exception.__init__(self)
        self.status = status


class Borrowed:
    """A stopped thread that does calls for us. `is_entering`: it stands before a call of its own, which it will do again."""

    def __init__(self, machine: Machine, tid: int, is_entering: bool) -> None:
        self._machine = machine
        self._tid = tid
        self._entering = is_entering
        self._abi = machine.abis[0]
        self._signals: List[int] = []
        registers = machine.registers
        registers.read(tid)
        self._saved = [int(word) for word in registers.words]
        self._site = self._find_site()
        if is_entering:
            registers.words[self._abi.number_slot] = -1
            registers.write(tid)
            self._advance()

    def call(self, name: str, *arguments: int) -> int:
        """Do a call; its result, a negative errno where it failed."""
        self._set(self._saved)
        words: Any = self._machine.registers.words
        words[self._abi.instruction_slot] = self._site
        words[self._abi.result_slot] = self._abi.syscalls[name]
        words[self._abi.number_slot] = -1
        for slot, value in zip(self._abi.argument_slots, arguments):
            words[slot] = value
        self._machine.registers.write(self._tid)
        self._advance()
        self._advance()
        self._machine.registers.read(self._tid)
        result = int(words[self._abi.result_slot])
        return result - (1 << 64) if result >> 63 else result

    def restore(self) -> int:
        """As it was, so that it can be let go; returns a signal that has come meanwhile, 0 for none."""
        abi, saved = self._abi, list(self._saved)
        result = saved[abi.result_slot] - (1 << 64) if saved[abi.result_slot] >> 63 else saved[abi.result_slot]
        number = saved[abi.number_slot]
        was_interrupted = number >> 63 == 0 and (result in _RESTARTS or result == _RESTARTS_BY_CALL)
        if self._entering or was_interrupted:
            saved[abi.instruction_slot] -= len(_SYSCALL)
            by_call = was_interrupted and result == _RESTARTS_BY_CALL
            saved[abi.result_slot] = abi.syscalls["restart_syscall"] if by_call else number
        saved[abi.number_slot] = (1 << 64) - 1
        self._set(saved)
        self._machine.registers.write(self._tid)
        for number in self._signals[1:]:
            os.kill(self._tid, number)
        return self._signals[0] if self._signals else 0

    def write(self, address: int, data: bytes) -> None:
        """Change its memory; raises OSError."""
        self._machine.memory.write(self._tid, address, data)

    def _set(self, words: List[int]) -> None:
        for slot, word in enumerate(words):
            self._machine.registers.words[slot] = word

    def _advance(self) -> None:
        """On to the next stop at a call's beginning or end."""
        ptrace.resume(ptrace.SYSCALL, self._tid, 0)
        while True:
            status = os.waitpid(self._tid, ptrace.WALL)[1]
            if not os.WIFSTOPPED(status):
                raise Gone(status)
            number = os.WSTOPSIG(status)
            if status >> 16 == 0 and number == _SYSCALL_STOP:
                return
            if status >> 16 == 0:
                self._signals.append(number)
            ptrace.resume(ptrace.SYSCALL, self._tid, 0)

    def _find_site(self) -> int:
        """The address of an instruction that does a call; raises OSError where none can be found."""
        before = self._saved[self._abi.instruction_slot] - len(_SYSCALL)
        if self._machine.memory.read(self._tid, before, len(_SYSCALL)) == _SYSCALL:
            return before
        start, end = procfs.mapping(self._tid, b"[vdso]")
        offset = self._machine.memory.read(self._tid, start, end - start).find(_SYSCALL)
        if offset < 0:
            raise OSError(errno.ENOTSUP, "it has no instruction for calls that we know of")
        return start + offset


class HandOver:
    """Lets threads go so that their calls still run."""

    def __init__(self, machine: Machine, wanted: Interest, is_filtered: bool) -> None:
        self._machine = machine
        self._wanted = wanted
        self._filtered = is_filtered
        self._program: Optional[bytes] = None

    def let_go(self, stop: Stop, is_entering: bool) -> str:
        """Detach from a stopped thread; "", or why it has to stay with us. Raises Gone, ProcessLookupError."""
        if not self._filtered:
            stop.detach()
            return ""
        registers = self._machine.registers
        registers.read(stop.tid)
        if self._machine.abis[0] is not AMD64 or registers.words[AMD64.code_segment_slot] == _NARROW_CODE:
            return "that is possible for 64-bit programs on amd64 only"
        if self._has_own_filters(stop.tid):
            return "it has seccomp filters of its own, which might end it at the calls that we would need"
        try:
            thread = Borrowed(self._machine, stop.tid, is_entering)
        except OSError as error:
            return str(error.strerror)
        problem = ""
        try:
            self._install(thread, stop.pid)
        except OSError as error:
            problem = str(error.strerror)
        number = thread.restore()
        if problem:
            stop.resume(ptrace.CONT, number)
        else:
            stop.detach(number)
        return problem

    def _has_own_filters(self, tid: int) -> bool:
        """Whether a thread has more filters than ours and those that were on us already: what they say to a call is unknown.
        Before Linux 5.9 the kernel does not tell, and then it may have."""
        count = procfs.filters(tid)
        return count < 0 or count > procfs.filters(os.getpid()) + 1

    def _install(self, thread: Borrowed, pid: int) -> None:
        program = self._listening_program()
        size = -(-(len(program) + _PROGRAM.size) // _PAGE) * _PAGE
        place = _checked("mmap", thread.call("mmap", 0, size, _READ_WRITE, _PRIVATE_ANONYMOUS, (1 << 64) - 1, 0))
        try:
            thread.write(place, _PROGRAM.pack(len(program) // 8, place + _PROGRAM.size) + program)
            found = thread.call("seccomp", _SET_MODE_FILTER, _NEW_LISTENER, place)
            if found == -errno.EACCES:
                # A debugger that is not privileged would cost it what its files grant, anyway.
                thread.call("prctl", _SET_NO_NEW_PRIVS, 1, 0, 0, 0)
                found = thread.call("seccomp", _SET_MODE_FILTER, _NEW_LISTENER, place)
            descriptor = _checked("seccomp", found)
            listener.start(listener.take_descriptor(pid, descriptor))
            thread.call("close", descriptor)
        finally:
            thread.call("munmap", place, size)

    def _listening_program(self) -> bytes:
        if self._program is None:
            self._program = seccomp.for_listener(
                seccomp.compile_filter(syscalls.blocks(self._machine.abis, self._wanted)))
        return self._program


def _checked(name: str, result: int) -> int:
    if -4096 < result < 0:
        raise OSError(-result, "%s: %s" % (name, os.strerror(-result)))
    return result

