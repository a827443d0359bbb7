"""Events of system calls: from records to events, to fields of rules, to JSON and words; what is read for them."""

import json
import os
import struct
from pathlib import Path
from typing import Any, Dict, List

import pytest

from call_samples import FILE, FILTER, FULL, IDENTITY, STATUS, bare, call_record
from ebpfless_arch.events import json_form, records, text_form
from ebpfless_arch.events.addresses import as_text, is_public
from ebpfless_arch.events.calls import BpfEvent, FileEvent, IdentityEvent, ModuleEvent, SignalEvent, SocketOptionEvent
from ebpfless_arch.events.constants import BPF_HELPERS, FAMILIES, PROTECTIONS, SIGNALS, name_of, names_of
from ebpfless_arch.events.interest import counts
from ebpfless_arch.events.model import UNSET_ID, Credentials, Event
from ebpfless_arch.events.processes import Processes
from ebpfless_arch.events.users import Users
from ebpfless_arch.kernel import elf, sockets
from ebpfless_arch.rules.compile import Compiler
from ebpfless_arch.rules.fields import field_table
from ebpfless_arch.tracer import syscalls

TABLE = field_table()
EXECUTION = (records.EXEC, 10 ** 18, 100, 100, 0, b"/usr/bin/sh", b"sh", (b"sh",), False, (), False, STATUS, b"", None,
             (0, 0, 0, 0, 0, 0, UNSET_ID, 0, 0), b"sh", 0, 0, b"", False)


@pytest.fixture
def users(tmp_path: Path) -> Users:
    (tmp_path / "passwd").write_text("root:x:0:0::/:\nann:x:1000:1000::/:\n")
    (tmp_path / "group").write_text("wheel:x:0:\nstaff:x:1001:\n")
    return Users(str(tmp_path / "passwd"), str(tmp_path / "group"))


def model(users: Users) -> Processes:
    """Process 100, which runs sh and has forked 101."""
    made = Processes(users)
    made.apply(EXECUTION)
    made.apply((records.FORK, 10 ** 18, 101, 101, 100))
    return made


def event_of(users: Users, kind: str, retval: int = 0, **changes: Any) -> Event:
    return model(users).apply(call_record(kind, dict(FULL[kind], **changes), retval))


def holds(expression: str, event: Event) -> bool:
    compiled = Compiler(TABLE).compile(expression)
    assert compiled.checked.unavailable == ()
    return compiled.test(event)


def form_of(event: Event) -> Dict[str, Any]:
    found: Dict[str, Any] = json.loads(json_form.event_text(event, "title", {}, 1, None))
    return found


def test_there_is_a_sample_of_every_event() -> None:
    assert set(FULL) == syscalls.EVENTS - {"open", "exec"}


