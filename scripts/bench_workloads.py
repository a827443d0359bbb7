"""The workloads of scripts/bench: what runs under each tracer, and how long it took."""

import glob
import os
import shutil
import subprocess
import time
from typing import Callable, Dict, List, NamedTuple, Optional, Sequence, Tuple

NOBODY = "65534"
PATH = os.pathsep.join(["/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"]
                       + sorted(glob.glob("/usr/lib/postgresql/*/bin"))[-1:])
_START_SECONDS = 30.0
_END_SECONDS = 60.0
_WARM = 100


class Missing(Exception):
    """Something that a workload needs is not there; the text says what."""


class Place(NamedTuple):
    """Where one run takes place: an empty directory, the compiled loops, the sources that were prepared, how much."""

    folder: str
    loops: str
    sources: str
    quick: bool

    def times(self, usual: int) -> int:
        """How often a loop goes round."""
        return usual // 5 if self.quick else usual

    def file(self, name: str) -> str:
        """A path in the directory."""
        return os.path.join(self.folder, name)


class Work(NamedTuple):
    """What is run under a tracer. `operations` is what the time is divided by."""

    command: List[str]
    operations: int


class Server(NamedTuple):
    """A server that runs under a tracer while a client, which does not, puts load on it.

    ready: raises OSError or CalledProcessError until it answers. warm, load: return how many transactions they did.
    """

    command: List[str]
    ready: Callable[[], None]
    warm: Callable[[], int]
    load: Callable[[], int]
    end: Callable[[], None]


class Workload(NamedTuple):
    """A row of the table below. `unit` is what the time is told of, `outside`: the tracer's own start and end count.
    `empty` is the same work with nothing in it: what that takes is no part of the stops and the CPU time of an operation (of
    a server, what warming it up once more takes). `processes`: how many there are at once, for the table of growth."""

    name: str
    what: str
    needs: Sequence[str]
    make: Callable[[Place], Work]
    serve: Optional[Callable[[Place], Server]] = None
    prepare: Optional[Callable[[str], None]] = None
    unit: str = "run"
    outside: bool = False
    policy: Optional[str] = None
    empty: Optional[Callable[[Place], Work]] = None
    processes: str = ""


def run(command: Sequence[str], **options: object) -> "subprocess.CompletedProcess[bytes]":
    """Run a command to its end without a word; raises CalledProcessError."""
    environment = dict(os.environ, PATH=PATH, LC_ALL="C")
    return subprocess.run(list(command), check=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, env=environment, **options)  # type: ignore


def as_nobody(command: List[str]) -> List[str]:
    """PostgreSQL does not run as root."""
    if os.getuid():
        return command
    return ["setpriv", "--reuid", NOBODY, "--regid", NOBODY, "--clear-groups"] + command


# --- loops ------------------------------------------------------------------------

def _loop(mode: str, usual: int, *words: str) -> Callable[[Place], Work]:
    def make(place: Place) -> Work:
        times = place.times(usual)
        return Work([place.loops, mode, str(times)] + list(words), times)
    return make


