"""Recurrent cells, one a file: each by its equations, to be read, and fast."""

from textdl.layers.recurrent.base import RecurrentLayer
from textdl.layers.recurrent.elman import Elman, ElmanReLU
from textdl.layers.recurrent.gru import GRU
from textdl.layers.recurrent.jordan import Jordan
from textdl.layers.recurrent.lstm import LSTM

__all__ = ["CELLS", "GRU", "LSTM", "Elman", "ElmanReLU", "Jordan", "RecurrentLayer"]

CELLS: dict[str, type[RecurrentLayer]] = {
    "lstm": LSTM,
    "gru": GRU,
    "elman": Elman,
    "elman-relu": ElmanReLU,
    "jordan": Jordan,
}
"""What `--cell` takes."""
