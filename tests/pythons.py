"""The Pythons of this machine, as scripts/test finds them."""

import os
import subprocess
from pathlib import Path
from typing import Dict, Iterator, List, Tuple

Version = Tuple[int, int]

_PROBE = "import sys; print('%d %d %s' % (sys.version_info[:2] + (sys.version_info.releaselevel,)))"


def installed() -> Dict[Version, str]:
    """Each version of CPython from 3.6 on with an interpreter of it, the oldest first."""
    found: Dict[Version, str] = {}
    for path in _candidates():
        # Running it is the only proof: a version manager's name on PATH may be a stub that fails.
        answer = subprocess.run([path, "-c", _PROBE], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        words = answer.stdout.decode().split()
        if answer.returncode == 0 and words[2] == "final" and int(words[1]) >= 6:
            found.setdefault((int(words[0]), int(words[1])), path)
    return dict(sorted(found.items()))


def of_musl() -> List[str]:
    """The interpreters whose C library is musl, as their program's loader says."""
    return [path for path in dict.fromkeys(_candidates()) if b"/ld-musl-" in _beginning(path)]


def _beginning(path: str) -> bytes:
    with open(path, "rb") as program:
        return program.read(4096)


def _candidates() -> Iterator[str]:
    managed = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"
    yield from map(str, sorted(managed.glob("*/bin/python3")))
    for folder in os.environ.get("PATH", "").split(os.pathsep):
        yield from (str(path) for path in sorted(Path(folder).glob("python3.*")) if path.name[8:].isdigit())
