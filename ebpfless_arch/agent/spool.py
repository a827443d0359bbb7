"""Records that a probe has not acknowledged: numbered, in memory, and beyond that in a file.

What finds no room is lost, and leaves a gap in the numbers, by which the probe
counts it.
"""

import collections
import os
import struct
from typing import Deque, Iterable, Iterator, List, Tuple, Union

_HEAD = struct.Struct("=I")
_GAP = struct.Struct("=IQ")
_GAP_MARK = 0xFFFFFFFF
_CHUNK = 1 << 20
# What a bytes object and its place in a deque take besides its content.
_OVERHEAD = 56

# The packed records, or how many were lost in their place.
_Entry = Union[bytes, int]


class Spool:
    """A queue of packed records. Numbers begin at 1; `acknowledged` is the last that is not kept any more.

    `room`: bytes of memory. `path`: "" for no file; else it is made anew, and removed at once, so that it ends with
    this process; `file_room` bytes at most. Raises OSError where that is not possible.
    """

    def __init__(self, room: int, path: str = "", file_room: int = 0) -> None:
        self.acknowledged = 0
        self.lost = 0
        # Of these, how many were too large for it even when empty.
        self.oversized = 0
        self._sent: Deque[_Entry] = collections.deque()
        self._unsent: Deque[_Entry] = collections.deque()
        self._last_sent = 0
        self._bytes = 0
        self._room = room
        self._overflow = _Overflow(path, file_room) if path else None

    @property
    def last(self) -> int:
        """The number of the last record, kept or lost."""
        beyond = self._overflow.records if self._overflow else 0
        return self._last_sent + _count(self._unsent) + beyond

    @property
    def size(self) -> int:
        """What it takes of memory now, without a file's content."""
        return self._bytes

    @property
    def room(self) -> int:
        """Bytes of memory that it may take."""
        return self._room

    def is_empty(self) -> bool:
        """Whether all that was put here has been acknowledged."""
        return not self._sent and not self.has_more()

    def has_more(self) -> bool:
        """Whether something has not been sent."""
        return bool(self._unsent) or bool(self._overflow and self._overflow.records)

    def fits(self, packed: bytes) -> bool:
        """Whether memory takes one more, vital or not."""
        return self._bytes + len(packed) + _OVERHEAD <= self._room - (self._room >> 3)

    def put(self, packed: bytes, vital: bool = False) -> bool:
        """Add a record; False if it is lost. The last eighth of the room is for vital ones: without those that tell of
        processes, all later ones would be misunderstood."""
        size = len(packed) + _OVERHEAD
        room = self._room if vital else self._room - (self._room >> 3)
        if self._overflow and self._overflow.records or self._bytes + size > room:
            if self._overflow and self._overflow.put(packed):
                return True
            self.oversized += size > room
            self.skip()
            return False
        self._unsent.append(packed)
        self._bytes += size
        return True

    def skip(self) -> None:
        """Count a record that cannot be kept."""
        self.lost += 1
        if self._overflow and self._overflow.records:
            self._overflow.skip()
        elif self._unsent and isinstance(self._unsent[-1], int):
            self._unsent[-1] += 1
        else:
            self._unsent.append(1)

    def take(self, size: int) -> Tuple[int, List[bytes]]:
        """The next records to send, without a gap between them, `size` bytes or a little more, and the number of the
        first; none if all is sent."""
        self._refill()
        while self._unsent and isinstance(self._unsent[0], int):
            self._send_first()
        first, found = self._last_sent + 1, []
        while self._unsent and size > 0:
            entry = self._unsent[0]
            if isinstance(entry, int):
                break
            found.append(entry)
            size -= len(entry)
            self._send_first()
            if not self._unsent:
                self._refill()
        return first, found

    def rewind(self) -> None:
        """A new link: what was sent and not acknowledged is to be sent again."""
        while self._sent:
            entry = self._sent.pop()
            self._last_sent -= _numbers(entry)
            self._unsent.appendleft(entry)

    def acknowledge(self, number: int) -> Iterator[bytes]:
        """Let go of records up to this one, which were sent; gives them out once more, in their order."""
        while self._sent and self.acknowledged + _numbers(self._sent[0]) <= number:
            entry = self._sent.popleft()
            self.acknowledged += _numbers(entry)
            if isinstance(entry, bytes):
                self._bytes -= len(entry) + _OVERHEAD
                yield entry
        if not self._sent:
            self.acknowledged = self._last_sent

    def drop_up_to(self, number: int) -> Iterator[bytes]:
        """As `acknowledge`, also of what was not sent over this link: the probe has it from an earlier one."""
        while self._last_sent < number and self.has_more():
            self._refill()
            if not self._unsent or self._last_sent + _numbers(self._unsent[0]) > number:
                break
            self._send_first()
        return self.acknowledge(number)

    def drain(self) -> Iterator[bytes]:
        """Take out everything, in its order; all counts as acknowledged."""
        self.rewind()
        while self.has_more():
            self.take(_CHUNK)
            for packed in self.acknowledge(self._last_sent):
                yield packed

    def _send_first(self) -> None:
        entry = self._unsent.popleft()
        self._last_sent += _numbers(entry)
        self._sent.append(entry)

    def _refill(self) -> None:
        """Bring back from the file what has room again."""
        if self._unsent or not self._overflow:
            return
        for entry in self._overflow.take():
            self._unsent.append(entry)
            if isinstance(entry, bytes):
                self._bytes += len(entry) + _OVERHEAD


