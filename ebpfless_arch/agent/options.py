"""What the command line says, as plain data, and the error for what the user has to change."""

from typing import List, NamedTuple


class CheckOptions(NamedTuple):
    """Options of `ebpfless check`; cases is "" without a file of cases."""

    policies: List[str]
    cases: str
    format: str
    verbose: bool


class UsageError(Exception):
    """Something that the user has to change, in one line."""
