import pytest
from hypothesis import given
from hypothesis import strategies as st

from textdl.evaluation.copying import copied, copied_table

LINES = st.lists(st.lists(st.sampled_from("abc"), max_size=8), max_size=6)


def test_by_hand():
    """Training: a b c d. Of the bigrams of the sample, ab and bc are copied, cx is not; of its trigrams, abc."""
    (row,) = copied({"sample": [["a", "b", "c", "x"]]}, [["a", "b", "c", "d"]], lengths=(2, 3, 5))
    assert (row.ngrams, row.found) == ({2: 3, 3: 2, 5: 0}, {2: 2, 3: 1, 5: 0})
    assert row.share(2) == 2 / 3
    assert row.share(5) is None
    assert row.to_dict() == {"model": "sample", "ngrams": {2: 3, 3: 2, 5: 0}, "copied": {2: 2 / 3, 3: 1 / 2, 5: None}}
    table = copied_table([row], "words (1234)")
    assert table.columns == ["text", "2-grams", "3-grams", "5-grams"]
    assert table.rows == [["sample", "66.7", "50.0", "-"]]


@given(LINES, LINES)
def test_against_a_set(texts, training):
    (row,) = copied({"t": texts}, training, lengths=(1, 2, 4))
    for n in (1, 2, 4):
        known = {tuple(line[i : i + n]) for line in training for i in range(len(line) - n + 1)}
        grams = [tuple(line[i : i + n]) for line in texts for i in range(len(line) - n + 1)]
        assert row.found[n] == sum(gram in known for gram in grams)
        assert row.ngrams[n] == len(grams)


def test_what_is_recited_is_seen(english):
    import textdl
    from textdl.errors import CorpusError, UsageError
    from textdl.evaluating import adopt, copying

    model = textdl.train("ngram", english[:40], order=8, smoothing="mle")
    samples, held_out = copying(model, english[:40], english[200:], samples=30)
    assert samples.name == "samples of ngram"
    assert samples.share(10) == 1.0  # maximum likelihood at this order recites
    assert held_out.share(10) < 0.5
    with pytest.raises(CorpusError, match="only blank lines"):  # else nothing would seem to be copied
        copying(model, ["", " "])
    with pytest.raises(UsageError, match="has no score"):
        adopt(object(), "char", [])
