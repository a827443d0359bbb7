"""The way of records from tracer to keeper: nothing is lost that is not counted."""

import ctypes
import errno
import marshal
import os
import struct
from typing import Any, List, Tuple

import pytest

from ebpfless_arch.events import records
from ebpfless_arch.tracer.pipe import Reader, Writer, make_pipe

Record = Tuple[Any, ...]


def record(number: int, size: int = 10) -> Record:
    return (records.BLIND, number, 1, 1, b"x" * size)


def marshalled(value: Any) -> bytes:
    """A piece that holds something else than a batch."""
    return struct.pack("=II", 1, 1) + marshal.dumps(value)


def all_batches(reader: Reader) -> List[Record]:
    reader.fill()
    found: List[Record] = []
    while True:
        batch = reader.batch()
        if not batch:
            return found
        found += batch


def test_records_arrive_as_they_were_put() -> None:
    ends = make_pipe()
    writer, reader = Writer(ends[1]), Reader(ends[0])
    sent = [record(number) for number in range(1009)] + [(records.EXEC, 1, 2, 3, -2, b"\xff\0", None, (b"a", b""), True)]
    for each in sent:
        writer.put(each)
    assert writer.flush()
    assert all_batches(reader) == sent
    os.close(ends[1])
    reader.fill()
    assert reader.ended and reader.is_loaded()
    os.close(ends[0])


def test_a_full_pipe_never_blocks_and_loss_is_counted() -> None:
    ends = make_pipe()
    writer, reader = Writer(ends[1], room=100000), Reader(ends[0])
    total = 5003
    for number in range(total):
        writer.put(record(number, 1000))
    assert not writer.flush()
    got: List[Record] = []
    while not writer.flush():
        got += all_batches(reader)
    writer.put(record(total))
    assert writer.drain(1)
    got += all_batches(reader)
    lost = [each for each in got if each[0] == records.LOST]
    numbers = [each[1] for each in got if each[0] == records.BLIND]
    assert len(lost) == 1 and lost[0][4] > 0
    assert len(numbers) + lost[0][4] == total + 1
    assert numbers == sorted(numbers) and numbers[-1] == total
    for end in ends:
        os.close(end)


def test_what_died_with_its_tracer_is_counted_by_its_successor_s_first_number() -> None:
    ends, counter = make_pipe(), ctypes.c_uint64(0)
    reader = Reader(ends[0])
    for number in range(131):
        last = number // 47
        if number % 47 == 0:
            writer = Writer(ends[1], counter=counter)
        writer.put(record(number))
        if number % 47 == 40:
            writer.flush()
    writer.flush()
    got = all_batches(reader)
    assert last == 2 and [each[1] for each in got if each[0] == records.BLIND] == (
        list(range(41)) + list(range(47, 88)) + list(range(94, 131)))
    assert [each[4] for each in got if each[0] == records.LOST] == [6, 6]
    assert reader.expected == counter.value == 131
    for end in ends:
        os.close(end)


def test_what_became_of_the_command_is_never_dropped() -> None:
    ends = make_pipe()
    writer, reader = Writer(ends[1], room=3000), Reader(ends[0])
    sent = [record(number, 500) for number in range(10007)]
    for number in (5003, 5009, 10006):
        sent[number] = (records.STATE, number, 1, 1, records.ENDED, (0, 0))
    for each in sent:
        writer.put(each)
    got: List[Record] = []
    while not writer.flush():
        got += all_batches(reader)
    got += all_batches(reader)
    assert [each for each in got if each[0] == records.STATE] == [sent[number] for number in (5003, 5009, 10006)]
    assert sum(each[4] if each[0] == records.LOST else 1 for each in got) == len(sent)
    for end in ends:
        os.close(end)


NO_BATCHES = [b"", b"x", b"\0" * 7, struct.pack("=II", 1, 1), struct.pack("=II", 1, 1) + b"[\xff", marshalled((0, 5)),
              marshalled((0, [(7,)])), marshalled({1: 2}), marshalled(("x", [(7, 1, 2, 3, 4)]))]


