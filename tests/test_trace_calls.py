"""Every system call of the table, done by its number with success and with failure: what its event says.

tests/programs/calls.c does them, each part after an open that marks it, and prints their results.
"""

import os
from pathlib import Path
from typing import Any, Dict, List, Tuple

import pytest

from blackbox import Compiler, file_path, is_detection, named, retval, rule, write_policy
from call_runs import (EBADF, EEXIST, EFAULT, EINVAL, ENOENT, ENOMEM, EPERM, ESRCH, NO_PID, NOBODY, WIDTHS, Doing,
                       is_32_bit, type_below)


@pytest.fixture(params=WIDTHS)
def program(request: Any, compile_c: Compiler) -> str:
    return compile_c("calls.c", *request.param)


Told = Dict[str, Any]


def told(kind: str, result: int, file: str, path: str, **more: Any) -> Told:
    """What a file event says."""
    return dict(type=kind, retval=result, file=file, path=path, **more)


def unlinked(result: int, file: str, path: str, dirfd: int = -100, **more: Any) -> Told:
    return told("unlink", result, file, path, flags=0, dirfd=dirfd, **more)


def named_anew(kind: str, result: int, old: str, new: str, **more: Any) -> Told:
    return told(kind, result, old, more.pop("path", old), destination=new, destination_path=new, **more)


def made(result: int, path: str, mode: int, **more: Any) -> Told:
    owner = (os.getuid(), os.getgid()) if "rights" in more else (-1, -1)
    return told("mkdir", result, path, path, mode=mode, destination=dict(uid=owner[0], gid=owner[1], mode=mode), **more)


def test_names_that_come_and_go(program: str, tmp_path: Path) -> None:
    doing = Doing(program, ["unlink", "rmdir", "rename", "mkdir", "link"], tmp_path)
    outside = os.path.normpath(str(tmp_path / "../etc/x"))
    expected = {
        "unlink": [
            unlinked(0, "u1", "u1", rights=0o640), unlinked(ENOENT, "none", "none"),
            unlinked(0, "u-link", "u-link", rights=0o777), unlinked(0, "u2", "u2", dirfd=3, rights=0o640),
            unlinked(ENOENT, "none", "none"), unlinked(EFAULT, " EFAULT", "")],
        "rmdir": [
            told("rmdir", 0, "r1", "r1", rights=0o755), told("rmdir", ENOENT, "none", "none"),
            told("rmdir", 0, "r2", "r2", rights=0o755)],
        "rename": [
            named_anew("rename", 0, "n1", "n2", rights=0o640), named_anew("rename", ENOENT, "none", "n3"),
            named_anew("rename", 0, "n2", "n3", rights=0o640), named_anew("rename", 0, "n3", "n4", rights=0o640),
            named_anew("rename", EEXIST, "n4", "n5", rights=0o640)],
        "mkdir": [
            made(0, "d1", 0o777, rights=0o755), made(EEXIST, "d1", 0o700, rights=0o755),
            made(0, "d2", 0o2750, rights=0o750), made(ENOENT, "no/d", 0o700)],
        "link": [
            named_anew("link", 0, "l1", "l2", rights=0o640), named_anew("link", ENOENT, "none", "l3"),
            named_anew("link", 0, "l1", "l3", rights=0o640), named_anew("link", 0, "l1", "s1", rights=0o640),
            named_anew("link", 0, outside, "s2", path="../etc/x"), named_anew("link", EEXIST, "/abs", "l1"),
            named_anew("link", 0, "s1", "l4", rights=0o777),
            named_anew("link", 0, "l1", "l5", path="s1", rights=0o640)]}
    for part, events in expected.items():
        assert doing.told(part, part) == events
        assert [event["retval"] for event in events] == doing.results(part)


