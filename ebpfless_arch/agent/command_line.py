"""A command's options as they stand on its line, by the rows of a table. In place of argparse: loading that one, and telling it
what there is, takes a tenth of the time in which a command starts.

A row has the option's names and how it is taken: `dest` (what it sets; without one, what its name says), `default` (without one
False or None, and with a `dest` nothing at all), `action` ("store_true" or "append"), `type` (raises ValueError for what is wrong),
`choices`, `metavar` and `help`.
"""

import sys
from types import SimpleNamespace
from typing import Any, Callable, Dict, List, NoReturn, Optional, Sequence, Tuple

Option = Tuple[Tuple[str, ...], Dict[str, Any]]

USAGE = 2
_HELP: Option = (("-h", "--help"), dict(action="store_true", help="show this help message and exit"))
# What an option does begins in this column, or in the line below its name.
_COLUMN = 24


# What the options have set, by their `dest`.
Given = SimpleNamespace


class Line:
    """Reads the lines of one program; `read_bool` reads what follows a switch and =, and raises KeyError. What is wrong with a
    line is told in one line on stderr, which names the `page` whose --help tells more (the program's own), and ends the program
    with status 2."""

    def __init__(self, program: str, options: Sequence[Option], read_bool: Callable[[str], object], page: str = "") -> None:
        self._program = program
        self._page = page or program
        self._options = tuple(options)
        self._read_bool = read_bool
        self._rows = {name: (names, how) for names, how in self._options for name in names}

    def read(self, words: Sequence[str]) -> Optional[Tuple[Given, List[str]]]:
        """What options say, and the operands: options end at the first word that is none, or at `--`. The last one of a name
        counts, and as in Go's command lines a switch may be followed by =true or =false. None where help is wanted."""
        found = {_dest(names, how): how.get("default", False if how.get("action") == "store_true" else None)
                 for names, how in self._options if "default" in how or "dest" not in how}
        position = 0
        while position < len(words) and words[position].startswith("-") and words[position] not in ("-", "--"):
            name, equals, value = words[position].partition("=")
            position += 1
            if name in _HELP[0]:
                return None
            if name not in self._rows:
                self.fail("unknown option %s%s" % (words[position - 1], nearest(name, list(self._rows))))
            names, how = self._rows[name]
            if how.get("action") != "store_true" and not equals:
                if position == len(words) or _is_option(words[position]):
                    self.fail("argument %s: its value is missing (if that begins with a hyphen: %s=VALUE)" % (name, name))
                value = words[position]
                position += 1
            self._set(found, names, how, value if equals or how.get("action") != "store_true" else "true")
        return Given(**found), list(words[position + (list(words[position:position + 1]) == ["--"]):])

    def _set(self, found: Dict[str, Any], names: Tuple[str, ...], how: Dict[str, Any], text: str) -> None:
        """Note what an option says."""
        key, value = _dest(names, how), self._value(names, how, text)
        found[key] = list(found.get(key) or []) + [value] if how.get("action") == "append" else value

    def _value(self, names: Tuple[str, ...], how: Dict[str, Any], text: str) -> Any:
        if "choices" in how and text not in how["choices"]:
            self.fail("argument %s: invalid choice: '%s' (choose from %s)"
                      % (names[-1], text, ", ".join("'%s'" % choice for choice in how["choices"])))
        try:
            if how.get("action") == "store_true":
                return bool(self._read_bool(text))
            return how["type"](text) if "type" in how else text
        except KeyError:
            self.fail("argument %s: '%s' is not true or false" % (names[-1], text))
        except ValueError as error:
            self.fail("argument %s: %s" % (names[-1], error))

    def fail(self, message: str) -> NoReturn:
        """Say what is wrong and end."""
        if sys.stderr is not None:
            sys.stderr.write("%s: %s; see '%s --help'\n" % (self._program, message, self._page))
        sys.exit(USAGE)

    def options(self) -> str:
        """The options, each with what it does, for a screen of this width."""
        import shutil

        width = max(40, shutil.get_terminal_size().columns - 2)
        return "options:\n" + "".join(_described(names, how, width) for names, how in (_HELP,) + self._options)


def nearest(word: str, known: List[str]) -> str:
    """A suggestion for a mistyped word, "" when nothing is near: what begins with it, or resembles it without hyphens."""
    import difflib

    bare = {name.lstrip("-"): name for name in known}
    begun = sorted(name for name in bare if name.startswith(word.lstrip("-") or "?"))
    found = [bare[name] for name in begun[:1] or difflib.get_close_matches(word.lstrip("-"), bare, 1)]
    return "; did you mean %s?" % found[0] if found else ""


def _dest(names: Tuple[str, ...], how: Dict[str, Any]) -> str:
    return str(how.get("dest") or names[0].lstrip("-").replace("-", "_"))


def _is_option(word: str) -> bool:
    """Whether a word cannot be a value: it looks like an option. Negative numbers, a lone - and several words in one are
    values."""
    return word.startswith("-") and word != "-" and not word[1:].isdigit() and " " not in word


def _described(names: Tuple[str, ...], how: Dict[str, Any], width: int) -> str:
    import textwrap

    value = "{%s}" % ",".join(how["choices"]) if "choices" in how else how.get("metavar", "")
    head = "  " + ", ".join(names) + (" " + value if value else "")
    lines = textwrap.wrap(how["help"], width - _COLUMN)
    if len(head) > _COLUMN - 2:
        lines.insert(0, head)
    else:
        lines[0] = head.ljust(_COLUMN) + lines[0]
    return "\n".join([lines[0]] + [" " * _COLUMN + line for line in lines[1:]]) + "\n"
