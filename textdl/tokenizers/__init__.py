"""Tokenizers: text to pieces and back.

`create("jieba:user.txt,hmm=no")` makes one from what a user types, `load(reader)` one from a saved
model. Each lives in its own file; `sp` models are trained by `sentencepiece.train`.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from textdl.errors import ModelError, UsageError
from textdl.protocols import Tokenizer
from textdl.storage import Reader

NAMES = {
    "char": ("textdl.tokenizers.char", "CharTokenizer"),
    "word": ("textdl.tokenizers.word", "WordTokenizer"),
    "whitespace": ("textdl.tokenizers.whitespace", "WhitespaceTokenizer"),
    "jieba": ("textdl.tokenizers.jieba", "JiebaTokenizer"),
    "sp": ("textdl.tokenizers.sentencepiece", "SentencePieceTokenizer"),
}
"""What comes before the colon in `--tokenizer`, and the class it means. Imported when asked for."""


def create(spec: str) -> Tokenizer:
    """The tokenizer for `NAME[:ARG][,key=value...]`.

    Raises:
        UsageError: unknown name or option, a missing file; the message lists what there is.
    """
    head, *options = spec.split(",")
    name, _, argument = head.partition(":")
    keywords: dict[str, str] = {}
    for option in options:
        key, equals, value = option.partition("=")
        if not equals:
            raise UsageError(f"--tokenizer {spec!r}: expected key=value after the comma, got {option!r}")
        keywords[key.strip()] = value.strip()
    made: Tokenizer = _class(name, spec).from_spec(argument, keywords)
    return made


def load(reader: Reader) -> Tokenizer:
    """The tokenizer that travels with a saved model."""
    config = reader.json("tokenizer/config.json")
    try:
        loaded: Tokenizer = _class(config["name"], config["name"]).from_saved(config["options"], reader)
        fingerprint, identity = config["fingerprint"], config["identity"]
    except (KeyError, TypeError) as error:
        raise ModelError(f"{reader.path('tokenizer/config.json')}: not a tokenizer this textdl knows") from error
    if loaded.fingerprint != fingerprint:
        raise ModelError(
            f"{reader.directory}: its tokenizer {config['name']} was made with {identity}, which this "
            "installation does not reproduce. Install those versions or train again."
        )
    return loaded


def _class(name: str, spec: str) -> Any:
    if name not in NAMES:
        raise UsageError(f"--tokenizer {spec!r}: no such tokenizer; there are {', '.join(NAMES)} (and auto)")
    module, attribute = NAMES[name]
    return getattr(import_module(module), attribute)
