"""The calls of tests/programs/further_calls.c, each with success and with failure: what its event says.

They are new ways to open and to mount, splice, and those whose events are not in SECL (events/own_calls.py).
"""

import json
import os
from pathlib import Path
from typing import Any, Dict, List, Optional, Tuple

import pytest

from blackbox import Compiler, is_detection, named, read_events, retval, rule, run, trace_command, write_policy
from call_runs import EBADF, EEXIST, EFAULT, EINVAL, ENOENT, EPERM, ESRCH, NO_PID, WIDTHS, Doing, is_32_bit, type_below

ENODEV, ENOKEY = -19, -126
CREATED = ["O_CREAT", "O_TRUNC", "O_WRONLY"]

# (result, file, what the variables say)
Act = Tuple[int, Optional[str], Dict[str, Any]]


@pytest.fixture(params=WIDTHS)
def program(request: Any, compile_c: Compiler) -> str:
    return compile_c("further_calls.c", *request.param)


def acts(doing: Doing, part: str, kind: str) -> List[Act]:
    """The events of one type, each by its result, its file (a path or, without one, a name) and its variables."""
    found = []
    for event in named(doing.parts[part].events, kind):
        variables = {name: value for name, value in event["evt"]["variables"].items()
                     if name not in ("sequence", "retval")}
        file = event.get("file")
        found.append((retval(event), None if file is None else doing.place(file) or file["name"], variables))
    return found


def results(doing: Doing, part: str, *calls: str) -> List[int]:
    """What the program saw of these calls."""
    return [result for name, result in doing.parts[part].results if name in calls]


def number(doing: Doing, part: str, name: str) -> int:
    """A number that the program printed."""
    return results(doing, part, name)[0]


def test_truncating_is_opening(program: str, tmp_path: Path) -> None:
    doing = Doing(program, ["truncate"], tmp_path)
    opened = [event for event in named(doing.parts["truncate"].events, "open")
              if sorted(event["file"]["flags"]) == CREATED]
    expected = [(0, "t1", 0o640), (ENOENT, "none", None)] + [(0, "t1", 0o640)] * is_32_bit(program)
    assert [(retval(event), doing.place(event["file"]), event["file"].get("mode", -1) & 0o7777
             if retval(event) == 0 else None) for event in opened] == expected
    assert [event["syscall"]["open"]["path"] for event in opened] == [path for _, path, _ in expected]
    assert [result for result, _, _ in expected] == doing.results("truncate")


def test_handles_of_files(program: str, tmp_path: Path) -> None:
    doing = Doing(program, ["name_to_handle"], tmp_path)
    assert acts(doing, "name_to_handle", "name_to_handle_at") == [
        (0, "h-link", {"flags": "0"}), (0, "h1", {"flags": "AT_SYMLINK_FOLLOW"}), (ENOENT, "none", {"flags": "0"}),
        (0, "h1", {"flags": "AT_EMPTY_PATH"})]
    assert doing.results("name_to_handle") == [0, 0, ENOENT, 0]


@pytest.mark.root
def test_what_is_opened_by_a_handle_has_its_path(program: str, tmp_path: Path) -> None:
    doing = Doing(program, ["open_by_handle"], tmp_path)
    opened = [event for event in named(doing.parts["open_by_handle"].events, "open")
              if event["syscall"]["open"]["path"] == ""]
    assert [(min(0, retval(event)), doing.place(event["file"]), event["file"]["flags"]) for event in opened] == [
        (0, "h1", ["O_RDONLY"]), (EPERM, " EPERM", ["O_WRONLY"])]
    assert [retval(event) for event in opened] == results(doing, "open_by_handle", "open_by_handle_at")


def test_memory_files_and_splices(program: str, tmp_path: Path) -> None:
    doing = Doing(program, ["memfd_create", "splice"], tmp_path)
    descriptor = doing.results("memfd_create")[0]
    assert descriptor > 0
    assert acts(doing, "memfd_create", "memfd_create") == [
        (descriptor, None, {"name": "jit", "flags": "MFD_CLOEXEC | MFD_ALLOW_SEALING"}),
        (EINVAL, None, {"name": "bad", "flags": "0x10000"})]
    assert doing.results("memfd_create") == [descriptor, EINVAL]
    assert acts(doing, "splice", "splice") == [(5, "s1", {}), (3, "s2", {}), (EBADF, " EBADF", {})]
    assert doing.results("splice") == [5, 3, EBADF]


