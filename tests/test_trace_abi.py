"""Other doors into the kernel: the i386 ABI, 32-bit programs, CLONE_UNTRACED, x32 and nonsense numbers."""

import errno
import os
import platform
from pathlib import Path
from typing import List, Tuple

import pytest

from blackbox import Compiler, Event, execs_of, file_path, named, opens_below, opens_of, retval, run, run_traced
from call_runs import WIDTHS
from forbidding import forbidding

ECHO = os.path.realpath("/bin/echo")
NO_SUCH_ABI = 77
OTHER_BUSYBOX = os.environ.get("TEST_BUSYBOX", "")
BUSYBOX_SCRIPT = """
BUSYBOX mkdir d; echo seven! > d/f; BUSYBOX cp d/f d/g; BUSYBOX mv d/g d/h; BUSYBOX chmod 600 d/h; BUSYBOX cat d/h
BUSYBOX rm d/h d/f; BUSYBOX rmdir d; exit 3
"""
ENOENT, EFAULT = -2, -14


def seen_opens(events: List[Event], folder: Path) -> List[Tuple[str, int, List[str]]]:
    """(name, 0 or -errno, flags) of each open below a directory."""
    return [(file_path(event).rpartition("/")[2], min(0, retval(event)), sorted(event["file"]["flags"]))
            for event in opens_below(events, folder)]


@pytest.mark.machine("x86_64")
@pytest.mark.parametrize("options", [[], ["--disable-seccomp"]], ids=["seccomp", "no-seccomp"])
def test_calls_of_the_i386_abi_in_a_64_bit_program(options: List[str], compile_c: Compiler, tmp_path: Path) -> None:
    command = [compile_c("int80.c"), str(tmp_path), "/bin/echo"]
    for name in ("open", "openat"):
        (tmp_path / name).write_text("")
    native = run(command)
    if native.status == NO_SUCH_ABI:
        pytest.skip("this kernel has no i386 calls")
    assert native.stdout == (b"open 0\nmissing -2\ncreat 0\nopenat 0\nunreadable -14\nexecve -2\nthrough-int80\n")
    traced = run_traced(command, options)
    assert traced._replace(events=[]) == native
    assert seen_opens(traced.events, tmp_path) == [
        ("open", 0, ["O_RDONLY"]), ("missing", ENOENT, ["O_RDONLY"]),
        ("creat", 0, ["O_CREAT", "O_TRUNC", "O_WRONLY"]), ("openat", 0, ["O_CREAT", "O_RDWR"])]
    assert EFAULT in [retval(event) for event in named(traced.events, "open")]
    (failed,) = execs_of(traced.events, "/nonexistent/program")
    assert retval(failed) == ENOENT
    (program,) = execs_of(traced.events, ECHO)
    assert (program["process"]["args"], retval(program)) == (["through-int80"], 0)


@pytest.mark.parametrize("options", [[], ["--disable-seccomp"]], ids=["seccomp", "no-seccomp"])
@pytest.mark.parametrize("flags", [["-m32", "-static"], ["-m32"]], ids=["static", "dynamic"])
def test_a_32_bit_program(flags: List[str], options: List[str], compile_c: Compiler, tmp_path: Path) -> None:
    program = compile_c("small32.c", *flags)
    (tmp_path / "open").write_text("")
    native = run([program, str(tmp_path), "/bin/echo"])
    assert native[:2] == (4, b"open 0\nlibc 0\ncreat 0\nmissing -2\nfrom-32-bit\nchild 0\n")
    traced = run_traced([program, str(tmp_path), "/bin/echo"], options)
    assert traced._replace(events=[]) == native
    opens = [(name, result, set(seen) - {"O_LARGEFILE"}) for name, result, seen in
             seen_opens(traced.events, tmp_path)]
    written = {"O_CREAT", "O_TRUNC", "O_WRONLY"}
    assert opens == [("open", 0, {"O_RDONLY"}), ("libc", 0, written), ("creat", 0, written),
                     ("missing", ENOENT, {"O_RDONLY"})]
    first, second = [event for event in named(traced.events, "exec") if retval(event) == 0]
    (fork,) = named(traced.events, "fork")
    assert file_path(first) == program
    assert (file_path(second), second["process"]["args"]) == (ECHO, ["from-32-bit"])
    assert fork["process"]["pid"] == second["process"]["pid"]
    assert fork["process"]["ppid"] == first["process"]["pid"]
    assert [event["exit"]["code"] for event in named(traced.events, "exit")] == [0, 4]


@pytest.mark.parametrize("options", [[], ["--disable-seccomp"]], ids=["seccomp", "no-seccomp"])
def test_children_cannot_escape_by_clone_untraced(options: List[str], compile_c: Compiler, tmp_path: Path) -> None:
    names = ["clone", "clone-vfork", "clone3", "clone3-vfork"]
    for name in names:
        (tmp_path / name).write_text("")
    native = run([compile_c("untraced.c"), str(tmp_path)])
    traced = run_traced([compile_c("untraced.c"), str(tmp_path)], options)
    assert traced._replace(events=[]) == native
    made = [name for name in names if "{} 0\n".format(name) in native.stdout.decode()]
    assert "clone" in made
    assert [entry[:2] for entry in seen_opens(traced.events, tmp_path)] == [(name, 0) for name in made]
    assert len(named(traced.events, "fork")) == len(made)


