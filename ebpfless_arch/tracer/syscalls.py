"""The one table of system calls: what each means to us. Filter, decoder and documents are derived from it."""

from typing import Dict, List, NamedTuple, Sequence, Tuple

from ebpfless_arch.abi import Abi
from ebpfless_arch.events.interest import Interest
from ebpfless_arch.kernel.seccomp import Block, Condition, Match

# Kinds of arguments: the word before the colon is the name under which a value is kept (and stands in a record, see
# events/records.py), the word after it one of several ways to read it.
OTHER = ""
DIRFD, PATH, NEW_DIRFD, NEW_PATH, FD = "dirfd", "path", "new_dirfd", "new_path", "fd"
FLAGS, MODE, HOW, ATTRIBUTE = "flags", "mode", "how", "attribute"
ARGV, ENVP, EXEC_FLAGS, CLONE_FLAGS, CLONE_STRUCT = "argv", "envp", "exec_flags", "clone_flags", "clone_struct"
SOURCE, FS_TYPE = "source", "fs_type"
UID, EUID, FSUID, GID, EGID, FSGID, CAPABILITIES = "uid", "euid", "fsuid", "gid", "egid", "fsgid", "capabilities"
IDS = (UID, EUID, FSUID, GID, EGID, FSGID)
PID, THREAD, PIDFD, SIGNAL = "pid", "pid:thread", "pid:descriptor", "signal"
RESOURCE, LIMIT, LIMIT64 = "resource", "limit", "limit:64"
OPTION, NAME, TEXT_OPTION, REQUEST = "option", "name", "name:option", "request"
ADDRESS, LENGTH, PROTECTION, OFFSET, PAGES = "address", "length", "protection", "offset", "offset:pages"
COMMAND, BPF = "command", "bpf"
IMAGE, PARAMETERS = "module", "parameters"
DEVICE, TYPE, OPERATION, VECTOR, OUTPUT, TARGET_FD = "device", "type", "operation", "length:vector", "output", "target_fd"
KEY_TYPE, DESCRIPTION, PERF = "type:text", "description", "perf"
SOCKADDR, LEVEL, BPF_FILTER = "peer", "level", "filter"

# What a row is for, where it is not an event: a clone that would escape its tracer.
GUARD = "guard"

CLONE_UNTRACED = 0x00800000
_AT_REMOVEDIR = 0x200
_PROT_EXEC = 4
_OPEN_TREE_CLONE = 1
_FSCONFIG_SET_STRING = 1
_PR_SET_NAME = 15
_SOL_SOCKET = 1
_ATTACHING = (26, 50, 51, 52)  # SO_ATTACH_FILTER, _BPF, _REUSEPORT_CBPF, _REUSEPORT_EBPF


class Row(NamedTuple):
    """One call: the event it makes, the kinds of its arguments, whether the event needs the call's result.

    only: the calls that are of interest; a filter can test this.
    follow: whether the last component of its path is followed when it is a symlink.
    packed: the argument that points to an array of the real ones, which `kinds` and `also` are about, -1 for none.
    pointer_size: the ABIs that have this call in this form, by the size of their pointers; 0 for all.
    remembered: it makes no event itself; what it does is remembered for a later one.
    always: it is of interest to the model of processes, whatever the rules are.
    """

    call: str
    event: str
    kinds: Tuple[str, ...]
    result: bool = True
    only: Tuple[Condition, ...] = ()
    follow: bool = True
    packed: int = -1
    also: Tuple[Condition, ...] = ()
    pointer_size: int = 0
    remembered: bool = False
    always: bool = False

    def wants(self, arguments: Sequence[int]) -> bool:
        """Whether a call with these arguments is of interest, as far as a filter can tell."""
        return all(condition.holds(arguments) for condition in self.only)


