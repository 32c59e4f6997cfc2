"""Training and decoding speed beside Hugging Face Marian: the same shape, the same batches, in one run.

    python scripts/bench/seq2seq_marian.py train train.en train.de
    python scripts/bench/seq2seq_marian.py decode MODEL test.en
    python scripts/bench/seq2seq_marian.py memory train.en train.de --only marian

`train` takes steps in turn on the same batches, both by AdamW unless `--optimiser muon` gives textdl its own choice, and prints
target tokens a second (median) and their ratio; the first pass over the batches is not counted in either. `decode` translates with beam 5: textdl the file with a trained model, Marian the
same sources with random weights and exactly as many steps as textdl's translations have tokens on average, which is fewer than it
would need, since a batch of it ends with its longest line. Both three times, after a first that is not counted (median). `memory` prints the peak of one of the two alone.
Needs transformers: `pip install transformers`, best into an environment of its own.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import textdl.layers  # noqa: F401  # isort: skip  (before torch, whose threads would spin else)

import numpy as np
import torch

from textdl import memory
from textdl.encoded import Encoded
from textdl.protocols import Run
from textdl.seq2seq.batching import PairBatch, PairBatches, PairData
from textdl.seq2seq.transformer import Config
from textdl.tokenizers import sentencepiece
from textdl.training import allocation
from textdl.training.objective import next_token_loss
from textdl.training.optimisers import OPTIMISERS
from textdl.vocabulary import Vocabulary

SIZES = {"size": 256, "heads": 4, "layers": 4, "inner_size": 1024}
LABEL_SMOOTHING, DROPOUT = 0.1, 0.1


def pairs(source: Path, target: Path, vocab_size: int) -> PairData:
    """Both files in the ids of joint pieces learnt from them."""
    sides = [path.read_text("utf-8").split("\n")[:-1] for path in (source, target)]
    tokenizer, _ = sentencepiece.train(sides[0] + sides[1], vocab_size=vocab_size, model="bpe")
    vocab = Vocabulary(tokenizer.inventory or [])
    encoded = [vocab.encode_lines(tokenizer.encode_lines(side)) for side in sides]
    return PairData(encoded[0], encoded[1], True)


class Ours:
    """A step as textdl's loop takes it."""

    def __init__(self, data: PairData, optimiser: str):
        sizes = {name: SIZES[name] for name in ("size", "heads", "layers")}
        self.network = Config(inner_size=SIZES["inner_size"]).build(data, sizes, torch.Generator().manual_seed(1))
        self.network.initialise(torch.Generator().manual_seed(1))
        self.network.dropout.rate = DROPOUT
        self.optimisers = OPTIMISERS[optimiser].build(self.network, 0.01)

    def step(self, batch: PairBatch) -> None:
        self.network.train()
        for optimiser in self.optimisers:
            optimiser.zero_grad(set_to_none=True)
        loss, _, _ = next_token_loss(self.network, batch, None, label_smoothing=LABEL_SMOOTHING)
        (loss / batch.tokens).backward()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        for optimiser in self.optimisers:
            for group in optimiser.param_groups:
                group["lr"] = 1e-3
            optimiser.step()


class Marian:
    """The same by Hugging Face: float32, as it comes; label smoothing by torch's cross-entropy."""

    def __init__(self, vocab_size: int):
        from transformers import MarianConfig, MarianMTModel

        size, heads, layers, inner = SIZES["size"], SIZES["heads"], SIZES["layers"], SIZES["inner_size"]
        self.config = MarianConfig(
            vocab_size=vocab_size, d_model=size, encoder_layers=layers, decoder_layers=layers,
            encoder_attention_heads=heads, decoder_attention_heads=heads, encoder_ffn_dim=inner, decoder_ffn_dim=inner,
            dropout=DROPOUT, attention_dropout=0.0, activation_function="relu", max_position_embeddings=512,
            pad_token_id=1, eos_token_id=2, decoder_start_token_id=2, bos_token_id=None, forced_eos_token_id=None,
            scale_embedding=True, share_encoder_decoder_embeddings=True,
        )  # fmt: skip
        self.network = MarianMTModel(self.config)
        self.optimiser = torch.optim.AdamW(self.network.parameters(), lr=1e-3, fused=True)

    def step(self, batch: PairBatch) -> None:
        self.network.train()
        self.optimiser.zero_grad(set_to_none=True)
        sources, inputs, targets = (
            torch.tensor(a, dtype=torch.int64) for a in (batch.sources, batch.inputs, batch.targets)
        )
        mask = torch.arange(sources.shape[1]) < torch.tensor(batch.lengths)[:, None]
        out = self.network(input_ids=sources, attention_mask=mask, decoder_input_ids=inputs)
        logits = out.logits.flatten(0, 1)
        loss = torch.nn.functional.cross_entropy(
            logits, targets.flatten(), ignore_index=-1, label_smoothing=LABEL_SMOOTHING
        )
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        self.optimiser.step()


