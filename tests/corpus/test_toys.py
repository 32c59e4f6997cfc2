from datetime import date

import pytest

from textdl.corpus import open_pairs
from textdl.corpus.toys import LONGEST, TASKS, Toy
from textdl.errors import UsageError


@pytest.mark.parametrize(
    ("task", "made"), [("copy", lambda s: s), ("reverse", lambda s: s[::-1]), ("sort", lambda s: "".join(sorted(s)))]
)
def test_targets_follow_from_sources(task, made):
    pairs = list(Toy(task, pairs=300))
    assert all(target == made(source) for source, target in pairs)
    assert {len(source) for source, _ in pairs} <= set(range(1, LONGEST + 1))
    assert pairs == list(Toy(task, pairs=300))


def test_dates_are_the_days_they_say():
    pairs = list(Toy("dates", pairs=300))
    for source, target in pairs:
        day = date.fromisoformat(target)
        assert str(day.year) in source
        assert str(day.day) in source
    assert any("年" in source for source, _ in pairs)
    assert any("," in source for source, _ in pairs)


def test_longer_strings_are_another_set():
    longer = list(Toy.named("reverse:60"))
    lengths = {len(source) for source, _ in longer}
    assert set(range(44, 61)) <= lengths <= set(range(41, 61))  # 41 to 43 are rare among 500


def test_some_strings_have_few_letters_and_others_many():
    letters = {len(set(source)) for source, _ in Toy("copy", pairs=300) if len(source) > 30}
    assert min(letters) == 1
    assert max(letters) > 20


@pytest.mark.parametrize("name", ["add", "reverse:20", "reverse:99999999", "dates:60", "copy:x"])
def test_there_is_no_such_task(name):
    with pytest.raises(UsageError, match="toy:"):
        Toy.named(name)


def test_they_are_opened_by_name():
    pairs = open_pairs("toy:copy")
    assert pairs.tokenizer == "char"
    source, target = next(iter(pairs))
    assert source == target
    train, valid = pairs.hold_out()
    assert valid.tokenizer == train.tokenizer == "char"
    assert len(TASKS) == 4


def test_everyday_sentences_are_built_in():
    pairs = open_pairs("everyday")
    assert pairs.read().kept == pairs.read().read > 400
    assert ("谢谢你。", "Thank you.") in set(pairs)
    assert next(iter(open_pairs("everyday", columns=(2, 1)))) == ("Hello.", "你好。")
