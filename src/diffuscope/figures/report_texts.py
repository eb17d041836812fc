"""What a report says in words: the run's facts, what its numbers mean, and what went otherwise than planned.

Plain text throughout; the page inserts it as text.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from diffuscope.recording.manifest import Manifest, Site
    from diffuscope.run import Run


def facts(run: Run) -> list[tuple[str, str]]:
    """Name and value of what the run was made with."""
    manifest = run.manifest
    sampling, model, keep = manifest.sampling, manifest.model, manifest.keep
    rows = [
        ("run", manifest.id),
        ("model", model.id + (f" at {model.revision}" if model.revision else "")),
        ("pipeline", f"{model.pipeline}, {model.dtype}"),
        ("negative prompt", sampling.negative_prompt or ""),
        ("seed", "none given" if sampling.seed is None else str(sampling.seed)),
        ("scheduler", sampling.scheduler.name),
        ("steps", _steps(manifest)),
        ("guidance scale", f"{sampling.guidance_scale:g}"),
        ("picture", f"{sampling.width} × {sampling.height} pixels"),
        ("kept", f"level {keep.level}, {keep.dtype}"),
        ("maps from", _sites(cross_sites(run))),
        ("edits", str(len(manifest.edits)) if manifest.edits else ""),
        ("edited from", manifest.parent or ""),
        ("recorded", manifest.created.replace("T", " ").replace("Z", " UTC")),
        ("software", ", ".join(f"{name} {version}" for name, version in manifest.software.items())),
    ]
    return [(name, value) for name, value in rows if value]


def definition(aggregation: str, precision: str, coarsened: str) -> list[str]:
    """What is measured, in paragraphs.

    Args:
        aggregation: the sentence of `Heatmap.aggregation`.
        precision: how exactly this page holds the values.
        coarsened: a sentence where the maps were brought to a coarser grid for the page, else empty.
    """
    probability = (
        "A word's map says how much of each patch's attention goes to the word: the softmax probability at "
        "the word's tokens, summed where it has several. A patch's probabilities sum to 1 over all tokens, "
        "the start token, the end token and the padding included."
    )
    numbers = (
        "Mass is the mean of the map over its patches; share is a word's mass against that of all words of "
        "the prompt. Peak is the patch with the greatest value, columns and rows counted from 0 at the top "
        "left. Centroid is the map's centre of mass."
    )
    colours = "Colours are scaled for the eye over the range beside the scale; numbers never are."
    limits = (
        "A map shows where the model looked, not what the word caused. A single word may mark an object's "
        "outline, its inside or its surroundings."
    )
    averaged = f"{aggregation} All steps: the mean over the steps."
    shown = " ".join(sentence for sentence in (colours, precision, coarsened) if sentence)
    return [probability, averaged, numbers, shown, limits]


def notices(run: Run) -> list[str]:
    """What a reader must know before looking: an interrupted run, a prompt that was cut."""
    manifest, lines = run.manifest, []
    if not manifest.complete:
        why = f" ({manifest.stopped})" if manifest.stopped else ""
        lines.append(
            f"This run was stopped after {len(manifest.steps)} of {manifest.sampling.steps} steps{why}. "
            "What is shown are its whole steps."
        )
    if manifest.text.cut:
        lines.append(
            "The prompt was longer than the text encoder takes. The model never saw: "
            f"{manifest.text.cut.strip()}"
        )
    return lines


def cross_sites(run: Run) -> list[Site]:
    """The kept sites that words have maps at."""
    kept = set(run.manifest.keep.sites)
    return [site for site in run.sites if site.kind == "cross" and site.name in kept]


def _steps(manifest: Manifest) -> str:
    planned, whole = manifest.sampling.steps, len(manifest.steps)
    calls = sum(len(step.calls) for step in manifest.steps)
    text = str(planned) if whole == planned else f"{whole} of {planned}"
    return text if calls == whole else f"{text}, {calls} calls of the denoiser"


def _sites(sites: list[Site]) -> str:
    grids = sorted({(site.grid[0], site.grid[1]) for site in sites}, reverse=True)
    shapes = ", ".join(f"{width} × {height}" for height, width in grids)
    return f"{len(sites)} cross-attention {'site' if len(sites) == 1 else 'sites'}, patches {shapes}"
