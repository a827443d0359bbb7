"""The one table of system calls: what each means to us. Filter, decoder and documents are derived from it."""

import os
from typing import Dict, List, Sequence, Set, Tuple

from ebpfless_arch.abi import Abi
from ebpfless_arch.events.interest import ANSWERS, ArgumentTest, Interest
from ebpfless_arch.kernel.seccomp import Block, Condition, Match
from ebpfless_arch.named import NamedTuple

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
DEVICE, OPERATION, VECTOR, OUTPUT, TARGET_FD = "device", "operation", "length:vector", "output", "target_fd"
KEY_TYPE, DESCRIPTION, PERF = "type:text", "description", "perf"
SOCKADDR, LEVEL, BPF_FILTER = "peer", "level", "filter"
FAMILY, TYPE, PROTOCOL, BACKLOG = "family", "type", "protocol", "backlog"
ENTRIES, RING = "entries", "flags:ring"

# What a row is for, where it is not an event: a clone that would escape its tracer; a look for a child that has ended;
# a call whose payload, or whose new descriptor, tells of the events that it `serves` (tracer/payload.py); the second
# kind of such a row says how. A call that is refused with --io-uring deny; one that asks on which CPUs somebody may run, or
# says it; one by which a program begins to trace another one, or does something else to one that could be ours.
GUARD, LOOK, CARRIER, BARRED, PLACE, HAND_OVER = "guard", "look", "carrier", "barred", "place", "hand over"
SHIELD = "shield"
# What opens that are decided at their entry (tracer/foreseen.py) have to know of: a call that may make a path lead elsewhere,
# and one after which nothing is certain any more.
MOVES, UPSETS = "moves", "upsets"
NO_EVENTS = frozenset([GUARD, LOOK, BARRED, PLACE, HAND_OVER, SHIELD, MOVES, UPSETS])
SENT, SENT_VECTOR, SENT_MESSAGE, SENT_MESSAGES = "sent", "sent:vector", "sent:message", "sent:messages"
GOT, GOT_VECTOR, GOT_MESSAGE, GOT_MESSAGES = "got", "got:vector", "got:message", "got:messages"
OPENED = "opened"

CLONE_UNTRACED = 0x00800000
CLONE_VM, CLONE_FS, CLONE_FILES, _CLONE_VFORK, _CLONE_THREAD = 0x100, 0x200, 0x400, 0x4000, 0x10000
_CLONE_NEWNS = 0x20000
_AT_REMOVEDIR = 0x200
_PROT_EXEC = 4
_WNOHANG = 1
TRACEME = 0
_BEGINS_TRACING = (TRACEME, 16, 0x4206)  # and PTRACE_ATTACH, PTRACE_SEIZE
_NEGATIVE = 0x80000000
_ONE_CHILD = (1, 3)  # P_PID, P_PIDFD
_OPEN_TREE_CLONE = 1
_FSCONFIG_SET_STRING = 1
_PR_SET_NAME = 15
_NEW_LISTENER = 8
_SOL_SOCKET = 1
_ATTACHING = (26, 50, 51, 52)  # SO_ATTACH_FILTER, _BPF, _REUSEPORT_CBPF, _REUSEPORT_EBPF


