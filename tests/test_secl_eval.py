"""Rules over events: what the checker refuses, what the generated functions answer, and the table of fields."""

import json
import os
import random
from typing import Dict, List, Optional, Tuple

import pytest

from call_samples import FULL, bare, call_record
from ebpfless_arch.events import records
from ebpfless_arch.events.constants import OWN_CONSTANTS
from ebpfless_arch.events.model import EXITED, SIGNALED, Event, ExecEvent, ExitEvent, File, OpenEvent, Process
from ebpfless_arch.events.own_calls import OWN_CALLS
from ebpfless_arch.events.processes import Processes
from ebpfless_arch.events.users import Users
from ebpfless_arch.rules.cases import Facts, facts_table
from ebpfless_arch.rules.compile import Compiler
from ebpfless_arch.rules.constants import CONSTANTS
from ebpfless_arch.rules.fields import EVENT_TYPES, NETWORK_EVENTS, field_table
from ebpfless_arch.rules.grammar import SeclError
from ebpfless_arch.rules.typed import Variables

TABLE = field_table()
USERS = Users("/nonexistent/passwd", "/nonexistent/group")
NOW = 1700000000 * 10**9
_REFERENCE = os.path.join(os.path.dirname(__file__), "..", "..", "shared", "reference", "secl")
needs_reference = pytest.mark.skipif(not os.path.isdir(_REFERENCE),
                                     reason="the SECL reference is not beside the repository")


def process(pid: int, path: str, arguments: Tuple[str, ...] = (), parent: Optional[Process] = None) -> Process:
    record = Process(USERS, pid, parent.pid if parent else 0, parent)
    record.file = File(USERS, path)
    record.arguments = list(arguments)
    record.comm = record.file.name[:15]
    record.exec_time = NOW - 60 * 10**9
    return record


def lineage() -> Process:
    """systemd, then a shell, then curl."""
    shell = process(20, "/bin/sh", ("sh", "-c", "curl"), process(1, "/sbin/init"))
    shell.credentials = shell.credentials._replace(uid=1000)
    return process(311, "/usr/bin/curl", ("curl", "-o", "out.txt", "--head"), shell)


def exec_event(record: Optional[Process] = None) -> ExecEvent:
    return ExecEvent(NOW, record or lineage(), 312, 0, "./curl")


def open_event(path: str = "/etc/cron.d/job", flags: int = 0o101, retval: int = 3) -> OpenEvent:
    file = File(USERS, path)
    file.mode = 0o100644
    file.change_time = NOW - 10**9
    return OpenEvent(NOW, lineage(), 311, retval, file, flags, 0o600, "job")


def holds(text: str, event: Optional[Event] = None, variables: Optional[Variables] = None) -> bool:
    return Compiler(TABLE, variables).compile(text).test(event or exec_event())


def refused(text: str, variables: Optional[Variables] = None) -> SeclError:
    with pytest.raises(SeclError) as caught:
        Compiler(TABLE, variables).compile(text)
    return caught.value


