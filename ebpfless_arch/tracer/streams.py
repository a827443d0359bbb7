"""Descriptors that the keeper was started with: they are the command's, and the keeper's own must not get among them."""

import os
from typing import List, Sequence


def open_descriptors() -> List[int]:
    """Descriptors above 2 that we were started with: the command's, not ours."""
    found = []
    for name in os.listdir("/proc/self/fd"):
        try:
            os.fstat(int(name))
        except OSError:
            continue  # that was the listing itself
        if int(name) > 2 and os.get_inheritable(int(name)):
            found.append(int(name))
    return found


def occupy_standard_streams() -> None:
    """Where one of 0, 1, 2 is closed, our own files must not take its place; the command finds it closed again."""
    descriptor = 0
    while descriptor <= 2:
        descriptor = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    os.close(descriptor)


def nullify(descriptors: Sequence[int]) -> None:
    """Have these lead to /dev/null, so that nobody waits for us where they led to."""
    nothing = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    for descriptor in descriptors:
        os.dup2(nothing, descriptor)
    os.close(nothing)
