"""The built-in policy: every rule matches what it is for and misses what is next to it; ordinary work is silent.

The cases run under one `trace`, in a mount namespace of their own: what they read and write is never the host's.
"""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any, Dict, Iterator, List, Set, Tuple

import pytest

from blackbox import REPOSITORY, Compiler, ebpfless, environment, read_events, run, trace_command
from default_policy_cases import CASES, FILES, WORKS, Case, Work

POLICY = REPOSITORY / "ebpfless_arch" / "rules" / "default.json"
SEVERITIES = ("critical", "high", "medium", "low", "info")
CONTAINER = "c0" * 32
SCRIPT = re.compile(r"/srv/case/([\w-]+)\.(match|miss)$")

# Mounts of a new namespace, in the shell's words; $1 is the folder with the cases, $2 the actor, the rest is run.
WORLD = r"""
set -eu
folder=$1 actor=$2; shift 2
below() {  # a directory that may be written, with the subdirectories that it has
    mkdir -p "$folder/kept$1"
    mount --rbind "$1" "$folder/kept$1"
    mount -t tmpfs none "$1"
    for old in "$folder/kept$1"/*/; do
        if [ -d "$old" ]; then name=$1/$(basename "$old"); mkdir "$name"; mount --rbind "$old" "$name"; fi
    done
}
cp -a /etc "$folder/etc"
mount --bind "$folder/etc" /etc
for new in /run /var/spool /var/log /dev/shm; do mount -t tmpfs none "$new"; done
below /home
below /srv
mkdir /srv/case
mount --bind "$folder/case" /srv/case
for name in /usr/bin/dpkg /usr/bin/passwd /usr/sbin/sysctl; do
    cp "$actor" "$folder/$(basename $name)"; mount --bind "$folder/$(basename $name)" "$name"
done
while read -r name; do mkdir -p "$(dirname "$name")"; [ -e "$name" ] || : > "$name"; done < "$folder/files"
cd /srv/case
exec "$@"
"""


def policy() -> Dict[str, Any]:
    """The built-in policy as its file has it."""
    found = json.loads(POLICY.read_text())
    assert isinstance(found, dict)
    return found


RULES: List[Dict[str, Any]] = policy()["rules"]
NAMED_CASES: List[Tuple[str, Case]] = [("%s-%d" % (case.rule, number), case) for number, case in enumerate(CASES)]


# --- what the file says ------------------------------------------------------------


def test_the_policy_has_no_mistake_and_all_of_it_is_active() -> None:
    result = run(ebpfless("check", str(POLICY)))
    told = result.stdout.decode()
    assert result.status == 0 and "%d rules" % len(RULES) in told and "0 errors, 0 warnings" in told, told


def test_every_rule_has_its_cases() -> None:
    assert {case.rule for case in CASES} == {rule["id"] for rule in RULES}
    assert len(RULES) >= 45


def test_every_macro_is_used() -> None:
    expressions = [rule["expression"] for rule in RULES]
    for macro in policy()["macros"]:
        assert any(re.search(r"\b%s\b" % macro["id"], text) for text in expressions), macro["id"]


@pytest.mark.parametrize("rule", RULES, ids=[rule["id"] for rule in RULES])
def test_a_rule_says_what_and_how_bad(rule: Dict[str, Any]) -> None:
    assert set(rule) == {"id", "description", "expression", "tags", "product_tags"}
    assert rule["tags"]["severity"] in SEVERITIES
    assert rule["description"][0].isupper() and not rule["description"].endswith(".")
    kinds = [tag.partition(":")[0] for tag in rule["product_tags"]]
    assert {"tactic", "technique"} == set(kinds)
    for tag in rule["product_tags"]:
        assert re.match(r"(tactic:TA\d{4}|technique:T\d{4}(\.\d{3})?)-[a-z0-9]+(-[a-z0-9]+)*$", tag), tag


def test_no_rule_leans_on_the_precedence_of_and_and_or() -> None:
    """SECL has one level for both, so a mixture without parentheses rarely means what it says."""
    for rule in RULES:
        text = re.sub(r'"(\\.|[^"\\])*"', "", rule["expression"])
        assert text.count("(") == text.count(")"), rule["id"]
        while "(" in text:
            inner = re.findall(r"\(([^()]*)\)", text)
            assert not any("&&" in part and "||" in part for part in inner), rule["id"]
            text = re.sub(r"\([^()]*\)", "", text)
        assert not ("&&" in text and "||" in text), rule["id"]


# --- what it does ------------------------------------------------------------------


