"""Where events and detections go: one receiver a file, all with the protocol of `Output`."""

import os
import select
import stat
import time
from typing import TYPE_CHECKING, Any, Dict, List, Optional

from ebpfless_arch.named import NamedTuple

if TYPE_CHECKING:
    from ebpfless_arch.events.model import Event
    from ebpfless_arch.rules.ruleset import Rule

_FLUSH_BYTES = 1 << 16
_CLOSING_SECONDS = 5.0


class Output:
    """Takes events. `rule` is None for an event told for its own sake, else the rule that it matches;
    `performed` tells what its actions did to processes (see agent/ending.py).

    Errors while writing are OSError; whoever calls decides what becomes of them. `name` is what they are told with.
    """

    name = "an output"

    def write(self, event: "Event", rule: "Optional[Rule]", sequence: int, performed: List[Dict[str, Any]]) -> None:
        """Take one event."""
        raise NotImplementedError

    @property
    def dropped(self) -> int:
        """Lines that could not be written until now."""
        return 0

    @property
    def why_dropped(self) -> str:
        """What made them get lost."""
        return ""

    def flush(self) -> bool:
        """Pass on what is held back; True when something has to wait. Raises OSError."""
        return False

    def leave(self) -> None:
        """A copy of this process goes on; here only `close` follows."""

    def close(self) -> int:
        """Nothing will follow; returns how many lines could not be written. Raises OSError."""
        return 0


class Label(NamedTuple):
    """What a line is about, for protocols that have a place for it: when it happened (ns since the epoch), how severe the rule
    calls it ("" for a plain event), and the rule's id or the event's type."""

    time: int
    severity: str
    name: str


def label_of(event: "Event", rule: "Optional[Rule]") -> Label:
    """The label of an event's line, or of a detection's."""
    return Label(event.time, "", event.type) if rule is None else Label(event.time, rule.severity, rule.base_id)


class Sink:
    """Where lines go. `why_dropped` says what made `dropped` of them get lost."""

    name = "a sink"
    dropped = 0
    why_dropped = "whoever reads the output was too slow"

    def takes_colours(self) -> bool:
        """Whether a person is looking who likes colours."""
        return False

    def add(self, line: str, label: Label) -> None:
        """Append one line (without its end)."""
        raise NotImplementedError

    def flush(self) -> bool:
        """Pass on what can be passed on now; True when something has to wait. Raises OSError."""
        raise NotImplementedError

    def leave(self) -> None:
        """A copy of this process goes on with what is held back."""

    def close(self) -> None:
        """Pass on the rest, as long as it is taken. Raises OSError."""
        raise NotImplementedError


class LineFile(Sink):
    """A file of lines, appended to; "-" is stderr. A reader that is slow (a pipe) is never waited for: what it does
    not take stays here, up to `room` bytes, and then lines are dropped and counted."""

    def __init__(self, path: str, room: int = 16 << 20) -> None:
        self.name = "on stderr" if path == "-" else path
        self.dropped = 0
        self._lines: List[bytes] = []
        self._size = 0
        self._room = room
        if path == "-":
            self._descriptor = os.dup(2)
        else:
            self._descriptor = _open_for_appending(path)

    @property
    def is_closed(self) -> bool:
        """Whether nothing can be appended any more."""
        return self._descriptor < 0

    def takes_colours(self) -> bool:
        """Whether a person is looking, at a terminal that has colours, and wants them (https://no-color.org)."""
        return os.isatty(self._descriptor) and os.environ.get("TERM", "dumb") != "dumb" and not os.environ.get("NO_COLOR")

    def add(self, line: str, label: Optional[Label] = None) -> None:
        """Append one line (without its end)."""
        data = line.encode("utf-8", "backslashreplace") + b"\n"
        if self._size + len(data) > self._room:
            self.dropped += 1
            return
        self._lines.append(data)
        self._size += len(data)
        if self._size >= _FLUSH_BYTES:
            self.flush()

    def flush(self) -> bool:
        """Write what the reader takes now; True when something is left. Raises OSError, the lines are gone then."""
        if not self._lines:
            return False
        data, self._lines, self._size = b"".join(self._lines), [], 0
        try:
            while data and self._is_ready(0):
                data = data[os.write(self._descriptor, data[:self._portion()]):]
        except BlockingIOError:
            pass  # somebody else has filled the pipe in between
        if data:
            self._lines, self._size = [data], len(data)
        return bool(data)

    def close(self) -> None:
        """Write out, waiting a moment for a slow reader, and close; raises OSError."""
        try:
            end = time.monotonic() + _CLOSING_SECONDS
            while self.flush() and time.monotonic() < end:
                self._is_ready(_CLOSING_SECONDS)
            self.dropped += b"".join(self._lines).count(b"\n")
        finally:
            os.close(self._descriptor)
            self._descriptor = -1

    def _is_ready(self, seconds: float) -> bool:
        poll = select.poll()
        poll.register(self._descriptor, select.POLLOUT)
        return bool(poll.poll(seconds * 1000))

    def _portion(self) -> int:
        """How much can be written without waiting: a pipe that is ready takes PIPE_BUF bytes (pipe(7))."""
        return _FLUSH_BYTES if stat.S_ISREG(os.fstat(self._descriptor).st_mode) else select.PIPE_BUF