def train(source: Path, target: Path, positions: int, batches: int, optimiser: str, clock: Any) -> None:
    data = pairs(source, target, 8000)
    chosen = list(itertools.islice(PairBatches(data, positions, "target", 0.0, Run())(0), batches))
    systems: dict[str, Any] = {"textdl": Ours(data, optimiser), "marian": Marian(data.target.vocab_size)}
    taken: dict[str, list[float]] = {name: [] for name in systems}
    for counted in (False, True):
        for batch in chosen:
            for name, system in systems.items():
                began = clock()
                system.step(batch)
                if counted:
                    taken[name].append(batch.tokens / (clock() - began))
    speeds = {name: statistics.median(values) for name, values in taken.items()}
    for name, system in systems.items():
        parameters = sum(p.numel() for p in system.network.parameters())
        print(f"{name}\t{speeds[name]:,.0f} target tokens/s\t{parameters:,} parameters")
    print(
        f"ratio\t{speeds['textdl'] / speeds['marian']:.2f}\t{torch.get_num_threads()} threads, {positions} positions a batch"
    )


def peak(source: Path, target: Path, positions: int, batches: int, optimiser: str, only: str) -> None:
    data = pairs(source, target, 8000)
    chosen = itertools.islice(PairBatches(data, positions, "target", 0.0, Run())(0), batches)
    before = memory.peak()
    system = Ours(data, optimiser) if only == "textdl" else Marian(data.target.vocab_size)
    for batch in chosen:
        system.step(batch)
    print(f"{only}\tpeak {(memory.peak() or 0) / 1e6:,.0f} MB, before the first step {(before or 0) / 1e6:,.0f} MB")


def timed(work: Callable[[], Any], clock: Callable[[], float]) -> tuple[Any, float]:
    """What it gives and the median of its seconds, three times over after a first time that is not counted."""
    taken = []
    for _ in range(4):
        began = clock()
        result = work()
        taken.append(clock() - began)
    return result, statistics.median(taken[1:])


def decode(model: Path, source: Path, lines: int, clock: Any) -> None:
    from textdl import load
    from textdl.translation import translate

    loaded = load(model)
    assert loaded.source is not None
    texts = source.read_text("utf-8").split("\n")[:-1][:lines]
    made, ours = timed(lambda: list(translate(loaded, texts)), clock)
    steps = round(float(np.mean([len(loaded.tokenizer.encode(translation.text)) + 1 for translation in made])))
    marian = Marian(len(loaded.vocab)).network.eval()
    encoded: Encoded = loaded.source.encode(texts)
    order = np.argsort(np.diff(encoded.offsets))

    def generate() -> None:
        for first in range(0, len(order), 50):
            rows = [[*encoded.line(int(i)).tolist(), 2] for i in order[first : first + 50]]
            longest = max(map(len, rows))
            ids = torch.tensor([row + [1] * (longest - len(row)) for row in rows])
            marian.generate(
                input_ids=ids,
                attention_mask=ids != 1,
                num_beams=5,
                min_new_tokens=steps,
                max_new_tokens=steps,
                do_sample=False,
            )

    with torch.inference_mode():
        _, theirs = timed(generate, clock)
    print(f"textdl\t{len(texts) / ours:.1f} sentences/s")
    print(f"marian\t{len(texts) / theirs:.1f} sentences/s, {steps} steps each, batches of 50")
    print(f"ratio\t{theirs / ours:.2f}\t{torch.get_num_threads()} threads, beam 5")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("train", "decode", "memory"))
    parser.add_argument("first", type=Path)
    parser.add_argument("second", type=Path)
    parser.add_argument("--positions", type=int, default=8192)
    parser.add_argument("--batches", type=int, default=16)
    parser.add_argument("--lines", type=int, default=1000)
    parser.add_argument("--optimiser", choices=tuple(OPTIMISERS), default="adamw", help="textdl's")
    parser.add_argument("--only", choices=("textdl", "marian"), default="textdl")
    parser.add_argument("--cpu-time", action="store_true", help="count processor time, where others use the machine")
    given = parser.parse_args()
    clock = time.process_time if given.cpu_time else time.perf_counter
    with allocation.kept():
        if given.what == "train":
            train(given.first, given.second, given.positions, given.batches, given.optimiser, clock)
        elif given.what == "memory":
            peak(given.first, given.second, given.positions, given.batches, given.optimiser, given.only)
        else:
            decode(given.first, given.second, given.lines, clock)


if __name__ == "__main__":
    main()
