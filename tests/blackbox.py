"""Runs `ebpfless trace` as a user would and collects what comes out of it."""

import base64
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Sequence, Type

REPOSITORY = Path(__file__).resolve().parent.parent
PROGRAMS = REPOSITORY / "tests" / "programs"

FOLDER = os.environ.get("TESTED_FOLDER") or str(REPOSITORY)
"""Where `python -m ebpfless` finds what is tested: a checkout, or a folder that holds the one file alone.

In the latter case pytest has to be started in that folder, since Python looks into its working directory first.
"""

PATIENCE = float(os.environ.get("TEST_PATIENCE", "1"))
"""How many times longer everything may take on an emulated machine."""

PREBUILT = os.environ.get("TEST_PROGRAMS", "")
"""A directory with the compiled programs of tests/programs, for a machine that has no compiler."""

DEADLINE = 90.0 * PATIENCE
"""Seconds after which a run counts as hung."""

# Others work on this machine as well, and a view of the whole system would see them: it is on only where it is tested.
os.environ.setdefault("EBPFLESS_TRACE_DISABLE_PROC_SCAN", "true")

Event = Dict[str, Any]
Compiler = Callable[..., str]


class Result(NamedTuple):
    """What a run left: `status` as subprocess has it (-N: died by signal N), all lines of the event file."""

    status: int
    stdout: bytes
    stderr: bytes
    events: List[Event]


def environment(**changes: str) -> Dict[str, str]:
    """Our environment, with `python -m ebpfless` made available from any directory."""
    return dict(os.environ, PYTHONPATH=FOLDER, **changes)


def trace_command(command: Sequence[str], options: Sequence[str] = ()) -> List[str]:
    """The argument vector that runs `command` traced, without looking for a probe."""
    return ebpfless("trace", "--probe-addr", "none", *options) + ["--"] + list(command)


def ebpfless(*arguments: str) -> List[str]:
    """The argument vector of `ebpfless ARGUMENTS`."""
    return [sys.executable, "-m", "ebpfless"] + list(arguments)


def run(command: Sequence[str], stdin: bytes = b"", timeout: float = DEADLINE, **options: Any) -> Result:
    """Runs a command to its end. `options` are those of subprocess.Popen. AssertionError when it hangs."""
    options.setdefault("env", environment())
    process = subprocess.Popen(list(command), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, **options)
    try:
        stdout, stderr = process.communicate(stdin, timeout)
    except subprocess.TimeoutExpired as hung:
        state = {member: thread_states(member) for member in [process.pid] + descendants(process.pid)}
        end_tree(process.pid)
        process.wait()
        _close(process)
        raise AssertionError("hung: {!r}\nstdout: {!r}\nprocesses: {!r}".format(command, hung.output, state))
    return Result(process.returncode, stdout, stderr, [])


def run_traced(command: Sequence[str], options: Sequence[str] = (), **run_options: Any) -> Result:
    """Runs a command under `trace --events --format json` and returns its events with the rest."""
    folder = tempfile.mkdtemp(prefix="ebpfless-events-")
    try:
        output = os.path.join(folder, "events")
        result = run(trace_command(command, event_options(output) + list(options)), **run_options)
        return result._replace(events=read_events(output))
    finally:
        shutil.rmtree(folder)


def event_options(output: str) -> List[str]:
    """The options of `trace` that write every event to the file `output`."""
    return ["--events", "--format", "json", "--output", output]


def read_events(path: str) -> List[Event]:
    """All lines of a JSON output that are whole by now, texts that are not UTF-8 with surrogate escapes; [] when there is
    no such file. Its last line may be in the middle of being written."""
    if not os.path.exists(path):
        return []
    with open(path, "rb") as file:
        lines = file.read().split(b"\n")[:-1]
    return [with_bytes(json.loads(line.decode("utf-8"))) for line in lines]


def with_bytes(event: Event) -> Event:
    """An event whose texts that are not UTF-8 have their bytes back, as surrogate escapes."""
    for name, data in event["evt"]["variables"].pop("raw_bytes", {}).items():
        part: Any = event
        *leading, last = [int(word) if word.isdigit() else word for word in name.split(".")]
        for word in leading:
            part = part[word]
        part[last] = base64.b64decode(data).decode("utf-8", "surrogateescape")
    return event


def rule(name: str, expression: str, **more: object) -> Dict[str, object]:
    """A rule of a policy with a severity and the tags of a technique."""
    known: Dict[str, object] = {
        "id": name, "expression": expression, "description": "a rule for tests", "tags": {"severity": "high"},
        "product_tags": ["tactic:TA0006-credential-access", "technique:T1003-os-credential-dumping"]}
    known.update(more)
    return known


def write_policy(path: Path, rules: Sequence[Dict[str, object]]) -> str:
    """Writes a policy file and returns its path as `--policy` takes it."""
    path.write_text(json.dumps({"version": "1", "macros": [], "rules": list(rules)}))
    return str(path)


