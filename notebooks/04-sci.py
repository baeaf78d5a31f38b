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
# # Features that are pictures, and motion that is learned
#
# SCI turns 13 spike planes into a **feature** that looks like a picture, so that a codec can carry
# it, and makes images and classes of five features and the motion between them. This notebook
# looks at what its parts see, with the small weights that ship, and trains a smaller one.

# %%
from pathlib import Path

import spike_zoo  # isort: skip
import torch
from lightning import Trainer, seed_everything

from spike_zoo.cli.simulate import simulate
from spike_zoo.data import ReconstructionDataModule
from spike_zoo.media import side_by_side, to_pillow
from spike_zoo.media.flow import flow_picture
from spike_zoo.methods.classical import tfi
from spike_zoo.methods.sci import SCICodecModule
from spike_zoo.metrics import psnr
from spike_zoo.runs.trainer import quiet_libraries

quiet_libraries()
folder = Path("data") if Path("data").is_dir() else Path("../data")
scenes = folder / "notebook_sequence.h5"
simulate(str(scenes), kind="sequence", size="small", height=128, width=128)

# %% [markdown]
# ## A scene that moves, and how
#
# Each scene has a sharp image at every 7th plane, and its name tells how fast it moves. Between two
# images the simulator knows the motion of every pixel: the colour is its direction, and grey is
# what was not seen before.

# %%
archive = spike_zoo.SpikeArchive(scenes)
name = next(name for name in archive.names("test") if "medium" in name)
recording, number = archive[name], 5
plane = int(archive.image_index(name)[number])
before, truth = (archive.image(name, n) / 255.0 for n in (number - 1, number))
motion = torch.from_numpy(archive.image_motion(name, number)).float()
print(name, recording, f"image {number} is at plane {plane}")
to_pillow(
    side_by_side(
        [recording[plane], before, truth, flow_picture(motion, 5.0)],
        ["one plane", "7 planes before", "the image", "motion, up to 5 px"],
    )
)

# %% [markdown]
# ## What SCI sees
#
# A feature of the window around each time, from two pathways of binary filters; the motion between
# neighbouring features, which was learned from scenes like this one; the image made of five of
# them. The three channels of a feature are shown as red, green and blue.

# %%
method = spike_zoo.load("sci-small")
codec = method.codec
clip = recording.to_tensor(plane - 20, plane + 21)[None].float()
scale = torch.tensor([recording.rate_scale])
with torch.inference_mode():
    features, motions = codec.analysed(clip, scale)
image = method.reconstruct(recording, [plane])[0]
to_pillow(
    side_by_side(
        [features[0, 1], features[0, 2], flow_picture(motions[0, 1], 5.0), image, truth],
        ["feature before", "feature", "its motion", "SCI", "the image"],
    )
)

# %%
target = torch.from_numpy(truth).float()[None, None]
interval = (tfi(recording.to_tensor(), plane, 9) / recording.rate_scale).clamp(0, 1)
pictures = {
    "FEM alone": codec.picture(features[:, 2])[0],
    "SCI": image,
    "interval, mean of 9": interval[None],
}
for label, picture in pictures.items():
    print(f"{label:20} {psnr(picture[None], target).item():5.2f} dB")

# %% [markdown]
# ## Train the first stage yourself
#
# Stage `fem` holds the mean of a feature's channels to the sharp image. A quarter of the width and
# 120 updates, about a minute, are far too few; see how far it comes all the same. `make sci` trains
# all stages in order.

# %%
seed_everything(0)
data = ReconstructionDataModule(str(scenes), clip_length=13, batch_size=4, crop=48)
module = SCICodecModule("fem", fem_width=0.25, learning_rate=2e-3, lpips="off")
trainer = Trainer(
    max_steps=120,
    gradient_clip_val=1.0,
    limit_val_batches=0,
    logger=False,
    enable_checkpointing=False,
    enable_progress_bar=False,
    enable_model_summary=False,
)
trainer.fit(module, data)
learned = module.reconstruct(recording, [plane])[0]
print(f"{trainer.global_step} steps: {psnr(learned[None], target).item():.2f} dB")
to_pillow(side_by_side([learned, image, truth], ["FEM, 120 steps", "SCI that ships", "the image"]))

# %% [markdown]
# ## On the command line
#
# ```
# python -m spike_zoo reconstruct street.h5 --method sci-small --stride 7 --out street.mp4
# make sci
# python -m spike_zoo classify digit.npz --method runs/sci/recognition/checkpoints/best.ckpt
# ```
