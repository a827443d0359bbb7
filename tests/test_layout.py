"""The walls of the house, as tests: floors, imports, docstrings, the language of Python 3.6, what may be tracked.

Each wall is a function from a file (its path in the repository, its text) to complaints. It has to find nothing
in the tree, and to find the breach in every sample of BREACHES.
"""

import ast
import importlib
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Callable, Iterator, List, NamedTuple, Optional, Set, Tuple, Union

import pytest

ROOT = Path(__file__).resolve().parent.parent
DOOR = "ebpfless.py"
HOUSE = "ebpfless_arch"

# The two rooms of floor 4 know nothing of each other.
FLOORS = {"abi": 1, "kernel": 2, "events": 3, "tracer": 4, "rules": 4, "agent": 5}

# Below all floors, beside the version: what every file may use.
EVERYWHERE = ("__version__", "named")

# Every one is in the library of Python 3.6 and in that of the newest; what is missing here may be added if that holds.
STANDARD_LIBRARY = frozenset("""
    argparse array base64 binascii bisect codecs collections configparser contextlib copy ctypes datetime difflib enum
    errno fcntl fnmatch functools gc glob grp gzip hashlib hmac http importlib io ipaddress itertools json keyword
    logging marshal math mmap operator os pathlib platform posixpath pwd queue random re resource select selectors shlex
    shutil signal socket socketserver ssl stat string struct subprocess sys sysconfig tempfile termios textwrap
    threading time traceback types typing unicodedata urllib uuid warnings weakref zipapp zipfile zlib
""".split())

# Where the promise that the traced program goes on, whatever fails, is kept.
MAY_CATCH_ALL = frozenset(["ebpfless_arch/tracer/engine.py", "ebpfless_arch/tracer/keeper.py"])

TOP_LEVEL = re.compile(r"pyproject\.toml|ebpfless\.py|ebpfless_arch|tests|scripts|systemd|sysvinit|docs"
                       r"|README.*|LICENSE|CONTRIBUTING\.md|CHANGELOG.*|\..+")

# What came after Python 3.6; getattr(os, "name", None), with a way to do without, is allowed.
LATER_MODULES = frozenset(["dataclasses", "contextvars", "graphlib", "tomllib", "zoneinfo",
                           "importlib.metadata", "importlib.resources"])
LATER_METHODS = frozenset("removeprefix removesuffix isascii fromisoformat is_relative_to with_stem".split())
LATER_NAMES = {
    "contextlib": frozenset("aclosing chdir nullcontext".split()),
    "functools": frozenset("cache cached_property singledispatchmethod".split()),
    "http.server": frozenset(["ThreadingHTTPServer"]),
    "itertools": frozenset("batched pairwise".split()),
    "math": frozenset("comb dist isqrt lcm perm prod".split()),
    "os": frozenset("""copy_file_range eventfd memfd_create pidfd_open posix_spawn posix_spawnp preadv pwritev
                       register_at_fork setns splice unshare waitstatus_to_exitcode""".split()),
    "shlex": frozenset(["join"]),
    "signal": frozenset("pidfd_send_signal raise_signal strsignal valid_signals".split()),
    "sys": frozenset("breakpointhook exception orig_argv stdlib_module_names unraisablehook".split()),
    "threading": frozenset("excepthook get_native_id".split()),
    "time": frozenset("clock_gettime_ns monotonic_ns perf_counter_ns process_time_ns thread_time_ns time_ns".split()),
    "typing": frozenset("""Annotated Concatenate Final ForwardRef Literal NotRequired OrderedDict ParamSpec Protocol
                           Self SupportsIndex TypeAlias TypeGuard TypedDict final get_args get_origin override
                           runtime_checkable""".split()),
}
LATER_ARGUMENTS = {
    "run": ("capture_output", "text"), "Popen": ("text",), "check_output": ("text",), "unlink": ("missing_ok",),
    "copytree": ("dirs_exist_ok",), "zip": ("strict",),
}
BUILT_IN_GENERICS = frozenset(["list", "dict", "tuple", "set", "frozenset", "type"])
# The parsers of 3.9 and later read these two whatever the version they are asked for.
LATER_TEXT = re.compile(r"""\bf["'].*(?<!\{)\{[A-Za-z_][\w.]*\ *=\ *(![rsa])?(:[^{}]*)?\}
                            | ^\ *(async\ )?with\ \((?:[^()]|\([^()]*\))*(\bas\b.*\):)?$""", re.VERBOSE)