@pytest.mark.parametrize("text, wanted", [
    ('exec.file.path == "/usr/bin/curl"', True), ('exec.file.name in [~"cu*", "wget"]', True),
    ('exec.pid == 311 && exec.tid == 312', True), ('exec.ppid == 20', True), ('exec.argv0 == "curl"', True),
    ('exec.argv in ["out.txt"]', True), ('exec.args == "-o out.txt --head"', True), ('exec.args_flags == "head"', True),
    ('exec.args_options == "o=out.txt"', True), ('exec.argv[1] == "out.txt"', True), ('exec.argv[9] == ""', True),
    ('exec.syscall.path == "./curl"', True), ('exec.file.path.length == 13', True), ('exec.file.extension == ""', True),
    ('process.parent.file.name == "sh" && exec.pid > 0', True), ('process.parent.uid == 1000 && exec.pid > 0', True),
    ('process.ancestors.file.name == "init" && exec.pid > 0', True),
    ('process.ancestors.length == 2 && exec.pid > 0', True),
    ('process.ancestors.argv in ["-c"] && exec.pid > 0', True),
    ('process.ancestors.uid not in [ 1000 ] && exec.pid > 0', False),
    ('process.ancestors[A].pid == 20 && process.ancestors[A].uid == 1000 && exec.pid > 0', True),
    ('process.ancestors[A].pid == 1 && process.ancestors[A].uid == 1000 && exec.pid > 0', False),
    ('process.ancestors[X].argv == "-c" && exec.pid > 0', True), ('exec.created_at < 61s', True),
    ('exec.created_at > 1m', False),
    ('exec.created_at >= 1m', True), ('exec.auid == AUDIT_AUID_UNSET', True), ('exec.container.id == ""', True),
    ('container.created_at == 0 && exec.pid > 0', True), ('cgroup.id == "" && exec.pid > 0', True),
    ('event.os == "linux" && exec.pid > 0', True), ('event.origin == "ebpfless" && exec.pid > 0', True),
    ('event.timestamp == 1700000000000000000 && exec.pid > 0', True), ('event.async && exec.pid > 0', False),
    ('exec.envs == "A"', False), ('exec.user == ""', True), ('event.service == "" && exec.pid > 0', True),
    ('exec.pid in [1, 311]', True), ('exec.pid == process.pid', True), ('exec.pid - exec.ppid == 291', True),
    ('exec.comm == exec.file.name', True), ('exec.file.name in exec.argv', False), ('exec.argv not in exec.envp', True),
    ('"%{exec.comm}" == "curl" && exec.pid > 0', True), ('exec.comm in %{exec.argv}', False),
    ('"${process.pid}" == "311" && exec.pid > 0', True), ('${builtins.uuid4} != ${builtins.uuid4} && exec.pid > 0',
                                                          True),
    ('${builtins.uuid4.length} == 36 && exec.pid > 0', True),
])
def test_exec_fields(text: str, wanted: bool) -> None:
    assert holds(text) is wanted


@pytest.mark.parametrize("text, wanted", [
    ('exec.envs == "LD_PRELOAD"', True), ('exec.envs in [~"LD_PRELOAD=*/tmp/*", "x"]', True),
    ('exec.envs in [~"LD_PRELOAD=/tmp/*"]', False), ('exec.envs not in [~"LD_PRELOAD=*"]', False),
    ('exec.envs == "TOKEN"', True), ('exec.envs in [~"*secret*"]', False), ('exec.envp in [~"*secret*"]', True),
    ('process.ancestors.envs == "HISTSIZE=0" && exec.pid > 0', True), ('exec.envs == "PATH"', False),
])
def test_envs_are_names_and_the_values_of_the_noted_variables(text: str, wanted: bool) -> None:
    record = lineage()
    record.envp = ["TOKEN=secret", "LD_PRELOAD=/var/tmp/x.so", "PATHS=/bin", "strange"]
    assert record.parent is not None
    record.parent.envp = ["HISTSIZE=0"]
    assert holds(text, exec_event(record)) is wanted
    assert record.envs == ["TOKEN", "LD_PRELOAD", "PATHS", "strange"]


@pytest.mark.parametrize("text, wanted", [
    ('open.file.path =~ "/etc/cron.d/*"', True), ("open.flags & O_CREAT > 0", True),
    ("open.flags & (O_CREAT|O_WRONLY) == 0101", True),
    ("open.file.destination.mode == 0600", True), ("open.retval == 3", True), ("open.file.rights == 0644", True),
    ("open.file.mode & S_IFREG > 0", True), ("open.file.change_time < 2s", True), ('open.syscall.path == "job"', True),
    ("open.syscall.flags == open.flags", True), ('process.file.path == "/usr/bin/curl" && open.retval >= 0', True),
    ('open.file.path in ["/x", ~"/etc/**"]', True), ('open.file.path not in ["/x", ~"/etc/**"]', False),
])
def test_open_fields(text: str, wanted: bool) -> None:
    assert holds(text, open_event()) is wanted


def test_exit_fields() -> None:
    event = ExitEvent(NOW, lineage(), SIGNALED, 9)
    assert holds("exit.cause == SIGNALED && exit.code == SIGKILL", event)
    assert holds('exit.file.name == "curl" && exit.cause != EXITED', event)
    assert not holds("exit.cause == EXITED", event)
    assert holds("exit.code == 3", ExitEvent(NOW, lineage(), EXITED, 3))