@pytest.mark.parametrize("expression", [
    'unlink.file.path == "/tmp/old.txt" && unlink.flags == 0 && unlink.syscall.dirfd == 4',
    'unlink.syscall.path == "old.txt" && unlink.syscall.flags == 0 && unlink.file.rights == 0644',
    'rmdir.file.extension == ".txt" && rmdir.retval == 0 && rmdir.syscall.path == "old.txt"',
    'rename.file.name == "old.txt" && rename.file.destination.path == "/tmp/new.txt" && rename.file.inode == 17',
    'rename.syscall.destination.path != "" && rename.syscall.path == "old.txt"',
    'mkdir.file.destination.mode == 02750 && mkdir.file.destination.rights == 02750 && mkdir.syscall.mode == 02750',
    'utimes.file.user == "ann" && utimes.retval == 0', 'link.file.destination.name == "new.txt" && link.retval == 0',
    'chmod.file.destination.rights & S_ISUID > 0 && chmod.file.rights == 0644 && chmod.syscall.mode == 04711',
    'chown.file.destination.uid == 0 && chown.file.destination.user == "root" && chown.file.uid == 1000',
    'chown.file.destination.gid == -1 && chown.file.destination.group == "" && chown.syscall.gid == -1',
    'chdir.file.path == "/tmp/old.txt" && chdir.syscall.path == "old.txt"',
    'mount.mountpoint.path == "/tmp/old.txt" && mount.source.path == "/src" && mount.fs_type == "ext4"',
    'mount.root.path == "/part" && mount.visible && !mount.detached && mount.syscall.fs_type == ""',
    'setuid.uid == 1000 && setuid.euid == 1002 && setuid.fsuid == 1004 && setuid.user == "ann" && process.uid == 0',
    'setgid.gid == 1001 && setgid.egid == 1003 && setgid.fsgid == 1005 && setgid.group == "staff"',
    'capset.cap_effective == CAP_SYS_ADMIN && capset.cap_permitted & CAP_SYS_BOOT > 0',
    'load_module.name == "snd_x" && load_module.argv in ["b=2"] && load_module.args == "a=1 b=2"',
    'load_module.file.name == "snd-x.ko.xz" && !load_module.loaded_from_memory && !load_module.args_truncated',
    'unload_module.name == "snd_x" && unload_module.retval == 0',
    'connect.addr.ip == 8.8.0.0/16 && connect.addr.port == 443 && connect.addr.is_public && connect.retval == 0',
    'connect.addr.family == AF_INET && connect.protocol == IP_PROTO_TCP',
    'accept.addr.port == 80 && accept.addr.ip in [8.8.4.4] && accept.addr.is_public == true',
    'bind.addr.port == 80 && bind.addr.family == AF_INET && bind.protocol == IP_PROTO_TCP',
    'setsockopt.level == SOL_SOCKET && setsockopt.optname == SO_ATTACH_FILTER && setsockopt.filter_len == 4',
    'setsockopt.used_immediates == 2048 && setsockopt.socket_family == AF_PACKET && setsockopt.socket_type == SOCK_RAW',
    'setrlimit.resource == RLIMIT_CORE && setrlimit.rlim_cur == 0 && setrlimit.rlim_max == -1',
    'setrlimit.target.pid == 100 && setrlimit.target.file.name == "sh"',
    'prctl.option == PR_SET_NAME && prctl.new_name == "[kworker/0:1-ev" && prctl.is_name_truncated',
    'ptrace.request == PTRACE_POKETEXT && ptrace.tracee.pid == 101 && ptrace.tracee.parent.comm == "sh"',
    'signal.type == SIGKILL && signal.pid == 101 && signal.target.ancestors.pid == 100 && signal.target.ppid == 100',
    'signal.target.ancestors[A].pid == 100 && signal.target.ancestors[A].comm == "sh"',
    'signal.target.ancestors.length == 1 && signal.retval == 0',
    'mmap.protection & PROT_EXEC > 0 && mmap.flags & MAP_PRIVATE > 0 && mmap.file.path == "/tmp/old.txt"',
    'mprotect.req_protection == PROT_READ|PROT_EXEC && mprotect.vm_protection == VM_READ|VM_WRITE',
    'setxattr.file.destination.name == "security.capability" && setxattr.file.destination.namespace == "security"',
    'removexattr.file.destination.name == "user.x.y" && removexattr.file.destination.namespace == "user"',
    'bpf.cmd == BPF_PROG_LOAD && bpf.prog.type == BPF_PROG_TYPE_KPROBE && bpf.prog.name == "prog"',
    'splice.file.path == "/tmp/old.txt" && splice.retval == 0',
    'name_to_handle_at.file.name == "old.txt" && name_to_handle_at.flags & AT_EMPTY_PATH > 0',
    'memfd_create.name == "jit" && memfd_create.flags == MFD_CLOEXEC|MFD_ALLOW_SEALING && memfd_create.retval == 0',
    'mknod.file.path == "/tmp/old.txt" && mknod.type == S_IFBLK && mknod.mode & S_IRUSR > 0',
    'mknod.device.major == 8 && mknod.device.minor == 1 && mknod.file.inode == 17',
    'chroot.file.path == "/tmp/old.txt"', 'umount.file.path == "/tmp/old.txt" && umount.flags == MNT_DETACH',
    'mount_setattr.file.path == "/tmp/old.txt" && mount_setattr.flags & AT_RECURSIVE > 0', 'fspick.file.path == "/tmp/old.txt"',
    'pivot_root.file.path == "/tmp/old.txt" && pivot_root.put_old.path == "/tmp/new.txt"',
    'process_vm_readv.target.pid == 101 && process_vm_readv.length == 4099',
    'process_vm_writev.target.pid == 101 && process_vm_writev.target.ancestors.file.name == "sh"',
    'process_vm_writev.target.parent.pid == 100 && process_vm_writev.target.ancestors[A].comm == "sh"',
    'pidfd_getfd.target.pid == 101 && pidfd_getfd.fd == 7 && pidfd_getfd.file.path == "/tmp/old.txt"',
    'unshare.flags == CLONE_NEWNS|CLONE_NEWUSER', 'setns.type == CLONE_NEWNS && setns.file.name == "mnt:[4026531841]"',
    'setns.file.path == "" && setns.pid == 0',
    'seccomp.operation == SECCOMP_SET_MODE_FILTER && seccomp.flags & SECCOMP_FILTER_FLAG_NEW_LISTENER > 0',
    'keyctl.operation == KEYCTL_READ', 'add_key.type == "user" && add_key.description == "secret"',
    'request_key.type == "logon" && request_key.description == "other"',
    'perf_event_open.type == PERF_TYPE_BREAKPOINT && perf_event_open.config == 17 && perf_event_open.pid == 101',
    'perf_event_open.target.comm == "sh"', 'userfaultfd.flags & UFFD_USER_MODE_ONLY > 0 && process.pid == 100',
    'BPF_PROBE_WRITE_USER in bpf.prog.helpers && bpf.map.name == "" && bpf.prog.attach_type == BPF_CGROUP_INET_INGRESS',
])
def test_fields(users: Users, expression: str) -> None:
    kind = expression.partition(".")[0] if "in bpf" not in expression else "bpf"
    assert holds(expression, event_of(users, kind))