# Put together here so that this file does not name them.
REGISTRY_HOSTS = tuple(".".join(labels) for labels in [
    ("pypi", "org"), ("pythonhosted", "org"), ("docker", "io"), ("ghcr", "io"), ("quay", "io"), ("gcr", "io"),
    ("npmjs", "org"), ("npmjs", "com"), ("crates", "io"), ("rubygems", "org"), ("deb.debian", "org"),
    ("archive.ubuntu", "com"), ("proxy.golang", "org"), ("mcr.microsoft", "com"), ("public.ecr", "aws")])
MACHINE_PATHS = tuple("/".join(parts) for parts in [("", "work", ""), ("", "root", ".pyenv"), ("~", ".pyenv")])
UNWANTED_TEXT = re.compile(r"(?<![\w.])(?:%s)" % "|".join(map(re.escape, MACHINE_PATHS))
                           + r"|(?<![\w-])(?:%s)\b" % "|".join(map(re.escape, REGISTRY_HOSTS)))


class Source(NamedTuple):
    """A file of the project: its path from the top, with slashes, and its text."""

    path: str
    text: str


Wall = Callable[[Source], Iterator[str]]


# What the files say

def parse(source: Source) -> ast.Module:
    """The syntax tree; raises SyntaxError for what Python 3.6 cannot read, as far as the running parser knows."""
    if sys.version_info >= (3, 8):
        return ast.parse(source.text, source.path, feature_version=(3, 6))
    return ast.parse(source.text, source.path)


def imported_modules(source: Source) -> Iterator[str]:
    """Full dotted names, at any depth of the file; `from a import b` gives a.b, which may name a module or not."""
    for node in ast.walk(parse(source)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name
        elif isinstance(node, ast.ImportFrom):
            base = package_of(source.path, node.level) + [node.module] if node.level else [node.module]
            for alias in node.names:
                yield ".".join([part for part in base if part] + [alias.name])


def package_of(path: str, level: int) -> List[Optional[str]]:
    """The package that `level` dots mean in the file at this path."""
    parts: List[Optional[str]] = list(Path(path).parts)
    return parts[:len(parts) - level]


def room_of(path: str) -> Optional[str]:
    """The folder under ebpfless_arch; None for ebpfless_arch/__init__.py and for files outside."""
    parts = path.split("/")
    return parts[1] if parts[0] == HOUSE and len(parts) > 2 else None


def names_in(node: Optional[ast.AST]) -> Set[str]:
    """All plain names and attributes in an expression."""
    nodes = list(ast.walk(node)) if node is not None else []
    return ({found.id for found in nodes if isinstance(found, ast.Name)}
            | {found.attr for found in nodes if isinstance(found, ast.Attribute)})


# The walls

def floors(source: Source) -> Iterator[str]:
    """A room imports from itself or from the floors below; nobody imports the door."""
    room = room_of(source.path)
    if room is not None and room not in FLOORS:
        yield "{} is no room of the house".format(room)
        return
    for module in imported_modules(source):
        parts = module.split(".")
        if parts[0] == "ebpfless":
            yield "imports the door"
        elif parts[0] == HOUSE and len(parts) > 1 and parts[1] not in EVERYWHERE:
            if not may_enter(room, parts[1]):
                yield "imports " + module


def may_enter(room: Optional[str], other: str) -> bool:
    """Whether a file in `room` may import from `other`; the root of the house itself imports nothing of it."""
    if room is None or other not in FLOORS:
        return False
    return other == room or FLOORS[other] < FLOORS[room]


def standard_library_only(source: Source) -> Iterator[str]:
    """No third-party package at run time."""
    for module in imported_modules(source):
        if module.split(".")[0] not in STANDARD_LIBRARY | {HOUSE}:
            yield "imports {}, which is not on the list of the standard library".format(module)


def docstrings(source: Source) -> Iterator[str]:
    """Every module, public class and public function tells what it is."""
    tree = parse(source)
    documented: List[Tuple[str, Union[ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef]]]
    documented = [("the module", tree)]
    for node in tree.body:
        if isinstance(node, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)) and not node.name.startswith("_"):
            documented.append((node.name, node))
    for name, described in documented:
        if not ast.get_docstring(described):
            yield "{} has no docstring".format(name)


