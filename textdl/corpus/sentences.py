"""Lines to sentences, by rule, for Chinese and English in one text.

Nothing is changed: every sentence is a slice of the line, and all that lies between two sentences, before
the first and after the last is white space. What is a sentence end:

- `。！？｡`, `……` and other ellipses, and `!?...` behind a Chinese or Japanese character, wherever they
  stand; closing quotes and brackets go with them. `；` is no end. A comma or colon behind them says that the
  sentence goes on, and so does a repeated character behind an ellipsis (我……我不知道).
- `.`, `!` and `?` elsewhere only before white space and a capital, digit, Chinese character or opening quote.
  Not after abbreviations (Mr., J. R. R., e.g.) and list numbers (1.). After forms that also end sentences
  (U.S., Inc., a.m.) the next word decides: `The`, `In`, `It` begin sentences, a name does not.
- Nothing inside brackets and quotes that are closed within 4,000 characters. Where a Chinese quote ends like a
  sentence and text follows, that begins a sentence of its own where the quote stood at the beginning or
  behind a comma or colon (他说：“好。”大家走了。), unless it goes on by 然后, 就, 又, 的, ... or is a short clause that
  says who spoke (“好。”他说。). A quote in mid-sentence (喊着“加油！”跑了) does not end it, nor does a title (《怎么办？》).
  A bracket that ends like a sentence ends one where it stood at the beginning of it.

It follows no paper; other languages with these marks come out in larger pieces. Punkt (Kiss and Strunk
2006) would learn the abbreviations. Time is linear: no pattern can fail after it has consumed more than a
fixed number of characters that another match looks at again.
"""

from __future__ import annotations

import re
from array import array
from collections import deque
from collections.abc import Iterator

QUOTED = 4000
"""Characters between the ends of a quote or bracket at most; a longer one counts as not closed."""


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_CLOSING = "\"'”’»)\\]）」』》〉】〕〗］"
_RUN = re.compile(rf"([.!?…。！？｡‼⁇⁈⁉]++)([{_CLOSING}]*+)(\s*+)")  # cannot fail behind its first character
_BEGINS = re.compile(r"[\"'“‘«(\[「『《【（]*+[^\W_a-zß-öø-ÿ]")
_FIRST_WORD = re.compile(r"[\"'“‘«(\[]*+([\w'’]{1,40}+)")
_CHINESE = re.compile(r"[⺀-鿿豈-\ufaff！-ﾟ\U00020000-\U000323af]")
_BEHIND_CHINESE = re.compile(rf"[\s{_CHINESE.pattern[1:-1]}]+")
_ELLIPSIS = re.compile(r"…+|\.{2,}")

