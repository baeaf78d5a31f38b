"""Metric collections of the tasks."""

import warnings
from collections.abc import Collection
from functools import cache
from pathlib import Path

from torchmetrics import Metric, MetricCollection

from spike_zoo.checkpoints.backbones import find_backbone, missing_backbone
from spike_zoo.errors import ConfigError
from spike_zoo.metrics.flow import end_point_error, still_error
from spike_zoo.metrics.image import MeanPerImage, psnr, ssim
from spike_zoo.metrics.perceptual import LPIPS
from spike_zoo.metrics.published import PROTOCOLS


def reconstruction_metrics(
    *, lpips: str = "auto", protocols: Collection[str] = ()
) -> MetricCollection:
    """Return the metrics of reconstruction: means over images of [0, 1], data range 1.

    Args:
        lpips: ``"auto"``, ``"off"`` or the backbone's file.
        protocols: Names of :data:`spike_zoo.metrics.published.PROTOCOLS`, whose metrics are added.

    Returns:
        ``psnr``, ``ssim``, ``lpips`` if its backbone is available, and those of the protocols.

    Raises:
        ConfigError: If a protocol is unknown.
        MissingFileError: If ``lpips`` is a path and the file does not exist.
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
    for protocol in (PROTOCOLS[name] for name in protocols):
        measures = dict(protocol.measures)
        if path is not None:
            measures |= {name: make(path) for name, make in protocol.perceptual.items()}
        metrics |= {name: MeanPerImage(measure) for name, measure in measures.items()}
    return MetricCollection(metrics, compute_groups=False)


def flow_metrics() -> MetricCollection:
    """Return the end-point errors of a flow and of zero flow, means over images in pixels."""
    metrics: dict[str, Metric | MetricCollection] = {
        "epe": MeanPerImage(end_point_error),
        "epe_still": MeanPerImage(still_error),
    }
    return MetricCollection(metrics, compute_groups=False)


def _lpips_backbone(choice: str) -> str | Path | None:
    """Return the file of LPIPS's backbone; None if the metric is off."""
    if choice == "off":
        return None
    if choice != "auto":
        return choice
    file = find_backbone("alex")
    if file is None:
        _warn_lpips_off()
    return file


@cache
def _warn_lpips_off() -> None:
    """Warn once per process; cached, because libraries reset Python's registry of warnings."""
    warnings.warn(f"LPIPS is off: {missing_backbone('alex')}", stacklevel=6)
