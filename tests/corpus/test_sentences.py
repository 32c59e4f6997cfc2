"""Lines to sentences: what ends one, what does not, and that no text is lost."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from textdl.corpus.sentences import _RUN, QUOTED, sentences, split_sentences

CHINESE = [
    "他走了。|我也走了！|真的？|真的！？|不是吗？！|好｡|完",
    "他走了；我来了，就这样。|好。",
    # ellipses: an end, unless the speaker goes on
    "我不知道……|他说。|好…|行……。|完了",
    "我……我不知道。|你…你好。",
    "……你好。|他走了",
    "我不知道...|他说。|他走了。。。|好吧。",
    # quotes are kept whole; what stands before and behind decides
    "他说：“你好。我走了。”然后离开。|好。",
    "他说：“你好。”|小明笑了。|她说：「好。」|大家走了。",
    "“你好。”他说。|“是谁？”小明大声地问道。|“好！”|她说：“再见。”",
    "“什么？”|我吃了一惊。",
    "“你好。”，他说。|“你好”。|完。",
    "他喊着“加油！”冲了过去。|好。",
    "他问：“你是谁？”|“我是小明。”他说。",
    "她说：“他叫我‘别动！别说话！’我就没动。”|好。",
    '他说："你好。我走了。"然后离开。|"好。"他说。|他走了。|"你好。"他说。',
    "他说”你好。”|完了。",
    # brackets and titles
    "他走了。|（笑声。很久。）|我也走了（他没来！没来！）所以。|【注意！】|好",
    "《怎么办？》是一本书。|我读了《谁？谁！》",
    # half-width marks among Chinese
    "你好!|我走了?|价格!?|100元。|他走了. |Yahoo!公司。",
    # not ends: decimals, names, URLs, list numbers
    "圆周率是3.14。|价３．５元。|人名乔治．布什。",
    "见http://a.com/b?c=1&d=e.f。|好。",
    "1. 你好。| |2. 再见。",
    "他叫J. Smith。|e.g. this.| |U.S. Navy is.| |他在U.S. Navy。",
    # Japanese, with its particle of quotation
    "「はい。」と言った。|彼は行った。|本当？",
    # quotes that are never closed hide nothing
    "“没完没了。|他走了。|真的。",
    "他走了。”|我也走了。",
    '他走了。"|我也走了。|好。',
    # the two languages together
    "Hello there.|  |你好。|Bye! ok. |你好。| “Why?” she asked.| |Because。|Yes.",
]


@pytest.mark.parametrize("marked", CHINESE)
def test_chinese_and_both(marked):
    """`|` stands where a sentence ends."""
    expected = [part.strip() for part in marked.split("|") if part.strip()]
    assert split_sentences(marked.replace("|", "")) == expected


@pytest.mark.parametrize(
    "marked",
    [
        "Mr. Smith left.| Prof. A. B. Cook stayed.| He is in the U.S. Navy.| He is in the U.S.| The end.",
        '"Why?" she asked.| "Because."| He left (Ann stayed. Why?) and came.|\tNo?|\xa0Yes...| Well',
        "It cost 3.5 million in c. 1900.| 1901 was No. 1 vol. 2.| See e.g. Ann et al. 1999.",
        "1. First point.| 2. Second point.| It was in 1900.| Then 1901.",
        "He wrote ‘don’t. Stop. It’s’ on it.| Then left.",
    ],
)
def test_english(marked):
    expected = [part.strip() for part in marked.split("|")]
    if "don’t" in marked:  # ‘ before Latin letters opens nothing: ’ is mostly an apostrophe
        expected = ["He wrote ‘don’t.", "Stop.", "It’s’ on it.", "Then left."]
    assert split_sentences(marked.replace("|", "")) == expected


def test_white_space_alone_gives_nothing():
    assert split_sentences("") == split_sentences(" \t\u3000") == []
    assert split_sentences(" 你好 ") == ["你好"]


def test_a_quote_is_whole_up_to_a_length():
    inside = "好。" * (QUOTED // 2 - 1)
    assert split_sentences(f"“{inside}”") == [f"“{inside}”"]
    assert len(split_sentences(f"“{inside}好。好。”")) > 1000


PIECES = st.text(
    st.sampled_from("。！？…｡；，：、.!?,\"'“”‘’「」『』《》（）()【】[] \t\u3000\xa0\n好我说道a1A.。…"), max_size=60
)


@given(st.one_of(st.text(max_size=40), PIECES))
def test_sentences_are_slices_and_only_white_space_lies_between(line):
    at = 0
    for sentence in split_sentences(line):
        assert sentence
        assert sentence == sentence.strip()
        start = line.index(sentence, at)  # the gap is white space, so the first place is the place
        assert not line[at:start].strip()
        at = start + len(sentence)
    assert not line[at:].strip()


@given(PIECES)
def test_every_end_was_reason_enough(line):
    """All sentences but the last end in marks, perhaps with closing quotes and brackets behind them."""
    for sentence in split_sentences(line)[:-1]:
        assert sentence.rstrip("\"'”’」』》）)】]")[-1:] in set("。！？…｡.!?")


@given(PIECES)
def test_paragraphs_come_back_from_their_sentences(text):
    assert "".join("".join(sentences(text)).split()) == "".join(text.split())


@given(PIECES)
def test_no_character_is_matched_twice(line):
    """What makes the time linear: runs of marks do not overlap and none is found in vain."""
    at = 0
    for run in _RUN.finditer(line):
        assert run.start() >= at
        assert not set(line[at : run.start()]) & set(".!?…。！？｡")
        at = run.end()


@pytest.mark.parametrize(
    "unit",
    [
        '"',
        "“",
        "”",
        ".",
        "。",
        "… ",
        "(",
        "（",
        "。”",
        "“。”",
        "(“)”",
        ". ",
        ".\t",
        "mr. A ",
        "A.\tA.\t",
        "喊“好！”了",
        '. "',
        "a.b.",
        " ",
    ],
)
def test_long_lines_of_one_thing(unit):
    """At 300,000 characters anything quadratic would take minutes."""
    line = unit * (300_000 // len(unit))
    assert "".join("".join(split_sentences(line)).split()) == "".join(line.split())
