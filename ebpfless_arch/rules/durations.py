"""Durations of policies: `1h`, `1m30s`, `500ms`, or a plain number of nanoseconds."""

import re

_UNITS = {"ns": 1, "us": 10**3, "µs": 10**3, "ms": 10**6, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9}
_PART = re.compile(r"(\d{1,18})(?:\.(\d{1,18}))?(ns|us|µs|ms|s|m|h)", re.ASCII)
_AT_MOST = 2**63 - 1


def nanoseconds(value: object) -> int:
    """The duration in nanoseconds; None is 0. Raises ValueError."""
    if value is None:
        return 0
    found = -1
    if isinstance(value, int) and not isinstance(value, bool):
        found = value
    elif isinstance(value, str):
        found = _parse(value)
    if not 0 <= found <= _AT_MOST:
        raise ValueError(f"{value!r} is no duration such as 30s, 1m30s or a number of nanoseconds")
    return found


def _parse(text: str) -> int:
    if text == "0":
        return 0
    total = at = 0
    while at < len(text):
        part = _PART.match(text, at)
        if part is None:
            return -1
        whole, fraction, unit = part.groups("")
        total += int(whole) * _UNITS[unit] + int(fraction or 0) * _UNITS[unit] // 10**len(fraction)
        at = part.end()
    return total if text else -1
