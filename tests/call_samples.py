"""One CALL record of each event, as the tracer makes them: full ones, and the emptiest that it can make."""

from typing import Any, Dict, Tuple

import network_samples
from ebpfless_arch.events import records
from ebpfless_arch.events.model import UNSET_ID

STATUS = (0o100644, 17, 1, 1, 1000, 1000, 5003, 7 * 10 ** 9, 8 * 10 ** 9)
FILE = (b"/tmp/old.txt", STATUS, "")
NEW = (b"/tmp/new.txt", STATUS, "")
NONE = (b"", None, "EFAULT")
IDENTITY = (1000, 1001, 1002, 1003, 1004, 1005, UNSET_ID, 1 << 21, 3 << 21)
# ldh [12]; jeq #0x800, 0, 1; ret #-1; ret #0
FILTER = (b"\x28\0\0\0\x0c\0\0\0" b"\x15\0\0\x01\0\x08\0\0" b"\x06\0\0\0\xff\xff\xff\xff" b"\x06\0\0\0\0\0\0\0")
ADDRESS = {"family": 2, "ip": b"\x08\x08\x04\x04", "port": 443, "path": b"", "protocol": 6, "fd": 3, "length": 16}

FULL: Dict[str, Dict[str, Any]] = {
    "unlink": {"file": FILE, "path": b"old.txt", "dirfd": 4, "flags": 0},
    "rmdir": {"file": FILE, "path": b"old.txt", "dirfd": 4, "flags": 0x200},
    "rename": {"file": FILE, "destination": NEW, "path": b"old.txt", "new_path": b"new.txt", "flags": 1},
    "mkdir": {"file": FILE, "path": b"old.txt", "mode": 0o2750},
    "utimes": {"file": FILE, "path": b"old.txt", "dirfd": -100, "flags": 0},
    "link": {"file": FILE, "destination": NEW, "path": b"old.txt", "new_path": b"new.txt"},
    "chmod": {"file": FILE, "path": b"old.txt", "mode": 0o4711},
    "chown": {"file": FILE, "path": b"old.txt", "uid": 0, "gid": UNSET_ID},
    "chdir": {"file": FILE, "path": b"old.txt"},
    "setxattr": {"file": FILE, "path": b"old.txt", "attribute": b"security.capability"},
    "removexattr": {"file": FILE, "fd": 3, "attribute": b"user.x.y"},
    "mount": {"file": FILE, "path": b"old.txt", "source": b"../src", "source_path": b"/src", "fs_type": None,
              "flags": 0x1000, "detached": False, "mount": (40, 20, 0x801, b"/part", b"ext4")},
    "setuid": {"uid": 1000, "identity": IDENTITY, "process_identity": IDENTITY},
    "setgid": {"gid": 1001, "identity": IDENTITY, "process_identity": IDENTITY},
    "capset": {"capabilities": (1 << 21, 3 << 21), "identity": IDENTITY, "process_identity": IDENTITY},
    "setrlimit": {"pid": 0, "resource": 4, "limit": (0, 2 ** 64 - 1)},
    "prctl": {"option": 15, "name": (b"[kworker/0:1-ev", True)},
    "ptrace": {"request": 4, "pid": 101, "address": 0x401000},
    "signal": {"pid": 101, "signal": 9},
    "mmap": {"file": FILE, "address": 0, "length": 4096, "protection": 5, "flags": 2, "fd": 3, "offset": 8192},
    "mprotect": {"address": 0x7000, "length": 4096, "protection": 5, "present": 3},
    "bpf": {"command": 5, "bpf": (2, 0, b"prog", (4, 36))},
    "load_module": {"file": (b"/lib/modules/snd-x.ko.xz", STATUS, ""), "module": b"", "parameters": b"a=1 b=2",
                    "from_memory": False, "fd": 3},
    "unload_module": {"name": b"snd_x"},
    "bind": dict(ADDRESS, port=80),
    "connect": dict(ADDRESS),
    "accept": dict(ADDRESS, port=80, peer_port=55555),
    "splice": {"file": FILE, "fd": 3, "output": 4, "flags": 0},
    "name_to_handle_at": {"file": FILE, "path": b"old.txt", "flags": 0x1400},
    "memfd_create": {"name": b"jit", "flags": 3},
    "mknod": {"file": FILE, "path": b"old.txt", "mode": 0o60600, "type": 0o60000, "major": 8, "minor": 1},
    "chroot": {"file": FILE, "path": b"old.txt"},
    "mount_setattr": {"file": FILE, "path": b"old.txt", "flags": 0x8000},
    "fspick": {"file": FILE, "path": b"old.txt"},
    "umount": {"file": FILE, "path": b"old.txt", "flags": 2},
    "pivot_root": {"file": FILE, "destination": NEW, "path": b"old.txt", "new_path": b"new.txt"},
    "process_vm_readv": {"pid": 101, "length": 4099},
    "process_vm_writev": {"pid": 101, "length": 31},
    "pidfd_getfd": {"pid": 101, "target_fd": 7, "file": FILE},
    "unshare": {"flags": 0x10020000},
    "setns": {"type": 0x20000, "file": (b"mnt:[4026531841]", STATUS, ""), "pid": 0, "fd": 3},
    "seccomp": {"operation": 1, "flags": 8},
    "keyctl": {"operation": 11},
    "add_key": {"type": b"user", "description": b"secret"},
    "request_key": {"type": b"logon", "description": b"other"},
    "perf_event_open": {"type": 5, "config": 17, "pid": 101},
    "userfaultfd": {"flags": 0x80001},
    "io_uring_setup": {"entries": 64, "flags": 2},
    "setsockopt": {"level": 1, "option": 26, "socket": (17, 3, 0x0300), "filter": FILTER, "fd": 3},
}
FULL.update(network_samples.FULL)

_NOTHING_KNOWN = {"file": NONE, "destination": NONE, "path": None, "new_path": None, "attribute": b"", "name": None,
                  "source": None, "source_path": b"", "mount": None, "identity": None, "process_identity": None,
                  "module": b"", "parameters": None, "ip": b"", "family": 0, "filter": b"", "socket": (0, 0, 0),
                  "bpf": (0, 0, b"", ()), "pid": 0, "peer_port": 0}
_NOTHING_KNOWN.update(network_samples.NOTHING_KNOWN)


def bare(event: str) -> Dict[str, Any]:
    """The values of an event of which nothing could be read."""
    return {name: _NOTHING_KNOWN.get(name, value) for name, value in FULL[event].items()}


def call_record(event: str, values: Dict[str, Any], retval: int = 0, pid: int = 100) -> Tuple[Any, ...]:
    """A CALL record; the acting thread is not the process's first one."""
    return (records.CALL, 10 ** 18, pid, pid + 1, retval, event, values)
