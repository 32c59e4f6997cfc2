"""The top of the library: text meets models.

`train` and `load` give a `Model` (see bundle.py), and `plan` tells what training will take; `sample` draws text from
one. How good models are is in evaluating.py. The command line is a thin coat over these.
"""

from __future__ import annotations

import hashlib
import json
import numbers
import os
import platform
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from importlib import import_module, metadata
from pathlib import Path
from typing import Any

import numpy as np

import textdl
from textdl import arguments
from textdl.arguments import check_flags, check_wholes, deadline, is_a, option
from textdl.bundle import FAMILIES, Family, Model, load
from textdl.corpus import open_corpus
from textdl.encoded import EOS
from textdl.errors import UsageError
from textdl.evaluation.text import checked_lines
from textdl.generation.sampling import Token
from textdl.generation.sampling import sample as sample_ids
from textdl.generation.transforms import transforms
from textdl.keeping import checkpoint_beside, keep, say_how_it_ended
from textdl.preparation import Prepared, prepare
from textdl.protocols import Floats, Ints, Run, Tokenizer, WordVectors
from textdl.storage import Reader, check_output
from textdl.vocabulary import SPECIALS, Vocabulary

_FEW_KNOWN = 0.25
"""Share of tokens that a model to start from should know. Text like its own has 0.6 and more, punctuation counted."""


def train(
    family: str,
    corpus: Any,
    *,
    tokenizer: str | Tokenizer = "auto",
    output: str | os.PathLike[str] | None = None,
    valid: Any = None,
    min_count: int | None = None,
    max_vocab: int | None = None,
    vocab: str | os.PathLike[str] | None = None,
    keep_punctuation: bool = False,
    subword_regularization: float | None = None,
    start_from: Model | str | os.PathLike[str] | None = None,
    init_embeddings: Model | str | os.PathLike[str] | None = None,
    resume: bool | None = None,
    encoding: str = "utf-8",
    processes: int = 0,
    seed: int | None = None,
    budget: float | None = None,
    run: Run | None = None,
    **config: Any,
) -> Model:
    """Train a model on raw text.

    A process that torchrun started trains a network together with the others; rank 0 saves the model.

    Args:
        family: `ngram`, `word2vec`, `nnlm`, `rnn` or `transformer`.
        corpus: a path, the name of a built-in corpus, a list of lines, or a Corpus.
        tokenizer: what `--tokenizer` takes, or a Tokenizer; `auto` looks at the text.
        output: a directory to save to; refused before any work if it holds something else.
        valid: held-out text; families that need it hold out 5 % where it is None.
        min_count: types with fewer tokens become <unk> (ngram 1, word2vec 5, networks 2).
        max_vocab: at most so many types.
        vocab: a file of the pieces to know, one a line, such as the vocab.txt of a model.
        keep_punctuation: word2vec only: also train on pieces without a letter or digit.
        subword_regularization: draw the pieces of a SentencePiece model anew for each epoch: for unigram the
            smoothing alpha (0.1), for BPE the dropout (0.1). Not for n-grams.
        start_from: a model to train on (word2vec): its tokenizer, words and settings are taken over, and words of
            the text that it lacks come to them from min_count up. It is not changed.
        init_embeddings: a word2vec model; the input embedding of a network begins with its vectors, piece by piece.
        resume: a training with an `output` leaves a checkpoint beside it, `output.training`, until the model is
            saved (not of n-grams). True: go on from it, if it is there; False: write over it; None: refuse to start.
        encoding: of the files.
        processes: that tokenize; 0: one for each core.
        seed: same seed, same model, where the family promises it; None: that of `run`, which is 1.
        budget: seconds for everything from this call to the saved model (networks).
        run: receives progress, notes and figures.
        config: the family's own settings, e.g. order=3; None means the default.

    Raises:
        UsageError, CorpusError: with what was found and what to do.
    """
    if family == "seq2seq":
        raise UsageError("seq2seq learns from pairs of lines: use textdl.train_seq2seq(sources, targets, ...)")
    run = run or Run()
    run.rank, run.ranks = launched()
    job = _settle(
        family, corpus, tokenizer=tokenizer, output=output, valid=valid, min_count=min_count, max_vocab=max_vocab,
        vocab=vocab, keep_punctuation=keep_punctuation, subword_regularization=subword_regularization,
        start_from=start_from, init_embeddings=init_embeddings, resume=resume, encoding=encoding, processes=processes,
        seed=seed, budget=budget, run=run, **config,
    )  # fmt: skip
    prepared = job.prepared
    fitted = job.module.fit(prepared.data, job.settings, valid=prepared.valid, run=run, **job.start)
    say_how_it_ended(run, budgeted=budget is not None, of="the text")
    made, known, text = prepared.tokenizer, prepared.vocab, prepared.text
    card = {
        "family": family,
        "textdl": textdl.__version__,
        "config": asdict(job.settings),
        "seed": run.seed,
        "min_count": prepared.min_count,
        "keep_punctuation": job.keep_punctuation,
        "tokenizer": {"spec": made.spec, "fingerprint": made.fingerprint, "lossless": made.lossless},
        "vocabulary": {"size": len(known), "fingerprint": known.fingerprint},
        "corpus": {"name": text.name, "fingerprint": text.fingerprint, "unit": text.unit},
        "ledger": prepared.ledger.to_dict(),
        "train_seconds": round(sum(run.seconds.get(s, 0.0) for s in ("counting", "estimating", "training")), 3),
        "seconds": {stage: round(seconds, 3) for stage, seconds in run.seconds.items()},
        "figures": run.figures,
        "notes": run.notes,
        "interrupted": run.interrupted,
        "failed": run.failed,
        "describe": fitted.describe(),
        "versions": _versions(),
    }
    lines = prepared.lines
    if (base := job.base) is not None:
        card["from"] = {"model": base.name, "corpora": _corpora(base)}
        lines = np.union1d(base.lines, lines)
    left_out = prepared.left_out if isinstance(fitted, WordVectors) else None
    model = Model(family, fitted, made, known, card, prepared.speller, lines, run.curve, lambda: left_out)
    if output is not None and run.rank == 0:
        keep(model, output, run)
    return model


