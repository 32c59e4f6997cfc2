"""ARPA files: what is written is the model, what is read is the file, in every dialect."""

import errno
import gzip
import math
import os
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import textdl
from textdl import ngram, scratch
from textdl.corpus import reading
from textdl.encoded import BOS, EOS, UNK, Encoded
from textdl.errors import ModelError, UsageError
from textdl.ngram import Config, arpa, arpa_loading
from textdl.protocols import Run
from textdl.storage import Reader, saving
from textdl.vocabulary import Vocabulary, build, unescape

TINY = Path(__file__).parents[1] / "data" / "kenlm-tiny" / "tiny.o3.arpa"
LINES = [["a", "b c", "<s>"], ["a", "\u3000", "\n", "a", "<unk>"], [], ["的", "a"]]


@pytest.mark.parametrize("name", ["m.arpa", "m.arpa.gz"])
@pytest.mark.parametrize("order", [1, 3])
def test_written_and_read(tmp_path, name, order):
    vocab, corpus, _ = build(LINES)
    model = ngram.fit(corpus, Config(order))
    arpa.write(model, vocab, tmp_path / name)
    entries = iter(arpa.read(tmp_path / name))
    for n in range(1, order + 1):
        for words, logp, backoff in model.ngrams(n):
            for row, p, weight in zip(words.tolist(), logp.tolist(), backoff.tolist(), strict=True):
                entry = next(entries)
                assert entry.words == tuple(vocab.written(w) for w in row)
                assert entry.log10_p == pytest.approx(0.0 if row == [BOS] else p / math.log(10), abs=1e-6)
                assert entry.log10_backoff == pytest.approx(weight / math.log(10), abs=1e-6)
                if n == 1 and row[0] > EOS:
                    assert unescape(entry.words[0]) == vocab.piece(row[0])
    assert next(entries, None) is None
    assert [p.name for p in tmp_path.iterdir()] == [name]


def test_exact_text(tmp_path):
    """By hand in test_smoothing.py: p(a) = 1/4, log10 = -0.60206; p(</s> | b) = 11/16."""
    vocab, corpus, _ = build([["a", "b"], ["a"]])
    arpa.write(ngram.fit(corpus, Config(2)), vocab, tmp_path / "m")
    half = "-0.30103"
    assert (tmp_path / "m").read_text("utf-8") == (
        "\\data\\\nngram 1=5\nngram 2=4\n\n\\1-grams:\n"
        f"-0.90309\t<unk>\t0\n0\t<s>\t{half}\n-0.4259687\t</s>\t0\n-0.60206\ta\t{half}\n-0.60206\tb\t{half}\n"
        "\n\\2-grams:\n-0.20412\t<s> a\n-0.3590219\ta </s>\n-0.4259687\ta b\n-0.1627273\tb </s>\n"
        "\n\\end\\\n"
    )


def test_reads_lmplz():
    entries = list(arpa.read(TINY))
    assert len(entries) == 13 + 18 + 20
    assert entries[2] == (("</s>",), -1.0122344, 0.0)
    assert entries[13] == (("mat", "</s>"), -0.60091263, 0.0)
    assert entries[-1] == (("the", "mat", "is"), -0.5048846, 0.0)


def totals(model, vocab, lines):
    """log10 p of each line."""
    encoded = vocab.encode_lines(lines)
    logs = np.concatenate([*model.score(encoded)]).astype(np.float64) / math.log(10)
    return np.add.reduceat(logs, encoded.offsets[:-1] + np.arange(len(encoded)))


def test_loaded_says_what_kenlm_says():
    run = Run()
    model, vocab = arpa_loading.load(TINY, run=run)
    lines = [line.split(" ") for line in TINY.with_name("tiny.test.txt").read_text("utf-8").splitlines()]
    query = re.findall(r"Total: (\S+)", TINY.with_name("tiny.o3.query.txt").read_text("utf-8"))
    np.testing.assert_allclose(totals(model, vocab, lines), [float(t) for t in query], atol=1e-5)
    (explained,) = model.explain(vocab.encode_lines(lines))
    said = re.findall(r"=\d+ (\d+) ", TINY.with_name("tiny.o3.query-v.txt").read_text("utf-8"))
    assert explained.length.tolist() == [int(n) for n in said]
    assert run.notes == []
    assert model.describe()["smoothing"] == "arpa"
    assert vocab.pieces[:2] == ["the", "cat"]