class Row(NamedTuple):
    """One call: the event it makes, the kinds of its arguments, whether the event needs the call's result.

    only: the calls that are of interest; a filter can test this.
    follow: whether the last component of its path is followed when it is a symlink.
    packed: the argument that points to an array of the real ones, which `kinds` and `also` are about, -1 for none.
    pointer_size: the ABIs that have this call in this form, by the size of their pointers; 0 for all.
    serves: of a carrier, the events that it is needed for.
    remembered: it makes no event itself; what it does is remembered for a later one.
    always: it is of interest to the model of processes, or to whoever wants to know what we miss, whatever the rules are.
    blinds: what cannot be seen once it has succeeded, one of records.BLIND_KINDS.
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
    serves: Tuple[str, ...] = ()
    remembered: bool = False
    always: bool = False
    blinds: str = ""

    def wants(self, arguments: Sequence[int]) -> bool:
        """Whether a call with these arguments is of interest, as far as a filter can tell."""
        return all(condition.holds(arguments) for condition in self.only)


_REMOVES_DIRECTORY = (Condition(2, bits=_AT_REMOVEDIR),)
_REMOVES_FILE = (Condition(2, bits=_AT_REMOVEDIR, absent=True),)
_EXECUTABLE = (Condition(2, bits=_PROT_EXEC),)
_LOOKS_FOR_ONE = (Condition(0, bits=_NEGATIVE, absent=True), Condition(2, bits=_WNOHANG))
_ANOTHER = (Condition(0),)
_CLONES_MOUNT = (Condition(2, bits=_OPEN_TREE_CLONE),)
_SETS_TEXT = (Condition(1, values=(_FSCONFIG_SET_STRING,)),)
_NAMES_ITSELF = (Condition(0, values=(_PR_SET_NAME,)),)
_HAS_LISTENER = (Condition(1, bits=_NEW_LISTENER),)
_ATTACHES = (Condition(1, values=(_SOL_SOCKET,)), Condition(2, values=_ATTACHING))
_MMAP = (ADDRESS, LENGTH, PROTECTION, FLAGS, FD)
_ADDRESSED = (FD, SOCKADDR, LENGTH)
_SOCKET = (FAMILY, TYPE, PROTOCOL)
# Sockets of interest: netlink, packet, vsock, XDP; raw ones of any family and SOCK_PACKET, by which AF_INET means
# AF_PACKET, with SOCK_NONBLOCK and SOCK_CLOEXEC or not.
_OF_SPECIAL_FAMILY = (Condition(0, values=(16, 17, 40, 44)),)
_OF_SPECIAL_TYPE = (Condition(1, values=tuple(kind | how for kind in (3, 10) for how in (0, 0x800, 0x80000, 0x80800))),)


def _socketcall(number: int, event: str, kinds: Tuple[str, ...], also: Tuple[Condition, ...] = (),
                serves: Tuple[str, ...] = ()) -> Row:
    """A sub-call of i386's socketcall (include/uapi/linux/net.h)."""
    return Row("socketcall", event, kinds, only=(Condition(0, values=(number,)),), packed=1, also=also, serves=serves)


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
    Row("waitid", LOOK, (), result=False, only=(Condition(0, values=_ONE_CHILD), Condition(3, bits=_WNOHANG))),
    Row("wait4", LOOK, (), result=False, only=_LOOKS_FOR_ONE),
    Row("waitpid", LOOK, (), result=False, only=_LOOKS_FOR_ONE),
    Row("ptrace", HAND_OVER, (), result=False, only=(Condition(0, values=_BEGINS_TRACING),)),
    Row("process_vm_writev", SHIELD, (THREAD,), result=False),
    Row("pidfd_getfd", SHIELD, (PIDFD,), result=False),
    Row("prlimit64", SHIELD, (THREAD,), result=False, only=(Condition(0), Condition(2))),
    Row("sched_setaffinity", SHIELD, (THREAD,), result=False, only=_ANOTHER),
    Row("sched_setscheduler", SHIELD, (THREAD,), result=False, only=_ANOTHER),
    Row("sched_setparam", SHIELD, (THREAD,), result=False, only=_ANOTHER),
    Row("sched_setattr", SHIELD, (THREAD,), result=False, only=_ANOTHER),
    Row("setpriority", SHIELD, (OTHER, THREAD), result=False, only=(Condition(0, values=(0, 1)), Condition(1))),
    Row("ioprio_set", SHIELD, (OTHER, THREAD), result=False, only=(Condition(0, values=(1, 2)), Condition(1))),
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
    Row("socket", "socket", _SOCKET, only=_OF_SPECIAL_FAMILY),
    Row("socket", "socket", _SOCKET, only=_OF_SPECIAL_TYPE),
    _socketcall(1, "socket", _SOCKET, also=_OF_SPECIAL_FAMILY),
    _socketcall(1, "socket", _SOCKET, also=_OF_SPECIAL_TYPE),
    Row("listen", "listen", (FD, BACKLOG)),
    _socketcall(4, "listen", (FD, BACKLOG)),
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
    Row("mount_setattr", "mount_setattr", (DIRFD, PATH, FLAGS)),
    Row("fspick", "fspick", (DIRFD, PATH)),
    Row("process_vm_readv", "process_vm_readv", (THREAD, VECTOR)),
    Row("process_vm_writev", "process_vm_writev", (THREAD, VECTOR)),
    Row("pidfd_getfd", "pidfd_getfd", (PIDFD, TARGET_FD)),
    Row("unshare", "unshare", (FLAGS,)),
    Row("setns", "setns", (FD, TYPE)),
    Row("seccomp", "seccomp", (OPERATION, FLAGS), only=_HAS_LISTENER, always=True, blinds="seccomp_listener"),
    Row("seccomp", "seccomp", (OPERATION, FLAGS)),
    Row("keyctl", "keyctl", (OPERATION,)),
    Row("add_key", "add_key", (KEY_TYPE, DESCRIPTION)),
    Row("request_key", "request_key", (KEY_TYPE, DESCRIPTION)),
    Row("perf_event_open", "perf_event_open", (PERF, THREAD)),
    Row("userfaultfd", "userfaultfd", (FLAGS,)),
    Row("io_uring_setup", "io_uring_setup", (ENTRIES, RING), always=True, blinds="io_uring"),
)

