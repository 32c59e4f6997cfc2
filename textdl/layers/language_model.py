"""A torch network behind protocols.LanguageModel: numpy in, numpy out.

What a network is fed: </s> first, at the start of a line and of a stream ("the line before has ended"),
then the tokens; what it predicts from there: the tokens, then </s>. So the input is always the token before,
the two units differ only in whether the state is reset after </s>, and a network that was trained on a
stream can be scored line by line and the other way round.

All inference is float32, in eval mode, without gradients. A network that carries its state sees all that
came before, so a policy with a window is refused. A windowed one (a Transformer) sees so many tokens at once;
longer texts are read as windows.py says, and a step that would go past the window begins the next one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from textdl.encoded import EOS, Encoded
from textdl.errors import ModelError, UsageError
from textdl.layers.device import best_device
from textdl.layers.network import Network, States, WindowedNetwork
from textdl.layers.window_cache import begun, continued
from textdl.layers.windows import Piece, pieces
from textdl.protocols import Floats, Ints, ScorePolicy
from textdl.storage import Reader, Writer

__all__ = ["Network", "States", "TorchLanguageModel", "TorchState", "WindowedNetwork", "padded"]

_POSITIONS = 8192
"""Rows times steps of one forward pass of `score`: bounds its memory."""
_ROWS = 128
"""Lines scored side by side, at most."""
_STEPS = 1024
"""Steps of one forward pass where a line or stream is longer."""
_BLOCK = 1 << 17
"""Tokens whose lines are sorted by length together; results of a block are kept in memory."""


class TorchState:
    """What a network remembers of B histories."""

    def __init__(self, tensors: States):
        self.tensors = tensors

    def select(self, rows: Ints) -> TorchState:
        """See protocols.State."""
        with torch.inference_mode():
            index = torch.tensor(np.asarray(rows, np.int64), device=self.tensors[0].device if self.tensors else None)
            return TorchState(tuple(t.index_select(0, index) for t in self.tensors))


class TorchLanguageModel:
    """A network as a language model."""

    def __init__(self, network: Network, policy: ScorePolicy):
        """policy: what the network was trained for; what it leaves open of a window is filled in.

        Raises:
            UsageError: a network of this kind cannot follow it.
        """
        self.network = network.eval()
        self.policy = self._resolved(policy)

    @property
    def vocab_size(self) -> int:
        size: int = self.network.vocab_size
        return size

    # ------------------------------------------------------------------ scoring

    def score(
        self, lines: Encoded, contexts: Encoded | None = None, *, policy: ScorePolicy | None = None
    ) -> Iterator[Floats]:
        """See protocols.LanguageModel.

        Lines, or windows, are scored side by side, sorted by length within blocks. To a network that carries
        its state a stream is one history and is read from end to end, so it is slower: exact, but a row of one.
        """
        policy = self.policy if policy is None else self._resolved(policy)
        self._check(lines, contexts)
        if policy.window is not None:
            return self._score_windows(lines, policy)
        return self._score_stream(lines, policy) if policy.unit == "stream" else self._score_lines(lines, policy)

    def _resolved(self, policy: ScorePolicy) -> ScorePolicy:
        """With the window and the stride that are meant where none are named."""
        longest = self.network.window
        if longest is None:
            if policy.window is not None or policy.stride is not None:
                raise UsageError(
                    f"the score policy is `{policy}`, but this model carries its state and always sees all that "
                    "came before: leave out window and stride."
                )
            return policy
        window = longest if policy.window is None else policy.window
        if not 1 <= window <= longest:
            raise UsageError(
                f"the score policy is `{policy}`, but this model sees at most {longest} tokens at once: choose a "
                f"window from 1 to {longest}."
            )
        stride = max(1, window // 2) if policy.stride is None else policy.stride
        if not 1 <= stride <= window:
            raise UsageError(
                f"the score policy is `{policy}`, but a window of {window} tokens cannot score {stride} new ones: "
                f"choose a stride from 1 to {window}."
            )
        return replace(policy, window=window, stride=stride)

    @property
    def _window(self) -> tuple[int, int]:
        """Window and stride of a model that has them."""
        assert self.policy.window is not None
        assert self.policy.stride is not None
        return self.policy.window, self.policy.stride

    def _check(self, lines: Encoded | None, contexts: Encoded | None) -> None:
        if contexts is not None:
            raise UsageError(
                "contexts were given to a model of one text; only sequence-to-sequence models take a source line."
            )
        if lines is not None and lines.vocab_size != self.vocab_size:
            raise UsageError(
                f"text encoded with a vocabulary of {lines.vocab_size:,} for a model with one of "
                f"{self.vocab_size:,}: encode it with the model's own vocabulary."
            )

    def _score_lines(self, lines: Encoded, policy: ScorePolicy) -> Iterator[Floats]:
        for block in _blocks(lines):
            starts = block.offsets[:-1] + np.arange(len(block))  # of each line in a flat array with line ends
            flat = np.empty(block.tokens + len(block), np.float32)
            lengths = np.diff(block.offsets) + 1
            for rows in _side_by_side(lengths):
                state = self._initial_state(len(rows))
                for first in range(0, int(lengths[rows].max()), _STEPS):
                    going_on = np.flatnonzero(lengths[rows] > first)
                    if len(going_on) < len(rows):
                        rows = rows[going_on]
                        state = TorchState(state).select(going_on).tensors
                    inputs, targets = padded(block, rows, first, _STEPS)
                    values, state = self._forward(inputs, targets, state)
                    row, step = np.nonzero(targets >= 0)
                    flat[starts[rows[row]] + step + first] = values
            if policy.line_end:
                yield flat
            else:
                yield np.delete(flat, block.offsets[1:] + np.arange(len(block)))

    def _score_stream(self, lines: Encoded, policy: ScorePolicy) -> Iterator[Floats]:
        state, last = self._initial_state(1), EOS
        for block in _blocks(lines):
            targets = block.stream().astype(np.int64)
            inputs = np.concatenate(([last], targets[:-1]))
            last = int(targets[-1])
            for first in range(0, len(targets), _STEPS):
                part = slice(first, first + _STEPS)
                values, state = self._forward(inputs[None, part], targets[None, part], state)
                yield values if policy.line_end else values[targets[part] != EOS]

    def _score_windows(self, lines: Encoded, policy: ScorePolicy) -> Iterator[Floats]:
        assert policy.window is not None
        assert policy.stride is not None
        for piece in pieces(_blocks(lines), policy.unit, policy.window, policy.stride):
            values = self._score_piece(piece)
            yield values if policy.line_end else values[piece.targets != EOS]

    def _score_piece(self, piece: Piece) -> Floats:
        flat = np.empty(len(piece.targets), np.float32)
        for rows in _side_by_side(piece.lengths):
            inputs, targets, places = piece.rows(rows)
            values, _ = self._forward(inputs, targets, self.network.initial_state(len(rows)))
            flat[places[targets >= 0]] = values
        return flat

    @torch.inference_mode()
    def _initial_state(self, rows: int) -> States:
        state: States = self.network.initial_state(rows)
        return state

    @torch.inference_mode()
    def _forward(self, inputs: Ints, targets: Ints, state: States) -> tuple[Floats, States]:
        """The log-probabilities of the targets (B, T) that are not negative, in row order."""
        hidden, state = self.network(self._tensor(inputs), state)
        wanted = self._tensor(targets)
        valid = wanted >= 0
        values: Floats = self.network.softmax.pick(hidden[valid], wanted[valid]).cpu().numpy()
        return values, state

    def _tensor(self, ids: NDArray[np.integer[Any]]) -> Tensor:
        return torch.tensor(ids, dtype=torch.int64, device=self.network.device)

    # ------------------------------------------------------------------ generation

    @torch.inference_mode()
    def start(self, contexts: Encoded | None = None, prefixes: Encoded | None = None) -> tuple[Floats, TorchState]:
        """See protocols.LanguageModel."""
        self._check(prefixes, contexts)
        prefixes = prefixes if prefixes is not None else Encoded.from_lines([[]], self.vocab_size)
        if isinstance(self.network, WindowedNetwork):
            last, tensors = begun(self.network, prefixes, *self._window)
            return self.network.softmax.log_probabilities(last).cpu().numpy(), TorchState(tensors)
        # Prefixes of one length at a time: a padded row would go on changing its state.
        lengths = np.diff(prefixes.offsets)
        order: list[Ints] = []
        hidden_parts, state_parts = [], []
        for length in np.unique(lengths):
            rows = np.flatnonzero(lengths == length)
            inputs = np.full((len(rows), int(length) + 1), EOS, np.int64)
            for i, row in enumerate(rows):
                inputs[i, 1:] = prefixes.line(int(row))
            state = self.network.initial_state(len(rows))
            steps = max(1, _POSITIONS // len(rows))
            for first in range(0, inputs.shape[1], steps):
                hidden, state = self.network(self._tensor(inputs[:, first : first + steps]), state)
            order.append(rows)
            hidden_parts.append(hidden[:, -1])
            state_parts.append(state)
        if not order:
            return np.empty((0, self.vocab_size), np.float32), TorchState(self.network.initial_state(0))
        back = self._tensor(np.argsort(np.concatenate(order)))
        hidden = torch.cat(hidden_parts)[back]
        joined = tuple(torch.cat(tensors)[back] for tensors in zip(*state_parts, strict=True))
        return self.network.softmax.log_probabilities(hidden).cpu().numpy(), TorchState(joined)

    @torch.inference_mode()
    def step(self, state: TorchState, last: Ints) -> tuple[Floats, TorchState]:
        """See protocols.LanguageModel."""
        ids = np.asarray(last)
        if ids.ndim != 1 or (ids.size and not 0 <= ids.min() <= ids.max() < self.vocab_size):
            raise UsageError(f"step() wants an id below {self.vocab_size} for each history, got {ids!r:.60}.")
        inputs, tensors = self._tensor(ids)[:, None], state.tensors
        if isinstance(self.network, WindowedNetwork):
            hidden, tensors = continued(self.network, inputs, tensors, *self._window)
        else:
            hidden, tensors = self.network(inputs, tensors)
        return self.network.softmax.log_probabilities(hidden[:, -1]).cpu().numpy(), TorchState(tensors)

    # ------------------------------------------------------------------ description and files

    def describe(self) -> dict[str, Any]:
        """`size` is the number of parameters, tied ones counted once."""
        return {"size": sum(p.numel() for p in self.network.parameters()), **self.network.hyperparameters()}

    def save(self, out: Writer) -> None:
        """network.json, from which the network is built again, and weights.safetensors."""
        policy = {"unit": self.policy.unit, "window": self.policy.window, "stride": self.policy.stride}
        out.json("network.json", {"network": self.network.hyperparameters(), "policy": policy})
        weights = self.network.state_dict()
        out.tensors("weights.safetensors", {name: t.detach().cpu().numpy() for name, t in weights.items()})

    @classmethod
    def load(cls, reader: Reader, build: Callable[..., Network]) -> Self:
        """build: the network from its hyperparameters, as keyword arguments.

        Raises:
            ModelError: the files do not make a network.
        """
        saved = reader.json("network.json")
        try:
            network = build(**saved["network"])
            policy = ScorePolicy(**saved["policy"])
            weights = {name: torch.from_numpy(array) for name, array in reader.tensors("weights.safetensors").items()}
            network.load_state_dict(weights)
            return cls(network.to(best_device()), policy)
        except (KeyError, TypeError, RuntimeError, UsageError) as error:
            raise ModelError(
                f"{reader.directory}: network.json and weights.safetensors do not make a network "
                f"({' '.join(str(error).split())}). Copy the model again or train it again."
            ) from error


def _blocks(lines: Encoded) -> Iterator[Encoded]:
    """Runs of whole lines of about _BLOCK tokens; one line at least."""
    first = 0
    while first < len(lines):
        end = int(np.searchsorted(lines.offsets, lines.offsets[first] + _BLOCK, side="right")) - 1
        last = min(max(first + 1, end), first + _BLOCK)  # blank lines have no tokens and count as well
        yield lines.lines(first, last)
        first = last


def _side_by_side(lengths: Ints) -> Iterator[Ints]:
    """Groups of rows of like length, of bounded size once cut into _STEPS."""
    order = np.argsort(lengths, kind="stable")
    first = 0
    while first < len(order):
        # The longest of the group decides; guess it from the shortest, then cut.
        group = order[first : first + _ROWS]
        steps = np.minimum(lengths[group], _STEPS)
        fits = int(np.count_nonzero(steps * np.arange(1, len(group) + 1) <= _POSITIONS))
        group = group[: max(1, fits)]
        yield group
        first += len(group)


def padded(text: Encoded, rows: Ints, first: int = 0, steps: int | None = None) -> tuple[Ints, Ints]:
    """(B, T) inputs and targets of the named lines; targets are -1 past the end of a line.

    first, steps: of positions from `first` on, so many at most: beside a line of millions all are no matrix for memory.
    """
    begins, ends = text.offsets[rows][:, None], text.offsets[rows + 1][:, None]
    longest = int((ends - begins).max()) + 1
    position = np.arange(first, longest if steps is None else min(longest, first + steps))
    place = begins + position  # of a target in the ids
    inside = place < ends
    targets = np.full(place.shape, -1, np.int64)
    targets[inside] = text.ids[place[inside]]
    targets[place == ends] = EOS
    read = (position > 0) & (place <= ends)
    inputs = np.full_like(targets, EOS)
    inputs[read] = text.ids[place[read] - 1]
    return inputs, targets
