"""Reads what `strace -f -y -xx` wrote, and puts its calls and the events of `ebpfless` in one form.

An oracle of its own: it knows nothing of the tracer's table.
"""

import errno
import os
import re
from typing import Dict, Iterator, List, NamedTuple, Optional, Sequence, Tuple

from blackbox import Event, is_detection, retval


class Told(NamedTuple):
    """A call in the words of both sides: SECL's event type, the texts that name what it is about as the program gave
    them (the file's real path for a call upon a descriptor), "ok" or the name of the error, and, for calls that
    succeeded, the absolute path that both tell, "" where strace does not."""

    event: str
    texts: Tuple[str, ...]
    result: str
    place: str = ""


class Form(NamedTuple):
    """Which event a call makes and where its arguments are; -1: it has none."""

    event: str
    path: int
    second: int = -1
    directory: int = -1
    descriptor: int = -1


_FORMS: Dict[str, Form] = {
    "open": Form("open", 0), "openat": Form("open", 1), "openat2": Form("open", 1), "creat": Form("open", 0),
    "truncate": Form("open", 0), "truncate64": Form("open", 0),
    "execve": Form("exec", 0), "execveat": Form("exec", 1),
    "unlink": Form("unlink", 0), "unlinkat": Form("unlink", 1, directory=0), "rmdir": Form("rmdir", 0),
    "rename": Form("rename", 0, 1), "renameat": Form("rename", 1, 3, 0), "renameat2": Form("rename", 1, 3, 0),
    "mkdir": Form("mkdir", 0), "mkdirat": Form("mkdir", 1, directory=0),
    "mknod": Form("mknod", 0), "mknodat": Form("mknod", 1, directory=0),
    "link": Form("link", 0, 1), "linkat": Form("link", 1, 3), "symlink": Form("link", 0, 1),
    "symlinkat": Form("link", 0, 2),
    "chmod": Form("chmod", 0), "fchmod": Form("chmod", -1, descriptor=0), "fchmodat": Form("chmod", 1, directory=0),
    "fchmodat2": Form("chmod", 1, directory=0),
    "chown": Form("chown", 0), "lchown": Form("chown", 0), "fchown": Form("chown", -1, descriptor=0),
    "fchownat": Form("chown", 1, directory=0),
    "utime": Form("utimes", 0), "utimes": Form("utimes", 0), "futimesat": Form("utimes", 1),
    "utimensat": Form("utimes", 1, directory=0),
    "chdir": Form("chdir", 0), "fchdir": Form("chdir", -1, descriptor=0), "mount": Form("mount", 0, 1),
    "setxattr": Form("setxattr", 0, 1), "lsetxattr": Form("setxattr", 0, 1),
    "fsetxattr": Form("setxattr", -1, 1, descriptor=0),
    "removexattr": Form("removexattr", 0, 1), "lremovexattr": Form("removexattr", 0, 1),
    "fremovexattr": Form("removexattr", -1, 1, descriptor=0),
    "connect": Form("connect", -1), "bind": Form("bind", -1),
}

EVENTS = frozenset(form.event for form in _FORMS.values())
_SOCKETS = ("connect", "bind")
_ATTRIBUTES = ("setxattr", "removexattr")
# The events of these do not carry the path as it was given: names are compared.
_NAMED = _ATTRIBUTES + ("mknod",)

# "?": a machine may lack the call, and an older strace its name.
OPTIONS = ("-f", "-y", "-xx", "-s", "8192", "-e", "signal=none",
           "-e", "trace=" + ",".join("?" + name for name in sorted(_FORMS)))

_LINE = re.compile(r"(\d+) +(.*)")
_WHOLE = re.compile(r"(\w+)\((.*)\) += (.*)", re.DOTALL)
_UNFINISHED = " <unfinished ...>"
_RESUMED = re.compile(r"<\.\.\. \w+ resumed>(.*)", re.DOTALL)
_SUPERSEDED = re.compile(r"\+\+\+ superseded by execve in pid (\d+) \+\+\+")
_BEHIND = re.compile(r"[^<]*<(.*?)>(\(deleted\))?$")


def calls(lines: Sequence[str]) -> Iterator[Told]:
    """The calls of a trace, in the order of their ends; those that never ended, or are begun anew, are none."""
    begun: Dict[str, str] = {}
    for line in lines:
        matched = _LINE.match(line)
        assert matched, line
        thread, text = matched.groups()
        superseded, resumed = _SUPERSEDED.match(text), _RESUMED.match(text)
        if superseded:
            begun[thread] = begun.pop(superseded.group(1))
            continue
        if text.endswith(_UNFINISHED):
            begun[thread] = text[:-len(_UNFINISHED)]
            continue
        if resumed:
            text = begun.pop(thread) + resumed.group(1)
        whole = _WHOLE.match(text)
        if whole and not whole.group(3).startswith("?"):
            yield _told(whole.group(1), _split(whole.group(2)), whole.group(3))


