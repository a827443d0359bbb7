"""A file system with one file, served by this very process through /dev/fuse (Documentation/filesystems/fuse.rst).

    python fuse.py MOUNTPOINT careful|silent

prints "ready", serves until its standard input ends, and unmounts. Before each answer about attributes, `careful` opens
a file of its own: below a trace that waits for such an answer, it waits for the tracer that waits for it. `silent` gives
no such answer at all once the file is open, as a dead server would.
"""

import ctypes
import errno
import os
import select
import struct
import sys

LOOKUP, GETATTR, OPEN, READ, RELEASE, FLUSH, INIT = 1, 3, 14, 15, 18, 25, 26
FILE, CONTENT = 2, b"content\n"
HEADER = struct.Struct("=IIQQIIII")
ANSWER = struct.Struct("=IiQ")


def attributes(node: int) -> bytes:
    """struct fuse_attr."""
    mode = 0o40755 if node == 1 else 0o100644
    return struct.pack("=QQQQQQIIIIIIIIII", node, len(CONTENT), 1, 0, 0, 0, 0, 0, 0, mode, 1, 0, 0, 0, 4096, 0)


def answer_to(opcode: int, node: int, body: bytes) -> bytes:
    """What a request gets; raises OSError for what is not there."""
    if opcode == INIT:
        return struct.pack("=IIIIHHIIHHI7I", 7, 19, 65536, 0, 12, 9, 65536, 1, 1, 0, 0, *[0] * 7)
    if opcode == LOOKUP:
        if body.rstrip(b"\0") != b"file":
            raise OSError(errno.ENOENT, "")
        return struct.pack("=QQQQII", FILE, 1, 0, 0, 0, 0) + attributes(FILE)
    if opcode == GETATTR:
        return struct.pack("=QII", 0, 0, 0) + attributes(node)
    if opcode == OPEN:
        return struct.pack("=QII", 1, 1, 0)
    if opcode == READ:
        offset = struct.unpack_from("=QQ", body)[1]
        return CONTENT[offset:]
    if opcode in (RELEASE, FLUSH):
        return b""
    raise OSError(errno.ENOSYS, "")


def serve(device: int, careful: bool) -> None:
    """Answer until standard input ends."""
    opened = False
    while True:
        if 0 in select.select([device, 0], [], [])[0]:
            return
        request = os.read(device, 1 << 17)
        _, opcode, unique, node = HEADER.unpack_from(request)[:4]
        opened = opened or opcode == OPEN
        if opcode == GETATTR and careful:
            os.close(os.open("/dev/null", os.O_RDONLY))
        elif opcode == GETATTR and opened:
            continue
        try:
            data, error = answer_to(opcode, node, request[HEADER.size:]), 0
        except OSError as problem:
            data, error = b"", -(problem.errno or 0)
        try:
            os.write(device, ANSWER.pack(ANSWER.size + len(data), error, unique) + data)
        except OSError:
            pass  # whoever asked is gone


def main() -> None:
    """Mount, serve, unmount."""
    libc = ctypes.CDLL(None, use_errno=True)
    device = os.open("/dev/fuse", os.O_RDWR)
    target = os.fsencode(sys.argv[1])
    options = b"fd=%d,rootmode=40000,user_id=0,group_id=0" % device
    if libc.mount(b"test", target, b"fuse", 0, options) != 0:
        raise OSError(ctypes.get_errno(), "mount")
    try:
        print("ready", flush=True)
        serve(device, sys.argv[2] == "careful")
    finally:
        libc.umount2(target, 2)


if __name__ == "__main__":
    main()
