"""What tests share without asking for it by import: a core for each process that tests, and a browser."""

import os
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

# Several processes test at a time, each on a core of its own: more threads than that only wait for one another. Before
# torch is imported, and for every process that a test starts.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")


# No wider: while Playwright runs, its thread has an event loop, and other tests start their own.
@pytest.fixture(scope="module")
def browser() -> "Iterator[Browser]":
    from browsing import launched

    with launched() as started:
        yield started


@pytest.fixture
def visit(browser: "Browser") -> "Iterator[Callable[..., Page]]":
    """Opens a page; fails at the end if one threw, complained or asked another host."""
    from page_driver import Visits

    visits = Visits(browser)
    yield visits.open
    visits.close()
