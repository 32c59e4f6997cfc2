"""SentencePiece: learning that gives way instead of refusing, long lines, subword regularisation, others' models."""

import hashlib
import io
import json
import math
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from contextlib import AbstractContextManager
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import sentencepiece
from hypothesis import given, settings
from hypothesis import strategies as st

from textdl.errors import CorpusError, ModelError, TextTypeError, UsageError
from textdl.protocols import Run
from textdl.tokenizers import create, sentencepiece_format, sentencepiece_training
from textdl.tokenizers import sentencepiece as ours
from textdl.tokenizers.sentencepiece import SentencePieceTokenizer, train
from textdl.tokenizers.sentencepiece_format import cut

TEXT = [
    "the cat sat on the mat , and the dog sat on the log .",
    "我们在北京天安门广场看升旗。",
    "他说：“你好，世界！”  Then (he) left; it's 3.14 a.m.",
    "",
    "春眠不觉晓，处处闻啼鸟。夜来风雨声，花落知多少。",
] * 20
SYMBOLS = ["天安门广场", "New York", "▁x", "a,b", '"', "<sep>", " !"]
KINDS = ("unigram", "bpe")
AWKWARD = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\n")),
    st.text(
        st.sampled_from(" \t\u3000\u0085\u2581\u2585\uf8fe\uf8fd\uf8fcab.,，。我北京\u0301<s>/\\🙂\u200d\x00\x0b\r")
    ),
    st.text(st.sampled_from("the cat sat。 北京天安门广场New York▁xa,b")),
)


@pytest.fixture(scope="session")
def models() -> dict[str, SentencePieceTokenizer]:
    made = {kind: train(TEXT, vocab_size=400, model=kind)[0] for kind in KINDS}
    return made | {
        f"{kind} with symbols": train(TEXT, vocab_size=400, model=kind, symbols=SYMBOLS)[0] for kind in KINDS
    }


def long_from_12() -> AbstractContextManager[Any]:
    """Lines are long from 13 characters on."""
    return mock.patch.object(ours, "LONGEST", 12)


def foreign(**options: Any) -> SentencePieceTokenizer:
    """A model that someone else made: by default with NFKC, a space before each line, and no bytes."""
    out = io.BytesIO()
    settings = {"vocab_size": 120, "hard_vocab_limit": False, "character_coverage": 1.0, "minloglevel": 2, **options}
    sentencepiece.SentencePieceTrainer.train(sentence_iterator=iter(TEXT), model_writer=out, **settings)
    return SentencePieceTokenizer(out.getvalue(), "foreign.model")


def test_it_is_safe_for_chinese(models: dict[str, SentencePieceTokenizer]) -> None:
    for tokenizer in models.values():
        assert tokenizer.lossless
        assert "，" in tokenizer.encode("他说，好")
        assert tokenizer.decode(tokenizer.encode("龘 never seen")) == "龘 never seen"
        assert len(tokenizer.inventory or ()) == len(set(tokenizer.inventory or ())) <= 397


@given(line=AWKWARD)
@pytest.mark.parametrize("name", [*KINDS, "unigram with symbols", "bpe with symbols"])
def test_every_line_comes_back(name: str, line: str, models: dict[str, SentencePieceTokenizer]) -> None:
    tokenizer = models[name]
    pieces = tokenizer.encode(line)
    assert tokenizer.decode(pieces) == line
    assert list(tokenizer.iterate(line)) == pieces == next(tokenizer.encode_lines([line]))
    (drawn,) = tokenizer.sampled([line], alpha=0.3, seed=5)
    assert tokenizer.decode(drawn) == line
    assert set(pieces) | set(drawn) <= set(tokenizer.inventory or ())


# --- learning


def test_more_pieces_than_the_text_supports_become_what_it_supports() -> None:
    for kind in KINDS:
        made, notes = train(["ab" * 3, "abc cab"] * 3, vocab_size=32_000, model=kind)
        size = len(made.inventory or ()) + 3
        assert 259 + 4 <= size < 300  # at least the bytes, the specials, and "a", "b", "c", " "
        assert notes == [f"asked for 32,000 pieces; the text supports {size:,}, which are used"]