def test_attributes_that_change(program: str, tmp_path: Path) -> None:
    doing = Doing(program, ["chmod", "utimes", "chdir", "xattr"], tmp_path)
    owner, nobody = {"uid": os.getuid(), "gid": os.getgid()}, {"uid": -1, "gid": -1}
    modes = [(0, "m1", "", 0o640, 0o640), (0, "m1", "m-link", 0o640, 0o600), (ENOENT, "none", "none", None, 0),
             (0, "m1", "", 0o600, 0o4711), (EBADF, " EBADF", "", None, 0o644), (0, "m1", "m1", 0o4711, 0o644),
             (0, "m1", "m1", 0o644, 0o400)]
    assert doing.told("chmod", "chmod")[:6] == [
        told("chmod", result, file, path, mode=after, destination=dict(nobody if before is None else owner, mode=after),
             **({} if before is None else {"rights": before})) for result, file, path, before, after in modes[:6]]
    assert doing.told("chmod", "chmod")[6]["retval"] == doing.results("chmod")[6]  # fchmodat2 is new in Linux 6.6
    assert [event["retval"] for event in doing.told("chmod", "chmod")] == doing.results("chmod")
    times = [(0, "t1", "t-link"), (ENOENT, "none", "none"), (0, "t1", "t1"), (0, "t1", "t1"), (0, "t1", ""),
             (0, "t-link", "t-link"), (0, "t1", ""), (ENOENT, "none", "none"), (EFAULT, " EFAULT", "")]
    times += [(0, "t1", "t1")] * is_32_bit(program)
    rights = {"t1": {"rights": 0o640}, "t-link": {"rights": 0o777}}
    assert doing.told("utimes", "utimes") == [
        told("utimes", result, file, path, **rights.get(file, {})) for result, file, path in times]
    here = {"rights": tmp_path.stat().st_mode & 0o7777}
    assert doing.told("chdir", "chdir") == [
        told("chdir", 0, "c1", "c-link", rights=0o755), told("chdir", ENOENT, "c1/none", "none"),
        told("chdir", 0, str(tmp_path), "", **here), told("chdir", EBADF, " EBADF", "")]
    attributes = [("setxattr", "x1", "one", 0o640), ("setxattr", "none", "one", None),
                  ("setxattr", "x-link", "two", 0o777), ("setxattr", "x1", "three", 0o640),
                  ("removexattr", "x1", "one", 0o640), ("removexattr", "x-link", "two", 0o777),
                  ("removexattr", "x1", "three", 0o640), ("removexattr", "x1", "none", 0o640)]
    assert doing.told("xattr", "setxattr", "removexattr") == [
        dict({"type": kind, "retval": result, "file": file, "attribute_name": "user." + name,
              "attribute_namespace": "user"}, **({} if mode is None else {"rights": mode}))
        for (kind, file, name, mode), result in zip(attributes, doing.results("xattr"))]


@pytest.mark.root
def test_owners(program: str, tmp_path: Path) -> None:
    doing = Doing(program, ["chown"], tmp_path)
    calls = [("o1", "o-link", 0), ("none", "none", 0), ("o-link", "o-link", -1), ("o1", "", 0), ("o-link", "o-link", 0),
             ("o1", "", -1)]
    calls += [("o1", "o1", 0), ("o-link", "o-link", 70000), ("o1", "", 0)] if is_32_bit(program) else []
    rights = {"o1": {"rights": 0o640}, "o-link": {"rights": 0o777}}
    assert doing.told("chown", "chown") == [
        told("chown", result, file, path, uid=uid, gid=0 if file == "none" else -1, destination={
            "uid": max(uid, 0), "gid": 0, "user": "" if uid == 70000 else "root", "group": "root"},
            **rights.get(file, {})) for (file, path, uid), result in zip(calls, doing.results("chown"))]


