"""Floor 1: data only. What a CPU and its ABI dictate: registers, call numbers, audit architectures."""

from typing import Dict, Tuple

from ebpfless_arch.abi import amd64, arm, arm64, i386
from ebpfless_arch.abi.shape import Abi

# Machine (uname -m) -> the ABIs that its programs may use, the native one first.
MACHINES: Dict[str, Tuple[Abi, ...]] = {
    "x86_64": (amd64.ABI, i386.ABI),
    "aarch64": (arm64.ABI, arm.ABI),
}

AMD64, I386, ARM64, ARM = amd64.ABI, i386.ABI, arm64.ABI, arm.ABI

__all__ = ["Abi", "AMD64", "ARM", "ARM64", "I386", "MACHINES"]
