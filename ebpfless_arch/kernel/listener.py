"""Answers the calls of programs that we can no longer trace, so that none fails (seccomp_unotify(2)).

A filter that asks a tracer answers ENOSYS where there is none, and cannot be taken away. One that asks a listener goes
first; ours lets every call run (SECCOMP_USER_NOTIF_FLAG_CONTINUE, Linux 5.5).
"""

import ctypes
import errno
import mmap
import os
import select
import struct
import time

from ebpfless_arch.kernel import channels, process, signals
from ebpfless_arch.kernel.libc import failure, function

NAME = b"ebpfless-attend"
_PIDFD_OPEN, _PIDFD_GETFD = 434, 438  # the same on every machine since they came after Linux 5.1
_NOTICE_SIZE = 80
_ANSWER = struct.Struct("=QqiI")
_CONTINUE = 1
_RECEIVE = 0xC0502100  # SECCOMP_IOCTL_NOTIF_RECV
_SEND = 0xC0182101
_DESCRIPTORS_AT_MOST = 4096
_LOOK_SECONDS = 0.5

_syscall = function("syscall", ctypes.c_long, ctypes.c_long, ctypes.c_long, ctypes.c_long)
_ioctl = function("ioctl", ctypes.c_int, ctypes.c_ulong, ctypes.c_void_p)


def take_descriptor(pid: int, number: int) -> int:
    """A copy of a process's descriptor (pidfd_getfd(2), Linux 5.6); raises OSError."""
    process_descriptor = _syscall(_PIDFD_OPEN, pid, 0, 0)
    if process_descriptor < 0:
        raise failure("pidfd_open", {})
    try:
        found: int = _syscall(_PIDFD_GETFD, process_descriptor, number, 0)
        if found < 0:
            raise failure("pidfd_getfd", {})
        return found
    finally:
        os.close(process_descriptor)


def start(descriptor: int) -> None:
    """Have processes of their own, which are no children of ours, listen until the last program with that filter is gone;
    gives the descriptor away. Raises OSError."""
    try:
        child = os.fork()
        if child == 0:
            try:
                if os.fork() == 0:
                    _live(descriptor)
            finally:
                os._exit(0)
        os.waitpid(child, 0)
    finally:
        os.close(descriptor)


def _live(descriptor: int) -> None:
    """Listen, beside a twin that has the descriptor as well and goes on where we are killed: no call fails meanwhile, it
    waits. Whoever of the two is left has another twin at once."""
    process.set_name(NAME)
    # Who waits for the end of a pipe of ours must get it.
    os.closerange(3, descriptor)
    os.closerange(descriptor + 1, _DESCRIPTORS_AT_MOST)
    listener = Listener(descriptor)
    while True:
        ends = channels.make(channels.STREAM)
        twin = os.fork()
        is_twin = twin == 0
        os.close(ends[is_twin])
        own = ends[not is_twin]
        poll = select.poll()
        poll.register(descriptor, 0 if is_twin else select.POLLIN)
        poll.register(own, select.POLLIN)
        if not _wait(listener, poll, own, twin or os.getppid()):
            return
        os.close(own)
        if is_twin:
            listener.succeed()
        else:
            os.waitpid(twin, 0)


def _wait(listener: "Listener", poll: "select.poll", own: int, other: int) -> bool:
    """Answer what comes; True when the other one is gone, False when there is nobody left to listen to."""
    looked = time.monotonic()
    while True:
        found = dict(poll.poll(_LOOK_SECONDS * 1000))
        if time.monotonic() >= looked + _LOOK_SECONDS:
            looked = time.monotonic()
            signals.wake(other)
        events = found.get(listener.descriptor, 0)
        if events & select.POLLIN:
            listener.let_run()
        elif events:
            return False
        if own in found:
            return True


class Listener:
    """A listener's descriptor, and the number of the last call that came there, in memory that twins share."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self._memory = mmap.mmap(-1, mmap.PAGESIZE)
        self._last = ctypes.c_uint64.from_buffer(self._memory)

    def let_run(self) -> None:
        """Let the call run that has come."""
        notice = ctypes.create_string_buffer(_NOTICE_SIZE)
        if _ioctl(self.descriptor, _RECEIVE, ctypes.addressof(notice)) != 0:
            if ctypes.get_errno() in (errno.ENOENT, errno.EINTR):
                return  # it has been killed meanwhile
            raise failure("ioctl(NOTIF_RECV)", {})
        number = struct.unpack_from("=Q", notice)[0]
        self._last.value = number
        self._answer(number)

    def succeed(self) -> None:
        """Another one was killed: the call that it had taken waits for an answer. They are numbered one after the other
        (kernel/seccomp.c, seccomp_next_notify_id), so it is the last one that was noted or the one after it."""
        for number in (self._last.value, self._last.value + 1):
            self._answer(number % (1 << 64))

    def _answer(self, number: int) -> None:
        answer = ctypes.create_string_buffer(_ANSWER.pack(number, 0, 0, _CONTINUE), _ANSWER.size)
        _ioctl(self.descriptor, _SEND, ctypes.addressof(answer))
