"""Checks of text literals: what is special in them, what is not, and what can never match."""

import re
from typing import Iterator

from ebpfless_arch.rules.linted import Finding, Linted, Tested, field_of, name_of, quoted, short
from ebpfless_arch.rules.patterns import Flavor, PatternError, TextSet, shape_of
from ebpfless_arch.rules.tree import Array, Comparison, Node, Text, render
from ebpfless_arch.rules.typed import VariableRead

_COMM_SIZE = 15
_NAMES = (".path", ".name", ".comm", ".argv0")
_FOREIGN = re.compile(r"\[[^\]*]+\]|\{[^{}]*,[^{}]*\}|^\^|\$$|\(.*\|.*\)")
_REFERENCE = re.compile(r"[$%]\{[A-Za-z_][A-Za-z0-9_.]*\}")
_GLUED = re.compile(r"[^/]\*\*|\*\*[^/]")
# Events whose file is a directory.
_ABOUT_DIRECTORIES = ("rmdir", "chdir")


def backslash(linted: Linted) -> Iterator[Finding]:
    r"""Nothing is unescaped: a backslash is a character of the text.

    warns: exec.args == "a\"b"
    warns: exec.file.name == ~"core\.*"
    silent: exec.args =~ "a*b"
    silent: exec.args == r"a\.b"
    """
    for node, _ in linted.nodes:
        if isinstance(node, Text) and node.kind != "regexp" and "\\" in node.value:
            yield Finding(node.offset, f"the backslash is a character of the text, as every other one: it has "
                                       f"{len(node.value)} characters, {short(node.value)}")


def literal_star(linted: Linted) -> Iterator[Finding]:
    """A star in an ordinary text stands for itself.

    warns: exec.file.name == "py*"
    warns: exec.file.name in ["py*", "sh"]
    silent: exec.file.name == ~"py*"
    silent: exec.file.name =~ "py*"
    """
    for node, above in linted.nodes:
        if isinstance(node, Text) and node.kind == "string" and "*" in node.value and above is not None:
            if isinstance(above, Array) or (isinstance(above, Comparison) and above.operator not in ("=~", "!~")):
                yield Finding(node.offset, f'the star stands for itself in an ordinary text; a pattern is '
                                           f'written ~"{short(node.value)}"')


def useless_pattern(linted: Linted) -> Iterator[Finding]:
    """`=~` with a text that has no star is equality.

    warns: exec.file.name =~ "python"
    silent: exec.file.name =~ "python*"
    silent: exec.file.name =~ r"python"
    """
    for tested in linted.tested():
        if tested.operator in ("=~", "!~") and tested.form == "pattern" and "*" not in tested.value:
            if not _FOREIGN.search(tested.value):
                wanted = {"=~": "==", "!~": "!="}[tested.operator]
                yield Finding(tested.offset, f"without a star, {tested.operator} compares the whole text, "
                                             f'as {wanted} "{short(tested.value)}" does')


def starless_pattern(linted: Linted) -> Iterator[Finding]:
    """A pattern literal without a star is an ordinary text.

    warns: exec.file.name in [~"python", ~"perl*"]
    silent: exec.file.name in ["python", ~"perl*"]
    """
    for node, _ in linted.nodes:
        if isinstance(node, Text) and node.kind == "pattern" and "*" not in node.value:
            yield Finding(node.offset, f'without a star the pattern is the text "{short(node.value)}"')


def foreign_wildcard(linted: Linted) -> Iterator[Finding]:
    """Only the star is special in a pattern.

    warns: exec.file.name == ~"python?.*"
    warns: exec.file.name =~ "^python$"
    warns: exec.file.name =~ "[ab]*"
    silent: exec.file.name == ~"python*"
    silent: exec.file.name == r"^python[23]$"
    silent: exec.args =~ "*?version=*"
    """
    for tested in linted.tested():
        match = _FOREIGN.search(tested.value) if tested.form == "pattern" else None
        found = match.group() if match is not None else ""
        # Elsewhere, in an URL above all, the question mark is meant.
        if "?" in tested.value and name_of(tested.subject).endswith(_NAMES):
            found = found or "?"
        if found:
            yield Finding(tested.offset, f"{short(found)} stands for itself in a pattern, only * is special; "
                                         'a regular expression is written r"..."')


