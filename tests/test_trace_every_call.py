"""Every row of the table of system calls is done by some program of the tests, on each ABI, with success and with failure.

tests/programs/remaining_calls.c does what the programs of test_trace_calls.py, test_trace_further_calls.py and
test_trace_network.py leave out; what its events say is here. That nothing is left out, strace tells.
"""

import os
import shutil
from pathlib import Path
from typing import Any, Dict, List, Tuple

import pytest

import call_coverage
from blackbox import Compiler, file_path, named, retval
from call_runs import EBADF, EFAULT, EINVAL, ENOENT, ENOMEM, EPERM, ESRCH, NO_PID, NOBODY, WIDTHS, Doing, is_32_bit
from ebpfless_arch.abi import AMD64, I386
from ebpfless_arch.tracer.syscalls import ROWS, Row

EPROTONOSUPPORT = -93

Told = Dict[str, Any]


@pytest.fixture(params=WIDTHS)
def program(request: Any, compile_c: Compiler) -> str:
    return compile_c("remaining_calls.c", *request.param)


def told(kind: str, result: int, file: str = "none", **more: Any) -> Told:
    """What an event about a file says."""
    return dict({"type": kind, "retval": result, "file": file}, **more)


def opened(result: int, file: str, flags: int = 0, mode: int = 0) -> Told:
    rights = {"rights": 0o640} if result == 0 else {}
    return told("open", result, file, path=file, flags=flags, mode=mode, **rights)


def attribute(kind: str, result: int, file: str, name: str) -> Told:
    rights = {"rights": 0o640} if result == 0 else {}
    return told(kind, result, file, attribute_name="user." + name, attribute_namespace="user", **rights)


def owned(result: int, file: str = "none") -> Told:
    return told("chown", result, file, path="none" if result == ENOENT else "", uid=0, gid=0,
                destination={"uid": 0, "gid": 0, "user": "root", "group": "root"})


def mapped(result: int, protection: str = "PROT_EXEC", flags: str = "MAP_PRIVATE") -> Told:
    return {"type": "mmap", "retval": result, "mmap": {
        "offset": 0, "length": 4096, "protection": protection, "flags": flags}}


def test_files_that_are_opened(program: str, tmp_path: Path) -> None:
    created, old = os.O_CREAT | os.O_WRONLY | os.O_TRUNC, [("none", os.O_CREAT | os.O_WRONLY | os.O_TRUNC)]
    doing = Doing(program, ["opens"], tmp_path)
    events = doing.told("opens", "open")[2:]  # the mark, and the file that is there
    results = doing.results("opens")
    assert [event["retval"] for event in events] == results
    for event in events:
        event["retval"] = min(event["retval"], 0)
    assert events == [
        opened(0, "o1"), opened(ENOENT, "none"), opened(0, "o1", os.O_WRONLY), opened(ENOENT, "no/x", os.O_WRONLY),
        opened(0, "o1"), opened(ENOENT, "none"), opened(0, "o2", created, 0o640), opened(ENOENT, "no/o3", created, 0o600),
        opened(ENOENT, "no/y", os.O_RDWR)] + [opened(ENOENT, name, flags) for name, flags in old] * is_32_bit(program)


def test_programs_that_are_executed(program: str, tmp_path: Path) -> None:
    doing = Doing(program, ["exec"], tmp_path)
    executed = named(doing.parts["exec"].events, "exec")
    assert [(retval(event), doing.place(event["file"]), event["syscall"]["exec"]["path"], event["process"]["args"])
            for event in executed] == [
        (ENOENT, "none", "none", []), (ENOENT, "none", "none", []), (0, os.path.realpath("/bin/true"), "/bin/true", [])]
    assert doing.results("exec") == [ENOENT, ENOENT]


