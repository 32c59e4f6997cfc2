"""The packed form: what comes out is what went in, and damage is an error or a wrong number, never a crash."""

import hashlib
import json
import math
import shutil
from collections import defaultdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from textdl.encoded import BOS, EOS, Encoded
from textdl.errors import ModelError
from textdl.ngram import kernels, packed, smoothing
from textdl.ngram.levels import SCANNED, Block
from textdl.ngram.model import NgramModel, load
from textdl.protocols import Run
from textdl.storage import Reader, saving

from .plain import Node, Plain, levels_of, unfold

corpora = st.integers(4, 60).flatmap(
    lambda v: st.lists(st.lists(st.sampled_from([0, *range(3, v)]), max_size=8), min_size=1, max_size=30).map(
        lambda lines: Encoded.from_lines(lines, v)
    )
)


def zipf_lines(count=400, size=300, seed=0):
    rng = np.random.default_rng(seed)
    return Encoded.from_lines(
        [np.minimum(rng.zipf(1.3, rng.integers(0, 20)), size - 3) + 2 for _ in range(count)], size
    )


class Given:
    """Levels from lists of (word, count, children), level by level; one node a block, to try the seams."""

    on_disk = False
    statistics = ()

    def __init__(self, vocab_size, rows, block=1):
        self.order, self.vocab_size, self.block = len(rows), vocab_size, block
        self.rows = rows
        self.sizes = [len(level) for level in rows]
        self.smoothing = smoothing.Smoothing("mle", vocab_size, (smoothing.Discounts((0.0, 0.0, 0.0)),) * self.order)
        self.unigram = np.full(vocab_size, 1 / (vocab_size - 1))
        self.unigram[BOS] = 0

    def blocks(self, n):
        for start in range(0, len(self.rows[n - 1]), self.block):
            word, count, children = np.array(self.rows[n - 1][start : start + self.block], np.int64).T
            marked = children > SCANNED
            t = np.full(marked.sum(), 7.0)
            yield Block(word.astype(np.int32), count, children.astype(np.int32), marked, t, t / 2)