def test_fewer_pieces_than_characters_spell_the_rarest_in_bytes() -> None:
    text = ["".join(chr(0x4E00 + i) * (40 - i) for i in range(40))]  # 40 characters; the first 40 times, the last once
    for kind in KINDS:
        made, notes = train(text, vocab_size=269, model=kind, coverage=1)
        kept = {chr(0x4E00 + i) for i in range(10)}  # 269 - 256 bytes - 3 specials
        assert {piece for piece in made.inventory or () if len(piece) == 1} == kept
        # 40 + 39 + ... + 31 = 355 of 820
        assert "room for 10 of the 40 characters that cover 100 % of the text; they cover 43.3 %" in notes[0]
        assert "--vocab-size 299 holds them all" in notes[0]
        assert made.lossless
        assert train(text, vocab_size=299, model=kind, coverage=1)[1] == []


def test_coverage_is_a_share_of_the_text() -> None:
    text = ["a" * 50 + "b" * 30 + "c" * 15 + "d" * 5] * 3
    sizes = {0.4: "a", 0.5: "a", 0.51: "ab", 0.95: "abc", 1: "abcd"}
    for coverage, kept in sizes.items():
        made = train(text, vocab_size=2000, model="bpe", coverage=coverage)[0]
        assert {piece for piece in made.inventory or () if len(piece) == 1} == set(kept)


@pytest.mark.parametrize("kind", KINDS)
def test_any_one_character_is_enough(kind: str) -> None:
    for text in ("a", " ", "龘", "\u3000", "▁", "\uf8fe"):
        made = train([text], model=kind)[0]
        assert made.decode(made.encode(text * 3)) == text * 3


@pytest.mark.parametrize("kind", KINDS)
def test_what_the_library_cannot_learn_from_is_left_out_and_still_comes_back(kind: str) -> None:
    lines = [
        "ab\0ba ab",
        "a\u2585b" * 5,
        "\u2585" * 50,
        "a\tb",
        "a\rb",
        "\u2028a\u0085",
        "<unk> <s> <0x41>",
        "\uf8fe▁",
    ] * 9
    made = train(lines, vocab_size=300, model=kind)[0]
    for line in lines:
        assert made.decode(made.encode(line)) == line
    assert not any("\u2585" in piece or "\0" in piece for piece in made.inventory or ())


def test_long_lines_are_cut_not_skipped() -> None:
    words = ["alpha", "beta", "gamma"]
    made, notes = train([" ".join(words[i % 3] for i in range(20_000)), "abc"], vocab_size=290, model="bpe")
    assert notes[0] == "lines over 4,000 characters, cut into parts for learning pieces: 1"
    assert {" alpha", " beta", " gamma"} <= set(made.inventory or ())
    # 4,000 characters of four bytes, each written as two: the limit of the library is in bytes, and is not met
    emoji = train(["\U0001f600\uf8fe▁" * 4000], vocab_size=270, model="bpe", coverage=1)[0]
    assert "\U0001f600" in (emoji.inventory or ())


def test_the_same_text_options_and_seed_make_the_same_bytes(tmp_path: Path) -> None:
    code = (
        "import sys, json, hashlib; from textdl.tokenizers.sentencepiece import train\n"
        "for kind in ('unigram', 'bpe'):\n"
        "    made, _ = train(json.load(open(sys.argv[1])), vocab_size=320, model=kind, sample=1500, seed=7)\n"
        "    print(hashlib.sha256(made._model).hexdigest())"
    )
    (tmp_path / "text.json").write_text(json.dumps(TEXT))
    environment = {**os.environ, "PYTHONHASHSEED": "5", "TMPDIR": str(tmp_path)}
    command = [sys.executable, "-c", code, str(tmp_path / "text.json")]
    other = subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout.split()
    here = [train(TEXT, vocab_size=320, model=kind, sample=1500, seed=7)[0] for kind in KINDS]
    assert [hashlib.sha256(made._model).hexdigest() for made in here] == other
    assert train(TEXT, vocab_size=320, sample=1500, seed=8)[0].fingerprint != here[0].fingerprint


def drawn(lines: Any, sample: int | None, seed: int, path: Path) -> tuple[list[str], Counter[str], list[str]]:
    run = Run()
    counts = sentencepiece_training.draw(lines, path, sample, seed, run, run.note)
    return path.read_text("utf-8").split("\n")[:-1], counts, run.notes


