"""The report card as one HTML file that needs nothing else: no script, no font, no network.

The table; the first lines of the text as each model sees them, below one another, with every token coloured by its
surprisal; then, for each model, where its bits go (details.py) and its worst lines. Colours are mixed with the page's
own, so it is readable in the light and in the dark. A token tells its bits when it is pointed at, tapped or reached by
the keyboard. A line runs in the direction of its first letter that has one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape

from textdl.evaluation.details import Breakdown, Details, ShownLine, ShownToken
from textdl.evaluation.report import Table

_STEP = 1.5
"""Bits between two colours."""
_COLOURS = 10

_STYLE = """
:root{color-scheme:light dark;--ink:#1c1b1a;--page:#fdfcfa;--faint:#6d6a65;--line:#dedad3;--heat:#d9480f;--bar:#3b6ea8}
@media(prefers-color-scheme:dark){:root{--ink:#e9e6e1;--page:#191817;--faint:#a09b93;--line:#3a3835;--heat:#ff7a3d;--bar:#7fb0e8}}
*{box-sizing:border-box}
body{margin:0 auto;max-width:84rem;padding:1rem 1rem 4rem;color:var(--ink);background:var(--page);overflow-x:clip;
font:16px/1.55 system-ui,-apple-system,"Segoe UI","Noto Sans","PingFang SC","Microsoft YaHei","Noto Sans CJK SC",sans-serif}
h1{font-size:1.6rem;line-height:1.25;margin:.6rem 0 .2rem;overflow-wrap:anywhere}
h2{font-size:1.25rem;margin:3rem 0 .4rem;padding-top:.9rem;border-top:2px solid var(--ink);overflow-wrap:anywhere}
h3{font-size:1rem;margin:1.6rem 0 .4rem}p,li{max-width:46rem}.faint{color:var(--faint)}
a{color:inherit;text-decoration-color:var(--faint);text-underline-offset:.2em}
.notes{padding-left:1.1rem;font-size:.9rem;color:var(--faint)}
.wide{overflow-x:auto;border:1px solid var(--line);border-radius:6px}
table{border-collapse:collapse;font-variant-numeric:tabular-nums;font-size:.9rem}.wide table{width:100%}
th,td{padding:.35rem .5rem;text-align:right;white-space:nowrap;border-bottom:1px solid var(--line)}
tr:last-child td{border-bottom:0}th{color:var(--faint);font-weight:600;vertical-align:bottom}
td:first-child,th:first-child{text-align:left;position:sticky;left:0;background:var(--page)}
.name{width:max-content;max-width:min(18rem,36vw);white-space:normal;overflow-wrap:anywhere}
.wide tbody tr:first-child td:nth-child(-n+2){font-weight:600}.scale td{color:var(--faint)}
.scale:not(.scale+.scale) td{border-top:2px solid var(--line)}
.bars{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,20rem),1fr));gap:0 2rem}.bars table{width:100%}
caption{text-align:left;color:var(--faint);font-size:.9rem;padding:.7rem .5rem .2rem}
.bars td:first-child,.bars th:first-child{white-space:normal}
.bars td:last-child,.bars th:last-child{text-align:left;width:34%;padding-left:1.2rem}
.bar{display:block;height:.3rem;border-radius:2px;background:var(--bar);margin-top:.15rem}
.lines{list-style:none;padding:0;margin:0}.lines li{max-width:none;padding:.55rem 0;border-bottom:1px solid var(--line)}
.lines small{color:var(--faint)}.text{display:block;font-size:1.05rem;line-height:2;overflow-wrap:anywhere}
.seen{display:grid;grid-template-columns:minmax(4rem,max-content) 1fr;gap:0 1rem;align-items:baseline}
.seen small{display:flex;justify-content:space-between;gap:.6rem;max-width:14rem;overflow-wrap:anywhere}
.seen span:not([dir]){color:var(--ink);font-variant-numeric:tabular-nums}.seen a{text-decoration:none}
@media(max-width:40rem){.seen{display:block}.seen small{justify-content:start;max-width:none;margin-top:.3rem;line-height:1.2}}
.text b{font-weight:400;position:relative;padding:.12em .1em;margin:0 .5px;border-radius:3px;outline-offset:1px;cursor:help;
background:color-mix(in srgb,var(--heat) calc(var(--h)*1%),transparent)}
.text b.new{border-bottom:2px dotted var(--heat)}
.text b:hover::after,.text b:focus::after{content:attr(data-b);position:absolute;left:0;bottom:100%;z-index:2;
padding:.1rem .4rem;border-radius:4px;background:var(--ink);color:var(--page);font-size:.8rem;line-height:1.5;white-space:nowrap}
.key b{display:inline-block;min-width:2.4em;padding:0 .4em;text-align:center;font-weight:400;border-radius:3px;color:var(--ink);
background:color-mix(in srgb,var(--heat) calc(var(--h)*1%),transparent)}
""" + "".join(f".h{i}{{--h:{round(i * 78 / (_COLOURS - 1))}}}" for i in range(_COLOURS))


def page(title: str, card: Table, details: Sequence[Details]) -> str:
    """The whole file. card: what `report_card` gives; details: of the models that are to be shown."""
    links = {d.model: f"m{i}" for i, d in enumerate(details)}
    places = {_name(row): place for place, row in enumerate(card.rows)}
    ranked = sorted(details, key=lambda d: places.get(d.model, len(places)))
    parts = [
        '<!doctype html><html lang="en"><head><meta charset=utf-8>',
        '<meta name=viewport content="width=device-width,initial-scale=1">',
        f"<title>{_cell(title)}</title><style>{_STYLE}</style></head><body>",
        f"<h1>{_cell(title)}</h1><p class=faint>{_cell(card.title)}</p>",
        _table(card, links),
        '<ul class="notes">' + "".join(f"<li>{_cell(note)}</li>" for note in card.footnotes) + "</ul>",
        _side_by_side(ranked, links) if details else "",
        *(_model(links[d.model], d) for d in ranked),
        "</body></html>\n",
    ]
    return "".join(parts)


def _name(row: Sequence[str]) -> str:
    """Of the model, without the mark of one that is not ranked."""
    return row[0].removesuffix(" *")


def _table(card: Table, links: Mapping[str, str]) -> str:
    """The figure that ranks stands beside the name, where a phone shows it without being scrolled."""
    first = [i for i, column in enumerate(card.columns) if column in ("bits/char", "vs best")]
    order = [*first, *(i for i in range(1, len(card.columns)) if i not in first)]
    head = "".join(f"<th>{_cell(card.columns[i])}</th>" for i in (0, *order))
    rows = []
    for number, row in enumerate(card.rows):
        name, link = _cell(row[0]), links.get(_name(row))
        scale = " class=scale" if number >= len(card.rows) - card.for_scale else ""
        named = name if link is None else f'<a href="#{link}">{name}</a>'
        cells = "".join(f"<td>{_cell(row[i])}</td>" for i in order)
        rows.append(f"<tr{scale}><td><div class=name>{named}</div></td>{cells}</tr>")
    return (
        f"<div class=wide tabindex=0><table><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table></div>"
    )


def _side_by_side(details: Sequence[Details], links: Mapping[str, str]) -> str:
    """The first lines, each as all models see it."""
    key = " ".join(
        f"<b class=h{i}>{'' if i < _COLOURS - 1 else '&ge;'}{i * _STEP:g}</b>" for i in range(0, _COLOURS, 3)
    )
    lines: dict[int, list[str]] = {}
    for one in details:
        name = f'<a href="#{links[one.model]}">{_cell(one.model)}</a>' if len(details) > 1 else ""
        for line in one.first:
            row = f"<small>{name}<span>{_bits(line.bits_per_char)}</span></small>{_text(line)}"
            lines.setdefault(line.number, []).append(row)
    shown = "".join(
        f"<li><small>line {number:,}</small><div class=seen>{''.join(lines[number])}</div></li>"
        for number in sorted(lines)
    )
    return (
        f"<h2>The first lines</h2><p class='key faint'>Bits of a token: {key}. Dotted: not in the vocabulary, its "
        "spelling is paid for as well. Point at a token, or tap it, to read its bits. Before a line: its bits/char.</p>"
        f"<ol class=lines>{shown}</ol>"
    )


def _model(link: str, details: Details) -> str:
    return (
        f"<h2 id={link}>{_cell(details.model)}</h2>"
        f"<h3>Where its bits go</h3><div class=bars>{''.join(map(_breakdown, details.breakdowns))}</div>"
        "<h3>Its worst lines</h3><p class=faint>Those of the most bits a token.</p>"
        f"<ol class=lines>{''.join(map(_line, details.worst))}</ol>"
    )


def _breakdown(found: Breakdown) -> str:
    tokens = sum(share.tokens for share in found.shares)
    bits = sum(share.bits for share in found.shares)
    rows = []
    for share in found.shares:
        part = share.bits / bits if bits and math.isfinite(bits) else 0.0
        rows.append(
            f"<tr><td>{_cell(share.kind)}</td><td>{share.tokens / max(tokens, 1):.1%}</td>"
            f"<td>{_bits(share.bits / share.tokens)}</td>"
            f"<td>{f'{part:.1%}'}<span class=bar style='width:{100 * part:.1f}%'></span></td></tr>"
        )
    return (
        f"<div><table><caption>{_cell(found.title)}</caption><thead><tr><th></th><th>tokens</th><th>bits each</th><th>of all bits</th></tr>"
        f"</thead><tbody>{''.join(rows)}</tbody></table></div>"
    )


def _line(line: ShownLine) -> str:
    return (
        f"<li><small>line {line.number:,}: {_bits(line.bits_per_char)} bits/char, {_bits(line.bits_per_token)} bits/token"
        f"</small>{_text(line)}</li>"
    )


def _text(line: ShownLine) -> str:
    more = f" <span class=faint>and {line.more:,} more tokens</span>" if line.more else ""
    return f'<span class=text dir=auto lang="">{"".join(map(_token, line.tokens))}{more}</span>'


def _token(token: ShownToken) -> str:
    heat = _COLOURS - 1 if math.isinf(token.bits) else min(round(token.bits / _STEP), _COLOURS - 1)
    blank = not token.text.strip()
    shown = "".join("␣" if blank and c == " " else c if c.isprintable() else f"U+{ord(c):04X}" for c in token.text)
    new = "" if token.known else " new"
    several = f" in {token.pieces} tokens" if token.pieces > 1 else ""
    # a break may come behind every token, also where its script has none of its own
    return f'<b class="h{heat}{new}" data-b="{_bits(token.bits)} bits{several}" tabindex=0>{_cell(shown)}</b><wbr>'


def _bits(value: float) -> str:
    return "∞" if math.isinf(value) else f"{value:.2f}"


def _cell(text: str) -> str:
    return escape(text, quote=False)
