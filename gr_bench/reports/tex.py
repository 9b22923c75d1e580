"""Text in LaTeX."""

from __future__ import annotations

import re
import unicodedata

from gr_bench.reports.references import CITATION

_LETTERS = "alpha beta gamma delta epsilon zeta eta theta iota kappa lamda mu nu xi omicron pi rho"
_NAMES = {"lamda": "lambda", "epsilon": "varepsilon", "phi": "varphi", "omicron": "mathrm{o}"}
_CAPITALS = "gamma delta theta lamda xi pi sigma upsilon phi psi omega"

GREEK = {
    **{
        unicodedata.lookup(f"GREEK SMALL LETTER {name.upper()}"): f"$\\{_NAMES.get(name, name)}$"
        for name in f"{_LETTERS} sigma tau upsilon phi chi psi omega".split()
    },
    **{
        unicodedata.lookup(f"GREEK CAPITAL LETTER {name.upper()}"): (
            f"$\\{_NAMES.get(name, name).removeprefix('var').capitalize()}$"
        )
        for name in _CAPITALS.split()
    },
}

CHARACTERS = str.maketrans(
    {
        **{char: f"\\{char}" for char in "&%$#_{}"},
        "\\": r"\textbackslash{}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "<": r"\textless{}",
        ">": r"\textgreater{}",
        "|": r"\textbar{}",
        '"': "''",
        "±": r"$\pm$",
        "×": r"$\times$",
        "·": r"$\cdot$",
        "−": "$-$",
        "–": "--",
        "→": r"$\rightarrow$",
        "≤": r"$\leq$",
        "≥": r"$\geq$",
        "∞": r"$\infty$",
        "√": r"$\surd$",
        "∇": r"$\nabla$",
        "‖": r"$\|$",
        "²": r"$^2$",
        "₁": r"$_1$",
        "₂": r"$_2$",
        "₊": r"$_+$",
        "₋": r"$_-$",
        "\N{NO-BREAK SPACE}": "~",
        **GREEK,
    }
)
"""Characters that are written otherwise in LaTeX; Latin letters with accents are not."""


def tex(text: object) -> str:
    """A text in LaTeX, whatever is in it; a percent sign keeps to the number before it."""
    plain = str(text).replace(" %", "\N{NO-BREAK SPACE}%").translate(CHARACTERS)
    plain = re.sub(r"(?<![\w)\]-])-(?=\d)", "$-$", plain)
    # α̃ and β̃ are two characters each
    plain = re.sub("\\$(\\\\[a-z]+)\\$\N{COMBINING TILDE}", r"$\\tilde{\1}$", plain)
    # a letter beyond Latin ones would stop LaTeX
    return re.sub(r"[^\x00-\u017f]", lambda found: f"U+{ord(found[0]):04X}", plain)


def paragraph(text: str) -> str:
    """A paragraph with citations in LaTeX."""
    parts, end = [], 0
    for match in CITATION.finditer(text):
        before = tex(text[end : match.start()].removesuffix(" "))
        keys = ",".join(key.strip(" @") for key in match[1].split(";"))
        parts += [before, f"~\\cite{{{keys}}}"]
        end = match.end()
    return "".join([*parts, tex(text[end:])])
