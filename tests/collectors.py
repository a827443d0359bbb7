"""Servers on loopback that collect what outputs by URL send."""

import http.server
import json
import os
import socket
import ssl
import subprocess
import threading
from pathlib import Path
from types import TracebackType
from typing import Any, Callable, List, NamedTuple, Optional, Tuple, Type

from blackbox import wait_until


class Stream:
    """Takes connections, one after the other, and keeps what comes over each. `context`: over TLS. Leaving the block ends it."""

    def __init__(self, address: Any = ("127.0.0.1", 0), context: Optional[ssl.SSLContext] = None, reads: bool = True) -> None:
        self._context = context
        self._reads = reads
        self._door = socket.socket(socket.AF_UNIX if isinstance(address, str) else socket.AF_INET)
        self._door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._door.bind(address)
        self._door.listen(8)
        self.received: List[bytearray] = []
        self._open: List[Any] = []
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self._door.getsockname()[1])

    def _serve(self) -> None:
        while True:
            try:
                connection: Any = self._door.accept()[0]
            except OSError:
                return
            self._open.append(connection)
            self.received.append(bytearray())
            if self._reads:
                self._collect(connection, self.received[-1])

    def _collect(self, connection: Any, received: bytearray) -> None:
        try:
            if self._context is not None:
                connection = self._context.wrap_socket(connection, server_side=True)
                self._open[-1] = connection
            while True:
                data = connection.recv(65536)
                if not data:
                    break
                received += data
        except OSError:
            pass
        connection.close()

    def hang_up(self) -> None:
        """End the connection that there is."""
        self._open[-1].shutdown(socket.SHUT_RDWR)

    @property
    def data(self) -> bytes:
        """All that has come, over one connection after the other."""
        return b"".join(map(bytes, self.received))

    def lines(self) -> List[str]:
        """Its whole lines."""
        return self.data.decode().split("\n")[:-1]

    def __enter__(self) -> "Stream":
        return self

    def __exit__(self, kind: Optional[Type[BaseException]], value: Optional[BaseException],
                 traceback: Optional[TracebackType]) -> None:
        self._door.shutdown(socket.SHUT_RDWR)
        self._door.close()
        for connection in self._open:
            connection.close()


class Post(NamedTuple):
    """A request as it came: `connection` tells requests over one connection from others."""

    path: str
    headers: Any
    body: bytes
    connection: Any


class Web:
    """A web server. `answers` says for the number of a request which status it gets; `version` is HTTP's."""

    def __init__(self, answers: Callable[[int], int] = lambda number: 202, version: str = "HTTP/1.1", body: bytes = b"{}",
                 context: Optional[ssl.SSLContext] = None) -> None:
        self.posts: List[Post] = []
        posts = self.posts

        class Handler(http.server.BaseHTTPRequestHandler):
            """Answers as `answers` says."""

            protocol_version = version

            def do_POST(self) -> None:
                """One request."""
                sent = self.rfile.read(int(self.headers["Content-Length"]))
                posts.append(Post(self.path, self.headers, sent, self.connection))
                self.send_response(answers(len(posts)))
                if body:
                    self.send_header("Content-Length", str(len(body)))
                self.send_header("Location", "http://elsewhere/")
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *arguments: Any) -> None:
                """Say nothing."""

        self._server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
        if context is not None:
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, kwargs=dict(poll_interval=0.01), daemon=True).start()

    def __enter__(self) -> "Web":
        return self

    def __exit__(self, kind: Optional[Type[BaseException]], value: Optional[BaseException],
                 traceback: Optional[TracebackType]) -> None:
        self._server.shutdown()
        self._server.server_close()


class Mailbox:
    """Collects datagrams."""

    def __init__(self, address: Any = ("127.0.0.1", 0)) -> None:
        self._socket = socket.socket(socket.AF_UNIX if isinstance(address, str) else socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(address)
        self._socket.settimeout(30)

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self._socket.getsockname()[1])

    def next(self) -> bytes:
        """The next one."""
        return self._socket.recv(65536)

    def close(self) -> None:
        """The end."""
        self._socket.close()


def certificate(folder: Path, name: str = "localhost") -> Tuple[str, ssl.SSLContext]:
    """A file with a certificate for a name, and what a server with it needs."""
    key, file = folder / (name + ".key"), folder / (name + ".pem")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout",
                    str(key), "-out", str(file), "-days", "2", "-subj", "/CN=" + name, "-addext",
                    "subjectAltName=DNS:" + name], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(str(file), str(key))
    return str(file), context
