import errno
import itertools
import json
import math

import numpy as np
import pytest
from contracts.dummy import Bigram
from hypothesis import given, settings
from hypothesis import strategies as st

from textdl.encoded import EOS, UNK, Encoded
from textdl.errors import CorpusError, ModelError, UsageError
from textdl.evaluation import bootstrap
from textdl.evaluation import score as score_module
from textdl.evaluation.baselines import ContextFree, uniform, unigram
from textdl.evaluation.perplexity import Result, from_document, measure, perplexity, to_document
from textdl.evaluation.score import encoded_texts, score
from textdl.evaluation.spelling import Speller
from textdl.evaluation.text import count_text
from textdl.protocols import ScorePolicy
from textdl.vocabulary import Vocabulary, build

from .pieces import Splitter, card, char, subject


def run(lines, *, model=None, tokenizer=None, vocab=None, speller="fit", policy=None):
    tokenizer = tokenizer or char()
    vocab = vocab if vocab is not None else Vocabulary(["a", "b"])
    model = model or Bigram.random(len(vocab))
    if speller == "fit":
        speller = Speller.fit(["c", "d"], vocab.pieces, single_code_point=tokenizer.spec == "char")
    return card(subject("toy", model, tokenizer, vocab, speller), lines=lines, policy=policy)[0]


def test_hand_worked():
    """Uniform over <unk>, </s>, a, b: 1/4 each. Text "ac", "": a c </s> </s>, c unknown.

    closed 4 log 4 over 4 tokens; excl 3 log 4 over 3; open adds -log P_spell(c) / (1 - S).
    Counts: 3 + 1 characters, as many bytes; 1 word and 2 line ends.
    """
    speller = Speller.fit(["c", "d"], ["a", "b"], single_code_point=True)
    result = run(["ac", ""], model=uniform(5), speller=speller)
    assert (result.tokens, result.line_ends, result.unknown, result.unknown_rate) == (4, 2, 1, 0.5)
    assert result.closed == pytest.approx(4 * math.log(4), rel=1e-6)
    assert result.excl == pytest.approx(3 * math.log(4), rel=1e-6)
    assert result.open == pytest.approx(result.closed - speller.log_prob_unknown("c"), rel=1e-12)
    assert result.ppl_token == pytest.approx(4, rel=1e-6)
    assert result.excl_ppl_token == pytest.approx(4, rel=1e-6)
    assert result.ppl_char == pytest.approx(math.exp(result.open / 4))
    assert result.ppl_word == pytest.approx(math.exp(result.open / 3))
    assert result.bits_per_char == result.bits_per_byte == pytest.approx(result.open / 4 / math.log(2))
    assert result.unique
    np.testing.assert_allclose(result.unit_nats, [result.open - math.log(4), math.log(4)], rtol=1e-6)
    np.testing.assert_array_equal(result.unit_characters, [3, 1])


@pytest.mark.parametrize("size", [4, 5, 30, 1000])
def test_uniform_perplexity_is_the_size_of_the_vocabulary(size):
    vocab = Vocabulary([chr(0x4E00 + i) for i in range(size - 3)])
    assert run(["一丁", "", "X"], vocab=vocab, model=uniform(size)).ppl_token == pytest.approx(size - 1, rel=1e-6)


def test_unigram():
    vocab, encoded, _ = build([["a", "a"], ["b"]])
    # counts: </s> 2, a 2, b 1, <unk> 0; plus one each: 3, 3, 2, 1 of 9
    np.testing.assert_allclose(np.exp(unigram(vocab).log_probs), [1 / 9, 0, 3 / 9, 3 / 9, 2 / 9], rtol=1e-6)
    assert isinstance(unigram(vocab), ContextFree)
    assert np.concatenate(list(unigram(vocab).score(encoded))).shape == (5,)


LINES = st.lists(st.text("ab中xé 😀", max_size=12), min_size=1, max_size=12)


@settings(deadline=None, max_examples=40)
@given(LINES, st.integers(0, 3))
def test_open_is_never_below_closed_and_text_never_cheapens(lines, seed):
    model = Bigram.random(5, seed)
    result = run(lines, model=model)
    assert result.open >= result.closed >= result.excl
    assert (result.open == result.closed) == (result.unknown == 0)
    assert run([*lines, "a"], model=model).open > result.open
    assert result.open == pytest.approx(result.unit_nats.sum(), rel=1e-12)


