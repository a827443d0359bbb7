"""The wire: frames, our own messages, and the shapes that records must have to be let in."""

import random
import struct
from pathlib import Path
from typing import Any, Dict, List, Tuple

import pytest

import wire_samples
from call_samples import FILE, FULL, STATUS, bare, call_record
from ebpfless_arch.events import datadog_structs, json_form, msgpack, record_shapes, records, text_form, wire
from ebpfless_arch.events.datadog_records import as_message, as_told
from ebpfless_arch.events.interest import Interest
from ebpfless_arch.events.msgpack import WireError, pack, unpack
from ebpfless_arch.events.processes import Processes
from ebpfless_arch.events.record_shapes import check_record, names_of, pack_record
from ebpfless_arch.events.users import Users
from ebpfless_arch.events.wire import FrameReader, Hello, frame, hello_of, message_of, pack_message
from ebpfless_arch.tracer import syscalls
from wire_samples import RECORDS, TIME

SESSION, NONCE = bytes(range(16)), bytes(range(32))
INTEREST = wire.plain_interest(Interest(frozenset(["open", "exec"]), True, {"open": None}), {"open": ["/etc"]})

MESSAGES: List[Any] = [
    wire.Welcome(1, NONCE, True, "probe"), wire.Response(NONCE), wire.Accepted(NONCE, 17, INTEREST),
    wire.Refused("no"), wire.Processes(tuple(RECORDS[:2])), wire.Records(5, tuple(RECORDS)),
    wire.Acknowledged(2 ** 64 - 1), wire.Wanted(INTEREST), wire.Question(3, RECORDS[4]), wire.Verdict(3, 13),
    wire.Order(1, 4711, 99, TIME, 9), wire.Outcome(1, "gone", ""), wire.Counters({"lost": 3}), wire.Goodbye(41),
    wire.Context(("service:shop", "container_id:1")),
]


# --- frames -----------------------------------------------------------------------------

def test_a_frame_is_a_length_and_a_message() -> None:
    assert frame(b"abc") == struct.pack("=I", 3) + b"abc"
    for size in (0, msgpack.LENGTH_AT_MOST + 1):
        with pytest.raises(WireError, match="cannot be sent"):
            frame(b"x" * size)


@pytest.mark.parametrize("portion", [1, 3, 4, 5, 1009, 100003])
def test_frames_come_whole_however_they_arrive(portion: int) -> None:
    messages = [b"a", b"b" * 4093, b"c" * 7, b"d" * msgpack.LENGTH_AT_MOST]
    stream = b"".join(map(frame, messages)) + b"\x05\0\0\0hal"
    reader, found = FrameReader(), []
    for start in range(0, len(stream), portion):
        reader.feed(stream[start:start + portion])
        found += list(reader)
    assert found == messages
    assert reader.held == 7


@pytest.mark.parametrize("size", [0, msgpack.LENGTH_AT_MOST + 1, 2 ** 32 - 1])
def test_a_length_that_cannot_be_is_refused_after_what_was_good(size: int) -> None:
    reader = FrameReader()
    reader.feed(frame(b"good") + struct.pack("=I", size) + b"xxxx")
    found = iter(reader)
    assert next(found) == b"good"
    with pytest.raises(WireError, match="a frame of %d bytes" % size):
        next(found)


@pytest.mark.parametrize("name", wire_samples.STREAMS)
def test_recorded_streams_are_cut(name: str) -> None:
    raw, _ = wire_samples.recorded(name)
    reader = FrameReader()
    reader.feed(raw)
    assert list(reader) == list(wire_samples.bodies(raw)) and reader.held == 0


# --- the hello --------------------------------------------------------------------------

def test_a_recorded_hello() -> None:
    hello = Hello(4026531836, "", 1795463738045192021, ("/usr/bin/ls", "/"), "wrapped")
    assert hello_of(unpack(wire_samples.HELLO)) == hello
    assert hello.pack() == wire_samples.HELLO


