"""The command line as a table: what each command takes, does and says of itself, and the way from words to a run."""

import os
import sys
from typing import Any, Callable, Dict, List, Optional, Tuple

from ebpfless_arch import __version__
from ebpfless_arch.agent.command_line import USAGE, Given, Line, Option, nearest
from ebpfless_arch.agent.settings import BY_KEY, DEFAULT_FILE, KINDS, SETTINGS, Setting, read
from ebpfless_arch.named import NamedTuple

_FAILED = 125


def _of_settings(command: str) -> Tuple[Option, ...]:
    """The options of a command that are settings as well: see agent/settings.py."""
    return tuple(((setting.flag,), _option_of(setting)) for setting in SETTINGS
                 if setting.flag and command in setting.commands)


def _option_of(setting: Setting) -> Dict[str, Any]:
    """How a setting is taken. One that is not given leaves no trace: it is not a value."""
    how: Dict[str, Any] = dict(dest=setting.key, help=setting.help)
    if setting.kind == "bool":
        return dict(how, action="store_true")
    if setting.default:
        how["help"] += " (default: %s)" % setting.default
    kind, _, choices = setting.kind.partition(":")
    if choices:
        return dict(how, choices=choices.split("|"))
    how["metavar"] = setting.placeholder
    if kind == "words":
        return dict(how, action="append", type=_named)
    return dict(how, type=lambda text: read(setting, text))


def _words(text: str) -> List[str]:
    """Words as a shell splits them, or a JSON list of them."""
    import json
    import shlex

    try:
        words = json.loads(text) if text.startswith("[") else shlex.split(text)
    except ValueError as error:
        raise ValueError("cannot be split into words: %s" % error)
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        raise ValueError("is no list of texts")
    return words


def _interpreter(text: str) -> List[str]:
    """What starts a Python: one path, blanks and all, or a JSON list of words."""
    words = _words(text) if text.startswith("[") else [_named(text)]
    if not words or not words[0]:
        raise ValueError("it names no program")
    return words


def _named(text: str) -> str:
    """A word that says something."""
    if not text.strip():
        raise ValueError("it is empty")
    return text


def _number(text: str) -> int:
    if not text.isdigit():
        raise ValueError("'%s' is not a whole number" % text)
    return int(text)


def _pids(text: str) -> List[int]:
    words = [word.strip() for word in text.split(",")]
    if not all(word.isdigit() and 0 < int(word) < 1 << 31 for word in words):
        raise ValueError("'%s' is no process id; `pidof NAME` prints them" % text)
    return [int(word) for word in words]


_CONFIG_OPTION: Option = (("--config",), dict(default="", metavar="FILE", help="the configuration (default: %s)" % DEFAULT_FILE))

TRACE_OPTIONS: Tuple[Option, ...] = _of_settings("trace") + (
    _CONFIG_OPTION,
    (("--follow",), dict(action="append", type=_named, metavar="NAME|EXE|UNIT", help="trace what runs so, also after restarts; repeatable")),
    (("--no-colocate",), dict(action="store_true", help="accepted; it is the default")),
    (("--async",), dict(action="store_true", help="accepted; starting never waits for a probe")),
    (("--debug",), dict(dest="trace.verbose", action="store_true", help="the same as --verbose")),
    (("--pid-per-tracer",), dict(type=_number, metavar="N", help="accepted; one tracer does for any number of processes")),
    (("--pid",), dict(action="append", type=_pids, metavar="PID,...", help="trace these running processes and what they start; repeatable")),
)

TRACE_DETAILS = """Further examples:
  ebpfless trace --events --format json --output events.json -- make
  ebpfless trace --pid 17,19        until they end, or SIGINT lets them go
  ebpfless trace --follow nginx     now, and whenever it is started anew
Exit status: that of COMMAND, or its signal; 125 ebpfless itself failed, 126 not
executable, 127 not found, 2 wrong usage. With --pid: 0, 1 if none can be traced"""

PROBE_OPTIONS: Tuple[Option, ...] = _of_settings("probe") + (_CONFIG_OPTION,)
PROBE_DETAILS = """ADDRESS is HOST:PORT, [IPV6]:PORT or unix:/PATH. Other hosts need --secret-file.
SIGHUP loads the policies again, SIGTERM ends it.
Exit status: 0 ended by a signal, 2 wrong usage, 125 it cannot listen"""

CONFIG_OPTIONS: Tuple[Option, ...] = (
    _CONFIG_OPTION,
    (("--origin",), dict(action="store_true", help="say where each value came from")),
)

CONFIG_DETAILS = "Exit status: 0, 2 when the configuration cannot be used"

VERSION_OPTIONS: Tuple[Option, ...] = (
    (("--json",), dict(action="store_true", help="one JSON object, with the features found")),
)

