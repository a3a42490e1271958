"""Uses the page of a run as people do, in a real browser: it must do what it says, alone and quickly.

Usage: page.py CHROMIUM APPORTION [FOLDER]; FOLDER keeps screenshots, light, dark, narrow and in print.
Every check is a function whose name says what holds. Nothing is mocked: the binary makes the pages,
the browser opens them from the disk.
"""

import csv
import io
import json
import subprocess
import sys
import tempfile
import time
import traceback
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

CHROMIUM, APPORTION = sys.argv[1], str(Path(sys.argv[2]).resolve())
SCREENSHOTS = Path(sys.argv[3]) if len(sys.argv) > 3 and sys.argv[3] else None
SHOP = ["--config", "datasets/shop/apportion.toml"]
SPEND = ["--spend", "datasets/shop/spend.parquet"]
EVIL = "=HYPERLINK(\"x\")<img src=x onerror=alert(1)>"


def apportion(*arguments: str) -> str:
    return subprocess.run([APPORTION, *arguments, "--quiet"], check=True, text=True, capture_output=True).stdout


class Browser:
    """A browser that notes what goes wrong on every page that it opens."""

    def __init__(self, browser):
        self.browser = browser

    @contextmanager
    def page(self, path: Path, **context):
        opened = self.browser.new_context(accept_downloads=True, **context)
        page = opened.new_page()
        page.complaints, page.requests = [], []
        page.on("console", lambda message: page.complaints.append(message.text) if message.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: page.complaints.append(str(error)))
        page.on("request", lambda request: page.requests.append(request.url))
        page.goto(path.as_uri())
        yield page
        assert not page.complaints, page.complaints
        outside = [url for url in page.requests if not url.startswith(("file:", "blob:"))]
        assert not outside, outside
        opened.close()


def column(page: Page, table: int, at: int) -> list[str]:
    rows = page.locator(f"#table-{table} tbody tr:not(.rest):not(.total):visible")
    return rows.evaluate_all("(rows, at) => rows.map((row) => row.cells[at].dataset.value ?? row.cells[at].textContent)", at)


def scrolls_sideways(page: Page) -> bool:
    return page.evaluate("document.documentElement.scrollWidth > innerWidth")


def saved(page: Page, table: int) -> list[list[str]]:
    with page.expect_download() as download:
        page.locator(f"#table-{table} .tools button").click()
    text = Path(download.value.path()).read_text(encoding="utf-8-sig")
    return list(csv.reader(io.StringIO(text)))


def it_opens_without_a_complaint_and_asks_for_nothing(browser, pages):
    with browser.page(pages["shop"]) as page:
        assert page.title() == "Attribution report"
        assert page.locator("section h2").count() > 8
        assert page.locator("figure svg.wide").first.is_visible()
        assert len(page.requests) == 1, page.requests


def its_figures_are_those_of_the_report(browser, pages):
    report = json.loads(apportion("run", *SHOP, *SPEND, "--by", "channel", "--format", "json"))
    owed = {(row["model"], row["channel"]): row["amount"] for row in report}
    models = list(dict.fromkeys(model for model, _ in owed))
    with browser.page(pages["shop"]) as page:
        names = column(page, 1, 0)
        for place, model in enumerate(models):
            shown = dict(zip(names, column(page, 1, 1 + 2 * place)))
            assert shown == {channel: amount for (of, channel), amount in owed.items() if of == model}, model
        # Over time and by path they add up to the same.
        total = page.locator("#table-1 tbody tr.total td").first.get_attribute("data-value")
        for caption in ("By month", "Paths, those of most orders"):
            table = page.locator(f"table:has(caption:has-text('{caption}'))")
            values = table.locator("tr.total td").evaluate_all("(cells) => cells.map((cell) => cell.dataset.value)")
            assert total in values, (caption, total, values)


def a_table_sorts_by_every_column_and_keeps_its_total_below(browser, pages):
    with browser.page(pages["shop"]) as page:
        heads = page.locator("#table-1 thead button")
        for at in range(heads.count()):
            for direction in ("first", "other"):
                heads.nth(at).click()
                values = column(page, 1, at)
                if at:
                    values = [float(value) for value in values]
                    expected = sorted(values, reverse=direction == "first")
                else:
                    values = [value.lower() for value in values]
                    expected = sorted(values, reverse=direction == "other")
                    expected = values if set(values) == set(expected) else expected
                assert values == expected, (at, direction, values)
                assert page.locator("#table-1 tbody tr").last.get_attribute("class") == "total"
        assert page.locator("#table-1 th[aria-sort]").count() == 1


