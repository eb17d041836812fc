"""What can be read of a run: files by name, the same in a server and in a static export.

    words.json  timeline.json  objects.json  explanation.json  faithfulness.json
    image.webp  image.png  thumbnail.webp  previews/0003.webp
    maps/all.safetensors  maps/4.safetensors  maps/4/grids/16x16.safetensors  maps/4/sites/7.safetensors
    maps/4/heads/7.safetensors  shares.safetensors  self/to/0003.safetensors  self/to/all.safetensors
    atlas.json  rankings.json  atlas/masses.safetensors  atlas/word-4/all.safetensors (see `atlas`)

Numbers are a word's place in ``words.json``, a site's place in ``run.json``, and a step's index. None of these ever
changes while the run's version stays, but for what tests add to (`GROWING`).
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from diffuscope.errors import NotKeptError, SelectionError
from diffuscope.maps.aggregate import aggregate
from diffuscope.maps.choosing import grid_of, kept_text_sites
from diffuscope.maps.heatmap import UNIT, Heatmap, HeatmapSeries
from diffuscope.maps.region_view import ask, describe, unit_of
from diffuscope.maps.resize import Size
from diffuscope.maps.self_attention import Direction, checked_direction
from diffuscope.recording import Manifest, layout
from diffuscope.run import Run, WordView
from diffuscope.server import atlas, describing, findings
from diffuscope.server.problems import Refusal
from diffuscope.server.tensors import MEDIA_TYPE, as_json, pack

JSON, WEBP, PNG = "application/json", "image/webp", "image/png"
SLOW = ("timeline.json", "objects.json", "explanation.json")
"""Files that take seconds the first time."""
GROWING = ("explanation.json", "faithfulness.json", "atlas.json", "rankings.json")
"""Files that say more once jobs have tested something."""
QUALITY = 92
"""Of WebP pictures; ``image.png`` is the exact one."""
THUMBNAIL = 256
"""Longer side of a thumbnail in pixels."""


@dataclass(frozen=True)
class Content:
    """A file: its bytes and what they are."""

    body: bytes
    media_type: str


def read(run: Run, name: str, region_cells: int = describing.REGION_CELLS) -> Content:
    """A file of a run by its name.

    Args:
        run: the run.
        name: as above.
        region_cells: cells of the finest self-attention grid up to which ``self/…`` is made.

    Raises:
        Refusal: no file has such a name (404), or it would be too large (413).
        NotKeptError: the run did not keep what it is made from.
        SelectionError, RecordingError: as of `Run`.
    """
    for pattern, make in _FILES:
        match = pattern.fullmatch(name)
        if match is not None:
            return make(run, *match.groups())
    match = _SELF.fullmatch(name)
    if match is not None:
        return _cells(run, checked_direction(match[1]), match[2], region_cells)
    raise Refusal(404, f"a run has no file {name[:80]!r}")


def is_slow(name: str) -> bool:
    """Whether a file takes seconds the first time."""
    return name in SLOW or (name.startswith("atlas/") and not name[-len("0003.safetensors") :][:4].isdigit())


def names(
    run: Run, *, heads: bool = False, atlases: bool = False, region_cells: int = describing.REGION_CELLS
) -> Iterator[str]:
    """The names of all files that a run has, for a static export. With `heads` those of single heads too, with
    `atlases` those of the head atlas."""
    manifest = run.manifest
    facts = describing.whole(run, {}, [], region_cells)
    yield "words.json"
    if any(file.path == layout.IMAGE for file in manifest.files):
        yield from ("image.png", "image.webp", "thumbnail.webp")
    for step in facts["timetable"]:
        if step["preview"]:
            yield f"previews/{step['index']:04d}.webp"
    if facts["can"]["words"]:
        yield from ("timeline.json", "objects.json", "explanation.json", "faithfulness.json")
        yield "maps/all.safetensors"
        if facts["can"]["heads"]:
            yield "shares.safetensors"
        sites = [site.name for site in kept_text_sites(run.recording)]
        places = [index for index, site in enumerate(manifest.sites) if site.name in sites]
        grids = sorted({grid_of(manifest.sites[place]) for place in places})
        for index, word in enumerate(describing.word_entries(manifest)):
            if not word["tokens"]:
                continue
            yield f"maps/{index}.safetensors"
            yield from (f"maps/{index}/grids/{y}x{x}.safetensors" for y, x in grids)
            yield from (f"maps/{index}/sites/{place}.safetensors" for place in places)
            if heads and facts["can"]["heads"]:
                yield from (f"maps/{index}/heads/{place}.safetensors" for place in places)
    if atlases:
        yield from atlas.names(run)
    if facts["can"]["region_files"]:
        for direction in ("to", "from"):
            yield f"self/{direction}/all.safetensors"
            yield from (f"self/{direction}/{step:04d}.safetensors" for step in run.recording.attended_steps)


def packed(found: Heatmap | HeatmapSeries, *, exact: bool = False, **more: object) -> bytes:
    """A map or a series of them as a tensor file with what is to be said of it."""
    steps = found.steps if isinstance(found, HeatmapSeries) else None
    about = {
        "label": found.label,
        "selection": str(found.selection),
        "unit": found.unit,
        "aggregation": found.aggregation,
        **({} if steps is None else {"steps": list(steps)}),
        **more,
    }
    return pack(found.array, about, exact=exact)


def as_webp(image: Image.Image, longest: int | None = None) -> bytes:
    """A picture as WebP, made smaller where its longer side is above `longest`."""
    if longest is not None and max(image.size) > longest:
        image = image.copy()
        image.thumbnail((longest, longest))
    file = io.BytesIO()
    image.save(file, "WEBP", quality=QUALITY, method=4)
    return file.getvalue()


def word_maps(run: Run, step: int) -> Content:
    """Maps of all words at one step, ``[word, y, x]``: what is seen while a run is drawn."""
    return _tensors(_all_words(run, str(step)))


# Each makes one kind of file.


def _words(run: Run) -> Content:
    return Content(as_json(describing.words(run)), JSON)


def _timeline(run: Run) -> Content:
    facts = run.timeline().facts()
    return Content(as_json({**facts, "run": run.id}), JSON)


def _objects(run: Run) -> Content:
    return Content(as_json(findings.objects(run)), JSON)


def _explanation(run: Run) -> Content:
    return Content(as_json(findings.explanation(run, run.path.name)), JSON)


def _faithfulness(run: Run) -> Content:
    return Content(as_json(findings.faithfulness(run)), JSON)


def _atlas(run: Run) -> Content:
    return Content(as_json(atlas.described(run)), JSON)


def _rankings(run: Run) -> Content:
    return Content(as_json(atlas.rankings(run)), JSON)


def _masses(run: Run) -> Content:
    return _tensors(atlas.masses(run))


def _plates(run: Run, content: str, slot: str) -> Content:
    return _tensors(atlas.file(run, content, slot))


def _png(run: Run) -> Content:
    if not any(file.path == layout.IMAGE for file in run.manifest.files):
        raise NotKeptError("this run was stopped before its picture was drawn")
    file = io.BytesIO()
    run.image.save(file, "PNG")
    return Content(file.getvalue(), PNG)


def _webp(run: Run) -> Content:
    return Content(as_webp(run.image), WEBP)


def _thumbnail(run: Run) -> Content:
    return Content(as_webp(run.image, THUMBNAIL), WEBP)


def _preview(run: Run, step: str) -> Content:
    return Content(as_webp(run.preview(int(step))), WEBP)


def _all(run: Run) -> Content:
    return _tensors(_all_words(run, None))


def _word(run: Run, word: str) -> Content:
    return _tensors(packed(_view(run, word).steps()))


def _grid(run: Run, word: str, height: str, width: str) -> Content:
    size: Size = (int(height), int(width))
    sites = [site.name for site in kept_text_sites(run.recording) if grid_of(site) == size]
    if not sites:
        raise Refusal(404, f"no kept site with words has a grid of {size[0]}x{size[1]}")
    return _tensors(packed(_view(run, word).steps(sites=sites, size="native")))


def _site(run: Run, word: str, site: str) -> Content:
    name = _site_name(run.manifest, site)
    return _tensors(packed(_view(run, word).steps(sites=name, size="native"), site=name))


def _heads(run: Run, word: str, site: str) -> Content:
    view, name = _view(run, word), _site_name(run.manifest, site)
    found = view.heads(sites=name)
    about = {
        "label": view.label,
        "selection": str(found.selection),
        "unit": found.unit,
        "aggregation": "Each head by itself. Conditional branch, last call of each step.",
        "steps": list(found.steps),
        "heads": list(found.heads[name]),
        "site": name,
    }
    return _tensors(pack(found.per_site[name], about))


def _shares(run: Run) -> Content:
    found = run.shares()
    about = {
        "label": "shares",
        "selection": str(found.selection),
        "unit": found.unit,
        "aggregation": found.aggregation,
        "kinds": list(found.names),
    }
    return _tensors(pack(found.array, about))


def _cells(run: Run, direction: Direction, step: str, most: int) -> Content:
    grid = describing.region_grid(run, 2**31)
    if grid is not None and grid[0] * grid[1] > most:
        raise Refusal(
            413,
            f"regions of a {grid[0]}x{grid[1]} grid are not given as files here; ask for one: POST …/regions",
        )
    array, unit, said, steps = cell_maps(run, direction, None if step == "all" else int(step))
    about = {
        "label": {"to": "who looks at each cell", "from": "what each cell looks at"}[direction],
        "selection": "all" if step == "all" else f"steps={int(step)}",
        "unit": unit,
        "aggregation": said,
        "direction": direction,
        "steps": steps,
    }
    return _tensors(pack(array, about))


def cell_maps(
    run: Run, direction: Direction, step: int | None = None
) -> tuple[NDArray[np.float32], str, str, list[int]]:
    """The region map of every cell of the finest grid, ``[cell, y, x]``, with its unit, how it came about, and steps.

    Each is what `RegionView.map` gives for that cell. A region's map is linear in the area that it covers of each cell,
    so the mean of these, weighed by that area, is the map of any region.

    Args:
        run: with self-attention (level ``qk``).
        direction: as of `RegionView.map`.
        step: one step; None for the mean over all.

    Raises:
        NotKeptError: self-attention was not kept. SelectionError: no such step.
    """
    asked = ask(run.recording, None, step, None, None)
    attention, maps = run._self_attention, {}
    for site in asked.sites:
        heads = asked.heads[site.name]
        matrix = np.zeros((site.grid[0] * site.grid[1],) * 2)
        for each in asked.steps:
            matrix += attention.matrix(site.name, each, heads=heads)
        matrix /= len(asked.steps)
        # Row by row: how much of each cell of the site's grid a cell of the finest grid covers, as shares.
        cover = np.kron(_overlap(asked.finest[0], site.grid[0]), _overlap(asked.finest[1], site.grid[1]))
        maps[site.name] = asked.share(site) * (cover @ (matrix.T if direction == "to" else matrix))
    for each in asked.steps:
        run.recording.let_go(each)
    array = aggregate(maps, asked.grids, asked.size, weights=asked.weights.by_site)
    said = describe(
        asked, "Each cell as a region of its own", "then over steps" if len(asked.steps) > 1 else ""
    )
    return array, unit_of(asked), said, list(asked.steps)


def _overlap(fine: int, coarse: int) -> NDArray[np.float64]:
    """``[fine, coarse]``: which share of each of `fine` equal parts of a line lies in each of `coarse` ones."""
    edges, others = np.arange(fine + 1) / fine, np.arange(coarse + 1) / coarse
    low = np.maximum(edges[:-1, None], others[None, :-1])
    high = np.minimum(edges[1:, None], others[None, 1:])
    found: NDArray[np.float64] = np.clip(high - low, 0.0, None) * fine
    return found


def _all_words(run: Run, steps: str | None) -> bytes:
    """``[word, y, x]`` over some steps. A word without tokens (it was cut off) has NaN."""
    stack = run.stack(steps)
    place = {int(name.split(" ", 1)[0]): index for index, name in enumerate(stack.names)}
    entries = describing.word_entries(run.manifest)
    maps = np.full((len(entries), *stack.array.shape[1:]), np.nan, np.float32)
    for index, entry in enumerate(entries):
        tokens = [place[token] for token in entry["tokens"] if token in place]
        if tokens:
            maps[index] = stack.array[tokens].sum(axis=0, dtype=np.float64)
    about = {
        "label": "all words",
        "selection": str(stack.selection),
        "unit": UNIT,
        "aggregation": stack.aggregation,
        "words": [entry["label"] for entry in entries],
    }
    return pack(maps, about)


def _view(run: Run, word: str) -> WordView:
    entries = describing.word_entries(run.manifest)
    if int(word) >= len(entries):
        raise Refusal(404, f"this run has words 0 to {len(entries) - 1}, and no word {int(word)}")
    entry = entries[int(word)]
    if not entry["tokens"]:
        raise NotKeptError(
            f"{entry['label']!r} was cut off: it did not fit into the text encoder, so it has no map"
        )
    return run.word(entry["label"])


def _site_name(manifest: Manifest, site: str) -> str:
    if int(site) >= len(manifest.sites):
        raise Refusal(404, f"this run has sites 0 to {len(manifest.sites) - 1}, and no site {int(site)}")
    name = manifest.sites[int(site)].name
    if name.startswith("self:"):
        raise SelectionError(f"{name} attends to the picture itself, so words have no map there")
    return name


def _tensors(body: bytes) -> Content:
    return Content(body, MEDIA_TYPE)


_NUMBER = "([0-9]{1,6})"
_FILES: tuple[tuple[re.Pattern[str], Callable[..., Content]], ...] = tuple(
    (re.compile(pattern), make)
    for pattern, make in (
        (r"words\.json", _words),
        (r"timeline\.json", _timeline),
        (r"objects\.json", _objects),
        (r"explanation\.json", _explanation),
        (r"faithfulness\.json", _faithfulness),
        (r"atlas\.json", _atlas),
        (r"rankings\.json", _rankings),
        (r"atlas/masses\.safetensors", _masses),
        (r"atlas/([a-z]+(?:-[0-9]{1,6})?)/([0-9]{4}|all|mean)\.safetensors", _plates),
        (r"image\.png", _png),
        (r"image\.webp", _webp),
        (r"thumbnail\.webp", _thumbnail),
        (r"previews/([0-9]{4})\.webp", _preview),
        (r"maps/all\.safetensors", _all),
        (rf"maps/{_NUMBER}\.safetensors", _word),
        (rf"maps/{_NUMBER}/grids/([0-9]{{1,4}})x([0-9]{{1,4}})\.safetensors", _grid),
        (rf"maps/{_NUMBER}/sites/{_NUMBER}\.safetensors", _site),
        (rf"maps/{_NUMBER}/heads/{_NUMBER}\.safetensors", _heads),
        (r"shares\.safetensors", _shares),
    )
)
_SELF = re.compile(r"self/(to|from)/([0-9]{4}|all)\.safetensors")
