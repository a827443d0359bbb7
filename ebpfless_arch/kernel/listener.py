"""Answers the calls of programs that we can no longer trace, so that none fails (seccomp_unotify(2)).

A filter that asks a tracer answers ENOSYS where there is none, and cannot be taken away. One that asks a listener goes
first; ours lets every call run (SECCOMP_USER_NOTIF_FLAG_CONTINUE, Linux 5.5).
"""

import ctypes
import errno
import os
import select
import struct

from ebpfless_arch.kernel import process
from ebpfless_arch.kernel.libc import failure, function

NAME = b"ebpfless-attend"
_PIDFD_OPEN, _PIDFD_GETFD = 434, 438  # the same on every machine since they came after Linux 5.1
_NOTICE_SIZE = 80
_ANSWER = struct.Struct("=QqiI")
_CONTINUE = 1
_RECEIVE = 0xC0502100  # SECCOMP_IOCTL_NOTIF_RECV
_SEND = 0xC0182101
_DESCRIPTORS_AT_MOST = 4096

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
    """Have a process of its own, which is no child of ours, listen until the last program with that filter is gone; gives
    the descriptor away. Raises OSError."""
    try:
        child = os.fork()
        if child == 0:
            try:
                if os.fork() == 0:
                    _attend(descriptor)
            finally:
                os._exit(0)
        os.waitpid(child, 0)
    finally:
        os.close(descriptor)


def _attend(descriptor: int) -> None:
    process.set_name(NAME)
    # Who waits for the end of a pipe of ours must get it.
    os.closerange(3, descriptor)
    os.closerange(descriptor + 1, _DESCRIPTORS_AT_MOST)
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    while True:
        for _, events in poll.poll():
            if not events & select.POLLIN:
                return
            _let_run(descriptor)


def _let_run(descriptor: int) -> None:
    notice = ctypes.create_string_buffer(_NOTICE_SIZE)
    if _ioctl(descriptor, _RECEIVE, ctypes.addressof(notice)) != 0:
        if ctypes.get_errno() in (errno.ENOENT, errno.EINTR):
            return  # it has been killed meanwhile
        raise failure("ioctl(NOTIF_RECV)", {})
    answer = ctypes.create_string_buffer(_ANSWER.pack(struct.unpack_from("=Q", notice)[0], 0, 0, _CONTINUE), _ANSWER.size)
    _ioctl(descriptor, _SEND, ctypes.addressof(answer))
