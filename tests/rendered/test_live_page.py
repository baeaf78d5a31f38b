"""The page of the live view in a browser: opened early, late and at the end of a recording."""

import base64
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from playwright.sync_api import Page

from spike_zoo import SpikeArchive
from spike_zoo.methods.classical import TFI
from spike_zoo.pages.live import LiveServer, Player
from spike_zoo.pages.live_sources import StoredRecording
from tests.rendered.conftest import Visitor

_DRAWN = """image => {
    if (!image.complete || !image.naturalWidth) return null;
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [image.naturalWidth, image.naturalHeight];
    canvas.getContext("2d").drawImage(image, 0, 0);
    return canvas.toDataURL();
}"""
_MAX_ERROR = 5  # mean, in grey levels, of JPEG; that of a black image is above 50


def _visible_plane(page: Page, player: Player) -> int | None:
    """Return the plane whose image is on a page; None if the page shows no image."""
    coded = page.locator("#image").evaluate(_DRAWN)
    if coded is None:
        return None
    content = np.frombuffer(base64.b64decode(coded.partition(",")[2]), np.uint8)
    pixels = cv2.imdecode(content, cv2.IMREAD_GRAYSCALE)
    planes = range(0, 161, 20)
    recording = player.source.window(0, 161)
    images = player.method.reconstruct(recording, planes, rate_scale=player.rate_scale)
    errors = np.abs(pixels - 255 * images[:, 0].numpy()).mean(axis=(1, 2))
    return planes[int(errors.argmin())] if errors.min() < _MAX_ERROR else None


def _wait_for(plane: int, page: Page, player: Player, seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while (visible := _visible_plane(page, player)) != plane:
        assert time.monotonic() < deadline, f"plane {visible} instead of {plane}"
        page.wait_for_timeout(50)


@pytest.fixture
def server(clips_archive: Path) -> Iterator[LiveServer]:
    with SpikeArchive(clips_archive) as archive:
        recording = archive[archive.names("test")[0]].between(0, 161)
        method = TFI(average=9)
        method.clip_length = 41
        player = Player(StoredRecording(recording), method, 0.5, fps=20, stride=10)
        server = LiveServer(player, 0, "clip.h5")
        thread = threading.Thread(target=server.serve)
        thread.start()
        yield server
        player.stop()
        thread.join()


def test_pages_show_the_recording_whenever_they_are_opened(
    server: LiveServer, visitor: Visitor
) -> None:
    time.sleep(1.5)  # longer than the recording plays
    player = server.player
    assert player._number == 1, "playing starts with the first page"
    with visitor.opened(server.address) as early:
        page, play = early.page, early.page.get_by_role("button", name="Play")
        play.wait_for()
        _wait_for(140, page, player)
        assert "plane 140 (20 to 140 of 161)" in page.locator("#facts").inner_text()
        with visitor.opened(server.address) as late:
            _wait_for(140, late.page, player, seconds=2)
            assert late.complaints == []
        played = player._number
        play.click()
        page.get_by_role("button", name="Pause").wait_for()
        play.wait_for()
        assert player._number > played + 1, "played again"
        page.locator("#plane").fill("60")
        _wait_for(60, page, player)
        assert early.complaints == []
    with visitor.opened(server.address) as reopened:
        _wait_for(60, reopened.page, player, seconds=2)


def test_a_page_states_that_the_program_has_ended(server: LiveServer, visitor: Visitor) -> None:
    with visitor.opened(server.address) as visit:
        visit.page.get_by_role("button", name="Play").wait_for()
        server.player.stop()
        visit.page.get_by_text("The program has ended").wait_for()
