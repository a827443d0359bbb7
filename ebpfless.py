#!/usr/bin/env python3
"""ebpfless: sees what Linux programs do, without eBPF, and tells what is a threat.

The door of the house. The house is ebpfless_arch/; what can be done here stands in agent/commands.py, as a table. There is no more
to the door, since Python compiles what it is started with each time anew.
"""

import os
import sys

if __name__ == "__main__" and sys.flags.isolated:
    # `python3 -I ebpfless.py` does not look where this file is.
    sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from ebpfless_arch.agent.commands import COMMANDS, main, run

__all__ = ["COMMANDS", "main", "run"]

if __name__ == "__main__":
    run()
