"""What an encoder-decoder is to training and inference: a source is read once, then a target is predicted from it.

    hidden = force(source, target)             training and scoring: the whole target is known
    memory = read(source)                      translating: what the decoder may look at, made once for a source
    state  = begin(memory)                     before the first target token
    hidden, state = step(ids, memory, state)   a token more

A source is its tokens and </s>, so that a blank line is one token long and the end can be looked at. A target is fed </s>,
then its tokens, and predicted up to its </s>, as lines of a language model are.

Several rows may go on from one source, as the hypotheses of a beam do. They share its memory: `Sharing` puts the
rows of a source side by side as if they were positions of one sequence, so cross-attention multiplies one block
where it would have multiplied as many vectors, and nothing of the source is copied.
"""

from __future__ import annotations

from abc import abstractmethod

import torch
from torch import Tensor

from textdl.layers.network import Network, States

Memory = tuple[Tensor, ...]
"""Tensors with a row for each source; the first is (N,) int64, the lengths of the sources with their </s>."""


class Sharing:
    """Which source each row belongs to. N sources, B rows, at most W of one source."""

    def __init__(self, owners: Tensor, sources: int):
        """owners: (B,) int64, each below `sources`."""
        self.owners, self.sources = owners, sources
        counts = torch.bincount(owners, minlength=sources)
        self.width = int(counts.max()) if len(owners) else 1
        order = torch.argsort(owners, stable=True)
        rank = torch.empty_like(owners)
        rank[order] = (
            torch.arange(len(owners), device=owners.device) - (torch.cumsum(counts, 0) - counts)[owners[order]]
        )
        place = owners * self.width + rank
        full = len(owners) == sources * self.width and bool(
            (place == torch.arange(len(place), device=place.device)).all()
        )
        self._place = None if full else place

    def together(self, x: Tensor) -> Tensor:
        """(B, 1, D) to (N, W, D); zeros where a source has fewer rows."""
        x = x[:, 0]
        if self._place is not None:
            x = x.new_zeros(self.sources * self.width, *x.shape[1:]).index_copy_(0, self._place, x)
        return x.unflatten(0, (self.sources, self.width))

    def apart(self, x: Tensor) -> Tensor:
        """(N, W, D) to (B, 1, D)."""
        flat = x.flatten(0, 1)
        return (flat if self._place is None else flat[self._place])[:, None]


class EncoderDecoder(Network):
    """Source ids and target ids to hidden vectors, and the softmax over the target's vocabulary."""

    source_vocab_size: int
    arch: str
    """What a user types."""

    @abstractmethod
    def read(self, sources: Tensor, lengths: Tensor) -> Memory:
        """sources (N, S) int64 with their </s>, of any id behind it; lengths (N,) int64, 1 or more."""

    @abstractmethod
    def begin(self, memory: Memory) -> States:
        """The state before the first target token, a row for each source. Its tensors have rows first."""

    @abstractmethod
    def step(
        self, ids: Tensor, memory: Memory, state: States, sharing: Sharing | None = None
    ) -> tuple[Tensor, States]:  # fmt: skip
        """One target token more (B,) to hidden vectors (B, D), and the state after it.

        state: of `begin` or of the last step, which uses it up.
        sharing: which source each row has; None: row i has source i.
        """

    @abstractmethod
    def force(self, sources: Tensor, lengths: Tensor, ids: Tensor, target_lengths: Tensor) -> Tensor:
        """Teacher forcing: sources, and whole targets (B, T) with their lengths (B,), to hidden vectors (B, T, D).

        What comes out behind the end of a target means nothing.
        """

    @abstractmethod
    def look(self, source: Tensor, ids: Tensor) -> Tensor | None:
        """(T, S) how much of each token of one source (S,) each step of ids (T,) took in, rows summing to 1; None: it cannot."""

    def lowered(self) -> EncoderDecoder:
        """A network that says nearly the same, in bfloat16 products, for translating; itself where nothing is gained."""
        return self

    def next_log_probabilities(self, hidden: Tensor) -> Tensor:
        """(B, D) to (B, V), float32."""
        return self.softmax.log_probabilities(hidden)

    def initial_state(self, rows: int) -> States:
        """Nothing: a target begins with its source."""
        return ()

    def forward(self, ids: Tensor, state: States) -> tuple[Tensor, States]:
        """`force` as the training loop calls it. state: sources, lengths and target_lengths."""
        sources, lengths, target_lengths = state
        return self.force(sources, lengths, ids, target_lengths), ()
