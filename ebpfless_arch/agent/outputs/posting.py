"""Messages as bodies of HTTP requests (POST), one request after the other, each with an answer."""

import re
from typing import Any, Dict, List, Optional, Tuple

from ebpfless_arch import __version__
from ebpfless_arch.agent.outputs.forms import Envelope
from ebpfless_arch.agent.outputs.ways import Closed, Queue, Way
from ebpfless_arch.named import NamedTuple

_INT64_END = 1 << 63
_BATCH_BYTES = 256 << 10
_BATCH_MESSAGES = 1000
_ANSWER_SECONDS = 20.0
_HEAD_AT_MOST = 64 << 10
_BODY_AT_MOST = 1 << 20
# Statuses that may be others a while later (RFC 9110, 15.5 and 15.6; RFC 6585): the messages are sent again.
_LATER = frozenset([408, 425, 429, 500, 502, 503, 504])
_FIRST_LINE = re.compile(r"(HTTP/1\.[0-9]) ([0-9]{3})(?: (.*))?", re.DOTALL)
_LENGTH = re.compile("[0-9]{1,15}")
_INTERIM, _NO_CONTENT = "1", 204


class Request(NamedTuple):
    """What all requests have in common: where to, and how messages become a body. `counts_rejected`: the answer's body may say
    how many were not taken all the same."""

    path: str
    host: str
    headers: Tuple[Tuple[str, str], ...]
    envelope: Envelope
    counts_rejected: bool = False

    def around(self, messages: List[bytes]) -> bytes:
        """The request."""
        body = self.envelope.around(messages)
        fields = (("Host", self.host), ("User-Agent", "ebpfless/" + __version__), ("Content-Type", self.envelope.kind),
                  ("Content-Length", str(len(body)))) + self.headers
        head = "POST %s HTTP/1.1\r\n%s\r\n" % (self.path, "".join("%s: %s\r\n" % field for field in fields))
        return head.encode("latin-1") + body


class Answer(NamedTuple):
    """A whole answer; `is_last`: the connection is of no use for another one."""

    status: int
    reason: str
    fields: Dict[str, str]
    body: bytes
    is_last: bool


def answer_in(data: bytes) -> Optional[Answer]:
    """The answer that begins with `data`, None where it is not whole yet. Of a body whose length is not said the beginning is
    enough. Raises OSError for what is no HTTP."""
    head, end, rest = data.partition(b"\r\n\r\n")
    while end and _first_line(head)[1].startswith(_INTERIM):
        head, end, rest = rest.partition(b"\r\n\r\n")
    if not end:
        if len(data) > _HEAD_AT_MOST or not head.startswith(b"HTTP/1."[:len(head)]):
            raise OSError("it does not answer in HTTP")
        return None
    version, status, reason = _first_line(head)
    lines = head.decode("latin-1").split("\r\n")[1:]
    fields = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    length = "0" if int(status) == _NO_CONTENT else fields.get("content-length", "")
    connection = fields.get("connection", "").lower()
    is_known = _LENGTH.fullmatch(length) is not None
    stays = connection == "keep-alive" if version == "HTTP/1.0" else connection != "close"
    is_last = not stays or not is_known or int(length) > _BODY_AT_MOST or "transfer-encoding" in fields
    if is_known and len(rest) < min(int(length), _BODY_AT_MOST):
        return None
    return Answer(int(status), reason, fields, rest, is_last)


def _first_line(head: bytes) -> Tuple[str, str, str]:
    """Version, status and reason of an answer, which may be an interim one (RFC 9110, 15.2)."""
    found = _FIRST_LINE.fullmatch(head.partition(b"\r\n")[0].decode("latin-1"))
    if found is None:
        raise OSError("it does not answer in HTTP")
    return found.group(1), found.group(2), found.group(3) or ""


class Posts(Way):
    """A request at a time. What is answered by 2xx has arrived; what is refused for good is lost; the rest is sent again."""

    def __init__(self, stream: Any, request: Request) -> None:
        self._stream = stream
        self._request = request
        self._batch: List[bytes] = []
        self._heard = b""
        self._due = 0.0

    def turn(self, queue: Queue, now: float) -> None:
        """Ask, hear, and go on."""
        self._stream.flush()
        while True:
            said = self._stream.receive()
            if said is None:
                break
            if said == b"" or not self._batch:
                raise (OSError("the connection was closed before it had answered") if self._batch
                       else Closed("the connection was closed"))
            self._heard += said
            answer = answer_in(self._heard)
            if answer is not None:
                self._take(answer)
                if self.is_spent:
                    return
        if self._batch and now > self._due:
            raise OSError("no answer within %d s" % _ANSWER_SECONDS)
        if not self._batch and len(queue):
            self._batch, self._due = queue.take(_BATCH_BYTES, _BATCH_MESSAGES), now + _ANSWER_SECONDS
            self._stream.send(self._request.around(self._batch))

    def _take(self, answer: Answer) -> None:
        """What was asked has been answered."""
        self._heard, self.is_spent = b"", answer.is_last
        if answer.status in _LATER:
            raise OSError("it answers %d %s" % (answer.status, answer.reason))
        batch, self._batch = self._batch, []
        if 200 <= answer.status < 300:
            rejected = min(_rejected(answer.body), len(batch)) if self._request.counts_rejected else 0
            self._refuse(rejected, "it has rejected them")
            self.arrived += len(batch) - rejected
        else:
            where = " (to %s)" % answer.fields["location"][:200] if "location" in answer.fields else ""
            self._refuse(len(batch), "it answers %d %s%s" % (answer.status, answer.reason, where))

    def _refuse(self, count: int, why: str) -> None:
        if count:
            self.lost += count
            self.why = why

    def unconfirmed(self) -> List[bytes]:
        """The batch that is under way."""
        return self._batch

    @property
    def held(self) -> int:
        """Bytes of that."""
        return sum(map(len, self._batch))


def _rejected(body: bytes) -> int:
    """How many records OpenTelemetry's ExportLogsServiceResponse says were not taken (an int64; 0 for anything else)."""
    import json

    try:
        count = int(json.loads(body.decode())["partialSuccess"]["rejectedLogRecords"])
        return count if 0 <= count < _INT64_END else 0
    except (ValueError, LookupError, TypeError, OverflowError, RecursionError):
        return 0
