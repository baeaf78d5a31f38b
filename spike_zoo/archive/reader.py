"""Reader of HDF5 archives."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import h5py
import numpy as np
from numpy.typing import NDArray

from spike_zoo.archive import contents, schema
from spike_zoo.archive.schema import Finding
from spike_zoo.archive.validate import verify_archive
from spike_zoo.errors import MissingItemError, PlaneRangeError
from spike_zoo.formats.hdf5 import Hdf5File, hdf5_errors
from spike_zoo.formats.hdf5_recording import (
    StoredPlanes,
    check_root,
    missing_recording,
    read_attributes,
    read_group,
    stored_planes,
)
from spike_zoo.formats.remote import is_address, local_path
from spike_zoo.spikes.recording import SpikeRecording

if TYPE_CHECKING:
    from spike_zoo.archive.contents import Facts, StoredTake


class SpikeArchive:
    """Recordings with their images and splits in one HDF5 file.

    A ``with`` block closes the file at its end; a later read opens it again. Every process opens
    the file separately, and raises an error if it was modified.

    Args:
        path: A file or its address.

    Raises:
        MissingFileError: If the file does not exist.
        FormatError: E01, if the file is not an archive or truncated.
        VersionError: E02, if the file has a newer schema.

    Example:
        >>> from spike_zoo import SpikeRecording, write_recording
        >>> clip = SpikeRecording.from_planes(np.ones((4, 6, 8), bool), rate_scale=0.6)
        >>> with SpikeArchive(write_recording(clip, "clip.h5")) as archive:
        ...     archive.names(), archive["clip"]
        (['clip'], SpikeRecording(4x6x8, rate_scale=0.6))
    """

    def __init__(self, path: str | Path) -> None:
        self._address = path if is_address(path) else None
        self._file = Hdf5File(local_path(path))
        self._planes: dict[str, StoredPlanes] = {}
        self._names: dict[str, None] | None = None
        self._stored_table: list[Any] | None = None
        self._facts: dict[str, Facts] | None = None
        self._checked: set[str] = set()
        check_root(self._file)

    @property
    def path(self) -> Path:
        """The file."""
        return self._file.path

    @property
    def size(self) -> int:
        """Bytes of the file."""
        return self.path.stat().st_size

    def close(self) -> None:
        """Close the file in this process."""
        self._facts = self._stored_table = None
        self._file.close()

    def check_unchanged(self) -> None:
        """Raise RecordingError if the open file was replaced, modified or removed."""
        if self._address is not None and not self.path.exists():
            local_path(self._address)  # fetch the copy again that was removed from the cache
        self._file.check_unchanged()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __getstate__(self) -> dict[str, Any]:
        # another process opens and checks the file again
        empty_caches: dict[str, Any] = {"_planes": {}, "_names": None, "_facts": None}
        empty_caches["_stored_table"] = None
        own: dict[str, Any] = {"_address": self._address, "_file": self._file, "_checked": set()}
        return own | empty_caches

    def __repr__(self) -> str:
        return f"SpikeArchive({str(self.path)!r}, {len(self)} recordings)"

    def names(self, split: str | None = None) -> list[str]:
        """Return the names of all recordings in the order of writing, or those of one split."""
        if split is None:
            return list(self._names_in_order)
        if split not in self.splits():
            raise contents.missing_split(self.path, split, self.splits())
        return contents.split_names(self._file, split)

    @property
    def _names_in_order(self) -> dict[str, None]:
        """The names of all recordings as keys, in the order of writing."""
        # cached, because h5py iterates over the whole group
        if self._names is None:
            self._names = dict.fromkeys(self._file.members(schema.RECORDINGS))
        return self._names

    def splits(self) -> list[str]:
        """Return the names of the splits."""
        return self._file.members(schema.SPLITS)

    @property
    def label_names(self) -> tuple[str, ...]:
        """Names of the classes by class index; empty if the archive has none."""
        return contents.read_label_names(self._file)

    @property
    def parts(self) -> list[schema.Part | None]:
        """Place of each file among those of its build (``archive build --shards``)."""
        return [contents.read_part(self._file)]

    def __len__(self) -> int:
        return len(self._names_in_order)

    def __contains__(self, name: object) -> bool:
        return name in self._names_in_order

    def __iter__(self) -> Iterator[str]:
        return iter(self.names())

    def __getitem__(self, name: str) -> SpikeRecording:
        """Return a recording whose planes are read on demand."""
        self._require(name)
        return read_group(self._file, name)

    def facts(self, name: str) -> Facts:
        """Return the metadata of a recording, from the archive's table of contents if it has one.

        Archives of 1000 and more recordings have a table, which is read at the first call. Raises
        the errors of reading the recording.
        """
        self._require(name)
        if self._facts is None:
            self._facts = contents.facts_by_name(self._table)
        if name not in self._facts:
            recording, index = self[name], tuple(self.image_index(name).tolist())
            images = index, self.image_size(name), self._has(name, schema.MOTION)
            scale, label = recording.rate_scale, self.label(name)
            facts = contents.Facts(recording.shape, scale, label, *images, recording.cfa)
            self._facts[name] = facts
        return self._facts[name]

    def read_packed(
        self,
        name: str,
        start: int,
        stop: int,
        *,
        rows: slice = slice(None),
        byte_columns: slice = slice(None),
    ) -> NDArray[np.uint8]:
        """Read packed planes ``[start, stop)``, or a crop of them, without reading other chunks.

        Attributes and shape are read once per recording and cached, for data loaders.

        Args:
            name: Recording.
            start: First plane.
            stop: Plane after the last.
            rows: Rows to read.
            byte_columns: Bytes of each row: byte b contains columns ``8 b .. 8 b + 7``.

        Returns:
            uint8 ``(stop - start, rows, bytes)``.
        """
        planes = self._planes.get(name) or self._open_planes(name)
        if not 0 <= start <= stop <= planes.shape[0]:
            message = f"{self.path}: planes {start}..{stop} of {name} are out of range: it has 0.."
            raise PlaneRangeError(f"{message}{planes.shape[0]} (first, past the last)", path=name)
        return planes[start:stop, rows, byte_columns]

    def images(self, name: str) -> NDArray[Any]:
        """Return all sharp images, ``(N, H', W')`` grey or ``(N, H', W', 3)`` R,G,B, as stored."""
        return self._images(name, schema.IMAGES)

    def image(
        self, name: str, number: int, *, rows: slice = slice(None), columns: slice = slice(None)
    ) -> NDArray[Any]:
        """Read one sharp image, or a crop of it."""
        return self._images(name, schema.IMAGES, number, rows, columns)

    def image_index(self, name: str) -> NDArray[np.int64]:
        """Return the plane each sharp image is centred on, int64 ``(N,)``; empty without images."""
        return self._integers(name, schema.IMAGE_INDEX, (0,))

    def motion(self, name: str, *, around: bool = False) -> NDArray[np.float16]:
        """Return the flow from each sharp image to the previous one, ``(N, 2, H, W)``.

        With ``around``, return the flow to both planes of :meth:`around_index`,
        ``(N, 2, 2, H, W)``. Both are described in :class:`~spike_zoo.spikes.take.Take`.
        """
        return self._images(name, schema.AROUND if around else schema.MOTION)

    def around_index(self, name: str) -> NDArray[np.int64]:
        """Return the target planes of the flow ``around`` images, ``(N, 2)``; empty without it."""
        return self._integers(name, schema.AROUND_INDEX, (0, 2))

    def image_motion(
        self,
        name: str,
        number: int,
        *,
        rows: slice = slice(None),
        columns: slice = slice(None),
        around: bool = False,
    ) -> NDArray[np.float16]:
        """Read the flow of one image, or a crop of it, as :meth:`motion`."""
        part, uncropped_axes = (schema.AROUND, 2) if around else (schema.MOTION, 1)
        return self._images(name, part, number, *[slice(None)] * uncropped_axes, rows, columns)

    def blur(self, name: str) -> NDArray[Any]:
        """Return all blurry images ``(M, H', W'[, 3])``."""
        return self._images(name, schema.BLUR)

    def blurry_image(
        self, name: str, number: int, *, rows: slice = slice(None), columns: slice = slice(None)
    ) -> NDArray[Any]:
        """Read one blurry image, or a crop of it."""
        return self._images(name, schema.BLUR, number, rows, columns)

    def image_size(self, name: str) -> tuple[int, int] | None:
        """Return height and width of the sharp images; None if there are none."""
        if not self._has(name, schema.IMAGES):
            return None
        self._check_images(name, schema.IMAGES)
        height, width = self._dataset(name, schema.IMAGES).shape[1:3]
        return int(height), int(width)

    def image_sizes(self, name: str) -> list[tuple[int, int]]:
        """Return height and width of the sharp and of the blurry images, if there are any."""
        parts = schema.IMAGES, schema.BLUR
        return [self._dataset(name, part).shape[1:3] for part in parts if self._has(name, part)]

    def blur_span(self, name: str) -> NDArray[np.int64]:
        """Return the half-open plane range of each exposure, ``(M, 2)``; empty without any."""
        return self._integers(name, schema.BLUR_SPAN, (0, 2))

    def label(self, name: str) -> int | None:
        """Return the class index of a recording; None without a label."""
        self._require(name)
        return contents.read_label(self._file, name)

    def take(self, name: str) -> StoredTake:
        """Return a recording with its images, motion and label in memory; planes are not read."""
        has = {part for part in schema.OF_IMAGES if self._has(name, part)}
        return contents.StoredTake(
            recording=self[name],
            images=self.images(name) if schema.IMAGES in has else None,
            image_index=self.image_index(name) if schema.IMAGES in has else None,
            blur=self.blur(name) if schema.BLUR in has else None,
            blur_span=self.blur_span(name) if schema.BLUR in has else None,
            label=self.label(name),
            motion=self.motion(name) if schema.MOTION in has else None,
            around=self.motion(name, around=True) if schema.AROUND in has else None,
            around_index=self.around_index(name) if schema.AROUND in has else None,
            path=self.path,
            name=name,
        )

    def verify(self) -> list[Finding]:
        """Check all rules and checksums; an empty list means no errors and no warnings."""
        return verify_archive(self.path)

    def data_sha256(self) -> str:
        """Return a digest of the contents: names, splits, spikes, images, labels, rate scales.

        Spikes contribute their stored checksums, which :meth:`verify` compares with the data.
        Images, motion, labels and calibration contribute checksums of their values; if they have
        more than 256 MiB in total, their stored checksums.
        """
        rows = self._content_rows(set(self.names()))
        members = {part: self.names(part) for part in self.splits()}
        return contents.digest_of([rows[name] for name in sorted(rows)], members)

    def _content_rows(self, names: set[str]) -> dict[str, list[Any]]:
        return contents.content_rows(self._file, names, self._table)

    @property
    def _table(self) -> list[Any]:
        if self._stored_table is None:
            self._stored_table = contents.read_table(self._file)
        return self._stored_table

    def _require(self, name: str) -> None:
        if name not in self._names_in_order:
            raise missing_recording(self.path, name, self.names())

    def _open_planes(self, name: str) -> StoredPlanes:
        self._require(name)
        attributes = read_attributes(self._file, f"{schema.RECORDINGS}/{name}")
        planes = stored_planes(self._file, name, attributes)
        if planes.layout == "tpack":  # expanded in memory, so at most one of them is cached
            others = {other: old for other, old in self._planes.items() if old.layout != "tpack"}
            self._planes = others
        self._planes[name] = planes
        return planes

    def _has(self, name: str, part: str) -> bool:
        self._require(name)
        return self._file.holds(f"{schema.RECORDINGS}/{name}/{part}")

    def _dataset(self, name: str, part: str) -> h5py.Dataset:
        return self._file.dataset(f"{schema.RECORDINGS}/{name}/{part}")

    def _images(
        self, name: str, part: str, number: int | None = None, *crop: slice
    ) -> NDArray[Any]:
        inside = f"{schema.RECORDINGS}/{name}/{part}"
        # checked once per process, not for every image: it opens the data set and counts chunks
        if inside not in self._checked:
            self._check_images(name, part)
        # images without a filter are copied from a memory map, without HDF5's lock and chunk cache
        stored = self._file.mapped(inside) or self._file.dataset(inside)
        with hdf5_errors(self.path, inside):
            if number is None:
                return stored[:]
            if not 0 <= number < stored.shape[0]:
                raise PlaneRangeError(
                    f"{self.path}: image {number} of {name} is out of range: it has "
                    f"{stored.shape[0]} in {part}",
                    path=inside,
                )
            return stored[(slice(number, number + 1), *crop)][0]

    def _check_images(self, name: str, part: str) -> None:
        if not self._has(name, part):
            raise MissingItemError(f"{self.path}: {name} has no {part}", path=name)
        inside = f"{schema.RECORDINGS}/{name}/{part}"
        contents.check_images(self._file, inside)
        self._checked.add(inside)

    def _integers(self, name: str, part: str, empty: tuple[int, ...]) -> NDArray[np.int64]:
        if not self._has(name, part):
            return np.empty(empty, np.int64)
        return contents.read_integers(self._file, f"{schema.RECORDINGS}/{name}/{part}", len(empty))
