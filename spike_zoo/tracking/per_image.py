"""What a test measured on every single image, so that tables can tell fast from slow scenes."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lightning import Callback

from spike_zoo.files import new_file
from spike_zoo.metrics import MeanPerImage
from spike_zoo.tracking.result import PER_IMAGE_FILENAME
from spike_zoo.tracking.tested import digest_of_images

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from lightning import LightningModule, Trainer


class PerImageMetrics(Callback):
    """Write ``per_image.csv``: recording, plane, rate scale and every metric of each test image.

    It takes the values from the module's own metrics (``split_metrics["test"]``), so nothing is
    measured twice.

    Args:
        folder: Where the file goes.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / PER_IMAGE_FILENAME
        self._begin()

    def _begin(self) -> None:
        self._rows: list[dict[str, Any]] = []
        self._images: list[tuple[str, int | str]] = []
        self._taken = 0

    @property
    def images(self) -> int | None:
        """How many images were measured; None before a test."""
        return len(self._images) or None

    @property
    def images_sha256(self) -> str | None:
        """Digest of which images were measured; None before a test."""
        return digest_of_images(self._images) if self._images else None

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begin an empty list."""
        self._begin()

    def on_test_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,  # noqa: ANN401  (Lightning's signature)
        batch: Mapping[str, Any],
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Take what the metrics measured on this batch."""
        values = {
            name: metric.per_image[self._taken :] for name, metric in _measures(pl_module).items()
        }
        count = max(map(len, values.values()), default=0)
        self._taken += count
        names, planes = _origins(batch, count)
        self._images += zip(names, _in_exposure(batch, planes), strict=True)
        scales = [float(scale) for scale in batch["rate_scale"]]
        each = count // max(len(scales), 1)
        for index in range(count):
            row: dict[str, Any] = {"name": names[index], "plane": planes[index]}
            row["rate_scale"] = round(scales[index // each], 6)
            row |= {name: float(column[index]) for name, column in values.items()}
            self._rows.append(row)

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the file, whole or not at all."""
        if not self._rows or not trainer.is_global_zero:
            return
        with (
            new_file(self.path, overwrite=True) as temporary,
            temporary.open("w", newline="", encoding="utf-8") as file,
        ):
            writer = csv.DictWriter(file, list(self._rows[0]), lineterminator="\n")
            writer.writeheader()
            writer.writerows(self._rows)


def _measures(module: LightningModule) -> dict[str, MeanPerImage]:
    """Return a module's metrics that know single images, without their split."""
    splits: Any = getattr(module, "split_metrics", {})
    if "test" not in splits:
        return {}
    return {
        str(name).split("/", 1)[-1]: metric
        for name, metric in splits["test"].items()
        if isinstance(metric, MeanPerImage)
    }


def _in_exposure(batch: Mapping[str, Any], planes: Sequence[int | str]) -> Sequence[int | str]:
    """Return planes of exposures counted from their first, whatever was read before it."""
    if "exposure" not in batch:
        return planes
    starts = batch["exposure"][:, 0].tolist()
    each = len(planes) // max(len(starts), 1)
    return [
        plane - starts[index // each] if isinstance(plane, int) else plane
        for index, plane in enumerate(planes)
    ]


def _origins(batch: Mapping[str, Any], count: int) -> tuple[list[str], Sequence[int | str]]:
    """Return recording and plane of each measured image; a sample may hold several images."""
    names = list(batch["name"])
    each = count // max(len(names), 1)
    repeated = [name for name in names for _ in range(each)]
    planes = batch.get("plane", batch.get("planes"))
    if planes is None or planes.numel() != count:
        return repeated, [""] * count
    return repeated, [int(plane) for plane in planes.flatten()]
