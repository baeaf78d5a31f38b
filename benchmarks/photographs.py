"""Check that no photograph that trained shipped weights is a test or validation photograph.

``python -m benchmarks.photographs`` compares experiments/gpu/training_photographs.tsv, which lists
file, SHA-256 and a hash of the content of every photograph from which the 211 were taken that may
not be distributed, with the shipped photographs and those of scikit-image and scikit-learn.
``--folder FOLDER`` makes the list from the files.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import sys
from pathlib import Path
from typing import Final

import numpy as np
from PIL import Image

from benchmarks.claims import EXPERIMENTS
from spike_zoo.simulation.scenes.photograph_sets import BUNDLED, shipped_photographs
from spike_zoo.simulation.scenes.photographs import photograph

LIST: Final = EXPERIMENTS / "gpu" / "training_photographs.tsv"
SIDE: Final = 16
COPY_BITS: Final = 40
"""Hashes of copies differ in fewer of the 256 bits."""
FIELDS: Final = ("file", "sha256", "hash")


def content_hash(pixels: Image.Image) -> int:
    """Return 256 bits: whether each of 16 x 16 cells is brighter than its right neighbour."""
    small = pixels.convert("L").resize((SIDE + 1, SIDE), Image.Resampling.BOX)
    cells = np.asarray(small, np.int16)
    bits = cells[:, :-1] > cells[:, 1:]
    return int.from_bytes(np.packbits(bits).tobytes())


def held_out() -> dict[str, Image.Image]:
    """Return the test and validation photographs by name."""
    sets = (shipped_photographs(), BUNDLED)
    names = dict.fromkeys(
        name for one in sets for split in ("test", "val") for name in one.names[split]
    )
    return {
        name: Image.fromarray((255 * photograph(name).mean(0)).astype(np.uint8)) for name in names
    }


def copies(listed: dict[str, int]) -> list[str]:
    """Return each held-out photograph that is a copy of a listed one, possibly mirrored."""
    found = []
    for name, image in held_out().items():
        mirrored = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        hashes = content_hash(image), content_hash(mirrored)
        for file, bits in listed.items():
            distance = min((own ^ bits).bit_count() for own in hashes)
            if distance < COPY_BITS:
                found.append(f"{name}: {file} ({distance} of 256 bits differ)")
    return found


def read_list() -> dict[str, int]:
    """Return the hash of each listed file."""
    with LIST.open(encoding="utf-8", newline="") as stream:
        return {row["file"]: int(row["hash"], 16) for row in csv.DictReader(stream, delimiter="\t")}


def main() -> None:
    """Print the copies; exit with 1 if there are any."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, help="make the list from the JPEG files of a folder")
    if folder := parser.parse_args().folder:
        rows = [
            (
                path.name,
                hashlib.sha256(path.read_bytes()).hexdigest(),
                f"{content_hash(Image.open(path)):064x}",
            )
            for path in sorted(folder.glob("*.jpg"))
        ]
        with LIST.open("w", encoding="utf-8", newline="") as stream:
            csv.writer(stream, delimiter="\t", lineterminator="\n").writerows([FIELDS, *rows])
    listed = read_list()
    found = copies(listed)
    print("\n".join(found) or f"{len(listed)} photographs: none is a test or validation photograph")
    sys.exit(bool(found))


if __name__ == "__main__":
    main()
