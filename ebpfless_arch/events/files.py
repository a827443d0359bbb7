"""Files of events out of what the tracer found."""

from typing import Optional

from ebpfless_arch.events.model import UNKNOWN_ID, File
from ebpfless_arch.events.records import decoded
from ebpfless_arch.events.users import Users
from ebpfless_arch.kernel.statx import FileStatus

_DELETED = " (deleted)"
_MEMORY_FILE = "/memfd:"


def make_file(users: Users, path: bytes, status: Optional[FileStatus]) -> File:
    """A file from its path as /proc shows it and its attributes, if they are known."""
    text = decoded(path)
    deleted = text.endswith(_DELETED) and (status is None or status[3] == 0)
    if deleted:
        text = text[:-len(_DELETED)]
    if deleted and text.startswith(_MEMORY_FILE):
        file = File(users, "", text[1:])
    else:
        file = File(users, text)
    file.deleted = deleted
    if status is None:
        file.uid = file.gid = UNKNOWN_ID
    else:
        (file.mode, file.inode, file.device, _, file.uid, file.gid, file.size,
         file.modification_time, file.change_time) = status
    return file
