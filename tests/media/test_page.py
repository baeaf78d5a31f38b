"""Tests of HTML pages: well formed, self-contained, escaped texts."""

import base64
import hashlib
import io
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from spike_zoo.errors import MissingFileError
from spike_zoo.media import save_video
from spike_zoo.media.images import to_bytes
from spike_zoo.media.page import Page, render_page, write_page
from spike_zoo.media.viewer import Layer, Viewer, image_source
from tests.helpers.pages import page_data

IMAGE = np.linspace(0, 1, 20 * 30).reshape(20, 30)
VOID = {"meta", "link", "img", "input"}


class Outline(HTMLParser):
    """Collect elements and texts; check that elements are closed in order."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.open: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if data.strip():
            self.texts.append(data.strip())

    def attributes(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


def _layers(html: str) -> list[dict[str, Any]]:
    return [layer for viewer in page_data(html) for layer in viewer.get("layers", [])]


def _comparison(names: tuple[str, str], caption: str = "") -> Viewer:
    layers = tuple(
        Layer.of(name, [image]) for name, image in zip(names, (IMAGE, 1 - IMAGE), strict=True)
    )
    return Viewer("a comparison", layers, (caption,), (30, 20), caption=caption)


@pytest.fixture
def full_page(tmp_path: Path) -> Page:
    save_video([IMAGE] * 3, tmp_path / "a b.mp4")
    page = Page("Title", "what it is")
    page.add_section("First", "a text")
    page.add_text("more")
    page.add_viewer(_comparison(("spikes", "image"), "one plane"))
    page.add_legend(IMAGE, "what grey means")
    page.add_video(tmp_path / "a b.mp4", "moving")
    page.add_table(["", "PSNR"], [["ours", "**30.00**"], ["theirs", 29]], notes=["n = 3"])
    return page


def test_a_page_with_all_elements_is_well_formed_and_self_contained(full_page: Page) -> None:
    html = render_page(full_page)
    outline = Outline(html)
    assert outline.open == []
    sources = [a["src"] or "" for tag in ("img", "video") for a in outline.attributes(tag)]
    sources += [image for layer in _layers(html) for image in layer["images"]]
    assert len(sources) == 4
    sources += [str(video["poster"]) for video in outline.attributes("video")]
    assert all(source.startswith("data:") for source in sources)
    assert not any(a.get("src") or a.get("href") != "data:," for a in outline.attributes("link"))
    assert all("src" not in a for a in outline.attributes("script"))


def test_the_content_security_policy_allows_only_the_style_and_script_of_the_page(
    full_page: Page,
) -> None:
    html = render_page(full_page)
    (policy,) = [
        a["content"] or ""
        for a in Outline(html).attributes("meta")
        if a.get("http-equiv") == "Content-Security-Policy"
    ]
    rules = dict(rule.split(" ", 1) for rule in policy.split("; "))
    assert rules["default-src"] == "'none'", "nothing may be fetched"
    assert rules["img-src"] == "data:"
    for rule, element in (("style-src", "style"), ("script-src", "script")):
        (text,) = re.findall(rf"<{element}>(.*?)</{element}>", html, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert rules[rule] == f"'sha256-{digest}'"


def test_a_page_without_viewers_has_no_script() -> None:
    html = render_page(Page("t"))
    assert "<script" not in html
    assert "script-src &#39;none&#39;" in html


def test_images_in_a_page_equal_the_given_images(full_page: Page) -> None:
    html = render_page(full_page)
    sources = [layer["images"][0] for layer in _layers(html)]
    sources += [a["src"] or "" for a in Outline(html).attributes("img")]
    for source, expected in zip(sources, [IMAGE, 1 - IMAGE, IMAGE], strict=True):
        content = base64.b64decode(source.removeprefix("data:image/png;base64,"))
        pixels = np.asarray(Image.open(io.BytesIO(content)))
        np.testing.assert_array_equal(pixels, to_bytes(expected))


def test_texts_are_escaped() -> None:
    attack = "<img src=x onerror=alert(1)>\"'&"
    page = Page(attack, attack)
    page.add_section(attack, attack)
    page.add_viewer(_comparison((attack, attack), attack))
    page.add_table([attack], [[f"**{attack}**"]], caption=attack, notes=[attack])
    page.add_facts([(attack, attack)])
    page.add_legend(IMAGE, attack)
    html = render_page(page)
    outline = Outline(html)
    assert all(a["src"] != "x" for a in outline.attributes("img"))
    assert outline.texts.count(attack) == 13
    assert outline.open == []
    assert [layer["name"] for layer in _layers(html)] == [attack, attack]


def test_a_name_that_is_not_utf_8_is_escaped(tmp_path: Path) -> None:
    write_page(Page("caf\udce9"), tmp_path / "page.html")
    assert r"caf\udce9" in (tmp_path / "page.html").read_text(encoding="utf-8")


def test_a_script_tag_in_a_name_does_not_end_the_data_block() -> None:
    page = Page("t")
    name = "</script><script>alert(1)</script><!--\u2028"
    page.add_viewer(_comparison((name, "b")))
    html = render_page(page)
    assert html.count("<script") == 2
    assert _layers(html)[0]["name"] == name


def test_two_stars_around_a_cell_make_it_bold() -> None:
    page = Page("t")
    page.add_table(["", "a"], [["x", "**1.5**"], ["**", "2 ** 3"]])
    html = render_page(page)
    assert "<strong>1.5</strong>" in html
    assert "<td>2 ** 3</td>" in html


def test_writing_a_page_again_replaces_it(tmp_path: Path) -> None:
    write_page(Page("first"), tmp_path / "a.html")
    write_page(Page("second"), tmp_path / "a.html")
    assert "second" in (tmp_path / "a.html").read_text(encoding="utf-8")
    assert len(list(tmp_path.iterdir())) == 1


def test_missing_files_and_invalid_content_are_rejected(tmp_path: Path) -> None:
    page = Page("t")
    with pytest.raises(MissingFileError, match=r"none\.png"):
        image_source(tmp_path / "none.png")
    with pytest.raises(ValueError, match=r"a\.gif: a page shows \.png"):
        image_source(tmp_path / "a.gif")
    with pytest.raises(ValueError, match="1 cells under 2 headings"):
        page.add_table(["a", "b"], [["x"]])
