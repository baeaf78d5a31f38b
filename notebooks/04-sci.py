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
# # SCI: learned features, motion and compression
#
# SCI computes from 13 spike planes a **feature** that is similar to an image, so that a codec can
# compress it. An image is computed from five features and the motion between them. This
# notebook shows the parts with the shipped weights `sci`, compresses a recording,
# reconstructs images from the bitstream, and classifies with the same features.

# %%
import logging
from pathlib import Path

import spike_zoo  # isort: skip
import numpy as np
import torch
from PIL import Image, ImageDraw

from spike_zoo.cli.simulate import simulate
from spike_zoo.media import side_by_side, to_pillow
from spike_zoo.media.flow import flow_image
from spike_zoo.methods.classical import tfi
from spike_zoo.metrics import psnr
from spike_zoo.simulation.scenes.drifting import DriftSpec, simulate_drift
from spike_zoo.training.libraries import quiet_libraries

quiet_libraries()
logging.disable(logging.INFO)
folder = Path("data") if Path("data").is_dir() else Path("../data")
scenes = folder / "notebook_sequence.h5"
simulate(str(scenes), kind="sequence", size="small", height=128, width=128)

# %% [markdown]
# ## A scene and its motion
#
# Each scene has a sharp image at every 7th plane, and its name contains the speed. The archive also
# has the optical flow of every pixel between two images: colours show its direction, and grey marks
# pixels that were not visible before.

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
        [recording[plane], before, truth, flow_image(motion, 5.0)],
        ["one plane", "7 planes before", "the image", "flow, up to 5 px"],
    )
)

# %% [markdown]
# ## Features and motion
#
# From left to right: two features, each computed from the window around its plane by two pathways
# of binary filters; the motion between them, estimated by DIS optical flow; the image computed from
# five features; the ground truth. The three channels of a feature are shown as red, green and blue.

# %%
method = spike_zoo.load("sci")
codec = method.codec
clip = recording.to_tensor(plane - 20, plane + 21)[None].float()
scale = torch.tensor([recording.rate_scale])
with torch.inference_mode():
    features, motions = codec.analysis_input(clip, scale)
image = method.reconstruct(recording, [plane])[0]
to_pillow(
    side_by_side(
        [features[0, 1], features[0, 2], flow_image(motions[0, 1], 5.0), image, truth],
        ["feature before", "feature", "its motion", "SCI", "the image"],
    )
).quantize(128)

# %%
target = torch.from_numpy(truth).float()[None, None]
interval = (tfi(recording.to_tensor(), plane, 9) / recording.rate_scale).clamp(0, 1)
images = {
    "FEM alone": codec.feature_image(features[:, 2])[0],
    "SCI": image,
    "interval, mean of 9": interval[None],
}
for label, one in images.items():
    print(f"{label:20} {psnr(one[None], target).item():5.2f} dB")

# %% [markdown]
# ## Compress
#
# The codec compresses features at four qualities; these are the lowest and the highest. A bitstream
# has a header of 48 bytes and groups of pictures, each of which can be decoded without the others.
# Bits are given per pixel and plane; raw spikes have 1.

# %%
streams = {quality: codec.compress(recording, quality=quality, gop=4) for quality in (0, 3)}
pixels = recording.shape[0] * recording.shape[1] * recording.shape[2]
raw = pixels / 8
print(f"raw spikes: {raw:.0f} bytes, 1 bit per pixel and plane")
for quality, stream in streams.items():
    bits = 8 * len(stream) / pixels
    smaller = raw / len(stream)
    print(f"quality {quality}: {len(stream):6} bytes, {bits:.4f} bits, {smaller:.0f} times smaller")

# %% [markdown]
# ## Decompress
#
# The same weights decode the same symbols on any machine, because everything that selects a
# probability table is computed in integers.

# %%
decoded = {quality: codec.decompress(stream) for quality, stream in streams.items()}
index = decoded[0].planes.index(plane)
shown, labels = [features[0, 2]], ["feature, not coded"]
for quality in (0, 3):
    shown.append(decoded[quality].features[index])
    labels.append(f"decoded, quality {quality}")
to_pillow(
    side_by_side([*shown, flow_image(decoded[3].motion[index], 5.0)], [*labels, "its motion"])
).quantize(128)

# %% [markdown]
# Images are computed from decoded data alone: five features and the motion between them.

# %%
for quality, found in decoded.items():
    one = codec.reconstruct(found)[index]
    print(f"quality {quality}: {psnr(one[None], target).item():5.2f} dB")
print(f"not coded: {psnr(image[None], target).item():5.2f} dB")
to_pillow(
    side_by_side(
        [codec.reconstruct(decoded[0])[index], codec.reconstruct(decoded[3])[index], image, truth],
        ["quality 0", "quality 3", "not coded", "the image"],
    )
)

# %% [markdown]
# Checksums detect damage, group by group. With `strict=False`, intact groups are still decoded.

# %%
damaged = bytearray(streams[3])
damaged[len(damaged) // 2] ^= 1
try:
    codec.decompress(bytes(damaged))
except spike_zoo.SpikeZooError as error:
    print(error)
rest = codec.decompress(bytes(damaged), strict=False)
print("features left:", len(rest.planes), "of", len(decoded[3].planes))

# %% [markdown]
# ## Classify
#
# A plain network classifies each feature. `sci-mnist` was trained on moving digits of MNIST. Here
# it classifies a 3 that is drawn with two arcs and moves past the camera, from its spikes and from
# its bitstream.

# %%
drawing = Image.new("L", (28, 28))
pen = ImageDraw.Draw(drawing)
pen.arc((8, 4, 20, 14), 180, 90, fill=255, width=3)
pen.arc((8, 12, 20, 24), 270, 180, fill=255, width=3)
digit = simulate_drift(np.asarray(drawing), DriftSpec("three"), label=3, label_name="3").recording
classifier = spike_zoo.load("sci-mnist")
from_spikes = classifier.classify(digit)
from_bitstream = classifier.classify_bitstream(codec.compress(digit, quality=0))
for source, chances in {"spikes": from_spikes, "bitstream": from_bitstream}.items():
    print(f"{source}: {int(chances.argmax())} ({chances.max():.0%})")

# %% [markdown]
# ## On the command line
#
# ```
# python -m spike_zoo reconstruct street.h5 --method sci --stride 7 --out street.mp4
# python -m spike_zoo compress street.h5 --quality 2 --out street.sci
# python -m spike_zoo info street.sci
# python -m spike_zoo decompress street.sci --out decoded.mp4
# make sci      # all stages of training, in order
# python -m spike_zoo classify digit.npz --method sci-mnist
# ```
