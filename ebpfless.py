#!/usr/bin/env python3
"""ebpfless: sees what Linux programs do, without eBPF, and tells what is a threat.

The door of the house: the command line as a table. The house is ebpfless_arch/.
"""

import argparse
import sys
from typing import Any, Callable, Dict, List, NamedTuple, NoReturn, Optional, Tuple

from ebpfless_arch import __version__

_USAGE = 2
_FAILED = 125

Option = Tuple[Tuple[str, ...], Dict[str, Any]]


def _user_id(text: str) -> int:
    """A numeric user or group id; raises ArgumentTypeError."""
    if not text.isdigit() or int(text) >= 0xFFFFFFFF:
        raise argparse.ArgumentTypeError("'%s' is not a numeric id; `id -u NAME` and `id -g NAME` print them" % text)
    return int(text)


def _duration(text: str) -> str:
    """A duration as Go writes it: 500ms, 2s, 1m30s; raises ArgumentTypeError."""
    import re

    if not re.match(r"^(\d+(\.\d+)?(ns|us|ms|s|m|h))+$", text):
        raise argparse.ArgumentTypeError("'%s' is not a duration such as 500ms or 2s" % text)
    return text


TRACE_OPTIONS: Tuple[Option, ...] = (
    (("--policy",), dict(action="append", default=[], metavar="FILE|DIR",
                         help="rules to use, repeatable (default: the built-in policy)")),
    (("--output",), dict(action="append", default=[], metavar="FILE",
                         help="where detections go, repeatable; - is stderr (default: -)")),
    (("--format",), dict(choices=("text", "json"), default="text", help="text or json lines (default: text)")),
    (("--events",), dict(action="store_true", help="write every event, not only detections")),
    (("--uid",), dict(type=_user_id, metavar="N", help="run COMMAND as this numeric user id")),
    (("--gid",), dict(type=_user_id, metavar="N", help="run COMMAND as this numeric group id")),
    (("--disable-seccomp",), dict(action="store_true", help="stop at every system call, not by a filter (slow)")),
    (("--disable-stats",), dict(action="store_true", help="name files only: no owner, times, inode")),
    (("--wait-all",), dict(action="store_true", help="wait for processes that outlive COMMAND, too")),
    (("--verbose",), dict(action="store_true", help="say at the end what was counted")),
    (("--probe-addr",), dict(default="none", metavar="HOST:PORT", help="accepted; there is no link to a probe yet")),
    (("--async",), dict(action="store_true", help="accepted; starting never waits for a probe")),
    (("--disable-proc-scan",), dict(action="store_true", help="accepted; there is no scan of /proc yet")),
    (("--proc-scan-rate",), dict(type=_duration, metavar="DURATION",
                                 help="accepted; there is no scan of /proc yet")),
    (("--pid",), dict(action="append", type=int, metavar="PID", help="not yet: trace a running process")),
    (("--wait-probe",), dict(type=float, metavar="SECONDS", help="not yet: wait for a probe")),
    (("--config",), dict(metavar="FILE", help="not yet: read a configuration")),
)


CHECK_OPTIONS: Tuple[Option, ...] = (
    (("--cases",), dict(default="", metavar="FILE", help="try the cases of FILE, which are unit tests for rules")),
    (("--format",), dict(choices=("text", "json"), default="text", help="text, or one JSON object (default: text)")),
    (("--verbose",), dict(action="store_true", help="name every inactive rule; add notes to the warnings")),
)
CHECK_DETAILS = """POLICY is a file or a directory of files; several are loaded in their order.
Options come first: ebpfless check --verbose my-policy.json
Exit status: 0 sound, 1 an error or a case that differs, 2 a file cannot be read"""


class Command(NamedTuple):
    """One row of the command table."""

    name: str
    summary: str
    example: str
    run: Callable[[argparse.Namespace], int]
    options: Tuple[Option, ...]
    details: str = ""


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, with the nearest name that exists."""

    def error(self, message: str) -> NoReturn:
        unknown = [word for word in message.split() if word.startswith("-") and message.startswith("unrecognized")]
        if unknown:
            message = "unknown option %s%s" % (unknown[0], nearest(unknown[0].split("=")[0], self.known_options()))
        self.exit(_USAGE, "%s: %s; see '%s --help'\n" % (self.prog, message, self.prog))

    def known_options(self) -> List[str]:
        """Names of this parser's options."""
        return [name for action in self._actions for name in action.option_strings]


def nearest(word: str, known: List[str]) -> str:
    """A suggestion for a mistyped word, "" when nothing is near."""
    import difflib

    found = difflib.get_close_matches(word, known, 1)
    return "; did you mean %s?" % found[0] if found else ""


