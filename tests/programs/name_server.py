"""A name server for tests at 127.0.0.1:53, UDP and TCP: A is 192.0.2.17 below example and
9.9.9.17 elsewhere, TXT is "seventeen", names with "missing" do
not exist. Prints "ready" when it can be asked."""

import socket
import struct
import threading

HEADER = struct.Struct(">6H")


def answer(question: bytes) -> bytes:
    """The reply to a message with one question."""
    number = HEADER.unpack_from(question)[0]
    end = question.index(b"\0", HEADER.size) + 5
    asked = question[HEADER.size:end]
    kind = struct.unpack_from(">H", asked, len(asked) - 4)[0]
    address = [192, 0, 2, 17] if b"example" in asked else [9, 9, 9, 17]
    data = {1: bytes(address), 16: b"\x09seventeen"}.get(kind, b"")
    if b"missing" in asked:
        return HEADER.pack(number, 0x8183, 1, 0, 0, 0) + asked
    record = b"\xc0\x0c" + struct.pack(">HHIH", kind, 1, 60, len(data)) + data if data else b""
    return HEADER.pack(number, 0x8180, 1, bool(record), 0, 0) + asked + record


def serve_datagrams(server: socket.socket) -> None:
    """Answer for ever."""
    while True:
        question, peer = server.recvfrom(4096)
        server.sendto(answer(question), peer)


def serve_streams(server: socket.socket) -> None:
    """Answer one question of each connection after the other."""
    while True:
        connection, _ = server.accept()
        with connection, connection.makefile("rwb") as stream:
            size = stream.read(2)
            reply = answer(stream.read(int.from_bytes(size, "big")))
            stream.write(len(reply).to_bytes(2, "big") + reply)


def main() -> None:
    """Serve until killed."""
    datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    datagrams.bind(("127.0.0.1", 53))
    streams = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    streams.bind(("127.0.0.1", 53))
    streams.listen(17)
    threading.Thread(target=serve_streams, args=(streams,), daemon=True).start()
    print("ready", flush=True)
    serve_datagrams(datagrams)


if __name__ == "__main__":
    main()
