"""Tiny networks and pairs that the tests of this directory share."""

import numpy as np
import torch

from textdl.encoded import Encoded
from textdl.seq2seq.architectures import module
from textdl.seq2seq.batching import PairData

V = 12


def copies(lines=300, seed=1, longest=6, reverse=False):
    """Pairs whose target is the source, or the source turned round."""
    rng = np.random.default_rng(seed)
    rows = [rng.integers(3, V, rng.integers(0, longest + 1)).tolist() for _ in range(lines)]
    return PairData(Encoded.from_lines(rows, V), Encoded.from_lines([r[::-1] if reverse else r for r in rows], V), True)


def network(arch="transformer", seed=1, **options):
    """With all weights at random: new ones begin with zeros."""
    chosen = module(arch)
    sizes = {"size": 16, "layers": 2} | ({"heads": 2} if arch == "transformer" else {})
    options = ({"inner_size": 24} if arch == "transformer" else {}) | options
    sizes |= {name: options.pop(name) for name in list(options) if name in sizes}
    made = chosen.Config(**options).build(copies(), sizes, torch.Generator())
    generator = torch.Generator().manual_seed(seed)
    made.initialise(generator)
    with torch.no_grad():
        for parameter in made.parameters():
            if not parameter.any():
                parameter.normal_(0.0, 0.3, generator=generator)
    return made.eval()
