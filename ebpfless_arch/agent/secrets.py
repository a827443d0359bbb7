"""The secret that tracers and their probe share, from a file."""

import os
import stat

from ebpfless_arch.agent.options import UsageError

_SHORTEST, _LONGEST = 16, 4096
_OF_OTHERS = stat.S_IWGRP | stat.S_IRWXO


def read_secret(path: str) -> bytes:
    """The secret in a file, without white space around it; b"" for no path. Raises UsageError."""
    if not path:
        return b""
    secret = read_private(path, "the secret file", _LONGEST).strip()
    if not _SHORTEST <= len(secret) <= _LONGEST:
        raise UsageError("the secret file %s holds %d bytes; a secret has %d to %d: head -c 32 /dev/urandom | base64 > %s"
                         % (path, len(secret), _SHORTEST, _LONGEST, path))
    return secret


def read_private(path: str, what: str, at_most: int) -> bytes:
    """What a file holds that no other user may read, one byte more than `at_most` where there is more; `what` names it in
    errors. Raises UsageError."""
    try:
        with open(path, "rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            found = file.read(at_most + 1)
    except OSError as error:
        raise UsageError("%s %s cannot be read: %s" % (what, path, error.strerror))
    if mode & _OF_OTHERS:
        raise UsageError("%s %s is open to other users: chmod 600 %s" % (what, path, path))
    return found
