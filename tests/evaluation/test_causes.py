"""Why perplexities do not compare: twelve causes, each refused, labelled or impossible here.

The list is what users of other tools ran into, issue by issue; a test stands for each.
"""

import math
import re

import numpy as np
import pytest
from conftest import chatter, hanzi
from contracts.dummy import Bigram

import textdl
from textdl.encoded import UNK
from textdl.errors import NotComparableError
from textdl.evaluation.baselines import uniform
from textdl.evaluation.compare import compare
from textdl.evaluation.report import report_card
from textdl.evaluation.spelling import Speller
from textdl.layers import language_model
from textdl.protocols import ScorePolicy
from textdl.vocabulary import Vocabulary

from .pieces import card, char, subject

TEST = [*chatter(20, 7), "", "the cat saw Qwzx again."]


@pytest.fixture(scope="module")
def models():
    """Characters, words, and words of a smaller vocabulary."""
    train = chatter(300)
    return {
        "char": textdl.train("ngram", train, tokenizer="char", order=4),
        "word": textdl.train("ngram", train, order=3),
        "few": textdl.train("ngram", train, order=3, max_vocab=8),
    }


@pytest.fixture(scope="module")
def results(models):
    return dict(zip(models, textdl.evaluate(list(models.values()), TEST).results, strict=True))


def test_1_other_tokens(results):
    """A perplexity of characters beside one of words: refused per token, ranked by bits/char."""
    comparison = compare([results["char"], results["word"]])
    assert [ranking.unit for ranking in comparison.rankings] == ["bits/char"]
    assert any(said.startswith("ppl/token is not compared") for said in comparison.refusals)
    assert results["char"].ppl_token < results["word"].ppl_token  # and means nothing
    assert results["char"].bits_per_char > results["word"].bits_per_char


def test_2_per_word_per_byte_per_token(results):
    """One total, and every figure names what it is divided by."""
    chinese = textdl.evaluate(textdl.train("ngram", hanzi(20), tokenizer="char", order=2), hanzi(3, 1))[0]
    assert chinese.text.bytes == 3 * chinese.text.characters - 2 * chinese.text.lines  # a line end is one byte
    for r in [*results.values(), chinese]:
        total = r.open
        assert math.log(r.ppl_word) * r.text.words == pytest.approx(total)
        assert math.log(r.ppl_char) * r.text.characters == pytest.approx(total)
        assert r.bits_per_char * r.text.characters * math.log(2) == pytest.approx(total)
        assert r.bits_per_byte * r.text.bytes * math.log(2) == pytest.approx(total)
    columns = report_card(list(results.values())).columns
    assert {"closed ppl/token", "open ppl/word", "ppl/char", "bits/char", "bits/byte"} < set(columns)
    assert "perplexity" not in columns


def test_3_what_a_word_is():
    """A word is one of a declared segmenter; where the declarations differ, ppl/word is refused."""
    lines = ["".join(part) for part in zip(hanzi(6, 1), hanzi(6, 2), strict=True)]
    model = textdl.train("ngram", hanzi(200), tokenizer="char", order=3)
    by_jieba = textdl.evaluate(model, lines)[0]
    by_space = textdl.evaluate(model, lines, words="whitespace")[0]
    assert by_space.text.words == 2 * len(lines)  # a line of Chinese is one "word" between spaces
    assert by_jieba.text.words > 5 * len(lines)
    assert by_jieba.text.segmenter.startswith("jieba")
    assert by_jieba.bits_per_char == pytest.approx(by_space.bits_per_char)
    refusals = compare([by_jieba, by_space]).refusals
    assert any(re.search(r"ppl/word is not compared.*jieba \(.*whitespace \(", said) for said in refusals)


def test_4_unknown_words_are_not_free(results):
    """A smaller vocabulary lowers the closed figure, and raises the one that ranks."""
    word, few = results["word"], results["few"]
    assert few.unknown_rate > 3 * word.unknown_rate > 0
    assert few.ppl_token < word.ppl_token
    assert few.bits_per_char > word.bits_per_char
    assert few.open > few.closed
    assert "ppl/token" not in [ranking.unit for ranking in compare([word, few]).rankings]
    notes = " ".join(report_card([word, few]).footnotes)
    assert "not a probability of the text" in notes


def test_4_without_context_an_unknown_word_in_place_of_a_known_one_never_lowers_the_total():
    """Of a model that looks at nothing and gives <unk> no more than any word."""
    model = textdl.train("ngram", chatter(300), order=1)
    line = "the cat saw a bird in the garden today."
    before = textdl.evaluate(model, [line])[0]
    assert before.unknown == 0
    words = line.split(" ")
    for i in range(len(words) - 1):
        changed = " ".join([*words[:i], "q" * len(words[i]) + "zx", *words[i + 1 :]])
        after = textdl.evaluate(model, [changed])[0]
        assert after.unknown == 1
        assert after.open > before.open


