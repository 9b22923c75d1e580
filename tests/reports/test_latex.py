"""A run in LaTeX: texts are escaped, sources are the methods' own, and the document compiles."""

from __future__ import annotations

import ast
import json
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pandas as pd
import pytest
import yaml
from processes import Warm
from synthetic import cost, counted, run_of, timed, trained, training

import gr_bench
from gr_bench import registry
from gr_bench.experiments.experiment import Summary
from gr_bench.experiments.paper_tables import Strong, pivot
from gr_bench.methods import BUILT_IN, COMBINATORS
from gr_bench.reports.latex import methods_paragraph, table_tex, write_latex
from gr_bench.reports.references import OWN, bibliography, cited, entries, sources
from gr_bench.reports.tex import paragraph, tex
from gr_bench.runs.results import Results

ROOT = Path(__file__).parents[2]
NASTY = r"a_b & 50 % of #1 {x} $5 ~ ^ \cmd"


# --- text


def test_what_means_something_to_latex_is_escaped() -> None:
    assert tex("50 % & a_b") == r"50~\% \& a\_b"
    assert tex("γ = 0.1 ± 2, ‖∇L‖") == r"$\gamma$ = 0.1 $\pm$ 2, $\|$$\nabla$L$\|$"
    assert tex("-0.5 [-1.2, f-gr]") == "$-$0.5 [$-$1.2, f-gr]"
    assert tex("α̃/α") == r"$\tilde{\alpha}$/$\alpha$"
    assert tex("Müller 漢") == "Müller U+6F22"


def test_a_paragraph_cites() -> None:
    assert paragraph("SAM [@foret2021; @kwon2021] takes 5 %.") == (
        r"SAM~\cite{foret2021,kwon2021} takes 5~\%."
    )
    assert cited("a [@x1] b [@y-2; @x1]") == ["x1", "y-2"]


# --- sources


def docstring(where: str) -> str:
    module, _, name = where.partition(":")
    tree = ast.parse(
        (ROOT / "gr_bench/methods" / (module[1:].replace(".", "/") + ".py")).read_text()
    )
    (found,) = [n for n in tree.body if isinstance(n, ast.ClassDef) and n.name == name]
    return ast.get_docstring(found) or ""


@pytest.mark.parametrize("name", [*BUILT_IN, *COMBINATORS])
def test_a_method_s_entries_are_the_sources_that_its_docstring_names(name: str) -> None:
    _, _, said = docstring({**BUILT_IN, **COMBINATORS}[name]).partition("Source:")
    own = [entry for entry in entries().values() if name in entry.methods]
    assert {entry.eprint for entry in own} - {None} == set(re.findall(r"\d{4}\.\d{4,5}", said))
    assert bool(own) == bool(said)
    for entry in own:
        year = re.search(r"year = \{(\d+)\}", entry.text)
        assert year is not None
        surname = re.search(r"author = \{([^,]+),", entry.text)
        assert surname is not None
        assert surname[1].replace(r"{\"u}", "ü") in said


def test_every_keyword_is_a_method() -> None:
    known = {*BUILT_IN, *COMBINATORS, "gr-bench"}
    assert {name for entry in entries().values() for name in entry.methods} <= known


def test_sources_are_those_of_the_methods_inside_too() -> None:
    assert sources("late(sam(rho=0.1), share=0.2)") == [
        "foret2021",
        "andriushchenko2022",
        "zhou2025",
    ]
    assert sources("my_file.py:Mine(gamma=1)") == []


def test_gr_bench_is_cited_as_its_citation_file_says() -> None:
    said = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    text = entries()[OWN].text.replace("{gr-bench}", "gr-bench")
    assert said["title"] in text
    assert said["authors"][0]["name"] in text
    assert "Version 1.2.3" in bibliography([OWN], "1.2.3")


# --- tables


def test_a_table_is_booktabs_escaped_with_its_caption_and_bold_cells() -> None:
    table = pd.DataFrame({"a_b": [NASTY], "γ": [Strong("1.5 [1.2, 1.7]")]}, dtype=object)
    made = table_tex(Summary("name", "t", "All within 5 %.", table), "CPU_1")
    assert r"\toprule" in made
    assert r"\caption{All within 5~\%. Measured on CPU\_1.}" in made
    assert r"\label{tab:name}" in made
    assert r"a\_b & $\gamma$ \\" in made
    assert r"\textbf{1.5 [1.2, 1.7]}" in made
    body = made.partition(r"\midrule")[2].partition(r"\bottomrule")[0]
    assert not re.search(r"(?<!\\)[%#]", body)
    assert len(re.findall(r"(?<!\\)&", body)) == 1


def test_a_pivot_has_every_value_once_whichever_way_it_lies() -> None:
    for methods, places in ((3, 2), (2, 9), (9, 9)):
        rows = pd.DataFrame(
            [
                {"method": f"m{m}", "workload": f"{'w' * 20}{w}", "value": f"{m}.{w} [1.00, 2.00]"}
                for w in range(places)
                for m in range(methods)
            ]
        )
        table = pivot(rows, "ratio")
        found = [cell for cell in table.to_numpy().ravel() if str(cell) in set(rows["value"])]
        assert sorted(found) == sorted(rows["value"])
        if methods * places < 81:
            for key in ("method", "workload"):
                across = set(table.columns) >= set(rows[key])
                assert across or set(table.iloc[:, 0]) >= set(rows[key])


# --- a run


@pytest.fixture(scope="module")
def quick() -> Results:
    return gr_bench.load(ROOT / "results/quick")


