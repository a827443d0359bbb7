"""What this kernel and host permit, found out by trying in a forked child, never by version number."""

import ctypes
import errno
import os
import signal

from ebpfless_arch.abi import Abi
from ebpfless_arch.kernel import procfs, ptrace, seccomp
from ebpfless_arch.kernel.memory import Memory
from ebpfless_arch.named import NamedTuple


class Features(NamedTuple):
    """Findings. `entry_after_seccomp`: a call resumed from its SECCOMP stop stops at its entry once more (before 4.8).
    `exit_kill`: tracees can be made to die with their tracer (PTRACE_O_EXITKILL, 3.8)."""

    ptrace: bool
    filters: bool
    filters_need_no_new_privs: bool
    entry_after_seccomp: bool
    syscall_info: bool
    vm_read: bool
    problem: str
    exit_kill: bool = False


NO_PTRACE = Features(False, False, False, False, False, False, "")

_FILTERED = "getppid"


def probe(abi: Abi) -> Features:
    """Fork a child, trace it through one filtered call and see; nothing of it stays. Costs about 2 ms."""
    ready, go = os.pipe(), os.pipe()
    child = os.fork()
    if child == 0:
        _act(abi, go[0], ready[1])
    os.close(go[0])
    os.close(ready[1])
    try:
        return _observe(abi, child, ready[0], go[1])
    except OSError as error:
        return NO_PTRACE._replace(problem=_traced_already(child) or str(error.strerror))
    finally:
        os.close(ready[0])
        os.close(go[1])
        _end(child)


def _act(abi: Abi, go: int, ready: int) -> None:
    """The child: wait to be seized, install a filter, do the call that it names, leave."""
    status = 1
    try:
        os.read(go, 1)
        program = seccomp.compile_filter(
            [seccomp.Block(abi.audit_arch, abi.number_ceiling, [seccomp.Match(abi.syscalls[_FILTERED])])])
        try:
            answer = b"n" if seccomp.install(program) else b"p"
        except OSError:
            answer = b"-"
        os.write(ready, answer)
        os.getppid()
        status = 0
    finally:
        os._exit(status)


def _observe(abi: Abi, child: int, ready: int, go: int) -> Features:
    ptrace.seize(child, ptrace.O_TRACESYSGOOD)
    try:
        # SEIZE refuses unknown options as a whole, so they are tried one by one on the stopped child.
        ptrace.interrupt(child)
        _next_stop(child)
        traced = _accepts(child, ptrace.O_TRACESYSGOOD | ptrace.O_TRACESECCOMP)
        found = NO_PTRACE._replace(ptrace=True, vm_read=_vm_read(child),
                                   exit_kill=_accepts(child, ptrace.O_TRACESYSGOOD | ptrace.O_EXITKILL))
        _accepts(child, ptrace.O_TRACESYSGOOD | traced * ptrace.O_TRACESECCOMP)
        ptrace.resume(ptrace.CONT, child, 0)
    finally:
        os.write(go, b"g")
    if not traced:
        return found
    status = _next_stop(child)
    answer = os.read(ready, 1)
    if status >> 8 != (signal.SIGTRAP | ptrace.EVENT_SECCOMP << 8):
        return found
    information = _syscall_info(child)
    ptrace.resume(ptrace.SYSCALL, child, 0)
    _next_stop(child)
    return found._replace(filters=True, filters_need_no_new_privs=answer == b"n", syscall_info=information,
                          entry_after_seccomp=_at_entry(abi, child))


def _traced_already(child: int) -> str:
    """Who has become the child's tracer before us, in words: one who traces us and follows what we fork."""
    try:
        tracer = int(procfs.status(child)[b"TracerPid"])
        name = procfs.stat(tracer).comm.decode("latin-1").encode("unicode_escape").decode() if tracer else ""
    except (OSError, KeyError, ValueError):
        return ""
    return name and ("it is traced already, by process %d (%s), and so is all that it starts: run it outside of that "
                     "one, or have that one not follow forks (strace without -f)" % (tracer, name))


def _next_stop(child: int) -> int:
    status = os.waitpid(child, ptrace.WALL)[1]
    if not os.WIFSTOPPED(status):
        return 0
    return status


def _accepts(child: int, options: int) -> bool:
    try:
        ptrace.set_options(child, options)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.EIO):
            raise
        return False
    return True


def _vm_read(child: int) -> bool:
    word = ctypes.c_ulong(0)
    try:
        return len(Memory(["process_vm_readv"]).read(child, ctypes.addressof(word), 8)) > 0
    except OSError:
        return False


def _syscall_info(child: int) -> bool:
    try:
        return ptrace.InfoReader().read(child)[0] == ptrace.INFO_SECCOMP
    except OSError:
        return False


def _at_entry(abi: Abi, child: int) -> bool:
    """Whether the call has not run: at its exit the result register tells what getppid returns, our own id."""
    registers = ptrace.registers(abi.register_count, abi.general_set)
    registers.read(child)
    return bool(registers.words[abi.result_slot] != os.getpid())


def _end(child: int) -> None:
    try:
        os.kill(child, signal.SIGKILL)
        while os.WIFSTOPPED(os.waitpid(child, ptrace.WALL)[1]):
            pass
    except (ProcessLookupError, ChildProcessError):
        pass