# Rings may come from elsewhere as well: inherited, or from another process.
_PLACE_ROWS = tuple(Row(call, PLACE, ()) for call in ("sched_getaffinity", "sched_setaffinity"))
_MOVES_ROWS = tuple(Row(call, MOVES, ()) for call in (
    "rename", "renameat", "renameat2", "link", "linkat", "symlink", "symlinkat"))
_UPSETS_ROWS = tuple(Row(call, UPSETS, (), result=False) for call in (
    "mount", "umount", "umount2", "move_mount", "pivot_root", "chroot", "setns", "userfaultfd", "io_setup", "io_uring_setup",
    "process_vm_writev")) + (
    # Mounts that others make later may be there for one of the two namespaces only.
    Row("unshare", UPSETS, (), result=False, only=(Condition(0, bits=_CLONE_NEWNS),)),
) + tuple(Row("clone", UPSETS, (), result=False, only=only) for only in (
        (Condition(0, bits=_CLONE_NEWNS),),
        (Condition(0, bits=CLONE_VM), Condition(0, bits=_CLONE_THREAD | _CLONE_VFORK, absent=True)),
        (Condition(0, bits=CLONE_FS | CLONE_FILES), Condition(0, bits=_CLONE_THREAD, absent=True))))
_BARRED_ROWS = tuple(Row(call, BARRED, ()) for call in ("io_uring_setup", "io_uring_enter", "io_uring_register"))


def _carriers(call: str, number: int, kinds: Tuple[str, ...], serves: Tuple[str, ...],
              *conditions: Condition) -> Tuple[Row, ...]:
    """A call that carries payload and, if `number` is given, its twin in i386's socketcall. (send and recv are calls of
    32-bit ARM.)"""
    rows_ = (Row(call, CARRIER, kinds, only=conditions, serves=serves),)
    return rows_ + ((_socketcall(number, CARRIER, kinds, conditions, serves),) if number else ())


# How many bytes are worth a look: a question of DNS has 17 at least, more than 4096 are none; the request of a metadata
# service has its line and headers; what is written into a control file is short.
_DNS_SIZE, _HTTP_SIZE = Condition(2, least=17, most=4096), Condition(2, least=16, most=8192)
_CONTROL_SIZE, _ANSWER_SIZE = Condition(2, least=1, most=4096), Condition(2, least=12, most=65537)
_SOME_VECTORS = Condition(2, least=1)
_DNS, _IMDS, _ANSWERS, _ADDRESSES = ("dns",), ("imds",), ("dns.response", "imds.response"), ("send",)
_CONTROL = ("cgroup_write", "selinux", "sysctl")
_WRITES = os.O_WRONLY | os.O_RDWR

_SEND, _SEND_TO = (FD, SENT), (FD, SENT, LENGTH, FLAGS, SOCKADDR)
_RECEIVE, _OPEN = (FD, GOT, LENGTH, FLAGS), (OTHER, OPENED)

_CARRIER_ROWS = (
    _carriers("connect", 3, _ADDRESSED, _DNS + _IMDS)
    + _carriers("write", 0, _SEND, _DNS, _DNS_SIZE) + _carriers("write", 0, _SEND, _IMDS, _HTTP_SIZE)
    + _carriers("send", 9, _SEND, _DNS, _DNS_SIZE) + _carriers("send", 9, _SEND, _IMDS, _HTTP_SIZE)
    + _carriers("write", 0, _SEND, _CONTROL, _CONTROL_SIZE)
    + _carriers("pwrite64", 0, _SEND, _CONTROL, _CONTROL_SIZE)
    + _carriers("writev", 0, (FD, SENT_VECTOR), _DNS + _IMDS + _CONTROL, _SOME_VECTORS)
    + _carriers("pwritev", 0, (FD, SENT_VECTOR), _CONTROL, _SOME_VECTORS)
    + _carriers("pwritev2", 0, (FD, SENT_VECTOR), _DNS + _IMDS + _CONTROL, _SOME_VECTORS)
    + _carriers("sendto", 11, _SEND_TO, _DNS, _DNS_SIZE) + _carriers("sendto", 11, _SEND_TO, _IMDS, _HTTP_SIZE)
    + _carriers("sendto", 11, _SEND_TO, _ADDRESSES, Condition(4))
    + _carriers("sendmsg", 16, (FD, SENT_MESSAGE), _DNS + _IMDS + _ADDRESSES)
    + _carriers("sendmmsg", 20, (FD, SENT_MESSAGES), _DNS + _IMDS + _ADDRESSES)
    + _carriers("read", 0, (FD, GOT), _ANSWERS, _ANSWER_SIZE)
    + _carriers("readv", 0, (FD, GOT_VECTOR), _ANSWERS, _SOME_VECTORS)
    + _carriers("recvfrom", 12, _RECEIVE, _ANSWERS, Condition(2, least=12))
    + _carriers("recv", 10, _RECEIVE, _ANSWERS, Condition(2, least=12))
    + _carriers("recvmsg", 17, (FD, GOT_MESSAGE, FLAGS), _ANSWERS)
    + _carriers("recvmmsg", 19, (FD, GOT_MESSAGES, LENGTH, FLAGS), _ANSWERS)
    + _carriers("open", 0, _OPEN, _CONTROL, Condition(1, bits=_WRITES))
    + _carriers("openat", 0, _OPEN, _CONTROL, Condition(2, bits=_WRITES))
    + _carriers("openat2", 0, _OPEN, _CONTROL) + _carriers("creat", 0, _OPEN, _CONTROL)
)

