"""Messages of DNS (RFC 1035): strict and bounded. Bytes in, names and types out; what is not well-formed is None."""

import struct
from typing import List, Optional, Tuple

from ebpfless_arch.named import NamedTuple

HEADER_BYTES = 12
_NAME_AT_MOST = 255
_LABELS_AT_MOST = 127
_POINTERS_AT_MOST = 16
_QUESTIONS_AT_MOST = 16
_MESSAGES_AT_MOST = 16
_ADDRESSES_AT_MOST = 32
_RECORDS_AT_MOST = 64
_ADDRESS_BYTES = {1: 4, 28: 16}  # A, AAAA
_INTERNET = 1
_POINTER = 0xC0
_OPCODE_QUERY = 0
# Letters of a label that stand for themselves in the usual spelling; the others are \DDD (RFC 1035, 5.1).
_PLAIN = frozenset(range(0x21, 0x7F)) - frozenset(b".\\\"();@$")


class Message(NamedTuple):
    """A question or, with `answer`, the reply to one. `name` is the first question's, labels joined by dots, without a
    dot at its end ("" for the root); what is no printable ASCII is escaped as \\DDD. `questions` is their number,
    `length` that of the message's bytes, `code` the response code, -1 in a question. `addresses` are those of an answer,
    with the name that each belongs to: another one than was asked for, if that is an alias."""

    id: int
    answer: bool
    name: str
    type: int
    question_class: int
    questions: int
    length: int
    code: int
    addresses: Tuple[Tuple[str, bytes], ...] = ()


def parse(data: bytes) -> Optional[Message]:
    """A message as a datagram has it, None for anything else: it must have a question that can be read in full."""
    if len(data) < HEADER_BYTES:
        return None
    number, flags, count, answers, _, _ = struct.unpack_from(">6H", data)
    if flags >> 11 & 15 != _OPCODE_QUERY or not 1 <= count <= _QUESTIONS_AT_MOST:
        return None
    questions, end = _questions(data, count)
    if not questions:
        return None
    name, kind, question_class = questions[0]
    if not flags & 0x8000:
        return Message(number, False, name, kind, question_class, count, len(data), -1)
    return Message(number, True, name, kind, question_class, count, len(data), flags & 15,
                   tuple(_addresses(data, end, min(answers, _RECORDS_AT_MOST))))


def parse_stream(data: bytes) -> List[Message]:
    """Messages as TCP carries them, each after its length in two bytes; or one whose length came apart from it."""
    found: List[Message] = []
    start = 0
    while start + 2 <= len(data) and len(found) < _MESSAGES_AT_MOST:
        size = int.from_bytes(data[start:start + 2], "big")
        message = parse(data[start + 2:start + 2 + size]) if size <= len(data) - start - 2 else None
        if message is None:
            break
        found.append(message)
        start += 2 + size
    whole = parse(data) if not found else None
    return found if whole is None else [whole]


def _addresses(data: bytes, at: int, count: int) -> List[Tuple[str, bytes]]:
    """The addresses among the records of an answer, as far as these are well-formed (RFC 1035, 4.1.3)."""
    found: List[Tuple[str, bytes]] = []
    for _ in range(count):
        read = read_name(data, at)
        if read is None or read[1] + 10 > len(data):
            break
        owner, at = read
        kind, record_class, _, size = struct.unpack_from(">HHIH", data, at)
        at += 10
        if (record_class == _INTERNET and _ADDRESS_BYTES.get(kind) == size <= len(data) - at
                and len(found) < _ADDRESSES_AT_MOST):
            found.append((owner, data[at:at + size]))
        at += size
    return found


def _questions(data: bytes, count: int) -> Tuple[List[Tuple[str, int, int]], int]:
    """Name, type and class of each question, [] if one of them is not well-formed; and where they end."""
    found: List[Tuple[str, int, int]] = []
    at = HEADER_BYTES
    for _ in range(count):
        read = read_name(data, at)
        if read is None or read[1] + 4 > len(data):
            return [], at
        name, at = read
        kind, question_class = struct.unpack_from(">HH", data, at)
        found.append((name, kind, question_class))
        at += 4
    return found, at


def read_name(data: bytes, at: int) -> Optional[Tuple[str, int]]:
    """The name at an offset and the offset of what follows it; None where there is none. A pointer has to lead further
    back than the one before, so that there is no loop."""
    labels: List[str] = []
    size, pointers, after, limit = 1, 0, 0, at
    while at < len(data):
        length = data[at]
        if length >= _POINTER:
            target = _target(data, at)
            if not HEADER_BYTES <= target < limit or pointers == _POINTERS_AT_MOST:
                return None
            after, pointers = after or at + 2, pointers + 1
            at = limit = target
            continue
        if length == 0:
            return ".".join(labels), after or at + 1
        size += 1 + length
        if length > 63 or size > _NAME_AT_MOST or at + 1 + length > len(data) or len(labels) == _LABELS_AT_MOST:
            return None
        labels.append(_spelled(data[at + 1:at + 1 + length]))
        at += 1 + length
    return None


def _target(data: bytes, at: int) -> int:
    """Where a pointer leads, -1 for half a pointer."""
    return (data[at] & 0x3F) << 8 | data[at + 1] if at + 1 < len(data) else -1


def _spelled(label: bytes) -> str:
    if label.isalnum():
        return label.decode("ascii")
    return "".join(chr(byte) if byte in _PLAIN else "\\%03d" % byte for byte in label)
