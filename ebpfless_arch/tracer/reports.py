"""What the engine tells the keeper: records of what the command does, and of what cannot be seen."""

import errno
from typing import Set

from ebpfless_arch.abi import AMD64
from ebpfless_arch.events import records
from ebpfless_arch.events.faults import last_words
from ebpfless_arch.events.records import Record
from ebpfless_arch.kernel import procfs
from ebpfless_arch.tracer.blindness import EFFECTS, BlindSpots
from ebpfless_arch.tracer.pipe import Writer
from ebpfless_arch.tracer.stops import Call, Stop

_CLOSED = (errno.EPERM, errno.EACCES)
_X32 = 1


class Reports:
    """`main` is the command's process; `launched`: whether it has executed its program, and is no longer our own child."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer
        self._blind_spots = BlindSpots(self.emit)
        self._neutralised: Set[str] = set()
        self.main = 0
        self.launched = True

    def begin(self, main: int) -> None:
        """The child that will become the command; its doings count from its first exec on."""
        self.main, self.launched = main, False

    def execed(self, pid: int) -> None:
        """A process has executed a program."""
        if pid == self.main:
            self.launched = True

    def counts(self, pid: int) -> bool:
        """Whether what a process does is the command's doing: before its first exec it is our own."""
        return self.launched or pid != self.main

    def forget(self, pid: int) -> None:
        """A process has ended, or is another program now."""
        self._blind_spots.forget(pid)

    def emit(self, record: Record) -> None:
        """Hand a record over; what the child does before it is the command is our own business."""
        if self.launched or record[2] != self.main:
            self._writer.put(record)

    def fault(self, pid: int, tid: int) -> None:
        """The exception that is being handled."""
        self._writer.put((records.FAULT, records.now(), pid, tid, last_words()))

    def state(self, pid: int, word: int, value: object) -> None:
        """Tell the keeper what became of the command itself."""
        if pid == self.main:
            self._writer.put((records.STATE, records.now(), pid, pid, word, value))

    def foreign(self, stop: Stop, call: Call) -> None:
        """A call of an ABI that we do not know."""
        name = "the x32 ABI" if stop.machine.abis[0] is AMD64 and call.number >> 30 == _X32 else "an unknown ABI"
        self._blind(stop, "abi", "a system call of %s (number %#x); this program's calls by it are not seen"
                    % (name, call.number & 0xFFFFFFFF))

    def unknown(self, stop: Stop, call: Call) -> None:
        """A call whose number is in no table of ours."""
        assert call.abi is not None
        self._blind(stop, "call_number", "a system call that is not known to us (%s, number %d)"
                    % (call.abi.name, call.number))

    def unread(self, stop: Stop, name: str, error: int, retval: int) -> bool:
        """Memory of a call could not be read; True if that is told. Where the kernel could not read it either, the call
        fails, and nothing has escaped us."""
        if error in _CLOSED:
            self._blind(stop, "memory", "its memory cannot be read (%s): names in its calls are not seen"
                        % errno.errorcode[error])
        elif retval >= 0:
            self._blind(stop, "memory", "an argument of %s could not be read (%s)"
                        % (name, errno.errorcode.get(error, str(error))))
        return error in _CLOSED or retval >= 0

    def blinded(self, stop: Stop, kind: str) -> None:
        """A call has succeeded that opens a way past us."""
        self._blind(stop, kind, EFFECTS[kind])

    def barred(self, stop: Stop, name: str) -> None:
        """A call of io_uring was refused."""
        self._blind(stop, "io_uring", "tried to use io_uring (%s); refused, as asked for (--io-uring deny)" % name)

    def neutralised(self, record: Record, lost: str) -> None:
        """A program runs without what its file grants, for we are not privileged; told once for each file."""
        text = "neutralised: %s of %s" % (lost, records.decoded(record[5]))
        if text not in self._neutralised:
            self._neutralised.add(text)
            self.emit(records.blind(
                records.now(), record[2], record[3],
                text + "; the kernel grants it below a tracer with CAP_SYS_PTRACE and CAP_SYS_ADMIN only", "privileges"))

    def handed_over(self, stop: Stop, debugger: int) -> None:
        """Another program traces a thread from now on."""
        try:
            name = records.decoded(procfs.stat(debugger).comm)
        except OSError:
            name = "?"
        self._blind(stop, "debugger", "is traced by %s[%d] from now on: what it does is not seen" % (name, debugger))

    def kept(self, stop: Stop, debugger: int, problem: str) -> None:
        """Another program wanted to trace a thread, which we cannot give away."""
        self._blind(stop, "debugger", "stays with us, process %d cannot trace it: %s" % (debugger, problem))

    def pretended(self, stop: Stop) -> None:
        """A process asked its parent, who is one of us, to trace it."""
        self._blind(stop, "debugger", "asked to be traced by its parent, which is ebpfless itself (PTRACE_TRACEME): was told "
                    "that it is, and stays with us")

    def protected(self, stop: Stop, deed: str) -> None:
        """A process was after one of us, and was refused."""
        self._blind(stop, "tampering", deed)

    def escape(self, stop: Stop, remedy: str = "the flag was taken away") -> None:
        """A child was to be started without its tracer."""
        self._blind(stop, "clone_untraced", "tried to start a process without its tracer (CLONE_UNTRACED); " + remedy)

    def hidden_clone(self, stop: Stop) -> None:
        """Whether a child was to be started without its tracer cannot be known."""
        self._blind(stop, "clone_untraced", "tried to start a process by clone3 with arguments in memory that only the kernel "
                    "can read; the call was refused (ENOSYS)")

    def escaped(self, stop: Stop, outcome: str) -> None:
        """A child was started without its tracer."""
        self._blind(stop, "clone_untraced", "started a process without its tracer (CLONE_UNTRACED, set while the call was "
                    "looked at); " + outcome)

    def _blind(self, stop: Stop, kind: str, reason: str) -> None:
        self._blind_spots.add(stop.pid, stop.tid, kind, reason)
