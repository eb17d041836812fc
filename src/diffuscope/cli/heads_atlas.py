"""What `diffuscope heads` answers from a recording alone: the atlas of all heads, and heads that a question names."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from diffuscope.cli.console import note, print_facts, print_json, print_table, progress_bar
from diffuscope.errors import InputError, NotKeptError, RunFolderError

if TYPE_CHECKING:
    from PIL.Image import Image

    from diffuscope.analysis.atlas import Content
    from diffuscope.run import Run


def write_atlas(
    run: "Run",
    path: Path,
    *,
    show: str | None,
    word: str | None,
    sites: str | None,
    window: str,
    scale: str,
    pick: str | None,
    model: str | None,
    device: str | None,
) -> dict[str, Any]:
    """Draw the atlas; what was drawn, as plain values.

    Raises:
        InputError: no word where one is needed; NotKeptError: the run did not keep what is shown.
        RunFolderError: the figure cannot be written.
    """
    from diffuscope.figures.layers import layers
    from diffuscope.maps.choosing import chosen_steps
    from diffuscope.selection import Selection

    if show == "effect":
        return _write_ranking(run, path, word)
    content = _content(show, word)
    atlas = run.atlas
    if content.signed:
        _read_projections(run, model, device)
    chosen = Selection.of(steps=window, sites=sites)
    steps = chosen_steps(run.recording, chosen)
    there = atlas.sites(content)
    names = chosen.resolve_sites([site.name for site in there])
    maps = _mean(run, content, steps, names)
    picked = run.pick(pick).cells if pick is not None else ()
    said = f"Step {steps[0]}." if len(steps) == 1 else f"Mean over {len(steps)} steps."
    strides = {stride for name, stride in atlas.stride(content).items() if name in names}
    if max(strides) > 1:
        said += f" At sites with many patches of one query in every {max(strides)}x{max(strides)}."
    drawn = layers(
        maps,
        [site for site in there if site.name in names],
        content,
        said=said,
        scale=scale,  # type: ignore[arg-type]
        framed=picked,
        why="" if pick is None else pick,
    )
    _save(drawn, path)
    return {
        "atlas": str(path),
        "content": content.text,
        "unit": content.unit,
        "steps": list(steps),
        "sites": list(names),
        "heads": int(sum(len(each) for each in maps.values())),
    }


def _write_ranking(run: "Run", path: Path, word: str | None) -> dict[str, Any]:
    """Draw the ranking by effect that was made last for a word or part of the picture."""
    from diffuscope.analysis.cause.importance import EFFECT_UNIT, kept_ranking
    from diffuscope.figures.cause_heads import head_effects

    if word is None:
        raise InputError("say whose ranking is shown: --word W, as it was given when the heads were ranked")
    found = kept_ranking(run.recording, word)
    _save(head_effects(found), path)
    sites = list(dict.fromkeys(each.site for each in found.heads))
    return {
        "atlas": str(path),
        "content": f"effect:{found.target}",
        "unit": EFFECT_UNIT,
        "steps": found.window,
        "sites": sites,
        "heads": len(found.heads),
    }


def _save(drawn: "Image", path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        drawn.save(path, "PNG")
    except (OSError, ValueError) as failed:
        raise RunFolderError(f"cannot write {path}: {failed}") from failed


def show_atlas(found: dict[str, Any], *, as_json: bool) -> None:
    """Say what was drawn."""
    if as_json:
        print_json(found)
        return
    print_facts(
        [
            ("shown", found["content"]),
            ("unit", found["unit"]),
            ("heads", f"{found['heads']} of {len(found['sites'])} sites"),
            ("steps", found["steps"] if isinstance(found["steps"], str) else str(len(found["steps"]))),
        ]
    )
    note(f"wrote {found['atlas']}")


def show_picked(run: "Run", question: str, *, as_json: bool) -> None:
    """The heads that a question names, as a table.

    Raises:
        InputError, SelectionError, UnknownWordError, NotKeptError: as `Run.pick`.
    """
    found = run.pick(question)
    if as_json:
        print_json(found.to_json())
        return
    print_facts([("question", found.query), ("heads", str(len(found.heads)))])
    print_table(
        ["site", "head", "value" if found.unit is None else found.unit, "95%"],
        (
            [
                each.site,
                str(each.head),
                "" if each.value is None else f"{each.value:.4g}",
                "" if each.low is None or each.high is None else f"{each.low:.3g} to {each.high:.3g}",
            ]
            for each in found.heads
        ),
    )
    for sites, heads in found.aims:
        note(f'an edit at these takes: sites="{sites}" heads="{heads}"')


def _content(show: str | None, word: str | None) -> "Content":
    from diffuscope.analysis.atlas import Content, content_of

    if show is None:
        if word is None:
            raise InputError(
                "say what the atlas shows: --word W, or --show received, focus, contribution or signed"
            )
        return Content("word", word)
    content = content_of(show if show != "word" else f"word:{word or ''}")
    if word is not None and content.word is None and content.family in ("contribution", "signed"):
        return Content(content.family, word)
    return content


def _mean(run: "Run", content: "Content", steps: tuple[int, ...], names: tuple[str, ...]) -> dict[str, Any]:
    total: dict[str, Any] = {}
    with progress_bar("reading", unit="steps") as on_step:
        for done, step in enumerate(steps, start=1):
            for name, maps in run.atlas.at(content, step, names).items():
                total[name] = total[name] + maps if name in total else maps.astype("float64")
            run.recording.let_go(step)
            on_step(done, len(steps))
    return {name: each / len(steps) for name, each in total.items()}


def _read_projections(run: "Run", model: str | None, device: str | None) -> None:
    """Have the model's output projections where the run has none: the sign of a contribution needs them."""
    try:
        _ = run.atlas.projections
    except NotKeptError:
        from diffuscope import Lens
        from diffuscope.analysis.atlas.survey import keep_projections
        from diffuscope.engine.models.reopening import reopen
        from diffuscope.engine.quiet import quiet_libraries

        quiet_libraries()
        loaded = reopen(run.manifest, model, device)
        lens = Lens(loaded.pipe, loaded=loaded)
        keep_projections(run.recording, lens.output_projections(run))
