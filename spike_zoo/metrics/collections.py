"""The metrics of each task as one collection."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

from torchmetrics import Metric, MetricCollection

from spike_zoo.errors import ConfigError
from spike_zoo.metrics.image import (
    MeanPerImage,
    psnr,
    psnr_stir,
    ssim,
    ssim_stir,
    ssim_uniform7,
)
from spike_zoo.metrics.perceptual import LPIPS
from spike_zoo.metrics.ssdm import psnr_official, ssim_official
from spike_zoo.nn.backbones import find_backbone, missing_backbone

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

PROTOCOLS = ("ssdm", "stir", "uniform7")


def reconstruction_metrics(
    *, lpips: str = "auto", protocols: Sequence[str] = ()
) -> MetricCollection:
    """Return the metrics of reconstruction: means over images of [0, 1], data range 1.

    Args:
        lpips: ``"auto"``, ``"off"`` or the backbone's file.
        protocols: ``"stir"`` adds STIR's own evaluation, ``"ssdm"`` S-SDM's, ``"uniform7"``
            scikit-image's SSIM.

    Returns:
        ``psnr``, ``ssim``, ``lpips`` where its backbone is at hand, and those of the protocols.

    Raises:
        ConfigError: If a protocol is unknown.
        MissingFileError: If ``lpips`` names a file that is not there.
    """
    unknown = sorted(set(protocols) - set(PROTOCOLS))
    if unknown:
        raise ConfigError(f"protocols: {unknown[0]!r} is unknown, known are {', '.join(PROTOCOLS)}")
    metrics: dict[str, Metric | MetricCollection] = {
        "psnr": MeanPerImage(psnr),
        "ssim": MeanPerImage(ssim),
    }
    path = _lpips_backbone(lpips)
    if path is not None:
        metrics["lpips"] = MeanPerImage(LPIPS(path))
    if "uniform7" in protocols:
        metrics["ssim_uniform7"] = MeanPerImage(ssim_uniform7)
    if "ssdm" in protocols:
        metrics["psnr_official"] = MeanPerImage(psnr_official)
        metrics["ssim_official"] = MeanPerImage(ssim_official)
    if "stir" in protocols:
        metrics["psnr_stir"] = MeanPerImage(psnr_stir)
        metrics["ssim_stir"] = MeanPerImage(ssim_stir)
        if path is not None:
            metrics["lpips_stir"] = MeanPerImage(LPIPS(path, rescale=False))
    return MetricCollection(metrics, compute_groups=False)


def _lpips_backbone(choice: str) -> str | Path | None:
    """Return the file of LPIPS's backbone, None where the metric is off."""
    if choice == "off":
        return None
    if choice != "auto":
        return choice
    found = find_backbone("alex")
    if found is None:
        warnings.warn(f"LPIPS is off: {missing_backbone('alex')}", stacklevel=5)
    return found
