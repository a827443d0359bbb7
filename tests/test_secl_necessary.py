"""What the tracer may go by without the rules: whenever a rule matches, its condition on the path holds."""

import marshal
import os
import random
from typing import Any, Dict, List, Optional, Tuple

import pytest

from ebpfless_arch.events import records
from ebpfless_arch.events.interest import ArgumentTest, Case, Interest, PathNeed, either, packed, unpacked
from ebpfless_arch.events.processes import Processes
from ebpfless_arch.events.records import Record
from ebpfless_arch.rules.compile import Compiler
from ebpfless_arch.rules.fields import field_table
from ebpfless_arch.rules.grammar import SeclError
from ebpfless_arch.rules.necessary import path_need
from ebpfless_arch.rules.typed import Variables
from secl_rules import USERS

COMPILER = Compiler(field_table(), Variables({"word": ("string", "/etc/shadow")}))
COMPILER.add_values("SECRETS", ["/etc/shadow", "/etc/gshadow"])
NOTHING: Optional[PathNeed] = None


def needed(expression: str) -> Optional[PathNeed]:
    checked = COMPILER.compile(expression).checked
    return path_need(checked.tree, checked.event_type)


def exact(*paths: bytes) -> PathNeed:
    return PathNeed(exact=frozenset(paths))


@pytest.mark.parametrize("expression, wanted", [
    ('open.file.path == "/etc/shadow"', exact(b"/etc/shadow")),
    ("open.file.path in SECRETS && process.uid != 0", exact(b"/etc/shadow", b"/etc/gshadow")),
    ('open.file.path == "/a" || open.file.path == "/b"', exact(b"/a", b"/b")),
    ('open.file.path == "/a" || open.flags == 0', NOTHING),
    ('open.file.path != "/a"', NOTHING), ('!(open.file.path == "/a")', NOTHING),
    ('open.file.path in [~"/etc/**", ~"/var/*.log", "/x"]',
     PathNeed(frozenset([b"/x"]), (b"/etc/", b"/var/"))),
    ('open.file.path =~ "/**/id_rsa"', PathNeed(suffixes=(b"/id_rsa",))),
    ('open.file.path =~ "/**"', NOTHING), ('open.file.path == ""', NOTHING),
    ('open.file.name in ["id_rsa", ~"*.pem"]', PathNeed(suffixes=(b"/id_rsa", b".pem"))),
    ('open.file.name =~ "id_*"', PathNeed(pieces=(b"/id_",))), ('open.file.name == r"id.*"', NOTHING), ('open.file.name == ""', NOTHING),
    ('open.file.path in [~"/**/.ssh/id_*", ~"*/bin/*", ~"/a/*x*"]',
     PathNeed(prefixes=(b"/a/",), pieces=(b"/.ssh/id_", b"/bin/"))),
    ('open.file.extension == "so"', PathNeed(suffixes=(b".so",))),
    ('open.file.path == "/\u00e4"', exact("/\u00e4".encode())),
    ('open.file.path =~ "/e*" && open.file.path == "/etc/x" && open.file.name == "x"', exact(b"/etc/x")),
    ('exec.file.path == "/a" && process.file.name == "a"', exact(b"/a")),
    ('process.file.path == "/a" && exec.pid > 0', exact(b"/a")),
    ('process.file.path == "/a" && open.flags == 0', NOTHING),
    ('process.parent.file.path == "/a" && exec.pid > 0', NOTHING),
    ('process.ancestors[A].file.path == "/a" && open.file.path == "/b"', exact(b"/b")),
    ('rename.file.destination.path == "/a"', NOTHING), ('rename.file.path == "/a"', exact(b"/a")),
    ('mount.mountpoint.path == ~"/mnt*"', PathNeed(prefixes=(b"/mnt",))),
    ('open.syscall.path == "/a"', NOTHING), ('open.file.path == "${word}"', NOTHING),
    ('open.flags == 1 && 1 == 2', PathNeed()), ("connect.addr.port == 7", NOTHING),
])
def test_conditions(expression: str, wanted: Optional[PathNeed]) -> None:
    assert needed(expression) == wanted


@pytest.mark.parametrize("path, wanted", [
    (b"/etc/shadow", True), (b"/etc/shadow (deleted)", True), (b"/etc/shadow2", False), (b"/root/.ssh/x", True),
    (b"/root/.ssh", False), (b"/home/id_rsa", True), (b"id_rsa", True), (b"/home/id_rsa.pub", False), (b"", False),
    (b"/ (deleted)", False), (b"/home/id_rsa (deleted)", True), (b"pipe:[7]", True)])
def test_admission(path: bytes, wanted: bool) -> None:
    need = PathNeed(frozenset([b"/etc/shadow"]), (b"/root/.ssh/",), (b"/id_rsa", b"/pipe:[7]"))
    assert need.admits(path) is wanted
    assert PathNeed().admits(path) is False


def test_admission_by_a_piece() -> None:
    need = PathNeed(pieces=(b"/.ssh/id_", b"/bin/"))
    assert [need.admits(path) for path in (b"/x/.ssh/id_a", b".ssh/id_a", b"/bin/a (deleted)", b"/x/.ssh/i")] == [
        True, True, True, False]


def test_it_travels_as_plain_data() -> None:
    need = PathNeed(frozenset([b"/a"]), (b"/b",), (b"/c",))
    cases = (Case((ArgumentTest("flags", 3, True), ArgumentTest("flags", values=(7, 9))), need), Case((), need))
    sent = Interest(frozenset(["open", "connect"]), False, {"open": need, "connect": None}, cases={"open": cases})
    interest = unpacked(marshal.loads(marshal.dumps(packed(sent))))
    assert interest == sent
    assert [interest.may_deny("open", path) for path in (b"/a", b"/x", None)] == [True, False, True]
    assert interest.may_deny("connect", None) and not interest.may_deny("exec", b"/a")
    assert [interest.needs("open", path, {}) for path in (b"/a", b"/x", None)] == [True, False, True]
    assert interest.needs("connect", b"/x", {})


