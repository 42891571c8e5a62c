"""One HTML page that needs nothing else: no scripts, no fonts, no network; light or dark as the reader's system is."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from core.reporting.markup import escaped

STYLE = """
:root{color-scheme:light dark;--ink:#1f2328;--soft:#57606a;--paper:#ffffff;--panel:#f6f8fa;--line:#d0d7de;
--warn:#9a3f00;--c1:#0969a8;--c2:#c2570c;--c3:#0f7b5f;--c4:#a23b8c;--c5:#7a6a00;--c6:#5b5fc7;--ground:#c9d1d9}
@media(prefers-color-scheme:dark){:root{--ink:#e6edf3;--soft:#9ea7b3;--paper:#16191d;--panel:#20252b;--line:#3a424c;
--warn:#f0a35e;--c1:#58b0f0;--c2:#f0904a;--c3:#3fc49b;--c4:#e08acb;--c5:#d8c14a;--c6:#a3a6ff;--ground:#4a535e}}
body{font:15px/1.5 system-ui,-apple-system,"Segoe UI",sans-serif;margin:2rem auto;max-width:68rem;padding:0 1.25rem;
color:var(--ink);background:var(--paper)}
h1{font-size:1.5rem;margin:0 0 .25rem}h2{font-size:1.15rem;margin:2.25rem 0 .5rem}
h3{font-size:1rem;margin:1.25rem 0 .25rem}
p{margin:.4rem 0}.lead{font-size:1.1rem}.note,figcaption{color:var(--soft)}.warning{color:var(--warn)}
.scroll{overflow-x:auto}table{border-collapse:collapse;width:100%;margin:.5rem 0}
caption{text-align:left;color:var(--soft);padding:.2rem 0}
th,td{text-align:left;padding:.3rem .6rem;border-bottom:1px solid var(--line);vertical-align:top}
th{color:var(--soft);font-weight:500}td.n,th.n{text-align:right;white-space:nowrap;font-variant-numeric:tabular-nums}
td{overflow-wrap:anywhere}td:first-child{min-width:8rem}td:last-child:not(.n):not(:empty){min-width:7rem}
pre{background:var(--panel);padding:1rem;overflow:auto;font:13px/1.45 ui-monospace,Consolas,monospace}
figure{margin:1rem 0}figcaption{font-size:.9rem}svg{max-width:100%;height:auto;display:block}
svg text{fill:var(--ink);font-size:12px}svg .tick{fill:var(--soft);font-size:11px}
svg .axis{stroke:var(--soft);fill:none}svg .grid{stroke:var(--line);fill:none}
span.key{margin-right:1.2em;white-space:nowrap}svg.key{display:inline;margin-right:.4em}
svg .k0{--c:var(--ground)}svg .k1{--c:var(--c1)}svg .k2{--c:var(--c2)}svg .k3{--c:var(--c3)}svg .k4{--c:var(--c4)}
svg .k5{--c:var(--c5)}svg .k6{--c:var(--c6)}
svg .fill{fill:var(--c)}svg .stroke{stroke:var(--c);fill:none;stroke-width:2}
svg .dot{fill:var(--c);stroke:var(--c);stroke-width:1.5}svg .ring{fill:var(--paper);stroke:var(--c);stroke-width:1.5}
svg .dash{stroke-dasharray:5 4}
@media print{:root{color-scheme:light;--ink:#000000;--soft:#444444;--paper:#ffffff;--panel:#f2f2f2;--line:#bbbbbb;
--c1:#0969a8;--c2:#c2570c;--c3:#0f7b5f;--c4:#a23b8c;--c5:#7a6a00;--c6:#5b5fc7;--ground:#c9d1d9;--warn:#9a3f00}
body{margin:0;max-width:none;font-size:11px}figure,tr{break-inside:avoid}h2{break-after:avoid}
pre{white-space:pre-wrap}.scroll{overflow:visible}}
"""


@dataclass(frozen=True)
class Section:
    """A heading and what is below it. body: markup (`tables`, `svg`, `markup`), not plain text."""

    title: str
    body: str


def page(title: str, sections: Iterable[Section], *, lead: str = "", foot: str = "") -> str:
    """The page as text, to be written as UTF-8. It is well-formed XML as well.

    title, lead, foot  plain text; sections whose body is "" are left out
    """
    parts = [
        "<!DOCTYPE html>",
        '<html lang="en"><head><meta charset="utf-8"/>',
        """<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'"/>""",
        '<meta name="viewport" content="width=device-width, initial-scale=1"/>',
        f"<title>{escaped(title)}</title><style>{STYLE}</style></head><body><main>",
        f"<h1>{escaped(title)}</h1>",
    ]
    if lead:
        parts.append(f'<p class="lead">{escaped(lead)}</p>')
    parts += [f"<section><h2>{escaped(s.title)}</h2>\n{s.body}</section>" for s in sections if s.body]
    if foot:
        parts.append(f'<p class="note">{escaped(foot)}</p>')
    parts.append("</main></body></html>\n")
    return "\n".join(parts)