@pytest.mark.parametrize("kind", sorted(FULL))
def test_every_event_has_its_forms(users: Users, kind: str) -> None:
    for values, retval in ((FULL[kind], 0), (bare(kind), -13)):
        event = model(users).apply(call_record(kind, values, retval))
        form = form_of(event)
        assert form["evt"]["name"] == kind and form["evt"]["variables"]["retval"] == retval
        assert form["evt"]["outcome"] == ("Success" if retval == 0 else "Refused")
        assert (form["process"]["pid"], form["process"]["tid"]) == (100, 101)
        line = text_form.headline(event)
        assert line.startswith("sh[100] ") and line.endswith(": EACCES") == (retval != 0)


@pytest.mark.parametrize("kind,words", [
    ("unlink", "deleted /tmp/old.txt"), ("rename", "renamed /tmp/old.txt to /tmp/new.txt"),
    ("mkdir", "made the directory /tmp/old.txt with mode 02750"), ("chmod", "changed the mode of /tmp/old.txt to 04711"),
    ("chown", "gave /tmp/old.txt to root"), ("mount", "mounted /src on /tmp/old.txt (ext4)"),
    ("setuid", "changed its identity to uid 1000, euid 1002, fsuid 1004"),
    ("setrlimit", "limited RLIMIT_CORE of itself to 0, at most unlimited"),
    ("prctl", "named itself [kworker/0:1-ev"), ("ptrace", "traced sh[101] with PTRACE_POKETEXT"),
    ("signal", "sent SIGKILL to sh[101]"), ("mmap", "mapped /tmp/old.txt with PROT_READ | PROT_EXEC"),
    ("bpf", "loaded the BPF program prog (BPF_PROG_TYPE_KPROBE)"),
    ("load_module", "loaded the kernel module snd_x from /lib/modules/snd-x.ko.xz"),
    ("connect", "connected to 8.8.4.4:443 (TCP)"), ("accept", "accepted a connection from 8.8.4.4:55555 on port 80"),
    ("setsockopt", "attached a filter to a socket of AF_PACKET (SO_ATTACH_FILTER)"),
    ("splice", "spliced /tmp/old.txt"), ("name_to_handle_at", "took a handle of /tmp/old.txt"),
    ("memfd_create", "made the memory file jit (MFD_CLOEXEC | MFD_ALLOW_SEALING)"),
    ("mknod", "made /tmp/old.txt as S_IFBLK of device 8:1"), ("chroot", "made /tmp/old.txt its root directory"),
    ("mount_setattr", "changed how /tmp/old.txt is mounted (AT_RECURSIVE)"),
    ("fspick", "took hold of the file system at /tmp/old.txt, to change how it is mounted"),
    ("umount", "unmounted /tmp/old.txt (MNT_DETACH)"),
    ("pivot_root", "made /tmp/old.txt the root, the old one is at /tmp/new.txt"),
    ("process_vm_readv", "read 4099 bytes of the memory of sh[101]"),
    ("process_vm_writev", "wrote 31 bytes into the memory of sh[101]"),
    ("pidfd_getfd", "took the descriptor 7 of sh[101]: /tmp/old.txt"),
    ("unshare", "left what it shared: CLONE_NEWNS | CLONE_NEWUSER"),
    ("setns", "entered a namespace: CLONE_NEWNS of mnt:[4026531841]"),
    ("seccomp", "called seccomp with SECCOMP_SET_MODE_FILTER (SECCOMP_FILTER_FLAG_NEW_LISTENER)"),
    ("keyctl", "called keyctl with KEYCTL_READ"), ("add_key", "added the key secret of type user"),
    ("request_key", "asked for the key other of type logon"),
    ("perf_event_open", "opened a performance event (PERF_TYPE_BREAKPOINT, 17) of process 101"),
    ("userfaultfd", "made a descriptor for page faults (UFFD_USER_MODE_ONLY | O_CLOEXEC)"),
    ("setxattr", "set the attribute security.capability of /tmp/old.txt"),
])
def test_words(users: Users, kind: str, words: str) -> None:
    assert text_form.headline(event_of(users, kind)) == "sh[100] " + words


