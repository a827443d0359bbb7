"""What commands print on standard output."""

import os
import sys

from ebpfless_arch.agent.options import UsageError


def emit(text: str) -> None:
    """Write to standard output at once; who reads only the beginning, or has closed it, gets no complaint. What its
    encoding lacks is escaped. Raises UsageError."""
    if sys.stdout is None:
        return
    encoding = sys.stdout.encoding or "ascii"
    try:
        sys.stdout.write(text.encode(encoding, "backslashreplace").decode(encoding))
        sys.stdout.flush()
    except BrokenPipeError:
        _write_no_more()
    except OSError as error:
        _write_no_more()
        raise UsageError("cannot write the result: %s" % error.strerror)


def _write_no_more() -> None:
    """The interpreter flushes once more at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def takes_any_letter() -> bool:
    """Whether standard output has an encoding that knows every letter."""
    return sys.stdout is not None and (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"
