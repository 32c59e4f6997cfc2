"""The one way from a text to figures: what is shared, what is read how often, and what is asked of whom."""

import numpy as np
import pytest
from contracts.dummy import Bigram

from textdl.encoded import Encoded
from textdl.errors import ModelError, UsageError
from textdl.evaluation.card import Subject
from textdl.evaluation.spelling import Speller
from textdl.protocols import Run, ScorePolicy
from textdl.vocabulary import Vocabulary

from .pieces import Splitter, card, char, subject

LINES = ["ab ab", "a b x", "", "ba ba ba"]


class Counting(list):
    """Lines that count how often they are read."""

    reads = 0

    def __iter__(self):
        self.reads += 1
        return super().__iter__()


class CountingTokenizer(Splitter):
    passes = 0

    def encode_lines(self, lines):
        self.passes += 1
        return super().encode_lines(lines)


def made(name, pieces=("a", "b", " "), tokenizer=None, seed=0, **given):
    vocab = Vocabulary(list(pieces))
    speller = Speller.fit(["x"], vocab.pieces, single_code_point=True)
    return subject(name, Bigram.random(len(vocab), seed), tokenizer or char(), vocab, speller, **given)


def test_models_of_one_tokenizer_share_the_pass():
    tokenizer = CountingTokenizer("char", r".")
    lines = Counting(LINES)
    few = made("few", pieces=("a",), tokenizer=tokenizer)
    together = card(made("one", tokenizer=tokenizer), made("two", tokenizer=tokenizer, seed=1), few, lines=lines)
    assert tokenizer.passes == 1
    assert lines.reads == 2  # once to be counted, once to be tokenized
    for i, one in enumerate([made("one"), made("two", seed=1), made("few", pieces=("a",))]):
        alone = card(one, lines=LINES)[0]
        assert together[i].closed == alone.closed
        assert together[i].open == alone.open
        assert together[i].unknown == alone.unknown
    assert [b.model for b in together.baselines] == ["uniform (one)"]


def test_leaks_of_all_models_in_one_reading():
    lines = ["a line that is long enough", "another line that is long", "short"]
    results = card(made("one", trained=lines[:1]), made("two"), made("three", trained=lines), lines=lines).results
    assert [(r.leaked, r.leak_checked) for r in results] == [(1, 2), (None, None), (2, 2)]


class Translator(Bigram):
    """Knows that the source is the target."""

    def score(self, lines, contexts=None, *, policy=None):
        assert contexts is not None
        for i in range(len(lines)):
            same = np.array_equal(lines.line(i), contexts.line(i))
            yield np.full(len(lines.line(i)) + 1, -0.1 if same else -3.0, np.float32)


def test_source_lines_go_to_those_who_take_them():
    vocab = Vocabulary(["a", "b", " ", "x"])
    seen = []

    def encode_source(lines):
        seen.append(list(lines))
        return Encoded.from_lines([vocab.encode(list(line)) for line in seen[-1]], len(vocab))

    translator = Subject("translator", Translator.random(len(vocab)), char(), vocab, None, encode_source=encode_source)
    with pytest.raises(UsageError, match="translator is a sequence-to-sequence model: give the source lines"):
        card(translator, lines=LINES)
    evaluation = card(made("plain"), translator, lines=LINES, source=list(LINES))
    plain, given = evaluation.results
    assert seen == [LINES]
    assert given.closed == pytest.approx(0.1 * given.tokens, rel=1e-6)
    assert given.source.startswith("sha256:")
    assert plain.source is None
    assert given.context == "line, given the source"
    assert plain.context == "line"