def run_trace(arguments: argparse.Namespace) -> int:
    """`ebpfless trace`."""
    from ebpfless_arch.agent import local
    from ebpfless_arch.agent.options import TraceOptions, UsageError

    for name, value in (("--pid", arguments.pid), ("--wait-probe", arguments.wait_probe), ("--config", arguments.config)):
        if value is not None:
            _complain("trace: %s is not there yet in version %s" % (name, __version__))
            return _USAGE
    command = arguments.operands
    if not command:
        _complain("trace: no command; say 'ebpfless trace -- COMMAND [ARG...]'")
        return _USAGE
    try:
        return local.trace(TraceOptions(
            command, arguments.policy, arguments.output, arguments.format, arguments.events, arguments.verbose,
            not arguments.disable_seccomp, not arguments.disable_stats, arguments.wait_all, arguments.uid, arguments.gid))
    except UsageError as error:
        _complain("trace: %s" % error)
        return _USAGE
    except OSError as error:
        _complain("trace: the system refuses what is needed to start: %s" % error)
        return _FAILED


def run_check(arguments: argparse.Namespace) -> int:
    """`ebpfless check`."""
    from ebpfless_arch.agent import checking
    from ebpfless_arch.agent.options import CheckOptions, UsageError

    if not arguments.operands and not arguments.cases:
        _complain("check: no policy; say 'ebpfless check POLICY...'")
        return _USAGE
    try:
        return checking.check(CheckOptions(arguments.operands, arguments.cases, arguments.format, arguments.verbose))
    except UsageError as error:
        _complain("check: %s" % error)
        return _USAGE


def run_version(arguments: argparse.Namespace) -> int:
    """`ebpfless version`."""
    import os

    system = os.uname()
    print("ebpfless %s, Python %s, %s %s, %s" % (__version__, sys.version.split()[0], system.sysname, system.release,
                                                 system.machine))
    return 0


COMMANDS = (
    Command("trace", "run a command and watch it and all that it starts", "ebpfless trace -- /usr/bin/app --port 80",
            run_trace, TRACE_OPTIONS),
    Command("check", "say what is wrong with policies", "ebpfless check my-policy.json",
            run_check, CHECK_OPTIONS, CHECK_DETAILS),
    Command("version", "print versions", "ebpfless version", run_version, ()),
)


def _complain(text: str) -> None:
    if sys.stderr is not None:
        sys.stderr.write("ebpfless %s\n" % text)


def _parser(command: Command) -> _Parser:
    parser = _Parser(prog="ebpfless " + command.name, allow_abbrev=False, usage=argparse.SUPPRESS,
                     formatter_class=argparse.RawDescriptionHelpFormatter,
                     description="Example: %s\n\n%s." % (command.example, command.summary.capitalize()),
                     epilog=command.details)
    for names, how in command.options:
        parser.add_argument(*names, **how)
    return parser


def _split(arguments: List[str], parser: _Parser) -> Tuple[List[str], List[str]]:
    """Our options and the operands: options stop at the first word that is none, or at `--`."""
    position = 0
    takes_value = {name for action in parser._actions for name in action.option_strings if action.nargs is None}
    while position < len(arguments):
        word = arguments[position]
        if word == "--":
            return arguments[:position], arguments[position + 1:]
        if not word.startswith("-") or word == "-":
            break
        position += 2 if word in takes_value else 1
    return arguments[:position], arguments[position:]


def _die_of_interrupts() -> None:
    """Ctrl-C ends us as it ends any program, without a traceback, unless whoever started us had it ignored."""
    import signal

    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)


def _overview() -> str:
    lines = ["Example: " + COMMANDS[0].example, "", "Commands (each has --help):"]
    lines += ["  %-9s %s" % (command.name, command.summary) for command in COMMANDS]
    return "\n".join(lines) + "\n"


def main(arguments: Optional[List[str]] = None) -> int:
    """Run a command line (default: the process's own); returns the exit status."""
    words = sys.argv[1:] if arguments is None else arguments
    _die_of_interrupts()
    if not words or words[0] in ("-h", "--help", "help"):
        (sys.stdout if words else sys.stderr).write(_overview())
        return 0 if words else _USAGE
    if words[0] == "--version":
        words = ["version"]
    for command in COMMANDS:
        if command.name == words[0]:
            parser = _parser(command)
            options, operands = _split(words[1:], parser)
            found = parser.parse_args(options)
            found.operands = operands
            return command.run(found)
    _complain("%s: unknown command%s" % (words[0], nearest(words[0], [command.name for command in COMMANDS])))
    return _USAGE


if __name__ == "__main__":
    sys.exit(main())
