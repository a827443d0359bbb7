"""Addresses and networks of rules.

Both are networks here, an address one with a full mask. Two match when either
contains the other's base address. ipaddress is imported where it is needed
first, because few policies have addresses.
"""

from typing import TYPE_CHECKING, Iterable, Optional, Union

if TYPE_CHECKING:
    from ipaddress import IPv4Network, IPv6Network

Network = Union["IPv4Network", "IPv6Network"]


def to_network(text: str) -> Network:
    """An address or network as a network; IPv4 mapped into IPv6 becomes IPv4. Raises ValueError."""
    import ipaddress
    network = ipaddress.ip_network(text, strict=False)
    if isinstance(network, ipaddress.IPv6Network) and network.prefixlen >= 96:
        mapped = network.network_address.ipv4_mapped
        if mapped is not None:
            return ipaddress.ip_network((int(mapped), network.prefixlen - 96))
    return network


def parse_address(text: str) -> Optional[Network]:
    """The network of an address's text, None for "" and for what is no address."""
    try:
        return to_network(text) if text else None
    except ValueError:
        return None


def overlap(left: Optional[Network], right: Optional[Network]) -> bool:
    """True when either network contains the other's base address; None matches nothing."""
    if left is None or right is None or left.version != right.version:
        return False
    return left.network_address in right or right.network_address in left


def overlaps_some(left: Iterable[Optional[Network]], right: Iterable[Optional[Network]]) -> bool:
    """True when some element of `left` overlaps some of `right`."""
    others = list(right)
    return any(overlap(one, other) for one in left for other in others)


def overlaps_all(left: Iterable[Optional[Network]], right: Iterable[Optional[Network]]) -> bool:
    """True when every element of `left` overlaps every one of `right`."""
    others = list(right)
    return all(overlap(one, other) for one in left for other in others)