def test_names_and_attributes(program: str, tmp_path: Path) -> None:
    doing = Doing(program, ["names", "attributes"], tmp_path)
    nobody = {"uid": -1, "gid": -1}
    both = {"path": "none", "destination": "other", "destination_path": "other"}
    expected = [
        told("rmdir", ENOENT, path="none"), told("rename", ENOENT, **both),
        told("mkdir", ENOENT, "no/d", path="no/d", mode=0o700, destination=dict(nobody, mode=0o700)),
        told("link", ENOENT, **both),
        told("link", ENOENT, "no/target", path="target", destination="no/l", destination_path="no/l")]
    expected += [told("chmod", ENOENT, path="none", mode=0o600, destination=dict(nobody, mode=0o600))] * 2
    expected += [owned(ENOENT), owned(EBADF, " EBADF"), owned(ENOENT)] + [told("utimes", ENOENT, path="none")] * 2
    kinds = "rmdir rename mkdir link chmod chown utimes".split()
    assert answered(doing.told("names", *kinds), doing.results("names")) == answered(expected, doing.results("names"))
    expected = [
        attribute("setxattr", 0, "a1", "one"), attribute("setxattr", 0, "a1", "two"),
        attribute("setxattr", ENOENT, "none", "two"), attribute("setxattr", EBADF, " EBADF", "three"),
        attribute("removexattr", 0, "a1", "one"), attribute("removexattr", 0, "a1", "two"),
        attribute("removexattr", ENOENT, "none", "two"), attribute("removexattr", ENOENT, "none", "one")]
    results = doing.results("attributes")
    assert answered(doing.told("attributes", "setxattr", "removexattr"), results) == answered(expected, results)


def answered(events: List[Told], results: List[int]) -> List[Told]:
    """Events with the results that the program saw: an older kernel does not have every call, or a file system no
    attributes, but all that was asked for is told all the same."""
    assert len(events) == len(results)
    return [dict(event, retval=result) for event, result in zip(events, results)]


@pytest.mark.root
def test_identities_that_are_not_to_be_had(program: str, tmp_path: Path) -> None:
    doing = Doing(program, ["identities"], tmp_path)
    events = named(doing.parts["identities"].events, "setuid") + named(doing.parts["identities"].events, "setgid")
    asked = [(retval(event), {name: value for name, value in event["process"]["credentials"]["destination"].items()
                              if isinstance(value, int)}) for event in events]
    gained = {"uid": NOBODY, "euid": NOBODY, "fsuid": NOBODY}
    assert asked == [
        (0, gained), (EPERM, {"fsuid": 0}), (0, {"gid": NOBODY, "egid": NOBODY, "fsgid": NOBODY}), (EPERM, {"gid": 0}),
        (EPERM, {"gid": 0, "egid": 0}), (EPERM, {"gid": 0, "egid": 0}), (EPERM, {"fsgid": 0})]
    # The calls for the identity in file systems return what it was, whether they do anything or not.
    assert doing.results("identities") == [NOBODY, EPERM, EPERM, EPERM, NOBODY]


def test_signals_and_names_and_mappings(program: str, tmp_path: Path) -> None:
    doing = Doing(program, ["signals", "mappings"], tmp_path)
    none = {"type": "SIGTERM", "pid": NO_PID, "target": NO_PID}
    assert doing.told("signals", "signal", "prctl") == [{"type": "signal", "retval": ESRCH, "signal": none}] * 4 + [
        {"type": "signal", "retval": EBADF, "signal": dict(none, pid=0, target=0)},
        {"type": "prctl", "retval": EFAULT,
         "prctl": {"option": "PR_SET_NAME", "new_name": "", "is_name_truncated": False}}]
    assert doing.results("signals") == [ESRCH] * 4 + [EBADF, EFAULT]
    events = doing.told("mappings", "mmap", "mprotect")
    addresses = [event["mmap"].pop("address") for event in events if event["type"] == "mmap"]
    protected = {"type": "mprotect", "retval": ENOMEM, "mprotect": {
        "vm_start": "0x1000", "vm_end": "0x2000", "vm_protection": "VM_NONE", "req_protection": "PROT_EXEC"}}
    readable = "PROT_READ | PROT_EXEC"
    old = [mapped(0, readable, "MAP_PRIVATE | MAP_ANONYMOUS"), mapped(EBADF, readable)] * is_32_bit(program)
    assert [dict(event, retval=min(event["retval"], 0)) for event in events] == old + [mapped(EBADF), protected]
    assert addresses[-1] == "0x0" and (not old or addresses[0] == "%#x" % events[0]["retval"])
    assert doing.results("mappings") == [0, EBADF] * is_32_bit(program) + [EBADF, ENOMEM]


