"""Word vectors that were trained elsewhere as the beginning of an embedding matrix (Bengio et al. 2003, section 5)."""

from __future__ import annotations

import torch
from torch import Tensor

from textdl.errors import UsageError


def begin_with(matrix: Tensor, vectors: Tensor) -> None:
    """Overwrite the rows of matrix (V, D) for which there is a vector: a row of vectors (V, D) that is not all 0.

    The vectors are scaled together, so that the mean square of their lengths is 1, as that of the random rows is.

    Raises:
        UsageError: the shapes differ.
    """
    if vectors.shape != matrix.shape:
        raise UsageError(
            f"--init-embeddings: vectors of {vectors.shape[1]} features for {len(vectors):,} words cannot begin an "
            f"embedding of {matrix.shape[1]} for {len(matrix):,}: train with --embedding-size {vectors.shape[1]}."
        )
    known = vectors.ne(0).any(dim=1)
    if not known.any():
        return
    chosen = vectors[known].to(matrix.device, torch.float32)
    with torch.no_grad():
        matrix[known.to(matrix.device)] = chosen / chosen.square().sum(1).mean().sqrt()
