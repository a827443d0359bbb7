"""Floor 3: the model of processes, containers, users, and the forms that events are written in."""

import base64
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Dict, List, Tuple

import pytest

from ebpfless_arch.events import flags, json_form, records, text_form
from ebpfless_arch.events.arguments import flag_names, option_values
from ebpfless_arch.events.containers import Containers, container_id
from ebpfless_arch.events.files import make_file
from ebpfless_arch.events.model import (CORE_DUMPED, UNSET_ID, Credentials, Event, ExecEvent, ExitEvent, File,
                                        OpenEvent, Process)
from ebpfless_arch.events.processes import Processes, outer_lineage
from ebpfless_arch.events.users import Users

HEX64 = "0123456789abcdef" * 4
IDENTITY = (1000, 1000, 0, 1000, 0, 1000, UNSET_ID, 1 << 21, 1)
STATUS = (0o100755, 17, 1, 1, 0, 0, 5003, 7 * 10 ** 9, 8 * 10 ** 9)
NO_PID = 1 << 30


@pytest.fixture
def users(tmp_path: Path) -> Users:
    passwd, group = tmp_path / "passwd", tmp_path / "group"
    passwd.write_text("root:x:0:0::/root:/bin/sh\nann:x:1000:1000::/:\nbroken line\nann2:x:1000:1::/:\n:x:y\n")
    group.write_text("wheel:x:0:\nann:x:1000:\n")
    return Users(str(passwd), str(group))


def exec_record(pid: int, path: bytes, argv: Tuple[bytes, ...] = (b"x",), **changes: Any) -> Tuple[Any, ...]:
    fields: Dict[str, Any] = dict(retval=0, argument=path, argv=argv, argv_cut=False, envp=(b"HOME=/", b"SECRET=s3cret"),
                                  envp_cut=False, file=STATUS, interpreter_path=b"", interpreter=None,
                                  identity=IDENTITY, comm=path.rpartition(b"/")[2][:15], tty=136 << 8, start=17, cgroup=b"", raced=False)
    fields.update(changes)
    return (records.EXEC, 10 ** 18, pid, pid, fields.pop("retval"), path) + tuple(fields.values())


def open_record(pid: int, path: bytes, retval: int = 3, error: str = "") -> Tuple[Any, ...]:
    return (records.OPEN, 10 ** 18, pid, pid + 1, retval, path, path, os.O_WRONLY | os.O_CREAT, 0o600, STATUS, error, False)


def shell(users: Users) -> Process:
    outer = Process(users, 7, 1)
    outer.comm, outer.is_exec = "bash", True
    return outer


# --- the model ---------------------------------------------------------------------


def test_every_fork_and_every_exec_makes_a_record(users: Users) -> None:
    model = Processes(users, shell(users))
    model.apply(exec_record(100, b"/usr/bin/sh", (b"sh", b"-c", b"x")))
    fork = model.apply((records.FORK, 5, 101, 101, 100))
    event = model.apply(exec_record(101, b"/tmp/x"))
    assert [fork.process.pid, fork.process.ppid, fork.process.comm, fork.process.is_exec] == [101, 100, "sh", False]
    assert isinstance(event, ExecEvent)
    process = event.process
    assert [(record.pid, record.comm) for record in process.ancestors] == [(101, "sh"), (100, "sh"), (7, "bash")]
    assert (process.ppid, process.file.path, process.user, process.euser, process.group) == (
        100, "/tmp/x", "ann", "root", "ann")
    assert process.parent is fork.process and process.is_exec
    assert process.tty_name == "pts0"


def test_an_exec_that_failed_changes_nothing(users: Users) -> None:
    model = Processes(users)
    model.apply(exec_record(100, b"/usr/bin/sh"))
    attempt = model.apply(exec_record(100, b"/root/tool", (b"tool", b"-x"), retval=-13, file=None, identity=(0,) * 9))
    assert (attempt.process.file.path, attempt.process.args, attempt.process.user) == ("/root/tool", "-x", "ann")
    assert model.apply(open_record(100, b"/etc/x")).process.file.path == "/usr/bin/sh"


