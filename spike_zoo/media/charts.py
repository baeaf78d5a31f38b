"""What a test of recognition found, as pictures: a confusion matrix, a map of points."""

from __future__ import annotations

import colorsys
import itertools
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from PIL import Image, ImageDraw, ImageFont

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Colour = tuple[int, int, int]
    Font = ImageFont.FreeTypeFont | ImageFont.ImageFont

PAPER: Final = (255, 255, 255)
INK: Final = (38, 42, 51)
FAINT: Final = (122, 130, 145)
LINE: Final = (214, 219, 227)
#: A share of 0, a half and 1 in a confusion matrix.
RAMP: Final = ((246, 248, 251), (110, 163, 214), (11, 56, 117))
#: The first ten classes of a map; further ones get hues of their own.
PALETTE: Final = (
    *((31, 119, 180), (255, 127, 14), (44, 160, 44), (214, 39, 40), (148, 103, 189)),
    *((140, 86, 75), (227, 119, 194), (110, 110, 110), (188, 189, 34), (23, 190, 207)),
)
MARGIN, TITLE, TEXT = 24, 18, 14  # pixels around a chart; sizes of letters
LARGEST_CELL, SMALLEST_CELL, WIDEST_GRID = 56, 12, 1200  # pixels
LONGEST_NAME = 150  # pixels of a class's name beside a chart
MAP_SIDE, DOT = 720, 5  # pixels
MOST_IN_LEGEND = 20  # classes
SMOOTH = 3  # a map's dots are drawn so many times as large, then reduced
EDGE = 4  # pixels of paper around a name on a map
DARK = 0.55  # from this share on, numbers are white


