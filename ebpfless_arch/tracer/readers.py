"""Readers of arguments: from a register of a stopped call to a value that can wait and be written down."""

import struct
from typing import Any, Callable, Dict, List, Optional, Tuple

from ebpfless_arch.events.records import ARGUMENT_BYTES_AT_MOST, ARGUMENTS_AT_MOST, shorten
from ebpfless_arch.kernel import elf, procfs
from ebpfless_arch.tracer import namespaces, syscalls
from ebpfless_arch.tracer.stops import Call, Stop

PATH_AT_MOST = 4096
_NAME_AT_MOST = 256
_PR_SET_NAME = 15
_COMM_AT_MOST = 15
_SOCKADDR_AT_MOST = 128
_SO_ATTACH_FILTER = 26
_FILTER_AT_MOST = 4096
_CAPABILITY_VERSION_1 = 0x19980330
_BPF_MAP_CREATE, _BPF_PROG_LOAD = 0, 5
_BPF_ATTR_AT_MOST = 256
_BPF_CALL = 0x85
_PERF_ATTR_BYTES = 16
_VECTOR_AT_MOST = 1024
_INSTRUCTION_BYTES = 8
_INSTRUCTIONS_AT_MOST = 32768


def _read_path(stop: Stop, call: Call, argument: int) -> Optional[bytes]:
    return stop.string(argument, PATH_AT_MOST)


def _read_name(stop: Stop, call: Call, argument: int) -> bytes:
    return stop.string(argument, _NAME_AT_MOST) or b""


def _read_int(stop: Stop, call: Call, argument: int) -> int:
    """An int argument: the kernel looks at the low 32 bits only."""
    low = argument & 0xFFFFFFFF
    return low - (1 << 32) if low & 0x80000000 else low


def _read_id(stop: Stop, call: Call, argument: int) -> int:
    """A user or group id, 4294967295 for -1."""
    return argument & 0xFFFFFFFF


def _read_number(stop: Stop, call: Call, argument: int) -> int:
    return argument


def _read_pages(stop: Stop, call: Call, argument: int) -> int:
    """An offset in units of 4096 bytes, whatever the size of a page (mmap2(2))."""
    return argument * 4096


def _read_how(stop: Stop, call: Call, argument: int) -> Tuple[int, ...]:
    """struct open_how: flags, mode and resolve, each 64 bits."""
    data = stop.read(argument, 24)
    return tuple(int.from_bytes(data[start:start + 8], "little") for start in (0, 8, 16))


def read_argv(stop: Stop, call: Call, argument: int) -> Tuple[Tuple[bytes, ...], bool]:
    """An argument vector or environment, and whether it was cut."""
    pointer_size = call.abi.pointer_size if call.abi else 8
    addresses = stop.pointers(argument, ARGUMENTS_AT_MOST + 1, pointer_size)
    found = stop.strings(addresses[:ARGUMENTS_AT_MOST], ARGUMENT_BYTES_AT_MOST + 1)
    return shorten(found, len(addresses) > ARGUMENTS_AT_MOST)


def _words(stop: Stop, address: int, size: int, count: int) -> Optional[Tuple[int, ...]]:
    """Unsigned numbers of `size` bytes each, None where they cannot be read."""
    data = stop.read(address, size * count)
    if len(data) < size * count:
        return None
    return tuple(int.from_bytes(data[start:start + size], "little") for start in range(0, size * count, size))


def _read_limit(stop: Stop, call: Call, argument: int) -> Tuple[int, ...]:
    """struct rlimit: soft and hard limit; a 32-bit "unlimited" becomes the 64-bit one."""
    size = call.abi.pointer_size if call.abi else 8
    found = _words(stop, argument, size, 2) or (0, 0)
    return tuple(0xFFFFFFFFFFFFFFFF if limit == (1 << 8 * size) - 1 else limit for limit in found)


