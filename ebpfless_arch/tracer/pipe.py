"""Records on their way from the tracer to the keeper: numbered, in batches, marshalled, in pieces.

The pipe is a pair of sockets, since programs of the same user could open a pipe by way of /proc. A tracer and the one that
stands by for it write into the same one. Each piece is a message, which arrives whole or not at all (unix(7)); the batch
that a dead tracer had begun ends where its successor's first piece comes. Records are numbered on from tracer to tracer, so
that whatever does not arrive leaves a gap.
"""

import collections
import ctypes
import errno
import marshal
import os
import select
import struct
import time
from typing import Deque, List, Optional, Tuple

from ebpfless_arch.events import records
from ebpfless_arch.events.records import Record
from ebpfless_arch.kernel import channels
from ebpfless_arch.named import NamedTuple
from ebpfless_arch.tracer.pulse import Pulse

# A piece's writer (a number of its own), whether it is the last of a batch.
_HEAD = struct.Struct("=II")
# With what the kernel needs besides, a message takes 8 KiB of its memory and not more (include/linux/skbuff.h).
_CONTENT = 7680 - _HEAD.size
_PIECE_AT_MOST = 65536
_VERDICT = struct.Struct("=QI")
_PATIENCE_SECONDS = 1.0
_BATCH = 64
_LINGER_SECONDS = 0.003
_PIPE_BYTES = 1 << 20
_FIELDS_AT_LEAST = 4
_BUSY = (errno.EAGAIN, errno.ENOBUFS, errno.ENOMEM)


class Link(NamedTuple):
    """What joins the tracer to its keeper: it writes records, reads verdicts, and shows what it is at."""

    output: int
    verdicts: int
    pulse: Pulse


def make_pipe() -> List[int]:
    """[Read end, write end], both non-blocking and as roomy as the host allows up to 1 MiB."""
    return channels.make(channels.MESSAGES, _PIPE_BYTES, waits=False)


class Ends(NamedTuple):
    """The tracer's side of a link, as the engine uses it."""

    writer: "Writer"
    asker: "Asker"
    pulse: Pulse


def open_ends(link: Link) -> Ends:
    """The tracer's side of a link."""
    writer = Writer(link.output, counter=link.pulse.records)
    return Ends(writer, Asker(writer, link.verdicts), link.pulse)


class Writer:
    """The tracer's end. Never blocks: what the pipe does not take waits in memory, up to `room` bytes; beyond that, records
    are dropped, all but those about the command's state. `counter` is the number of the next record."""

    def __init__(self, descriptor: int, room: int = 2 << 20, counter: Optional[ctypes.c_uint64] = None) -> None:
        self._descriptor = descriptor
        self._batch: List[Record] = []
        self._name = int.from_bytes(os.urandom(4), "little")
        self._waiting: Deque[bytes] = collections.deque()
        self._waiting_bytes = 0
        self._room = room
        self._counter = counter if counter is not None else ctypes.c_uint64(0)
        self._broken = False
        self._due = 0.0

    @property
    def broken(self) -> bool:
        """Whether nobody can read any more."""
        return self._broken

    def is_idle(self) -> bool:
        """Whether nothing is left to write."""
        return not self._batch and not self._waiting and not self._broken

    def may_wait(self) -> float:
        """For how many seconds what there is may wait for more: each batch wakes the keeper, who then needs a CPU."""
        return self._due - time.monotonic() if self._batch and not self._waiting and not self._broken else 0.0

    def put(self, record: Record) -> None:
        """Add a record to the batch."""
        if record[0] == records.STATE:
            self._due = 0.0
        elif not self._batch:
            self._due = time.monotonic() + _LINGER_SECONDS
        self._batch.append(record)
        self._counter.value += 1
        if len(self._batch) >= _BATCH:
            self.flush()

    def flush(self) -> bool:
        """Hand on what there is; True when nothing is left to write."""
        if self._batch:
            self._enqueue()
        return self._write()

    def drain(self, seconds: float) -> bool:
        """Flush, waiting up to `seconds` for a slow reader."""
        end = time.monotonic() + seconds
        while not self.flush():
            left = end - time.monotonic()
            if left <= 0:
                return False
            self.wait(left)
        return True

    def wait(self, seconds: float) -> None:
        """Wait until the pipe takes more, `seconds` at most."""
        poll = select.poll()
        poll.register(self._descriptor, select.POLLOUT)
        poll.poll(seconds * 1000)

    def _enqueue(self) -> None:
        batch, self._batch = self._batch, []
        if self._broken:
            return
        first = self._counter.value - len(batch)
        data = marshal.dumps((first, batch))
        if self._waiting_bytes + len(data) <= self._room:
            self._append(data)
            return
        for number, record in enumerate(batch, first):
            if record[0] == records.STATE:
                self._append(marshal.dumps((number, [record])))

    def _append(self, data: bytes) -> None:
        for start in range(0, len(data), _CONTENT):
            part = data[start:start + _CONTENT]
            self._waiting.append(_HEAD.pack(self._name, start + _CONTENT >= len(data)) + part)
            self._waiting_bytes += len(part) + _HEAD.size

    def _write(self) -> bool:
        while self._waiting:
            try:
                os.write(self._descriptor, self._waiting[0])
            except OSError as error:
                if error.errno in _BUSY:
                    return False
                # Nobody can listen any more; the tracees still have to be resumed.
                self._broken = True
                self._waiting.clear()
                return True
            self._waiting_bytes -= len(self._waiting.popleft())
        return True


