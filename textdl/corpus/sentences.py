"""Paragraphs to sentences, by rule, for English.

A sentence ends at `.`, `!` or `?` (closing quotes and brackets go with it) before white space and a
capital, digit or opening quote. Not after abbreviations (Mr., J. R. R., e.g.), and not inside brackets
or quotes that the paragraph closes. After forms that also end sentences (U.S., Inc., a.m.) the next word decides:
`The`, `In`, `It` begin sentences, a name does not.

It follows no paper and knows no other language. Punkt (Kiss and Strunk 2006) would learn the list.
"""

from __future__ import annotations

import re


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_BOUNDARY = re.compile(r"([.!?…]+)([\"'”’»)\]]*)\s+(?=[\"'“‘«(\[]*[^\W_a-zß-öø-ÿ])")
_NEVER = _words(
    """
    mr mrs ms dr prof st mt ft gen col lt sgt capt cmdr adm rev hon sen rep gov pres messrs mme mlle vs cf ca
    viz approx e.g i.e ed eds trans dept univ ave blvd rd maj brig fr q.v jan feb mar apr jun jul aug sep sept oct
    nov dec c v
    """
)
_BEFORE_NUMBERS = _words("no nos p pp vol vols fig figs ch sec op art")
_SOMETIMES = _words(
    """
    jr sr inc ltd co corp etc al bros esq ph.d m.d b.a m.a a.m p.m u.s u.k u.n d.c b.c a.d
    """
)
_STARTERS = _words(
    """
    the a an in on at it its he she they we this that these those there however although after before when while
    as for from by with his her their our since during if but and or to some many most all one two another both
    each such thus therefore according then later today under despite because not no i you what who
    """
)
_DOTTED = re.compile(r"(?:[A-Za-z]\.)+[A-Za-z]")


def sentences(paragraph: str) -> list[str]:
    """The sentences of a paragraph: joined by single spaces they are the paragraph again.

    >>> sentences('Mr. Smith left. "Why?" she asked. He is in the U.S. Navy.')
    ['Mr. Smith left.', '"Why?" she asked.', 'He is in the U.S. Navy.']
    """
    paragraph = " ".join(paragraph.split())
    inside = _inside(paragraph)
    found = []
    start = 0
    for match in _BOUNDARY.finditer(paragraph):
        end = match.end(2)
        if (inside[end - 1] and inside[end]) or (match[1] == "." and _abbreviated(paragraph, start, match)):
            continue
        found.append(paragraph[start:end])
        start = match.end()
    if start < len(paragraph):
        found.append(paragraph[start:])
    return found


def _abbreviated(text: str, start: int, match: re.Match[str]) -> bool:
    """Whether the full stop at match belongs to an abbreviation that does not end the sentence."""
    word = text[max(start, text.rfind(" ", start, match.start()) + 1) : match.start()].lstrip("\"'“‘«([").lower()
    following = re.match(r"[\"'“‘«(\[]*([\w'’]+)", text[match.end() :])
    begins = following is not None and following[1].lower() in _STARTERS
    if match[2] and not match[2].startswith(")"):
        return False
    if len(word) == 1 and word.isalpha():  # an initial: J. Smith; but `vitamin C. The`
        return not begins or word in "jhw"
    if word in _NEVER:
        return True
    if word in _BEFORE_NUMBERS:
        return following is not None and following[1][0].isdigit()
    if word in _SOMETIMES or _DOTTED.fullmatch(word):
        return not begins
    return False


def _inside(text: str) -> list[bool]:
    """For each character, whether it is within brackets or quotes that are closed further on."""
    inside = [False] * (len(text) + 1)
    for pattern in (
        r"\([^()]*(?:\([^()]*\)[^()]*)*\)",
        r"“[^“”]*”",
        *([r'"[^"]*"'] if text.count('"') % 2 == 0 else []),
    ):
        for span in re.finditer(pattern, text):
            inside[span.start() : span.end() - 1] = [True] * (span.end() - 1 - span.start())
    return inside
