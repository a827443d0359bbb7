"""Notices as JSON objects: what stands on stderr between events that are written there as JSON lines."""

import json
from typing import Any, Dict

from ebpfless_arch.events.json_parts import timestamp
from ebpfless_arch.events.records import now


def notice_text(text: str, level: str, about: Dict[str, Any], room: int) -> str:
    """A notice as a line of at most `room` characters (without its end), for which its text may be cut. `about`: the
    `agent` of every message."""
    while True:
        # ASCII throughout: what is not UTF-8 arrives as text that every parser takes.
        shown = text.encode("utf-8", "backslashreplace").decode("utf-8")
        line = json.dumps({"date": timestamp(now()), "level": level, "message": shown, "agent": about},
                          separators=(",", ":"))
        if len(line) <= room:
            return line
        text = text[:len(text) - 1 - (len(line) - room) // 6]
