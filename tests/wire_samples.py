"""Recorded messages of Datadog's tracer, and one record of each kind that travels."""

import json
import struct
from pathlib import Path
from typing import Any, Dict, Iterator, List, Tuple

import pytest

from call_samples import FULL, IDENTITY, STATUS, bare, call_record
from ebpfless_arch.events import records

FRAMES = Path(__file__).resolve().parent.parent.parent / "shared" / "reference" / "frames"
STREAMS = ("wrap_ls", "wrap_sh", "wrap_python")

# A hello as `cws-instrumentation trace -- /usr/bin/ls /` sends it, and the setgid of another run.
HELLO = bytes.fromhex(
    "83a454797065d200000001a548656c6c6f84a44e534944cf00000000effffffcb0436f6e7461696e6572436f6e7465787482a24944a0a943"
    "7265617465644174cf18eac4c1c9475755ae456e747279706f696e744172677392ab2f7573722f62696e2f6c73a12fa44d6f6465a7777261"
    "70706564a753797363616c6cc0")

TIME = 1700000000 * 10 ** 9
RECORDS: List[records.Record] = [
    (records.FORK, TIME, 101, 101, 100),
    (records.EXEC, TIME, 101, 102, 0, b"/usr/bin/caf\xe9", b"caf\xe9", (b"x", b"\xff\xfe", b""), False,
     (b"PATH=/bin",), True, STATUS, b"/bin/sh", STATUS, IDENTITY, b"caf\xe9", 136 << 8, 17, b"0::/x\n", True),
    (records.EXEC, TIME, 101, 101, -13, b"/root/x", b"x", (), False, (), False, None, b"", None, (0,) * 9, b"", 0, 0,
     b"", False),
    (records.OPEN, TIME, 101, 101, 3, b"/etc/passwd", b"passwd", 0o2000000, 0, STATUS, "", True),
    (records.OPEN, TIME, 101, 101, -2, b"/nowhere", b"/nowhere", 0o101, 0o640, None, "ENOENT", False),
    (records.EXIT, TIME, 101, 101, 2, 9),
    (records.BLIND, TIME, 101, 101, "a system call of an unknown ABI", "abi", 17),
    (records.LOST, TIME, 0, 0, 5003),
    (records.FAULT, TIME, 101, 101, "Traceback ..."),
]
RECORDS += [call_record(event, FULL[event]) for event in FULL]
RECORDS += [call_record(event, bare(event), -1) for event in FULL]


def recorded(name: str) -> Tuple[bytes, List[Dict[str, Any]]]:
    """A recorded stream, and its messages as decoded by their own tool; skips where there is none."""
    raw = FRAMES / (name + ".raw")
    if not raw.exists():
        pytest.skip("needs the recorded frames, which are not part of the project")
    lines = [json.loads(line) for line in (FRAMES / (name + ".jsonl")).read_text().splitlines()]
    return raw.read_bytes(), [line["msg"] for line in lines if "msg" in line]


def bodies(raw: bytes) -> Iterator[bytes]:
    """The messages of a stream, cut without our help."""
    while raw:
        size, = struct.unpack("=I", raw[:4])
        yield raw[4:4 + size]
        raw = raw[4 + size:]
