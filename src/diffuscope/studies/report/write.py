"""Writing the report: one HTML file, and a folder of its figures and numbers."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from pathlib import Path

import diffuscope
from diffuscope.errors import RunFolderError
from diffuscope.recording.files import write_atomic
from diffuscope.studies.report.charts import Chart, levels_and_effects, waiting
from diffuscope.studies.report.findings import Findings
from diffuscope.studies.report.page import page

EFFECTS = (
    "measure", "target", "component", "split", "condition", "baseline", "control_of",
    "difference", "low", "high", "pairs", "prompts", "standardised", "p", "p_holm",
    "wilcoxon_p", "by_chance", "earlier", "earlier_p",
)  # fmt: skip
"""Columns of ``effects.csv``."""


@dataclass(frozen=True)
class Written:
    """Where the report is: the page, the folder of figures, and how many there are."""

    page: Path
    figures: Path
    number: int


def write_report(found: Findings, path: str | Path) -> Written:
    """Write the page to `path` and its figures to a folder beside it, each as SVG and PNG, effects as CSV.

    Raises:
        RunFolderError: they cannot be written.
        MissingExtraError: drawing needs the extra ``studies``.
    """
    path = Path(path)
    charts: dict[int, list[Chart]] = {}
    for index, question in enumerate(found.questions):
        charts[index] = [
            chart for chart in (levels_and_effects(question), waiting(question)) if chart is not None
        ]
    every = [chart for each in charts.values() for chart in each]
    folder = path.with_name(f"{path.stem}-figures")
    text = page(found, charts, f"diffuscope {diffuscope.__version__}")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for chart in every:
            for kind in ("svg", "png"):
                write_atomic(folder / f"{chart.name}.{kind}", [chart.file(kind)])
        write_atomic(folder / "effects.csv", [_effects(found).encode("utf-8")])
        write_atomic(path, [text.encode("utf-8")])
    except OSError as error:
        raise RunFolderError(f"cannot write the report {path}: {error.strerror or error}") from error
    return Written(path, folder, len(every))


def _effects(found: Findings) -> str:
    out = io.StringIO()
    rows = csv.DictWriter(out, EFFECTS, lineterminator="\n")
    rows.writeheader()
    for question in found.questions:
        for effect in question.effects:
            row = {
                "measure": question.measure,
                "target": question.target,
                "component": question.component,
                "split": question.split,
                "condition": effect.condition,
                "baseline": effect.baseline,
                "control_of": effect.control_of,
                "by_chance": effect.by_chance,
                "p_holm": effect.corrected,
            }
            if effect.paired is not None:
                difference = effect.paired.difference
                row |= {
                    "difference": difference.value,
                    "low": difference.low,
                    "high": difference.high,
                    "pairs": difference.n,
                    "prompts": difference.clusters,
                    "standardised": effect.paired.standardised,
                    "p": effect.paired.p,
                    "wilcoxon_p": effect.paired.wilcoxon,
                }
            if effect.earlier is not None:
                row |= {"earlier": effect.earlier[0], "earlier_p": effect.earlier[1]}
            rows.writerow(row)
    return out.getvalue()
