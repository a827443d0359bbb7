"""MessagePack (its specification as of 2017: nil, bool, int, float, str, bin, array, map, ext), for bytes that a
stranger may have sent.

A text is UTF-8 with surrogate escapes: bytes that are none (Go sends a file's name as it is) survive in both
directions. Arrays become tuples. Bytes that are no message, or one that is too long, too deep or made of too many
parts, raise WireError; nothing is ever reserved for what a length only promises.
"""

import struct
from typing import Any, Callable, Dict, List, Tuple

from ebpfless_arch.named import NamedTuple

LENGTH_AT_MOST = 256 << 10
DEPTH_AT_MOST = 32
PARTS_AT_MOST = 65536

Pack = Callable[[Any, List[bytes], int], None]


class WireError(ValueError):
    """What came, or was to be sent, is no proper message: one sentence tells why."""


class Extension(NamedTuple):
    """A value of an application's own type (0 to 127) or a predefined one (-1 is a timestamp), left as it is."""

    code: int
    data: bytes


def pack(value: Any) -> bytes:
    """The message that stands for a value; raises WireError for what has no form there."""
    parts: List[bytes] = []
    _put(value, parts, DEPTH_AT_MOST)
    return b"".join(parts)


def unpack(data: bytes) -> Any:
    """The value that a message stands for, which must be all there is; raises WireError."""
    if len(data) > LENGTH_AT_MOST:
        raise WireError("a message of %d bytes, at most %d are taken" % (len(data), LENGTH_AT_MOST))
    source = _Source(data)
    value = source.value()
    if source.position < len(data):
        raise WireError("%d bytes follow the end of a message" % (len(data) - source.position))
    return value


# --- heads: a form's first bytes, which also those need who write fixed layouts -------

_U8, _U16, _U32, _U64 = [struct.Struct(form).pack for form in (">BB", ">BH", ">BI", ">BQ")]
_I8, _I16, _I32, _I64 = [struct.Struct(form).pack for form in (">Bb", ">Bh", ">Bi", ">Bq")]
_F64 = struct.Struct(">Bd").pack
_SMALL = [struct.pack("B", code) for code in range(256)]
_FIXED_EXTENSIONS = {1: 0xD4, 2: 0xD5, 4: 0xD6, 8: 0xD7, 16: 0xD8}
NIL, FALSE, TRUE = _SMALL[0xC0], _SMALL[0xC2], _SMALL[0xC3]


def _head(size: int, code_16: int) -> bytes:
    """The longer heads of one form: with 16 bits for the size, and with 32 bits under the next code."""
    if size < 1 << 16:
        return _U16(code_16, size)
    if size < 1 << 32:
        return _U32(code_16 + 1, size)
    raise WireError("%d bytes or elements, more than a message can hold" % size)


def array_head(size: int) -> bytes:
    """What stands before that many elements."""
    return _SMALL[0x90 | size] if size < 16 else _head(size, 0xDC)


def map_head(size: int) -> bytes:
    """What stands before that many pairs of a key and a value."""
    return _SMALL[0x80 | size] if size < 16 else _head(size, 0xDE)


def packed_bytes(data: bytes) -> bytes:
    """A bin."""
    return (_U8(0xC4, len(data)) if len(data) < 256 else _head(len(data), 0xC5)) + data


def packed_text(text: str) -> bytes:
    """A str; raises WireError for halves of surrogate pairs, which no encoding has."""
    try:
        data = text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        raise WireError("a text with half of a surrogate pair has no encoding")
    size = len(data)
    if size < 32:
        return _SMALL[0xA0 | size] + data
    return (_U8(0xD9, size) if size < 256 else _head(size, 0xDA)) + data


def packed_int(number: int) -> bytes:
    """The shortest form of an int; raises WireError beyond 64 bits."""
    if -32 <= number < 128:
        return _SMALL[number & 0xFF]
    if number >= 0:
        for code, bits, form in _UNSIGNED:
            if number >> bits == 0:
                return form(code, number)
    else:
        for code, bits, form in _SIGNED:
            if number >> bits - 1 == -1:
                return form(code, number)
    raise WireError("the number %s... has more than 64 bits" % hex(number)[:20])


_UNSIGNED = ((0xCC, 8, _U8), (0xCD, 16, _U16), (0xCE, 32, _U32), (0xCF, 64, _U64))
_SIGNED = ((0xD0, 8, _I8), (0xD1, 16, _I16), (0xD2, 32, _I32), (0xD3, 64, _I64))


# --- packing ----------------------------------------------------------------------------

def _put(value: Any, parts: List[bytes], depth: int) -> None:
    put = _PUT.get(type(value)) or _inherited(value)
    put(value, parts, depth)


def _inherited(value: Any) -> Pack:
    """How to pack what is of a class derived from a known one."""
    for known, put in _PUT.items():
        if isinstance(value, known):
            return put
    raise WireError("a %s has no form in a message" % type(value).__name__)


def _deeper(depth: int) -> int:
    if depth <= 0:
        raise WireError("nested deeper than %d levels" % DEPTH_AT_MOST)
    return depth - 1


def _put_array(value: Any, parts: List[bytes], depth: int) -> None:
    parts.append(array_head(len(value)))
    depth = _deeper(depth)
    for element in value:
        _put(element, parts, depth)


def _put_map(value: Any, parts: List[bytes], depth: int) -> None:
    parts.append(map_head(len(value)))
    depth = _deeper(depth)
    for key, element in value.items():
        _put(key, parts, depth)
        _put(element, parts, depth)


