"""Real servers with clients that never rest: what happens to a server shows in its answers."""

import glob
import os
import socket
import subprocess
import sys
import threading
from pathlib import Path
from types import TracebackType
from typing import Callable, List, Optional, Type

from blackbox import descendants, end_tree, wait_until
from ordinary import become_nobody

CLIENTS = 3
POSTGRES = "".join(sorted(glob.glob("/usr/lib/postgresql/*/bin"))[-1:])

# A server with a thread for each connection, which opens its file for each request.
THREADED = """
import socketserver, sys
class Handler(socketserver.StreamRequestHandler):
    def handle(self):
        for line in self.rfile:
            with open(sys.argv[2], "rb") as file:
                self.wfile.write(file.read())
            self.wfile.flush()
class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True
    request_queue_size = 64
Server(sys.argv[1], Handler).serve_forever()
"""


class Loaded:
    """A server under load from three threads of ours; `answers` counts, `failures` tells what went wrong."""

    def __init__(self, command: List[str], ask: Callable[[], None], preexec: Optional[Callable[[], None]] = None) -> None:
        self.command = command
        self.ask = ask
        self.preexec = preexec
        self._over = threading.Event()
        self._threads: List[threading.Thread] = []
        self.answers = 0
        self.failures: List[str] = []

    def __enter__(self) -> "Loaded":
        self.process = subprocess.Popen(self.command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                        stderr=subprocess.DEVNULL, preexec_fn=self.preexec)
        wait_until(self._is_up, "the server answers")
        for _ in range(CLIENTS):
            thread = threading.Thread(target=self._work, daemon=True)
            thread.start()
            self._threads.append(thread)
        return self

    def __exit__(self, kind: Optional[Type[BaseException]], value: Optional[BaseException],
                 traceback: Optional[TracebackType]) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join(20)
        end_tree(self.process.pid)
        self.process.wait()

    @property
    def pids(self) -> List[int]:
        """The server's processes."""
        return [self.process.pid] + descendants(self.process.pid)

    def answers_on(self) -> None:
        """See that requests are answered from now on, and that none has failed."""
        enough = self.answers + 3 * CLIENTS
        wait_until(lambda: self.answers >= enough or bool(self.failures), "the server answers on")
        assert not self.failures, self.failures

    def _is_up(self) -> bool:
        assert self.process.poll() is None, "the server has ended"
        try:
            self.ask()
        except (OSError, subprocess.SubprocessError):
            return False
        return True

    def _work(self) -> None:
        while not self._over.is_set():
            try:
                self.ask()
                self.answers += 1
            except (OSError, AssertionError, subprocess.SubprocessError) as error:
                self.failures.append(repr(error))
                return


def _converse(path: str, question: bytes, answer: bytes) -> None:
    """One connection, some requests."""
    with socket.socket(socket.AF_UNIX) as link:
        link.settimeout(30)
        link.connect(path)
        for _ in range(5):
            link.sendall(question)
            assert link.recv(256) == answer


def threaded(folder: Path) -> Loaded:
    """A threaded server in Python."""
    (folder / "file").write_bytes(b"content\n")
    path = str(folder / "socket")
    return Loaded([sys.executable, "-c", THREADED, path, str(folder / "file")], lambda: _converse(path, b"ask\n", b"content\n"))


def redis(folder: Path) -> Loaded:
    """Redis with its threads."""
    path = str(folder / "socket")
    return Loaded(["redis-server", "--port", "0", "--unixsocket", path, "--save", "", "--dir", str(folder)],
                  lambda: _redis_round(path))


def _redis_round(path: str) -> None:
    _converse(path, b"SET key value\r\n", b"+OK\r\n")
    _converse(path, b"GET key\r\n", b"$5\r\nvalue\r\n")


def postgres(folder: Path) -> Loaded:
    """PostgreSQL: a process for each connection, with those that work in the background."""
    data = str(folder / "data")
    os.chmod(str(folder), 0o777)
    tools = os.path.join(POSTGRES, "")
    subprocess.check_call([tools + "initdb", "-D", data, "--no-sync", "--auth", "trust", "-U", "postgres"],
                          stdout=subprocess.DEVNULL, preexec_fn=_nobody, env=dict(os.environ, LC_ALL="C"))
    command = [tools + "postgres", "-D", data, "-k", str(folder), "-c", "listen_addresses=", "-c", "fsync=off"]
    return Loaded(command, lambda: _query(str(folder)), _nobody)


def _nobody() -> None:
    if os.getuid() == 0:
        become_nobody()
    os.chdir("/")


def _query(folder: str) -> None:
    answer = subprocess.check_output(["psql", "-X", "-q", "-A", "-t", "-h", folder, "-U", "postgres", "-c",
                                      "select sum(n) from generate_series(1, 100) n", "postgres"],
                                     stderr=subprocess.STDOUT, timeout=60)
    assert answer == b"5050\n", answer


SERVERS = {"threaded": threaded, "redis": redis, "postgres": postgres}

