"""Floor 2 against the running kernel: memory, filters, features, /proc."""

import ctypes
import errno
import mmap
import os
import signal
import traceback
from pathlib import Path
from typing import Callable, Iterator, List, Optional, Sequence

import pytest

import bpf
from ebpfless_arch.abi import AMD64, I386, MACHINES
from ebpfless_arch.events.interest import Interest
from blackbox import wait_until
from ebpfless_arch.kernel import features, procfs, ptrace, seccomp, waiting
from ebpfless_arch.kernel.memory import PAGE, Memory
from ebpfless_arch.kernel.seccomp import Block, Condition, Match
from ebpfless_arch.tracer import syscalls
from ebpfless_arch.tracer.syscalls import CLONE_UNTRACED
from forbidding import forbid

WAYS = ["process_vm_readv", "mem", "peek"]
X32 = 0x40000000
OURS = MACHINES[os.uname().machine]


class Sleeper:
    """A stopped tracee that is a copy of this process, so that our own addresses are its addresses."""

    def __enter__(self) -> int:
        self.pid = os.fork()
        if self.pid == 0:
            signal.pause()
            os._exit(0)
        ptrace.seize(self.pid, 0)
        ptrace.interrupt(self.pid)
        os.waitpid(self.pid, ptrace.WALL)
        return self.pid

    def __exit__(self, *problem: object) -> None:
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, ptrace.WALL)


