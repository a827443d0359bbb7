"""Names of users and groups, read from passwd(5) and group(5) without NSS.

NSS would load libraries and may ask the network; a containerised agent wants
the files of its own root. They are read again when their time stamp changes,
looked at once a second at most.
"""

import os
import time
from typing import Dict, Tuple

_FRESH_SECONDS = 1.0


class _Names:
    """One file of name:x:id lines."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.names: Dict[int, str] = {}
        self.stamp: Tuple[int, int] = (-1, -1)
        self.looked = 0.0

    def name(self, number: int) -> str:
        now = time.monotonic()
        if now - self.looked > _FRESH_SECONDS:
            self.looked = now
            self._refresh()
        return self.names.get(number, "")

    def _refresh(self) -> None:
        try:
            status = os.stat(self.path)
            stamp = (status.st_mtime_ns, status.st_ino)
            if stamp != self.stamp:
                with open(self.path, encoding="utf-8", errors="surrogateescape") as lines:
                    self.names = _parse(lines.read())
                self.stamp = stamp
        except OSError:
            self.names = {}
            self.stamp = (-1, -1)


def _parse(text: str) -> Dict[int, str]:
    names: Dict[int, str] = {}
    for line in text.splitlines():
        parts = line.split(":")
        if len(parts) > 2 and parts[2].isdigit():
            names.setdefault(int(parts[2]), parts[0])
    return names


class Users:
    """Looks up names; unknown ids have the name "". `elsewhere`: the processes that have these ids run where we cannot
    look, in another pid namespace or on another host, so nothing about them or their files can be read here."""

    def __init__(self, passwd: str = "/etc/passwd", group: str = "/etc/group", elsewhere: bool = False) -> None:
        self.elsewhere = elsewhere
        self._users = _Names(passwd)
        self._groups = _Names(group)

    def user(self, uid: int) -> str:
        """Name of the user id, "" when it has none."""
        return self._users.name(uid)

    def group(self, gid: int) -> str:
        """Name of the group id, "" when it has none."""
        return self._groups.name(gid)
