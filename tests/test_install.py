"""scripts/install: what it puts where, twice, with a changed configuration, and what is left of it afterwards."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path
from typing import Dict, List

import pytest

from blackbox import REPOSITORY, Result, ebpfless, run

pytestmark = pytest.mark.once

INSTALL = str(REPOSITORY / "scripts" / "install")


def install(destdir: Path, *options: str) -> Result:
    """Runs it for a folder that stands for the root of a host."""
    result = run([INSTALL, "--destdir", str(destdir), "--prefix", "/usr", "--python", sys.executable] + list(options))
    assert result.status == 0, result
    return result


def files(folder: Path) -> Dict[str, str]:
    """All files and links below a folder with what they hold."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_symlink():
            found[name] = "-> " + os.readlink(str(path))
        elif path.is_file():
            found[name] = "%o %s" % (path.stat().st_mode, hashlib.sha256(path.read_bytes()).hexdigest())
    return found


COMMON = {"etc/ebpfless/ebpfless.ini", "etc/ebpfless/policies/example.json", "usr/bin/ebpfless", "usr/lib/ebpfless/ebpfless.py",
          "usr/lib/ebpfless/installed", "usr/share/bash-completion/completions/ebpfless",
          "usr/share/ebpfless/examples/built-in-policy.json", "usr/share/fish/vendor_completions.d/ebpfless.fish",
          "usr/share/man/man1/ebpfless.1", "usr/share/man/man5/ebpfless-rules.5", "usr/share/man/man8/ebpfless-probe.8",
          "usr/share/zsh/site-functions/_ebpfless"}
SYSTEMD = {"usr/lib/systemd/system/ebpfless-probe.service", "usr/lib/systemd/system/ebpfless-probe.socket",
           "usr/lib/systemd/system/ebpfless-attach@.service",
           "usr/share/ebpfless/examples/wrapped-service.conf"}
SYSVINIT = {"etc/default/ebpfless", "etc/init.d/ebpfless-attach", "etc/init.d/ebpfless-probe", "usr/lib/ebpfless/functions",
            "usr/share/ebpfless/examples/my-app"}


@pytest.mark.parametrize("init, expected", [
    pytest.param("systemd", COMMON | SYSTEMD, marks=pytest.mark.slow),
    pytest.param("sysvinit", COMMON | SYSVINIT, marks=pytest.mark.slow),
    pytest.param("none", COMMON, marks=pytest.mark.slow), ("both", COMMON | SYSTEMD | SYSVINIT)])
def test_what_is_installed_works_and_installing_twice_changes_nothing(tmp_path: Path, init: str, expected: List[str]) -> None:
    install(tmp_path, "--init", init)
    first = files(tmp_path)
    assert set(first) == set(expected)
    install(tmp_path, "--init", init)
    assert files(tmp_path) == first
    assert run([str(tmp_path / "usr/bin/ebpfless"), "version"]).stdout == run(ebpfless("version")).stdout
    assert run([str(tmp_path / "usr/bin/ebpfless"), "check", str(tmp_path / "etc/ebpfless/policies/example.json")]).status == 0
    install(tmp_path, "--uninstall")
    assert list(tmp_path.iterdir()) == []


def test_changed_configuration_is_neither_overwritten_nor_taken_away(tmp_path: Path) -> None:
    install(tmp_path, "--init", "both")
    changed = tmp_path / "etc/ebpfless/ebpfless.ini"
    changed.write_text(changed.read_text().replace("#format = text", "format = json", 1))
    wanted = files(tmp_path)
    assert install(tmp_path, "--init", "both").stdout.startswith(b"kept, for it was changed: %s\n" % os.fsencode(str(changed)))
    again = files(tmp_path)
    # What is remembered of the file is what was installed, so the list has the same lines.
    assert again == wanted
    install(tmp_path, "--uninstall")
    assert files(tmp_path) == {"etc/ebpfless/ebpfless.ini": wanted["etc/ebpfless/ebpfless.ini"]}
    # As if it had never been: a file that we did not install is nobody's to overwrite.
    install(tmp_path, "--init", "none")
    assert files(tmp_path)["etc/ebpfless/ebpfless.ini"] == wanted["etc/ebpfless/ebpfless.ini"]
    install(tmp_path, "--uninstall")
    assert list(files(tmp_path)) == ["etc/ebpfless/ebpfless.ini"]


