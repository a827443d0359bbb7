"""Root file systems of whole hosts for tests: an init system and what it needs, of Debian's packages."""

import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import List, Sequence, Set

import pytest

_SKIPPED = ("/usr/share/doc/", "/usr/share/man/", "/usr/share/locale/", "/usr/share/info/", "/usr/share/lintian/", "/boot/")
_TOP = ("bin", "sbin", "lib", "lib64")


def make(folder: Path, packages: Sequence[str]) -> Path:
    """Makes a root file system of packages that are installed here, with what they depend on. Nothing is downloaded."""
    if shutil.which("dpkg-query") is None:
        pytest.skip("needs Debian's packages")
    for name in _TOP:
        (folder / "usr" / name).mkdir(parents=True)
        (folder / name).symlink_to("usr/" + name)
    listed = subprocess.check_output(["dpkg-query", "-L"] + sorted(_closure(packages))).decode().splitlines()
    names = sorted({name.lstrip("/") for name in listed if name.startswith("/") and name != "/." and not name.startswith(_SKIPPED)
                    and os.path.lexists(name)} - set(_TOP))
    pack = subprocess.Popen(["tar", "-C", "/", "--null", "--no-recursion", "-T", "-", "-cf", "-"], stdin=subprocess.PIPE,
                            stdout=subprocess.PIPE)
    unpack = subprocess.Popen(["tar", "-C", str(folder), "--keep-directory-symlink", "-xf", "-"], stdin=pack.stdout)
    assert pack.stdin is not None
    pack.stdin.write("\0".join(names).encode())
    pack.stdin.close()
    assert (pack.wait(), unpack.wait()) == (0, 0)
    _settle(folder)
    return folder


def _settle(folder: Path) -> None:
    """What the packages' own scripts would have done."""
    for link, target in (("usr/bin/sh", "dash"), ("usr/bin/awk", "mawk")):
        if not (folder / link).exists() and (folder / "usr/bin" / target).exists():
            (folder / link).symlink_to(target)
    (folder / "etc/passwd").write_text("root::0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/usr/sbin/nologin\n")
    (folder / "etc/group").write_text("root:x:0:\ntty:x:5:\nadm:x:4:\nutmp:x:43:\nnogroup:x:65534:\n")
    (folder / "etc/shadow").write_text("root:*:19000::::::\n")
    (folder / "etc/machine-id").write_text("")
    for name in ("proc", "sys", "dev", "run", "tmp", "root", "var/log", "var/lib"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    subprocess.check_call(["ldconfig", "-r", str(folder)])


def _closure(packages: Sequence[str]) -> Set[str]:
    """These packages and all that they depend on, as far as it is installed."""
    found: Set[str] = set()
    wanted = list(packages)
    while wanted:
        answer = subprocess.run(["dpkg-query", "-W", "-f", "${Package}\\t${db:Status-Status}\\t${Pre-Depends}, ${Depends}\\n"]
                                + wanted, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout.decode()
        rows = [line.split("\t") for line in answer.splitlines()]
        present = {row[0]: row[2] for row in rows if row[1] == "installed"}
        found.update(present)
        names = {match for text in present.values() for match in re.findall(r"(?:^|[,|]) *([a-z0-9][a-z0-9+.-]+)", text)}
        wanted = sorted(names - found - {row[0] for row in rows if row[1] != "installed"} - set(wanted))
    for package in packages:
        if package not in found:
            pytest.skip("needs the package " + package)
    return found


def add_downloaded(folder: Path, packages: Sequence[str]) -> None:
    """Unpacks packages that cannot be installed beside others of this host, as apt fetches them."""
    with tempfile.TemporaryDirectory() as place:
        os.chmod(place, 0o755)
        subprocess.check_call(["apt-get", "download", "-qq", "-o", "APT::Sandbox::User=root"] + list(packages), cwd=place)
        for archive in sorted(Path(place).glob("*.deb")):
            unpack_package(archive, folder)


def unpack_package(archive: Path, folder: Path) -> None:
    """Unpacks one package over a root file system."""
    read = subprocess.Popen(["dpkg-deb", "--fsys-tarfile", str(archive)], stdout=subprocess.PIPE)
    unpack = subprocess.Popen(["tar", "-C", str(folder), "--keep-directory-symlink", "-xf", "-"], stdin=read.stdout)
    assert (read.wait(), unpack.wait()) == (0, 0), archive


def lines(text: bytes) -> List[str]:
    """What a command printed, as lines of text."""
    return text.decode("utf-8", "replace").splitlines()
