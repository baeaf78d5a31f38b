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
# # From spikes to an image
#
# A spike camera has no exposure time. Each pixel integrates light; when its charge reaches the
# firing threshold, it outputs one bit (a spike) and starts again. The whole sensor is read 20 000
# times a second. One read-out is a **plane** of bits. This notebook shows one recording,
# reconstructs images from it by two classical methods, and trains a small network.

# %%
from pathlib import Path

import spike_zoo  # isort: skip
import torch
from lightning import Trainer, seed_everything

from spike_zoo.cli.simulate import simulate
from spike_zoo.data import ReconstructionDataModule
from spike_zoo.media import side_by_side, to_pillow
from spike_zoo.methods.classical import tfi, tfp
from spike_zoo.methods.stir import STIRModule
from spike_zoo.metrics import psnr
from spike_zoo.training.libraries import quiet_libraries

quiet_libraries()
archive_path = Path("data/scenes.h5")
if not archive_path.exists():
    archive_path = Path("../data/scenes.h5")
if not archive_path.exists():
    simulate(str(archive_path))

# %% [markdown]
# ## A recording
#
# The default archive contains simulated recordings of moving photographs, with the ground-truth
# image at some planes. We use a recording of the test split.

# %%
archive = spike_zoo.SpikeArchive(archive_path)
name = next(name for name in archive.names("test") if "medium" in name)
recording = archive[name]
number = len(archive.image_index(name)) // 2
plane = int(archive.image_index(name)[number])
truth = archive.image(name, number) / 255.0
print(name, recording, f"ground truth at plane {plane}")

# %% [markdown]
# Single planes look like noise: each pixel either fired or did not. Bright pixels fire often.

# %%
planes = [recording[plane + offset] for offset in (0, 1, 2)]
to_pillow(side_by_side([*planes, truth], ["plane", "the next", "the one after", "ground truth"]))

# %% [markdown]
# ## Playback: count the spikes in a window
#
# `tfp` averages the planes of a **virtual exposure window**. A short window is sharp but noisy, a
# long one has less noise but more blur. This is the trade-off of a shutter time, but the window is
# chosen after the recording. The rates divided by `rate_scale`, the spikes per plane at white, are
# an image in [0, 1].

# %%
spikes = recording.to_tensor()
scale = recording.rate_scale
windows = (9, 41, 101)
images = [(tfp(spikes, plane, window) / scale).clamp(0, 1) for window in windows]
to_pillow(side_by_side(images, [f"{window} planes" for window in windows]))

# %% [markdown]
# ## Intervals: measure the time between spikes
#
# `tfi` measures the time between the spikes before and after the plane: the brighter the pixel, the
# shorter the interval. Its images have little motion blur; averaging over a few planes removes most
# of their quantisation noise.

# %%
averages = (1, 9)
images += [(tfi(spikes, plane, average) / scale).clamp(0, 1) for average in averages]
to_pillow(side_by_side(images[-2:], [f"mean of {average}" for average in averages]))

# %% [markdown]
# PSNR of these images:

# %%
target = torch.from_numpy(truth).float()[None, None]
labels = [f"playback, {window} planes" for window in windows]
labels += [f"interval, mean of {average}" for average in averages]
for label, image in zip(labels, images, strict=True):
    print(f"{label:24} {psnr(image[None, None], target).item():5.2f} dB")

# %% [markdown]
# ## A network, trained for a minute
#
# STIR takes 61 planes, estimates motion between three blocks of them and aligns their features.
# Training needs only a Lightning module and a data module. 300 steps take about a minute; this is
# far less than a complete training.

# %%
seed_everything(0)
data = ReconstructionDataModule(str(archive_path), batch_size=4, crop=64)
module = STIRModule(width=0.5, learning_rate=1e-3, warmup=0.1, lpips="off")
trainer = Trainer(
    max_steps=300,
    gradient_clip_val=1.0,
    limit_val_batches=0,
    logger=False,
    enable_checkpointing=False,
    enable_progress_bar=False,
    enable_model_summary=False,
)
trainer.fit(module, data)
learned = module.reconstruct(recording, [plane])
print(f"{trainer.global_step} steps: {psnr(learned, target).item():.2f} dB")

# %%
best = max(images, key=lambda image: psnr(image[None, None], target).item())
captions = ["best classical", "STIR, 300 steps", "ground truth"]
to_pillow(side_by_side([best, learned[0], truth], captions))

# %% [markdown]
# ## Your own recordings
#
# `spike_zoo.read_recording("street.dat", height=250, width=400)` opens a camera file; everything
# above works with it. On the command line:
#
# ```
# python -m spike_zoo reconstruct street.dat --height 250 --width 400 --method tfi --out street.mp4
# ```