def _told(call: str, arguments: List[str], result: str) -> Told:
    form = _FORMS[call]
    word = result.split()[1] if result.startswith("-1 ") else "ok"
    if form.event in _SOCKETS:
        return Told(form.event, (_address(arguments[1]),), word)
    name = _text(arguments[form.path]) if form.path >= 0 else ""
    if not name:
        at = form.descriptor if form.descriptor >= 0 else form.directory
        name = _behind(arguments[at]) if at >= 0 else ""
    second = _text(arguments[form.second]) if form.second >= 0 else ""
    event = form.event
    if call == "unlinkat" and "AT_REMOVEDIR" in arguments[2]:
        event = "rmdir"
    if event in _NAMED:
        name = os.path.basename(name)
    return Told(event, (name, second) if form.second >= 0 else (name,), word, _place(form, arguments, result) if word == "ok" else "")


def _place(form: Form, arguments: List[str], result: str) -> str:
    """What the kernel opened, if it has a path; the absolute path of a call that names its directory."""
    if form.event == "open":
        opened = _behind(result)
        return opened if opened.startswith("/") else ""
    if form.directory >= 0 and arguments[form.path] != "NULL":
        return os.path.normpath(os.path.join(_behind(arguments[form.directory]), _text(arguments[form.path])))
    return ""


def _split(text: str) -> List[str]:
    """Arguments at the commas outside of all brackets; strings are in hexadecimal and have none."""
    found, depth, start = [], 0, 0
    for position, letter in enumerate(text):
        if letter in "([{":
            depth += 1
        elif letter in ")]}":
            depth -= 1
        elif letter == "," and depth == 0:
            found.append(text[start:position].strip())
            start = position + 1
    return found + [text[start:].strip()]


def _unhex(text: str) -> str:
    """\\x41\\x42 as AB, as the events have it."""
    return bytes.fromhex(text.replace("\\x", "")).decode("utf-8", "surrogateescape") if "\\x" in text else text


def _text(argument: str) -> str:
    """A string argument; "" for a pointer to none."""
    matched = re.match(r'"([^"]*)"', argument)
    return _unhex(matched.group(1)) if matched else ""


def _behind(argument: str) -> str:
    """The path that -y shows behind a descriptor."""
    matched = _BEHIND.match(argument)
    return _unhex(matched.group(1)) if matched else ""


def _address(argument: str) -> str:
    """family, address and port as `address` has them."""
    family = re.search(r"sa_family=(\w+)", argument)
    path = re.search(r'sun_path=(@?)"([^"]*)"', argument)
    ip = re.search(r'(?:inet_addr\(|inet_pton\(AF_INET6, )"([^"]*)"', argument)
    port = re.search(r"port=htons\((\d+)\)", argument)
    if path:
        return "AF_UNIX %s%s" % (path.group(1), _unhex(path.group(2)))
    if ip and port:
        return "%s %s %s" % (family.group(1) if family else "", _unhex(ip.group(1)), port.group(1))
    return family.group(1) if family else ""


def events(found: Sequence[Event]) -> List[Told]:
    """The same of the events of `trace --events`."""
    return [_of_event(event) for event in found if event["evt"]["name"] in EVENTS and not is_detection(event)]


def _of_event(event: Event) -> Told:
    name, result = event["evt"]["name"], retval(event)
    word = "ok" if result >= 0 else errno.errorcode.get(-result, str(result))
    if name in _SOCKETS:
        return Told(name, (_event_address(event),), word)
    file = event.get("file", {})
    arguments = event.get("syscall", {}).get(name, {})
    texts: Tuple[Optional[str], ...] = (arguments.get("path") or file["path"] or file["name"],)
    if name == "mount":
        texts = (arguments["path"], arguments["destination_path"])
    elif name in ("rename", "link"):
        texts = (arguments.get("path"), arguments.get("destination_path"))
    elif name in _ATTRIBUTES:
        texts = (file["name"], file["attribute_name"])
    elif name in _NAMED:
        texts = (file["name"],)
    place = file.get("path") or file.get("name") if word == "ok" else ""
    return Told(name, tuple(text or "" for text in texts), word, place or "")


def _event_address(event: Event) -> str:
    address = event[event["evt"]["name"]]["addr"]
    path = event["evt"]["variables"].get("socket_path")
    if path:
        return "AF_UNIX %s" % path
    if address["ip"]:
        return "%s %s %d" % (address["family"], address["ip"], address["port"])
    return str(address["family"])