CHECK_OPTIONS: Tuple[Option, ...] = (
    (("--cases",), dict(default="", metavar="FILE", help="try the cases of FILE, which are unit tests for rules")),
    (("--explain",), dict(action="store_true", help="say for each rule which calls stop for it, and with whom it shares them")),
    (("--format",), dict(choices=("text", "json"), default="text", help="text, or one JSON object (default: text)")),
    (("--verbose",), dict(action="store_true", help="name every inactive rule; add notes to the warnings")),
)
CHECK_DETAILS = """POLICY is a file or a directory of files; several are loaded in their order.
Options come first: ebpfless check --verbose my-policy.json
Exit status: 0 sound, 1 an error or a case that differs, 2 a file cannot be read"""


PATCH_OPTIONS: Tuple[Option, ...] = (
    (("--container",), dict(action="append", default=[], metavar="NAME", help="this container only, repeatable (default: all)")),
    (("--entrypoint",), dict(type=_words, default=[], metavar="WORDS",
                             help="what the image starts, where FILE does not say: words, or a JSON list")),
    (("--file",), dict(default="", type=_named, metavar="PATH",
                       help="where ebpfless is in the container (default: /ebpfless.py; with --from /ebpfless/ebpfless.py)")),
    (("--from",), dict(default="", type=_named, metavar="IMAGE", dest="image",
                       help="copy the folder /ebpfless of IMAGE, which scripts/portable made, to /ebpfless of the container at "
                            "its start (ecs, k8s)")),
    (("--no-capability",), dict(action="store_true", help="do not add SYS_PTRACE")),
    (("--options",), dict(type=_words, default=[], metavar="WORDS", help="options for trace, in one argument")),
    (("--python",), dict(default=[], type=_interpreter, metavar="PATH",
                         help="the Python in the container, or a JSON list of the words that start one (default: python3; with "
                              "--from that of the folder)")),
)
PATCH_DETAILS = """FILE is - for standard input:
  ecs FILE     an Amazon ECS task definition
  k8s FILE     a pod, deployment, ... (kubectl get -o json)
  docker FILE  an image's configuration, or what docker inspect prints
  oci FILE     config.json of a bundle for runc or crun
The result is printed. What is wrapped already stays as it is, and so do init
containers.
Exit status: 0, 2 when it cannot be patched"""


class Command(NamedTuple):
    """One row of the command table; `operands` is what follows its options, "" for nothing, `usages` how help writes both."""

    name: str
    summary: str
    example: str
    run: Callable[[Given], int]
    options: Tuple[Option, ...]
    operands: str = ""
    details: str = ""
    usages: Tuple[str, ...] = ("[OPTIONS]",)


def run_trace(arguments: Given) -> int:
    """`ebpfless trace`. What is loaded until the command runs stays: looking for cycles in it would take a tenth of that time."""
    import gc

    gc.disable()
    try:
        return _trace(arguments)
    finally:
        gc.enable()


def _trace(arguments: Given) -> int:
    from ebpfless_arch.agent.options import UsageError

    command, pids, followed = arguments.operands, arguments.pid or [], arguments.follow or []
    if command and (pids or followed):
        raise UsageError("--pid and --follow are for programs that somebody else starts, '%s' is a command; say one of them"
                         % command[0])
    if not command and not pids and not followed:
        raise UsageError("no command; say 'ebpfless trace -- COMMAND [ARG...]', or --pid PID for one that runs")
    if pids or followed:
        _end_when_told("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT")
    from ebpfless_arch.agent import local  # only now: it loads much

    if pids or followed:
        return local.attach([pid for group in pids for pid in group], followed, arguments.config, _given(arguments))
    return local.trace(command, arguments.config, _given(arguments))


def run_probe(arguments: Given) -> int:
    """`ebpfless probe`."""
    import signal

    _end_when_told("SIGINT", "SIGTERM")
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGHUP])  # it waits until the probe can load its policies again
    from ebpfless_arch.agent import probe

    return probe.run(arguments.config, _given(arguments))


def _given(arguments: Given) -> Dict[str, Any]:
    """The settings that options have set, by their keys."""
    return {key: value for key, value in vars(arguments).items() if key in BY_KEY}


def run_config(arguments: Given) -> int:
    """`ebpfless config`."""
    from ebpfless_arch.agent import config
    from ebpfless_arch.agent.printing import emit

    found = config.load(arguments.config)
    for warning in found.warnings:
        _complain("config: %s" % warning)
    emit("\n".join(config.lines(found, arguments.origin)) + "\n")
    return 0


def run_check(arguments: Given) -> int:
    """`ebpfless check`."""
    from ebpfless_arch.agent import checking
    from ebpfless_arch.agent.options import CheckOptions, UsageError

    if not arguments.operands and not arguments.cases:
        raise UsageError("no policy; say 'ebpfless check POLICY...'")
    return checking.check(CheckOptions(arguments.operands, arguments.cases, arguments.format, arguments.verbose,
                                       arguments.explain))