class Lines(Output):
    """What all outputs share that write lines: theirs is only what the lines say."""

    def __init__(self, file: Sink) -> None:
        self.name = file.name
        self._file = file

    @property
    def dropped(self) -> int:
        """Lines that were not taken."""
        return self._file.dropped

    @property
    def why_dropped(self) -> str:
        """What made them get lost."""
        return self._file.why_dropped

    def flush(self) -> bool:
        """Write out; True when something is left. Raises OSError."""
        return self._file.flush()

    def leave(self) -> None:
        """A copy of this process goes on with what is held back."""
        self._file.leave()

    def close(self) -> int:
        """Write out and close; returns how many lines were dropped. Raises OSError."""
        self._file.close()
        return self._file.dropped


def is_url(path: str) -> bool:
    """Whether an output is meant that is no file (agent/outputs/targets.py)."""
    return "://" in path or path.startswith("unix:/")


def _open_for_appending(path: str) -> int:
    """Raises OSError, also for a named pipe that nobody reads."""
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
    return os.open(path, flags | os.O_NONBLOCK, 0o600)


class Voice:
    """Says what whoever started us has to know: a line on stderr each, in the form of the outputs that write there.

    `about`: what JSON objects hold of us; None for text.
    """

    def __init__(self, about: Optional[Dict[str, Any]] = None) -> None:
        self._about = about
        self._file: Optional[LineFile] = None

    def share(self, file: LineFile) -> None:
        """From now on use this file of JSON lines on stderr, so that no object begins within another one."""
        if self._about is not None:
            self._file = self._file or file

    def complain(self, text: str, level: str = "info") -> None:
        """Say it; a stderr that is closed, or that nobody reads, is nobody's problem."""
        if self._about is None:
            complain(text)
        elif self._file is None or self._file.is_closed:
            _write_line(self._object(text, level))
        else:
            try:
                self._file.add(self._object(text, level))
                self._file.flush()
            except OSError:
                pass

    def log(self, level: str, text: str) -> None:
        """Say it with its level."""
        self.complain(text if self._about is not None else "%s: %s" % (level, text), level)

    def _object(self, text: str, level: str) -> str:
        """As one line that a pipe takes in one piece."""
        # Heavy, and of no use where text is written.
        from ebpfless_arch.agent.outputs.notices import notice_text

        return notice_text(text, level, self._about or {}, select.PIPE_BUF - 1)


def complain(text: str) -> None:
    """One line of text on stderr; see Voice."""
    _write_line("ebpfless: " + text)


def _write_line(line: str) -> None:
    data = line.encode("utf-8", "backslashreplace")
    poll = select.poll()
    poll.register(2, select.POLLOUT)
    try:
        if poll.poll(0):
            os.write(2, data[:select.PIPE_BUF - 1] + b"\n")
    except OSError:
        pass
