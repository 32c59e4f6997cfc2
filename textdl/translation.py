"""Text meets encoder-decoders: training on pairs of lines, and translating.

`train` and `translate` are what `textdl train seq2seq` and `textdl translate` call. A trained model is a `Model` like
any other, whose `source` says how source lines are read.
"""

from __future__ import annotations

import math
import numbers
import os
import time
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

import textdl
from textdl import arguments
from textdl.arguments import check_flags, check_wholes, deadline, is_a, option
from textdl.bundle import Model, Source, load
from textdl.corpus import Pairs, open_pairs, split_sentences
from textdl.corpus.toys import COPYING, PREFIX
from textdl.encoded import Encoded
from textdl.errors import TextdlError, TextTypeError, UsageError
from textdl.evaluation.text import checked_lines
from textdl.generation.beam import MOST_PENALTY, Hypothesis, beam_search
from textdl.keeping import checkpoint_beside, keep, say_how_it_ended
from textdl.pair_preparation import MAX_TOKENS, PreparedPairs, prepare_pairs
from textdl.protocols import LanguageModel, Run, Tokenizer
from textdl.storage import check_output
from textdl.vocabulary import SPECIALS

_BLURRING = ("dropout", "label_smoothing")
"""Settings that keep a network from being too sure of what it has seen."""
_SANITY_PAIRS = 100
_SANITY_STEPS = 400
"""Steps in which so few pairs must be learnt by heart."""
_SANITY_SHARE = 0.2
"""Of a budget, that it takes at most."""
_LEARNT = 0.1
"""Nats a token, below which they are."""
_LONGEST = 5_000
"""Tokens of a line that is translated: time and memory grow with their square, and that many take minutes."""
_TOGETHER = 2048
"""Lines that are sorted by length together; their translations are given in order."""
_ROWS = 1280
"""Hypotheses open at a time..."""
_POSITIONS = 1 << 17
"""...and the tokens they may come to together: bounds memory where lines are long."""
_WIDEST = 500
"""Of beams: wider ones take minutes a sentence, and translate no better."""
_UNSEEN = 0.5
"""Share of a line's letters that are in no piece seen in training, above which a word is said."""