@pytest.fixture
def end_of_mapping() -> Iterator[int]:
    """The address after two readable pages, where nothing is mapped."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mmap.restype = ctypes.c_void_p
    libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
    libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
    start = libc.mmap(None, 3 * PAGE, mmap.PROT_READ | mmap.PROT_WRITE, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, -1, 0)
    assert libc.munmap(start + 2 * PAGE, PAGE) == 0
    yield start + 2 * PAGE
    assert libc.munmap(start, 2 * PAGE) == 0


@pytest.mark.parametrize("way", WAYS)
def test_a_string_that_ends_with_its_mapping_is_read(way: str, end_of_mapping: int) -> None:
    end = end_of_mapping
    ctypes.memmove(end - 9, b"/tmp/end\0", 9)
    with Sleeper() as pid:
        assert Memory([way]).string(pid, end - 9, 4096) == b"/tmp/end"
        assert Memory([way]).read(pid, end - 4, 100) == b"end\0"


@pytest.mark.parametrize("way", WAYS)
def test_a_string_without_an_end_is_what_could_be_read(way: str, end_of_mapping: int) -> None:
    end = end_of_mapping
    ctypes.memmove(end - 7, b"endless", 7)
    with Sleeper() as pid:
        assert Memory([way]).string(pid, end - 7, 4096) == b"endless"
        assert Memory([way]).string(pid, end, 4096) is None


@pytest.mark.parametrize("way", WAYS)
def test_unreadable_memory_is_no_error(way: str) -> None:
    with Sleeper() as pid:
        for address in (0, 8, 1 << 46, (1 << 64) - 16):
            assert Memory([way]).string(pid, address, 100) is None
            assert Memory([way]).read(pid, address, 8) == b""


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("length", [0, 1, 7, 255, 511, 512, 513, 4095, 4096, 5003])
def test_strings_of_all_lengths(way: str, length: int) -> None:
    text = bytes(33 + position % 89 for position in range(length))
    buffer = ctypes.create_string_buffer(text)
    with Sleeper() as pid:
        memory = Memory([way])
        assert memory.string(pid, ctypes.addressof(buffer), 8192) == text
        assert memory.string(pid, ctypes.addressof(buffer), 100) == text[:100]


@pytest.mark.parametrize("way", WAYS)
def test_several_strings_are_what_each_of_them_is(way: str, end_of_mapping: int) -> None:
    far = ctypes.create_string_buffer(b"far away")
    ctypes.memmove(end_of_mapping - 40, b"one\0\0three" + b"3" * 20 + b"\0last", 36)
    places = [end_of_mapping - 40 + at for at in (0, 4, 5, 31, 36)]
    ctypes.memmove(end_of_mapping - 4, b"tail", 4)
    with Sleeper() as pid:
        memory = Memory([way])
        wanted = [b"one", b"", b"three3333333", b"last", b"tail"]
        assert memory.strings(pid, places, 12) == wanted
        assert memory.strings(pid, places[::-1] + [8, ctypes.addressof(far)], 12) == wanted[::-1] + [None, b"far away"]
        assert memory.strings(pid, places[:1], 12) == [b"one"]
        assert memory.strings(pid, [], 12) == []


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("count", [0, 1, 31, 32, 33, 601])
def test_arrays_of_pointers(way: str, count: int) -> None:
    values = [1000003 * (number + 1) for number in range(count)]
    array = (ctypes.c_uint64 * (count + 1))(*values)
    with Sleeper() as pid:
        memory = Memory([way])
        assert memory.pointers(pid, ctypes.addressof(array), 1000, 8) == values
        assert memory.pointers(pid, ctypes.addressof(array), 29, 8) == values[:29]
        assert memory.pointers(pid, 16, 100, 8) == []


def test_a_forbidden_way_is_left_for_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ebpfless_arch.kernel.memory._process_vm_readv", None)
    monkeypatch.setattr("ebpfless_arch.kernel.memory._quick_vm_readv", None)
    buffer = ctypes.create_string_buffer(b"found")
    with Sleeper() as pid:
        memory = Memory()
        assert memory.string(pid, ctypes.addressof(buffer), 100) == b"found"
        assert len(memory._ways) == 2


def test_a_vanished_tracee_is_told_as_such() -> None:
    with Sleeper() as pid:
        pass
    with pytest.raises(ProcessLookupError):
        Memory(["process_vm_readv"]).read(pid, 4096, 8)
    with pytest.raises(ProcessLookupError):
        ptrace.resume(ptrace.CONT, pid, 0)
    with pytest.raises(ProcessLookupError):
        procfs.stat(pid)


# What a container may forbid of the calls by which memory is written, until only PTRACE_POKEDATA is left.
CLOSED = [(), ("process_vm_writev",), ("process_vm_writev", "pwrite64"), ("process_vm_writev", "pwrite64", "process_vm_readv", "pread64")]


def in_a_child(work: Callable[[], None]) -> int:
    """The exit status of a child that does this: 0 when nothing was raised."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            work()
            status = 0
        finally:
            if status:
                traceback.print_exc()
            os._exit(status)
    return os.waitpid(child, 0)[1]


@pytest.mark.parametrize("code", [errno.EPERM, errno.ENOSYS])
@pytest.mark.parametrize("closed", CLOSED, ids=["by-call", "by-file", "by-word", "by-word-alone"])
def test_writing_wherever_the_words_begin_and_end(closed: Sequence[str], code: int) -> None:
    text = bytes(range(33, 33 + 40))
    buffer = ctypes.create_string_buffer(text)
    begin = ctypes.addressof(buffer)

    def work() -> None:
        with Sleeper() as pid:
            if closed:
                forbid(closed, code)
            for first in range(9):
                for size in (0, 1, 5, 7, 8, 9, 16, 29):
                    Memory().write(pid, begin + first, b"#" * size)
                    assert Memory().string(pid, begin, 100) == text[:first] + b"#" * size + text[first + size:]
                    Memory().write(pid, begin, text)

    assert in_a_child(work) == 0
    assert buffer.value == text


