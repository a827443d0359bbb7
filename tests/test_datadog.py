"""Datadog's messages: read and written as they were recorded, and what they mean to us."""

import base64
import json
import os
from pathlib import Path
from typing import Any, Dict, List, Optional, Tuple

import network_samples
import pytest

import wire_samples
from call_samples import FILE, FULL, IDENTITY, NEW, STATUS, call_record
from ebpfless_arch.events import datadog_records, datadog_structs, json_form, records, text_form
from ebpfless_arch.events.calls import IdentityEvent
from ebpfless_arch.events.datadog_records import Told, as_message, as_told
from ebpfless_arch.events.model import UNSET_ID, Event, ExecEvent
from ebpfless_arch.events.msgpack import WireError, pack, unpack
from ebpfless_arch.events.own_calls import OWN_CALLS
from ebpfless_arch.events.processes import Processes
from ebpfless_arch.events.users import Users
from wire_samples import TIME

NO_PID = 1 << 30
# What their messages do not tell of a file: device and size; one link is assumed.
TOLD_STATUS = STATUS[:2] + (0, 1) + STATUS[4:6] + (0,) + STATUS[7:]
TOLD_FILE, TOLD_NEW = (FILE[0], TOLD_STATUS, ""), (NEW[0], TOLD_STATUS, "")
SAME = {"identity": None, "process_identity": None}


@pytest.fixture
def users(tmp_path: Path) -> Users:
    passwd, group = tmp_path / "passwd", tmp_path / "group"
    passwd.write_text("root:x:0:0::/root:/bin/sh\nann:x:1000:1000::/:\n")
    group.write_text("wheel:x:0:\nstaff:x:1001:\n")
    return Users(str(passwd), str(group))


def read(data: bytes) -> Dict[str, Any]:
    return datadog_structs.read("Message", unpack(data))


def as_json(value: Any) -> Any:
    """As their own tool writes it: bytes in base64, and nothing for what is nil."""
    if isinstance(value, dict):
        return {key: as_json(part) for key, part in value.items() if part is not None}
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    return [as_json(part) for part in value] if isinstance(value, tuple) else value


def without_nil(value: Any) -> Any:
    return {key: without_nil(part) for key, part in value.items() if part is not None} \
        if isinstance(value, dict) else value


def sent(record: records.Record, users: Users, container: str = "") -> Optional[Dict[str, Any]]:
    """The struct Syscall that a record becomes, through its bytes and back."""
    message = as_message(record, users, container)
    if message is None:
        return None
    syscall: Dict[str, Any] = read(datadog_structs.write("Message", message))["Syscall"]
    return syscall


# --- what was recorded ------------------------------------------------------------------

@pytest.mark.parametrize("name", wire_samples.STREAMS)
def test_recorded_messages_are_read_and_written_byte_by_byte(name: str) -> None:
    raw, expected = wire_samples.recorded(name)
    found = list(wire_samples.bodies(raw))
    assert len(found) == len(expected)
    for body, message in zip(found, expected):
        assert without_nil(json.loads(json.dumps(as_json(read(body))))) == without_nil(message)
        assert datadog_structs.write("Message", read(body)) == body


@pytest.mark.parametrize("name, ended", [("wrap_sh", [(2, 9)]), ("wrap_python", [])])
def test_recorded_messages_make_events(name: str, ended: List[Tuple[int, int]], users: Users) -> None:
    raw, expected = wire_samples.recorded(name)
    model = Processes(users)
    events = []
    for body in wire_samples.bodies(raw):
        syscall = read(body)["Syscall"]
        told = as_told(syscall) if syscall is not None else None
        if told is not None:
            events.append(model.apply(told.record))
            shown(events[-1])
    assert len(events) == len(expected) - 1
    assert [(event.cause, event.code) for event in events  # type: ignore[attr-defined]
            if event.type == "exit" and event.cause] == ended  # type: ignore[attr-defined]
    main = [event for event in events if isinstance(event, ExecEvent)][0]
    assert main.process.user == "root"
    assert set(event.process.ancestors[-1:] for event in events) == {(), (main.process,)}


def shown(event: Event) -> None:
    """Write an event out in both forms."""
    assert text_form.headline(event)
    json.loads(json_form.event_text(event, "x", {}, 1, None))


def test_a_hello_as_recorded() -> None:
    message = read(wire_samples.HELLO)
    assert message["Hello"] == {
        "NSID": 4026531836, "ContainerContext": {"ID": "", "CreatedAt": 1795463738045192021},
        "EntrypointArgs": ("/usr/bin/ls", "/"), "Mode": "wrapped"}
    assert datadog_structs.write("Message", message) == wire_samples.HELLO