def confusion_chart(counts: NDArray[np.int64], names: Sequence[str]) -> NDArray[np.uint8]:
    """Draw a confusion matrix: numbers of samples, on colours that are shares of each row.

    Args:
        counts: ``(K, K)``: samples of the row's class that were taken for the column's.
        names: Of the classes.

    Returns:
        uint8 ``(H, W, 3)``, R,G,B. Numbers are left out where cells are too small for them.

    Raises:
        ValueError: If there is not one row, column and name for each class.
    """
    classes = len(names)
    if counts.shape != (classes, classes) or not classes:
        raise ValueError(f"{classes} names need counts of as many rows, got {counts.shape}")
    cell = int(np.clip(WIDEST_GRID // classes, SMALLEST_CELL, LARGEST_CELL))
    font = ImageFont.load_default(min(TEXT, cell - 1))
    labels = [_shortened(name, font) for name in names]
    beside = max(round(font.getlength(label)) for label in labels)
    corner, side = (MARGIN + TITLE + beside + 22, MARGIN + 3 * TITLE), cell * classes
    size = (max(corner[0] + side, 420) + MARGIN, corner[1] + side + beside + 3 * TITLE + MARGIN)
    sheet = Image.new("RGB", size, PAPER)
    right, total = int(np.trace(counts)), int(counts.sum())
    title = f"{right} of {total} found ({100 * right / max(total, 1):.2f} %)"
    _write_title(sheet, title, "numbers are samples, colours shares of their row")
    _draw_cells(ImageDraw.Draw(sheet), counts, corner, cell)
    used = _write_axes(sheet, labels, font, corner, cell)
    return np.asarray(sheet)[: used + MARGIN]


def map_chart(
    points: NDArray[Any],
    classes: NDArray[np.int64],
    names: Sequence[str],
    ringed: NDArray[np.bool_] | None = None,
    title: str = "",
) -> NDArray[np.uint8]:
    """Draw points in the colours of their classes, whose names stand where most of them lie.

    Args:
        points: ``(N, 2)``.
        classes: ``(N,)``, the class of each.
        names: Of the classes.
        ringed: ``(N,)``, which points were taken for another class.
        title: What stands above.

    Returns:
        uint8 ``(H, W, 3)``, R,G,B.

    Raises:
        ValueError: If there is no point, or not one class for each.
    """
    if points.ndim != 2 or points.shape[1] != 2 or not len(points) or len(classes) != len(points):
        raise ValueError(f"{len(classes)} classes need points (N, 2), got {points.shape}")
    colours = class_colours(len(names))
    places = _placed(points)
    plot = Image.new("RGB", (SMOOTH * MAP_SIDE,) * 2, PAPER)
    pen = ImageDraw.Draw(plot)
    rings = np.zeros(len(points), bool) if ringed is None else ringed
    for index in np.argsort(rings, kind="stable"):  # ringed ones last, on top
        x, y = (SMOOTH * places[index]).tolist()
        box = (x - SMOOTH * DOT, y - SMOOTH * DOT, x + SMOOTH * DOT, y + SMOOTH * DOT)
        outline, width = (INK, 2 * SMOOTH) if rings[index] else (PAPER, SMOOTH)
        pen.ellipse(box, colours[classes[index]], outline, width)
    plot = plot.resize((MAP_SIDE, MAP_SIDE), Image.Resampling.LANCZOS)
    present = sorted(set(classes.tolist()))
    _write_names(plot, places, classes, names, colours)
    further = "" if ringed is None else "ringed: taken for another class"
    return _framed(plot, title, further, [(names[one], colours[one]) for one in present])


def class_colours(classes: int) -> list[Colour]:
    """Return a colour for each class: those of a palette, then hues far from each other."""
    turns = (n * 0.618034 % 1 for n in itertools.count())  # of the golden ratio
    further = [
        _from_hue(turn, (0.72, 0.5, 0.9)[n % 3])
        for n, turn in zip(range(classes - len(PALETTE)), turns, strict=False)
    ]
    return [*PALETTE[:classes], *further]


def _write_title(sheet: Image.Image, title: str, further: str = "") -> None:
    """Write what a chart shows, and smaller what else is to be known."""
    pen = ImageDraw.Draw(sheet)
    pen.text((MARGIN, MARGIN), title, INK, ImageFont.load_default(TITLE), anchor="lm")
    place = (MARGIN, MARGIN + TITLE + 4)
    pen.text(place, further, FAINT, ImageFont.load_default(TEXT), anchor="lm")


def _write_axes(
    sheet: Image.Image, labels: Sequence[str], font: Font, corner: tuple[int, int], cell: int
) -> int:
    """Write names beside and below the cells of a matrix; return the lowest row that is used."""
    (left, top), side, pen = corner, cell * len(labels), ImageDraw.Draw(sheet)
    widest = max(font.getlength(label) for label in labels)
    are_turned = widest > cell - 4  # below a column they would run into the next
    for index, label in enumerate(labels):
        middle, foot = cell * index + cell / 2, top + side + 8
        pen.text((left - 8, top + middle), label, INK, font, anchor="rm")
        if are_turned:
            _write_turned(sheet, label, font, (left + middle, foot))
        else:
            pen.text((left + middle, foot), label, INK, font, anchor="mt")
    heading = ImageFont.load_default(TEXT)
    lowest = top + side + 8 + (round(widest) if are_turned else TEXT) + 2 * TEXT
    pen.text((left + side / 2, lowest), "predicted", FAINT, heading, anchor="ms")
    _write_turned(sheet, "truth", heading, (MARGIN + 4, top + side / 2), is_middle=True, ink=FAINT)
    return lowest


def _draw_cells(
    pen: ImageDraw.ImageDraw, counts: NDArray[np.int64], corner: tuple[int, int], cell: int
) -> None:
    """Draw the cells of a matrix, numbers where they fit."""
    left, top = corner
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    font = ImageFont.load_default(TEXT if counts.max() < 1000 else TEXT - 2)
    has_numbers = font.getlength(str(counts.max())) < cell - 4 and cell > TEXT + 4
    for row, column in np.ndindex(*counts.shape):
        x, y = left + cell * column, top + cell * row
        share, count = float(shares[row, column]), int(counts[row, column])
        pen.rectangle((x, y, x + cell - 2, y + cell - 2), _on_ramp(share))
        if has_numbers and count:
            ink = PAPER if share > DARK else INK
            middle = (x + (cell - 1) / 2, y + (cell - 1) / 2)
            pen.text(middle, str(count), ink, font, anchor="mm")


def _write_turned(
    sheet: Image.Image,
    words: str,
    font: Font,
    place: tuple[float, float],
    *,
    is_middle: bool = False,
    ink: Colour = INK,
) -> None:
    """Write words from below to above, their end or their middle at a place."""
    width, height = round(font.getlength(words)) + 2, 2 * TEXT
    strip = Image.new("L", (width, height))
    ImageDraw.Draw(strip).text((width, height / 2), words, 255, font, anchor="rm")
    turned = strip.rotate(90, expand=True)
    top = place[1] - turned.height / 2 if is_middle else place[1]
    corner = (round(place[0] - turned.width / 2), round(top))
    sheet.paste(Image.new("RGB", turned.size, ink), corner, turned)


def _placed(points: NDArray[Any]) -> NDArray[np.float64]:
    """Return points as pixels of a map, with room around them."""
    low, high = points.min(axis=0), points.max(axis=0)
    spread = float((high - low).max()) or 1.0
    room = 0.06 * MAP_SIDE
    scaled = (points - (low + high) / 2) / spread * (MAP_SIDE - 2 * room)
    return np.asarray(scaled * (1, -1) + MAP_SIDE / 2, np.float64)


def _write_names(
    plot: Image.Image,
    places: NDArray[np.float64],
    classes: NDArray[np.int64],
    names: Sequence[str],
    colours: Sequence[Colour],
) -> None:
    """Write the name of each class at the median of its points, where no other stands."""
    present = sorted(set(classes.tolist()))
    pen = ImageDraw.Draw(plot)
    font = ImageFont.load_default(TITLE + 2 if len(present) <= MOST_IN_LEGEND else TEXT)
    taken: list[tuple[float, float, float, float]] = []
    for one in present:
        x, y = np.median(places[classes == one], axis=0).tolist()
        label = _shortened(names[one], font)
        box = pen.textbbox((x, y), label, font, anchor="mm", stroke_width=EDGE)
        if not all(
            box[2] < other[0] or other[2] < box[0] or box[3] < other[1] or other[3] < box[1]
            for other in taken
        ):
            continue
        taken.append(box)
        red, green, blue = (int(0.6 * part) for part in colours[one])
        look: Any = {"anchor": "mm", "stroke_width": EDGE, "stroke_fill": PAPER}
        pen.text((x, y), label, (red, green, blue), font, **look)


def _framed(
    plot: Image.Image, title: str, further: str, legend: Sequence[tuple[str, Colour]]
) -> NDArray[np.uint8]:
    """Return a map below its title, beside the names of its colours where they are not too many."""
    font = ImageFont.load_default(TEXT)
    shown = legend if len(legend) <= MOST_IN_LEGEND else []
    labels = [_shortened(name, font) for name, _ in shown]
    beside = 40 + max((round(font.getlength(label)) for label in labels), default=-40)
    width = MARGIN + plot.width + beside + MARGIN
    top = MARGIN + 3 * TITLE
    sheet = Image.new("RGB", (width, top + plot.height + MARGIN), PAPER)
    sheet.paste(plot, (MARGIN, top))
    _write_title(sheet, title, further)
    pen = ImageDraw.Draw(sheet)
    pen.rectangle((MARGIN, top, MARGIN + plot.width - 1, top + plot.height - 1), outline=LINE)
    for index, (label, (_, colour)) in enumerate(zip(labels, shown, strict=True)):
        x, y = MARGIN + plot.width + 16, top + 12 + 24 * index
        pen.rounded_rectangle((x, y - 6, x + 12, y + 6), 3, colour)
        pen.text((x + 20, y), label, INK, font, anchor="lm")
    return np.asarray(sheet)


def _shortened(words: str, font: Font) -> str:
    """Return words cut short to the room that a class's name has."""
    while font.getlength(words) > LONGEST_NAME and len(words) > 1:
        words = f"{words[:-2].rstrip()}…"
    return words


def _on_ramp(share: float) -> Colour:
    low, middle, high = np.array(RAMP, float)
    pair = (low, middle, 2 * share) if share < 0.5 else (middle, high, 2 * share - 1)
    red, green, blue = (pair[0] + pair[2] * (pair[1] - pair[0])).round().astype(int).tolist()
    return red, green, blue


def _from_hue(hue: float, value: float) -> Colour:
    red, green, blue = (round(255 * part) for part in colorsys.hsv_to_rgb(hue, 0.75, value))
    return red, green, blue
