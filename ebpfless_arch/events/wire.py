"""What travels between a tracer and a probe: frames, and the messages of our own dialect as one table.

A frame is a length (32 bits, native byte order) and a message in MessagePack. Datadog's messages are maps
(datadog_structs.py); ours, which only follow when both ends have named them in the hello, are arrays: the number of a
row of MESSAGES and its parts. docs/wire.md tells who says what when.
"""

import struct
from typing import Any, Dict, Iterator, List, Mapping, Optional, Sequence, Tuple, Type

from ebpfless_arch.events import datadog_structs
from ebpfless_arch.events.datadog_structs import OUR_KEY
from ebpfless_arch.events.interest import Interest
from ebpfless_arch.events.msgpack import LENGTH_AT_MOST, WireError, array_head, pack, packed_int
from ebpfless_arch.events.record_shapes import (EVENT, PID, U32, U64, Shape, check_record, flag, mapping, maybe,
                                                number, octets, series, text)
from ebpfless_arch.events.records import Record, decoded, shorten
from ebpfless_arch.named import NamedTuple

VERSION = 1
NONCE_BYTES = 32
SESSION_BYTES = 16
PROOF_BYTES = 32
RECORDS_AT_MOST = 1000
# A batch is filled up to here; a single record may be longer.
BATCH_BYTES = 64 << 10

_LENGTH = struct.Struct("=I")


# --- frames -----------------------------------------------------------------------------

def frame(body: bytes) -> bytes:
    """A message with its length in front; raises WireError for one that nobody would take."""
    if not 0 < len(body) <= LENGTH_AT_MOST:
        raise WireError("a message of %d bytes cannot be sent, 1 to %d can" % (len(body), LENGTH_AT_MOST))
    return _LENGTH.pack(len(body)) + body


class FrameReader:
    """Cuts a stream into messages, however it arrives; holds what was fed, and a length is believed only below
    256 KiB."""

    def __init__(self) -> None:
        self._data = bytearray()
        self._start = 0

    def feed(self, data: bytes) -> None:
        """Take in what has arrived."""
        del self._data[:self._start]
        self._start = 0
        self._data += data

    def __iter__(self) -> Iterator[bytes]:
        """The messages that are whole, each once; raises WireError at a length that cannot be."""
        while len(self._data) - self._start >= _LENGTH.size:
            size, = _LENGTH.unpack_from(self._data, self._start)
            if not 0 < size <= LENGTH_AT_MOST:
                raise WireError("a frame of %d bytes; 1 to %d are taken" % (size, LENGTH_AT_MOST))
            start = self._start + _LENGTH.size
            if len(self._data) < start + size:
                return
            self._start = start + size
            yield bytes(self._data[start:start + size])

    @property
    def held(self) -> int:
        """Bytes that wait for more: 0 between frames."""
        return len(self._data) - self._start


# --- the hello, which both dialects share ---------------------------------------------

class Offer(NamedTuple):
    """What a tracer of ours adds to its hello: the versions of our dialect that it speaks, its run's random name, a
    random value for the proofs, and the number of the last record that a probe has acknowledged in this run."""

    versions: Tuple[int, ...]
    session: bytes
    nonce: bytes
    acknowledged: int = 0


class Hello(NamedTuple):
    """Who is calling: the inode of the tracer's pid namespace, its container ("" and 0 for none: `created` is in ns),
    the command (None where it was attached to), "wrapped" or "attached"."""

    namespace: int
    container: str
    created: int
    command: Optional[Tuple[str, ...]]
    mode: str
    offer: Optional[Offer] = None

    def pack(self) -> bytes:
        """The message, to which a probe of Datadog's listens as well; a long command is cut like an exec's."""
        told: Dict[str, Any] = {"NSID": self.namespace, "EntrypointArgs": _shortened(self.command), "Mode": self.mode,
                                "ContainerContext": {"ID": self.container, "CreatedAt": self.created}}
        if self.offer is None:
            return datadog_structs.write("Message", {"Type": datadog_structs.HELLO, "Hello": told})
        told[OUR_KEY] = dict(zip(_OFFER, self.offer))
        return datadog_structs.write("OurMessage", {"Type": datadog_structs.HELLO, "Hello": told})


