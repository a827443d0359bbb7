"""The traced program never notices: the same scenario native and traced leaves the same traces of its own."""

import os
import random
import shutil
import stat
import subprocess
import sys
from pathlib import Path
from typing import Dict, List, NamedTuple, Sequence, Tuple

import pytest

from blackbox import Compiler, Result, environment, run, trace_command

Tree = Dict[str, Tuple[str, bytes]]
"""Path -> (mode as ls shows it, content or link target)."""


class Scenario(NamedTuple):
    """A command to compare; `any_order` where its output lines come in no fixed order."""

    name: str
    command: List[str]
    any_order: bool = False


PARALLEL = """
import os, subprocess, sys, threading

def work(number, results):
    done = subprocess.run([sys.executable, "-S", "-c", "import sys; print(sys.stdin.read() * 2); sys.exit(%d)" % number],
                          input=b"text %d" % number, stdout=subprocess.PIPE, close_fds=bool(number % 2))
    results[number] = (done.returncode, done.stdout)

results = {}
threads = [threading.Thread(target=work, args=(number, results)) for number in range(6)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
for number in sorted(results):
    print(number, results[number])
print(subprocess.call(["/bin/sh", "-c", "kill -9 $$"]), subprocess.check_output("echo shell; pwd", shell=True))
if hasattr(os, "posix_spawn"):
    child = os.posix_spawn("/bin/sh", ["sh", "-c", "echo spawned > spawned; exit 3"], dict(os.environ))
    print(os.waitpid(child, 0)[1])
try:
    subprocess.call(["/nonexistent/program"])
except OSError as error:
    print(error)
"""

PIPELINE = r"""
sort -r <<END | tee sorted | { read first; echo "first: $first"; cat >rest; } 2>&1
beta $((6 * 7))
alpha `echo inner`
gamma $(printf '%s' "$(echo nested)")
END
echo "${PIPESTATUS[@]}"
(exit 3) | (exit 4); echo "$? ${PIPESTATUS[@]}"
diff <(seq 5) <(seq 2 6)
coproc cat; echo through >&"${COPROC[1]}"; read -r line <&"${COPROC[0]}"; echo "$line"
trap 'echo trapped' USR1; kill -USR1 $$
sleep 100 & kill $!; wait $!; echo "waited: $?"
yes | head -n 3
echo 'to stderr' >&2
umask 027; mkdir deep; : >deep/file; exit 9
"""

SCENARIOS = [
    Scenario("git", ["sh", "-ec", "git clone -q --no-hardlinks origin copy; cd copy; git status; git log --format=%H%s;"
                     "echo more >>file; git commit -qam second; git status --short; git ls-files --stage"]),
    Scenario("gcc", ["sh", "-ec", "gcc -O1 -c main.c one.c two.c; gcc -o main main.o one.o two.o; ./main; gcc broken.c"]),
    Scenario("make", ["make", "-j2"], any_order=True),
    Scenario("pipeline", ["bash", "-c", PIPELINE]),
    Scenario("tar", ["sh", "-ec", "tar --sort=name --mtime=@1000000 -cf - tree | gzip -n >tree.tar.gz; mkdir back;"
                     "gzip -dc tree.tar.gz | tar -xvf - -C back; diff -r tree back/tree; sha256sum tree.tar.gz"]),
    Scenario("python", [sys.executable, "parallel.py"]),
    Scenario("xargs", ["sh", "-c", "find tree -type f | sort | xargs -n 3 cksum; find tree -name '*7' -exec wc -c {} + | sort;"
                       "find tree -type f -print0 | sort -z | xargs -0 -P 1 -n 7 sh -c 'echo $#; exit 1'"]),
]


def fill(folder: Path) -> None:
    """Writes what the scenarios start from."""
    (folder / "one.c").write_text("int one(void) { return 1; }\n")
    (folder / "two.c").write_text("int two(void) { return 2; }\n")
    (folder / "broken.c").write_text("int main(void) { return missing; }\n")
    (folder / "main.c").write_text('#include <stdio.h>\nint one(void); int two(void);\n'
                                   'int main(void) { printf("%d\\n", one() + two()); return 0; }\n')
    (folder / "Makefile").write_text("main: main.o one.o two.o\n\tgcc -o $@ $^\n\t./main\n")
    (folder / "parallel.py").write_text(PARALLEL)
    fill_tree(folder / "tree")
    create_repository(folder / "origin")


def fill_tree(tree: Path) -> None:
    """Some directories of files with fixed random content, a link and unusual modes."""
    source = random.Random(7)
    for number in range(40):
        path = tree / "folder-{}".format(number % 4) / "file-{}".format(number)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(bytes(source.randrange(256) for _ in range(number * 50)))
        path.chmod(0o600 + number % 8)
    (tree / "link").symlink_to("folder-1/file-1")