def _put_extension(value: Extension, parts: List[bytes], depth: int) -> None:
    code, data = value
    if not -128 <= code < 128:
        raise WireError("%d is no type of an extension" % code)
    size = len(data)
    if size in _FIXED_EXTENSIONS:
        head = _SMALL[_FIXED_EXTENSIONS[size]]
    else:
        head = _U8(0xC7, size) if size < 256 else _head(size, 0xC8)
    parts += (head, _SMALL[code & 0xFF], data)


# In the order in which derived classes are looked for: an Extension is a tuple, a bool an int.
_PUT: Dict[type, Pack] = {
    str: lambda value, parts, depth: parts.append(packed_text(value)),
    bool: lambda value, parts, depth: parts.append(TRUE if value else FALSE),
    int: lambda value, parts, depth: parts.append(packed_int(value)),
    type(None): lambda value, parts, depth: parts.append(NIL),
    bytes: lambda value, parts, depth: parts.append(packed_bytes(value)),
    bytearray: lambda value, parts, depth: parts.append(packed_bytes(bytes(value))),
    float: lambda value, parts, depth: parts.append(_F64(0xCB, value)),
    Extension: _put_extension,
    tuple: _put_array,
    list: _put_array,
    dict: _put_map,
}


# --- unpacking --------------------------------------------------------------------------

_KEYS = (str, bytes, int)


class _Source:
    """A message that is being read."""

    __slots__ = ("data", "position", "depth", "left")

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.position = 0
        self.depth = DEPTH_AT_MOST
        self.left = PARTS_AT_MOST

    def value(self) -> Any:
        """The next value."""
        position = self.position
        if position >= len(self.data):
            raise WireError("a message ends in the middle")
        self.position = position + 1
        code = self.data[position]
        if code < 0x80:
            return code
        return _TAKE[code](self, code)

    def advance(self, size: int) -> int:
        """Where the next `size` bytes begin, which are then behind us."""
        start = self.position
        if size > len(self.data) - start:
            raise WireError("a message ends in the middle")
        self.position = start + size
        return start

    def octets(self, size: int) -> bytes:
        """The next bytes."""
        start = self.advance(size)
        return self.data[start:start + size]

    def text(self, size: int) -> str:
        """The next bytes as a text."""
        return self.octets(size).decode("utf-8", "surrogateescape")

    def enter(self, parts: int) -> None:
        """Go one level down, to so many parts: there must be a byte for each."""
        self.left -= parts
        if parts > len(self.data) - self.position:
            raise WireError("%d parts are announced where %d bytes are left"
                            % (parts, len(self.data) - self.position))
        if self.left < 0:
            raise WireError("made of more than %d parts" % PARTS_AT_MOST)
        self.depth = _deeper(self.depth)

    def array(self, size: int) -> Tuple[Any, ...]:
        """The next elements."""
        self.enter(size)
        found = tuple([self.value() for _ in range(size)])
        self.depth += 1
        return found

    def map(self, size: int) -> Dict[Any, Any]:
        """The next pairs; a key that comes twice is refused, for readers would disagree about its value."""
        self.enter(2 * size)
        found = {}
        for _ in range(size):
            key = self.value()
            if type(key) not in _KEYS:
                raise WireError("a %s as the key of a map" % type(key).__name__)
            found[key] = self.value()
        if len(found) < size:
            raise WireError("a map has a key twice")
        self.depth += 1
        return found

    def extension(self, size: int) -> Extension:
        """The next type and so many bytes."""
        code = self.data[self.advance(1)]
        return Extension(code - 256 if code > 127 else code, self.octets(size))

    def size(self, width: int) -> int:
        """A length of 1, 2 or 4 bytes."""
        start = self.advance(width)
        return int.from_bytes(self.data[start:start + width], "big")


Take = Callable[[_Source, int], Any]


def _refuse(source: _Source, code: int) -> Any:
    raise WireError("the byte 0xc1 begins no value")


def _number(form: str) -> Take:
    layout = struct.Struct(form)
    return lambda source, code: layout.unpack_from(source.data, source.advance(layout.size))[0]


def _sized(width: int, take: Callable[[_Source, int], Any]) -> Take:
    return lambda source, code: take(source, source.size(width))


def _takers() -> List[Take]:
    """What to do for each first byte."""
    takers: List[Take] = [lambda source, code: code] * 0x80
    takers += [lambda source, code: source.map(code & 15)] * 16
    takers += [lambda source, code: source.array(code & 15)] * 16
    takers += [lambda source, code: source.text(code & 31)] * 32
    takers += [lambda source, code: None, _refuse, lambda source, code: False, lambda source, code: True]
    takers += [_sized(width, _Source.octets) for width in (1, 2, 4)]
    takers += [_sized(width, _Source.extension) for width in (1, 2, 4)]
    takers += [_number(form) for form in (">f", ">d", ">B", ">H", ">I", ">Q", ">b", ">h", ">i", ">q")]
    takers += [lambda source, code: source.extension(1 << code - 0xD4)] * 5
    takers += [_sized(width, _Source.text) for width in (1, 2, 4)]
    takers += [_sized(width, _Source.array) for width in (2, 4)]
    takers += [_sized(width, _Source.map) for width in (2, 4)]
    takers += [lambda source, code: code - 256] * 32
    return takers


_TAKE = _takers()
