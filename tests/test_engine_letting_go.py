"""Large sites are let go as soon as they were taken: the recording is the same, the memory held is one site's."""

from __future__ import annotations

import weakref
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from diffuscope.engine import Lens  # noqa: E402
from diffuscope.engine.capture import session, watch  # noqa: E402
from diffuscope.engine.capture.tap import Attended  # noqa: E402
from diffuscope.recording import TensorFile  # noqa: E402
from diffuscope.testing import random_pipeline  # noqa: E402


@pytest.fixture(scope="module", params=["flux", "sd3", "sd15"])
def lens(request: pytest.FixtureRequest) -> Lens:
    return Lens(random_pipeline(request.param))


def record(lens: Lens, folder: Path, keep: str, **more: Any) -> Path:
    run = lens.record("a red cat", seed=3, steps=2, keep=keep, out=folder, previews=False, **more)
    return Path(run.path)


def contents(run: Path) -> dict[str, bytes]:
    """Every tensor with its type and shape, and the picture. (The files name their run.)"""
    found = {"image.png": (run / "image.png").read_bytes()}
    for path in sorted(run.rglob("*.safetensors")):
        file, name = TensorFile(path, sealed=True), path.relative_to(run).as_posix()
        for key in file.keys():  # noqa: SIM118
            array = file.read(key)
            found[f"{name} {key} {array.dtype} {array.shape}"] = array.tobytes()
    return found


@pytest.mark.parametrize("keep", ["maps", "qk"])
def test_the_recording_is_the_same_to_the_bit(
    lens: Lens, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, keep: str
) -> None:
    more = {"values": True, "store": "float16"} if keep == "qk" else {}
    together = contents(record(lens, tmp_path / "together", keep, **more))
    monkeypatch.setattr(session, "LARGE", 1)
    one_by_one = contents(record(lens, tmp_path / "one", keep, **more))
    assert any(name.startswith("steps/") for name in together)
    assert one_by_one == together


@pytest.mark.parametrize("limits", [{"keep_steps": "1"}, {"keep_heads": "0"}])
def test_limits_hold_for_large_sites_too(
    lens: Lens, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limits: dict[str, str]
) -> None:
    together = contents(record(lens, tmp_path / "together", "maps", **limits))
    monkeypatch.setattr(session, "LARGE", 1)
    assert contents(record(lens, tmp_path / "one", "maps", **limits)) == together


class Alive:
    """Counts, whenever a site other than those of text alone is seen, how many before it still have their queries."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, names: set[str]) -> None:
        self.most = 0
        self._queries: list[weakref.ref[torch.Tensor]] = []
        see = watch.SiteWatch._see

        def watched(of: watch.SiteWatch, site: str, attended: Attended) -> None:
            if site in names and of._open:
                self.most = max(self.most, sum(each() is not None for each in self._queries) + 1)
                self._queries.append(weakref.ref(attended.query))
            see(of, site, attended)

        monkeypatch.setattr(watch.SiteWatch, "_see", watched)


@pytest.mark.parametrize("keep", ["maps", "qk", None])
def test_no_more_than_a_site_is_held_at_a_time(
    lens: Lens, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, keep: str | None
) -> None:
    names = {site.name for site in lens.family.sites(lens.pipe) if site.kind != "cross"}
    together = Alive(monkeypatch, names)
    record(lens, tmp_path, keep)  # type: ignore[arg-type]
    assert together.most == len(names) > 2  # All of a call.
    monkeypatch.undo()
    monkeypatch.setattr(session, "LARGE", 1)
    one_by_one = Alive(monkeypatch, names)
    if keep == "maps":
        record(lens, tmp_path, keep)
    else:
        # The first call shows what fits, or what queries and keys there are; from the second on each goes at once.
        begin = session.Session._called

        def called(of: session.Session, *args: Any) -> None:
            begin(of, *args)
            if of._calls == 1:
                one_by_one.most = 0
                one_by_one._queries.clear()

        monkeypatch.setattr(session.Session, "_called", called)
        record(lens, tmp_path, keep)  # type: ignore[arg-type]
    # The one that is seen, and at most the one before it, which the block that called it may still have.
    assert one_by_one.most <= 2