def no_catch_all(source: Source) -> Iterator[str]:
    """Nothing swallows an error that it does not know, but for the two files that keep the promise to the tracee."""
    if source.path in MAY_CATCH_ALL:
        return
    for node in ast.walk(parse(source)):
        if isinstance(node, ast.ExceptHandler) and (node.type is None or catches_all(node.type)):
            yield "line {}: catches everything".format(node.lineno)
        elif isinstance(node, ast.Call) and "suppress" in names_in(node.func) and any(map(catches_all, node.args)):
            yield "line {}: suppresses everything".format(node.lineno)


def catches_all(caught: ast.AST) -> bool:
    """Whether Exception or BaseException is among the classes named."""
    return bool(names_in(caught) & {"Exception", "BaseException"})


def python_3_6(source: Source) -> Iterator[str]:
    """Python 3.6 can read and run it, as far as that can be told without one."""
    try:
        tree = parse(source)
    except SyntaxError as error:
        yield "line {}: {}".format(error.lineno, error.msg)
        return
    for number, line in enumerate(source.text.splitlines(), 1):
        if LATER_TEXT.search(line):
            yield "line {}: syntax of a later Python".format(number)
    for module in imported_modules(source):
        if module == "__future__.annotations" or any((module + ".").startswith(late + ".") for late in LATER_MODULES):
            yield "{} is of a later Python".format(module)
    for node in ast.walk(tree):
        for complaint in later_use(node):
            yield "line {}: {} is of a later Python".format(getattr(node, "lineno", "?"), complaint)


def later_use(node: ast.AST) -> Iterator[str]:
    """Syntax, names, arguments and kinds of annotation that Python 3.6 does not know.

    The first two are here because the parser of Python 3.8 accepts them whatever version it is asked for.
    """
    if type(node).__name__ == "NamedExpr":
        yield ":="
    elif getattr(node, "posonlyargs", []):
        yield "/ among parameters"
    elif isinstance(node, ast.Attribute):
        if node.attr in LATER_METHODS or node.attr in LATER_NAMES.get(dotted_name(node.value), ()):
            yield node.attr
    elif isinstance(node, ast.ImportFrom):
        for alias in node.names:
            if alias.name in LATER_NAMES.get(node.module or "", ()):
                yield alias.name
    elif isinstance(node, ast.Call):
        for keyword in node.keywords:
            if keyword.arg in LATER_ARGUMENTS.get(dotted_name(node.func).rpartition(".")[2], ()):
                yield "the argument {}".format(keyword.arg)
    elif isinstance(node, ast.Subscript) and isinstance(node.value, ast.Name) and node.value.id in BUILT_IN_GENERICS:
        yield "{}[...]".format(node.value.id)
    for annotation in annotations_of(node):
        if any(isinstance(part, ast.BitOr) for part in ast.walk(annotation)):
            yield "| between types"


def dotted_name(node: ast.AST) -> str:
    """The name that an expression is; what is no name shows as "?", as in "?.run" for f().run."""
    if isinstance(node, ast.Name):
        return node.id
    return "{}.{}".format(dotted_name(node.value), node.attr) if isinstance(node, ast.Attribute) else "?"


