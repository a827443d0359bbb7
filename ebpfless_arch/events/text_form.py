"""Events as one line of text for people; what a program chose to be called cannot forge a line."""

import time
from typing import Callable, Dict, List

from ebpfless_arch.events import flags, json_form
from ebpfless_arch.events.model import BlindSpotEvent, Event, ExecEvent, ExitEvent, File, OpenEvent, Process

_ARGUMENTS_SHOWN = 200


def printable(text: str) -> str:
    """The text with control characters, line breaks and bytes that are not UTF-8 as escapes."""
    if text.isprintable():
        return text
    return "".join(letter if letter.isprintable() else _escape(letter) for letter in text)


def _escape(letter: str) -> str:
    code = ord(letter)
    if 0xDC80 <= code <= 0xDCFF:
        return "\\x%02x" % (code - 0xDC00)
    return letter.encode("unicode_escape").decode("ascii")


def clock(nanoseconds: int) -> str:
    """Local time with milliseconds and the offset from UTC."""
    moment = time.localtime(nanoseconds // 10 ** 9)
    return "%s.%03d%s" % (time.strftime("%Y-%m-%dT%H:%M:%S", moment), nanoseconds // 10 ** 6 % 1000,
                          time.strftime("%z", moment))


def who(process: Process) -> str:
    """name[pid] of a process."""
    return "%s[%d]" % (printable(process.comm or process.file.name or "?"), process.pid)


def lineage(process: Process) -> str:
    """The chain of ancestors, nearest first, one entry a program: a forked copy is the same as what forked it."""
    names: List[str] = []
    for record in process.ancestors:
        name = who(record)
        if record.is_thread and record.parent is not None or name in names[-1:]:
            continue
        names.append(name)
    return " < ".join(names)


def _file(file: File) -> str:
    name = printable(file.path or file.name or "(unreadable path: %s)" % file.error)
    return name + " (deleted)" if file.deleted else name


def _exec_text(event: Event) -> str:
    assert isinstance(event, ExecEvent)
    process = event.process
    line = printable(process.args)
    if len(line) > _ARGUMENTS_SHOWN:
        line = line[:_ARGUMENTS_SHOWN] + "..."
    script = " by " + _file(process.interpreter) if process.interpreter.name else ""
    return "executed %s%s%s" % (_file(process.file), " " + line if line else "", script)


def _open_text(event: Event) -> str:
    assert isinstance(event, OpenEvent)
    names = "|".join(flags.open_flag_names(event.flags))
    return "opened %s (%s)" % (_file(event.file), names)


def _exit_text(event: Event) -> str:
    assert isinstance(event, ExitEvent)
    if json_form.CAUSES[event.cause] == "EXITED":
        return "exited with status %d" % event.code
    return "was killed by signal %d%s" % (event.code, " and dumped core" if event.cause == 1 else "")


def _fork_text(event: Event) -> str:
    parent = event.process.parent
    return "was forked by %s" % (who(parent) if parent else "an unknown process")


def _blind_spot_text(event: Event) -> str:
    assert isinstance(event, BlindSpotEvent)
    return "is not fully seen: " + printable(event.reason)


_TEXTS: Dict[str, Callable[[Event], str]] = {
    "exec": _exec_text, "open": _open_text, "exit": _exit_text, "fork": _fork_text, "blind_spot": _blind_spot_text,
}


def headline(event: Event) -> str:
    """Who did what, and why it failed if it did."""
    text = "%s %s" % (who(event.process), _TEXTS[event.type](event))
    if event.retval < 0:
        text += ": " + json_form.error_name(event.retval)
    return text
