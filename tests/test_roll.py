"""The roll: told again, its records make the model of processes that the whole stream of records makes."""

import os
import random
from typing import Any, Dict, List, Tuple

import pytest

from ebpfless_arch.events import records
from ebpfless_arch.events.model import Process
from ebpfless_arch.events.processes import Processes
from ebpfless_arch.events.record_shapes import check_record
from ebpfless_arch.events.records import Record
from ebpfless_arch.events.roll import Roll, concerns_model, outer_records
from ebpfless_arch.events.users import Users

USERS = Users(elsewhere=True)


def executed(time: int, pid: int, name: bytes, uid: int = 0, retval: int = 0) -> Record:
    return (records.EXEC, time, pid, pid, retval, b"/bin/" + name, name, (name, b"-x"), False, (), False, None, b"",
            None, (uid,) * 7 + (0, 0), name, 0, time, b"0::/\n", False)


def running(pid: int, ppid: int, name: bytes) -> Record:
    return (records.SNAPSHOT, 0, pid, pid, ppid, 0, b"/bin/" + name, name, (name,), False, (), False, None, b"", None,
            (0,) * 9, name, 0, 1, b"0::/\n", b"", ())


def called(time: int, pid: int, event: str, values: Dict[str, Any], retval: int = 0) -> Record:
    return records.CALL, time, pid, pid, retval, event, values


def lineages(model: Processes) -> Dict[int, List[Tuple[Any, ...]]]:
    """All that matters of every live process and its ancestors."""
    return {process.pid: [_facts(record) for record in (process,) + process.ancestors] for process in model.live()}


def _facts(record: Process) -> Tuple[Any, ...]:
    return (record.pid, record.ppid, record.file.path, record.arguments, record.comm, record.credentials,
            record.is_exec, record.fork_time, record.exec_time, record.start)


def life(seed: int) -> List[Record]:
    """Records of processes that fork, execute, change and end."""
    randomly = random.Random(seed)
    live = [100]
    found = [executed(1, 100, b"init")]
    for time in range(2, 307):
        pid, deed = randomly.choice(live), randomly.randrange(9)
        if deed < 3 and len(live) < 30:
            child = randomly.choice([number for number in range(101, 141) if number not in live])
            live.append(child)
            found.append((records.FORK, time, child, child, pid))
        elif 3 <= deed < 5:
            found.append(executed(time, pid, b"p%d" % time, randomly.randrange(3), randomly.choice([0, 0, -2])))
        elif deed == 5 and pid != 100:
            live.remove(pid)
            found.append((records.EXIT, time, pid, pid, 0, 0))
        elif deed == 6:
            identity = (randomly.randrange(9),) * 9
            found.append(called(time, pid, "setuid", {"identity": identity, "process_identity": identity}))
        elif deed == 7:
            found.append(called(time, pid, "prctl", {"option": 15, "name": (b"n%d" % time, False)}))
        else:
            found.append((records.OPEN, time, pid, pid, 3, b"/x", b"/x", 0, 0, None, "", False))
    return found


@pytest.mark.parametrize("seed", range(23))
def test_the_model_is_the_same(seed: int) -> None:
    outer = running(7, 0, b"sshd"), running(9, 7, b"bash")
    told, roll = Processes(USERS), Roll(outer)
    for record in outer:
        told.learn(record)
    for record in life(seed):
        told.apply(record)
        roll.apply(record)
    made = Processes(USERS)
    for record in roll.records():
        made.learn(check_record(record))
    end: Record = (records.BLIND, 999, 100, 100, "lets the last change take effect", "tracer", 1)
    told.apply(end), made.apply(end)
    assert lineages(made) == lineages(told)
    assert [each[2] for each in lineages(made)[100][-2:]] == ["/bin/bash", "/bin/sshd"]


def test_lineages_and_changes_without_end_take_bounded_room() -> None:
    roll = Roll()
    for time in range(1, 1010):
        roll.apply(executed(time, 100, b"again"))
        roll.apply(called(time, 100, "setuid", {"identity": (time,) * 9, "process_identity": (time,) * 9}))
    assert len(list(roll.records())) < 600


def test_what_changes_nothing_concerns_nobody() -> None:
    assert not concerns_model((records.OPEN, 1, 1, 1, 3, b"/x", b"/x", 0, 0, None, "", False))
    assert not concerns_model(called(1, 1, "setuid", {"identity": None}, -1))
    assert not concerns_model(called(1, 1, "prctl", {"option": 15, "name": (b"x", False)}, -14))


def test_those_above_are_read_from_proc() -> None:
    chain = outer_records(os.getpid())
    assert chain[-1][2] == os.getpid() and len(chain) > 1
    model = Processes(USERS)
    for record in chain:
        model.learn(check_record(record))
    mine = model.find(os.getpid())
    assert mine is not None and mine.ppid == os.getppid() and len(mine.ancestors) == len(chain) - 1