def run_doctor(arguments: Given) -> int:
    """`ebpfless doctor`."""
    from ebpfless_arch.agent import doctor
    from ebpfless_arch.agent.printing import emit

    status = doctor.diagnose()
    emit("")
    return status


def run_patch(arguments: Given) -> int:
    """`ebpfless patch`."""
    from ebpfless_arch.agent import patch
    from ebpfless_arch.agent.options import PatchOptions, UsageError

    if len(arguments.operands) != 2:
        raise UsageError(patch.usage(arguments.operands))
    kind, file = arguments.operands
    place = arguments.file or ("/ebpfless/ebpfless.py" if arguments.image else "/ebpfless.py")
    return patch.patch(PatchOptions(kind, file, arguments.container, arguments.python, place, _options_of_trace(arguments.options),
                                    arguments.entrypoint, arguments.image, not arguments.no_capability))


def _options_of_trace(words: List[str]) -> List[str]:
    """The words that `patch` puts before a command, if `trace` understands them. Raises UsageError."""
    from ebpfless_arch.agent.options import UsageError

    trace = COMMANDS[0]
    line = Line("ebpfless patch: --options", trace.options, KINDS["bool"].read, "ebpfless " + trace.name)
    read_line = line.read(words)
    if read_line is None:
        raise UsageError("--options: a container has no use for --help")
    found, operands = read_line
    if operands or found.pid or found.follow or "trace.attach_level" in vars(found):
        raise UsageError("--options: the command is the container's own, so there is no place for %s"
                         % ("'%s'" % operands[0] if operands else "--pid, --follow and --attach-level"))
    return words[:-1] if words[-1:] == ["--"] else words


def run_completion(arguments: Given) -> int:
    """`ebpfless completion`."""
    from ebpfless_arch.agent import completion
    from ebpfless_arch.agent.options import UsageError
    from ebpfless_arch.agent.printing import emit

    shells = sorted(completion.SHELLS)
    if len(arguments.operands) != 1 or arguments.operands[0] not in shells:
        raise UsageError("say which shell: %s" % ", ".join(shells))
    pages = [completion.Page(command.name, command.summary, [_choice(names, how) for names, how in command.options],
                             command.operands.split()) for command in COMMANDS]
    emit(completion.script(arguments.operands[0], pages))
    return 0


def _choice(names: Tuple[str, ...], how: Dict[str, Any]) -> Any:
    """An option as completion sees it."""
    from ebpfless_arch.agent.completion import Choice

    value = "" if how.get("action") == "store_true" else how.get("metavar") or "|".join(how.get("choices", ())) or "VALUE"
    return Choice(names, how["help"], value)


def run_version(arguments: Given) -> int:
    """`ebpfless version`."""
    from ebpfless_arch.agent.printing import emit

    if arguments.json:
        import json

        from ebpfless_arch.agent import doctor

        emit(json.dumps(doctor.version(), indent=2) + "\n")
        return 0
    system = os.uname()
    emit("ebpfless %s, Python %s, %s %s, %s\n" % (__version__, sys.version.split()[0], system.sysname, system.release,
                                                  system.machine))
    return 0


COMMANDS = (
    Command("trace", "run a command and watch it and all that it starts", "ebpfless trace -- /usr/bin/app --port 80",
            run_trace, TRACE_OPTIONS, "COMMAND", TRACE_DETAILS,
            ("[OPTIONS] -- COMMAND [ARG...]", "[OPTIONS] --pid PID[,PID...]", "[OPTIONS] --follow NAME|EXE|UNIT")),
    Command("probe", "be the server that tracers connect to: one rule engine for many",
            "ebpfless probe --listen localhost:5678", run_probe, PROBE_OPTIONS, details=PROBE_DETAILS),
    Command("check", "say what is wrong with policies", "ebpfless check my-policy.json",
            run_check, CHECK_OPTIONS, "POLICY", CHECK_DETAILS, ("[OPTIONS] POLICY...", "[OPTIONS] --cases FILE [POLICY...]")),
    Command("config", "print the effective configuration", "ebpfless config --origin", run_config, CONFIG_OPTIONS,
            details=CONFIG_DETAILS),
    Command("doctor", "say what this host allows, and how to mend what it does not", "ebpfless doctor", run_doctor, (),
            details="Exit status: 0 all works, 1 with limits, 2 nothing can be traced here", usages=("",)),
    Command("patch", "wrap the command in a container's description", "ebpfless patch ecs task-definition.json",
            run_patch, PATCH_OPTIONS, "ecs|k8s|docker|oci FILE", PATCH_DETAILS, ("[OPTIONS] ecs|k8s|docker|oci FILE",)),
    Command("completion", "print a script that completes commands and options in a shell",
            "ebpfless completion bash >/etc/bash_completion.d/ebpfless", run_completion, (), "bash|zsh|fish",
            usages=("bash|zsh|fish",)),
    Command("version", "print versions", "ebpfless version --json", run_version, VERSION_OPTIONS),
)