@settings(deadline=None, max_examples=30)
@given(LINES, st.integers(1, 7), st.booleans())
def test_nothing_depends_on_blocks(lines, block, line_end):
    """The same totals when tokens are taken a few at a time and when ids are spooled to files."""
    policy = ScorePolicy(line_end=line_end)
    whole = run(lines, policy=policy)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(score_module, "_BLOCK", block)
        patch.setattr(score_module, "_IN_MEMORY", block)
        patch.setattr(score_module, "_LONG", 2 * block)
        parts = run(lines, policy=policy)
    assert parts.closed == pytest.approx(whole.closed, rel=1e-12)
    assert parts.excl == pytest.approx(whole.excl, rel=1e-12)
    assert (parts.tokens, parts.unknown, parts.excl_tokens) == (whole.tokens, whole.unknown, whole.excl_tokens)
    if line_end:
        assert parts.open == pytest.approx(whole.open, rel=1e-12)
        np.testing.assert_allclose(parts.unit_nats, whole.unit_nats, rtol=1e-12)
    else:
        assert parts.open is None
        assert whole.tokens == sum(map(len, lines))


def test_the_open_model_sums_to_one_over_piece_sequences(monkeypatch):
    """Closed alphabet x, y, z; vocabulary x; a bigram model and a single-code-point speller.

    Every text of n characters is one sequence of pieces: over all texts of at most n characters, and
    the mass that the model leaves to longer ones, the open probabilities sum to 1.
    """
    monkeypatch.setattr(bootstrap, "MAX_UNITS", 10_000)  # every line is looked at by itself
    model, vocab = Bigram.random(4, 3), Vocabulary(["x"])
    speller = Speller.fit({"y": 3, "z": 1}, ["x"], single_code_point=True, blocks=[range(ord("x"), ord("z") + 1)])
    lines = ["".join(s) for n in range(8) for s in itertools.product("xyz", repeat=n)]
    result = run(lines, model=model, vocab=vocab, speller=speller)
    ended = np.exp(-result.unit_nats).sum()
    # the mass of longer texts, by the model's own transition matrix over unk and x
    table = np.exp(model.table.astype(np.float64))
    mass = table[1, [0, 3]]
    for _ in range(7):
        mass = mass @ table[np.ix_([0, 3], [0, 3])]
    assert ended + mass.sum() == pytest.approx(1, abs=1e-6)


def test_the_open_model_sums_to_at_most_one_over_texts():
    """Pieces of one or two characters, one segmentation each: what other segmentations hold is lost."""
    tokenizer = Splitter("pairs", r"ab|.")
    vocab = Vocabulary(["a", "ab"])
    model = Bigram.random(5, 1)
    blocks = [range(ord("a"), ord("c"))]
    speller = Speller.fit({"b": 2, "bb": 1}, vocab.pieces, single_code_point=False, order=2, blocks=blocks)
    lines = ["".join(s) for n in range(10) for s in itertools.product("ab", repeat=n)]
    result = run(lines, model=model, tokenizer=tokenizer, vocab=vocab, speller=speller)
    assert 0.1 < np.exp(-result.unit_nats).sum() < 1
    assert not result.unique


def test_zero_probability_is_counted_and_infinite():
    table = np.full((5, 5), 0.25)
    table[:, 1] = 0
    table[:, 4] = 0
    result = run(["ab", "b", "a"], model=Bigram(table))
    assert (result.zeros, result.closed, result.open, result.ppl_char) == (2, math.inf, math.inf, math.inf)
    assert result.interval is None
    text = json.dumps(result.to_dict(), allow_nan=False)
    assert json.loads(text)["open"]["nats"] == "inf"
    assert Result.from_dict(json.loads(text), result.text) == result


def test_lossy():
    result = run(["ab", "Ab", "AA"], tokenizer=Splitter("lower", r".", lower=True))
    assert (result.lossy_lines, result.lossy_example) == (2, ("Ab", "ab"))


def test_without_a_speller():
    assert run(["ab"], speller=None).open == run(["ab"]).open
    unknown = run(["ax"], speller=None)
    assert unknown.open is None
    assert unknown.bits_per_char is None
    assert unknown.ppl_word is None
    assert math.isfinite(unknown.ppl_token)


def test_blank_lines_and_single_line():
    blank = run(["", "", ""])
    assert (blank.tokens, blank.unknown_rate) == (3, 0.0)
    assert math.isfinite(blank.open)
    assert run(["ab"]).interval is None
    assert run(["", ""], policy=ScorePolicy(line_end=False)).tokens == 0


def test_stream_policy_is_followed():
    model = Bigram.random(5)
    stream = run(["a", "b"], model=model, policy=ScorePolicy("stream"))
    assert stream.policy == ScorePolicy("stream")
    assert stream.closed != run(["a", "b"], model=model).closed


