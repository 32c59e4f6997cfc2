"""Models from files of other programs: `import_model` makes a textdl model of an ARPA file or of word vectors.

What a file is, its content says, not its name. KINDS lists what can be read: how a kind begins, and the one
function that reads it. NOT_READ lists what cannot, with what to do instead.

A file holds no more than the model, so the rest of a textdl model is supplied here:

- The tokenizer is the user's word: it must cut text as the text of the model was cut.
- The speller is fitted on all types of the vocabulary, each once (training takes the rarest and the cut ones,
  but a file does not say which words are rare).
- There are no fingerprints of training lines, so whether the model was trained on a text cannot be told.
"""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import textdl
from textdl import tokenizers
from textdl.bundle import Model
from textdl.corpus.reading import opened
from textdl.errors import CorpusError, ModelError, UsageError
from textdl.evaluation.spelling import Speller, rarest
from textdl.protocols import Run, Tokenizer, WordVectors
from textdl.storage import check_output
from textdl.vocabulary import Vocabulary, escape, unescape
from textdl.word2vec import formats

_HEAD = 1 << 16
"""Bytes of a file that say what it is."""
_SEPARATOR = re.compile(r"[ \t\r\0\v\f]")


@dataclass(frozen=True)
class Imported:
    """What a file gave."""

    family: str
    model: Any
    vocab: Vocabulary
    config: dict[str, Any]
    """What is known of the hyper-parameters."""


@dataclass(frozen=True)
class Kind:
    """A kind of file."""

    name: str
    begins: Callable[[bytes], bool]
    """Whether these are the first bytes of one, decompressed."""
    read: Callable[[Path, Tokenizer, Run], Imported]


def import_model(
    file: str | os.PathLike[str],
    *,
    tokenizer: str | Tokenizer = "whitespace",
    output: str | os.PathLike[str] | None = None,
    run: Run | None = None,
) -> Model:
    """A model from a file of another program.

    Args:
        file: an ARPA file or word vectors (word2vec, fastText's .vec, GloVe), plain or compressed (.gz, .bz2, .xz, .zst).
        tokenizer: what cuts text as the text of the model was cut; `whitespace` where it was cut by spaces.
        output: a directory to save to; refused before any work if it holds something else.
        run: receives progress and notes.

    Raises:
        UsageError: it is not there, is nothing that can be imported, or does not go with the tokenizer.
        ModelError: it is damaged; with the number of the line.
    """
    run, path = run or Run(), Path(file)
    if output is not None:
        check_output(Path(output))
    cut = _tokenizer(tokenizer)
    kind = _kind(path)
    with run.timing("reading"):
        found = kind.read(path, cut, run)
    types = len(found.vocab.pieces)
    vectors = isinstance(found.model, WordVectors)
    speller = None
    if not vectors:
        with run.timing("speller"):
            speller = Speller.fit(rarest(found.vocab, {}), found.vocab.pieces, single_code_point=cut.single_code_points)
    run.note(
        f"imported from {path.name}, {kind.name}: {types:,} of {found.model.describe()['dim']} numbers. They can be asked, "
        "evaluated, drawn and exported, but not trained on: a file has the vectors and no more."
        if vectors
        else f"imported from {path.name}, {kind.name}. Unknown words are spelled by a model of the {types:,} types of its "
        "vocabulary, each taken once, since the file does not say which are rare; and whether a text was in its "
        "training text cannot be told."
    )
    card = {
        "family": found.family,
        "textdl": textdl.__version__,
        "imported": {"file": path.name, "kind": kind.name},
        "config": found.config,
        "min_count": 1,
        "tokenizer": {"spec": cut.spec, "fingerprint": cut.fingerprint, "lossless": cut.lossless},
        "vocabulary": {"size": len(found.vocab), "fingerprint": found.vocab.fingerprint},
        "ledger": None,
        "seconds": {stage: round(seconds, 3) for stage, seconds in run.seconds.items()},
        "figures": run.figures,
        "notes": run.notes,
        "interrupted": False,
        "describe": found.model.describe(),
    }
    model = Model(found.family, found.model, cut, found.vocab, card, speller, np.empty(0, np.uint64))
    if output is not None:
        model.save(output)
    return model


def _tokenizer(wanted: str | Tokenizer) -> Tokenizer:
    if isinstance(wanted, Tokenizer):
        return wanted
    if wanted == "auto":
        raise UsageError(
            "--tokenizer auto looks at the text a model is trained on, and here is none. Name the tokenizer that cuts "
            "text as that text was cut: whitespace where its words were separated by spaces."
        )
    return tokenizers.create(wanted)


