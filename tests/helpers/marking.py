"""An external module whose import creates a file, and a checkpoint of its class."""

from pathlib import Path

import torch

MARK = "imported"
SOURCE = f"""
from pathlib import Path

import torch

Path(__file__).with_name({MARK!r}).touch()


class Marking(torch.nn.Module):
    clip_length, inference_options = 9, ()
    ratio = 4
    hparams = {{}}
    label_names = ("marked", "unmarked")

    def reconstruct(self, recording, centers, *, rate_scale=None):
        return torch.stack(list(self.reconstruct_stream(recording, centers)))

    def reconstruct_stream(self, recording, centers, *, rate_scale=None):
        return (torch.zeros(1, *recording.shape[1:]) for _ in centers)

    def classify(self, recording, *, rate_scale=None, progress=None):
        return torch.tensor([0.75, 0.25])

    @property
    def codec(self):
        from tests.helpers.codecs import SumsCodec

        return SumsCodec()

    def deblur_stream(self, blurry, recording, centers, *, exposure=None, memory_gib=None):
        return (torch.zeros(*blurry.shape[-3:]) for _ in centers)
"""


def write_marking(folder: Path) -> Path:
    """Write ``marking.py`` and return a checkpoint of its class; importing it creates MARK."""
    (folder / "marking.py").write_text(SOURCE)
    described = {"class_path": "marking.Marking", "hyper_parameters": {}}
    torch.save({"state_dict": {}, "spike_zoo": described}, folder / "marking.ckpt")
    return folder / "marking.ckpt"