def plain(made):
    """What `unfold` gives of levels, read from the arrays by hand, as packed.py describes them."""
    lines = made.arrays["lines"].tobytes()
    weights = made.arrays["weights"].tolist()
    buckets, share = made.arrays["buckets"].tolist(), made.arrays["share"].astype(float).tolist()
    large = list(zip(made.arrays["large_node"].tolist(), made.arrays["large_count"].tolist(), strict=True))
    nodes, parents, bucketed, words = {}, [()] * made.vocab_size, {}, defaultdict(list)
    for n, (level, place, after) in enumerate(zip(made.levels, made.places, made.places[1:], strict=False), 1):
        listed = dict(large[place.large : after.large])
        stored, following = iter(weights[place.marked : after.marked]), []
        starts = buckets[place.buckets : after.buckets]
        first = marked = begun = 0
        for node, parent in enumerate(parents):
            at = place.lines + node // level.per_line * 64
            line, slot = int.from_bytes(lines[at : at + 64], "little"), node % level.per_line
            field = line >> level.head + slot * level.width & (1 << level.width) - 1
            word, code = field & (1 << level.word_bits) - 1, field >> level.word_bits & (1 << level.code_bits) - 1
            children, mark = 0, False
            if n < made.order:
                if slot == 0:
                    base = line & (1 << 40) - 1
                    assert base == first
                    assert line >> 64 & (1 << 32) - 1 == marked
                mark = bool(line >> 40 + slot & 1)
                children = base + (field >> level.word_bits + level.code_bits) - first
            first, marked = first + children, marked + mark
            count = listed[node] if n > 1 and code == (1 << level.code_bits) - 1 else code + 1
            gram = (*parent, word if n > 1 else node)
            weight = None
            if mark:
                *weight, bucket = next(stored)
                assert bucket == (begun if children > SCANNED else -1)
            if children > SCANNED:
                bucketed[gram] = starts[begun : begun + children // 4 + 1]
                begun += children // 4 + 1
            nodes[gram] = Node(count, children, None if weight is None else tuple(weight))
            following += [gram] * children
        assert next(stored, None) is None
        assert begun == len(starts)
        parents = following
    assert not parents
    for gram in nodes:
        words[gram[:-1]].append(gram[-1])
    for gram, starts in bucketed.items():
        last = len(starts) - 2
        of = [min(int(share[w] * (last + 1)), last) for w in words[gram]]
        assert starts == [sum(b < i for b in of) for i in range(last + 2)]
    return nodes


def same(made, levels):
    expected = unfold(levels)
    found = plain(made)
    assert found.keys() == expected.keys()
    for gram, node in found.items():
        assert node[1:] == expected[gram][1:]
        assert len(gram) == 1 or node.count == expected[gram].count


@settings(deadline=None, max_examples=50)
@given(corpora, st.integers(1, 5), st.sampled_from(["kneser-ney", "witten-bell"]), st.booleans())
def test_packed_is_what_was_counted(corpus, order, name, prune):
    levels = levels_of(corpus, order, name, (0, *[1] * (order - 1)) if prune else (0,) * order)
    made = packed.pack(levels)
    same(made, levels)
    assert made.sizes == levels.sizes
    np.testing.assert_array_equal(made.arrays["unigram"], levels.unigram)


def test_many_children_and_large_counts():
    levels = levels_of(zipf_lines(3000, 600), 3, "absolute", (0,) * 3)
    made = packed.pack(levels)
    assert all(level.marked for level in made.levels[:2])
    assert all(level.large for level in made.levels[1:])
    same(made, levels)
    model, twin = NgramModel(made), Plain(levels)
    text = Encoded.from_lines([[3, 3, 3, 3, 4], [3, 5, 3]], 600)
    (logs,) = model.score(text)
    words = [
        (BOS, 3),
        (BOS, 3, 3),
        (3, 3, 3),
        (3, 3, 3),
        (3, 3, 4),
        (3, 4, EOS),
        (BOS, 3),
        (BOS, 3, 5),
        (3, 5, 3),
        (5, 3, EOS),
    ]
    np.testing.assert_allclose(logs, [math.log(twin.probability(w[:-1], w[-1])) for w in words], atol=1e-6)


@pytest.mark.parametrize("block", [1, 7, 100_000])
def test_seams_between_blocks(block):
    """50 contexts (some lines, the last of them partly full); counts of all sizes; 17 children and 16."""
    rng = np.random.default_rng(0)
    children = [*rng.integers(0, 4, 46), 17, 16, 0, 3]
    second = [(w, c, 0) for k in children for w, c in zip(range(k), 2 ** rng.integers(0, 30, k), strict=True)]
    levels = Given(50, [[(w, 1, k) for w, k in enumerate(children)], second], block)
    made = packed.pack(levels)
    same(made, levels)
    assert made.levels[0].marked == 1


def test_contexts_of_very_many_children():
    """Ends of 17 bits and more."""
    v = 70_000
    levels = Given(
        v,
        [[(w, 1, (v - 1) * (w == 3) + (w == v - 1)) for w in range(v)], [(w, 1, 0) for w in [*range(v - 1), 5]]],
        10_000,
    )
    made = packed.pack(levels)
    assert made.levels[0].end_bits == 17
    table = made.table
    bounds = kernels.bounds(table, 1, np.array([0, 2, 3, 4, v - 2, v - 1])).tolist()
    assert bounds == [0, 0, 0, 0, 0, v - 1, v - 1, v - 1, v - 1, v - 1, v - 1, v]
    words = np.empty((v, 2), np.int32)
    kernels.spell(table, 2, 0, words)
    np.testing.assert_array_equal(words[:-1, 1], np.arange(v - 1))
    assert set(words[:-1, 0].tolist()) == {3}
    assert words[-1].tolist() == [v - 1, 5]


def test_every_child_is_found():
    """Among few and many children, with buckets and without, and no other word is."""
    levels = levels_of(zipf_lines(), 3)
    made = packed.pack(levels)
    grams = unfold(levels)
    nodes = {n: [g for g in grams if len(g) == n] for n in (1, 2, 3)}
    model = NgramModel(made)
    for n in (1, 2):
        for c, context in enumerate(nodes[n][:150]):
            below, above = (made.table[level].ctypes.data for level in (n, n + 1))
            first, end, row = kernels.children(below, c)
            for w in range(levels.vocab_size):
                found, _ = kernels.locate(above, first, end, row, w)
                assert kernels.locate(above, first, end, -1, w)[0] == found
                assert (found >= 0) == ((*context, w) in grams)
                assert found < 0 or (first <= found < end and nodes[n + 1][found] == (*context, w))
    assert [tuple(g) for part in model.ngrams(3) for g in part.words.tolist()] == nodes[3]


def test_files_are_what_is_in_memory(tmp_path):
    levels = levels_of(zipf_lines(), 3)
    run = Run()
    inside, outside = packed.pack(levels), packed.pack(levels, tmp_path, run)
    assert inside.levels == outside.levels
    for name, array in inside.arrays.items():
        np.testing.assert_array_equal(array, outside.arrays[name])
        np.testing.assert_array_equal(array, np.load(tmp_path / f"{name}.npy"))
    assert inside.paths is None


def test_levels_on_disk_are_packed_on_disk():
    levels = Given(10, [[(w, 1, 1) for w in range(10)], [(w, 2, 0) for w in range(10)]])
    levels.on_disk = True
    made = packed.pack(levels)
    same(made, levels)
    directory = made.paths["lines"].parent
    assert directory.exists()
    del made
    assert not directory.exists()


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    directory = tmp_path_factory.mktemp("packed") / "m"
    with saving(directory, {}) as out:
        packed.pack(levels_of(zipf_lines(), 4)).save(out)
    return directory


def test_saved_twice(saved, tmp_path):
    """A loaded model is saved as files; also over itself."""
    with saving(tmp_path / "m", {}) as out:
        load(Reader(saved)).save(out)
    first = packed.load(Reader(tmp_path / "m"))
    with saving(tmp_path / "m", {}) as out:
        first.save(out)
    again = packed.load(Reader(tmp_path / "m"))
    assert (again.levels, again.smoothing, again.statistics) == (first.levels, first.smoothing, first.statistics)
    for name, array in packed.load(Reader(saved)).arrays.items():
        np.testing.assert_array_equal(array, again.arrays[name])


def test_bytes_per_level_is_the_size_of_the_files(saved):
    made = packed.load(Reader(saved))
    assert sum(made.bytes_per_level()) == sum(a.nbytes for a in made.arrays.values())


def change(saved, directory, name, edit):
    """A copy of a saved model with one file changed, and sealed as if it had been saved so."""
    shutil.copytree(saved, directory)
    path = directory / "ngram" / name
    edit(path)
    config = json.loads((directory / "config.json").read_text())
    config["files"][f"ngram/{name}"]|= {
        "bytes": path.stat().st_size, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()
    }  # fmt: skip
    (directory / "config.json").write_text(json.dumps(config))
    return Reader(directory)


def edit_json(**values):
    def edit(path):
        path.write_text(json.dumps(json.loads(path.read_text()) | values))

    return edit


@pytest.mark.parametrize(
    ("name", "edit", "message"),
    [
        ("config.json", lambda p: p.write_text("[]"), "does not describe an n-gram model"),
        ("config.json", lambda p: p.write_text("{"), "is damaged"),
        ("config.json", edit_json(format=2), "is of format 2; this textdl reads format 3. Train the model again"),
        ("config.json", edit_json(levels=[]), "does not describe an n-gram model"),
        ("config.json", edit_json(vocab_size=7), "does not describe an n-gram model"),
        ("config.json", edit_json(vocab_size=10**30), "does not describe an n-gram model"),
        ("config.json", edit_json(smoothing={}), "does not describe an n-gram model"),
        ("lines.npy", lambda p: np.save(p, np.load(p)[:-64]), "expected .* numbers of type u1, got"),
        ("weights.npy", lambda p: np.save(p, np.load(p)["gamma"]), r"expected .* numbers of type \[.*, got"),
        ("buckets.npy", lambda p: np.save(p, np.load(p).astype("i8")), "expected .* numbers of type <u4, got"),
        ("unigram.npy", lambda p: np.save(p, np.load(p) * 1.1), "unigrams do not sum to 1"),
        ("unigram.npy", lambda p: np.save(p, np.load(p) * np.nan), "unigrams do not sum to 1"),
        ("lines.npy", lambda p: np.save(p, np.load(p) * 0), "the 2-grams are not where the 1-grams say"),
        ("lines.npy", lambda p: np.save(p, np.load(p)[::-1].copy()), "are not where the"),
    ],
)
def test_damage_that_shows(saved, tmp_path, name, edit, message):
    with pytest.raises(ModelError, match=message):
        load(change(saved, tmp_path / "m", name, edit))


def use(model):
    """Everything that can be asked of a model."""
    text = zipf_lines(20, model.vocab_size, 5)
    for part in (*model.score(text), *(e.logp for e in model.explain(text))):
        assert part.dtype == np.float32
    rows, state = model.start(prefixes=text)
    model.step(state.select(np.array([0, 0])), np.array([3, 4]))
    assert rows.shape == (20, model.vocab_size)
    return sum(len(part.words) for n in range(1, model.order + 1) for part in model.ngrams(n))


@settings(deadline=None, max_examples=60)
@given(
    name=st.sampled_from(["lines", "weights", "buckets", "large_node", "large_count", "share"]),
    seed=st.integers(0, 2**32 - 1),
    bytes_changed=st.sampled_from([1, 10, 1000, 100_000]),
)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_damage_that_does_not_show_breaks_nothing(name, seed, bytes_changed):
    """Kernels stay within the arrays and come to an end whatever the bytes are."""
    made = packed.pack(levels_of(zipf_lines(100), 4))
    rng = np.random.default_rng(seed)
    array = made.arrays[name].copy()
    view = array.view(np.uint8)
    if len(view):
        view[rng.integers(0, len(view), bytes_changed)] = rng.integers(0, 256, bytes_changed)
    broken = packed.Packed(made.vocab_size, made.levels, made.smoothing, made.statistics, {**made.arrays, name: array})
    assert use(NgramModel(broken)) == sum(made.sizes)


def test_probabilities_are_those_of_the_levels():
    """The same float64, whether T and G are stored or computed."""
    levels = levels_of(zipf_lines(), 3)
    model, twin = NgramModel(packed.pack(levels)), Plain(levels)
    rows, _ = model.start(prefixes=Encoded.from_lines([[], [3], [3, 4], [5, 3, 3]], levels.vocab_size))
    for row, context in zip(rows, [(BOS,), (BOS, 3), (3, 4), (3, 3)], strict=True):
        expected = [twin.probability(context, w) for w in range(levels.vocab_size)]
        with np.errstate(divide="ignore"):
            np.testing.assert_allclose(row, np.log(expected), atol=1e-6)
