"""What this machine's processor can do that decides how fast, and how rightly, int8 is computed."""

import platform
from pathlib import Path

_CPUINFO = Path("/proc/cpuinfo")
# Dot products of bytes. Without any of x86's, ONNX Runtime adds pairs of products in 16 bits.
_DOT_PRODUCTS = {"avx_vnni", "avx512_vnni", "amx_int8", "asimddp", "i8mm"}


def features() -> tuple[str, ...]:
    """The architecture, then the instructions for dot products of bytes, as Linux names them.

    Where the kernel does not tell (other systems), the architecture alone.
    """
    try:
        lines = _CPUINFO.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    # "flags" on x86, "Features" on Arm; all cores say the same.
    told = next((line for line in lines if line.lower().startswith(("flags", "features"))), "")
    return platform.machine(), *sorted(_DOT_PRODUCTS.intersection(told.split()))