@pytest.mark.root
def test_mounts_in_steps(program: str, tmp_path: Path) -> None:
    doing = Doing(program, ["mounts"], tmp_path)
    cloned = [event for event in doing.told("mounts", "mount") if event["mount"]["mountpoint.path"] != "/"]
    assert [(event["retval"], event["path"], event["mount"]["source.path"], event["mount"]["detached"])
            for event in cloned] == [(result, name, str(tmp_path / name), True)
                                     for result, name in zip(doing.results("mounts")[2:], ("s", "none"))]
    assert doing.told("mounts", "umount") == [told("umount", ENOENT, flags="0")] * is_32_bit(program)


@pytest.mark.root
def test_sockets(program: str, tmp_path: Path) -> None:
    doing = Doing(program, ["sockets", "sub_calls"], tmp_path)
    unix, none = {"family": "AF_UNIX", "ip": "", "port": 0}, {"family": "AF_UNSPEC", "ip": "", "port": 0}
    nothing = {"socket_type": "0", "socket_family": "AF_UNSPEC", "socket_protocol": "IP_PROTO_IP", "level": "SOL_SOCKET",
               "optname": "SO_ATTACH_FILTER", "filter_len": 0, "filter_hash": ""}
    every = {"socket_type": "SOCK_STREAM", "socket_family": "AF_UNIX", "filter_len": 1,
             "filter_hash": "b751d39c472983782174f41dbd68b9f8122928a425b8df44f1f079f7a2bc23b1"}

    def listening(result: int, **more: Any) -> Told:
        return dict({"type": "listen", "retval": result, "protocol": "IP_PROTO_IP", "backlog": 5}, **more)

    def connected(result: int, path: str) -> Told:
        return {"type": "connect", "retval": result, "socket_path": path,
                "connect": {"addr": unix, "protocol": "IP_PROTO_IP", "hostnames": []}}

    accepted = {"type": "accept", "retval": EBADF, "accept": {"addr": none, "hostnames": []}}
    refused = {"type": "setsockopt", "retval": EBADF, "setsockopt": nothing}
    bound = {"type": "bind", "bind": {"addr": unix, "protocol": "IP_PROTO_IP"}, "socket_path": "socket"}
    special = [{"type": "socket", "retval": result, "socket_family": "AF_" + family, "socket_type": "SOCK_" + kind,
                "socket_protocol": protocol} for result, family, kind, protocol in (
        (0, "NETLINK", "RAW", 0), (EPROTONOSUPPORT, "NETLINK", "DGRAM", 999), (0, "INET", "RAW", 1),
        (EINVAL, "INET", "RAW", 999))]
    expected: List[Told] = [
        dict(bound, retval=0), dict(bound, retval=EBADF), listening(0, addr=unix, socket_path="socket"),
        listening(EBADF, addr=none), connected(ENOENT, "none"), connected(0, "socket"),
        {"type": "accept", "retval": 0, "accept": {"addr": unix, "hostnames": []}}, accepted,
        {"type": "setsockopt", "retval": 0, "setsockopt": dict(nothing, **every)}, refused]
    kinds = "bind listen connect accept setsockopt socket send".split()
    wide = is_32_bit(program)
    assert succeeded(doing.told("sockets", *kinds)) == expected + special + [accepted] * (not wide)
    sent = {"type": "send", "retval": EBADF, "addr": unix, "protocol": "IP_PROTO_IP", "socket_path": "none", "size": 17}
    by_sub_call: List[Told] = [accepted, listening(EBADF, addr=none), refused] + special + [sent] if wide else []
    assert succeeded(doing.told("sub_calls", *kinds)) == by_sub_call


def succeeded(events: List[Told]) -> List[Told]:
    """Events without the number of a new descriptor."""
    return [dict(event, retval=min(event["retval"], 0)) for event in events]


def test_what_is_carried_by_none_tells_nothing_and_what_is_looked_for_is_found(program: str, tmp_path: Path) -> None:
    doing = Doing(program, ["payloads", "looks", "places", "clones"], tmp_path)
    assert [file_path(event) for event in named(doing.parts["payloads"].events, "open")][1:] == [str(tmp_path / "w1")]
    assert {event["evt"]["name"] for event in doing.parts["payloads"].events} == {"open"}
    assert set(doing.results("payloads")) == {16, EBADF}
    assert doing.results("looks") == [0, 0, -10, -10] + [0, -10] * is_32_bit(program)
    assert doing.results("places") == [0, 0, ESRCH, ESRCH]
    assert doing.results("clones") == [EINVAL, EINVAL]
    (escape,) = [event["evt"]["variables"]["count"] for event in named(doing.parts["clones"].events, "blind_spot")
                 if event["evt"]["variables"]["kind"] == "clone_untraced"][-1:]
    assert escape == 2


