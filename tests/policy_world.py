"""Runs the cases of a policy: for each rule a script that has to make it match, and the nearest one that must not.

All scripts of the chosen tests run under one `trace`, in a mount namespace of their own: what they read and write is never the host's.
There /etc, /home, /srv, /run, /boot, /var/spool, /var/log and /dev/shm may be written, and the working directory has
bin/NAME for every NAME that a script mentions, all copies of tests/programs/actor.c, and do/NAME, copies of deeds.c.
Each script has to succeed, or the case would prove nothing; what may fail in it is followed by `|| true`.
`. ./contain` moves a script's shell into a container of its own, `box=N; . ./contain` into one that others share.
"""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any, Dict, Iterator, List, NamedTuple, Sequence, Set, Tuple

import pytest

from blackbox import FOLDER, Compiler, is_detection, read_events, run, trace_command

_SCRIPT = re.compile(r"/srv/case/([\w-]+)\.(match|miss)$")
_PROGRAMS = {"bin": "actor.c", "do": "deeds.c"}

# Mounts of a new namespace, in the shell's words; $1 is the folder with the cases, the rest is run.
_WORLD = r"""
set -eu
folder=$1; shift
below() {  # a directory that may be written, with the subdirectories that it has
    mkdir -p "$folder/kept$1"
    mount --rbind "$1" "$folder/kept$1"
    mount -t tmpfs none "$1"
    for old in "$folder/kept$1"/*/; do
        if [ -d "$old" ]; then name=$1/$(basename "$old"); mkdir "$name"; mount --rbind "$old" "$name"; fi
    done
}
played() {  # programs that are the actor here
    for name; do cp case/bin/actor "$(basename "$name")"; mount --bind "$(basename "$name")" "$name"; done
}
cd "$folder"
cp -a /etc etc
mount --bind etc /etc
for new in /run /boot /var/spool /var/log /dev/shm; do mount -t tmpfs none "$new"; done
below /home
below /srv
mkdir /srv/case
mount --bind case /srv/case
while read -r name; do mkdir -p "$(dirname "$name")"; [ -e "$name" ] || : > "$name"; done < files
. ./prepare
cd /srv/case
exec "$@"
"""

_CONTAIN = r"""
box=$(printf %064x "$box"); [ -d "%(cgroups)s/$box" ] || mkdir "%(cgroups)s/$box"
echo $$ > "%(cgroups)s/$box/cgroup.procs"
"""

Found = Set[Tuple[str, str, str]]


class Case(NamedTuple):
    """A rule with a script that makes it match and one that does not."""

    rule: str
    match: str
    miss: str


class World(NamedTuple):
    """What the cases of one policy need: files that exist, and shell lines that prepare the rest as root.

    The lines may say `played /usr/bin/NAME...` for programs that shall be the actor. `spaces`: further options of
    unshare(1). `options`: those of `trace`.
    """

    cases: Sequence[Case]
    files: Sequence[str]
    prepare: str
    spaces: Sequence[str] = ()
    options: Sequence[str] = ()


def named(cases: Sequence[Case]) -> List[Tuple[str, Case]]:
    """The cases with a name for each, by which its detections are told apart."""
    return [("%s-%d" % (case.rule, number), case) for number, case in enumerate(cases)]


def containers(name: str) -> Iterator[str]:
    """A cgroup below which containers can be made; it goes with all that is in it."""
    for hierarchy in ("", "unified", "systemd", "pids", "cpu"):
        folder = os.path.join("/sys/fs/cgroup", hierarchy, "ebpfless-%s-%d" % (name, os.getpid()))
        if not os.path.exists(os.path.join(os.path.dirname(folder), "cgroup.procs")):
            continue
        try:
            os.mkdir(folder)
        except OSError:
            continue
        yield folder
        for box in os.listdir(folder):
            if os.path.isdir(os.path.join(folder, box)):
                os.rmdir(os.path.join(folder, box))
        os.rmdir(folder)
        return
    pytest.skip("needs a cgroup hierarchy that may be written")


def chosen(request: Any) -> Set[str]:
    """The names of the cases that the chosen tests of a module are about."""
    calls = [getattr(item, "callspec", None) for item in request.session.items if item.module is request.module]
    return {call.params["name"] for call in calls if call is not None and "name" in call.params}


def play(world: World, chosen: Set[str], folder: Path, compile_c: Compiler, cgroups: str, **variables: str) -> Found:
    """Runs the chosen cases in `folder`; what they led to: (the case's name, match or miss, the rule that was reported)."""
    unshare = ["unshare", "--mount"] + list(world.spaces)
    if subprocess.call(unshare + ["true"], stderr=subprocess.DEVNULL) != 0:
        pytest.skip("needs namespaces")
    _write(world, chosen, folder, compile_c, cgroups)
    output = folder / "detections"
    output.write_text("")
    options = ["--format", "json", "--output", str(output), "--verbose"] + list(world.options)
    enter = unshare + ["--propagation", "private", "sh", "-c", _WORLD, "world", str(folder)]
    known = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "PYTHONPATH": FOLDER, "LC_ALL": "C",
             "EBPFLESS_TRACE_DISABLE_PROC_SCAN": "true"}
    # A session of its own: nothing in it has a terminal, wherever the tests run.
    result = run(enter + trace_command(["sh", "./all"], options), env=dict(known, **variables), start_new_session=True)
    assert (result.status, result.stdout) == (0, b""), result.stderr.decode()
    assert b" 0 records lost, 0 errors" in result.stderr, result.stderr.decode()
    failed = (folder / "case" / "failed").read_text()
    assert not failed, "scripts that did not do what they say:\n" + failed
    return {_place(event) + (event["agent"]["rule_id"],) for event in read_events(str(output)) if is_detection(event)}


def _write(world: World, chosen: Set[str], folder: Path, compile_c: Compiler, cgroups: str) -> None:
    """The scripts of the chosen cases, one that runs them all, and copies of the programs under every name that they use."""
    case = folder / "case"
    case.mkdir()
    (folder / "files").write_text("".join(name + "\n" for name in world.files))
    (folder / "prepare").write_text(world.prepare)
    (case / "contain").write_text(_CONTAIN.replace("%(cgroups)s", cgroups))
    wanted = {("bin", "actor")}
    for name, (rule, match, miss) in [each for each in named(world.cases) if each[0] in chosen]:
        for kind, text in (("match", match), ("miss", miss)):
            (case / (name + "." + kind)).write_text(text + "\n")
            wanted.update(re.findall(r"(?<![\w/])(bin|do)/([\w.+-]+)", text))
    for place, name in wanted:
        (case / place).mkdir(exist_ok=True)
        shutil.copy(compile_c(_PROGRAMS[place]), str(case / place / name))
    (case / "failed").write_text("")
    (case / "all").write_text("box=1000; export box\n"
                              "for script in /srv/case/*.match /srv/case/*.miss; do\n"
                              "    box=$((box + 1))\n"
                              "    sh -e $script </dev/null >/dev/null 2>&1 || echo $script $? >> failed\n"
                              "done\n")


def _place(event: Dict[str, Any]) -> Tuple[str, str]:
    """The script in which a detection was made."""
    lineage = [event["process"]] + event["process"].get("ancestors", [])
    scripts = [_SCRIPT.match(word) for record in lineage for word in record["args"]]
    matches = [match.group(1, 2) for match in scripts if match]
    assert matches, "a detection outside of all cases: {}".format(json.dumps(event))
    return matches[0][0], matches[0][1]
