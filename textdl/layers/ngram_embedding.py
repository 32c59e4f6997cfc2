"""A vector for the last few tokens together, added to that of the last one.

    x_t = E w_t + G_2[w_{t-1} w_t] + G_3[w_{t-2} w_{t-1} w_t] + ...

What a network would first have to learn to look up, the token before, is given to it: by character that is most
of what a small model learns in its first minutes. Each G has at most 16 381 rows; where there are more n-grams
than rows, several share one (hashing; Mikolov et al. 2011, Svenstrup et al. 2017).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

BUCKETS = 16_381
"""Rows of a table, at most: a prime, so that the remainder mixes all tokens of the n-gram."""


class NgramEmbedding(nn.Module):
    """Tables for n = 2 to `order`; none at all for order 1."""

    def __init__(self, vocab_size: int, size: int, order: int):
        super().__init__()
        self.base = vocab_size + 1  # and one for where nothing came before
        # They begin at 0: an n-gram that was not seen in training changes nothing.
        self.tables = nn.ParameterList(
            nn.Parameter(torch.zeros(min(self.base**n, BUCKETS), size)) for n in range(2, order + 1)
        )

    def nothing_before(self, rows: int) -> Tensor:
        """(rows, order - 1), for where a text begins."""
        return torch.full((rows, len(self.tables)), -1, device=self.tables[0].device)

    def forward(self, ids: Tensor, before: Tensor) -> Tensor:
        """ids (B, T) to (B, T, D). before (B, order - 1): the ids before the first, -1 where there are none."""
        if not self.tables:
            return torch.zeros((), device=ids.device)
        read = torch.cat((before, ids), dim=1) + 1
        steps, order = ids.shape[1], before.shape[1] + 1
        x = torch.zeros((), device=ids.device)
        for n, table in enumerate(self.tables, start=2):
            rows = len(table)
            code = read[:, order - 1 :]
            for back in range(1, n):  # the powers modulo the rows: those of a large base are no int64
                code = code + pow(self.base, back, rows) * read[:, order - 1 - back : order - 1 - back + steps]
            x = x + F.embedding(code % rows, table)
        return x
