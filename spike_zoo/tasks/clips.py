"""Reconstruction of recordings clip by clip, without trainer, metrics or archives."""

import warnings
from collections.abc import Iterator, Sequence
from typing import Any, Final, Protocol, TypeAlias, runtime_checkable

import torch
from torch import Tensor, nn

from spike_zoo.nn.eval_mode import eval_mode
from spike_zoo.spikes.packing import unpack_tensor
from spike_zoo.spikes.rate_scale import rate_scale_of
from spike_zoo.spikes.recording import SpikeRecording, check_recording
from spike_zoo.spikes.windows import Planes, centred_window, mirrored_planes, wanted_planes

Method: TypeAlias = Any
"""A :class:`ClipReconstruction` or a :class:`ReconstructionModule`, which share functions."""
FLOW_OFFSET: Final = 20
"""Planes between an image and the earlier or later plane that its flow points to."""


def reconstruct(
    method: Method, recording: SpikeRecording, centers: Planes, *, rate_scale: float | None = None
) -> Tensor:
    """Reconstruct the images at some planes of a recording.

    Args:
        method: The method.
        recording: The spikes.
        centers: Planes to reconstruct, or one plane.
        rate_scale: Spikes per plane at white; by default that of the recording, then that of
            the method, then 1 with a warning.

    Returns:
        float32 ``(N, 1, H, W)`` in [0, 1], one image per plane, on the CPU; 3 channels for
        colour methods.

    Raises:
        PlaneRangeError: If a plane is outside the recording.
        UsageError: If the recording or the planes have another type.
    """
    check_recording(recording)
    planes = wanted_planes(centers, len(recording))
    images = method.reconstruct_stream(recording, planes, rate_scale=rate_scale)
    _, height, width = recording.shape
    result = torch.empty(len(planes), method.channels, height, width)
    for index, image in enumerate(images):
        result[index] = image
    return result


def reconstruct_stream(
    method: Method, recording: SpikeRecording, centers: Planes, *, rate_scale: float | None = None
) -> Iterator[Tensor]:
    """Yield the images of :meth:`reconstruct` one by one, ``(1, H, W)``, in constant memory."""
    check_recording(recording)
    planes = wanted_planes(centers, len(recording))
    if recording.maps is not None and not method.applies_maps:
        warnings.warn(
            f"{type(method).__name__} does not apply the maps of the camera: images keep its "
            "fixed patterns and defects",
            stacklevel=2,
        )
    scale = rate_scale_of(recording, rate_scale, method.own_rate_scale, estimates=False).value
    return method._stream(recording, planes, scale)


def image_stream(
    method: Method, recording: SpikeRecording, centers: Sequence[int], rate_scale: float
) -> Iterator[Tensor]:
    """Yield the images that a method reconstructs from the clips around some planes."""
    device = next((parameter.device for parameter in method.parameters()), torch.device("cpu"))
    scale = torch.full((1,), rate_scale, device=device)
    with eval_mode(method):
        for center in centers:
            spikes = read_clip(recording, center, method.clip_length, device)[None].float()
            with torch.inference_mode():
                image = method(spikes, scale)[0].float().cpu()
            yield image


class ClipReconstruction(nn.Module):
    """Base class of methods, without training, that reconstruct the middle plane of a clip.

    A subclass sets :attr:`clip_length` and defines ``forward(spikes, rate_scale)``.
    """

    clip_length: int  #: planes of one clip; the image belongs to plane ``clip_length // 2``
    channels: int = 1  #: channels of the image: 1 (grey) or 3 (R,G,B)
    #: spikes per plane at white that the method was made for; None if there is no such value
    own_rate_scale: float | None = None
    #: Whether an image takes seconds to compute. If so, reports reconstruct only the plane that
    #: they show first.
    takes_seconds: bool = False
    #: attributes that change how images are computed, but not the images
    inference_options: tuple[str, ...] = ()
    applies_maps: bool = False  #: whether the maps of a recording's camera are applied

    reconstruct = reconstruct
    reconstruct_stream = reconstruct_stream
    _stream = image_stream

    @property
    def margin(self) -> int:
        """Planes that an image needs on either side of its plane."""
        return self.clip_length // 2

    def forward(self, spikes: Tensor, rate_scale: Tensor | None = None) -> Tensor:
        """Reconstruct the middle plane: ``(B, T, H, W)`` -> ``(B, 1, H, W)`` in [0, 1]."""
        raise NotImplementedError


@runtime_checkable
class FlowFields(Protocol):
    """Methods that align planes or features along fields, usually optical flow."""

    #: Whether :meth:`motion` returns optical flow. Fields that a network learned without any loss
    #: on flow are no optical flow.
    estimates_flow: bool
    #: name of a flow estimator that several methods share; empty for the method's own
    flow_source: str

    def motion(
        self, recording: SpikeRecording, centers: Planes, *, rate_scale: float | None = None
    ) -> Tensor:
        """Return the fields along which planes around an image are aligned, see :func:`motion`."""
        ...


def motion(
    method: Method, recording: SpikeRecording, centers: Planes, *, rate_scale: float | None = None
) -> Tensor:
    """Return the fields along which planes before and after an image are aligned to the image.

    The fields are optical flow if :attr:`FlowFields.estimates_flow` is True. Frames are not tiled.

    Args:
        method: The method.
        recording: The spikes.
        centers: Planes of images, or one plane.
        rate_scale: As for :meth:`reconstruct`.

    Returns:
        float32 ``(N, 2, 2, H, W)``, on the CPU: to 20 planes before, to 20 planes after;
        (dx, dy) in pixels.
    """
    check_recording(recording)
    fields = method._fields(recording, wanted_planes(centers, len(recording)), rate_scale)
    return torch.cat([torch.empty(0, 2, 2, *recording.shape[1:]), *fields])


def read_clip(
    recording: SpikeRecording, center: int, length: int, device: torch.device | str = "cpu"
) -> Tensor:
    """Read uint8 ``(length, H, W)`` around a plane, mirrored in time at the recording's ends.

    Bits are unpacked on the device.
    """
    start, stop = centred_window(center, length)
    planes = mirrored_planes(start, stop, len(recording))
    first = int(planes.min())
    packed = recording.read_packed(first, int(planes.max()) + 1)
    return unpack_tensor(torch.from_numpy(packed[planes - first]).to(device), recording.shape[2])
