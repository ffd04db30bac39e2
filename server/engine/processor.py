"""What this machine's processor can do: it decides how graphs are laid out, and how int8 is computed."""

import platform
from pathlib import Path

_CPUINFO = Path("/proc/cpuinfo")
# Dot products of bytes. Without any of x86's, ONNX Runtime adds pairs of products in 16 bits.
_DOT_PRODUCTS = {"avx_vnni", "avx512_vnni", "amx_int8", "asimddp", "i8mm"}


def name() -> str:
    """What its maker calls it; empty where nobody tells."""
    return (_told("model name") or "").partition(":")[2].strip() or platform.processor()


def instructions() -> str:
    """Linux's line of all that the processor can do; elsewhere its name."""
    told = _told("flags", "features")  # x86, Arm
    return f"{platform.machine()} {platform.processor()}" if told is None else told


def features() -> tuple[str, ...]:
    """The architecture, then the instructions for dot products of bytes, as Linux names them.

    Where the kernel does not tell (other systems), the architecture alone.
    """
    return platform.machine(), *sorted(_DOT_PRODUCTS.intersection(instructions().split()))


def _told(*beginnings: str) -> str | None:
    """The kernel's first line that begins so, as all cores say the same; None if it tells nothing."""
    try:
        with _CPUINFO.open(encoding="utf-8", errors="replace") as lines:
            return next((line for line in lines if line.lower().startswith(beginnings)), "")
    except OSError:
        return None