def test_a_record_without_a_parent_reads_as_zero() -> None:
    event = exec_event(process(1, "/sbin/init"))
    assert holds('process.parent.file.path == "" && process.parent.pid == 0 && exec.pid == 1', event)
    assert holds('process.ancestors.file.name != "x" && exec.pid == 1', event)
    assert not holds("(process.ancestors[A].pid != 7 || true) && exec.pid == 1", event)


def test_every_available_field_evaluates_without_raising() -> None:
    """The generated code is total: on full and on bare records, for every field and register."""
    events: Dict[str, List[Event]] = {
        "exec": [exec_event(), exec_event(Process(USERS, 0, 0))], "open": [open_event(), open_event("", 0, -13)],
        "exit": [ExitEvent(NOW, lineage(), EXITED, 0), ExitEvent(NOW, Process(USERS, 0, 0), EXITED, 0)]}
    anchor = {"exec": "exec.pid >= 0", "open": "open.retval > -99", "exit": "exit.code >= 0",
              "setuid": "setuid.uid >= 0", "setgid": "setgid.gid >= 0", "capset": "capset.cap_permitted >= 0",
              "dns": "dns.id >= 0", "imds": 'imds.url != "x"', "cgroup_write": "cgroup_write.pid >= 0",
              "selinux": 'selinux.enforce.status != "x"', "sysctl": "sysctl.action >= 0"}
    for name in FULL:
        anchor.setdefault(name, name + ".retval > -99")
        makers = [Processes(USERS), Processes(USERS)]
        makers[1].apply((records.FORK, 1, 100, 100, 0))
        events[name] = [maker.apply(call_record(name, values, retval)) for maker in makers
                        for values, retval in ((FULL[name], 0), (bare(name), -13))]
    tests = {"bool": "{} == true", "int": "{} > 1", "string": '{} == "/a"', "bool[]": "{} == true", "int[]": "{} > 1",
             "ip": "{} == 10.0.0.0/8", "string[]": '{} in ["/a", "/b"]'}
    count = 0
    compiler = Compiler(TABLE)
    for field in TABLE.fields.values():
        if field.unavailable:
            continue
        names = [(field.name, field.kind)]
        if field.iterable:
            names.append((field.name.replace(field.iterable, field.iterable + "[R]", 1), field.element_kind))
        for name, kind in names:
            common = set(NETWORK_EVENTS) & set(events) if "network" in field.flags else events
            for event_type in [field.event] if field.event else sorted(common):
                compiled = compiler.compile(f"{tests[kind].format(name)} && {anchor[event_type]}")
                assert compiled.checked.unavailable == ()
                for event in events[event_type]:
                    assert compiled.test(event) in (True, False), name
                    count += 1
    assert count > 1000


def test_more_than_a_hundred_records_are_not_looked_at_through_a_register() -> None:
    record = process(1, "/first")
    for pid in range(2, 150):
        record = process(pid, "/bin/sh", (), record)
    event = exec_event(record)
    assert not holds('process.ancestors[A].file.path == "/first" && exec.pid > 0', event)
    assert holds('process.ancestors.file.path == "/first" && exec.pid > 0', event)


@pytest.mark.parametrize("text, reason, column, words", [
    ("exec.file.nam == \"x\"", "unknown_field", 1, "did you mean exec.file.name?"),
    ("exek.uid == 1", "unknown_field", 1, "did you mean exec?"),
    ("open.flags & O_CREATE > 0", "unknown_macro", 14, "did you mean O_CREAT?"),
    ("exec.uid == 1 && exec.uid == \"0\"", "type_mismatch", 27, "an integer with a text"),
    ("exec.uid == 1 && exec.comm", "type_mismatch", 18, "compare it"),
    ("not exec.uid == 1", "type_mismatch", 1, "binds tighter"),
    ("exec.uid == 1 && open.retval == 0", "mixed_event_types", 18, "open events"),
    ("process.uid == 0", "no_event", 13, "exec.file.path"),
    ('open.file.path == "etc"', "bad_path", 19, "relative"),
    ("exec.uid == ${procces.x}", "unknown_variable", 13, "no action sets"),
    ("network.size == 1 && exec.uid == 1", "restricted_field", 1, "dns, imds, packet"),
    ("exec.argv[x] == \"a\"", "iterator_misuse", 1, "index"),
    ("process.ancestors[A].length == 1 && exec.uid == 1", "iterator_misuse", 1, "record"),
    ("fim.write.file.path == \"/x\"", "unknown_field", 1, "fim"),
])
def test_mistakes_are_explained(text: str, reason: str, column: int, words: str) -> None:
    error = refused(text)
    assert (error.reason, error.line, error.column) == (reason, 1, column)
    assert words in error.message


