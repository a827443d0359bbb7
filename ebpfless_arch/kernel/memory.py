"""Memory of another process, by the best way that works here.

process_vm_readv(2) is one call; some container profiles forbid it, then
/proc/PID/mem; at last PTRACE_PEEKDATA, word by word; writing likewise. The first two need one
piece per page: before CentOS 7's and 4.x kernels a piece that runs off a
mapping reads nothing at all (measured on 3.4 and 3.10).
"""

import ctypes
import errno
import os
import struct
from typing import Callable, List, Optional, Sequence

from ebpfless_arch.kernel import ptrace
from ebpfless_arch.kernel.ptrace import WORD
from ebpfless_arch.kernel.libc import Piece, bare, failure, function

PAGE = 4096
_CHUNK = 512
_ALL_BITS = (1 << 64) - 1
_MOST = 64 * PAGE
_SPAN = 4 * PAGE

# ENOENT: there is no /proc, or it hides the tracee; that it is gone is told by the next way.
_WAY_IS_CLOSED = (errno.ENOSYS, errno.EPERM, errno.EACCES, errno.ENOENT)
_UNREADABLE = (errno.EFAULT, errno.EIO, errno.EINVAL, errno.ENOMEM, errno.EOVERFLOW)


_ARGUMENTS = (ctypes.c_long, ctypes.c_void_p, ctypes.c_ulong, ctypes.c_void_p, ctypes.c_ulong, ctypes.c_ulong)
_process_vm_readv = function("process_vm_readv", *_ARGUMENTS)
_process_vm_writev = function("process_vm_writev", *_ARGUMENTS)
_quick_vm_readv = bare("process_vm_readv")
_VECTOR = struct.Struct("=QQ")

Way = Callable[[int, int, int], bytes]


def _cut_out(data: bytes, start: int, limit: int) -> bytes:
    """The string at a place in a piece of memory, cut at `limit` bytes; b"" if it may go on behind the piece."""
    end = data.find(b"\0", start, start + limit)
    if end < 0:
        end = start + limit
    return data[start:end] if end <= len(data) else b""


