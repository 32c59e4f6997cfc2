"""Wikitext to prose, and prose to sentences."""

import bz2
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from textdl.corpus.sentences import sentences
from textdl.corpus.wikitext import article_sentences, paragraphs


@pytest.mark.parametrize(
    ("wikitext", "text"),
    [
        ("'''Bold''' and ''italic''.", "Bold and italic."),
        ("[[a]], [[b|c]], [[d (e)|]] and [[wikt:f|g]].", "a, c, d and g."),
        ("See [http://x.org the site] or [http://y.org].", "See the site or."),
        ("Text.<ref name=a>{{cite|x}} [[b]]</ref> More<ref name=b/>.", "Text. More."),
        ("A<!-- hidden\nlines --> b.", "A b."),
        ("[[File:a.jpg|thumb|A [[nested|link]] and [http://x y].]]Text.", "Text."),
        ("{{Infobox|a={{nested|b}}|c}}Text {{citation needed}}here.", "Text here."),
        ("It is {{convert|5|km|mi}} or {{convert|3|-|5|ft|m}} long.", "It is 5 km or 3–5 feet long."),
        ("Greek {{lang|grc|ἀναρχία}} ({{IPA|x}}; {{lang-fr|mot}}).", "Greek ἀναρχία (mot)."),
        ("Name ({{IPAc-en|a|b}}) is.", "Name is."),
        ("Name ({{IPAc-en|a}}, {{respell|A}}, born 1900, {{fact}}) is.", "Name (born 1900) is."),
        ("A&nbsp;b &amp; c&ndash;d.", "A b & c–d."),
        ("One.Two three.", "One. Two three."),
        ("E = mc<sup>2</sup> and H<sub>2</sub>O.<br />Yes.", "E = mc2 and H2O. Yes."),
        ("[[Category:A]][[de:A]]Text.", "Text."),
    ],
)
def test_markup(wikitext, text):
    assert list(paragraphs(wikitext)) == [text]


@pytest.mark.parametrize(
    "wikitext",
    ["== Heading ==", "* item", "# item", ": indented", "{|\n| a || b\n{|\n|c\n|}\n|}", "__NOTOC__", "{{Box\n|a=b\n}}",
     "<gallery>\nA.jpg|b\n</gallery>", "== References ==\nA book.\n=== Sub ===\nAnother."],
)  # fmt: skip
def test_what_is_no_prose(wikitext):
    assert list(paragraphs(wikitext)) == []


def test_a_section_of_sources_ends_at_the_next_heading():
    assert list(paragraphs("One.\n== See also ==\nTwo.\n== Life ==\nThree.")) == ["One.", "Three."]


def dump(*pages):
    body = "".join(
        f"<page><title>T</title><ns>{ns}</ns>{'<redirect/>' if redirect else ''}"
        f"<revision><text>{text}</text></revision></page>"
        for ns, redirect, text in pages
    )
    return io.BytesIO(f'<mediawiki xmlns="http://www.mediawiki.org/xml/export-0.10/">{body}</mediawiki>'.encode())


def test_articles_only_and_whole_sentences_only():
    found = article_sentences(
        dump(
            (
                0,
                False,
                "This is a sentence. Where &lt;math&gt;x&lt;/math&gt; is lost the sentence goes. Another one is kept.",
            ),
            (0, True, "#REDIRECT [[Other page here]]."),
            (1, False, "Talk about the article here."),
            (0, False, "There are the following:\nNo full stop here\nand this starts small.\nThe last one is fine."),
        )
    )
    assert list(found) == ["This is a sentence.", "Another one is kept.", "The last one is fine."]


@pytest.mark.parametrize(
    "expected",
    [
        ["Mr. and Mrs. J. R. R. Smith left.", "He stayed."],
        ['"Why?" she asked.', '"Go."', "He went."],
        ["He lives in the U.S. Navy.", "It rains."],
        ["He lives in the U.S.", "The rain falls."],
        ["See No. 5 on p. 7.", "She said no.", "Then art.", "Next."],
        ["It grew (e.g. Apples. And pears.) well.", "It fell."],
        ['He said "I came. I saw. I won." then left.', "Rome fell."],
        ["It cost 3.5 million in c. 1900.", "1901 was better!", "Was it?", "Yes..."],
        ["Vitamin C.", "The end."],
    ],
)  # fmt: skip
def test_sentences(expected):
    assert sentences(" ".join(expected)) == expected


@given(st.text(st.sampled_from('aA. ?!"(),1')))
def test_sentences_lose_nothing(text):
    assert " ".join(sentences(text)) == " ".join(text.split())


@given(st.text(st.sampled_from("aA .,;:()[]{}|'=<>/\n\0-"), max_size=60))
def test_cleaning_any_text_ends(text):
    for paragraph in paragraphs(text):
        assert "\n" not in paragraph
        assert "''" not in paragraph


def test_cleaning_markup_that_is_never_closed_ends():
    for text in (
        "{{" * 50 + "}}" * 49,
        "[[a|" * 50,
        "{|" * 20,
        "<ref>" * 20,
        "((((,)",
        bz2.compress(b"x").decode("latin-1"),
    ):
        assert isinstance(list(paragraphs(text)), list)
