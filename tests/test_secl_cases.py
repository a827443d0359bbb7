"""Every case of the SECL reference, on dictionaries and, where the model has the values, on real events."""

import os
from typing import List

import pytest

from ebpfless_arch.rules.cases import Bench, Case, Facts, compile_case, load_cases, wanted
from ebpfless_arch.rules.fields import field_table
from secl_cases import real_event

_PATH = os.path.join(os.path.dirname(__file__), "..", "..", "shared", "reference", "secl", "cases.json")

pytestmark = pytest.mark.skipif(not os.path.exists(_PATH), reason="the SECL reference is not beside the repository")


@pytest.fixture(scope="module")
def cases() -> List[Case]:
    return load_cases(_PATH)


def test_there_are_as_many_cases_as_ever(cases: List[Case]) -> None:
    assert len(cases) == 384
    assert sum("reject" in case for case in cases) == 93


def test_evaluations_agree_with_the_reference(cases: List[Case]) -> None:
    assert Bench().differences(case for case in cases if "match" in case) == []


def test_rejections_agree_with_the_reference(cases: List[Case]) -> None:
    rejected = [case for case in cases if "reject" in case]
    assert Bench().differences(rejected) == []
    assert Bench(table=field_table()).differences(rejected) == []


def test_real_events_agree_with_the_reference(cases: List[Case]) -> None:
    """The accesses of the field table, over events as the tracer makes them."""
    table = field_table()
    count = 0
    for case in cases:
        event = real_event(case) if "match" in case else None
        if event is None:
            continue
        compiled = compile_case(case, table)
        if compiled.checked.unavailable:
            continue
        count += 1
        assert str(compiled.test(event)).lower() == wanted(case), case["expr"]
    assert count == 241


def test_a_fact_of_exec_holds_for_process() -> None:
    assert Facts({"exec.pid": 4}).get("process.pid", "int") == 4
