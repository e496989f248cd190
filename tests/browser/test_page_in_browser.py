"""The page in a real browser: no error, no request, pictures seen, nothing wider than the screen."""

import sys
from pathlib import Path

import pytest

CHROMIUM = Path("/usr/bin/chromium")
if not CHROMIUM.exists():
    pytest.skip("Chromium is missing: `make system-deps` installs it", allow_module_level=True)
sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is missing: it drives Chromium")

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "unit" / "report"))
import tree  # noqa: E402 - stands in the folder of the unit tests

from omnirl.report import run, summary  # noqa: E402
from omnirl.schema import layout  # noqa: E402

WIDTHS = (1280, 390)
VERDICTS = ("promote", "hold", "reject", "refuse")
HOSTILE = "<img src=http://127.0.0.1:9/x onerror=alert(1)><script>alert(1)</script>" + "x" * 300


@pytest.fixture(scope="module")
def browser():
    with sync_api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox"])
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def pages(tmp_path_factory) -> dict[str, Path]:
    """One page for each verdict, one of a run, one whose data is hostile and has very long words."""
    found = {}
    for name in (*VERDICTS, "hostile"):
        root = tmp_path_factory.mktemp(name)
        options = {"hostile": HOSTILE} if name == "hostile" else {"verdict": name}
        params = tree.build(root, **options)
        run.run(params, root)
        found[name] = root / layout.PAGE
        if name == "promote":
            summary.write(params, root, champion="tiny-vl@v0.0.2", run_id=tree.RUN_ID)
            found["run"] = root / layout.RUNS / tree.RUN_ID / "page.html"
    return found


@pytest.fixture
def visit(browser, pages):
    """Open a page at a width; returns it with what it complained about and asked for."""
    contexts = []

    def open_page(name: str, width: int, scheme: str = "light"):
        context = browser.new_context(viewport={"width": width, "height": 844}, color_scheme=scheme)
        contexts.append(context)
        page, complaints, requests = context.new_page(), [], []
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("dialog", lambda dialog: (complaints.append(dialog.message), dialog.dismiss()))
        page.on("request", lambda request: requests.append(request.url))
        page.goto(pages[name].as_uri())
        page.wait_for_load_state("load")
        return page, complaints, [url for url in requests if not url.startswith("data:")]

    yield open_page
    for context in contexts:
        context.close()


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", [*VERDICTS, "run", "hostile"])
def test_the_page_opens_quietly_and_fits_the_screen(visit, pages, name, width):
    page, complaints, requests = visit(name, width)
    page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert complaints == []
    assert requests == [pages[name].as_uri()]


@pytest.mark.parametrize("name", VERDICTS)
def test_the_verdict_is_seen_without_scrolling_on_a_telephone(visit, name):
    page, _, _ = visit(name, 390)
    heading = page.get_by_role("heading", name=f"Verdict: {name.capitalize()}")
    assert heading.is_visible()
    assert heading.bounding_box()["y"] < 844
    assert page.get_by_text(f"the reason for {name}", exact=True).is_visible()


def test_every_picture_is_decoded_and_its_boxes_lie_on_it(visit):
    page, _, _ = visit("promote", 1280)
    widths = page.evaluate("Array.from(document.images, i => i.naturalWidth)")
    assert len(widths) >= 12
    assert min(widths) > 0
    shot = page.locator(".shot:has(svg rect.truth)").first
    picture, box = shot.locator("img").bounding_box(), shot.locator("rect.truth").bounding_box()
    expected = picture["x"] + picture["width"] * tree.BOX[0] / tree.SIZE.width
    assert box["x"] == pytest.approx(expected, abs=4)
    assert box["width"] == pytest.approx(picture["width"] / 3, abs=6)


CONTRAST = """() => {
  const parse = text => text.match(/[\\d.]+/g).map(Number);
  const light = rgb => {
    const [r, g, b] = rgb.slice(0, 3).map(v => { v /= 255; return v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4; });
    return .2126 * r + .7152 * g + .0722 * b;
  };
  const behind = node => {
    for (; node; node = node.parentElement) {
      const color = parse(getComputedStyle(node).backgroundColor);
      if (color.length < 4 || color[3] === 1) return color;
    }
    return [255, 255, 255];
  };
  const low = [];
  for (const node of document.querySelectorAll('h1, h2, h3, p, li, dt, dd, th, td, caption, small, summary, a, .chip, .big')) {
    if (!node.innerText || !node.innerText.trim() || node.className === 'skip') continue;
    const a = light(parse(getComputedStyle(node).color)), b = light(behind(node));
    const ratio = (Math.max(a, b) + .05) / (Math.min(a, b) + .05);
    if (ratio < 4.5) low.push(`${node.tagName} ${ratio.toFixed(2)} ${node.innerText.slice(0, 40)}`);
  }
  return low;
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", VERDICTS)
def test_every_text_has_enough_contrast(visit, name, scheme):
    """WCAG 2.1, 1.4.3: at least 4.5 to 1."""
    page, _, _ = visit(name, 1280, scheme)
    page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
    assert page.evaluate(CONTRAST) == []