@pytest.fixture(scope="module")
def container() -> Iterator[str]:
    """A cgroup whose name makes it a container's."""
    for hierarchy in ("", "unified", "systemd", "pids", "cpu"):
        folder = os.path.join("/sys/fs/cgroup", hierarchy, CONTAINER)
        if not os.path.exists(os.path.join(os.path.dirname(folder), "cgroup.procs")):
            continue
        try:
            os.mkdir(folder)
        except OSError:
            continue
        yield folder
        os.rmdir(folder)
        return
    pytest.skip("needs a cgroup hierarchy that may be written")


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory, compile_c: Compiler, container: str) -> Set[Tuple[str, str, str]]:
    """What the cases led to: (the case's name, match or miss, the rule that was reported)."""
    if subprocess.call(["unshare", "--mount", "true"], stderr=subprocess.DEVNULL) != 0:
        pytest.skip("needs mount namespaces")
    folder = tmp_path_factory.mktemp("world")
    actor = compile_c("actor.c")
    write_cases(folder / "case", actor, container)
    (folder / "files").write_text("".join(name + "\n" for name in FILES))
    output = folder / "detections"
    output.write_text("")
    traced = trace_command(["sh", "./all"], ["--format", "json", "--output", str(output), "--verbose"])
    enter = ["unshare", "--mount", "--propagation", "private", "sh", "-c", WORLD, "world", str(folder), actor]
    result = run(enter + traced,
                 env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "PYTHONPATH": str(REPOSITORY), "LC_ALL": "C"})
    assert (result.status, result.stdout) == (0, b""), result.stderr
    assert b" 0 records lost, 0 errors" in result.stderr, result.stderr
    return {place(event) + (event["agent"]["rule_id"],) for event in read_events(str(output))}


def write_cases(folder: Path, actor: str, container: str) -> None:
    """The scripts, one that runs them all, and copies of the actor under every name that they use."""
    (folder / "bin").mkdir(parents=True)
    (folder / "contain").write_text('echo $$ > "%s/cgroup.procs"\n' % container)
    names = {"actor"}
    for name, case in NAMED_CASES:
        for kind, text in (("match", case.match), ("miss", case.miss)):
            (folder / (name + "." + kind)).write_text(text + "\n")
            names.update(re.findall(r"(?<![\w/])bin/([\w.+-]+)", text))
    for name in names:
        shutil.copy(actor, str(folder / "bin" / name))
    (folder / "all").write_text("for script in /srv/case/*.match /srv/case/*.miss; do\n"
                                "    sh $script </dev/null >/dev/null 2>&1\ndone\ntrue\n")


def place(event: Dict[str, Any]) -> Tuple[str, str]:
    """The script in which a detection was made."""
    lineage = [event["process"]] + event["process"].get("ancestors", [])
    scripts = [SCRIPT.match(word) for record in lineage for word in record["args"]]
    matches = [match.group(1, 2) for match in scripts if match]
    assert matches, "a detection outside of all cases: {}".format(event["agent"]["rule_id"])
    return matches[0][0], matches[0][1]


@pytest.mark.root
@pytest.mark.parametrize("name, case", NAMED_CASES, ids=[name for name, _ in NAMED_CASES])
def test_a_rule_matches(name: str, case: Case, found: Set[Tuple[str, str, str]]) -> None:
    assert (name, "match", case.rule) in found


@pytest.mark.root
@pytest.mark.parametrize("name, case", NAMED_CASES, ids=[name for name, _ in NAMED_CASES])
def test_a_rule_misses_what_is_next_to_it(name: str, case: Case, found: Set[Tuple[str, str, str]]) -> None:
    assert (name, "miss", case.rule) not in found


# --- silence -----------------------------------------------------------------------


SEARCH = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"]
                         + sorted(map(str, Path("/usr/lib/postgresql").glob("*/bin")))[-1:])


@pytest.mark.parametrize("work", WORKS, ids=[work.name for work in WORKS])
def test_ordinary_work_is_silent(work: Work, public_dir: Path) -> None:
    """As a job of a build service, which says that it is one; the last command shows that somebody listens."""
    for program in work.needs.split():
        if shutil.which(program, path=SEARCH) is None:
            pytest.skip("needs " + program)
    if work.name == "postgres" and os.geteuid() != 0:
        pytest.skip("needs root, to run a server as somebody else")
    output = public_dir / "detections"
    (public_dir / "work").mkdir()
    (public_dir / "script").write_text("set -e\n%s\nsh -c 'history -c' || true\n" % work.script)
    result = run(trace_command(["sh", "../script"], ["--wait-all", "--format", "json", "--output", str(output)]),
                 cwd=str(public_dir / "work"), env=environment(CI="true", PATH=SEARCH))
    assert result.status == 0, result.stderr.decode()
    detections = [(event["agent"]["rule_id"], event["process"]["args"]) for event in read_events(str(output))]
    assert detections == [("history_removed", ["-c", "history -c"])]