# Carriers come last: what they tell comes after the call's own event.
ROWS = (_CONTROL_ROWS + _FILE_ROWS + _PROCESS_ROWS + _NETWORK_ROWS + _OWN_ROWS + _PLACE_ROWS + _MOVES_ROWS + _UPSETS_ROWS
        + _BARRED_ROWS + _CARRIER_ROWS)

# Where an ABI has a call with such an ending as well, it takes wider ids (and the plain one 16 bits), or wider times.
WIDE = "32"
ENDINGS = ("", WIDE, "_time64")
# A filter that asked for more would be long for every call; and jumps of 255 instructions are the farthest.
_TESTS_AT_MOST = 160


def rows(interest: Interest) -> List[Row]:
    """The rows that an interest needs, and always those that are no events."""
    return [row for row in ROWS if _is_needed(row, interest)]


def _is_needed(row: Row, interest: Interest) -> bool:
    if row.event == BARRED:
        return interest.io_uring == "deny"
    if row.event == PLACE:
        return interest.colocate
    if row.event in (MOVES, UPSETS):
        return interest.foresees
    return (row.event in NO_EVENTS or row.always or interest.wants(row.event)
            or any(interest.wants(event) for event in row.serves))


def by_number(abi: Abi, chosen: Sequence[Row]) -> Dict[int, List[Row]]:
    """The chosen rows by the call numbers of one ABI; calls that it lacks are left out."""
    found: Dict[int, List[Row]] = {}
    for row in chosen:
        for ending in ENDINGS:
            number = abi.syscalls.get(row.call + ending)
            if number is not None and row.pointer_size in (0, abi.pointer_size):
                found.setdefault(number, []).append(row)
    return found


def blocks(abis: Sequence[Abi], interest: Interest) -> List[Block]:
    """What the seccomp filter has to stop at."""
    return [Block(abi.audit_arch, abi.number_ceiling,
                  [Match(number, row.only + more) for number, matching in by_number(abi, rows(interest)).items()
                   for row in matching for more in narrowed(row, interest)], frozenset(abi.syscalls.values()))
            for abi in abis]


def narrowed(row: Row, interest: Interest) -> List[Tuple[Condition, ...]]:
    """What a filter can further tell of a row's calls: one of these has to hold for a rule to match."""
    if row.always or row.remembered or row.packed >= 0 or row.event not in interest.cases:
        return [()]
    found = [tuple(_condition(row, test) for test in case.tests if test.name in row.kinds)
             for case in interest.cases[row.event]]
    many = sum(len(test.values) + 1 for tests in found for test in tests) > _TESTS_AT_MOST
    return [()] if many or () in found or _is_everything(found) else _merged(found)


def _merged(found: Sequence[Tuple[Condition, ...]]) -> List[Tuple[Condition, ...]]:
    """Lists of values for the same argument become one."""
    values: Dict[int, Set[int]] = {}
    others = set()
    for tests in found:
        if len(tests) == 1 and tests[0].values:
            values.setdefault(tests[0].argument, set()).update(tests[0].values)
        else:
            others.add(tests)
    return [(Condition(at, values=tuple(sorted(known))),) for at, known in sorted(values.items())] + sorted(others)


def _condition(row: Row, test: ArgumentTest) -> Condition:
    return Condition(row.kinds.index(test.name), test.bits, test.absent, test.values)


def _is_everything(found: Sequence[Tuple[Condition, ...]]) -> bool:
    """Whether one of the conditions always holds: some bits are there, or they are not."""
    single = [each[0] for each in found if len(each) == 1 and not each[0].values]
    return any(one.argument == other.argument and one.absent and not other.absent and one.bits & ~other.bits == 0
               for one in single for other in single)


EVENTS = frozenset(event for row in ROWS for event in row.serves or (row.event,)) - NO_EVENTS - ANSWERS
