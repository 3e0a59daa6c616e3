"""The report in a real browser: chosen, read, printed, by keyboard, on a phone, in the dark.

Chromium is driven by its own protocol over a websocket; `apt-get install chromium`, or leave
these tests out with `-m "not slow"`.
"""

import itertools
import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from test_report import NAMES, made, told
from websockets.sync.client import ClientConnection, connect

from cxnlp.report import write_report

pytestmark = pytest.mark.slow
WIDTHS = (390, 820, 1440)
# Ratio of the WCAG between each text that is shown and what lies behind it.
CONTRAST = """
(() => {
  const rgba = (c) => { const m = c.match(/[\\d.]+/g).map(Number); return c.startsWith("color(")
    ? [m[0] * 255, m[1] * 255, m[2] * 255, m[3] ?? 1] : [m[0], m[1], m[2], m[3] ?? 1]; };
  const over = (top, under) => top.slice(0, 3).map((v, i) => v * top[3] + under[i] * (1 - top[3]));
  const light = (c) => { const [r, g, b] = c.map((v) => { v /= 255;
    return v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4; });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
  const behind = (e) => { const layers = [];
    for (let n = e; n; n = n.parentElement) layers.push(rgba(getComputedStyle(n).backgroundColor));
    return layers.reverse().reduce((under, top) => over(top, under), [255, 255, 255]); };
  const bad = [];
  for (const e of document.querySelectorAll("body *")) {
    const own = [...e.childNodes].some((n) => n.nodeType === 3 && n.data.trim());
    if (!own || !e.checkVisibility() || e.closest(".unseen, script")) continue;
    const style = getComputedStyle(e), back = behind(e);
    const front = over(rgba(e.closest("svg") ? style.fill : style.color), back);
    const [a, b] = [light(front), light(back)].sort((x, y) => y - x);
    const ratio = (a + 0.05) / (b + 0.05);
    const large = parseFloat(style.fontSize) >= 24;
    if (ratio < (large ? 3 : 4.5)) bad.push(ratio.toFixed(2) + " " + e.textContent.trim());
  }
  return bad;
})()
"""


