"""CIFAR from files in its binary format, found in a folder or fetched from a server."""

import copy
import hashlib
import http.server
import io
import tarfile
import threading
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from gr_bench.workloads.datasets import Dataset, cifar, stratified_split

RECORDS_A_BATCH = 20


def write_cifar10(folder: Path, seed: int = 0) -> dict[str, np.ndarray]:
    """Five train files and a test file of random records, ten classes of equal size."""
    generator = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    files = {}
    for name in [f"data_batch_{number}.bin" for number in range(1, 6)] + ["test_batch.bin"]:
        records = generator.integers(0, 256, (RECORDS_A_BATCH, 3073), dtype=np.uint8)
        records[:, 0] = generator.permutation(RECORDS_A_BATCH) % 10
        (folder / name).write_bytes(records.tobytes())
        files[name] = records
    return files


def write_cifar100(folder: Path) -> dict[str, np.ndarray]:
    """A train and a test file with three of the fine classes, and unrelated coarse labels."""
    generator = np.random.default_rng(0)
    folder.mkdir(parents=True)
    files = {}
    for name, count in [("train.bin", 60), ("test.bin", 12)]:
        records = generator.integers(0, 256, (count, 3074), dtype=np.uint8)
        records[:, 0] = generator.integers(0, 20, count)
        records[:, 1] = np.array([0, 42, 99])[generator.permutation(count) % 3]
        (folder / name).write_bytes(records.tobytes())
        files[name] = records
    return files


@pytest.fixture(autouse=True)
def away_from_the_users_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GR_BENCH_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture(autouse=True)
def small_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """The published format with few records."""
    few = {"train_records": RECORDS_A_BATCH, "test_records": RECORDS_A_BATCH}
    monkeypatch.setattr(cifar, "CIFAR10", replace(cifar.CIFAR10, **few))
    few = {"train_records": 60, "test_records": 12}
    monkeypatch.setattr(cifar, "CIFAR100", replace(cifar.CIFAR100, **few))


def check_against_records(dataset: Dataset, train: np.ndarray, test: np.ndarray) -> None:
    """Compare with labels and pixels picked from the records by the format's description."""
    label_bytes = train.shape[1] - 3072
    split = stratified_split(train[:, label_bytes - 1], 0.1, 0.0, seed=0)
    chosen = [train[split[0]], train[split[1]], test]
    pixels = [
        np.stack([r[:, label_bytes + 1024 * c :][:, :1024] for c in range(3)], axis=1)
        for r in chosen
    ]
    mean = pixels[0].mean(axis=(0, 2)).reshape(3, 1)
    std = pixels[0].std(axis=(0, 2)).reshape(3, 1)
    parts = (dataset.train, dataset.validation, dataset.test)
    for part, records, planes in zip(parts, chosen, pixels, strict=True):
        assert part.targets.tolist() == records[:, label_bytes - 1].tolist()
        rows = torch.from_numpy((planes - mean) / std).float().reshape(-1, 3, 32, 32)
        torch.testing.assert_close(part.inputs, rows)


@pytest.mark.parametrize("below", ["", "cifar-10-batches-bin"])
def test_cifar10_is_read_from_its_folder_or_the_parent(tmp_path: Path, below: str) -> None:
    files = write_cifar10(tmp_path / "data" / below)
    dataset = cifar.cifar10(root=tmp_path / "data")
    train = np.concatenate([files[f"data_batch_{number}.bin"] for number in range(1, 6)])
    check_against_records(dataset, train, files["test_batch.bin"])
    assert [len(p) for p in (dataset.train, dataset.validation, dataset.test)] == [90, 10, 20]
    assert (dataset.name, dataset.num_classes, dataset.kind) == ("cifar10", 10, "real")
    assert dataset.input_shape == (3, 32, 32)


@pytest.mark.parametrize("below", ["", "cifar-100-binary"])
def test_cifar100_takes_the_fine_labels(tmp_path: Path, below: str) -> None:
    files = write_cifar100(tmp_path / "data" / below)
    dataset = cifar.cifar100(root=str(tmp_path / "data"))
    check_against_records(dataset, files["train.bin"], files["test.bin"])
    assert (dataset.name, dataset.num_classes) == ("cifar100", 100)
    assert set(dataset.train.targets.tolist()) == {0, 42, 99}


def test_the_test_part_has_no_influence_on_the_others(tmp_path: Path) -> None:
    write_cifar10(tmp_path)
    before = cifar.cifar10(root=tmp_path)
    (tmp_path / "test_batch.bin").write_bytes(bytes(3073 * RECORDS_A_BATCH))
    after = cifar.cifar10(root=tmp_path)
    assert not torch.equal(before.test.inputs, after.test.inputs)
    assert torch.equal(before.train.inputs, after.train.inputs)
    assert torch.equal(before.validation.inputs, after.validation.inputs)


