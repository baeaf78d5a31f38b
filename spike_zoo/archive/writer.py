"""Writer of HDF5 archives."""

import contextlib
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import h5py
import numpy as np
from numpy.typing import NDArray

from spike_zoo.archive import schema
from spike_zoo.archive.contents import (
    MIN_RECORDINGS,
    StoredTake,
    checked_datasets,
    read_label,
    split_names,
    write_contents,
    write_label_names,
)
from spike_zoo.archive.validate import check_data, foreign_objects
from spike_zoo.errors import (
    ExistingFileError,
    FormatError,
    GeometryError,
    MissingItemError,
    RecordingError,
)
from spike_zoo.formats.hdf5 import Hdf5File, hdf5_errors
from spike_zoo.formats.hdf5_recording import check_root, read_attributes, read_maps
from spike_zoo.formats.hdf5_writing import (
    CHECKSUM,
    OutputFile,
    compression_options,
    dataset_sha256,
    new_archive_file,
    new_group,
    stored_sha256,
    write_checked,
    write_group,
    write_label,
)
from spike_zoo.spikes.recording import SpikeRecording
from spike_zoo.spikes.take import Take
from spike_zoo.utils.files import new_file
from spike_zoo.utils.locks import changed_file

#: Data sets that are attributes of a take; if the take has none, they were removed on purpose.
_OF_TAKES = (
    schema.SPIKES,
    schema.CALIBRATION,
    *schema.OF_IMAGES,
    schema.IMAGE_INDEX,
    schema.BLUR_SPAN,
    schema.AROUND_INDEX,
)


class ArchiveWriter:
    """Write recordings into a new archive or append them to an existing one, as context manager.

    Data are written to a temporary file in the same folder, which is renamed at the end of the
    block. After an error the temporary file is removed and an existing archive is unchanged.
    Programs that append to one archive wait for each other; readers do not wait.

    Args:
        path: The archive.
        overwrite: Replace an existing archive.
        append: Append to an existing archive.
        compression: ``"gzip"`` or ``"zstd"`` for spikes and images; None: no filter.
        bit_layout: ``"wpack"`` or, for cold storage, ``"tpack"`` (bits along time).
        generator: Program that made the archive, stored as root attribute.
        label_names: Names of the classes, by class index.

    Raises:
        ExistingFileError: If the archive exists and ``overwrite`` and ``append`` are False.
        UsageError: If the names of the classes are invalid, or differ from those of the archive
            that is appended to.

    Example:
        >>> from spike_zoo.testing import pattern_take
        >>> with ArchiveWriter("takes.h5") as writer:
        ...     writer.add("street", pattern_take(0), split="train")
        >>> from spike_zoo import SpikeArchive
        >>> SpikeArchive("takes.h5").names("train")
        ['street']
    """

    def __init__(
        self,
        path: str | Path,
        *,
        overwrite: bool = False,
        append: bool = False,
        compression: str | None = None,
        bit_layout: str = "wpack",
        generator: str | None = None,
        label_names: Sequence[str] = (),
    ) -> None:
        compression_options(compression)  # raises early if it is unknown or not installed
        self.path = Path(path)
        self.overwrite = overwrite
        self.append = append and self.path.is_file()
        self.compression = compression
        self.bit_layout = bit_layout
        self.generator = generator
        self.label_names = tuple(label_names)
        self._splits: dict[str, dict[str, None]] = {}  # names in order, each once
        self._open = contextlib.ExitStack()
        self._file: OutputFile | None = None
        self._wants_table = False

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as stack:
            new = (
                changed_file(self.path)
                if self.append
                else new_file(self.path, overwrite=self.overwrite)
            )
            temporary = stack.enter_context(new)
            stack.callback(self._write_table, temporary)  # runs after the file below is closed
            if self.append:
                self._copy_existing(temporary)
                file = OutputFile(temporary, "r+")
            else:
                file = new_archive_file(temporary, self.generator)
            self._file = stack.enter_context(file)
            if self.label_names:
                write_label_names(file, self.label_names)
            self._open = stack.pop_all()
        return self

    def __exit__(self, *error: Any) -> None:
        if error[0] is None:
            with self._open:  # closes the file, writes the table, then renames it
                self._write_splits()
                is_large = len(self.file[schema.RECORDINGS]) >= MIN_RECORDINGS
                self._wants_table = is_large or schema.CONTENTS in self.file
        else:
            self._open.__exit__(*error)

    def add(
        self,
        name: str,
        take: Take | SpikeRecording,
        *,
        split: str | None = None,
        overwrite: bool = False,
    ) -> None:
        """Write one take.

        Args:
            name: Name of 1..120 letters, digits, ``.``, ``_``, ``-``; the first is not a dot.
            take: The recording with its images, or the recording alone. For a take of another
                archive (:meth:`SpikeArchive.take`), label maps and calibration are copied too.
            split: Split to add the name to.
            overwrite: Replace a recording of this name; its space in the file is not freed.
        """
        self._check_name(name, overwrite=overwrite)
        write_take(
            self.file,
            name,
            take if isinstance(take, Take) else Take(take),
            compression=self.compression,
            bit_layout=self.bit_layout,
        )
        self.file.check()
        if split is not None:
            self.put_in_split(split, name)

    def copy(self, source: h5py.File, source_name: str, name: str) -> None:
        """Copy a recording from another open archive without conversion."""
        self._check_name(name, overwrite=False)
        inside = f"{schema.RECORDINGS}/{source_name}"
        source.copy(source[inside], self.file[schema.RECORDINGS], name=name)
        self.file.check()

    def put_in_split(self, split: str, *names: str) -> None:
        """Add recordings to a split in this order, without duplicates."""
        check_name(split, "split")
        members = self._splits.setdefault(split, {})
        for name in names:
            if name not in self.file[schema.RECORDINGS]:
                raise MissingItemError(
                    f"{self.path}: split {split!r} names {name!r}, but there is no such recording",
                    path=f"{schema.SPLITS}/{split}",
                )
            members.setdefault(name)

    @property
    def file(self) -> OutputFile:
        """The HDF5 file being written."""
        if self._file is None:
            raise RecordingError(f"{self.path}: use the writer in a with block")
        return self._file

    def _check_name(self, name: str, *, overwrite: bool) -> None:
        check_name(name, "recording")
        if name in self.file[schema.RECORDINGS] and not overwrite:
            raise ExistingFileError(
                f"{self.path}: has a recording {name!r} already; choose another name or set "
                "overwrite",
                path=f"{schema.RECORDINGS}/{name}",
            )

    def _copy_existing(self, temporary: Path) -> None:
        """Copy the archive, after checking that writing to the copy cannot change another file."""
        with Hdf5File(self.path) as existing:
            check_root(existing)
            existing.group(schema.RECORDINGS)
            self._splits = {
                split: dict.fromkeys(split_names(existing, split))
                for split in existing.members(schema.SPLITS)
            }
        shutil.copyfile(self.path, temporary)

    def _write_table(self, path: Path) -> None:
        if self._wants_table:
            write_contents(path)

    def _write_splits(self) -> None:
        if schema.SPLITS in self.file:
            del self.file[schema.SPLITS]
        if self._splits:
            splits = self.file.create_group(schema.SPLITS, track_order=True)
            for split, names in self._splits.items():
                splits.create_dataset(
                    split, data=list(names), dtype=h5py.string_dtype(), shape=(len(names),)
                )


