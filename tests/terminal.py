"""A program in a pseudo-terminal of its own, as a user at a keyboard has it."""

import fcntl
import os
import pty
import re
import select
import subprocess
import termios
import time
from types import TracebackType
from typing import Any, Match, Optional, Sequence, Type

from blackbox import end_tree, environment


class Terminal:
    """Starts a command as the leader of a new session whose controlling terminal is ours to type into."""

    def __init__(self, command: Sequence[str], **options: Any) -> None:
        self.master, slave = pty.openpty()
        self.output = b""
        self._seen = 0
        options.setdefault("env", environment(TERM="dumb", PS1="prompt$ "))
        self.process = subprocess.Popen(list(command), stdin=slave, stdout=slave, stderr=slave,
                                        start_new_session=True, preexec_fn=_take_terminal, **options)
        os.close(slave)

    def __enter__(self) -> "Terminal":
        return self

    def __exit__(self, kind: Optional[Type[BaseException]], value: Optional[BaseException],
                 traceback: Optional[TracebackType]) -> None:
        if self.process.poll() is None:
            end_tree(self.process.pid)
        self.process.wait()
        os.close(self.master)

    def type(self, text: str) -> None:
        """Types text; "\\x03" is Ctrl-C, "\\x1a" Ctrl-Z."""
        os.write(self.master, text.encode())

    def expect(self, pattern: str, seconds: float = 30.0) -> Match[bytes]:
        """Waits for output after what was expected before that matches; AssertionError when none comes."""
        deadline = time.monotonic() + seconds
        while True:
            found = re.compile(pattern.encode()).search(self.output, self._seen)
            if found:
                self._seen = found.end()
                return found
            more = self._read(deadline - time.monotonic())
            assert more, "no {!r} in {!r}".format(pattern, self.output[self._seen:])
            self.output += more

    def finish(self, seconds: float = 30.0) -> int:
        """Waits for the end of the program, reading what it still writes; its status as subprocess has it."""
        deadline = time.monotonic() + seconds
        while self.process.poll() is None:
            assert time.monotonic() < deadline, "still running after {!r}".format(self.output)
            self.output += self._read(0.02)
        self.output += self._read(0.0)
        return self.process.returncode

    def _read(self, seconds: float) -> bytes:
        ready, _, _ = select.select([self.master], [], [], max(0.0, seconds))
        try:
            return os.read(self.master, 65536) if ready else b""
        except OSError:  # EIO: nobody has the terminal open any more
            return b""


def _take_terminal() -> None:
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
