"""Which addresses are public: outside of what is private, local, shared, for documentation, multicast or reserved."""

import socket
from typing import Optional, Tuple

# IANA's registries of special-purpose addresses (RFC 6890 and its successors), and multicast.
_RESERVED_4 = ("0.0.0.0/8 10.0.0.0/8 100.64.0.0/10 127.0.0.0/8 169.254.0.0/16 172.16.0.0/12 192.0.0.0/24 192.0.2.0/24 "
               "192.88.99.0/24 192.168.0.0/16 198.18.0.0/15 198.51.100.0/24 203.0.113.0/24 224.0.0.0/4 240.0.0.0/4")
_RESERVED_6 = "::/128 ::1/128 64:ff9b::/96 100::/64 2001:10::/28 2001:20::/28 2001:db8::/32 fc00::/7 fe80::/10 ff00::/8"
_MAPPED = b"\0" * 10 + b"\xff\xff"


def _networks(family: int, text: str) -> Tuple[Tuple[int, int], ...]:
    """Networks as (number without the host's bits, how many bits those are)."""
    found = []
    for word in text.split():
        address, _, length = word.partition("/")
        packed = socket.inet_pton(family, address)
        host = 8 * len(packed) - int(length)
        found.append((int.from_bytes(packed, "big") >> host, host))
    return tuple(found)


_NETWORKS = {4: _networks(socket.AF_INET, _RESERVED_4), 16: _networks(socket.AF_INET6, _RESERVED_6)}


def as_text(address: bytes) -> str:
    """An address of 4 or 16 bytes as text, "" for any other size."""
    if len(address) == 4:
        return socket.inet_ntop(socket.AF_INET, address)
    return socket.inet_ntop(socket.AF_INET6, address) if len(address) == 16 else ""


def is_public(text: str) -> bool:
    """Whether an address is reachable from anywhere; an IPv4 address mapped into IPv6 counts as what it is."""
    packed = _packed(text)
    if packed is None:
        return False
    if packed.startswith(_MAPPED):
        packed = packed[len(_MAPPED):]
    number = int.from_bytes(packed, "big")
    return all(number >> host != network for network, host in _NETWORKS[len(packed)])


def _packed(text: str) -> Optional[bytes]:
    if not text:
        return None
    try:
        return socket.inet_pton(socket.AF_INET6 if ":" in text else socket.AF_INET, text)
    except OSError:
        return None
