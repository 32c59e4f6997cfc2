"""Which side of a split a line is on, without holding the text.

Independent lines are split by their content: the fingerprint of a line decides, so adding lines never
moves old ones and duplicates are all on one side. Streams are cut into contiguous blocks.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from textdl.corpus.fingerprints import line_fingerprint
from textdl.errors import UsageError

SPLITS = ("train", "valid", "test")
RATIOS = (8, 1, 1)


def bounds(ratios: Sequence[float]) -> list[float]:
    """Where the parts end, as shares of 1: (8, 1, 1) gives [0.8, 0.9, 1.0].

    Raises:
        UsageError: there are no ratios, or one is negative, or all are 0.
    """
    total = float(sum(ratios))
    if not ratios or min(ratios) < 0 or not 0 < total < float("inf"):
        raise UsageError(f"ratios must be numbers >= 0 with a sum above 0, such as 8,1,1; got {tuple(ratios)}")
    ends, running = [], 0.0
    for ratio in ratios:
        running += ratio
        ends.append(running / total)
    ends[-1] = 1.0
    return ends


def limits(part: str, ratios: Sequence[float], name: str) -> tuple[float, float]:
    """Where a part, such as `valid`, begins and ends as shares of 1; name: what is split, for messages.

    Raises:
        UsageError: there is no such part, or the ratios are impossible.
    """
    parts = SPLITS[: len(ratios)]
    if part not in parts:
        raise UsageError(f"no split is called {part!r}; there are {', '.join(parts)}, as in {name}:train")
    ends = [0.0, *bounds(ratios)]
    i = parts.index(part)
    return ends[i], ends[i + 1]


def check_share(share: float) -> None:
    """Raises UsageError where it is no share that can be held out."""
    if not 0 < share < 1:
        raise UsageError(f"the share to hold out must be between 0 and 1, such as 0.05; got {share}")


def share_of(line: str) -> float:
    """Where in [0, 1) the content of a line puts it for train, valid and test: the high 32 bits."""
    return (line_fingerprint(line) >> 32) / 2**32


def held_out_share_of(line: str) -> float:
    """The same for holding out: the low 32 bits, so that holding out of a split is no split of it."""
    return (line_fingerprint(line) & 0xFFFFFFFF) / 2**32


def split_lines(lines: Iterable[str], ratios: Sequence[float] = RATIOS) -> list[list[str]]:
    """Independent lines in as many lists as there are ratios, by content; order is kept.

    >>> [len(part) for part in split_lines(map(str, range(1000)), (1, 1))]
    [495, 505]
    """
    ends = bounds(ratios)
    parts: list[list[str]] = [[] for _ in ends]
    for line in lines:
        share = share_of(line)
        parts[next(i for i, end in enumerate(ends) if share < end)].append(line)
    return parts
