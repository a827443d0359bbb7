"""docs/rules.md: its example is sound and does what it says, its tables name every key and no other."""

import json
import re
from pathlib import Path
from typing import List, Set

import pytest

from blackbox import REPOSITORY, ebpfless, run
from ebpfless_arch.rules.actions import KEYS
from ebpfless_arch.rules.shapes import keys_of

GUIDE = (REPOSITORY / "docs" / "rules.md").read_text("utf-8")


def example() -> str:
    found = re.search(r"\n    \{\n.*?\n    \}\n", GUIDE, re.DOTALL)
    assert found is not None
    return found.group()


def section(title: str) -> str:
    return GUIDE.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def first_column(title: str) -> Set[str]:
    rows = [line.split(" | ")[0] for line in section(title).splitlines() if line.startswith("| `")]
    return {name for row in rows for name in re.findall(r"`(\w+)`", row)}


def test_the_example_is_sound(tmp_path: Path) -> None:
    path = tmp_path / "p.json"
    path.write_text(example())
    result = run(ebpfless("check", "--verbose", str(path)))
    told = result.stdout.decode().splitlines()
    assert result.status == 0 and told[-1].startswith("0 errors, 0 warnings, ")
    assert told[0].startswith("active    3 rules") or "starless" in told[0]
    assert "deny      1 rule, 1 can be decided at entry" in told


@pytest.mark.parametrize("rule, event, match", [
    ("secret_read", {"open.file.path": "/root/.ssh/a/b", "process.uid": 7, "process.ancestors": [{"file.name": "sh"}]}, True),
    ("secret_read", {"open.file.path": "/root/.ssh/a/b", "process.uid": 7}, False),
    ("no_tool_from_tmp", {"exec.file.path": "/tmp/x"}, True), ("no_tool_from_tmp", {"exec.file.path": "/tmp"}, False),
    ("second_secret", {"open.file.path": "/etc/shadow"}, False)])
def test_the_example_means_what_it_says(tmp_path: Path, rule: str, event: object, match: bool) -> None:
    (tmp_path / "p.json").write_text(example())
    (tmp_path / "c.json").write_text(json.dumps([{"rule": rule, "event": event, "match": match}]))
    result = run(ebpfless("check", "--cases", str(tmp_path / "c.json"), str(tmp_path / "p.json")))
    assert result.stdout == b"1 case, 0 differ\n"


def test_the_example_of_a_rule_is_one_in_all_documents(tmp_path: Path) -> None:
    """README, manual and docs/check.md speak of one rule, and the cases for it come out as they say."""
    docs = REPOSITORY / "docs"
    readme, checking = (path.read_text("utf-8") for path in (REPOSITORY / "README.md", docs / "check.md"))
    manual = (docs / "ebpfless-rules.5").read_text("utf-8").replace("\\e", "\\")
    policies = [json.loads(text) for found in (readme, manual)
                for text in re.findall(r'^ *\{"rules": \[.*?\]\}$', found, re.DOTALL | re.MULTILINE)]
    assert len(policies) == 2 and policies[0] == policies[1]
    (tmp_path / "p.json").write_text(json.dumps(policies[0]))
    cases = re.search(r"\n    \[\n.*?\n    \]\n", checking, re.DOTALL)
    assert cases is not None
    (tmp_path / "c.json").write_text(cases.group())
    result = run(ebpfless("check", "--cases", str(tmp_path / "c.json"), str(tmp_path / "p.json")))
    assert (result.stdout, result.stderr) == (b"4 cases, 0 differ\n", b"")
    mistyped = json.dumps(policies[0]).replace("open.file.path", "open.file.pth")
    (tmp_path / "p.json").write_text(mistyped)
    told = run(ebpfless("check", str(tmp_path / "p.json"))).stdout.decode().splitlines()[0]
    assert "    " + told.replace(str(tmp_path) + "/", "") in checking


def test_the_tables_name_every_key() -> None:
    assert first_column("Rules") == set(keys_of("rule"))
    listed: List[str] = ["name", "value", "field", "expression", "default_value", "append", "scope", "inherited",
                         "scope_field", "ttl", "private"]
    assert first_column("Variables") == set(listed) and set(KEYS["set"]) == set(listed) | {"size"}
    assert "`size`" in section("Variables")
    assert first_column("Actions") | {"coredump", "network_filter"} == set(KEYS)
    for kind in ("log", "hash", "kill", "deny"):
        for key in KEYS[kind]:
            if not key.startswith("disable_"):
                assert f"`{key}`" in section("Actions"), key
