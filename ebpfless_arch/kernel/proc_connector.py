"""The kernel's process events connector: every fork, exec, exit and change of identity on the host, through netlink.

Linux 2.6.15 and later (CONFIG_PROC_EVENTS), no eBPF. It needs CAP_NET_ADMIN, and answers in the first network and
process namespaces only. See include/uapi/linux/cn_proc.h and drivers/connector/cn_proc.c.
"""

import ctypes
import errno
import os
import select
import socket
import struct
import time
from typing import Iterable, List, Optional, Tuple

from ebpfless_arch.named import NamedTuple

# What happened (enum proc_cn_event).
NONE, FORK, EXEC, UID, GID, EXIT = 0, 1, 2, 4, 0x40, 0x80000000

_NETLINK_CONNECTOR = 11
_GROUP = 1  # CN_IDX_PROC, also its CN_VAL_PROC
_DONE = 3  # NLMSG_DONE
_LISTEN = 1  # PROC_CN_MCAST_LISTEN
_SO_ATTACH_FILTER = 26
_SO_RCVBUFFORCE = 33
_ANSWER_SECONDS = 1.0

# struct nlmsghdr: length, type, flags, sequence, port. struct cn_msg: id (two words), sequence, ack, length, flags.
_NETLINK = struct.Struct("=IHHII")
_CONNECTOR = struct.Struct("=IIIIHH")
# struct proc_event: what, CPU, nanoseconds since boot; then words that depend on it.
_EVENT = struct.Struct("=IIQ")
_EVENT_START = _NETLINK.size + _CONNECTOR.size
_DATA_START = _EVENT_START + _EVENT.size
_LARGEST = 4096

# struct sock_filter, and the few instructions that are used (include/uapi/linux/bpf_common.h).
_INSTRUCTION = struct.Struct("=HBBI")
_PROGRAM = struct.Struct("@HP")
_LOAD, _COPY_TO_X, _EQUALS, _EQUALS_X, _RETURN = 0x20, 0x07, 0x15, 0x1D, 0x06

_ADVICE = {
    errno.EPERM: "it needs CAP_NET_ADMIN: run ebpfless as root, in a container with --cap-add NET_ADMIN and the host's "
                 "network and process namespaces",
    errno.ECONNREFUSED: "it is there in the host's network namespace only: in a container use --network host",
    errno.EPROTONOSUPPORT: "this kernel has none (CONFIG_PROC_EVENTS)",
    errno.ETIMEDOUT: "the kernel does not answer: it does so in the host's process namespace only (--pid host)",
}


class Told(NamedTuple):
    """One event. time: ns since boot. pid: the process (of FORK: the child, `other` being its parent). first, second:
    real and effective id (UID, GID), or wait status and nothing (EXIT)."""

    kind: int
    time: int
    pid: int
    other: int
    first: int
    second: int


