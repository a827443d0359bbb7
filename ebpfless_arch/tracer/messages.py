"""What a call sends or has received, wherever it lies: one buffer, a vector of them, messages with addresses."""

from typing import List, Tuple

from ebpfless_arch.named import NamedTuple
from ebpfless_arch.tracer import syscalls
from ebpfless_arch.tracer.stops import Call, Stop

_PIECES_AT_MOST = 16
_MESSAGES_AT_MOST = 16
_ADDRESS_AT_MOST = 128

Pieces = Tuple[Tuple[int, int], ...]


class Payload(NamedTuple):
    """One message: where its address lies and how long that is (0: none), its pieces as (address, length), and how many
    bytes of them were received (-1 where the call's result tells)."""

    address: int
    address_length: int
    pieces: Pieces
    received: int = -1


def of_call(stop: Stop, row: syscalls.Row, call: Call) -> List[Payload]:
    """The messages of a call whose row says how it holds them."""
    kind, arguments = row.kinds[1], call.arguments
    size = call.abi.pointer_size if call.abi else 8
    if kind in (syscalls.SENT, syscalls.GOT):
        named = syscalls.SOCKADDR in row.kinds
        return [Payload(arguments[4] if named else 0, arguments[5] if named else 0, ((arguments[1], arguments[2]),))]
    if kind in (syscalls.SENT_VECTOR, syscalls.GOT_VECTOR):
        return [Payload(0, 0, _vector(stop, arguments[1], arguments[2], size))]
    if kind in (syscalls.SENT_MESSAGE, syscalls.GOT_MESSAGE):
        return _headers(stop, arguments[1], 1, size, False)
    return _headers(stop, arguments[1], min(arguments[2] & 0xFFFFFFFF, _MESSAGES_AT_MOST), size, True)


def _headers(stop: Stop, address: int, count: int, size: int, many: bool) -> List[Payload]:
    """struct msghdr, or an array of struct mmsghdr: name, its length, vector, its length, ... in words of a pointer's
    size; a struct mmsghdr has seven such words and the number of bytes, padded to a word."""
    step = 8 * size if many else 7 * size
    data = stop.read(address, step * count)
    found = []
    for start in range(0, len(data) - step + 1, step):
        words = [int.from_bytes(data[at:at + size], "little") for at in range(start, start + step, size)]
        received = words[7] & 0xFFFFFFFF if many else -1
        found.append(Payload(words[0], words[1] & 0xFFFFFFFF, _vector(stop, words[2], words[3], size), received))
    return found


def _vector(stop: Stop, address: int, count: int, size: int) -> Pieces:
    """struct iovec: address and length."""
    data = stop.read(address, min(count, _PIECES_AT_MOST) * 2 * size)
    words = [int.from_bytes(data[at:at + size], "little") for at in range(0, len(data) - size + 1, size)]
    return tuple(zip(words[::2], words[1::2]))


def gather(stop: Stop, pieces: Pieces, limit: int) -> bytes:
    """The bytes of a message, `limit` at most."""
    parts: List[bytes] = []
    for address, length in pieces:
        if limit <= 0:
            break
        parts.append(stop.read(address, min(length, limit)))
        limit -= min(length, limit)
    return b"".join(parts)


def address_of(stop: Stop, payload: Payload) -> bytes:
    """The struct sockaddr that a message goes to, b"" where it names none."""
    if not payload.address or not payload.address_length:
        return b""
    return stop.read(payload.address, min(payload.address_length & 0xFFFFFFFF, _ADDRESS_AT_MOST))
