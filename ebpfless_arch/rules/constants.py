"""The constants of SECL. Events know them as well, for the names of numbers: the table is on their floor."""

from ebpfless_arch.events.constants import CONSTANTS

__all__ = ["CONSTANTS"]
