"""What a killed probe had written: found again at the end of its file, and not written twice."""

import json
from pathlib import Path

import pytest

from ebpfless_arch.agent.outputs.written import written_in

ONE, OTHER = "1" * 32, "0123456789abcdef" * 2


def line(tracer: str, number: int, text: str = "") -> bytes:
    return json.dumps({"title": text, "evt": {"variables": {"sequence": 5, "tracer": tracer, "record": number}},
                       "end": text}, separators=(",", ":")).encode() + b"\n"


def test_records_are_known_by_run_and_number(tmp_path: Path) -> None:
    path = tmp_path / "out"
    path.write_bytes(line(ONE, 1) + line(OTHER, 7) + line(ONE, 3) + b'{"no":"number"}\n' + line(OTHER, 9) * 2)
    written = written_in(str(path))
    assert [written.has(ONE, number) for number in (1, 2, 3, 4)] == [True, True, True, False]
    assert [written.has(OTHER, 8), written.has("f" * 32, 1)] == [True, False]
    # Of the last record two lines are there; whatever else it leads to is new.
    assert [written.has(OTHER, 9) for _ in range(3)] == [True, True, False] and not written.has(OTHER, 10)


@pytest.mark.parametrize("torn", [b"", b'{"half', line(ONE, 4)[:-1], b"x" * (2 << 20)])
def test_a_torn_line_is_cut_off(tmp_path: Path, torn: bytes) -> None:
    path = tmp_path / "out"
    whole = b"".join(line(ONE, number) for number in (1, 2, 3))
    path.write_bytes(whole + torn)
    written = written_in(str(path))
    assert path.read_bytes() == whole and written.has(ONE, 3) and not written.has(ONE, 4)


def test_texts_of_programs_cannot_pretend(tmp_path: Path) -> None:
    path = tmp_path / "out"
    path.write_bytes(line(ONE, 2, '","tracer":"%s","record":99,"' % ONE))
    assert not written_in(str(path)).has(ONE, 3)


def test_large_files_are_read_across_portions(tmp_path: Path) -> None:
    path = tmp_path / "out"
    path.write_bytes(b"".join(line(ONE, number, "x" * (number % 1009)) for number in range(1, 3001)))
    written = written_in(str(path))
    assert written.has(ONE, 3000) and not written.has(ONE, 3000) and not written.has(ONE, 3001)


@pytest.mark.parametrize("path", ["-", "/nowhere", "/dev/null"])
def test_what_is_no_file_holds_nothing(path: str) -> None:
    assert not written_in(path).has(ONE, 1)


def test_an_empty_file_holds_nothing(tmp_path: Path) -> None:
    (tmp_path / "out").write_bytes(b"")
    assert not written_in(str(tmp_path / "out")).has(ONE, 1)
