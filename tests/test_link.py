"""Both ends of a link against each other, without a network: who accepts whom, and what arrives."""

import random
from pathlib import Path
from typing import Any, Callable, List, Optional, Tuple, Union

import pytest

import wire_samples
from ebpfless_arch.events import datadog_structs, link, msgpack, records, wire
from ebpfless_arch.events.datadog_records import Told
from ebpfless_arch.events.interest import Interest
from ebpfless_arch.events.link import Missing, ProbeEnd, TracerEnd
from ebpfless_arch.events.msgpack import WireError, pack, unpack
from ebpfless_arch.events.record_shapes import pack_record
from ebpfless_arch.events.users import Users
from ebpfless_arch.events.wire import Accepted, Acknowledged, Hello, Records, frame
from test_msgpack import mutated
from wire_samples import RECORDS

SESSION = b"0123456789abcdef"
SECRET = b"a secret of this test"
HELLO = Hello(4026531836, "box", 17, ("ls", "/"), "wrapped")
INTEREST = wire.plain_interest(Interest(frozenset(["open"])))
PACKED = [pack_record(record) for record in RECORDS]

End = Union[TracerEnd, ProbeEnd]


def counting(seed: int) -> Callable[[int], bytes]:
    """Nonces that a test can repeat, each another."""
    randomly = random.Random(seed)
    return lambda size: bytes(randomly.randrange(256) for _ in range(size))


def tracer(acknowledged: int = 0, secret: bytes = b"", seed: int = 1) -> TracerEnd:
    return TracerEnd(HELLO, SESSION, acknowledged, secret, counting(seed))


def probe(secret: bytes = b"", seed: int = 2) -> ProbeEnd:
    return ProbeEnd(secret, "test", counting(seed))


def carry(giver: End, taker: End, portion: int = 1 << 20) -> List[Any]:
    """Take what one end wants to send to the other; returns the messages that come out there."""
    found: List[Any] = []
    data = giver.take()
    for start in range(0, len(data), portion):
        found += list(taker.feed(data[start:start + portion]))
    return found


def connect(one: TracerEnd, other: ProbeEnd, last: Optional[int] = None) -> Accepted:
    """Bring two ends of ours together; returns the last word."""
    assert carry(one, other) == [] and carry(other, one) == []
    hello, = carry(one, other)
    assert hello._replace(offer=None) == HELLO and other.state == link.GREETED
    other.accept(last, INTEREST)
    accepted, = carry(other, one)
    assert isinstance(accepted, Accepted) and (one.state, other.state) == (link.READY, link.READY)
    return accepted


# --- ours and ours ----------------------------------------------------------------------

@pytest.mark.parametrize("secret", [b"", SECRET])
@pytest.mark.parametrize("portion", [1, 7, 1 << 20])
def test_all_that_two_ends_of_ours_say_arrives(secret: bytes, portion: int) -> None:
    one, other = tracer(secret=secret), probe(secret)
    accepted = connect(one, other)
    assert (accepted.last, wire.interest_of(accepted.interest)) == (0, Interest(frozenset(["open"])))
    one.send(wire.Processes(tuple(RECORDS[:2])))
    one.send_records(1, PACKED)
    said: List[Any] = [wire.Question(1, RECORDS[3]), wire.Counters({"lost": 5}), wire.Outcome(9, "gone", "")]
    for message in said:
        one.send(message)
    one.send(wire.Goodbye(len(PACKED)))
    assert carry(one, other, portion) == (
        [wire.Processes(tuple(RECORDS[:2])), Records(1, tuple(RECORDS))] + said + [wire.Goodbye(len(PACKED))])
    answers: List[Any] = [Acknowledged(other.last), wire.Verdict(1, 13), wire.Order(9, 4711, 0, 0, 9),
                          wire.Wanted(INTEREST)]
    for message in answers:
        other.send(message)
    assert carry(other, one, portion) == answers
    assert other.last == len(PACKED) and one.held == other.held == 0


