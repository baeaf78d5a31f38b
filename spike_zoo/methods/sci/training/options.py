"""Settings that SCI's training modules share, as groups of their constructors' arguments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Self

from spike_zoo.methods.sci.analysis.alignment import Align
from spike_zoo.methods.sci.analysis.fam import FAM, ClassFAM
from spike_zoo.methods.sci.codec.codec import LAMBDAS, SCICodec
from spike_zoo.methods.sci.codec.decoded import Boundary, IFrameMotion
from spike_zoo.methods.sci.codec.frames import CodecNetworks
from spike_zoo.methods.sci.codec.inter import Context, TemporalPrior
from spike_zoo.methods.sci.codec.quantization import Quantisation
from spike_zoo.methods.sci.codec.scale_net import QUALITIES
from spike_zoo.methods.sci.features.blocks import check_choice
from spike_zoo.methods.sci.features.fem import FEM, Fusion, Pathway
from spike_zoo.methods.sci.features.motion_estimation import MotionEstimation
from spike_zoo.methods.sci.training.stage_table import StageSpec

Target = Literal["features", "images"]


def check_weights(**weights: float) -> None:
    """Raise unless weights of losses are finite and not negative.

    Raises:
        ValueError: Naming the first that is not.
    """
    for name, weight in weights.items():
        if not 0 <= weight < float("inf"):
            raise ValueError(f"{name} must be 0 or more, got {weight}")


class _Options:
    @classmethod
    def of(cls, given: Self | Mapping[str, Any]) -> Self:
        """Return options, also those that a checkpoint holds as a mapping."""
        return cls(**given) if isinstance(given, Mapping) else given


@dataclass(frozen=True)
class NetworkOptions(_Options):
    """Architecture of SCI's networks; a stage builds those that it needs.

    Attributes:
        fem_width: Width of :class:`FEM`; 1 is the paper's, for all widths.
        codec_width: Width of motion estimation, and of the codec.
        fam_width: Width of :class:`FAM`.
        pathway: Of :class:`FEM`, and so up to ``binarize``.
        pfu: Fusion of both pathways.
        attention: Whether features are weighted by attention.
        binarize: Whether the dorsal pathway binarises.
        align: How :class:`FAM` aligns neighbours.
        neighbors: Neighbouring features that :class:`FAM` takes.
        context: Of :class:`Inter`.
        temporal_prior: Of :class:`Inter`.
        fmvr: Whether decoded motion is refined before it is analysed. Bitstreams do not change.
        skip: Whether P-frames may leave out motion, content or frames, see :class:`Inter`.
        block_transform: Whether I-frames have a linear transform of blocks, see :class:`Intra`.
        scale_input: Whether spikes are divided by the rate scale, see :class:`SCICodec`.
    """

    fem_width: float = 1.0
    codec_width: float = 1.0
    fam_width: float = 1.0
    pathway: Pathway = "dual"
    pfu: Fusion = "pfu"
    attention: bool = True
    binarize: bool = True
    align: Align = "afr"
    neighbors: int = 4
    context: Context = "condition"
    temporal_prior: TemporalPrior = "full"
    fmvr: bool = True
    skip: bool = False
    block_transform: bool = False
    scale_input: bool = True

    def codec(self, row: StageSpec, classes: int | None = None) -> SCICodec:
        """Build the networks of a stage.

        Args:
            row: The stage.
            classes: Number of classes where the analysis recognises them; else it makes images.
        """
        analysis: FAM | ClassFAM | None = None
        if "fam" not in row.absent:
            options = (self.align, self.neighbors, self.fam_width)
            analysis = FAM(*options) if classes is None else ClassFAM(classes, *options)
        coding = None
        if "intra" not in row.absent:
            prior = (self.context, self.temporal_prior)
            coding = CodecNetworks.of_width(
                self.codec_width,
                *prior,
                fmvr=self.fmvr,
                skip=self.skip,
                block_transform=self.block_transform,
            )
            coding = coding._replace(fmvr=None) if "fmvr" in row.absent else coding
        switches = {"attention": self.attention, "binarize": self.binarize}
        return SCICodec(
            FEM(self.fem_width, self.pathway, self.pfu, **switches),
            None if "motion" in row.absent else MotionEstimation(self.codec_width),
            analysis,
            coding,
            scale_input=self.scale_input,
        )


@dataclass(frozen=True)
class CodingOptions(_Options):
    """How the codec is trained and measured.

    Attributes:
        lambdas: Weight of distortion at each of the four qualities.
        phase_fractions: Parts of stage ``codec`` for I-frames, for one P-frame after each, and for
            all images of a sample.
        quantization: How rounding is trained: ``"mixed"`` begins with noise and goes on with
            rounding, ``"noise"`` and ``"ste"`` use one of both throughout.
        target: What decoded features are compared with: the coded ``"features"``, as in the
            paper, or ``"images"``, the ground truth with the brightness and contrast of each
            channel of the features, which has no noise.
        freeze_motion: Whether motion estimation stays as stage ``motion`` left it.
        motion_loss_weight: Weight of the mean difference of decoded and estimated motion in pixels
            at the start of the run; it falls to a fifth. 0 is the paper's.
        gop: Features of a group of pictures, where bitstreams are measured.
        boundary: Whether an analysis uses features of other groups of pictures (``"sequence"``)
            or not (``"gop"``).
        iframe_motion: Motion to an I-frame: ``"zero"``, or ``"decoder_me"`` estimates it.

    Raises:
        ValueError: If an option is outside its range; names it.
    """

    lambdas: Sequence[float] = LAMBDAS
    phase_fractions: Sequence[float] = (0.45, 0.25, 0.3)
    quantization: Quantisation = "mixed"
    target: Target = "features"
    freeze_motion: bool = False
    motion_loss_weight: float = 0.0
    gop: int = 8
    boundary: Boundary = "sequence"
    iframe_motion: IFrameMotion = "zero"

    def __post_init__(self) -> None:
        choices = {
            "quantization": Quantisation,
            "target": Target,
            "boundary": Boundary,
            "iframe_motion": IFrameMotion,
        }
        for name, kind in choices.items():
            check_choice(name, getattr(self, name), kind)
        lambdas, phases = list(self.lambdas), list(self.phase_fractions)
        if len(lambdas) != QUALITIES or not all(0 < one < float("inf") for one in lambdas):
            raise ValueError(f"lambdas must be {QUALITIES} positive weights, got {lambdas}")
        if len(phases) != 3 or min(phases) < 0 or sum(phases) <= 0:
            raise ValueError(f"phase_fractions must be 3 parts of the run, got {phases}")
        check_weights(motion_loss_weight=self.motion_loss_weight)
        if self.gop < 1:
            raise ValueError(f"gop must be 1 or more, got {self.gop}")


NETWORKS = NetworkOptions()
CODING = CodingOptions()
