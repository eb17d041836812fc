"""A run in plain JSON values: its line in the list, everything about it, its words."""

from __future__ import annotations

from typing import Any

from diffuscope import edits
from diffuscope.analysis.timeline.word_kinds import FUNCTION_WORDS
from diffuscope.errors import DiffuscopeError
from diffuscope.maps.aggregate import output_size
from diffuscope.maps.choosing import grid_of, kept_text_sites
from diffuscope.maps.region_view import kept_self_sites
from diffuscope.recording import Manifest, layout
from diffuscope.recording.shelf import Shelved
from diffuscope.recording.trash import Trashed
from diffuscope.run import Run

REGION_CELLS = 1024
"""Cells of the finest self-attention grid up to which regions are given as files; `Limits.region_cells` in a server."""


def summary(shelved: Shelved, version: str | None) -> dict[str, Any]:
    """A run's line in the list: `shapes.RunSummary`."""
    return {
        "id": shelved.name,
        "state": shelved.state,
        "problem": shelved.problem,
        "bytes": shelved.bytes,
        "created": shelved.created.isoformat(),
        "version": version,
        **(_about(shelved.manifest) if shelved.manifest is not None else _NOTHING),
    }


def whole(
    run: Run, line: dict[str, Any], children: list[str], region_cells: int = REGION_CELLS
) -> dict[str, Any]:
    """Everything about a run that is not a tensor: `shapes.RunWhole`. `line` is its `summary`."""
    manifest, recording = run.manifest, run.recording
    sampling, model, keep = manifest.sampling, manifest.model, manifest.keep
    attended = set(recording.attended_steps)
    there = {file.path for file in manifest.files}
    kept = set(keep.sites)
    grid, self_grid = word_grid(run), region_grid(run, region_cells)
    can_heads = (grid is not None and keep.level == ("qk" if _is_joint(manifest) else "cross")) or (
        grid is not None and keep.level == "qk"
    )
    return {
        **line,
        "sampling": {
            "scheduler": sampling.scheduler.name,
            "options": sampling.options,
            "images_per_prompt": sampling.images_per_prompt,
            "image_index": sampling.image_index,
        },
        "model_info": {
            "id": model.id,
            "source": model.source,
            "family": model.family,
            "pipeline": model.pipeline,
            "revision": model.revision,
            "dtype": model.dtype,
        },
        "software": manifest.software,
        "timetable": [
            {
                "index": step.index,
                "timestep": step.timestep,
                "sigma": step.sigma,
                "log_snr": step.log_snr,
                "attended": step.index in attended,
                "preview": layout.preview_file(step.index) in there,
            }
            for step in manifest.steps
        ],
        "sites": [
            {
                "index": index,
                "name": site.name,
                "kind": site.kind,
                "grid": list(site.grid),
                "heads": site.heads,
                "head_dim": site.head_dim,
                "kept": site.name in kept,
                "kept_heads": list(recording.heads(site.name))
                if site.name in kept and keep.level != "maps"
                else [],
            }
            for index, site in enumerate(manifest.sites)
        ],
        "kept": {
            "level": keep.level,
            "dtype": keep.dtype,
            "sites": list(keep.sites),
            "steps": keep.steps,
            "heads": keep.heads,
            "branch": keep.branch,
        },
        "edits_json": list(manifest.edits),
        "children": children,
        "grid": None if grid is None else list(grid),
        "self_grid": None if self_grid is None else list(self_grid),
        "can": {
            "words": grid is not None and bool(attended),
            "heads": can_heads and bool(attended),
            "regions": _regions(run) and bool(attended),
            "region_files": self_grid is not None and bool(attended),
            "concepts": grid is not None and keep.level != "maps" and not _is_joint(manifest),
            "clean": any(path.startswith(f"{layout.PREVIEWS}/") for path in there),
        },
    }


def words(run: Run) -> dict[str, Any]:
    """The prompt as the model read it: `shapes.Words`."""
    text = run.manifest.text
    return {
        "prompt": run.prompt,
        "cut": text.cut,
        "tokens": [
            {"index": token.index, "id": token.id, "text": token.text, "kind": token.kind}
            for token in text.tokens
            if token.kind != "padding"
        ],
        "words": [{"index": index, **entry} for index, entry in enumerate(word_entries(run.manifest))],
    }


def word_entries(manifest: Manifest) -> list[dict[str, Any]]:
    """The words that have map files, in their order: those of the prompt, then start and end token."""
    text = manifest.text
    found: list[dict[str, Any]] = [
        {
            "label": word.label,
            "text": word.text,
            "tokens": list(word.tokens),
            "start": word.start,
            "end": word.end,
            "kind": "function" if word.text.casefold() in FUNCTION_WORDS else "content",
        }
        for word in text.words
    ]
    for kind in ("start", "end"):
        tokens = [token.index for token in text.tokens if token.kind == kind]
        if tokens:
            found.append(
                {
                    "label": f"<{kind}>",
                    "text": f"<{kind}>",
                    "tokens": tokens,
                    "start": None,
                    "end": None,
                    "kind": "special",
                }
            )
    return found


def trashed(run: Trashed) -> dict[str, Any]:
    """A run in the trash: `shapes.TrashEntry`."""
    return {
        "entry": run.entry,
        "run": run.name,
        "since": run.since.isoformat(),
        "until": run.until.isoformat(),
    }


def word_grid(run: Run) -> tuple[int, int] | None:
    """The finest kept grid with words, that of all word maps; None where there is none."""
    try:
        kept = [grid_of(site) for site in kept_text_sites(run.recording)]
    except DiffuscopeError:
        return None
    return output_size(None, kept=kept, chosen=kept, image=kept[0])


def region_grid(run: Run, most: int = REGION_CELLS) -> tuple[int, int] | None:
    """The finest kept grid of self-attention, where it has at most `most` cells; else None."""
    try:
        kept = [grid_of(site) for site in kept_self_sites(run.recording)]
    except DiffuscopeError:
        return None
    finest = max(kept, key=lambda grid: grid[0] * grid[1])
    return finest if finest[0] * finest[1] <= most else None


def _regions(run: Run) -> bool:
    try:
        return bool(kept_self_sites(run.recording))
    except DiffuscopeError:
        return False


def _is_joint(manifest: Manifest) -> bool:
    return any(site.kind == "joint" for site in manifest.sites)


def _about(manifest: Manifest) -> dict[str, Any]:
    sampling = manifest.sampling
    return {
        "prompt": sampling.prompt,
        "negative_prompt": sampling.negative_prompt,
        "model": manifest.model.id,
        "seed": sampling.seed,
        "steps": sampling.steps,
        "steps_recorded": len(manifest.steps),
        "guidance_scale": sampling.guidance_scale,
        "width": sampling.width,
        "height": sampling.height,
        "keep": manifest.keep.level,
        "parent": manifest.parent,
        "edits": [_said(each) for each in manifest.edits],
        "words": [word.label for word in manifest.text.words],
        "has_image": any(file.path == layout.IMAGE for file in manifest.files),
    }


_NOTHING: dict[str, Any] = {
    **dict.fromkeys(
        (
            *("prompt", "negative_prompt", "model", "seed", "steps", "steps_recorded", "guidance_scale"),
            *("width", "height", "keep", "parent"),
        )
    ),
    "edits": [],
    "words": [],
    "has_image": False,
}


def _said(given: Any) -> str:
    """An edit of a manifest in a line; one that this release does not know by its name."""
    try:
        described: str = edits.from_json(given).describe()
    except DiffuscopeError:
        return str(given.get("name") or given.get("edit") or "an edit")
    return described