def _read_limit64(stop: Stop, call: Call, argument: int) -> Tuple[int, ...]:
    return _words(stop, argument, 8, 2) or (0, 0)


def _read_capabilities(stop: Stop, call: Call, argument: int) -> Tuple[int, int]:
    """Effective and permitted set that a capset asks for (capget(2)): the header tells how many words they have."""
    header = _words(stop, call.arguments[0], 4, 1)
    count = 1 if header == (_CAPABILITY_VERSION_1,) else 2
    words = _words(stop, argument, 4, 3 * count) or (0,) * 3 * count
    return (words[0] | (words[3] << 32 if count == 2 else 0), words[1] | (words[4] << 32 if count == 2 else 0))


def _read_text_option(stop: Stop, call: Call, argument: int) -> Optional[Tuple[bytes, bool]]:
    """The name that a prctl sets, as the kernel cuts it, and whether it does; None for other options."""
    if call.arguments[0] & 0xFFFFFFFF != _PR_SET_NAME:
        return None
    name = stop.string(argument, _NAME_AT_MOST) or b""
    return name[:_COMM_AT_MOST], len(name) > _COMM_AT_MOST


def _read_pid(stop: Stop, call: Call, argument: int) -> int:
    """A process or, negative, a group of processes, by the number that we have for it."""
    return namespaces.outward(stop, _read_int(stop, call, argument))


def _read_thread(stop: Stop, call: Call, argument: int) -> int:
    """The process of a thread, the number itself where there is none."""
    number = _read_pid(stop, call, argument)
    try:
        return procfs.group_leader(number)[0]
    except (OSError, KeyError, ValueError):
        return number


def _read_pidfd(stop: Stop, call: Call, argument: int) -> int:
    """The process behind a descriptor, 0 where there is none."""
    try:
        return procfs.pid_of_descriptor(stop.tid, _read_int(stop, call, argument))
    except (OSError, ValueError):
        return 0


def _read_bpf(stop: Stop, call: Call, argument: int) -> Tuple[int, int, bytes, Tuple[int, ...]]:
    """union bpf_attr (include/uapi/linux/bpf.h): type of the map or program, attach type, name, helpers called."""
    command = call.arguments[0] & 0xFFFFFFFF
    size = min(call.arguments[2] & 0xFFFFFFFF, _BPF_ATTR_AT_MOST)
    if command not in (_BPF_MAP_CREATE, _BPF_PROG_LOAD):
        return 0, 0, b"", ()
    attributes = stop.read(argument, size).ljust(_BPF_ATTR_AT_MOST, b"\0")
    kind = int.from_bytes(attributes[:4], "little")
    if command == _BPF_MAP_CREATE:
        return kind, 0, attributes[28:44].partition(b"\0")[0], ()
    count, address = struct.unpack_from("<IQ", attributes, 4)
    return (kind, int.from_bytes(attributes[68:72], "little"), attributes[48:64].partition(b"\0")[0],
            _helpers(stop.read(address, min(count, _INSTRUCTIONS_AT_MOST) * _INSTRUCTION_BYTES)))


def _helpers(program: bytes) -> Tuple[int, ...]:
    """Numbers of the kernel's functions that a BPF program calls: BPF_JMP | BPF_CALL with source register 0."""
    found = set()
    for start in range(0, len(program) - _INSTRUCTION_BYTES + 1, _INSTRUCTION_BYTES):
        if program[start] == _BPF_CALL and program[start + 1] >> 4 == 0:
            found.add(int.from_bytes(program[start + 4:start + 8], "little"))
    return tuple(sorted(found))


def _read_image(stop: Stop, call: Call, argument: int) -> bytes:
    """The name of a kernel module whose image lies in memory."""
    size = call.arguments[1]
    return elf.module_name(lambda offset, length: stop.read(argument + offset, min(length, max(0, size - offset))))


