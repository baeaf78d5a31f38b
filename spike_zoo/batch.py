"""Types of the batches that data loaders yield and modules take."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NotRequired, TypedDict

from torch import Tensor

if TYPE_CHECKING:
    from spike_zoo.spikes.cfa import Cfa

Split = Literal["train", "val", "test"]


class ReconstructionBatch(TypedDict):
    """A batch of clips as modules take it, on the device.

    Shape:
        - spikes: float32 ``(B, T, H, W)``, 0 or 1.
        - image: float32 ``(B, 1, H, W)`` in [0, 1], ground truth at plane ``T // 2``.
        - rate_scale: float32 ``(B,)``, spikes per plane at white.
        - flow: float32 ``(B, 2, 2, H, W)``, pixels right and down: what the image shows at x is
          at x + v(x) at an earlier plane, and at a later one. NaN where it is not seen there. Only
          where it is asked for.
        - plane: int64 ``(B,)``, index of the middle plane in its recording.
        - cfa: layouts of the sensors' Bayer filters, length B; images are ``(B, 3, H, W)`` then.
        - name: names of the recordings, length B.
    """

    spikes: Tensor
    image: NotRequired[Tensor]
    cfa: NotRequired[list[Cfa]]
    flow: NotRequired[Tensor]
    rate_scale: Tensor
    plane: Tensor
    name: list[str]


class SceneBatch(TypedDict):
    """A batch of scenes as modules take it, on the device.

    Shape:
        - spikes: uint8 ``(B, T, H, W)``, 0 or 1; bytes, for a scene has hundreds of planes.
        - images: float32 ``(B, N, 1, H, W)`` in [0, 1], ground truth in order of time.
        - planes: int64 ``(B, N)``, the plane of ``spikes`` that each image is centred on.
        - start: int64 ``(B,)``, the plane of the recording that ``spikes`` begins with.
        - flow: float32 ``(B, N, 2, H, W)``, pixels right and down: what image n shows at x is at
          x + v(x) in image n - 1 of the recording. NaN where it is not seen there; ``flow[:, 0]``
          leads out of the batch, and is NaN at the start of a recording. Only where it is known.
        - rate_scale: float32 ``(B,)``, spikes per plane at white.
        - name: names of the recordings, length B.
    """

    spikes: Tensor
    images: Tensor
    planes: Tensor
    start: Tensor
    flow: NotRequired[Tensor]
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
