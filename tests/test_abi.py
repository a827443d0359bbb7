"""Floor 1: the tables of each machine, against the kernel's own headers and as the filter uses them."""

import ctypes
import os
import platform
import re
import subprocess
from typing import Dict, List, Sequence

import pytest

import bpf
from blackbox import PREBUILT
from ebpfless_arch.abi import AMD64, ARM, ARM64, I386, MACHINES, Abi
from ebpfless_arch.events.flags import open_flag_names
from ebpfless_arch.events.interest import Interest
from ebpfless_arch.kernel import ptrace, seccomp
from ebpfless_arch.kernel.libc import Piece
from ebpfless_arch.kernel.memory import Memory
from ebpfless_arch.tracer import decode, payload, syscalls
from ebpfless_arch.tracer.stops import Call
from test_kernel import Sleeper

# What is numbered in the headers and no call: the bounds of the tables.
NO_CALLS = {"syscalls", "SYSCALL_BASE", "OABI_SYSCALL_BASE", "SYSCALL_MASK", "arch_specific_syscall",
            "sync_file_range2"}  # ARM's other name of arm_sync_file_range


def header_numbers(flags: Sequence[str]) -> Dict[str, int]:
    """The calls of <asm/unistd.h>, of this machine or (with -m32) of its 32-bit programs."""
    if PREBUILT:
        with open(os.path.join(PREBUILT, "unistd" + "".join(flags))) as file:
            text = file.read()
    else:
        include = "/usr/include/" + subprocess.check_output(["gcc", "-print-multiarch"]).decode().strip()
        text = subprocess.check_output(["gcc", "-E", "-dM", "-isystem", include, "-include", "asm/unistd.h", "-x", "c",
                                        os.devnull] + list(flags)).decode()
    defined = dict(re.findall(r"^#define (__NR\w+) (.+)$", text, re.M))

    def value(words: str) -> int:
        return sum(int(word, 0) if word[0].isdigit() else value(defined[word])
                   for word in re.findall(r"\w+", words))

    return {name[5:]: value(words) for name, words in defined.items()
            if name.startswith("__NR_") and name[5:] not in NO_CALLS}


@pytest.mark.parametrize("which,flags", [(0, []), (1, ["-m32"])], ids=["native", "32-bit"])
def test_the_numbers_are_those_of_the_kernel_s_headers(which: int, flags: List[str]) -> None:
    abi = MACHINES[platform.machine()][which]
    expected = header_numbers(flags)
    assert len(expected) > 300
    assert {name: number for name, number in expected.items() if abi.syscalls.get(name) != number} == {}


def test_every_call_of_the_table_is_known_to_some_machine() -> None:
    known = {name for abis in MACHINES.values() for abi in abis for name in abi.syscalls}
    assert {row.call for row in syscalls.ROWS} <= known
    for abi in (AMD64, ARM64):
        assert {"recv", "send", "mmap2", "socketcall"}.isdisjoint(abi.syscalls)
    assert {"open", "stat", "fork", "vfork", "mkdir", "dup2", "pipe", "poll"}.isdisjoint(ARM64.syscalls)


def test_newer_calls_have_the_same_number_everywhere() -> None:
    for abi in (I386, ARM64, ARM):
        for name, number in AMD64.syscalls.items():
            if number >= 424 and name in abi.syscalls:
                assert abi.syscalls[name] == number, name


def test_the_calls_of_another_machine_are_foreign() -> None:
    for abis in MACHINES.values():
        program = seccomp.compile_filter(syscalls.blocks(abis, Interest(frozenset(["open"]))))
        others = {abi.audit_arch for each in MACHINES.values() for abi in each} - {abi.audit_arch for abi in abis}
        assert others and all(bpf.run(program, 2, arch) == seccomp.RET_TRACE | seccomp.FOREIGN for arch in others)


@pytest.mark.parametrize("abi,flags,names", [
    (AMD64, 0o200000 | 0o400000, "O_DIRECTORY O_NOFOLLOW"), (ARM64, 0o40000 | 0o100000, "O_DIRECTORY O_NOFOLLOW"),
    (ARM64, 0o200000 | 0o400000, "O_DIRECT O_LARGEFILE"), (ARM, 0o20040002, "O_TMPFILE"),
    (ARM, 0o2400101, "O_CREAT O_LARGEFILE O_CLOEXEC")])