@pytest.mark.parametrize("pid,kind,reason,words", [
    (100, "abi", "a call", "sh[100] is not fully seen: a call"),
    (100, "tampering", "tried to trace process 5", "sh[100] tried to trace process 5"),
    (100, "privileges", "neutralised: set-user-ID 0 of /a", "sh[100] is neutralised: set-user-ID 0 of /a"),
    (0, "tracer", "the tracer was killed", "what is traced is not fully seen: the tracer was killed"),
])
def test_words_of_blind_spots(users: Users, pid: int, kind: str, reason: str, words: str) -> None:
    event = model(users).apply(records.blind(0, pid, pid, reason, kind))
    assert event is not None and text_form.headline(event) == words


def test_nobody_forges_a_line_by_a_name(users: Users) -> None:
    evil = b"x\nHIGH y\x1b[0m"
    for kind, changes in (("prctl", {"name": (evil, False)}), ("unload_module", {"name": evil}),
                          ("setxattr", {"attribute": evil}), ("mount", {"source_path": evil, "mount": None}),
                          ("connect", {"path": b"@" + evil, "ip": b"", "family": 1}), ("bpf", {"bpf": (2, 0, evil, ())}),
                          ("memfd_create", {"name": evil}), ("add_key", {"description": evil}),
                          ("pivot_root", {"destination": (b"/" + evil, None, "")})):
        assert text_form.headline(event_of(users, kind, **changes)).isprintable()


# --- the model ---------------------------------------------------------------------


def test_a_new_identity_holds_from_the_next_record_on(users: Users) -> None:
    made = model(users)
    event = made.apply(call_record("setuid", FULL["setuid"]))
    assert isinstance(event, IdentityEvent)
    assert event.process.credentials.uid == 0 and event.after == Credentials(*IDENTITY)
    assert form_of(event)["process"]["credentials"]["destination"]["euid"] == 1002
    child = made.apply((records.FORK, 10 ** 18, 102, 102, 100)).process
    assert event.process.credentials == child.credentials == Credentials(*IDENTITY)
    other = made.apply(call_record("chdir", FULL["chdir"], pid=101)).process
    assert other.credentials.uid == 0 and other.ancestors[0].credentials.uid == 1000
    assert form_of(made.apply(call_record("chdir", FULL["chdir"])))["process"]["uid"] == 1000


def test_what_was_written_of_a_child_is_written_anew(users: Users) -> None:
    made = model(users)
    chdir = made.apply(call_record("chdir", FULL["chdir"], pid=101))
    assert form_of(chdir)["process"]["parent"]["uid"] == 0
    made.apply(call_record("setuid", FULL["setuid"]))
    assert form_of(made.apply(call_record("chdir", FULL["chdir"], pid=101)))["process"]["parent"]["uid"] == 1000


def test_a_new_name_holds_from_the_next_record_on_if_the_first_thread_got_it(users: Users) -> None:
    made = model(users)
    named = (records.CALL, 10 ** 18, 100, 100, 0, "prctl", {"option": 15, "name": (b"new", False)})
    event = made.apply(named)
    assert event.process.comm == "sh"
    child = made.apply((records.FORK, 10 ** 18, 102, 102, 100)).process
    assert (event.process.comm, child.comm) == ("new", "new")
    assert text_form.headline(made.apply(call_record("chdir", FULL["chdir"]))).startswith("new[100] ")
    assert form_of(made.apply(call_record("chdir", FULL["chdir"], pid=101)))["process"]["parent"]["comm"] == "new"
    for tid, option, result in ((101, 15, 0), (100, 16, 0), (100, 15, -1)):
        made.apply(named[:3] + (tid, result, "prctl", {"option": option, "name": (b"other", False)}))
        assert made.apply(call_record("chdir", FULL["chdir"])).process.comm == "new"


