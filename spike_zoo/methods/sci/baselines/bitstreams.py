"""Rates of SCI's bitstreams with trained weights, and of lossless coders of spikes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal, get_args

import h5py
import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from spike_zoo.checkpoints.loading import load
from spike_zoo.coding.spl import codec as lossless
from spike_zoo.errors import ConfigError
from spike_zoo.methods.sci.analysis.fam import FAM
from spike_zoo.methods.sci.codec.refinement import STEPS
from spike_zoo.methods.sci.features.fem import FEM
from spike_zoo.methods.sci.training.codec import RATES, CodingStageModule
from spike_zoo.methods.sci.training.stage_module import StagedModule
from spike_zoo.tasks.coding import CodedScene, CodingModule, CompressedRecording

Coder = Literal["raw", "zstd", "blosc", "context"]
ZSTD_LEVEL = 19
BLOSC_LEVEL = 9
BLOSC_FILTERS = 3  # none, by byte, by bit
_NAME = "spikes"


class SCIBitstreamModule(CodingModule):
    """Code whole recordings with SCI at its four qualities, without training.

    Rates count complete ``.sci`` files. Images are those of the analysis or, without an analysis,
    the means of decoded features over their channels.

    Args:
        weights: Name or path for :func:`spike_zoo.load` of SCI with a codec: a checkpoint of stage
            ``"codec"`` or ``"joint"``.
        gop: Features per group of pictures, the first of which is an I-frame.
        analysis: Name or path for :func:`spike_zoo.load` of stage ``"fam"``, whose analysis
            replaces that of ``weights``. It was not trained together with the codec.
        effort: As ``compress --effort``, 0 to 3.
    """

    rates = RATES
    coder: CodingStageModule

    def __init__(
        self, weights: str, gop: int = 8, analysis: str | None = None, effort: int = 0
    ) -> None:
        super().__init__()
        if gop < 1:
            raise ConfigError(f"gop: 1 feature or more, got {gop}")
        if effort not in range(len(STEPS)):
            raise ConfigError(f"effort: 0 to {len(STEPS) - 1}, got {effort}")
        self.save_hyperparameters()

    def setup(self, stage: str) -> None:
        """Read the weights, and check the data."""
        self.read_weights()
        super().setup(stage)

    def read_weights(self) -> None:
        """Read the networks, if they are not read yet."""
        if hasattr(self, "coder"):
            return
        weights, analysis = self.hparams["weights"], self.hparams["analysis"]
        coder = load(weights)
        if not isinstance(coder, CodingStageModule):
            raise ConfigError(
                f"weights: {weights} is not of SCI with a codec; name a checkpoint "
                "of stage 'codec' or 'joint'"
            )
        if analysis is not None:
            coder.codec.fam = analysis_of(analysis, coder.codec.fem)
        coder.coding = replace(coder.coding, gop=self.hparams["gop"])
        coder.effort = self.hparams["effort"]
        self.rate_points = coder.rate_points
        self.coder = coder.requires_grad_(False).eval().to(self.device)

    def prepared(self, scene: CodedScene) -> Any:  # noqa: ANN401  (the coder's own)
        """Return the features of a recording, which all qualities share."""
        return self.coder.prepared(scene)

    def compress(self, prepared: Any, point: int) -> CompressedRecording:  # noqa: ANN401  (the coder's own)
        """Encode a recording; the size is that of the complete file."""
        return self.coder.compress(prepared, point)

    def decompress(self, coded: CompressedRecording, scene: CodedScene) -> Tensor:
        """Return the decoded images at the planes of the scene's images."""
        return self.coder.decompress(coded, scene)


