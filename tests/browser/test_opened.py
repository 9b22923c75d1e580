"""The checks find the faults that they are for, and nothing in a page without any."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from opened import Opened

SOUND = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>Sound</title>
<style>
:root {{ color-scheme: light dark; }}
body {{ background: light-dark(white, #101418); color: light-dark(black, white); }}
a {{ color: light-dark(#0645ad, #9ecbff); }}
</style>
</head>
<body><main>
<h1>A <i>heading</i></h1>
<img alt="a point" src="data:image/gif;base64,R0lGODlhAQABAAAAACwAAAAAAQABAAA=">
<p><a href="#end">Down</a> <button>Do</button></p>
<div tabindex="0" role="region" aria-label="wide" style="overflow-x: auto">
  <div style="width: 900px">wide</div>
</div>
<details><summary>More</summary><p id="end">less</p>{folded}</details>
{here}
</main></body>
</html>"""

Look = Callable[..., AbstractContextManager["Opened"]]


@pytest.fixture
def look(see: Look, tmp_path: Path) -> Look:
    """A page with this in it, in its main part and behind a click."""

    @contextmanager
    def looked(here: str = "", folded: str = "", **window: int) -> Iterator[Opened]:
        (tmp_path / "page.html").write_text(SOUND.format(here=here, folded=folded))
        with see(tmp_path / "page.html", **window) as opened:
            opened.unfold()
            yield opened

    return looked


@pytest.mark.parametrize("dark", [False, True])
def test_a_sound_page_has_no_faults(look: Look, tmp_path: Path, dark: bool) -> None:
    with look(width=400, dark=dark) as opened:
        assert opened.faults == opened.outside == []
        assert opened.asked == [(tmp_path / "page.html").as_uri()]
        assert opened.images() == {"a point": 1}
        assert opened.beyond(400) == opened.violations() == opened.unreached_by_tab() == []
        assert (opened.luminance() < 0.1) == dark
        assert opened.headings() == ["A heading"]
        (sheet,) = opened.printed(tmp_path / "page.pdf")
        assert "A heading" in sheet


@pytest.mark.parametrize(
    "fault",
    [
        "<script>console.error('wrong')</script>",
        "<script>undefined.wrong</script>",
        "<script>Promise.reject('wrong')</script>",
        "<script>alert('wrong')</script>",
    ],
)
def test_an_error_of_a_script_is_heard(look: Look, fault: str) -> None:
    with look(fault) as opened:
        assert "wrong" in " ".join(opened.faults)


@pytest.mark.parametrize(
    "request_",
    [
        "<img alt='' src='https://example.org/a.png'>",
        "<link rel='stylesheet' href='http://example.org/a.css'>",
        "<script src='//example.org/a.js'></script><script src='https://example.org/b.js'></script>",
        "<script>fetch('https://example.org/a.json').catch(() => 0)</script>",
    ],
)
def test_a_request_to_a_network_is_seen_and_not_let_through(look: Look, request_: str) -> None:
    with look(request_) as opened:
        assert all("example.org" in url for url in opened.outside) and opened.outside


def test_another_file_is_seen(look: Look, tmp_path: Path) -> None:
    (tmp_path / "a.js").write_text("")
    with look("<script src='a.js'></script>") as opened:
        assert (tmp_path / "a.js").as_uri() in opened.asked


@pytest.mark.parametrize("place", ["here", "folded"])
def test_an_image_that_cannot_be_decoded_has_no_width(look: Look, place: str) -> None:
    broken = "<img alt='broken' loading='lazy' src='data:image/png;base64,AAAA'>"
    with look(**{place: broken}) as opened:
        assert opened.images() == {"a point": 1, "broken": 0}


@pytest.mark.parametrize("place", ["here", "folded"])
def test_what_sticks_out_is_named(look: Look, place: str) -> None:
    with look(**{place: "<p id='stuck' style='width: 500px'>wide</p>"}, width=400) as opened:
        wide, *named = opened.beyond(400)
        assert int(wide.removesuffix(" pixels")) > 400
        assert named and "stuck" in named[0]


@pytest.mark.parametrize(
    ("rule", "fault", "dark"),
    [
        ("color-contrast", "<p style='color: #bbb'>pale</p>", False),
        ("color-contrast", "<p style='color: #333'>gloomy</p>", True),
        ("image-alt", "<img src='data:image/gif;base64,R0lGODlhAQABAAAAACwAAAAAAQABAAA='>", False),
        ("button-name", "<button></button>", False),
        ("label", "<input>", False),
    ],
)
def test_axe_says_what_is_wrong(look: Look, rule: str, fault: str, dark: bool) -> None:
    with look(fault, dark=dark) as opened:
        (said,) = opened.violations()
        assert said.startswith(f"{rule}, 1 times")


def test_a_page_that_is_always_light_is_not_dark(look: Look) -> None:
    with look("<style>body, html { background: white; color: black }</style>", dark=True) as opened:
        assert opened.luminance() == 1


@pytest.mark.parametrize(
    "fault",
    [
        "<button style='outline: none'>unseen</button>",
        "<a href='#' id='trap' onkeydown='event.preventDefault()'>trap</a><button>after</button>",
    ],
)
def test_what_the_tab_key_does_not_reach_or_show_is_named(look: Look, fault: str) -> None:
    with look(fault) as opened:
        (named,) = opened.unreached_by_tab()
        assert "unseen" in named or "after" in named


def test_axe_is_the_one_of_the_npm_package() -> None:
    """By the checksum that its authors give for 4.14.1 (in ``sri-history.json``)."""
    from opened import AXE

    digest = base64.b64encode(hashlib.sha256(AXE.read_bytes()).digest()).decode()
    assert digest == "KTSJmUUM3yhJqOcLeRL8LahahJ2jnA0NU5T1HUqe2Vw="