def annotations_of(node: ast.AST) -> Iterator[ast.AST]:
    """The annotations that hang on this very node."""
    for field in ("annotation", "returns"):
        annotation = getattr(node, field, None)
        if isinstance(annotation, ast.AST):
            yield annotation


def top_level(source: Source) -> Iterator[str]:
    """The top of the repository holds only what belongs there."""
    name = source.path.split("/")[0]
    if not TOP_LEVEL.fullmatch(name):
        yield "{} does not belong at the top".format(name)


def no_machine_named(source: Source) -> Iterator[str]:
    """No path of one machine and no registry."""
    for number, line in enumerate(source.text.splitlines(), 1):
        for found in UNWANTED_TEXT.findall(line):
            yield "line {}: {}".format(number, found)


# What they are asked of

def read(path: Path) -> Source:
    """The file as a source; bytes that are not UTF-8 survive."""
    return Source(path.relative_to(ROOT).as_posix(), path.read_text("utf-8", "surrogateescape"))


def house() -> List[Source]:
    """The Python files below ebpfless_arch."""
    return [read(path) for path in sorted((ROOT / HOUSE).rglob("*.py"))]


def product() -> List[Source]:
    """What is installed: the door and the house."""
    return [read(ROOT / DOOR)] + house()


def project() -> List[Source]:
    """All Python of the project."""
    others = [path for folder in ("tests", "scripts") for path in sorted((ROOT / folder).rglob("*.py"))]
    return product() + [read(path) for path in others]


def tracked() -> List[Source]:
    """Every file that git tracks, but not those deleted since; skips outside of a checkout."""
    git = shutil.which("git")
    if git is None or not (ROOT / ".git").exists():
        pytest.skip("needs a git checkout and git")
    # A checkout may belong to another user than the one who tests it.
    command = [git, "-c", "safe.directory={}".format(ROOT), "ls-files", "-z"]
    names = subprocess.check_output(command, cwd=str(ROOT)).decode("utf-8", "surrogateescape").split("\0")
    return [read(ROOT / name) for name in names if (ROOT / name).is_file()]


WALLS: List[Tuple[Wall, Callable[[], List[Source]]]] = [
    (floors, house),
    (standard_library_only, product),
    (docstrings, house),
    (no_catch_all, project),
    (python_3_6, project),
    (top_level, tracked),
    (no_machine_named, tracked),
]


@pytest.mark.once
@pytest.mark.parametrize("wall, sources", WALLS, ids=[wall.__name__ for wall, _ in WALLS])
def test_wall_stands(wall: Wall, sources: Callable[[], List[Source]]) -> None:
    complaints = ["{}: {}".format(source.path, complaint) for source in sources() for complaint in wall(source)]
    assert complaints == []


