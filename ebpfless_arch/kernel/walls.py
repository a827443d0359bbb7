"""What confines this process: capabilities, Yama, container profiles, namespaces. Read from /proc, or tried."""

import os
import signal
from typing import FrozenSet

from ebpfless_arch.kernel import procfs, ptrace
from ebpfless_arch.named import NamedTuple

# Bits of CapEff (linux/capability.h), those that matter here.
CAPABILITIES = {"CAP_KILL": 5, "CAP_SETUID": 7, "CAP_NET_ADMIN": 12, "CAP_SYS_PTRACE": 19, "CAP_SYS_ADMIN": 21,
                "CAP_SYS_RESOURCE": 24}

_YAMA = "/proc/sys/kernel/yama/ptrace_scope"
_WHOLE_MAP = b"4294967295"


class Walls(NamedTuple):
    """yama: ptrace_scope, -1 where the kernel has none. seccomp: whether a filter is on us already.
    apparmor: the profile that confines us, "" for none. mapped: in a user namespace of its own.
    hidden: other users' processes cannot be seen (hidepid)."""

    capabilities: FrozenSet[str]
    yama: int
    seccomp: bool
    no_new_privs: bool
    apparmor: str
    mapped: bool
    hidden: bool


def look() -> Walls:
    """The walls around this process; raises OSError where /proc is not ours."""
    me = os.getpid()
    table = procfs.status(me)
    effective = int(table[b"CapEff"], 16)
    return Walls(frozenset(name for name, bit in CAPABILITIES.items() if effective >> bit & 1), _yama(),
                 table.get(b"Seccomp", b"0") != b"0", table.get(b"NoNewPrivs", b"0") != b"0", _apparmor(me),
                 _WHOLE_MAP not in _text(me, "uid_map", _WHOLE_MAP), not os.path.exists("/proc/1/status"))


def _yama() -> int:
    try:
        with open(_YAMA, "rb") as file:
            return int(file.read())
    except (OSError, ValueError):
        return -1


def _text(pid: int, name: str, otherwise: bytes) -> bytes:
    try:
        return procfs.read(pid, name, 4096)
    except OSError:
        return otherwise


def _apparmor(pid: int) -> str:
    label = _text(pid, "attr/current", b"").strip(b"\0\n ").decode("utf-8", "replace")
    return "" if label in ("", "unconfined") else label


def can_seize_strangers() -> str:
    """Whether a process that is no descendant can be traced: "" when it can, else the error.

    Tried between two children of ours, as Yama's scope 1 tells descendants and others apart.
    """
    ends = os.pipe()
    stranger = os.fork()
    if stranger == 0:
        signal.pause()
    tracer = os.fork()
    if tracer == 0:
        _try_to_seize(stranger, ends[1])
    os.close(ends[1])
    try:
        answer = os.read(ends[0], 256)
    finally:
        os.close(ends[0])
        os.waitpid(tracer, 0)
        os.kill(stranger, signal.SIGKILL)
        os.waitpid(stranger, 0)
    return answer.decode().rstrip(".")


def _try_to_seize(stranger: int, output: int) -> None:
    try:
        try:
            ptrace.seize(stranger, 0)
            os.write(output, b".")
        except OSError as error:
            os.write(output, str(error.strerror).encode()[:255])
    finally:
        os._exit(0)
