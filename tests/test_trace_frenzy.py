"""Forty threads that all try to get past us at once: all is seen, or told as not seen, and nothing breaks."""

import collections
from pathlib import Path
from typing import List

import pytest

from blackbox import Compiler, execs_of, file_path, named, opens_below, retval, run, run_traced

THREADS, CHILD = 40, 7
SEEN = ("i386", "untraced", "exec")
BLIND = ("abi", "clone_untraced", "io_uring")


@pytest.mark.machine("x86_64")  # its doors
@pytest.mark.parametrize("options", [[], ["--disable-seccomp"], ["--io-uring", "deny"]], ids=["seccomp", "no-seccomp", "deny"])
def test_every_way_past_us_in_forty_threads_at_once(options: List[str], compile_c: Compiler, tmp_path: Path) -> None:
    for kind in SEEN + ("ring",):
        for number in range(THREADS):
            (tmp_path / "{}-{}".format(kind, number)).write_text("")
    program = compile_c("frenzy.c")
    native = run([program, str(tmp_path)])
    if b"ring 40 " not in native.stdout:
        pytest.skip("this host lets nobody have an io_uring")
    said = b"i386 40 x32 40 ring %d untraced 40 exec 40\n"
    assert native[:3] == (0, said % THREADS, b"")
    result = run_traced([program, str(tmp_path)], options)
    assert result[:3] == (0, said % (0 if "deny" in options else THREADS), b"")

    opened = sorted(file_path(event).rpartition("/")[2] for event in opens_below(result.events, tmp_path))
    assert opened == sorted("{}-{}".format(kind, number) for kind in SEEN for number in range(THREADS))
    assert len([event for event in execs_of(result.events, program) if retval(event) == 0]) == 1 + THREADS
    assert len(named(result.events, "fork")) == 2 * THREADS
    ends = collections.Counter(event["exit"]["code"] for event in named(result.events, "exit"))
    assert ends == {CHILD: 2 * THREADS, 0: 1}
    assert len(named(result.events, "io_uring_setup")) == THREADS
    counts = collections.Counter()  # type: collections.Counter[str]
    for event in named(result.events, "blind_spot"):
        told = event["evt"]["variables"]
        counts[told["kind"]] = max(counts[told["kind"]], told["count"])
    assert counts == dict.fromkeys(BLIND, THREADS)