_KINDS = ("(（)）", "“”", "‘’", "「」", "『』", "《》", "〈〉", "【】", "〔〕", "〖〗", "［］")
_OPENS = {mark: kind for kind in _KINDS for mark in kind[: len(kind) // 2]}
_CLOSES = {mark: kind for kind in _KINDS for mark in kind[len(kind) // 2 :]}
_MARK = re.compile(f'["{re.escape("".join(_KINDS))}]')
_TITLE = "》〉"
_QUOTE = '"”’」』'

_LEADS_IN = frozenset("：:，,—…。！？、；;")
_GOES_ON = frozenset("，、；：,;:”’）」』》〉】〕〗］)]%％~～")
_CLAUSE = r"[^\s，。！？…：；、,.!?:;“”‘’「」『』\"（）()]"
_SPOKE = re.compile(
    rf"{_CLAUSE}{{0,10}}?(?:说|說|道|问|問|喊|叫|答|嚷|骂|罵|叹|嘆|想|念|写|寫|言った|聞いた)"
    rf"{_CLAUSE}{{0,10}}+(?![：:\"“「『])"
)
_CONTINUES = re.compile(
    r"然后|然後|接着|接著|随后|隨後|便|就|又|并|並|且|再|的|地(?![上下面方球铁点])|之类|之類|一类|是|和|与|與|或|と|って|という|とか"
)

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


def split_sentences(line: str) -> list[str]:
    """The sentences of a line, none empty, none with white space around it; none at all for a blank line.

    >>> split_sentences("他说：“你好。我走了。”然后离开。Mr. Smith left! Why?")
    ['他说：“你好。我走了。”然后离开。', 'Mr. Smith left!', 'Why?']
    """
    return list(iterate_sentences(line))


def iterate_sentences(line: str) -> Iterator[str]:
    """The same one after the other: a line of 100 MB may hold millions."""
    stop = len(line.rstrip())
    start = len(line) - len(line.lstrip())
    spans = _Spans(line)
    for run in _RUN.finditer(line, start, stop):
        if run.end() == stop:
            break
        end = _end(line, start, run, spans)
        if end is not None:
            yield line[start:end]
            start = run.end() if end == run.end(2) else end
    if start < stop:
        yield line[start:stop]


def sentences(paragraph: str) -> list[str]:
    """The sentences of a paragraph, its white space made single spaces: joined by such they are the paragraph again."""
    return split_sentences(" ".join(paragraph.split()))


def _end(text: str, start: int, run: re.Match[str], spans: _Spans) -> int | None:
    """Where the sentence that began at start ends, or None where these marks do not end it."""
    at, end, following = run.start(), run.end(2), run.end()
    marks = run[1]
    closed, inside, end = spans.around(at, end)
    if inside:
        return None
    if end < run.end(2):
        following = end  # what looked like a closing quote opens the next one
    freely = not marks.isascii() or (at > start and (marks != "." and _CHINESE.match(text, at - 1) is not None))
    if marks.strip(".…") == "" and "…" in marks and at > start and text[at - 1].isascii():
        freely = False  # English dots
    if not freely:
        spaced = following > end and _BEGINS.match(text, following) is not None
        return end if spaced and not (marks == "." and _abbreviated(text, start, run)) else None
    if text[following] in _GOES_ON:
        return None
    if _ELLIPSIS.fullmatch(marks) and end == run.end(1) and _hesitates(text, start, at, following):
        return None
    if closed is not None and not _ends_behind(text, start, closed, text[end - 1], following, spaced=following > end):
        return None
    return end


def _hesitates(text: str, start: int, at: int, following: int) -> bool:
    """Whether the speaker goes on behind an ellipsis: ……你好, 我……我不知道."""
    return at == start or text[following].islower() or text[following] == text[at - 1]


def _ends_behind(text: str, start: int, opened: int, closing: str, following: int, *, spaced: bool) -> bool:
    """Whether a sentence ends behind a quote or bracket that itself ends like one."""
    before = text[max(start, opened - 4) : opened].rstrip()
    if closing in _TITLE:
        return spaced
    if closing not in _QUOTE:
        return not before
    if _CONTINUES.match(text, following):
        return False
    if not before:
        return _SPOKE.match(text, following) is None
    return spaced or before[-1] in _LEADS_IN


def _abbreviated(text: str, start: int, run: re.Match[str]) -> bool:
    """Whether the full stop belongs to an abbreviation or a list number that does not end the sentence."""
    at = run.start()
    if run[2] and not run[2].startswith(")"):
        return False
    if at - start <= 3 and text[start:at].isdecimal():
        return True
    word = _BEHIND_CHINESE.split(text[max(start, at - 40) : at])[-1].lstrip("\"'“‘«([").lower()
    following = _FIRST_WORD.match(text, run.end())
    begins = following is not None and following[1].lower() in _STARTERS
    if len(word) == 1 and word.isalpha():  # an initial: J. Smith; but `vitamin C. The`
        return not begins or word in "jhw"
    if word in _NEVER:
        return True
    if word in _BEFORE_NUMBERS:
        return following is not None and following[1][0].isdigit()
    if word in _SOMETIMES or _DOTTED.fullmatch(word):
        return not begins
    return False


class _Spans:
    """Quotes and brackets of a line that are closed soon enough; the outermost ones, in order."""

    def __init__(self, text: str):
        self._opened, self._closed = array("q"), array("q")
        self._next = 0
        # Of each kind the innermost open ones; deeper nesting than that is no text.
        waiting: dict[str, deque[int]] = {kind: deque(maxlen=16) for kind in (*_KINDS, '"')}
        straight = text.count('"') % 2 == 0
        for match in _MARK.finditer(text):
            mark, at = match[0], match.start()
            if mark == '"':
                if not straight:
                    continue
                if not (opened := waiting['"']):
                    opened.append(at)
                    continue
                if at - opened[-1] > QUOTED:
                    opened[-1] = at
                    continue
            elif mark in _OPENS:
                if mark != "‘" or _CHINESE.match(text, at + 1):  # else ’ is an apostrophe
                    waiting[_OPENS[mark]].append(at)
                continue
            elif not (opened := waiting[_CLOSES[mark]]):
                continue
            begun = opened.pop()
            if at - begun > QUOTED:
                opened.clear()
                continue
            while self._opened and self._opened[-1] > begun:
                self._opened.pop()
                self._closed.pop()
            self._opened.append(begun)
            self._closed.append(at)

    def around(self, at: int, end: int) -> tuple[int | None, bool, int]:
        """For marks at `at` with closing marks up to `end`; to be asked in order of `at`.

        Returns: where the outermost span opened that ends with them, or None; whether they are inside one that
        does not; and `end`, or where before it a span opens.
        """
        opened, closed = self._opened, self._closed
        while self._next < len(closed) and closed[self._next] < at:
            self._next += 1
        ended = None
        for i in range(self._next, len(closed)):
            if opened[i] > at:
                return ended, False, min(end, opened[i])
            if closed[i] >= end:
                return None, True, end
            ended = opened[i] if ended is None else ended
        return ended, False, end
