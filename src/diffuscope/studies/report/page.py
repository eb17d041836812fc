"""The page: findings and charts as one HTML file. No script, no network; everything from the study is data."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Mapping
from html import escape
from importlib.resources import files
from typing import Any

from rich.filesize import decimal

from diffuscope.studies.report.charts import Chart
from diffuscope.studies.report.findings import Effect, Example, Findings, Level, Question

POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'"

MOST_FAILURES = 50

HOW_TO_READ = """\
Intervals are 95% bootstrap intervals clustered by prompt: runs of one prompt are alike, so whole prompts are drawn
again, not runs.

An effect is the mean difference to the baseline over pairs of one prompt and seed. Below it stands the control's
effect, where the plan names a control, and beside it what chance gives: the band in which the mean difference lies
in 95 of 100 cases when the two labels are exchanged at random within prompts.

p is that of the same exchange (sign-flip permutation over prompts), corrected for all effects on this side of the split
by Holm's method. d is the mean over the standard deviation of the prompts' differences.

A step that never came is censored, not left out: its curve counts it as not reached, and “earlier” counts it as later
than every step. The difference in steps is over pairs in which both came, and says how many those are.
"""


def page(found: Findings, charts: Mapping[int, list[Chart]], generator: str) -> str:
    """The whole page; `charts` are those of each question by its place."""
    style = files("diffuscope.studies.report").joinpath("page.css").read_text(encoding="utf-8")
    parts = [_asked(found), _drawn(found), _failed(found)]
    splits = list(dict.fromkeys(question.split for question in found.questions))
    for split in splits:
        if len(splits) > 1:
            parts.append(f'<h2 class="split">{escape(split.capitalize())} prompts</h2>')
        parts += [
            _question(question, charts.get(index, []))
            for index, question in enumerate(found.questions)
            if question.split == split
        ]
    if not found.questions:
        parts.append('<section><p class="notice">No run has been measured yet.</p></section>')
    parts += [_cost(found), _reading(), _origin(found)]
    title = escape(f"{found.study} · study")
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark">'
        f'<meta name="generator" content="{escape(generator)}"><title>{title}</title><style>{style}</style></head>'
        f"<body><main>{''.join(parts)}</main></body></html>\n"
    )


def _asked(found: Findings) -> str:
    plan = found.plan
    question = f'<p class="question">{escape(plan.question)}</p>' if plan.question else ""
    shown = "".join(f"<li>{escape(text)}</li>" for text in found.prompts[:5])
    more = f"<li>and {len(found.prompts) - 5} more</li>" if len(found.prompts) > 5 else ""
    conditions = "".join(
        f"<li><b>{escape(name)}</b>{_condition(found, name)}</li>" for name in plan.conditions
    )
    facts = [
        ("model", escape(plan.model.id)),
        ("settings", escape(_settings(plan.settings.over(plan.settings)) or "the pipeline's own")),
        ("seeds", f"{len(plan.seeds)} for each prompt"),
        ("held out", f"{plan.held_out.share:.0%} of the prompts" if plan.held_out else "no prompts"),
        ("conditions", f"<ul>{conditions}</ul>"),
        ("prompts", f"<ul>{shown}{more}</ul>"),
    ]
    return (
        f"<header><p class='kind'>Study</p><h1>{escape(found.study)}</h1>{question}{_facts(facts)}</header>"
    )


def _condition(found: Findings, name: str) -> str:
    condition = found.plan.conditions[name]
    told = []
    if name == found.plan.baseline:
        told.append("the baseline")
    if text := _settings(condition.settings.over(condition.settings)):
        told.append(text)
    if condition.edits:
        told.append(json.dumps(list(condition.edits), ensure_ascii=False))
    if condition.prompt:
        told.append(f"worded “{condition.prompt}”")
    if condition.control_of:
        told.append(f"control of {condition.control_of}")
    return escape(f": {'; '.join(told)}") if told else ""


def _drawn(found: Findings) -> str:
    status = found.status
    rows: list[tuple[str, ...]] = [
        (escape(name), str(done), str(failed), str(total - done - failed), str(total))
        for name, (done, failed, total) in status.by_condition.items()
    ]
    rows.append(
        (
            "<b>together</b>",
            *(f"<b>{n}</b>" for n in (status.done, status.failed, status.pending, status.total)),
        )
    )
    left = (
        f'<p class="notice">The study is not finished: {status.pending} of {status.total} '
        f"runs are still to be drawn.</p>"
        if status.pending
        else ""
    )
    table = _table(("condition", "drawn", "failed", "to come", "planned"), rows)
    return f"<section><h2>How much was drawn</h2>{left}{table}</section>"


def _question(question: Question, charts: list[Chart]) -> str:
    figures = "".join(f'<figure class="chart" tabindex="0">{chart.svg()}</figure>' for chart in charts)
    source = f' <span class="muted">({escape(question.source)})</span>' if question.source else ""
    parts = [
        f"<h2>{escape(question.name)}</h2>",
        f'<p class="definition">{escape(question.definition)} Unit: {escape(question.unit)}.{source}</p>',
        figures,
        _levels(question),
    ]
    if question.effects:
        parts.append(_effects(question))
    for effect in question.effects:
        if effect.examples and effect.control_of is None:
            parts.append(f"<h3>Examples: {escape(effect.condition)} against {escape(effect.baseline)}</h3>")
            parts.append(_examples(effect.examples))
    if question.examples:
        parts += ["<h3>Examples</h3>", _examples(question.examples)]
    return f"<section>{''.join(parts)}</section>"


def _levels(question: Question) -> str:
    mean = "mean where it came" if question.steps else "mean"
    columns = ["condition", mean, "95% interval", "runs", "prompts"]
    if question.steps:
        columns += ["median step", "reached"]
    if question.chance is not None:
        columns += ["chance", "p of chance"]
    if any(level.missing for level in question.levels):
        columns.append("no answer")
    return _table(columns, [_level(level, question, columns) for level in question.levels])


def _level(level: Level, question: Question, columns: list[str]) -> list[str]:
    interval = level.interval
    cells = {
        "condition": escape(level.condition),
        columns[1]: _number(interval.value) if interval else "–",
        "95% interval": _span(interval.low, interval.high) if interval else "–",
        "runs": str(interval.n) if interval else "0",
        "prompts": str(interval.clusters) if interval else "0",
        "chance": _number(question.chance),
        "p of chance": _p(level.chance_p),
        "no answer": str(level.missing),
    }
    if level.survival is not None and level.median is not None:
        middle, low, high = ("never" if each is None else f"{each:g}" for each in level.median)
        cells["median step"] = middle if middle == low == high else f"{middle} ({low} to {high})"
        cells["reached"] = f"{level.survival.reached} of {level.survival.n}"
    return [cells.get(column, "–") for column in columns]


def _effects(question: Question) -> str:
    """Each effect, and its control in the row below it."""
    controls = {effect.control_of: effect for effect in question.effects if effect.control_of}
    rows = []
    for effect in question.effects:
        if effect.control_of:
            continue
        control = controls.get(effect.condition)
        rows.append(_effect(effect, question.steps, f"<b>{escape(effect.condition)}</b>"))
        if control is None:
            rows[-1][0] += '<br><span class="muted">no control in the plan</span>'
        else:
            name = f"its control: {escape(control.condition)}"
            rows.append(
                [f'<span class="control">{cell}</span>' for cell in _effect(control, question.steps, name)]
            )
    head = ["condition", "difference", "95% interval", "pairs"]
    if question.steps:
        head += ["earlier in", "sign test p"]
    head += ["d", "p (Holm)", "by chance alone"]
    return f"<h3>Effects: difference to {escape(question.effects[0].baseline)}</h3>{_table(head, rows, 'effects')}"


def _effect(effect: Effect, steps: bool, name: str) -> list[str]:
    found = effect.paired
    order = []
    if steps:
        order = (
            ["–", "–"]
            if effect.earlier is None
            else [f"{effect.earlier[0]:.0%} of prompts", _p(effect.earlier[1])]
        )
    if found is None:
        return [name, "–", "–", "0", *order, "–", "–", "–"]
    difference = found.difference
    return [
        name,
        _signed(difference.value),
        _span(difference.low, difference.high, signed=True),
        f"{difference.n} ({difference.clusters} prompts)",
        *order,
        _number(found.standardised),
        _p(effect.corrected),
        f"± {_number(effect.by_chance)}",
    ]


def _examples(examples: Iterable[Example]) -> str:
    return f'<div class="examples">{"".join(map(_example, examples))}</div>'


def _example(example: Example) -> str:
    pictures = "".join(
        '<figure class="picture">'
        + (
            f'<img alt="{escape(f"{example.prompt}, {label}")}" '
            f'src="data:image/webp;base64,{base64.b64encode(content).decode()}">'
            if content
            else '<span class="blank">no picture kept</span>'
        )
        + f"<figcaption>{escape(label)}<br>{_number(value)}</figcaption></figure>"
        for label, value, content in zip(example.labels, example.values, example.pictures, strict=True)
    )
    return (
        f'<article><p class="place">{escape(example.place)}</p><div class="pair">{pictures}</div>'
        f'<p class="caption">{escape(example.prompt)} <span class="muted">seed {example.seed}</span></p></article>'
    )


def _failed(found: Findings) -> str:
    if not found.failures:
        return "<section><h2>What failed</h2><p>Nothing.</p></section>"
    rows = [
        (
            escape(row["error_kind"] or ""),
            escape(row["error"] or ""),
            escape(row["prompt"]),
            str(row["seed"]),
            escape(row["condition"]),
            str(row["attempt"]),
        )
        for row in found.failures[:MOST_FAILURES]
    ]
    more = len(found.failures) - len(rows)
    told = f"<p>{more} more stand in the table of runs.</p>" if more else ""
    table = _table(("kind", "error", "prompt", "seed", "condition", "tried"), rows, "words")
    return f"<section><h2>What failed</h2>{table}{told}</section>"


def _cost(found: Findings) -> str:
    status = found.status
    if status.seconds is None:
        return ""
    kept, table = status.kept_bytes / max(status.done, 1), status.table_bytes / max(status.done, 1)
    hours = 1e6 * status.seconds / 3600
    facts = [
        ("a run took", f"{status.seconds:.3g} s of one worker, measuring included"),
        ("and kept", f"{decimal(round(kept))} of recording, {decimal(round(table))} of table"),
        (
            "a million such runs",
            f"{hours:,.0f} hours of one worker, {decimal(round(1e6 * (kept + table)))} on disk",
        ),
    ]
    return f"<section><h2>What it cost</h2>{_facts(facts)}</section>"


def _reading() -> str:
    lines = "".join(f"<li>{escape(line)}</li>" for line in HOW_TO_READ.strip().split("\n\n"))
    return f'<section><h2>How to read this</h2><ul class="prose">{lines}</ul></section>'


def _origin(found: Findings) -> str:
    model = found.model
    versions = json.loads(found.software)
    facts = [
        (
            "model",
            escape(
                f"{model.get('id', found.plan.model.id)}, {model.get('pipeline', '')}, {model.get('dtype', '')}"
            ),
        ),
        ("its fingerprint", f"<code>{escape(str(model.get('fingerprint', 'not loaded yet')))}</code>"),
        ("plan", f"<code>{found.plan.sha256}</code>"),
        ("software", escape(", ".join(f"{name} {version}" for name, version in versions.items()))),
    ]
    return f"<section><h2>Where it comes from</h2>{_facts(facts)}</section>"


def _facts(facts: Iterable[tuple[str, str]]) -> str:
    return f"<dl>{''.join(f'<dt>{name}</dt><dd>{value}</dd>' for name, value in facts)}</dl>"


def _table(head: Iterable[str], rows: Iterable[Iterable[str]], kind: str = "numbers") -> str:
    top = "".join(f'<th scope="col">{escape(name)}</th>' for name in head)
    body = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    inside = f"<thead><tr>{top}</tr></thead><tbody>{body}</tbody>"
    return f'<div class="wide" tabindex="0"><table class="{kind}">{inside}</table></div>'


def _settings(settings: Mapping[str, Any]) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in settings.items())


def _number(value: float | None) -> str:
    return "–" if value is None or value != value else f"{value:.3g}".replace("-", "−")


def _signed(value: float) -> str:
    return f"{value:+.3g}".replace("-", "−")


def _span(low: float, high: float, *, signed: bool = False) -> str:
    if low != low:
        return "one prompt has none"
    return f"{_signed(low)} to {_signed(high)}" if signed else f"{_number(low)} to {_number(high)}"


def _p(value: float | None) -> str:
    if value is None:
        return "–"
    return "< 0.001" if value < 0.001 else f"{value:.3f}"
