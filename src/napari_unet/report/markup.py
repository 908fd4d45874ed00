"""The little HTML that a page needs. Every text is escaped: names come from files."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

STYLE = """
body { font: 14px/1.45 system-ui, sans-serif; color: #1c1f23; background: #fff; max-width: 62rem;
  margin: 2rem auto; padding: 0 1.2rem; }
h1 { font-size: 1.6rem; margin: 0; } h2 { font-size: 1.1rem; margin: 1.8rem 0 .4rem; }
p { margin: .3rem 0; } .soft { color: #59616b; } .wrap { overflow-wrap: anywhere; }
table { border-collapse: collapse; margin: .4rem 0; }
th, td { text-align: left; vertical-align: top; padding: .2rem .9rem .2rem 0;
  border-bottom: 1px solid #e3e5e8; }
th { font-weight: 600; } td.number, th.number { text-align: right; font-variant-numeric: tabular-nums; }
.swatch { display: inline-block; width: .8em; height: .8em; border: 1px solid #888; margin-right: .5em; }
.figures { display: flex; flex-wrap: wrap; gap: 1rem; }
figure { margin: 0; break-inside: avoid; max-width: 100%; } figcaption { width: 0; min-width: 100%; }
figure img { max-width: calc(50% - .2rem); height: auto; vertical-align: top; margin-right: .3rem; }
svg { width: 20rem; height: auto; } svg text { font: 11px system-ui, sans-serif; fill: #59616b; }
tr { break-inside: avoid; } h2 { break-after: avoid; }
@media print { body { margin: 0; max-width: none; font-size: 11px; } .swatch, svg, img {
  print-color-adjust: exact; -webkit-print-color-adjust: exact; } }
"""


class Html(str):
    """Text that is markup already."""

    __slots__ = ()


def text(value: object) -> Html:
    """Return a value as text that is safe in a page; markup stays as it is."""
    return value if isinstance(value, Html) else Html(escape(str(value)))


def paragraph(words: object, kind: str = "") -> Html:
    """Return a paragraph; `kind` is its class."""
    return Html(f'<p class="{kind}">{text(words)}</p>' if kind else f"<p>{text(words)}</p>")


def table(
    heads: Sequence[str], rows: Iterable[Sequence[object]], numbers: Iterable[int] = ()
) -> Html:
    """Return a table; the columns `numbers` are set flush right."""
    right = set(numbers)

    def line(cells: Sequence[object], tag: str) -> str:
        kinds = (' class="number"' if i in right else "" for i in range(len(cells)))
        pairs = zip(cells, kinds, strict=True)
        return f"<tr>{''.join(f'<{tag}{kind}>{text(cell)}</{tag}>' for cell, kind in pairs)}</tr>"

    head = line(heads, "th") if any(heads) else ""
    return Html(f"<table>{head}{''.join(line(row, 'td') for row in rows)}</table>")


def figures(drawn: Iterable[tuple[str, object]]) -> Html:
    """Return pictures in a row, each with its caption below."""
    every = (
        f"<figure>{art}<figcaption>{text(words)}</figcaption></figure>" for art, words in drawn
    )
    return Html(f'<div class="figures">{"".join(every)}</div>')


def section(title: str, *parts: object) -> Html:
    """Return a section; nothing where it would be empty."""
    body = "".join(text(part) for part in parts if part)
    return Html(f"<section><h2>{text(title)}</h2>{body}</section>" if body else "")


def document(title: str, *parts: object) -> str:
    """Return a whole page, in which no script can run and nothing is fetched."""
    body = "".join(text(part) for part in parts)
    return f"""<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>{text(title)}</title>
<meta http-equiv="Content-Security-Policy"
 content="default-src 'none'; style-src 'unsafe-inline'; img-src data:">
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>{STYLE}</style></head>
<body>{body}</body></html>
"""