@pytest.mark.parametrize("smoothing", ["kneser-ney", "absolute", "witten-bell", "add-k"])
def test_4_the_token_itself_is_never_cheaper_unknown(smoothing):
    """In every context, where no word of the training text was made <unk>: <unk> has what smoothing gives to each word
    that was not seen, and its spelling comes on top."""
    train = chatter(100)
    model = textdl.train("ngram", train, order=3, smoothing=smoothing)
    pieces = [model.tokenizer.encode(line) for line in train[:40]]
    prefixes = [*[line[:k] for line in pieces for k in range(len(line))], ["Qwzx"], ["the", "Qwzx"]]
    log_probs, _ = model.language_model.start(prefixes=model.vocab.encode_lines(prefixes))
    known = np.delete(log_probs, [UNK, 1], axis=1)
    assert (log_probs[:, UNK] <= known.min(1) + 1e-6).all()
    assert (model.speller.log_probs_unknown(["Qwzx", "q", "the cat"]) <= 0).all()


def test_4_where_the_total_may_fall():
    """Two cases that are no flaw, for the probabilities sum to 1 in both: docs/evaluation.md tells of them.

    <unk> was trained on rare words and is likelier than a known word: P(<unk>) = 0.9, P(rare) = 1e-6. And what follows
    is predicted from another history: P(b | a) = 1e-6, P(b | <unk>) = 0.9.
    """
    speller = Speller.fit({"x": 1000}, ["r", "a", "b"], single_code_point=True)

    def total(table, line):
        one = subject("m", Bigram(table), char(), Vocabulary(["r", "a", "b"]), speller)
        return card(one, lines=[line])[0].open

    likely = np.tile([0.9, 0, 0.05, 1e-6, 0.04, 0.01 - 1e-6], (6, 1))
    assert total(likely, "x") < total(likely, "r")
    history = np.tile([0.2, 0, 0.2, 0.2, 0.2, 0.2], (6, 1))
    history[4] = [0.25, 0, 0.25, 0.25, 0.25 - 1e-6, 1e-6]  # after a
    history[0] = [0.02, 0, 0.02, 0.03, 0.03, 0.9]  # after <unk>
    assert total(history, "xb") < total(history, "ab")


def test_5_size_of_the_vocabulary():
    """The vocabulary is in the token key, and the uniform model shows what its size alone is worth."""
    lines = ["ab", "ba"]
    small = card(subject("small", uniform(5), char(), Vocabulary(["a", "b"]), None), lines=lines)[0]
    large = card(
        subject("large", uniform(1003), char(), Vocabulary([chr(97 + i) for i in range(1000)]), None), lines=lines
    )[0]
    assert (round(small.ppl_token), round(large.ppl_token)) == (4, 1002)
    assert "ppl/token" not in [r.unit for r in compare([small, large]).rankings]
    again = card(subject("again", uniform(5), char(), Vocabulary(["b", "a"]), None), lines=lines)[0]
    assert again.token_key == small.token_key  # the order of the pieces is no difference


def test_6_line_ends(models):
    """Counted in numerator and denominator, for every model; without them nothing compares with them."""
    model = models["char"]
    without = textdl.evaluate(model, TEST, policy=ScorePolicy("line", line_end=False))[0]
    whole = textdl.evaluate(model, TEST)[0]
    assert whole.tokens - without.tokens == len(TEST) == whole.line_ends
    assert without.closed < whole.closed  # both the cost and the count are gone
    assert without.open is None
    assert "no line end" in str(without.policy)
    with pytest.raises(NotComparableError, match="scored without line ends"):
        compare([whole, without])


def test_7_the_beginning_is_given_and_never_scored(models):
    """Every first token is predicted from <s>, which costs nothing and is not counted."""
    for model in models.values():
        result = textdl.evaluate(model, ["the"])[0]
        assert result.tokens == len(model.tokenizer.encode("the")) + 1
        first, _ = model.language_model.start()
        assert first[0, 1] == -np.inf
        ids = model.vocab.encode_lines([model.tokenizer.encode("the")])
        assert next(iter(model.language_model.score(ids)))[0] == pytest.approx(first[0, ids.ids[0]], rel=1e-5)


@pytest.fixture(scope="module")
def networks():
    train = chatter(120)
    small = {"epochs": 1, "seed": 1}
    return [
        textdl.train("rnn", train, embedding_size=8, hidden_size=8, context="stream", **small),
        textdl.train("transformer", train, embedding_size=16, heads=2, layers=1, window=16, context="stream", **small),
    ]


