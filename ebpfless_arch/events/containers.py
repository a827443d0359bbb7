"""Containers, told by the cgroups of a process (v1 and v2)."""

import re
from typing import Dict

from ebpfless_arch.events.model import NO_CONTAINER, Container
from ebpfless_arch.named import NamedTuple

_ID = r"[0-9a-fA-F]{64}|[0-9a-fA-F]{32}-\d+|[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){4}"
_CONTAINER_ID = re.compile(r"(?<![0-9a-fA-F])(?:" + _ID + r")(?![0-9a-fA-F])")
_KEPT_AT_MOST = 512


class Place(NamedTuple):
    """Where a process runs: its container and its cgroup's path."""

    container: Container
    cgroup: str


class Containers:
    """Turns the text of /proc/PID/cgroup into places; a container's start is when we first saw it.

    `home` is the container of whoever read that text: in a cgroup namespace of its own (cgroup_namespaces(7)), its
    processes are at "/", and nothing in there tells its id.
    """

    def __init__(self) -> None:
        self.home = ""
        self._places: Dict[bytes, Place] = {}
        self._containers: Dict[str, Container] = {}

    def place(self, text: bytes, time: int) -> Place:
        """The place that a cgroup file's text describes; `time` in ns is now."""
        found = self._places.get(text)
        if found is None:
            if len(self._places) >= _KEPT_AT_MOST:
                self._places.clear()
            found = self._parse(text.decode("utf-8", "surrogateescape"), time)
            self._places[text] = found
        return found

    def _parse(self, text: str, time: int) -> Place:
        cgroup = ""
        for line in text.splitlines():
            hierarchy, _, rest = line.partition(":")
            controllers, _, path = rest.partition(":")
            identifier = container_id(path)
            if identifier:
                container = self._containers.setdefault(identifier, Container(identifier, time))
                return Place(container, path)
            if hierarchy == "0" or controllers == "name=systemd" and not cgroup:
                cgroup = path
        at_home = self.home and all(line.endswith(":/") for line in text.splitlines())
        return Place(self._containers.setdefault(self.home, Container(self.home, time)) if at_home else NO_CONTAINER, cgroup)


def container_of(text: bytes) -> str:
    """The container id that the text of /proc/PID/cgroup tells, "" where it tells none."""
    return Containers().place(text, 0).container.id


def container_id(path: str) -> str:
    """The container id in a cgroup path, "" when there is none: 64 hex digits, an ECS task's id or a UUID.

    Kubernetes nests the container below the pod, so there the last element is looked at first.
    """
    if "kubepods" in path:
        found = _CONTAINER_ID.findall(path.rpartition("/")[2])
        if found:
            return str(found[-1])
    found = _CONTAINER_ID.findall(path)
    return str(found[-1]) if found else ""
