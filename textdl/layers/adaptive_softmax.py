"""Adaptive softmax (Grave et al. 2017): frequent words in a small softmax of their own, the others in clusters behind it.

    P(v | h) = softmax(H h + b)_v                                    v among the first ids, the most frequent ones
    P(v | h) = softmax(H h + b)_cluster  softmax(W_i P_i h + b_i)_v    v in cluster i

Most tokens need the head alone; a cluster's softmax is computed for the tokens that are in it, and on fewer features
(P_i h: a quarter of D in the first cluster, a sixteenth in the second, ...). The probabilities of all ids still sum to
1, so a perplexity is one. Ids must fall in frequency, as those of `Vocabulary` do.

As an input embedding (adaptive input; Baevski and Auli 2019) an id of a cluster has the row P_i^T W_i[v].

Label smoothing spreads within each softmax that is computed: over the head, and over the target's own cluster. To
spread over all ids would take what the clusters save.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from textdl.encoded import BOS
from textdl.errors import UsageError
from textdl.layers.output import OutputLayer
from textdl.layers.softmax import Scratch, Softmax, fused_loss, log_frequencies

_SCORING_ELEMENTS = 1 << 22
"""Logits in memory at once while scoring: 16 MB."""
_SHRINK = 4
"""Features of a cluster to those of the one before."""
_FEWEST = 8
"""Features of a cluster, at least."""


class AdaptiveSoftmax(OutputLayer):
    """See OutputLayer."""

    def __init__(self, vocab_size: int, size: int, cutoffs: Sequence[int]):
        """cutoffs: the first id of each cluster.

        Raises:
            UsageError: they do not rise, or leave no id on either side.
        """
        super().__init__()
        bounds = [BOS + 1, *cutoffs, vocab_size]
        if not cutoffs or any(a >= b for a, b in pairwise(bounds)):
            raise UsageError(
                f"adaptive softmax over {vocab_size:,} ids with cutoffs {list(cutoffs)}: expected rising numbers above "
                f"{BOS + 1} and below {vocab_size:,}; a vocabulary too small for them is better off with the full softmax."
            )
        self.vocab_size = vocab_size
        self.cutoffs = tuple(cutoffs)
        self.ends = (*self.cutoffs[1:], vocab_size)
        sizes = [min(size, max(_FEWEST, size // _SHRINK**i)) for i in range(1, len(self.cutoffs) + 1)]
        self.weight = nn.Parameter(torch.zeros(self.cutoffs[0] + len(sizes), size))  # H: head ids, then clusters
        self.bias = nn.Parameter(torch.zeros(len(self.weight)))
        self.projections = nn.ParameterList(nn.Parameter(torch.zeros(d, size)) for d in sizes)
        self.weights = nn.ParameterList(
            nn.Parameter(torch.zeros(end - first, d))
            for first, end, d in zip(self.cutoffs, self.ends, sizes, strict=True)
        )
        self.biases = nn.ParameterList(nn.Parameter(torch.zeros(len(weight))) for weight in self.weights)
        self._scratch = Scratch()
        self.register_buffer("_cutoffs", torch.tensor(self.cutoffs), persistent=False)

    def initialise(self, generator: torch.Generator, counts: Tensor | None = None) -> None:
        """See OutputLayer."""
        with torch.no_grad():
            for matrix in (self.weight, *self.projections, *self.weights):
                matrix.normal_(0.0, 1.0 / math.sqrt(matrix.shape[1]), generator=generator)
            if counts is not None:
                clusters = [counts[first:end] for first, end in zip(self.cutoffs, self.ends, strict=True)]
                head = torch.cat((counts[: self.cutoffs[0]], torch.stack([c.sum() for c in clusters])))
                self.bias.copy_(log_frequencies(head))
                for bias, cluster in zip(self.biases, clusters, strict=True):
                    bias.copy_(log_frequencies(cluster))

    def embed(self, ids: Tensor) -> Tensor:
        """See OutputLayer."""
        flat = ids.flatten()
        cluster = self._cluster(flat)
        x = F.embedding(torch.where(cluster == 0, flat, 0), self.weight)
        for i, (first, projection, weight) in enumerate(self._parts(), start=1):
            (rows,) = torch.nonzero(cluster == i, as_tuple=True)
            x = x.index_copy(0, rows, F.embedding(flat[rows] - first, weight) @ projection)
        return x.unflatten(0, ids.shape)

    def begin_with(self, vectors: Tensor) -> None:
        """Refused: rare words have fewer features here.

        Raises:
            UsageError: always.
        """
        raise UsageError(
            "--init-embeddings: an adaptive softmax that is the input embedding too has fewer features for rare words, "
            "so vectors do not fit. Use the full softmax, or do not tie the two."
        )

    def log_probabilities(self, hidden: Tensor) -> Tensor:
        """See OutputLayer."""
        head = F.log_softmax(self._head(hidden), dim=1)
        first = self.cutoffs[0]
        tails = [
            F.log_softmax(self._tail(i, hidden), dim=1) + head[:, first + i, None] for i in range(len(self.cutoffs))
        ]
        return torch.cat((head[:, :first], *tails), dim=1)

    def pick(self, hidden: Tensor, targets: Tensor) -> Tensor:
        """See OutputLayer."""
        rows = max(1, _SCORING_ELEMENTS // max(len(weight) for weight in (self.weight, *self.weights)))
        parts = []
        for h, t in zip(hidden.split(rows), targets.split(rows), strict=True):
            cluster = self._cluster(t)
            picked = _pick(self._head(h), self._in_head(t, cluster))
            for i, first in enumerate(self.cutoffs):
                inside = cluster == i + 1
                picked[inside] += _pick(self._tail(i, h[inside]), t[inside] - first)
            parts.append(picked)
        return torch.cat(parts) if parts else hidden.new_zeros(0)

    def loss(self, hidden: Tensor, targets: Tensor, label_smoothing: float = 0.0) -> Tensor:
        """See OutputLayer."""
        cluster = self._cluster(targets)
        loss, self.nats = fused_loss(
            hidden, self.weight, self.bias, self._in_head(targets, cluster), self._scratch, label_smoothing, barred=BOS
        )
        for i, (first, projection, weight) in enumerate(self._parts(), start=1):
            (rows,) = torch.nonzero(cluster == i, as_tuple=True)
            own, nats = fused_loss(
                hidden[rows] @ projection.T, weight, self.biases[i - 1], targets[rows] - first, self._scratch,
                label_smoothing,
            )  # fmt: skip
            loss, self.nats = loss + own, self.nats + nats
        return loss

    def release(self) -> None:
        """See OutputLayer."""
        self._scratch.release()

    def _parts(self) -> list[tuple[int, Tensor, Tensor]]:
        return list(zip(self.cutoffs, self.projections, self.weights, strict=True))

    def _cluster(self, ids: Tensor) -> Tensor:
        """0 for an id of the head, i + 1 for one of cluster i."""
        return torch.bucketize(ids, self._cutoffs, right=True)

    def _in_head(self, ids: Tensor, cluster: Tensor) -> Tensor:
        """What the head has to say for an id: itself or its cluster."""
        return torch.where(cluster == 0, ids, self.cutoffs[0] + cluster - 1)

    def _head(self, hidden: Tensor) -> Tensor:
        logits = F.linear(hidden, self.weight, self.bias)
        logits[:, BOS] = -math.inf
        return logits

    def _tail(self, i: int, hidden: Tensor) -> Tensor:
        return F.linear(hidden @ self.projections[i].T, self.weights[i], self.biases[i])


def output_layer(vocab_size: int, size: int, cutoffs: Sequence[int]) -> OutputLayer:
    """An adaptive softmax with these cutoffs; without any, the full one."""
    return AdaptiveSoftmax(vocab_size, size, cutoffs) if cutoffs else Softmax(vocab_size, size)


def _pick(logits: Tensor, targets: Tensor) -> Tensor:
    return logits.gather(1, targets[:, None])[:, 0] - logits.logsumexp(dim=1)