def _kind(path: Path) -> Kind:
    if not path.is_file():
        what = "is a directory; import takes a file" if path.is_dir() else "no such file. Check the path"
        raise UsageError(f"{path}: {what}.")
    head = b""
    try:
        with opened(path, str(path)) as file:
            some = getattr(file, "read1", file.read)  # what there is before an error
            while len(head) < _HEAD and (data := some(_HEAD - len(head))):
                head += data
    except CorpusError:
        if not head:
            raise  # else whoever reads the file says in which line it is damaged
    for mark, told in NOT_READ.items():
        if head.startswith(mark) or (mark.isascii() and mark in head[:64]):
            raise UsageError(f"{path} is {told.format(path=path, name=path.name)}")
    for kind in KINDS:
        if kind.begins(head):
            return kind
    raise UsageError(
        f"{path} is nothing that can be imported: it begins with {head[:24]!r}. What can be: "
        + ", ".join(kind.name for kind in KINDS)
        + "."
    )


def _is_arpa(head: bytes) -> bool:
    return re.search(rb"^[ \t]*\\data\\[ \t]*\r?$", head.removeprefix(b"\xef\xbb\xbf"), re.MULTILINE) is not None


def _arpa(path: Path, tokenizer: Tokenizer, run: Run) -> Imported:
    from textdl.ngram import arpa_loading

    model, words = arpa_loading.load(path, opened=lambda p: opened(p, str(p)), run=run)
    pieces = words_as_pieces(words.pieces, tokenizer)
    try:
        vocab = Vocabulary(pieces)
    except UsageError as error:
        raise ModelError(
            f"{path}: two of its words read the same in textdl's written form, in which text cut by {tokenizer.spec} "
            "is exchanged. If its words are text as it stands, use --tokenizer whitespace."
        ) from error
    long = next((piece for piece in pieces if len(piece) > 1), "")
    if tokenizer.single_code_points and long:
        raise UsageError(
            f"--tokenizer {tokenizer.spec}: {path} has words of several characters, such as {escape(long)[:40]!r}, which "
            "it never makes of a text. Name the tokenizer that cut the text of the model; whitespace takes words as "
            "they are."
        )
    if tokenizer.spec.partition(",")[0] == "whitespace" and 2 * sum(map(_is_han, pieces)) > len(pieces):
        run.note(
            "most of its words are single Chinese characters, and --tokenizer whitespace cuts text at spaces only. If the "
            "model's text was cut into characters, import it with --tokenizer char."
        )
    run.figures["ngrams"] = model.describe()["ngrams"]
    return Imported("ngram", model, vocab, {"order": model.order})


def words_as_pieces(words: list[str], tokenizer: Tokenizer) -> list[str]:
    """The words of a file as pieces of a tokenizer: read back from textdl's written form, where they are in it."""
    return list(map(unescape, words)) if _written(words, tokenizer) else words


def _is_han(piece: str) -> bool:
    return len(piece) == 1 and unicodedata.name(piece, "").startswith("CJK UNIFIED")


def _written(words: list[str], tokenizer: Tokenizer) -> bool:
    """Whether words are in textdl's written form (`vocabulary.escape`) or stand for themselves.

    Tokenizers whose pieces may be spaces need the written form: no other is known. Text cut by white space
    needs it only where words have characters that it escapes, and then all words are as it writes them.
    """
    if tokenizer.spec.partition(",")[0] != "whitespace":
        return True
    return all(escape(piece := unescape(word)) == word and not _SEPARATOR.search(piece) for word in words)


def _is_vectors(head: bytes) -> bool:
    return formats.layout(head) is not None


def _vectors(path: Path, tokenizer: Tokenizer, run: Run) -> Imported:
    found = formats.read(path, escaped=False, opened=lambda p: opened(p, str(p)))
    for note in found.notes():
        run.note(note)
    vectors = found.vectors
    if _written(words := vectors.vocab.pieces, tokenizer):
        pieces = dict.fromkeys(map(unescape, words))
        if len(pieces) < len(words):
            raise ModelError(
                f"{path}: two of its words read the same in textdl's written form, in which text cut by "
                f"{tokenizer.spec} is exchanged. If its words are text as it stands, use --tokenizer whitespace."
            )
        vectors.vocab = Vocabulary(list(pieces))
    return Imported("word2vec", vectors, vectors.vocab, {})


KINDS = [
    Kind("an n-gram model in the ARPA format", _is_arpa, _arpa),
    Kind("word vectors (word2vec text or binary, fastText's .vec, GloVe's text)", _is_vectors, _vectors),
]

NOT_READ = {
    b"mmap lm http://kheafield.com/code": "a binary file of KenLM's, which only KenLM can read: `textdl eval` does, with "
    "its module. To import, give the ARPA file that build_binary made it from; there is no way back.",
    b"Trie Language Model": "a binary file of pocketsphinx'. Convert it: sphinx_lm_convert -i {name} -o model.arpa",
    b"Darpa Trigram LM": "a binary file of the CMU toolkit's. Convert it: sphinx_lm_convert -i {name} -o model.arpa",
    **formats.FOREIGN,
}
"""First bytes of files that are not read: what they are, and what to do."""
