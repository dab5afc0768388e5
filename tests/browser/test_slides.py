"""A deck in a real browser without a network: nothing is cut off, nothing is small, and only files are opened."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from notebook_cells import find, read

from course_lib.workshop.slides import write_slides

if TYPE_CHECKING:
    from playwright.sync_api import Browser

# What is wrong with the slide that is shown. Sizes are those at 1280 x 720 pixels.
FAULTS = """async () => {
    const slide = Reveal.getCurrentSlide(), edge = slide.getBoundingClientRect(), faults = [];
    await Promise.all([...slide.querySelectorAll('img')].map(image => image.decode()));
    for (const one of slide.querySelectorAll(':not(aside *, style, math *)')) {
        const style = getComputedStyle(one), box = one.getBoundingClientRect();
        if (!box.width) continue;
        if (box.right > edge.right || box.bottom > edge.bottom) faults.push(`${one.tagName} leaves the slide`);
        if (one.clientWidth && one.scrollWidth > one.clientWidth + 1) faults.push(`${one.tagName} is cut`);
        if (one.tagName === 'PRE' && parseFloat(style.fontSize) < 20) faults.push('small code');
        if (one.matches('p, li') && parseFloat(style.fontSize) < 28) faults.push('small text');
        if (one.tagName === 'IMG' && (box.height < 200 || !one.alt)) faults.push('a picture is small or not described');
    }
    return faults.map(fault => `${slide.querySelector('h1, h2').textContent}: ${fault}`);
}"""


def test_every_slide_of_a_deck_fits_and_needs_no_network(browser: Browser, tmp_path: Path) -> None:
    deck = write_slides(read(find()[8]), "08", tmp_path)
    context = browser.new_context(viewport={"width": 1280, "height": 720}, offline=True)
    page, requests, complaints = context.new_page(), list[str](), list[str]()
    page.on("request", lambda request: requests.append(request.url))
    page.on("requestfailed", lambda request: complaints.append(request.url))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(deck.as_uri())
    page.wait_for_function("window.Reveal?.isReady()")
    faults, slides = [], page.evaluate("Reveal.getTotalSlides()")
    for number in range(slides):
        page.wait_for_function(f"Reveal.getSlidePastCount() === {number}")
        while page.evaluate("Reveal.availableFragments().next"):
            page.keyboard.press("ArrowRight")
        faults += page.evaluate(FAULTS)
        page.keyboard.press("ArrowRight")
    assert faults == [] and complaints == []
    assert all(url.startswith(("data:", tmp_path.as_uri())) for url in requests)
    with page.expect_popup() as popup:
        page.keyboard.press("s")
    popup.value.locator(".speaker-controls-notes:visible").wait_for()
    context.close()
