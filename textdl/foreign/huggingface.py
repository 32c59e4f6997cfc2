"""A causal language model of Hugging Face's from a directory on disk, behind the protocols.

Nothing is fetched and no code of the directory is run; weights are read from safetensors only. Everything is
computed in float32.

Text is tokenized line by line, and a line ends with the model's line feed token; where it has none, with its end of
text. So each token is predicted once, the line ends too, and the first from the token that begins a text (BOS). A
longer text is read in windows, as the perplexity guide of Hugging Face's does with its stride: each window sees
`window` tokens and scores the last `stride` of them. (The guide's window of n tokens is n - 1 here: its first token
is only seen.)

A tokenizer that splits differently across line ends gives other tokens for a whole document, and with that a little
less; what is reported is a true code length all the same. One with an unknown token loses text, and is found out by
decoding.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from textdl.encoded import BOS, EOS, UNK, Encoded
from textdl.errors import ModelError, UsageError
from textdl.protocols import Floats, Ints, ScorePolicy, State
from textdl.storage import Writer
from textdl.vocabulary import SPECIALS

_WINDOW = 2048
"""Tokens of context where a model takes more, or does not say: the cost of a token grows with them."""
_CELLS = 1 << 26
"""Logits of one forward pass."""
_LINES = 256
"""Lines that are tokenized together."""
_LINE_FEEDS = ("\n", "Ċ", "<0x0A>")
"""What tokenizers call it: as it is, in byte-level BPE, in SentencePiece with byte fallback."""


def is_huggingface(path: Path) -> bool:
    """Whether a directory holds a model in the form of `save_pretrained`."""
    try:
        config = json.loads((path / "config.json").read_text("utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(config, dict) and "model_type" in config and "family" not in config


def load(path: Path) -> tuple[CausalModel, HuggingFaceTokenizer]:
    """A model with its tokenizer.

    Raises:
        UsageError: transformers is not installed, or the directory holds no causal language model.
        ModelError: the tokenizer belongs to another network.
    """
    try:
        import transformers
    except ImportError as error:
        raise UsageError(f"{path} is a model of Hugging Face's, which needs: pip install 'textdl[foreign]'") from error
    import torch

    from textdl.layers.device import best_device

    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(
            str(path), local_files_only=True, trust_remote_code=False
        )
        network = transformers.AutoModelForCausalLM.from_pretrained(
            str(path), local_files_only=True, trust_remote_code=False, use_safetensors=True, dtype=torch.float32
        )
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        first = str(error).strip().split("\n")[0]
        raise UsageError(
            f"{path}: transformers {transformers.__version__} finds no causal language model with its tokenizer and "
            f"weights in safetensors there ({first})"
        ) from error
    cut = HuggingFaceTokenizer(tokenizer, path.name)
    rows = network.get_input_embeddings().num_embeddings
    if len(cut.ids) and (last := int(cut.ids.max())) >= rows:
        raise ModelError(
            f"{path}: its tokenizer has a token of the number {last:,}, {cut.inventory[-1]!r}, and its network {rows:,} "
            "embeddings. They do not belong together: save the tokenizer that the network was trained with."
        )
    return CausalModel(network.to(best_device()).eval(), cut), cut


class HuggingFaceTokenizer:
    """A tokenizer of Hugging Face's as a protocols.Tokenizer. Pieces are its own names of tokens."""

    lossless = False
    """Nothing is promised; the evaluation decodes the text and sees."""
    single_code_points = False
    overlapping = False

    def __init__(self, tokenizer: Any, name: str):
        self._tokenizer = tokenizer
        self.spec = f"hf:{name}"
        by_id = sorted((number, token) for token, number in tokenizer.get_vocab().items())
        self.inventory: Sequence[str] = [token for _, token in by_id]
        self.ids: NDArray[np.int64] = np.array([number for number, _ in by_id], np.int64)
        """(pieces,) its own number of each piece."""

    @cached_property
    def fingerprint(self) -> str:
        backend = getattr(self._tokenizer, "backend_tokenizer", None)
        told = backend.to_str() if backend is not None else json.dumps(self.inventory)
        return hashlib.sha256(told.encode()).hexdigest()[:16]

    def encode(self, line: str) -> list[str]:
        return next(self.encode_lines([line]))

    def iterate(self, line: str) -> Iterator[str]:
        return iter(self.encode(line))

    def normalized(self, line: str) -> str:
        return line

    def encode_lines(self, lines: Iterable[str]) -> Iterator[list[str]]:
        source = iter(lines)
        while block := list(islice(source, _LINES)):
            # what spells a special token in a text is text
            found = self._tokenizer(block, add_special_tokens=False, split_special_tokens=True, verbose=False)[
                "input_ids"
            ]
            yield from map(self._tokenizer.convert_ids_to_tokens, found)

    def sampled(self, lines: Iterable[str], *, alpha: float, seed: int) -> Iterator[list[str]]:
        raise UsageError("a model of Hugging Face's is evaluated, not trained, here")

    def decode(self, pieces: Sequence[str]) -> str:
        numbers = self._tokenizer.convert_tokens_to_ids(list(pieces))
        text: str = self._tokenizer.decode(numbers, clean_up_tokenization_spaces=False)
        return text

    def save(self, out: Writer) -> None:
        raise UsageError("a model of Hugging Face's stays in its own directory")

    def line_end(self) -> tuple[int, str]:
        """The token that ends a line, and its name.

        Raises:
            ModelError: there is none.
        """
        known = self._tokenizer.get_vocab()
        for name in _LINE_FEEDS:
            if name in known:
                return known[name], "line feed"
        for number in (self._tokenizer.eos_token_id, self._tokenizer.sep_token_id):
            if number is not None:
                return number, self._tokenizer.convert_ids_to_tokens(number)
        raise ModelError(f"{self.spec}: it has neither a line feed nor an end of text, so no line can end.")

    def beginning(self) -> int:
        """The token that a text begins after."""
        for number in (self._tokenizer.bos_token_id, self._tokenizer.cls_token_id, self._tokenizer.eos_token_id):
            if number is not None:
                return int(number)
        return self.line_end()[0]


