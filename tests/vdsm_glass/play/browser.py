"""A headless Chromium that finds no machine but this one, and the program that it visits."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.processes import PATIENCE, kill_all_of

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
START = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # a child of a background job would inherit that it is ignored
from vdsm_glass.cli import main
sys.exit(main(["play", *sys.argv[1:]]))
"""


@contextmanager
def chromium(folder: Path, *, width: int = 1280, height: int = 1000, rebound: str | None = None) -> Iterator[Any]:
    """A driver of a fresh profile in `folder`; skips the test where there is no Chromium.

    Args: rebound, a name that leads to this machine, as an attacker's server of names would make it.
    """
    browser, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not browser or not driver:
        pytest.skip("no Chromium: apt-get install chromium chromium-driver")
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = browser
    rules = f"MAP {rebound} 127.0.0.1, " * (rebound is not None) + "MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"
    own = (f"--host-resolver-rules={rules}", f"--user-data-dir={folder}", f"--window-size={width},{height}")
    for flag in (*FLAGS, *own):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    made = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    try:
        yield made
    finally:
        made.quit()


class Program:
    """`vdsm-glass play` in a process of its own.  Args: checkpoint, None for the box; temporary, where it may write."""

    def __init__(self, checkpoint: Path | None, temporary: Path) -> None:
        temporary.mkdir()
        self.temporary = temporary
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}
        self.process = subprocess.Popen(
            [sys.executable, "-c", START, *([str(checkpoint)] if checkpoint else []), "--no-browser"],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=temporary.parent,
            env=environment | {"TMPDIR": str(temporary)},
            start_new_session=True,
        )
        self.address, self.said = "", ""

    def opened(self) -> str:
        """Waits for the page's address."""
        assert self.process.stdout is not None
        while not self.address:
            line = self.process.stdout.readline()
            assert line, f"the program ended: {self.said}"
            self.said += line
            if "playing at " in line:
                self.address = line.split()[2]
        return self.address

    def stop(self, sent: signal.Signals) -> int:
        """Sends a signal, SIGINT being Ctrl-C.  Returns: the exit code."""
        self.process.send_signal(sent)
        try:
            self.said += self.process.communicate(timeout=PATIENCE)[0]
        finally:
            self.end()
        return self.process.returncode

    def end(self) -> None:
        """Whether or not it wants to, with all that it started."""
        kill_all_of(self.process.pid)
        self.process.communicate()


def until(found: Callable[[], object], what: str) -> Any:
    """Waits until `found()` is true, and returns it."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        if value := found():
            return value
        time.sleep(0.05)
    raise AssertionError(f"waited in vain for {what}")


def hosts_asked(driver: Any) -> set[str | None]:
    """Every host that the page asked for anything, or tried to, since the last call."""
    events = [json.loads(entry["message"])["message"] for entry in driver.get_log("performance")]
    sent, opened = "Network.requestWillBeSent", "Network.webSocketCreated"
    addresses = [event["params"]["request"]["url"] for event in events if event["method"] == sent]
    addresses += [event["params"]["url"] for event in events if event["method"] == opened]
    return {urlsplit(address).hostname for address in addresses if not address.startswith(("data:", "blob:", "chrome"))}