def test_a_sample_is_bounded_even_and_seeded(tmp_path: Path) -> None:
    lines = [f"line {i} of the text" for i in range(5000)]
    everything = sum(map(len, lines))
    assert drawn(lines, None, 1, tmp_path / "s")[0] == drawn(lines, everything, 1, tmp_path / "s")[0] == lines
    taken, counts, notes = drawn(lines, 20_000, 1, tmp_path / "s")
    assert counts == Counter("".join(taken))
    assert counts.total() == pytest.approx(20_000, rel=0.1)
    places = [int(line.split()[1]) for line in taken]
    assert places == sorted(set(places))
    assert sum(place < 2500 for place in places) == pytest.approx(len(places) / 2, rel=0.15)
    assert f"learning from {counts.total():,} of {everything:,} characters: {len(taken):,} lines of 5,000" in notes[0]
    assert drawn(lines, 20_000, 1, tmp_path / "s")[0] == taken != drawn(lines, 20_000, 2, tmp_path / "s")[0]


def test_one_line_that_is_the_whole_text_is_sampled_by_its_parts(tmp_path: Path) -> None:
    parts, counts, notes = drawn(["word " * 100_000], 50_000, 1, tmp_path / "s")
    assert 5 < len(parts) < 25
    assert counts.total() == pytest.approx(50_000, rel=0.5)
    assert "parts of lines of 1" in notes[0]


def test_lines_that_can_be_read_once_only_are_said(tmp_path: Path) -> None:
    assert train((line for line in TEXT), vocab_size=300)[0].lossless
    with pytest.raises(CorpusError, match="0 when it was read again"):
        train((line for line in TEXT), vocab_size=300, sample=100)


def test_a_large_text_is_announced_before_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    counts = Counter({"a": 30_000_000, "中": 10_000_000})
    assert sentencepiece_training.memory(counts, "unigram") == pytest.approx(1.29e9)  # 20e6 + 24 * 30e6 + 55 * 10e6
    assert sentencepiece_training.memory(counts, "bpe") == pytest.approx(1.16e9)  # 20e6 + 8 * 30e6 + 90 * 10e6
    for kind in KINDS:  # the default stays below 2 GB in the most expensive script
        assert sentencepiece_training.memory(Counter({"中": ours.SAMPLE}), kind) < 2e9
    monkeypatch.setattr(ours, "_WORTH_SAYING", 0)
    run = Run()
    notes = train(TEXT, vocab_size=400, run=run)[1]
    assert notes == run.notes
    assert re.match("unigram pieces of [0-9,]+ characters: this takes about 0.0 GB", notes[0])


class Told(Run):
    """Keeps what it is told of progress."""

    def __init__(self) -> None:
        super().__init__()
        self.stages: dict[str, list[tuple[float, float | None]]] = {}

    def progress(self, stage: str, done: float, total: float | None, unit: str, text: str = "") -> None:
        self.stages.setdefault(stage, []).append((done, total))


@pytest.mark.parametrize(("kind", "text"), [("unigram", TEXT), ("bpe", [f"{i:b}{i:x}{i}" for i in range(3000)])])
def test_progress_is_told(kind: str, text: list[str]) -> None:
    run = Told()
    train(text, vocab_size=800, model=kind, run=run)
    steps = run.stages["learning pieces"]
    assert all(a[0] < b[0] for a, b in pairwise(steps))
    assert all(total is not None and done <= total for done, total in steps)


