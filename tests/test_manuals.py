"""The manual pages: mandoc finds nothing, they name all that there is, and their policies are sound."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import List

import pytest

import ebpfless as door
from blackbox import REPOSITORY, ebpfless, run

PAGES = sorted((REPOSITORY / "docs").glob("*.[158]"))

# What mandoc says of pages that are not installed where it looks.
ELSEWHERE = re.compile(r"referenced manual not found: Xr ebpfless|outdated mandoc\.db")


def mandoc(*arguments: str) -> List[str]:
    if shutil.which("mandoc") is None:
        pytest.skip("needs mandoc")
    result = subprocess.run(["mandoc"] + list(arguments), stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    return result.stdout.decode().splitlines()


def test_there_are_three() -> None:
    assert [page.name for page in PAGES] == ["ebpfless-probe.8", "ebpfless-rules.5", "ebpfless.1"]


@pytest.mark.parametrize("page", PAGES, ids=[page.name for page in PAGES])
def test_mandoc_finds_nothing(page: Path) -> None:
    assert [line for line in mandoc("-Tlint", str(page)) if not ELSEWHERE.search(line)] == []
    assert {"NAME", "DESCRIPTION", "OVERHEAD", "SEE ALSO", "BUGS"} <= set(shown(page))


def test_every_command_is_described_and_its_options_are_listed() -> None:
    page, probe = ((REPOSITORY / "docs" / name).read_text() for name in ("ebpfless.1", "ebpfless-probe.8"))
    for command in door.COMMANDS:
        assert ".Cm " + command.name in page or command.name + " |" in page or "| " + command.name in page, command.name
        for names, _ in command.options:
            assert "\n.It Fl -" + names[0][2:] in (probe if command.name == "probe" else page), (command.name, names)


# Beginnings of lines that are easily lost: roff takes some signs for its own.
SHOWN = {
    "ebpfless.1": ["trace [option ...] [--] command [argument ...]", "trace [option ...] --pid pid[,pid ...]",
                   "trace [option ...] --follow name | exe | unit", "--pid PID,...", "$ ebpfless trace -- /usr/bin/app --port 80"],
    "ebpfless-probe.8": ["--peers UID,...", "$ ebpfless probe --listen 0.0.0.0:5678 --secret-file secret"],
    "ebpfless-rules.5": ["== != < <= > >= =~ !~ in not in allin", "&& || ! not and or",
                         '"text", ~"pattern", r"regular expression"', "0644, 10s, 10.0.0.0/8", "${name}, %{field}"],
}


@pytest.mark.parametrize("page", PAGES, ids=[page.name for page in PAGES])
def test_what_is_typed_is_shown_as_it_is_typed(page: Path) -> None:
    lines = shown(page)
    for text in SHOWN[page.name]:
        assert any(line.endswith(text) for line in lines), text
    assert [line for line in lines if re.search(r" [.,;](\s|$)|[^.]\.\.( |$)|\.{4}", line)] == []


def shown(page: Path) -> List[str]:
    """The lines of a page on a terminal of 80 columns, without their indentation."""
    return [re.sub(".\b", "", line).strip() for line in mandoc("-Tutf8", "-Owidth=80", str(page))]


def test_its_rules_are_sound(tmp_path: Path) -> None:
    """As somebody copies them from a terminal."""
    text = "\n".join(shown(REPOSITORY / "docs" / "ebpfless-rules.5"))
    whole, listed = re.findall(r"(?:\A|\n\n)(\{.*?\})\n\n", text, re.DOTALL)
    for name, policy in (("whole", whole), ("listed", '{"rules": [%s]}' % listed)):
        path = tmp_path / (name + ".json")
        path.write_text(policy)
        assert json.loads(policy)["rules"]
        result = run(ebpfless("check", str(path)))
        assert (result.status, result.stderr) == (0, b""), result
        assert result.stdout.startswith(b"active    %d rule" % len(json.loads(policy)["rules"])), result.stdout