corpora = st.integers(4, 30).flatmap(
    lambda v: st.lists(st.lists(st.sampled_from([0, *range(3, v)]), max_size=8), min_size=1, max_size=20).map(
        lambda lines: Encoded.from_lines(lines, v)
    )
)


@settings(deadline=None, max_examples=30)
@given(corpora, st.integers(1, 4), st.sampled_from(["kneser-ney", "absolute", "witten-bell", "mle"]), st.booleans())
def test_written_and_loaded(tmp_path_factory, corpus, order, smoothing, prune):
    """The same probabilities, up to the seven digits of the file; and once more, the same file."""
    path = tmp_path_factory.mktemp("arpa")
    cut = (0, *[1] * (order - 1)) if prune and smoothing != "mle" else ()
    model = ngram.fit(corpus, Config(order, smoothing=smoothing, prune=cut))
    vocab = Vocabulary([f"w{i}" for i in range(3, corpus.vocab_size)])
    arpa.write(model, vocab, path / "a")
    loaded, words = arpa_loading.load(path / "a")
    assert words.pieces == vocab.pieces
    prefixes = Encoded.from_lines(
        [[], [3], [3, 3], [0, 3, 0], *map(corpus.line, range(len(corpus)))], corpus.vocab_size
    )
    rows, _ = loaded.start(prefixes=prefixes)
    expected, _ = model.start(prefixes=prefixes)
    if smoothing == "mle":  # -99 is 0
        rows, expected = np.exp(rows), np.exp(expected)
    np.testing.assert_allclose(rows, expected, atol=1e-5)
    (a,), (b,) = loaded.score(prefixes), loaded.explain(prefixes)
    np.testing.assert_array_equal(a, b.logp)
    arpa.write(loaded, vocab, path / "b")
    assert [(e.words, e.log10_p) for e in arpa.read(path / "b")] == [
        (e.words, pytest.approx(e.log10_p, abs=2e-6)) for e in arpa.read(path / "a")
    ]
    with saving(path / "m", {}) as out:
        loaded.save(out)
    again = ngram.load(Reader(path / "m"))
    np.testing.assert_array_equal(again.start(prefixes=prefixes)[0], loaded.start(prefixes=prefixes)[0])


# -- dialects

SRILM = """
made by hand

\\data\\
ngram 1= 5
ngram  2=3
ngram 3=2

\\1-grams:
-1.0\t</s>
-99\t<s>\t-0.5
-0.5\ta\t-0.25
-0.5\tb
-0.75\t<unk>

\\2-grams:
-0.25\t<s> a\t-0.125
-0.5\ta b\t-0.0625
-0.125\tb </s>

\\3-grams:
-0.0625\t<s> a b
-0.03125\tb a </s>

\\end\\
"""


def loaded(tmp_path, text):
    path = tmp_path / "m.arpa"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    run = Run()
    model, vocab = arpa_loading.load(path, run=run)
    return model, vocab, run


def test_backing_off_by_hand(tmp_path):
    """`b a </s>` has neither `b a`, its context, nor `a </s>`, what it ends with."""
    model, vocab, run = loaded(tmp_path, SRILM)
    assert vocab.pieces == ["a", "b"]
    lines = [["a", "b"], ["b", "a"], ["x"], []]
    # <s> a -0.25, <s> a b -0.0625, </s> after `a b`: its weight -0.0625, then b </s> -0.125
    # b after <s>: -0.5 (weight) -0.5; a after `<s> b`, which is not there, and b, whose weight is 0: -0.5; b a </s> -0.03125
    # x: -0.5 (weight of <s>) -0.75; </s> after <unk>: -1
    # </s> after <s>: -0.5 - 1
    np.testing.assert_allclose(
        totals(model, vocab, lines), [-0.25 - 0.0625 - 0.0625 - 0.125, -1.0 - 0.5 - 0.03125, -2.25, -1.5], rtol=1e-6
    )
    (explained,) = model.explain(vocab.encode_lines(lines))
    assert explained.length.tolist() == [2, 3, 2, 1, 1, 3, 1, 1, 1]
    np.testing.assert_allclose(explained.backoff / math.log(10), [0, 0, -0.0625, -0.5, 0, 0, -0.5, 0, -0.5], rtol=1e-6)
    rows, state = model.start(prefixes=vocab.encode_lines([["b"]]))
    rows, _ = model.step(state, np.array([vocab.id("a")]))
    # after `b a`: </s> by the trigram, the others by the unigrams: `b a` and a have weights 0 and -0.25
    expected = [-0.75 - 0.25, -math.inf, -0.03125, -0.5 - 0.25, -0.5]
    np.testing.assert_allclose(rows[0] / math.log(10), expected, rtol=1e-6)
    assert run.notes == []