@pytest.mark.root
def test_mounts(program: str, tmp_path: Path) -> None:
    doing = Doing(program, ["mount"], tmp_path, ["--policy", write_policy(tmp_path / "policy", [
        rule("bound", 'mount.mountpoint.path == "%s/mnt" && mount.source.path == "%s/src" && mount.root.path != "" '
                      '&& mount.syscall.fs_type == "" && mount.fs_type != "" && mount.visible' % (tmp_path, tmp_path))])])
    found = [event["mount"] for event in named(doing.parts["mount"].events, "mount")]
    assert [(mount["source.path"], mount["mountpoint.path"], mount["visible"]) for mount in found] == [
        ("none", str(tmp_path / "mnt"), True), (str(tmp_path / "src"), str(tmp_path / "mnt"), True),
        ("/none", str(tmp_path / "missing"), False)]
    assert (found[0]["fs_type"], found[1]["fs_type"]) == ("tmpfs", type_below(tmp_path))
    assert found[1]["parent_mount_id"] == found[0]["mount_id"] > 0
    assert [event["retval"] for event in doing.told("mount", "mount")] == doing.results("mount") == [0, 0, ENOENT]
    assert [event["mount"] for event in doing.parts["mount"].events if is_detection(event)] == [found[1]]


def changes(doing: Doing, part: str) -> List[Tuple[int, Dict[str, Any]]]:
    """Results and what the process became, of the events of identities; names left out."""
    return [(retval(event), {key: value for key, value in event["process"]["credentials"]["destination"].items()
                             if not isinstance(value, str)}) for event in named(doing.parts[part].events, part)]


@pytest.mark.root
def test_identities(program: str, tmp_path: Path) -> None:
    doing = Doing(program, ["setuid", "setgid", "capset"], tmp_path)
    wide = [(0, dict(uid=0, euid=0, fsuid=0))] * is_32_bit(program)
    assert changes(doing, "setuid") == [
        (0, dict(uid=NOBODY, euid=NOBODY, fsuid=NOBODY)), (EPERM, dict(uid=0)),
        (0, dict(uid=0, euid=1000, fsuid=1000)), (EPERM, dict(uid=17)),
        (0, dict(uid=1000, euid=1001, fsuid=1001)), (EPERM, dict(euid=0)),
        (0, dict(uid=0, euid=0, fsuid=NOBODY)), (0, dict(uid=1000, euid=1000, fsuid=1000)), (EPERM, dict(fsuid=77))] + wide
    assert changes(doing, "setgid") == [
        (0, dict(gid=NOBODY, egid=NOBODY, fsgid=NOBODY)), (0, dict(gid=NOBODY, egid=1000, fsgid=1000)),
        (0, dict(gid=5, egid=6, fsgid=6)), (0, dict(gid=5, egid=6, fsgid=8))]
    assert changes(doing, "capset") == [
        (0, {"cap_effective": ["CAP_NET_RAW"], "cap_permitted": ["CAP_CHOWN", "CAP_NET_RAW"]}),
        (EPERM, {"cap_effective": ["CAP_NET_RAW", "CAP_BPF"], "cap_permitted": ["CAP_SYS_ADMIN", "CAP_BPF"]})]
    for part in ("setuid", "setgid", "capset"):
        assert [result for result, _ in changes(doing, part)] == doing.results(part)


@pytest.mark.root
def test_a_process_is_who_it_has_become_after_its_event(program: str, tmp_path: Path) -> None:
    policy = write_policy(tmp_path / "policy", [
        rule("drops", "setuid.uid == %d && process.uid == 0" % NOBODY),
        rule("dropped", 'open.file.name == "dropped" && process.uid == %d && process.ancestors.uid == 0' % NOBODY),
        rule("never", "setuid.uid == %d && process.uid == %d" % (NOBODY, NOBODY))])
    doing = Doing(program, ["setuid"], tmp_path, ["--policy", policy])
    events = doing.parts["setuid"].events
    assert [event["agent"]["rule_id"] for event in events if is_detection(event)] == ["drops", "dropped"]
    (opened,) = [event for event in named(events, "open") if file_path(event).endswith("/dropped")]
    assert (opened["process"]["uid"], opened["process"]["user"]) == (NOBODY, "nobody")
    assert opened["process"]["credentials"]["cap_effective"] == []
    assert opened["process"]["parent"]["uid"] == 0 and "destination" not in opened["process"]["credentials"]


