"""The C library of this process, what its calls take, and errors raised as OSError with advice."""

import ctypes
import os
from typing import Any, Dict, Optional

LIBC = ctypes.CDLL(None, use_errno=True)
_BARE = ctypes.PyDLL(None)


class Piece(ctypes.Structure):
    """struct iovec."""

    _fields_ = [("base", ctypes.c_void_p), ("length", ctypes.c_size_t)]


def function(name: str, *argument_types: Any) -> Any:
    """The C function `name` returning long, or None where this C library lacks it. Each call makes another object: some
    functions (syscall) are declared in several ways."""
    try:
        found = LIBC[name]
    except AttributeError:
        return None
    found.argtypes = argument_types
    found.restype = ctypes.c_long
    return found


def bare(name: str) -> Any:
    """The C function `name` for calls by the ten thousand, or None. It takes half the time, as it converts nothing (an
    int has 32 bits, a pointer is a ctypes object) and keeps other threads of Python waiting. errno is lost: whoever needs
    it calls again by way of `function`."""
    found = getattr(_BARE, name, None)
    if found is not None:
        found.restype = ctypes.c_long
    return found


def give_back() -> None:
    """Let the kernel have memory that was freed, where the C library can: glibc's malloc_trim(3)."""
    trim = function("malloc_trim", ctypes.c_size_t)
    if trim is not None:
        trim(0)


def failure(what: str, advice: Dict[int, str], code: Optional[int] = None) -> OSError:
    """The OSError for the last failed call: what failed, why, and how to mend it where that is known."""
    number = ctypes.get_errno() if code is None else code
    text = "%s: %s" % (what, os.strerror(number))
    if number in advice:
        text += "; " + advice[number]
    return OSError(number, text)
