"""Events as one line of text for people; what a program chose to be called cannot forge a line."""

import time
from typing import Callable, Dict, List, Sequence

from ebpfless_arch.events import flags, json_parts, text_calls, text_network
from ebpfless_arch.events.model import (BlindSpotEvent, Event, ExecEvent, ExitEvent, OpenEvent, Process,
                                        SnapshotEvent)
from ebpfless_arch.events.text_parts import file_text, printable, quoted, who

__all__ = ["clock", "headline", "lineage", "printable", "who"]

_ARGUMENTS_SHOWN = 200

# How a blind spot begins, by its kind, where its reason tells what the process itself does.
_LEADS = {
    "clone_untraced": "", "io_uring": "", "seccomp_listener": "", "debugger": "", "tampering": "", "privileges": "is ",
}
_NOBODY = "what is traced"


def clock(nanoseconds: int) -> str:
    """Local time with milliseconds and the offset from UTC."""
    moment = time.localtime(nanoseconds // 10 ** 9)
    return "%s.%03d%s" % (time.strftime("%Y-%m-%dT%H:%M:%S", moment), nanoseconds // 10 ** 6 % 1000,
                          time.strftime("%z", moment))


def lineage(process: Process) -> str:
    """The chain of ancestors, nearest first, one entry a program: a forked copy is the same as what forked it."""
    names: List[str] = []
    for record in process.ancestors:
        name = who(record)
        if record.is_thread and record.parent is not None or name in names[-1:]:
            continue
        names.append(name)
    return " < ".join(names)


def _exec_text(event: Event) -> str:
    assert isinstance(event, ExecEvent)
    process = event.process
    line = _command_line(process.argv)
    script = " by " + file_text(process.interpreter) if process.interpreter.name else ""
    word = "was running already:" if isinstance(event, SnapshotEvent) else "executed"
    return "%s %s%s%s%s" % (word, file_text(process.file), " " + line if line else "", script,
                            _raced_text(event.raced, event.syscall_path))


def _command_line(words: Sequence[str]) -> str:
    """The words as a shell would take them, as far as there is room."""
    shown: List[str] = []
    length = -1
    for word in words:
        shown.append(quoted(word))
        length += 1 + len(shown[-1])
        if length > _ARGUMENTS_SHOWN:
            break
    line = printable(" ".join(shown))
    return line[:_ARGUMENTS_SHOWN] + "..." if len(line) > _ARGUMENTS_SHOWN else line


def _raced_text(raced: bool, argument: str) -> str:
    return ", though its argument was read as %s (raced)" % printable(argument) if raced else ""


def _open_text(event: Event) -> str:
    assert isinstance(event, OpenEvent)
    names = "|".join(flags.open_flag_names(event.flags))
    return "opened %s (%s)%s" % (file_text(event.file), names, _raced_text(event.raced, event.syscall_path))


def _exit_text(event: Event) -> str:
    assert isinstance(event, ExitEvent)
    if json_parts.CAUSES[event.cause] == "EXITED":
        return "exited with status %d" % event.code
    return "was killed by signal %d%s" % (event.code, " and dumped core" if event.cause == 1 else "")


def _fork_text(event: Event) -> str:
    parent = event.process.parent
    return "was forked by %s" % (who(parent) if parent else "an unknown process")


def _blind_spot_text(event: Event) -> str:
    assert isinstance(event, BlindSpotEvent)
    times = " (%d times)" % event.count if event.count > 1 and event.kind != "lost" else ""
    return _LEADS.get(event.kind, "is not fully seen: ") + printable(event.reason) + times


_TEXTS: Dict[str, Callable[[Event], str]] = {
    "exec": _exec_text, "open": _open_text, "exit": _exit_text, "fork": _fork_text, "blind_spot": _blind_spot_text,
}
_TEXTS.update(text_calls.TEXTS)
_TEXTS.update(text_network.TEXTS)


def headline(event: Event) -> str:
    """Who did what, and why it failed if it did."""
    process = event.process
    subject = who(process) if process.pid or event.type != "blind_spot" else _NOBODY
    text = "%s %s" % (subject, _TEXTS[event.type](event))
    if event.retval < 0:
        text += ": " + json_parts.error_name(event.retval)
    return text
