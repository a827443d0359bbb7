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
    # Bold and underlined letters are overstruck.
    text = "\n".join(re.sub(".\b", "", line) for line in mandoc("-Tutf8", str(page)))
    for section in ("NAME", "DESCRIPTION", "OVERHEAD", "SEE ALSO", "BUGS"):
        assert "\n%s\n" % section in text, section


def test_every_command_is_described_and_its_options_are_listed() -> None:
    page, probe = ((REPOSITORY / "docs" / name).read_text() for name in ("ebpfless.1", "ebpfless-probe.8"))
    for command in door.COMMANDS:
        assert ".Cm " + command.name in page or command.name + " |" in page or "| " + command.name in page, command.name
        for names, _ in command.options:
            assert "\n.It Fl -" + names[0][2:] in (probe if command.name == "probe" else page), (command.name, names)


def test_its_rules_are_sound(tmp_path: Path) -> None:
    text = (REPOSITORY / "docs" / "ebpfless-rules.5").read_text().replace("\\e", "\\")
    blocks = re.findall(r"\.Bd -literal -offset indent\n(.*?)\.Ed\n", text, re.DOTALL)
    assert len(blocks) == 2
    whole = blocks[0] if blocks[0].startswith('{"rules"') else ""
    # A long expression is broken on paper, which JSON does not allow.
    listed = re.sub(r"\n +\$", " $", blocks[1])
    for name, policy in (("whole", whole), ("listed", '{"rules": [%s]}' % listed)):
        path = tmp_path / (name + ".json")
        path.write_text(policy)
        assert json.loads(policy)["rules"]
        result = run(ebpfless("check", str(path)))
        assert (result.status, result.stderr) == (0, b""), result
        assert result.stdout.startswith(b"active    %d rule" % len(json.loads(policy)["rules"])), result.stdout
