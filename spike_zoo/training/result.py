"""Record of a run, ``result.json``: metrics, costs, configuration and versions."""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

import numpy as np

from spike_zoo.errors import FormatError, MissingFileError, VersionError
from spike_zoo.utils.files import new_file

SCHEMA_VERSION = 2
FILENAME = "result.json"
#: Folders of a test's images below ``images``; each image is named after its sample.
RECONSTRUCTIONS, TRUTHS = "reconstructions", "truths"
PER_IMAGE_FILENAME = "per_image.csv"  # metrics of each test image
PREDICTIONS_FILENAME = "predictions.csv"
#: Files that a test of recognition writes into the run's folder.
CONFUSION_FILENAME = "confusion.csv"
CONFUSION_IMAGE, FEATURE_MAP = "images/confusion.png", "images/tsne.png"
FORWARD = "forward"  # the cost that every method has: one reconstruction
#: The cost of one reconstruction, repeated at the top level of a record.
COST_FIELDS = ("macs", "image_size", "seconds_per_image")
#: Pair of numbers, as a point of a curve or a size, which json.dumps writes on four lines.
_PAIR = re.compile(r"\[\n\s*([^\s,\[\]{}]+),\n\s*([^\s,\[\]{}]+)\n\s*\]")

#: Texts in place of numbers in the summaries of W&B.
_NOT_FINITE = ("NaN", "Infinity", "-Infinity")

Curve = tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class Cost:
    """Cost of one job for one image."""

    macs: int | None = None  # multiply-accumulates of convolutions and matrix products
    seconds: float | None = None  # median, without the first measurement
    size: tuple[int, int] | None = None  # height and width of the image

    @property
    def macs_per_pixel(self) -> float | None:
        """Multiply-accumulates per pixel of the image; None if either number is unknown.

        >>> Cost(macs=600, size=(10, 20)).macs_per_pixel
        3.0
        """
        if self.macs is None or self.size is None:
            return None
        return self.macs / (self.size[0] * self.size[1])


