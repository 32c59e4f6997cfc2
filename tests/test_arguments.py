import time

import numpy as np
import pytest

import textdl
from textdl import arguments
from textdl.errors import UsageError
from textdl.word2vec.train import Config

PAIRS = [(f"{i} a b", f"c {i} d") for i in range(60)]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"size": "16"}, "--size '16': expected a whole number"),
        ({"size": 16.5}, "--size 16.5: expected a whole number"),
        ({"dropout": "much"}, "--dropout 'much': expected a number"),
        ({"compile": 1}, "--compile 1: expected True or False"),
        ({"size_": 16}, "--arch transformer has no setting 'size_'; there are accumulate, "),
        ({"budget": "2m"}, "--budget '2m': expected a number of seconds above 0"),
        ({"budget": float("nan")}, "--budget nan: expected a number of seconds above 0"),
        ({"seed": -1}, "--seed -1: expected a whole number from 0 up"),
        ({"vocab_size": 99.5}, "--vocab-size 99.5: expected a whole number"),
        ({"sanity": "yes"}, "--sanity 'yes': expected True or False"),
        ({"tokenizer": 3}, "tokenizer: expected a name such as 'jieba' or a Tokenizer, got 3"),
        ({"source_tokenizer": 3}, "source_tokenizer: expected a name such as 'jieba' or a Tokenizer, got 3"),
    ],
)
def test_what_train_seq2seq_cannot_use_is_named(given, message):
    with pytest.raises(UsageError) as caught:
        textdl.train_seq2seq(PAIRS, **given)
    assert str(caught.value).startswith(message)


def test_numbers_of_numpy_are_numbers():
    config = arguments.config(Config, "word2vec", {"dim": np.int64(7), "alpha": np.float32(0.5)})
    assert (config.dim, type(config.dim), config.alpha, type(config.alpha)) == (7, int, 0.5, float)


def test_what_is_usual_is_taken_where_nothing_is_given_and_the_class_has_it():
    from textdl.neural import recurrent

    assert arguments.config(recurrent.Config, "rnn", {"context": None}, context="stream", other=1).context == "stream"
    assert arguments.config(recurrent.Config, "rnn", {"context": "line"}, context="stream").context == "line"


def test_a_budget_leaves_time_for_saving():
    assert arguments.deadline(None, 5.0) is None
    assert arguments.deadline(1, 5.0) == pytest.approx(5.8)  # a fifth of it
    assert arguments.deadline(np.float32(100.0), time.monotonic()) == pytest.approx(time.monotonic() + 96.0, abs=0.5)
