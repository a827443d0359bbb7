"""The codec of MessagePack: every form at its boundaries, and what it refuses.

The bytes are those of the specification; scripts/check-msgpack holds them against another implementation.
"""

import math
import random
import struct
import sys
import tracemalloc
from typing import Any, List, Tuple

import pytest

from ebpfless_arch.events import msgpack
from ebpfless_arch.events.msgpack import Extension, WireError, pack, unpack

FORMS: List[Tuple[Any, bytes]] = [
    (None, b"\xc0"), (False, b"\xc2"), (True, b"\xc3"),
    (0, b"\x00"), (127, b"\x7f"), (128, b"\xcc\x80"), (255, b"\xcc\xff"), (256, b"\xcd\x01\x00"),
    (65535, b"\xcd\xff\xff"), (65536, b"\xce\x00\x01\x00\x00"), (2 ** 32 - 1, b"\xce\xff\xff\xff\xff"),
    (2 ** 32, b"\xcf\x00\x00\x00\x01\x00\x00\x00\x00"), (2 ** 64 - 1, b"\xcf" + b"\xff" * 8),
    (-1, b"\xff"), (-32, b"\xe0"), (-33, b"\xd0\xdf"), (-128, b"\xd0\x80"), (-129, b"\xd1\xff\x7f"),
    (-32768, b"\xd1\x80\x00"), (-32769, b"\xd2\xff\xff\x7f\xff"), (-2 ** 31, b"\xd2\x80\x00\x00\x00"),
    (-2 ** 31 - 1, b"\xd3\xff\xff\xff\xff\x7f\xff\xff\xff"), (-2 ** 63, b"\xd3\x80" + b"\0" * 7),
    (1.5, b"\xcb\x3f\xf8" + b"\0" * 6), (-0.0, b"\xcb\x80" + b"\0" * 7), (math.inf, b"\xcb\x7f\xf0" + b"\0" * 6),
    ("", b"\xa0"), ("a" * 31, b"\xbf" + b"a" * 31), ("a" * 32, b"\xd9\x20" + b"a" * 32),
    ("a" * 255, b"\xd9\xff" + b"a" * 255), ("a" * 256, b"\xda\x01\x00" + b"a" * 256),
    ("a" * 65536, b"\xdb\x00\x01\x00\x00" + b"a" * 65536),
    ("\u20ac", b"\xa3\xe2\x82\xac"), ("\udcff/\udc80", b"\xa3\xff/\x80"), ("\udced\udca0\udc80", b"\xa3\xed\xa0\x80"),
    (b"", b"\xc4\x00"), (b"a" * 255, b"\xc4\xff" + b"a" * 255), (b"a" * 256, b"\xc5\x01\x00" + b"a" * 256),
    (b"a" * 65536, b"\xc6\x00\x01\x00\x00" + b"a" * 65536),
    ((), b"\x90"), ((1,) * 15, b"\x9f" + b"\x01" * 15), ((1,) * 16, b"\xdc\x00\x10" + b"\x01" * 16),
    ({}, b"\x80"), ({"a": 1, b"b": (None,), 3: {}}, b"\x83\xa1a\x01\xc4\x01b\x91\xc0\x03\x80"),
    ({number: 0 for number in range(16)}, b"\xde\x00\x10" + b"".join(b"%c\x00" % number for number in range(16))),
    (Extension(5, b"x"), b"\xd4\x05x"), (Extension(-1, b"xxxx"), b"\xd6\xffxxxx"),
    (Extension(0, b"x" * 2), b"\xd5\x00xx"), (Extension(127, b"x" * 8), b"\xd7\x7f" + b"x" * 8),
    (Extension(-128, b"x" * 16), b"\xd8\x80" + b"x" * 16), (Extension(1, b""), b"\xc7\x00\x01"),
    (Extension(1, b"x" * 255), b"\xc7\xff\x01" + b"x" * 255),
    (Extension(1, b"x" * 256), b"\xc8\x01\x00\x01" + b"x" * 256),
    (Extension(1, b"x" * 65536), b"\xc9\x00\x01\x00\x00\x01" + b"x" * 65536),
]


