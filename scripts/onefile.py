"""The importer that `scripts/bundle` puts at the top of the one file: it loads the house from the file's own comments.

A part of the house is a run of lines that each begin with `#`, so Python's parser passes over them. A module is compiled
when it is first imported, and its code is kept below `__pycache__` as Python keeps that of any module, where that can be
written and is wanted.
"""

import marshal
import os
import sys
from importlib.machinery import ModuleSpec
from types import CodeType, ModuleType
from typing import Any, Dict, Optional, Tuple

_SUM = ""
# Where each file of the house is: bytes from the end of this file, and their number.
_PARTS: Dict[str, Tuple[int, int]] = {}


class House:
    """Finder and loader of the modules in one bundled file (see PEP 302 and PEP 451)."""

    # What makes the house known to another Python: argv[1] is the file. The line named here ends the importer.
    enter = "import sys; exec(''.join(iter(open(sys.argv[1], encoding='utf-8').readline, '# The door\\n')), {'__file__': sys.argv[1]})"

    def __init__(self, file: str) -> None:
        # A link on PATH leads to the folder where code is kept.
        self.file = os.path.realpath(file)
        self._kept = ""
        self._stamp = b""

    def find_spec(self, name: str, path: object = None, target: object = None) -> Optional[ModuleSpec]:
        """The module of that name, if it is one of the house."""
        place = _place(name)
        if not place:
            return None
        spec = ModuleSpec(name, self, origin=os.path.join(self.file, place),  # type: ignore[arg-type]
                          is_package=place.endswith("/__init__.py"))
        spec.has_location = True
        return spec

    def create_module(self, spec: ModuleSpec) -> Optional[ModuleType]:
        """Python's own way to make a module will do."""
        return None

    def exec_module(self, module: ModuleType) -> None:
        """Run a module's code in it."""
        exec(self.get_code(module.__name__), module.__dict__)

    def get_data(self, path: str) -> bytes:
        """The bytes of a file of the house, named as if this file were a folder. Raises OSError."""
        offset, length = _PARTS[os.path.relpath(path, self.file)]
        with open(self.file, "rb") as file:
            file.seek(-offset, os.SEEK_END)
            lines = file.read(length).split(b"\n#")
        return b"\n".join([lines[0][1:]] + lines[1:])

    def get_source(self, name: str) -> str:
        """A module's source, for tracebacks."""
        return self.get_data(os.path.join(self.file, _place(name))).decode("utf-8")

    def get_code(self, name: str) -> CodeType:
        """A module's code: kept from an earlier time, or compiled now."""
        kept = os.path.join(self._folder(), name)
        code = self._read(kept)
        if code is None:
            code = compile(self.get_source(name), os.path.join(self.file, _place(name)), "exec", dont_inherit=True)
            if not sys.dont_write_bytecode:
                self._keep(kept, code)
        return code

    def keep_all(self) -> None:
        """Compile all of the house now, so that nobody has to later (for images and packages). Raises OSError."""
        self._folder()
        for place in _PARTS:
            if place.endswith(".py"):
                name = place[:-len(".py")].replace("/", ".")
                self.get_code(name[:-len(".__init__")] if name.endswith(".__init__") else name)

    def _folder(self) -> str:
        """Where code is kept. What was kept there for another state of this file or another Python does not count."""
        if not self._kept:
            folder, name = os.path.split(self.file)
            prefix = getattr(sys, "pycache_prefix", None)
            folder = prefix + folder if prefix else os.path.join(folder, "__pycache__")
            optimized = ".opt-%d" % sys.flags.optimize if sys.flags.optimize else ""
            self._kept = os.path.join(folder, "%s.%s%s" % (os.path.splitext(name)[0], sys.implementation.cache_tag, optimized))
            found = os.stat(self.file)
            self._stamp = ("%s %x %d %d\n" % (_SUM, sys.hexversion, found.st_mtime, found.st_size)).encode()
        return self._kept

    def _read(self, kept: str) -> Optional[CodeType]:
        try:
            with open(kept, "rb") as file:
                data = file.read()  # marshal.load asks a file for each few bytes of it
            return marshal.loads(data[len(self._stamp):]) if data.startswith(self._stamp) else None
        except (OSError, ValueError, EOFError, TypeError):
            return None

    def _keep(self, kept: str, code: Any) -> None:
        try:
            os.makedirs(os.path.dirname(kept), exist_ok=True)
            # Whole or not at all: another process may read at the same time.
            temporary = "%s.%d" % (kept, os.getpid())
            with open(temporary, "wb") as file:
                file.write(self._stamp + marshal.dumps(code))
            os.replace(temporary, kept)
        except OSError:
            pass


def _place(name: str) -> str:
    """The file of the house that is the module, "" for none."""
    place = name.replace(".", "/")
    return next((found for found in (place + "/__init__.py", place + ".py") if found in _PARTS), "")


HOUSE = House(__file__)
sys.meta_path.insert(0, HOUSE)
