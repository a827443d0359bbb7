"""How the keeper lets others have what was meant for them: the command its signals, our parent the command's end."""

import os
import resource
import signal
from typing import List, Set

from ebpfless_arch.kernel import procfs, signals


def pass_on(received: signals.Received, main: int, family: Set[int]) -> None:
    """Pass a signal on to the command, or, where that has ended (main: 0, or known to the kernel alone), to those who are on
    top of what is left of the family."""
    if main and not procfs.has_ended(main) and _sent(main, received):
        return
    for pid in procfs.tops(family.union(_heirs())):
        _sent(pid, received)


def _heirs() -> List[int]:
    """Who has become our child by its parent's end, and is traced: the tracer's news of it may be still to come."""
    return [pid for pid in procfs.children(os.getpid()) if _is_traced_by_us(pid)]


def _is_traced_by_us(pid: int) -> bool:
    """Whether a process has a tracer that bears a name of ours. Which one it is now may be news to the keeper as well."""
    try:
        return procfs.bears_our_name(int(procfs.status(pid)[b"TracerPid"]))
    except (OSError, KeyError, ValueError):
        return False


def _sent(pid: int, received: signals.Received) -> bool:
    """Send a signal on; False where there is nobody any more. Who may not get it from us does not get it."""
    try:
        signals.send(pid, received)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def die_like(status: int) -> int:
    """The exit status for a wait status; a process killed by a signal is followed in the same way.

    As PID 1, which no signal of its own ends, 128 + signal is returned instead.
    """
    if os.WIFEXITED(status):
        return os.WEXITSTATUS(status)
    number = os.WTERMSIG(status)
    if os.getpid() != 1:
        resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
        if number not in (signal.SIGKILL, signal.SIGSTOP):
            signal.signal(number, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, [number])
        os.kill(os.getpid(), number)
    return 128 + number