def test_the_environment_variable_is_used_and_root_goes_before_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_cifar10(tmp_path / "one", seed=1)
    write_cifar10(tmp_path / "two", seed=2)
    monkeypatch.setenv("GR_BENCH_DATA", str(tmp_path / "one"))
    one, two = cifar.cifar10(), cifar.cifar10(root=tmp_path / "two")
    again = cifar.cifar10(root=tmp_path / "one")
    assert torch.equal(one.train.inputs, again.train.inputs)
    assert not torch.equal(one.train.inputs, two.train.inputs)


@pytest.mark.parametrize(
    "keep", [0, 1, 3072, 3074, RECORDS_A_BATCH * 3073 - 1, (RECORDS_A_BATCH - 1) * 3073]
)
@pytest.mark.parametrize("name", ["data_batch_3.bin", "test_batch.bin"])
def test_a_truncated_file_is_refused(tmp_path: Path, name: str, keep: int) -> None:
    write_cifar10(tmp_path)
    content = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(content[:keep])
    with pytest.raises(
        ValueError, match=rf"{name} has {keep:,} bytes.*20 records of 3,073"
    ) as caught:
        cifar.cifar10(root=tmp_path)
    assert "\n" not in str(caught.value)


def test_a_file_with_impossible_labels_is_refused(tmp_path: Path) -> None:
    write_cifar10(tmp_path)
    records = np.zeros((RECORDS_A_BATCH, 3073), dtype=np.uint8)
    records[2, 0] = 10
    (tmp_path / "data_batch_2.bin").write_bytes(records.tobytes())
    with pytest.raises(ValueError, match=r"data_batch_2.bin has a label 10.*below 10"):
        cifar.cifar10(root=tmp_path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    write_cifar10(tmp_path)
    (tmp_path / "data_batch_4.bin").unlink()
    with pytest.raises(FileNotFoundError, match=r"lacks data_batch_4.bin") as caught:
        cifar.cifar10(root=tmp_path)
    assert str(tmp_path) in str(caught.value)


@pytest.mark.parametrize("through", ["root", "environment"])
def test_a_folder_without_the_dataset_is_refused_and_nothing_is_fetched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, through: str
) -> None:
    monkeypatch.setenv("GR_BENCH_DATA", str(tmp_path))
    parameters = {"root": tmp_path} if through == "root" else {}
    with pytest.raises(FileNotFoundError, match=r"no test.bin in .*cifar-100-binary") as caught:
        cifar.cifar100(**parameters)
    assert str(tmp_path) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "cache").exists()


