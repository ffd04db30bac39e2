"""How many cores there are to plan for."""

import math
import os
from pathlib import Path

# In a container, its own group is mounted as the root.
_CGROUP = Path("/sys/fs/cgroup")


def usable_cores() -> int:
    """Cores that this process may run on, or have the time of."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, math.ceil(min(cores, _quota())))


def _quota() -> float:
    """Cores' worth of time that a container may use (control groups 2 and 1); infinite outside of one."""
    try:
        if (limit := _CGROUP / "cpu.max").exists():
            quota, period = limit.read_text(encoding="ascii").split()
        else:
            quota, period = (
                (_CGROUP / "cpu" / f"cpu.cfs_{name}_us").read_text(encoding="ascii")
                for name in ("quota", "period")
            )
        share = float(quota) / float(period)
    except (OSError, ValueError):  # "max" is no number
        return math.inf
    return share if share > 0 else math.inf
