"""Tests of ``simulate --images``: archives of image folders and of the papers' sets, errors."""

from pathlib import Path

from spike_zoo import SpikeArchive
from tests.helpers.commands import Zoo
from tests.helpers.image_trees import (
    write_cifar,
    write_classes,
    write_image,
    write_mnist,
    write_septuplets,
)

BUILD = "simulate --jobs 1"


def test_a_folder_of_classes_becomes_a_labelled_archive(zoo: Zoo) -> None:
    write_classes(Path("fruit"), {"pear": 10, "apple": 10})
    line = f"{BUILD} --images fruit --kind labelled --height 16 --width 24"
    assert zoo(line).code == 0
    with SpikeArchive("data/fruit.h5") as archive:
        assert archive.verify() == []
        assert archive.label_names == ("apple", "pear")
        counts = {split: len(archive.names(split)) for split in archive.splits()}
        assert counts == {"train": 16, "val": 2, "test": 2}
        assert archive.label("pear-image_0003-motion-0") == 1
        assert archive["pear-image_0003-motion-0"].shape == (41, 16, 24)
    assert "Already made with the same options" in zoo(line).out
    image = next(Path("fruit").rglob("*.png"))
    content = image.read_bytes()
    write_image(image, 1)
    assert zoo(line).code == 2  # another image of the same name
    image.write_bytes(content)
    assert "not made with these options" in zoo(f"{line} --train 2").err


def test_each_data_set_of_the_papers_is_built_verified_and_exported(zoo: Zoo) -> None:
    write_mnist(Path("mnist"), [*range(10)] * 2, [*range(10)], packed=True)
    write_cifar(Path("cifar"), [*range(10)] * 2, [*range(10)])
    write_classes(Path("caltech"), {"ant": 3, "bass": 3})
    write_septuplets(Path("vimeo"), ["00001/0001", "00002/0001"], ["00003/0004"])
    for name, classes in (("mnist", 10), ("cifar", 10), ("caltech", 2), ("vimeo", 0)):
        assert zoo(f"{BUILD} --kind s-{name} --images {name} --train 2 --val 2 --test 2").code == 0
        path = f"data/s-{name}.h5"
        assert zoo(f"archive verify {path}").code == 0
        assert zoo(f"archive export {path} out-{name} --format npz").code == 0
        assert len(SpikeArchive(path).label_names) == classes
    assert "split test: 1" in zoo("archive info data/s-vimeo.h5").out


def test_a_failed_build_names_the_image_and_leaves_no_files(zoo: Zoo) -> None:
    write_classes(Path("fruit"), {"pear": 4})
    Path("fruit/pear/image_0002.png").write_bytes(b"no image")
    result = zoo(f"{BUILD} --images fruit --kind labelled")
    assert result.code == 1
    assert "image_0002.png: not an image that can be read" in result.err
    assert not list(Path("data").iterdir())