def test_ngrams_that_are_only_contexts_are_written_as_what_they_are_worth(tmp_path):
    model, vocab, _ = loaded(tmp_path, SRILM)
    arpa.write(model, vocab, tmp_path / "again")
    entries = {e.words: e for e in arpa.read(tmp_path / "again")}
    assert entries["b", "a"] == (("b", "a"), pytest.approx(-0.5), 0.0)
    assert len(entries) == 5 + 4 + 2


@pytest.mark.parametrize(
    "change",
    [
        lambda t: t,
        lambda t: t.replace("\n", "\r\n"),
        lambda t: "\ufeff" + t.lstrip(),
        lambda t: t.replace("\t", " "),
        lambda t: t.replace("\t", " \t"),
        lambda t: t.replace("\n-", "\n\n-"),
        lambda t: t.replace("ngram 1= 5", "ngram 1=5").replace("ngram  2", "ngram 2"),
        lambda t: t.replace("<unk>", "<UNK>"),
        lambda t: t.replace("-99\t<s>", "-inf\t<s>"),
        lambda t: t.replace("-0.5\tb\n", "-0.5\tb\t0\n"),
        lambda t: t.replace("-0.0625\t<s> a b\n-0.03125\tb a </s>", "-0.03125\tb a </s>\t0\n-0.0625\t<s> a b"),
        lambda t: t.replace("-0.25\t<s> a\t-0.125\n-0.5\ta b\t-0.0625", "-0.5\ta b\t-0.0625\n-0.25\t<s> a\t-0.125"),
        lambda t: t.replace(":\n", ": \n") + "\nafterword\n",
        lambda t: gzip.compress(t.encode()),
    ],
)
def test_dialects(tmp_path, change):
    expected, vocab, _ = loaded(tmp_path, SRILM)
    path = tmp_path / "other.arpa"
    text = change(SRILM)
    if isinstance(text, bytes):
        path = path.with_suffix(".arpa.gz")
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    run = Run()
    model, words = arpa_loading.load(path, run=run)
    assert words.pieces == vocab.pieces
    assert run.notes == []
    prefixes = Encoded.from_lines([[], [3], [3, 4], [4, 3], [0, 4]], 5)
    np.testing.assert_array_equal(model.start(prefixes=prefixes)[0], expected.start(prefixes=prefixes)[0])


def test_words_are_as_they_stand(tmp_path):
    text = SRILM.replace("\ta", "\t\u2581\\u002d").replace(" a", " \u2581\\u002d").replace("made\u2581\\u002d", "made")
    assert loaded(tmp_path, text)[1].pieces == ["\u2581\\u002d", "b"]


def test_spaces_of_other_scripts_are_parts_of_words(tmp_path):
    _, vocab, _ = loaded(tmp_path, SRILM.replace("b", "\u3000\x85\x0b"))
    assert vocab.pieces == ["a", "\u3000\x85\x0b"]


def test_what_is_missing_is_said(tmp_path):
    text = SRILM.replace("-0.75\t<unk>\n", "").replace("1= 5", "1=4")
    model, _, run = loaded(tmp_path, text)
    (note,) = run.notes
    assert "has no <unk>: it is given log10 p = -100, as KenLM does" in note
    assert model.start()[0][0, UNK] == pytest.approx(-100.5 * math.log(10))


def test_both_names_of_unk(tmp_path):
    text = SRILM.replace("1= 5", "1=6").replace("-0.75\t<unk>", "-0.75\t<unk>\n-2\t<UNK>")
    assert loaded(tmp_path, text)[1].pieces == ["a", "b", "<UNK>"]


def test_only_unigrams(tmp_path):
    model, vocab, _ = loaded(tmp_path, "\\data\\\nngram 1=3\n\\1-grams:\n-1 </s>\n-1 <unk>\n-1 a\n\\end\\\n")
    assert (model.order, vocab.pieces) == (1, ["a"])
    np.testing.assert_allclose(totals(model, vocab, [["a", "b"]]), [-3])