class Memory:
    """Reads the memory of stopped tracees. A way that this host lacks is left for good, one that is forbidden is
    passed over: it may be forbidden for one tracee only. `problem` is the errno of the last read that gave nothing.

    address_bits: how many bits of a pointer count (Abi.address_bits); /proc/PID/mem takes no others.
    """

    def __init__(self, ways: Optional[List[str]] = None, address_bits: int = 64) -> None:
        self._address_mask = (1 << address_bits) - 1
        self._buffer = ctypes.create_string_buffer(_MOST)
        self._local = Piece(ctypes.addressof(self._buffer), 0)
        self._local_address = ctypes.addressof(self._local)
        self._remote = (Piece * (_MOST // PAGE + 1))()
        self._remote_address = ctypes.addressof(self._remote)
        known = {"process_vm_readv": self._by_call, "mem": self._by_file, "peek": self._by_word}
        self._ways: List[Way] = [known[name] for name in ways or known]
        self.problem = 0
        self._begin = ctypes.create_string_buffer(_CHUNK)
        self._from = ctypes.create_string_buffer(_VECTOR.size)
        self._into = ctypes.create_string_buffer(_VECTOR.pack(ctypes.addressof(self._begin), _CHUNK), _VECTOR.size)

    @property
    def is_slow(self) -> bool:
        """Whether it goes word by word, so that what else tells the same is faster."""
        return self._ways[0] == self._by_word

    def read(self, tid: int, address: int, size: int) -> bytes:
        """Up to `size` bytes from `address`, fewer where the mapping ends, b"" where nothing is readable.

        Raises ProcessLookupError when the tracee is gone.
        """
        size = min(size, _MOST)
        closed = 0
        for way in list(self._ways):
            try:
                return way(tid, address, size)
            except OSError as error:
                if error.errno == errno.ENOSYS and len(self._ways) > 1:
                    self._ways.remove(way)
                elif error.errno not in _WAY_IS_CLOSED + _UNREADABLE:
                    raise
                elif error.errno in _UNREADABLE:
                    self.problem = closed or errno.EFAULT
                    break
                else:
                    self.problem = closed = closed or error.errno
        return b""

    def string(self, tid: int, address: int, limit: int) -> Optional[bytes]:
        """The NUL-terminated string at `address`, cut at `limit` bytes; None where not one byte is readable."""
        found = self._short_string(tid, address, limit)
        if found:
            return found
        found = b""
        while len(found) < limit:
            start = address + len(found)
            size = min(_CHUNK if not found else PAGE, PAGE - start % PAGE, limit - len(found))
            chunk = self.read(tid, start, size)
            end = chunk.find(b"\0")
            if end >= 0:
                return found + chunk[:end]
            found += chunk
            if len(chunk) < size:
                return found or None
        return found

    def strings(self, tid: int, addresses: Sequence[int], limit: int) -> List[Optional[bytes]]:
        """The strings at some addresses, each as `string` finds it; where they lie close together, by one read."""
        start = min(addresses, default=0)
        size = max(addresses, default=0) + limit - start
        together = len(addresses) > 1 and size <= _SPAN and not self.is_slow
        data = self.read(tid, start, size) if together else b""
        return [_cut_out(data, address - start, limit) or self.string(tid, address, limit) for address in addresses]

    def _short_string(self, tid: int, address: int, limit: int) -> bytes:
        """A string that ends within a page and in the first bytes, by one call; b"" for any other."""
        if self._ways[0] != self._by_call or _quick_vm_readv is None:
            return b""
        size = min(_CHUNK, PAGE - address % PAGE)
        _VECTOR.pack_into(self._from, 0, address & _ALL_BITS, size)
        count = _quick_vm_readv(tid, self._into, 1, self._from, 1, 0)
        found = self._begin.value
        # What lies behind is left over from another call.
        return found if len(found) < count and len(found) <= limit else b""

    def pointers(self, tid: int, address: int, limit: int, pointer_size: int) -> List[int]:
        """The NULL-terminated array of pointers at `address`, `limit` elements at most."""
        found: List[int] = []
        code = "Q" if pointer_size == 8 else "I"
        while len(found) < limit:
            start = address + len(found) * pointer_size
            size = min(256, PAGE - start % PAGE, (limit - len(found)) * pointer_size) or pointer_size
            chunk = self.read(tid, start, max(size - size % pointer_size, pointer_size))
            count = len(chunk) // pointer_size
            values = struct.unpack_from("=%d%s" % (count, code), chunk)
            if 0 in values:
                return found + list(values[:values.index(0)])
            found.extend(values)
            if not count:
                return found
        return found

    def write(self, tid: int, address: int, data: bytes) -> None:
        """Write into a stopped tracee, by the first way that works: /proc/PID/mem and PTRACE_POKEDATA also write where it
        has write-protected its memory (to a copy of its own, if it is a file's). Raises OSError."""
        for way in (self._write_by_call, self._write_by_file):
            try:
                return way(tid, address, data)
            except OSError as error:
                if error.errno not in _WAY_IS_CLOSED + _UNREADABLE:
                    raise
        self._write_by_word(tid, address, data)

    def _write_by_call(self, tid: int, address: int, data: bytes) -> None:
        local = Piece(ctypes.cast(ctypes.c_char_p(data), ctypes.c_void_p).value, len(data))
        remote = Piece(address, len(data))
        if _process_vm_writev is None:
            raise OSError(errno.ENOSYS, "process_vm_writev is not in this C library")
        if _process_vm_writev(tid, ctypes.addressof(local), 1, ctypes.addressof(remote), 1, 0) != len(data):
            raise failure("process_vm_writev to %d" % tid, {})

    def _write_by_file(self, tid: int, address: int, data: bytes) -> None:
        memory = os.open("/proc/%d/mem" % tid, os.O_WRONLY | os.O_CLOEXEC)
        try:
            if os.pwrite(memory, data, self.untagged(address)) != len(data):
                raise OSError(errno.EFAULT, "only a part could be written")
        except OverflowError:
            raise OSError(errno.EFAULT, "no address of memory")
        finally:
            os.close(memory)

    def _write_by_word(self, tid: int, address: int, data: bytes) -> None:
        first = self.untagged(address)
        start, end = first - first % WORD, first + len(data)
        for at in range(start, end, WORD):
            word = data[max(at - first, 0):at + WORD - first]
            if len(word) < WORD:
                around = ptrace.peek(tid, at)
                before = max(first - at, 0)
                word = around[:before] + word + around[before + len(word):]
            ptrace.poke(tid, at, word)

    def untagged(self, address: int) -> int:
        """A pointer without its tag."""
        return address & self._address_mask

    def _by_call(self, tid: int, address: int, size: int) -> bytes:
        if _process_vm_readv is None:
            raise OSError(errno.ENOSYS, "process_vm_readv is not in this C library")
        pieces = self._split(address, size)
        self._local.length = size
        count = _process_vm_readv(tid, self._local_address, 1, self._remote_address, pieces, 0)
        if count < 0:
            raise failure("process_vm_readv of %d" % tid, {})
        return ctypes.string_at(self._local.base, count)

    def _split(self, address: int, size: int) -> int:
        """Fill the remote pieces, one per page; returns how many."""
        count = 0
        while size > 0:
            piece = self._remote[count]
            piece.base = address
            piece.length = min(PAGE - address % PAGE, size)
            address += piece.length
            size -= piece.length
            count += 1
        return count

    def _by_file(self, tid: int, address: int, size: int) -> bytes:
        memory = os.open("/proc/%d/mem" % tid, os.O_RDONLY | os.O_CLOEXEC)
        try:
            return os.pread(memory, size, self.untagged(address))
        except OverflowError:
            raise OSError(errno.EFAULT, "no address of memory")
        finally:
            os.close(memory)

    def _by_word(self, tid: int, address: int, size: int) -> bytes:
        found = b""
        address = self.untagged(address)
        at = address - address % WORD
        try:
            while at < address + size:
                found += ptrace.peek(tid, at)
                at += WORD
        except OSError as error:
            if error.errno not in _UNREADABLE:
                raise
        return found[address % WORD:][:size]
