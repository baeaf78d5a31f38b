"""Reports in a browser: sliders, keys, crops, spikes, small screens and dark colours."""

import base64
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from playwright.sync_api import Locator, Page

from spike_zoo import SpikeArchive, SpikeRecording, write_recording
from spike_zoo.cli.main import main
from tests.rendered.conftest import Visit, Visitor


def _pixels(canvas: Locator) -> NDArray[np.uint8]:
    """Return the colours of a canvas, ``(H, W, 3)``."""
    source = canvas.evaluate("canvas => canvas.toDataURL()")
    content = base64.b64decode(source.partition(",")[2])
    return np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))


@pytest.fixture(scope="module")
def report(clips_archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("report") / "page.html"
    ids = ["--methods", "tfp", "tfi:average=9", "--images", "3"]
    assert main(["report", str(clips_archive), *ids, "--out", str(target)]) == 0
    return target


@pytest.fixture
def visit(report: Path, visitor: Visitor) -> Iterator[Visit]:
    with visitor.opened(report) as visit:
        visit.page.wait_for_selector("html[data-ready]", state="attached")
        yield visit
        assert visit.complaints == []
        assert [url for url in visit.requests if not url.startswith("data:")] == [report.as_uri()]


@pytest.fixture
def page(visit: Visit) -> Page:
    return visit.page


@pytest.fixture
def stage(page: Page) -> Locator:
    return page.locator(".stage").first


def test_every_image_is_drawn(page: Page) -> None:
    canvases = page.locator("canvas")
    assert canvases.count() == 2 + 3 + 1, "two sides, three crops, spikes"
    for index in range(canvases.count()):
        assert _pixels(canvases.nth(index)).std() > 5


def test_the_divider_follows_pointer_and_keys(page: Page, stage: Locator) -> None:
    box: Any = stage.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] / 4, box["y"] + box["height"] / 2, steps=4)
    page.mouse.up()
    assert stage.get_attribute("aria-valuenow") == "25"
    clip = "pane => getComputedStyle(pane).clipPath"
    assert stage.locator(".after").evaluate(clip) == "inset(0px 0px 0px 25%)"
    stage.focus()
    page.keyboard.press("ArrowRight")
    assert stage.get_attribute("aria-valuenow") == "27"
    page.keyboard.press("End")
    assert stage.get_attribute("aria-valuenow") == "100"


def test_either_side_shows_the_selected_method(page: Page, stage: Locator) -> None:
    left, right = stage.locator("canvas").nth(0), stage.locator("canvas").nth(1)
    assert stage.locator(".label").all_inner_texts() == ["tfp", "tfi:average=9"]
    before = _pixels(left)
    page.get_by_label("left side").first.select_option("ground truth")
    page.wait_for_function("document.querySelector('.label').textContent == 'ground truth'")
    assert (_pixels(left) != before).any()
    page.get_by_label("right side").first.select_option("ground truth")
    page.wait_for_function("document.querySelector('.after .label').textContent == 'ground truth'")
    np.testing.assert_array_equal(_pixels(left), _pixels(right))
    page.get_by_role("button", name="Difference").first.click()
    page.wait_for_selector(".stage[data-mode=difference]")
    colours = np.unique(_pixels(left).reshape(-1, 3), axis=0)
    assert len(colours) == 1, "equal images have no difference"


def test_moments_change_by_keys_and_by_playback(page: Page, stage: Locator) -> None:
    clock = page.locator(".clock output").first
    begin, image = clock.inner_text(), _pixels(stage.locator("canvas").first)
    stage.focus()
    page.keyboard.press(".")
    later = clock.inner_text()
    assert later != begin
    page.wait_for_selector(".stage[data-moment='2']")
    assert (_pixels(stage.locator("canvas").first) != image).any()
    page.get_by_role("button", name="play", exact=True).first.click()
    page.wait_for_function(
        "text => document.querySelector('.clock output').textContent != text", arg=later
    )
    page.get_by_role("button", name="pause").first.click()