class Connector:
    """A subscription to some kinds of events of processes; those of single threads are left out by the kernel.

    Raises OSError, with advice, where there is no connector for us.
    """

    def __init__(self, kinds: Iterable[int], room: int = 4 << 20) -> None:
        wanted = sorted(kinds)
        try:
            self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC, _NETLINK_CONNECTOR)
        except OSError as error:
            raise _explained(error)
        try:
            self._enlarge(room)
            self._attach_filter(wanted)
            self._socket.bind((0, _GROUP))
            self._subscribe(wanted)
        except OSError as error:
            self._socket.close()
            raise _explained(error)

    def fileno(self) -> int:
        """The descriptor that has news."""
        return self._socket.fileno()

    def close(self) -> None:
        """End the subscription."""
        self._socket.close()

    def read(self, until: float) -> Tuple[List[Told], bool]:
        """All that had come by a moment (ns since boot), and whether something was lost for want of room."""
        found: List[Told] = []
        has_lost = False
        while not found or found[-1].time <= until:
            try:
                told = _understand(self._socket.recv(_LARGEST, socket.MSG_DONTWAIT))
            except BlockingIOError:
                break
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise
                has_lost = True
                continue
            if told is not None:
                found.append(told)
        return found, has_lost

    def _enlarge(self, room: int) -> None:
        try:
            self._socket.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, room)
        except OSError:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, room)

    def _attach_filter(self, kinds: List[int]) -> None:
        program = _filter(kinds)
        buffer = ctypes.create_string_buffer(program, len(program))
        self._socket.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER,
                                _PROGRAM.pack(len(program) // _INSTRUCTION.size, ctypes.addressof(buffer)))

    def _subscribe(self, kinds: List[int]) -> None:
        """Ask, and wait for the answer; then ask for these kinds alone, which kernels before 6.6 pass over in silence.

        Events come without an answer, too, when others have subscribed: then their numbers are not those of our namespace.
        """
        number = int.from_bytes(os.urandom(3), "little")
        self._send(struct.pack("=I", _LISTEN), number)
        end = time.monotonic() + _ANSWER_SECONDS
        while select.select([self._socket], [], [], max(0.0, end - time.monotonic()))[0]:
            data = self._socket.recv(_LARGEST)
            if _EVENT.unpack_from(data, _EVENT_START)[0] == NONE and _CONNECTOR.unpack_from(data, _NETLINK.size)[3] == number + 1:
                error = struct.unpack_from("=I", data, _DATA_START)[0]
                if error:
                    raise OSError(error, os.strerror(error))
                self._send(struct.pack("=II", _LISTEN, sum(kinds)), number)
                return
        raise OSError(errno.ETIMEDOUT, os.strerror(errno.ETIMEDOUT))

    def _send(self, request: bytes, number: int) -> None:
        message = _CONNECTOR.pack(_GROUP, _GROUP, number, number, len(request), 0) + request
        self._socket.send(_NETLINK.pack(_NETLINK.size + len(message), _DONE, 0, 0, 0) + message)


def _explained(error: OSError) -> OSError:
    text = str(error.strerror)
    advice = _ADVICE.get(error.errno or 0)
    return OSError(error.errno, "%s; %s" % (text, advice) if advice else text)


def _filter(kinds: List[int]) -> bytes:
    """A classic BPF program that lets answers pass, and of these kinds what the first thread of a process does."""
    accept: List[Tuple[int, int, int, int]] = [(_RETURN, 0, 0, 0xFFFFFFFF)]
    program: List[Tuple[int, int, int, int]] = [(_LOAD, 0, 0, _EVENT_START), (_EQUALS, 0, 1, _swapped(NONE))] + accept
    for kind in kinds:
        # The thread and its process: of a fork the child's come behind its parent's.
        thread = _DATA_START + (8 if kind == FORK else 0)
        program += [(_EQUALS, 0, 5, _swapped(kind)), (_LOAD, 0, 0, thread), (_COPY_TO_X, 0, 0, 0), (_LOAD, 0, 0, thread + 4),
                    (_EQUALS_X, 0, 1, 0)] + accept
        program += [(_LOAD, 0, 0, _EVENT_START)]
    program.append((_RETURN, 0, 0, 0))
    return b"".join(_INSTRUCTION.pack(*instruction) for instruction in program)


def _swapped(number: int) -> int:
    """A native word as the filter loads it: in network order."""
    return socket.htonl(number)


def _understand(data: bytes) -> Optional[Told]:
    if len(data) < _DATA_START + 8:
        return None
    kind, _, time = _EVENT.unpack_from(data, _EVENT_START)
    words = struct.unpack_from("=%dI" % ((len(data) - _DATA_START) // 4), data, _DATA_START)
    if kind == FORK:
        return Told(kind, time, words[3], words[1], 0, 0)
    if kind in (EXEC, UID, GID, EXIT):
        return Told(kind, time, words[1], 0, words[2], words[3])
    return None