class Server:
    """An HTTP server on this machine with one folder, which counts what is asked of it."""

    def __init__(self, folder: Path) -> None:
        self.requests = 0
        outer = self

        class Handler(http.server.SimpleHTTPRequestHandler):
            def log_message(self, *arguments: object) -> None:
                outer.requests += 1

        self._server = http.server.ThreadingHTTPServer(
            ("127.0.0.1", 0), partial(Handler, directory=str(folder))
        )
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    def stop(self) -> None:
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join()
            self._server.server_close()


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """Serves a small archive, which the dataset's constant is pointed at."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    write_cifar10(tmp_path / "made" / "cifar-10-batches-bin")
    served = tmp_path / "served"
    served.mkdir()
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w:gz") as archive:
        archive.add(tmp_path / "made" / "cifar-10-batches-bin", "cifar-10-batches-bin")
    (served / "small.tar.gz").write_bytes(content.getvalue())
    running = Server(served)
    small = replace(
        cifar.CIFAR10,
        url=f"{running.url}/small.tar.gz",
        md5=hashlib.md5(content.getvalue()).hexdigest(),
    )
    monkeypatch.setattr(cifar, "CIFAR10", small)
    yield running
    running.stop()


def test_the_archive_is_fetched_once(tmp_path: Path, server: Server) -> None:
    fetched = cifar.cifar10()
    local = cifar.cifar10(root=tmp_path / "made")
    assert torch.equal(fetched.train.inputs, local.train.inputs)
    assert torch.equal(fetched.test.targets, local.test.targets)
    assert server.requests == 1
    server.stop()
    assert torch.equal(cifar.cifar10().train.inputs, local.train.inputs)


def test_an_archive_with_another_checksum_is_refused(
    server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(cifar, "CIFAR10", replace(cifar.CIFAR10, md5="0" * 32))
    with pytest.raises(ValueError, match="does not have the MD5 sum 000") as caught:
        cifar.cifar10()
    assert "\n" not in str(caught.value)
    assert not list((tmp_path / "cache").rglob("*.bin"))


@pytest.mark.parametrize("trouble", ["no server", "no file"])
def test_what_cannot_be_fetched_is_explained(
    server: Server, monkeypatch: pytest.MonkeyPatch, trouble: str
) -> None:
    if trouble == "no server":
        server.stop()
    else:
        monkeypatch.setattr(cifar, "CIFAR10", replace(cifar.CIFAR10, url=f"{server.url}/none"))
    with pytest.raises(FileNotFoundError, match="could not be downloaded") as caught:
        cifar.cifar10()
    assert "127.0.0.1" in str(caught.value)
    assert "GR_BENCH_DATA" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_published_archives_are_the_default() -> None:
    assert cifar.CIFAR10.url == "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz"
    assert cifar.CIFAR10.md5 == "c32a1d4ab5d03f1284b67883e8d87530"
    assert cifar.CIFAR100.url == "https://www.cs.toronto.edu/~kriz/cifar-100-binary.tar.gz"
    assert cifar.CIFAR100.md5 == "03b5dce01913d631647c71ecec9e9cb8"


# --- archives that are not what was published, though their checksum is the expected one


def _member(name: str, **fields: object) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    for key, value in fields.items():
        setattr(member, key, value)
    return member


FOLDER = "cifar-10-batches-bin"
HOSTILE = {
    "path traversal": (_member("../../../escaped.bin"), "leaves its folder"),
    "traversal within": (_member(f"{FOLDER}/../../escaped.bin"), "leaves its folder"),
    "absolute path": (_member("/escaped.bin"), "leaves its folder"),
    "symbolic link": (
        _member(f"{FOLDER}/test_batch.bin", type=tarfile.SYMTYPE, linkname="/etc/hostname"),
        "no plain file",
    ),
    "hard link": (
        _member(f"{FOLDER}/test_batch.bin", type=tarfile.LNKTYPE, linkname="../../outside"),
        "no plain file",
    ),
    "pipe": (_member(f"{FOLDER}/test_batch.bin", type=tarfile.FIFOTYPE), "no plain file"),
    "device": (_member(f"{FOLDER}/test_batch.bin", type=tarfile.CHRTYPE), "no plain file"),
    "huge member": (_member(f"{FOLDER}/test_batch.bin", size=2**40), "1099511627776 bytes"),
}


def publish(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes) -> None:
    """Have the server give ``content``, and take its checksum for the published one."""
    (tmp_path / "served" / "small.tar.gz").write_bytes(content)
    md5 = hashlib.md5(content).hexdigest()
    monkeypatch.setattr(cifar, "CIFAR10", replace(cifar.CIFAR10, md5=md5))


def refused(tmp_path: Path, reason: str) -> None:
    """Check that loading fails for the reason, twice, and leaves the archive alone behind."""
    before = {path for path in tmp_path.rglob("*") if "cache" not in path.parts}
    for _ in range(2):
        with pytest.raises(ValueError, match=reason) as caught:
            cifar.cifar10()
        assert "\n" not in str(caught.value)
    assert {path for path in tmp_path.rglob("*") if "cache" not in path.parts} == before
    left = [path.name for path in (tmp_path / "cache").rglob("*") if not path.is_dir()]
    assert left == ["cifar-10-batches-bin.tar.gz"]


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_archive_is_refused_and_nothing_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: Server, name: str
) -> None:
    member, reason = copy.copy(HOSTILE[name][0]), HOSTILE[name][1]
    if member.name.startswith("/"):
        member.name = f"{tmp_path}{member.name}"  # were it written, then there
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w:gz") as archive:
        for file in sorted((tmp_path / "made" / FOLDER).iterdir()):
            archive.add(file, f"{FOLDER}/{file.name}")
        archive.addfile(member)
    publish(tmp_path, monkeypatch, content.getvalue())
    refused(tmp_path, reason)


@pytest.mark.parametrize("kept", [0, 1, 100, 0.5, 0.999])
def test_a_truncated_archive_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: Server, kept: float
) -> None:
    whole = (tmp_path / "served" / "small.tar.gz").read_bytes()
    length = int(kept * len(whole)) if 0 < kept < 1 else int(kept)
    publish(tmp_path, monkeypatch, whole[:length])
    refused(tmp_path, "damaged or no tar.gz")


def test_a_corrupted_archive_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: Server
) -> None:
    whole = bytearray((tmp_path / "served" / "small.tar.gz").read_bytes())
    middle = len(whole) // 2
    whole[middle : middle + 2000] = bytes(2000)
    publish(tmp_path, monkeypatch, bytes(whole))
    refused(tmp_path, "damaged or no tar.gz|it lacks")


def test_an_archive_without_one_of_the_files_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: Server
) -> None:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w:gz") as archive:
        archive.add(tmp_path / "made" / FOLDER / "test_batch.bin", f"{FOLDER}/test_batch.bin")
    publish(tmp_path, monkeypatch, content.getvalue())
    refused(tmp_path, "it lacks data_batch_1.bin")
