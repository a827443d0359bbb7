"""Containers for tests: root file systems that hold a Python and nothing else, run by runc as Docker would run them.

    with oci.Networks() as networks, oci.Container(folder, oci.python_root(tmp), [...], network=networks.join("a")) as box:
        assert box.wait() == 0

Everything that is made here carries an id of its own and is ended and removed by that id alone.
"""

import itertools
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Dict, Iterable, List, Mapping, NamedTuple, Optional, Sequence, Set, Tuple, Type

import pytest

from blackbox import Result, end_tree, status_field, wait_until

DEFAULT_CAPABILITIES = tuple("CAP_" + name for name in """
    CHOWN DAC_OVERRIDE FSETID FOWNER MKNOD NET_RAW SETGID SETUID SETFCAP SETPCAP NET_BIND_SERVICE SYS_CHROOT KILL
    AUDIT_WRITE""".split())
"""What Docker grants a container when nobody asks for more."""

WITH_PTRACE = DEFAULT_CAPABILITIES + ("CAP_SYS_PTRACE",)
"""The same after `--cap-add SYS_PTRACE`."""

PYTHON = "/usr/bin/python3"
"""Where the root file systems made here have their Python."""

_PROFILE = "/usr/share/containers/seccomp.json"
_ARCHITECTURES = {"x86_64": ("amd64", ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"]),
                  "aarch64": ("arm64", ["SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"])}
_UNNEEDED = ("test", "tests", "idlelib", "tkinter", "turtledemo", "ensurepip", "lib2to3", "site-packages",
             "dist-packages", "config-*", "*.a", "libpython*")
_CGROUP = "ebpfless-test-%d" % os.getpid()
_numbers = itertools.count(1)


# Root file systems

def needed() -> None:
    """Skips the test where containers cannot be run at all: without root or without runc."""
    if os.geteuid() != 0:
        pytest.skip("needs root")
    if shutil.which("runc") is None:
        pytest.skip("needs runc")


def python_root(folder: Path, interpreter: str = sys.executable) -> Path:
    """Makes a root file system in `folder`: this Python at PYTHON with its library, no shell and no other program.

    It has what distroless images have besides: /etc/passwd and /etc/group with root, nobody and nonroot, and an empty /tmp.
    """
    bare_root(folder)
    base, library = _installed(interpreter)
    target = folder / "usr" / "lib" / Path(library).name
    shutil.copytree(library, str(target), ignore=shutil.ignore_patterns(*_UNNEEDED))
    shutil.copy(base, str(folder / PYTHON[1:]))
    objects = [base] + [str(path) for path in target.rglob("*.so")]
    copy_libraries(objects, folder)
    return folder


def _installed(interpreter: str) -> Tuple[str, str]:
    """The binary behind an interpreter's name (not that of a virtual environment) and its library's folder."""
    code = ("import os, sys; print(os.path.realpath(sys.executable) if sys.prefix == sys.base_prefix else os.path.realpath("
            "os.path.join(sys.base_prefix, 'bin', 'python%d.%d' % sys.version_info[:2]))); print(os.path.dirname(os.__file__))")
    binary, library = subprocess.check_output([interpreter, "-I", "-S", "-c", code]).decode().splitlines()
    return binary, library


def bare_root(folder: Path) -> Path:
    """Makes a root file system without any program in it."""
    for name in ("usr/bin", "usr/lib", "etc", "proc", "sys", "dev", "tmp", "app", "var", "run", "root"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    for link in ("bin", "sbin", "lib", "lib64"):
        if not (folder / link).exists():
            (folder / link).symlink_to("usr/bin" if "bin" in link else "usr/lib")
    (folder / "tmp").chmod(0o1777)
    (folder / "etc" / "passwd").write_text("root:x:0:0:root:/root:/sbin/nologin\nnobody:x:65534:65534:nobody:/:/sbin/nologin\n"
                                           "nonroot:x:65532:65532:nonroot:/tmp:/sbin/nologin\n")
    (folder / "etc" / "group").write_text("root:x:0:\nnogroup:x:65534:\nnonroot:x:65532:\n")
    (folder / "etc" / "nsswitch.conf").write_text("passwd: files\ngroup: files\nhosts: files dns\n")
    (folder / "etc" / "os-release").write_text('ID=none\nPRETTY_NAME="no distribution"\n')
    (folder / "etc" / "shadow").write_text("root:*:19000:0:99999:7:::\n")
    (folder / "etc" / "shadow").chmod(0o640)
    return folder


def busybox_root(folder: Path) -> Path:
    """Makes one whose only program is a static busybox; skips the test where there is none."""
    busybox = shutil.which("busybox")
    if busybox is None or subprocess.call(["ldd", busybox], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) == 0:
        pytest.skip("needs busybox-static")
    shutil.copy(busybox, str(bare_root(folder) / "usr/bin/busybox"))
    return folder


def add_program(root: Path, program: str) -> str:
    """Copies a program of the host with its libraries into a root file system; returns its path there."""
    target = root / "usr" / "bin" / Path(program).name
    shutil.copy(program, str(target))
    copy_libraries([program], root)
    return "/usr/bin/" + target.name


def debian_root(folder: Path, packages: Sequence[str]) -> Path:
    """Makes a root file system of the files that these installed packages of the host brought, and their libraries."""
    bare_root(folder)
    listed = subprocess.check_output(["dpkg", "-L"] + list(packages)).decode().splitlines()
    files = [name for name in listed if os.path.isfile(name) and name.startswith(("/usr/bin", "/usr/lib", "/lib"))]
    for name in files:
        target = folder / name[1:]
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(name, str(target), follow_symlinks=False)
    copy_libraries([name for name in files if not name.endswith((".py", ".pyc"))], folder)
    return folder


def copy_libraries(objects: Iterable[str], root: Path) -> None:
    """Copies what the dynamic linker loads for these programs and libraries to where it looks for it in `root`.

    The loader itself keeps its path; the rest goes to its last default directory, /usr/lib.
    """
    found: Set[str] = set()
    for name in objects:
        listed = subprocess.run(["ldd", name], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        for line in listed.stdout.decode().splitlines():
            words = [word for word in line.split() if word.startswith("/")]
            found.update(words[:1] if "=>" not in line else words[-1:])
    for library in found:
        target = root / "usr" / "lib" / Path(library).name
        if not target.exists():
            shutil.copy(library, str(target))


def seccomp_profile(capabilities: Sequence[str]) -> Optional[Dict[str, Any]]:
    """The default profile of a container engine as runc takes it, for these capabilities; None where none is installed.

    It is the one that Debian's golang-github-containers-common brings; as to ptrace it says what Docker's says.
    """
    if not os.path.exists(_PROFILE):
        return None
    with open(_PROFILE) as file:
        profile = json.load(file)
    name, architectures = _ARCHITECTURES[os.uname().machine]
    calls = [{"names": row["names"], "action": row["action"], "args": row["args"] or []} for row in profile["syscalls"]
             if _applies(row, name, capabilities) and not (row["action"] == "SCMP_ACT_ERRNO" and not row["args"])]
    return {"defaultAction": profile["defaultAction"], "architectures": architectures, "syscalls": calls}


def _applies(row: Dict[str, Any], architecture: str, capabilities: Sequence[str]) -> bool:
    wanted, unwanted = row.get("includes") or {}, row.get("excludes") or {}
    return (architecture in wanted.get("arches", [architecture]) and architecture not in unwanted.get("arches", [])
            and set(wanted.get("caps", [])) <= set(capabilities) and not set(unwanted.get("caps", [])) & set(capabilities))


# Networks

class Networks:
    """One bridge with an address, in a network namespace of its own, and namespaces that are joined to it by veth pairs.

    `address(name)` is 10.77.0.N; nothing of it is reachable from outside of these namespaces, nor the reverse.
    """

    def __init__(self) -> None:
        self._prefix = "et%d-%d" % (os.getpid(), next(_numbers))
        self._names: List[str] = []

    def __enter__(self) -> "Networks":
        self._add("bridge")
        self._ip("bridge", "link", "add", "br0", "type", "bridge")
        self._ip("bridge", "addr", "add", "10.77.0.1/24", "dev", "br0")
        self._ip("bridge", "link", "set", "br0", "up")
        return self

    def __exit__(self, kind: Optional[Type[BaseException]], value: Optional[BaseException],
                 traceback: Optional[TracebackType]) -> None:
        for name in reversed(self._names):
            subprocess.call(["ip", "netns", "delete", self._full(name)])

    def join(self, name: str) -> str:
        """Adds a namespace to the bridge and returns its path, for Container(network=...)."""
        self._add(name)
        port = "port%d" % (len(self._names) - 1)
        self._ip("bridge", "link", "add", port, "type", "veth", "peer", "name", "eth0", "netns", self._full(name))
        self._ip("bridge", "link", "set", port, "master", "br0", "up")
        self._ip(name, "addr", "add", self.address(name) + "/24", "dev", "eth0")
        self._ip(name, "link", "set", "eth0", "up")
        return "/var/run/netns/" + self._full(name)

    def address(self, name: str) -> str:
        """The IPv4 address of a namespace."""
        return "10.77.0.%d" % (self._names.index(name) + 1)

    def inside(self, name: str) -> List[str]:
        """The words that run a command of the host in a namespace."""
        return ["ip", "netns", "exec", self._full(name)]

    def _full(self, name: str) -> str:
        return "%s-%s" % (self._prefix, name)

    def _add(self, name: str) -> None:
        subprocess.check_call(["ip", "netns", "add", self._full(name)])
        self._names.append(name)
        self._ip(name, "link", "set", "lo", "up")

    def _ip(self, name: str, *words: str) -> None:
        subprocess.check_call(["ip", "-n", self._full(name)] + list(words))


# Containers

class Spec(NamedTuple):
    """What a container is, as its engine would be told; the defaults are Docker's.

    `binds` maps paths of the host to places in the container, read-only; `writable` the same with writing allowed.
    `pid` and `network` are "" for a namespace of their own, "host", or the path of one to share. `private_cgroup` is what
    engines do on hosts with cgroup v2: the container sees itself at the root of its cgroups. `system` is for a command that
    is an init system: all capabilities that we have, cgroups that can be written, nothing masked.
    """

    command: Sequence[str]
    environment: Mapping[str, str] = {}
    binds: Mapping[str, str] = {}
    writable: Mapping[str, str] = {}
    capabilities: Sequence[str] = DEFAULT_CAPABILITIES
    read_only: bool = True
    pid: str = ""
    network: str = ""
    private_cgroup: bool = False
    uid: int = 0
    directory: str = "/"
    seccomp: bool = True
    no_new_privileges: bool = False
    system: bool = False


class Container:
    """A container from the moment it is made; leaving the block kills all of it and removes what runc kept."""

    def __init__(self, root: Path, command: Sequence[str], **spec: Any) -> None:
        needed()
        self.root = root
        # 64 hexadecimal digits, as Docker and containerd name theirs.
        self.id = ("%08x%08x" % (os.getpid(), next(_numbers))) * 4
        self._folder = Path(tempfile.mkdtemp(prefix="ebpfless-bundle-"))
        config = configuration(root, self.id, Spec(command, **spec))
        (self._folder / "config.json").write_text(json.dumps(config))
        self._output = open(str(self._folder / "stdout"), "w+b")
        self._errors = open(str(self._folder / "stderr"), "w+b")
        self.process = subprocess.Popen(self._runc("run", "--bundle", str(self._folder), self.id), stdin=subprocess.DEVNULL,
                                        stdout=self._output, stderr=self._errors, start_new_session=True)

    def _runc(self, *words: str) -> List[str]:
        return ["runc", "--root", str(self._folder / "state")] + list(words)

    def __enter__(self) -> "Container":
        return self

    def __exit__(self, kind: Optional[Type[BaseException]], value: Optional[BaseException],
                 traceback: Optional[TracebackType]) -> None:
        if self.process.poll() is None:
            subprocess.call(self._runc("kill", self.id, "KILL"), stderr=subprocess.DEVNULL)
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                end_tree(self.process.pid)
                self.process.wait()
        subprocess.call(self._runc("delete", "--force", self.id), stderr=subprocess.DEVNULL)
        self._output.close()
        self._errors.close()
        shutil.rmtree(str(self._folder))
        remove_cgroups()

    @property
    def pid(self) -> int:
        """The id, on the host, of the container's first process; waits until it has started."""
        found: List[int] = []

        def started() -> bool:
            state = subprocess.run(self._runc("state", self.id), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
            if state.returncode == 0:
                answer = json.loads(state.stdout.decode())
                if answer["status"] == "running":
                    found.append(int(answer["pid"]))
            return bool(found) or self.process.poll() is not None

        wait_until(started, "the container runs")
        assert found, "the container ended at once: %r" % self.errors()
        return found[0]

    def namespace(self, kind: str) -> str:
        """The path of one of its namespaces ("pid", "net"), for another container to share."""
        return "/proc/%d/ns/%s" % (self.pid, kind)

    def output(self) -> bytes:
        """What it wrote to standard output until now."""
        return os.pread(self._output.fileno(), 1 << 24, 0)

    def errors(self) -> bytes:
        """What it wrote to standard error until now; runc's own complaints come there, too."""
        return os.pread(self._errors.fileno(), 1 << 24, 0)

    def wait_for(self, text: bytes, seconds: float = 30.0) -> None:
        """Waits until a text was written to either stream; AssertionError when it does not come."""
        def there() -> bool:
            return text in self.output() + self.errors() or self.process.poll() is not None

        wait_until(there, "%r in %r" % (text, self.errors()), seconds)
        assert text in self.output() + self.errors(), (self.process.poll(), self.output(), self.errors())

    def execute(self, *command: str, timeout: float = 60.0) -> Result:
        """Runs one more command in it, as `docker exec` does."""
        done = subprocess.run(self._runc("exec", self.id) + list(command), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, timeout=timeout)
        return Result(done.returncode, done.stdout, done.stderr, [])

    def signal(self, name: str) -> None:
        """Sends a signal ("TERM") to its first process, as `docker stop` does."""
        subprocess.check_call(self._runc("kill", self.id, name))

    def wait(self, seconds: float = 90.0) -> Result:
        """Waits for its end; the status is that of its first process."""
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError("the container hangs: %r %r" % (self.output(), self.errors()))
        return Result(self.process.returncode, self.output(), self.errors(), [])


def run(root: Path, command: Sequence[str], **spec: Any) -> Result:
    """Runs a container to its end."""
    with Container(root, command, **spec) as container:
        return container.wait()


def configuration(root: Path, identifier: str, spec: Spec) -> Dict[str, Any]:
    """The config.json of an OCI bundle (runtime-spec 1.0)."""
    environment = dict({"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOSTNAME": identifier[:12],
                        "PYTHONDONTWRITEBYTECODE": "1"}, **spec.environment)
    allowed = sorted(set(_all_capabilities() if spec.system else spec.capabilities))
    kept = allowed if spec.uid == 0 else []
    return {
        "ociVersion": "1.0.2",
        "process": {
            "terminal": False, "user": {"uid": spec.uid, "gid": spec.uid}, "args": list(spec.command), "cwd": spec.directory,
            "env": ["%s=%s" % item for item in sorted(environment.items())], "noNewPrivileges": spec.no_new_privileges,
            "capabilities": {"bounding": allowed, "effective": kept, "permitted": kept},
        },
        "root": {"path": str(root), "readonly": spec.read_only},
        "hostname": identifier[:12],
        "mounts": _mounts(spec),
        "linux": dict(_SYSTEM if spec.system else _LINUX, namespaces=_namespaces(spec), cgroupsPath="/%s/docker/%s" % (_CGROUP, identifier),
                      **_limits(spec)),
    }


def _all_capabilities() -> List[str]:
    """The names that runc knows of the capabilities in our bounding set (capabilities(7))."""
    bits = int(status_field(os.getpid(), "CapBnd"), 16)
    return ["CAP_" + name for number, name in enumerate(_CAPABILITIES) if bits >> number & 1]


def _limits(spec: Spec) -> Dict[str, Any]:
    profile = seccomp_profile(spec.capabilities) if spec.seccomp and not spec.system else None
    return {"seccomp": profile} if profile else {}


def _namespaces(spec: Spec) -> List[Dict[str, str]]:
    found = [{"type": kind} for kind in ("ipc", "uts", "mount")]
    for kind, wanted in (("pid", spec.pid), ("network", spec.network)):
        if wanted != "host":
            found.append({"type": kind, "path": wanted} if wanted else {"type": kind})
    if spec.private_cgroup or spec.system:
        found.append({"type": "cgroup"})
    return found


def _mounts(spec: Spec) -> List[Dict[str, Any]]:
    system = [("proc", "/proc", ["nosuid", "noexec", "nodev"]), ("tmpfs", "/dev", ["nosuid", "strictatime", "mode=755"]),
              ("tmpfs", "/tmp", ["nosuid", "nodev", "mode=1777"]), ("tmpfs", "/run", ["nosuid", "nodev", "mode=755"])]
    if spec.network != "host":
        system.append(("sysfs", "/sys", ["nosuid", "noexec", "nodev", "ro"]))
    if spec.system:
        system += [("cgroup", "/sys/fs/cgroup", ["nosuid", "noexec", "nodev", "rw"]), ("tmpfs", "/dev/shm", ["nosuid", "nodev"]),
                   ("devpts", "/dev/pts", ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"])]
    found = [{"destination": place, "type": kind, "source": kind, "options": options} for kind, place, options in system]
    for sources, option in ((spec.binds, "ro"), (spec.writable, "rw")):
        found += [{"destination": place, "type": "bind", "source": source, "options": ["rbind", option]}
                  for source, place in sources.items()]
    return found


_LINUX: Dict[str, Any] = {
    "resources": {"devices": [{"allow": False, "access": "rwm"}]},
    "maskedPaths": ["/proc/acpi", "/proc/asound", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/timer_list",
                    "/proc/sched_debug", "/proc/scsi", "/sys/firmware"],
    "readonlyPaths": ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"],
}


_SYSTEM: Dict[str, Any] = {"resources": _LINUX["resources"]}
_CAPABILITIES = """
    CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE NET_BIND_SERVICE NET_BROADCAST
    NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT SYS_PTRACE SYS_PACCT SYS_ADMIN SYS_BOOT SYS_NICE
    SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE MAC_ADMIN SYSLOG""".split()


def remove_cgroups() -> None:
    """runc removes a container's own cgroups and leaves those above, which are ours as well."""
    for top in Path("/sys/fs/cgroup").iterdir():
        for folder in (top / _CGROUP / "docker", top / _CGROUP):
            deadline = time.monotonic() + 5
            while folder.is_dir() and time.monotonic() < deadline:
                try:
                    folder.rmdir()
                except OSError:
                    # Containers of the same test run still live in it.
                    break