def a_table_filters_by_every_word(browser, pages):
    with browser.page(pages["shop"]) as page:
        before = len(column(page, 1, 0))
        page.locator("#table-1 .tools input").fill("organic SEARCH")
        assert column(page, 1, 0) == ["Organic Search"]
        assert page.locator("#table-1 .tools output").inner_text() == f"1 of {before} rows"
        page.locator("#table-1 .tools input").fill("")
        assert len(column(page, 1, 0)) == before


def a_table_is_taken_along_as_csv_as_it_is_shown(browser, pages):
    with browser.page(pages["shop"]) as page:
        page.locator("#table-1 .tools input").fill("paid")
        page.locator("#table-1 thead button").nth(0).click()
        rows = saved(page, 1)
        assert [row[0] for row in rows[1:]] == column(page, 1, 0)
        assert all(len(row) == len(rows[0]) for row in rows)
        # Figures as programs read them.
        assert [row[1] for row in rows[1:]] == column(page, 1, 1)
        assert not any("," in row[1] for row in rows)


def what_is_named_by_strangers_stays_text(browser, pages):
    with browser.page(pages["evil"]) as page:
        names = column(page, 1, 0)
        assert f"{EVIL} / none" in names, names
        assert page.locator("img").count() == 0
        assert f"'{EVIL} / none" in [row[0] for row in saved(page, 1)]


def the_theme_follows_the_system_and_the_button(browser, pages):
    background = "getComputedStyle(document.body).backgroundColor"
    letters = "getComputedStyle(document.querySelector('svg.wide text')).fill"
    seen = {}
    for scheme in ("light", "dark"):
        with browser.page(pages["shop"], color_scheme=scheme) as page:
            seen[scheme] = (page.evaluate(background), page.evaluate(letters))
            page.locator("button.theme").click()
            seen[f"{scheme} turned"] = (page.evaluate(background), page.evaluate(letters))
            page.reload()
            assert (page.evaluate(background), page.evaluate(letters)) == seen[f"{scheme} turned"]
    assert seen["light"] == seen["dark turned"] and seen["dark"] == seen["light turned"], seen
    assert seen["light"][0] != seen["dark"][0] and seen["light"][1] != seen["dark"][1], seen


def letters_stand_out_in_both_themes(browser, pages):
    contrast = """() => {
        const channel = (value) => (value /= 255) <= 0.03928 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
        const light = (text) => { const [r, g, b] = text.match(/[\\d.]+/g).map(Number).map(channel); return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
        const ground = light(getComputedStyle(document.body).backgroundColor);
        const ratio = (text) => { const one = light(text); return (Math.max(one, ground) + 0.05) / (Math.min(one, ground) + 0.05); };
        const letters = [...document.querySelectorAll("h1, p, dt, dd, th, td, nav a, caption")].map((one) => [one.textContent, ratio(getComputedStyle(one).color)]);
        const drawn = [...document.querySelectorAll("svg.wide text")].map((one) => [one.textContent, ratio(getComputedStyle(one).fill)]);
        return [...letters, ...drawn].filter(([, ratio]) => ratio < 4.5).slice(0, 5);
    }"""
    for scheme in ("light", "dark"):
        with browser.page(pages["shop"], color_scheme=scheme) as page:
            faint = page.evaluate(contrast)
            assert not faint, (scheme, faint)


def a_narrow_screen_does_not_scroll_sideways(browser, pages):
    for name in ("shop", "compared", "evil", "table"):
        for width in (320, 390):
            with browser.page(pages[name], viewport={"width": width, "height": 844}) as page:
                assert not scrolls_sideways(page), (name, width)
                if name == "shop":
                    assert page.locator("svg.narrow").first.is_visible()
                    assert not page.locator("svg.wide").first.is_visible()


