"""An error of our own in words. No file is read for that, as the module traceback would: by then there may be no descriptor left
for it, or no file. And nothing is loaded for it beforehand, which a command would wait for."""

import sys


def last_words() -> str:
    """The exception that is being handled: the places through which it came, a line each, the innermost last; its kind and its
    text."""
    kind, error, place = sys.exc_info()
    lines = []
    while place is not None:
        code = place.tb_frame.f_code
        lines.append('File "%s", line %d, in %s' % (code.co_filename, place.tb_lineno, code.co_name))
        place = place.tb_next
    return "\n".join(lines + ["%s: %s" % (kind.__name__ if kind is not None else "nothing", error)])