_REMOVES_DIRECTORY = (Condition(2, bits=_AT_REMOVEDIR),)
_REMOVES_FILE = (Condition(2, bits=_AT_REMOVEDIR, absent=True),)
_EXECUTABLE = (Condition(2, bits=_PROT_EXEC),)
_CLONES_MOUNT = (Condition(2, bits=_OPEN_TREE_CLONE),)
_SETS_TEXT = (Condition(1, values=(_FSCONFIG_SET_STRING,)),)
_NAMES_ITSELF = (Condition(0, values=(_PR_SET_NAME,)),)
_ATTACHES = (Condition(1, values=(_SOL_SOCKET,)), Condition(2, values=_ATTACHING))
_MMAP = (ADDRESS, LENGTH, PROTECTION, FLAGS, FD)
_ADDRESSED = (FD, SOCKADDR, LENGTH)


def _socketcall(number: int, event: str, kinds: Tuple[str, ...], also: Tuple[Condition, ...] = ()) -> Row:
    """A sub-call of i386's socketcall (include/uapi/linux/net.h)."""
    return Row("socketcall", event, kinds, only=(Condition(0, values=(number,)),), packed=1, also=also)


_CONTROL_ROWS = (
    Row("openat", "open", (DIRFD, PATH, FLAGS, MODE)),
    Row("open", "open", (PATH, FLAGS, MODE)),
    Row("openat2", "open", (DIRFD, PATH, HOW, OTHER)),
    Row("creat", "open", (PATH, MODE)),
    Row("truncate", "open", (PATH,)),
    Row("truncate64", "open", (PATH,)),
    Row("open_by_handle_at", "open", (OTHER, OTHER, FLAGS)),
    Row("execve", "exec", (PATH, ARGV, ENVP)),
    Row("execveat", "exec", (DIRFD, PATH, ARGV, ENVP, EXEC_FLAGS)),
    Row("clone", GUARD, (CLONE_FLAGS,), result=False, only=(Condition(0, bits=CLONE_UNTRACED),)),
    Row("clone3", GUARD, (CLONE_STRUCT,), result=False),
)

_FILE_ROWS = (
    Row("unlink", "unlink", (PATH,), follow=False),
    Row("unlinkat", "unlink", (DIRFD, PATH, FLAGS), only=_REMOVES_FILE, follow=False),
    Row("rmdir", "rmdir", (PATH,), follow=False),
    Row("unlinkat", "rmdir", (DIRFD, PATH, FLAGS), only=_REMOVES_DIRECTORY, follow=False),
    Row("rename", "rename", (PATH, NEW_PATH), follow=False),
    Row("renameat", "rename", (DIRFD, PATH, NEW_DIRFD, NEW_PATH), follow=False),
    Row("renameat2", "rename", (DIRFD, PATH, NEW_DIRFD, NEW_PATH, FLAGS), follow=False),
    Row("mkdir", "mkdir", (PATH, MODE), follow=False),
    Row("mkdirat", "mkdir", (DIRFD, PATH, MODE), follow=False),
    Row("link", "link", (PATH, NEW_PATH), follow=False),
    Row("linkat", "link", (DIRFD, PATH, NEW_DIRFD, NEW_PATH, FLAGS), follow=False),
    Row("symlink", "link", (PATH, NEW_PATH), follow=False),
    Row("symlinkat", "link", (PATH, NEW_DIRFD, NEW_PATH), follow=False),
    Row("chmod", "chmod", (PATH, MODE)),
    Row("fchmod", "chmod", (FD, MODE)),
    Row("fchmodat", "chmod", (DIRFD, PATH, MODE)),
    Row("fchmodat2", "chmod", (DIRFD, PATH, MODE, FLAGS)),
    Row("chown", "chown", (PATH, UID, GID)),
    Row("lchown", "chown", (PATH, UID, GID), follow=False),
    Row("fchown", "chown", (FD, UID, GID)),
    Row("fchownat", "chown", (DIRFD, PATH, UID, GID, FLAGS)),
    Row("utime", "utimes", (PATH,)),
    Row("utimes", "utimes", (PATH,)),
    Row("futimesat", "utimes", (DIRFD, PATH)),
    Row("utimensat", "utimes", (DIRFD, PATH, OTHER, FLAGS)),
    Row("chdir", "chdir", (PATH,)),
    Row("fchdir", "chdir", (FD,)),
    Row("mount", "mount", (SOURCE, PATH, FS_TYPE, FLAGS)),
    Row("fsopen", "mount", (FS_TYPE,), remembered=True),
    Row("fsconfig", "mount", (FD, OTHER, NAME, SOURCE), only=_SETS_TEXT, remembered=True),
    Row("fsmount", "mount", (FD,)),
    Row("open_tree", "mount", (DIRFD, SOURCE, FLAGS), only=_CLONES_MOUNT),
    Row("open_tree_attr", "mount", (DIRFD, SOURCE, FLAGS), only=_CLONES_MOUNT),
    Row("move_mount", "mount", (DIRFD, SOURCE, NEW_DIRFD, PATH, FLAGS)),
    Row("splice", "splice", (FD, OTHER, OUTPUT, OTHER, OTHER, FLAGS)),
    Row("setxattr", "setxattr", (PATH, ATTRIBUTE)),
    Row("lsetxattr", "setxattr", (PATH, ATTRIBUTE), follow=False),
    Row("fsetxattr", "setxattr", (FD, ATTRIBUTE)),
    Row("setxattrat", "setxattr", (DIRFD, PATH, FLAGS, ATTRIBUTE)),
    Row("removexattr", "removexattr", (PATH, ATTRIBUTE)),
    Row("lremovexattr", "removexattr", (PATH, ATTRIBUTE), follow=False),
    Row("fremovexattr", "removexattr", (FD, ATTRIBUTE)),
    Row("removexattrat", "removexattr", (DIRFD, PATH, FLAGS, ATTRIBUTE)),
)