def _shortened(command: Optional[Tuple[str, ...]]) -> Optional[List[str]]:
    if command is None:
        return None
    words, _ = shorten([word.encode("utf-8", "surrogateescape") for word in command], False)
    return [decoded(word) for word in words]


_OFFER: Dict[str, Shape] = {
    "Versions": series(U32, 16), "Session": octets(SESSION_BYTES), "Nonce": octets(NONCE_BYTES), "Acknowledged": U64}


def hello_of(message: Any) -> Hello:
    """The hello in an unpacked message; raises WireError."""
    told = datadog_structs.read("OurMessage", message)["Hello"]
    if told is None:
        raise WireError("a hello without its part Hello")
    context = told["ContainerContext"] or {"ID": "", "CreatedAt": 0}
    return Hello(told["NSID"], context["ID"], context["CreatedAt"], told["EntrypointArgs"], told["Mode"],
                 _offer_of(told[OUR_KEY]))


def _offer_of(told: Any) -> Optional[Offer]:
    """Ours, if the tracer is of ours; what a later version adds is passed over."""
    if told is None:
        return None
    if type(told) is not dict or not all(shape(told.get(name)) for name, shape in _OFFER.items()):
        raise WireError("the part %s of a hello is not as it should be" % OUR_KEY)
    offer = Offer(*[told[name] for name in _OFFER])
    if len(offer.session) != SESSION_BYTES or len(offer.nonce) != NONCE_BYTES:
        raise WireError("a hello with a session of %d bytes and a nonce of %d bytes, not %d and %d"
                        % (len(offer.session), len(offer.nonce), SESSION_BYTES, NONCE_BYTES))
    return offer


# --- our own messages -------------------------------------------------------------------

class Welcome(NamedTuple):
    """Probe: I know your dialect; this version, this nonce; do you have to prove that you know the secret?"""

    version: int
    nonce: bytes
    secret: bool
    name: str


class Response(NamedTuple):
    """Tracer: my proof (empty where no secret is asked for)."""

    proof: bytes


class Accepted(NamedTuple):
    """Probe: my own proof, the number of the last record of yours that I have, and what I am interested in."""

    proof: bytes
    last: int
    interest: Dict[str, Any]


class Refused(NamedTuple):
    """Probe: no, and why. Nothing follows."""

    reason: str


class Processes(NamedTuple):
    """Tracer: processes that run already, as FORK and EXEC records: to be known, not to be judged."""

    records: Tuple[Record, ...]


class Records(NamedTuple):
    """Tracer: records, numbered from `first` on without a gap. The first record of a run has the number 1."""

    first: int
    records: Tuple[Record, ...]


class Acknowledged(NamedTuple):
    """Probe: I have dealt with all records up to this number. Repeated, it is the probe's heart-beat."""

    last: int


class Wanted(NamedTuple):
    """Probe: from now on I am interested in this."""

    interest: Dict[str, Any]


class Question(NamedTuple):
    """Tracer: a call waits; this is what it would be, were it refused. May it run?"""

    number: int
    record: Record


class Verdict(NamedTuple):
    """Probe: the errno with which the call shall fail, 0 to let it run."""

    number: int
    errno: int


class Order(NamedTuple):
    """Probe: send this signal to the process that has this pid in your namespace, if it is still the one that began
    at `start` (clock ticks since boot; 0: unknown) and had begun before `time` (ns since the epoch)."""

    number: int
    pid: int
    start: int
    time: int
    signal: int


class Outcome(NamedTuple):
    """Tracer: what became of an order: "performed", "gone" or "refused", and why."""

    number: int
    status: str
    why: str


class Counters(NamedTuple):
    """Tracer: what it has counted since its start. It is the tracer's heart-beat."""

    values: Dict[str, int]


class Context(NamedTuple):
    """Tracer: where it runs, as key:value texts that are to stand at all its events; what it said before is void."""

    tags: Tuple[str, ...]


class Goodbye(NamedTuple):
    """Tracer: the last record has this number; nothing will follow."""

    last: int


def _record(value: Any) -> bool:
    check_record(value)
    return True


_INTEREST: Dict[str, Shape] = {
    "events": series(EVENT, 256), "failures": flag, "denied": series(EVENT, 256),
    "paths": mapping(EVENT, series(text(4096), 4096), 256),
}


