"""What loaders give and modules take: all that both sides know of each other."""

from __future__ import annotations

from typing import Literal, NotRequired, TypedDict

from torch import Tensor

Split = Literal["train", "val", "test"]


class PackedClip(TypedDict):
    """A batch of clips as loaders give it: bits packed, not yet on the device.

    Shape:
        - packed: uint8 ``(B, T, H, ceil(W/8))``, little bit order along W.
        - width: int64 ``(B,)``, the true W, equal in one batch.
        - mode: int64 ``(B,)``, 0..7, the flip or rotation to apply (see ``spikes.turning``).
        - image: uint8 or float32 ``(B, C, H, W)``, ground truth at the middle plane.
        - rate_scale: float32 ``(B,)``, spikes per plane at white.
        - plane: int64 ``(B,)``, index of the middle plane in its recording.
        - name: names of the recordings, length B.
    """

    packed: Tensor
    width: Tensor
    mode: Tensor
    image: Tensor
    rate_scale: Tensor
    plane: Tensor
    name: list[str]


class ReconstructionBatch(TypedDict):
    """A batch of clips as modules take it, on the device.

    Shape:
        - spikes: float32 ``(B, T, H, W)``, 0 or 1.
        - image: float32 ``(B, 1, H, W)`` in [0, 1], ground truth at plane ``T // 2``.
        - rate_scale: float32 ``(B,)``, spikes per plane at white.
        - motion: float32 ``(B, 2, 2, H, W)``, pixels right and down: what the image shows at x is
          at x + v(x) at an earlier plane, and at a later one. NaN where it is not seen there. Only
          where it is asked for.
        - plane: int64 ``(B,)``, index of the middle plane in its recording.
        - name: names of the recordings, length B.
    """

    spikes: Tensor
    image: NotRequired[Tensor]
    motion: NotRequired[Tensor]
    rate_scale: Tensor
    plane: Tensor
    name: list[str]


class PackedScene(TypedDict):
    """A batch of scenes as loaders give it: one stretch of spikes with many images.

    Shape:
        - packed: uint8 ``(B, T, H, ceil(W/8))``, little bit order along W.
        - width: int64 ``(B,)``, the true W, equal in one batch.
        - mode: int64 ``(B,)``, 0..7, the flip or rotation of all planes and images of a scene.
        - images: uint8 or float32 ``(B, N, 1, H, W)``, ground truth in order of time.
        - planes: int64 ``(B, N)``, the plane of ``packed`` that each image is centred on.
        - start: int64 ``(B,)``, the plane of the recording that ``packed`` begins with.
        - motion: float16 ``(B, N, 2, H, W)``, as in :class:`SceneBatch`; where it is known.
        - rate_scale: float32 ``(B,)``, spikes per plane at white.
        - name: names of the recordings, length B.
    """

    packed: Tensor
    width: Tensor
    mode: Tensor
    images: Tensor
    planes: Tensor
    start: Tensor
    motion: NotRequired[Tensor]
    rate_scale: Tensor
    name: list[str]


class SceneBatch(TypedDict):
    """A batch of scenes as modules take it, on the device.

    Shape:
        - spikes: uint8 ``(B, T, H, W)``, 0 or 1; bytes, for a scene has hundreds of planes.
        - images: float32 ``(B, N, 1, H, W)`` in [0, 1], ground truth in order of time.
        - planes: int64 ``(B, N)``, the plane of ``spikes`` that each image is centred on.
        - start: int64 ``(B,)``, the plane of the recording that ``spikes`` begins with.
        - motion: float32 ``(B, N, 2, H, W)``, pixels right and down: what image n shows at x is at
          x + v(x) in image n - 1 of the recording. NaN where it is not seen there; ``motion[:, 0]``
          leads out of the batch, and is NaN at the start of a recording. Only where it is known.
        - rate_scale: float32 ``(B,)``, spikes per plane at white.
        - name: names of the recordings, length B.
    """

    spikes: Tensor
    images: Tensor
    planes: Tensor
    start: Tensor
    motion: NotRequired[Tensor]
    rate_scale: Tensor
    name: list[str]


class PackedExposure(TypedDict):
    """A batch of exposures as loaders give it: a blurry image with the spikes of its time.

    Shape:
        - packed: uint8 ``(B, T, h, ceil(w/8))``, little bit order along w.
        - width: int64 ``(B,)``, the true w, equal in one batch.
        - mode: int64 ``(B,)``, 0..7, the flip or rotation of planes and images alike.
        - blur: uint8 or float32 ``(B, 3, H, W)``, R,G,B; H and W are h and w times the ratio.
        - images: as blur, ``(B, N, 3, H, W)``, sharp images in order of time; N may be 0.
        - planes: int64 ``(B, N)``, the plane of ``packed`` that each sharp image shows.
        - exposure: int64 ``(B, 2)``, first and past-the-last plane of the exposure in ``packed``,
          equal in one batch.
        - rate_scale: float32 ``(B,)``, spikes per plane at white.
        - name: names of the recordings, length B.
    """

    packed: Tensor
    width: Tensor
    mode: Tensor
    blur: Tensor
    images: Tensor
    planes: Tensor
    exposure: Tensor
    rate_scale: Tensor
    name: list[str]


class DeblurBatch(TypedDict):
    """A batch of exposures as modules take it, on the device.

    Shape:
        - spikes: float32 ``(B, T, h, w)``, 0 or 1: the exposure with a margin at either end.
        - blur: float32 ``(B, 3, H, W)`` in [0, 1], R,G,B.
        - images: float32 ``(B, N, 3, H, W)`` in [0, 1], sharp images in order of time; N is 0
          where a set has none.
        - planes: int64 ``(B, N)``, the plane of ``spikes`` that each sharp image shows.
        - exposure: int64 ``(B, 2)``, first and past-the-last plane of the exposure in ``spikes``,
          equal in one batch.
        - rate_scale: float32 ``(B,)``, spikes per plane at white.
        - name: names of the recordings, length B.
    """

    spikes: Tensor
    blur: Tensor
    images: Tensor
    planes: Tensor
    exposure: Tensor
    rate_scale: Tensor
    name: list[str]


class PackedLabelled(TypedDict):
    """A batch of labelled clips as loaders give it: bits packed, not yet on the device.

    Shape:
        - packed: uint8 ``(B, T, H, ceil(W/8))``, little bit order along W.
        - width: int64 ``(B,)``, the true W, equal in one batch.
        - mode: int64 ``(B,)``, all 0: what is turned or flipped may be of another class.
        - label: int64 ``(B,)``, index of the class.
        - rate_scale: float32 ``(B,)``, spikes per plane at white.
        - plane: int64 ``(B,)``, index of the middle plane in its recording.
        - name: names of the recordings, length B.
    """

    packed: Tensor
    width: Tensor
    mode: Tensor
    label: Tensor
    rate_scale: Tensor
    plane: Tensor
    name: list[str]


class LabelledBatch(TypedDict):
    """A batch of labelled clips as modules take it, on the device.

    Shape:
        - spikes: float32 ``(B, T, H, W)``, 0 or 1.
        - label: int64 ``(B,)``, index of the class.
        - rate_scale: float32 ``(B,)``, spikes per plane at white.
        - plane: int64 ``(B,)``, index of the middle plane in its recording.
        - name: names of the recordings, length B.
    """

    spikes: Tensor
    label: Tensor
    rate_scale: Tensor
    plane: Tensor
    name: list[str]