def plan(family: str, corpus: Any, *, run: Run | None = None, **arguments: Any) -> Any:
    """What `train` with the same arguments will take (word2vec): a `textdl.word2vec.Plan`.

    Reads and tokenizes the text, which is kept in the cache, and measures a second or two of training on matrices
    that are thrown away. Nothing else is written.

    Raises:
        UsageError, CorpusError: as `train`.
    """
    if not _family(family).goes_on:
        raise UsageError(f"--dry-run is for word2vec; {family} cannot be planned")
    run = run or Run()
    job = _settle(family, corpus, run=run, **{**arguments, "resume": False})
    return job.module.plan(
        job.prepared.data, job.settings, run=run, **{key: value for key, value in job.start.items() if key == "start"}
    )


@dataclass(frozen=True)
class _Job:
    """What is settled before training begins."""

    module: Any
    """Of the family."""
    settings: Any
    """Its Config."""
    prepared: Prepared
    keep_punctuation: bool
    base: Model | None
    """That training starts from."""
    start: dict[str, Any]
    """The same in the family's terms: arguments of `fit`."""


def _settle(
    family: str,
    corpus: Any,
    *,
    run: Run,
    tokenizer: str | Tokenizer = "auto",
    output: str | os.PathLike[str] | None = None,
    valid: Any = None,
    min_count: int | None = None,
    max_vocab: int | None = None,
    vocab: str | os.PathLike[str] | None = None,
    keep_punctuation: bool = False,
    subword_regularization: float | None = None,
    start_from: Model | str | os.PathLike[str] | None = None,
    init_embeddings: Model | str | os.PathLike[str] | None = None,
    resume: bool | None = None,
    encoding: str = "utf-8",
    processes: int = 0,
    seed: int | None = None,
    budget: float | None = None,
    **config: Any,
) -> _Job:
    """Check the arguments of `train`, and bring the text to where training begins."""
    run.seed = run.seed if seed is None else seed
    check_wholes(seed=run.seed, min_count=min_count, max_vocab=max_vocab, processes=processes)
    check_flags(keep_punctuation=keep_punctuation, resume=resume)
    run.seed, processes = int(run.seed), int(processes)
    min_count, max_vocab = (None if number is None else int(number) for number in (min_count, max_vocab))
    until = deadline(budget, time.monotonic())
    entry = _family(family)
    for wanted, name, able, why in (
        (budget, "--budget is for neural models", entry.network, "takes the time its text takes"),
        (init_embeddings, "--init-embeddings is for neural models", entry.network, "has no input embedding to begin"),
        (run.ranks > 1 or None, "torchrun is for neural models", entry.network, "is trained by one process"),
        (start_from, "--from is for word2vec", entry.goes_on, "starts from nothing"),
        (resume, "--resume is for families that train in epochs", entry.epochs, "counts once"),
    ):
        if wanted is not None and not able:
            raise UsageError(f"{name}; {family} {why}")
    module = import_module(entry.module)
    if output is not None:
        check_output(Path(output))
    if until is not None:
        run.deadline = until
    if resume and output is None:
        raise UsageError("--resume goes on from the checkpoint beside the output: give the directory, with -o")

    base, given = None, [name for name, value in config.items() if value is not None]
    if start_from is not None:
        base = _base(start_from, family, tokenizer, max_vocab, vocab, output)
        tokenizer, config = base.tokenizer, module.inherited(base.model, config)
        min_count = base.card["min_count"] if min_count is None else min_count
        keep_punctuation = keep_punctuation or base.card.get("keep_punctuation", False)
    text = open_corpus(corpus, encoding=encoding)
    settings = arguments.config(module.Config, family, config, context=text.unit)
    for sentence in settings.without_effect(given) if entry.goes_on else []:
        run.note(sentence)
    if vocab is not None and (min_count is not None or max_vocab is not None):
        raise UsageError("--vocab says which pieces are known; --min-count and --max-vocab would choose them by count")
    if subword_regularization is not None and not entry.epochs:
        raise UsageError(f"--subword-regularization is for families that train in epochs; {family} counts once")
    if valid is not None and entry.validation == "none":
        raise UsageError(f"--valid is for families that train in steps; {family} counts, and evaluates with `eval`")
    if valid is None and entry.validation == "optional" and getattr(settings, "patience", None):
        raise UsageError(
            f"--patience {settings.patience}: there is no held-out text to watch. Give some with --valid FILE."
        )
    held_out = open_corpus(valid, encoding=encoding) if valid is not None else None
    if entry.epochs and output is not None:
        run.checkpoint = checkpoint_beside(Path(output), resume, run)
        # The number of threads may change on the way: where they decide, nothing is promised.
        options = {
            option(name): ",".join(map(str, value)) if isinstance(value, tuple | list) else value
            for name, value in asdict(settings).items()
            if name != "workers"
        }
        options |= {"--seed": run.seed, "--subword-regularization": subword_regularization}
        run.checkpoint.check({"family": family, **options})
    prepared = prepare(
        text,
        tokenizer=tokenizer,
        valid=held_out,
        hold_out=entry.validation == "needed",
        unit=getattr(settings, "context", text.unit),
        min_count=entry.min_count if min_count is None else min_count,
        max_vocab=max_vocab,
        vocabulary=Path(vocab) if vocab is not None else None,
        subword_regularization=subword_regularization,
        processes=processes,
        spelled=entry.language_model,
        keep=None if keep_punctuation else entry.keep,
        run=run,
        extends=base.vocab if base is not None else None,
        read_before=base.lines if base is not None else None,
    )
    start: dict[str, Any] = {}
    vectors = _loaded(init_embeddings) if init_embeddings is not None else None
    if vectors is not None:
        start["embeddings"] = _embeddings(vectors, prepared.vocab, run)
    if base is not None:
        ids = np.array([*range(len(SPECIALS)), *map(prepared.vocab.id, base.vocab.pieces)])
        counts = prepared.vocab.counts.copy()
        counts[: len(SPECIALS)] = 0
        _check_known(base, ids, prepared, run)
        trained = base.card["figures"].get("epochs_in_all", base.card["config"]["epochs"])
        start = {"start": module.Start(base.model, ids, counts, trained), "vocab": prepared.vocab}
    if run.checkpoint is not None:
        run.checkpoint.check(
            {
                "the text": _short(prepared.text.fingerprint),
                "the held-out text": _short(held_out.fingerprint) if held_out is not None else None,
                "the tokenizer": f"{prepared.tokenizer.spec} ({_short(prepared.tokenizer.fingerprint)})",
                "the vocabulary": _short(prepared.vocab.fingerprint),
                **{
                    name: f"{model.name} ({_short(_digest(model.card))})" if model is not None else None
                    for name, model in (("--from", base), ("--init-embeddings", vectors))
                },
            }
        )
    return _Job(module, settings, prepared, keep_punctuation, base, start)