def test_ours_is_one_more_key_in_their_hello() -> None:
    plain = Hello(1, "box", 2, ("caf\udce9",), "attached")
    ours = plain._replace(offer=wire.Offer((1, 7), SESSION, NONCE, 41))
    assert hello_of(unpack(ours.pack())) == ours
    told = unpack(ours.pack())
    assert told["Hello"].pop("Ebpfless") == {
        "Versions": (1, 7), "Session": SESSION, "Nonce": NONCE, "Acknowledged": 41}
    assert told == unpack(plain.pack())


def test_a_command_of_any_length_fits_into_a_hello() -> None:
    hello = hello_of(unpack(Hello(1, "", 0, ("x" * 100003,) * 1009, "wrapped").pack()))
    assert hello.command is not None
    assert (len(hello.command), hello.command[0]) == (256, "x" * 252 + "...")


@pytest.mark.parametrize("offer, reason", [
    (7, "the part Ebpfless"), ({}, "the part Ebpfless"),
    ({"Versions": ("1",), "Session": SESSION, "Nonce": NONCE, "Acknowledged": 0}, "the part Ebpfless"),
    ({"Versions": (1,), "Session": SESSION, "Nonce": NONCE + b"x", "Acknowledged": 0}, "the part Ebpfless"),
    ({"Versions": (1,), "Session": SESSION, "Nonce": NONCE, "Acknowledged": -1}, "the part Ebpfless"),
    ({"Versions": (1,), "Session": b"", "Nonce": b"", "Acknowledged": 0}, "a session of 0 bytes and a nonce of 0"),
])
def test_a_bad_offer_is_refused(offer: Any, reason: str) -> None:
    message = unpack(wire_samples.HELLO)
    message["Hello"]["Ebpfless"] = offer
    with pytest.raises(WireError, match=reason):
        hello_of(message)


def test_what_a_later_version_adds_to_the_hello_is_passed_over() -> None:
    message = unpack(Hello(1, "", 0, None, "attached", wire.Offer((9,), SESSION, NONCE)).pack())
    message["Hello"]["Ebpfless"]["More"] = {"x": 1}
    assert hello_of(message).offer == wire.Offer((9,), SESSION, NONCE, 0)


# --- our own messages -------------------------------------------------------------------

@pytest.mark.parametrize("message", MESSAGES, ids=[type(message).__name__ for message in MESSAGES])
def test_every_message_arrives_as_it_was(message: Any) -> None:
    found = message_of(unpack(pack_message(message)))
    assert found == message and type(found) is type(message)


def test_no_message_is_left_out_here() -> None:
    assert [type(message) for message in MESSAGES] == [kind for _, kind, _ in wire.MESSAGES]


@pytest.mark.parametrize("value, reason", [
    (7, "no known type"), ((), "no known type"), ((99,), "no known type"), ((True, 1), "no known type"),
    ({}, "no known type"), ((7,), "a message Acknowledged of 0 parts, not 1"),
    ((7, -1), "a message Acknowledged whose last is not"), ((7, True), "a message Acknowledged whose last is not"),
    ((8, {}), "a message Wanted whose interest"), ((10, 1, 4096), "a message Verdict whose errno"),
    ((11, 1, -1, 0, 0, 9), "a message Order whose pid"), ((11, 1, 5, 0, 0, 65), "a message Order whose signal"),
    ((13, {"x": -1}), "a message Counters whose values"), ((6, 0, ()), "a message Records whose first"),
    ((6, 1, ((1, 2, 3, 4),)), "a record of kind 1 with 4 parts"), ((6, 1, (7,)), "a record of no known kind"),
    ((6, 1, (RECORDS[0],) * 1001), "a message Records whose records"),
])
def test_other_messages_are_refused(value: Any, reason: str) -> None:
    with pytest.raises(WireError, match=reason):
        message_of(unpack(pack(value)))


def test_an_interest_comes_back() -> None:
    wanted = message_of(unpack(pack_message(wire.Wanted(INTEREST)))).interest
    assert wire.interest_of(wanted) == Interest(frozenset(["open", "exec"]), True, {"open": None})
    assert wanted["paths"] == {"open": ("/etc",)}
    assert wire.interest_of(dict(wanted, later=1)) == wire.interest_of(wanted)