def test_8_window_and_stride_are_in_the_result(networks):
    _, model = networks
    short = textdl.evaluate(model, TEST, policy=ScorePolicy("stream", 4, 4))[0]
    long = textdl.evaluate(model, TEST, policy=ScorePolicy("stream", 16, 1))[0]
    assert short.closed != pytest.approx(long.closed, rel=1e-4)
    assert short.tokens == long.tokens  # each exactly once, whatever the stride
    labels = compare([short, long]).labels
    assert any("different context" in said and "window 4, stride 4" in said for said in labels)
    assert textdl.evaluate(model, TEST, policy=ScorePolicy("stream"))[0].policy == ScorePolicy("stream", 16, 8)


@pytest.mark.parametrize("unit", ["line", "stream"])
def test_9_batches_padding_and_state(networks, monkeypatch, unit):
    """The same total to 1e-6, however tokens are batched and padded; what is carried over is said."""
    for model in networks:
        totals = []
        for rows, positions, steps, block in (
            (128, 8192, 1024, 1 << 17),
            (1, 7, 3, 5),
            (3, 40, 16, 64),
            (128, 50, 2, 30),
        ):
            for name, value in (("_ROWS", rows), ("_POSITIONS", positions), ("_STEPS", steps), ("_BLOCK", block)):
                monkeypatch.setattr(language_model, name, value)
            result = textdl.evaluate(model, TEST, policy=ScorePolicy(unit))[0]
            totals.append(result.closed)
            assert result.context.startswith(unit)
        np.testing.assert_allclose(totals, totals[0], rtol=1e-6)


def test_9_carried_and_reset_state_are_told_apart(networks):
    rnn, _ = networks
    line, stream = (textdl.evaluate(rnn, TEST, policy=ScorePolicy(unit))[0] for unit in ("line", "stream"))
    assert line.closed != pytest.approx(stream.closed, rel=1e-6)
    assert any("line; " in said and "stream" in said for said in compare([line, stream]).labels)


def test_10_lines_are_never_averaged():
    """Uniform over 4: a line of 1 token and one of 99 have ppl 4 each; another model shows the difference.

    P(a) = 1/2, P(b) = 1/8 in any place: "a" and 99 b. Mean of the lines' ppl: (ppl(a) + ppl(b...)) / 2; the ppl of the
    text weights tokens alike.
    """
    table = np.tile([0.25, 0, 0.125, 0.5, 0.125], (5, 1))
    lines = ["a", "b" * 99]
    speller = Speller.fit([], ["a", "b"], single_code_point=True)
    result = card(subject("m", Bigram(table), char(), Vocabulary(["a", "b"]), speller), lines=lines)[0]
    one, other = math.log(2) + math.log(8), 100 * math.log(8)  # a </s>; 99 b </s>
    assert result.ppl_token == pytest.approx(math.exp((one + other) / 102), rel=1e-6)
    averaged = (math.exp(one / 2) + math.exp(other / 100)) / 2
    assert abs(result.ppl_token - averaged) > 1


def test_11_bases_of_logarithms(results):
    """Nats and bits are named, and a perplexity is the same from either."""
    r = results["char"]
    bits = r.closed / math.log(2)
    assert 2 ** (bits / r.tokens) == pytest.approx(math.exp(r.closed / r.tokens)) == pytest.approx(r.ppl_token)
    document = r.to_dict()
    assert set(document["closed"]) == {"nats", "ppl_token"}
    assert {name for name in document["open"] if name.startswith("bits")} == {
        "bits_per_char", "bits_per_char_interval", "bits_per_byte",
    }  # fmt: skip


def test_12_text_changed_before_scoring(models):
    """The raw text is hashed: another text is refused; a tokenizer that changes it is found by decoding."""
    changed = [line.replace(".", " .") for line in TEST]
    same_size = [line.replace(".", "!") for line in TEST]
    one = textdl.evaluate(models["char"], TEST)[0]
    for text in (changed, same_size):
        with pytest.raises(NotComparableError, match="Nothing is compared across texts"):
            compare([one, textdl.evaluate(models["char"], text)[0]])
    lowered = textdl.train("ngram", chatter(300), tokenizer="word,lower=yes", order=3)
    with pytest.raises(NotComparableError, match="does not give back 2 of 22 lines"):
        compare([one, textdl.evaluate(lowered, TEST)[0]])
    returned = textdl.evaluate(models["char"], [line.replace("the", "ｔｈｅ") for line in TEST])[0]
    with pytest.raises(NotComparableError, match="Nothing is compared across texts"):
        compare([one, returned])  # what NFKC would make one text is two