@pytest.mark.once
def test_200003_records_survive_two_probes_each_once() -> None:
    """The first probe dies with half a batch on its way; the next one knows nothing of the session."""
    kept = [pack_record((records.FORK, number, 101, 101, 100)) for number in range(200003)]
    found: List[int] = []
    one, other = tracer(), probe()
    connect(one, other)
    one.send_records(1, kept[:100003])
    data = one.take()
    for message in other.feed(data[:len(data) * 2 // 3]):
        found += [record[1] for record in message.records]
    acknowledged = other.last
    assert found == list(range(acknowledged)) and 60000 < acknowledged < 75000
    one, other = tracer(acknowledged, seed=3), probe(seed=4)
    accepted = connect(one, other)
    assert accepted.last == acknowledged
    one.send_records(accepted.last + 1, kept[accepted.last:])
    for message in carry(one, other, 65521):
        found += [record[1] for record in message.records]
    assert found == list(range(200003))


def test_what_a_probe_has_already_is_dropped_and_what_is_missing_counted() -> None:
    one, other = tracer(acknowledged=3), probe()
    assert connect(one, other, last=5).last == 5
    one.send_records(4, PACKED[:1])
    one.send_records(5, PACKED[:3])
    one.send_records(12, PACKED[:2])
    one.send_records(13, PACKED[:1])
    one.send(wire.Records(17, ()))
    one.send(wire.Goodbye(15))
    assert carry(one, other) == [
        Records(6, tuple(RECORDS[1:3])), Missing(4), Records(12, tuple(RECORDS[:2])), Missing(2), wire.Goodbye(15)]
    assert other.last == 13


def test_a_probe_that_refuses_says_why() -> None:
    one, other = tracer(), probe()
    carry(one, other), carry(other, one), carry(one, other)
    other.refuse("too many tracers")
    with pytest.raises(WireError, match="^the probe refuses: too many tracers$"):
        carry(other, one)
    assert one.state == other.state == link.CLOSED
    assert list(one.feed(b"x" * 100)) == [] and one.held == 0


def test_a_reason_cannot_forge_lines_of_a_log() -> None:
    one = tracer()
    with pytest.raises(WireError, match=r"refuses: a\\nb\\x1b\[2J$"):
        list(one.feed(frame(wire.pack_message(wire.Refused("a\nb\x1b[2J")))))


# --- the secret -------------------------------------------------------------------------

@pytest.mark.parametrize("of_tracer, of_probe, reason", [
    (b"", SECRET, "the probe asks for a shared secret, and this tracer was given none"),
    (SECRET, b"", "the probe does not ask for the shared secret, so it cannot show that it knows it"),
])
def test_a_secret_on_one_side_only(of_tracer: bytes, of_probe: bytes, reason: str) -> None:
    one, other = tracer(secret=of_tracer), probe(of_probe)
    carry(one, other)
    with pytest.raises(WireError, match=reason):
        carry(other, one)
    assert one.state == link.CLOSED and one.take() == b""


def test_a_wrong_secret_is_refused_by_the_probe() -> None:
    one, other = tracer(secret=b"wrong"), probe(SECRET)
    carry(one, other), carry(other, one)
    with pytest.raises(WireError, match="the tracer does not know the shared secret"):
        carry(one, other)
    with pytest.raises(WireError, match="the probe refuses: the tracer does not know the shared secret"):
        carry(other, one)


def test_a_probe_that_only_pretends_is_refused_by_the_tracer() -> None:
    one, other = tracer(secret=SECRET), probe()
    carry(one, other)
    list(one.feed(frame(wire.pack_message(wire.Welcome(1, bytes(32), True, "impostor")))))
    proof = unpack(one.take()[4:])[1]
    for forged in (b"", bytes(32), proof):
        copy = tracer(secret=SECRET)
        copy.take()
        list(copy.feed(frame(wire.pack_message(wire.Welcome(1, bytes(32), True, "impostor")))))
        with pytest.raises(WireError, match="the probe does not know the shared secret"):
            list(copy.feed(frame(wire.pack_message(Accepted(forged, 0, INTEREST)))))


def test_what_was_overheard_opens_nothing() -> None:
    one, other = tracer(secret=SECRET), probe(SECRET)
    overheard = one.take()
    list(other.feed(overheard))
    welcome = other.take()
    list(one.feed(welcome))
    response = one.take()
    list(other.feed(response))
    assert other.state == link.GREETED
    other.accept(None, INTEREST)
    accepted = other.take()

    with pytest.raises(WireError, match="does not know the shared secret"):
        list(probe(SECRET, seed=5).feed(overheard + response))
    fresh = tracer(secret=SECRET, seed=6)
    list(fresh.feed(welcome))
    with pytest.raises(WireError, match="does not know the shared secret"):
        list(fresh.feed(accepted))


def test_nonces_are_never_the_same() -> None:
    hellos = {TracerEnd(HELLO, SESSION).take() for _ in range(101)}
    assert len(hellos) == 101


# --- ours and Datadog's -----------------------------------------------------------------

def test_a_silent_probe_is_told_in_datadogs_words(tmp_path: Path) -> None:
    users = Users(str(tmp_path / "none"), str(tmp_path / "none"))
    one = tracer()
    one.fall_back()
    assert one.state == link.PLAIN
    sent = [one.tell(record, users, "box") for record in RECORDS]
    assert sent[:9] == [True, True, True, True, False, True, False, False, False]
    bodies = list(wire_samples.bodies(one.take()))
    first = datadog_structs.read("Message", unpack(bodies[0]))
    assert first["Hello"]["Mode"] == "wrapped" and first["Type"] == 1
    assert [unpack(body)["Syscall"]["ContainerID"] for body in bodies[1:]] == ["box"] * sum(sent)


def test_a_tracer_may_speak_their_dialect_only() -> None:
    one = TracerEnd(HELLO)
    assert one.state == link.PLAIN
    assert one.take()[4:] == HELLO.pack()


def test_a_tracer_with_a_secret_never_falls_back() -> None:
    one = tracer(secret=SECRET)
    with pytest.raises(WireError, match="the probe does not answer.*take the secret out"):
        one.fall_back()
    assert one.state == link.CLOSED


@pytest.mark.parametrize("portion", [1009, 1 << 20])
@pytest.mark.parametrize("name, untold", [("wrap_ls", 0), ("wrap_sh", 0), ("wrap_python", 0)])
def test_their_tracer_is_understood(name: str, untold: int, portion: int) -> None:
    raw, expected = wire_samples.recorded(name)
    other = probe()
    found: List[Any] = []
    for start in range(0, len(raw), portion):
        found += list(other.feed(raw[start:start + portion]))
    assert other.state == link.PLAIN and other.take() == b""
    assert isinstance(found[0], Hello) and found[0].offer is None and found[0].mode == "wrapped"
    assert all(isinstance(message, Told) for message in found[1:])
    assert (len(found), other.untold) == (len(expected), untold)


def test_their_tracer_cannot_show_a_secret() -> None:
    other = probe(SECRET)
    with pytest.raises(WireError, match="asks for a shared secret, which Datadog's dialect cannot show"):
        list(other.feed(frame(wire_samples.HELLO)))
    assert other.take() == b""


def test_what_has_no_counterpart_is_counted_and_a_goodbye_understood() -> None:
    other = probe()
    found = list(other.feed(frame(wire_samples.HELLO) + b"".join(
        frame(pack(message)) for message in [{"Type": 2, "Syscall": {"Type": 22, "PID": 1}}, {"Type": 99},
                                             {"Type": 2, "Syscall": {"Type": 77}}, {"Type": 3}])))
    assert (found[1:], other.untold) == ([wire.Goodbye(0)], 3)


def test_a_tracer_that_gave_up_waiting_too_early_is_still_understood() -> None:
    one, other = tracer(), probe()
    carry(one, other)
    one.fall_back()
    assert one.tell(RECORDS[0], Users())
    hello, told = carry(one, other)
    assert hello == HELLO and isinstance(told, Told) and told.record == RECORDS[0] and other.state == link.PLAIN
    late, = carry(other, one)
    assert isinstance(late, wire.Welcome) and one.state == link.PLAIN


def test_giving_up_is_no_way_around_the_secret() -> None:
    one, other = tracer(), probe(SECRET)
    carry(one, other)
    one.fall_back()
    assert one.tell(RECORDS[0], Users())
    with pytest.raises(WireError, match="shared secret|speaks version"):
        carry(one, other)


# --- other versions ---------------------------------------------------------------------

def later(hello: Hello) -> bytes:
    return frame(hello._replace(offer=wire.Offer((2, 3), SESSION, bytes(32))).pack())


def test_a_version_that_we_do_not_speak_leaves_datadogs_dialect() -> None:
    other = probe()
    assert list(other.feed(later(HELLO))) == [HELLO]
    assert other.state == link.PLAIN and other.take() == b""


def test_a_version_that_we_do_not_speak_and_a_secret_leave_nothing() -> None:
    other = probe(SECRET)
    with pytest.raises(WireError, match="this probe speaks version 1 of our dialect, the tracer others"):
        list(other.feed(later(HELLO)))
    with pytest.raises(WireError, match="the probe refuses: this probe speaks version 1"):
        list(tracer().feed(other.take()))


def test_a_probe_of_another_version_is_left() -> None:
    with pytest.raises(WireError, match="wants to speak version 2"):
        list(tracer().feed(frame(wire.pack_message(wire.Welcome(2, bytes(32), False, "x")))))


# --- out of turn, and garbage -------------------------------------------------------------

def ready() -> Tuple[TracerEnd, ProbeEnd]:
    one, other = tracer(), probe()
    connect(one, other)
    return one, other


@pytest.mark.parametrize("message", [Acknowledged(1), wire.Verdict(1, 1), wire.Order(1, 1, 1, 1, 9),
                                     wire.Wanted(INTEREST), wire.Response(b""), wire.Welcome(1, bytes(32), False, "")])
def test_a_probe_takes_only_what_tracers_send(message: Any) -> None:
    _, other = ready()
    with pytest.raises(WireError, match="a tracer does not send " + type(message).__name__):
        list(other.feed(frame(wire.pack_message(message))))


@pytest.mark.parametrize("message", [wire.Records(1, ()), wire.Goodbye(1), wire.Question(1, RECORDS[0]),
                                     wire.Accepted(b"", 1, INTEREST)])
def test_a_tracer_takes_only_what_probes_send(message: Any) -> None:
    one, _ = ready()
    with pytest.raises(WireError, match="a probe does not send " + type(message).__name__):
        list(one.feed(frame(wire.pack_message(message))))


@pytest.mark.parametrize("data, reason", [
    (frame(pack([6, 1, ()])), "the first message is no hello"), (frame(pack({"Type": 2})), "the first message is no"),
    (frame(pack({"Type": 1})), "a hello without its part Hello"), (frame(b"\xc1"), "0xc1"),
    (b"GET / HTTP/1.1\r\n\r\n", "a frame of 542393671 bytes"), (b"\x16\x03\x01\x02\x00\x01\x00", "a frame of"),
    (frame(wire_samples.HELLO) * 2, "a second hello"),
    (frame(wire_samples.HELLO) + frame(pack({"Type": 2})), "without its part Syscall"),
    (frame(HELLO._replace(offer=wire.Offer((1,), SESSION, bytes(32))).pack())
     + frame(wire.pack_message(wire.Response(b""))) + frame(wire.pack_message(wire.Goodbye(1))),
     "before it was accepted"),
])
def test_who_begins_with_something_else_is_left(data: bytes, reason: str) -> None:
    other = probe()
    with pytest.raises(WireError, match=reason):
        list(other.feed(data))
    assert other.state == link.CLOSED


def test_messages_before_a_bad_one_are_not_lost() -> None:
    one, other = ready()
    one.send_records(1, PACKED)
    found: List[Any] = []
    with pytest.raises(WireError):
        for message in other.feed(one.take() + frame(b"\xc1")):
            found.append(message)
    assert found == [Records(1, tuple(RECORDS))] and other.last == len(PACKED)


def test_half_a_message_is_held_and_seen_to_be() -> None:
    one, other = ready()
    one.send_records(1, PACKED)
    assert one.waiting > 0
    data = one.take()
    assert one.waiting == 0
    assert list(other.feed(data[:-1])) == [] and other.held == len(data) - 1


def test_nothing_is_sent_out_of_turn() -> None:
    with pytest.raises(RuntimeError, match="the link is waiting, not ready"):
        tracer().send_records(1, PACKED)
    with pytest.raises(RuntimeError, match="the link is waiting, not greeted"):
        probe().accept(None, INTEREST)


def conversations() -> List[Tuple[str, List[bytes]]]:
    """What a probe and a tracer get to hear in a whole conversation, message by message."""
    one, other = tracer(secret=SECRET), probe(SECRET)
    hello = one.take()
    list(other.feed(hello))
    welcome = other.take()
    list(one.feed(welcome))
    response = one.take()
    list(other.feed(response))
    other.accept(None, INTEREST)
    accepted = other.take()
    list(one.feed(accepted))
    one.send_records(1, PACKED[:9])
    said, answers = [one.take()], []
    questions: List[Any] = [wire.Question(1, RECORDS[3]), wire.Counters({"lost": 5}), wire.Goodbye(9)]
    for message in questions:
        one.send(message)
        said.append(one.take())
    replies: List[Any] = [Acknowledged(9), wire.Verdict(1, 13), wire.Wanted(INTEREST), wire.Order(1, 2, 3, 4, 9)]
    for message in replies:
        other.send(message)
        answers.append(other.take())
    plain = TracerEnd(HELLO)
    for record in RECORDS[:4]:
        plain.tell(record, Users())
    theirs = [frame(body) for body in wire_samples.bodies(plain.take())]
    return [("probe", [hello, response] + said), ("tracer", [welcome, accepted] + answers), ("probe", theirs)]


@pytest.mark.once
def test_anything_may_be_said_and_only_wire_errors_are_raised() -> None:
    randomly = random.Random(3001)
    ended = survived = 0
    spoken = conversations()
    for _ in range(3001):
        listener, messages = randomly.choice(spoken)
        end: End = tracer(secret=SECRET) if listener == "tracer" else probe(SECRET if messages is spoken[0][1] else b"")
        chosen = list(messages)
        place = randomly.randrange(len(chosen))
        body = mutated(randomly, chosen[place][4:])
        chosen[place] = frame(body) if body and randomly.random() < 0.9 else mutated(randomly, chosen[place])
        try:
            for data in chosen:
                for message in end.feed(data):
                    assert message is not None
                if end.state == link.GREETED and isinstance(end, ProbeEnd):
                    end.accept(None, INTEREST)
        except WireError as error:
            assert str(error) and "\n" not in str(error) and end.state == link.CLOSED
            ended += 1
        else:
            survived += 1
        assert end.held <= msgpack.LENGTH_AT_MOST + 4
    assert ended + survived == 3001 and ended > 900 and survived > 90
