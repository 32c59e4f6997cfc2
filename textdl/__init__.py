"""textdl: word vectors and language models from raw text, and perplexities that can be compared.

    import textdl
    model = textdl.train("ngram", "my.txt", order=5)
    print(textdl.evaluate(model, "held-out.txt")[0].bits_per_char)
    vectors = textdl.train("word2vec", "zh-peoples-daily", tokenizer="jieba")
    vectors.similar("北京")

A str is a path or the name of a built-in corpus; a list is lines. Everything is imported when it is
first used: `import textdl` is quick and leaves torch unloaded.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from textdl.bundle import Model, load
    from textdl.corpus import open_corpora, open_corpus, open_pairs
    from textdl.errors import TextdlError
    from textdl.evaluating import adopt, compare, evaluate, evaluate_vectors
    from textdl.importing import import_model
    from textdl.models import plan, sample, train
    from textdl.translation import train as train_seq2seq
    from textdl.translation import translate

_EXPORTS = {
    "Model": "textdl.bundle",
    "TextdlError": "textdl.errors",
    "adopt": "textdl.evaluating",
    "compare": "textdl.evaluating",
    "evaluate": "textdl.evaluating",
    "evaluate_vectors": "textdl.evaluating",
    "import_model": "textdl.importing",
    "load": "textdl.bundle",
    "open_corpora": "textdl.corpus",
    "open_corpus": "textdl.corpus",
    "open_pairs": "textdl.corpus",
    "plan": "textdl.models",
    "sample": "textdl.models",
    "train": "textdl.models",
    "train_seq2seq": "textdl.translation:train",
    "translate": "textdl.translation",
}
__all__ = [
    "Model", "TextdlError", "__version__", "adopt", "compare", "evaluate", "evaluate_vectors", "import_model", "load",
    "open_corpora", "open_corpus", "open_pairs", "plan", "sample", "train", "train_seq2seq", "translate",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name in _EXPORTS:
        module, _, attribute = _EXPORTS[name].partition(":")
        return getattr(import_module(module), attribute or name)
    if name == "errors":
        return import_module("textdl.errors")
    raise AttributeError(f"module 'textdl' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_EXPORTS})
