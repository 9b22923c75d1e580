"""What a wheel and an sdist hold."""

from __future__ import annotations

import email
import re
import tarfile
import zipfile
from email.message import Message

from sources import ROOT, Built, present


def metadata(built: Built) -> Message:
    with zipfile.ZipFile(built.wheel) as wheel:
        text = wheel.read("gr_bench-9.8.7.dist-info/METADATA").decode()
    return email.message_from_string(text)


def test_the_version_is_the_tags_in_file_names_and_metadata(built: Built) -> None:
    assert built.wheel.name == "gr_bench-9.8.7-py3-none-any.whl"
    assert built.sdist.name == "gr_bench-9.8.7.tar.gz"
    said = metadata(built)
    assert (said["Name"], said["Version"]) == ("gr-bench", "9.8.7")
    assert said["License-Expression"] == "MIT"


def test_every_link_and_picture_of_the_readme_leads_somewhere_on_pypi(built: Built) -> None:
    """There are no files beside it, so those of the repository are named in full."""
    text = str(metadata(built).get_payload())
    assert text.count("\n") > 50
    targets = re.findall(r"""(?:\]\(|(?:src|srcset|href)=")([^)"]+)""", text)
    assert [target for target in targets if not target.startswith(("https:", "#"))] == []
    ours = re.findall(r"gr-bench/gr-bench/(?:blob/)?main/([^)\"#\s]+)", text)
    assert ours and [path for path in ours if not (ROOT / path).exists()] == []


def test_the_wheel_has_every_file_of_the_package_and_nothing_else(built: Built) -> None:
    with zipfile.ZipFile(built.wheel) as wheel:
        names = {name for name in wheel.namelist() if ".dist-info/" not in name}
    package = {name for name in present() if name.startswith("gr_bench/")}
    assert names == package | {"gr_bench/version.txt"}
    for needed in ("py.typed", "suites/quick.toml", "reports/templates/report.html.j2"):
        assert f"gr_bench/{needed}" in names


def test_the_sdist_has_all_but_the_kept_runs(built: Built) -> None:
    with tarfile.open(built.sdist) as sdist:
        names = {member.name.partition("/")[2] for member in sdist if member.isfile()}
    kept = {name for name in present() if not name.startswith("results/")}
    assert names - {"PKG-INFO", "gr_bench/version.txt"} == kept
