"""ImageArray of the test clips whose true class had the lowest probabilities.

``python -m benchmarks.hardest_clips RUN`` writes ``RUN/images/hardest.png``: playback of 32 clips
with their true class and its probability. The terms of a data set may not allow to publish it.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from spike_zoo import SpikeArchive
from spike_zoo.media import contact_sheet, save_image
from spike_zoo.tasks.evaluation import playback
from spike_zoo.training.result import RunResult
from spike_zoo.training.stored import read_per_image

COUNT, PLANES, TIMES = 32, 13, 2


def main() -> int:
    """Write the image of a run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path, help="folder of a run of recognition, with its test")
    run: Path = parser.parse_args().run
    archive = RunResult.read(run / "result.json").config["data"]["init_args"]["archive"]
    clips = sorted(read_per_image(run), key=lambda clip: float(clip["truth_probability"]))[:COUNT]
    images, captions = [], []
    with SpikeArchive(archive) as opened:
        for clip in clips:
            recording, label = opened[clip["name"]], opened.label(clip["name"])
            spikes, scale = (
                torch.from_numpy(recording[:]),
                torch.tensor(recording.rate_scale or 1.0),
            )
            image = playback(spikes, scale, len(spikes) // 2, PLANES)
            images.append(image.repeat_interleave(TIMES, 0).repeat_interleave(TIMES, 1))
            captions.append(f"{opened.label_names[label or 0]}: {clip['truth_probability']:.0%}")
    save_image(contact_sheet(images, captions, 8), run / "images/hardest.png", overwrite=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
