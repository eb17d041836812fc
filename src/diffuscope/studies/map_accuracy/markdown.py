"""An evaluation's table as Markdown, for documentation."""

from __future__ import annotations

from diffuscope.analysis.objects.segmentation_accuracy import Estimate
from diffuscope.studies.map_accuracy.study import Findings

HEADER = (
    "map",
    "IoU at 0.4",
    "IoU at best",
    "at",
    "of ceiling",
    "AP",
    "ahead of DAAM's word",
    "of its phrase",
)


def markdown(found: Findings) -> str:
    """What was looked at in a sentence, and the table; the best general refinement in bold."""
    tuned = found.tuned_on
    said = (
        f"{found.looked_at} pictures of {found.steps} steps. Reported: {found.objects} objects ({found.coloured} with "
        f"a colour word) of {found.classes} classes in {found.pictures} pictures of {found.prompts} prompts; chosen on "
        f"{tuned[2]} objects in {tuned[1]} pictures of {tuned[0]} others. Left out: {found.missing} things that were "
        "not found or stand twice."
    )
    lines = [
        said,
        "",
        _line(HEADER),
        _line(["---"] * len(HEADER)),
    ]
    for row in found.rows:
        name = f"**{row.name}**" if row.name == found.general else row.name
        if row.none:
            name += f" ({row.none} without a map)"
        lines.append(
            _line(
                (
                    name,
                    _told(row.iou),
                    _told(row.best),
                    f"{row.threshold:.2f}",
                    f"{100 * row.share:.0f} %",
                    _told(row.ap),
                    _told(row.ahead, "+.3f"),
                    _told(row.ahead_phrase, "+.3f"),
                )
            )
        )
    if found.control is not None:
        told = found.control
        said = (
            f"Control: in the {told.pictures} reported pictures of several things the map in bold has an IoU of "
            f"{_told(told.own)} with the mask of its own thing and of {_told(told.other)} with that of another; its "
            f"own is the larger in {told.right} of {told.pictures}."
        )
        lines += ["", said]
    return "\n".join(lines) + "\n"


def _line(cells: tuple[str, ...] | list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _told(estimate: Estimate, form: str = ".3f") -> str:
    return f"{estimate.value:{form}} ({estimate.low:{form}} to {estimate.high:{form}})"
