"""Facts about metrics: heading, unit, and whether higher is better.

Does not import torch, so that tables load fast.
"""

import re
from dataclasses import dataclass, replace
from typing import Final

from spike_zoo.metrics.speeds import split_speed


@dataclass(frozen=True)
class MetricFacts:
    """Heading and unit of a metric's column, and the comparison of its values."""

    name: str  #: common name of the metric
    unit: str = ""  #: unit of the values; empty if they have none
    higher_is_better: bool = True  #: whether higher values are better
    #: whether the metric needs an optional file, so that it may be missing
    needs_file: bool = False

    @property
    def heading(self) -> str:
        """Name with unit.

        >>> MetricFacts("PSNR", "dB").heading
        'PSNR (dB)'
        """
        return f"{self.name} ({self.unit})" if self.unit else self.name


#: Metrics by the last part of their log key.
METRICS: Final[dict[str, MetricFacts]] = {
    "psnr": MetricFacts("PSNR", "dB"),
    "psnr_stir": MetricFacts("PSNR as STIR", "dB"),
    "psnr_border10": MetricFacts("PSNR without borders", "dB"),
    "psnr_official": MetricFacts("PSNR as published", "dB"),
    "psnr_not_coded": MetricFacts("PSNR before coding", "dB"),
    "ssim": MetricFacts("SSIM"),
    "ssim_stir": MetricFacts("SSIM as STIR"),
    "ssim_official": MetricFacts("SSIM as published"),
    "ssim_uniform7": MetricFacts("SSIM (7x7)"),
    "lpips": MetricFacts("LPIPS", higher_is_better=False, needs_file=True),
    "lpips_stir": MetricFacts("LPIPS as STIR", higher_is_better=False, needs_file=True),
    "lpips_official": MetricFacts("LPIPS as published", higher_is_better=False, needs_file=True),
    "mse": MetricFacts("MSE", higher_is_better=False),
    "accuracy": MetricFacts("accuracy"),
    "precision": MetricFacts("precision"),
    "recall": MetricFacts("recall"),
    "f1": MetricFacts("F1"),
    "epe": MetricFacts("end-point error", "px", higher_is_better=False),
    **{
        f"epe_field_{number}": MetricFacts(
            f"end-point error, field {number}", "px", higher_is_better=False
        )
        for number in range(2, 6)
    },
    "epe_still": MetricFacts("end-point error of zero flow", "px", higher_is_better=False),
    "epe_ratio": MetricFacts("EPE / EPE of zero flow", higher_is_better=False),
    "lap1": MetricFacts("L1 of Laplacian", higher_is_better=False),
    "lap2": MetricFacts("L2 of Laplacian", higher_is_better=False),
    "lap1_normalised": MetricFacts("L1 of Laplacian / deviation", higher_is_better=False),
    "lap2_normalised": MetricFacts("L2 of Laplacian / variance", higher_is_better=False),
    "frame_deviation": MetricFacts("deviation at rest", higher_is_better=False),
    "bpp": MetricFacts("bpp", higher_is_better=False),
    "bpp_payload": MetricFacts("bpp of symbols alone", higher_is_better=False),
    "bpp_f": MetricFacts("bits per pixel and feature", higher_is_better=False),
    "bit_saving": MetricFacts("bit saving", "%"),
    "accuracy_decrease": MetricFacts("accuracy decrease", "points", higher_is_better=False),
    "accuracy_decrease_percent": MetricFacts("accuracy decrease", "%", higher_is_better=False),
    "bd_rate": MetricFacts("BD-rate", "%", higher_is_better=False),
    "liqe": MetricFacts("LIQE", needs_file=True),
    "musiq": MetricFacts("MUSIQ", needs_file=True),
    "niqe": MetricFacts("NIQE", higher_is_better=False, needs_file=True),
    "brisque": MetricFacts("BRISQUE", higher_is_better=False, needs_file=True),
}
#: Suffix of metrics that are means over the middle images of exposures alone.
MIDDLE: Final = "_middle"
#: Metrics of recognition that are also measured for each class: ``f1_3`` is that of class 3.
OF_CLASS: Final = re.compile(r"(precision|recall|f1)_(\d+)")
#: Metrics at one rate point of a codec: ``psnr_q0``.
OF_RATE_POINT: Final = re.compile(r"(.+)_(q\d+)")


def facts_of(metric: str) -> MetricFacts | None:
    """Return the facts of a metric by its name, None for an unknown one.

    >>> facts_of("psnr_middle").heading, facts_of("f1_3").heading
    ('PSNR (dB)', 'F1 of class 3')
    >>> facts_of("ssim_fast").heading, facts_of("psnr_q2").heading
    ('SSIM', 'PSNR at q2 (dB)')
    """
    if of_point := OF_RATE_POINT.fullmatch(metric):
        facts = facts_of(of_point[1])
        return facts and replace(facts, name=f"{facts.name} at {of_point[2]}")
    if of_class := OF_CLASS.fullmatch(metric):
        facts, number = METRICS[of_class[1]], of_class[2]
        return replace(facts, name=f"{facts.name} of class {number}")
    return METRICS.get(split_speed(metric)[0].removesuffix(MIDDLE))