@pytest.mark.root
def test_nodes(program: str, tmp_path: Path) -> None:
    doing = Doing(program, ["mknod"], tmp_path)

    def node(kind: str, mode: int, major: int = 0, minor: int = 0) -> Dict[str, Any]:
        return {"type": kind, "mode": mode, "device_major": major, "device_minor": minor}

    assert acts(doing, "mknod", "mknod") == [
        (0, "p1", node("S_IFIFO", 0o10666)), (EEXIST, "p1", node("S_IFIFO", 0o10600)),
        (0, "f1", node("S_IFREG", 0o640)), (0, "d1", node("S_IFBLK", 0o60600, 8, 1027)),
        (ENOENT, "no/d", node("S_IFCHR", 0o20000))]
    assert doing.results("mknod") == [0, EEXIST, 0, 0, ENOENT]
    made = named(doing.parts["mknod"].events, "mknod")
    assert [event["file"].get("mode") for event in made[:4]] == [0o10644, 0o10644, 0o100640, 0o60600]


@pytest.mark.root
def test_mounts_made_in_steps(program: str, tmp_path: Path) -> None:
    policy = write_policy(tmp_path / "policy", [
        rule("detached", 'mount.detached && !mount.visible && mount.source.path == "/a-source"'),
        rule("attached", 'mount.mountpoint.path == "%s/m1" && mount.source.path == "/a-source" && mount.visible' % tmp_path)])
    doing = Doing(program, ["new_mounts"], tmp_path, ["--policy", policy])
    events = [event for event in named(doing.parts["new_mounts"].events, "mount")
              if event["mount"]["mountpoint.path"] != "/"]
    here = str(tmp_path)
    of_folder = events[3]["mount"]["fs_type"]
    assert of_folder == type_below(tmp_path)
    told = [event["mount"] for event in events]
    assert [(mount["source.path"], mount["mountpoint.path"], mount["fs_type"], mount["detached"], mount["visible"])
            for mount in told] == [
        ("/a-source", "", "tmpfs", True, False), ("/a-source", here + "/m1", "tmpfs", False, True),
        (here + "/src", "", of_folder, True, False), (here + "/src", here + "/m2", of_folder, False, True),
        (here + "/m1", here + "/m3", "tmpfs", False, True), ("", "", "", True, False),
        (here + "/none", "", "", True, False), (here + "/m2", here + "/none", "", False, False)]
    assert [retval(event) for event in events] == doing.results("new_mounts")
    assert [min(0, result) for result in doing.results("new_mounts")] == [0] * 5 + [EBADF, ENOENT, ENOENT]
    numbers = [mount["mount_id"] for mount in told]
    assert numbers[0] == numbers[1] == numbers[4] > 0 and numbers[2] == numbers[3] > 0 == numbers[5]
    assert [event["syscall"]["mount"]["path"] for event in events] == [
        "", "", "src", "", "m1", "", "none", "m2"]
    assert [event["agent"]["rule_id"] for event in doing.parts["new_mounts"].events if is_detection(event)] == [
        "detached", "attached"]


@pytest.mark.root
def test_mounts_that_change(program: str, tmp_path: Path) -> None:
    doing = Doing(program, ["mount_attributes"], tmp_path)
    assert acts(doing, "mount_attributes", "mount_setattr") == [
        (0, "mnt", {"flags": "AT_RECURSIVE"}), (ENOENT, "none", {"flags": "0"})]
    picked = doing.results("mount_attributes")[2]
    assert picked >= 0 and acts(doing, "mount_attributes", "fspick") == [(picked, "mnt", {}), (ENOENT, "none", {})]
    assert doing.results("mount_attributes") == [0, ENOENT, picked, ENOENT]


@pytest.mark.root
def test_roots_and_mounts_that_go(program: str, tmp_path: Path) -> None:
    doing = Doing(program, ["umount", "chroot", "pivot_root"], tmp_path)
    # umount2 succeeds once; umount, which i386 alone has, once more.
    old = [(0, "mnt", {"flags": "0"})] * (doing.results("umount").count(0) - 1)
    assert acts(doing, "umount", "umount") == [
        (EINVAL, "mnt-link", {"flags": "UMOUNT_NOFOLLOW"}), (0, "mnt", {"flags": "MNT_DETACH"}),
        (ENOENT, "none", {"flags": "0"})] + old
    assert acts(doing, "chroot", "chroot") == [
        (ENOENT, "none", {}), (0, "r1", {}), (0, "r1/inner", {}), (0, str(tmp_path), {}), (EPERM, "r1", {})]
    assert acts(doing, "pivot_root", "pivot_root") == [
        (ENOENT, "new", {"put_old": str(tmp_path / "none")}), (0, "new", {"put_old": str(tmp_path / "new/old")})]
    for part in ("umount", "chroot", "pivot_root"):
        assert [result for result, _, _ in acts(doing, part, part)] == doing.results(part)


def target(pid: int, program: str = "") -> Dict[str, Any]:
    return {"target_pid": pid, "target_comm": os.path.basename(program)[:15], "target_executable": program}