def test_progress_is_read_from_the_logs_of_old_and_new_versions() -> None:
    run = Told()
    log = [
        b"I trainer.cc(1) Added: freq=9 size=20 all=3\n",
        b"I0000 x.cc:421] Merged: freq=4 merges=100 piece=\xe2\x96\n",
        b"\n",
    ]
    assert sentencepiece_training.follow(log, 500, 200, run).startswith("I0000 x.cc:421] Merged")
    assert run.stages == {"learning pieces": [(20, 200), (100, 200)]}
    run = Told()
    # from 1,000 candidates to 1.1 * 400 = 440: 1,000, 750, 562, 421: four rounds of two steps
    sentencepiece_training.follow([b"EM sub_iter=0 size=1000 obj=1\n", b"EM sub_iter=1 size=999 obj=1\n"], 400, 0, run)
    assert run.stages == {"learning pieces": [(1, 8), (2, 8)]}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"vocab_size": 259}, "259 is too small: 3 specials, 256 bytes and one character need 260"),
        ({"vocab_size": 260, "symbols": ["x"]}, "256 bytes, 1 symbol and one character need 261"),
        ({"model": "word"}, "unigram or bpe"),
        ({"coverage": 1.5}, "over 0 and at most 1"),
        ({"coverage": float("nan")}, "over 0 and at most 1"),
        ({"sample": 0}, "at least one character"),
        ({"symbols": ["a", ""]}, "empty symbol"),
        ({"symbols": ["<s>"]}, "<s> is the name of a special"),
        ({"symbols": ["<0x0A>"]}, "of a byte"),
        ({"symbols": ["a\nb"]}, r"U\+000A"),
        ({"symbols": ["\uf8fe"]}, r"U\+F8FE"),
        ({"symbols": ["\udc00"]}, r"U\+DC00"),
        ({"symbols": "abc"}, r"pass \[symbol\]"),
    ],
)
def test_options_that_cannot_be_meant(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        train(TEXT, **options)


def test_text_that_cannot_be_learnt_from() -> None:
    with pytest.raises(CorpusError, match="every line is empty"):
        train(["", ""])
    with pytest.raises(CorpusError, match="every line is empty"):
        train([])
    with pytest.raises(CorpusError, match="only control characters"):
        train(["\0\t", "\u2585"])
    with pytest.raises(CorpusError, match="no more than the symbols"):
        train(["ab", "ab"], symbols=["ab"])
    with pytest.raises(CorpusError, match=r"lone surrogate \(U\+D800\)"):
        train(["a\ud800"])
    with pytest.raises(TextTypeError, match=r"pass \[text\]"):
        train("text")
    with pytest.raises(TextTypeError, match="got bytes"):
        train([b"text"])  # type: ignore[list-item]


def test_the_process_that_learns_may_fail_or_be_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    def died(status: int, said: str) -> str:
        script = f"import os, sys; sys.stderr.write({said!r}); sys.stderr.flush(); os.kill(os.getpid(), {status}) if {status} > 1 else sys.exit({status})"
        popen = subprocess.Popen
        with monkeypatch.context() as patched:
            patched.setattr(
                sentencepiece_training.subprocess,
                "Popen",
                lambda _, **how: popen([sys.executable, "-c", script], **how),
            )
            with pytest.raises(CorpusError) as caught:
                train(TEXT, vocab_size=300)
        return str(caught.value)

    assert "ran out of memory, or was killed" in died(signal.SIGKILL, "")
    assert "ran out of memory" in died(1, "std::bad_alloc\n")
    assert died(1, "first\n(x.cc) CHECK failed\n").endswith("could not learn from this text: (x.cc) CHECK failed")
    assert died(signal.SIGABRT, "").endswith(f"status -{signal.SIGABRT.value}")


def test_a_full_disk_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(sentencepiece_training, "write_sentences", full)
    with pytest.raises(CorpusError, match=r"No space left on device. Take a smaller --sample, or set TMPDIR"):
        train(TEXT)


def test_writing_is_all_or_nothing(
    models: dict[str, SentencePieceTokenizer], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "m.model"
    models["bpe"].write(path)
    before = path.read_bytes()
    assert create(f"sp:{path}").encode("北京 a") == models["bpe"].encode("北京 a")

    def full(_: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(ours, "fsync", full)
    with pytest.raises(ModelError, match=r"No space left on device; the file that was there is unchanged"):
        models["unigram"].write(path)
    with pytest.raises(ModelError, match="nothing was saved"):
        models["unigram"].write(tmp_path / "new.model")
    assert [file.name for file in tmp_path.iterdir()] == ["m.model"]
    assert path.read_bytes() == before


@pytest.mark.skipif(os.name == "nt", reason="sends a signal")
def test_ctrl_c_ends_learning_at_once(tmp_path: Path) -> None:
    """The library blocks the signal for as long as it learns: minutes, with this much text."""
    code = (
        "import random; from textdl.tokenizers.sentencepiece import train; draw = random.Random(1)\n"
        "lines = [''.join(chr(0x4E00 + int(draw.paretovariate(0.5)) % 9000) for _ in range(60)) for _ in range(30_000)]\n"
        "print('go', flush=True); train(lines, vocab_size=20_000)"
    )
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    process = subprocess.Popen(
        [sys.executable, "-c", code], env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    assert process.stdout is not None
    process.stdout.readline()
    until = time.monotonic() + 60
    while not list(tmp_path.glob("*/options")):
        assert time.monotonic() < until
        time.sleep(0.05)
    time.sleep(0.5)
    began = time.monotonic()
    process.send_signal(signal.SIGINT)
    assert process.wait(60) != 0
    process.stdout.close()
    assert time.monotonic() - began < 5
    assert not list(tmp_path.iterdir())


# --- symbols


@given(st.lists(st.one_of(st.sampled_from(SYMBOLS), st.text(st.sampled_from("abc 北京门，.▁x\uf8fe"), max_size=5))))
@settings(max_examples=60)
def test_symbols_always_come_out_whole(models: dict[str, SentencePieceTokenizer], parts: list[str]) -> None:
    with long_from_12():
        line = "".join(parts)
        for kind in KINDS:
            tokenizer = models[f"{kind} with symbols"]
            for pieces in (tokenizer.encode(line), next(tokenizer.sampled([line], alpha=0.5, seed=1))):
                assert tokenizer.decode(pieces) == line
                # what the library promises: from left to right, the longest symbol that begins there
                expected = re.findall("|".join(map(re.escape, sorted(SYMBOLS, key=len, reverse=True))), line)
                written = [sentencepiece_format.protect(symbol) for symbol in expected]
                assert [
                    piece for piece in pieces if piece in {sentencepiece_format.protect(s) for s in SYMBOLS}
                ] == written


# --- long lines


@given(st.text(st.sampled_from("ab  。，”\u0301\u200d中文"), max_size=120), st.integers(1, 20))
def test_parts_are_the_line(line: str, longest: int) -> None:
    parts = list(cut(line, longest))
    assert "".join(parts) == line
    assert all(0 < len(part) <= longest for part in parts) or parts == [""]


@given(
    st.lists(st.sampled_from(["ab", "中", "New York", " ", "。", "a,b", "ork", "N"]), max_size=60).map("".join),
    st.integers(16, 30),
)
def test_no_part_ends_inside_a_symbol(line: str, longest: int) -> None:
    parts = list(cut(line, longest, ("New York", "a,b")))
    assert "".join(parts) == line
    place = 0
    for part in parts:
        assert line.find("New York", max(0, place - 7), place + 7) < 0
        assert line.find("a,b", max(0, place - 2), place + 2) < 0
        place += len(part)


def test_a_line_is_cut_where_it_is_natural() -> None:
    assert list(cut("aaa bbb ccc", 8)) == ["aaa bbb", " ccc"]
    assert list(cut("aa  bb", 4)) == ["aa", "  bb"]
    assert list(cut("你好。再见。走吧", 7)) == ["你好。再见。", "走吧"]
    assert list(cut("他说：“好。”我走了", 8)) == ["他说：“好。”我", "走了"]  # not between the stop and its quote
    assert list(cut("你好。aa bb", 7)) == ["你好。aa", " bb"]
    assert list(cut("abcde\u0301fgh", 5)) == ["abcd", "e\u0301fgh"]
    assert list(cut("     b", 5)) == ["    ", " b"]  # white space is never last, where models trim it
    assert list(cut("中New York", 5, ("New York",))) == ["中", "New Y", "ork"]  # it cannot be helped


@given(st.lists(st.sampled_from(["the", "cat", "sat", "mat,", "xyz", " ", "北京"]), max_size=80).map(" ".join))
def test_a_cut_before_a_space_changes_nothing(models: dict[str, SentencePieceTokenizer], line: str) -> None:
    score = {kind: models[kind]._processor for kind in KINDS}
    for kind in KINDS:
        whole = models[kind].encode(line)
        pieces = [piece for part in cut(line, 30) for piece in models[kind].encode(part)]
        if kind == "unigram" and pieces != whole:  # then they are equally probable, but for the rounding of sums
            sums = [
                sum(score[kind].get_score(score[kind].piece_to_id(p.replace(" ", "▁"))) for p in x)
                for x in (whole, pieces)
            ]
            assert sums[0] == pytest.approx(sums[1], rel=1e-6)
        else:
            assert pieces == whole


@given(line=st.text(st.sampled_from(" 我们在北京the cat sat。，\uf8fe▁\u0301"), max_size=90))
def test_encode_iterate_and_lines_agree_on_long_lines(models: dict[str, SentencePieceTokenizer], line: str) -> None:
    with long_from_12():
        for tokenizer in models.values():
            pieces = tokenizer.encode(line)
            assert list(tokenizer.iterate(line)) == pieces
            assert list(tokenizer.encode_lines(["a", line, "", line]))[1::2] == [pieces, pieces]
            assert pieces == [
                piece for part in cut(line, 12, tokenizer._about.symbols) for piece in tokenizer.encode(part)
            ]
            assert tokenizer.decode(pieces) == line


def test_a_very_long_line_is_encoded_as_its_pieces_are_asked_for(
    models: dict[str, SentencePieceTokenizer], monkeypatch: pytest.MonkeyPatch
) -> None:
    line = "我们在北京 the cat sat" * 20_000
    given: list[int] = []
    found = SentencePieceTokenizer._found

    def counted(self: SentencePieceTokenizer, processor: Any, text: str) -> Any:
        given.append(len(text))
        return found(self, processor, text)

    monkeypatch.setattr(SentencePieceTokenizer, "_found", counted)
    pieces = models["bpe"].iterate(line)
    first = next(pieces)
    assert sum(given) <= 4000
    assert first + "".join(pieces) == line
    assert sum(given) == len(line)
    assert max(given) <= 4000


# --- subword regularisation


def test_sampling_is_reproducible_whatever_else_goes_on(models: dict[str, SentencePieceTokenizer]) -> None:
    lines = [line for line in TEXT if line] * 20
    for kind in KINDS:
        first = list(models[kind].sampled(lines, alpha=0.2, seed=1))
        sentencepiece.set_random_generator_seed(99)
        other = models[kind].sampled(lines, alpha=0.2, seed=3)
        again = [pieces for pieces, _ in zip(models[kind].sampled(iter(lines), alpha=0.2, seed=1), other, strict=True)]
        assert again == first
        assert list(models[kind].sampled(lines, alpha=0.2, seed=2)) != first
        assert [models[kind].decode(pieces) for pieces in first] == lines
        assert len({tuple(pieces) for pieces, line in zip(first, lines, strict=True) if line == lines[0]}) > 5


def test_sampling_is_the_same_in_another_process(models: dict[str, SentencePieceTokenizer], tmp_path: Path) -> None:
    models["unigram"].write(tmp_path / "m.model")
    code = (
        "import sys, json; from textdl.tokenizers import create\n"
        "print(json.dumps(list(create(f'sp:{sys.argv[1]}').sampled(['我们在北京 the cat'] * 5, alpha=0.1, seed=4))))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, tmp_path / "m.model"], capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout) == list(models["unigram"].sampled(["我们在北京 the cat"] * 5, alpha=0.1, seed=4))


def test_unigram_sampling_follows_the_model() -> None:
    """By hand: "ab" is one piece or two. Scores are log-probabilities, and alpha is their exponent."""
    made = train(["abcabdab", "a b", "b a"] * 30, vocab_size=268)[0]
    processor = made._processor
    assert {"a", "b", "ab"} <= set(made.inventory or ())
    a, b, ab = (processor.get_score(processor.piece_to_id(piece)) for piece in ("a", "b", "ab"))
    for alpha in (0.1, 0.5, 1):
        whole, split = math.exp(alpha * ab), math.exp(alpha * (a + b))
        share = sum(len(pieces) == 1 for pieces in made.sampled(["ab"] * 4000, alpha=alpha, seed=1)) / 4000
        assert share == pytest.approx(whole / (whole + split), abs=0.03)  # 0.03: four standard errors


def test_bpe_dropout_leaves_out_a_share_of_merges() -> None:
    made = train(["ab"] * 30 + ["a", "b"] * 20, vocab_size=262, model="bpe")[0]
    for alpha in (0.1, 0.5):
        share = sum(len(pieces) == 2 for pieces in made.sampled(["ab"] * 4000, alpha=alpha, seed=1)) / 4000
        assert share == pytest.approx(alpha, abs=0.03)
    assert list(made.sampled(["ab"], alpha=1, seed=1)) == [["a", "b"]]


@pytest.mark.parametrize("kind", [*KINDS, "foreign"])
@pytest.mark.parametrize("line", ["the cat sat", "天安门广场看升旗", "a龘龘b  the"])
def test_segmentations_are_as_frequent_as_the_librarys(
    kind: str, line: str, models: dict[str, SentencePieceTokenizer]
) -> None:
    tokenizer = models[kind] if kind in models else foreign()
    draws = 4000
    drawn = Counter(map(tuple, tokenizer.sampled([line] * draws, alpha=0.4, seed=1)))
    library = Counter(
        tuple(
            piece.replace("▁", " ")
            for piece in tokenizer._processor.encode(line, out_type=str, enable_sampling=True, nbest_size=-1, alpha=0.4)
        )
        for _ in range(draws)
    )
    for segmentation in drawn | library:
        a, b = drawn[segmentation], library[segmentation]
        assert abs(a - b) <= 6 * (a + b) ** 0.5, segmentation  # six standard errors of a difference of counts


def test_little_noise_gives_the_best_segmentation(models: dict[str, SentencePieceTokenizer]) -> None:
    lines = [*TEXT[:5], "x龘 " * 300]
    assert list(models["bpe"].sampled(lines, alpha=1e-12, seed=1)) == [models["bpe"].encode(line) for line in lines]


def test_a_line_is_drawn_alike_wherever_its_text_is_taken_up(models: dict[str, SentencePieceTokenizer]) -> None:
    lines = [line + str(i) for i, line in enumerate(TEXT)]
    for kind in KINDS:
        whole = list(models[kind].sampled(lines, alpha=0.3, seed=6))
        assert list(models[kind].sampled(lines[37:], alpha=0.3, seed=6, first=37)) == whole[37:]


@given(line=AWKWARD)
def test_long_lines_are_drawn_too(models: dict[str, SentencePieceTokenizer], line: str) -> None:
    with long_from_12():
        for tokenizer in models.values():
            for pieces in tokenizer.sampled([line * 5, "", line], alpha=0.2, seed=3):
                assert tokenizer.decode(pieces) in (line * 5, "", line)


def test_a_line_of_tens_of_thousands_of_characters_does_not_overflow(
    models: dict[str, SentencePieceTokenizer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ours, "LONGEST", 1 << 20)  # in one part: sums of 50,000 products would leave a float64
    for alpha in (1e-3, 1):
        for line in ("the cat sat " * 4000, "龘" * 20_000):
            (pieces,) = models["unigram"].sampled([line], alpha=alpha, seed=1)
            assert models["unigram"].decode(pieces) == line
    (pieces,) = models["unigram"].sampled(["the cat sat " * 4000], alpha=1, seed=1)
    middle = next(i for i, length in enumerate(accumulate(map(len, pieces))) if length >= 24_000)
    assert middle == pytest.approx(len(pieces) / 2, rel=0.02)


def test_sampling_is_refused_where_there_is_none(models: dict[str, SentencePieceTokenizer]) -> None:
    for alpha in (0, -1, 1.1, float("nan")):
        with pytest.raises(UsageError, match="alpha must be over 0 and at most 1"):
            models["bpe"].sampled(["a"], alpha=alpha, seed=1)
    with pytest.raises(UsageError, match=r"foreign\.model is a model of chars.*unigram or BPE"):
        foreign(model_type="char").sampled(["a"], alpha=0.1, seed=1)
    with pytest.raises(TextTypeError, match=r"pass \[text\]"):
        models["bpe"].sampled("a b", alpha=0.1, seed=1)
    with pytest.raises(CorpusError, match="lone surrogate"):
        list(models["bpe"].sampled(["a\ud800"], alpha=0.1, seed=1))


# --- other people's models

LLAMA = {
    "normalization_rule_name": "identity",
    "remove_extra_whitespaces": False,
    "byte_fallback": True,
    "vocab_size": 400,
}


@pytest.mark.parametrize(
    ("options", "lossless"),
    [
        ({}, False),  # NFKC, white space trimmed
        ({"model_type": "bpe"}, False),
        ({"normalization_rule_name": "identity"}, False),  # trims
        ({"remove_extra_whitespaces": False, "add_dummy_prefix": False}, False),  # NFKC
        ({**LLAMA, "add_dummy_prefix": False}, True),
        (LLAMA, True),
        ({**LLAMA, "model_type": "bpe"}, True),
        ({**LLAMA, "treat_whitespace_as_suffix": True}, True),
        ({**LLAMA, "split_by_whitespace": False}, True),
        ({**LLAMA, "byte_fallback": False}, True),  # what is unknown comes out as it is
        ({**LLAMA, "model_type": "char"}, True),
        ({**LLAMA, "control_symbols": ["<ctrl>"], "user_defined_symbols": ["天安门", "t s"]}, True),
    ],
)
def test_models_of_others_load_and_say_whether_they_are_lossless(options: dict[str, Any], lossless: bool) -> None:
    tokenizer = foreign(**options)
    assert tokenizer.lossless is lossless
    inventory = tokenizer.inventory or ()
    assert not {"<s>", "</s>", "<unk>", "<ctrl>"} & set(inventory)
    lines = [*TEXT[:5], " 我 们", "a", "  ", "嗨▁\uf8fe龘龘", "<ctrl> <s>"]
    for line in lines:
        pieces = tokenizer.encode(line)
        assert all(pieces)
        assert list(tokenizer.iterate(line)) == pieces
        if lossless:
            assert tokenizer.decode(pieces) == line
        else:  # what came back once comes back again
            assert tokenizer.decode(tokenizer.encode(tokenizer.decode(pieces))) == tokenizer.decode(pieces)
    assert list(tokenizer.encode_lines(lines)) == [tokenizer.encode(line) for line in lines]
    if "user_defined_symbols" in options:
        assert "天安门" in tokenizer.encode("在天安门前")
        assert tokenizer._about.symbols == ("天安门", "t s")


def test_rules_that_no_probe_meets_are_found(tmp_path: Path) -> None:
    (tmp_path / "rules.tsv").write_text("78\t79\n79\t7A\n")  # x becomes y, and y becomes z
    made = foreign(**LLAMA, normalization_rule_tsv=str(tmp_path / "rules.tsv"))
    assert not made.lossless
    assert made.decode(made.encode("box why")) == made.normalized("box why") == "boy whz"  # once, not twice
    assert made.decode(next(made.sampled(["box why"], alpha=0.5, seed=1))) == "boy whz"


def test_what_a_model_of_others_makes_of_a_line_is_told() -> None:
    made = foreign()
    for line in ("，Ａ  the ", "the cat", " ", "", "▁  \uf8fe"):
        assert made.decode(made.encode(line)) == made.normalized(line)
    assert made.normalized("，Ａ  the ") == ",A the"


@pytest.mark.parametrize("options", [{}, LLAMA, {"normalization_rule_name": "identity", "add_dummy_prefix": False}])
@given(line=st.text(st.sampled_from("the cat  sat 北京。 "), max_size=80))
@settings(max_examples=30)
def test_long_lines_of_other_models_get_no_space_at_a_cut(options: dict[str, Any], line: str) -> None:
    with long_from_12():
        tokenizer = made_once(json.dumps(options))
        assert tokenizer.decode(tokenizer.encode(line)) == tokenizer.decode(
            tokenizer._named(tokenizer._found(tokenizer._processor, line))
        )


_made: dict[str, SentencePieceTokenizer] = {}


def made_once(options: str) -> SentencePieceTokenizer:
    if options not in _made:
        _made[options] = foreign(**json.loads(options))
    return _made[options]


def test_a_file_that_is_no_model_or_half_of_one(models: dict[str, SentencePieceTokenizer], tmp_path: Path) -> None:
    path = tmp_path / "x.model"
    whole = models["unigram"]._model
    for wrong in (b"", b"not a model", whole[:100], whole[: len(whole) // 2], whole[:-1]):
        path.write_bytes(wrong)
        with pytest.raises(ModelError, match=r"x\.model: not a SentencePiece model"):
            create(f"sp:{path}")


def test_a_lone_surrogate_is_the_errors_of_this_project(models: dict[str, SentencePieceTokenizer]) -> None:
    for tokenizer in (models["bpe"], foreign()):
        with pytest.raises(CorpusError, match=r"lone surrogate \(U\+DCFF\)"):
            tokenizer.encode("ab\udcff")
        with pytest.raises(CorpusError, match="lone surrogate"):
            list(tokenizer.encode_lines(["a", "ab\udcff"]))
