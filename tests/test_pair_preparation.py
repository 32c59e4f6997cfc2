import numpy as np
import pytest

from textdl.corpus import open_pairs
from textdl.errors import CorpusError, UsageError
from textdl.pair_preparation import Profile, prepare_pairs
from textdl.protocols import Run

WORDS = ["the", "small", "house", "stands", "near", "old", "river", "and", "many", "people", "see", "it"]
OTHER = ["das", "kleine", "haus", "steht", "beim", "alten", "fluss", "und", "viele", "leute", "sehen", "es"]


def sentences(number=300, seed=1):
    """English of random length and word for word German."""
    rng = np.random.default_rng(seed)
    rows = [rng.integers(0, len(WORDS), rng.integers(2, 12)) for _ in range(number)]
    return [[" ".join(words[i] for i in row) for row in rows] for words in (WORDS, OTHER)]


def prepared(source, target, run=None, **options):
    return prepare_pairs(
        open_pairs(source, target), **({"valid": None, "tokenizer": "word"} | options), run=run or Run()
    )


def test_pairs_of_one_script_have_one_vocabulary():
    made = prepared(*sentences())
    assert made.joint
    assert made.source is made.target
    assert set(WORDS + OTHER) <= set(made.target.vocab.pieces)
    source, target = (side.epoch(0) for side in made.data)
    assert len(source) == len(target) == made.ledger.kept - len(made.valid[0])
    first = next(iter(made.pairs))
    assert made.source.tokenizer.decode([made.source.vocab.piece(i) for i in source.line(0)]) == first[0]
    assert made.target.tokenizer.decode([made.target.vocab.piece(i) for i in target.line(0)]) == first[1]
    assert 1 <= len(made.shown) <= 3


def test_scripts_apart_have_vocabularies_apart():
    run = Run()
    source, _ = sentences()
    made = prepared(
        source, ["".join(chr(0x4E00 + len(w)) for w in line.split()) for line in source], run, tokenizer="auto"
    )
    assert not made.joint
    assert any("each side apart" in note for note in run.notes)
    assert made.source.vocab is not made.target.vocab


def test_a_source_tokenizer_of_its_own():
    made = prepared(*sentences(), source_tokenizer="char")
    assert (made.source.tokenizer.spec, made.target.tokenizer.spec) == ("char", "word")
    assert not made.joint
    with pytest.raises(UsageError, match="--joint"):
        prepared(*sentences(), source_tokenizer="char", joint=True)


def test_files_out_of_step_are_told():
    source, target = sentences()
    run = Run()
    prepared(source, [*target[1:], "es"], run)
    assert any("out of step" in note and "line i+1 of the source" in note for note in run.notes)
    run = Run()
    prepared(source, target, run)
    assert not any("step" in note for note in run.notes)


def test_lines_that_have_nothing_to_do_with_each_other_are_told():
    source, _ = sentences()
    _, target = sentences(seed=9)
    run = Run()
    prepared(source, target, run)
    assert any("do the lines belong together" in note for note in run.notes)


def test_files_of_unequal_length_are_refused():
    source, target = sentences()
    with pytest.raises(CorpusError, match="do not belong together"):
        prepared(source, target[:-1])


def test_exchanged_sides_of_held_out_pairs_are_told():
    source, target = sentences()
    a, b = sentences(50, seed=2)
    run = Run()
    prepared(source, target, run, valid=open_pairs(b, a))
    assert any("exchanged" in note for note in run.notes)
    run = Run()
    prepared(source, target, run, valid=open_pairs(a, b))
    assert not any("exchanged" in note for note in run.notes)


def test_held_out_pairs_of_another_script_are_told():
    run = Run()
    prepared(*sentences(), run, valid=open_pairs(["привет мир"] * 20, ["das haus"] * 20))
    assert any("source tokens" in note and "never occur" in note for note in run.notes)


def test_copies_are_told():
    source, _ = sentences()
    run = Run()
    prepared(source, source, run)
    assert any("will copy" in note for note in run.notes)


def test_an_empty_side_and_a_long_line_are_counted():
    source, target = sentences()
    source[5], target[7] = "", " "
    source[9], target[9] = " ".join(WORDS * 417), " ".join(OTHER * 417)  # 5,004 tokens
    run = Run()
    made = prepared(source, target, run)
    assert made.ledger.blank_source == made.ledger.blank_target == 1
    assert made.too_long in (0, 1)  # it may have been held out
    assert made.too_long == sum("more than 256 tokens" in note for note in run.notes)
    with pytest.raises(CorpusError, match="every pair has more than 1 tokens"):
        prepared(source, target, max_tokens=1)
    with pytest.raises(UsageError, match="--vocab-size 0"):
        prepared(source, target, vocab_size=0)


def test_long_pairs_are_not_validated_on():
    source, target = sentences()
    run = Run()
    held_out = [" ".join(WORDS * 30), *source[:4]], [" ".join(OTHER * 30), *target[:4]]
    made = prepared(source, target, run, valid=open_pairs(*held_out))
    assert [len(side) for side in made.valid] == [4, 4]
    assert {source for source, _ in made.shown} <= set(source[:4])
    assert made.valid[0].line(0).tolist() == made.source.encode(source[:1]).line(0).tolist()
    assert any("1 pairs with more than 256 tokens" in note and "validation" in note for note in run.notes)
    with pytest.raises(CorpusError, match="every pair has more than 256 tokens"):
        prepared(source, target, valid=open_pairs(*(side[:1] for side in held_out)))


def test_pieces_may_be_drawn_anew():
    source, target = sentences()
    made = prepared(source, target, tokenizer="unigram", vocab_size=320, subword_regularization=0.1)
    one, two = made.data[0].epoch(1), made.data[0].epoch(2)
    assert one.tokens != two.tokens or (one.ids != two.ids).any()
    assert len(one) == len(made.data[1].epoch(1))


def test_profiles_tell_languages_apart():
    a, b = (Profile.of(side) for side in sentences())
    c = Profile.of(sentences(seed=5)[0])
    assert a.nearness(c) > 0.8 > 0.5 > a.nearness(b)
    assert a.written_like(b)
    assert not a.written_like(Profile.of(["你好世界"]))
