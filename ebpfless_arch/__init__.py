"""The house behind the door `ebpfless.py`: one floor per folder, one part per file.

A file imports only from its own floor or from a lower one:
abi (1) < kernel (2) < events (3) < tracer, rules (4) < agent (5).
"""

__version__ = "0.1.0"
