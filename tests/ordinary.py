"""An ordinary user: what a test does as somebody without any privilege."""

import os
import shutil
import sys
from pathlib import Path
from typing import Any, List, Optional, Sequence

from blackbox import FOLDER, Result, run, trace_command

NOBODY = 65534


def become_nobody() -> None:
    """Drops root's identity for good."""
    os.setgroups([])
    os.setresgid(NOBODY, NOBODY, NOBODY)
    os.setresuid(NOBODY, NOBODY, NOBODY)


def _become_nobody_in_root() -> None:
    become_nobody()
    os.chdir("/")


def interpreter() -> Optional[str]:
    """An interpreter that everybody may run: the one that runs the tests may be out of other users' reach."""
    return next((path for path in ("/usr/bin/python3", sys.executable)
                 if run([path, "-c", ""], preexec_fn=_become_nobody_in_root).status == 0), None)


def copy_for_all(folder: Path) -> None:
    """Copies ebpfless to where everybody may read it."""
    if os.path.isdir(os.path.join(FOLDER, "ebpfless_arch")):
        shutil.copytree(os.path.join(FOLDER, "ebpfless_arch"), str(folder / "ebpfless_arch"))
    shutil.copy(os.path.join(FOLDER, "ebpfless.py"), str(folder))


def run_as_nobody(python: str, folder: Path, command: Sequence[str], options: Sequence[str] = (),
                  **run_options: Any) -> Result:
    """Runs `trace -- command` as nobody with the copy of ebpfless in `folder`."""
    line: List[str] = [python] + trace_command(command, options)[1:]
    return run(line, preexec_fn=become_nobody, cwd="/", env=dict(os.environ, PYTHONPATH=str(folder)), **run_options)
