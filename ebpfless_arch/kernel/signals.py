"""Signals as data: signalfd(2) with its siginfo, and signals sent on with their value."""

import ctypes
import os
import signal
import struct
from typing import Callable, Iterable, List

from ebpfless_arch.kernel import procfs
from ebpfless_arch.kernel.libc import failure, function
from ebpfless_arch.named import NamedTuple

SI_QUEUE = -1

_SFD_CLOEXEC = 0o2000000
_SFD_NONBLOCK = 0o4000
_SIGSET_SIZE = 128
# struct signalfd_siginfo: signo, errno, code, pid, uid ... int (offset 44), ptr (offset 48); 128 bytes in all.
_INFO_SIZE = 128
_INFO_HEAD = struct.Struct("=IiiII")
_INFO_VALUE = struct.Struct("=Q")
_INFO_VALUE_OFFSET = 48

_signalfd = function("signalfd", ctypes.c_int, ctypes.c_void_p, ctypes.c_int)
_sigqueue = function("sigqueue", ctypes.c_int, ctypes.c_int, ctypes.c_void_p)


class Received(NamedTuple):
    """A signal: `code` > 0 came from the kernel (a terminal), <= 0 from a process; `value` of sigqueue(3)."""

    number: int
    code: int
    sender: int
    value: int


def wake(pid: int) -> bool:
    """Let a process go on that somebody has stopped (SIGSTOP); whether one had."""
    try:
        if procfs.stat(pid).state != "T":
            return False
        os.kill(pid, signal.SIGCONT)
    except OSError:
        return False
    return True


def catchable() -> List[int]:
    """All signal numbers of this system that a process may block: 1..64 without SIGKILL, SIGSTOP and the C library's own, which
    begin at 32 (glibc has two, musl three)."""
    return [number for number in range(1, signal.NSIG)
            if number not in (signal.SIGKILL, signal.SIGSTOP) and not 32 <= number < signal.SIGRTMIN]


def open_signals(numbers: Iterable[int]) -> int:
    """A non-blocking descriptor from which blocked signals are read (signalfd(2)); raises OSError."""
    mask = bytearray(_SIGSET_SIZE)
    for number in numbers:
        mask[(number - 1) // 8] |= 1 << (number - 1) % 8
    buffer = ctypes.create_string_buffer(bytes(mask), _SIGSET_SIZE)
    descriptor: int = _signalfd(-1, ctypes.addressof(buffer), _SFD_CLOEXEC | _SFD_NONBLOCK)
    if descriptor < 0:
        raise failure("signalfd", {})
    return descriptor


def read_signals(descriptor: int) -> List[Received]:
    """The signals that have come since the last call."""
    try:
        data = os.read(descriptor, _INFO_SIZE * 64)
    except BlockingIOError:
        return []
    found = []
    for start in range(0, len(data), _INFO_SIZE):
        number, _, code, sender, _ = _INFO_HEAD.unpack_from(data, start)
        value = _INFO_VALUE.unpack_from(data, start + _INFO_VALUE_OFFSET)[0]
        found.append(Received(number, code, sender, value))
    return found


def start_without(start: Callable[[], None]) -> None:
    """Start a thread (`start` does) that no signal reaches: the kernel would give it those that the others have blocked in order
    to read them."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, catchable())
    try:
        start()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def stop_by(number: int) -> None:
    """Do what a blocked stop signal does by default: stop this process until it is continued, or nothing in a process
    group that nobody oversees."""
    os.kill(os.getpid(), number)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [number])
    signal.pthread_sigmask(signal.SIG_BLOCK, [number])


def send(pid: int, received: Received) -> None:
    """Send a received signal on to a process, a queued one with its value; raises OSError."""
    if received.code == SI_QUEUE and _sigqueue is not None:
        if _sigqueue(pid, received.number, received.value) == 0:
            return
        if ctypes.get_errno():
            raise failure("sigqueue to %d" % pid, {})
    os.kill(pid, received.number)
