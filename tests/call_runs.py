"""Runs of the programs of tests/programs that do system calls, part by part, and what their events say."""

import copy
import os
from pathlib import Path
from typing import Any, Dict, List, NamedTuple, Sequence, Tuple

import pytest

from blackbox import Event, Result, file_path, is_detection, retval, run_traced

NO_PID = 0x3FFFFFFF
NOBODY = 65534
EPERM, ENOENT, ESRCH, EBADF, ENOMEM, EFAULT, EEXIST, EINVAL = -1, -2, -3, -9, -12, -14, -17, -22
ALWAYS_THERE = frozenset(["agent", "title", "date", "evt", "process", "container", "syscall", "tags"])

WIDTHS = [pytest.param([], id="64-bit"), pytest.param(["-m32", "-static"], id="32-bit")]


class Part(NamedTuple):
    """What one part of the program did: (call, result) as it printed them, and the events that came of it."""

    results: List[Tuple[str, int]]
    events: List[Event]


class Doing:
    """A traced run of some parts of calls.c in a directory of its own."""

    def __init__(self, program: str, names: Sequence[str], folder: Path, options: Sequence[str] = ()) -> None:
        self.folder = folder
        result = run_traced([program] + list(names), options, cwd=str(folder))
        assert (result.status, result.stderr) == (0, b"")
        self.parts = {name: Part([], []) for name in names}
        self._take_results(result)
        self._take_events(result)

    def _take_results(self, result: Result) -> None:
        for line in result.stdout.decode().splitlines():
            word, value = line.split()
            if word == "-":
                current = self.parts[value]
            else:
                current.results.append((word, int(value)))

    def _take_events(self, result: Result) -> None:
        current: List[Event] = []
        for event in result.events:
            name = event["evt"]["name"]
            if name == "open" and os.path.dirname(file_path(event)) == str(self.folder / "mark"):
                current = self.parts[os.path.basename(file_path(event))].events
            current.append(event)

    def told(self, part: str, *types: str) -> List[Dict[str, Any]]:
        """The events of a part, simplified: paths relative to the directory."""
        return [self.simplify(event) for event in self.parts[part].events
                if event["evt"]["name"] in types and not is_detection(event)]

    def results(self, part: str) -> List[int]:
        """What the program saw."""
        return [result for _, result in self.parts[part].results]

    def simplify(self, event: Event) -> Dict[str, Any]:
        """An event without what all have, and without what differs from run to run."""
        event = copy.deepcopy(event)
        name = event["evt"]["name"]
        told: Dict[str, Any] = {"type": name, "retval": retval(event)}
        told.update((key, value) for key, value in event.items() if key not in ALWAYS_THERE and key != "file")
        for target in told.get("signal", {}), told.get("ptrace", {}):
            target.update((key, target[key]["pid"]) for key in ("target", "tracee") if key in target)
        told.update((key, value) for key, value in event["evt"]["variables"].items()
                    if key not in ("retval", "sequence"))
        told.update(event.get("syscall", {}).get(name, {}))
        file = event.get("file")
        if file is not None:
            told["file"] = self.place(file)
            if "mode" in file:
                told["rights"] = file["mode"] & 0o7777
            if "destination" in file:
                destination = file["destination"]
                told["destination"] = self.place(destination) if "path" in destination else destination
            told.update((key, file[key]) for key in ("attribute_name", "attribute_namespace") if key in file)
        return told

    def place(self, file: Dict[str, Any]) -> str:
        """A file's path below the directory; with the name of the error, if there is one."""
        path = file["path"]
        inside = os.path.relpath(path, str(self.folder)) if path.startswith(str(self.folder) + "/") else path
        return inside + (" " + file["path_resolution_error"] if "path_resolution_error" in file else "")


def is_32_bit(program: str) -> bool:
    with open(program, "rb") as image:
        return image.read(5)[4] == 1


def type_below(path: Path) -> str:
    """The type of the file system that holds a path."""
    with open("/proc/self/mounts") as mounts:
        found = [line.split()[1:3] for line in mounts]
    holders = [(place, kind) for place, kind in found if (str(path) + "/").startswith(place.rstrip("/") + "/")]
    return max(holders, key=lambda holder: len(holder[0]))[1]
