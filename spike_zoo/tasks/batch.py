"""Types of batches from data loaders to modules."""

from typing import Literal, NotRequired, TypedDict

from torch import Tensor

from spike_zoo.spikes.cfa import Cfa

Split = Literal["train", "val", "test"]


class ReconstructionBatch(TypedDict):
    """A batch of clips, on the device of the module.

    Shape:
        - spikes: float32 ``(B, T, H, W)``, 0 or 1.
        - image: float32 ``(B, 1, H, W)`` in [0, 1], ground truth at plane ``T // 2``.
        - rate_scale: float32 ``(B,)``, spikes per plane at white.
        - flow: float32 ``(B, 2, 2, H, W)``, pixels right and down, to an earlier and a later plane:
          the point at x in the image is at x + v(x) in that plane, NaN if it is not visible there.
          Only if the data module is set to load flow.
        - hidden_spikes: float32 ``(B, T, H, W)``, ``spikes`` with hidden pixels, only in validation
          without ground truth. Then ``image`` is reconstructed from them.
        - hidden_rates: float32 ``(B, 1, H, W)``, spikes per plane that hidden pixels had around
          the middle plane; NaN at other pixels.
        - plane: int64 ``(B,)``, index of the middle plane in its recording.
        - cfa: layouts of the sensors' Bayer filters, length B, for colour; then images are
          ``(B, 3, H, W)``.
        - name: names of the recordings, length B.
    """

    spikes: Tensor
    image: NotRequired[Tensor]
    cfa: NotRequired[list[Cfa]]
    flow: NotRequired[Tensor]
    hidden_spikes: NotRequired[Tensor]
    hidden_rates: NotRequired[Tensor]
    rate_scale: Tensor
    plane: Tensor
    name: list[str]


class SceneBatch(TypedDict):
    """A batch of scenes, on the device of the module.

    Shape:
        - spikes: uint8 ``(B, T, H, W)``, 0 or 1; uint8 because a scene has hundreds of planes.
        - images: float32 ``(B, N, 1, H, W)`` in [0, 1], ground truth in order of time.
        - planes: int64 ``(B, N)``, the plane of ``spikes`` that each image is centred on.
        - start: int64 ``(B,)``, the plane of the recording that is ``spikes[:, 0]``.
        - flow: float32 ``(B, N, 2, H, W)``, pixels right and down: the point at x in image n is at
          x + v(x) in image n - 1 of the recording, NaN if it is not visible there. ``flow[:, 0]``
          refers to the image before the batch and is NaN at the start of a recording. Only if the
          recording has ground-truth flow.
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
    """A batch of exposures, on the device of the module.

    Shape:
        - spikes: float32 ``(B, T, h, w)``, 0 or 1: the exposure with a margin before and after it.
        - blur: float32 ``(B, 3, H, W)`` in [0, 1], R,G,B.
        - images: float32 ``(B, N, 3, H, W)`` in [0, 1], sharp images in order of time; N is 0 for
          data without sharp images.
        - planes: int64 ``(B, N)``, the plane of ``spikes`` of each sharp image.
        - exposure: int64 ``(B, 2)``, first plane of the exposure in ``spikes`` and one past its
          last plane, the same for all samples.
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
    """A batch of labelled clips, on the device of the module.

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
