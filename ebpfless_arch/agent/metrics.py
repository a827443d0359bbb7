"""What a probe counts, as Prometheus reads it (text format 0.0.4), and the small web server for it.

The server and each request have threads of their own; the numbers are made by the probe's own thread, once a second.
Who takes longer than some seconds with a request is left, and so is the oldest where there are too many.
"""

import collections
import http.server
import socket
import socketserver
import threading
import time
from typing import Any, Callable, Dict, List, Sequence, Tuple

from ebpfless_arch.agent.endpoints import Place
from ebpfless_arch.named import NamedTuple

_REQUEST_SECONDS = 5.0
_GUESTS_AT_MOST = 32

Labels = Tuple[Tuple[str, str], ...]


class Metric(NamedTuple):
    """A family of numbers: its name, "counter", "gauge" or "histogram", what it tells, and the samples, each with the
    end of its name and its labels."""

    name: str
    kind: str
    help: str
    samples: Sequence[Tuple[str, Labels, float]]


def by_label(name: str, help_text: str, label: str, values: Dict[str, int]) -> Metric:
    """A counter for each value of a label."""
    return Metric(name, "counter", help_text, [("", ((label, value),), count) for value, count in sorted(values.items())])


def single(name: str, kind: str, help_text: str, value: float, **labels: str) -> Metric:
    """One number."""
    return Metric(name, kind, help_text, [("", tuple(labels.items()), value)])


def exposition(metrics: Sequence[Metric]) -> str:
    """The page."""
    lines: List[str] = []
    for metric in metrics:
        lines += ["# HELP %s %s" % (metric.name, metric.help), "# TYPE %s %s" % (metric.name, metric.kind)]
        for suffix, labels, value in metric.samples:
            inside = ",".join('%s="%s"' % (name, _escaped(text)) for name, text in labels)
            lines.append("%s%s%s %s" % (metric.name, suffix, "{%s}" % inside if inside else "", repr(value)))
    return "\n".join(lines) + "\n"


def _escaped(text: str) -> str:
    clean = text.encode("utf-8", "backslashreplace").decode()
    return clean.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')


def histogram(name: str, help_text: str, bounds: Sequence[float], counts: Sequence[int], total: float) -> Metric:
    """How many were at most so large; Prometheus wants them cumulated. The last count is of those above all bounds."""
    samples: List[Tuple[str, Labels, float]] = []
    so_far = 0
    for bound, count in zip([repr(bound) for bound in bounds] + ["+Inf"], counts):
        so_far += count
        samples.append(("_bucket", (("le", bound),), so_far))
    return Metric(name, "histogram", help_text, samples + [("_sum", (), total), ("_count", (), so_far)])


class Guests:
    """Connections that are being served, the oldest first."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._since: "collections.OrderedDict[Any, float]" = collections.OrderedDict()

    def come(self, connection: Any) -> None:
        """One more; the oldest has to go if there are too many."""
        with self._lock:
            self._since[connection] = time.monotonic()
            if len(self._since) > _GUESTS_AT_MOST:
                _cut(self._since.popitem(last=False)[0])

    def go(self, connection: Any) -> None:
        """It has gone."""
        with self._lock:
            self._since.pop(connection, None)

    def hurry(self, before: float) -> None:
        """Cut those off that have been here since before that time."""
        with self._lock:
            for connection in [each for each, since in self._since.items() if since < before]:
                _cut(connection)


def _cut(connection: Any) -> None:
    """Whoever serves it reads its end now."""
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass


class Pages:
    """Serves /healthz and /metrics; `page` makes the text of the latter, `is_well` says whether the probe gets on."""

    def __init__(self, place: Place, page: Callable[[], str], is_well: Callable[[], bool]) -> None:
        class _Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
            address_family = place.family
            allow_reuse_address = True
            daemon_threads = True

            def __init__(self) -> None:
                self.guests = Guests()
                http.server.HTTPServer.__init__(self, place.address, _Request)

            def process_request(self, request: Any, client_address: Any) -> None:
                """In a thread."""
                self.guests.come(request)
                socketserver.ThreadingMixIn.process_request(self, request, client_address)

            def shutdown_request(self, request: Any) -> None:
                """It is served."""
                self.guests.go(request)
                http.server.HTTPServer.shutdown_request(self, request)

            def service_actions(self) -> None:
                """Twice a second."""
                self.guests.hurry(time.monotonic() - _REQUEST_SECONDS)

            def handle_error(self, request: Any, client_address: Any) -> None:
                """A client that goes away is nobody's problem."""

            def server_bind(self) -> None:
                """Without asking a name server for our own name."""
                socketserver.TCPServer.server_bind(self)
                self.server_name, self.server_port = "localhost", place.address[1]

        class _Request(http.server.BaseHTTPRequestHandler):
            timeout = _REQUEST_SECONDS
            protocol_version = "HTTP/1.0"

            def do_GET(self) -> None:
                """Answer."""
                path = self.path.partition("?")[0]
                if path == "/metrics":
                    self.reply(200, "text/plain; version=0.0.4; charset=utf-8", page())
                elif path == "/healthz":
                    well = is_well()
                    self.reply(200 if well else 503, "text/plain; charset=utf-8", "ok\n" if well else "stuck\n")
                else:
                    self.reply(404, "text/plain; charset=utf-8", "there are /healthz and /metrics\n")

            do_HEAD = do_GET

            def reply(self, status: int, kind: str, text: str) -> None:
                """Send a page."""
                data = text.encode()
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(data)

            def log_message(self, format: str, *arguments: Any) -> None:
                """Nothing: scrapes come all the time."""

        self._server = _Server()
        threading.Thread(target=self._server.serve_forever, args=(0.5,), daemon=True).start()

    def close(self) -> None:
        """End it."""
        self._server.shutdown()
        self._server.server_close()
