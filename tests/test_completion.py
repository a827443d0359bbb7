"""Completion in the shells themselves, from scripts that come from the command table."""

import os
import shutil
from pathlib import Path
from typing import List

import pytest

from blackbox import ebpfless, environment, run
from terminal import Terminal

# Words on the command line, the last of them to be completed; some of what must be offered; some that must not.
CASES = [
    (["tr"], {"trace"}, {"check"}),
    (["trace", "--disable-se"], {"--disable-seccomp"}, set()),
    (["trace", "--format", ""], {"text", "json"}, {"--format", "notes.txt"}),
    (["trace", "--events", "--policy", "no"], {"notes.txt"}, {"nohup"}),
    (["trace", "--events", "--", "nohu"], {"nohup"}, set()),
    (["trace", "nohu"], {"nohup"}, set()),
    (["check", "no"], {"notes.txt"}, {"nohup"}),
    (["check", "notes.txt", "no"], {"notes.txt"}, {"nohup"}),
    (["patch", ""], {"ecs", "k8s", "docker", "oci"}, set()),
    (["patch", "ecs", "no"], {"notes.txt"}, {"nohup"}),
    (["completion", "z"], {"zsh"}, {"bash"}),
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with one file to complete, and a script for each shell outside of it."""
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "notes.txt").write_text("")
    for shell in ("bash", "zsh", "fish"):
        (tmp_path / shell).write_bytes(run(ebpfless("completion", shell)).stdout)
    return tmp_path


def needed(shell: str) -> str:
    """The path of a shell; without it the test is skipped."""
    path = shutil.which(shell)
    if path is None:
        pytest.skip("needs " + shell)
    return path


def by_bash(folder: Path, words: List[str]) -> List[str]:
    script = ('source "$1"; shift; COMP_WORDS=(ebpfless "$@"); COMP_CWORD=$#; _ebpfless; printf "%s\\n" "${COMPREPLY[@]}"')
    result = run([needed("bash"), "-c", script, "bash", str(folder / "bash")] + words, cwd=str(folder / "here"))
    assert (result.status, result.stderr) == (0, b"")
    return result.stdout.decode().splitlines()


def by_fish(folder: Path, words: List[str]) -> List[str]:
    command = "source %s; complete -C 'ebpfless %s'" % (folder / "fish", " ".join(words))
    result = run([needed("fish"), "--no-config", "-c", command], cwd=str(folder / "here"), env=environment(HOME=str(folder)))
    assert (result.status, result.stderr) == (0, b"")
    return [line.split("\t")[0] for line in result.stdout.decode().splitlines()]


@pytest.mark.parametrize("words, offered, others", CASES)
@pytest.mark.parametrize("complete", [by_bash, by_fish], ids=["bash", "fish"])
def test_what_is_offered(folder: Path, complete: object, words: List[str], offered: List[str], others: List[str]) -> None:
    assert callable(complete)
    found = set(complete(folder, words))
    assert set(offered) <= found and not found & set(others), found


@pytest.mark.once
def test_zsh_completes_on_its_line(folder: Path) -> None:
    os.mkdir(str(folder / "home"))
    start = [needed("zsh"), "-f", "-i"]
    with Terminal(start, cwd=str(folder / "here"), env=environment(TERM="dumb", PS1="prompt$ ", HOME=str(folder / "home"))) as zsh:
        zsh.type("autoload -U compinit; compinit -u -D; setopt nolistbeep; source %s; echo rea''dy\n" % (folder / "zsh"))
        zsh.expect("ready")
        for typed, completed in [("ebpfless tra\t", "ebpfless trace "), ("--disable-sec\t", "--disable-seccomp "),
                                 ("--policy not\t", "--policy notes.txt "), ("--format j\t", "--format json "),
                                 ("-- nohu\t", "-- nohup ")]:
            zsh.type(typed)
            zsh.expect(completed)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_every_command_and_option_is_in_the_script(folder: Path, shell: str) -> None:
    import ebpfless as door

    script = (folder / shell).read_text()
    for command in door.COMMANDS:
        assert command.name in script
        for names, how in command.options:
            assert (names[0][2:] if shell == "fish" else names[0]) in script, names


@pytest.mark.parametrize("words", [[], ["csh"], ["bash", "zsh"]])
def test_a_shell_has_to_be_named(words: List[str]) -> None:
    assert run(ebpfless("completion", *words))[:3] == (2, b"", b"ebpfless completion: say which shell: bash, fish, zsh\n")
