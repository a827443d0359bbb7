"""The spool: what waits for a probe, in memory and in a file, its numbers, and what is lost."""

import os
import random
import resource
from pathlib import Path
from typing import List, Tuple

import pytest

from ebpfless_arch.agent.spool import Spool


def record(number: int) -> bytes:
    return b"%d:" % number + b"x" * (number % 97)


def sent(spool: Spool, size: int = 1 << 20) -> List[Tuple[int, bytes]]:
    """All that is to be sent, by number."""
    found: List[Tuple[int, bytes]] = []
    while spool.has_more():
        first, packed = spool.take(size)
        found += list(enumerate(packed, first))
    return found


@pytest.mark.parametrize("size", [1, 100, 1 << 20])
def test_records_come_out_with_their_numbers_and_again_until_acknowledged(size: int) -> None:
    spool = Spool(1 << 20)
    for number in range(1, 102):
        assert spool.put(record(number))
    everything = [(number, record(number)) for number in range(1, 102)]
    assert sent(spool, size) == everything and not spool.is_empty() and spool.last == 101
    spool.rewind()
    assert sent(spool, size) == everything
    assert list(spool.acknowledge(53)) == [record(number) for number in range(1, 54)]
    spool.rewind()
    assert (spool.acknowledged, sent(spool, size)) == (53, everything[53:])
    assert len(list(spool.acknowledge(101))) == 48 and spool.is_empty() and spool.size == 0
    assert (spool.acknowledged, spool.last, spool.lost) == (101, 101, 0)


def test_what_finds_no_room_leaves_a_gap() -> None:
    spool = Spool(1000)
    kept = [number for number in range(1, 102) if spool.put(record(number))]
    assert kept == list(range(1, len(kept) + 1)) and spool.lost == 101 - len(kept) > 0 and spool.last == 101
    assert sent(spool)[:len(kept)] == [(number, record(number)) for number in kept]
    assert spool.put(b"vital", vital=True) and sent(spool) == [(102, b"vital")]
    list(spool.acknowledge(102))
    assert (spool.acknowledged, spool.size, spool.is_empty()) == (102, 0, True)


def test_a_file_takes_what_memory_does_not(tmp_path: Path) -> None:
    spool = Spool(1000, str(tmp_path / "spool"), 1 << 20)
    assert os.listdir(str(tmp_path)) == [], "it ends with the process"
    assert all(spool.put(record(number)) for number in range(1, 1010)) and spool.size <= 1000
    assert sent(spool, 1) == [(number, record(number)) for number in range(1, 1010)]
    list(spool.acknowledge(1009))
    assert (spool.lost, spool.size, spool.is_empty(), spool.last) == (0, 0, True, 1009)


def test_what_an_earlier_link_has_brought_there_is_let_go() -> None:
    spool = Spool(1 << 20)
    for number in range(1, 8):
        spool.put(record(number))
    assert list(spool.drop_up_to(3)) == [record(1), record(2), record(3)]
    assert sent(spool) == [(number, record(number)) for number in range(4, 8)]
    spool.rewind()
    assert list(spool.drain()) == [record(number) for number in range(4, 8)]
    assert spool.is_empty() and spool.acknowledged == spool.last == 7


def test_a_full_disk_costs_records_and_says_how_many(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    spool = Spool(1000, str(tmp_path / "spool"), 1 << 20)
    resource.setrlimit(resource.RLIMIT_FSIZE, (5003, hard))
    try:
        kept = [number for number in range(1, 1010) if spool.put(record(number))]
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert 50 < len(kept) < 150 and spool.lost == 1009 - len(kept) and spool.last == 1009
    spool.put(b"afterwards")
    assert sent(spool) == [(number, record(number)) for number in kept] + [(1010, b"afterwards")]


@pytest.mark.parametrize("seed", range(11))
def test_whatever_happens_in_whatever_order_numbers_stay_right(tmp_path: Path, seed: int) -> None:
    randomly = random.Random(seed)
    spool = Spool(2003, str(tmp_path / "spool"), 4001)
    number, got, kept = 0, [], set()
    for _ in range(1009):
        deed = randomly.randrange(8)
        if deed < 5:
            number += 1
            if spool.put(record(number), randomly.random() < 0.5):
                kept.add(number)
        elif deed == 5:
            spool.take(randomly.randrange(500))
        elif deed == 6:
            spool.rewind()
        else:
            got += list(spool.acknowledge(spool.acknowledged + randomly.randrange(20)))
        assert spool.last == number and spool.size <= 2003 + (1 << 20)
    got += list(spool.drain())
    assert got == [record(each) for each in sorted(kept)] and spool.lost == number - len(kept) > 0
    assert spool.acknowledged == number
