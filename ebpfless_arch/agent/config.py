"""The effective configuration: defaults < file < environment < flags, and where each value came from."""

import os
from typing import Any, Callable, Dict, Iterable, Iterator, List, Mapping, Sequence, Set, Tuple

from ebpfless_arch.agent import settings
from ebpfless_arch.agent.options import UsageError
from ebpfless_arch.agent.settings import BY_KEY, DEFAULT_FILE, SETTINGS, Setting
from ebpfless_arch.named import NamedTuple

FILE_VARIABLE = "EBPFLESS_CONFIG"
_OWN = "EBPFLESS_"


class Value(NamedTuple):
    """What a setting is, and where that was said."""

    value: Any
    origin: str


class Config:
    """The effective values by their keys; `warnings` are about what nobody reads."""

    def __init__(self, values: Dict[str, Value], warnings: Sequence[str] = ()) -> None:
        self.values = values
        self.warnings = warnings

    def __getitem__(self, key: str) -> Any:
        """The value of a setting; raises KeyError for a key that is in no schema."""
        return self.values[key].value

    @property
    def enabled(self) -> bool:
        """Whether anything is to be watched at all."""
        return all(self[key] for key in settings.SWITCHES)


def load(path: str = "", flags: Mapping[str, Any] = {}, environment: Mapping[str, str] = os.environ) -> Config:
    """Put the configuration together; `path` names the file, `flags` has the values of options by their keys.

    Without a path it is $EBPFLESS_CONFIG, or /etc/ebpfless/ebpfless.ini where there is one.
    Raises UsageError: one line with the place and what was expected.
    """
    values = {setting.key: Value(settings.read(setting, setting.default), "default") for setting in SETTINGS}
    values.update(_from_file(path or environment.get(FILE_VARIABLE, "")))
    values.update(_from_environment(environment))
    values.update((key, Value(value, BY_KEY[key].flag)) for key, value in flags.items())
    return Config(values, list(_strange_variables(environment)))


# --- the environment ------------------------------------------------------------------

def _from_environment(environment: Mapping[str, str]) -> Iterator[Tuple[str, Value]]:
    for setting in SETTINGS:
        for name in settings.variable_names(setting):
            if environment.get(name):
                yield setting.key, Value(_read(setting, environment[name], name), name)
                break


def _strange_variables(environment: Mapping[str, str]) -> Iterator[str]:
    """Variables with our prefix that nobody reads. They are no error: an image's variables must not keep its command
    from running."""
    known = {FILE_VARIABLE}.union(*[settings.variable_names(setting) for setting in SETTINGS])
    for name in sorted(environment):
        if name.startswith(_OWN) and name not in known:
            yield "%s: no such setting%s" % (name, _nearest(name, known))


def _read(setting: Setting, text: str, place: str) -> Any:
    try:
        return settings.read(setting, text)
    except ValueError as error:
        raise UsageError("%s: %s" % (place, error))


def _nearest(word: str, known: Iterable[str]) -> str:
    import difflib

    found = difflib.get_close_matches(word, sorted(known), 1)
    return "; did you mean %s?" % found[0] if found else ""


# --- files ----------------------------------------------------------------------------

def _from_file(path: str) -> Iterator[Tuple[str, Value]]:
    """All that a file sets; only the default file may be missing."""
    try:
        with open(path or DEFAULT_FILE, encoding="utf-8") as file:
            text = file.read()
    except FileNotFoundError:
        if not path:
            return iter(())
        raise UsageError("%s: no such configuration file" % path)
    except OSError as error:
        raise UsageError("%s: cannot be read: %s" % (path or DEFAULT_FILE, error.strerror))
    except UnicodeDecodeError as error:
        raise UsageError("%s: byte %d is not UTF-8" % (path or DEFAULT_FILE, error.start))
    place = path or DEFAULT_FILE
    return iter(list(_from_json(place, text) if text.lstrip().startswith("{") else _from_ini(place, text)))


def _from_ini(path: str, text: str) -> Iterator[Tuple[str, Value]]:
    import configparser

    parser = configparser.RawConfigParser(delimiters=("=",), comment_prefixes=("#", ";"), default_section="")
    try:
        parser.read_string(text, path)
    except configparser.DuplicateSectionError as error:
        raise UsageError("%s: line %s: section [%s] is there already" % (path, error.lineno, error.section))
    except configparser.DuplicateOptionError as error:
        raise UsageError("%s: line %s: [%s] %s is set already" % (path, error.lineno, error.section, error.option))
    except configparser.MissingSectionHeaderError as error:
        raise UsageError("%s: line %s: a [section] has to come first" % (path, error.lineno))
    except configparser.ParsingError as error:
        raise UsageError("%s: line %s: expected 'key = value'" % (path, error.errors[0][0]))
    for section in parser.sections():
        if not parser.items(section) and section not in _sections():
            raise UsageError("%s: [%s]: unknown section%s" % (path, section, _nearest(section, _sections())))
        for key, value in parser.items(section):
            place = "%s: [%s] %s" % (path, section, key)
            setting = _setting(section + "." + key, place)
            yield setting.key, Value(_read(setting, value, place), "%s [%s]" % (path, section))


def _sections() -> Set[str]:
    """The names of all sections, those that hold others only included."""
    return {".".join(words[:depth]) for words in (key.split(".") for key in BY_KEY) for depth in range(1, len(words))}


def _setting(key: str, place: str) -> Setting:
    if key not in BY_KEY:
        raise UsageError("%s: unknown key%s" % (place, _nearest(key, BY_KEY)))
    return BY_KEY[key]


