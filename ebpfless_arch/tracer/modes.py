"""What the engine makes of a kernel: the ways that follow from the features that were found.

There is one state machine; these are the data in it (docs/kernels.md has them for recorded kernels).
"""

from typing import Dict, Tuple

from ebpfless_arch.kernel.features import Features

# For each part of the engine: the feature that it depends on, what follows from a yes and what from a no.
WAYS: Tuple[Tuple[str, str, str, str], ...] = (
    ("stops", "filters", "chosen by a filter", "at every call"),
    ("order", "entry_after_seccomp", "filter, entry, exit", "entry and filter in one, exit"),
    ("calls", "syscall_info", "by PTRACE_GET_SYSCALL_INFO", "by registers"),
    ("memory", "vm_read", "by process_vm_readv", "by /proc/PID/mem, else PTRACE_PEEKDATA"),
    ("on_failure_kill", "exit_kill", "possible", "refused"),
)
PARTS = tuple(way[0] for way in WAYS)


def mode(found: Features) -> Dict[str, str]:
    """The way of each part on a host with these features; none where nothing can be traced."""
    if not found.ptrace:
        return {}
    return {part: yes if getattr(found, feature) else no for part, feature, yes, no in WAYS
            if part != "order" or found.filters}