BREACHES: List[Tuple[Wall, str, str]] = [
    (floors, "ebpfless_arch/abi/x.py", "import ebpfless_arch.kernel.ptrace"),
    (floors, "ebpfless_arch/kernel/x.py", "from ebpfless_arch import events"),
    (floors, "ebpfless_arch/events/x.py", "def f():\n    from ebpfless_arch.rules.fields import FIELDS"),
    (floors, "ebpfless_arch/rules/x.py", "from ebpfless_arch.tracer import engine"),
    (floors, "ebpfless_arch/tracer/x.py", "from ..rules import grammar"),
    (floors, "ebpfless_arch/rules/deep/x.py", "from ...agent import config"),
    (floors, "ebpfless_arch/agent/x.py", "import ebpfless"),
    (floors, "ebpfless_arch/attic/x.py", ""),
    (floors, "ebpfless_arch/__init__.py", "from .abi import amd64"),
    (standard_library_only, "ebpfless_arch/agent/x.py", "import requests"),
    (standard_library_only, "ebpfless.py", "def f():\n    from yaml import safe_load"),
    (docstrings, "ebpfless_arch/abi/x.py", "LIMIT = 1"),
    (docstrings, "ebpfless_arch/abi/x.py", '"""Module."""\nclass Shown: pass'),
    (docstrings, "ebpfless_arch/abi/x.py", '"""Module."""\ndef shown(): pass'),
    (no_catch_all, "ebpfless_arch/abi/x.py", "try: f()\nexcept: pass"),
    (no_catch_all, "ebpfless_arch/abi/x.py", "try: f()\nexcept Exception: pass"),
    (no_catch_all, "ebpfless_arch/abi/x.py", "try: f()\nexcept (OSError, BaseException): pass"),
    (no_catch_all, "ebpfless_arch/abi/x.py", "with contextlib.suppress(Exception): f()"),
    (python_3_6, "tests/x.py", "print(n := 1)"),
    (python_3_6, "tests/x.py", "def f(a, /): pass"),
    (python_3_6, "tests/x.py", "f'{a" + "=}'"),
    (python_3_6, "tests/x.py", "with " + "(open(a) as b, open(c) as d):\n    pass"),
    (python_3_6, "tests/x.py", "from __future__ import annotations"),
    (python_3_6, "tests/x.py", "from dataclasses import dataclass"),
    (python_3_6, "tests/x.py", "import importlib.metadata"),
    (python_3_6, "tests/x.py", "time.time_ns()"),
    (python_3_6, "tests/x.py", "from time import time_ns"),
    (python_3_6, "tests/x.py", "name.removeprefix('a')"),
    (python_3_6, "tests/x.py", "from typing import Protocol"),
    (python_3_6, "tests/x.py", "subprocess.run(['true'], capture_output=True)"),
    (python_3_6, "tests/x.py", "def f(a: list[int]): pass"),
    (python_3_6, "tests/x.py", "def f() -> int | None: pass"),
    (top_level, "notes.txt", ""),
    (top_level, "src/ebpfless.py", ""),
    (no_machine_named, "docs/x.md", "see {}shared".format(MACHINE_PATHS[0])),
    (no_machine_named, "docs/x.md", "from https://files.{}/".format(REGISTRY_HOSTS[1])),
]


@pytest.mark.parametrize("wall, path, text", BREACHES)
def test_wall_finds_the_breach(wall: Wall, path: str, text: str) -> None:
    assert list(wall(Source(path, text)))


@pytest.mark.parametrize("wall, path, text", [
    (floors, "ebpfless_arch/tracer/x.py", "from ebpfless_arch.tracer import syscalls\nfrom ..kernel import ptrace"),
    (floors, "ebpfless_arch/agent/x.py", "from ebpfless_arch import __version__\nimport ebpfless_arch.rules.grammar"),
    (floors, "ebpfless_arch/abi/x.py", "from ebpfless_arch.named import NamedTuple"),
    (docstrings, "ebpfless_arch/abi/x.py", '"""Module."""\ndef _hidden(): pass'),
    (no_catch_all, "ebpfless_arch/tracer/engine.py", "try: f()\nexcept Exception: pass"),
    (python_3_6, "tests/x.py", "with (open(a)) as b:\n    pass\nFLAGS = {'list': A | B}[name]"),
    (python_3_6, "tests/x.py", "libc.memfd_create('a', 0)\n', '.join(names)\nparse(text=line)"),
    (top_level, "README.md", ""),
    (no_machine_named, "tests/x.py", "'/root/.ssh/authorized_keys', '/var/work/x'"),
])
def test_wall_has_its_doors(wall: Wall, path: str, text: str) -> None:
    assert list(wall(Source(path, text))) == []


def test_the_list_of_the_standard_library_is_true() -> None:
    """Each name can be imported here; on the oldest and newest Python this proves that it is in both."""
    for name in sorted(STANDARD_LIBRARY):
        importlib.import_module(name)


def test_every_module_can_be_imported() -> None:
    """On each Python that runs this: annotations and defaults are evaluated, names that it lacks show."""
    for source in product():
        parts = source.path[:-len(".py")].split("/")
        importlib.import_module(".".join(parts[:-1] if parts[-1] == "__init__" else parts))