# --- structs ----------------------------------------------------------------------------

def test_missing_keys_nil_and_unknown_keys_are_tolerated() -> None:
    message = read(pack({"Type": 2, "Later": [1], "Syscall": {
        "Type": 10, "PID": 7, "Timestamp": None, "Unlink": {"File": {"Filename": b"/caf\xe9", "Credentials": None}}}}))
    told = as_told(message["Syscall"])
    assert told == Told(call_record("unlink", {"file": (b"/caf\xe9", None, "")}, pid=7)[:1] + (
        0, 7, 7, 0, "unlink", {"file": (b"/caf\xe9", None, "")}), "")
    assert read(pack({}))["Type"] == 0
    assert read(pack([1, None]))["Hello"] is None
    assert read(pack({"Syscall": {"Rename": {}}}))["Syscall"]["Rename"]["OldFile"]["Inode"] == 0


@pytest.mark.parametrize("message, reason", [
    ([], None), ("x", "a str instead of the struct Message"), ({"Type": 1.0}, "the field Type of Message: 1.0"),
    ({"Type": True}, "the field Type of Message: True"), ({"Type": 2 ** 31}, "2147483648 instead of a number"),
    ({"Syscall": {"PID": -1}}, "the field PID of Syscall: -1 instead of a number from 0"),
    ({"Syscall": {"ContainerID": 5}}, "the field ContainerID of Syscall: a int instead of a text"),
    ({"Syscall": {"Exec": {"Args": "x"}}}, "the field Args of Exec: a str instead of an array"),
    ({"Syscall": {"Exec": {"Args": [5]}}}, "the field Args of Exec: a int instead of a text"),
    ({"Syscall": {"Exec": {"ArgsTruncated": 1}}}, "the field ArgsTruncated of Exec"),
    ({"Syscall": {"Exec": 5}}, "a int instead of the struct Exec"),
])
def test_wrong_types_are_refused(message: Any, reason: Optional[str]) -> None:
    if reason is None:
        assert read(pack(message))["Type"] == 0
        return
    with pytest.raises(WireError, match=reason):
        read(pack(message))


def test_what_does_not_fit_is_not_written() -> None:
    with pytest.raises(WireError, match="the number 4294967296 does not fit into 32 bits"):
        datadog_structs.write("Fork", {"PPID": 2 ** 32})


# --- theirs to ours ---------------------------------------------------------------------

def told_of(kind: int, payload: str, values: Dict[str, Any], retval: int = 0, container: str = "") -> Optional[Told]:
    message = {"Type": 2, "Syscall": {"Type": kind, "PID": 100, "Timestamp": TIME, "Retval": retval,
                                      "ContainerID": container, payload: values}}
    return as_told(read(datadog_structs.write("Message", message))["Syscall"])


def test_a_program_of_theirs_without_credentials_keeps_those_before(users: Users) -> None:
    model = Processes(users)
    container = "0123456789abcdef" * 4
    first = told_of(1, "Exec", {"File": {"Filename": "/bin/su"}, "Args": ["su"], "TTY": "pts3", "Credentials": {
        "UID": 1000, "EUID": 1000, "GID": 1001, "EGID": 1001}}, container=container)
    assert first is not None and first.container == container and not first.known
    event = model.apply(first.record)
    assert (event.process.user, event.process.group, event.process.tty_name, event.process.comm,
            event.process.container.id) == ("ann", "staff", "pts3", "su", container)
    for kind, payload, values in ((5, "SetUID", {"UID": 0, "EUID": -1}), (8, "SetFSGID", {"FSGID": 7})):
        told = told_of(kind, payload, values)
        assert told is not None
        changed = model.apply(told.record)
        assert isinstance(changed, IdentityEvent)
        shown(changed)
    assert (changed.process.user, changed.process.euser, changed.process.credentials.fsgid) == ("root", "root", 1001)
    second = told_of(1, "Exec", {"File": {"Filename": "/bin/sh"}, "Args": ["sh"], "Credentials": None})
    assert second is not None
    process = model.apply(second.record).process
    assert (process.user, process.euser, process.fsuser, process.credentials.fsgid) == ("root", "root", "root", 7)


def test_ids_that_were_refused_change_nothing(users: Users) -> None:
    model = Processes(users)
    told = told_of(5, "SetUID", {"UID": 1000, "EUID": -1}, retval=-1)
    assert told is not None
    before = model.apply((records.FORK, TIME, 100, 100, 0)).process.credentials
    event = model.apply(told.record)
    assert isinstance(event, IdentityEvent) and (event.after.uid, event.after.euid) == (1000, UNSET_ID)
    assert model.apply((records.FORK, TIME, 101, 101, 100)).process.credentials == before