@pytest.mark.parametrize("strange", NO_BATCHES, ids=list(map(str, range(len(NO_BATCHES)))))
def test_what_no_tracer_has_written_is_told_and_holds_nothing_up(strange: bytes) -> None:
    ends = make_pipe()
    writer, reader = Writer(ends[1]), Reader(ends[0])
    if strange:
        os.write(ends[1], strange)
    for number in range(7):
        writer.put(record(number))
    writer.flush()
    got = all_batches(reader)
    assert [each for each in got if each[0] == records.BLIND and each[5:] == ()] == [record(number) for number in range(7)]
    assert [each[4:] for each in got if each[5:] != ()] == [
        ("a message came that no tracer of ours has written", "tampering", 1)] * (len(strange) > 7)
    for end in ends:
        os.close(end)


def test_nobody_can_open_it() -> None:
    for end in make_pipe():
        with pytest.raises(OSError) as told:
            os.open("/proc/self/fd/%d" % end, os.O_RDWR)
        assert told.value.errno == errno.ENXIO
        os.close(end)


def test_nobody_to_listen_is_no_error() -> None:
    ends = make_pipe()
    os.close(ends[0])
    writer = Writer(ends[1])
    for number in range(211):
        writer.put(record(number))
    assert writer.flush() and writer.drain(1)
    os.close(ends[1])


@pytest.mark.parametrize("arrived", [0, 1, 5])
def test_what_a_dead_tracer_had_half_written_is_dropped(arrived: int) -> None:
    first, spare, second = make_pipe(), make_pipe(), make_pipe()
    writer, reader = Writer(first[1]), Reader(first[0])
    for number in range(128):
        writer.put(record(number))
    pass_on(writer, spare, first[1], arrived)
    os.close(first[1])
    reader.fill()
    assert reader.ended
    os.close(first[0])
    reader.move(second[0])
    successor = Writer(second[1])
    successor.put(record(997))
    successor.flush()
    assert [each[1] for each in all_batches(reader)] == list(range(128)) + [997]
    for end in second + spare:
        os.close(end)


def pass_on(writer: Writer, spare: List[int], to: int, pieces: int) -> None:
    """Have a tracer die after so many pieces of a long batch."""
    counter = ctypes.c_uint64(128)
    doomed = Writer(spare[1], counter=counter)
    for number in range(128, 192):
        doomed.put(record(number, 1009))
    for _ in range(pieces):
        os.write(to, os.read(spare[0], 1 << 16))


def test_what_a_dead_tracer_had_begun_is_dropped_when_another_writes_into_the_same_pipe() -> None:
    """Pieces arrive whole or not at all, so a tracer dies between two of them."""
    ends, spare = make_pipe(), make_pipe()
    writer, reader = Writer(spare[1]), Reader(ends[0])
    for number in range(64):
        writer.put(record(number, 1009))
    for _ in range(5):
        os.write(ends[1], os.read(spare[0], 1 << 16))
    successor = Writer(ends[1])
    for number in range(101, 202):
        successor.put(record(number, 1013))
    assert successor.flush()
    assert [each[1] for each in all_batches(reader)] == list(range(101, 202))
    for end in ends + spare:
        os.close(end)


def test_a_record_of_any_length_arrives() -> None:
    ends = make_pipe()
    writer, reader = Writer(ends[1]), Reader(ends[0])
    for size in list(range(7500, 7801)) + [300007]:
        writer.put(record(size, size))
        assert writer.flush()
        assert all_batches(reader) == [record(size, size)]
    for end in ends:
        os.close(end)


def test_a_reader_without_room_takes_no_more() -> None:
    ends = make_pipe()
    writer, reader = Writer(ends[1]), Reader(ends[0], room=50000)
    for number in range(997):
        writer.put(record(number, 500))
    writer.flush()
    reader.fill()
    assert not reader.has_room()
    reader.fill()
    while reader.batch():
        pass
    assert reader.has_room()
    for end in ends:
        os.close(end)
