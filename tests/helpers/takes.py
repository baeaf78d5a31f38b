"""Simulated recordings with ground-truth flow."""

from typing import Any

import numpy as np
import torch

from spike_zoo.simulation import default_scenes, simulate_take
from spike_zoo.spikes import SpikeRecording


def moving_clip(plane: int, scene: int = 0) -> tuple[SpikeRecording, Any]:
    """Return a recording of a scene, and its batch with the flow at its middle plane."""
    scenes = default_scenes("test", 2, seed=3, height=48, width=64, planes=2 * plane + 1)
    take: Any = simulate_take(scenes[scene], margin=plane, flow_offset=20)
    assert take.image_index[0] == plane
    return take.recording, {
        "spikes": take.recording.to_tensor()[None],
        "rate_scale": torch.tensor([take.recording.rate_scale]),
        "flow": torch.from_numpy(take.around[:1].astype(np.float32)),
        "image": torch.from_numpy(take.images[:1, None].astype(np.float32) / 255),
        "plane": torch.tensor([plane]),
        "name": [scenes[scene].name],
    }