def test_other_processes_memory_and_descriptors(program: str, tmp_path: Path) -> None:
    doing = Doing(program, ["process_vm", "pidfd_getfd"], tmp_path)
    own = doing.parts["process_vm"].events[0]["process"]["pid"]
    child = number(doing, "process_vm", "child")
    assert acts(doing, "process_vm", "process_vm_readv") == [
        (11, None, dict(target(child, program), length=11)), (ESRCH, None, dict(target(NO_PID), length=6))]
    assert acts(doing, "process_vm", "process_vm_writev") == [
        (11, None, dict(target(child, program), length=11)), (6, None, dict(target(own, program), length=6)),
        (EFAULT, None, dict(target(child, program), length=0))]
    assert doing.results("process_vm") == [child, 11, 11, 6, ESRCH, EFAULT]
    child, descriptor = number(doing, "pidfd_getfd", "child"), number(doing, "pidfd_getfd", "fd")
    taken = results(doing, "pidfd_getfd", "pidfd_getfd")
    assert taken[0] > 0 and taken[1:] == [EBADF, EBADF]
    assert acts(doing, "pidfd_getfd", "pidfd_getfd") == [
        (taken[0], "shared", dict(target(child, program), fd=descriptor)),
        (EBADF, "", dict(target(child, program), fd=77)), (EBADF, "", dict(target(0), fd=0))]


@pytest.mark.root
def test_namespaces(program: str, tmp_path: Path) -> None:
    doing = Doing(program, ["unshare", "setns"], tmp_path)
    assert acts(doing, "unshare", "unshare") == [
        (0, None, {"flags": "CLONE_NEWNS | CLONE_NEWUTS"}), (EINVAL, None, {"flags": "0x10"}),
        (EPERM, None, {"flags": "CLONE_NEWNET"})]
    assert doing.results("unshare") == [0, EINVAL, EPERM]
    parent, names = number(doing, "setns", "child"), os.readlink("/proc/self/ns/uts")
    assert acts(doing, "setns", "setns") == [
        (0, names, {"type": "CLONE_NEWUTS", "pid": 0}), (EINVAL, names, {"type": "CLONE_NEWNET", "pid": 0}),
        (doing.results("setns")[3], acts(doing, "setns", "setns")[2][1],  # by a pidfd it is new in Linux 5.8
         {"type": "CLONE_NEWUTS | CLONE_NEWIPC", "pid": parent}), (EBADF, " EBADF", {"type": "0", "pid": 0})]
    assert doing.results("setns")[1:3] + doing.results("setns")[4:] == [0, EINVAL, EBADF]


@pytest.mark.root
def test_filters_and_keys(program: str, tmp_path: Path) -> None:
    doing = Doing(program, ["seccomp", "keys"], tmp_path)
    assert acts(doing, "seccomp", "seccomp") == [
        (result, None, {"operation": operation, "flags": flags}) for result, operation, flags in (
            (0, "SECCOMP_GET_ACTION_AVAIL", "0"), (0, "SECCOMP_SET_MODE_FILTER", "SECCOMP_FILTER_FLAG_LOG"),
            (EFAULT, "SECCOMP_SET_MODE_FILTER", "SECCOMP_FILTER_FLAG_SPEC_ALLOW"), (EINVAL, "99", "0"))]
    assert doing.results("seccomp") == [0, 0, EFAULT, EINVAL]
    key = doing.results("keys")[0]
    ring = number(doing, "keys", "keyctl")
    assert key > 0 and ring > 0
    assert acts(doing, "keys", "add_key") == [
        (key, None, {"type": "user", "description": "a-key"}),
        (ENODEV, None, {"type": "no_such_type", "description": "other"})]
    assert acts(doing, "keys", "request_key") == [
        (key, None, {"type": "user", "description": "a-key"}), (ENOKEY, None, {"type": "user", "description": "no-key"})]
    assert acts(doing, "keys", "keyctl") == [
        (ring, None, {"operation": "KEYCTL_GET_KEYRING_ID"}), (ENOKEY, None, {"operation": "KEYCTL_READ"})]
    assert doing.results("keys") == [key, ENODEV, key, ENOKEY, ring, ENOKEY]


