import json
import math
from dataclasses import replace

import numpy as np
import pytest
from contracts.dummy import Bigram

from textdl.errors import NotComparableError, UsageError
from textdl.evaluation.accuracy import Accuracy
from textdl.evaluation.compare import compare
from textdl.evaluation.perplexity import from_document, to_document
from textdl.evaluation.report import (
    COLUMNS,
    comparison_document,
    comparison_tables,
    format_count,
    format_perplexity,
    report_card,
)
from textdl.evaluation.spelling import Speller
from textdl.protocols import ScorePolicy
from textdl.vocabulary import Vocabulary

from .pieces import Splitter, card, char, subject

LINES = ["ab ab", "a b x", "", "ba ba ba", "xy ab"]


def result(name, *, seed=0, tokenizer=None, pieces=("a", "b", " "), policy=None, lines=LINES, model=None, spell=True):
    tokenizer, vocab = tokenizer or char(), Vocabulary(list(pieces))
    speller = Speller.fit(["x"], vocab.pieces, single_code_point=tokenizer.spec == "char") if spell else None
    model = model or Bigram.random(len(vocab), seed)
    return card(subject(name, model, tokenizer, vocab, speller), lines=lines, policy=policy)[0]


def words(name, **given):
    return result(name, tokenizer=Splitter(), pieces=("ab", "ba", " "), **given)


def impossible(name):
    table = np.full((6, 6), 0.25)
    table[:, [1, 5]] = 0
    return result(name, model=Bigram(table))


def test_same_tokens_compare_by_everything():
    a, b = result("a", seed=1), result("b", seed=2)
    comparison = compare([a, b])
    by_char, by_token = comparison.rankings
    assert (by_char.unit, by_token.unit) == ("bits/char", "ppl/token")
    best = min((a, b), key=lambda r: r.open)
    assert by_char.places[0].result is best
    assert by_char.places[0].difference == 0
    assert by_char.places[1].difference == pytest.approx(abs(a.bits_per_char - b.bits_per_char))
    low, high = by_char.places[1].interval
    assert low <= by_char.places[1].difference <= high
    assert by_token.places[0].value == min(a.ppl_token, b.ppl_token)
    assert comparison.refusals == comparison.labels == []


def test_other_tokens_compare_by_character_only():
    comparison = compare([result("chars"), words("words")])
    assert [r.unit for r in comparison.rankings] == ["bits/char"]
    assert comparison.refusals == ["ppl/token is not compared: chars has 6 char tokens, words has 6 words tokens."]


def test_other_texts_are_refused():
    with pytest.raises(
        NotComparableError, match=r"Nothing is compared across texts: a 5 lines .*; b 4 lines"
    ) as caught:
        compare([result("a"), result("b", lines=LINES[:-1])])
    assert caught.value.exit_code == 3


def test_lossy_is_barred_across_tokenizers_only():
    def lossy(name, seed):
        return result(name, seed=seed, tokenizer=Splitter("lower", r".", lower=True), lines=["AB", "ab"])

    a, b, exact = lossy("a", 1), lossy("b", 2), result("exact", lines=["AB", "ab"])
    comparison = compare([a, b, exact])
    (ranking,) = comparison.rankings
    assert ranking.unit == "ppl/token"
    assert {p.result.model for p in ranking.places} == {"a", "b"}
    assert comparison.refusals[0] == (
        "The tokenizer of a (lower) does not give back 1 of 2 lines (such as 'AB', which comes back as 'ab'). "
        "Not ranked by bits/char."
    )
    with pytest.raises(NotComparableError, match="does not give back 1 of 2 lines"):
        compare([a, exact])


def test_infinite_is_not_ranked():
    comparison = compare([impossible("mle"), result("a"), result("b", seed=1)])
    assert all("mle" not in [p.result.model for p in r.places] for r in comparison.rankings)
    assert comparison.refusals == [
        "mle gives 6 of 28 tokens probability 0, so its total is infinite. Not ranked by bits/char."
    ]


def test_no_speller_and_no_line_ends():
    with pytest.raises(NotComparableError, match="b has 4 unknown tokens and no spelling model"):
        compare([result("a"), words("b", spell=False)])
    half = result("half", policy=ScorePolicy(line_end=False))
    with pytest.raises(NotComparableError, match=r"scored without line ends.*has 6 char tokens and no line ends"):
        compare([result("a"), half])


def test_context_is_a_label():
    comparison = compare([result("a"), result("b", policy=ScorePolicy("stream"))])
    assert len(comparison.rankings) == 2
    assert comparison.labels == ["The models were given different context: a: line; b: stream."]


def test_a_difference_of_nothing_is_not_settled():
    a, b = result("a"), result("b")
    place = compare([a, b]).rankings[0].places[1]
    assert place.interval == (0.0, 0.0)
    assert place.settled is False


def test_rounding_settles_nothing():
    """A model beside its own result from another machine or a file, where every unit is off the same way."""
    a = result("a")
    read = from_document(json.loads(json.dumps(to_document([a]))))[0]
    np.testing.assert_array_equal(read.unit_nats, a.unit_nats)
    off = replace(a, unit_nats=a.unit_nats * (1 + 2e-7), open=a.open * (1 + 2e-7))
    assert compare([a, off]).rankings[0].places[1].settled is False
    off = replace(a, unit_nats=a.unit_nats * (1 + 2e-5), open=a.open * (1 + 2e-5))
    assert compare([a, off]).rankings[0].places[1].settled is True