def test_an_unknown_process_still_has_its_event(users: Users) -> None:
    event = Processes(users).apply(open_record(NO_PID, b"/etc/x"))
    assert (event.process.pid, event.process.ancestors) == (NO_PID, ())
    known = Processes(users).apply(open_record(os.getpid(), b"/etc/x"))
    assert known.process.ppid == os.getppid() and known.process.file.path == os.path.realpath("/proc/self/exe")


def test_the_end_of_a_process_forgets_it(users: Users) -> None:
    model = Processes(users)
    model.apply(exec_record(100, b"/usr/bin/sh"))
    event = model.apply((records.EXIT, 9, 100, 100, CORE_DUMPED, 11))
    assert isinstance(event, ExitEvent)
    assert (event.cause, event.code, event.process.exit_time, len(model)) == (CORE_DUMPED, 11, 9, 0)


def test_a_program_that_executes_itself_for_ever_has_a_bounded_lineage(users: Users) -> None:
    model = Processes(users)
    for _ in range(1009):
        event = model.apply(exec_record(100, b"/usr/bin/again"))
    assert len(event.process.ancestors) <= 256


def test_our_own_lineage() -> None:
    record = outer_lineage(Users(), os.getpid())
    assert record is not None and record.pid == os.getpid() and record.ancestors[0].pid == os.getppid()
    assert record.ancestors[-1].ppid == 0


def test_arguments_that_proc_shows_have_the_limits_of_those_that_are_executed() -> None:
    code = "import os, sys; os.write(1, b'x'); sys.stdin.read()"
    words = [sys.executable, "-c", code, "y" * 256, "z" * 1293] + ["more"] * 257
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as program:
        assert program.stdout is not None and program.stdout.read(1) == b"x"
        record = outer_lineage(Users(), program.pid)
        assert record is not None
        program.communicate(b"")
    assert [record.argv0] + record.argv == words[:4] + ["z" * 252 + "..."] + ["more"] * 251
    assert record.args_truncated


@pytest.mark.parametrize("path,links,expected", [
    (b"/tmp/x", 1, ("/tmp/x", "x", False)),
    (b"/tmp/x (deleted)", 0, ("/tmp/x", "x", True)),
    (b"/tmp/x (deleted)", 1, ("/tmp/x (deleted)", "x (deleted)", False)),
    (b"/memfd:payload (deleted)", 0, ("", "memfd:payload", True)),
    (b"/memfd: with blank (deleted)", 0, ("", "memfd: with blank", True)),
    (b"/tmp/\xff\xfe", 1, ("/tmp/\udcff\udcfe", "\udcff\udcfe", False)),
    (b"/", 1, ("/", "", False)),
    (b"", 0, ("", "", False)),
])
def test_files_by_what_proc_calls_them(users: Users, path: bytes, links: int, expected: Tuple[str, str, bool]) -> None:
    file = make_file(users, path, STATUS[:3] + (links,) + STATUS[4:])
    assert (file.path, file.name, file.deleted) == expected


@pytest.mark.parametrize("name,extension", [("a.txt", ".txt"), ("a.tar.gz", ".gz"), (".profile", ""), ("a", ""), ("a.", ".")])
def test_extensions(users: Users, name: str, extension: str) -> None:
    assert File(users, "/" + name).extension == extension


# --- arguments (the examples of the language's reference) --------------------------------


@pytest.mark.parametrize("argument,expected", [
    ("-xvf", ["x", "v", "f", "xvf"]), ("--dry-run", ["dry-run"]), ("-a.b", ["a.b"]), ("--x", []), ("-", []),
    ("--", []), ("--size=9", []), ("-c", ["c"]), ("plain", []), ("", []), ("-ä", []),
])
def test_flags(argument: str, expected: List[str]) -> None:
    assert flag_names([argument]) == expected