def test_an_order_without_ngrams(tmp_path):
    text = SRILM[: SRILM.index("\n\\3-grams")].replace("3=2", "3=0") + "\n\\3-grams:\n\\end\\\n"
    model, vocab, _ = loaded(tmp_path, text)
    assert model.describe()["ngrams"] == [5, 3, 0]
    assert model.order == 3
    np.testing.assert_allclose(totals(model, vocab, [["a", "b"]]), [-0.25 - 0.125 - 0.5 - 0.0625 - 0.125])


# -- damage


def cut(text):
    return text[: text.index("\n\\3-grams")]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (cut, r"m.arpa ends after line 39 without \\end\\"),
        (lambda t: t.replace("ngram 2=18", "ngram 3=18"), r"line 3: expected `ngram 2=COUNT`, got 'ngram 3=18'"),
        (lambda t: t.replace("ngram 2=18", "ngram 2=1e3"), r"line 3: expected `ngram 2=COUNT`, got 'ngram 2=1e3'"),
        (lambda t: t.replace("ngram 2=18", "ngram 2=19"), r"line 41: 1 2-grams are missing before '\\\\3-grams:'"),
        (
            lambda t: t.replace("ngram 2=18", "ngram 2=17"),
            r"line 39: expected the next section of an ARPA file, since `n",
        ),
        (lambda t: t.replace("\\2-grams", "\\4-grams"), r"line 21: expected \\2-grams:, got '\\\\4-grams:'"),
        (lambda t: t.replace("-0.60091263\tmat", "x\tmat"), r"line 22: expected a 2-gram with its log-probability"),
        (lambda t: t.replace("-0.60091263\tmat", "nan\tmat"), r"line 22: expected a log-probability of at most 0"),
        (lambda t: t.replace("-0.60091263\tmat", "0.6\tmat"), r"line 22: expected a log-probability of at most 0"),
        (
            lambda t: t.replace("mat </s>\t0", "mat </s>\tinf"),
            r"line 22: expected a log-probability of at most 0 and a b",
        ),
        (lambda t: t.replace("mat </s>\t0", "mat"), "line 22: expected a 2-gram"),
        (lambda t: t.replace("mat </s>", "mat  </s>"), "line 22: expected a 2-gram whose fields are one space or tab"),
        (lambda t: t.replace("\tmat </s>", "\t\tmat </s>"), "line 22: expected a 2-gram whose fields are one space"),
        (lambda t: t.replace("</s>\t0\n", "</s>\t\t0\n"), "expected a 1-gram whose fields are one space"),
        (lambda t: t.replace("\tsat\t", "\t\t", 1), "expected a 1-gram whose fields are one space or tab apart, none"),
        (lambda t: t.replace("mat </s>\t0", "mat </s> cat 0"), "line 22: expected a 2-gram"),
        (lambda t: t.replace("mat </s>\t0", "mad </s>"), r"line 22: expected words that are 1-grams \('mad' is none\)"),
        (lambda t: t.replace("log </s>", "mat </s>"), "line 23: the same 2-gram as in line 22; expected each once"),
        (lambda t: t.replace("\tsat\t", "\tcat\t"), r"line 12: expected every 1-gram once, got 'cat'"),
        (lambda t: "hello\n", r"has no line \\data\\: it is not an ARPA file"),
        (lambda t: "", r"has no line \\data\\: it is not an ARPA file"),
        (lambda t: "\\data\\\n\\end\\\n", "line 2: expected ngram 1=COUNT"),
        (lambda t: "\\data\\\nngram 1=0\n\\1-grams:\n\\end\\\n", "has no 1-grams"),
    ],
)
def test_damaged(tmp_path, change, message):
    (tmp_path / "m.arpa").write_text(change(TINY.read_text("utf-8")), "utf-8")
    with pytest.raises(ModelError, match=message):
        arpa_loading.load(tmp_path / "m.arpa")


