"""How much memory this process has taken, and how much there is."""

from __future__ import annotations

import sys
from pathlib import Path


def peak() -> int | None:
    """Bytes this process has held at most; None where the system does not tell."""
    try:
        import resource
    except ImportError:
        return None
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024


def free_memory() -> int:
    """Bytes that programs could have without swapping; 8 GiB where the system does not tell."""
    free = 8 << 30
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                free = int(line.split()[1]) << 10
        group = Path("/sys/fs/cgroup")
        limit = (group / "memory.max").read_text().strip()
        if limit != "max":
            free = min(free, max(0, int(limit) - int((group / "memory.current").read_text())))
    except (OSError, ValueError, IndexError):
        pass
    return free
