"""Programs whose file grants another identity (set-user-ID, set-group-ID, capabilities): below a tracer that is not
privileged the kernel takes that grant away, and the program would like to know why (execve(2), capabilities(7))."""

import os
import stat
import struct
from typing import Dict, List

from ebpfless_arch.kernel import attributes, procfs
from ebpfless_arch.kernel.features import Features

_CAP_SYS_PTRACE = 19
_XATTR = "security.capability"
# struct vfs_cap_data: magic and flags, then pairs of permitted and inheritable words, the low ones first.
_WORDS = struct.Struct("<III")
_HIGH_OFFSET = 12


def are_taken_away(features: Features, filtered: bool) -> bool:
    """Whether this tracer costs its programs what their files grant: by NO_NEW_PRIVS, which the filter needs without
    CAP_SYS_ADMIN, or for want of CAP_SYS_PTRACE. Not where our own NO_NEW_PRIVS does that to all anyway."""
    table = procfs.status(os.getpid())
    if table.get(b"NoNewPrivs", b"0") == b"1":
        return False
    return not _may_trace_all(table) or filtered and features.filters_need_no_new_privs


def suffice_for_the_shut() -> bool:
    """Whether we may trace processes that are shut (process.shut)."""
    return _may_trace_all(procfs.status(os.getpid()))


def _may_trace_all(table: Dict[bytes, bytes]) -> bool:
    return bool(int(table[b"CapEff"], 16) >> _CAP_SYS_PTRACE & 1)


def taken_away(pid: int, path: bytes) -> str:
    """What the file of a new program would have granted it and did not, in words; "" for nothing. `path` serves where
    the file itself is hidden from us: so are those that their user may not read."""
    for candidate in (b"/proc/%d/exe" % pid, path):
        try:
            return ", ".join(_lost(candidate, procfs.status(pid)))
        except PermissionError:
            continue
        except (OSError, KeyError, ValueError):
            break  # it is gone
    return ""


def _lost(path: bytes, table: Dict[bytes, bytes]) -> List[str]:
    status = os.stat(path)
    if os.statvfs(path).f_flag & os.ST_NOSUID:
        return []
    return _identities(status, table[b"Uid"], table[b"Gid"]) + _capabilities(path, table)


def _identities(status: os.stat_result, uids: bytes, gids: bytes) -> List[str]:
    lost = []
    if status.st_mode & stat.S_ISUID and int(uids.split()[1]) != status.st_uid:
        lost.append("set-user-ID %d" % status.st_uid)
    grants_group = stat.S_ISGID | stat.S_IXGRP
    if status.st_mode & grants_group == grants_group and int(gids.split()[1]) != status.st_gid:
        lost.append("set-group-ID %d" % status.st_gid)
    return lost


def _capabilities(path: bytes, table: Dict[bytes, bytes]) -> List[str]:
    try:
        data = attributes.read(path, _XATTR)
    except OSError:
        return []
    _, granted, _ = _WORDS.unpack_from(data)
    if len(data) >= _HIGH_OFFSET + 8:
        granted |= int.from_bytes(data[_HIGH_OFFSET:_HIGH_OFFSET + 4], "little") << 32
    missing = granted & int(table[b"CapBnd"], 16) & ~int(table[b"CapPrm"], 16)
    return ["capabilities %#x" % missing] if missing else []