def everything_is_reached_by_keyboard(browser, pages):
    with browser.page(pages["shop"]) as page:
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.textContent") == "Skip to the figures"
        page.keyboard.press("Enter")
        assert page.evaluate("document.activeElement.id") == "main"
        # The first thing after it is the name of a figure, which explains itself.
        page.keyboard.press("Tab")
        assert page.locator("#tip").is_visible()
        assert "worth" in page.locator("#tip").inner_text()
        page.keyboard.press("Escape")
        assert not page.locator("#tip").is_visible()
        page.locator("#table-1 thead button").nth(1).focus()
        assert page.locator("#tip").is_visible()
        page.keyboard.press("Enter")
        assert page.locator("#table-1 th[aria-sort='descending']").count() == 1
        assert "sorted by" in page.locator("#said").inner_text()


def a_figure_explains_itself_where_it_is_pointed_at(browser, pages):
    with browser.page(pages["shop"]) as page:
        page.locator("#table-1 thead button").nth(1).hover()
        assert "adds up" in page.locator("#tip").inner_text() or "add up" in page.locator("#tip").inner_text()


def a_screen_reader_finds_its_way(browser, pages):
    with browser.page(pages["compared"]) as page:
        assert page.evaluate("document.documentElement.lang") == "en"
        for landmark in ("header", "nav", "main", "footer"):
            assert page.locator(landmark).count() == 1, landmark
        assert page.locator("h1").count() == 1
        ids = page.evaluate("[...document.querySelectorAll('[id]')].map((one) => one.id)")
        assert len(ids) == len(set(ids)), "an id stands twice"
        dangling = page.evaluate("""() => [...document.querySelectorAll('[aria-describedby], [aria-labelledby]')]
            .flatMap((one) => [one.getAttribute('aria-describedby'), one.getAttribute('aria-labelledby')])
            .filter((id) => id !== null && document.getElementById(id) === null)""")
        assert not dangling, dangling
        for svg in page.locator("svg").all():
            assert svg.get_attribute("role") == "img"
            assert svg.locator("title").count() == 1 and svg.locator("desc").count() == 1
        assert page.locator("table:not(:has(caption))").count() == 0
        assert page.locator("thead th:not([scope=col]), tbody th:not([scope=row])").count() == 0
        links = page.evaluate("[...document.querySelectorAll('a[href^=\"#\"]')].map((one) => one.getAttribute('href').slice(1))")
        assert set(links) <= set(ids), set(links) - set(ids)


def a_comparison_shows_what_changed(browser, pages):
    with browser.page(pages["compared"]) as page:
        assert "compared with" in page.locator(".facts").inner_text()
        assert page.locator(".figures .change").count() >= 3
        assert page.locator("#changes table").count() == 1
        # Intervals stand beside the amounts of models.
        heads = page.locator("#table-1 thead button").all_inner_texts()
        assert any(head.endswith(" low") for head in heads), heads


def on_paper_every_row_is_there_and_no_button(browser, pages):
    with browser.page(pages["shop"], color_scheme="dark") as page:
        page.emulate_media(media="print")
        assert not page.locator(".tools").first.is_visible()
        assert not page.locator("button.theme").is_visible()
        assert page.evaluate("getComputedStyle(document.querySelector('.scroll')).maxHeight") == "none"


def a_hundred_thousand_lines_are_a_page_that_opens_and_sorts_quickly(browser, pages):
    started = time.monotonic()
    with browser.page(pages["large"]) as page:
        opened = time.monotonic() - started
        assert opened < 5, f"opened in {opened:.1f} s"
        rest = page.locator("#table-1 tbody tr.rest th").inner_text()
        assert rest.startswith("(other)") and "more" in rest, rest
        # Not all lines are rows, and the total is that of all.
        assert page.locator("tbody tr").count() < 3000
        assert page.locator("#table-1 tbody tr.total td").first.get_attribute("data-value") == "10000000.00"
        started = time.monotonic()
        page.locator("#table-1 thead button").nth(1).click()
        page.locator("#table-1 .tools input").fill("source")
        assert time.monotonic() - started < 1, "sorting and filtering took more than a second"
    size = pages["large"].stat().st_size
    assert size < 5_000_000, size