def test_flags_of_open_leave_the_tracer_as_on_amd64(abi: Abi, flags: int, names: str) -> None:
    assert open_flag_names(decode.common_flags(flags, abi))[1:] == names.split()


def test_64_bits_begin_at_an_even_register_on_32_bit_arm() -> None:
    arguments = (3, 4, 5, 6, 7, 8)
    rows = {row.call: row for row in syscalls.ROWS if row.call in ("pwrite64", "pwritev")}
    word, pair, even_pair = 6, 6 | 7 << 32, 7 | 8 << 32
    for abi, expected in ((AMD64, word), (ARM64, word), (I386, pair), (ARM, even_pair)):
        assert payload.offset_of(rows["pwrite64"], Call(abi, abi.syscalls["pwrite64"], arguments)) == expected
    for abi, expected in ((AMD64, word), (ARM64, word), (I386, pair), (ARM, pair)):
        assert payload.offset_of(rows["pwritev"], Call(abi, abi.syscalls["pwritev"], arguments)) == expected


# --- pointers ---------------------------------------------------------------------


@pytest.mark.parametrize("way", ["mem", "peek"])
@pytest.mark.parametrize("tag", [0, 1, 0x7F, 0xB4, 0xFF])
def test_the_tag_of_a_pointer_is_no_part_of_its_address(way: str, tag: int) -> None:
    text = b"x" * 5003
    buffer = ctypes.create_string_buffer(text)
    array = (ctypes.c_uint64 * 3)(7, 9, 0)
    with Sleeper() as pid:
        memory = Memory([way], ARM64.address_bits)
        assert memory.string(pid, ctypes.addressof(buffer) | tag << 56, 9000) == text
        assert memory.pointers(pid, ctypes.addressof(array) | tag << 56, 9, 8) == [7, 9]
        memory.write(pid, ctypes.addressof(buffer) + 4999 | tag << 56, b"tag!")
        assert memory.string(pid, ctypes.addressof(buffer), 9000) == text[:4999] + b"tag!"


@pytest.mark.parametrize("machine,kept", [("x86_64", 57), ("aarch64", 52)])
def test_addresses_of_more_than_47_bits_are_taken_whole(machine: str, kept: int,
                                                        monkeypatch: pytest.MonkeyPatch) -> None:
    asked: List[int] = []

    def pread(descriptor: int, size: int, offset: int) -> bytes:
        asked.append(offset)
        return b"text\0"

    monkeypatch.setattr(os, "pread", pread)
    address = (1 << kept) - 4096
    assert Memory(["mem"], MACHINES[machine][0].address_bits).string(os.getpid(), address, 100) == b"text"
    assert asked == [address]


# --- registers --------------------------------------------------------------------


def test_a_register_set_tells_by_its_size_whose_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """PTRACE_GETREGSET as arm64 answers it: 34 words of 64 bits, or for a 32-bit program 18 of 32."""
    sizes, written = [34 * 8], []

    def request(name: str, request: int, tid: int, address: int, data: int) -> int:
        piece = ctypes.cast(data, ctypes.POINTER(Piece)).contents
        if request == ptrace.GETREGSET:
            piece.length = sizes[-1]
            width = 8 if sizes[-1] == 34 * 8 else 4
            for place in range(piece.length // width):
                ctypes.memmove(piece.base + place * width, (place * 3).to_bytes(width, "little"), width)
        else:
            written.append((tid, address, ctypes.string_at(piece.base, piece.length)))
        return 0

    monkeypatch.setattr(ptrace, "_request", request)
    registers = ptrace.registers(ARM64.register_count, ARM64.general_set)
    registers.read(17)
    assert (registers.is_narrow(), registers.words[8], registers.words[33]) == (False, 24, 99)
    sizes.append(18 * 4)
    registers.read(17)
    assert (registers.is_narrow(), registers.words[7], registers.words[17]) == (True, 21, 51)
    registers.words[0] = -13
    registers.write(17)
    ptrace.set_call_number(17, ARM.number_set, -1)
    tid, address, data = written[0]
    assert (tid, address, len(data), data[:4]) == (17, 1, 72, (-13 & 0xFFFFFFFF).to_bytes(4, "little"))
    assert written[1] == (17, 0x404, b"\xff" * 4)
    sizes.append(34 * 8)
    registers.read(17)
    assert not registers.is_narrow() and registers.words[0] == 0
