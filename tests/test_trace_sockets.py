"""Sockets belong to processes, not to the thread that made them: who accepts or connects need not have called socket."""

import sys
from typing import List

from blackbox import Event, named, run_traced

SHARED = r"""
import os, socket, threading

def in_thread(work):
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()

listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)
listener.bind(("127.0.0.1", 0))
listener.listen(7)
listener.setblocking(True)
address = listener.getsockname()
print(address[1])

client = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
in_thread(lambda: client.connect(address))
in_thread(lambda: listener.accept()[0].close())

second = socket.create_connection(address)
worker = os.fork()
if worker == 0:
    listener.accept()[0].close()
    os._exit(0)
os.waitpid(worker, 0)
print(os.getpid(), worker)
"""


def accepts_and_connects(events: List[Event], port: int) -> List[Event]:
    """The events of connections to a port."""
    return [event for name in ("connect", "accept") for event in named(events, name)
            if event[name]["addr"]["port"] == port]


def test_threads_and_workers_accept_and_connect_on_sockets_that_others_made() -> None:
    result = run_traced([sys.executable, "-S", "-c", SHARED])
    assert (result.status, result.stderr) == (0, b"")
    port, parent, worker = [int(word) for word in result.stdout.split()]
    (bind,) = [event for event in named(result.events, "bind") if event["bind"]["addr"]["ip"] == "127.0.0.1"]
    assert bind["bind"]["protocol"] == "IP_PROTO_TCP"
    found = accepts_and_connects(result.events, port)
    assert [(event["evt"]["name"], event["process"]["pid"]) for event in found] == [
        ("connect", parent), ("connect", parent), ("accept", parent), ("accept", worker)]
    assert [event["connect"]["protocol"] for event in found[:2]] == ["IP_PROTO_TCP"] * 2
    assert found[0]["process"]["tid"] != parent and found[2]["process"]["tid"] != parent