def _complain(text: str, who: str = "ebpfless ") -> None:
    if sys.stderr is not None:
        sys.stderr.write("%s%s\n" % (who, text))


def _help_of(command: Command, line: Line) -> str:
    """What its --help prints."""
    head = ["Example: " + command.example] + _usages(command) + ["", command.summary.capitalize() + ".", "", line.options()]
    return "\n".join(head + ([command.details, ""] if command.details else []))


def _usages(command: Command) -> List[str]:
    """Each way to use a command, aligned below the word Example."""
    return [("%-8s ebpfless %s %s" % ("" if number else "Usage:", command.name, usage)).rstrip() for number, usage in enumerate(command.usages)]


def _die_of_interrupts() -> None:
    """Ctrl-C ends us as it ends any program, without a traceback, unless whoever started us had it ignored."""
    import signal

    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)


def _end_when_told(*names: str) -> None:
    """Until somebody else takes these signals they end us with status 0, as they do later: nothing has begun yet. One that
    whoever started us had ignored stays so."""
    import signal

    for number in [getattr(signal, name) for name in names]:
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, lambda number, frame: os._exit(0))


def _run(command: Command, words: List[str]) -> int:
    """Run a command with what follows its name. What is only printed may have a reader that has seen enough; the status of
    `check` counts even then."""
    import signal

    from ebpfless_arch.agent.options import UsageError

    if command.name not in ("trace", "probe", "check"):
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    try:
        return command.run(_parsed(command, words))
    except UsageError as error:
        _complain("%s: %s" % (command.name, error))
        return USAGE
    except OSError as error:
        _complain("%s: %s%s" % (command.name, "" if error.errno is None else "the system refuses what is needed: ", error))
        return _FAILED
    except ImportError as error:
        if (error.name or "").split(".")[0] in ("ebpfless", "ebpfless_arch"):
            raise
        _complain("%s: this Python (%s) lacks a part of its standard library: %s; install all of it (on Debian python3, for "
                  "python3-minimal is not enough)" % (command.name, sys.executable, error))
        return _FAILED


def _parsed(command: Command, words: List[str]) -> Given:
    """A command's options, and its operands under that name; ends the process where the words are wrong, or help is wanted."""
    line = Line("ebpfless " + command.name, command.options, KINDS["bool"].read)
    read_line = line.read(words)
    if read_line is None:
        from ebpfless_arch.agent.printing import emit

        emit(_help_of(command, line))
        sys.exit(0)
    found, operands = read_line
    found.operands = operands
    if operands and not command.operands:
        line.fail("'%s' is too much" % operands[0])
    return found


def _help() -> int:
    """What there is."""
    from ebpfless_arch.agent.options import UsageError
    from ebpfless_arch.agent.printing import emit

    try:
        emit(_overview())
    except UsageError as error:
        _complain(str(error))
        return USAGE
    return 0


def _overview() -> str:
    lines = ["Example: " + COMMANDS[0].example, "", "Commands (each has --help):"]
    lines += ["  %-10s %s" % (command.name, command.summary) for command in COMMANDS]
    return "\n".join(lines) + "\n"


def main(arguments: Optional[List[str]] = None) -> int:
    """Run a command line (default: the process's own); returns the exit status."""
    words = sys.argv[1:] if arguments is None else arguments
    _die_of_interrupts()
    if not words:
        _complain(_overview().rstrip("\n"), "")
        return USAGE
    if words[0] in ("-h", "--help") or words == ["help"]:
        return _help()
    if words[0] == "--version":
        words = ["version"] + words[1:]
    if words[0] == "help":
        words = [words[1], "--help"]
    for command in COMMANDS:
        if command.name == words[0]:
            return _run(command, words[1:])
    if words[0].startswith("-"):
        _complain("%s: the command comes first, then its options: 'ebpfless trace [OPTIONS] -- COMMAND'" % words[0])
    else:
        _complain("%s: unknown command%s; see 'ebpfless --help'"
                  % (words[0] or "''", nearest(words[0], [command.name for command in COMMANDS])))
    return USAGE


def run() -> None:
    """Run the process's own command line, and end with its status. Python would take apart at its end all that it has loaded, which
    takes a tenth of a start and helps nobody; what is still to be written is written."""
    status = main()
    try:
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:
                stream.flush()
    except (OSError, ValueError):
        sys.exit(status)  # a stream that is closed, or takes no more: Python says so
    os._exit(status)