@dataclass(frozen=True)
class Histories:
    """The tokens of each row so far, its beginning first, in the network's numbers."""

    rows: list[list[int]]

    def select(self, rows: Ints) -> Histories:
        return Histories([self.rows[i] for i in np.asarray(rows).tolist()])


@dataclass(frozen=True)
class _Window:
    """What is read together."""

    inputs: NDArray[np.int64]
    targets: NDArray[np.int64]
    """(inputs,) the token after each."""
    seen: int
    """How many of the first were scored before."""


class CausalModel:
    """A network of Hugging Face's as a protocols.LanguageModel, over the pieces of its tokenizer."""

    def __init__(self, network: Any, tokenizer: HuggingFaceTokenizer):
        self._network = network
        self._end, self._end_name = tokenizer.line_end()
        self._begin = tokenizer.beginning()
        # <unk> and <s> are no tokens of the network
        self._numbers = np.concatenate(([-1, -1, self._end], tokenizer.ids))
        self.vocab_size = len(self._numbers)
        assert self.vocab_size == len(SPECIALS) + len(tokenizer.ids)
        config = network.config
        longest = getattr(config, "max_position_embeddings", None) or getattr(config, "n_positions", None) or _WINDOW
        self._longest = int(longest)
        window = min(self._longest, _WINDOW)
        self.policy = ScorePolicy("stream", window, max(1, window // 2))

    def score(
        self, lines: Encoded, contexts: Encoded | None = None, *, policy: ScorePolicy | None = None
    ) -> Iterator[Floats]:
        policy = policy or self.policy
        if contexts is not None:
            raise UsageError(
                "contexts were given to a model of one text; only sequence-to-sequence models take a source."
            )
        window = policy.window or min(self._longest, _WINDOW)
        stride = policy.stride or max(1, window // 2)
        if not 1 <= stride <= window <= self._longest:
            raise UsageError(
                f"the score policy is `{policy}`, but this model sees at most {self._longest} tokens at once, and a window "
                "scores at most as many as it sees"
            )
        if lines.tokens and lines.ids.min() <= BOS:
            raise UsageError("the text has tokens that the network does not know; encode it with its own tokenizer")
        most = max(1, _CELLS // self.vocab_size)
        waiting: list[_Window] = []
        for found in self._windows(lines, policy.unit, window, stride):
            if waiting and (len(waiting) + 1) * max(len(w.inputs) for w in (*waiting, found)) > most:
                yield self._scored(waiting, policy.line_end)
                waiting = []
            waiting.append(found)
        if waiting:
            yield self._scored(waiting, policy.line_end)

    def _windows(self, lines: Encoded, unit: str, window: int, stride: int) -> Iterator[_Window]:
        if unit == "line":
            for row in range(len(lines)):
                targets = self._numbers[np.append(lines.line(row), EOS)]
                yield from _cut(len(targets), lambda a, b, all_=targets: all_[a:b], self._begin, window, stride)
            return
        ends = lines.offsets[1:] + np.arange(len(lines))  # where lines end in the stream

        def part(start: int, stop: int) -> NDArray[np.int64]:
            here = np.arange(start, stop)
            rows = np.searchsorted(ends, here)
            tokens = np.full(stop - start, EOS, np.int64)
            inside = ends[rows] != here
            tokens[inside] = lines.ids[(here - rows)[inside]]
            return self._numbers[tokens]

        yield from _cut(lines.tokens + len(lines), part, self._begin, window, stride)

    def _scored(self, windows: Sequence[_Window], line_end: bool) -> Floats:
        import torch

        longest = max(len(w.inputs) for w in windows)
        inputs, targets = np.zeros((len(windows), longest), np.int64), np.full((len(windows), longest), -1, np.int64)
        for row, w in enumerate(windows):
            inputs[row, : len(w.inputs)] = w.inputs
            targets[row, w.seen : len(w.inputs)] = w.targets[w.seen :]
        wanted = torch.from_numpy(targets)
        with torch.inference_mode():
            logits = self._logits(inputs, [len(w.inputs) for w in windows])
            logits = logits[(wanted >= 0).to(logits.device)].float()
            flat = wanted[wanted >= 0].to(logits.device)
            values = logits.gather(1, flat[:, None])[:, 0] - logits.logsumexp(1)
        found: Floats = values.cpu().numpy()
        return found if line_end else found[targets[targets >= 0] != self._end]

    def _logits(self, inputs: NDArray[np.int64], lengths: Sequence[int]) -> Any:
        """(B, T, its vocabulary); rows are padded behind, where nothing looks."""
        import torch

        device = self._network.device
        mask = (np.arange(inputs.shape[1]) < np.array(lengths)[:, None]).astype(np.int64)
        return self._network(
            input_ids=torch.from_numpy(inputs).to(device),
            attention_mask=torch.from_numpy(mask).to(device),
            use_cache=False,
        ).logits

    def start(self, contexts: Encoded | None = None, prefixes: Encoded | None = None) -> tuple[Floats, Histories]:
        if contexts is not None:
            raise UsageError(
                "contexts were given to a model of one text; only sequence-to-sequence models take a source."
            )
        lines = Encoded.from_lines([[]], self.vocab_size) if prefixes is None else prefixes
        rows = [[self._begin, *self._numbers[lines.line(i)].tolist()] for i in range(len(lines))]
        histories = Histories(rows)
        return self._next(histories), histories

    def step(self, state: State, last: Ints) -> tuple[Floats, Histories]:
        if not isinstance(state, Histories):
            raise UsageError("A model of Hugging Face's was given the state of another kind of model.")
        added = self._numbers[np.asarray(last)].tolist()
        histories = Histories([[*row, token] for row, token in zip(state.rows, added, strict=True)])
        return self._next(histories), histories

    def _next(self, histories: Histories) -> Floats:
        """(B, V) after each row: the windows that `score` uses, read anew."""
        import torch

        window, stride = self.policy.window or 1, self.policy.stride or 1
        parts = []
        for row in histories.rows:
            over = len(row) - window
            parts.append(row[(-(-over // stride)) * stride if over > 0 else 0 :])
        made = np.full((len(parts), self.vocab_size), -np.inf, np.float32)
        if not parts:
            return made
        inputs = np.zeros((len(parts), max(map(len, parts))), np.int64)
        for i, part in enumerate(parts):
            inputs[i, : len(part)] = part
        with torch.inference_mode():
            logits = self._logits(inputs, list(map(len, parts)))
            last = logits[torch.arange(len(parts)), torch.tensor([len(p) - 1 for p in parts])].float()
            probabilities = last.log_softmax(1).cpu().numpy()
        known = np.flatnonzero(self._numbers >= 0)
        made[:, known] = probabilities[:, self._numbers[known]]
        made[:, [i for i in known if i > EOS and self._numbers[i] == self._end]] = -np.inf  # it is </s> here
        made[:, [UNK, BOS]] = -np.inf
        return made

    def describe(self) -> dict[str, Any]:
        """`size` is the number of parameters; `line_end` the token that a line ends with."""
        size = sum(p.numel() for p in self._network.parameters())
        return {"size": size, "type": self._network.config.model_type, "line_end": self._end_name}

    def save(self, out: Writer) -> None:
        raise UsageError("a model of Hugging Face's stays in its own directory")


def _cut(length: int, part: Any, begin: int, window: int, stride: int) -> Iterator[_Window]:
    """A text of `length` targets in windows; part(a, b): its targets from a to b. The inputs are one behind."""
    start = scored = 0
    while scored < length:
        stop = min(start + window, length)
        targets = part(start, stop)
        first = part(start - 1, start) if start else np.array([begin])
        yield _Window(np.concatenate((first, targets[:-1])), targets, scored - start)
        scored = stop
        start += stride
