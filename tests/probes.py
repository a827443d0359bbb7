"""Probes of ours, and tracers that report to them, as processes."""

import os
import random
import signal
import socket
import subprocess
from pathlib import Path
from types import TracebackType
from typing import List, Optional, Sequence, Type

from blackbox import Event, ebpfless, environment, read_events, rule, status_field, wait_until, write_policy


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nobody uses now, below those that the kernel gives to whoever connects: none of them
    can take it before a probe does, or while it is away."""
    while True:
        port = random.randrange(20000, 32768)
        try:
            with socket.socket() as taken:
                taken.bind(("127.0.0.1", port))
                return port
        except OSError:
            pass


class Probe:
    """`ebpfless probe` with its events in a file; leaving the block kills it."""

    def __init__(self, folder: Path, *options: str, address: str = "", events: bool = True) -> None:
        self.address = address or "127.0.0.1:%d" % free_port()
        self.output = str(folder / "probe.json")
        self._errors = str(folder / "probe.errors")
        self.options = list(options) + (["--events"] if events else [])
        if "--policy" not in options:  # one rule is loaded sooner than all that are built in
            self.options += ["--policy", write_policy(folder / "probe-policy.json", [
                rule("shadow", 'open.file.path == "/etc/shadow"')])]
        self.process: "subprocess.Popen[bytes]"

    def start(self) -> "Probe":
        """Run it, and wait until it listens."""
        before = self.errors().count("the probe listens on")
        command = ebpfless("probe", "--listen", self.address, "--format", "json", "--output", self.output, "--verbose",
                           *self.options)
        with open(self._errors, "ab") as errors:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=errors, env=environment())
        wait_until(lambda: self.errors().count("the probe listens on") > before or self.process.poll() is not None,
                   "the probe listens", 90)
        assert self.process.poll() is None, self.errors()
        return self

    def __enter__(self) -> "Probe":
        return self.start()

    def __exit__(self, kind: Optional[Type[BaseException]], value: Optional[BaseException],
                 traceback: Optional[TracebackType]) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()

    def kill(self) -> None:
        """End it with SIGKILL."""
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        """End it with SIGTERM; its exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(30)

    def errors(self) -> str:
        """What it has said."""
        if not os.path.exists(self._errors):
            return ""
        with open(self._errors, encoding="utf-8") as file:
            return file.read()

    def events(self) -> List[Event]:
        """All that it has written."""
        return read_events(self.output)

    def tracer(self, command: Sequence[str], *options: str) -> List[str]:
        """The argument vector of a tracer that reports to it."""
        return ebpfless("trace", "--probe-addr", self.address, *options) + ["--"] + list(command)


def resident(pid: int) -> int:
    """Memory of a process that is in RAM, in bytes; 0 when it is gone."""
    return int(status_field(pid, "VmRSS").split()[0] or 0) * 1024
