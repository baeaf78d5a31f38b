# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
#       format_version: '1.3'
#       jupytext_version: 1.19.6
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Your own method in sixty lines
#
# You do not change the package to add a method: you write a class, a configuration names it, and
# every command works with it. This notebook writes one file, shows its tests, trains the method and
# reconstructs with its checkpoint.

# %%
import logging
import sys
from pathlib import Path

import spike_zoo  # isort: skip
import torch
from IPython.utils.capture import capture_output

from spike_zoo.cli.main import main
from spike_zoo.cli.simulate import simulate
from spike_zoo.media import side_by_side, to_pillow
from spike_zoo.methods.classical import tfi, tfp
from spike_zoo.metrics import psnr
from spike_zoo.training.libraries import quiet_libraries

quiet_libraries()
logging.disable(logging.INFO)  # hide the Trainer's messages about steps and files
folder = Path("data") if Path("data").is_dir() else Path("../data")
archive_path = folder / "notebook_small.h5"
simulate(str(archive_path), size="small")
work = folder / "notebook_method"
work.mkdir(exist_ok=True)
sys.path.insert(0, str(work))  # the command line does this for the working folder

# %% [markdown]
# ## The idea
#
# An average over few planes is sharp but noisy; over many planes it has less noise but more blur.
# The input of a small network is four such images and the firing rates at both ends of the clip.
# The network corrects the mean of nine intervals, which is the best of the four in fast scenes.

# %%
SOURCE = '''"""Classical images of several windows, refined by a small network."""

import torch
from torch import Tensor, nn

from spike_zoo.tasks.batch import ReconstructionBatch
from spike_zoo.methods.classical import tfi, tfp
from spike_zoo.tasks import ReconstructionModule


class Refine(nn.Module):
    """Refine the mean of nine intervals: ``(B, T, H, W)`` -> ``(B, 1, H, W)``, rates."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.correct = nn.Sequential(
            nn.Conv2d(6, channels, 5, padding=2),
            nn.PReLU(),
            nn.Conv2d(channels, channels, 3, padding=1),
            nn.PReLU(),
            nn.Conv2d(channels, 1, 3, padding=1),
        )
        nn.init.zeros_(self.correct[-1].weight)  # starts near the mean of nine intervals

    def images(self, spikes: Tensor) -> Tensor:
        middle = spikes.shape[1] // 2
        around = [tfi(spikes, middle, average) for average in (5, 9, 21)]
        ends = [spikes[:, :25].mean(1), spikes[:, -25:].mean(1)]  # rates at both ends of the clip
        return torch.stack([*around, tfp(spikes, middle, 41), *ends], 1)

    def forward(self, spikes: Tensor) -> Tensor:
        images = self.images(spikes)
        return images[:, 1:2] + self.correct(images)


class RefineModule(ReconstructionModule):
    """Train :class:`Refine` on clips with their middle image."""

    clip_length = 61

    def __init__(
        self, channels: int = 16, learning_rate: float = 1e-3, lpips: str = "off"
    ) -> None:
        super().__init__(lpips=lpips)
        self.save_hyperparameters()  # a checkpoint alone rebuilds the module
        self.network = Refine(channels)

    def forward(self, spikes: Tensor, rate_scale: Tensor | None = None) -> Tensor:
        scale = 1.0 if rate_scale is None else rate_scale.view(-1, 1, 1, 1)
        return (self.network(spikes) / scale).clamp(0, 1)

    def training_step(self, batch: ReconstructionBatch, batch_idx: int) -> Tensor:
        image = self.network(batch["spikes"]) / batch["rate_scale"].view(-1, 1, 1, 1)
        loss = (image - batch["image"]).abs().mean()
        self.log("train/l1", loss, batch_size=len(image))
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), lr=self.hparams["learning_rate"])
'''
(work / "refine.py").write_text(SOURCE)
print(len(SOURCE.splitlines()), "lines")

# %% [markdown]
# ## Tests
#
# `spike_zoo.testing` has the tests that the methods of this package inherit: a method overfits a
# batch, repeats with the same seed, resumes to the same weights, takes any size, sends a gradient
# to every parameter, and loads from its checkpoint alone. In a project this is a test file of six
# lines:
#
# ```python
# from spike_zoo.testing import MethodTester, ReconstructionTester
# from refine import RefineModule
#
# class TestRefine(ReconstructionTester, MethodTester):
#     def make_module(self):
#         return RefineModule(channels=4)
# ```

# %% [markdown]
# ## A configuration
#
# Model, data and trainer. The same file goes to `fit`, `test`, `predict` and into a sweep.

# %%
CONFIG = f"""
model:
  class_path: refine.RefineModule
data:
  class_path: spike_zoo.data.ReconstructionDataModule
  init_args:
    {{archive: {archive_path}, clip_length: 61, batch_size: 4, crop: 64, samples_per_epoch: 200}}
trainer:
  max_epochs: 4
  enable_progress_bar: false
  enable_model_summary: false
  log_every_n_steps: 10
"""
(work / "refine.yaml").write_text(CONFIG)
run = work / "run"
if not (run / "result.json").is_file():
    fit = ["fit", "--config", str(work / "refine.yaml"), "--run_dir", str(run)]
    with capture_output():
        assert main(fit) == 0
print(*sorted(path.name for path in run.iterdir()), sep="\n")

# %% [markdown]
# ## Load the checkpoint
#
# A checkpoint of a class from outside the package is rejected without `trust=True` (`--trust` on
# the command line), because the file determines which module is imported.

# %%
try:
    spike_zoo.load(run / "checkpoints" / "best.ckpt")
except spike_zoo.SpikeZooError as error:
    print(str(error).partition("which is")[2].strip())
method = spike_zoo.load(run / "checkpoints" / "best.ckpt", trust=True)

# %%
archive = spike_zoo.SpikeArchive(archive_path)
name = next(name for name in archive.names("test") if "fast" in name)
recording = archive[name]
plane = int(archive.image_index(name)[0])
truth = archive.image(name, 0) / 255.0
target = torch.from_numpy(truth).float()[None, None]
spikes, scale = recording.to_tensor(), recording.rate_scale
images = {
    "playback, 41": (tfp(spikes, plane, 41) / scale)[None, None],
    "interval, mean of 5": (tfi(spikes, plane, 5) / scale)[None, None],
    "interval, mean of 21": (tfi(spikes, plane, 21) / scale)[None, None],
    "interval, mean of 9": (tfi(spikes, plane, 9) / scale)[None, None],
    "refined": method.reconstruct(recording, [plane]),
}
for label, image in images.items():
    print(f"{label:20} {psnr(image.clamp(0, 1), target).item():5.2f} dB")
shown = {label: images[label][0].clamp(0, 1) for label in list(images)[2:]}
to_pillow(side_by_side([*shown.values(), truth], [*shown, "the image"]))

# %% [markdown]
# After two hundred steps, this network of three layers has a higher PSNR on this scene than each of
# its input images. On slow scenes the mean of 21 intervals is still better. More steps and more
# scenes are one line of the configuration each; `stir` in
# [notebook 02](02-train-stir.ipynb) shows the gain of a larger network.

# %% [markdown]
# ## Next steps
#
# ```
# python -m spike_zoo fit --config refine.yaml --config profiles/gpu
# python -m spike_zoo compare runs/refine
# python -m spike_zoo sweep sweep.yaml --profile cpu
# ```
#
# [Adding a method](../docs/howto/own-method.md) describes tests, comparisons and methods in
# separate packages.