def test_policies_are_settled():
    class Windowed(Bigram):
        def score(self, lines, contexts=None, *, policy=None):
            assert policy.window is not None
            assert policy.stride is not None
            return super().score(lines, contexts, policy=policy)

    vocab = Vocabulary(["a", "b", " ", "x"])
    model = Windowed.random(len(vocab), policy=ScorePolicy("stream", 16, 5))
    one = subject("m", model, char(), vocab, None)
    for asked, done in (
        (None, ScorePolicy("stream", 16, 5)),
        (ScorePolicy("line"), ScorePolicy("line", 16, 5)),
        (ScorePolicy("stream", 6), ScorePolicy("stream", 6, 3)),
        (ScorePolicy("stream", 6, 1), ScorePolicy("stream", 6, 1)),
    ):
        assert card(one, lines=LINES, policy=asked)[0].policy == done


def test_a_model_without_windows_is_given_none():
    asked = ScorePolicy("line", 6)
    assert card(made("m"), lines=LINES, policy=asked)[0].policy == asked


def test_baselines_follow_no_policy_but_in_line_ends():
    class LineOnly(Bigram):
        def score(self, lines, contexts=None, *, policy=None):
            assert policy.unit == "line"
            return super().score(lines, contexts, policy=policy)

    vocab = Vocabulary(["a", "b", " ", "x"])
    simple = subject("characters", LineOnly.random(len(vocab)), char(), vocab, None)
    for line_end in (True, False):
        evaluation = card(made("m"), lines=LINES, baseline=simple, policy=ScorePolicy("stream", line_end=line_end))
        assert evaluation[0].policy == ScorePolicy("stream", line_end=line_end)
        assert [b.model for b in evaluation.baselines] == ["uniform (m)", "characters"]
        assert {b.policy for b in evaluation.baselines} == {ScorePolicy(line_end=line_end)}


def test_what_cannot_be_done_is_said_before_the_text_is_read_and_of_whom():
    class Never(list):
        def __iter__(self):
            raise AssertionError("the text was read")

    class LineOnly(Bigram):
        def score(self, lines, contexts=None, *, policy=None):
            if policy.unit != "line":
                raise UsageError("only line by line")
            return super().score(lines, contexts, policy=policy)

    vocab = Vocabulary(["a"])
    strict = subject("strict", LineOnly.random(len(vocab)), char(), vocab, None)
    with pytest.raises(UsageError, match="strict: only line by line"):
        card(made("easy"), strict, lines=Never(), policy=ScorePolicy("stream"))
    with pytest.raises(UsageError, match="strict: --top 0"):
        card(strict, lines=Never(), top=[0])
    translator = Subject("translator", Translator.random(4), char(), vocab, None, encode_source=lambda lines: None)
    with pytest.raises(UsageError, match="translator is a sequence-to-sequence model"):
        card(made("easy"), translator, lines=Never())


def test_which_model_breaks_the_contract():
    class Broken(Bigram):
        def score(self, lines, contexts=None, *, policy=None):
            for some in super().score(lines, contexts, policy=policy):
                yield some * np.nan if lines.tokens else some

    vocab = Vocabulary(["a", "b", " "])
    with pytest.raises(ModelError, match="broken: The model gave nan as a log-probability"):
        card(made("whole"), subject("broken", Broken.random(len(vocab)), char(), vocab, None), lines=["ab"])


def test_source_lines_that_nobody_takes_or_that_are_too_few():
    run = Run()
    card(made("plain"), lines=LINES, source=LINES, run=run)
    assert run.notes == ["none of the models takes source lines: they are not used"]
    vocab = Vocabulary(["a", "b", " ", "x"])

    def encode_source(lines):
        return Encoded.from_lines([vocab.encode(list(line)) for line in lines], len(vocab))

    translator = Subject("translator", Translator.random(len(vocab)), char(), vocab, None, encode_source=encode_source)
    with pytest.raises(UsageError, match="3 source lines for 4 lines of text"):
        card(translator, lines=LINES, source=LINES[:3])


def test_progress_is_told():
    class Told(Run):
        def __init__(self):
            super().__init__()
            self.stages = []

        def progress(self, stage, done, total, unit, text=""):
            self.stages.append(stage)

    run = Told()
    card(made("one"), lines=["ab"] * 5000, top=[1], run=run)
    assert {"counting the text", "encoding the text", "scoring", "next tokens"} <= set(run.stages)
