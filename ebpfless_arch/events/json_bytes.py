"""Texts that are not UTF-8, in JSON: whatever parser reads a line finds nothing to object to, and no byte is lost.

Python writes a byte that is not UTF-8 as one half of a surrogate pair, which
others refuse (RFC 8259, section 8.2). Here it becomes U+FFFD, as in Datadog's
messages; `evt.variables.raw_bytes` then has the text's bytes in base64, by the
names that lead to it: {"file.path": "L3RtcC//"}, {"process.args.3": ...}.
"""

import base64
import json
import re
from typing import Any, Dict

RAW = "raw_bytes"

_HALF_OF_A_PAIR = re.compile("[\ud800-\udfff]")
_SUSPECT = "\\ud"


def well_formed(line: str) -> str:
    """A message, written by json.dumps, without halves of surrogate pairs. Most have none, and cost one search."""
    if _SUSPECT not in line:
        return line
    form = json.loads(line)
    raw: Dict[str, str] = {}
    form = _replaced(form, "", raw)
    if raw:
        form["evt"]["variables"][RAW] = raw
    return json.dumps(form, separators=(",", ":"))


def _replaced(part: Any, name: str, raw: Dict[str, str]) -> Any:
    if isinstance(part, dict):
        return {_text(key): _replaced(value, _below(name, _text(key)), raw) for key, value in part.items()}
    if isinstance(part, list):
        return [_replaced(value, _below(name, str(index)), raw) for index, value in enumerate(part)]
    if isinstance(part, str) and _HALF_OF_A_PAIR.search(part):
        # What a policy wrote may have other halves than those that stand for bytes.
        raw[name] = base64.b64encode(part.encode("utf-8", "surrogateescape" if _is_bytes(part) else "surrogatepass")
                                     ).decode("ascii")
        return _text(part)
    return part


def _below(name: str, more: str) -> str:
    return "%s.%s" % (name, more) if name else more


def _text(text: str) -> str:
    return _HALF_OF_A_PAIR.sub("\ufffd", text)


def _is_bytes(text: str) -> bool:
    return all("\udc80" <= half <= "\udcff" for half in _HALF_OF_A_PAIR.findall(text))
