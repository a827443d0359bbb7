"""Where events and detections go: one receiver a file, all with the protocol of `Output`."""

import os
from typing import Any, Dict, List, Optional

from ebpfless_arch.events.model import Event
from ebpfless_arch.rules.policy import Rule

_FLUSH_BYTES = 1 << 16


class Output:
    """Takes events. `rule` is None for an event told for its own sake, else the rule that it matches;
    `performed` tells what its actions did to processes (see agent/ending.py).

    Errors while writing are OSError; whoever calls decides what becomes of them.
    """

    def write(self, event: Event, rule: Optional[Rule], sequence: int, performed: List[Dict[str, Any]]) -> None:
        """Take one event."""
        raise NotImplementedError

    def flush(self) -> None:
        """Pass on what is held back; raises OSError."""

    def close(self) -> None:
        """Nothing will follow; raises OSError."""


class LineFile:
    """A file of lines, appended to; "-" is stderr. Whole lines reach the file in one write."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._lines: List[bytes] = []
        self._size = 0
        if path == "-":
            self._descriptor = os.dup(2)
        else:
            self._descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def is_terminal(self) -> bool:
        """Whether a person is looking."""
        return os.isatty(self._descriptor)

    def add(self, line: str) -> None:
        """Append one line (without its end)."""
        data = line.encode("utf-8", "surrogateescape") + b"\n"
        self._lines.append(data)
        self._size += len(data)
        if self._size >= _FLUSH_BYTES:
            self.flush()

    def flush(self) -> None:
        """Write out; raises OSError, the lines are gone then."""
        if not self._lines:
            return
        data, self._lines, self._size = b"".join(self._lines), [], 0
        while data:
            data = data[os.write(self._descriptor, data):]

    def close(self) -> None:
        """Write out and close; raises OSError."""
        try:
            self.flush()
        finally:
            os.close(self._descriptor)


def complain(text: str) -> None:
    """One line on stderr; a closed stderr is nobody's problem."""
    try:
        os.write(2, ("ebpfless: %s\n" % text).encode("utf-8", "surrogateescape"))
    except OSError:
        pass