_PROCESS_ROWS = (
    Row("setuid", "setuid", (UID,)),
    Row("setreuid", "setuid", (UID, EUID)),
    Row("setresuid", "setuid", (UID, EUID)),
    Row("setfsuid", "setuid", (FSUID,)),
    Row("setgid", "setgid", (GID,)),
    Row("setregid", "setgid", (GID, EGID)),
    Row("setresgid", "setgid", (GID, EGID)),
    Row("setfsgid", "setgid", (FSGID,)),
    Row("capset", "capset", (OTHER, CAPABILITIES)),
    Row("setrlimit", "setrlimit", (RESOURCE, LIMIT)),
    Row("prlimit64", "setrlimit", (PID, RESOURCE, LIMIT64), only=(Condition(2),)),
    Row("prctl", "prctl", (OPTION, TEXT_OPTION), only=_NAMES_ITSELF, always=True),
    Row("prctl", "prctl", (OPTION, TEXT_OPTION)),
    Row("ptrace", "ptrace", (REQUEST, THREAD, ADDRESS)),
    Row("kill", "signal", (PID, SIGNAL)),
    Row("tkill", "signal", (THREAD, SIGNAL)),
    Row("tgkill", "signal", (PID, OTHER, SIGNAL)),
    Row("rt_sigqueueinfo", "signal", (PID, SIGNAL)),
    Row("rt_tgsigqueueinfo", "signal", (PID, OTHER, SIGNAL)),
    Row("pidfd_send_signal", "signal", (PIDFD, SIGNAL)),
    Row("mmap", "mmap", _MMAP + (OFFSET,), only=_EXECUTABLE, pointer_size=8),
    Row("mmap", "mmap", _MMAP + (OFFSET,), packed=0, also=_EXECUTABLE, pointer_size=4),
    Row("mmap2", "mmap", _MMAP + (PAGES,), only=_EXECUTABLE),
    Row("mprotect", "mprotect", (ADDRESS, LENGTH, PROTECTION), only=_EXECUTABLE),
    Row("pkey_mprotect", "mprotect", (ADDRESS, LENGTH, PROTECTION), only=_EXECUTABLE),
    Row("bpf", "bpf", (COMMAND, BPF)),
    Row("init_module", "load_module", (IMAGE, LENGTH, PARAMETERS)),
    Row("finit_module", "load_module", (FD, PARAMETERS)),
    Row("delete_module", "unload_module", (NAME,)),
)

