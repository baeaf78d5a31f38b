"""What the networks saw of a batch on the way to its images, and pictures of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch

from spike_zoo.media.flow import flow_picture, longest
from spike_zoo.methods.sci.analysis.fam import AROUND, CENTRE, FAM, AnalysisInput

if TYPE_CHECKING:
    from torch import Tensor

    from spike_zoo.batch import ReconstructionBatch
    from spike_zoo.methods.sci.codec.codec import SCICodec

BEFORE = 1  # the nearest neighbour before the centre, among five features


class Intermediates(NamedTuple):
    """A batch on its way.

    Attributes:
        codec: What looked at it.
        feature: Of the middle plane, ``(B, 3, H, W)``.
        image: ``(B, 1, H, W)``, not clamped.
        analysis: What FAM took; None before its stage.
    """

    codec: SCICodec
    feature: Tensor
    image: Tensor
    analysis: AnalysisInput | None

    @classmethod
    def of(cls, codec: SCICodec, batch: ReconstructionBatch) -> Intermediates:
        """Return a batch with its image and all that is shown of it."""
        spikes, scale = batch["spikes"], batch["rate_scale"]
        if not isinstance(codec.fam, FAM):
            features = codec.features(spikes, scale)
            middle = features[:, features.shape[1] // 2]
            return cls(codec, middle, codec.picture(middle), None)
        analysis = codec.analysed(spikes, scale)
        return cls(codec, analysis.features[:, CENTRE], codec.fam(*analysis), analysis)

    def pictures(self, index: int) -> dict[str, Tensor]:
        """Return the feature of one sample, and how the feature before it was brought to its time.

        Warped, deformed and fused features are means over channels, stretched over their range:
        they have no unit. Source: Figs. 15 and 17 of the paper.
        """
        feature = {"feature": self.feature[index]}
        if self.analysis is None or not isinstance(self.codec.fam, FAM):
            return feature
        features, motions = (part[index : index + 1] for part in self.analysis)
        motion = motions[0, AROUND.index(BEFORE)].float()
        largest = longest(motion)
        return {
            **feature,
            f"motion, up to {largest:.1f} px": flow_picture(motion, largest),
            **self._steps(self.codec.fam, features, motion),
        }

    @staticmethod
    def _steps(fam: FAM, features: Tensor, motion: Tensor) -> dict[str, Tensor]:
        height, width = features.shape[-2:]
        rows, columns = height - height % 2, width - width % 2  # an odd last line is not shown
        cut = features[..., :rows, :columns]
        neighbour, centre = (fam.embed(cut[:, place]) for place in (BEFORE, CENTRE))
        found = fam.alignment.steps(neighbour, centre, motion[None, :, :rows, :columns])
        names = ["embedded" if fam.alignment.warp is None else "warped", "deformed", "fused"]
        return {
            name: stretched(maps[0].float().mean(dim=0))
            for name, maps in zip(names, found, strict=False)
        }


def stretched(values: Tensor) -> Tensor:
    """Return values from 0 at the least to 1 at the largest; all 0 where they are equal."""
    least, largest = torch.aminmax(values)
    return (values - least) / (largest - least).clamp(min=torch.finfo(values.dtype).tiny)
