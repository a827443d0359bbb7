"""Cgroups for tests, in whichever hierarchy this machine has mounted for writing."""

import os
from typing import List

import pytest

from blackbox import wait_until

_FOLDERS = ("/sys/fs/cgroup/pids", "/sys/fs/cgroup/unified", "/sys/fs/cgroup")


def new_cgroup(name: str) -> str:
    """Makes a cgroup below one of this process's own and returns its directory; skips where none can be made."""
    for folder in _FOLDERS:
        if os.path.exists(os.path.join(folder, "cgroup.procs")):
            path = os.path.join(folder, "ebpfless-test-%d" % os.getpid(), name)
            try:
                os.makedirs(path)
            except OSError:
                continue
            return path
    pytest.skip("needs a cgroup file system that can be written")


def processes_of(path: str) -> List[int]:
    """The processes in a cgroup."""
    with open(os.path.join(path, "cgroup.procs")) as file:
        return [int(line) for line in file]


def remove_cgroup(path: str) -> None:
    """Removes a cgroup and its parent, once its last process is gone."""
    wait_until(lambda: not processes_of(path), "the cgroup is empty")
    os.rmdir(path)
    os.rmdir(os.path.dirname(path))