def test_a_mistake_in_a_macro_is_shown_where_it_is_used() -> None:
    compiler = Compiler(TABLE)
    compiler.add_macro("PLACES", '["relative", "/absolute"]')
    assert compiler.compile("exec.comm in PLACES").checked.event_type == "exec"
    with pytest.raises(SeclError) as caught:
        compiler.compile("exec.uid == 1 && exec.file.path in PLACES")
    assert (caught.value.reason, caught.value.column) == ("bad_path", 36)


def test_constants_come_before_macros_except_after_in() -> None:
    compiler = Compiler(TABLE)
    compiler.add_macro("A", "[ 1, 2 ]")
    assert compiler.compile("exec.uid in A && exec.gid != A").test(exec_event()) is False
    record = lineage()
    record.credentials = record.credentials._replace(uid=2, gid=7)
    assert compiler.compile("exec.uid in A && exec.gid != A").test(exec_event(record)) is True


def test_macros_that_multiply_are_stopped() -> None:
    compiler = Compiler(TABLE)
    compiler.add_macro("M0", "exec.uid == 1 || exec.gid == 2")
    with pytest.raises(SeclError) as caught:
        for number in range(40):
            compiler.add_macro(f"M{number + 1}", f"(M{number} && M{number}) || exec.pid == {number}")
    assert caught.value.reason == "value_limit"


def test_macros_that_nest_are_stopped() -> None:
    compiler = Compiler(TABLE)
    compiler.add_macro("M0", "exec.uid == 1")
    with pytest.raises(SeclError) as caught:
        for number in range(400):
            compiler.add_macro(f"M{number + 1}", "!" * 30 + f"M{number}")
    assert caught.value.reason == "value_limit"


@pytest.mark.parametrize("unit", ["({} && exec.uid == 1 || exec.gid == 2)", "!({} && process.ancestors.pid == 1)",
                                  "({} && process.ancestors.args in [~\"a*b\", \"c\"]) == true"])
def test_what_the_parser_accepts_python_compiles(unit: str) -> None:
    """The deepest nesting must fit the parser of the oldest Python."""
    text, deepest = "exec.uid == 0", ""
    while True:
        try:
            Compiler(TABLE).compile(text).test(exec_event())
        except SeclError as error:
            assert "nested" in error.message
            break
        deepest, text = text, unit.format(text)
    assert deepest.count("(") > 10


def test_a_rule_may_have_many_constants() -> None:
    texts = ["/tmp/%d" % number for number in range(307)]
    rule = Compiler(TABLE).compile(" || ".join('open.file.path == "%s"' % text for text in texts))
    assert [rule.test(open_event(text)) for text in (texts[0], texts[-1], "/tmp/307")] == [True, True, False]


def test_fields_of_events_to_come_are_typed_and_named() -> None:
    compiled = Compiler(TABLE).compile('packet.filter == "x" && process.file.in_upper_layer')
    assert compiled.checked.event_type == "packet"
    assert compiled.checked.unavailable == ("event packet: a tracer does not see packets",
                                            "field process.file.in_upper_layer: mount information is not collected yet")
    assert refused('dns.question.name == 3').reason == "type_mismatch"


class Seen(Variables):
    """Variables with values that tests set."""

    def __init__(self) -> None:
        Variables.__init__(self, {"process.seen": ("string[]", ()), "limit": ("int", 0), "word": ("string", "")})
        self.values: Dict[str, object] = {}

    def read(self, name: str, event: object) -> object:
        return self.values.get(name, Variables.read(self, name, event))


def test_variables_are_read_when_the_rule_runs() -> None:
    variables = Seen()
    test = Compiler(TABLE, variables).compile(
        'exec.comm not in ${process.seen} && exec.pid > ${limit} && exec.argv0 != "${word}"').test
    assert test(exec_event())
    variables.values["limit"] = 500
    assert not test(exec_event())
    variables.values = {"process.seen": ["curl"]}
    assert not test(exec_event())
    variables.values = {"word": "curl"}
    assert not test(exec_event())


