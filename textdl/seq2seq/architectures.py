"""The table of architectures."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

from textdl.errors import UsageError
from textdl.seq2seq.model import Seq2SeqModel
from textdl.storage import Reader

ARCHITECTURES = {
    "transformer": ("textdl.seq2seq.transformer", "TransformerSeq2Seq"),
    "rnn": ("textdl.seq2seq.recurrent", "RecurrentSeq2Seq"),
}
"""What `--arch` takes: the file of its Config and `fit`, and the network there."""


def module(arch: str) -> ModuleType:
    """Its Config and `fit`.

    Raises:
        UsageError: there is no such architecture.
    """
    if arch not in ARCHITECTURES:
        raise UsageError(f"--arch {arch}: expected {' or '.join(ARCHITECTURES)}.")
    return import_module(ARCHITECTURES[arch][0])


def load(reader: Reader) -> Seq2SeqModel:
    """The model that `Seq2SeqModel.save` wrote."""
    return Seq2SeqModel.load(reader, lambda arch: getattr(module(arch), ARCHITECTURES[arch][1]))