def train(
    pairs: Any,
    target: Any = None,
    *,
    arch: str = "transformer",
    tokenizer: str | Tokenizer = "auto",
    source_tokenizer: str | Tokenizer | None = None,
    joint: bool | None = None,
    vocab_size: int | None = None,
    min_count: int = 2,
    max_length: int = MAX_TOKENS,
    output: str | os.PathLike[str] | None = None,
    valid: Any = None,
    subword_regularization: float | None = None,
    sanity: bool = False,
    resume: bool | None = None,
    processes: int = 0,
    seed: int | None = None,
    budget: float | None = None,
    run: Run | None = None,
    **config: Any,
) -> Model:
    """Train a sequence-to-sequence model on pairs of raw lines.

    Args:
        pairs: Pairs, what `open_pairs` takes as one text or as tuples, or the source lines where there is a target.
        target: the target lines.
        arch: `transformer` or `rnn`.
        tokenizer: of both sides, or of the target where there is a source_tokenizer; `auto` and `bpe` learn pieces by
            byte-pair encoding, `unigram` by a unigram model.
        joint: one vocabulary for both sides; None: where both are written alike.
        vocab_size: pieces to learn; None: by the length of the text.
        min_count: types with fewer tokens become <unk>, where the tokenizer has no inventory.
        max_length: tokens of a side, above which a pair is left out.
        output: a directory to save to; refused before any work if it holds something else.
        valid: held-out Pairs, what open_pairs takes as one text or as tuples, or a tuple of its source and its target lines;
            None: some of the pairs.
        sanity: first learn 100 pairs by heart, in a fifth of the budget at most, and stop with the reason where that fails.
        resume, processes, seed, budget, run, subword_regularization: as in `textdl.train`.
        config: the settings of the architecture, e.g. layers=4; None means the default.

    Raises:
        UsageError, CorpusError: with what was found and what to do.
        TextdlError: a sanity check that fails.
    """
    from textdl.seq2seq.architectures import module
    from textdl.seq2seq.batching import PairData

    run = run or Run()
    until = deadline(budget, time.monotonic())
    run.rank, run.ranks = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
    run.seed = run.seed if seed is None else seed
    check_wholes(
        seed=run.seed, min_count=min_count, max_length=max_length, vocab_size=vocab_size, processes=processes
    )  # fmt: skip
    check_flags(joint=joint, resume=resume, sanity=sanity)
    chosen = module(arch)
    settings = arguments.config(chosen.Config, f"--arch {arch}", config)
    if until is not None:
        run.deadline = until
    if resume and output is None:
        raise UsageError("--resume goes on from the checkpoint beside the output: give the directory, with -o")
    if output is not None:
        check_output(Path(output))
        run.checkpoint = checkpoint_beside(Path(output), resume, run)
        options = {option(name): value for name, value in asdict(settings).items()}
        run.checkpoint.check(
            {"family": "seq2seq", "--arch": arch, **options, "--seed": run.seed,
             "--subword-regularization": subword_regularization, "--max-length": max_length}
        )  # fmt: skip
    prepared = prepare_pairs(
        _opened(pairs, target), valid=_held_out(valid), tokenizer=tokenizer,
        source_tokenizer=source_tokenizer, joint=joint, vocab_size=vocab_size, min_count=min_count, max_tokens=max_length,
        subword_regularization=subword_regularization, processes=processes, run=run,
    )  # fmt: skip
    if run.checkpoint is not None:
        run.checkpoint.check(
            {"the pairs": f"{prepared.pairs.name} ({(prepared.pairs.fingerprint or '')[:12]})", "the tokenizer": prepared.target.tokenizer.spec,
             "the vocabulary": prepared.target.vocab.fingerprint, "the source vocabulary": prepared.source.vocab.fingerprint}
        )  # fmt: skip
    if prepared.pairs.name.startswith(PREFIX):  # one right answer, and no noise: what blurs does harm
        settings = replace(settings, **{name: 0.0 for name in _BLURRING if config.get(name) is None})
    data = PairData(*prepared.data, prepared.joint)
    run.figures["longest_source"] = int(np.diff(prepared.data[0].epoch(0).offsets).max())
    if sanity and run.rank == 0:  # a failure of one process ends all
        _sanity(chosen.fit, settings, data, run)
    fitted = chosen.fit(
        data, settings, valid=PairData(*prepared.valid, prepared.joint), run=run, watch=_Watch(prepared, run)
    )  # fmt: skip
    say_how_it_ended(run, budgeted=budget is not None, of="the pairs")
    model = _bundled(fitted, prepared, settings, arch, run)
    if output is not None and run.rank == 0:
        keep(model, output, run)
    return model


def _opened(pairs: Any, target: Any) -> Pairs:
    return pairs if isinstance(pairs, Pairs) else open_pairs(pairs, target)


def _held_out(valid: Any) -> Pairs | None:
    """Of None, Pairs, one text, or (source lines, target lines)."""
    if isinstance(valid, tuple) and len(valid) == 2:
        return open_pairs(*valid)
    return None if valid is None else _opened(valid, None)


def _bundled(fitted: Any, prepared: PreparedPairs, settings: Any, arch: str, run: Run) -> Model:
    def side(of: Source) -> dict[str, Any]:
        made, known = of.tokenizer, of.vocab
        return {
            "tokenizer": {"spec": made.spec, "fingerprint": made.fingerprint, "lossless": made.lossless},
            "vocabulary": {"size": len(known), "fingerprint": known.fingerprint},
        }

    import platform

    card = {
        "family": "seq2seq",
        "textdl": textdl.__version__,
        "arch": arch,
        "config": asdict(settings),
        "seed": run.seed,
        "min_count": prepared.min_count,
        "keep_punctuation": False,
        **side(prepared.target),
        "source": {"joint": prepared.joint, **side(prepared.source)},
        "corpus": {
            "name": prepared.pairs.name,
            "fingerprint": prepared.pairs.fingerprint,
            "unit": "line",
        },
        "ledger": None,
        "pairs": prepared.ledger.to_dict() | {"too_long": prepared.too_long},
        "train_seconds": round(run.seconds.get("training", 0.0), 3),
        "seconds": {stage: round(seconds, 3) for stage, seconds in run.seconds.items()},
        "figures": run.figures,
        "notes": run.notes,
        "interrupted": run.interrupted,
        "failed": run.failed,
        "describe": fitted.describe(),
        "versions": {"python": platform.python_version(), "numpy": np.__version__},
    }
    return Model(
        "seq2seq", fitted, prepared.target.tokenizer, prepared.target.vocab, card, prepared.speller, prepared.lines,
        run.curve, source=prepared.source,
    )  # fmt: skip


