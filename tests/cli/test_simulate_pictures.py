"""Tests of ``simulate --images``: archives of picture folders and of the papers' sets, errors."""

from __future__ import annotations

from pathlib import Path

import pytest

from spike_zoo import SpikeArchive
from spike_zoo.cli.main import main
from tests.helpers.picture_trees import (
    write_cifar,
    write_classes,
    write_mnist,
    write_picture,
    write_septuplets,
)


def run(*arguments: object) -> int:
    return main(["simulate", "--jobs", "1", *map(str, arguments)])


@pytest.fixture(autouse=True)
def _in_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_a_folder_of_classes_becomes_a_labelled_archive(capsys: pytest.CaptureFixture[str]) -> None:
    write_classes(Path("fruit"), {"pear": 10, "apple": 10})
    options = ("--images", "fruit", "--kind", "labelled", "--height", 16, "--width", 24)
    assert run(*options) == 0
    with SpikeArchive("data/fruit.h5") as archive:
        assert archive.verify() == []
        assert archive.label_names == ("apple", "pear")
        counts = {split: len(archive.names(split)) for split in archive.splits()}
        assert counts == {"train": 16, "val": 2, "test": 2}
        assert archive.label("pear-image_0003-motion-0") == 1
        assert archive["pear-image_0003-motion-0"].shape == (41, 16, 24)
    capsys.readouterr()
    assert run(*options) == 0
    assert "Already made with the same options" in capsys.readouterr().out
    picture = next(Path("fruit").rglob("*.png"))
    content = picture.read_bytes()
    write_picture(picture, 1)
    assert run(*options) == 2  # another picture of the same name
    picture.write_bytes(content)
    assert run(*options, "--limit", 2) == 2
    assert "not made with these options" in capsys.readouterr().err


def test_each_data_set_of_the_papers_is_built_verified_and_exported(
    capsys: pytest.CaptureFixture[str],
) -> None:
    write_mnist(Path("mnist"), [*range(10)] * 2, [*range(10)], packed=True)
    write_cifar(Path("cifar"), [*range(10)] * 2, [*range(10)])
    write_classes(Path("caltech"), {"ant": 3, "bass": 3})
    write_septuplets(Path("vimeo"), ["00001/0001", "00002/0001"], ["00003/0004"])
    for name, classes in (("mnist", 10), ("cifar", 10), ("caltech", 2), ("vimeo", 0)):
        assert run("--kind", f"s-{name}", "--images", name, "--limit", 2) == 0
        path = f"data/s-{name}.h5"
        assert main(["archive", "verify", path]) == 0
        assert main(["archive", "info", path]) == 0
        assert main(["archive", "export", path, f"out-{name}", "--format", "npz"]) == 0
        assert len(SpikeArchive(path).label_names) == classes
    assert "split test: 1" in capsys.readouterr().out
    with SpikeArchive("data/s-vimeo.h5") as archive:
        assert archive.image_index("00003-0004").tolist() == [6, 13, 20, 27, 34]
        assert archive.images("00003-0004")[:, 0, 0].tolist() == [60, 90, 120, 150, 180]


def test_a_failed_build_names_the_picture_and_leaves_no_files(
    capsys: pytest.CaptureFixture[str],
) -> None:
    write_classes(Path("fruit"), {"pear": 4})
    Path("fruit/pear/image_0002.png").write_bytes(b"no picture")
    assert run("--images", "fruit", "--kind", "labelled") == 1
    assert "image_0002.png: not a picture that can be read" in capsys.readouterr().err
    assert not list(Path("data").iterdir())