@pytest.mark.parametrize("closed", CLOSED, ids=["by-call", "by-file", "by-word", "by-word-alone"])
def test_writing_what_the_tracee_has_write_protected(closed: Sequence[str], end_of_mapping: int) -> None:
    begin = end_of_mapping - PAGE
    ctypes.memmove(begin, b"before", 7)

    def work() -> None:
        assert ctypes.CDLL(None).mprotect(ctypes.c_void_p(begin), ctypes.c_size_t(PAGE), mmap.PROT_READ) == 0
        with Sleeper() as pid:
            if closed:
                forbid(closed)
            Memory().write(pid, begin, b"after!")
            assert Memory().string(pid, begin, 100) == b"after!"

    assert in_a_child(work) == 0


@pytest.mark.parametrize("closed", CLOSED, ids=["by-call", "by-file", "by-word", "by-word-alone"])
def test_writing_where_nothing_is_is_an_error(closed: Sequence[str], end_of_mapping: int) -> None:
    def work() -> None:
        with Sleeper() as pid:
            if closed:
                forbid(closed)
            for address in (0, end_of_mapping, (1 << 64) - 16):
                with pytest.raises(OSError) as problem:
                    Memory().write(pid, address, b"word")
                assert problem.value.errno in (errno.EFAULT, errno.EIO)

    assert in_a_child(work) == 0


# --- filters ---------------------------------------------------------------------


@pytest.mark.once
@pytest.mark.parametrize("machine", sorted(MACHINES))
@pytest.mark.parametrize("events", [["open"], sorted(syscalls.EVENTS)], ids=["open", "all"])
def test_the_filter_stops_at_the_table_s_calls_and_at_no_others(events: List[str], machine: str) -> None:
    abis, interest = MACHINES[machine], Interest(frozenset(events))
    chosen = syscalls.rows(interest)
    program = seccomp.compile_filter(syscalls.blocks(abis, interest))
    samples = [[0] * 6, [CLONE_UNTRACED | 17, 26, 26, 0, 0, 0], [3, 1, 26, 0, 0, 0], [5, 1, 0x200, 0, 0, 0],
               [14, 1, 4, 0, 0, 0], [0, 0, 1 << 40, 0, 0, 0], [~0] * 6, [1 << 32 | 3, 1 << 32, ~0x204, 0, 0, 0]]
    for index, abi in enumerate(abis):
        wanted = syscalls.by_number(abi, chosen)
        for number in range(600):
            for arguments in samples:
                stops = number not in abi.syscalls.values() or any(row.wants(arguments) for row in wanted.get(number, []))
                answer = bpf.run(program, number, abi.audit_arch, arguments)
                assert answer == (seccomp.RET_TRACE | index if stops else seccomp.RET_ALLOW), (number, arguments)


def test_a_clone_stops_only_where_it_would_escape() -> None:
    program = seccomp.compile_filter(syscalls.blocks((AMD64, I386), Interest(frozenset())))
    for index, abi in enumerate((AMD64, I386)):
        number = abi.syscalls["clone"]
        assert bpf.run(program, number, abi.audit_arch, [CLONE_UNTRACED | 17]) == seccomp.RET_TRACE | index
        assert bpf.run(program, number, abi.audit_arch, [~CLONE_UNTRACED]) == seccomp.RET_ALLOW


@pytest.mark.parametrize("condition,holding,failing", [
    (Condition(1, bits=6), [2, 4, 7, 1 << 32 | 2], [0, 1, 8, 6 << 32]),
    (Condition(1, bits=6, absent=True), [0, 1, 8, 6 << 32], [2, 4, 7]),
    (Condition(1, values=(3, 9, 11)), [3, 9, 11, 1 << 32 | 9], [0, 2, 10]),
    (Condition(1), [1, 1 << 32, 1 << 63, ~0], [0]),
    (Condition(1, least=17, most=4096), [17, 18, 4095, 4096], [0, 16, 4097, 1 << 32 | 17, 1 << 32, ~0]),
    (Condition(1, least=12), [12, 4096, 1 << 32, 1 << 63, ~0], [0, 11]),
    (Condition(1, most=1), [0, 1], [2, 1 << 32, ~0]),
])
def test_conditions_in_the_filter_and_in_python(condition: Condition, holding: List[int], failing: List[int]) -> None:
    always = Condition(0, values=(17,))
    for conditions in ((condition,), (condition, always), (always, condition)):
        block = Block(7, 1000, [Match(number, conditions) for number in range(0, 50, 3)])
        program = seccomp.compile_filter([block])
        for values, expected in ((holding, True), (failing, False)):
            for value in values:
                assert condition.holds([17, value]) == expected
                answer = bpf.run(program, 27, 7, [17, value])
                assert answer == (seccomp.RET_TRACE if expected else seccomp.RET_ALLOW)


