"""What a probe that was killed had written already: its records come again to the next one, their lines must not.

A line of JSON says which record of which run of a tracer it is about. The end of the file tells how far each run had
come; of the last record some lines may be missing, and the last line may be torn.
"""

import os
import re
import stat
from typing import Dict, Optional, Tuple

# A quotation mark within a text has a backslash before it, so no text can look like this.
_KEY = re.compile(rb'"tracer":"([0-9a-f]{32})","record":(\d+)[,}]')
# More than tracers can have on their way; acknowledged records never come again.
_TAIL_BYTES = 64 << 20
_PORTION = 1 << 20

_Record = Tuple[str, int]


class Written:
    """The last record of each run that was written, and of the very last one the number of its lines."""

    def __init__(self, numbers: Dict[str, int], last: Optional[_Record] = None, lines: int = 0) -> None:
        self._numbers = numbers
        self._last = last
        self._lines = lines

    def has(self, tracer: str, number: int) -> bool:
        """Whether the next line about this record is there already."""
        known = self._numbers.get(tracer, 0)
        if number != known or (tracer, number) != self._last:
            return number <= known
        self._lines -= 1
        return self._lines >= 0


NOTHING = Written({})


def written_in(path: str) -> Written:
    """What a file holds; a torn line at its end is cut off. Raises OSError for a file that cannot be read."""
    if path == "-" or not os.path.exists(path) or not stat.S_ISREG(os.stat(path).st_mode):
        return NOTHING
    with open(path, "r+b") as file:
        size = file.seek(0, os.SEEK_END)
        end = _last_line_end(file.fileno(), size)
        if end < size:
            file.truncate(end)
        return _read(file.fileno(), max(0, end - _TAIL_BYTES), end)


def _last_line_end(descriptor: int, size: int) -> int:
    while size:
        start = max(0, size - _PORTION)
        found = os.pread(descriptor, size - start, start).rfind(b"\n")
        if found >= 0:
            return start + found + 1
        size = start
    return 0


def _read(descriptor: int, start: int, end: int) -> Written:
    """The keys of all lines in order; a line has one."""
    numbers: Dict[str, int] = {}
    last: Optional[_Record] = None
    lines, rest = 0, b""
    while start < end:
        data = rest + os.pread(descriptor, min(_PORTION, end - start), start)
        start += _PORTION
        cut = data.rfind(b"\n") + 1
        for tracer, digits in _KEY.findall(data, 0, cut):
            key = tracer.decode(), int(digits)
            lines = lines + 1 if key == last else 1
            last = key
            numbers[key[0]] = max(numbers.get(key[0], 0), key[1])
        rest = data[cut:]
    return Written(numbers, last, lines)
