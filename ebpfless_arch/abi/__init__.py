"""Floor 1: data only. What a CPU and its ABI dictate: registers, call numbers, audit architectures."""

from typing import Dict, Tuple

from ebpfless_arch.abi import amd64, i386
from ebpfless_arch.abi.shape import Abi

# Machine (uname -m) -> the ABIs that its programs may use, the native one first.
MACHINES: Dict[str, Tuple[Abi, ...]] = {
    "x86_64": (amd64.ABI, i386.ABI),
}

AMD64, I386 = amd64.ABI, i386.ABI

__all__ = ["Abi", "AMD64", "I386", "MACHINES"]