@pytest.mark.parametrize("flags, mode, argument, of_file", [
    (os.O_RDONLY, 0o100644, 0, 0o100644), (os.O_RDONLY, 321250128 & 0o7777, 0, 0),
    (os.O_CREAT, 0o640, 0o640, 0), (os.O_CREAT, 0o100600, 0, 0o100600),
])
def test_the_mode_of_an_open_is_the_argument_or_the_files(flags: int, mode: int, argument: int, of_file: int) -> None:
    told = told_of(3, "Open", {"Filename": "/x", "Inode": 5, "Mode": mode, "Flags": flags}, 3)
    assert told is not None
    assert told.record[5:] == (b"/x", b"/x", flags, argument, (of_file, 5, 0, 1, 0, 0, 0, 0, 0), "", False)


def test_a_file_called_deleted_is_not_taken_for_one(users: Users) -> None:
    told = told_of(10, "Unlink", {"File": {"Filename": "/x (deleted)", "Inode": 5}})
    assert told is not None
    event: Any = Processes(users).apply(told.record)
    assert (event.file.path, event.file.deleted) == ("/x (deleted)", False)


def test_a_process_found_in_proc_is_known_and_not_an_event() -> None:
    told = told_of(1, "Exec", {"File": {"Filename": "/bin/x"}, "Args": ["x" * 257] + ["y"] * 256, "FromProcFS": True})
    assert told is not None and told.known
    assert told.record[7][0] == b"x" * 252 + b"..." and len(told.record[7]) == 256 and told.record[8] is True


@pytest.mark.parametrize("kind", [0, 22, 29, -1])
def test_what_we_have_no_event_for_is_none(kind: int) -> None:
    assert told_of(kind, "Umount", {"Path": "/x"}) is None


@pytest.mark.parametrize("kind, payload, values, reason", [
    (10, "Rmdir", {}, "a message of type 10 without its part Unlink"),
    (24, "Connect", {"AddressFamily": 2, "Addr": "\x7f\0\0\1"}, "is no IP address"),
    (4, "Exit", {"Cause": 3}, "whose cause is not as it should be"),
])
def test_what_contradicts_itself_is_refused(kind: int, payload: str, values: Dict[str, Any], reason: str) -> None:
    with pytest.raises(WireError, match=reason):
        told_of(kind, payload, values)


def test_names_as_long_as_a_program_likes_do_no_harm() -> None:
    for kind, payload, values in ((19, "UnloadModule", {"Name": "x" * 8192}), (28, "Prctl", {
            "Option": 15, "NewName": "x" * 8192}), (21, "Mount", {"Source": "x" * 8192, "FSType": "x" * 8192}),
            (26, "Setsockopt", {"Filter": b"x" * 80000})):
        assert told_of(kind, payload, values) is not None


# --- ours to theirs ---------------------------------------------------------------------

# What comes back of the samples after a journey through their messages; None: they have no words for it.
RETURNED: Dict[str, Optional[Dict[str, Any]]] = {
    "unlink": {"file": TOLD_FILE}, "rmdir": {"file": TOLD_FILE}, "chdir": {"file": TOLD_FILE},
    "rename": {"file": TOLD_FILE, "destination": TOLD_NEW}, "link": {"file": TOLD_FILE, "destination": TOLD_NEW},
    "mkdir": {"file": TOLD_FILE, "mode": 0o2750}, "utimes": {"file": TOLD_FILE},
    "chmod": {"file": TOLD_FILE, "mode": 0o4711}, "chown": {"file": TOLD_FILE, "uid": 0, "gid": UNSET_ID},
    "mount": {"file": (FILE[0], None, ""), "path": FILE[0], "source": b"/src", "source_path": b"/src", "fs_type": b"",
              "flags": 0, "mount": None},
    "setuid": dict(SAME, uid=1000, change={"uid": 1000, "euid": 1000, "fsuid": 1000}),
    "setgid": dict(SAME, gid=1001, change={"gid": 1001, "egid": 1001, "fsgid": 1001}),
    "capset": dict(SAME, capabilities=(1 << 21, 3 << 21), change={"cap_effective": 1 << 21, "cap_permitted": 3 << 21}),
    "setrlimit": {"pid": 100, "resource": 4, "limit": (0, 2 ** 64 - 1)},
    "prctl": {"option": 15, "name": (b"[kworker/0:1-ev", False)},
    "load_module": {"file": (b"/lib/modules/snd-x.ko.xz", TOLD_STATUS, ""), "module": b"", "parameters": b"a=1 b=2",
                    "from_memory": False},
    "unload_module": {"name": b"snd_x"},
    "bind": {"family": 2, "ip": b"\x08\x08\x04\x04", "port": 80, "protocol": 6, "path": b""},
    "connect": {"family": 2, "ip": b"\x08\x08\x04\x04", "port": 443, "protocol": 6, "path": b""},
    "accept": {"family": 2, "ip": b"\x08\x08\x04\x04", "port": 80, "protocol": 0, "path": b""},
    "setsockopt": {"level": 1, "option": 26, "socket": (17, 3, 0x0300), "filter": FULL["setsockopt"]["filter"]},
    "setxattr": None, "removexattr": None, "ptrace": None, "signal": None, "mmap": None, "mprotect": None, "bpf": None,
    "splice": None,
}
RETURNED.update(dict.fromkeys(OWN_CALLS))
RETURNED.update(dict.fromkeys(network_samples.FULL))


