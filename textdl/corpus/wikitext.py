"""English Wikipedia's XML dump and its wikitext, to clean sentences.

Only prose is kept: lists, tables, headings, captions, footnotes and the sections of sources go. Markup
that stands for words is written out (`[[a|b]]` is b, `{{convert|5|km}}` is 5 km); where something was
taken out that a sentence cannot do without (a formula, an unknown template with text), the sentence
goes too. What still looks like markup at the end is dropped, never mended by guessing.

Left out: templates are not expanded, so a few figures that only a template knows are missing.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from typing import IO
from xml.etree import ElementTree as ET

from textdl.corpus.sentences import sentences

_HOLE = "\x00"  # stands where something was removed without which the sentence is broken

_COMMENT = re.compile(r"<!--.*?(?:-->|\Z)", re.S)
_REFERENCE = re.compile(r"<ref\b[^<>]*?/>|<ref\b[^<>]*>.*?</ref\s*>", re.S | re.I)
_BLOCKS = re.compile(
    r"<(gallery|timeline|syntaxhighlight|source|pre|imagemap|score|table|ul|ol|references|poem|center|div)\b[^<>]*"
    r"(?:/>|>.*?</\1\s*>)",
    re.S | re.I,
)
_INLINE_HOLES = re.compile(r"<(math|code|chem|hiero|tt|nowiki|s|del)\b[^<>]*(?:/>|>.*?</\1\s*>)", re.S | re.I)
_TAG = re.compile(r"</?[a-zA-Z][^<>]*>")
_TEMPLATE = re.compile(r"\{\{((?:[^{}]|\{(?!\{)|\}(?!\}))*)\}\}")
_TABLE = re.compile(r"^[ :*]*\{\|(?:(?!\{\|).)*?^\s*\|\}", re.S | re.M)
_EXTERNAL = re.compile(r"\[(?:https?:|ftp:|mailto:|news:)?//[^\s\[\]]*\s*([^\[\]]*)\](?!\])", re.I)
_LINK = re.compile(r"\[\[([^\[\]]*)\]\]")
_HEADING = re.compile(r"^(=+)\s*(.*?)\s*\1\s*$")
_URL = re.compile(r"\b(?:https?|ftp)://\S+")
_SOURCES = re.compile(
    r"(?:references?|see also|external links?|notes?|footnotes?|further reading|bibliography|sources?|citations?|"
    r"notes and .*|references and .*|sources and .*|works cited|endnotes|published works|works|filmography|"
    r"publications|discography|selected .*)",
    re.I,
)
_DROPPED_NAMESPACES = frozenset(("file", "image", "media", "category", "template", "portal", "special"))
_PREFIXES = frozenset(("wikt", "wiktionary", "s", "wikisource", "w", "wikipedia", "q", "commons", "b", "v", "species"))


def _names(text: str) -> frozenset[str]:
    return frozenset(name.strip() for line in text.strip().split("\n") for name in line.split("|"))


_NOTHING = _names(
    """
    #tag:ref | - | abbr needed | according to whom | additional citation needed | anchor | attribution needed
    better source | bibleref | broken ref | by whom | citation needed | citation needed span | cite book
    cite journal | cite news | cite quran | cite web | clarify | clear | cn | contradict-inline | coord | cref
    cref2 | dead link | disambiguation needed | disputed inline | dn | dubious | efn | eqm | fact
    failed verification | full | harv | harvnb | harvtxt | ill | importance-inline | inflation-fn | inflation-year
    legend | listen | main | medical citation needed | neutrality disputed | non-primary source needed | note | or
    original research inline | page needed | pov-statement | pp-move-indef | primary source inline
    qualify evidence | r | ref | ref label | refimprove | refn | request quotation | respell | rp | sfn | sfnm
    sfnp | shy | sic | sister project links | specify | synthesis-inline | unreliable source? | update after
    update inline | vague | verification needed | verify source | weasel-inline | when | where | which | who | whom
    year needed | zwsp
    """
)
"""Templates that are notes about the text, not text."""
_FIRST = _names(
    """
    abbr | angbr | bibleverse | big | center | circa | date | em | formatnum | italics correction | large | larger
    lc | linktext | nihongo | nobr | noitalic | not a typo | nowrap | proper name | quote | rtl-lang | sc
    script/arabic | small | smallcaps | smaller | strikethrough | strong | tooltip | unicode | us$ | var
    visible anchor | vr
    """
)
"""Templates that show their first argument."""
_FIXED = {
    "'s": "'s", "'": "'", "\"'": "\"'", "' \"": "'\"", "'\"": "'\"", "-\"": "\"", "nbsp": " ", "spaces": " ",
    "space": " ", "mdash": "—", "mdashb": "—", "em dash": "—", "ndash": "–", "spaced ndash": " – ", "snd": " – ",
    "snds": " – ", "spnd": " – ", "!": "", "=": "=", "·": "·", "bc": "BC", "ad": "AD", "ce": "CE", "bce": "BCE",
    "thinsp": " ", "hair space": "", "'\"'": "'\"'", "pi": "π", "minus": "−", "en dash": "–",
}  # fmt: skip
_LANGUAGE = re.compile(r"(?:lang|transl|script|rtl-lang)(?:-[\w-]+|/.*)?\Z")
_RANGES = {"-": "–", "–": "–", "and": " and ", "to": " to ", "to(-)": " to ", "x": " by ", "by": " by ", "or": " or "}
_UNITS = {
    "km2": "km²", "sqkm": "km²", "m2": "m²", "sqm": "m²", "mi2": "square miles", "sqmi": "square miles", "sqft": "square feet",
    "cuft": "cubic feet", "m3": "m³", "km3": "km³", "cumi": "cubic miles", "acre": "acres", "mi": "miles", "nmi": "nautical miles",
    "ft": "feet", "in": "inches", "lb": "pounds", "C": "°C", "F": "°F", "foot": "foot", "yd": "yards", "C-change": "°C",
    "m/s": "m/s", "ft/s": "feet per second", "impgal": "gallons", "USgal": "gallons", "kg/m3": "kg/m³", "oz": "ounces",
    "LT": "long tons", "ST": "short tons", "t": "tonnes", "hectare": "hectares", "ha": "hectares", "lbf": "pounds-force",
    "oilbbl/d": "barrels per day", "oilbbl": "barrels", "kn": "knots", "mph": "mph", "km/h": "km/h", "cuin": "cubic inches",
}  # fmt: skip


def article_sentences(dump: IO[bytes]) -> Iterator[str]:
    """The sentences of every article in an XML dump, in order; redirects and other namespaces are skipped.

    Memory is bounded by the largest page.
    """
    for _, element in ET.iterparse(dump):  # noqa: S314  (a file of an installed package, not of the network)
        if not element.tag.endswith("}page"):
            continue
        if element.findtext("{*}ns") == "0" and element.find("{*}redirect") is None:
            text = element.findtext("{*}revision/{*}text") or ""
            for paragraph in paragraphs(text):
                for sentence in sentences(paragraph):
                    if _is_clean(sentence):
                        yield sentence
        element.clear()


def paragraphs(wikitext: str) -> Iterator[str]:
    """The prose paragraphs of one page as plain text."""
    text = wikitext.replace("\r", "").replace(_HOLE, "")
    text = _COMMENT.sub("", text)
    text = _REFERENCE.sub("", text)
    text = _BLOCKS.sub("\n", text)
    text = _INLINE_HOLES.sub(_HOLE, text)
    text = _until_stable(_TEMPLATE, _template, text)
    text = _until_stable(_TABLE, lambda _: "", text)
    text = re.sub(r"<br\s*/?>", " ", text, flags=re.I)
    text = _TAG.sub("", text)
    text = _until_stable(_LINK, _link, _EXTERNAL.sub(r"\1", text), between=lambda t: _EXTERNAL.sub(r"\1", t))
    text = re.sub(r"'{2,}", "", text)
    text = re.sub(r"__[A-Z]+__", "", text)
    text = html.unescape(text)
    skipped: int | None = None  # the level of the heading whose section is being skipped
    for line in text.split("\n"):
        if heading := _HEADING.match(line):
            level = len(heading[1])
            if skipped is None or level <= skipped:
                skipped = level if _SOURCES.fullmatch(heading[2]) else None
        elif skipped is None and line and line[0] not in "*#:;|!{}= \t&" and (tidied := _tidy(line)):
            yield tidied


def _until_stable(pattern: re.Pattern[str], replace, text: str, between=None) -> str:  # type: ignore[no-untyped-def]  # noqa: ANN001
    """Replace innermost matches until there are none left: nested markup opens from inside."""
    while True:
        replaced = pattern.sub(replace, text)
        if replaced == text:
            return text
        text = between(replaced) if between else replaced


def _template(match: re.Match[str]) -> str:
    # A link's own bar is not an argument's: [[a|b]] inside is resolved first.
    body = _until_stable(_LINK, _link, match[1])
    name, *arguments = body.split("|")
    name = name.strip().lower().replace("_", " ")
    if ":" in name and not name.startswith("#"):  # {{formatnum: 3003}}
        name, _, argument = name.partition(":")
        arguments.insert(0, argument)
    if name in _FIXED:
        return _FIXED[name]
    if name in _NOTHING or name.startswith(("cite ", "ipa", "pron", "audio", "update")):
        return ""
    plain = [a.strip() for a in arguments if not re.match(r"\s*[\w -]+\s*=", a)]
    if name in ("convert", "cvt"):
        return _convert(plain)
    if name == "as of":
        return f"{'as' if re.search('lc *= *y', body) else 'As'} of {' '.join(reversed(plain))}" if plain else _HOLE
    if name == "chem":
        return "".join(plain)
    if name in ("frac", "sfrac"):
        return "/".join(plain) if len(plain) == 2 else _HOLE
    if name == "ship" or re.fullmatch(r"(?:uss|hms|mv|ms|ss|rms)", name):
        return f"{name.upper()} {plain[0]}" if plain else _HOLE
    if name in _FIRST:
        return plain[0] if plain else ""
    if name in ("lang", "transl"):
        return plain[-1] if len(plain) > 1 else _HOLE
    if _LANGUAGE.match(name):
        return plain[0] if plain else ""
    # Something unknown: alone on its line it is furniture, within a sentence it leaves a hole.
    text = match.string
    before = text[text.rfind("\n", 0, match.start()) + 1 : match.start()]
    return _HOLE if before.strip(" :*#") else ""


def _convert(arguments: list[str]) -> str:
    """{{convert|3|-|5|km|mi}}: 3–5 km. Only what the author wrote; the other unit is arithmetic."""
    if len(arguments) >= 4 and arguments[1] in _RANGES:
        number, unit = arguments[0] + _RANGES[arguments[1]] + arguments[2], arguments[3]
    elif len(arguments) >= 2:
        number, unit = arguments[0], arguments[1]
    else:
        return _HOLE
    if not re.fullmatch(r"[-−+]?[\d.,/]+(?:(?:–| and | to | by | or )[-−]?[\d.,/]+)?", number):
        return _HOLE
    return f"{number} {_UNITS.get(unit, unit)}"


def _link(match: re.Match[str]) -> str:
    target, bar, label = match[1].partition("|")
    prefix, colon, rest = target.strip().partition(":")
    space = prefix.strip().lower()
    if colon and space in _DROPPED_NAMESPACES:
        return ""
    if colon and space not in _PREFIXES and not bar and re.fullmatch(r"[a-z]{2,3}|simple|zh-[a-z-]+", prefix):
        return ""  # the same article in another language
    if bar:
        label = label.rpartition("|")[2]
        return label if label.strip() else re.sub(r"\s*\([^()]*\)$", "", rest if space in _PREFIXES else target)
    if colon and (not prefix or space in _PREFIXES):
        return rest.lstrip(":")
    return target


def _tidy(line: str) -> str:
    """Mend what removals left behind: empty brackets, spaces before commas, doubled punctuation."""
    line = _URL.sub(_HOLE, line)
    line = re.sub(r"[\u200b-\u200f\u202a-\u202e\u2060\ufeff\u00ad]", "", line)
    line = re.sub(r"([a-z]{2}[.!?])(?=[A-Z][a-z])", r"\1 ", line)
    line = re.sub(r"[ \t\u00a0\u2002-\u200a\u202f\u3000]+", " ", line)
    while True:
        mended = re.sub(rf" ?\((?:[^()]*{_HOLE})[^()]*\)", "", line)  # a bracket can go, a clause cannot
        mended = re.sub(r"([(\[])\s*(?:[,;:/–—]|\bor\b|\band\b)*\s*(?=[)\]])", r"\1", mended)
        mended = re.sub(r"\((?:\s*[,;:])+\s*", "(", mended)
        mended = re.sub(r"(?:\s*[,;:–—-])+\s*\)", ")", mended)
        mended = re.sub(r"\(\s+", "(", re.sub(r"\s+\)", ")", mended))
        mended = re.sub(r" ?\((?:[^()\w]*|pronounced|listen|pronunciation:?|or|IPA:?)\)", "", mended)
        mended = re.sub(r" ?\[\s*\]", "", mended)
        mended = re.sub(r"\s+([,;:.!?])(?=\s|$)", r"\1", mended)
        mended = re.sub(r"[,;:](?:\s*[,;:])+", ",", mended)
        mended = re.sub(r"[,;]\s*\.(?=\s|$)", ".", mended)
        mended = re.sub(r"(?<!\.)\.\.(?=\s|$)", ".", mended)
        if mended == line:
            return line.strip()
        line = re.sub(r" {2,}", " ", mended)


_RESIDUE = re.compile(r"\[\[|\]\]|\{|\}|\||<|>|''|==|\x00|\bthumb\b|\( |\(,|, ,| \)|&\w+;|https?:|\bFile:|\bImage:")
_ENDING = re.compile(r"[.!?…][\"'”’»)\]]*$")
_START = re.compile(r"[\"'“‘«(\[]*[^\W_]")


def _is_clean(sentence: str) -> bool:
    """Prose: starts like a sentence, ends like one, has a few words and balanced brackets, no residue."""
    words = sentence.count(" ") + 1
    first = _START.match(sentence)
    return (
        words >= 3
        and first is not None
        and not first[0][-1].islower()
        and _ENDING.search(sentence) is not None
        and _RESIDUE.search(sentence) is None
        and sentence.count("(") == sentence.count(")")
        and sentence.count('"') % 2 == 0
    )
