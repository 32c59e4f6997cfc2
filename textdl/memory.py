"""How much memory this process has taken."""

from __future__ import annotations

import sys


def peak() -> int | None:
    """Bytes this process has held at most; None where the system does not tell."""
    try:
        import resource
    except ImportError:
        return None
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024