def test_limits_and_names(program: str, tmp_path: Path) -> None:
    doing = Doing(program, ["setrlimit", "prctl"], tmp_path)
    own = doing.parts["setrlimit"].events[0]["process"]["pid"]
    limits = [("CORE", 0, -1, own), ("NOFILE", 2, 1, own), ("CORE", 0, 0, own), ("CPU", 0, 0, NO_PID)]
    assert doing.results("setrlimit") == [0, EINVAL, 0, ESRCH]
    assert doing.told("setrlimit", "setrlimit") == [
        {"type": "setrlimit", "retval": result, "resource": "RLIMIT_" + resource, "rlim_cur": current,
         "rlim_max": maximum, "target_pid": pid}
        for (resource, current, maximum, pid), result in zip(limits, doing.results("setrlimit"))]
    options = [("PR_SET_NAME", "exactly-15-long", False), ("PR_SET_NAME", "[kworker/0:1-ev", True),
               ("PR_GET_DUMPABLE", "", False), ("PR_SET_PDEATHSIG", "", False)]
    assert doing.told("prctl", "prctl") == [
        {"type": "prctl", "retval": result, "prctl": {"option": option, "new_name": name, "is_name_truncated": cut}}
        for (option, name, cut), result in zip(options, doing.results("prctl"))]


def test_calls_upon_other_processes(program: str, tmp_path: Path) -> None:
    doing = Doing(program, ["ptrace", "signal"], tmp_path)
    own = doing.parts["signal"].events[0]["process"]["pid"]
    forked = [event["process"]["pid"] for part in ("ptrace", "signal")
              for event in named(doing.parts[part].events, "fork")]
    parent = doing.parts["signal"].events[0]["process"]["ppid"]
    requests = [("TRACEME", 0, forked[0]), ("POKEDATA", 0x1234, None), ("ATTACH", 0, NO_PID)]
    traced = doing.told("ptrace", "ptrace")
    assert parent > 0 and traced[1]["ptrace"]["tracee"] not in (own, NO_PID)
    # Where a thread can be given to another tracer, a parent may have its child.
    assert doing.results("ptrace")[0] in (0, EPERM) and doing.results("ptrace")[1:] == [ESRCH, ESRCH]
    for event, (request, address, pid), result in zip(traced, requests, doing.results("ptrace")):
        tracee = event["ptrace"]["tracee"] if pid is None else pid
        assert event == {"type": "ptrace", "retval": result, "ptrace": {
            "request": "PTRACE_" + request, "address": "%#x" % address, "tracee": tracee}}
    numbers = [("0", own), ("SIGTERM", NO_PID), ("SIGCHLD", own), ("SIGURG", own), ("SIGWINCH", own),
               ("SIGWINCH", own), ("SIGWINCH", own), ("35", -NO_PID), ("SIGKILL", forked[1]), ("SIGKILL", forked[2])]
    results = doing.results("signal")
    assert results[:6] + results[7:] == [0, ESRCH, 0, 0, 0, 0, ESRCH, 0, 0]  # pidfd_send_signal is new in Linux 5.1
    for event, (number, pid), result in zip(doing.told("signal", "signal"), numbers, results):
        if result in (0, ESRCH):
            assert event == {"type": "signal", "retval": result,
                             "signal": {"type": number, "pid": pid, "target": max(pid, 0)}}
    assert len(doing.told("signal", "signal")) == len(numbers) == len(results)
    target = named(doing.parts["signal"].events, "signal")[8]["signal"]["target"]
    assert target["executable"]["path"] == program and target["ancestors"][0]["pid"] == own