@dataclass(frozen=True)
class RunResult:
    """The record of one run."""

    method: str  #: folder of the method, as ``"stir"``
    #: name of the row in a table: the last configuration that is not a profile or a logger
    variant: str
    configs: list[str]  #: configuration files, as stacked
    profile: str | None
    seed: int | None
    data_sha256: str | None  #: digest of the archive
    metrics: dict[str, float]  #: log key -> value
    parameters: int  #: number of the network's parameters
    #: Name of a job -> its cost on the first test images. ``"forward"`` is one reconstruction; its
    #: size is the size of the reconstructed image. Methods may add jobs, as ``"compress"``.
    costs: dict[str, Cost]
    wall_seconds: float  #: time of the run, summed over interruptions and resumptions
    config: dict[str, Any]  #: the complete configuration
    config_hash: str  #: digest of the effective configuration and the initial weights
    versions: dict[str, str]
    commit: str | None
    checkpoint: str | None = None  #: the tested checkpoint
    checkpoint_sha256: str | None = None  #: digest of the weights in ``checkpoint``
    #: dotted key of the configuration -> checkpoint of initial weights, as ``path``, ``sha256`` of
    #: the weights, and ``recipe`` and ``seed`` of the run that trained them
    begins_with: dict[str, dict[str, Any]] = field(default_factory=dict)
    finished: str | None = None  #: end of the run, UTC
    images: int | None = None  #: number of images that the metrics are averaged over
    images_sha256: str | None = None  #: digest that identifies these images
    #: name, as ``"rate_distortion/psnr"`` -> points ``(x, y)``
    curves: dict[str, Curve] = field(default_factory=dict)
    schema: int = field(default=SCHEMA_VERSION)

    @property
    def archive(self) -> str:
        """File name of the archive, or of several; empty if it is not recorded."""
        source = ((self.config.get("data") or {}).get("init_args") or {}).get("archive", "")
        files = source if isinstance(source, list) else [source]
        return ", ".join(str(file or "").replace("\\", "/").rpartition("/")[2] for file in files)

    @property
    def macs(self) -> int | None:
        """Multiply-accumulates of one reconstruction."""
        return self.costs.get(FORWARD, Cost()).macs

    @property
    def image_size(self) -> tuple[int, int] | None:
        """Height and width of the image on which the cost of a reconstruction was measured."""
        return self.costs.get(FORWARD, Cost()).size

    @property
    def seconds_per_image(self) -> float | None:
        """Median time of one reconstruction."""
        return self.costs.get(FORWARD, Cost()).seconds

    def content(self) -> dict[str, Any]:
        """Return the fields as written; the cost of a reconstruction is repeated at top level."""
        return {**asdict(self), **{name: getattr(self, name) for name in COST_FIELDS}}

    def write(self, path: Path) -> None:
        """Write the record atomically."""
        text = _PAIR.sub(r"[\1, \2]", json.dumps(self.content(), indent=2, default=str))
        with new_file(path, overwrite=True) as temporary:
            temporary.write_text(f"{text}\n", encoding="utf-8")

    def summary(self) -> dict[str, Any]:
        """Return the record for a tracking service, without configuration and metrics.

        The metrics are omitted because they are already logged.
        """
        return {k: value for k, value in self.content().items() if k not in ("config", "metrics")}

    @classmethod
    def from_summary(
        cls, summary: Mapping[str, Any], shown: Mapping[str, Any] | None = None
    ) -> Self:
        """Rebuild a record from :meth:`summary` with the logged metrics.

        ``shown`` is the configuration in the tracking service, with the run's below ``config``.
        """
        metrics = {
            name: float(value)
            for name, value in summary.items()
            if "/" in name and (isinstance(value, int | float) or value in _NOT_FINITE)
        }
        known = {*cls.__dataclass_fields__, *COST_FIELDS}
        content = {name: value for name, value in summary.items() if name in known}
        content |= {"config": (shown or {}).get("config") or {}, "metrics": metrics}
        return cls.from_content(content, "the summary of a run")

    @classmethod
    def read(cls, path: str | Path) -> Self:
        """Read a record from a file, or from ``result.json`` in a folder."""
        file = Path(path)
        file = file / FILENAME if file.is_dir() else file
        if not file.is_file():
            raise MissingFileError(f"{file}: there is no such result; run fit or test first")
        try:
            content = json.loads(file.read_text(encoding="utf-8"))
        except (json.JSONDecodeError, UnicodeDecodeError) as error:
            raise FormatError.at(file, f"not a result ({error})") from error
        version = content.get("schema") if isinstance(content, dict) else None
        if not isinstance(version, int):
            raise FormatError.at(file, "no field 'schema', so not a result")
        if version != SCHEMA_VERSION:
            raise VersionError(
                f"{file}: schema {version}, but this version reads schema {SCHEMA_VERSION}; "
                + ("update spike_zoo" if version > SCHEMA_VERSION else "run it again"),
                path=str(file),
            )
        return cls.from_content(content, f"{file}: the record", str(file))

    @classmethod
    def from_content(cls, content: Mapping[str, Any], what: str, path: str | None = None) -> Self:
        """Build a record from its fields; ``what`` names them in error messages."""
        names = cls.__dataclass_fields__
        for name, item in names.items():
            if name not in content and item.default is item.default_factory is MISSING:
                raise FormatError(f"{what} lacks the field {name!r}", path=path)
        fields = {name: content[name] for name in names if name in content}
        try:
            fields["costs"] = {
                name: Cost(
                    item.get("macs"), item.get("seconds"), tuple(item.get("size") or ()) or None
                )
                for name, item in content["costs"].items()
            }
            curves = content.get("curves") or {}
            fields["curves"] = {name: as_curve(points) for name, points in curves.items()}
        except (AttributeError, IndexError, TypeError, ValueError) as error:
            raise FormatError(f"{what} has damaged costs or curves ({error})", path=path) from error
        return cls(**fields)


def as_curve(points: Iterable[Iterable[float]]) -> Curve:
    """Return the points of a curve as tuples of floats.

    >>> as_curve([[0, 1], [0.5, 2]])
    ((0.0, 1.0), (0.5, 2.0))
    """
    return tuple((float(x), float(y)) for x, y in points)


def shortest(value: float) -> float:
    """Return a single-precision number with the fewest digits that identify it.

    >>> shortest(25.90235710144043), shortest(0.1)
    (25.902357, 0.1)
    """
    single = np.float32(value)
    return float(str(single)) if single == value else value


def variant_and_profile(files: list[str]) -> tuple[str, str | None]:
    """Return the names of the variant and of the profile among stacked configuration files.

    A profile in ``configs/profiles`` has priority over the profile of a method's file, as
    ``profiles/cpu/student.yaml``, because a method's file may be combined with another profile.
    """
    profile, method_profile, variant = None, None, "unnamed"
    for file in files:
        path = Path(file)
        if path.parent.name == "profiles":
            profile = path.stem
        elif path.parent.parent.name == "profiles":  # of a method: profiles/cpu/student.yaml
            method_profile = path.parent.name
        elif path.parent.name != "loggers":
            # the configuration of a run that wrote no record
            variant = path.parent.name or path.stem if path.name == "config.yaml" else path.stem
    return variant, profile or method_profile
