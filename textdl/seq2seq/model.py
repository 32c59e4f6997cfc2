"""An encoder-decoder behind protocols.LanguageModel: contexts are the source lines, and P(target | source) is all it says.

All of it is float32, in eval mode, without gradients, as in layers/language_model.py. `quick` gives a model that multiplies
in bfloat16 where the hardware has it, which moves log-probabilities by some hundredths, and whose steps are compiled where
they can be (compiled.py): for translating.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from textdl.encoded import EOS, Encoded
from textdl.errors import ModelError, UsageError
from textdl.layers.device import best_device
from textdl.layers.language_model import padded
from textdl.layers.network import States
from textdl.protocols import Floats, Ints, ScorePolicy
from textdl.seq2seq.network import EncoderDecoder, Memory, Sharing
from textdl.storage import Reader, Writer

_POSITIONS = 8192
"""Rows times steps of one forward pass: bounds its memory."""
_BLOCK = 1 << 17
"""Target tokens whose lines are sorted by length together; results of a block are kept in memory."""


class Seq2SeqState:
    """What is known of B histories. Rows that go on from one source share its memory."""

    def __init__(self, memory: Memory, owners: Tensor, carried: States):
        """owners: (B,) the row of the memory that each row has."""
        self.memory, self.owners, self.carried = memory, owners, carried
        self._sharing: Sharing | None = None

    @property
    def sharing(self) -> Sharing:
        """As `EncoderDecoder.step` wants it; made once for all steps between two selections."""
        if self._sharing is None:
            self._sharing = Sharing(self.owners, len(self.memory[0]))
        return self._sharing

    @torch.inference_mode()
    def select(self, rows: Ints) -> Seq2SeqState:
        """See protocols.State. Sources that no row has any more are dropped once they are many."""
        rows = np.asarray(rows, np.int64)
        index = torch.tensor(rows, device=self.owners.device)
        owners = self.owners[index]
        carried = tuple(tensor.index_select(0, index) for tensor in self.carried)
        kept, renumbered = torch.unique(owners, return_inverse=True)
        if len(kept) < 0.8 * len(self.memory[0]):
            return Seq2SeqState(trimmed(tuple(part[kept] for part in self.memory)), renumbered, carried)
        state = Seq2SeqState(self.memory, owners, carried)
        if torch.equal(owners, self.owners):
            state._sharing = self._sharing
        return state


def trimmed(memory: Memory) -> Memory:
    """Without positions that no source reaches to."""
    longest = int(memory[0].max()) if len(memory[0]) else 1
    return memory[0], *(part if part.ndim < 3 else part[..., :longest, :] for part in memory[1:])


class Seq2SeqModel:
    """An encoder-decoder as a language model of targets, given sources."""

    def __init__(self, network: EncoderDecoder):
        self.network = network.eval()
        self.policy = ScorePolicy()
        self._quick: Seq2SeqModel | None = None

    @property
    def vocab_size(self) -> int:
        size: int = self.network.vocab_size
        return size

    @property
    def source_vocab_size(self) -> int:
        """Of `contexts`."""
        size: int = self.network.source_vocab_size
        return size

    def quick(self) -> Seq2SeqModel:
        """See above; made when first asked for."""
        if self._quick is None:
            from textdl.seq2seq.compiled import compiled

            network = self.network.lowered()
            self._quick = compiled(network) or (self if network is self.network else Seq2SeqModel(network))
        return self._quick

    # ------------------------------------------------------------------ scoring

    def score(
        self, lines: Encoded, contexts: Encoded | None = None, *, policy: ScorePolicy | None = None
    ) -> Iterator[Floats]:
        """See protocols.LanguageModel. contexts: line i is the source of line i."""
        policy = policy or self.policy
        if policy.unit != "line" or policy.window is not None or policy.stride is not None:
            raise UsageError(
                f"the score policy is `{policy}`, but a translation model scores each line from its source, whole: the "
                "policy can only be `line`, without window and stride."
            )
        sources = self._checked(contexts)
        if len(sources) != len(lines):
            raise UsageError(f"{len(lines):,} lines cannot be scored with {len(sources):,} sources: give one for each.")
        self._check_vocabulary(lines)
        return self._score(lines, sources, policy)

    def _score(self, lines: Encoded, sources: Encoded, policy: ScorePolicy) -> Iterator[Floats]:
        first = 0
        while first < len(lines):
            end = int(np.searchsorted(lines.offsets, lines.offsets[first] + _BLOCK, side="right")) - 1
            last = min(max(first + 1, end), first + _BLOCK)
            block, of_block = lines.lines(first, last), sources.lines(first, last)
            starts = block.offsets[:-1] + np.arange(len(block))
            flat = np.empty(block.tokens + len(block), np.float32)
            lengths = np.maximum(np.diff(block.offsets), np.diff(of_block.offsets)) + 1
            order = np.argsort(lengths, kind="stable")
            for rows in by_positions(order, lengths):
                inputs, targets = padded(block, rows)
                row, step = np.nonzero(targets >= 0)
                flat[starts[rows[row]] + step] = self._scored(inputs, targets, *padded_sources(of_block, rows))
            yield flat if policy.line_end else np.delete(flat, block.offsets[1:] + np.arange(len(block)))
            first = last

    @torch.inference_mode()
    def _scored(self, inputs: Ints, targets: Ints, sources: Ints, lengths: Ints) -> Floats:
        wanted = self._tensor(targets)
        valid = wanted >= 0
        hidden = self.network.force(self._tensor(sources), self._tensor(lengths), self._tensor(inputs), valid.sum(1))
        values: Floats = self.network.softmax.pick(hidden[valid], wanted[valid]).cpu().numpy()
        return values

    # ------------------------------------------------------------------ generation

    @torch.inference_mode()
    def start(self, contexts: Encoded | None = None, prefixes: Encoded | None = None) -> tuple[Floats, Seq2SeqState]:
        """See protocols.LanguageModel. prefixes: how each target begins."""
        sources, prefixes = self._checked_starts(contexts, prefixes)
        memory = self._read(sources)
        state = self.network.begin(memory)
        hidden: Tensor | None = None
        steps = np.diff(prefixes.offsets) + 1
        # Step by step, a row fewer each time one has come to the end of its prefix: a row cannot be read on behind it.
        lasting = np.arange(len(sources))
        kept: list[tuple[Ints, Tensor, States]] = []
        for step in range(int(steps.max(initial=1))):
            ids = np.array([EOS if step == 0 else prefixes.line(int(row))[step - 1] for row in lasting], np.int64)
            owners = self._tensor(lasting)
            sharing = None if len(lasting) == len(sources) else Sharing(owners, len(sources))
            hidden, state = self.network.step(self._tensor(ids), memory, state, sharing)
            ended = steps[lasting] == step + 1
            if ended.any() or not len(sources):
                at, on = (self._tensor(np.flatnonzero(mask)) for mask in (ended, ~ended))
                kept.append((lasting[ended], hidden[at], tuple(tensor[at] for tensor in state)))
                state = tuple(tensor[on] for tensor in state)
                lasting = lasting[~ended]
        back = self._tensor(np.argsort(np.concatenate([rows for rows, _, _ in kept])))
        last = torch.cat([part for _, part, _ in kept])[back]
        carried = tuple(_stacked(tensors)[back] for tensors in zip(*(part for _, _, part in kept), strict=True))
        log_probs: Floats = self.network.next_log_probabilities(last).cpu().numpy()
        return log_probs, Seq2SeqState(memory, self._tensor(np.arange(len(sources))), carried)

    def _read(self, sources: Encoded) -> Memory:
        """The memory of all sources, read some at a time, padded to the longest."""
        ids, lengths = padded_sources(sources, np.arange(len(sources)))
        rows = max(1, _POSITIONS // ids.shape[1])
        parts = [
            self.network.read(self._tensor(ids[first : first + rows]), self._tensor(lengths[first : first + rows]))
            for first in range(0, max(1, len(ids)), rows)
        ]
        return parts[0] if len(parts) == 1 else tuple(map(torch.cat, zip(*parts, strict=True)))

    @torch.inference_mode()
    def step(self, state: Seq2SeqState, last: Ints) -> tuple[Floats, Seq2SeqState]:
        """See protocols.LanguageModel."""
        ids = self._checked_ids(last)
        sharing = state.sharing
        hidden, carried = self.network.step(self._tensor(ids), state.memory, state.carried, sharing)
        after = Seq2SeqState(state.memory, state.owners, carried)
        after._sharing = sharing
        log_probs: Floats = self.network.next_log_probabilities(hidden).cpu().numpy()
        return log_probs, after

    @torch.inference_mode()
    def look(self, source: Ints, target: Ints) -> Floats | None:
        """(T + 1, S + 1) how much of each source token, and of its </s>, each target token and its </s> was made from.

        None: the network has no attention.
        """
        ids = self._tensor(np.concatenate(([EOS], target)))
        weights = self.network.look(self._tensor(np.append(source, EOS)), ids)
        return None if weights is None else np.asarray(weights.float().cpu().numpy())

    def _checked(self, contexts: Encoded | None) -> Encoded:
        if contexts is None:
            raise UsageError(
                "this is a sequence-to-sequence model, which says nothing without a source: give the source lines "
                "(--source FILE, contexts=)."
            )
        if contexts.vocab_size != self.source_vocab_size:
            raise UsageError(
                f"sources encoded with a vocabulary of {contexts.vocab_size:,} for a model whose source vocabulary has "
                f"{self.source_vocab_size:,}: encode them with the model's own source tokenizer and vocabulary."
            )
        return contexts

    def _checked_starts(self, contexts: Encoded | None, prefixes: Encoded | None) -> tuple[Encoded, Encoded]:
        sources = self._checked(contexts)
        if prefixes is None:
            prefixes = Encoded.from_lines([[]] * len(sources), self.vocab_size)
        if len(prefixes) != len(sources):
            raise UsageError(
                f"{len(sources):,} sources cannot begin with {len(prefixes):,} prefixes: give one for each."
            )
        self._check_vocabulary(prefixes)
        return sources, prefixes

    def _checked_ids(self, last: Ints) -> Ints:
        ids = np.asarray(last)
        if ids.ndim != 1 or (ids.size and not 0 <= ids.min() <= ids.max() < self.vocab_size):
            raise UsageError(f"step() wants an id below {self.vocab_size} for each history, got {ids!r:.60}.")
        return ids.astype(np.int64, copy=False)

    def _check_vocabulary(self, lines: Encoded) -> None:
        if lines.vocab_size != self.vocab_size:
            raise UsageError(
                f"text encoded with a vocabulary of {lines.vocab_size:,} for a model with one of "
                f"{self.vocab_size:,}: encode it with the model's own vocabulary."
            )

    def _tensor(self, ids: Any) -> Tensor:
        return torch.tensor(np.asarray(ids), dtype=torch.int64, device=self.network.device)

    # ------------------------------------------------------------------ description and files

    def describe(self) -> dict[str, Any]:
        """`size` is the number of parameters, shared ones counted once."""
        parameters = sum(p.numel() for p in self.network.parameters())
        return {"arch": self.network.arch, **self.network.hyperparameters(), "size": parameters}

    def save(self, out: Writer) -> None:
        """network.json, from which the network is built again, and weights.safetensors."""
        out.json("network.json", {"arch": self.network.arch, "network": self.network.hyperparameters()})
        weights = self.network.state_dict()
        out.tensors("weights.safetensors", {name: t.detach().cpu().numpy() for name, t in weights.items()})

    @classmethod
    def load(cls, reader: Reader, build: Callable[[str], Callable[..., EncoderDecoder]]) -> Self:
        """build: for the name of an architecture, what makes a network of it from its hyperparameters.

        Raises:
            ModelError: the files do not make a network.
        """
        saved = reader.json("network.json")
        try:
            network = build(saved["arch"])(**saved["network"])
            weights = {name: torch.from_numpy(array) for name, array in reader.tensors("weights.safetensors").items()}
            network.load_state_dict(weights)
            return cls(network.to(best_device()))
        except (KeyError, TypeError, RuntimeError, UsageError) as error:
            raise ModelError(
                f"{reader.directory}: network.json and weights.safetensors do not make a network "
                f"({' '.join(str(error).split())}). Copy the model again or train it again."
            ) from error


def padded_sources(text: Encoded, rows: Ints) -> tuple[Ints, Ints]:
    """(B, S) the named lines with their </s>, and more of them behind; (B,) lengths."""
    lengths = text.offsets[rows + 1] - text.offsets[rows]
    position = np.arange(int(lengths.max(initial=0)) + 1)
    inside = position < lengths[:, None]
    ids = np.full(inside.shape, EOS, np.int64)
    ids[inside] = text.ids[(text.offsets[rows][:, None] + position)[inside]]
    return ids, lengths + 1


def by_positions(order: Ints, lengths: Ints, positions: int = _POSITIONS) -> Iterator[Ints]:
    """Runs of rows, in the order given, whose padded size is at most so many positions; one row at least."""
    first = 0
    while first < len(order):
        longest = np.maximum.accumulate(lengths[order[first : first + positions]])
        fits = int(np.count_nonzero(longest * np.arange(1, len(longest) + 1) <= positions))
        yield order[first : first + max(1, fits)]
        first += max(1, fits)


def _stacked(tensors: tuple[Tensor, ...]) -> Tensor:
    """Rows on rows; caches are padded to the largest room."""
    if tensors[0].ndim < 4:
        return torch.cat(tensors)
    room = max(tensor.shape[-2] for tensor in tensors)
    return torch.cat([F.pad(tensor, (0, 0, 0, room - tensor.shape[-2])) for tensor in tensors])
