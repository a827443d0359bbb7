"""ptrace(2) and wait status words. Every function raises OSError (ProcessLookupError when the tracee is gone)."""

import ctypes
import errno
import struct
from typing import Any, Tuple

from ebpfless_arch.kernel.libc import Piece, bare, failure, function

# Requests (include/uapi/linux/ptrace.h).
PEEKDATA = 2
POKEDATA = 5
CONT = 7
GETREGS = 12
SETREGS = 13
DETACH = 17
SYSCALL = 24
SETOPTIONS = 0x4200
GETEVENTMSG = 0x4201
GETSIGINFO = 0x4202
SEIZE = 0x4206
INTERRUPT = 0x4207
LISTEN = 0x4208
GETREGSET = 0x4204
SETREGSET = 0x4205
GET_SYSCALL_INFO = 0x420E

O_TRACESYSGOOD = 0x01
O_TRACEFORK = 0x02
O_TRACEVFORK = 0x04
O_TRACECLONE = 0x08
O_TRACEEXEC = 0x10
O_TRACEEXIT = 0x40
O_TRACESECCOMP = 0x80
O_EXITKILL = 0x100000

EVENT_FORK = 1
EVENT_VFORK = 2
EVENT_CLONE = 3
EVENT_EXEC = 4
EVENT_EXIT = 6
EVENT_SECCOMP = 7
EVENT_STOP = 128

WALL = 0x40000000

WORD = struct.calcsize("l")
"""Bytes that `peek` and `poke` move."""

# What GET_SYSCALL_INFO says a stop is.
INFO_NONE, INFO_ENTRY, INFO_EXIT, INFO_SECCOMP = range(4)

_ADVICE = {
    errno.EPERM: "ptrace is not permitted here: in a container add --cap-add SYS_PTRACE (or a seccomp profile that "
                 "permits ptrace); on a host see /proc/sys/kernel/yama/ptrace_scope",
    errno.ENOSYS: "this kernel has no ptrace, or a seccomp profile hides it",
}

_ptrace = function("ptrace", ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p)
_quick_ptrace = bare("ptrace")

# struct ptrace_syscall_info: op, arch, ip, sp, then nr and args (entry, seccomp) and ret_data (seccomp), or rval (exit).
_INFO = struct.Struct("=B3xI16x7QI")


def _request(name: str, request: int, tid: int, address: int, data: int) -> int:
    result: int = _ptrace(request, tid, address, data)
    if result == -1:
        raise failure("ptrace(%s) of %d" % (name, tid), _ADVICE)
    return result


def seize(tid: int, options: int) -> None:
    """Become the tracer of a thread without stopping it (PTRACE_SEIZE, Linux 3.4)."""
    _request("SEIZE", SEIZE, tid, 0, options)


def set_options(tid: int, options: int) -> None:
    """Change the options of a stopped tracee; raises OSError (EINVAL) when the kernel does not know one."""
    _request("SETOPTIONS", SETOPTIONS, tid, 0, options)


def interrupt(tid: int) -> None:
    """Make a seized thread stop (EVENT_STOP)."""
    _request("INTERRUPT", INTERRUPT, tid, 0, 0)


def resume(request: int, tid: int, signal: int) -> None:
    """Let a stopped thread go on: request is CONT or SYSCALL, signal is delivered unless 0."""
    if _quick_ptrace(request, tid, 0, signal) == -1:
        _request("CONT" if request == CONT else "SYSCALL", request, tid, 0, signal)


def detach(tid: int, signal: int) -> None:
    """Let a stopped thread go on without a tracer; a signal is delivered unless 0. One that its group has stopped
    stays stopped."""
    _request("DETACH", DETACH, tid, 0, signal)


def listen(tid: int) -> None:
    """Leave a thread in its group-stop, but learn when it continues (PTRACE_LISTEN)."""
    _request("LISTEN", LISTEN, tid, 0, 0)


def event_message(tid: int) -> int:
    """What belongs to a PTRACE_EVENT stop: the child's id, the former thread id, the filter's data."""
    message = ctypes.c_ulong(0)
    if _quick_ptrace(GETEVENTMSG, tid, None, ctypes.byref(message)) == -1:
        _request("GETEVENTMSG", GETEVENTMSG, tid, 0, ctypes.addressof(message))
    return message.value