def test_memory_that_becomes_executable(program: str, tmp_path: Path) -> None:
    doing = Doing(program, ["memory"], tmp_path)
    mapped = doing.told("memory", "mmap")
    for event in mapped:
        assert event["retval"] > 0 and event["mmap"].pop("address") == "%#x" % event.pop("retval")
    of_file = {"type": "mmap", "file": "code", "rights": 0o640, "mmap": {
        "offset": 4096, "length": 4096, "protection": "PROT_READ | PROT_EXEC", "flags": "MAP_PRIVATE"}}
    anonymous = {"type": "mmap", "mmap": {
        "offset": 0, "length": 4096, "protection": "PROT_READ | PROT_WRITE | PROT_EXEC",
        "flags": "MAP_PRIVATE | MAP_ANONYMOUS"}}
    assert mapped == [of_file, anonymous, of_file]
    changed = doing.told("memory", "mprotect")
    assert [(event["retval"], event["mprotect"]["vm_protection"], event["mprotect"]["req_protection"])
            for event in changed] == [
        (0, "VM_READ | VM_WRITE", "PROT_READ | PROT_EXEC"), (ENOMEM, "VM_NONE", "PROT_EXEC"),
        (doing.results("memory")[2], "VM_READ | VM_EXEC", "PROT_READ | PROT_WRITE | PROT_EXEC")]
    assert (changed[1]["mprotect"]["vm_start"], changed[1]["mprotect"]["vm_end"]) == ("0x1000", "0x2000")
    assert changed[0]["mprotect"]["vm_start"] == changed[2]["mprotect"]["vm_start"]


def test_programs_and_modules_for_the_kernel(program: str, tmp_path: Path) -> None:
    """Whether the kernel takes them or not: the program may have no privilege, or the kernel no modules."""
    doing = Doing(program, ["bpf", "module"], tmp_path)
    assert [event.get("bpf") for event in doing.told("bpf", "bpf")] == [
        {"cmd": "BPF_MAP_CREATE", "map": {"name": "a_map", "map_type": "BPF_MAP_TYPE_ARRAY"}},
        {"cmd": "BPF_PROG_LOAD", "program": {
            "name": "a_program", "program_type": "BPF_PROG_TYPE_KPROBE", "attach_type": "BPF_CGROUP_DEVICE",
            "helpers": ["BPF_PROBE_READ", "BPF_PROBE_WRITE_USER"]}},
        {"cmd": "BPF_OBJ_GET"}]
    loaded = doing.told("module", "load_module", "unload_module")
    assert [event.get("module") for event in loaded] == [
        {"name": "my_module", "loaded_from_memory": False, "argv": ["a=1", "b=two"], "args_truncated": False},
        {"name": "", "loaded_from_memory": True, "argv": ["c=3"], "args_truncated": False}, {"name": "no_such"}]
    assert [event.get("file") for event in loaded] == ["my-module.ko", None, None]
    for part, events in (("bpf", doing.told("bpf", "bpf")), ("module", loaded)):
        assert [event["retval"] for event in events] == doing.results(part)


def test_sockets(program: str, tmp_path: Path) -> None:
    doing = Doing(program, ["socket"], tmp_path)
    found = doing.told("socket", "bind", "connect", "accept", "setsockopt")
    assert [event["retval"] for event in found] == doing.results("socket")
    port = found[1]["bind"]["addr"]["port"]
    peers = [found[3].pop("peer_port"), found[5].pop("peer_port")]
    assert port and all(peers)
    for event in found:
        event.pop("retval")
    ours = {"family": "AF_INET", "ip": "127.0.0.1", "port": port}
    tcp, udp, none = "IP_PROTO_TCP", "IP_PROTO_UDP", "IP_PROTO_IP"
    unix = {"family": "AF_UNIX", "ip": "", "port": 0}
    filter_hash = "401c0b4721ed32ebbabc9b75e6cb2a4ae0d5415dd6ab02f80b7ac8f7a3be4557"
    assert found == [
        {"type": "bind", "bind": {"addr": dict(ours, port=0), "protocol": tcp}},
        {"type": "bind", "bind": {"addr": ours, "protocol": tcp}},
        {"type": "connect", "connect": {"addr": ours, "protocol": tcp, "hostnames": []}},
        {"type": "accept", "accept": {"addr": ours, "hostnames": []}},
        {"type": "connect", "connect": {"addr": ours, "protocol": tcp, "hostnames": []}},
        {"type": "accept", "accept": {"addr": ours, "hostnames": []}},
        {"type": "accept", "accept": {"addr": {"family": "AF_UNSPEC", "ip": "", "port": 0}, "hostnames": []}},
        {"type": "connect", "connect": {"addr": dict(ours, port=1), "protocol": tcp, "hostnames": []}},
        {"type": "connect", "connect": {"addr": ours, "protocol": udp, "hostnames": []}},
        {"type": "connect", "connect": {"addr": {"family": "AF_INET6", "ip": "::1", "port": 53}, "protocol": udp,
                                        "hostnames": []}},
        {"type": "connect", "connect": {"addr": unix, "protocol": none, "hostnames": []},
         "socket_path": "@ebpfless-none"},
        {"type": "bind", "bind": {"addr": unix, "protocol": none}, "socket_path": "socket"},
        {"type": "setsockopt", "setsockopt": {
            "socket_type": "SOCK_DGRAM", "socket_family": "AF_INET", "socket_protocol": udp, "level": "SOL_SOCKET",
            "optname": "SO_ATTACH_FILTER", "filter_len": 4, "filter_hash": filter_hash}}]