def _live(mode: str, argument: str, processes: int, usual: int) -> Callable[[Place], Work]:
    def make(place: Place) -> Work:
        times = max(place.times(usual) // processes, 1) * processes if usual else 0
        return Work([place.loops, mode, str(processes), str(times), argument], times)
    return make


def _growing(unit: str, mode: str, argument: str, usual: int) -> Tuple[Workload, ...]:
    """The same work, done by more and more processes at once, and five times as much of it."""
    found = []
    for processes, times, suffix in ((1, 1, ""), (10, 1, ""), (100, 1, ""), (300, 1, ""), (100, 5, "-long")):
        told = "%d%s" % (processes, ", five times as long" if suffix else "")
        found.append(Workload("%s-%d%s" % (mode, processes, suffix), "%ss by processes at once: %s" % (unit, told), (),
                              _live(mode, argument, processes, times * usual), unit=unit,
                              empty=_live(mode, argument, processes, 0), processes=told))
    return tuple(found)


# --- programs ---------------------------------------------------------------------

def _prepare_make(sources: str) -> None:
    """libiberty, out of Debian's package binutils-source: configured and made."""
    packed = sorted(glob.glob("/usr/src/binutils/binutils-*.tar.*"))
    if not packed:
        raise Missing("/usr/src/binutils (Debian: binutils-source)")
    wanted = ["*/" + name for name in ("libiberty", "include", "config", "config.sub", "config.guess", "install-sh",
                                       "move-if-change", "mkinstalldirs", "config-ml.in", "symlink-tree")]
    run(["tar", "xf", packed[-1], "-C", sources, "--strip-components=1", "--wildcards"] + wanted)
    tree = os.path.join(sources, "libiberty")
    run(["./configure"], cwd=tree)
    run(["make"], cwd=tree)


def _make(place: Place) -> Work:
    """A part of it is compiled again, and all linked."""
    tree = os.path.join(place.sources, "libiberty")
    for name in glob.glob(os.path.join(tree, "r*.o" if place.quick else "[rs]*.o")):
        os.unlink(name)
    return Work(["make", "-C", tree], 1)


def _prepare_tree(sources: str) -> None:
    """Files of Python's own library: for tar, git and compileall."""
    tree = os.path.join(sources, "tree")
    library = os.path.dirname(os.__file__)
    os.mkdir(tree)
    for package in ("asyncio", "collections", "concurrent", "ctypes", "email", "encodings", "http", "importlib", "json",
                    "logging", "multiprocessing", "unittest", "urllib", "wsgiref", "xml", "xmlrpc"):
        shutil.copytree(os.path.join(library, package), os.path.join(tree, package),
                        ignore=shutil.ignore_patterns("__pycache__", "test", "tests"))
    run(["tar", "cf", os.path.join(sources, "tree.tar"), "-C", sources, "tree"])
    repository = os.path.join(sources, "repository")
    shutil.copytree(tree, repository)
    run(["git", "init", "-q", "-b", "main", repository])
    run(["git", "-C", repository, "add", "."])
    run(["git", "-C", repository, "-c", "user.name=a", "-c", "user.email=a@example.org", "commit", "-q", "-m", "one"])


def _compileall(place: Place) -> Work:
    tree = place.file("tree")
    shutil.copytree(os.path.join(place.sources, "tree"), tree)
    return Work(["python3", "-m", "compileall", "-q", tree], 1)


def _git(place: Place) -> Work:
    return Work(["sh", "-c", 'git clone -q "file://$0" "$1" && git -C "$1" status >/dev/null',
                 os.path.join(place.sources, "repository"), place.file("clone")], 1)


def _tar(place: Place) -> Work:
    return Work(["tar", "xf", os.path.join(place.sources, "tree.tar"), "-C", place.folder], 1)


# --- PostgreSQL -------------------------------------------------------------------

def _prepare_postgres(sources: str) -> None:
    """A cluster with pgbench's tables."""
    data = os.path.join(sources, "data")
    os.chmod(sources, 0o777)
    run(as_nobody(["initdb", "-D", data, "--no-sync", "--auth", "trust", "-U", "postgres"]))
    server = _postgres(Place(sources, "", sources, True), ["-i", "-q"], 0, data)
    process = subprocess.Popen(server.command, env=dict(os.environ, PATH=PATH, LC_ALL="C"), stdin=subprocess.DEVNULL,
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    until(server.ready)
    server.load()
    server.end()
    process.wait()


def _postgres(place: Place, options: List[str], transactions: int, data: str) -> Server:
    client = ["-h", place.folder, "-U", "postgres", "postgres"]
    clients = 2

    def pgbench(*words: str) -> None:
        run(["pgbench"] + list(words) + client)

    def warm() -> int:
        pgbench("-n", "-c", str(clients), "-t", str(_WARM // clients), *options)
        return _WARM

    def load() -> int:
        if not transactions:
            pgbench(*options)
            return 1
        pgbench("-n", "-c", str(clients), "-t", str(transactions // clients), *options)
        return transactions

    def end() -> None:
        run(as_nobody(["pg_ctl", "-D", data, "-m", "fast", "-w", "stop"]))

    return Server(as_nobody(["postgres", "-D", data, "-k", place.folder, "-c", "listen_addresses=", "-c", "fsync=off"]),
                  lambda: run(["psql", "-X", "-q", "-c", "select 1"] + client) and None,
                  warm, load, end)


def _pgbench(options: List[str], usual: int) -> Callable[[Place], Server]:
    def serve(place: Place) -> Server:
        os.chmod(place.folder, 0o777)
        data = place.file("data")
        run(as_nobody(["cp", "-a", os.path.join(place.sources, "data"), data]))
        return _postgres(place, options, place.times(usual), data)
    return serve


# --- Redis, nginx -----------------------------------------------------------------

def _redis(place: Place) -> Server:
    socket = place.file("socket")
    requests = place.times(60000)

    def bench(count: int) -> int:
        run(["redis-benchmark", "-s", socket, "-q", "-t", "get,set", "-c", "20", "-n", str(count)])
        return 2 * count

    def end() -> None:
        run(["redis-cli", "-s", socket, "shutdown", "nosave"])

    return Server(["redis-server", "--port", "0", "--unixsocket", socket, "--save", "", "--dir", place.folder],
                  lambda: _pong(socket), lambda: bench(200), lambda: bench(requests), end)


def _pong(socket: str) -> None:
    if b"PONG" not in run(["redis-cli", "-s", socket, "ping"]).stdout:
        raise OSError("redis does not answer yet")


_NGINX = """
daemon off; pid {folder}/pid; error_log {folder}/error.log; worker_processes 1;
events {{ worker_connections 256; }}
http {{
    access_log off; {cache}
    client_body_temp_path {folder}/a; proxy_temp_path {folder}/b; fastcgi_temp_path {folder}/c;
    uwsgi_temp_path {folder}/d; scgi_temp_path {folder}/e;
    server {{ listen 127.0.0.1:{port}; root {folder}; }}
}}
"""


def _nginx(cache: str) -> Callable[[Place], Server]:
    """Static files, by a server that opens them at each request or keeps them open (`open_file_cache`)."""
    def serve(place: Place) -> Server:
        port = free_port()
        os.chmod(place.folder, 0o755)
        with open(place.file("nginx.conf"), "w") as file:
            file.write(_NGINX.format(folder=place.folder, cache=cache, port=port))
        with open(place.file("page"), "w") as file:
            file.write("x" * 1024)
        url = "http://127.0.0.1:%d/page" % port
        seconds = 1 if place.quick else 2

        def load() -> int:
            told = run(["wrk", "-t", "1", "-c", "20", "-d", "%ds" % seconds, url]).stdout.split()
            return int(told[told.index(b"requests") - 1])

        def end() -> None:
            with open(place.file("pid")) as file:
                os.kill(int(file.read()), 15)

        def warm() -> int:
            run(["curl", "-sf", "-o", "/dev/null", url])
            return 1

        return Server(["nginx", "-c", place.file("nginx.conf"), "-p", place.folder, "-e", place.file("error.log")],
                      lambda: warm() and None, warm, load, end)
    return serve


def free_port() -> int:
    """A port of loopback that nobody listens on."""
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        number: int = probe.getsockname()[1]
        return number


def until(ready: Callable[[], None]) -> None:
    """Wait for a server to answer."""
    deadline = time.monotonic() + _START_SECONDS
    while True:
        try:
            ready()
            return
        except (OSError, subprocess.CalledProcessError) as error:
            if time.monotonic() > deadline:
                raise Missing("the server does not answer: %s" % error)
            time.sleep(0.02)


def _nothing(place: Place) -> Work:
    return Work([], 1)


_PG = ("postgres", "pgbench", "psql", "pg_ctl", "initdb", "setpriv")

WORKLOADS = (
    Workload("select", "pgbench, select only", _PG, _nothing, _pgbench(["-S"], 30000), _prepare_postgres, "transaction"),
    Workload("tpcb", "pgbench, TPC-B", _PG, _nothing, _pgbench([], 6000), _prepare_postgres, "transaction"),
    Workload("connect", "pgbench, a connection for each transaction", _PG, _nothing, _pgbench(["-S", "-C"], 600),
             _prepare_postgres, "transaction"),
    Workload("redis", "redis-benchmark, GET and SET", ("redis-server", "redis-benchmark", "redis-cli"), _nothing, _redis,
             unit="request"),
    Workload("nginx", "wrk, static file kept open", ("nginx", "wrk", "curl"), _nothing,
             _nginx("open_file_cache max=16; open_file_cache_valid 1h;"), unit="request"),
    Workload("nginx-open", "wrk, static file opened each time", ("nginx", "wrk", "curl"), _nothing, _nginx(""),
             unit="request"),
    Workload("exec", "fork, exec /bin/true, wait", (), _loop("exec", 300, "/bin/true"), unit="program"),
    Workload("open", "open and close a file", (), _loop("open", 20000, "/etc/passwd"), unit="open"),
    Workload("open-elsewhere", "open and close, under a policy about one other file", (), _loop("open", 20000, "/etc/passwd"),
             unit="open", policy='open.file.path == "/etc/shadow"'),
    Workload("write", "write 64 bytes, under a policy about DNS", (), _loop("write", 20000), unit="write",
             policy='dns.question.name == "example.org"'),
    Workload("call", "a call that nobody traces", (), _loop("call", 5000000), unit="call"),
    Workload("make", "make of libiberty, in part", ("make", "gcc", "ar"), _make, prepare=_prepare_make),
    Workload("compileall", "python3 -m compileall", ("python3",), _compileall, prepare=_prepare_tree),
    Workload("git", "git clone, git status", ("git",), _git, prepare=_prepare_tree),
    Workload("tar", "tar x", ("tar",), _tar, prepare=_prepare_tree),
    Workload("start", "start and end of the tracer itself", (), lambda place: Work(["/bin/true"], 1), outside=True),
) + _growing("open", "live", "/etc/passwd", 12000) + _growing("program", "spawn", "/bin/true", 900)
BY_NAME: Dict[str, Workload] = {workload.name: workload for workload in WORKLOADS}
END_SECONDS = _END_SECONDS