def test_records_fill_messages_up_to_64_kib() -> None:
    packed = [pack_record(record) for record in RECORDS] * 499
    found = list(wire.batches(packed))
    assert [record for batch in found for record in batch] == packed
    assert max(sum(map(len, batch)) for batch in found) <= 65536 and len(found) > 10
    assert wire.pack_records(7, packed[:3]) == pack_message(wire.Records(7, tuple(RECORDS[:3])))
    small = [pack_record(RECORDS[0])] * 2003
    assert [len(batch) for batch in wire.batches(small)] == [1000, 1000, 3]
    assert list(wire.batches([b"x" * 100003, b"y"])) == [[b"x" * 100003], [b"y"]]


# --- records ----------------------------------------------------------------------------

@pytest.mark.parametrize("record", RECORDS, ids=[str(number) for number in range(len(RECORDS))])
def test_every_record_arrives_as_it_was(record: records.Record) -> None:
    found = unpack(pack_record(record))
    assert check_record(found) == record and repr(found) == repr(record)


def test_a_record_of_the_largest_program_fits_into_a_frame() -> None:
    words = tuple([b"x" * 256] * 256)
    record = RECORDS[1][:7] + (words, True, words) + RECORDS[1][10:]
    assert unpack(frame(pack_message(wire.Records(1, (record,))))[4:])[2][0] == record


def test_whatever_the_table_of_calls_makes_has_a_shape() -> None:
    for row in syscalls.ROWS:
        if row.event in syscalls.NO_EVENTS | {syscalls.CARRIER, "open", "exec"}:
            continue
        assert row.event in record_shapes.NEEDED
        names = {kind.partition(":")[0] for kind in row.kinds} - {"", syscalls.SOCKADDR, "clone_flags",
                                                                   syscalls.DEVICE, syscalls.PERF}
        assert names <= set(record_shapes.VALUES)
    assert set(record_shapes.NEEDED) == syscalls.EVENTS - {"open", "exec"}


def changed(record: Tuple[Any, ...], name: str, value: Any) -> Tuple[Any, ...]:
    place = list(names_of(record[0])).index(name)
    return record[:place] + (value,) + record[place + 1:]


FORK, EXEC, FAILED, OPEN = RECORDS[:4]
ODD_VALUES: Dict[Any, Any] = {"file": FILE, 5: 1}


@pytest.mark.parametrize("record, reason", [
    (None, "no known kind"), ((), "no known kind"), ((99, 1, 1, 1), "no known kind"), (({},), "no known kind"),
    ((records.STATE, TIME, 1, 1, 0, 0), "no known kind"), ((records.ASK, TIME, 1, 1, 1, FORK), "no known kind"),
    (FORK[:-1], "with 4 parts, not 5"), (FORK + (1,), "with 6 parts, not 5"), (list(FORK), "no known kind"),
    (changed(FORK, "pid", -1), "whose pid"), (changed(FORK, "pid", 2 ** 31), "whose pid"),
    (changed(FORK, "time", 2 ** 64), "whose time"), (changed(FORK, "ppid", True), "whose ppid"),
    (changed(FORK, "tid", 1.0), "whose tid"), (changed(EXEC, "argv", [b"x"]), "whose argv"),
    (changed(EXEC, "argv", (b"x",) * 257), "whose argv"), (changed(EXEC, "envp", (b"x" * 257,)), "whose envp"),
    (changed(EXEC, "argv", ("x",)), "whose argv"), (changed(EXEC, "file", STATUS[:8]), "whose file"),
    (changed(EXEC, "file", (-1,) + STATUS[1:]), "whose file"), (changed(EXEC, "path", "text"), "whose path"),
    (changed(EXEC, "path", b"x" * 16385), "whose path"), (changed(EXEC, "tty", -1), "whose tty"),
    (changed(OPEN, "error", b"x"), "whose error"), (changed(EXEC, "argv_cut", 1), "whose argv_cut"),
    (call_record("nothing", {}), "the unknown event 'nothing'"), (call_record("unlink", {}), "unlink without file"),
    (call_record("unlink", {"file": FILE, "other": 1}), "whose 'other' is not"),
    (call_record("unlink", {"file": FILE[:2]}), "whose 'file' is not"),
    (call_record("unlink", ODD_VALUES), "whose values"),
    (call_record("prctl", {"option": 1, "name": b"x"}), "whose 'name' is not"),
    (call_record("unload_module", {"name": (b"x", True)}), "whose 'name' is not"),
    (call_record("setuid", {"identity": None, "change": {"comm": 1}}), "whose 'change' is not"),
    (call_record("bpf", dict(FULL["bpf"], bpf=(1, 2, b"", (1.5,)))), "whose 'bpf' is not"),
])
def test_records_of_another_shape_are_refused(record: Any, reason: str) -> None:
    with pytest.raises(WireError, match=reason):
        check_record(record)