def write_take(
    file: h5py.File,
    name: str,
    take: Take,
    *,
    compression: str | None = None,
    bit_layout: str = "wpack",
) -> None:
    """Write a take, in place of one of this name, after checking that its parts fit.

    For a take of another archive, the remaining members of its group are copied too.
    """
    values_of = {
        **{schema.IMAGES: take.images, schema.IMAGE_INDEX: take.image_index},
        **{schema.BLUR: take.blur, schema.BLUR_SPAN: take.blur_span, schema.MOTION: take.motion},
        **{schema.AROUND: take.around, schema.AROUND_INDEX: take.around_index},
    }
    parts = {part: np.asarray(values) for part, values in values_of.items() if values is not None}
    for code, part, problem in schema.part_problems(parts, take.recording.shape):
        raise GeometryError.at(f"/{schema.RECORDINGS}/{name}", f"{part}: {problem}", code=code)
    if name in file[schema.RECORDINGS]:
        del file[schema.RECORDINGS][name]
    group = new_group(file, name)
    try:
        for part, values in parts.items():
            if part in schema.OF_IMAGES:
                _write_images(group, part, values, compression)
            else:
                group.create_dataset(part, data=values.astype(np.int64))
        write_group(group, take.recording, compression=compression, layout=bit_layout)
        if take.label is not None:
            write_label(group, take.label, take.recording.meta.get("label_name"))
        if isinstance(take, StoredTake):
            copy_rest(group, take)
    except BaseException:
        del file[schema.RECORDINGS][name]  # a part of a take is no recording
        raise


