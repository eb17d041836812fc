"""The explanation of a run as its report shows it: sentences, the evidence of each, what to try."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from diffuscope.errors import DiffuscopeError
from diffuscope.explain.explanation import CHECK, TITLES, capitalised
from diffuscope.explain.numbers import said
from diffuscope.explain.statistics import find_statistic

if TYPE_CHECKING:
    from diffuscope.explain import Claim, Diagnosis, Explanation
    from diffuscope.run import Run


def explanation_data(run: Run) -> dict[str, Any] | None:
    """What templates/js/explanation.js shows, as plain JSON values; None where nothing can be said. Predicted pictures
    are not judged for it, so that a report costs no more than its maps."""
    try:
        found = run.explain(quick=True)
    except DiffuscopeError:
        # A report of maps is worth having without its text.
        return None
    return told(found, run.path.name)


def told(found: Explanation, folder: str) -> dict[str, Any]:
    """An explanation as plain values.

    Args:
        found: it.
        folder: name of the run's folder, for commands: not its place on this machine.
    """
    return {
        "writer": found.writer,
        "notes": list(found.notes),
        "parts": [
            {
                "title": title,
                "paragraphs": [
                    [
                        {"text": each.text, "evidence": [_evidence(claim) for claim in found.cited(each)]}
                        for each in paragraph
                    ]
                    for paragraph in found.paragraphs(part)
                ],
            }
            for part, title in TITLES.items()
            if found.part(part)
        ],
        "tries": [each for diagnosis in found.diagnoses for each in _tries(diagnosis, folder)],
    }


def _tries(diagnosis: Diagnosis, folder: str) -> list[dict[str, Any]]:
    """What to try for a word, and the command that puts its map to a causal check, where none was made."""
    word = diagnosis.word
    found = [
        {
            "word": word,
            "title": capitalised(remedy),
            "arguments": ["explain", folder, "--word", word, "--try", remedy.what],
        }
        for remedy in diagnosis.remedies
    ]
    if found and not diagnosis.tested:
        found.append({"word": word, "title": CHECK, "arguments": ["faithfulness", folder, "--word", word]})
    return found


def _evidence(claim: Claim) -> dict[str, Any]:
    """A claim as a line: what was computed, of which selection, what it gave, and what it is held against."""
    statistic = find_statistic(claim.statistic)
    value = claim.value if isinstance(claim.value, str) else said(claim.number, claim.unit)
    held = claim.beside
    beside = "" if held is None else f"{said(held.value, claim.unit)}, {held.what}"
    if held is not None and held.low is not None and held.high is not None:
        beside += (
            f" (median; {said(held.low, claim.unit)} to {said(held.high, claim.unit)} is usual, n = {held.n})"
        )
    against = None if claim.against is None else str(claim.against)
    return {
        "id": claim.id,
        "title": statistic.title,
        "means": statistic.definition,
        "value": value,
        "selection": str(claim.selection) + ("" if against is None else f" against {against}"),
        "beside": beside,
        "word": claim.selection.word,
        "steps": claim.selection.steps,
    }
