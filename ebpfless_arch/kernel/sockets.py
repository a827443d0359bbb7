"""Sockets of other processes, as the file system of sockets and /proc/PID/net tell of them."""

import errno
import os
import struct
from typing import Any, Collection, Dict, List, Optional, Sequence, Tuple

from ebpfless_arch.kernel import attributes, procfs
from ebpfless_arch.named import NamedTuple

AF_UNSPEC, AF_UNIX, AF_INET, AF_INET6, AF_NETLINK, AF_PACKET = 0, 1, 2, 10, 16, 17
_STREAM, _DGRAM, _RAW = 1, 2, 3
_XATTR = "system.sockprotoname"
_PREFIX = b"socket:["
_MAPPED = b"\0" * 10 + b"\xff\xff"


class Kind(NamedTuple):
    """Family, type and protocol of a socket; 0 where unknown."""

    family: int
    type: int
    protocol: int


UNKNOWN = Kind(0, 0, 0)

# What the kernel calls its protocols (struct proto's name).
_KINDS = {
    b"TCP": Kind(AF_INET, _STREAM, 6), b"TCPv6": Kind(AF_INET6, _STREAM, 6),
    b"UDP": Kind(AF_INET, _DGRAM, 17), b"UDPv6": Kind(AF_INET6, _DGRAM, 17),
    b"UDP-Lite": Kind(AF_INET, _DGRAM, 136), b"UDPLITEv6": Kind(AF_INET6, _DGRAM, 136),
    b"MPTCP": Kind(AF_INET, _STREAM, 262), b"MPTCPv6": Kind(AF_INET6, _STREAM, 262),
    b"PING": Kind(AF_INET, _DGRAM, 1), b"PINGv6": Kind(AF_INET6, _DGRAM, 58),
    b"RAW": Kind(AF_INET, _RAW, 0), b"RAWv6": Kind(AF_INET6, _RAW, 0),
    b"SCTP": Kind(AF_INET, 0, 132), b"SCTPv6": Kind(AF_INET6, 0, 132),
    b"UNIX": Kind(AF_UNIX, 0, 0), b"UNIX-STREAM": Kind(AF_UNIX, _STREAM, 0),
    b"NETLINK": Kind(AF_NETLINK, 0, 0), b"PACKET": Kind(AF_PACKET, 0, 0),
}

_ADDRESS_BYTES = {AF_INET: 4, AF_INET6: 16}


class Address(NamedTuple):
    """An address and port: `ip` has 4 or 16 bytes."""

    ip: bytes
    port: int


def kind(tid: int, descriptor: int) -> Kind:
    """What a socket of a process is; UNKNOWN for what is none, or where the kernel does not tell."""
    try:
        name = attributes.read(b"/proc/%d/fd/%d" % (tid, descriptor), _XATTR)
    except OSError:
        return UNKNOWN
    found = _KINDS.get(name.rstrip(b"\0"), UNKNOWN)
    return _packet_kind(tid, descriptor) if found.family == AF_PACKET else found


def _packet_kind(tid: int, descriptor: int) -> Kind:
    """Type and protocol of a packet socket: /proc/PID/net/packet has columns sk, RefCnt, Type, Proto ... Inode."""
    inode = socket_inode(tid, descriptor)
    for line in _lines(tid, "packet"):
        words = line.split()
        if len(words) > 8 and int(words[8]) == inode:
            return Kind(AF_PACKET, int(words[2]), int(words[3], 16))
    return Kind(AF_PACKET, 0, 0)


def socket_inode(tid: int, descriptor: int) -> int:
    """The inode of a socket, 0 for what is none."""
    try:
        target = procfs.link(tid, "fd/%d" % descriptor)
    except OSError:
        return 0
    return inode_of(target)


def inode_of(target: bytes) -> int:
    """The inode of a socket by its link in /proc/PID/fd, 0 for what is none."""
    return int(target[len(_PREFIX):-1]) if target.startswith(_PREFIX) else 0


