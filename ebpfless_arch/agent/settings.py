"""The one schema of the configuration: what can be set, of which kind it is, and what it is otherwise.

Parsing, the options of the command line, `ebpfless config` and docs/configuration.md come from it. It is imported
before the tracer is forked, so it imports nothing that is large.
"""

from typing import Any, Callable, Dict, Optional, Tuple

from ebpfless_arch.named import NamedTuple

DEFAULT_FILE = "/etc/ebpfless/ebpfless.ini"


class Setting(NamedTuple):
    """One thing that can be set.

    key: a dotted path; all but its last word name the section of an INI file. kind: one of KINDS, with its choices
    behind a colon. default: as a file would say it, "" for nothing. flag: its option of `commands`, which
    `variables` do as well, besides the names that variable_names() makes of the key.
    """

    key: str
    kind: str
    default: str
    help: str
    flag: str = ""
    commands: Tuple[str, ...] = ("trace",)
    placeholder: str = ""
    variables: Tuple[str, ...] = ()


_WATCH = "runtime_security_config"
_PROBE = ("probe",)

SWITCHES = (_WATCH + ".enabled", _WATCH + ".ebpfless.enabled")
"""Where one of these is false, nothing is traced."""

SETTINGS = (
    Setting(_WATCH + ".enabled", "bool", "true", "false: trace runs its command untraced"),
    Setting(_WATCH + ".ebpfless.enabled", "bool", "true", "the same, for this agent alone"),
    Setting(_WATCH + ".ebpfless.socket", "address", "localhost:5678", "where the probe listens; none: work alone",
            "--probe-addr", placeholder="HOST:PORT"),
    Setting(_WATCH + ".policies.dir", "words", "", "rules to use, repeatable (default: the built-in policy)",
            "--policy", ("trace", "probe"), "FILE|DIR"),
    Setting(_WATCH + ".ebpfless.secret_file", "text", "", "file with the secret that tracers and probe share",
            "--secret-file", ("trace", "probe"), "FILE"),
    Setting("trace.output", "words", "-", "where detections go, repeatable: a file, - for stderr, or a URL (syslog, http, ...)",
            "--output", placeholder="FILE|URL"),
    Setting("trace.format", "choice:text|json", "text", "text or json lines", "--format"),
    Setting("trace.events", "bool", "false", "write every event, not only detections; also the host's, see --disable-proc-scan",
            "--events"),
    Setting("trace.uid", "id", "", "run COMMAND as this numeric user id, with its groups", "--uid", placeholder="N"),
    Setting("trace.gid", "id", "", "run COMMAND as this numeric group id", "--gid", placeholder="N"),
    Setting("trace.disable_seccomp", "bool", "false", "stop at every system call, not by a filter (slow)",
            "--disable-seccomp", variables=("DD_CWS_INSTRUMENTATION_SECCOMP_DISABLED",)),
    Setting("trace.disable_stats", "bool", "false", "name files only: no owner, times, inode",
            "--disable-stats", variables=("DD_CWS_INSTRUMENTATION_STATS_DISABLED",)),
    Setting("trace.on_failure", "choice:open|kill", "open", "when the tracer dies: open, the program goes on; kill, it dies",
            "--on-failure"),
    Setting("trace.attach_level", "choice:full|process", "full",
            "full: every event, at two stops a call; process: fork, exec, exit, and what setuid, "
            "setgid and capset have changed by then", "--attach-level"),
    Setting("trace.io_uring", "choice:allow|alert|deny", "alert", "what passes through an io_uring is not seen: "
            "allow it, tell of it, or refuse it (EPERM)", "--io-uring"),
    Setting("trace.wait_all", "bool", "false", "wait for processes that outlive COMMAND, too", "--wait-all"),
    Setting("trace.colocate", "bool", "false", "keep tracer and program on one CPU while stops come thick and fast",
            "--colocate"),
    Setting("trace.verbose", "bool", "false", "show debug lines of log actions, and at the end what was counted", "--verbose"),
    Setting("trace.service", "text", "", "tag of all events: the service", variables=("DD_SERVICE",)),
    Setting("trace.env", "text", "", "tag of all events: the environment", variables=("DD_ENV",)),
    Setting("trace.version", "text", "", "tag of all events: the service's version", variables=("DD_VERSION",)),
    Setting("trace.tags", "words", "", "further tags of all events, as key:value", variables=("DD_TAGS",)),
    Setting("trace.hostname", "text", "", "tag of all events: the host (default: its own name)", variables=("DD_HOSTNAME",)),
    Setting("trace.container_id", "text", "", "the container, where cgroups do not tell it", variables=("DD_CONTAINER_ID",)),
    Setting("trace.wait_probe", "seconds", "0", "wait that long for the probe before starting COMMAND", "--wait-probe",
            placeholder="SECONDS"),
    Setting("trace.spool", "size", "32MiB", "memory for records that the probe does not take at once", "--spool",
            placeholder="SIZE"),
    Setting("trace.spool_file", "text", "", "file for records beyond that", "--spool-file", placeholder="FILE"),
    Setting("trace.spool_file_size", "size", "256MiB", "how large that file may become"),
    Setting("trace.disable_proc_scan", "bool", "false", "do not watch the rest of the system beside the tracer",
            "--disable-proc-scan", variables=("DD_CWS_INSTRUMENTATION_PROC_SCAN_DISABLED",)),
    Setting("trace.watch", "words", "", "watch files below this path, whoever touches them; repeatable", "--watch",
            placeholder="PATH"),
    Setting("trace.proc_scan_rate", "duration", "500ms", "how often to look at /proc where the kernel tells nothing",
            "--proc-scan-rate", placeholder="DURATION", variables=("DD_CWS_INSTRUMENTATION_PROC_SCAN_RATE",)),
    Setting("probe.listen", "words", "", "where to listen, repeatable (default: where tracers look for it)", "--listen",
            _PROBE, "ADDRESS"),
    Setting("probe.insecure", "bool", "false", "let tracers of other hosts in without a secret", "--insecure", _PROBE),
    Setting("probe.peers", "words", "", "ids of users, besides root and ours, who may use a unix socket", "--peers", _PROBE,
            "UID,..."),
    Setting("probe.output", "words", "-", "where detections go, repeatable: a file, - for stderr, or a URL (syslog, http, ...)",
            "--output", _PROBE, "FILE|URL"),
    Setting("probe.format", "choice:text|json", "text", "text or json lines", "--format", _PROBE),
    Setting("probe.events", "bool", "false", "write every event, not only detections", "--events", _PROBE),
    Setting("probe.system", "bool", "false", "watch every execution on this host, traced or not", "--system", _PROBE),
    Setting("probe.scan_rate", "duration", "500ms", "how often to look at /proc where the kernel tells nothing",
            "--proc-scan-rate", _PROBE, "DURATION"),
    Setting("probe.watch", "words", "", "watch files below this path, whoever touches them; repeatable", "--watch", _PROBE,
            "PATH"),
    Setting("probe.http", "address", "none", "where /healthz and /metrics are served", "--http", _PROBE, "HOST:PORT"),
    Setting("probe.memory", "size", "512MiB", "above that, the tracer with the most processes is left"),
    Setting("probe.pid_file", "text", "", "file for the process id", "--pid-file", _PROBE, "FILE"),
    Setting("probe.verbose", "bool", "false", "say who comes and goes; show debug lines of log actions", "--verbose",
            _PROBE),
)