def leftmost_piece(linted: Linted) -> Iterator[Finding]:
    """The text after a star is taken at its first place and at no other.

    Told where a miss is likely: the last text is a single letter, digit or blank, begins as it ends, or occurs
    in the pattern before.

    warns: exec.file.name == ~"*abab"
    warns: exec.file.name == ~"lib*.so*.so"
    warns: exec.file.name == ~"*s"
    silent: exec.file.name == ~"*.log"
    silent: exec.file.name == ~"*ab*"
    """
    for tested in linted.tested():
        missed = _missed(tested) if tested.form == "pattern" and "*" in tested.value else ""
        if missed:
            yield Finding(tested.offset, f'{quoted(tested)} does not match "{short(missed)}": the text after a star is '
                                         "taken at its first place")


def _missed(tested: Tested) -> str:
    """A text that a backtracking matcher would find, "" when the pattern does not invite one."""
    field = field_of(tested.subject)
    glob = field is not None and "glob" in field.flags
    for segment in tested.value.split("/") if glob else [tested.value]:
        pieces = segment.split("*")
        tail = pieces[-1]
        repeats = any(tail and tail in piece for piece in pieces[1:-1])
        overlap = next((size for size in range(len(tail) - 1, 0, -1) if tail.startswith(tail[-size:])), 0)
        single = len(tail) == 1 and (tail.isalnum() or tail == " ")
        if len(pieces) < 2 or not (repeats or overlap or single):
            continue
        missed = tested.value.replace(segment, "".join(pieces[:-1]) + tail + tail[overlap:])
        missed = missed.replace("**", "x").replace("*", "x")
        try:
            shape = shape_of("pattern", tested.value, Flavor(glob, False))
        except PatternError:
            return ""
        if not TextSet([shape], False).matcher()(missed):
            return missed
    return ""


def glued_stars(linted: Linted) -> Iterator[Finding]:
    """`**` is special as a whole segment of a path only.

    warns: open.file.path == ~"/tmp/**.sh"
    silent: open.file.path == ~"/tmp/**/x.sh"
    silent: open.file.path == ~"/tmp/**"
    """
    for tested in linted.tested():
        if tested.form == "pattern" and _GLUED.search(tested.value):
            once = re.sub(r"\*\*+", "*", tested.value)
            yield Finding(tested.offset, f'** beside other text is a single *: this is read as ~"{short(once)}"')


def star_before_root(linted: Linted) -> Iterator[Finding]:
    """A leading star on a path is one segment, and before the root it is empty.

    warns: open.file.path == ~"*.sh"
    warns: open.file.path == ~"*/bin/sh"
    silent: open.file.path == ~"**/bin/sh"
    silent: open.file.name == ~"*.sh"
    """
    for tested in linted.tested():
        field = field_of(tested.subject)
        if tested.form != "pattern" or field is None or "glob" not in field.flags:
            continue
        first, slash, rest = tested.value.partition("/")
        if first.startswith("*") and first != "**":
            yield Finding(tested.offset, f'the star stays in its segment: this is read as ~"/{short(tested.value)}", '
                                         f'any depth is written ~"**/{short(rest)}"' if slash and first == "*" else
                          f'no absolute path matches, for the star does not cross a slash; write ~"**/{short(first)}"')


def directory_itself(linted: Linted) -> Iterator[Finding]:
    """`dir/**` is what is below the directory.

    Told for events that happen to directories only, unless the directory is tested as well.

    warns: rmdir.file.path =~ "/srv/data/**"
    silent: rmdir.file.path in ["/srv/data", ~"/srv/data/**"]
    silent: open.file.path =~ "/srv/data/**"
    """
    found = list(linted.tested())
    plain = {(name_of(tested.subject), tested.value) for tested in found}
    for tested in found:
        field = field_of(tested.subject)
        if field is None or "glob" not in field.flags or field.event not in _ABOUT_DIRECTORIES:
            continue
        directory = tested.value[:-len("/**")]
        if tested.form != "pattern" or not tested.value.endswith("/**") or not directory:
            continue
        if (field.name, directory) not in plain:
            yield Finding(tested.offset, f'{quoted(tested)} is what is below, not "{short(directory)}" itself')