@pytest.mark.parametrize("arguments,expected", [
    (["--size=9"], ["size=9"]), (["-o", "out.txt"], ["o=out.txt"]), (["-xvf", "file"], ["xvf=file"]),
    (["-o", ""], ["o="]), (["-o", "-p"], []), (["--", "x"], []), (["-o"], []), (["a", "b"], []),
    (["-o", "out", "-p", "in"], ["o=out", "p=in"]),
])
def test_options(arguments: List[str], expected: List[str]) -> None:
    assert option_values(arguments) == expected


# --- containers and users ------------------------------------------------------------------


@pytest.mark.parametrize("path,expected", [
    ("/docker/" + HEX64, HEX64),
    ("/system.slice/docker-" + HEX64 + ".scope", HEX64),
    ("/kubepods.slice/kubepods-pod01234567-89ab-cdef-0123-456789abcdef.slice/cri-containerd-" + HEX64 + ".scope", HEX64),
    ("/kubepods/besteffort/pod01234567-89ab-cdef-0123-456789abcdef/" + HEX64, HEX64),
    ("/ecs/0123456789abcdef0123456789abcdef/0123456789abcdef0123456789abcdef-1234567890",
     "0123456789abcdef0123456789abcdef-1234567890"),
    ("/garden/01234567-89ab-cdef-0123-4567", "01234567-89ab-cdef-0123-4567"),
    ("/garden/01234567-89ab-cdef-0123-456789abcdef", ""),
    ("/", ""),
    ("/user.slice/user-1000.slice/session-3.scope", ""),
    ("/x/" + HEX64 + "0", ""),
    ("", ""),
])
def test_container_ids(path: str, expected: str) -> None:
    assert container_id(path) == expected


def test_places_of_both_cgroup_versions() -> None:
    containers = Containers()
    first = containers.place(("12:cpu:/docker/%s\n1:name=systemd:/docker/%s\n" % (HEX64, HEX64)).encode(), 17)
    second = containers.place(("0::/docker/%s\n" % HEX64).encode(), 19)
    assert first.container == second.container == (HEX64, 17)
    assert containers.place(b"12:cpu:/\n1:name=systemd:/init.scope\n0::/unified\n", 1) == (("", 0), "/unified")
    assert containers.place(b"1:name=systemd:/init.scope\n", 1).cgroup == "/init.scope"
    assert containers.place(b"", 1).container.id == ""


def test_users_are_read_again_when_the_file_changes(users: Users, tmp_path: Path) -> None:
    assert (users.user(0), users.user(1000), users.user(5), users.group(0)) == ("root", "ann", "", "wheel")
    (tmp_path / "passwd").write_text("zoe:x:1000:1000::/:\n")
    users._users.looked = 0.0
    assert users.user(1000) == "zoe"
    (tmp_path / "passwd").unlink()
    users._users.looked = 0.0
    assert users.user(1000) == ""


# --- forms -------------------------------------------------------------------------------------


def form_of(event: Event) -> Dict[str, Any]:
    line = json_form.event_text(event, "title", {"origin": "ebpfless"}, 17, None)
    assert "\n" not in line
    found: Dict[str, Any] = json.loads(line)
    return found


def test_an_open_as_json(users: Users) -> None:
    model = Processes(users, shell(users))
    model.apply(exec_record(100, b"/usr/bin/sh"))
    form = form_of(model.apply(open_record(100, b"/tmp/\xff")))
    raw = {"file.path": "L3RtcC//", "file.name": "/w==", "syscall.open.path": "L3RtcC//"}
    assert form["evt"] == {"name": "open", "category": "File Activity", "outcome": "Success",
                           "variables": {"sequence": 17, "retval": 3, "raw_bytes": raw}}
    assert form["date"] == "2001-09-09T01:46:40.000000Z"
    assert form["file"]["path"] == "/tmp/\ufffd"
    assert form["file"]["flags"] == ["O_WRONLY", "O_CREAT"] and form["file"]["modification_time"].startswith("1970")
    assert form["syscall"] == {"open": {"path": "/tmp/\ufffd", "flags": 65, "mode": 0o600}}
    process = form["process"]
    assert (process["pid"], process["tid"], process["envs"]) == (100, 101, ["HOME", "SECRET"])
    assert process["credentials"]["cap_effective"] == ["CAP_SYS_ADMIN"]
    assert process["parent"]["comm"] == "bash" and len(process["ancestors"]) == 1


