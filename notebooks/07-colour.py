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
# # Colour from a Bayer sensor
#
# Each pixel of a colour sensor lies behind a red, green or blue filter, so that two of three
# colours are missing at every pixel. In a moving scene other planes contain them: along the optical
# flow, a point of the scene passes pixels of all three colours. This notebook simulates a short
# recording and compares four reconstructions.

# %%
import numpy as np

import spike_zoo  # isort: skip
import torch

from spike_zoo.media import side_by_side, to_pillow
from spike_zoo.media.white_balance import WhiteBalance
from spike_zoo.metrics import psnr
from spike_zoo.simulation import SceneSpec
from spike_zoo.simulation.kinds.takes import simulate_take
from spike_zoo.training.libraries import quiet_libraries

quiet_libraries()

# %% [markdown]
# ## The recording
#
# The layout of the filters is an attribute of a recording: the 2 x 2 pixels at the top left of the
# upright image, row by row. Files keep it, and `--cfa` states it for those that do not.

# %%
scene = SceneSpec(
    height=96, width=128, planes=151, background="photo:astronaut-upper", speed=0.2, seed=4
)
take = simulate_take(scene, cfa="RGGB")
recording = take.recording
plane = int(take.image_index[0])
truth = np.moveaxis(take.images[0], -1, 0) / np.float32(255)
print(recording, recording.cfa, f"ground truth at plane {plane}")

# %% [markdown]
# A method for grey sensors treats the mosaic as a grey image: neighbouring pixels differ because
# their filters differ.

# %%
mosaic = spike_zoo.load("tfi").reconstruct(recording, [plane])[0].numpy()
to_pillow(side_by_side([mosaic, truth], ["tfi of the mosaic", "ground truth"]))

# %% [markdown]
# ## Four reconstructions
#
# - `tfp-colour` and `tfi-colour` demosaick one image, so that the missing colours are
#   interpolated from neighbouring pixels;
# - `ssl-csc` averages the samples of each colour along the flow, and interpolates nothing;
# - `tfi-aligned-colour` averages demosaicked planes along the flow, and then adds the difference
#   between the samples of the sensor and that image.

# %%
names = ["tfp-colour", "tfi-colour", "ssl-csc", "tfi-aligned-colour"]
images = {name: spike_zoo.load(name).reconstruct(recording, [plane])[0] for name in names}
for name, image in images.items():
    value = psnr(image[None], torch.from_numpy(truth)[None])
    print(f"{name:20} {float(value):5.2f} dB")
captions = [*images, "ground truth"]
to_pillow(side_by_side([*(image.numpy() for image in images.values()), truth], captions))

# %% [markdown]
# ## White balance
#
# Images are linear. Gains of the three colours are applied afterwards, for display only; metrics
# are measured without them. `grey-world` makes the means of the three colours equal.

# %%
best = images["tfi-aligned-colour"]
balance = WhiteBalance.of("grey-world", 0.0, recording, recording.rate_scale)
print(balance)
to_pillow(side_by_side([best, balance(best)], ["linear", "grey-world"]))

# %% [markdown]
# The same from the command line: `python -m spike_zoo simulate --kind colour` makes an archive,
# `reconstruct` and `report` show its recordings in colour, and
# `make ablation-table METHOD=colour` measures all methods. See `docs/howto/colour.md`.