def _base(
    start_from: Model | str | os.PathLike[str], family: str, tokenizer: str | Tokenizer, max_vocab: int | None,
    vocab: str | os.PathLike[str] | None, output: str | os.PathLike[str] | None,
) -> Model:  # fmt: skip
    """The model to start from, with what would contradict it refused."""
    for name, given in (
        ("tokenizer", tokenizer != "auto"),
        ("max-vocab", max_vocab is not None),
        ("vocab", vocab is not None),
    ):
        if given:
            raise UsageError(
                f"--{name} cannot be given with --from: the tokenizer and the words are those of its model"
            )
    if not isinstance(start_from, Model | str | os.PathLike):
        raise UsageError(f"--from {start_from!r:.60}: expected a model or its directory")
    if not isinstance(start_from, Model):
        Reader(Path(start_from)).verify()  # all of it is read anyway
    base = _loaded(start_from)
    if base.family != family:
        raise UsageError(f"--from {base.name}: a {FAMILIES[base.family].title}, which {family} cannot start from")
    if not hasattr(base.model, "context"):
        raise UsageError(f"--from {base.name}: it holds the vectors alone, without what is needed to train them on")
    if output is not None and base.directory is not None and Path(output).resolve() == base.directory.resolve():
        raise UsageError(f"-o {output}: that is the model of --from, which is left as it is. Choose another directory.")
    return base


