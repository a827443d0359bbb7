"""The units below a real systemd, which is process 1 of a container."""

from pathlib import Path
from typing import Iterator

import pytest

import hosts
import oci
from blackbox import REPOSITORY, wait_until

pytestmark = [pytest.mark.root, pytest.mark.slow]

PACKAGES = ("systemd", "systemd-sysv", "coreutils", "dash", "sed", "grep", "mawk", "findutils", "util-linux", "procps", "python3", "libc-bin")

APP = """#!/usr/bin/python3
import signal, time
while True:
    open("/etc/shadow").close()
    time.sleep(0.05)
"""
UNIT = """[Unit]
StartLimitIntervalSec=0
[Service]
ExecStart=/usr/bin/my-app
Restart=always
RestartSec=100ms
"""


class Host:
    """A booted host and a way to run commands on it."""

    def __init__(self, container: oci.Container) -> None:
        self.container = container

    def run(self, *command: str, status: int = 0) -> str:
        """What a command prints; it has to exit with this status."""
        result = self.container.execute(*command)
        assert result.status == status, (command, result, self.journal())
        return (result.stdout + result.stderr).decode("utf-8", "replace")

    def show(self, unit: str, name: str) -> str:
        """One property of a unit."""
        return self.run("systemctl", "show", "-P", name, unit).strip()

    def journal(self, *options: str) -> str:
        """What was logged."""
        return self.container.execute("journalctl", "--no-pager", "-o", "cat", *options).stdout.decode("utf-8", "replace")


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    """A host with systemd, onto which ebpfless was installed by scripts/install."""
    oci.needed()
    root = hosts.make(tmp_path_factory.mktemp("host") / "root", PACKAGES)
    (root / "usr/bin/my-app").write_text(APP)
    (root / "usr/bin/my-app").chmod(0o755)
    (root / "etc/systemd/system/my-app.service").write_text(UNIT)
    for folder in ("src", "etc/systemd/system/multi-user.target.wants"):
        (root / folder).mkdir(exist_ok=True)
    with oci.Container(root, ["/sbin/init"], system=True, read_only=False, binds={str(REPOSITORY): "/src"},
                       environment={"container": "oci"}) as container:
        found = Host(container)
        wait_until(lambda: container.execute("systemctl", "is-system-running").stdout.strip() in (b"running", b"degraded"),
                   "systemd is up", 60)
        found.run("/src/scripts/install", "--prefix", "/usr")
        yield found


def test_it_installs_units_that_systemd_finds_nothing_in(host: Host) -> None:
    units = ["/usr/lib/systemd/system/" + name for name in ("ebpfless-probe.service", "ebpfless-probe.socket", "ebpfless-attach@.service")]
    assert host.run("systemd-analyze", "verify", "--man=no", *units) == ""


@pytest.mark.parametrize("unit", ["ebpfless-probe.service", "ebpfless-attach@my-app.service"])
def test_systemd_rates_their_exposure_as_low(host: Host, unit: str) -> None:
    text = host.run("systemd-analyze", "security", "--no-pager", unit)
    print(text)
    level = float(text.rpartition("exposure level for %s: " % unit)[2].split()[0])
    # From 0 to 10, where a unit that says nothing has 9.6.
    assert level < 3, text


def test_the_probe_is_ready_when_systemd_says_so_and_reloads_and_ends(host: Host) -> None:
    host.run("systemctl", "start", "ebpfless-probe")
    assert host.show("ebpfless-probe", "ActiveState") == "active"
    assert host.show("ebpfless-probe", "Type") == "notify"
    assert host.run("ebpfless", "trace", "--wait-probe", "30", "--", "/usr/bin/python3", "-c", "open('/etc/shadow')") == ""
    wait_until(lambda: "credential_file_read" in host.journal("-u", "ebpfless-probe"), "the probe tells the detection")
    first = host.show("ebpfless-probe", "MainPID")
    host.run("systemctl", "reload", "ebpfless-probe")
    wait_until(lambda: "rules" in host.journal("-u", "ebpfless-probe").rpartition("listens on")[2].partition("\n")[2], "it reloads")
    assert host.show("ebpfless-probe", "MainPID") == first
    assert host.show("ebpfless-probe", "WatchdogUSec") == "30s"
    host.run("systemctl", "stop", "ebpfless-probe")
    assert host.show("ebpfless-probe", "Result") == "success" and host.show("ebpfless-probe", "ExecMainStatus") == "0"


