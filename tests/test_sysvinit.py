"""The init scripts below a real sysvinit, which is process 1 of a container and starts them from its runlevel's links."""

import shutil
from pathlib import Path
from typing import Iterator

import pytest

import hosts
import oci
from blackbox import REPOSITORY, Result, wait_until

pytestmark = [pytest.mark.root, pytest.mark.slow]

PACKAGES = ("coreutils", "debianutils", "dash", "sed", "grep", "mawk", "findutils", "util-linux", "procps", "python3", "libc-bin",
            "mount", "sysvinit-utils")
# They stand in the way of systemd-sysv, so they cannot be installed here.
DOWNLOADED = ("sysvinit-core", "sysv-rc", "initscripts", "insserv", "startpar")

APP = """#!/usr/bin/python3
import signal, sys, time
signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(7))
signal.signal(signal.SIGHUP, lambda number, frame: open("/tmp/reloaded", "w").close())
while True:
    open("/etc/shadow").close()
    time.sleep(0.05)
"""

PROBE, MY_APP, LOG = "/etc/init.d/ebpfless-probe", "/etc/init.d/my-app", "/var/log/ebpfless/"


class Host:
    """A booted host and a way to run commands on it."""

    def __init__(self, container: oci.Container) -> None:
        self.container = container

    def run(self, *command: str, status: int = 0) -> str:
        """What a command prints; it has to exit with this status."""
        result = self.container.execute(*command)
        assert result.status == status, (command, result)
        return (result.stdout + result.stderr).decode("utf-8", "replace")

    def ask(self, *command: str) -> Result:
        """What a command does."""
        return self.container.execute(*command)

    def file(self, path: str) -> str:
        """The text of a file, "" when there is none."""
        found = Path(str(self.container.root) + path)
        return found.read_text("utf-8", "replace") if found.exists() else ""

    def pid(self, name: str) -> int:
        """The process id that a pid file in /run/ebpfless holds, 0 without one."""
        return int(self.ask("cat", "/run/ebpfless/%s.pid" % name).stdout or b"0")


def boot(root: Path) -> oci.Container:
    """Starts the host; /src is the checkout."""
    return oci.Container(root, ["/sbin/init"], system=True, read_only=False, binds={str(REPOSITORY): "/src"})