def is_at(tid: int, code: int) -> bool:
    """Whether a thread is in the stop that a wait status told of; code is that status >> 8.

    The siginfo of event and syscall stops holds it as si_code, that of a signal's delivery as si_signo.
    """
    info = (ctypes.c_int * 32)()
    _request("GETSIGINFO", GETSIGINFO, tid, 0, ctypes.addressof(info))
    return bool(info[2] == code if code > 0x7F else info[0] == code)


def peek(tid: int, address: int) -> bytes:
    """One word of a stopped thread's memory; raises OSError (EIO, EFAULT) where it cannot be read."""
    ctypes.set_errno(0)
    word = _ptrace(PEEKDATA, tid, address, 0)
    if word == -1 and ctypes.get_errno():
        raise failure("ptrace(PEEKDATA) of %d" % tid, _ADVICE)
    return struct.pack("l", word)


def poke(tid: int, address: int, word: bytes) -> None:
    """Write one word (WORD bytes) into a stopped thread's memory; raises OSError (EIO, EFAULT) where that cannot be."""
    _request("POKEDATA", POKEDATA, tid, address, struct.unpack("L", word)[0])


class Registers:
    """The general registers of a stopped thread, as native words: read, change, write."""

    def __init__(self, count: int) -> None:
        self.words: Any = (ctypes.c_ulong * count)()
        self._address = ctypes.addressof(self.words)

    def read(self, tid: int) -> None:
        """Fill `words` (PTRACE_GETREGS: always the native layout, also for 32-bit programs)."""
        _request("GETREGS", GETREGS, tid, 0, self._address)

    def write(self, tid: int) -> None:
        """Set the thread's registers to `words`."""
        _request("SETREGS", SETREGS, tid, 0, self._address)

    def is_narrow(self) -> bool:
        """Whether what was read last are the registers of a 32-bit program in their own layout."""
        return False


class RegisterSet(Registers):
    """The same where there is no PTRACE_GETREGS: `words` are of 32 bits for a 32-bit program."""

    def __init__(self, count: int, number: int) -> None:
        super().__init__(count)
        self._wide = self.words
        self._size = ctypes.sizeof(self._wide)
        self._narrow = (ctypes.c_uint32 * (2 * count)).from_buffer(self._wide)
        self._set = number
        self._piece = Piece(self._address, self._size)
        self._piece_address = ctypes.addressof(self._piece)

    def read(self, tid: int) -> None:
        """Fill `words` (PTRACE_GETREGSET); the kernel says how much it has."""
        self._piece.length = self._size
        _request("GETREGSET", GETREGSET, tid, self._set, self._piece_address)
        self.words = self._narrow if self.is_narrow() else self._wide

    def write(self, tid: int) -> None:
        """Set the thread's registers to `words`, as many as were read."""
        _request("SETREGSET", SETREGSET, tid, self._set, self._piece_address)

    def is_narrow(self) -> bool:
        """Whether what was read last are the registers of a 32-bit program in their own layout."""
        return bool(self._piece.length < self._size)


def registers(count: int, general_set: int) -> Registers:
    """The means of reading `count` registers, of a register set or, if that is 0, by PTRACE_GETREGS."""
    return RegisterSet(count, general_set) if general_set else Registers(count)


def set_call_number(tid: int, number_set: int, number: int) -> None:
    """Change the number of the call that a thread is about to do, where only a register set of its own does that
    (NT_ARM_SYSTEM_CALL, Linux 3.19); raises OSError."""
    value = ctypes.c_int(number)
    piece = Piece(ctypes.addressof(value), ctypes.sizeof(value))
    _request("SETREGSET", SETREGSET, tid, number_set, ctypes.addressof(piece))


class InfoReader:
    """PTRACE_GET_SYSCALL_INFO (Linux 5.3) into one buffer that is used again and again."""

    def __init__(self) -> None:
        self._buffer = ctypes.create_string_buffer(_INFO.size + _INFO.size % 8)
        self._address = ctypes.addressof(self._buffer)

    def read(self, tid: int) -> Tuple[int, ...]:
        """The stop of a thread: kind (INFO_...), audit architecture, then for an entry the call's number and its six
        arguments, for an exit the result (as 64 bits without a sign). Raises OSError (EIO) on older kernels."""
        if _quick_ptrace(GET_SYSCALL_INFO, tid, _INFO.size, self._buffer) == -1:
            _request("GET_SYSCALL_INFO", GET_SYSCALL_INFO, tid, _INFO.size, self._address)
        return _INFO.unpack_from(self._buffer)
