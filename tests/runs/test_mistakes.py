"""Mistakes made by hand: each ends in one line that names the place and the right form."""

from pathlib import Path

import pytest

from gr_bench import cli
from gr_bench.runs.shipped import read_suite, shipped

LINES = (Path(__file__).parent / "mistakes.txt").read_text().splitlines()
MISTAKES = [line for line in LINES if line and not line.startswith("#")]
COMMON = (
    "models = ['mlp(depth=1)']\ndatasets = ['random(shape=(2,), samples=8)']\nbatch_sizes = [4]\n"
)
SUITES = {
    "s": f"title = 's'\n[[step_cost]]\nmethods = ['sgd']\n{COMMON}",
    "g": f"title = 'g'\n[[generalization]]\nmethods = ['sgd']\nepochs = 1\n{COMMON}",
}
FILES = {
    "ragged.csv": "a,label\n1,0\n1,2,3\n",
    "empty.csv": "",
    "head.csv": "a,label\n",
    "good.csv": "a,label\n" + "".join(f"{number},{number % 2}\n" for number in range(40)),
}
"""Those that a mistake names are there."""

EXPERIMENTS = {"i": "implicit_bias", "f": "flooding", "m": "modified_flow"}


def arguments_of(text: str, folder: Path) -> list[str]:
    """The arguments; a letter stands for a suite, that of its experiment which ships."""
    written = text.split()
    for name, content in FILES.items():
        if name in text:
            (folder / name).write_text(content)
    for index, word in enumerate(written):
        name = word.removesuffix(".toml")
        if name in SUITES and word != name:
            (folder / word).write_text(SUITES[name])
        elif name in EXPERIMENTS and word != name:
            key = EXPERIMENTS[name]
            written[index] = next(s for s in shipped() if key in read_suite(s)[1])
    return written


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_answered_in_one_line(
    mistake: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    text, _, expected = mistake.partition(" => ")
    arguments = arguments_of(text, tmp_path)
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    code = cli._guarded(lambda: cli.app(arguments, standalone_mode=False))
    ended = capsys.readouterr()
    assert (code, ended.out) == (2, "")
    assert ended.err.startswith("gr-bench: ")
    assert ended.err.count("\n") == 1
    for words in expected.split(" | "):
        assert words.strip() in ended.err
    assert sorted(tmp_path.rglob("*")) == before