def a_table_of_another_command_is_a_page_too(browser, pages):
    with browser.page(pages["table"]) as page:
        assert page.locator("table").count() == 1
        before = len(column(page, 1, 0))
        page.locator("#table-1 .tools input").fill("email")
        assert 0 < len(column(page, 1, 0)) < before


def make_pages(folder: Path) -> dict[str, Path]:
    pages = {name: folder / f"{name}.html" for name in ("shop", "compared", "evil", "large", "table")}
    apportion("report", *SHOP, *SPEND, "-o", str(pages["shop"]))
    apportion("report", *SHOP, "--from", "2025-04-01", "--to", "2025-06-30", "--compare", "previous_period",
              "--bootstrap", "100", "-o", str(pages["compared"]))
    apportion("effects", *SHOP, "--model", "markov", "--format", "html", "-o", str(pages["table"]))

    def items(name: str, sources) -> str:
        path = folder / f"{name}.ndjson"
        with path.open("w") as file:
            for at, source in enumerate(sources):
                user = {"external_id": f"u{at}"}
                session = {"external_id": f"s{at}", "created_at": "2025-03-01T10:00:00Z", "utm_source": source}
                order = {"external_id": f"o{at}", "created_at": "2025-03-01T11:00:00Z", "subtotal_price": 100, "currency": "EUR"}
                for kind, item in (("session", session), ("order", order)):
                    file.write(json.dumps({"kind": kind, "user": user, kind: item}) + "\n")
        return str(path)

    of = ["--by", "utm_source,utm_medium", "--currency", "EUR", "--as-of", "2026-01-01T00:00:00Z"]
    evil = items("evil", [EVIL, "a, \"b\"", "w" * 300, "email"])
    apportion("report", "--items", evil, *of, "-o", str(pages["evil"]))
    large = items("large", (f"source {at}" for at in range(100_000)))
    apportion("run", "--items", large, *of, "--model", "last_click,linear", "-o", str(pages["large"]))
    return pages


def keep_screenshots(browser, pages):
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    looks = {
        "light": {"color_scheme": "light"},
        "dark": {"color_scheme": "dark"},
        "narrow": {"viewport": {"width": 390, "height": 844}},
    }
    for name in ("shop", "compared", "large"):
        for look, context in looks.items():
            with browser.page(pages[name], **{"viewport": {"width": 1180, "height": 900}, **context}) as page:
                page.screenshot(path=SCREENSHOTS / f"{name}-{look}.png", full_page=True)
    with browser.page(pages["shop"]) as page:
        page.pdf(path=SCREENSHOTS / "shop-print.pdf", format="A4")
    with browser.page(pages["shop"], viewport={"width": 1180, "height": 1320}) as page:
        page.screenshot(path=SCREENSHOTS / "readme.png")


CHECKS = [
    it_opens_without_a_complaint_and_asks_for_nothing,
    its_figures_are_those_of_the_report,
    a_table_sorts_by_every_column_and_keeps_its_total_below,
    a_table_filters_by_every_word,
    a_table_is_taken_along_as_csv_as_it_is_shown,
    what_is_named_by_strangers_stays_text,
    the_theme_follows_the_system_and_the_button,
    letters_stand_out_in_both_themes,
    a_narrow_screen_does_not_scroll_sideways,
    everything_is_reached_by_keyboard,
    a_figure_explains_itself_where_it_is_pointed_at,
    a_screen_reader_finds_its_way,
    a_comparison_shows_what_changed,
    on_paper_every_row_is_there_and_no_button,
    a_hundred_thousand_lines_are_a_page_that_opens_and_sorts_quickly,
    a_table_of_another_command_is_a_page_too,
]


def main() -> int:
    failed = 0
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as driver:
        pages = make_pages(Path(folder))
        # Root in a container has no sandbox to put a browser into.
        chromium = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        browser = Browser(chromium)
        for check in CHECKS:
            name = check.__name__.replace("_", " ")
            try:
                check(browser, pages)
                print(f"ok      {name}")
            except Exception:
                failed += 1
                print(f"FAILED  {name}")
                traceback.print_exc(file=sys.stdout)
        if SCREENSHOTS:
            keep_screenshots(browser, pages)
        chromium.close()
    print(f"{len(CHECKS) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