def test_interval_covers_the_figure():
    lines = ["ab" * (i % 7) + "x" * (i % 3) for i in range(60)]
    result = run(lines)
    low, high = result.interval
    assert low < result.bits_per_char < high
    assert result.interval == run(lines).interval


def test_a_full_disk_is_told_with_its_place(monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(score_module._Ids, "append", full)
    with pytest.raises(CorpusError, match=r"a temporary file in .*No space left"):
        run(["ab", "ba"])


def test_document_round_trip():
    vocab = Vocabulary(["a", "b"])
    lines = ["ab", "ba", "x"]
    counts = count_text(lines, Splitter())
    speller = Speller.fit([], vocab.pieces, single_code_point=True)
    with encoded_texts([subject("m", None, char(), vocab, speller)], lines, 3) as (text,):
        results = [measure(Bigram.random(5, i), text, counts, name=f"m{i}", leaked=0) for i in range(2)]
        simple = [measure(uniform(5), text, counts, name="uniform")]
    document = json.loads(json.dumps(to_document(results, simple), allow_nan=False))
    assert set(document) == {"text", "models", "baselines"}
    assert set(document["models"][0]["open"]) >= {"nats", "ppl_word", "ppl_char", "bits_per_char", "bits_per_byte"}
    assert from_document(document) == results
    for wrong in ([], {"models": []}, {"text": counts.to_dict(), "models": [{"model": "x"}]}):
        with pytest.raises(ModelError, match="not results of"):
            from_document(wrong)


def document(**given):
    """What `eval --json` writes of a small text with one unknown token."""
    return json.loads(json.dumps(to_document([run(["ab", "ax", "b"], **given)])))


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("models", 0, "open", "nats"), -5.0, "no total of surprisals"),
        (("models", 0, "open", "nats"), math.nan, "no total of surprisals"),
        (("models", 0, "open", "nats"), 1e-3, "do not rise"),
        (("models", 0, "open", "nats"), "inf", "its units have"),
        (("models", 0, "open", "bits_per_char"), 0.1, "open bits_per_char is 0.1, and .* by its totals"),
        (("models", 0, "open", "nats"), None, "open ppl_word is .*, and None by its totals"),
        (("models", 0, "open", "ppl_word"), 3.0, "open ppl_word is 3.0"),
        (("models", 0, "open", "bits_per_byte"), None, "open bits_per_byte is None"),
        (("models", 0, "open", "bits_per_char_interval"), [math.nan, 1.0], "bits/char are between nan and 1"),
        (("models", 0, "open", "bits_per_char_interval"), [2.0, 1.0], "bits/char are between 2 and 1"),
        (("models", 0, "closed", "ppl_token"), 3, "closed ppl_token is 3"),
        (("models", 0, "excl", "nats"), 1.0, "excl ppl_token is"),
        (("models", 0, "unknown", "rate"), 0.5, "unknown rate is 0.5"),
        (("models", 0, "tokens_per_second"), math.nan, "tokens_per_second is nan"),
        (("models", 0, "keys", "text"), "x", "keys text is 'x'"),
        (("models", 0, "policy"), {}, "not results of"),
        (("models", 0, "closed", "nats"), "inf", "0 tokens of probability 0"),
        (("models", 0, "zero_probability"), 2, "2 tokens of probability 0"),
        (("models", 0, "tokens"), 0, "are not 0"),
        (("models", 0, "tokens"), "8", "'8' is no count"),
        (("models", 0, "tokens"), True, "is no count"),
        (("models", 0, "line_ends"), 2, "2 line ends were counted of 3 lines"),
        (("models", 0, "unknown", "tokens"), 2, "2 unknown and 7 other tokens are not 8"),
        (("models", 0, "lossy", "lines"), 4, "4 of 3 lines"),
        (("models", 0, "lossy", "lines"), "x", "is no count"),
        (("models", 0, "units", "nats"), [1.0, 2.0, 3.0], "its units have 6 nats"),
        (("models", 0, "units", "nats"), [1.0], "its units do not have"),
        (("models", 0, "units", "nats"), [[1.0], [2.0], [3.0]], "its units do not have"),
        (("models", 0, "units", "characters"), [1, 2, 3], "its units do not have the 8 characters"),
        (("models", 0, "units"), None, None),
        (("models", 0, "policy", "unit"), "page", "expected 'line' or 'stream'"),
        (("models", 0, "policy", "window"), 0, "from 1 up"),
        (("models", 0, "model"), 5, "5 is no text"),
        (("models", 0, "keys", "token"), 5, "5 is no text"),
        (("models", 0, "versions"), None, "not results of"),
        (("models", 0, "versions"), [], "not results of"),
        (("models", 0), "a", "not results of"),
        (("models",), [], 'there are no "models"'),
        (("models",), "x", 'there are no "models"'),
        (("text", "characters"), 7, "its units do not have the 7 characters"),
        (("text", "words"), 9, "open ppl_word"),
        (("text", "bytes"), 9, "open bits_per_byte"),
        (("text", "characters"), 0, "cannot have"),
        (("text", "characters"), "x", "the characters of the text"),
        (("text", "bytes"), 3, "cannot have"),
        (("text", "lines"), 0, "cannot have"),
        (("text", "sha256"), 5, "the sha256 of the text"),
        (("text", "sha256"), "x", "keys text is"),
    ],
)
def test_results_that_were_changed_are_refused(path, value, message):
    found = document()
    assert len(from_document(found)) == 1
    at = found
    for step in path[:-1]:
        at = at[step]
    at[path[-1]] = value
    if message is None:
        assert from_document(found)
        return
    with pytest.raises(ModelError, match=message):
        from_document(found)