BY_KEY = {setting.key: setting for setting in SETTINGS}


def variable_names(setting: Setting) -> Tuple[str, ...]:
    """Variables of the environment that set it, the strongest first: our own name, then Datadog's."""
    name = setting.key.replace(".", "_").upper()
    theirs = ("DD_" + name,) if setting.key.startswith(_WATCH + ".") else ()
    return ("EBPFLESS_" + name,) + theirs + setting.variables


# --- kinds ----------------------------------------------------------------------------

class Kind(NamedTuple):
    """A way to read a value: from the text of a file, a variable or an option; ValueError says what was expected."""

    read: Callable[[str], Any]
    expected: str
    json: Tuple[type, ...]


_TRUTH = {"true": True, "t": True, "yes": True, "on": True, "1": True,
          "false": False, "f": False, "no": False, "off": False, "0": False}
_SECONDS = {"ns": 1e-9, "us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_BYTES = {"": 1, "B": 1, "KB": 1000, "MB": 10 ** 6, "GB": 10 ** 9, "KIB": 1 << 10, "MIB": 1 << 20, "GIB": 1 << 30}
_NO_ID = 0xFFFFFFFF


def _read_bool(text: str) -> bool:
    return _TRUTH[text.lower()]


def _read_id(text: str) -> Optional[int]:
    if text == "-1":
        return None  # as in setresuid(2): it stays as it is
    if not text.isdigit() or int(text) >= _NO_ID:
        raise ValueError(text)
    return int(text)


def _read_number(text: str) -> int:
    if not text.isdigit():
        raise ValueError(text)
    return int(text)


def _read_size(text: str) -> int:
    digits = text.rstrip("BKMGibkmg ")
    return int(_read_number(digits) * _BYTES[text[len(digits):].strip().upper()])


def _read_duration(text: str) -> float:
    """Go's form: 500ms, 1m30s."""
    rest, seconds = text, 0.0
    while rest:
        digits = len(rest) - len(rest.lstrip("0123456789."))
        unit = rest[digits:].rstrip()
        unit = unit[:len(unit) - len(unit.lstrip("abcdefghijklmnopqrstuvwxyz"))]
        seconds += float(rest[:digits]) * _SECONDS[unit]
        rest = rest[digits + len(unit):]
    if not text:
        raise ValueError(text)
    return seconds


def _read_seconds(text: str) -> float:
    return float(_read_number(text)) if text.isdigit() else _read_duration(text)


def _read_address(text: str) -> str:
    """HOST:PORT, [V6]:PORT, unix:PATH, or none."""
    if text == "none" or text.startswith("unix:/"):
        return text
    host, colon, port = text.rpartition(":")
    bare = host.startswith("[") and host.endswith("]") or ":" not in host
    if not colon or not host.strip("[]") or not bare or not 0 < _read_number(port) < 65536:
        raise ValueError(text)
    return text


def _read_words(text: str) -> Any:
    return [word.strip() for line in text.split("\n") for word in line.split(",") if word.strip()]


KINDS: Dict[str, Kind] = {
    "bool": Kind(_read_bool, "true or false", (bool,)),
    "id": Kind(_read_id, "a numeric id (-1: unchanged); `id -u NAME` and `id -g NAME` print them", (int,)),
    "number": Kind(_read_number, "a whole number", (int,)),
    "size": Kind(_read_size, "a number of bytes such as 64KiB or 16MiB", (int, str)),
    "duration": Kind(_read_duration, "a duration such as 500ms or 2s", (str,)),
    "seconds": Kind(_read_seconds, "a number of seconds such as 5, or a duration such as 500ms", (int, str)),
    "address": Kind(_read_address, "HOST:PORT, unix:/PATH or none", (str,)),
    "text": Kind(str, "a text", (str,)),
    "words": Kind(_read_words, "words, separated by commas or lines", (list,)),
}


_EMPTY: Dict[str, Any] = {"words": [], "address": "none"}


def read(setting: Setting, text: str) -> Any:
    """The value that a text means for a setting, None for "not set". Raises ValueError, which says what was expected."""
    if not text.strip():
        return _EMPTY.get(setting.kind)
    kind, _, choices = setting.kind.partition(":")
    if kind == "choice":
        if text in choices.split("|"):
            return text
        raise ValueError("'%s' is not one of %s" % (text, choices.replace("|", ", ")))
    try:
        return KINDS[kind].read(text.strip())
    except (ValueError, KeyError):
        raise ValueError("'%s' is not %s" % (text, KINDS[kind].expected))


def suits(setting: Setting, value: Any) -> bool:
    """Whether a value of a JSON file is of the setting's kind."""
    kind, _, choices = setting.kind.partition(":")
    allowed = KINDS[kind].json if kind in KINDS else (str,)
    if isinstance(value, bool) and bool not in allowed:
        return False
    if isinstance(value, list):
        return list in allowed and all(isinstance(word, str) for word in value)
    return isinstance(value, allowed)