def test_performance_events_and_page_faults(program: str, tmp_path: Path) -> None:
    """Whether the kernel grants them or not."""
    doing = Doing(program, ["perf", "userfaultfd"], tmp_path)
    own, child = doing.parts["perf"].events[0]["process"]["pid"], number(doing, "perf", "child")
    answers = results(doing, "perf", "perf_event_open")
    assert all(answer > 0 or answer == -13 for answer in answers[:2]) and all(answer < 0 for answer in answers[2:])
    told = [("PERF_TYPE_SOFTWARE", 1, own, program), ("PERF_TYPE_SOFTWARE", 1, child, program),
            ("PERF_TYPE_SOFTWARE", 1, NO_PID, ""), ("PERF_TYPE_HARDWARE", 0, -1, "")]
    assert acts(doing, "perf", "perf_event_open") == [
        (answer, None, dict(target(max(pid, 0), executable), type=kind, config=config, pid=pid))
        for answer, (kind, config, pid, executable) in zip(answers, told)]
    assert acts(doing, "userfaultfd", "userfaultfd") == [
        (doing.results("userfaultfd")[0], None, {"flags": "UFFD_USER_MODE_ONLY | O_CLOEXEC"}),
        (EINVAL, None, {"flags": "0x100"})]
    assert doing.results("userfaultfd")[1] == EINVAL


def test_rules_see_them(program: str, tmp_path: Path) -> None:
    """Without --events: what rules name is all that is asked for. Failures other than refused ones are no matter."""
    rules = {"jit": 'memfd_create.name == "jit" && memfd_create.flags & MFD_CLOEXEC > 0', "bad": "memfd_create.retval < 0",
             "injected": "process_vm_writev.target.pid != process.pid && process_vm_writev.length == 11",
             "itself": "process_vm_writev.target.pid == process.pid",
             "truncated": 'open.file.name == "t1" && open.flags & O_TRUNC > 0',
             "spliced": 'splice.file.name in ["s1", "s2"]', "faults": "userfaultfd.retval == -22"}
    policy = write_policy(tmp_path / "policy", [rule(name, text) for name, text in rules.items()])
    detected = detections([program, "memfd_create", "process_vm", "truncate", "splice", "userfaultfd"], policy, tmp_path)
    assert [name for name, _ in detected] == (
        ["jit", "injected", "itself"] + ["truncated"] * (2 if is_32_bit(program) else 1) + ["spliced"] * 2)


def detections(command: List[str], policy: str, folder: Path) -> List[Tuple[str, Dict[str, Any]]]:
    """Rules that matched, with their messages."""
    output = str(folder / "detections")
    result = run(trace_command(command, ["--policy", policy, "--format", "json", "--output", output]), cwd=str(folder))
    assert (result.status, result.stderr) == (0, b"")
    return [(event["agent"]["rule_id"], event) for event in read_events(output)]


@pytest.mark.root
def test_a_process_has_the_name_and_user_that_it_took_though_no_rule_is_about_that(program: str, tmp_path: Path) -> None:
    policy = write_policy(tmp_path / "policy", [
        rule("named", 'open.file.name == "under-another-name" && process.comm == "disguise" && process.uid == 0'),
        rule("other", 'open.file.name == "as-another-user" && process.user == "nobody" && process.cap_effective == 0'),
        rule("never", 'open.file.name in ["under-another-name", "as-another-user"] && process.comm != "disguise"')])
    detected = detections([program, "become"], policy, tmp_path)
    assert [name for name, _ in detected] == ["named", "other"]
    assert [message["process"]["comm"] for _, message in detected] == ["disguise", "disguise"]


def test_a_denied_call_is_not_made(program: str, tmp_path: Path) -> None:
    policy = write_policy(tmp_path / "policy", [
        rule("no_jit", 'memfd_create.name == "jit"', actions=[{"deny": {"errno": "EACCES"}}]),
        rule("no_cut", 'open.file.name == "t1" && open.flags & O_TRUNC > 0', actions=[{"deny": {}}])])
    doing = Doing(program, ["memfd_create", "truncate"], tmp_path, ["--policy", policy])
    assert doing.results("memfd_create") == [-13, EINVAL]
    assert doing.results("truncate")[0] == EPERM and os.path.getsize(str(tmp_path / "t1")) == 0
    assert acts(doing, "memfd_create", "memfd_create")[0][0] == -13


def test_every_message_follows_the_published_schema(program: str, tmp_path: Path) -> None:
    """Names of parts and of their keys; values are the business of the other tests."""
    path = Path(__file__).resolve().parent.parent.parent / "shared/reference/datadog/backend_linux.schema.json"
    if not path.exists():
        pytest.skip("needs the published schema")
    schema = json.loads(path.read_text())
    doing = Doing(program, ["truncate", "memfd_create", "splice", "process_vm", "userfaultfd"], tmp_path)
    events = [event for part in doing.parts.values() for event in part.events]
    assert {"splice", "memfd_create", "process_vm_writev", "userfaultfd"} <= {event["evt"]["name"] for event in events}
    for event in events:
        assert set(event) <= set(schema["properties"]) | {"tags"} and set(schema["required"]) <= set(event)
        for name, part in (("evt", "EventContext"), ("file", "FileEvent")):
            assert set(event.get(name, {})) <= set(schema["$defs"][part]["properties"])