_NETWORK_ROWS = (
    Row("bind", "bind", _ADDRESSED),
    Row("connect", "connect", _ADDRESSED),
    Row("accept", "accept", (FD, ADDRESS, LENGTH)),
    Row("accept4", "accept", (FD, ADDRESS, LENGTH)),
    Row("setsockopt", "setsockopt", (FD, LEVEL, OPTION, BPF_FILTER), only=_ATTACHES),
    _socketcall(2, "bind", _ADDRESSED),
    _socketcall(3, "connect", _ADDRESSED),
    _socketcall(5, "accept", (FD, ADDRESS, LENGTH)),
    _socketcall(18, "accept", (FD, ADDRESS, LENGTH)),
    _socketcall(14, "setsockopt", (FD, LEVEL, OPTION, BPF_FILTER), also=_ATTACHES),
)

# Their events are not in SECL: events/own_calls.py tells what they are.
_OWN_ROWS = (
    Row("name_to_handle_at", "name_to_handle_at", (DIRFD, PATH, OTHER, OTHER, FLAGS), follow=False),
    Row("memfd_create", "memfd_create", (NAME, FLAGS)),
    Row("mknod", "mknod", (PATH, MODE, DEVICE), follow=False),
    Row("mknodat", "mknod", (DIRFD, PATH, MODE, DEVICE), follow=False),
    Row("chroot", "chroot", (PATH,)),
    Row("umount", "umount", (PATH,)),
    Row("umount2", "umount", (PATH, FLAGS)),
    Row("pivot_root", "pivot_root", (PATH, NEW_PATH)),
    Row("process_vm_readv", "process_vm_readv", (THREAD, VECTOR)),
    Row("process_vm_writev", "process_vm_writev", (THREAD, VECTOR)),
    Row("pidfd_getfd", "pidfd_getfd", (PIDFD, TARGET_FD)),
    Row("unshare", "unshare", (FLAGS,)),
    Row("setns", "setns", (FD, TYPE)),
    Row("seccomp", "seccomp", (OPERATION, FLAGS)),
    Row("keyctl", "keyctl", (OPERATION,)),
    Row("add_key", "add_key", (KEY_TYPE, DESCRIPTION)),
    Row("request_key", "request_key", (KEY_TYPE, DESCRIPTION)),
    Row("perf_event_open", "perf_event_open", (PERF, THREAD)),
    Row("userfaultfd", "userfaultfd", (FLAGS,)),
)

ROWS = _CONTROL_ROWS + _FILE_ROWS + _PROCESS_ROWS + _NETWORK_ROWS + _OWN_ROWS

# Where an ABI has a call with such an ending as well, it takes wider ids (and the plain one 16 bits), or wider times.
WIDE = "32"
_ENDINGS = ("", WIDE, "_time64")


def rows(interest: Interest) -> List[Row]:
    """The rows that an interest needs, guards always."""
    return [row for row in ROWS if row.event == GUARD or row.always or interest.wants(row.event)]


def by_number(abi: Abi, chosen: Sequence[Row]) -> Dict[int, List[Row]]:
    """The chosen rows by the call numbers of one ABI; calls that it lacks are left out."""
    found: Dict[int, List[Row]] = {}
    for row in chosen:
        for ending in _ENDINGS:
            number = abi.syscalls.get(row.call + ending)
            if number is not None and row.pointer_size in (0, abi.pointer_size):
                found.setdefault(number, []).append(row)
    return found


def blocks(abis: Sequence[Abi], chosen: Sequence[Row]) -> List[Block]:
    """What the seccomp filter has to stop at."""
    return [Block(abi.audit_arch, abi.number_ceiling,
                  [Match(number, row.only) for number, matching in by_number(abi, chosen).items() for row in matching])
            for abi in abis]


EVENTS = frozenset(row.event for row in ROWS) - {GUARD}
