"""jieba's results, from our own loops over its dictionary: every piece must be the one jieba gives."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from textdl.errors import CorpusError, UsageError
from textdl.storage import Reader, saving
from textdl.tokenizers import create, jieba, load
from textdl.tokenizers import jieba_kernels as kernels
from textdl.tokenizers.jieba import JiebaTokenizer, parts
from textdl.tokenizers.jieba_dictionary import emissions, words_of_jieba

WORDS = [
    "我们",
    "在",
    "北京",
    "天安门",
    "广场",
    "看",
    "升旗",
    "长江大桥",
    "南京市",
    "市长",
    "研究生",
    "命",
    "起源",
    "的",
]
WORDS += [
    "杭研",
    "龘",
    "鿕",
    "鿖",
    "㐀",
    "丂",
    "B超",
    "T恤",
    "卡拉OK",
    "AA制",
    "γ射线",
    "1.5%",
    "3.14.15",
    "c++",
    "a",
    "é",
    "９",
]
WORDS += [
    "，",
    "。",
    " ",
    "\r\n",
    "\r",
    "\n",
    "\t",
    "\u3000",
    "\u0085",
    "\u2028",
    "🙂",
    ".",
    "%",
    "-",
    "_",
    "&",
    "か",
    "\0",
]
TEXT = st.lists(st.sampled_from(WORDS) | st.characters(min_codepoint=0x4E00, max_codepoint=0x9FFF), max_size=25).map(
    "".join
)
MODES = {
    "jieba": lambda plain, line: plain.lcut(line),
    "jieba,hmm=no": lambda plain, line: plain.lcut(line, HMM=False),
    "jieba,mode=search": lambda plain, line: plain.lcut_for_search(line),
    "jieba,hmm=no,mode=search": lambda plain, line: plain.lcut_for_search(line, HMM=False),
    "jieba,mode=full": lambda plain, line: [piece for piece in plain.lcut(line, cut_all=True) if piece],
}
LINES = [
    "他来到了网易杭研大厦，小明硕士毕业于中国科学院计算所，后在日本京都大学深造",
    "「春眠不觉晓，处处闻啼鸟。」  夜来风雨声\t花落知多少 (1.5%, 3.14-2) C++ & AT&T_x",
    "乾隆三十六年巳卯科举人龘靐齉爩鱻麤龗灪吁龖厵滟爨癵籱饢驫鲡鹂鸾麣纞虋",
    "",
    "aT恤bB超1.2.3 .5 5. %5%",
]


@pytest.mark.parametrize("spec", MODES)
def test_pieces_are_those_of_jieba(spec, plain_jieba):
    tokenizer, plain = create(spec), plain_jieba(b"")

    @given(TEXT)
    @settings(max_examples=300)
    def equal(line):
        assert tokenizer.encode(line) == MODES[spec](plain, line)

    for line in LINES:
        assert tokenizer.encode(line) == MODES[spec](plain, line)
    equal()


ENTRY = st.tuples(
    st.lists(
        st.sampled_from(["北", "京", "大", "学", "市", "长", "江", "a", "1", "T", "龘", "·", "か"]),
        min_size=1,
        max_size=4,
    ),
    st.none() | st.integers(0, 10_000),
).map(lambda entry: "".join(entry[0]) + ("" if entry[1] is None else f" {entry[1]}"))


def test_user_dictionaries_are_those_of_jieba(plain_jieba, forced_splits):
    @given(st.lists(ENTRY, max_size=8), st.text("北京大学市长江aT1龘·，", max_size=12))
    @settings(max_examples=100)
    def equal(entries, line):
        forced_splits.clear()
        data = "\n".join(entries).encode()
        plain, tokenizers = plain_jieba(data), [JiebaTokenizer(data, "u", hmm=hmm) for hmm in ("yes", "no")]
        words = tokenizers[0].dictionary
        assert words.total == plain.total
        for entry in entries:
            assert words.frequency(entry.split()[0]) == plain.FREQ[entry.split()[0]]
        assert [t.encode(line) for t in tokenizers] == [plain.lcut(line, HMM=hmm) for hmm in (True, False)]

    equal()


def test_the_suggested_frequency_is_that_of_jieba(plain_jieba):
    plain = plain_jieba(b"")
    for word in ("北京大学", "永和服装", "中出", "龘龘", "今天天气", "ab", "c", "C++", "·", "北京 市"):
        assert words_of_jieba().suggest(word) == plain.suggest_freq(word)


def test_the_model_is_the_one_of_jieba(plain_jieba):
    from jieba.finalseg import emit_P

    assert emissions().shape == (0x9FD5 - 0x4E00 + 1, 4)
    for state, letter in enumerate("BMES"):
        assert emissions()[ord("京") - 0x4E00, state] == emit_P[letter]["京"]
    assert emissions()[ord("鿕") - 0x4E00, 0] == -3.14e100


def test_nothing_that_other_code_does_to_jieba_changes_a_result(plain_jieba, forced_splits):
    plain = plain_jieba(b"")
    before = create("jieba").encode("杭研大厦")
    assert before[0] == "杭研"
    plain.del_word("杭研")
    assert plain_jieba(b"").lcut("杭研大厦")[:2] == ["杭", "研"]  # another instance: jieba shares what is split
    assert create("jieba").encode("杭研大厦") == before


@pytest.mark.parametrize("spec", MODES)
def test_a_long_line_is_cut_where_jieba_cuts(spec, monkeypatch):
    whole = create(spec)
    limit = 12

    @given(st.lists(st.text("北京大学长江a1.", max_size=limit - 3), max_size=8), st.data())
    def equal(runs, data):
        gaps = st.sampled_from(["，", " ", "\r\n", "\n", "。 "])
        line = "".join(run + data.draw(gaps) for run in runs)
        monkeypatch.setattr(jieba, "PART", 1 << 18)
        expected = whole.encode(line)
        monkeypatch.setattr(jieba, "PART", limit)
        assert max(map(len, parts(line, limit))) <= limit
        assert whole.encode(line) == expected == list(whole.iterate(line))

    equal()


@given(st.text("北京大学 ，\r\nか\u2028a", max_size=60), st.integers(1, 10))
def test_parts_are_the_line(line, limit):
    cut = list(parts(line, limit))
    assert "".join(cut) == line
    assert all(len(part) <= limit for part in cut)
    assert all(cut) or not line


def test_a_run_without_end_is_cut_somewhere_and_comes_back(monkeypatch):
    monkeypatch.setattr(jieba, "PART", 10)
    tokenizer = create("jieba")
    line = "南京市长江大桥" * 20
    pieces = tokenizer.encode(line)
    assert tokenizer.decode(pieces) == line
    assert pieces == list(tokenizer.iterate(line))


def test_overlapping_pieces_say_so():
    search = create("jieba,mode=search")
    assert not search.lossless
    assert search.overlapping
    assert search.encode("北京大学生") == ["北京", "大学", "学生", "大学生"]
    assert search.decode(["北京", "大学", "学生", "大学生"]) == "北京 大学 学生 大学生"
    assert create("jieba,mode=full").encode("北京大学生") == ["北京", "北京大学", "大学", "大学生", "学生"]
    assert create("jieba").lossless
    assert not create("jieba").overlapping


def test_the_characters_that_are_looked_up_are_the_same_everywhere():
    pattern = re.compile(f"[{jieba.IN_BLOCK}]")
    for code in range(0x110000):
        assert kernels._in_block(code) == bool(pattern.match(chr(code))), f"U+{code:04X}"


def test_fingerprints_follow_what_changes_the_pieces():
    plain = "网易杭研 100 nz\n小明硕士\n".encode()
    same = [
        plain,
        b"\xef\xbb\xbf" + plain.replace(b"\n", b"\r\n"),
        b"\n\n" + plain[:-1],
        plain.replace(b" 100 nz", b"\t100"),
    ]
    assert len({JiebaTokenizer(data, "u.txt").fingerprint for data in same}) == 1
    others = [b"", plain.replace(b"100", b"101"), plain.replace("小明".encode(), "小红".encode())]
    made = [JiebaTokenizer(data, "u.txt") for data in [plain, *others]]
    made += [create(spec) for spec in MODES if spec != "jieba"]
    assert len({tokenizer.fingerprint for tokenizer in made}) == len(made)


def test_it_takes_a_user_dictionary_along(tmp_path: Path):
    line = "他来到了网易杭研大厦，小明硕士毕业"
    assert create("jieba").encode(line)[:6] == ["他", "来到", "了", "网易", "杭研", "大厦"]  # jieba's own README
    assert "杭研" not in create("jieba,hmm=no").encode(line)
    dictionary = tmp_path / "user.txt"
    dictionary.write_bytes("\ufeff网易杭研 100 nz\r\n\r\n小明硕士\r\n".encode())
    tokenizer = create(f"jieba:{dictionary}")
    assert {"网易杭研", "小明硕士"} <= set(tokenizer.encode(line))
    with saving(tmp_path / "m", {}) as out:
        tokenizer.save(out)
    dictionary.unlink()
    loaded = load(Reader(tmp_path / "m"))
    assert loaded.encode(line) == tokenizer.encode(line)
    assert loaded.fingerprint == tokenizer.fingerprint


def test_wrong_dictionaries_and_options(tmp_path: Path):
    bad = tmp_path / "bad.txt"
    bad.write_bytes("北京\n上海".encode("gb18030"))
    with pytest.raises(
        CorpusError, match=r"bad\.txt, line 1: expected UTF-8, but it looks like GB18030.*iconv -f GB18030"
    ):
        create(f"jieba:{bad}")
    for spec in ("jieba,dictionary=x", "jieba,self=x", "jieba,mode=paddle"):
        with pytest.raises(UsageError, match=r"no option|mode must be one of exact, search, full"):
            create(spec)


def test_it_leaves_no_file_behind_and_does_not_import_jieba(tmp_path: Path):
    code = "import sys; from textdl.tokenizers import create; create('jieba').encode('北京'); print('jieba' in sys.modules)"
    compiled = os.environ["NUMBA_CACHE_DIR"]  # set where the kernels were imported, above
    places = {"TMPDIR": str(tmp_path), "TEXTDL_CACHE": str(tmp_path), "NUMBA_CACHE_DIR": compiled}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], env=os.environ | places, capture_output=True, text=True, check=True
    )
    assert (done.stdout, done.stderr) == ("False\n", "")
    assert list(tmp_path.iterdir()) == []