def test_the_paragraph_tells_what_the_records_say(quick: Results) -> None:
    text = methods_paragraph(quick)
    about = json.loads((ROOT / "results/quick/run.json").read_text())["environment"]
    for part in (about["gr_bench"], about["git"]["commit"][:10], about["packages"]["torch"]):
        assert part in text
    table = quick.step_cost
    low, high = table["rounds"].min(), table["rounds"].max()
    assert f"{low:.0f} to {high:.0f} rounds" in text
    assert "sam(rho=0.05) [@foret2021]" in text
    assert "with 3 seeds each" in text
    assert "None of 30 trainings diverged" in text
    assert set(cited(text)) <= set(entries())
    known = bibliography(cited(text), "1.2.3")
    assert known.count("\n@") + known.startswith("@") == len(cited(text))


def test_numbers_of_a_table_are_those_of_the_run(quick: Results) -> None:
    from gr_bench.experiments.step_cost.paper import paper_tables

    table = quick.step_cost
    (times, memory) = paper_tables(table)
    sam = table[(table["method"] == "sam") & (table["model"] == "resnet-8")]
    for row in sam.to_dict("records"):
        text = (
            f"{row['time_ratio']:.2f} [{row['time_ratio_low']:.2f}, {row['time_ratio_high']:.2f}]"
        )
        assert (times.table == text).any(axis=None)
        assert memory.table.map(lambda c, r=row: f"{r['peak_memory_bytes'] / 1e6:.1f}" in c).any(
            axis=None
        )
    assert f"over {table['replicates'].iloc[0]:.0f} freshly started processes" in times.caption


def test_the_command_writes_what_it_prints(tmp_path: Path, command: Warm) -> None:
    sgd, sam = cost(), cost("sam")
    run = run_of(
        tmp_path / "run",
        *(counted(cell) for cell in (sgd, sam)),
        *(timed(cell, n, [1.0 + (cell is sam), 1.1]) for n in range(2) for cell in (sgd, sam)),
    )
    ended = command("report", run, "--latex", "--style", "slides", "--format", "md")
    assert (ended.code, ended.err) == (0, "")
    written = [Path(line).relative_to(run / "report").as_posix() for line in ended.out.split()]
    assert written[0] == "report.md"
    assert {"figures-slides/step_time_ratio.pdf", "latex/methods.tex"} <= set(written)
    assert {"latex/tables/step_time_ratio.tex", "latex/references.bib"} <= set(written)
    assert all((run / "report" / name).is_file() for name in written)
    assert (run / "report/latex/figures/step_time_ratio.pdf").is_file()
    text = (run / "report/latex/figures.tex").read_text()
    for file in re.findall(r"\\includegraphics\{(.*?)\}", text):
        assert (run / "report/latex" / file).is_file()


def test_a_style_that_is_none_ends_in_a_line(tmp_path: Path, command: Warm) -> None:
    run = run_of(tmp_path / "run", trained(training(), train=(0.1, 1.0), test=(0.2, 0.9)))
    ended = command("report", run, "--style", "papers")
    assert (ended.code, ended.out) == (2, "")
    assert ended.err == "gr-bench: no style 'papers': did you mean 'paper'?\n"
    assert not (run / "report").exists()


# --- the document of the documentation


def latex(folder: Path, document: str) -> str:
    """Compile a document beside a run's LaTeX files; the log."""
    if shutil.which("pdflatex") is None:
        pytest.skip("there is no pdflatex here")
    (folder / "paper.tex").write_text(document)
    for program in ("pdflatex", "bibtex", "pdflatex", "pdflatex"):
        more = ["-interaction=nonstopmode", "-halt-on-error"] if program == "pdflatex" else []
        ended = subprocess.run(
            [program, *more, "paper"], cwd=folder, capture_output=True, text=True, errors="replace"
        )
        assert ended.returncode == 0, ended.stdout[-2000:]
    return (folder / "paper.log").read_text(errors="replace")


@pytest.mark.slow
def test_the_document_of_the_documentation_compiles(quick: Results, tmp_path: Path) -> None:
    folder = tmp_path / "latex"
    write_latex(quick, folder)
    (document,) = re.findall(
        r"```latex\n(.*?)```", (ROOT / "docs/paper-figures.md").read_text(), re.DOTALL
    )
    log = latex(folder, document)
    assert "undefined" not in log
    assert "Overfull" not in log


@pytest.mark.slow
@pytest.mark.parametrize("name", ["claims-quick", "sam-family"])
def test_every_table_and_caption_of_a_run_compiles(name: str, tmp_path: Path) -> None:
    folder = tmp_path / "latex"
    written = write_latex(gr_bench.load(ROOT / "results" / name), folder)
    tables = [path.stem for path in written if path.parent.name == "tables"]
    inputs = "\n".join(f"\\input{{tables/{name}}}\\clearpage" for name in tables)
    log = latex(
        folder,
        "\\documentclass{article}\\usepackage[margin=0.75in]{geometry}"
        "\\usepackage{booktabs,graphicx}\\extrafloats{100}\\begin{document}\n"
        f"{inputs}\n\\input{{methods}}\n\\input{{figures}}\n"
        "\\bibliographystyle{plain}\\bibliography{references}\\end{document}\n",
    )
    assert len(tables) >= 3
    assert "undefined" not in log


@pytest.mark.slow
def test_the_code_of_the_documentation_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(ROOT / "results/quick", tmp_path / "runs/quick")
    monkeypatch.chdir(tmp_path)
    text = (ROOT / "docs/paper-figures.md").read_text()
    space: dict[str, object] = {}
    for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL):
        exec(block, space)
    assert Path("mine.pdf").stat().st_size > 1000


def test_the_file_of_sources_ships() -> None:
    built = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]
    assert built["targets"]["wheel"]["packages"] == ["gr_bench"]  # with all files in it
    assert registry.METHODS.built_in.keys() == BUILT_IN.keys()