@settings(deadline=None, max_examples=100)
@given(st.integers(0, 2**32 - 1), st.integers(1, 8))
def test_any_change_is_a_model_or_an_error(tmp_path_factory, seed, changes):
    rng = np.random.default_rng(seed)
    text = bytearray(SRILM.encode())
    for _ in range(changes):
        at = int(rng.integers(len(text)))
        text[at : at + int(rng.integers(0, 3))] = bytes(
            rng.choice(list(b"-019.\t\n \\ab<>=\xff"), int(rng.integers(0, 3)))
        )
    path = tmp_path_factory.getbasetemp() / "changed.arpa"
    path.write_bytes(text)
    try:
        model, vocab = arpa_loading.load(path)
    except ModelError:
        return
    rows, _ = model.start(prefixes=vocab.encode_lines([[], ["a"], ["b", "a"]]))
    assert not np.isnan(rows).any()


@pytest.mark.parametrize("opened", [arpa.plain_or_gz, lambda path: reading.opened(path, str(path))])
def test_a_damaged_gz_says_how_far_it_was_read(tmp_path, opened):
    (tmp_path / "m.gz").write_bytes(gzip.compress(TINY.read_bytes())[:-30])
    with pytest.raises(ModelError, match="after line 59: the compressed data is damaged"):
        arpa_loading.load(tmp_path / "m.gz", opened=opened)


def test_no_room(tmp_path, monkeypatch):
    vocab, corpus, _ = build(LINES)
    model = ngram.fit(corpus, Config(2))

    def full(n):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(model, "ngrams", full)
    with pytest.raises(ModelError, match=r"m\.arpa cannot be written: No space left on device\. Make room there"):
        arpa.write(model, vocab, tmp_path / "m.arpa")
    assert list(tmp_path.iterdir()) == []


# What KenLM separates at, and what our form needs; all else is written as it is.
kenlm_pieces = st.text(st.sampled_from("ab的\\u0049 \t\u3000\u00a0\u200b\u2028\u2581\x85<s>"), min_size=1, max_size=7)


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.lists(st.one_of(kenlm_pieces, st.sampled_from(["<unk>", "</s>"])), max_size=5), min_size=1, max_size=4)
)
def test_words_are_raw_where_kenlm_can_read_them_and_come_back(tmp_path_factory, lines):
    path = tmp_path_factory.mktemp("raw") / "m"
    vocab, corpus, _ = build(lines)
    arpa.write(ngram.fit(corpus, Config(1)), vocab, path)
    _, words = arpa_loading.load(path)
    assert [unescape(word) for word in words.pieces] == vocab.pieces
    for word, piece in zip(words.pieces, vocab.pieces, strict=True):
        if not set(piece) & set(" \t\u2581\x85\\") and piece not in ("<unk>", "<s>", "</s>"):
            assert word == piece


def test_unreadable(tmp_path):
    with pytest.raises(UsageError, match="no such ARPA file"):
        list(arpa.read(tmp_path / "none"))
    with pytest.raises(ModelError, match="cannot be read as an ARPA file"):
        list(arpa.read(tmp_path))
    whole = gzip.compress(TINY.read_bytes())
    (tmp_path / "m.gz").write_bytes(whole[:-30])
    with pytest.raises(ModelError, match="after line 59: the compressed data is damaged"):
        list(arpa.read(tmp_path / "m.gz"))
    (tmp_path / "m.gz").write_bytes(whole[:200] + bytes(40) + whole[240:])
    with pytest.raises(ModelError, match=r"compressed data is damaged|line 23: expected"):
        list(arpa.read(tmp_path / "m.gz"))
    (tmp_path / "m").write_bytes(b"\\data\\\n\xff\n")
    with pytest.raises(ModelError, match="not UTF-8"):
        list(arpa.read(tmp_path / "m"))


# -- writing


def built():
    vocab, corpus, _ = build(LINES)
    return ngram.fit(corpus, Config(2)), vocab


def test_cannot_be_written(tmp_path):
    vocab, corpus, _ = build(LINES)
    model = ngram.fit(corpus, Config(2))
    with pytest.raises(UsageError, match="cannot be written"):
        arpa.write(model, vocab, Path(f"/proc/{tmp_path.name}.arpa"))
    for path in (tmp_path / "none" / "m.arpa", tmp_path):
        with pytest.raises(UsageError, match="expected a file in a directory that exists"):
            arpa.write(model, vocab, path)
    with pytest.raises(UsageError, match="A vocabulary of 4 does not belong to a model with one of"):
        arpa.write(model, Vocabulary(["x"]), tmp_path / "m.arpa")
    with pytest.raises(UsageError, match="add-k has no ARPA form"):
        arpa.write(ngram.fit(corpus, Config(2, smoothing="add-k")), vocab, tmp_path / "m.arpa")
    assert list(tmp_path.iterdir()) == []