def test_crops_move_together(page: Page) -> None:
    loupes = page.locator(".loupes canvas")
    before = [_pixels(loupes.nth(index)) for index in range(loupes.count())]
    frame = page.locator(".frame").first.get_attribute("style")
    loupes.nth(1).focus()
    for key in ("ArrowLeft", "ArrowUp", "+"):
        page.keyboard.press(key)
    page.wait_for_function(
        "style => document.querySelector('.frame').getAttribute('style') != style", arg=frame
    )
    assert all((_pixels(loupes.nth(at)) != old).any() for at, old in enumerate(before))


def test_spikes_are_shown_averaged_over_any_window(page: Page, clips_archive: Path) -> None:
    canvas = page.locator(".raw canvas")
    with SpikeArchive(clips_archive) as archive:
        recording = archive[archive.names("test")[0]]
    plane = int(page.locator(".clock output").nth(1).inner_text().removeprefix("plane "))
    np.testing.assert_array_equal(_pixels(canvas)[..., 0], 255 * recording[plane])
    page.get_by_label("planes averaged").fill("5")
    rate = recording[plane - 2 : plane + 3].mean(axis=0) / (recording.rate_scale or 1.0)
    np.testing.assert_allclose(_pixels(canvas)[..., 0], 255 * rate.clip(0, 1), atol=1)


@pytest.mark.parametrize("context_options", ["light", "dark"])
def test_a_phone_shows_the_page_without_horizontal_scrolling(
    context_options: str, report: Path, visitor: Visitor
) -> None:
    phone = {"viewport": {"width": 360, "height": 740}, "is_mobile": True, "has_touch": True}
    with visitor.opened(report, color_scheme=context_options, **phone) as visit:
        page = visit.page
        page.wait_for_selector("html[data-ready]", state="attached")
        assert page.evaluate("document.documentElement.scrollWidth") <= 360
        for control in page.locator("button:visible, select:visible").all():
            box: Any = control.bounding_box()
            assert box["x"] >= 0
            assert box["x"] + box["width"] <= 360
            assert box["height"] >= 32, "large enough for touch"
        paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
        brightness = sum(map(int, paper.removeprefix("rgb(").rstrip(")").split(", ")))
        assert (brightness < 200) == (context_options == "dark")
        assert visit.complaints == []


@pytest.mark.parametrize("width", [360, 1000])
def test_commands_wrap_and_are_copied(width: int, report: Path, visitor: Visitor) -> None:
    permissions = ["clipboard-read", "clipboard-write"]
    options = {"viewport": {"width": width, "height": 740}, "permissions": permissions}
    with visitor.opened(report, **options) as visit:
        page = visit.page
        page.wait_for_selector("html[data-ready]", state="attached")
        for command in page.locator(".commands dd").all():
            assert command.evaluate("dd => dd.scrollWidth <= dd.clientWidth")
            command.get_by_role("button", name="Copy").click()
            command.get_by_role("button", name="Copied").wait_for()
            copied = page.evaluate("() => navigator.clipboard.readText()")
            assert copied == command.locator("code").text_content()
            assert copied.startswith("python -m spike_zoo ")
        assert visit.complaints == []


def test_names_of_files_are_escaped(
    tmp_path: Path, visitor: Visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    name = "<img src=x onerror=alert(1)>'\"&amp;.npz"
    spikes = np.random.default_rng(0).random((41, 24, 32)) < 0.3
    write_recording(SpikeRecording.from_planes(spikes, rate_scale=0.6), tmp_path / name)
    assert main(["report", name, "--methods", "tfp", "--out", "page.html"]) == 0
    with visitor.opened(tmp_path / "page.html") as visit:
        visit.page.wait_for_selector("html[data-ready]", state="attached")
        assert visit.page.locator("h1").inner_text() == name
        assert visit.complaints == []
        assert len([url for url in visit.requests if not url.startswith("data:")]) == 1