def test_what_the_schema_has_no_place_for_is_in_the_variables(users: Users) -> None:
    def variables(kind: str) -> Dict[str, Any]:
        found = form_of(event_of(users, kind))["evt"]["variables"]
        return {name: value for name, value in found.items() if name not in ("sequence", "retval")}

    assert variables("process_vm_writev") == {
        "target_pid": 101, "target_comm": "sh", "target_executable": "/usr/bin/sh", "length": 31}
    assert variables("mknod") == {"mode": 0o60600, "type": "S_IFBLK", "device_major": 8, "device_minor": 1}
    assert variables("pivot_root") == {"put_old": "/tmp/new.txt"}
    assert variables("unshare") == {"flags": "CLONE_NEWNS | CLONE_NEWUSER"}
    assert form_of(event_of(users, "mknod"))["file"]["path"] == "/tmp/old.txt"


@pytest.mark.parametrize("changes", [{"identity": None, "process_identity": None}, {"process_identity": None}])
def test_a_refused_call_or_another_thread_s_changes_no_process(users: Users, changes: Dict[str, Any]) -> None:
    made = model(users)
    event = made.apply(call_record("setuid", dict(FULL["setuid"], **changes), 0 if len(changes) == 1 else -1))
    made.apply(call_record("chdir", FULL["chdir"]))
    assert event.process.credentials.uid == 0
    assert isinstance(event, IdentityEvent)
    assert (event.after.uid, event.after.euid) == ((1000, 1002) if len(changes) == 1 else (1000, UNSET_ID))


def test_targets(users: Users) -> None:
    made = model(users)
    made.apply((records.EXIT, 10 ** 18, 101, 101, 2, 9))
    ended = made.apply(call_record("signal", FULL["signal"]))
    strange = made.apply(call_record("signal", dict(FULL["signal"], pid=os.getpid())))
    nobody = made.apply(call_record("signal", dict(FULL["signal"], pid=-1)))
    assert isinstance(ended, SignalEvent) and isinstance(strange, SignalEvent) and isinstance(nobody, SignalEvent)
    assert (ended.target.pid, ended.target.comm) == (101, "sh")
    assert strange.target.ppid == os.getppid() and strange.target.ancestors[0].pid == os.getppid()
    assert (nobody.target.pid, nobody.pid, nobody.target.comm) == (0, -1, "")
    assert len(made) == 1
    assert text_form.headline(nobody) == "sh[100] sent SIGKILL to every process"


def test_a_pipe_has_a_name_and_no_path(users: Users) -> None:
    event = event_of(users, "chmod", file=(b"pipe:[123]", STATUS, ""))
    assert isinstance(event, FileEvent) and (event.file.path, event.file.name) == ("", "pipe:[123]")


def test_details(users: Users) -> None:
    option = event_of(users, "setsockopt")
    assert isinstance(option, SocketOptionEvent)
    assert option.instructions[1] == (0x15, 0, 1, 0x800) and option.immediates == [0x800]
    table = event_of(users, "bpf", command=0, bpf=(2, 0, b"counts", ()))
    assert isinstance(table, BpfEvent)
    assert (table.map_name, table.map_type, table.program_name) == ("counts", 2, "")
    module = event_of(users, "load_module", module=b"its_name")
    assert isinstance(module, ModuleEvent) and module.name == "its_name"


# --- which results rules see ----------------------------------------------------------


@pytest.mark.parametrize("event,seen,unseen", [
    ("unlink", [0, 3, -1, -13], [-2, -111, -98]), ("connect", [0, -1, -13, -111, -110, -115], [-2, -98]),
    ("accept", [5, -13, -103], [-11, -111]), ("bind", [0, -13, -98, -14], [-22])])
def test_results_that_count(event: str, seen: List[int], unseen: List[int]) -> None:
    assert all(counts(event, result) for result in seen)
    assert not any(counts(event, result) for result in unseen)


# --- addresses, names, modules --------------------------------------------------------


@pytest.mark.parametrize("address,expected", [
    ("8.8.8.8", True), ("172.15.255.255", True), ("172.32.0.1", True), ("223.255.255.255", True), ("2600::1", True),
    ("::ffff:8.8.8.8", True), ("9.255.255.255", True), ("11.0.0.0", True),
    ("10.0.0.1", False), ("172.16.0.1", False), ("172.31.255.255", False), ("192.168.0.1", False), ("127.9.9.9", False),
    ("169.254.169.254", False), ("100.64.0.1", False), ("0.0.0.0", False), ("224.0.0.1", False), ("::1", False),
    ("::", False), ("fe80::1", False), ("fd00::1", False), ("ff02::1", False), ("::ffff:10.0.0.1", False),
    ("2001:db8::1", False), ("", False), ("no address", False),
])
def test_public_addresses(address: str, expected: bool) -> None:
    assert is_public(address) is expected


