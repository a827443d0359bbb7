"""Events of words written into files that steer the kernel."""

from ebpfless_arch.events.calls import CallEvent
from ebpfless_arch.events.model import Event, File, Process

_SELINUX_FILES = {"enforce": ("permissive", "enforcing"), "disable": ("", "disabled")}
_BOOLEANS = "booleans/"


class CgroupWriteEvent(CallEvent):
    """The process `pid` is put into the cgroup whose list is `file`."""

    __slots__ = ("file", "pid")

    def __init__(self, time: int, process: Process, tid: int, retval: int) -> None:
        Event.__init__(self, "cgroup_write", time, process, tid, retval)
        self.file = File(process.users)
        self.pid = 0


class SelinuxEvent(CallEvent):
    """A switch of SELinux: `name` is that of its file below the file system of SELinux, `state` what was written."""

    __slots__ = ("name", "state")

    def __init__(self, time: int, process: Process, tid: int, retval: int) -> None:
        Event.__init__(self, "selinux", time, process, tid, retval)
        self.name = ""
        self.state = False

    @property
    def status(self) -> str:
        """enforcing, permissive or disabled; "" of a write that is not about that."""
        return _SELINUX_FILES.get(self.name, ("", ""))[self.state]

    @property
    def boolean(self) -> str:
        """The name of the boolean that was written, "" for none."""
        return self.name[len(_BOOLEANS):] if self.name.startswith(_BOOLEANS) else ""

    @property
    def boolean_state(self) -> str:
        """on or off, "" of a write that is not about a boolean."""
        return ("on" if self.state else "off") if self.boolean else ""

    @property
    def is_commit(self) -> bool:
        """Whether the booleans written before are to take effect."""
        return self.name == "commit_pending_bools" and self.state


class SysctlEvent(CallEvent):
    """A write to a parameter below /proc/sys, `name` (net/ipv4/ip_forward), at `position`; values are without the line
    break at their end, and cut at 1024 bytes. `action` is SYSCTL_WRITE."""

    __slots__ = ("name", "action", "position", "value", "old_value", "value_truncated", "old_value_truncated")

    def __init__(self, time: int, process: Process, tid: int, retval: int) -> None:
        Event.__init__(self, "sysctl", time, process, tid, retval)
        self.name = ""
        self.action = 0
        self.position = 0
        self.value = ""
        self.old_value = ""
        self.value_truncated = False
        self.old_value_truncated = False