class Browser:
    """One page of a headless Chromium, and all that it said or asked for."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket, self._number, self._session = socket, itertools.count(1), ""
        self.events: list[dict[str, Any]] = []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        attached = self.call("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        number = next(self._number)
        message = {"id": number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        self._socket.send(json.dumps(message))
        while (answer := json.loads(self._socket.recv(timeout=60))).get("id") != number:
            self.events.append(answer)
        assert "error" not in answer, answer
        found: dict[str, Any] = answer["result"]
        return found

    def ask(self, expression: str) -> Any:
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def open(self, path: Path, width: int = 1280, *, dark: bool = False) -> None:
        self.events.clear()
        scheme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        self.call("Emulation.setEmulatedMedia", media="", features=scheme)
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1,
            mobile=width < 600,
        )  # fmt: skip
        self.call("Page.navigate", url=path.as_uri())
        for _ in range(600):
            if self.ask("location.href + document.readyState") == f"{path.as_uri()}complete":
                return
            time.sleep(0.05)
        pytest.fail(f"{path} did not load within 30 seconds")

    def press(self, key: str, code: int) -> None:
        for kind in ("keyDown", "keyUp"):
            text = {"text": "\r"} if key == "Enter" and kind == "keyDown" else {}
            self.call("Input.dispatchKeyEvent", type=kind, key=key, windowsVirtualKeyCode=code,
                      **text)  # fmt: skip

    def choose(self, name: str, value: str) -> None:
        self.ask(
            f"(() => {{ const list = document.getElementById({json.dumps(name)});"
            f" list.value = {json.dumps(value)};"
            " list.dispatchEvent(new Event('change', {bubbles: true})); })()"
        )

    def shown(self) -> str:
        text = self.ask("document.querySelector('section.screen:not([hidden])')?.innerText ?? ''")
        return str(text).replace("\u202f", " ").replace("\xa0", " ")


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = made(tmp_path_factory.mktemp("seen") / "w", *told())
    return Path(write_report(place, NAMES, None))


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    program = next(filter(None, map(shutil.which, ("chromium", "chromium-browser",
                                                   "google-chrome"))), None)  # fmt: skip
    if program is None:
        pytest.fail("no chromium: apt-get install chromium, or leave out with -m 'not slow'")
    folder = tmp_path_factory.mktemp("chromium")
    process = subprocess.Popen(
        [program, "--headless", "--no-sandbox", "--disable-gpu", "--remote-debugging-port=0",
         f"--user-data-dir={folder}", "about:blank"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        port, path = _address(folder / "DevToolsActivePort")
        with connect(f"ws://127.0.0.1:{port}{path}", max_size=None) as socket:
            yield Browser(socket)
    finally:
        process.terminate()
        process.wait(timeout=30)


def _address(file: Path) -> list[str]:
    for _ in range(600):
        if file.exists() and len(lines := file.read_text().splitlines()) == 2:
            return lines
        time.sleep(0.1)
    pytest.fail("chromium did not start within a minute")


# --- clicking through ---------------------------------------------------------------------------


def test_a_walk_through_the_page_asks_for_nothing_and_complains_of_nothing(
    browser: Browser, report: Path
) -> None:
    browser.open(report)
    for name in ("enseigne", "periode"):
        for value in browser.ask(
            f"[...document.getElementById('{name}').options].map(o => o.value)"
        ):
            browser.choose(name, value)
    browser.ask("document.querySelectorAll('summary, nav a').forEach((part) => part.click())")
    asked = [e["params"]["request"]["url"] for e in browser.events
             if e.get("method") == "Network.requestWillBeSent"]  # fmt: skip
    said = [e for e in browser.events if e.get("method") in
            ("Runtime.exceptionThrown", "Runtime.consoleAPICalled", "Log.entryAdded")]  # fmt: skip
    assert {url.partition("#")[0] for url in asked} - {"data:,"} == {report.as_uri()}
    assert said == []


def test_a_script_in_a_comment_does_not_run(browser: Browser, report: Path) -> None:
    browser.open(report)
    assert browser.ask("document.title") == "Ce que disent les clients"


def test_a_brand_that_is_chosen_is_shown(browser: Browser, report: Path) -> None:
    browser.open(report)
    browser.choose("enseigne", "Véga")
    assert browser.shown().startswith(
        "Véga · du 1er septembre au 28 octobre 2026 · 40 commentaires"
    )


def test_every_section_follows_the_choice(browser: Browser, report: Path) -> None:
    browser.open(report)
    browser.choose("periode", "2026-10")
    keys = browser.ask(
        "[...new Set([...document.querySelectorAll('[data-view]:not([hidden])')]"
        ".map((block) => block.dataset.view))]"
    )
    assert keys == ["2026-10|toutes"]


def test_a_choice_is_told_to_a_screen_reader(browser: Browser, report: Path) -> None:
    browser.open(report)
    browser.choose("enseigne", "Véga")
    assert browser.ask("document.querySelector('[role=status]').textContent") == "Affiché : Véga"


def test_a_choice_with_too_few_comments_says_so(browser: Browser, report: Path) -> None:
    browser.open(report)
    browser.choose("enseigne", "L'Ondéa <b>")
    browser.choose("periode", "2026-10")
    shown = browser.ask("document.querySelector('[data-view=\"\"]').innerText")
    assert shown.startswith("Cette enseigne a moins de 20 commentaires")
    assert browser.shown() == ""


# --- for everyone -------------------------------------------------------------------------------


def test_the_first_tab_leads_past_the_head(browser: Browser, report: Path) -> None:
    browser.open(report)
    browser.press("Tab", 9)
    assert browser.ask("document.activeElement.className") == "skip"
    browser.press("Enter", 13)
    assert browser.ask("document.activeElement.id") == "contenu"


def test_the_keyboard_opens_what_is_folded(browser: Browser, report: Path) -> None:
    browser.open(report)
    browser.ask("document.querySelector('details:not([open]) summary').focus()")
    browser.press("Enter", 13)
    assert browser.ask("document.activeElement.parentElement.open") is True


def test_what_has_the_focus_is_marked(browser: Browser, report: Path) -> None:
    browser.open(report)
    browser.press("Tab", 9)
    browser.press("Tab", 9)
    style = browser.ask("getComputedStyle(document.activeElement).outlineStyle")
    assert style == "solid"


@pytest.mark.parametrize("width", WIDTHS)
def test_nothing_is_wider_than_the_screen(browser: Browser, report: Path, width: int) -> None:
    browser.open(report, width)
    assert browser.ask("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("width", WIDTHS)
def test_the_weakest_link_is_on_the_first_screen(
    browser: Browser, report: Path, width: int
) -> None:
    browser.open(report, width)
    bottom = browser.ask("document.querySelector('.screen .sure').getBoundingClientRect().bottom")
    assert bottom < 900


@pytest.mark.parametrize("dark", [False, True])
def test_every_text_stands_out_from_what_is_behind_it(
    browser: Browser, report: Path, dark: bool
) -> None:
    browser.open(report, dark=dark)
    assert browser.ask(CONTRAST) == []


def test_without_its_script_the_main_view_is_there(browser: Browser, report: Path) -> None:
    browser.call("Emulation.setScriptExecutionDisabled", value=True)
    try:
        browser.open(report)
        assert "60 commentaires" in browser.shown()
    finally:
        browser.call("Emulation.setScriptExecutionDisabled", value=False)


def test_it_can_be_printed(browser: Browser, report: Path) -> None:
    browser.open(report)
    assert len(browser.call("Page.printToPDF", printBackground=True)["data"]) > 10_000
