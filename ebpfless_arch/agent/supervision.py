"""What a service manager wants of a server: readiness and life signs (sd_notify(3)), a file with its process id."""

import os
import socket
import time
from typing import Mapping

from ebpfless_arch.agent.options import UsageError


class Supervisor:
    """Tells systemd how we are, where it has started us and asks for that; else does nothing."""

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        self._address = environment.get("NOTIFY_SOCKET", "")
        if self._address.startswith("@"):
            self._address = "\0" + self._address[1:]
        # Twice in the time after which it would take us for hung.
        mine = environment.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        period = environment.get("WATCHDOG_USEC", "")
        self._pause = int(period) / 2e6 if mine and period.isdigit() else 0.0
        self._due = 0.0

    @property
    def pause(self) -> float:
        """Seconds between life signs, 0 for none."""
        return self._pause

    def tell(self, *assignments: str) -> None:
        """Send "READY=1", "RELOADING=1", "STOPPING=1", "STATUS=..."; nobody there is nobody's problem."""
        if self._address:
            try:
                with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as there:
                    there.connect(self._address)
                    there.send("\n".join(assignments).encode())
            except OSError:
                pass

    def live(self) -> None:
        """A life sign, if one is due."""
        now = time.monotonic()
        if self._pause and now >= self._due:
            self._due = now + self._pause
            self.tell("WATCHDOG=1")


class PidFile:
    """A file that holds our process id as long as the block lasts; "" for none. Raises UsageError."""

    def __init__(self, path: str) -> None:
        self._path = path

    def __enter__(self) -> "PidFile":
        if self._path:
            try:
                with open(self._path, "w") as file:
                    file.write("%d\n" % os.getpid())
            except OSError as error:
                raise UsageError("--pid-file %s: %s" % (self._path, error.strerror))
        return self

    def __exit__(self, *problem: object) -> None:
        if self._path:
            try:
                os.unlink(self._path)
            except OSError:
                pass