def analysis_of(weights: str, fem: FEM) -> FAM:
    """Return the analysis of weights of stage ``"fam"``, for the features of a codec's FEM."""
    module = load(weights)
    if not isinstance(module, StagedModule) or not isinstance(module.codec.fam, FAM):
        raise ConfigError(
            f"analysis: {weights} is not of SCI with an analysis of pictures; name a checkpoint "
            "of stage 'fam'"
        )
    trained, used = module.codec.fem.state_dict(), fem.state_dict()
    if trained.keys() != used.keys() or any(not trained[name].equal(used[name]) for name in used):
        raise ConfigError(
            f"analysis: {weights} was trained on the features of another FEM than the codec's; "
            "name one that was trained from the same checkpoint of stage 'fem'"
        )
    return module.codec.fam


class LosslessModule(CodingModule):
    """Compress spikes without loss. Only ``"context"`` includes a file header.

    Args:
        coder: ``"raw"``: packed bits, by definition 1 bit per pixel and plane.
            ``"zstd"``: bits packed along time, see :func:`packed_in_time`, and Zstandard at level
            19.
            ``"blosc"``: bits packed along time, and Blosc with Zstandard at its highest level, with
            the filter that yields the smallest size.
            ``"context"``: complete files of :mod:`spike_zoo.coding.spl.codec`.
    """

    makes_images = False

    def __init__(self, coder: Coder = "zstd") -> None:
        super().__init__()
        if coder not in get_args(Coder):
            raise ConfigError(f"coder: one of {', '.join(get_args(Coder))}, got {coder!r}")
        self.save_hyperparameters()
        self.coder = coder
        self.rate_points = (coder,)

    def setup(self, stage: str) -> None:
        """Check that the library is installed, and check the data."""
        if self.coder in ("zstd", "blosc"):
            _filters()
        super().setup(stage)

    def compress(self, prepared: CodedScene, point: int) -> CompressedRecording:
        """Compress the spikes of a recording."""
        coded = coded_spikes(prepared.spikes.cpu().numpy(), self.coder)
        return CompressedRecording(len(coded), coded)


def packed_in_time(spikes: NDArray[Any]) -> NDArray[np.uint8]:
    """Pack spikes along time, eight planes of a pixel per byte.

    Pixels that fire regularly repeat along time only: byte coders need half of the bytes that they
    need for bits packed along rows. The output is ``(H, W, ceil(T / 8))``, the first plane in the
    lowest bit.
    """
    along = np.ascontiguousarray(np.moveaxis(spikes.astype(bool), 0, -1))
    return np.packbits(along, axis=-1, bitorder="little")


def coded_spikes(spikes: NDArray[Any], coder: Coder) -> bytes:
    """Compress spikes ``(T, H, W)`` by a coder of :class:`LosslessModule`."""
    if coder == "raw":
        return np.packbits(spikes.astype(bool), bitorder="little").tobytes()
    if coder == "context":
        return lossless.encode(spikes.astype(bool))
    packed = packed_in_time(spikes)
    pixels = packed.view(f"V{packed.shape[-1]}")[..., 0]  # the filters shuffle items: pixels
    filters = _filters()
    if coder == "zstd":
        return _chunk(pixels, filters.Zstd(clevel=ZSTD_LEVEL))
    options = {"cname": "zstd", "clevel": BLOSC_LEVEL}
    shuffles = range(BLOSC_FILTERS)
    return min((_chunk(pixels, filters.Blosc(**options, shuffle=n)) for n in shuffles), key=len)


def _chunk(pixels: NDArray[Any], options: Any) -> bytes:  # noqa: ANN401  (h5py's keywords)
    """Return the bytes that HDF5 stores for one chunk with a filter; the file is in memory."""
    with h5py.File(_NAME, "w", driver="core", backing_store=False) as file:
        stored = file.create_dataset(_NAME, data=pixels, chunks=pixels.shape, **options)
        return bytes(stored.id.read_direct_chunk((0,) * pixels.ndim)[1])


def _filters() -> Any:  # noqa: ANN401  (the library has no hints)
    try:
        import hdf5plugin
    except ImportError as error:
        raise ConfigError(
            "coder: zstd and blosc need hdf5plugin: pip install 'spike-zoo[cold]'"
        ) from error
    return hdf5plugin
