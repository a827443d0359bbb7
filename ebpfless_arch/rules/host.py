"""The host as the `filters` of policies see it: same language, own fields."""

import os
import re
from typing import Dict, List, Tuple

from ebpfless_arch.named import NamedTuple
from ebpfless_arch.rules.fields import Field, FieldTable

# The names that Datadog's host model has; each is true for one ID and, where
# given, one VERSION_ID of os-release(5).
_DISTRIBUTIONS = (
    ("amazon_linux", "amzn", ""), ("cos", "cos", ""), ("debian", "debian", ""), ("oracle", "ol", ""),
    ("rhel", "rhel", ""), ("rhel7", "rhel", "7"), ("rhel8", "rhel", "8"), ("sles", "sles", ""),
    ("sles12", "sles", "12"), ("sles15", "sles", "15"), ("ubuntu", "ubuntu", ""),
)
_KINDS = {"os": "string", "os.id": "string", "os.platform_id": "string", "os.version_id": "string",
          "kernel.version.major": "int", "kernel.version.minor": "int", "kernel.version.patch": "int",
          "kernel.version.abi": "string", "kernel.version.flavor": "string", "kernel.core.enabled": "bool",
          "envs": "string[]", "origin": "string", "hostname": "string"}
_ZERO: Dict[str, object] = {"string": "", "int": 0, "bool": False, "string[]": ()}


class Host(NamedTuple):
    """Facts about the host, by name of the filter field; `time` is what durations in filters are held against."""

    facts: Dict[str, object]
    time: int = 0


def host_table() -> FieldTable:
    """The fields of filters; the "event" is a Host."""
    kinds = dict(_KINDS)
    kinds.update({f"os.is_{name}": "bool" for name, _, _ in _DISTRIBUTIONS})
    fields = {name: Field(name, kind, "", f"e.facts.get({name!r}, {_ZERO[kind]!r})") for name, kind in kinds.items()}
    return FieldTable(fields, {}, {}, {})


def this_host() -> Host:
    """The machine that we run on. Reads os-release(5); facts that cannot be found are zero."""
    release = _os_release()
    version = re.match(r"(\d+)\.(\d+)(?:\.(\d+))?(?:-(\d+))?(?:-(.*))?", os.uname().release)
    parts = version.groups("0") if version else ("0",) * 5
    facts: Dict[str, object] = {
        "os": "linux", "os.id": release.get("ID", ""), "os.platform_id": release.get("PLATFORM_ID", ""),
        "os.version_id": release.get("VERSION_ID", ""), "kernel.version.major": int(parts[0]),
        "kernel.version.minor": int(parts[1]), "kernel.version.patch": int(parts[2]), "kernel.version.abi": parts[3],
        "kernel.version.flavor": "" if parts[4] == "0" else parts[4], "kernel.core.enabled": False,
        "envs": [f"{name}={value}" for name, value in os.environ.items()], "origin": "ebpfless",
        "hostname": os.uname().nodename}
    for name, wanted, major in _DISTRIBUTIONS:
        right_version = not major or str(release.get("VERSION_ID", "")).partition(".")[0] == major
        facts[f"os.is_{name}"] = release.get("ID") == wanted and right_version
    return Host(facts)


def _os_release() -> Dict[str, str]:
    for path in ("/etc/os-release", "/usr/lib/os-release"):
        try:
            with open(path, encoding="utf-8", errors="replace") as lines:
                return dict(_assignment(line) for line in lines if "=" in line)
        except OSError:
            continue
    return {}


def _assignment(line: str) -> Tuple[str, str]:
    name, _, value = line.strip().partition("=")
    return name, value.strip("\"'")


_CONSTRAINT = re.compile(r"\s*,?\s*(>=|<=|!=|>|<|==|=)?\s*v?(\d{1,9})(?:\.(\d{1,9}))?(?:\.(\d{1,9}))?")


def version_matches(constraint: str, version: Tuple[int, int, int]) -> bool:
    """Whether `version` meets every part of a constraint like ">=7.65 <7.70". Raises ValueError."""
    at = 0
    found: List[bool] = []
    while constraint[at:].strip():
        match = _CONSTRAINT.match(constraint, at)
        if match is None:
            raise ValueError(f"{constraint!r} is no version constraint such as >=7.65 <7.70")
        wanted = (int(match.group(2)), int(match.group(3) or 0), int(match.group(4) or 0))
        # A constraint without a minor or patch number holds for all of them when it asks for equality.
        given = 1 + sum(match.group(part) is not None for part in (3, 4))
        found.append(_compare(match.group(1) or "=", version, wanted, given))
        at = match.end()
    return all(found)


def _compare(operator: str, version: Tuple[int, int, int], wanted: Tuple[int, int, int], given: int) -> bool:
    if operator in ("=", "==", "!="):
        return (version[:given] == wanted[:given]) != (operator == "!=")
    if operator == ">=":
        return version >= wanted
    if operator == "<=":
        return version[:given] <= wanted[:given]
    return version < wanted if operator == "<" else version[:given] > wanted[:given]