def _write_images(
    group: h5py.Group, part: str, images: NDArray[Any], compression: str | None
) -> None:
    is_float = part in (schema.IMAGES, schema.BLUR) and images.dtype.kind == "f" and images.size
    if is_float and (problem := schema.values_problem(images.min(), images.max())):
        raise FormatError.at(group.name, f"{part}: {problem}", code="E09")
    chunks = {"chunks": (1, *images.shape[1:])} if compression and images.size else {}
    filters = compression_options(compression) if chunks else {}
    write_checked(group, part, images, **chunks, **filters)


def check_name(name: str, what: str) -> None:
    """Raise FormatError E11 if the schema does not allow a name."""
    if not schema.NAME_PATTERN.fullmatch(name):
        raise FormatError(
            f"{name!r} cannot name a {what}: use 1 to 120 letters, digits, dots, underscores and "
            "hyphens, not a dot first",
            code="E11",
            path=name,
        )


def copy_rest(group: h5py.Group, take: StoredTake) -> None:
    """Copy label maps, calibration, and parts and attributes outside the schema, as stored.

    Changes of the take are kept, for example another label or removed images. If the recording has
    another size than the stored one, nothing is copied, because maps and calibration do not fit.
    """
    if take.path is None:
        return
    inside = f"{schema.RECORDINGS}/{take.name}"
    with Hdf5File(take.path) as file:
        attributes = read_attributes(file, inside)
        size = tuple(attributes.get(side) for side in ("frames", "height", "width"))
        if size != take.recording.shape:
            return
        _check_foreign(file, inside)
        _check_copied(file, take.name, group)
        if schema.LABEL in group and take.label == read_label(file, take.name):
            del group[schema.LABELS]  # the class is copied too, with its stored type
        with hdf5_errors(file.path, inside):
            _copy_calibration(file, inside, group, take.recording)
            _copy_missing(file.group(inside), group)
        for part in checked_datasets(file, inside):
            copied = group.get(part.removeprefix(f"{inside}/"))
            if copied is not None and CHECKSUM not in copied.attrs:
                copied.attrs[CHECKSUM] = dataset_sha256(file, part)


def _check_copied(file: Hdf5File, name: str, group: h5py.Group) -> None:
    """Raise FormatError (E06) if spikes or images were damaged before they were copied."""
    inside = f"{schema.RECORDINGS}/{name}"
    both = [part for part in schema.OF_IMAGES if part in group and file.holds(f"{inside}/{part}")]
    pairs = [(inside, group), *((f"{inside}/{part}", group[part]) for part in both)]
    # data that the caller replaced differ, too, so the source is checked before an error is raised
    if any(stored_sha256(file, at) not in (None, new.attrs[CHECKSUM]) for at, new in pairs):
        check_data(file.path, name, (schema.SPIKES, *both))


def _copy_calibration(
    file: Hdf5File, inside: str, group: h5py.Group, recording: SpikeRecording
) -> None:
    """Copy the group of maps with its stored types, unless the maps were replaced or removed."""
    where = f"{inside}/{schema.CALIBRATION}"
    pair = read_maps(file, inside, recording.shape[1:]), recording.maps
    stored, own = (maps and maps.sha256 for maps in pair)
    if file.holds(where) and stored == own:
        if schema.CALIBRATION in group:
            del group[schema.CALIBRATION]
        file.handle.copy(where, group, name=schema.CALIBRATION, expand_soft=True)


def copy_unknown_root(target: h5py.File, path: Path) -> None:
    """Copy class names, and the members of an archive's root outside the schema, as stored."""
    with Hdf5File(path) as file:
        for name in set(file.members("/")) - set(schema.KNOWN_ROOT):
            _check_foreign(file, name)
            with hdf5_errors(path, name):
                file.handle.copy(name, target, name=name, expand_soft=True)
        with hdf5_errors(path):
            _copy_attributes(file.handle, target)


def _check_foreign(file: Hdf5File, inside: str) -> None:
    for finding in foreign_objects(file, inside):
        raise FormatError(
            f"{file.path}: {finding.path} cannot be copied, remove it first: {finding.message}",
            code=finding.code,
            path=finding.path,
        )


def _copy_missing(source: h5py.Group, target: h5py.Group) -> None:
    for name in source:
        if name in target and isinstance(source[name], h5py.Group):
            _copy_missing(source[name], target[name])
        elif name in target:
            _copy_attributes(source[name], target[name])
        elif name not in _OF_TAKES:
            source.copy(name, target, name=name, expand_soft=True)
    _copy_attributes(source, target)


def _copy_attributes(source: h5py.Group | h5py.Dataset, target: h5py.Group | h5py.Dataset) -> None:
    for name in source.attrs:
        if name not in target.attrs:
            target.attrs.create(name, source.attrs[name], dtype=source.attrs.get_id(name).dtype)