def test_one_match_of_several_is_enough() -> None:
    block = Block(7, 1000, [Match(5, (Condition(0, values=(1,)),)), Match(5, (Condition(1, bits=2),)), Match(6)])
    program = seccomp.compile_filter([block])
    assert [bpf.run(program, 5, 7, arguments) == seccomp.RET_TRACE for arguments in ([1, 0], [0, 2], [1, 2], [0, 1])] == [
        True, True, True, False]
    assert bpf.run(program, 6, 7, []) == seccomp.RET_TRACE


def test_a_long_list_of_conditions_is_jumped_over() -> None:
    matches = [Match(4, (Condition(0, bits=1 << bit), Condition(1, values=tuple(range(bit, bit + 9)))))
               for bit in range(31)]
    program = seccomp.compile_filter([Block(7, 1000, matches + [Match(5)])])
    assert bpf.run(program, 5, 7, []) == seccomp.RET_TRACE
    assert bpf.run(program, 6, 7, []) == bpf.run(program, 4, 7, [1 << 30, 29]) == seccomp.RET_ALLOW
    assert bpf.run(program, 4, 7, [1 << 30, 38]) == seccomp.RET_TRACE


def test_a_call_goes_a_short_way_through_the_whole_filter() -> None:
    program = seccomp.compile_filter(syscalls.blocks((AMD64, I386), Interest(syscalls.EVENTS)))
    assert max(bpf.steps(program, number, AMD64.audit_arch) for number in range(600)) < 30


def test_what_nobody_asks_for_does_not_stop() -> None:
    program = seccomp.compile_filter(syscalls.blocks((AMD64, I386), Interest(frozenset())))
    assert bpf.run(program, AMD64.syscalls["openat"], AMD64.audit_arch) == seccomp.RET_ALLOW
    assert bpf.run(program, AMD64.syscalls["execve"], AMD64.audit_arch) == seccomp.RET_TRACE
    assert bpf.run(program, I386.syscalls["execve"], I386.audit_arch) == seccomp.RET_TRACE | 1


def test_foreign_abis_stop_and_are_never_refused() -> None:
    program = seccomp.compile_filter(syscalls.blocks((AMD64, I386), Interest(frozenset(["open"]))))
    arm = 0x40000028
    for number, arch in ((2, arm), (322, arm), (X32 | 520, AMD64.audit_arch), (X32, AMD64.audit_arch)):
        assert bpf.run(program, number, arch) == seccomp.RET_TRACE | seccomp.FOREIGN


def test_the_kernel_accepts_the_filter() -> None:
    program = seccomp.compile_filter(syscalls.blocks(OURS, Interest(syscalls.EVENTS)))
    child = os.fork()
    if child == 0:
        try:
            seccomp.install(program)
            # Without a tracer a filtered call has one answer: ENOSYS.
            os.open("/", os.O_RDONLY)
        except OSError as error:
            os._exit(error.errno or 1)
        os._exit(0)
    assert os.WEXITSTATUS(os.waitpid(child, 0)[1]) == errno.ENOSYS


# --- features --------------------------------------------------------------------


def test_the_probe_finds_what_this_kernel_has_and_leaves_nothing() -> None:
    before = os.listdir("/proc/self/fd")
    found = features.probe(OURS[0])
    assert found.ptrace and found.filters and found.vm_read and not found.problem
    assert found.filters_need_no_new_privs == (os.geteuid() != 0)
    assert not found.entry_after_seccomp or not found.syscall_info
    assert os.listdir("/proc/self/fd") == before
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)


