"""What a selection names in a recording: its steps, and the sites that have text among their keys."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from diffuscope.errors import NotKeptError, SelectionError, listed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from diffuscope.maps.resize import Size
    from diffuscope.recording import Recording, Site
    from diffuscope.selection import Kind, Selection

WORDS: tuple[Kind, ...] = ("cross", "joint")
"""Kinds of sites that have text among their keys."""


def kept_text_sites(recording: Recording) -> list[Site]:
    """Kept sites whose keys are text, alone or with the picture (joint), in the order of the data.

    Raises:
        NotKeptError: there is none; the error names the level that would have kept them.
    """
    manifest = recording.manifest
    names = set(manifest.keep.sites)
    kept = [site for site in manifest.sites if site.kind in WORDS and site.name in names]
    if not kept:
        raise NotKeptError(
            f"no {_kind(manifest.sites)}-attention site was kept in this run, so words have no map here; "
            "record it again with keep='maps' or higher and without limiting the sites"
        )
    return kept


def _kind(sites: Sequence[Site]) -> Kind:
    """What the sites with words are called in messages: no model has both kinds."""
    return "joint" if any(site.kind == "joint" for site in sites) else "cross"


def chosen_sites(recording: Recording, selection: Selection) -> list[Site]:
    """The kept sites with text among their keys that a selection names.

    Raises:
        NotKeptError: some were not kept; the error names the level that would have kept them.
        SelectionError: there are no such sites, or their keys are no text.
    """
    kept = {site.name: site for site in kept_text_sites(recording)}
    known: tuple[str, ...] = ()
    try:
        return [kept[name] for name in selection.resolve_sites(list(kept), _kind(list(kept.values())))]
    except SelectionError:
        every = [site.name for site in recording.manifest.sites]
        with suppress(SelectionError):
            known = selection.resolve_sites(every)
        if not known:
            raise
    lacking = [name for name in known if name not in kept]
    if any(name.startswith(("cross:", "joint:")) for name in lacking):
        heads = "qk" if _kind(recording.manifest.sites) == "joint" else "cross"
        raise NotKeptError(
            f"not kept in this run: {listed(lacking)}; record again with these sites (keep='maps' holds their word "
            f"maps, keep={heads!r} their heads), or choose from those kept: {listed(list(kept))}"
        )
    raise SelectionError(
        f"words have no map at {listed(lacking)}, where the keys are no text; sites with words: "
        f"{listed(list(kept))}"
    )


def chosen_steps(recording: Recording, selection: Selection) -> tuple[int, ...]:
    """Indices of the recorded steps that a selection names, ascending.

    Raises:
        SelectionError: a step was not recorded.
        NotKeptError: attention of a step was not kept.
    """
    manifest = recording.manifest
    recorded = [step.index for step in manifest.steps]
    if not recorded:
        raise SelectionError(
            "this run was stopped before its first step was whole, so there is nothing to show"
        )
    attended = recording.attended_steps
    if selection.steps == "all":
        if not attended:
            raise NotKeptError(
                f"this run was stopped before a step whose attention was to be kept ({manifest.keep.steps})"
            )
        return attended
    wanted = selection.resolve_steps(recorded[-1] + 1)
    lacking = sorted(set(wanted) - set(recorded))
    if lacking:
        raise SelectionError(f"these steps were not recorded: {listed([str(step) for step in lacking])}")
    lacking = sorted(set(wanted) - set(attended))
    if lacking:
        raise NotKeptError(
            f"attention of these steps was not kept: {listed([str(step) for step in lacking])}; "
            f"this run kept that of {manifest.keep.steps}"
        )
    return wanted


def chosen_heads(sites: list[Site], selection: Selection) -> dict[str, tuple[int, ...]]:
    """Head indices of each site. All are checked before any is read: a wrong number says so at once, at any site.

    Raises:
        SelectionError: a site has no head of a number named.
    """
    return {site.name: selection.resolve_heads(site.heads, site.name) for site in sites}


def grid_of(site: Site) -> Size:
    """``(height, width)`` of a site's queries."""
    height, width = site.grid
    return height, width
