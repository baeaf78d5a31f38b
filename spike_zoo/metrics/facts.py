"""What is known of metrics without measuring anything: heading, unit, which way is better.

Plain data, so that tables need none of the libraries that measure.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from spike_zoo.metrics.paces import split_pace


@dataclass(frozen=True)
class MetricFacts:
    """What stands above a column of a metric and how its values compare.

    Attributes:
        name: What people call it.
        unit: Of its values, where they have one.
        higher_is_better: Which way is better.
        needs_file: Whether it needs a file that cannot always be had, so that it may be missing.
    """

    name: str
    unit: str = ""
    higher_is_better: bool = True
    needs_file: bool = False

    @property
    def heading(self) -> str:
        """The name with the unit.

        >>> MetricFacts("PSNR", "dB").heading
        'PSNR (dB)'
        """
        return f"{self.name} ({self.unit})" if self.unit else self.name


#: Metrics by the last part of their log key.
METRICS: Final[dict[str, MetricFacts]] = {
    "psnr": MetricFacts("PSNR", "dB"),
    "psnr_stir": MetricFacts("PSNR as STIR", "dB"),
    "psnr_official": MetricFacts("PSNR as published", "dB"),
    "ssim": MetricFacts("SSIM"),
    "ssim_stir": MetricFacts("SSIM as STIR"),
    "ssim_official": MetricFacts("SSIM as published"),
    "ssim_uniform7": MetricFacts("SSIM (7x7)"),
    "lpips": MetricFacts("LPIPS", higher_is_better=False, needs_file=True),
    "lpips_stir": MetricFacts("LPIPS as STIR", higher_is_better=False, needs_file=True),
    "lpips_official": MetricFacts("LPIPS as published", higher_is_better=False, needs_file=True),
    "mse": MetricFacts("MSE", higher_is_better=False),
    "accuracy": MetricFacts("accuracy"),
    "bpp": MetricFacts("bpp", higher_is_better=False),
    "bd_rate": MetricFacts("BD-rate", "%", higher_is_better=False),
    "liqe": MetricFacts("LIQE", needs_file=True),
    "niqe": MetricFacts("NIQE", higher_is_better=False, needs_file=True),
    "brisque": MetricFacts("BRISQUE", higher_is_better=False, needs_file=True),
}
#: What a metric's name may end in: a mean over the middle images of exposures alone.
MIDDLE: Final = "_middle"


def facts_of(metric: str) -> MetricFacts | None:
    """Return the facts of a metric by its name, None where nobody knows it.

    >>> facts_of("psnr_middle").heading
    'PSNR (dB)'
    >>> facts_of("ssim_fast").heading
    'SSIM'
    """
    return METRICS.get(split_pace(metric)[0].removesuffix(MIDDLE))