def _numbers(entry: _Entry) -> int:
    return entry if isinstance(entry, int) else 1


def _count(entries: Iterable[_Entry]) -> int:
    return sum(map(_numbers, entries))


class _Overflow:
    """The file: a length and a record each, or a mark and the size of a gap. Written at its end, read from its front,
    and emptied when all is read."""

    def __init__(self, path: str, room: int) -> None:
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
        self._descriptor = os.open(path, flags, 0o600)
        os.unlink(path)
        self._room = room
        self._read = 0
        self._end = 0
        self._gap = 0
        self.records = 0

    def put(self, packed: bytes) -> bool:
        """Append a record; False where there is no room, also on the disk."""
        data = self._gap_head() + _HEAD.pack(len(packed)) + packed
        if self._end + len(data) > self._room:
            return False
        try:
            written = os.pwrite(self._descriptor, data, self._end)
        except OSError:
            return False
        if written < len(data):
            return False  # the next record overwrites the beginning of this one
        self._gap = 0
        self._end += len(data)
        self.records += 1
        return True

    def skip(self) -> None:
        """Note a gap behind what is there."""
        self._gap += 1
        self.records += 1

    def _gap_head(self) -> bytes:
        return _GAP.pack(_GAP_MARK, self._gap) if self._gap else b""

    def take(self) -> List[_Entry]:
        """The next records, some 1 MiB of them; a record is lost whose bytes cannot be read. """
        data = self._front()
        found: List[_Entry] = []
        position = 0
        while position + _HEAD.size <= len(data):
            size, = _HEAD.unpack_from(data, position)
            end = position + (_GAP.size if size == _GAP_MARK else _HEAD.size + size)
            if end > len(data):
                break
            found.append(_GAP.unpack_from(data, position)[1] if size == _GAP_MARK
                         else data[position + _HEAD.size:end])
            position = end
        self._read += position
        self.records -= _count(found)
        if not position or self._read == self._end:
            found += self._empty()
        return found

    def _front(self) -> bytes:
        try:
            return os.pread(self._descriptor, min(_CHUNK, self._end - self._read), self._read)
        except OSError:
            return b""

    def _empty(self) -> List[_Entry]:
        """Begin anew; what was not read by now is lost."""
        left, self.records, self._gap = self.records, 0, 0
        self._read = self._end = 0
        os.ftruncate(self._descriptor, 0)
        return [left] if left else []
