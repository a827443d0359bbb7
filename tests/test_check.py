"""`ebpfless check` from outside: what it prints, its exit statuses, its JSON form, and cases."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any, Dict, List, Sequence

import pytest

from blackbox import REPOSITORY, Result, ebpfless, environment, run
from ebpfless_arch.rules.lint import NOTES, WARNINGS

_SHARED = REPOSITORY.parent / "shared" / "reference"
needs_reference = pytest.mark.skipif(not _SHARED.exists(), reason="the references are not beside the repository")
Entry = Dict[str, Any]

SOUND, UNSOUND, UNREADABLE = 0, 1, 2


def write(folder: Path, name: str, content: object) -> str:
    path = folder / name
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return str(path)


def policy(folder: Path, *rules: Entry, **more: object) -> str:
    return write(folder, "p.json", dict({"version": "3", "rules": list(rules)}, **more))


def check(*arguments: str, **options: Any) -> Result:
    result = run(ebpfless("check", *arguments), **options)
    assert b"Traceback" not in result.stderr
    return result


def lines(result: Result) -> List[str]:
    return result.stdout.decode("utf-8").splitlines()


def document(*arguments: str) -> Any:
    result = check("--format", "json", *arguments)
    assert result.stderr == b""
    return json.loads(result.stdout.decode("ascii"))


def complaint(result: Result, *words: str) -> None:
    """Nothing but one line on stderr, with all words, and exit status 2."""
    text = result.stderr.decode("utf-8", "backslashreplace")
    assert (result.status, result.stdout) == (UNREADABLE, b""), text
    assert len(text.splitlines()) == 1 and all(word in text for word in words), text


BAD: Entry = {"id": "bad", "expression": 'exec.uid == 0 &&\n\texec.fil.path == "/x"'}
GOOD: Entry = {"id": "good", "expression": "exec.uid == 0"}


def test_an_error_has_its_place_and_a_caret(tmp_path: Path) -> None:
    path = policy(tmp_path, BAD, GOOD)
    result = check(path)
    assert (result.status, result.stderr) == (UNSOUND, b"")
    assert lines(result)[:3] == [
        f"{path}: rule 'bad': 2:2: error: unknown field exec.fil.path; did you mean exec.file.path? [unknown_field]",
        '    \texec.fil.path == "/x"', "    \t^"]
    assert lines(result)[-1] == "1 error, 0 warnings, 0 notes"


@pytest.mark.parametrize("entry, reason, words", [
    ({"id": "a b", "expression": "exec.uid == 0"}, "error", "letters, digits"),
    ({"id": "x", "expression": "exec.uid == "}, "syntax_error", "expected"),
    ({"id": "x", "expression": 'exec.uid == "root"'}, "type_mismatch", "an integer with a text"),
    ({"id": "x", "expression": "exec.uid == ROOT"}, "unknown_macro", "no macro, constant or field"),
    ({"id": "x", "expression": 'unlink.file.path == "/x" && retval == 13'}, "unknown_macro", "did you mean unlink.retval?"),
    ({"id": "x", "expression": "uid == 0 && exec.pid == 7"}, "unknown_macro", "did you mean process.uid?"),
    ({"id": "x", "expression": 'request == 16 && ptrace.tracee.uid == 7'}, "unknown_macro", "as in ptrace.request"),
    ({"id": "x", "expression": "exec.retval == EACCESS"}, "unknown_field", "unknown field exec.retval"),
    ({"id": "x", "expression": "open.retval == EACCESS"}, "unknown_macro", "did you mean EACCES?"),
    ({"id": "x", "expression": "exec.uid == ${x}"}, "unknown_variable", "no action sets the variable x"),
    ({"id": "x", "expression": 'exec.file.name == r"(?=x)"'}, "bad_regex", ""),
    ({"id": "x", "expression": "process.uid == 0"}, "no_event", "no field of an event"),
])
def test_every_mistake_has_its_class_and_what_was_expected(entry: Entry, reason: str, words: str,
                                                           tmp_path: Path) -> None:
    path = policy(tmp_path, entry, GOOD)
    found = document(path)
    (error,) = found["errors"]
    assert (error["file"], error["what"], error["id"], error["reason"]) == (path, "rule", entry["id"], reason)
    assert words in error["message"]
    assert [rule["id"] for rule in found["rules"]] == ["good"]
    assert check(path).status == UNSOUND


def test_warnings_do_not_change_the_status(tmp_path: Path) -> None:
    path = policy(tmp_path, {"id": "mix", "expression": "exec.uid == 0 && exec.gid == 0 || exec.pid == 1"})
    result = check(path)
    assert result.status == SOUND
    assert lines(result)[0] == (
        f"{path}: rule 'mix': 1:32: warning: && and || have one precedence and group to the right; this is read as "
        "exec.uid == 0 && (exec.gid == 0 || exec.pid == 1) [mixed_connectives]")
    assert lines(result)[-1] == "0 errors, 1 warning, 0 notes"


def test_notes_are_shown_on_request(tmp_path: Path) -> None:
    path = policy(tmp_path, {"id": "one", "expression": 'exec.file.name in ["sh"]'})
    assert lines(check(path))[-1] == "0 errors, 0 warnings, 1 note (--verbose shows them)"
    verbose = lines(check("--verbose", path))
    assert f"{path}: rule 'one': 1:19: note: a list of one member; this is exec.file.name == \"sh\" " \
           "[single_member]" in verbose
    assert verbose[-1] == "0 errors, 0 warnings, 1 note"


INACTIVE: List[Entry] = [
    {"id": "off", "expression": "exec.uid == 0", "disabled": True},
    {"id": "windows", "expression": "exec.uid == 0", "filters": ['os == "windows"']},
    {"id": "old", "expression": "exec.uid == 0", "agent_version": "< 7.1"},
    {"id": "packets", "expression": "packet.size > 0"},
    {"id": "more_packets", "expression": "packet.size > 1"},
]


def test_inactive_rules_are_grouped_by_reason(tmp_path: Path) -> None:
    path = policy(tmp_path, GOOD, *INACTIVE)
    result = check(path)
    assert result.status == SOUND
    told = lines(result)
    at = told.index("inactive  5 rules: filtered 2, unavailable 2, disabled 1; --verbose names them")
    assert [line.split(None, 1) for line in told[at + 1:at + 5]] == [
        ["2", "a tracer does not see packets: packet 2"], ["1", "disabled in the policy"], ["1", "for other hosts"],
        ["1", "for other versions of the agent"]]
    assert told[0] == "active    1 rule: exec 1"
    verbose = lines(check("--verbose", path))
    assert [line for line in verbose if "'old'" in line] == [f"{path}: rule 'old': filtered: agent_version < 7.1"]
    for entry in INACTIVE:
        assert any(f"'{entry['id']}'" in line for line in verbose), entry


def test_the_summary_counts_rules_fields_and_actions(tmp_path: Path) -> None:
    actions = [{"log": {"level": "info"}}, {"set": {"name": "v", "value": 1}, "filter": "exec.uid == 0"}]
    path = policy(tmp_path, dict(GOOD, actions=actions), {"id": "two", "expression": "exec.gid == 0 && exec.uid == 1"},
                  {"id": "three", "expression": 'open.file.name == "x"'}, BAD)
    told = lines(check(path))
    assert "active    3 rules: exec 2, open 1" in told
    assert "fields    3" in told
    assert "actions   2: log 1, set 1" in told


def test_actions_that_are_left_out_are_not_counted(tmp_path: Path) -> None:
    actions = [{"kil": {"signal": "SIGKILL"}}, {"kill": {"signal": "SIGFOO"}}, {"kill": {"signal": "SIGTERM"}},
               {"coredump": {"process": True}}]
    told = lines(check(policy(tmp_path, dict(GOOD, actions=actions))))
    assert "actions   2: coredump 1, kill 1" in told
    assert told[-1] == "2 errors, 1 warning, 0 notes"


def test_a_rule_on_file_changes_counts_as_one(tmp_path: Path) -> None:
    actions = [{"log": {"level": "info"}}, {"coredump": {"process": True}}]
    path = policy(tmp_path, GOOD, {"id": "fim", "expression": 'fim.write.file.path == "/x"', "actions": actions},
                  {"id": "off", "expression": 'fim.write.file.path == "/x"', "disabled": True})
    told = lines(check("--explain", path))
    for line in ("active    2 rules: exec 1, fim.write 1", "actions   2: coredump 1, log 1", "idle      1 action; --verbose names them",
                 "inactive  1 rule: disabled 1; --verbose names them"):
        assert line in told, line
    assert {"fim (open): ", "fim (unlink): "} <= {line.partition("): ")[0] + "): " for line in told}
    assert not any("__fim" in line or "shared" in line for line in told)
    (stops,) = [line for line in told if line.startswith("stops ")]
    assert " for 2 rules: " in stops
    found = document(path)
    assert [(rule["id"], rule["event"]) for rule in found["rules"]] == [("good", "exec"), ("fim", "fim.write")]
    assert [(one["id"], one["status"]) for one in found["inactive"]] == [("off", "disabled")]


def test_the_json_form_has_the_keys_that_are_documented(tmp_path: Path) -> None:
    path = policy(tmp_path, dict(GOOD, actions=[{"log": {"level": "info"}}]), BAD, INACTIVE[0],
                  {"id": "mix", "expression": "exec.uid == 0 && exec.gid == 0 || exec.pid == 1"},
                  macros=[{"id": "M", "values": ["a*"]}])
    found = document(path)
    assert set(found) == {"policies", "rules", "errors", "warnings", "inactive", "idle_actions", "summary"}
    assert found["policies"] == [{"file": path, "name": "p", "version": "3", "rules": 4, "macros": 1}]
    assert found["rules"] == [{"file": path, "id": "good", "event": "exec"},
                              {"file": path, "id": "mix", "event": "exec"}]
    assert found["errors"] == [{
        "file": path, "what": "rule", "id": "bad", "line": 2, "column": 2, "reason": "unknown_field",
        "message": "unknown field exec.fil.path; did you mean exec.file.path?",
        "excerpt": '\texec.fil.path == "/x"\n\t^'}]
    assert [(one["level"], one["check"], one["what"], one["id"], one["part"], one["line"], one["column"])
            for one in found["warnings"]] == [("warning", "literal_star", "macro", "M", "values", 0, 0),
                                              ("warning", "mixed_connectives", "rule", "mix", "expression", 1, 32)]
    assert set(found["warnings"][0]) == {"level", "check", "file", "what", "id", "part", "line", "column", "message"}
    assert found["inactive"] == [{"file": path, "id": "off", "status": "disabled", "reason": "disabled in the policy"}]
    assert found["summary"] == {
        "active": 2, "by_event": {"exec": 2}, "inactive": {"disabled": 1}, "actions": {"log": 1},
        "fields": ["exec.gid", "exec.pid", "exec.uid"], "deny": {"rules": 0, "at_entry": 0}, "errors": 1, "warnings": 2, "notes": 0}


def denying(name: str, expression: str, *actions: Entry) -> Entry:
    return {"id": name, "expression": expression, "actions": list(actions or [{"deny": {}}])}


def test_a_deny_that_comes_too_late_is_told(tmp_path: Path) -> None:
    path = policy(
        tmp_path, denying("path", 'open.file.path == "/x"'), denying("made", 'open.file.path == "/x" && open.file.uid == 0'),
        denying("filter", 'open.file.path == "/x"', {"deny": {}, "filter": "open.retval >= 0"}), GOOD)
    result = check(path)
    assert result.status == SOUND
    told = lines(result)
    assert "deny      3 rules, 1 can be decided at entry" in told
    warned = [line for line in told if "[late_deny]" in line]
    assert warned == [f"{path}: rule '{name}': actions: warning: action deny: {field} is known only when the call is "
                      "over: the call is not refused, only reported [late_deny]"
                      for name, field in (("made", "open.file.uid"), ("filter", "open.retval"))]
    found = document(path)
    assert found["summary"]["deny"] == {"rules": 3, "at_entry": 1}
    assert [(one["check"], one["id"]) for one in found["warnings"]] == [("late_deny", "made"), ("late_deny", "filter")]
    assert [(one["id"], one["status"]) for one in found["idle_actions"]] == [("made", "late"), ("filter", "late")]


def test_a_rule_on_file_changes_denies_as_one_rule(tmp_path: Path) -> None:
    path = policy(tmp_path, denying("fim", 'fim.write.file.path == "/x"'),
                  denying("by_owner", "fim.write.file.uid == 0 && process.uid == 7"))
    told = lines(check(path))
    assert "deny      2 rules, 1 can be decided at entry" in told
    assert [line.partition("deny: ")[2].partition(" is ")[0] for line in told if "[late_deny]" in line] == [
        "open.file.uid", "rename.file.destination.uid"]


def test_keys_that_mean_nothing_are_told(tmp_path: Path) -> None:
    path = policy(tmp_path, dict(GOOD, action=[], tags={"any": "x"}), dict(GOOD, id="two", actions=[
        {"deny": {"erno": "EACCES"}, "filtre": "x"}, {"log": {"level": "info", "mesage": "x"}},
        {"coredump": {"process": True}}]), macros=[{"id": "M", "values": ["a"], "value": []}])
    result = check(path)
    assert result.status == SOUND
    rest = "and has no effect; did you mean"
    assert [line for line in lines(result) if "[unknown_key]" in line] == [
        f"{path}: macro 'M': keys: warning: 'value' is no key of a macro {rest} values? [unknown_key]",
        f"{path}: rule 'good': keys: warning: 'action' is no key of a rule {rest} actions? [unknown_key]",
        f"{path}: rule 'two': action 1: warning: 'erno' is no key of deny {rest} errno? [unknown_key]",
        f"{path}: rule 'two': action 1: warning: 'filtre' is no action {rest} filter? [unknown_key]",
        f"{path}: rule 'two': action 2: warning: 'mesage' is no key of log {rest} message? [unknown_key]"]


def test_every_check_and_key_is_in_the_guide(tmp_path: Path) -> None:
    guide = (REPOSITORY / "docs" / "check.md").read_text("utf-8")
    for check_function in WARNINGS + NOTES:
        assert f"| `{check_function.__name__}`" in guide, check_function.__name__
    found = document(policy(tmp_path, GOOD))
    for key in list(found) + list(found["summary"]):
        assert f"`{key}`" in guide, key


def test_several_policies_and_directories(tmp_path: Path) -> None:
    write(tmp_path, "default.policy.json", {"rules": [GOOD]})
    write(tmp_path, "z.json", {"rules": [{"id": "more", "expression": "exec.gid == 0"}]})
    found = document(str(tmp_path))
    assert [one["id"] for one in found["rules"]] == ["good", "more"]
    again = document(str(tmp_path / "default.policy.json"), str(tmp_path / "z.json"))
    assert again["rules"] == found["rules"]


@pytest.mark.parametrize("content, words", [
    (None, ["No such file"]), ("{", [":1:2:", "not JSON"]), ("[]", []), ({"rules": 3}, ["rules"])])
@pytest.mark.parametrize("options", [[], ["--format", "json"]])
def test_a_file_that_cannot_be_used(content: object, words: List[str], options: List[str], tmp_path: Path) -> None:
    path = str(tmp_path / "p.json")
    if content is not None:
        write(tmp_path, "p.json", content)
    complaint(check(*options, path), path, *words)


@pytest.mark.parametrize("arguments, words", [
    ([], ["no policy"]), (["--format", "xml", "p"], ["xml"]), (["--verbos", "p"], ["--verbose"]),
    (["p.json", "--format", "json"], ["p.json"]), (["--cases"], ["--cases"])])
def test_wrong_usage(arguments: Sequence[str], words: List[str], tmp_path: Path) -> None:
    complaint(check(*arguments, cwd=str(tmp_path)), *words)


def test_an_option_behind_the_policy_is_explained(tmp_path: Path) -> None:
    complaint(check(policy(tmp_path, GOOD), "--verbose"), "--verbose", "before the policies")


def test_help_begins_with_an_example_and_fits() -> None:
    result = check("--help", env=environment(COLUMNS="80"))
    assert lines(result)[0] == "Example: ebpfless check my-policy.json"
    assert max(len(line) for line in lines(result)) <= 80
    assert all(word in result.stdout.decode() for word in ("--cases FILE", "--format", "--verbose", "Exit status"))


def test_whatever_a_policy_holds_the_lines_stay_lines(tmp_path: Path) -> None:
    path = write(tmp_path, "p.json", '{"rules": [{"id": "x", "expression": "open.file.path == \\"\\u001b[31m\\ud800\\n'
                                     '\\u00fc\\""}, {"id": "y\\u001b", "expression": "exec.uid == 0"}]}')
    for environ in (environment(LC_ALL="C", PYTHONIOENCODING="ascii"), environment(PYTHONIOENCODING="utf-8")):
        result = check(path, env=environ)
        assert result.status == UNSOUND and result.stderr == b""
        assert b"\x1b" not in result.stdout and b"2 errors" in result.stdout
    assert len(document(path)["errors"]) == 2


def test_an_output_that_fails_is_no_traceback(tmp_path: Path) -> None:
    path = policy(tmp_path, BAD)
    command = "%s -m ebpfless check %s" % (ebpfless()[0], path)
    full = run(["bash", "-c", command + " >/dev/full"])
    complaint(full, "No space left")
    closed = run(["bash", "-c", "%s >&-" % command])
    assert (closed.status, closed.stderr) == (UNSOUND, b"")
    reader, writer = os.pipe()
    os.close(reader)
    process = subprocess.Popen(ebpfless("check", path), stdout=writer, stderr=subprocess.PIPE, env=environment())
    os.close(writer)
    assert (process.communicate()[1], process.returncode) == (b"", UNSOUND)


@needs_reference
def test_the_published_policy_is_sound() -> None:
    path = str(_SHARED / "datadog" / "default.policy.json")
    result = check(path)
    assert result.status == SOUND and len(lines(result)) < 60
    summary = document(path)["summary"]
    assert summary["errors"] == 0 and summary["warnings"] < 20
    assert summary["active"] >= 100


# Cases

def case_of(**more: object) -> Entry:
    return dict({"expr": "exec.uid == 0", "match": True}, **more)


@needs_reference
def test_the_cases_of_the_reference() -> None:
    result = check("--cases", str(_SHARED / "secl" / "cases.json"))
    assert (result.status, result.stdout, result.stderr) == (SOUND, b"384 cases, 0 differ\n", b"")


def test_cases_that_differ_are_shown(tmp_path: Path) -> None:
    path = write(tmp_path, "c.json", [
        case_of(), case_of(event={"exec.uid": 5}, why="five is not zero"), case_of(reject="type_mismatch", why="sound"),
        {"expr": "exec.uid ==\n'x'", "match": False}, case_of(event={"exec.uid": 5}, match=False)])
    # A case has one of match and reject.
    complaint(check("--cases", path), "case 3", "match")
    cases = json.loads(Path(path).read_text())
    del cases[2]["match"]
    result = check("--cases", write(tmp_path, "c.json", cases))
    assert (result.status, result.stderr) == (UNSOUND, b"")
    assert lines(result) == [
        "case 2: expected true, got false (five is not zero)", "    exec.uid == 0",
        "case 3: expected type_mismatch, got true (sound)", "    exec.uid == 0",
        "case 4: expected false, got syntax_error", "    exec.uid == 'x'", "5 cases, 3 differ"]
    found = document("--cases", path)
    assert (found["cases"], found["errors"], len(found["differ"])) == (5, 0, 3)
    assert found["differ"][0] == {"index": 2, "subject": "exec.uid == 0", "why": "five is not zero",
                                  "expected": "true", "got": "false"}


RULES: List[Entry] = [
    {"id": "shadow", "expression": 'open.file.path in SECRETS && open.flags & O_CREAT == 0'},
    {"id": "changed", "expression": 'fim.write.file.path == "/etc/hosts"', "group_id": "g"},
    {"id": "seen", "expression": "exec.pid not in ${seen} && exec.uid == 0", "actions": [
        {"set": {"name": "seen", "field": "exec.pid", "append": True}}]},
    {"id": "removed", "expression": 'unlink.file.name == "x" && event.rule.tags == "team:mill"',
     "tags": {"team": "mill"}},
    {"id": "off", "expression": "exec.uid == 0", "disabled": True},
]
MACROS: List[Entry] = [{"id": "SECRETS", "expression": '["/etc/shadow", ~"/etc/ssl/private/**"]'}]
RULE_CASES: List[Entry] = [
    {"rule": "shadow", "event": {"open.file.path": "/etc/ssl/private/key"}, "match": True},
    {"rule": "shadow", "event": {"open.file.path": "/etc/passwd"}, "match": False},
    {"rule": "shadow", "event": {"open.file.path": "/etc/shadow", "open.retval": -13}, "match": True},
    {"rule": "shadow", "event": {"open.file.path": "/etc/shadow", "open.retval": -2}, "match": False},
    {"rule": "changed", "event": {"rename.file.destination.path": "/etc/hosts"}, "match": True},
    {"rule": "changed", "event": {"rename.file.path": "/etc/hosts"}, "match": True},
    {"rule": "changed", "event": {"open.file.path": "/etc/hosts"}, "match": False},
    {"rule": "changed", "event": {"open.file.path": "/etc/hosts", "open.flags": 1}, "match": True},
    {"rule": "seen", "event": {"exec.pid": 5}, "match": True},
    {"rule": "seen", "event": {"exec.pid": 5}, "vars": {"seen": [4, 5]}, "match": False},
    {"rule": "seen", "event": {"unlink.file.name": "x"}, "match": False},
    {"rule": "removed", "event": {"unlink.file.name": "x"}, "match": True},
    {"expr": "exec.file.path in SECRETS", "event": {"exec.file.path": "/etc/shadow"}, "match": True},
    {"expr": "exec.pid in ${seen}", "match": False},
]


def test_the_rules_of_a_policy_are_tried(tmp_path: Path) -> None:
    rules = policy(tmp_path, *RULES, macros=MACROS)
    result = check("--cases", write(tmp_path, "c.json", RULE_CASES), rules)
    assert (result.stdout.decode(), result.status) == ("14 cases, 0 differ\n", SOUND)


def test_every_case_of_a_rule_can_fail(tmp_path: Path) -> None:
    rules = policy(tmp_path, *RULES, macros=MACROS)
    turned = [dict(case, match=not case["match"]) for case in RULE_CASES]
    found = document("--cases", write(tmp_path, "c.json", turned), rules)
    assert [one["index"] for one in found["differ"]] == list(range(1, 15))


def test_a_rule_that_does_not_run_differs_with_the_reason(tmp_path: Path) -> None:
    rules = policy(tmp_path, *RULES, macros=MACROS)
    result = check("--cases", write(tmp_path, "c.json", [{"rule": "off", "match": False}]), rules)
    assert result.status == UNSOUND
    assert lines(result)[0] == "case 1: expected false, got disabled (disabled in the policy)"


def test_mistakes_of_the_policy_count_and_can_be_expected(tmp_path: Path) -> None:
    rules = policy(tmp_path, BAD)
    result = check("--cases", write(tmp_path, "c.json", [{"rule": "bad", "reject": "unknown_field"}]), rules)
    assert result.status == UNSOUND
    assert "rule 'bad': 2:2: error" in lines(result)[0] and lines(result)[-1] == "1 case, 0 differ"


@pytest.mark.parametrize("cases, words", [
    ("{", [":1:2:", "not JSON"]), ("[" + "9" * 5000 + "]", []), ("[" * 100000, ["nested"]), ({}, ["JSON list"]), ([3], ["case 1", "object"]),
    ([case_of(), {"match": True}], ["case 2", '"expr" or "rule"']),
    ([{"expr": "x"}], ["case 1", '"match" or "reject"']),
    ([case_of(rule="x")], ["case 1"]), ([case_of(expr=3)], ["texts"]), ([case_of(match="true")], ["true or false"]),
    ([case_of(evnt={})], ["evnt", "did you mean event?"]), ([case_of(event=[])], ["event is an object"]),
    ([case_of(event={"exec.uuid": 3})], ["case 1", "exec.uuid", "did you mean exec.uid?"]),
    ([case_of(event={"exec.uid": "root"})], ["exec.uid is an integer"]),
    ([case_of(event={"exec.uid": True})], ["exec.uid is an integer"]),
    ([case_of(event={"exec.argv": "x"})], ["exec.argv is a list of texts"]),
    ([case_of(event={"process.filename": "x"})], ["old spelling of process.file.path"]),
    ([case_of(event={"process.ancestors": [{"uid": "x"}]})], ["process.ancestors.uid is an integer"]),
    ([case_of(event={"process.ancestors": {}})], ["process.ancestors is a list"]),
    ([case_of(event={"symlinks": ["/x"]})], ["symlinks"]),
    ([case_of(vars={"x": None})], ["the variable x"]), ([case_of(vars=[])], ["vars"]),
    ([case_of(macros=[{"id": "X"}])], ["macro"]), ([case_of(macros={})], ["macros"]),
    ([{"rule": "good", "match": True}], ["case 1", "needs its policy"]),
    ([], ["there is no case in it, so nothing would be tested"]),
])
def test_a_bad_file_of_cases(cases: object, words: List[str], tmp_path: Path) -> None:
    path = write(tmp_path, "c.json", cases)
    complaint(check("--cases", path), path, *words)


def test_a_missing_file_of_cases(tmp_path: Path) -> None:
    complaint(check("--cases", str(tmp_path / "none")), "none", "No such file")


def test_a_case_for_a_rule_that_is_not_there(tmp_path: Path) -> None:
    cases = write(tmp_path, "c.json", [{"rule": "goood", "match": True}])
    complaint(check("--cases", cases, policy(tmp_path, GOOD)), "case 1", "goood", "did you mean good?")


def test_nothing_is_left_behind(tmp_path: Path) -> None:
    cases = write(tmp_path, "c.json", [case_of()])
    result = check("--cases", cases, env=environment(TERM="xterm", HOME=str(tmp_path)), cwd=str(tmp_path))
    assert result.stdout == b"1 case, 0 differ\n"
    assert os.listdir(str(tmp_path)) == ["c.json"]
