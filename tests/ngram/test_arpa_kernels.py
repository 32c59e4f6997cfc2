"""The compiled reading of ARPA files against the plain one, line by line."""

import math

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from textdl import ngram
from textdl.encoded import Encoded
from textdl.errors import ModelError
from textdl.ngram import Config, arpa, arpa_kernels, arpa_loading
from textdl.vocabulary import Vocabulary

numbers = st.one_of(
    st.floats(-200, 40).map(lambda x: f"{x:.7g}"),
    st.floats(-200, 40).map(repr),
    st.floats(-200, 40).map(lambda x: f"{x:.6e}"),
    st.text(st.sampled_from("-+.0123456789eE"), max_size=24),
)


@settings(max_examples=300)
@given(numbers)
@example("0.000000000000000000000001234567890123456789")
@example("-99")
@example(".5e+2")
@example("123456789012345678901234567890")
def test_numbers(text):
    """What is read is what Python reads, to two units in the last place; the rest is left to Python."""
    data = np.frombuffer(f"{text} ".encode(), np.uint8)
    value, end = arpa_kernels.number(data, 0, len(data))
    if end == len(text):
        expected = float(text)
        assert value == pytest.approx(expected, rel=4e-16, abs=0)
        if sum(c.isdigit() for c in text) <= 15 and "e" not in text.lower():
            assert value == expected
    elif end >= 0:
        with pytest.raises(ValueError, match="could not convert"):
            float(text)


@given(st.sets(st.text(st.sampled_from("ab\u7684\0 "), min_size=1, max_size=4), min_size=1, max_size=40))
def test_words_are_found(words):
    written = [word.encode() for word in sorted(words)]
    ends = np.cumsum([0, *map(len, written)])
    slots = np.full(1 << (2 * len(written)).bit_length(), -1, np.int32)
    table = np.frombuffer(b"".join(written), np.uint8), ends, slots
    arpa_kernels.enter_words(*table)
    for i, word in enumerate([*written, b"aaaaa", "\u7684\u7684\u7684\u7684\u7684".encode()]):
        text = np.frombuffer(b"-" + word + b" ", np.uint8)
        assert arpa_kernels.look_up(text, 1, 1 + len(word), *table) == (i if i < len(written) else -1)


corpora = st.integers(4, 12).flatmap(
    lambda v: st.lists(st.lists(st.sampled_from([0, *range(3, v)]), max_size=8), min_size=1, max_size=20).map(
        lambda lines: Encoded.from_lines(lines, v)
    )
)


@settings(max_examples=60)
@given(corpora, st.integers(2, 4), st.randoms(use_true_random=False), st.booleans())
def test_in_any_order_in_small_blocks_and_from_files(tmp_path_factory, corpus, order, draw, gaps):
    """Sections shuffled, some contexts left out, lines written in every way: what the file says is what is said.

    Expected of every history and word: back off as the Python reader's entries say.
    """
    directory = tmp_path_factory.mktemp("arpa")
    vocab = Vocabulary([f"w{i}" for i in range(3, corpus.vocab_size)])
    arpa.write(ngram.fit(corpus, Config(order)), vocab, directory / "a")
    sections = {n: [e for e in arpa.read(directory / "a") if len(e.words) == n] for n in range(1, order + 1)}
    if gaps:
        for n in range(2, order):
            sections[n] = [e for e in sections[n] if draw.random() < 0.7]
    text = "\\data\\\n" + "".join(f"ngram {n}={len(entries)}\n" for n, entries in sections.items())
    for n, entries in sections.items():
        draw.shuffle(entries)
        text += f"\\{n}-grams:\n"
        for e in entries:
            tab, end = draw.choice(["\t", " ", " \t"]), draw.choice(["\n", "\r\n", " \n", "\n\n"])
            p = draw.choice([repr, "{:.9e}".format, "{:.20f}".format])(e.log10_p) if e.log10_p > -99 else "-inf"
            text += f"{p}{tab}{draw.choice([' ', tab]).join(e.words)}{f'{tab}{e.log10_backoff!r}' if n < order else ''}{end}"
    (directory / "b").write_text(text + "\\end\\\n", "utf-8", newline="")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {
            "_RUN": 5,
            "_SAMPLED": 2,
            "_BLOCK": 7,
            "_IN_MEMORY": draw.choice([0, 1 << 20]),
        }.items():
            patch.setattr(arpa_loading, name, value)
        patch.setattr(arpa, "_TEXT", 30)
        model, words = arpa_loading.load(directory / "b")
    entries = {e.words: e for part in sections.values() for e in part}
    assert words.pieces == [e.words[0] for e in sections[1] if e.words[0] not in ("<unk>", "<s>", "</s>")]

    def expected(history, word):
        if e := entries.get((*history, word)):
            return e.log10_p
        weight = entries[tuple(history)].log10_backoff if tuple(history) in entries else 0.0
        return weight + expected(history[1:], word)

    names = ["<unk>", "<s>", "</s>", *words.pieces]
    histories = [[], *([draw.choice(names[3:] or ["<unk>"]) for _ in range(k)] for k in range(1, 6))]
    rows, _ = model.start(prefixes=words.encode_lines(histories))
    for history, row in zip(histories, rows, strict=True):
        context = [name if name in words else "<unk>" for name in history]
        context = ["<s>", *context][-(order - 1) :]
        for i, word in enumerate(names):
            if word != "<s>":
                assert row[i] / math.log(10) == pytest.approx(expected(context, word), abs=1e-5)


def test_what_is_there_twice_is_found_across_runs(tmp_path, monkeypatch):
    words = "abcdefgh"
    pairs = [f"-1\t{a} {b}" for a in words for b in words]
    pairs[50] = pairs[3]
    text = f"\\data\\\nngram 1={len(words)}\nngram 2={len(pairs)}\n\n\\1-grams:\n"
    text += "".join(f"-1\t{word}\n" for word in words) + "\n\\2-grams:\n" + "\n".join(pairs) + "\n\\end\\\n"
    (tmp_path / "m").write_text(text)
    for run in (4, 1 << 20):
        monkeypatch.setattr(arpa_loading, "_RUN", run)
        monkeypatch.setattr(arpa_loading, "_SAMPLED", 2)
        with pytest.raises(ModelError, match="line 66: the same 2-gram as in line 19; expected each once"):
            arpa_loading.load(tmp_path / "m")


def test_a_line_without_end(tmp_path, monkeypatch):
    monkeypatch.setattr(arpa, "_LONGEST", 100)
    (tmp_path / "m").write_bytes(b"\n\\data\\\n" + b"x" * 200)
    monkeypatch.setattr(arpa, "_TEXT", 16)
    with pytest.raises(ModelError, match="line 3: it is longer than"):
        arpa_loading.load(tmp_path / "m")