def test_several_rules_need_what_one_of_them_needs() -> None:
    both = either([exact(b"/a"), PathNeed(prefixes=(b"/b",)), exact(b"/c")])
    assert both == PathNeed(frozenset([b"/a", b"/c"]), (b"/b",))
    assert either([exact(b"/a"), None]) is None
    assert either([]) == PathNeed()


# The property

_WORDS = ["a", "b", "ab", "a.so", ".so", "x.tar.so", "id_rsa", "etc", "\u00e4", "memfd:a", "pipe:[7]", "a (deleted)"]
_PIECES = _WORDS + ["*", "**", "*a", "a*", "*.so", "a*b", "**x", "*a*"]


def random_path(source: random.Random) -> bytes:
    path = "/" + "/".join(source.choice(_WORDS) for _ in range(source.randrange(1, 4)))
    path = source.choice([path] * 6 + [path[1:], "/", "", "pipe:[7]", "/memfd:a"])
    raw = path.encode() + source.choice([b""] * 9 + [b"\xff", b"/\xc3"])
    return raw + source.choice([b""] * 4 + [b" (deleted)"])


def random_literal(source: random.Random, attribute: str) -> str:
    if source.random() < 0.07:
        return '""'
    pieces = [source.choice(_PIECES) for _ in range(source.randrange(1, 4))]
    if attribute == "path":
        text = source.choice(["/", "/", "/", "", "*/"]) + "/".join(pieces)
    else:
        text = pieces[0] + source.choice(["", "", "*"])
    if "*" not in text and source.random() < 0.8:
        return f'"{text}"'
    return source.choice(['~"%s"', '~"%s"', '"%s"']) % text if source.random() < 0.95 else 'r"%s"' % text.replace("*", ".")


def random_test(source: random.Random, file: str) -> str:
    attribute = source.choice(["path", "path", "name", "extension"])
    field = f"{file}.{attribute}"
    literals = [random_literal(source, attribute) for _ in range(source.randrange(1, 4))]
    return source.choice([f"{field} == {literals[0]}", f"{field} != {literals[0]}", f"{field} =~ {literals[0]}",
                          f"{field} in [{', '.join(literals)}]", f"{field} not in [{', '.join(literals)}]",
                          f"{literals[0]} == {field}", "process.uid == 0", "1 == 1", "process.pid > 0",
                          f'process.ancestors.file.path == {literals[0]}', f"%{{{field}}} == {literals[0]}"])


def random_expression(source: random.Random, file: str, depth: int = 0) -> str:
    if depth > 2 or source.random() < 0.3:
        return random_test(source, file)
    parts = [random_expression(source, file, depth + 1) for _ in range(source.randrange(2, 4))]
    whole = f" {source.choice(['&&', '||', '||'])} ".join(f"({part})" for part in parts)
    return f"!({whole})" if source.random() < 0.1 else whole


_STATUS = (0o100644, 7, 7, 1, 0, 0, 7, 0, 0)
_REMOVED = _STATUS[:3] + (0,) + _STATUS[4:]


def random_record(source: random.Random, event: str) -> Record:
    path, status = random_path(source), source.choice([_STATUS, _REMOVED, None])
    start: Tuple[Any, ...] = (7, os.getpid(), os.getpid())
    if event == "open":
        return (records.OPEN,) + start + (-1, path, path, 0, 0, status, source.choice(["", "ENOENT"]), False)
    if event == "exec":
        return ((records.EXEC,) + start + (source.choice([0, -1]), path, path, (), False, (), False, status, b"", None,
                                           (0,) * 9, b"", 0, 0, b"", False))
    found = (path, status, source.choice(["", "ENOENT"]))
    values: Dict[str, Any] = {"file": found, "destination": (random_path(source), status, ""), "mount": None,
                              "flags": 0, "protection": 4, "address": 0, "length": 7}
    return (records.CALL,) + start + (-1, event, values)


@pytest.mark.once
@pytest.mark.parametrize("event, file", [("open", "open.file"), ("exec", "exec.file"), ("exec", "process.file"),
                                         ("unlink", "unlink.file"), ("rename", "rename.file"), ("mmap", "mmap.file"),
                                         ("mount", "mount.mountpoint")])
def test_whenever_a_rule_matches_its_condition_holds(event: str, file: str) -> None:
    source = random.Random(17)
    processes = Processes(USERS)
    samples = [(records.path_of(record), processes.apply(record))
               for record in [random_record(source, event) for _ in range(150)]]
    own = {"mount": "mount.retval <= 0", "exec": "exec.pid > 0"}.get(event, f"{event}.retval <= 0")
    compiled = matched = useful = refused = 0
    for _ in range(700):
        try:
            rule = COMPILER.compile(f"({random_expression(source, file)}) && {own}")
        except SeclError:
            continue
        compiled += 1
        need = path_need(rule.checked.tree, event)
        useful += need is not None
        for path, happened in samples:
            assert path is not None
            if rule.test(happened):
                matched += 1
                assert need is None or need.admits(path), (rule.checked.tree, path, need)
            else:
                refused += need is not None and not need.admits(path)
    assert compiled > 100 and matched > 1000, (compiled, matched)
    assert useful > 20 and refused > 1000, "the conditions are worth something"