def _interest(value: Any) -> bool:
    """What a later version adds to an interest is passed over."""
    return type(value) is dict and all(shape(value.get(name)) for name, shape in _INTEREST.items())


_NUMBER, _PROOF, _RECORDS = U64, octets(PROOF_BYTES), series(_record, RECORDS_AT_MOST)

# Number, class, the shapes of its parts. A change here that an older end would not understand is a new VERSION.
MESSAGES: Tuple[Tuple[int, Type[Any], Tuple[Shape, ...]], ...] = (
    (1, Welcome, (U32, octets(NONCE_BYTES), flag, text(256))),
    (2, Response, (_PROOF,)),
    (3, Accepted, (_PROOF, _NUMBER, _interest)),
    (4, Refused, (text(1024),)),
    (5, Processes, (_RECORDS,)),
    (6, Records, (number(1, (1 << 63) - 1), _RECORDS)),
    (7, Acknowledged, (_NUMBER,)),
    (8, Wanted, (_interest,)),
    (9, Question, (_NUMBER, _record)),
    (10, Verdict, (_NUMBER, number(0, 4095))),
    (11, Order, (_NUMBER, PID, U64, U64, number(0, 64))),
    (12, Outcome, (_NUMBER, text(32), text(1024))),
    (13, Counters, (mapping(text(64), U64, 64),)),
    (14, Goodbye, (_NUMBER,)),
    (15, Context, (series(text(1024), 256),)),
)

Message = Any
_NUMBERS = {kind: code for code, kind, _ in MESSAGES}
_ROWS = {code: (kind, shapes) for code, kind, shapes in MESSAGES}


def pack_message(message: Message) -> bytes:
    """A message of ours as it travels, without its length; raises WireError."""
    return pack((_NUMBERS[type(message)],) + tuple(message))


def pack_records(first: int, packed: Sequence[bytes]) -> bytes:
    """A Records of records that are packed already (record_shapes.pack_record)."""
    return b"".join([array_head(3), packed_int(_NUMBERS[Records]), packed_int(first), array_head(len(packed))]
                    + list(packed))


def pack_processes(packed: Sequence[bytes]) -> bytes:
    """A Processes of records that are packed already."""
    return b"".join([array_head(2), packed_int(_NUMBERS[Processes]), array_head(len(packed))] + list(packed))


def message_of(value: Any) -> Message:
    """The message of ours that was unpacked; raises WireError."""
    row = _ROWS.get(value[0]) if type(value) is tuple and value and type(value[0]) is int else None
    if row is None:
        raise WireError("a message of no known type")
    kind, shapes = row
    name = kind.__name__
    if len(value) != len(shapes) + 1:
        raise WireError("a message %s of %d parts, not %d" % (name, len(value) - 1, len(shapes)))
    for field, shape, part in zip(kind._fields, shapes, value[1:]):
        if not shape(part):
            raise WireError("a message %s whose %s is not as it should be" % (name, field))
    return kind(*value[1:])


def batches(packed: Sequence[bytes]) -> Iterator[List[bytes]]:
    """Packed records in portions that fit into one message each."""
    batch: List[bytes] = []
    size = 0
    for record in packed:
        if batch and (size + len(record) > BATCH_BYTES or len(batch) >= RECORDS_AT_MOST):
            yield batch
            batch, size = [], 0
        batch.append(record)
        size += len(record)
    if batch:
        yield batch


# --- interests as plain data ------------------------------------------------------------

def plain_interest(wanted: Interest, paths: Optional[Mapping[str, Sequence[str]]] = None) -> Dict[str, Any]:
    """An interest as it travels. `paths`: of these events, only those below these paths are needed."""
    return {"events": tuple(sorted(wanted.events)), "failures": wanted.failures,
            "denied": tuple(sorted(wanted.denied)),
            "paths": {event: tuple(prefixes) for event, prefixes in (paths or {}).items()}}


def interest_of(plain: Mapping[str, Any]) -> Interest:
    """The interest in an Accepted or a Wanted that came; its `paths` are plain["paths"]."""
    return Interest(frozenset(plain["events"]), plain["failures"], {event: None for event in plain["denied"]})