@pytest.mark.parametrize("value, data", FORMS, ids=[str(number) for number in range(len(FORMS))])
def test_each_form_at_its_boundary(value: Any, data: bytes) -> None:
    assert pack(value) == data
    found = unpack(data)
    assert (found, type(found)) == (value, type(value))


def test_a_zero_keeps_its_sign_and_nan_arrives() -> None:
    assert math.copysign(1, unpack(pack(-0.0))) == -1
    assert math.isnan(unpack(pack(math.nan)))


@pytest.mark.parametrize("data, value", [
    (b"\xcc\x05", 5), (b"\xcd\x00\x05", 5), (b"\xce\x00\x00\x00\x05", 5), (b"\xcf" + b"\0" * 7 + b"\x05", 5),
    (b"\xd0\x05", 5), (b"\xd1\x00\x05", 5), (b"\xd2\xff\xff\xff\xff", -1), (b"\xd3" + b"\xff" * 8, -1),
    (b"\xca\x3f\xc0\x00\x00", 1.5), (b"\xd9\x01a", "a"), (b"\xda\x00\x01a", "a"), (b"\xdb\x00\x00\x00\x01a", "a"),
    (b"\xc5\x00\x01a", b"a"), (b"\xc6\x00\x00\x00\x01a", b"a"), (b"\xdc\x00\x01\xc0", (None,)),
    (b"\xdd\x00\x00\x00\x01\xc0", (None,)), (b"\xde\x00\x01\xa1a\x01", {"a": 1}),
    (b"\xdf\x00\x00\x00\x01\xa1a\x01", {"a": 1}), (b"\xc7\x01\x05x", Extension(5, b"x")),
])
def test_longer_forms_than_needed_are_read(data: bytes, value: Any) -> None:
    assert unpack(data) == value


def test_lists_bytearrays_and_named_tuples_are_packed_as_what_they_are_like() -> None:
    class Flags(int):
        pass

    assert pack([1, [2]]) == pack((1, (2,)))
    assert pack(bytearray(b"x")) == pack(b"x")
    assert pack(sys.version_info[:2]) == pack(tuple(sys.version_info)[:2])
    assert pack(Flags(7)) == b"\x07"
    assert unpack(bytes(bytearray(pack({"a": 1})))) == {"a": 1}


@pytest.mark.parametrize("value, reason", [
    (2 ** 64, "more than 64 bits"), (-2 ** 63 - 1, "more than 64 bits"), (2 ** 4000, "more than 64 bits"),
    (object(), "a object has no form"), ({1, 2}, "a set has no form"), (1j, "a complex has no form"),
    ("\ud800", "half of a surrogate pair"), ([object()], "a object has no form"),
    (Extension(128, b""), "no type of an extension"),
])
def test_what_has_no_form_is_refused(value: Any, reason: str) -> None:
    with pytest.raises(WireError, match=reason):
        pack(value)


def test_what_contains_itself_is_refused() -> None:
    endless: List[Any] = []
    endless.append(endless)
    with pytest.raises(WireError, match="nested deeper than 32 levels"):
        pack(endless)


def nested(levels: int) -> Any:
    value: Any = ()
    for _ in range(levels - 1):
        value = (value,)
    return value


def test_depth_has_a_limit_in_both_directions() -> None:
    deepest = nested(msgpack.DEPTH_AT_MOST)
    assert unpack(pack(deepest)) == deepest
    with pytest.raises(WireError, match="nested deeper"):
        pack(nested(msgpack.DEPTH_AT_MOST + 1))
    for data in (b"\x91" * 100003, b"\x81\x01" * 50021, b"\xdc\x00\x01" * 30011):
        with pytest.raises(WireError, match="nested deeper"):
            unpack(data)
    siblings = (((),) * 3,) * 1009
    assert unpack(pack(siblings)) == siblings


