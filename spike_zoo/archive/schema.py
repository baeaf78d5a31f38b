"""Schema 1 of archives: names, types, shapes and rules, shared by writer and validation."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple, Self

import numpy as np
from numpy.typing import DTypeLike, NDArray

from spike_zoo.errors import SpikeZooError
from spike_zoo.formats.hdf5 import Hdf5File
from spike_zoo.formats.hdf5_recording import (
    CALIBRATION,
    LABEL,
    OPTIONAL,
    RECORDINGS,
    REQUIRED,
    SPIKES,
)
from spike_zoo.formats.hdf5_writing import NAME_PATTERN, rate_scale_problem
from spike_zoo.spikes.pixel_maps import MAPS

__all__ = [
    "AROUND", "AROUND_INDEX", "BLUR", "BLUR_SPAN", "CALIBRATION", "CONTENTS", "IMAGES",
    "IMAGE_INDEX", "KNOWN_ATTRIBUTES", "KNOWN_MEMBERS", "KNOWN_ROOT", "KNOWN_ROOT_ATTRIBUTES",
    "LABEL", "LABELS", "LABEL_NAMES", "MOTION", "NAME_PATTERN", "OF_IMAGES", "PART", "PART_CODES",
    "RECORDINGS", "REQUIRED", "SPIKES", "SPLITS", "USUAL_SPLITS",
    "Finding", "Part", "counted", "finding_of", "label_names_problem", "part_problems",
    "rate_scale_problem", "values_problem",
]  # fmt: skip

SPLITS = "splits"
USUAL_SPLITS = ("train", "val", "test")  # defaults of the data modules
IMAGES = "images"
IMAGE_INDEX = "image_index"
MOTION = "motion"
AROUND = "around"
AROUND_INDEX = "around_index"
BLUR = "blur"
BLUR_SPAN = "blur_span"
LABELS = "labels"
CONTENTS = "contents"
LABEL_NAMES = "label_names"
PART = "part"

#: Large parts of a recording other than its spikes.
OF_IMAGES = (IMAGES, BLUR, MOTION, AROUND)
#: Parts of a recording with images -> code of their errors.
PART_CODES = {
    **{IMAGES: "E09", IMAGE_INDEX: "E07", BLUR: "E09", BLUR_SPAN: "E08"},
    **{MOTION: "E09", AROUND: "E09", AROUND_INDEX: "E09"},
}
KNOWN_ROOT = (RECORDINGS, SPLITS, CONTENTS)
KNOWN_ROOT_ATTRIBUTES = ("schema", "schema_version", "created", "generator", LABEL_NAMES, PART)
KNOWN_ATTRIBUTES = (*REQUIRED, *OPTIONAL)
_MAPS = ("boxes", "flow", "depth")
KNOWN_MEMBERS = {
    "": (
        *(SPIKES, IMAGES, IMAGE_INDEX, MOTION, AROUND, AROUND_INDEX),
        *(BLUR, BLUR_SPAN, LABELS, CALIBRATION),
    ),
    LABELS: ("class", "class_index", *_MAPS, *(f"{name}_index" for name in _MAPS)),
    CALIBRATION: MAPS,
}
_ROUNDING = 1e-3  # tolerance for float images that were computed, such as a luma of R, G and B
_IMAGE_TYPES = (np.uint8, np.uint16, np.float32)


def _image_problem(shape: tuple[int, ...], dtype: DTypeLike, height: int, width: int) -> str | None:
    """Describe the error of images ``(N, H', W'[, 3])`` of a recording ``H x W`` (E09), or None."""
    if np.dtype(dtype) not in _IMAGE_TYPES:
        return f"images are {np.dtype(dtype)}, expected uint8, uint16 or float32"
    if len(shape) not in (3, 4) or (len(shape) == 4 and shape[3] != 3):
        return f"images are {shape}, expected (N, H', W') grey or (N, H', W', 3)"
    factor = shape[1] // height
    if factor < 1 or shape[1:3] != (factor * height, factor * width):
        return (
            f"images of {shape[1]}x{shape[2]} are not {height}x{width} or an integer multiple "
            "of both sides by one factor"
        )
    return None


def values_problem(low: float, high: float) -> str | None:
    """Describe the error of the minimum and maximum of float images (E09), or None.

    Both must be NaN if any value is NaN. A tolerance of 1e-3 allows for rounding.
    """
    if not -_ROUNDING <= low <= high <= 1 + _ROUNDING:
        return (
            f"float images have values from {low:g} to {high:g}, expected 0 (black) to 1 (white); "
            "divide them by the value of white, or store them with 8 or 16 bits"
        )
    return None


def _index_problem(index: NDArray[np.int64], images: int, planes: int) -> str | None:
    """Describe the error of the planes that images are centred on (E07), or None."""
    if index.shape != (images,):
        return f"image_index has shape {index.shape} for {images} images"
    if (np.diff(index) < 0).any():
        return "image_index decreases"
    return _range_problem("image_index", index, planes)


def _range_problem(name: str, index: NDArray[np.int64], planes: int) -> str | None:
    if index.size and (index.min() < 0 or index.max() >= planes):
        return f"{name} {index.min()}..{index.max()} exceeds the planes 0..{planes - 1}"
    return None


def _flow_problem(motion: Any, shape: tuple[int, ...], meaning: str) -> str | None:  # noqa: ANN401  (array or data set)
    """Describe the error of the type or the shape of motion (E09), or None."""
    if np.dtype(motion.dtype) != np.float16:
        return f"motion is {np.dtype(motion.dtype)}, expected float16"
    if tuple(motion.shape) != shape:
        return (
            f"motion is {tuple(motion.shape)}, expected {shape}: for each sharp image the pixels "
            f"right and down {meaning}"
        )
    return None


def _around_index_problem(index: NDArray[np.int64], images: int, planes: int) -> str | None:
    """Describe the error of the target planes of motion around images (E09), or None."""
    if index.shape != (images, 2):
        return f"around_index has shape {index.shape} for {images} images, expected {(images, 2)}"
    return _range_problem("around_index", index, planes)


def _span_problem(span: NDArray[np.int64], images: int, planes: int) -> str | None:
    """Describe the error of the plane ranges of exposures (E08), or None."""
    if span.shape != (images, 2):
        return f"blur_span has shape {span.shape} for {images} blurry images"
    first, last = span[:, 0], span[:, 1]
    if not ((first >= 0) & (first < last) & (last <= planes)).all():
        return f"blur_span must have 0 <= first < last <= {planes}"
    return None


def part_problems(
    parts: Mapping[str, Any], size: tuple[int, int, int]
) -> Iterator[tuple[str, str, str]]:
    """Yield code, part and problem of a recording's images, their motion and their planes.

    ``parts`` are the existing parts of :data:`PART_CODES`, arrays or data sets, by name; ``size``
    is planes, height and width of the recording.
    """
    planes, height, width = size
    shapes = {part: tuple(values.shape or ()) for part, values in parts.items()}
    counts = {part: (shapes.get(part) or (0,))[0] for part in (IMAGES, BLUR)}
    for part, index, check in (
        (IMAGES, IMAGE_INDEX, _index_problem),
        (BLUR, BLUR_SPAN, _span_problem),
    ):
        if part in parts:
            problem = _image_problem(shapes[part], parts[part].dtype, height, width)
            yield from _if_any("E09", part, problem)
        problem = f"missing for {counts[part]} images" if counts[part] else None
        if index in parts:
            problem = check(parts[index], counts[part], planes)
        yield from _if_any(PART_CODES[index], index, problem)
    images, flow = counts[IMAGES], (2, height, width)
    if MOTION in parts:
        meaning = "to the previous image, of the spikes' size"
        yield from _if_any("E09", MOTION, _flow_problem(parts[MOTION], (images, *flow), meaning))
    if AROUND in parts and AROUND_INDEX not in parts:
        yield "E09", AROUND_INDEX, "missing for the motion around images"
    elif AROUND in parts:
        meaning = "to an earlier and to a later plane"
        problem = _flow_problem(parts[AROUND], (images, 2, *flow), meaning)
        problem = problem or _around_index_problem(parts[AROUND_INDEX], images, planes)
        yield from _if_any("E09", AROUND, problem)


def _if_any(code: str, part: str, problem: str | None) -> Iterator[tuple[str, str, str]]:
    if problem is not None:
        yield code, part, problem


def label_names_problem(names: object) -> str | None:
    """Describe the error of the names of the classes, ordered by index (E13), or None."""
    if not isinstance(names, list) or not all(isinstance(name, str) and name for name in names):
        return f"label_names is {str(names)[:80]!r}, expected a JSON list of names"
    twice = [name for name, times in Counter(names).items() if times > 1]
    return f"label_names has {twice[0]!r} twice" if twice else None


class Part(NamedTuple):
    """Place of an archive among those of one build, the root attribute ``part``."""

    number: int  #: from 1
    total: int  #: archives of the build
    digest: str  #: SHA-256 of the names, splits and options of the whole build

    def __str__(self) -> str:
        return f"{self.number}/{self.total} {self.digest}"

    @classmethod
    def parse(cls, text: object) -> Self | None:
        """Return the part that an attribute states; None if it is invalid."""
        match = re.fullmatch(r"(\d{1,9})/(\d{1,9}) ([0-9a-f]{64})", str(text))
        part = cls(int(match[1]), int(match[2]), match[3]) if match else None
        return part if part and 1 <= part.number <= part.total else None


@dataclass(frozen=True)
class Finding:
    """An error or a warning about an archive.

    Attributes:
        code: E01..E13 for errors, W01..W03 for warnings.
        path: Place inside the file.
        message: Description of the problem.
        severity: ``"error"`` or ``"warning"``.
    """

    code: str
    path: str
    message: str

    @property
    def severity(self) -> Literal["error", "warning"]:
        """``"error"`` if the archive is invalid, else ``"warning"``."""
        return "error" if self.code.startswith("E") else "warning"

    def __str__(self) -> str:
        return f"{self.code} {self.path} {self.message}"


def finding_of(
    error: SpikeZooError, code: str, inside: str, file: Hdf5File, path: str | None = None
) -> Finding:
    """Convert an error of a reader to a finding, without the leading name of the file."""
    message = error.message.removeprefix(f"{file.path}: ")
    for place in (error.path, inside):
        message = message.removeprefix(f"{place}: ")
    return Finding(error.code or code, path or error.path or inside, message)


def counted(findings: Iterable[Finding]) -> list[Finding]:
    """Return each finding once; equal warnings of several recordings are merged, with a count."""
    groups: dict[tuple[str, ...], dict[Finding, None]] = {}
    for finding in findings:
        path = finding.path
        if finding.severity == "warning" and path.startswith(f"{RECORDINGS}/"):
            path = "/".join(path.split("/")[2:])  # without the name of the recording
        groups.setdefault((finding.code, finding.message, path), {})[finding] = None
    return [
        replace(first, message=f"{first.message} (and {len(more)} more recordings)")
        if more
        else first
        for first, *more in groups.values()
    ]
