"""Agreement of the facts about metrics with the metrics."""

import subprocess
import sys
from pathlib import Path

from spike_zoo.metrics.collections import reconstruction_metrics
from spike_zoo.metrics.facts import METRICS, facts_of
from spike_zoo.metrics.published import PROTOCOLS
from spike_zoo.tables.columns import plain_column

ARROWS = {True: "↑", False: "↓"}


def test_the_arrow_of_a_column_agrees_with_higher_is_better_of_the_metric(
    random_alexnet: Path,
) -> None:
    metrics = reconstruction_metrics(lpips=str(random_alexnet), protocols=PROTOCOLS)
    assert len(metrics) == 10
    for name, metric in metrics.items():
        assert plain_column(f"test/{name}").title.endswith(ARROWS[bool(metric.higher_is_better)]), (
            name
        )
    assert metrics["lpips"].higher_is_better is False
    assert metrics["psnr"].higher_is_better is True


def test_a_speed_suffix_does_not_change_the_facts_of_a_metric() -> None:
    for name in ("psnr", "ssim"):
        assert facts_of(f"{name}_fast") == METRICS[name]
    assert facts_of("breakfast") is None
    assert facts_of("_fast") is None


def test_a_rate_point_suffix_is_stated_in_the_heading() -> None:
    assert plain_column("test/psnr_q0").title == "PSNR at q0 (dB) ↑"
    assert plain_column("test/bpp_q12").title == "bpp at q12 ↓"
    assert plain_column("test/accuracy_decrease_q1").text(13.25) == "13.25"
    assert facts_of("nonsense_q1") is None
    assert facts_of("psnr_q") is None


def test_facts_do_not_import_torch() -> None:
    script = "import sys, spike_zoo.tables; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", script], check=True)
