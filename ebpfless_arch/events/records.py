"""Records: what the tracer writes down about a stop, as plain tuples that marshal can carry to the keeper.

Every record is (kind, time, pid, tid, ...): time in ns since the epoch, pid the
process, tid the thread. Strings are bytes as the kernel gave them. What
follows depends on the kind:

    FORK   ppid
    EXEC   retval, path, argument, argv, argv_cut, envp, envp_cut, file, interpreter_path, interpreter,
           identity, comm, tty, cgroup
           (identity: 9 ints as events.model.Credentials; the rest after envp_cut is None or empty for a
           failed call; file and interpreter are file statuses, see kernel/procfs.py)
    OPEN   retval, path, argument, flags, mode, file, error
    EXIT   cause, code
    BLIND  reason
    LOST   count                      records that found no room
    FAULT  text                       an error inside the tracer; the tracee went on
    STATE  word, value                "started" (features), "ended" (wait status, tracees left),
                                      "failed" (text), "done"
"""

from typing import Any, Tuple

Record = Tuple[Any, ...]

FORK, EXEC, OPEN, EXIT, BLIND, LOST, FAULT, STATE = range(8)

STARTED, ENDED, FAILED, DONE = range(4)

ARGUMENTS_AT_MOST = 256
ARGUMENT_BYTES_AT_MOST = 256
