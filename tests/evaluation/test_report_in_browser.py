"""The page in Chromium: it works from a file, by hand and by keys, and its videos keep together."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tests.evaluation import report_sample as sample

from gencodec.evaluation.report import write_report
from gencodec.evaluation.results import Point

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_READY = "#stage[data-ready]"
_READ = """() => {
  const canvas = document.getElementById("picture");
  window.pen ??= new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
  const side = (x) => {
    let [number, tint] = [0, 0];
    for (let band = 0; band < 4; band += 1) {
      const y = (band + 0.5) / 4 * canvas.height;
      pen.drawImage(canvas, x * canvas.width, y, 1, 1, 0, 0, 1, 1);
      const level = pen.getImageData(0, 0, 1, 1).data[1];
      number = 2 * number + (level > 90);
      tint = Math.max(tint, level);
    }
    return { number, tint };
  };
  return { left: side(%s), right: side(%s), frame: Number(stage.dataset.frame) };
}"""
READ = _READ % (0.45, 0.55)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    found = next(filter(None, map(shutil.which, _NAMES)), None)
    if found is None:
        pytest.skip(f"needs a Chromium: none of {', '.join(_NAMES)} is on the PATH")
    playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=found)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> str:
    cache = sample.write_cache(tmp_path_factory.mktemp("report") / "cache")
    return write_report(sample.results(), cache, cache.parent / "out").as_uri()


@pytest.fixture(scope="module")
def opened(browser: Browser, address: str) -> Iterator[tuple[Page, list[str]]]:
    """The page, opened once from its file, and all it complains of or asks others for."""
    page = browser.new_page()
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda request: said.append(request.url))
    page.goto(address)
    page.wait_for_selector(_READY)
    page.evaluate("window.atFirst = { ...state }")
    yield page, said
    page.close()


@pytest.fixture
def page(opened: tuple[Page, list[str]]) -> Iterator[Page]:
    """The page as it is when opened; it may say nothing and ask nobody, whatever is done."""
    page, said = opened
    page.set_viewport_size({"width": 1000, "height": 900})
    page.emulate_media(media="screen", color_scheme="light")
    page.evaluate("player.seek(0); change(atFirst); document.activeElement.blur(); scrollTo(0, 0)")
    wait_for_frame(page, 0)
    yield page
    assert [each for each in said if not each.startswith(("file:", "blob:", "data:"))] == []


def show(page: Page, left: str, right: str) -> None:
    page.select_option("#left", left)
    page.select_option("#right", right)


def wait_for_frame(page: Page, number: int) -> dict[str, Any]:
    page.wait_for_selector(f'#stage[data-ready][data-frame="{number}"]')
    return read(page)


def read(page: Page, where: str = READ) -> dict[str, Any]:
    found: dict[str, Any] = page.evaluate(where)
    return found


def near(level: int, codec: str) -> bool:
    return abs(level - sample.TINTS[codec]) < 12


def test_the_slider_moves_by_pointer_and_by_keys(page: Page) -> None:
    show(page, "source", "x264")
    page.fill("#timeline", "15")
    assert wait_for_frame(page, 15)["frame"] == 15
    box = page.locator("#stage").bounding_box()
    handle = page.locator("#handle").bounding_box()
    assert box is not None
    assert handle is not None
    middle = handle["y"] + handle["height"] / 2
    page.mouse.move(handle["x"] + handle["width"] / 2, middle)
    page.mouse.down()
    page.mouse.move(box["x"] + 0.2 * box["width"], middle, steps=3)
    page.mouse.up()
    assert page.get_attribute("#handle", "aria-valuenow") == "20"
    both = read(page)
    assert near(both["left"]["tint"], "x264")  # the split has passed it
    page.focus("#handle")
    for key in ("End", "ArrowLeft", "PageDown"):
        page.keyboard.press(key)
    assert page.get_attribute("#handle", "aria-valuenow") == "89"
    assert near(read(page)["right"]["tint"], "source")
    assert "89 percent source" in (page.get_attribute("#handle", "aria-valuetext") or "")


@pytest.mark.parametrize("view", ["split", "side"])
def test_playing_videos_show_the_same_frame(page: Page, view: str) -> None:
    show(page, "gencodec", "x265-half")
    page.check(f'#views input[value="{view}"]', force=True)
    page.select_option("#pace", "0.5")
    page.click("#play")
    seen = page.evaluate(f"""async () => {{
      const read = {READ if view == "split" else _READ % (0.25, 0.75)};
      const seen = [];
      while (new Set(seen.map((both) => both.frame)).size < 6 && seen.length < 3000) {{
        await new Promise(requestAnimationFrame);
        seen.push(read());
      }}
      return seen;
    }}""")
    page.click("#play")
    assert len({both["frame"] for both in seen}) == 6
    for both in seen:
        assert both["left"]["number"] == both["right"]["number"] == both["frame"], both
        if both["frame"]:
            assert near(both["left"]["tint"], "gencodec")
            assert near(both["right"]["tint"], "x265-half")


def test_keys_step_frame_by_frame(page: Page) -> None:
    at = 0
    for key, by in ((".", 1), (".", 1), ("ArrowRight", 1), (",", -1), ("ArrowLeft", -1)):
        page.keyboard.press(key)
        at += by
        both = wait_for_frame(page, at)
        assert both["left"]["number"] == both["right"]["number"] == at
    assert page.inner_text("#counter") == "1 / 15"


def test_the_timeline_reaches_every_frame_in_any_order(page: Page) -> None:
    for number in (15, 3, 12, 0, 7, 8, 13, 1, 14, 2):
        page.fill("#timeline", str(number))
        both = wait_for_frame(page, number)
        assert both["left"]["number"] == both["right"]["number"] == number


def test_another_rate_or_clip_keeps_the_frame(page: Page) -> None:
    page.fill("#timeline", "6")
    wait_for_frame(page, 6)
    for change in ("2", "1"):
        page.keyboard.press(change)
        assert wait_for_frame(page, 6)["right"]["number"] == 6
    page.select_option("#clip", sample.CLIPS[1])
    assert wait_for_frame(page, 6)["left"]["number"] == 6


def test_a_failed_encoder_is_red_words_instead_of_a_picture(page: Page) -> None:
    show(page, "source", "x264")
    page.check('#targets input[value="0.01"]', force=True)
    page.wait_for_selector(_READY)
    assert page.inner_text("#right-absent") == f"x264 failed: {sample.ERROR}"
    assert sample.ERROR in page.inner_text("#failed + .scroll")
    assert "1 of 12 points failed" in page.inner_text("#failures")


def test_zoom_shows_whole_pixels_and_can_be_moved(page: Page) -> None:
    page.set_viewport_size({"width": 300, "height": 500})
    page.fill("#timeline", "1")
    wait_for_frame(page, 1)
    assert read(page)["right"]["number"] == 1  # the lowest band of four is on
    # not page.check: the page still moves after the change of size, and a pointer may miss
    page.locator('#zooms input[value="8"]').evaluate("input => input.click()")
    page.evaluate("document.activeElement.blur()")
    assert read(page)["right"]["number"] == 0  # the middle bands fill the stage
    for _ in range(5):
        page.keyboard.press("Shift+ArrowDown")
    assert read(page)["right"]["number"] != 0  # moved down to the lowest
    page.keyboard.press("z")
    assert page.is_checked('#zooms input[value="fit"]')
    assert read(page)["right"]["number"] == 1


def test_worst_frames_and_points_of_the_curves_lead_to_the_player(page: Page) -> None:
    page.click("#pair-details summary")
    page.click("#pair >> text=worst: 9")
    assert wait_for_frame(page, 9)["right"]["number"] == 9
    chart = page.locator("#charts svg").first
    chart.focus()
    for key in ("ArrowRight", "ArrowUp", "Enter"):
        page.keyboard.press(key)
    assert page.input_value("#right") == "x265-half"
    assert page.is_checked('#targets input[value="0.01"]')


def test_curves_and_tables_show_the_figures(page: Page) -> None:
    assert page.locator("#charts svg").count() == 3
    assert "gencodec 32.00 at 0.0101, 34.00 at 0.0202" in " ".join(
        page.locator("#charts svg").evaluate_all("all => all.map((each) => each.ariaLabel)")
    )
    assert "+25 %" in page.inner_text("#bd")
    page.check('#bd-scopes input[value="clip"]', force=True)
    assert "\N{MINUS SIGN}13 %" in page.inner_text("#bd")
    assert "31.00 to 34.00" in page.inner_text("#bd")
    page.select_option("#clip", sample.CLIPS[1])
    assert "no overlap" in page.inner_text("#bd")
    assert "8.00" in page.inner_text("#speeds")
    assert "DISTS: its weights are not here" in page.inner_text("#method")


def test_the_legend_hides_a_codec(page: Page) -> None:
    lines = page.locator("#charts polyline")
    before = lines.count()
    page.click("#legend button:nth-child(2)")
    assert page.get_attribute("#legend button:nth-child(2)", "aria-pressed") == "false"
    assert lines.count() == before - 3


def test_every_control_is_reached_by_tab_and_has_a_name(page: Page) -> None:
    names = page.evaluate("""() => [...document.querySelectorAll(
        "button, select, input, summary, [tabindex='0']")]
      .filter((each) => each.checkVisibility())
      .map((each) => each.ariaLabel || each.textContent || each.labels?.[0]?.textContent
        || each.labels?.length || "")""")
    assert all(names)
    seen = set()
    page.focus(".skip")
    for _ in range(20):
        page.keyboard.press("Tab")
        seen.add(page.evaluate("document.activeElement.id || document.activeElement.name"))
    assert {"clip", "targets", "left", "handle", "play", "timeline"} <= seen


@pytest.mark.parametrize("points", ["failed", "none"])
def test_a_benchmark_that_failed_altogether_still_says_so(
    browser: Browser, points: str, tmp_path: Path
) -> None:
    whole = sample.results()
    failed = tuple(
        Point(clip=p.clip, codec=p.codec, target_bpp=p.target_bpp, error=sample.ERROR)
        for p in (whole.points if points == "failed" else ())
    )
    results = replace(whole, points=failed, metrics=(), bd_rates=(), speed=())
    page = browser.new_page()
    said: list[str] = []
    page.on("pageerror", lambda error: said.append(str(error)))
    page.goto(write_report(results, tmp_path, tmp_path / "out").as_uri())
    if points == "failed":
        assert page.inner_text("#left-absent") == "there is no video of source at this rate"
        assert page.inner_text("#right-absent") == f"gencodec failed: {sample.ERROR}"
        assert "12 of 12 points failed" in page.inner_text("#failures")
    assert page.is_visible("#method")
    assert not page.is_visible("#savings")
    page.close()
    assert said == []


def test_dark_and_light_follow_the_system(page: Page) -> None:
    colours = []
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        colours.append(page.evaluate("getComputedStyle(document.body).backgroundColor"))
    assert colours == ["rgb(247, 246, 243)", "rgb(18, 20, 23)"]


def test_paper_shows_curves_and_filmstrips_of_every_clip(page: Page, tmp_path: Path) -> None:
    page.emulate_media(media="print")
    assert not page.is_visible("#watch")
    assert page.locator(".print section").count() == len(sample.CLIPS)
    strips = page.locator(".print .strip img")
    assert strips.count() == len(sample.CLIPS) * (1 + len(sample.CODECS))
    assert strips.evaluate_all("all => all.every((each) => each.naturalWidth > 0)")
    assert page.is_visible(".print svg >> nth=0")


def test_a_narrow_window_needs_no_sideways_scrolling(page: Page) -> None:
    page.set_viewport_size({"width": 360, "height": 740})
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