# --- /proc ------------------------------------------------------------------------


def test_paths_are_resolved_as_the_process_sees_them(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "file").write_text("")
    (tmp_path / "to_b").symlink_to("a/b")
    (tmp_path / "absolute").symlink_to(str(tmp_path / "a"))
    (tmp_path / "chain").symlink_to("to_b/../b/file")
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "dangling").symlink_to("nowhere/at all")
    view = procfs.View(os.getpid())
    try:
        for name in ("a/b/file", "to_b/file", "absolute/b/./file", "chain", "to_b/..", "a//b/", "dangling", "missing/x",
                     "missing/../a", "a/b/file/below", ".", "../" + tmp_path.name):
            path = os.fsencode(str(tmp_path / "x"))[:-1] + name.encode()
            if name != "missing/../a":
                assert view.resolve(path) == os.path.realpath(path), name
        root = os.fsencode(str(tmp_path))
        assert view.resolve(root + b"/to_b", follow_last=False) == root + b"/to_b"
        assert view.resolve(root + b"/loop").startswith(root)
        assert view.resolve(b"/proc/self/status") == b"/proc/%d/status" % os.getpid()
        assert view.resolve(b"/../..") == b"/"
    finally:
        view.close()


def test_stat_of_a_process_with_a_nasty_name() -> None:
    comm = Path("/proc/self/comm")
    old = comm.read_bytes()
    try:
        comm.write_bytes(b"a) R 1 (b")
        found = procfs.stat(os.getpid())
    finally:
        comm.write_bytes(old.strip())
    assert (found.comm, found.ppid, found.group) == (b"a) R 1 (b", os.getppid(), os.getpgrp())


@pytest.mark.parametrize("device,name", [(0, ""), (136 << 8, "pts0"), (136 << 8 | 7, "pts7"), (137 << 8 | 1, "pts257"),
                                         (4 << 8 | 1, "tty1"), (4 << 8 | 64, "ttyS0"), (5 << 8 | 1, "console")])
def test_names_of_terminals(device: int, name: str) -> None:
    assert procfs.tty_name(device) == name


def test_descendants() -> None:
    with Sleeper() as pid:
        found: List[int] = procfs.descendants(os.getpid())
        assert pid in found
        assert os.getpid() not in found
        assert procfs.group_leader(pid) == (pid, os.getpid())
        assert procfs.is_thread_of(pid, pid) and not procfs.is_thread_of(pid, os.getpid())


def test_what_a_thread_sleeps_in() -> None:
    ends, answers = os.pipe(), os.pipe()
    child = os.fork()
    if child == 0:
        while os.read(ends[0], 7) == b"again":
            os.write(answers[1], b".")
        os._exit(0)
    number = OURS[0].syscalls["read"]
    try:
        found = [sleeping_in(child, number)]
        os.write(ends[1], b"again")
        os.read(answers[0], 1)
        found.append(sleeping_in(child, number))
    finally:
        os.write(ends[1], b"end")
        os.waitpid(child, 0)
        for end in ends + answers:
            os.close(end)
    assert [(call.number, call.arguments[0], call.arguments[2]) for call in found] == [(number, ends[0], 7)] * 2
    assert found[0].instruction == found[1].instruction and found[0].sleeps < found[1].sleeps
    assert waiting.look(child) is None


def sleeping_in(pid: int, number: int) -> waiting.Waiting:
    """The call of this number that a process sleeps in, as soon as it does."""
    found: List[Optional[waiting.Waiting]] = [None]

    def sleeps() -> bool:
        found[0] = waiting.look(pid)
        return found[0] is not None and found[0].number == number

    wait_until(sleeps, "the process sleeps")
    assert found[0] is not None
    return found[0]
