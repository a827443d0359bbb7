"""What lines look like on their way to an output that is named by a URL."""

import json
import os
import time
from typing import Callable, Dict, List

from ebpfless_arch import __version__
from ebpfless_arch.agent.outputs import Label
from ebpfless_arch.named import NamedTuple

Form = Callable[[str, Label], bytes]
"""A line and what it is about, as a message."""

# RFC 5424, 6.2.1: facility 10 is security and authorization (authpriv), and severities go from 0 to 7.
_FACILITY = 10
_SYSLOG_SEVERITIES = {"critical": 2, "high": 3, "medium": 4, "low": 5}
_INFORMATIONAL = 6
_NAME_LENGTH = 32
_MONTHS = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split()
# OpenTelemetry's data model for logs, SeverityNumber.
_OTLP_SEVERITIES = {"critical": 21, "high": 17, "medium": 13, "low": 10}
_OTLP_INFO = 9


def encoded(line: str) -> bytes:
    """A line as bytes; what is not UTF-8 in it is escaped."""
    return line.encode("utf-8", "backslashreplace")


def line_of(line: str, label: Label) -> bytes:
    """Alone, with its end."""
    return encoded(line) + b"\n"


def bare(line: str, label: Label) -> bytes:
    """Alone."""
    return encoded(line)


def syslog(host: str) -> Form:
    """A message of RFC 5424 from a host."""
    def form(line: str, label: Label) -> bytes:
        seconds, rest = divmod(label.time, 10 ** 9)
        moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + ".%06dZ" % (rest // 1000)
        head = "<%d>1 %s %s ebpfless %d %s - " % (_priority(label), moment, _word(host, 255), os.getpid(),
                                                  _word(label.name, _NAME_LENGTH))
        return head.encode() + encoded(line)
    return form


def counted(form: Form) -> Form:
    """Octet counting (RFC 6587, 3.4.1; RFC 5425): messages may then hold anything."""
    def framed(line: str, label: Label) -> bytes:
        message = form(line, label)
        return b"%d %s" % (len(message), message)
    return framed


def local_syslog(line: str, label: Label) -> bytes:
    """As syslog(3) writes it to /dev/log: local time without a year, no host."""
    now = time.localtime(label.time // 10 ** 9)
    head = "<%d>%s %2d %s ebpfless[%d]: " % (_priority(label), _MONTHS[now.tm_mon - 1], now.tm_mday,
                                             time.strftime("%H:%M:%S", now), os.getpid())
    return head.encode() + encoded(line)


def _priority(label: Label) -> int:
    return _FACILITY * 8 + _SYSLOG_SEVERITIES.get(label.severity, _INFORMATIONAL)


def _word(text: str, longest: int) -> str:
    """Printable ASCII without blanks, "-" for nothing."""
    return "".join(letter if "!" <= letter <= "~" else "_" for letter in text)[:longest] or "-"


def otlp(line: str, label: Label) -> bytes:
    """A LogRecord of OpenTelemetry as JSON (OTLP/HTTP 1.x): 64-bit numbers are texts."""
    record = {"timeUnixNano": str(label.time), "severityNumber": _OTLP_SEVERITIES.get(label.severity, _OTLP_INFO),
              "severityText": label.severity or "info", "body": {"stringValue": encoded(line).decode()},
              "attributes": [_attribute("event.name", label.name)]}
    return json.dumps(record, separators=(",", ":")).encode()


def _attribute(key: str, value: str) -> Dict[str, object]:
    return {"key": key, "value": {"stringValue": value}}


class Envelope(NamedTuple):
    """How several messages become the body of one request."""

    kind: str
    start: bytes
    between: bytes
    end: bytes

    def around(self, messages: List[bytes]) -> bytes:
        """The body."""
        return self.start + self.between.join(messages) + self.end


JSON_ARRAY = Envelope("application/json", b"[", b",", b"]")
TEXT_LINES = Envelope("text/plain; charset=utf-8", b"", b"\n", b"\n")


def otlp_envelope(host: str) -> Envelope:
    """Records of one host, told by us."""
    resource = {"attributes": [_attribute("service.name", "ebpfless"), _attribute("host.name", host)]}
    scope = {"name": "ebpfless", "version": __version__}
    start = '{"resourceLogs":[{"resource":%s,"scopeLogs":[{"scope":%s,"logRecords":[' % (json.dumps(resource), json.dumps(scope))
    return Envelope("application/json", start.encode(), b",", b"]}]}]}")