def test_case_is_ignored_where_the_table_says_so() -> None:
    test = Compiler(facts_table()).compile('dns.question.name in ["Mill.example", ~"*.KILN.example", r"^X"]').test
    assert [test(Facts({"dns.question.name": name})) for name in ("mill.EXAMPLE", "a.kiln.example", "xy", "mill")] == [
        True, True, True, False]


def test_addresses_match_when_they_overlap() -> None:
    test = Compiler(facts_table()).compile("connect.addr.ip in [10.0.0.0/8, 2001:db8::/32]").test
    assert [test(Facts({"connect.addr.ip": ip})) for ip in ("10.1.2.3", "2001:db8::9", "11.0.0.1", "::ffff:10.0.0.1",
                                                            "")] == [
        True, True, False, True, False]


def test_random_rules_compile_and_run_or_are_refused() -> None:
    """Neither the checker nor the generated code raises anything of its own."""
    source = random.Random(11)
    values = ["exec.uid", "exec.comm", "exec.file.path", "exec.argv", "exec.is_exec", "process.ancestors.pid", "true",
              "process.ancestors[A].argv", "process.ancestors[A].uid", "exec.created_at", "5s", "7", '"/a"', '~"/a*"',
              'r"a+"', "10.0.0.1", "${seen}", "${limit}", "${word}", "exec.argv[1]", "O_CREAT", "L", '"x${limit}"',
              "exec.user_session.ssh_client_ip", "process.ancestors.is_exec", "B", "open.flags", "exec.file.extension"]
    operators = ["==", "!=", "<", ">=", "=~", "!~", "in", "not in", "allin", "+", "-", "&", "|", "&&", "||"]
    lists = ["[1, 2]", '["/a", ~"/b*"]', "[ true ]", "[10.0.0.0/8]", "L", "${seen}", "exec.argv", "10.0.0.0/8", "B"]
    variables = Variables({"seen": ("string[]", ["a"]), "limit": ("int", 3), "word": ("string", "w")})
    compiler = Compiler(TABLE, variables)
    compiler.add_values("L", ["/a", "/b"])
    compiler.add_macro("B", "exec.uid == 0")
    events = [exec_event(), exec_event(Process(USERS, 0, 0))]
    ran = 0
    for _ in range(8000):
        parts = []
        for _ in range(source.randrange(1, 4)):
            operator = source.choice(operators)
            right = source.choice(lists if operator.endswith("in") else values)
            parts.append(source.choice(["", "!", "-"]) * (source.random() < 0.2)
                         + f"({source.choice(values)} {operator} {right})")
        try:
            test = compiler.compile(source.choice([" && ", " || "]).join(parts) + " && exec.pid >= 0").test
        except SeclError:
            continue
        ran += 1
        assert all(test(event) in (True, False) for event in events)
    assert ran > 200


@needs_reference
def test_every_published_field_has_its_name_type_and_event() -> None:
    with open(os.path.join(_REFERENCE, "fields.json"), encoding="utf-8") as file:
        published = json.load(file)
    common = ("process", "event", "network")
    wanted = {name: (row["type"].replace("IP/CIDR", "ip"), "" if row["event"] in common else row["event"])
              for name, row in published.items()}
    assert {name: (field.kind, field.event) for name, field in TABLE.fields.items()
            if "ours" not in field.flags} == wanted
    assert {name for name, row in published.items() if row["only"]} == {
        name for name, field in TABLE.fields.items() if "network" in field.flags}
    ours = EVENT_TYPES - {row["event"] for row in published.values()}
    assert EVENT_TYPES - ours == {row["event"] for row in published.values()} - set(common)
    assert all("ours" in field.flags for field in TABLE.fields.values() if field.event in ours)
    assert set(OWN_CALLS) <= ours


@needs_reference
def test_every_published_constant_has_its_value() -> None:
    with open(os.path.join(_REFERENCE, "constants.json"), encoding="utf-8") as file:
        assert json.load(file) == {name: value for name, value in CONSTANTS.items() if name not in OWN_CONSTANTS}


def test_every_old_spelling_leads_to_a_field_but_one() -> None:
    assert {old for old, name in TABLE.aliases.items() if name not in TABLE.fields} == {"exec.overlay_numlower"}
    assert len(TABLE.aliases) == 55
