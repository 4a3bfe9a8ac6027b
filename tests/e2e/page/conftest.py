"""A real browser, and what it needs to see of a running stack."""

from __future__ import annotations

import os
import shutil
import socket
import threading
from collections.abc import Generator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, Playwright, expect, sync_playwright

from tests.e2e.conftest import LocalStack, running
from tests.waiting import PATIENCE_SECONDS

#: No sandbox, because tests run as root in containers; no calls home.
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)

#: Notes, from before the page's own script runs, what the page must not do, and each status that a row shows.
WATCH = """
window.violations = [];
document.addEventListener("securitypolicyviolation", (event) => violations.push(event.violatedDirective));
window.statuses = {};
const note = (row) => {
  const { taskId, status } = row.dataset ?? {};
  if (taskId && status && statuses[taskId]?.at(-1) !== status) (statuses[taskId] ??= []).push(status);
};
new MutationObserver((changes) => {
  for (const { target, addedNodes } of changes) [target, ...addedNodes].forEach(note);
}).observe(document, { subtree: true, childList: true, attributeFilter: ["data-status"] });
"""

#: The texts on the screen whose contrast with what is behind them is below 4.5.
CONTRASTS = """() => {
  const channels = (color) => color.match(/[\\d.]+/g).map(Number);
  window.luminance = (color) => channels(color).slice(0, 3).map((part) => part / 255)
    .map((part) => part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4)
    .reduce((sum, part, place) => sum + part * [0.2126, 0.7152, 0.0722][place], 0);
  const behind = (node) => {
    const color = node ? getComputedStyle(node).backgroundColor : "rgb(255, 255, 255)";
    return channels(color)[3] === 0 ? behind(node.parentElement) : color;
  };
  const contrast = (node) => {
    const [dark, light] = [getComputedStyle(node).color, behind(node)].map(luminance).sort((a, b) => a - b);
    return (light + 0.05) / (dark + 0.05);
  };
  const hasText = (node) => [...node.childNodes].some((child) => child.nodeType === 3 && child.data.trim());
  return [...document.body.querySelectorAll("*")]
    .filter((node) => !["SCRIPT", "STYLE"].includes(node.tagName) && hasText(node) && node.checkVisibility())
    .filter((node) => contrast(node) < 4.5)
    .map((node) => `${node.outerHTML}: ${contrast(node)}`);
}"""


def chromium() -> str:
    """The browser's executable; without one the test is skipped, or fails where a browser is required."""
    path = shutil.which("chromium")
    if path is None:
        missing = "no chromium found: apt-get install chromium"
        if os.environ.get("REQUIRE_BROWSER") == "1":
            pytest.fail(missing)
        pytest.skip(missing)
    return path


@contextmanager
def started(playwright: Playwright, *flags: str) -> Generator[Browser]:
    """A headless browser."""
    browser = playwright.chromium.launch(executable_path=chromium(), args=[*FLAGS, *flags])
    try:
        yield browser
    finally:
        browser.close()


@contextmanager
def opened(browser: Browser, *, forgive: Sequence[str] = (), **options: Any) -> Generator[Page]:
    """A page that is watched; it must have kept to its policy, and its console must have stayed clean.

    `forgive` lists what a console error may contain: a browser logs each failed request as one.
    """
    context = browser.new_context(**options)
    context.set_default_timeout(PATIENCE_SECONDS * 1000)
    context.add_init_script(WATCH)
    page = context.new_page()
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    try:
        yield page
        assert page.evaluate("violations") == []
        assert [error for error in errors if not any(words in error for words in forgive)] == []
    finally:
        context.close()


def is_live(page: Page) -> None:
    """Waits until the page has subscribed."""
    expect(page.get_by_role("group", name="Connection")).to_have_text("Live", use_inner_text=True)


@pytest.fixture(scope="module")
def reliable(tmp_path_factory: pytest.TempPathFactory) -> Generator[LocalStack]:
    """A stack of this module's own: whoever reads the log of one waits for all that was ever called in it."""
    with running(tmp_path_factory.mktemp("page") / "log", "failureRate=0", "backoffBaseSeconds=1") as stack:
        yield stack


@pytest.fixture(scope="module")
def playwright() -> Generator[Playwright]:
    """What drives browsers. Not longer than a module: it keeps an event loop that others would stumble over."""
    chromium()
    expect.set_options(timeout=PATIENCE_SECONDS * 1000)
    with sync_playwright() as playwright:
        yield playwright


@pytest.fixture(scope="module")
def browser(playwright: Playwright) -> Generator[Browser]:
    """A browser for the tests of one module."""
    with started(playwright) as browser:
        yield browser


@pytest.fixture
def page(browser: Browser, reliable: LocalStack) -> Generator[Page]:
    """The page, live."""
    with opened(browser) as page:
        page.goto(reliable.page_url)
        is_live(page)
        yield page


class Wire:
    """A TCP proxy in front of a port, which can be cut: what goes through it breaks, and nothing new gets in."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._listener: socket.socket | None = None
        self._open: set[socket.socket] = set()
        self.port = 0

    def mend(self) -> None:
        """Lets connections through, on the same port each time."""
        self._listener = socket.create_server(("127.0.0.1", self.port))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def cut(self) -> None:
        """Ends all connections and refuses new ones."""
        if self._listener:
            _close(self._listener)
            self._listener = None
        for end in [*self._open]:
            _close(end)

    def _accept(self, listener: socket.socket) -> None:
        with suppress(OSError):
            while True:
                near, _ = listener.accept()
                far = socket.create_connection(("127.0.0.1", self._target))
                self._open |= {near, far}
                for source, sink in ((near, far), (far, near)):
                    threading.Thread(target=self._pump, args=(source, sink), daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                sink.sendall(data)
        for end in (source, sink):
            _close(end)
            self._open.discard(end)


def _close(end: socket.socket) -> None:
    with suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)
    end.close()