def test_configuration_that_was_removed_stays_away_and_new_program_files_replace_old_ones(tmp_path: Path) -> None:
    install(tmp_path, "--init", "systemd")
    (tmp_path / "etc/ebpfless/policies/example.json").unlink()
    (tmp_path / "usr/lib/ebpfless/ebpfless.py").write_text("an older version\n")
    # A unit that this version does not have any more.
    manifest = tmp_path / "usr/lib/ebpfless/installed"
    (tmp_path / "usr/lib/systemd/system/old.service").write_text("")
    manifest.write_text(manifest.read_text() + "%s /usr/lib/systemd/system/old.service\n" % ("0" * 64))
    install(tmp_path, "--init", "systemd")
    assert set(files(tmp_path)) == (COMMON | SYSTEMD) - {"etc/ebpfless/policies/example.json"}
    assert run([str(tmp_path / "usr/bin/ebpfless"), "version"]).status == 0


def test_paths_in_units_and_scripts_are_those_of_the_prefix(tmp_path: Path) -> None:
    done = run([INSTALL, "--destdir", str(tmp_path), "--init", "both", "--python", sys.executable, "--prefix=/opt/e"])
    assert done.status == 0
    assert "\nExecStart=/opt/e/bin/ebpfless probe\n" in (tmp_path / "etc/systemd/system/ebpfless-probe.service").read_text()
    script = (tmp_path / "etc/init.d/ebpfless-probe").read_text()
    assert "\nEBPFLESS=/opt/e/bin/ebpfless\nLIBRARY=/opt/e/lib/ebpfless\n" in script
    assert (tmp_path / "opt/e/lib/ebpfless/ebpfless.py").read_text().startswith("#!%s\n" % sys.executable)


@pytest.mark.parametrize("init, told", [
    ("", "no unit and no init script is installed, for %s has neither systemd nor /etc/init.d; "
     "--init systemd, sysvinit or both installs them"),
    ("etc/init.d", "start it: update-rc.d ebpfless-probe defaults; service ebpfless-probe start"),
    ("usr/lib/systemd/system", "start it: systemctl enable --now ebpfless-probe; systemctl enable --now ebpfless-attach@PROGRAM"),
], ids=["nothing", "sysvinit", "systemd"])
def test_it_says_what_is_there_to_start_it(tmp_path: Path, init: str, told: str) -> None:
    if os.path.isdir("/run/systemd/system") and init != "usr/lib/systemd/system":
        pytest.skip("this host runs systemd")
    (tmp_path / "root" / init).mkdir(parents=True)
    # A path as somebody types it who is there.
    result = run([INSTALL, "--destdir", "root", "--python", sys.executable], cwd=str(tmp_path))
    assert (result.status, result.stderr) == (0, b"")
    lines = result.stdout.decode().splitlines()
    assert lines[0].startswith("ebpfless ")
    assert lines[1:] == [told % (tmp_path / "root") if "%s" in told else told]
    assert (tmp_path / "root/usr/local/lib/ebpfless/ebpfless.py").is_file()


@pytest.mark.parametrize("words, complaint", [
    (["--prefx", "/x"], "unknown option --prefx; see --help"),
    (["--prefix"], "--prefix needs a value; see --help"),
    (["--prefix", "x"], "--prefix must be an absolute path, not x; see --help"),
    (["--init", "upstart"], "--init is systemd, sysvinit, both or none, not upstart; see --help"),
    (["--python", "/no/python3"], "there is no program /no/python3: name a Python 3.6 or newer by --python"),
    (["--python", "/bin/false"], "/bin/false is older than Python 3.6"),
    (["--uninstall", "--destdir", "/nonexistent"],
     "/nonexistent/usr/local/lib/ebpfless/installed is not there: nothing is installed below /nonexistent/usr/local"),
])
def test_wrong_usage_is_one_line_and_nothing_is_done(tmp_path: Path, words: List[str], complaint: str) -> None:
    if "--destdir" not in words:
        words = ["--destdir", str(tmp_path)] + words
    result = run([INSTALL] + words)
    status = 2 if complaint.endswith("; see --help") else 1
    assert result[:3] == (status, b"", ("scripts/install: %s\n" % complaint).encode())
    assert list(tmp_path.iterdir()) == []


def test_the_example_of_a_configuration_changes_nothing() -> None:
    plain = run(ebpfless("config", "--config", "/dev/null"))
    assert run(ebpfless("config", "--config", str(REPOSITORY / "docs" / "ebpfless.ini"))) == plain
    assert subprocess.call(ebpfless("check", str(REPOSITORY / "docs" / "example-policy.json")), cwd=str(REPOSITORY),
                           stdout=subprocess.DEVNULL) == 0