def _check_known(base: Model, ids: Ints, prepared: Prepared, run: Run) -> None:
    """Say so where a text has few of the words of the model to start from. ids: (V of the model,) in the new vocabulary."""
    text = prepared.data.epoch(0)
    share = int(text.counts()[ids[len(SPECIALS) :]].sum()) / max(1, text.tokens)
    if share < _FEW_KNOWN:
        run.note(
            f"--from {base.name}: only {share:.1%} of the tokens of this text are words that it knows. Is the text in "
            f"another language, or cut in another way than by its tokenizer, {base.tokenizer.spec}?"
        )


def _embeddings(model: Model, vocab: Vocabulary, run: Run) -> Floats:
    """(V, D) the vectors that a model has for the pieces of a vocabulary; zeros where it has none."""
    known = [i for i, piece in enumerate(vocab.pieces, len(SPECIALS)) if piece in model.vocab]
    rows = np.asarray(model.vectors.vectors)
    types, tokens = len(vocab.pieces), int(vocab.counts[len(SPECIALS) :].sum())
    if not known:
        raise UsageError(
            f"--init-embeddings {model.name}: it has none of the {types:,} pieces of this text. Both must be cut by the "
            f"same --tokenizer; that of the vectors is {model.tokenizer.spec}."
        )
    embeddings = np.zeros((len(vocab), rows.shape[1]), np.float32)
    embeddings[known] = rows[[model.vocab.id(vocab.piece(i)) for i in known]]
    share = int(vocab.counts[known].sum()) / max(1, tokens)
    run.figures["init_embeddings"] = {"model": model.name, "types": len(known), "share_of_tokens": share}
    run.note(
        f"--init-embeddings: {model.name} has a vector for {len(known):,} of {types:,} types, {share:.1%} of the tokens; "
        "the others begin at random."
    )
    return embeddings


def launched() -> tuple[int, int]:
    """Rank and number of the processes that torchrun started, this among them; 0 and 1 of a process alone."""
    return int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))


def _corpora(model: Model) -> list[dict[str, Any]]:
    """Every text that a model was trained on."""
    return [*model.card.get("from", {}).get("corpora", []), model.card["corpus"]]


def _digest(card: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(card, sort_keys=True).encode()).hexdigest()


def _short(fingerprint: str | None) -> str:
    return (fingerprint or "")[:12]