@pytest.mark.parametrize("code", [errno.EPERM, errno.ENOSYS])
def test_nor_where_the_calls_for_others_memory_are_forbidden(code: int, compile_c: Compiler, tmp_path: Path) -> None:
    """The flag in clone3's structure is cleared in the program's memory."""
    command = [compile_c("untraced.c"), str(tmp_path)]
    for name in ("clone", "clone-vfork", "clone3", "clone3-vfork"):
        (tmp_path / name).write_text("")
    native = run(command)
    traced = run_traced(command, preexec_fn=forbidding(["process_vm_readv", "process_vm_writev", "pwrite64"], code))
    assert traced._replace(events=[]) == native
    made = [line.split()[0] for line in native.stdout.decode().splitlines() if line.endswith(" 0")]
    assert [entry[:2] for entry in seen_opens(traced.events, tmp_path)] == [(name, 0) for name in made]
    assert len(named(traced.events, "fork")) == len(made) >= 2


@pytest.mark.parametrize("options", [[], ["--disable-seccomp"]], ids=["seccomp", "no-seccomp"])
def test_unusual_call_numbers_behave_as_without_tracing(options: List[str], compile_c: Compiler,
                                                        tmp_path: Path) -> None:
    (tmp_path / "file").write_text("content")
    command = [compile_c("numbers.c"), str(tmp_path / "file")]
    native = run(command)
    (tmp_path / "file").write_text("content")
    traced = run_traced(command, options)
    assert traced._replace(events=[]) == native
    if b"x32 open -38\n" in native.stdout:  # an unknown number is no open, whatever its low bits say
        assert [entry[:2] for entry in seen_opens(traced.events, tmp_path)] == [("file", 0)]
        assert (tmp_path / "file").read_text() == "content"


@pytest.mark.parametrize("options", [[], ["--disable-seccomp"]], ids=["seccomp", "no-seccomp"])
def test_a_pointer_with_a_tag(options: List[str], compile_c: Compiler, tmp_path: Path) -> None:
    """On arm64 the kernel takes it, and so does the tracer; amd64 knows no such pointers."""
    path = tmp_path / "file"
    path.write_text("")
    native = run([compile_c("tagged.c"), str(path)])
    traced = run_traced([compile_c("tagged.c"), str(path)], options)
    assert traced._replace(events=[]) == native
    assert native.stdout == (b"1 0\n" if platform.machine() == "aarch64" else b"0 -14\n")
    assert len(opens_of(traced.events, path)) == (1 if native.stdout == b"1 0\n" else 0)


@pytest.mark.parametrize("options", [[], ["--disable-seccomp"]], ids=["seccomp", "no-seccomp"])
@pytest.mark.parametrize("flags", WIDTHS)
def test_a_name_at_a_high_address(flags: List[str], options: List[str], compile_c: Compiler, tmp_path: Path) -> None:
    """That of 57 bits where the processor has such: the machines of scripts/test-arm64 have."""
    path = tmp_path / "file"
    path.write_text("")
    native = run([compile_c("high.c", *flags), str(path)])
    traced = run_traced([compile_c("high.c", *flags), str(path)], options)
    assert traced._replace(events=[]) == native
    with open("/proc/cpuinfo") as processors:
        high = not flags and " la57" in processors.read()
    assert native.stdout == b"%d 0\n" % (high or (not flags and platform.machine() == "aarch64"))
    assert len(opens_of(traced.events, path)) == 1


@pytest.mark.parametrize("data", [0, 1, 2, 7, 0xFFFF])
def test_a_filter_of_the_program_cannot_pass_its_calls_off_as_another_abi_s(data: int, tmp_path: Path,
                                                                            compile_c: Compiler) -> None:
    secret = tmp_path / "secret"
    secret.write_text("seven!\n")
    result = run_traced([compile_c("forged.c"), str(data), str(secret)])
    assert (result.status, result.stdout) == (0, b"7\n")
    assert [retval(event) for event in opens_of(result.events, secret)] == [3]


if OTHER_BUSYBOX:
    # Given by scripts/test-arm64: Debian's busybox for the machine's 32-bit programs.
    @pytest.mark.parametrize("options", [[], ["--disable-seccomp"]], ids=["seccomp", "no-seccomp"])
    def test_a_32_bit_busybox_and_the_machine_s_own_do_the_same(options: List[str], tmp_path: Path) -> None:
        both = []
        for busybox in ("/bin/busybox", OTHER_BUSYBOX):
            folder = tmp_path / busybox.strip("/").replace("/", "-")
            folder.mkdir()
            result = run_traced([busybox, "sh", "-ec", BUSYBOX_SCRIPT.replace("BUSYBOX", busybox)], options,
                                cwd=str(folder))
            assert (result.status, result.stderr, result.stdout) == (3, b"", b"seven!\n")
            both.append([(event["evt"]["name"], min(0, retval(event)), file_path(event).replace(str(folder), ""))
                         for event in result.events
                         if event.get("file", {}).get("path", "").startswith(str(folder) + "/")])
            assert len(named(result.events, "exec")) == 1 + 7
            assert len(named(result.events, "fork")) == len(named(result.events, "exit")) - 1 == 7
        assert both[0] == both[1] and len(both[0]) > 7