def test_equal_names_are_numbered():
    comparison = compare([result("a", seed=1), words("b"), result("a", seed=2), result("a", lines=["x"])])
    assert {p.result.model for p in comparison.rankings[0].places} == {"a (1)", "b", "a (3)"}
    assert "a (4) 1 lines" in comparison.refusals[0]


def test_one_hash_with_other_counts_is_another_text():
    a = result("a")
    with pytest.raises(NotComparableError, match="across texts"):
        compare([a, replace(a, text=replace(a.text, characters=10**6))])


def test_what_was_not_counted_is_not_ranked():
    none = result("none", lines=["", ""], policy=ScorePolicy(line_end=False))
    table = report_card([none])
    assert table.rows[0][3:5] == ["-", "-"]
    with pytest.raises(NotComparableError):
        compare([none, none])


def test_a_ranking_beyond_every_float_is_json():
    table = np.array([[1 - 4e-38, 0, 1e-38, 1e-38, 1e-38, 1e-38]] * 6)
    far = [replace(result(n, model=Bigram(table)), closed=1e6) for n in "ab"]
    document = json.loads(json.dumps(comparison_document(compare(far)), allow_nan=False))
    assert document["rankings"][1]["places"][0]["value"] == "inf"


def test_results_from_files_compare_too():
    a, b = result("a", seed=1), words("b", seed=2)
    read = [from_document(json.loads(json.dumps(to_document([r]))))[0] for r in (a, b)]
    here, there = compare([a, b]), compare(read)
    assert [p.result.model for p in here.rankings[0].places] == [p.result.model for p in there.rankings[0].places]
    assert here.rankings[0].places[1].settled is not None
    assert there.rankings[0].places[1].interval == pytest.approx(here.rankings[0].places[1].interval, abs=1e-5)
    bare = [replace(r, unit_nats=None) for r in (a, b)]
    assert compare(bare).rankings[0].places[1].settled is None
    old = replace(b, unit_nats=b.unit_nats[:-1])  # of a version that cut the text into other units
    assert compare([a, old]).rankings[0].places[1].settled is None
    versions = compare([a, replace(b, versions={"textdl": "9.9"})]).labels
    assert "different versions of textdl" in versions[0]


def test_one_result():
    with pytest.raises(UsageError, match="two or more"):
        compare([result("a")])


def test_report_card():
    table = report_card(
        [
            words("w"),
            impossible("mle"),
            result("c"),
            replace(result("l", seed=5), leaked=2, leak_checked=4, size=1234567, bytes=2_000_000),
        ],
        [result("uniform")],
    )
    assert table.columns == list(COLUMNS)
    assert all(len(row) == len(COLUMNS) for row in table.rows)
    assert [row[0] for row in table.rows][3:] == ["mle *", "uniform"]
    assert table.rows[0][8] == "best"
    assert table.rows[1][8].startswith("+")
    assert [row[8] for row in table.rows][3:] == ["-", "-"]
    values = [float(row[7].split()[0]) for row in table.rows[:3]]
    assert values == sorted(values)
    assert next(row for row in table.rows if row[0] == "l")[10:12] == ["1.2 M", "2.0"]
    text = "\n".join(table.footnotes)
    assert "Nothing is known of the training lines of w, mle, c: a leak could not be found." in text
    flattered = replace(result("5-gram of characters"), leaked=1, leak_checked=1)
    assert any(
        "5-gram of characters was trained on 1" in said for said in report_card([words("w")], [flattered]).footnotes
    )
    asked = [Accuracy(n, 1, {1: 0.5}) for n in (9_000, 10_000)]
    said = report_card([words("w"), result("c")], accuracy=asked).footnotes[-1]
    assert "over 9,000 to 10,000 tokens" in said
    assert "* mle gives 6 of 28 tokens probability 0, so its total is infinite; not ranked." in text
    assert (
        "l was trained on 2 of the 4 lines of this text that have 10 characters or more (50.0%), which flatters it."
        in text
    )
    assert "not a probability of the text" in text
    assert "Upper bound, for only one segmentation of the text is scored: w." in text
    assert "Context: line." in text
    assert "Words are those of words (" in text


def test_comparison_tables():
    tables = comparison_tables(compare([result("a"), result("b", seed=1), words("c")]))
    assert len(tables) == 2
    assert all(len(row) == len(table.columns) for table in tables for row in table.rows)
    assert "ppl/token is not compared" in tables[-1].footnotes[-1]


def test_formats():
    assert format_perplexity(math.log(123.456), 1) == "123.46"
    assert format_perplexity(math.log(123456), 1) == "123,456"
    assert format_perplexity(5000.0, 1) == "3.0e+2171"
    assert format_perplexity(math.inf, 3) == "inf"
    assert format_perplexity(None, 3) == format_perplexity(0.0, 0) == "-"
    assert [format_count(x) for x in (950, 12_345, 4.5e6, 1.2e9)] == ["950", "12.3 k", "4.5 M", "1.2 G"]
