"""One self-contained web page: inline style, pictures inside, nothing loaded from anywhere."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import TYPE_CHECKING

from harmonium.plots import style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

STYLE = """
:root { color-scheme: light dark; --paper: #ffffff; --card: #f4f6f9; --ink: #1f2329; --muted: #667080;
  --line: #d5dae1; --warn: #b34700; }
@media (prefers-color-scheme: dark) { :root { --paper: #14171c; --card: #1e232b; --ink: #e6e9ee;
  --muted: #98a2b1; --line: #3a424e; --warn: #f0a04b; --data: #56b4e9; --held-out: #2fc79a;
  --model: #ff8c42; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink);
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", sans-serif; }
main { max-width: 1000px; margin: 0 auto; padding: 40px 22px 64px; }
h1 { font-size: 1.9rem; line-height: 1.2; margin: 0 0 .4rem; letter-spacing: -.01em; }
h2 { font-size: 1.2rem; margin: 2.8rem 0 .3rem; padding-top: 1.1rem; border-top: 1px solid var(--line); }
p { margin: .4rem 0 .8rem; max-width: 46rem; }
.lead { font-size: 1.12rem; color: var(--ink); max-width: none; }
.note { color: var(--muted); font-size: .94rem; }
.cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(170px, 1fr)); gap: 12px;
  margin: 1.4rem 0; }
.card { background: var(--card); border-radius: 10px; padding: 13px 16px; }
.card b { display: block; font-size: 1.55rem; font-weight: 650; line-height: 1.2; }
.card span { color: var(--muted); font-size: .86rem; }
.card small { display: block; color: var(--muted); font-size: .8rem; }
figure { margin: 1rem 0 0; }
figure svg { display: block; width: 100%; height: auto; margin: 0 auto; }
@media (max-width: 640px) { figure { overflow-x: auto; } figure svg { min-width: 600px; } }
table { border-collapse: collapse; margin: .8rem 0; font-size: .93rem; }
td { padding: 5px 18px 5px 0; vertical-align: top; border-bottom: 1px solid var(--line);
  overflow-wrap: anywhere; }
td:first-child { color: var(--muted); white-space: nowrap; }
pre { background: var(--card); border-radius: 8px; padding: 12px 15px; overflow-x: auto; font-size: .88rem; }
.warning { border-left: 4px solid var(--warn); background: var(--card); padding: 8px 14px;
  border-radius: 0 8px 8px 0; }
footer { margin-top: 3rem; color: var(--muted); font-size: .86rem; }
"""


@dataclass(frozen=True)
class Card:
    """One figure in large type: its name, its value, and a line below."""

    name: str
    value: str
    below: str = ""


@dataclass(frozen=True)
class Section:
    """A heading, a sentence on how to read what follows, and what follows.

    Args:
        title: the heading.
        text: below the heading.
        figures: (figure, what is to be seen in words).
        rows: of a table, (name, value).
        code: a command, or the like.
        warnings: sentences set apart.
        points: further sentences, one below the other.
    """

    title: str
    text: str = ""
    figures: Sequence[tuple[Figure, str]] = ()
    rows: Sequence[tuple[str, str]] = ()
    warnings: Sequence[str] = ()
    code: str = ""
    points: Sequence[str] = field(default=())


def page(title: str, lead: str, cards: Iterable[Card], sections: Iterable[Section], foot: str) -> str:
    """The page as HTML. Every text is escaped here, so that names of files and columns can hold anything."""
    body = "\n".join(_section(section) for section in sections)
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)}</title>
<style>{STYLE}</style>
</head>
<body>
<main>
<h1>{escape(title)}</h1>
<p class="lead">{escape(lead)}</p>
<div class="cards">{"".join(_card(card) for card in cards)}</div>
{body}
<footer>{escape(foot)}</footer>
</main>
</body>
</html>
"""


def _card(card: Card) -> str:
    below = f"<small>{escape(card.below)}</small>" if card.below else ""
    return f'<div class="card"><span>{escape(card.name)}</span><b>{escape(card.value)}</b>{below}</div>'


def _section(section: Section) -> str:
    parts = [f"<section>\n<h2>{escape(section.title)}</h2>"]
    if section.text:
        parts.append(f'<p class="note">{escape(section.text)}</p>')
    if section.code:
        parts.append(f"<pre><code>{escape(section.code)}</code></pre>")
    parts += [f'<p class="warning">{escape(text)}</p>' for text in section.warnings]
    parts += [f"<figure>{style.svg(figure, alt)}</figure>" for figure, alt in section.figures]
    if section.rows:
        cells = (f"<tr><td>{escape(name)}</td><td>{escape(value)}</td></tr>" for name, value in section.rows)
        parts.append(f"<table>{''.join(cells)}</table>")
    parts += [f"<p>{escape(point)}</p>" for point in section.points]
    return "\n".join([*parts, "</section>"])