def test_addresses_as_text() -> None:
    assert [as_text(data) for data in (b"\x7f\0\0\1", b"\0" * 15 + b"\1", b"", b"123")] == ["127.0.0.1", "::1", "", ""]


@pytest.mark.parametrize("data,expected", [
    (b"\2\0\1\xbb\1\2\3\4" + b"\0" * 8, {"family": 2, "ip": b"\1\2\3\4", "port": 443, "path": b""}),
    (b"\n\0\0\x35" + b"\0" * 4 + b"\xfe" * 16 + b"\0" * 4, {"family": 10, "ip": b"\xfe" * 16, "port": 53, "path": b""}),
    (b"\1\0/run/x\0rest", {"family": 1, "ip": b"", "port": 0, "path": b"/run/x"}),
    (b"\1\0\0name", {"family": 1, "ip": b"", "port": 0, "path": b"@name"}),
    (b"\1\0", {"family": 1, "ip": b"", "port": 0, "path": b""}),
    (b"\2\0\1", {"family": 2, "ip": b"", "port": 0, "path": b""}),
    (b"", {"family": 0, "ip": b"", "port": 0, "path": b""}),
])
def test_socket_addresses(data: bytes, expected: Dict[str, object]) -> None:
    assert sockets.parse(data) == expected


def test_names_of_numbers() -> None:
    assert (name_of(SIGNALS, 9), name_of(SIGNALS, 64), name_of(FAMILIES, 1)) == ("SIGKILL", "64", "AF_UNIX")
    assert name_of(BPF_HELPERS, 36) == "BPF_PROBE_WRITE_USER"
    assert [names_of(PROTECTIONS, bits) for bits in (0, 5, 1 << 30 | 2)] == [
        "PROT_NONE", "PROT_READ | PROT_EXEC", "PROT_WRITE | 0x40000000"]


def image(bits: int, information: bytes) -> bytes:
    """A kernel module with nothing but its names and its .modinfo."""
    names = b"\0.modinfo\0.shstrtab\0"
    form, size = ("<4xIIIIIII", 40) if bits == 32 else ("<4xIQQQQII", 64)
    start = 52 if bits == 32 else 64
    texts = start + len(names)
    table = texts + len(information)
    head = b"\x7fELF" + bytes([1 if bits == 32 else 2, 1, 1]) + b"\0" * 9
    rest = struct.pack("<HHIIIIIHHHHHH" if bits == 32 else "<HHIQQQIHHHHHH",
                       1, 3, 1, 0, 0, table, 0, start, 0, 0, size, 3, 2)
    sections = [(0, 0, 0), (1, texts, len(information)), (10, start, len(names))]
    headers = b"".join(
        (struct.pack("<10I", name, 1, 0, 0, offset, length, 0, 0, 0, 0) if bits == 32 else
         struct.pack("<IIQQQQIIQQ", name, 1, 0, 0, offset, length, 0, 0, 0, 0)) for name, offset, length in sections)
    assert form and len(head + rest) == start
    return head + rest + names + information + headers


@pytest.mark.parametrize("bits", [32, 64])
def test_the_name_of_a_module(bits: int) -> None:
    data = image(bits, b"license=GPL\0name=its_name\0alias=x\0")
    assert elf.module_name(lambda offset, size: data[offset:offset + size]) == b"its_name"
    nameless = image(bits, b"license=GPL\0")
    assert elf.module_name(lambda offset, size: nameless[offset:offset + size]) == b""
    for length in range(0, len(data), 7):
        cut = data[:length]
        assert elf.module_name(lambda offset, size: cut[offset:offset + size]) in (b"", b"its_name")


def test_files_that_are_no_modules_have_no_name() -> None:
    for data in (b"", b"\x7fELF", b"\x7fELF" + b"\xff" * 200, b"\x7fELF\2\1" + b"\xff" * 200, b"MZ" * 99):
        assert elf.module_name(lambda offset, size: data[offset:offset + size]) == b""


def test_samples_are_what_they_say() -> None:
    assert FILE[1] == STATUS and len(FILTER) == 32