def test_rings_and_listeners(program: str, tmp_path: Path) -> None:
    doing = Doing(program, ["rings"], tmp_path)
    assert doing.told("rings", "seccomp") == [
        {"type": "seccomp", "retval": EFAULT, "operation": "SECCOMP_SET_MODE_FILTER",
         "flags": "SECCOMP_FILTER_FLAG_NEW_LISTENER"}]
    assert succeeded(doing.told("rings", "io_uring_setup")) == [
        {"type": "io_uring_setup", "retval": min(doing.results("rings")[1], 0), "entries": 1,
         "flags": "IORING_SETUP_R_DISABLED"}]


# --- that nothing is left out -----------------------------------------------------------

CALLS = ("unlink rmdir rename mkdir link chmod chown utimes chdir xattr mount setuid setgid capset setrlimit prctl ptrace "
         "signal memory bpf module socket").split()
FURTHER = ("truncate name_to_handle open_by_handle memfd_create mknod splice new_mounts mount_attributes umount chroot pivot_root process_vm "
           "pidfd_getfd unshare setns seccomp keys perf userfaultfd become").split()
REMAINING = ("opens exec names attributes identities signals mappings mounts sockets sub_calls payloads rings looks "
             "clones places").split()
NETWORK = ["unshare", "-n", "sh", "-c", 'ip link set lo up; exec "$0" questions answers stream metadata sockets']

# What no program can do below a tracer, or not on every host: success (True) or failure (False) of a call.
IMPOSSIBLE: Dict[Tuple[str, bool], str] = {
    ("setfsuid", False): "its result does not tell a failure", ("setfsgid", False): "its result does not tell a failure",
    ("ptrace", True): "who is traced cannot be traced by others", ("bpf", True): "not every kernel has it",
    ("init_module", True): "a module would stay in the kernel", ("finit_module", True): "a module would stay in the kernel",
    ("delete_module", True): "a module would be gone",
}


# What may be done to others than us, to oneself and to nobody.
SHIELDED = '"$0" limit $$; for deed in confine schedule parameter attributes nice ionice; do for pid in $$ 4194301; do "$0" $deed $pid; done; done'


def programs(compile_c: Compiler, flags: List[str]) -> List[List[str]]:
    """The runs that do all calls of the table."""
    runs = [[compile_c("calls.c", *flags)] + CALLS, [compile_c("remaining_calls.c", *flags)] + REMAINING,
            [compile_c("untraced.c", *flags), "."], [compile_c("blind.c", *flags), "uring", "bad-uring", "listener"],
            [compile_c("sharing.c", *flags)], NETWORK + [compile_c("network.c", *flags)],
            ["sh", "-c", SHIELDED, compile_c("after_us.c", *flags)]]
    return runs + [[compile_c("further_calls.c", *flags), part] for part in FURTHER]


@pytest.mark.root
@pytest.mark.slow
@pytest.mark.machine("x86_64")
@pytest.mark.parametrize("abi, flags", [(AMD64, []), (I386, ["-m32", "-static"])], ids=["64-bit", "32-bit"])
def test_no_row_of_the_table_is_left_out(abi: Any, flags: List[str], compile_c: Compiler, tmp_path: Path) -> None:
    if shutil.which("strace") is None:
        pytest.skip("needs strace")
    done: Dict[Row, List[bool]] = {}
    for number, command in enumerate(programs(compile_c, flags)):
        folder = tmp_path / str(number)
        folder.mkdir()
        for row, outcomes in call_coverage.rows_done(command, abi, folder).items():
            done.setdefault(row, []).extend(outcomes)
    missing = [(row.call, row.event, outcome) for row in call_coverage.rows_of(abi) for outcome in (True, False)
               if outcome not in done.get(row, []) and (row.call, outcome) not in IMPOSSIBLE]
    assert missing == []
    assert {call for call, _ in IMPOSSIBLE} <= {row.call for row in ROWS}
