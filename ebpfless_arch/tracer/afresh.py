"""Another Python that runs a part of this program from its beginning, without what this process has loaded."""

import os
from typing import List

from ebpfless_arch.kernel import process

_HOUSE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
# A bundled file says itself how another Python gets to know it.
_ENTER = getattr(globals()["__loader__"], "enter", "import sys; sys.path.insert(0, sys.argv[1])")


def command(statement: str, *words: str) -> List[str]:
    """The argument vector, program first, that executes a statement in a new Python; the words are sys.argv[2:] there."""
    return process.interpreter() + ["-I", "-S", "-c", _ENTER + "\n" + statement, _HOUSE] + list(words)