@pytest.mark.parametrize("event", sorted(FULL))
def test_what_is_left_of_a_call_after_their_words(event: str, users: Users) -> None:
    syscall = sent(call_record(event, FULL[event]), users, "box")
    if RETURNED[event] is None:
        assert syscall is None
        return
    assert syscall is not None and syscall["ContainerID"] == "box"
    told = as_told(syscall)
    assert told is not None
    assert told.record == (records.CALL, 10 ** 18, 100, 100, 0, event, RETURNED[event])


def test_every_record_that_is_an_event_of_theirs_is_written(users: Users) -> None:
    for record in wire_samples.RECORDS:
        kind = record[5] if record[0] == records.CALL else record[0]
        theirs = RETURNED.get(kind, kind) is not None if record[0] == records.CALL else kind in (
            records.FORK, records.EXEC, records.OPEN, records.EXIT)
        if record[:1] + record[4:5] == (records.OPEN, -2):
            theirs = False  # a failure that they do not report
        assert (sent(record, users) is not None) == theirs, record


def test_programs_processes_and_files_come_back(users: Users) -> None:
    fork, program, refused, opened, _, ended = wire_samples.RECORDS[:6]
    for record in (fork, ended):
        told = as_told(sent(record, users) or {})
        assert told is not None and told.record == record
    told = as_told(sent(program, users) or {})
    assert told is not None
    assert told.record == (
        records.EXEC, TIME, 101, 101, 0, b"/usr/bin/caf\xe9", b"/usr/bin/caf\xe9", (b"x", b"\xff\xfe", b""), False,
        (b"PATH=/bin",), True, TOLD_STATUS, b"", None, IDENTITY[:4] + IDENTITY[2:4] + (UNSET_ID, 0, 0), b"caf\xe9",
        136 << 8, 0, b"", False)
    told = as_told(sent(opened, users) or {})
    assert told is not None and told.record[5:] == (b"/etc/passwd", b"/etc/passwd", 0o2000000, 0, TOLD_STATUS, "", False)
    told = as_told(sent(refused, users) or {})
    assert told is not None and told.record[4:6] == (-13, b"/root/x")


def test_our_words_for_their_probe(users: Users) -> None:
    syscall = sent(call_record("chown", FULL["chown"]), users)
    assert syscall is not None and syscall["Chown"] == {
        "File": {"Filename": "/tmp/old.txt", "CTime": 8 * 10 ** 9, "MTime": 7 * 10 ** 9, "Mode": 0o100644, "Inode": 17,
                 "Credentials": {"UID": 1000, "User": "ann", "EUID": 0, "EUser": "", "GID": 1000, "Group": "",
                                 "EGID": 0, "EGroup": ""}},
        "UID": 0, "User": "root", "GID": -1, "Group": ""}
    sysfs = sent(call_record("setuid", dict(SAME, fsuid=1000)), users)
    assert sysfs is not None and (sysfs["Type"], sysfs["SetFSUID"]) == (7, {"FSUID": 1000, "FSUser": "ann"})
    assert sysfs["SetUID"] is None
    other_file = (b"/x", STATUS[:1] + (18,) + STATUS[2:], "")
    link = sent(call_record("link", dict(FULL["link"], destination=other_file)), users)
    assert link is not None and link["Link"]["Type"] == 0
    hard = sent(call_record("link", FULL["link"]), users)
    assert hard is not None and hard["Link"]["Type"] == 1


def test_each_number_has_one_row_and_a_payload() -> None:
    numbers = [row.number for row in datadog_records.ROWS]
    assert sorted(numbers) == list(range(1, 29))
    names = [word.partition(":")[0] for word in datadog_structs.STRUCTS["Syscall"].split()]
    assert len(names) == 38 and set(row.payload for row in datadog_records.ROWS) <= set(names)