@pytest.mark.parametrize("data, reason", [
    (b"", "ends in the middle"), (b"\xcd\x01", "ends in the middle"), (b"\xa5abcd", "ends in the middle"),
    (b"\xd9", "ends in the middle"), (b"\x92\x01", "2 parts are announced where 1 bytes are left"),
    (b"\xc6\xff\xff\xff\xffx", "ends in the middle"), (b"\xc9\xff\xff\xff\xff\x01x", "ends in the middle"),
    (b"\xdd\xff\xff\xff\xff\x01", "4294967295 parts are announced where 1 bytes are left"),
    (b"\xdf\xff\xff\xff\xff\x01\x01", "8589934590 parts"), (b"\x82\x01\x01\x01", "4 parts are announced"),
    (b"\xc1", "0xc1 begins no value"), (b"\x91\xc1", "0xc1 begins no value"), (b"\x01\x02", "1 bytes follow the end"),
    (b"\x81\x90\x01", "a tuple as the key"), (b"\x81\x80\x01", "a dict as the key"),
    (b"\x81\xc0\x01", "a NoneType as the key"), (b"\x81\xcb" + b"\0" * 8 + b"\x01", "a float as the key"),
    (b"\x82\xa1a\x01\xa1a\x02", "a map has a key twice"), (b"\x82\x01\x01\xcc\x01\x02", "a map has a key twice"),
])
def test_what_is_no_message_is_refused(data: bytes, reason: str) -> None:
    with pytest.raises(WireError, match=reason):
        unpack(data)


def test_length_and_number_of_parts_have_a_limit() -> None:
    with pytest.raises(WireError, match="a message of 262145 bytes, at most 262144 are taken"):
        unpack(b"\0" * (msgpack.LENGTH_AT_MOST + 1))
    assert len(unpack(pack((0,) * msgpack.PARTS_AT_MOST))) == msgpack.PARTS_AT_MOST
    with pytest.raises(WireError, match="more than 65536 parts"):
        unpack(pack((0,) * (msgpack.PARTS_AT_MOST + 1)))
    with pytest.raises(WireError, match="more than 65536 parts"):
        unpack(pack((((0,) * 30011),) * 3))


@pytest.mark.parametrize("data", [
    b"\xdd\x00\x00\xff\xff" + b"\x80" * 65535, b"\xdd\x00\x00\xff\xff" + b"\x90" * 65535,
    b"\xdf\x00\x00\x7f\xff" + b"".join(b"\xcd%b\x80" % struct.pack(">H", number) for number in range(32767)),
    b"\xdd\x00\x00\xff\xff" + b"\xd4\x01x" * 65535,
], ids=["maps", "arrays", "pairs", "extensions"])
def test_the_largest_messages_take_no_more_than_32_mib(data: bytes) -> None:
    tracemalloc.start()
    try:
        assert len(unpack(data)) > 32000
        assert tracemalloc.get_traced_memory()[1] < 32 << 20
    finally:
        tracemalloc.stop()


def mutated(randomly: random.Random, data: bytes) -> bytes:
    """A message with a few bytes changed, cut off or doubled."""
    changed = bytearray(data)
    for _ in range(randomly.randrange(1, 4)):
        place = randomly.randrange(len(changed) or 1)
        kind = randomly.randrange(4)
        if kind == 0:
            changed[place:place + 1] = bytes([randomly.randrange(256)])
        elif kind == 1:
            del changed[place:]
        elif kind == 2:
            changed[place:place] = changed[:randomly.randrange(9)]
        else:
            changed[place:place + 4] = struct.pack(">I", randomly.choice([0, 2 ** 31, 2 ** 32 - 1, 70000]))
    return bytes(changed)


def test_anything_may_come_and_only_wire_errors_are_raised() -> None:
    randomly = random.Random(20003)
    valid = pack({"a": [1, -1, 2 ** 40, None, True, 1.5, "text", b"bin", Extension(1, b"xy")], "b": {"c": ((), {})}})
    good = refused = 0
    for number in range(20003):
        data = mutated(randomly, valid) if number % 3 else bytes(
            randomly.randrange(256) for _ in range(randomly.randrange(40)))
        try:
            value = unpack(data)
        except WireError as error:
            assert str(error)
            refused += 1
        else:
            good += 1
            assert repr(unpack(pack(value))) == repr(value)
    assert good + refused == 20003 and good > 1000 and refused > 5000
