"""What was opened in order to be executed: it tells the path of a program that is over before anybody can look at it.

fanotify says it of whole mounts (FAN_OPEN_EXEC, Linux 5.0), in the order in which a process opened its files: a script and
then its interpreter, a program and then its loader. It says neither when nor whether the execution succeeded, so it is
believed only where a process was told to have executed as many programs as it opened.
"""

import collections
import os
from typing import List, Optional

from ebpfless_arch.kernel import fanotify, procfs
from ebpfless_arch.kernel.fanotify import Happened, Watcher
from ebpfless_arch.named import NamedTuple
from ebpfless_arch.tracer import paths
from ebpfless_arch.tracer.programs import Program

# Mounts that are never unmounted while a host runs: an event that has not been read keeps its mount from that.
_PLACES = (b"/", b"/usr", b"/opt", b"/home", b"/root", b"/srv", b"/var", b"/tmp", b"/var/tmp", b"/run", b"/dev/shm")
_SCRIPT, _ELF = b"#!", b"\x7fELF"
_LOADERS = (b"ld-", b"ld.so", b"ld64.so", b"ld.")
_BATCHES = 64
_PROCESSES_KEPT = 4096
_CHAINS_KEPT = 32


class Opened(NamedTuple):
    """A file, and the first bytes of what it holds."""

    path: bytes
    status: paths.FileStatus
    magic: bytes


Chain = List[Opened]
"""The files of one execution: any number of scripts, then the executable (missing if that has not been opened yet)."""


class Openings:
    """Remembers what processes opened lately; raises OSError, with advice, where the kernel does not tell us."""

    def __init__(self) -> None:
        self._of: "collections.OrderedDict[int, List[Chain]]" = collections.OrderedDict()
        self._watcher = Watcher(os.O_NOATIME)
        try:
            self._watcher.add(_PLACES[0], fanotify.OPENED_TO_EXECUTE)
        except OSError:
            self._watcher.close()
            raise
        for place in _PLACES[1:]:
            try:
                self._watcher.add(place, fanotify.OPENED_TO_EXECUTE)
            except OSError:
                continue  # it is not there

    def read(self) -> None:
        """Take what has come."""
        # When too much has come, of nobody is all known.
        self._watcher.drain(_BATCHES, self._take, self._of.clear)

    def _take(self, happened: Happened) -> None:
        try:
            self._note(happened)
        except OSError:
            self._of.pop(happened.pid, None)

    def _note(self, happened: Happened) -> None:
        entry = "fd/%d" % happened.descriptor
        opened = Opened(procfs.link(os.getpid(), entry), procfs.status_of(os.getpid(), entry),
                        os.pread(happened.descriptor, len(_ELF), 0))
        if os.path.basename(opened.path).startswith(_LOADERS):
            return
        chains = self._of.setdefault(happened.pid, [])
        if chains and chains[-1][-1].magic != _ELF:
            chains[-1].append(opened)
        else:
            chains.append([opened])
        del chains[:-_CHAINS_KEPT]
        if len(self._of) > _PROCESSES_KEPT:
            self._of.popitem(last=False)

    def take(self, pid: int, executions: int) -> Optional[Program]:
        """The program of the first of a process's executions that have been told and not been looked at, None if that is
        not certain. The process has ended, and all that it opened has been read."""
        chains = self._of.get(pid, [])
        if len(chains) != executions:
            return None
        return _program(chains.pop(0))

    def settle(self, pid: int, executable: bytes) -> None:
        """A process was seen to run an executable: what it opened until then is of no use any more."""
        chains = self._of.get(pid, [])
        for place in range(len(chains) - 1, -1, -1):
            if chains[place][-1].path == executable:
                del chains[:place + 1]
                return

    def forget(self, pid: int) -> None:
        """A process is no more."""
        self._of.pop(pid, None)


def _program(chain: Chain) -> Optional[Program]:
    """What a chain amounts to; None where a file is of a kind that the kernel may have refused."""
    first, last = chain[0], chain[-1]
    if last.magic != _ELF or any(not opened.magic.startswith(_SCRIPT) for opened in chain[:-1]):
        return None
    return Program(first.path, first.status, *((last.path, last.status) if len(chain) > 1 else (b"", None)))