def is_detection(event: Event) -> bool:
    """Whether the line reports a rule that matched."""
    return "rule_id" in event["agent"]


def named(events: Sequence[Event], name: str) -> List[Event]:
    """The plain events (no detections) of one type, in order."""
    return [event for event in events if event["evt"]["name"] == name and not is_detection(event)]


def retval(event: Event) -> int:
    """The result of the system call behind an event, negative errno on failure."""
    value = event["evt"]["variables"]["retval"]
    assert isinstance(value, int)
    return value


def file_path(event: Event) -> str:
    """The path of an event's file (surrogate escapes for bytes that are not UTF-8)."""
    return str(event["file"]["path"])


def opens_below(events: Sequence[Event], folder: Path) -> List[Event]:
    """The open events of files in `folder`."""
    return [event for event in named(events, "open") if file_path(event).startswith(str(folder) + "/")]


def opens_of(events: Sequence[Event], path: object) -> List[Event]:
    """The open events of one path."""
    return [event for event in named(events, "open") if file_path(event) == str(path)]


def execs_of(events: Sequence[Event], path: object) -> List[Event]:
    """The exec events of one path."""
    return [event for event in named(events, "exec") if file_path(event) == str(path)]


def wait_until(condition: Callable[[], bool], what: str, seconds: float = 30.0) -> None:
    """Polls until the condition holds; AssertionError naming `what` when it does not in time."""
    deadline = time.monotonic() + seconds * PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "waited {:g} s in vain: {}".format(seconds, what)
        time.sleep(0.005)


def status_field(pid: int, name: str) -> str:
    """One field of /proc/PID/status, "" when the process is gone."""
    try:
        with open("/proc/{}/status".format(pid)) as lines:
            for line in lines:
                key, _, value = line.partition(":")
                if key == name:
                    return value.strip()
    except OSError:
        pass
    return ""


def thread_states(pid: int) -> str:
    """The state letter of every thread of a process (proc(5)), "" when it is gone."""
    states = ""
    try:
        for task in os.listdir("/proc/{}/task".format(pid)):
            with open("/proc/{}/task/{}/stat".format(pid, task)) as stat:
                states += stat.read().rpartition(")")[2].split()[0]
    except OSError:
        return ""
    return states


def descendants(pid: int) -> List[int]:
    """All living processes below `pid`, parents before children."""
    children: Dict[int, List[int]] = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            parent = status_field(int(name), "PPid")
            if parent:
                children.setdefault(int(parent), []).append(int(name))
    found = [pid]
    for known in found:
        found.extend(children.get(known, []))
    return found[1:]


def end_tree(pid: int) -> None:
    """Kills a process that a test started, with everything below it."""
    for member in descendants(pid) + [pid]:
        try:
            os.kill(member, signal.SIGKILL)
        except ProcessLookupError:
            pass


def _close(process: "subprocess.Popen[bytes]") -> None:
    for stream in (process.stdin, process.stdout, process.stderr):
        if stream is not None:
            stream.close()


class Session:
    """A started program that a test talks with line by line; leaving the block ends its whole tree."""

    def __init__(self, command: Sequence[str], **options: Any) -> None:
        options.setdefault("env", environment())
        self._errors = tempfile.TemporaryFile()
        self.process = subprocess.Popen(list(command), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=self._errors, **options)
        self._pending = b""

    def __enter__(self) -> "Session":
        return self

    def __exit__(self, kind: Optional[Type[BaseException]], value: Optional[BaseException],
                 traceback: Optional[TracebackType]) -> None:
        if self.process.poll() is None:
            end_tree(self.process.pid)
        self.process.wait()
        _close(self.process)
        self._errors.close()

    @property
    def pid(self) -> int:
        """The id of the started process itself."""
        return self.process.pid

    def line(self, seconds: float = 30.0) -> str:
        """The next line of standard output without its end; AssertionError when none comes."""
        deadline = time.monotonic() + seconds * PATIENCE
        while b"\n" not in self._pending:
            more = self._read(deadline)
            assert more, "no further line; so far {!r}, errors {!r}".format(self._pending, self.errors())
            self._pending += more
        line, _, self._pending = self._pending.partition(b"\n")
        return line.decode()

    def stays_silent(self, seconds: float) -> bool:
        """Whether nothing is written to standard output for a while."""
        self._pending += self._read(time.monotonic() + seconds)
        return not self._pending

    def _read(self, deadline: float) -> bytes:
        assert self.process.stdout is not None
        left = max(0.0, deadline - time.monotonic())
        ready, _, _ = select.select([self.process.stdout], [], [], left)
        return os.read(self.process.stdout.fileno(), 65536) if ready else b""

    def errors(self) -> bytes:
        """Everything that came on standard error until now."""
        return os.pread(self._errors.fileno(), 1 << 20, 0)

    def finish(self, timeout: float = DEADLINE) -> Result:
        """Closes standard input and waits for the end."""
        stdout, _ = self.process.communicate(timeout=timeout)
        return Result(self.process.returncode, self._pending + stdout, self.errors(), [])