def _read_sockaddr(stop: Stop, call: Call, argument: int) -> bytes:
    """struct sockaddr as it lies in memory; its length is the next argument."""
    return stop.read(argument, min(call.arguments[2] & 0xFFFFFFFF, _SOCKADDR_AT_MOST))


def _read_filter(stop: Stop, call: Call, argument: int) -> bytes:
    """The classic BPF program of SO_ATTACH_FILTER: struct sock_fprog is a count and, at the next pointer, an address."""
    if call.arguments[2] & 0xFFFFFFFF != _SO_ATTACH_FILTER:
        return b""
    size = call.abi.pointer_size if call.abi else 8
    described = stop.read(argument, 2 * size)
    if len(described) < 2 * size:
        return b""
    count = min(int.from_bytes(described[:2], "little"), _FILTER_AT_MOST)
    return stop.read(int.from_bytes(described[size:], "little"), count * _INSTRUCTION_BYTES)


def _read_perf(stop: Stop, call: Call, argument: int) -> Tuple[int, int]:
    """struct perf_event_attr: type (32 bits), size (32), config (64)."""
    data = stop.read(argument, _PERF_ATTR_BYTES)
    return int.from_bytes(data[:4], "little"), int.from_bytes(data[8:], "little")


def _read_vector(stop: Stop, call: Call, argument: int) -> int:
    """How many bytes an array of struct iovec is about; how long it is tells the next argument."""
    size = call.abi.pointer_size if call.abi else 8
    count = min(call.arguments[2], _VECTOR_AT_MOST)
    words = _words(stop, argument, size, 2 * count) or ()
    return sum(words[1::2])


def _read_ring(stop: Stop, call: Call, argument: int) -> int:
    """The flags of struct io_uring_params (include/uapi/linux/io_uring.h), its third word."""
    words = _words(stop, argument, 4, 3)
    return words[2] if words else 0


READERS: Dict[str, Callable[[Stop, Call, int], Any]] = {
    syscalls.HOW: _read_how, syscalls.ARGV: read_argv, syscalls.ENVP: _read_number,
    syscalls.LIMIT: _read_limit, syscalls.LIMIT64: _read_limit64, syscalls.CAPABILITIES: _read_capabilities,
    syscalls.TEXT_OPTION: _read_text_option, syscalls.PID: _read_pid, syscalls.THREAD: _read_thread,
    syscalls.PIDFD: _read_pidfd,
    syscalls.BPF: _read_bpf, syscalls.IMAGE: _read_image, syscalls.SOCKADDR: _read_sockaddr,
    syscalls.BPF_FILTER: _read_filter, syscalls.PAGES: _read_pages, syscalls.PERF: _read_perf,
    syscalls.VECTOR: _read_vector, syscalls.DEVICE: _read_id, syscalls.ENTRIES: _read_id, syscalls.RING: _read_ring,
}
for _kinds, _reader in (
        ((syscalls.PATH, syscalls.NEW_PATH, syscalls.SOURCE, syscalls.PARAMETERS), _read_path),
        ((syscalls.NAME, syscalls.ATTRIBUTE, syscalls.FS_TYPE, syscalls.KEY_TYPE, syscalls.DESCRIPTION), _read_name),
        (syscalls.IDS, _read_id),
        ((syscalls.ADDRESS, syscalls.LENGTH, syscalls.OFFSET), _read_number),
        ((syscalls.DIRFD, syscalls.NEW_DIRFD, syscalls.FD, syscalls.FLAGS, syscalls.MODE, syscalls.EXEC_FLAGS,
          syscalls.SIGNAL, syscalls.RESOURCE, syscalls.OPTION, syscalls.REQUEST, syscalls.PROTECTION,
          syscalls.COMMAND, syscalls.LEVEL, syscalls.FAMILY, syscalls.TYPE, syscalls.PROTOCOL, syscalls.BACKLOG,
          syscalls.OPERATION, syscalls.OUTPUT, syscalls.TARGET_FD), _read_int)):
    READERS.update((_kind, _reader) for _kind in _kinds)