def _from_json(path: str, text: str) -> Iterator[Tuple[str, Value]]:
    import json

    try:
        tree = json.loads(text, object_pairs_hook=_distinct)
    except ValueError as error:
        raise UsageError("%s: not valid JSON: %s" % (path, error))
    except RecursionError:
        raise UsageError("%s: not valid JSON: nested too deeply" % path)
    for key, value in _leaves(tree, ""):
        place = "%s: %s" % (path, key)
        if key in _sections():
            if value == {}:
                continue
            raise UsageError("%s: %s is no object with settings" % (place, json.dumps(value)))
        setting = _setting(key, place)
        yield key, Value(_typed(setting, value, place), path)


def _distinct(pairs: List[Tuple[str, Any]]) -> Dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError("'%s' is set twice" % next(name for name in names if names.count(name) > 1))
    return found


def _leaves(tree: Dict[str, Any], above: str) -> Iterator[Tuple[str, Any]]:
    for word, value in tree.items():
        if value and isinstance(value, dict) and above + word not in BY_KEY:
            for leaf in _leaves(value, above + word + "."):
                yield leaf
        else:
            yield above + word, value


def _typed(setting: Setting, value: Any, place: str) -> Any:
    if not settings.suits(setting, value):
        import json

        kind = settings.KINDS.get(setting.kind)
        raise UsageError("%s: %s is not %s" % (place, json.dumps(value), kind.expected if kind else "a text"))
    if isinstance(value, (bool, list)):
        return value
    return _read(setting, str(value), place)


# --- the printed form -----------------------------------------------------------------

def lines(config: Config, origins: bool = False) -> Iterator[str]:
    """The configuration as nested lines; with `origins`, each says where its value came from."""
    above: List[str] = []
    for key in _ordered(config.values):
        words = key.split(".")
        shared = len(os.path.commonprefix([above, words[:-1]]))
        for depth in range(shared, len(words) - 1):
            yield "  " * depth + words[depth] + ":"
        above = words[:-1]
        found = config.values[key]
        line = "  " * len(above) + words[-1] + ": " + _shown(BY_KEY[key], found.value)
        yield "%-48s # %s" % (line, found.origin) if origins else line.rstrip()


def _ordered(keys: Iterable[str]) -> List[str]:
    """Keys as the schema orders them, those of one section together, a section's own before those below it."""
    sections: List[str] = []
    for key in keys:
        section = key.rpartition(".")[0]
        if section not in sections:
            sections.append(section)
    roots = [section.split(".")[0] for section in sections]
    sections.sort(key=lambda section: roots.index(section.split(".")[0]))
    return [key for section in sections for key in keys if key.rpartition(".")[0] == section]


def _shown(setting: Setting, value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return "[%s]" % ", ".join(value)
    if value is None:
        return ""
    return _SHOWN.get(setting.kind, str)(value)


def duration(seconds: float) -> str:
    """Seconds in the form in which a file gives them."""
    return "%gs" % seconds if seconds >= 1 else "%gms" % (seconds * 1000)


def size(count: int) -> str:
    """A number of bytes in the form in which a file gives them."""
    units = [(count >> bits, unit) for bits, unit in ((30, "GiB"), (20, "MiB"), (10, "KiB")) if count and count % (1 << bits) == 0]
    return "%d%s" % units[0] if units else str(count)


_SHOWN: Dict[str, Callable[[Any], str]] = {
    "duration": duration, "size": size, "seconds": lambda seconds: duration(seconds) if seconds else "0"}


# --- the reference page ---------------------------------------------------------------

_REFERENCE_HEAD = """# Configuration

Made by `scripts/reference` from `ebpfless_arch/agent/settings.py`.

Flags come before the environment, the environment before the file, the file before defaults. The file is what
`--config` names, or the variable `EBPFLESS_CONFIG`, or `/etc/ebpfless/ebpfless.ini` where there is one. It is INI,
with dotted paths as names of sections, or the same as nested JSON objects:

    [runtime_security_config.ebpfless]
    enabled = true

    {"runtime_security_config": {"ebpfless": {"enabled": true}}}

`ebpfless config` prints what is in effect, `ebpfless config --origin` where each value came from. An unknown key, a
wrong value or an unreadable file is one line on stderr and exit status 2.
"""


def reference() -> str:
    """docs/configuration.md."""
    parts = [_REFERENCE_HEAD]
    for key in _ordered(BY_KEY):
        setting = BY_KEY[key]
        kind, _, choices = setting.kind.partition(":")
        expected = choices.replace("|", " or ") if choices else settings.KINDS[kind].expected
        rows = [("does", setting.help), ("value", expected), ("default", "`%s`" % setting.default if setting.default else ""),
                ("option", "`%s` of `%s`" % (setting.flag, "`, `".join(setting.commands)) if setting.flag else ""),
                ("environment", ", ".join("`%s`" % name for name in settings.variable_names(setting)))]
        parts.append("## %s\n\n%s\n" % (key, "\n".join("- %s: %s" % row for row in rows if row[1])))
    return "\n".join(parts)


_EXAMPLE_HEAD = """# The configuration of ebpfless. Everything stands here as it is without this file: take away the `#` of what you change.
# `ebpfless config --origin` prints what is in effect, docs/configuration.md tells more.
"""


def example() -> str:
    """docs/ebpfless.ini: a file that changes nothing and names everything."""
    parts, section = [_EXAMPLE_HEAD], ""
    for key in _ordered(BY_KEY):
        setting = BY_KEY[key]
        here, _, name = key.rpartition(".")
        if here != section:
            section = here
            parts.append("\n[%s]\n" % section)
        parts.append("# %s\n#%s = %s\n" % (setting.help, name, setting.default))
    return "".join(parts).replace(" = \n", " =\n")