def test_rules_see_what_failed_in_the_ways_that_they_are_told(program: str, tmp_path: Path) -> None:
    names = {"refused": "connect.retval == ECONNREFUSED && connect.addr.port == 1", "taken": "bind.retval == EADDRINUSE",
             "gone": "unlink.retval < 0", "killed": 'signal.type == SIGKILL && signal.target.file.name != ""',
             "filter": "setsockopt.used_immediates == 2048 && setsockopt.filter_len == 4",
             "listened": "accept.addr.port > 0 && accept.addr.ip == 127.0.0.1"}
    policy = write_policy(tmp_path / "policy", [rule(name, text) for name, text in names.items()])
    output = tmp_path / "out"
    output.mkdir()
    doing = Doing(program, ["unlink", "signal", "socket"], output, ["--policy", policy])
    detected = [event["agent"]["rule_id"] for part in ("unlink", "signal", "socket")
                for event in doing.parts[part].events if is_detection(event)]
    assert sorted(detected) == sorted(["refused", "taken", "killed", "killed", "filter", "listened", "listened"])


def test_without_a_filter_in_the_kernel_it_is_the_same(compile_c: Compiler, tmp_path: Path) -> None:
    names = ["unlink", "rmdir", "rename", "mkdir", "link", "memory", "socket"]
    kinds = "unlink rmdir rename mkdir link mprotect connect bind setsockopt".split()
    both = []
    for options in ([], ["--disable-seccomp"]):
        folder = tmp_path / ("plain" if options else "filtered")
        folder.mkdir()
        doing = Doing(compile_c("calls.c"), names, folder, options)
        both.append([(event["type"], event["retval"], event.get("file")) for name in names
                     for event in doing.told(name, *kinds)])
    assert both[0] == both[1] != []


def test_a_call_that_may_be_denied_and_is_not_has_its_event_all_the_same(program: str, tmp_path: Path) -> None:
    denied = [rule("no", "connect.addr.port == 1", actions=[{"deny": {}}]),
              rule("neither", 'link.file.destination.name == "s1"', actions=[{"deny": {}}]),
              rule("nor", "accept.addr.port == 1", actions=[{"deny": {}}])]
    doing = Doing(program, ["link", "socket"], tmp_path, ["--policy", write_policy(tmp_path / "policy", denied)])
    for part in ("link", "socket"):
        found = [event["retval"] for event in doing.told(part, "bind", "connect", "accept", "setsockopt", "link")]
        assert found == doing.results(part)
    assert (doing.results("socket")[7], doing.results("link")[3]) == (EPERM, EPERM)
    assert not (tmp_path / "s1").exists()
    assert [event["file"] for event in doing.told("link", "link")][3:5] == [
        "l1", os.path.normpath(str(tmp_path / "../etc/x"))]
    assert doing.told("socket", "accept")[0]["accept"]["addr"]["ip"] == "127.0.0.1"