def ends(tid: int, inode: int, protocols: Sequence[str] = ("tcp",)) -> Optional[Tuple[Address, Address]]:
    """Local and remote end of a TCP (or "udp") socket in the process's network namespace, None where it has none there.

    The lines of /proc/PID/net/tcp and its sisters: number, local, remote, ... the inode is the tenth word.
    """
    wanted = b"%d" % inode
    for name in [protocol + version for protocol in protocols for version in ("", "6")]:
        for line in _lines(tid, name):
            if wanted in line:
                words = line.split()
                if len(words) > 9 and words[9] == wanted:
                    return _address(words[1]), _address(words[2])
    return None


def unix_path(tid: int, inode: int) -> bytes:
    """The path that a unix socket is bound to (@... for an abstract one), b"" for none: /proc/PID/net/unix has the
    columns Num, RefCount, Protocol, Flags, Type, St, Inode, Path."""
    for line in _lines(tid, "unix"):
        words = line.split(None, 7)
        if len(words) == 8 and words[6] == b"%d" % inode:
            return words[7]
    return b""


class PortUser(NamedTuple):
    """A TCP socket at a port: whether it listens, its user, and its inode, 0 until somebody has accepted it."""

    listens: bool
    uid: int
    inode: int


def at_port(port: int) -> List[PortUser]:
    """The TCP sockets at a port of our own network namespace, on whatever address: /proc/net/tcp has the columns sl,
    local_address, rem_address, st (0A: LISTEN), queues, timer, retrnsmt, uid, timeout, inode."""
    found = []
    for name in ("tcp", "tcp6"):
        for line in _lines(os.getpid(), name):
            words = line.split(None, 10)
            if len(words) > 9 and int(words[1].rpartition(b":")[2], 16) == port:
                found.append(PortUser(words[3] == b"0A", int(words[7]), int(words[9])))
    return found


def listening_users(port: int) -> List[int]:
    """The users who listen on a TCP port. A connection's own line says uid 0 until it is accepted, so it proves nothing."""
    return [each.uid for each in at_port(port) if each.listens]


def holds(pid: int, inodes: Collection[int]) -> Optional[bool]:
    """Whether a process has one of these sockets open, None where that is hidden from us."""
    try:
        return any(socket_inode(pid, number) in inodes for number in procfs.descriptors(pid))
    except PermissionError:
        return None
    except OSError:
        return False  # it has ended


def plain(address: bytes) -> bytes:
    """An IPv4 address that is mapped into IPv6 as what it is; others as they are."""
    return address[len(_MAPPED):] if len(address) == 16 and address.startswith(_MAPPED) else address


def _lines(tid: int, name: str) -> List[bytes]:
    try:
        return procfs.read(tid, "net/" + name, 1 << 24).split(b"\n")[1:]
    except OSError as error:
        if error.errno == errno.ESRCH:
            return []  # a kernel without that family
        raise


def _address(text: bytes) -> Address:
    """0100007F:0016: 32-bit words of the machine's order in hexadecimal, and the port."""
    words, _, port = text.partition(b":")
    numbers = [int(words[start:start + 8], 16) for start in range(0, len(words), 8)]
    return Address(struct.pack("=%dI" % len(numbers), *numbers), int(port, 16))


def parse(address: bytes) -> Dict[str, Any]:
    """struct sockaddr as a table: family, ip (bytes), port, and for AF_UNIX the path (abstract ones begin with @)."""
    family = struct.unpack_from("=H", address)[0] if len(address) >= 2 else AF_UNSPEC
    found: Dict[str, Any] = {"family": family, "ip": b"", "port": 0, "path": b""}
    size = _ADDRESS_BYTES.get(family, 0)
    start = 8 if family == AF_INET6 else 4
    if size and len(address) >= start + size:
        found["ip"] = address[start:start + size]
        found["port"] = struct.unpack_from(">H", address, 2)[0]
    elif family == AF_UNIX:
        path = address[2:]
        found["path"] = b"@" + path[1:].rstrip(b"\0") if path[:1] == b"\0" else path.partition(b"\0")[0]
    return found