@pytest.mark.parametrize("name", [
    b"/tmp/\xc3\xa4 \xf0\x9f\x98\x80", b"/tmp/\\udc80", b"/tmp/\\ud83d\\ude00",
    b'/tmp/a\n\t\x7f"\\\x1b[31m\r\x01\xe2\x80\xa8'])
def test_odd_names_that_are_utf_8_stay_as_they_are(users: Users, name: bytes) -> None:
    form = form_of(Processes(users).apply(open_record(100, name)))
    assert form["file"]["path"].encode("utf-8") == name
    assert form["evt"]["variables"] == {"sequence": 17, "retval": 3}


def test_arguments_of_ancestors_have_less_room_than_one_s_own(users: Users) -> None:
    model = Processes(users, shell(users))
    words = tuple(b"%03d" % number * 80 for number in range(251))
    for _ in range(7):
        model.apply(exec_record(100, b"/usr/bin/sh", (b"sh",) + words))
    line = json_form.event_text(model.apply(open_record(100, b"/tmp/x")), "title", {}, 1, None)
    process = json.loads(line)["process"]
    assert [len(process["args"]), process["args_truncated"]] == [251, False]
    # 17 words of 240 bytes have room in 4096, 68 in 16384.
    assert [len(ancestor["args"]) for ancestor in process["ancestors"]] == [17, 17, 17, 17, 0, 0, 0]
    assert all(ancestor["args_truncated"] for ancestor in process["ancestors"][:-1])
    assert process["parent"] == process["ancestors"][0] and process["parent"]["args"][16] == "016" * 80
    assert process["ancestors"][-1]["comm"] == "bash" and not process["ancestors"][-1]["args_truncated"]
    assert len(line) < 90000


@pytest.mark.parametrize("name", [
    b"/\xff\xfe\x80", b"/\xed\xb2\x80", b"/\xed\xa0\xbd\xed\xb8\x80", b"/\xc3", b"/\xf0\x9f\x98\x80\xc0"])
def test_whoever_reads_a_line_finds_unicode_and_every_byte(users: Users, name: bytes) -> None:
    event = Processes(users).apply(exec_record(100, name, (b"x", b"a", b"arg\xff"), comm=b"\xf0\x9f\x98"))
    form = form_of(event)
    json.dumps(form, ensure_ascii=False).encode("utf-8")  # fails for half a surrogate pair
    raw = {key: base64.b64decode(data) for key, data in form["evt"]["variables"]["raw_bytes"].items()}
    assert raw == {"file.path": name, "file.name": name[1:], "syscall.exec.path": name,
                   "process.executable.path": name, "process.executable.name": name[1:],
                   "process.comm": b"\xf0\x9f\x98", "process.args.1": b"arg\xff"}
    assert form["process"]["args"] == ["a", "arg\ufffd"]


def test_a_policy_may_say_what_it_likes(users: Users) -> None:
    event = Processes(users).apply(open_record(100, b"/tmp/x"))
    line = json_form.event_text(event, "a \ud800 b", {"rule_id": "\udc80\ud900"}, 1, ["x\udfff"],
                                {"\ud812": "\udcff"})
    form = json.loads(line)
    json.dumps(form, ensure_ascii=False).encode("utf-8")
    assert (form["title"], form["agent"]["rule_id"], form["tags"]) == ("a \ufffd b", "\ufffd\ufffd", ["x\ufffd"])
    assert form["evt"]["variables"]["\ufffd"] == "\ufffd"


