"""CALL records of the network and of control files, for call_samples.py: full ones, and the emptiest."""

from typing import Any, Dict

CREDENTIALS = ("Success", "AWS-HMAC", "ASIAEXAMPLE17", "2026-01-02T03:04:05Z", "2026-01-02T09:04:05Z")
_WAY = {"peer": (b"\x08\x08\x04\x04", 53), "own": (b"\xc0\xa8\x00\x11", 40009), "protocol": 17, "outgoing": True,
        "size": 31}
_PLACE = {"family": 2, "ip": b"\x08\x08\x04\x04", "port": 443, "path": b"", "protocol": 17}

FULL: Dict[str, Dict[str, Any]] = {
    "dns": dict(_WAY, message=(4660, False, "Mill.example", 16, 1, 1, 31, -1, ())),
    "imds": dict(_WAY, peer=(b"\xa9\xfe\xa9\xfe", 80), protocol=6, message=(
        "request", "aws", "/latest/meta-data/iam/security-credentials/role", "169.254.169.254", "curl/8", "", False,
        ("",) * 5)),
    "cgroup_write": {"file": (b"/sys/fs/cgroup/x/cgroup.procs", None, ""), "pid": 101},
    "selinux": {"name": b"enforce", "state": False},
    "sysctl": {"name": b"kernel/core_pattern", "action": 2, "value": b"|/tmp/x\n", "old_value": b"core\n",
               "position": 0},
    "socket": {"family": 17, "type": 0x80003, "protocol": 0x0300},
    "listen": dict(_PLACE, protocol=6, fd=3, backlog=17),
    "send": dict(_PLACE, size=53),
}

NOTHING_KNOWN: Dict[str, Any] = {"own": (b"", 0), "old_value": b"", "size": 0}