class Asker:
    """Asks the keeper, while a tracee is stopped, whether a call shall be refused. No answer in time means no;
    after that nothing is asked until the late answer has come."""

    def __init__(self, writer: Writer, verdicts: int, patience: float = _PATIENCE_SECONDS) -> None:
        self._writer = writer
        self._verdicts = verdicts
        self._patience = patience
        # An answer to the tracer before us may still come.
        self._number = int.from_bytes(os.urandom(4), "little") << 16
        self._deaf = False

    def ask(self, record: Record) -> int:
        """The errno with which the call is to be refused, 0 to let it run."""
        if self._deaf and not self._hears_again():
            return 0
        self._number += 1
        self._writer.put((records.ASK, record[1], record[2], record[3], self._number, record))
        end = time.monotonic() + self._patience
        if self._writer.drain(self._patience):
            while select.select([self._verdicts], [], [], max(0.0, end - time.monotonic()))[0]:
                number, refusal = self._read()
                if number == self._number:
                    return refusal
                if not number:
                    break
        self._deaf = True
        return 0

    def _hears_again(self) -> bool:
        """Whether the answer to the last question has come after all."""
        while self._deaf and select.select([self._verdicts], [], [], 0)[0]:
            number, _ = self._read()
            self._deaf = number != self._number
            if not number:
                break
        return not self._deaf

    def _read(self) -> Tuple[int, int]:
        """A verdict: the question's number and the errno; (0, 0) when nobody answers any more."""
        data = os.read(self._verdicts, _VERDICT.size)
        if len(data) < _VERDICT.size:
            return 0, 0
        number, refusal = _VERDICT.unpack(data)
        return number, refusal


def send_verdict(descriptor: int, number: int, refusal: int) -> None:
    """Answer a question; raises OSError (EPIPE) when nobody waits for it any more."""
    os.write(descriptor, _VERDICT.pack(number, refusal))


class Reader:
    """The keeper's end. It takes in whatever has arrived, so that the small tracer need not hold it, and gives it out batch
    by batch, with a record that says how many are missing before it. Up to `room` bytes wait here. `expected` is the
    number of the next record."""

    def __init__(self, descriptor: int, room: int = 256 << 20) -> None:
        self.descriptor = descriptor
        self.ended = False
        self._begun = bytearray()
        self._batches: Deque[bytes] = collections.deque()
        self._held = 0
        self._writer = -1
        self._room = room
        self.expected = 0

    def has_room(self) -> bool:
        """Whether it wants more."""
        return self._held + len(self._begun) < self._room and not self.ended

    def fill(self) -> None:
        """Take in what the pipe holds; `ended` is set when the tracer's end is closed."""
        while self.has_room():
            try:
                part = os.read(self.descriptor, _PIECE_AT_MOST)
            except BlockingIOError:
                return
            self.ended = not part
            if part:
                self._add(part)

    def has_batch(self) -> bool:
        """Whether a whole batch is there."""
        return bool(self._batches)

    def is_loaded(self) -> bool:
        """Whether something can be done without waiting: a whole batch is there, or the end has come."""
        return self.ended or self.has_batch()

    def move(self, descriptor: int) -> None:
        """Read on from another pipe; what a tracer had not finished writing when it died is dropped."""
        del self._begun[:]
        self.descriptor = descriptor
        self.ended = False

    def batch(self) -> List[Record]:
        """The next batch of records, empty when no whole one is there."""
        if not self._batches:
            return []
        data = self._batches.popleft()
        self._held -= len(data)
        first, found = _unpacked(data)
        if not found:
            return [records.blind(int(time.time() * 1e9), 0, 0, "a message came that no tracer of ours has written", "tampering")]
        # A new image that shares no memory with the old one begins anew.
        missing = max(0, first - self.expected)
        self.expected = first + len(found)
        return [(records.LOST, found[0][1], 0, 0, missing)] + found if missing else found

    def _add(self, piece: bytes) -> None:
        """Put the pieces of a batch together."""
        if len(piece) < _HEAD.size:
            return
        writer, is_last = _HEAD.unpack_from(piece)
        if writer != self._writer:
            self._writer = writer
            del self._begun[:]
        self._begun += piece[_HEAD.size:]
        if is_last:
            self._batches.append(bytes(self._begun))
            self._held += len(self._begun)
            del self._begun[:]


def _unpacked(data: bytes) -> Tuple[int, List[Record]]:
    """The number of the first record of a batch, and all of them: none where this is no batch."""
    try:
        first, found = marshal.loads(data)
    except (EOFError, ValueError, TypeError):
        return 0, []
    fits = isinstance(first, int) and isinstance(found, list) and all(
        isinstance(record, tuple) and len(record) > _FIELDS_AT_LEAST for record in found)
    return (first, found) if fits else (0, [])
