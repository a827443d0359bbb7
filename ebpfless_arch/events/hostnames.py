"""The names under which addresses were found: what answers of DNS have told, for `addr.hostname` of later connections."""

from collections import OrderedDict
from typing import Iterable, List, Tuple

_ADDRESSES_AT_MOST = 4096
_NAMES_AT_MOST = 16


class Hostnames:
    """The newest addresses with their newest names, in small letters, the newest first."""

    def __init__(self) -> None:
        self._names: "OrderedDict[bytes, List[str]]" = OrderedDict()

    def learn(self, name: str, addresses: Iterable[Tuple[str, bytes]]) -> None:
        """What an answer says: the name that was asked for, and the addresses with the names that own them, which are
        others where the one that was asked for is an alias."""
        for owner, address in addresses:
            known = self._names.pop(address, [])
            said = list(dict.fromkeys([name.lower(), owner.lower()]))
            self._names[address] = (said + [each for each in known if each not in said])[:_NAMES_AT_MOST]
        while len(self._names) > _ADDRESSES_AT_MOST:
            self._names.popitem(last=False)

    def of(self, address: bytes) -> List[str]:
        """The names of an address, [] where none is known."""
        return self._names.get(address, [])