def test_what_was_there_stays_until_the_new_file_is_whole(tmp_path, monkeypatch):
    vocab, corpus, _ = build(LINES)
    model = ngram.fit(corpus, Config(2))
    path = tmp_path / "m.arpa"
    path.write_text("\\data\\ old")

    def broken(n):
        yield from model_ngrams(n)
        raise KeyboardInterrupt

    model_ngrams = model.ngrams
    monkeypatch.setattr(model, "ngrams", broken)
    with pytest.raises(KeyboardInterrupt):
        arpa.write(model, vocab, path)
    assert path.read_text() == "\\data\\ old"
    assert list(tmp_path.iterdir()) == [path]


def test_only_an_arpa_file_is_replaced(tmp_path):
    model, vocab = built()
    for name, content in (("corpus.txt", b"a b"), ("config.json", b"{}"), ("words.gz", gzip.compress(b"a b"))):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(UsageError, match=f"{name} is there and is no ARPA file; it would be lost"):
            arpa.write(model, vocab, tmp_path / name)
        assert (tmp_path / name).read_bytes() == content
    (tmp_path / "empty").touch()
    for name in ("empty", "new", "new", "new.gz", "new.gz"):
        arpa.write(model, vocab, tmp_path / name)
    assert len(list(tmp_path.iterdir())) == 6


def test_not_among_the_files_of_a_model(tmp_path):
    textdl.train("ngram", ["a b"], order=2, output=tmp_path / "m")
    with pytest.raises(UsageError, match="among those of the model"):
        arpa.write(*built(), tmp_path / "m" / "x.arpa")


@pytest.mark.skipif(os.name != "posix", reason="links and signals of POSIX")
def test_a_link_leads_to_its_target_and_what_a_killed_process_left_goes(tmp_path):
    model, vocab = built()
    (tmp_path / "there").mkdir()
    (tmp_path / "link.arpa").symlink_to(tmp_path / "there" / "x.arpa")
    left = tmp_path / "there" / f"{scratch.mark('textdl-arpa').replace(str(os.getpid()), str(2**22 + 1))}abc"
    left.write_text("half")
    arpa.write(model, vocab, tmp_path / "link.arpa")
    assert (tmp_path / "link.arpa").is_symlink()
    assert [path.name for path in (tmp_path / "there").iterdir()] == ["x.arpa"]


def test_a_device_is_written_to(tmp_path):
    vocab, corpus, _ = build(LINES)
    arpa.write(ngram.fit(corpus, Config(2)), vocab, Path(os.devnull))
    assert not Path(os.devnull).is_file()


def test_same_model_same_bytes(tmp_path):
    vocab, corpus, _ = build(LINES)
    model = ngram.fit(corpus, Config(2))
    for name in ("a.gz", "b.gz"):
        arpa.write(model, vocab, tmp_path / name)
    data = (tmp_path / "a.gz").read_bytes()
    assert data == (tmp_path / "b.gz").read_bytes()
    assert data[3] == 0  # no name of a file in it
    assert data[4:8] == bytes(4)  # and no time: written in another second it is the same


def test_what_is_wrong_is_found_by_its_line(tmp_path):
    text = TINY.read_text()
    wrong = tmp_path / "m.arpa"
    number = text.split("\n").index("\\1-grams:") + 2
    line = text.split("\n")[number - 1]
    for said, mended in [
        (f"line {number}: expected a 1-gram", line.replace("-", "-0_", 1)),
        (f"line {number}: expected a log-probability", "-1e400" + line[line.index("\t") :]),
        (f"line {number}: expected a log-probability", line.rsplit("\t", 1)[0] + "\t1e300"),
    ]:
        wrong.write_text(text.replace(line, mended, 1))
        with pytest.raises(ModelError, match=said):
            list(arpa.read(wrong))
    wrong.write_bytes(text.encode().replace(b"\\end\\", b"caf\xe9"))
    with pytest.raises(ModelError, match=r"line \d+: not UTF-8 \(byte 0xe9\)"):
        list(arpa.read(wrong))
    wrong.write_bytes(gzip.compress(text.encode()))  # whatever it is called
    assert len(list(arpa.read(wrong))) == len(list(arpa.read(TINY)))
