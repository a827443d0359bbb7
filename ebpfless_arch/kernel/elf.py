"""Just enough of ELF (elf(5)) to find what a kernel module calls itself."""

import struct
from typing import Callable, List

from ebpfless_arch.named import NamedTuple

_MAGIC = b"\x7fELF"
_SECTIONS_AT_MOST = 4096
_TEXT_AT_MOST = 1 << 16
_INFORMATION = b".modinfo"
_NAME = b"name="

# Bytes of the image from an offset, at most so many.
Reader = Callable[[int, int], bytes]


class _Layout(NamedTuple):
    """Where a class of ELF files has its numbers: `header` gives e_shoff, e_shentsize, e_shnum and e_shstrndx, of
    which the first is at `start`; `section` gives sh_name, sh_offset and sh_size of a section header."""

    start: int
    header: str
    section: str


_LAYOUTS = {1: _Layout(0x20, "I10xHHH", "I12xII"), 2: _Layout(0x28, "Q10xHHH", "I20xQQ")}
_ORDERS = {1: "<", 2: ">"}


class _Section(NamedTuple):
    name: int
    offset: int
    size: int


def module_name(read: Reader) -> bytes:
    """The name in a kernel module's .modinfo section, b"" for whatever is no such file."""
    head = read(0, 64)
    layout = _LAYOUTS.get(head[4]) if len(head) == 64 and head.startswith(_MAGIC) else None
    if layout is None or head[5] not in _ORDERS:
        return b""
    order = _ORDERS[head[5]]
    offset, size, count, names = struct.unpack_from(order + layout.header, head, layout.start)
    sections = _sections(read(offset, size * min(count, _SECTIONS_AT_MOST)), size, order + layout.section)
    if names >= len(sections):
        return b""
    texts = read(sections[names].offset, min(sections[names].size, _TEXT_AT_MOST))
    for section in sections:
        if texts[section.name:].partition(b"\0")[0] == _INFORMATION:
            return _value(read(section.offset, min(section.size, _TEXT_AT_MOST)))
    return b""


def _sections(table: bytes, size: int, form: str) -> List[_Section]:
    if size < struct.calcsize(form):
        return []
    return [_Section(*struct.unpack_from(form, table, start)) for start in range(0, len(table) - size + 1, size)]


def _value(information: bytes) -> bytes:
    for line in information.split(b"\0"):
        if line.startswith(_NAME):
            return line[len(_NAME):]
    return b""