def is_up(host: Host) -> bool:
    """Whether init has gone through its runlevel: it starts getty after that."""
    return b"getty" in host.ask("ps", "ax").stdout


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A host onto which ebpfless was installed, with its services enabled as its administrator would."""
    oci.needed()
    root = hosts.make(tmp_path_factory.mktemp("host") / "root", PACKAGES)
    hosts.add_downloaded(root, DOWNLOADED)
    shutil.copy(str(root / "usr/share/sysvinit/inittab"), str(root / "etc/inittab"))
    (root / "src").mkdir()
    (root / "usr/bin/my-app").write_text(APP)
    (root / "usr/bin/my-app").chmod(0o755)
    with boot(root) as container:
        host = Host(container)
        wait_until(lambda: is_up(host), "init is up")
        assert "service ebpfless-probe start" in host.run("/src/scripts/install", "--prefix", "/usr")
        host.run("cp", "/usr/share/ebpfless/examples/my-app", MY_APP)
        host.run("insserv", "ebpfless-probe", "ebpfless-attach", "my-app")
    assert (root / "etc/rc2.d/S01ebpfless-probe").is_symlink() and list((root / "etc/rc6.d").glob("K*ebpfless-attach"))
    return root


@pytest.fixture
def host(root: Path) -> Iterator[Host]:
    """The host, booted."""
    shutil.rmtree(str(root / "var/log/ebpfless"), ignore_errors=True)
    with boot(root) as container:
        found = Host(container)
        wait_until(lambda: is_up(found), "init is up")
        yield found


def test_init_starts_the_probe_and_the_wrapped_application_and_ends_both(host: Host) -> None:
    wait_until(lambda: "credential_file_read" in host.file(LOG + "probe.log"), "the probe hears of the application")
    assert host.run(PROBE, "status") == "ebpfless-probe is running (process %d)\n" % host.pid("probe")
    assert host.run(MY_APP, "status") == "my-app is running (process %d)\n" % host.pid("my-app")
    host.run("telinit", "1")
    wait_until(lambda: not host.pid("probe") and not host.pid("my-app"), "the runlevel's K scripts have run")
    assert b"my-app" not in host.ask("ps", "ax").stdout and b"ebpfless" not in host.ask("ps", "ax").stdout


def test_the_probe_s_script_does_what_lsb_asks_for(host: Host) -> None:
    first = host.pid("probe")
    assert host.run(PROBE, "start") == "ebpfless-probe is running already (process %d)\n" % first
    assert host.run(PROBE, "reload") == ""
    wait_until(lambda: "reloaded: " in host.file(LOG + "probe.log"), "the rules are loaded again")
    assert host.pid("probe") == first
    assert host.run(PROBE, "restart").startswith("ebpfless-probe stopped\nebpfless-probe started (process ")
    assert host.pid("probe") not in (0, first)
    assert host.run(PROBE, "stop") == "ebpfless-probe stopped\n"
    assert host.run(PROBE, "stop") == "ebpfless-probe is not running\n"
    assert host.run(PROBE, "status", status=3) == "ebpfless-probe is not running\n"
    assert host.run(PROBE, "reload", status=7) == "ebpfless-probe is not running\n"
    assert host.run(PROBE, "try-restart") == "" and not host.pid("probe")
    assert host.run(PROBE, "frob", status=2).startswith("usage: ")
    # A pid file that somebody else's process has got since is not believed.
    host.run("sh", "-c", "echo 1 >/run/ebpfless/probe.pid")
    assert host.run(PROBE, "status", status=1) == "ebpfless-probe is dead, but /run/ebpfless/probe.pid is there\n"
    assert host.run(PROBE, "start").startswith("ebpfless-probe started")


def test_a_probe_that_cannot_start_says_why(host: Host) -> None:
    host.run(PROBE, "stop")
    host.run("sh", "-c", "echo 'PROBE_OPTIONS=\"--listen nowhere\"' >>/etc/default/ebpfless")
    told = host.run(PROBE, "start", status=1)
    host.run("sed", "-i", "/nowhere/d", "/etc/default/ebpfless")
    assert told.startswith("ebpfless-probe did not start; the last lines of /var/log/ebpfless/probe.log:\n") and "nowhere" in told
    assert not host.pid("probe")


def test_the_wrapped_application_gets_the_signals_of_its_script(host: Host) -> None:
    wait_until(lambda: "credential_file_read" in host.file(LOG + "probe.log"), "the application does its work")
    first = host.pid("my-app")
    assert host.run(MY_APP, "reload") == ""
    wait_until(lambda: host.ask("test", "-e", "/tmp/reloaded").status == 0, "the application has got SIGHUP")
    assert host.run(MY_APP, "restart").startswith("my-app stopped\nmy-app started")
    assert host.pid("my-app") not in (0, first)
    assert host.run(MY_APP, "stop") == "my-app stopped\n"
    assert b"/usr/bin/my-app" not in host.ask("ps", "ax").stdout


OTHER, ATTACH, ATTACH_LOG = "/etc/init.d/other-app", "/etc/init.d/ebpfless-attach", LOG + "attach-other-app.log"
# A service that knows nothing of ebpfless.
SCRIPT = """#!/bin/sh
pid() { cat /run/other-app.pid 2>/dev/null || echo none; }
stop() { kill "$(pid)" && while [ -d "/proc/$(pid)" ]; do sleep 0.05; done; rm -f /run/other-app.pid; }
start() { setsid /usr/bin/other-app </dev/null >/dev/null 2>&1 & echo $! >/run/other-app.pid; }
case $1 in start) start ;; stop) stop ;; restart) stop; start ;; esac
"""


def test_the_attach_script_survives_five_restarts_of_its_program_and_leaves_it_running(host: Host) -> None:
    top = host.container.root
    shutil.copy(str(top / "usr/bin/my-app"), str(top / "usr/bin/other-app"))
    (top / OTHER[1:]).write_text(SCRIPT)
    (top / OTHER[1:]).chmod(0o755)
    with (top / "etc/default/ebpfless").open("a") as file:
        file.write("FOLLOW=other-app\nATTACH_OPTIONS='--probe-addr none'\n")
    host.run(OTHER, "start")
    assert host.run(ATTACH, "start").startswith("ebpfless-attach other-app started")
    first = host.pid("attach-other-app")
    wait_until(lambda: "credential_file_read" in host.file(ATTACH_LOG), "it is attached")
    for _ in range(5):
        host.run(OTHER, "restart")
        now = host.ask("cat", "/run/other-app.pid").stdout.decode().strip()
        wait_until(lambda: "other-app[%s]" % now in host.file(ATTACH_LOG), "it is attached again", 60)
    assert host.pid("attach-other-app") == first
    assert host.run(ATTACH, "status") == "ebpfless-attach other-app is running (process %d)\n" % first
    assert host.run(ATTACH, "reload", status=3).startswith("ebpfless-attach cannot reload")
    assert host.run(ATTACH, "stop") == "ebpfless-attach other-app stopped\n"
    assert "TracerPid:\t0\n" in host.run("cat", "/proc/%s/status" % now)
    host.run(OTHER, "stop")


def test_uninstalling_stops_what_runs_and_leaves_changed_configuration_only(host: Host) -> None:
    text = host.run("/src/scripts/install", "--uninstall", "--prefix", "/usr")
    assert text.endswith("kept, for it was changed: /etc/default/ebpfless\n"), text
    assert b"ebpfless probe" not in host.ask("ps", "ax").stdout
    left = host.run("find", "/usr", "/etc", "-name", "*ebpfless*").split()
    # The links of insserv are the administrator's, where there is no update-rc.d.
    assert [name for name in left if not name.startswith("/etc/rc")] == ["/etc/default/ebpfless"]