def sample(
    model: Model | str | os.PathLike[str],
    *,
    prompt: str = "",
    n: int = 1,
    max_tokens: int = 100,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    seed: int = 1,
    across_lines: bool = False,
    source: Iterable[str] | None = None,
) -> list[str]:
    """n texts drawn from a language model, each with its prompt, up to its line end.

    Args:
        across_lines: each goes on over line ends to max_tokens, which only a model of streams can do.
        source: source lines for a sequence-to-sequence model: n texts of each, in order.
    """
    return list(
        samples(
            model, prompt=prompt, n=n, max_tokens=max_tokens, temperature=temperature, top_k=top_k, top_p=top_p, seed=seed,
            across_lines=across_lines, source=source,
        )
    )  # fmt: skip


def samples(
    model: Model | str | os.PathLike[str],
    *,
    prompt: str = "",
    n: int = 1,
    max_tokens: int = 100,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    seed: int = 1,
    across_lines: bool = False,
    source: Iterable[str] | None = None,
) -> Iterator[str]:
    """The texts of `sample` in their order, as groups of them are finished: any number in bounded memory."""
    loaded, pieces, drawn = _drawn(model, prompt, source, n, max_tokens, temperature, top_k, top_p, seed, across_lines)
    rows: dict[int, list[int]] = {}
    following = 0
    for token in drawn:
        rows.setdefault(token.row, []).append(token.id)
        while following in rows:
            ids = rows[following]
            if len(ids) < max_tokens and (across_lines or ids[-1] != EOS):
                break
            lines = [list(pieces)]
            for i in ids:
                if i != EOS:
                    lines[-1].append(loaded.vocab.piece(i))
                elif across_lines:
                    lines.append([])
            del rows[following]
            following += 1
            yield "\n".join(map(loaded.tokenizer.decode, lines))


def stream(
    model: Model | str | os.PathLike[str],
    *,
    prompt: str = "",
    max_tokens: int = 100,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    seed: int = 1,
    across_lines: bool = False,
) -> Iterator[str]:
    """The first text of `sample` as it grows: the prompt, and the whole text so far after every token."""
    loaded, pieces, drawn = _drawn(model, prompt, None, 1, max_tokens, temperature, top_k, top_p, seed, across_lines)
    before = ""
    yield loaded.tokenizer.decode(pieces)
    for token in drawn:
        if token.id != EOS:
            pieces.append(loaded.vocab.piece(token.id))
        elif across_lines:
            before += loaded.tokenizer.decode(pieces) + "\n"
            pieces = []
        yield before + loaded.tokenizer.decode(pieces)


# -- inside ----------------------------------------------------------------------------------------


def _drawn(
    model: Model | str | os.PathLike[str], prompt: str, source: Iterable[str] | None, n: int, max_tokens: int, temperature: float,
    top_k: int | None, top_p: float | None, seed: int, across_lines: bool,
) -> tuple[Model, list[str], Iterator[Token]]:  # fmt: skip
    """The model, the pieces of the prompt, and the tokens that follow it."""
    for name, value in (("n", n), ("max_tokens", max_tokens), ("top_k", top_k), ("seed", seed)):
        if (name, value) != ("top_k", None) and not is_a(numbers.Integral, value):
            raise UsageError(f"{name} {value!r}: expected a whole number")
    for name, share in (("temperature", temperature), ("top_p", top_p)):
        if (name, share) != ("top_p", None) and not is_a(numbers.Real, share):
            raise UsageError(f"{name} {share!r}: expected a number")
    loaded = _loaded(model)
    pieces = loaded.tokenizer.encode(next(checked_lines([prompt])))
    contexts = loaded.encode_source(source)
    drawn = sample_ids(
        loaded.language_model,
        n=int(n),
        max_tokens=int(max_tokens),
        transforms=transforms(temperature=temperature, top_k=None if top_k is None else int(top_k), top_p=top_p),
        seed=int(seed),
        contexts=contexts,
        prefixes=loaded.vocab.encode_lines([pieces] * (1 if contexts is None else len(contexts))),
        stop_at_line_end=not across_lines,
    )
    return loaded, pieces, drawn


def _family(name: str) -> Family:
    if name not in FAMILIES:
        raise UsageError(f"no model family {name!r}; there are {', '.join(FAMILIES)}")
    return FAMILIES[name]


def _loaded(model: Model | str | os.PathLike[str]) -> Model:
    return model if isinstance(model, Model) else load(model)


def _versions() -> dict[str, str]:
    return {"python": platform.python_version()} | {
        name: metadata.version(name) for name in ("numpy", "numba", "torch", "jieba", "sentencepiece")
    }