class _Watch:
    """What the model makes of the same few pairs after each validation."""

    def __init__(self, prepared: PreparedPairs, run: Run):
        self._prepared, self._run = prepared, run
        self._sources = prepared.source.encode(source for source, _ in prepared.shown)

    def __call__(self, fitted: LanguageModel) -> dict[str, Any]:
        samples = []
        longest = 2 * int(np.diff(self._sources.offsets).max(initial=0)) + 10
        found = beam_search(fitted, width=1, max_tokens=longest, exact=False, contexts=self._sources)
        for (source, reference), (best,) in zip(self._prepared.shown, found, strict=True):
            output = _text(self._prepared.target, best)
            samples.append({"source": source, "output": output, "reference": reference})
            self._run.show(f"   {source[:100]}\n   = {output[:100]}\n   ~ {reference[:100]}")
        return {"samples": samples}


def _text(side: Source, hypothesis: Hypothesis, begun: Sequence[str] = ()) -> str:
    """What a hypothesis says behind the pieces that it began with."""
    return side.tokenizer.decode([*begun, *(side.vocab.piece(i) for i in hypothesis.ids)])


# -- sanity ----------------------------------------------------------------------------------------


def _sanity(fit: Callable[..., Any], settings: Any, data: Any, run: Run) -> None:
    """Learn a few pairs by heart. A network that cannot do that has nothing to hope for from more of them.

    Raises:
        TextdlError: with the likely reason.
        KeyboardInterrupt: Ctrl-C.
    """
    from textdl.seq2seq.batching import PairData

    source, target = data.epoch(0)
    lengths = np.diff(source.offsets) + np.diff(target.offsets)
    rows = np.argsort(lengths, kind="stable")[len(lengths) // 4 :][:_SANITY_PAIRS]  # short ones, but not the shortest
    few = PairData(source.select(rows), target.select(rows), data.joint)
    sources, targets = few.epoch(0)
    tokens = targets.tokens + len(rows)
    positions = tokens + sources.tokens + len(rows)
    config = replace(
        settings, dropout=0.0, label_smoothing=0.0, ema=0.0, unk_rate=0.0, batch_positions=max(256, positions // 2),
        epochs=_SANITY_STEPS / 2.5, patience=1000, accumulate=1,
    )  # fmt: skip
    least = _ambiguity(sources, targets) / tokens
    trial = _Trial(run, sources, targets, _LEARNT + least)
    with run.timing("sanity"):
        with suppress(_Enough):
            fit(few, config, valid=few, run=trial, watch=trial.watch)
        if trial.interrupted:
            raise KeyboardInterrupt
        model, loss = trial.model, trial.loss
        found = beam_search(model, width=1, max_tokens=int(np.diff(targets.offsets).max()) + 5, contexts=sources)
    right = sum(best.ids == targets.line(i).tolist() for i, (best,) in enumerate(found))
    told = f"{right} of {len(rows)} pairs by heart, {loss:.3f} nats a token"
    run.figures["sanity"] = {"pairs": len(rows), "right": right, "loss": loss}
    if loss < _LEARNT + least or right >= 0.9 * len(rows):
        why = (
            ""
            if right >= 0.9 * len(rows)
            else " Of the others the same source has different targets: are lines out of step?"
        )
        run.note(f"sanity: the network learnt {told}, so it can learn, and sources reach the decoder.{why}")
        return
    if trial.late:
        run.note(
            f"sanity: no verdict in {_SANITY_SHARE:.0%} of the budget ({told}). Give a longer --budget to be sure that the "
            "network can learn."
        )
        return
    if least > 0.02:
        reason = "the same sources have different targets, so no network can: look for lines out of step or cut off"
    elif loss > 2.0:
        reason = f"the loss hardly fell: lower --learning-rate (it was {trial.figures['config']['learning_rate']:.1g})"
    else:
        reason = "it is too small for them, or without attention: raise --size or --layers"
    raise TextdlError(f"--sanity: {len(rows)} pairs should be learnt by heart, and were not ({told}): {reason}.")


class _Enough(Exception):
    """Ends a trial from within."""


class _Trial(Run):
    """A training that ends once its pairs are learnt, or late. It tells of its progress, and nothing else."""

    def __init__(self, run: Run, sources: Encoded, targets: Encoded, learnt: float):
        """learnt: nats a token that are enough."""
        super().__init__(seed=run.seed)
        self._run, self._sources, self._targets, self._learnt = run, sources, targets, learnt
        self._end = math.inf
        if run.deadline is not None:
            now = time.monotonic()
            self._end = now + _SANITY_SHARE * max(0.0, run.deadline - now)
        self.model: Any = None
        self.loss = math.inf
        self.late = False

    def progress(self, stage: str, done: float, total: float | None, unit: str, text: str = "") -> None:
        """See Run."""
        self._run.progress("sanity", done, total, unit, text)
        if self.model is not None and time.monotonic() > self._end:
            self.late = True
            raise _Enough

    def watch(self, model: Any) -> dict[str, Any]:
        """See seq2seq.family.Watch."""
        self.model = model
        self.loss = -float(np.concatenate(list(model.score(self._targets, self._sources))).mean(dtype=np.float64))
        if self.loss < 0.5 * self._learnt:
            raise _Enough
        return {}


def _ambiguity(source: Encoded, target: Encoded) -> float:
    """Nats that are left where one source has several targets, each equally likely."""
    targets: dict[bytes, list[bytes]] = {}
    for i in range(len(source)):
        targets.setdefault(source.line(i).tobytes(), []).append(target.line(i).tobytes())
    return sum(
        -math.log(several.count(one) / len(several)) for several in targets.values() for one in several
    )  # fmt: skip


# -- translating -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Translation:
    """What a model makes of one line."""

    source: str
    texts: list[str]
    """n-best, best first."""
    scores: list[float]
    """Of each: log-probability over the length penalty, nats; -inf where a line is too long to be translated."""
    finished: bool
    """Whether the best came to its end within the most tokens."""

    @property
    def text(self) -> str:
        return self.texts[0]


def translate(
    model: Model | str | os.PathLike[str],
    lines: Iterable[str],
    *,
    beam: int = 5,
    length_penalty: float = 1.0,
    n_best: int = 1,
    max_tokens: int | None = None,
    prefix: str = "",
    split_sentences: bool = False,
    quick: bool = True,
    run: Run | None = None,
) -> Iterator[Translation]:
    """Translations in the order of the lines, as they come.

    Args:
        lines: raw source lines; blank ones are translated to blank lines.
        beam: hypotheses kept open for a line, up to 500; 1: greedy.
        length_penalty: alpha, 0 to 10; above 0 favours longer translations.
        max_tokens: at most, for each line; None: twice the tokens of the source and 10.
        prefix: text that every translation begins with.
        split_sentences: cut each line into sentences, translate these, and join their translations.
        quick: multiply in bfloat16 where the hardware has it.
        run: receives progress, and notes on lines that are unlike what the model was trained on.

    Raises:
        UsageError: not a sequence-to-sequence model, or an impossible value.
        TextTypeError: no lines.
    """
    loaded = model if isinstance(model, Model) else load(model)
    if loaded.source is None:
        raise UsageError(
            f"{loaded.name} does not translate; train one with `textdl train seq2seq --source F --target F`"
        )
    for name, value in (("beam", beam), ("n-best", n_best), ("max-tokens", 1 if max_tokens is None else max_tokens)):
        if not is_a(numbers.Integral, value) or value < 1:
            raise UsageError(f"--{name} {value}: expected a whole number of at least 1")
    if beam > _WIDEST:
        raise UsageError(f"--beam {beam}: {_WIDEST} hypotheses of a line are kept open at most; 5 to 10 translate best")
    if n_best > beam:
        raise UsageError(f"--n-best {n_best} of a beam of {beam}: the --beam must be as wide")
    if not 0 <= length_penalty <= MOST_PENALTY:
        raise UsageError(f"--length-penalty {length_penalty}: expected 0 to {MOST_PENALTY:g}")
    if isinstance(lines, str | bytes) or not isinstance(lines, Iterable):
        raise TextTypeError(f"what to translate is {lines!r:.60}; give a list of lines, such as ['one', 'two']")
    how = _Translator(loaded, beam, length_penalty, n_best, max_tokens, prefix, split_sentences, quick, run or Run())
    return how.lines(checked_lines(lines))


class _Translator:
    def __init__(
        self, model: Model, beam: int, length_penalty: float, n_best: int, max_tokens: int | None, prefix: str,
        split_sentences: bool, quick: bool, run: Run,
    ) -> None:  # fmt: skip
        assert model.source is not None
        self._model, self._source = model, model.source
        self._target = Source(model.tokenizer, model.vocab)
        self._beam, self._penalty, self._n_best = beam, length_penalty, n_best
        self._max_tokens, self._split, self._run = max_tokens, split_sentences, run
        self._fitted: LanguageModel = model.model.quick() if quick else model.model
        self._begun = model.tokenizer.encode(prefix) if prefix else []
        self._prefix = self._target.encode([prefix]).line(0) if prefix else None
        pieces, counts = self._source.vocab.pieces, self._source.vocab.counts[len(SPECIALS) :].tolist()
        self._letters = set("".join(piece for piece, n in zip(pieces, counts, strict=True) if n > 0).lower())
        self._copies = model.card.get("corpus", {}).get("name") == COPYING
        self._longest = model.card.get("figures", {}).get("longest_source")

    def lines(self, lines: Iterator[str]) -> Iterator[Translation]:
        if unknown := [piece for piece in self._begun if piece not in self._target.vocab]:
            self._run.note(
                f"the prefix holds {unknown[0]!r}, which the model never wrote in training: it begins as asked, and what the "
                "model writes behind it means little."
            )
        done = copied = 0
        strange: list[int] = []
        while block := list(islice(lines, _TOGETHER)):
            strange += [done + i for i, line in enumerate(block, 1) if self._unseen(line) > _UNSEEN]
            parts = [list(split_sentences(line)) or [line] for line in block] if self._split else [[s] for s in block]
            found = self._block([sentence for part in parts for sentence in part])
            for line, part in zip(block, parts, strict=True):
                translation = _joined(line, [next(found) for _ in part])
                done += 1
                copied += translation.text == translation.source and not translation.source.isspace()
                yield translation
        if strange:
            places = ", ".join(f"{i:,}" for i in strange[:3]) + (", ..." if len(strange) > 3 else "")
            self._run.note(
                f"{len(strange):,} of {done:,} lines are mostly in letters of which the model has no piece (line "
                f"{places}): another script or language? What it says of them means nothing."
            )
        if copied > max(2, 0.5 * done) and not self._copies:
            self._run.note(
                f"{copied:,} of {done:,} translations are the source again: the model copies. Is the input in the source "
                "language, and was it trained on pairs in two languages, long enough?"
            )

    def _unseen(self, line: str) -> float:
        letters = [c for c in line[:2000].lower() if c.isalpha()]
        return sum(c not in self._letters for c in letters) / len(letters) if letters else 0.0

    def _block(self, lines: list[str]) -> Iterator[Translation]:
        """Sorted by length, so that lines side by side end together."""
        sources = self._source.encode(lines)
        lengths = np.diff(sources.offsets)
        found: dict[int, Translation] = {}
        following = 0
        blank, endless = np.array([not line.strip() for line in lines]), lengths > _LONGEST
        for row in np.flatnonzero(blank | endless).tolist():
            score = -math.inf if endless[row] else 0.0
            found[row] = Translation(lines[row], [""] * self._n_best, [score] * self._n_best, not endless[row])
        order = np.flatnonzero(~(blank | endless))
        order = order[np.argsort(-lengths[order], kind="stable")]
        self._note_long(lengths, lines)
        ready = 0
        while ready < len(order):
            longest = 2 * int(lengths[order[ready]]) + 10
            rows = order[ready : ready + max(1, min(_ROWS, _POSITIONS // longest) // self._beam)]
            found |= dict(zip(rows.tolist(), self._translated(lines, sources, rows), strict=True))
            ready += len(rows)
            self._run.progress("translating", ready, len(order), "lines")
        while following < len(lines):
            yield found.pop(following)
            following += 1

    def _note_long(self, lengths: Any, lines: list[str]) -> None:
        if len(endless := np.flatnonzero(lengths > _LONGEST)):
            row = int(endless[0])
            more = f" and {len(endless) - 1:,} more" if len(endless) > 1 else ""
            self._run.note(
                f"a line of {lengths[row]:,} tokens ({lines[row][:40]!r}...){more}: not translated, as {_LONGEST:,} are the "
                f"most; nothing stands in its place. Cut it {'by hand' if self._split else 'into sentences'} first"
                f"{'' if self._split else ' (--split-sentences)'}."
            )
        if self._longest is not None:
            long = np.flatnonzero((lengths > 2 * self._longest) & (lengths <= _LONGEST))
            for row in long[:3].tolist():
                self._run.note(
                    f"a line of {lengths[row]:,} tokens ({lines[row][:40]!r}...): the longest in training had "
                    f"{self._longest:,}, so little can be hoped for. Cut it into sentences first (--split-sentences)."
                )

    def _translated(self, lines: list[str], sources: Encoded, rows: Any) -> Iterator[Translation]:
        lengths = np.diff(sources.offsets)[rows]
        limits = 2 * lengths + 10 if self._max_tokens is None else np.full(len(rows), self._max_tokens)
        prefixes = None
        if self._prefix is not None:
            prefixes = Encoded.from_lines([self._prefix] * len(rows), len(self._target.vocab))
        found = beam_search(
            self._fitted, width=self._beam, max_tokens=limits, length_penalty=self._penalty, n_best=self._n_best,
            exact=False, contexts=sources.select(rows), prefixes=prefixes,
        )  # fmt: skip
        for row, hypotheses in zip(rows.tolist(), found, strict=True):
            texts = [_text(self._target, hypothesis, self._begun) for hypothesis in hypotheses]
            yield Translation(lines[row], texts, [h.score for h in hypotheses], hypotheses[0].finished)


def _joined(source: str, parts: list[Translation]) -> Translation:
    """The translations of the sentences of a line as one."""
    if len(parts) == 1:
        return parts[0]
    texts = [""] * min(len(part.texts) for part in parts)
    for part in parts:
        texts = [f"{text}{_between(text, more)}{more}" for text, more in zip(texts, part.texts, strict=False)]
    scores = [sum(scores) for scores in zip(*(part.scores[: len(texts)] for part in parts), strict=True)]
    return Translation(source, texts, scores, all(part.finished for part in parts))


def _between(text: str, more: str) -> str:
    """A blank, but not behind Chinese characters and punctuation, which are wide."""
    last = text.rstrip("\u201d\u2019")[-1:]
    return " " if last and more and unicodedata.east_asian_width(last) not in ("W", "F") else ""


def check_attention(model: Model, source: str) -> None:
    """Raises UsageError where there will be no picture of what a translation looked at."""
    from textdl.evaluation.attention_map import check_sides

    if model.card.get("config", {}).get("attention") == "none":
        raise UsageError(f"{model.name} was trained with --attention none: it looks at nothing")
    if model.source is not None:
        check_sides(len(model.source.tokenizer.encode(source)) + 1, 1)


def draw_attention(model: Model | str | os.PathLike[str], source: str, translation: str, path: Path) -> None:
    """Write the picture of how much of each source token each target token was made from.

    Raises:
        UsageError: a network without attention, another suffix than .png, .svg or .pdf, or no matplotlib.
    """
    from textdl.evaluation.attention_map import check_sides, draw_weights

    loaded = model if isinstance(model, Model) else load(model)
    if loaded.source is None:
        raise UsageError(f"{loaded.name} does not translate, so there is no source that it looks at")
    target = Source(loaded.tokenizer, loaded.vocab)
    of_source, of_target = loaded.source.tokenizer.encode(source), loaded.tokenizer.encode(translation)
    check_sides(len(of_source) + 1, len(of_target) + 1)
    weights = loaded.model.look(loaded.source.encode([source]).line(0), target.encode([translation]).line(0))
    if weights is None:
        raise UsageError(f"{loaded.name} was trained with --attention none: it looks at nothing")
    draw_weights(path, [*of_source, "</s>"], [*of_target, "</s>"], weights)
