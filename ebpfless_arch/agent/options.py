"""What the command line says, as plain data, and the error for what the user has to change."""

from typing import List

from ebpfless_arch.named import NamedTuple


class CheckOptions(NamedTuple):
    """Options of `ebpfless check`; cases is "" without a file of cases."""

    policies: List[str]
    cases: str
    format: str
    verbose: bool
    explain: bool = False


class PatchOptions(NamedTuple):
    """Options of `ebpfless patch`: kind and file, what to write before the command, and which containers are meant.

    python: the words that start a Python, none for the usual ones; entrypoint: what images start that are not described;
    image: where a copy of ebpfless is taken from, "" for none.
    """

    kind: str
    file: str
    containers: List[str]
    python: List[str]
    place: str
    trace_options: List[str]
    entrypoint: List[str]
    image: str
    capability: bool


class UsageError(Exception):
    """Something that the user has to change, in one line."""
