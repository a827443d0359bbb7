"""Words that many events have: names that cannot forge a line, processes, files."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ebpfless_arch.events.model import File, Process


def printable(text: str) -> str:
    """The text with control characters, line breaks and bytes that are not UTF-8 as escapes."""
    if text.isprintable():
        return text
    return "".join(letter if letter.isprintable() else _escape(letter) for letter in text)


def quoted(text: str) -> str:
    """A word of a command line: in a shell's quotes where it is empty, or where blanks or quotes would make others of it."""
    if text.split() == [text] and "'" not in text and '"' not in text:
        return text
    return "'%s'" % text.replace("'", "'\\''")


def _escape(letter: str) -> str:
    code = ord(letter)
    if 0xDC80 <= code <= 0xDCFF:
        return "\\x%02x" % (code - 0xDC00)
    return letter.encode("unicode_escape").decode("ascii")


def who(process: "Process") -> str:
    """name[pid] of a process."""
    return "%s[%d]" % (printable(process.comm or process.file.name or "?"), process.pid)


def file_text(file: "File") -> str:
    """The path of a file, or what else there is to say."""
    name = printable(file.path or file.name or "(unreadable path: %s)" % file.error)
    return name + " (deleted)" if file.deleted else name