@pytest.mark.parametrize("policy", [ScorePolicy(), ScorePolicy(line_end=False), ScorePolicy("stream")])
@pytest.mark.parametrize("zero", [False, True])
def test_whatever_is_written_is_read(policy, zero):
    table = np.full((5, 5), 0.25)
    table[:, [1, 4] if zero else [1]] = 0
    found = document(model=Bigram(table), policy=policy)
    assert json.loads(json.dumps(to_document(from_document(found)))) == found


def test_nothing_counted_is_no_perplexity():
    blank = run(["", ""], policy=ScorePolicy(line_end=False)).to_dict()
    assert blank["closed"]["ppl_token"] is blank["excl"]["ppl_token"] is None
    strange = run(["xy"], policy=ScorePolicy(line_end=False)).to_dict()
    assert strange["excl"]["ppl_token"] is None
    assert strange["closed"]["ppl_token"] > 1


def test_perplexity_of_extremes():
    assert perplexity(0, 0) == 1
    assert perplexity(1e6, 1) == math.inf
    assert perplexity(math.inf, 3) == math.inf


def encoded(lines, vocab=("a", "b"), number=None):
    reader = subject("m", None, char(), Vocabulary(list(vocab)), None)
    return encoded_texts([reader], lines, len(lines) if number is None else number)


def test_refused():
    with pytest.raises(CorpusError, match="read more than once"):
        run(iter(["ab", "b"]))
    with (
        pytest.raises(CorpusError, match="had 1 lines when it was counted, and now more"),
        encoded(["a", "b"], number=1),
    ):
        pass
    with pytest.raises(CorpusError, match="empty"), encoded([]):
        pass
    with pytest.raises(UsageError, match="a model of 6 tokens and a vocabulary of 5"):
        run(["a"], model=Bigram.random(6))
    with pytest.raises(UsageError, match="no model to evaluate"):
        card(lines=["a"])
    with encoded(["a", "b"]) as (text,), pytest.raises(UsageError, match="1 source lines for 2 lines"):
        score(Bigram.random(5), text, contexts=Encoded.from_lines([[3]], 5))


class Broken(Bigram):
    def __init__(self, change):
        super().__init__(np.full((5, 5), 0.25))
        self._change = change

    def score(self, lines, contexts=None, *, policy=None):
        yield self._change(np.concatenate(list(super().score(lines, policy=policy))))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda a: a[:-1], "each token and line end must be scored exactly once"),
        (lambda a: np.r_[a, a], "exactly once"),
        (lambda a: a * np.float32(np.nan), "gave nan as a log-probability"),
        (lambda a: -a, "gave 1.38.* as a log-probability"),
    ],
)
def test_a_model_that_breaks_the_contract(change, message):
    with (
        encoded(["ab", "a"]) as (text,),
        pytest.raises(ModelError, match=message),
    ):
        score(Broken(change), text)


def test_unknown_costs_belong_to_their_tokens():
    """Each unknown token carries its own spelling, whatever lies between."""
    vocab = Vocabulary(["a"])
    speller = Speller.fit({"b": 100, "c": 1}, ["a"], single_code_point=True)
    lines = ["abac", "", "cb", "b"]
    result = run(lines, model=uniform(4), vocab=vocab, speller=speller)
    cost = {c: -speller.log_prob_unknown(c) for c in "bc"} | {"a": 0.0}
    expected = [(len(s) + 1) * math.log(3) + sum(cost[c] for c in s) for s in lines]
    np.testing.assert_allclose(result.unit_nats, expected, rtol=1e-6)
    assert (UNK, EOS) == (0, 2)
