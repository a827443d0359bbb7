"""Names of bits, for people."""

from typing import List, Tuple

# As on amd64 (include/uapi/asm-generic/fcntl.h), whatever the machine.
O_ACCMODE = 3
O_NOFOLLOW, O_TMPFILE = 0o400000, 0o20200000
_ACCESS = ("O_RDONLY", "O_WRONLY", "O_RDWR", "O_ACCMODE")

# include/uapi/asm-generic/fcntl.h; O_SYNC, O_TMPFILE hold other flags and come before them.
_OPEN_FLAGS: Tuple[Tuple[int, str], ...] = (
    (0o4010000, "O_SYNC"), (0o20200000, "O_TMPFILE"), (0o100, "O_CREAT"), (0o200, "O_EXCL"), (0o400, "O_NOCTTY"),
    (0o1000, "O_TRUNC"), (0o2000, "O_APPEND"), (0o4000, "O_NONBLOCK"), (0o10000, "O_DSYNC"), (0o20000, "O_ASYNC"),
    (0o40000, "O_DIRECT"), (0o100000, "O_LARGEFILE"), (0o200000, "O_DIRECTORY"), (0o400000, "O_NOFOLLOW"),
    (0o1000000, "O_NOATIME"), (0o2000000, "O_CLOEXEC"), (0o10000000, "O_PATH"),
)


def open_flag_names(flags: int) -> List[str]:
    """Names of open(2)'s flags, the access mode first; unknown bits as one hexadecimal number."""
    names = [_ACCESS[flags & O_ACCMODE]]
    left = flags & ~O_ACCMODE & 0xFFFFFFFF
    for bits, name in _OPEN_FLAGS:
        if left & bits == bits:
            names.append(name)
            left &= ~bits
    return names + (["%#x" % left] if left else [])