def create_repository(origin: Path) -> None:
    """A git repository with one commit, the same each time."""
    origin.mkdir()
    (origin / "file").write_text("content\n")
    for arguments in (["init", "-q", "-b", "main"], ["add", "."], ["commit", "-qm", "first"]):
        subprocess.check_call(["git"] + arguments, cwd=str(origin), env=fixed_environment())


def fixed_environment() -> Dict[str, str]:
    """An environment in which git writes the same bytes each time."""
    person = {"GIT_{}_{}".format(role, field): value for role in ("AUTHOR", "COMMITTER")
              for field, value in (("NAME", "A"), ("EMAIL", "a@example.org"), ("DATE", "1500000000 +0000"))}
    return environment(GIT_CONFIG_NOSYSTEM="1", HOME="/nonexistent", LC_ALL="C", **person)


def snapshot(folder: Path) -> Tree:
    """Everything in a directory: mode and content of files, mode of directories, targets of links."""
    tree: Tree = {}
    for root, folders, files in os.walk(str(folder)):
        for name in folders + files:
            path = Path(root) / name
            mode = path.lstat().st_mode
            content = (os.fsencode(os.readlink(str(path))) if stat.S_ISLNK(mode)
                       else path.read_bytes() if stat.S_ISREG(mode) else b"")
            tree[str(path.relative_to(folder))] = (stat.filemode(mode), content)
    return tree


def stage(folder: Path, command: Sequence[str]) -> Tuple[Result, Tree]:
    """Runs a command in a fresh directory and returns what it left."""
    folder.mkdir()
    fill(folder)
    result = run(command, cwd=str(folder), env=fixed_environment())
    # git's index holds inode numbers and times
    tree = {path: entry for path, entry in snapshot(folder).items() if not path.endswith(".git/index")}
    shutil.rmtree(str(folder))
    return result, tree


def lines(text: bytes, any_order: bool) -> List[bytes]:
    """The lines of an output, sorted where their order means nothing."""
    found = text.splitlines()
    return sorted(found) if any_order else found


@pytest.mark.parametrize("scenario", SCENARIOS, ids=[scenario.name for scenario in SCENARIOS])
def test_a_traced_scenario_leaves_what_a_native_one_leaves(scenario: Scenario, tmp_path: Path) -> None:
    if shutil.which(scenario.command[0]) is None:
        pytest.skip("needs " + scenario.command[0])
    detections = ["--output", str(tmp_path / "detections")]
    native, native_tree = stage(tmp_path / "scene", scenario.command)
    traced, traced_tree = stage(tmp_path / "scene", trace_command(scenario.command, detections))
    assert traced.status == native.status
    assert lines(traced.stdout, scenario.any_order) == lines(native.stdout, scenario.any_order)
    assert lines(traced.stderr, scenario.any_order) == lines(native.stderr, scenario.any_order)
    assert sorted(traced_tree) == sorted(native_tree)
    assert traced_tree == native_tree


def test_ten_thousand_signals_arrive_once_each_with_their_values(compile_c: Compiler) -> None:
    program = compile_c("preempt.c")
    native = run([program])
    assert native.stdout == b"urgent 9000 queued 1000 out of order 0 foreign 0\n"
    assert run(trace_command([program])) == native


def test_standard_input_passes_through_unchanged() -> None:
    data = os.urandom(1 << 20)
    result = run(trace_command(["cat"]), stdin=data)
    assert (result.status, result.stdout, result.stderr) == (0, data, b"")


def test_nothing_is_read_from_standard_input() -> None:
    read_end, write_end = os.pipe()
    os.write(write_end, b"untouched")
    os.close(write_end)
    subprocess.check_call(trace_command(["true"]), stdin=read_end, env=environment())
    assert os.read(read_end, 100) == b"untouched"
    os.close(read_end)


@pytest.mark.parametrize("status", [0, 1, 7, 255])
def test_the_exit_status_is_the_command_s(status: int) -> None:
    assert run(trace_command(["sh", "-c", "exit {}".format(status)])).status == status


@pytest.mark.parametrize("name,number", [("TERM", 15), ("SEGV", 11), ("KILL", 9), ("ABRT", 6), ("RTMIN", 34)])
def test_death_by_a_signal_is_repeated(name: str, number: int) -> None:
    command = ["bash", "-c", "ulimit -c 0; kill -{} $$".format(name)]
    native = run(command)
    assert native.status == -number
    assert run(trace_command(command)) == native
