"""Calls for which SECL has no event: ONE table, from which their events, rule fields, JSON and words come."""

from typing import Any, Dict, Tuple

from ebpfless_arch.events import constants
from ebpfless_arch.events.calls import CallEvent
from ebpfless_arch.events.model import Event, Process
from ebpfless_arch.named import NamedTuple

FILE, PROCESS, KERNEL = "File Activity", "Process Activity", "Kernel Activity"


class OwnField(NamedTuple):
    """A field of an event.

    name: below the event's. kind: int, string, file, or lineage for a process. value: its name in the tracer's record.
    heading: the group of constants that has names for a number. bits: whether the number is a set of such.
    """

    name: str
    kind: str
    value: str
    heading: str = ""
    bits: bool = False


class OwnCall(NamedTuple):
    """An event: its category, what it says to people (a %-template over the fields), its fields.

    late: names of fields that are known only when the call is over (as in rules/fields.py).
    """

    category: str
    words: str
    fields: Tuple[OwnField, ...]
    late: str = ""


def _file(name: str = "file", value: str = "") -> OwnField:
    return OwnField(name, "file", value or name)


def _process(name: str = "target", value: str = "pid") -> OwnField:
    return OwnField(name, "lineage", value)


def _text(name: str, value: str = "") -> OwnField:
    return OwnField(name, "string", value or name)


def _number(name: str, value: str = "") -> OwnField:
    return OwnField(name, "int", value or name)


def _one_of(heading: str, name: str) -> OwnField:
    return OwnField(name, "int", name, heading)


def _flags(heading: str, name: str = "flags") -> OwnField:
    return OwnField(name, "int", name, heading, True)


OWN_CALLS: Dict[str, OwnCall] = {
    "name_to_handle_at": OwnCall(FILE, "took a handle of %(file)s", (_file(), _flags(constants.AT_FLAGS))),
    "memfd_create": OwnCall(FILE, "made the memory file %(name)s (%(flags)s)",
                            (_text("name"), _flags(constants.MEMFD_FLAGS))),
    "mknod": OwnCall(FILE, "made %(file)s as %(type)s of device %(device.major)s:%(device.minor)s",
                     (_file(), _number("mode"), _one_of(constants.FILE_TYPES, "type"),
                      _number("device.major", "major"), _number("device.minor", "minor")), "file.+"),
    "chroot": OwnCall(FILE, "made %(file)s its root directory", (_file(),)),
    "umount": OwnCall(FILE, "unmounted %(file)s (%(flags)s)", (_file(), _flags(constants.UNMOUNT_FLAGS))),
    "mount_setattr": OwnCall(FILE, "changed how %(file)s is mounted (%(flags)s)", (_file(), _flags(constants.AT_FLAGS))),
    "fspick": OwnCall(FILE, "took hold of the file system at %(file)s, to change how it is mounted", (_file(),)),
    "pivot_root": OwnCall(FILE, "made %(file)s the root, the old one is at %(put_old)s",
                          (_file(), _file("put_old", "destination"))),
    "process_vm_readv": OwnCall(PROCESS, "read %(length)s bytes of the memory of %(target)s",
                                (_process(), _number("length"))),
    "process_vm_writev": OwnCall(PROCESS, "wrote %(length)s bytes into the memory of %(target)s",
                                 (_process(), _number("length"))),
    "pidfd_getfd": OwnCall(PROCESS, "took the descriptor %(fd)s of %(target)s: %(file)s",
                           (_process(), _number("fd", "target_fd"), _file()), "file.*"),
    "unshare": OwnCall(PROCESS, "left what it shared: %(flags)s", (_flags(constants.CLONE_FLAGS),)),
    "setns": OwnCall(PROCESS, "entered a namespace: %(type)s of %(file)s",
                     (_flags(constants.CLONE_FLAGS, "type"), _file(), _number("pid"))),
    "seccomp": OwnCall(PROCESS, "called seccomp with %(operation)s (%(flags)s)",
                       (_one_of(constants.SECCOMP_OPERATIONS, "operation"), _flags(constants.SECCOMP_FLAGS))),
    "keyctl": OwnCall(PROCESS, "called keyctl with %(operation)s",
                      (_one_of(constants.KEYCTL_OPERATIONS, "operation"),)),
    "add_key": OwnCall(PROCESS, "added the key %(description)s of type %(type)s",
                       (_text("type"), _text("description"))),
    "request_key": OwnCall(PROCESS, "asked for the key %(description)s of type %(type)s",
                           (_text("type"), _text("description"))),
    "perf_event_open": OwnCall(KERNEL, "opened a performance event (%(type)s, %(config)s) of process %(pid)s",
                               (_one_of(constants.PERF_TYPES, "type"), _number("config"), _number("pid"),
                                _process())),
    "userfaultfd": OwnCall(KERNEL, "made a descriptor for page faults (%(flags)s)",
                           (_flags(constants.USERFAULT_FLAGS),)),
    "io_uring_setup": OwnCall(KERNEL, "set up an io_uring of %(entries)s entries (%(flags)s)",
                              (_number("entries"), _flags(constants.IO_URING_FLAGS))),
}


class OwnEvent(CallEvent):
    """An event of OWN_CALLS. `values` has every field of its row by name: a number, a text, a File or a Process."""

    __slots__ = ("values",)

    def __init__(self, kind: str, time: int, process: Process, tid: int, retval: int) -> None:
        Event.__init__(self, kind, time, process, tid, retval)
        self.values: Dict[str, Any] = {}


def shown(field: OwnField, value: int) -> str:
    """A number by the names of its group."""
    if field.bits:
        return constants.names_of(field.heading, value)
    return constants.name_of(field.heading, value) if field.heading else str(value)