def test_values_of_variables_are_never_told(users: Users) -> None:
    event = Processes(users).apply(exec_record(100, b"/usr/bin/sh"))
    assert "s3cret" not in json_form.event_text(event, "t", {}, 1, ["a:b"]) + text_form.headline(event)
    assert event.process.envp[1] == "SECRET=s3cret"


@pytest.mark.parametrize("retval,outcome,name", [(0, "Success", ""), (-13, "Refused", "EACCES"), (-1, "Refused", "EPERM"),
                                                 (-2, "Error", "ENOENT"), (-4095, "Error", "errno 4095")])
def test_outcomes(retval: int, outcome: str, name: str) -> None:
    assert (json_form.outcome(retval), json_form.error_name(retval)) == (outcome, name)


def test_nobody_can_forge_a_line(users: Users) -> None:
    model = Processes(users)
    model.apply(exec_record(100, b"/tmp/a\nHIGH forged", (b"x", b"one\x1b[31m\n"), comm=b"a\nb\xff"))
    event = model.apply(open_record(100, b"/tmp/\r\n\xc3\xa4\xe2\x80\xae"))
    line = text_form.headline(event) + text_form.lineage(event.process)
    assert line.isprintable()
    assert "a\\nb\\xff[100] opened /tmp/\\r\\nä\\u202e" in line


@pytest.mark.parametrize("words, shown", [
    ((b"a", b"b c", b"", b"*.x", b"d"), "a 'b c' '' *.x d"), ((b"it's", b'"', b"\t", b"a\nb"), "'it'\\''s' '\"' '\\t' 'a\\nb'"),
    ((b"a\\nb", b"\xc2\xa0"), "a\\nb '\\xa0'"), ((b"x" * 199, b"y"), "x" * 199 + " ..."), ((b"x" * 200,), "x" * 200),
    ((b"x" * 198, b"y"), "x" * 198 + " y"), ((b"a b",) + (b"z",) * 200, "'a b'" + " z" * 97 + " ..."), ((), "")])
def test_arguments_are_words_as_for_a_shell(users: Users, words: Tuple[bytes, ...], shown: str) -> None:
    event = Processes(users).apply(exec_record(100, b"/bin/x", (b"x",) + words, comm=b"x"))
    assert text_form.headline(event) == ("x[100] executed /bin/x " + shown).rstrip(" ")


def test_a_chain_names_each_program_once(users: Users) -> None:
    model = Processes(users, shell(users))
    model.apply(exec_record(100, b"/usr/bin/sh"))
    model.apply((records.FORK, 5, 101, 101, 100))
    event = model.apply(exec_record(101, b"/usr/bin/env"))
    event = model.apply(exec_record(101, b"/usr/bin/cat"))
    assert text_form.lineage(event.process) == "env[101] < sh[100] < bash[7]"


@pytest.mark.parametrize("number,names", [
    (0, ["O_RDONLY"]), (os.O_RDWR, ["O_RDWR"]), (os.O_SYNC, ["O_RDONLY", "O_SYNC"]),
    (os.O_TMPFILE | os.O_WRONLY, ["O_WRONLY", "O_TMPFILE"]), (os.O_DIRECTORY, ["O_RDONLY", "O_DIRECTORY"]),
    (1 << 30, ["O_RDONLY", "0x40000000"]), (-1, None),
])
def test_names_of_open_flags(number: int, names: Any) -> None:
    found = flags.open_flag_names(number)
    assert found == names if names else found[0] == "O_ACCMODE"


def test_credentials_of_a_record(users: Users) -> None:
    event = Processes(users).apply(exec_record(100, b"/usr/bin/sh"))
    assert event.process.credentials == Credentials(*IDENTITY)
    assert isinstance(Processes(users).apply(open_record(100, b"/x")), OpenEvent)