def test_a_probe_that_hangs_is_replaced(host: Host) -> None:
    """By the watchdog, which the unit asks for after 30 s and this test after five: a busy machine must not look like a hang."""
    folder = host.container.root / "etc/systemd/system/ebpfless-probe.service.d"
    folder.mkdir()
    (folder / "quick.conf").write_text("[Service]\nWatchdogSec=5\nRestartSec=0\n")
    host.run("systemctl", "daemon-reload")
    host.run("systemctl", "start", "ebpfless-probe")
    first = host.show("ebpfless-probe", "MainPID")
    host.run("kill", "-STOP", first)
    wait_until(lambda: host.show("ebpfless-probe", "MainPID") not in ("0", first) and
               host.show("ebpfless-probe", "ActiveState") == "active", "systemd starts another one", 90)
    assert host.show("ebpfless-probe", "NRestarts") != "0"
    host.run("systemctl", "stop", "ebpfless-probe")


def told(host: Host) -> int:
    """How many detections the attach unit has written."""
    return host.journal("-u", "ebpfless-attach@my-app.service").count("credential_file_read")


def test_the_attach_unit_survives_five_restarts_of_its_program_and_leaves_it_running(host: Host) -> None:
    unit = "ebpfless-attach@my-app.service"
    host.run("systemctl", "start", "my-app", unit)
    wait_until(lambda: told(host) > 0, "it is attached")
    tracer = host.show(unit, "MainPID")
    seen = set()
    for _ in range(5):
        before = told(host)
        host.run("systemctl", "restart", "my-app")
        seen.add(host.show("my-app", "MainPID"))
        wait_until(lambda: told(host) > before and
                   "my-app[%s]" % host.show("my-app", "MainPID") in host.journal("-u", unit), "it is attached again", 60)
    assert len(seen) == 5
    assert (host.show(unit, "MainPID"), host.show(unit, "NRestarts")) == (tracer, "0")
    application = host.show("my-app", "MainPID")
    host.run("systemctl", "stop", unit)
    assert host.show(unit, "Result") == "success"
    assert host.show("my-app", "MainPID") == application and host.show("my-app", "ActiveState") == "active"
    assert "TracerPid:\t0\n" in host.run("cat", "/proc/%s/status" % application)
    host.run("systemctl", "stop", "my-app")


def test_a_service_is_wrapped_by_a_drop_in(host: Host) -> None:
    """The example, with the program's own command line behind the dashes."""
    example = host.run("cat", "/usr/share/ebpfless/examples/wrapped-service.conf")
    folder = host.container.root / "etc/systemd/system/my-app.service.d"
    folder.mkdir()
    (folder / "ebpfless.conf").write_text(example)
    host.run("systemctl", "daemon-reload")
    host.run("systemctl", "start", "my-app")
    wait_until(lambda: "credential_file_read" in host.journal("-u", "my-app"), "the wrapped service reads what is watched")
    assert "ebpfless\0trace\0--\0/usr/bin/my-app\0" in host.run("cat", "/proc/%s/cmdline" % host.show("my-app", "MainPID"))
    host.run("systemctl", "stop", "my-app")
    assert host.show("my-app", "Result") == "success"
    assert "my-app" not in host.run("ps", "ax")
    (folder / "ebpfless.conf").unlink()
    host.run("systemctl", "daemon-reload")


def test_uninstalling_stops_what_runs_and_leaves_changed_configuration_only(host: Host) -> None:
    host.run("systemctl", "start", "my-app", "ebpfless-probe", "ebpfless-attach@my-app.service")
    with (host.container.root / "etc/ebpfless/ebpfless.ini").open("a") as file:
        file.write("# changed\n")
    text = host.run("/src/scripts/install", "--uninstall", "--prefix", "/usr")
    assert text.endswith("ebpfless is gone from /usr\nkept, for it was changed: /etc/ebpfless/ebpfless.ini\n"), text
    assert "ebpfless" not in host.run("ps", "ax") and "/usr/bin/my-app" in host.run("ps", "ax")
    left = host.run("find", "/usr", "/etc", "-path", "*ebpfless*", "-not", "-path", "*.service.d*").split()
    assert left == ["/etc/ebpfless", "/etc/ebpfless/ebpfless.ini"]