def uninterpolated(linted: Linted) -> Iterator[Finding]:
    """Variables are replaced in ordinary texts outside of lists only.

    warns: exec.file.name == ~"${process.pid}*"
    warns: exec.file.name in ["${process.pid}", "x"]
    silent: exec.file.name == "${process.pid}"
    """
    for node, above in linted.nodes:
        if isinstance(node, Text) and (node.kind != "string" or isinstance(above, Array)):
            match = _REFERENCE.search(node.value)
            if match is not None:
                yield Finding(node.offset, f"{match.group()} is ordinary text here: only texts in plain quotes that "
                                           "are no member of a list are filled in")


def pattern_on_variable(linted: Linted) -> Iterator[Finding]:
    """Beside a variable a pattern is an ordinary text, unless it stands in a list.

    warns: ${name} == ~"x*" && exec.pid > 0
    silent: ${name} in [~"x*"] && exec.pid > 0
    """
    for tested in linted.tested():
        if isinstance(tested.subject, VariableRead) and not tested.listed and tested.form != "string":
            if tested.form == "regexp" or "*" in tested.value:
                yield Finding(tested.offset, f'beside a variable this is the ordinary text "{short(tested.value)}"; it '
                                             f"has effect in a list: in [{quoted(tested)}]")


def impossible_text(linted: Linted) -> Iterator[Finding]:
    """Texts that a field can never have.

    warns: process.comm == "systemd-journald" && exec.pid > 0
    warns: exec.file.name == "bin/sh"
    silent: process.comm == "systemd-journal" && exec.pid > 0
    silent: exec.file.name == "sh"
    """
    for tested in linted.tested():
        name = name_of(tested.subject)
        if tested.form == "regexp":
            continue
        size = len(tested.value.replace("*", "").encode("utf-8", "surrogateescape"))
        if name.rpartition(".")[2] == "comm" and size > _COMM_SIZE:
            yield Finding(tested.offset, f"{name} has at most {_COMM_SIZE} bytes, {quoted(tested)} has {size}")
        elif name.endswith(".file.name") and "/" in tested.value:
            yield Finding(tested.offset, f"{name} is the last part of the path and has no slash")


def list_in_one_text(linted: Linted) -> Iterator[Finding]:
    """A list of one member that looks like several.

    warns: exec.file.name in ["sh,bash"]
    silent: exec.file.name in ["sh", "bash"]
    silent: exec.file.name in ["sh"]
    """
    for node, _ in linted.nodes:
        if isinstance(node, Array) and len(node.members) == 1:
            only = node.members[0]
            if isinstance(only, Text) and only.kind != "regexp" and re.search(r"[\w*]\s*[,|]\s*[\w*/]", only.value):
                yield Finding(only.offset, f"the list has the single member {_written(only)}; each member has its own "
                                           "quotes")


def single_member(linted: Linted) -> Iterator[Finding]:
    """A list of one member.

    warns: exec.file.name in ["sh"]
    silent: exec.file.name in ["sh", "bash"]
    silent: exec.file.name == "sh"
    """
    for node, above in linted.nodes:
        if isinstance(node, Array) and len(node.members) == 1 and isinstance(above, Comparison):
            if isinstance(linted.typed(above.left), VariableRead):
                # There, a list of one pattern is not the same as the pattern.
                continue
            wanted = {"not in": "!="}.get(above.operator, "==")
            yield Finding(node.offset, f"a list of one member; this is {linted.reading(above.left)} {wanted} "
                                       f"{_written(node.members[0])}")


def _written(node: Node) -> str:
    return short(render(node))