class Inventor:
    """Values of a shape that the model has never seen."""

    TRIED: List[Any] = [0, 1, -1, 7, 255, 4096, 65535, 2 ** 31 - 1, 2 ** 32 - 1, 2 ** 63 - 1, 2 ** 64 - 1, -2 ** 31,
                        -2 ** 63, b"", b"/x", b"\xff\0", b"/a (deleted)", b"/memfd:x (deleted)", b"x" * 256, "",
                        "ENOENT", None, True, False, (), (0,) * 9, (2 ** 32 - 1,) * 6 + (2 ** 32 - 1, 2 ** 64 - 1, 0),
                        (2 ** 32 - 1, 2 ** 64 - 1, 2 ** 64 - 1, 0, 2 ** 32 - 1, 0, 2 ** 63 - 1, 2 ** 63 - 1, -2 ** 63),
                        (b"", None, ""), (b"/x", (0,) * 9, "x"), (b"x", True), (0, 0), (2 ** 64 - 1, 0), (0, 0, 0),
                        (b"x", b"", b"\xff"), (2, 31, b"x", (1, 2 ** 32 - 1)), (0, 0, b"", ()), {}, {"uid": 5},
                        (-2 ** 63, 2 ** 63 - 1, 2 ** 64 - 1, b"", b"\xff"), (b"\x08" * 4, 53),
                        (65535, True, "x" * 255, 65535, 65535, 0, 2 ** 32 - 1, -1, (("\x1b", b""), ("x", b"\xff" * 16))),
                        ("", "", "\x1b", "", "", "", True, ("",) * 5)]

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def value(self, shape: record_shapes.Shape) -> Any:
        """Any that fits."""
        fitting = [value for value in self.TRIED if shape(value)]
        assert fitting, "no value of a shape has been thought of"
        return self._random.choice(fitting)

    def record(self, model: List[int]) -> Tuple[Any, ...]:
        """A record that is let in; its process is a real one of ours seldom, else one that is not."""
        kind = self._random.choice([records.FORK, records.EXEC, records.OPEN, records.EXIT, records.BLIND, records.CALL,
                                    records.CALL, records.CALL])
        parts = [self.value(shape) for _, shape in record_shapes.PARTS[kind]]
        if kind == records.CALL:
            event = self._random.choice(sorted(FULL))
            parts[1:] = [event, self._values(event)]
        return (kind, self.value(record_shapes.U64), self._random.choice(model), 5) + tuple(parts)

    def _values(self, event: str) -> Dict[str, Any]:
        chosen = self._random.sample(sorted(record_shapes.VALUES), self._random.randrange(9))
        return {name: self.value(record_shapes._OF_EVENT.get((event, name)) or record_shapes.VALUES[name])
                for name in list(record_shapes.NEEDED[event]) + chosen}


def test_what_is_let_in_breaks_neither_model_nor_outputs(tmp_path: Path) -> None:
    users = Users(str(tmp_path / "none"), str(tmp_path / "none"))
    inventor = Inventor(5003)
    model = Processes(users)
    pids = [2 ** 30 + number for number in range(7)]
    told = 0
    for _ in range(5003):
        record = check_record(inventor.record(pids))
        event = model.apply(record)
        assert text_form.headline(event)
        assert json_form.event_text(event, "x", {}, 1, None)
        message = as_message(record, users)
        if message is not None:
            theirs = datadog_structs.read("Message", unpack(datadog_structs.write("Message", message)))
            assert as_told(theirs["Syscall"]) is not None
            told += 1
    assert told > 1000
    for name in FULL:
        model.apply(check_record(call_record(name, bare(name))))
