"""What a study found, as plain values: levels, effects with their controls, curves, examples, failures, costs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from diffuscope.studies import statistics
from diffuscope.studies.measuring import Quantity, quantities
from diffuscope.studies.plan import Plan
from diffuscope.studies.statistics import Interval, Paired, Survival
from diffuscope.studies.study import Status, Study

Key = tuple[int, int]
"""Prompt and seed: what makes two runs a pair."""

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Level:
    """A measure under one condition.

    Attributes:
        condition: its name.
        interval: mean over runs, clustered by prompt; None where no run has a value.
        missing: runs without an answer.
        survival: of measures that are steps: the curve; else None.
        median: of those: median step and its interval, None for never.
        chance_p: where chance is known and answers are yes or no: that chance alone gives this share or one as far off.
    """

    condition: str
    interval: Interval | None
    missing: int
    survival: Survival | None = None
    median: tuple[float | None, float | None, float | None] | None = None
    chance_p: float | None = None


@dataclass(frozen=True)
class Effect:
    """A condition against the baseline, on the same prompts and seeds.

    Attributes:
        condition, baseline: names.
        control_of: the condition that this one controls for, if it is a control.
        paired: the comparison of values; of steps, among pairs in which both came.
        by_chance: half width of the band in which the mean difference lies in 95 of 100 cases when the labels of the
        two
            conditions are exchanged at random within prompts: the effect that no effect gives.
        corrected: `paired.p` corrected for all effects of the report on this side of the split (Holm).
        earlier: of steps: (share of prompts in which it comes earlier than in the baseline, sign test's p), with never
            counted as later than every step; else None.
        unpaired: runs without a partner that has a value.
        examples: pairs with the largest, middle and smallest difference.
    """

    condition: str
    baseline: str
    control_of: str | None
    paired: Paired | None
    by_chance: float | None
    corrected: float | None
    earlier: tuple[float, float] | None
    unpaired: int
    examples: tuple[Example, ...]


@dataclass(frozen=True)
class Example:
    """A pair (or, without conditions, a run): where it stands, its values, its pictures as WebP."""

    place: str
    prompt: str
    seed: int
    values: tuple[float | None, ...]
    labels: tuple[str, ...]
    pictures: tuple[bytes | None, ...]


@dataclass(frozen=True)
class Question:
    """One measure of one target, on one side of the split.

    Attributes:
        measure, target, component: which.
        split: which side: explored, held out, or all.
        title, unit, definition, source: as the measure declares.
        steps: whether its values are steps that may never come.
        chance: the level that chance reaches, where the plan says so.
        bounds: lowest and highest possible value, where there are.
        levels, effects: see there. `examples` of the baseline where there is no effect.
    """

    measure: str
    target: str
    component: str
    split: str
    title: str
    unit: str
    definition: str
    source: str
    steps: bool
    chance: float | None
    bounds: tuple[float, float] | None
    levels: tuple[Level, ...]
    effects: tuple[Effect, ...]
    examples: tuple[Example, ...]

    @property
    def name(self) -> str:
        """How it is called on pages: ``mass of {shape}``."""
        part = f", {self.component}" if self.component else ""
        return f"{self.title}{f' of {self.target}' if self.target else ''}{part}"


@dataclass(frozen=True)
class Findings:
    """Everything that the report shows."""

    plan: Plan
    study: str
    prompts: tuple[str, ...]
    status: Status
    model: Mapping[str, Any]
    software: str
    questions: tuple[Question, ...]
    failures: tuple[Row, ...]
    sessions: tuple[Row, ...]

    def facts(self) -> dict[str, Any]:
        """Plain values for ``--json``, pictures left out."""
        plain = asdict(self)
        plain["plan"] = self.plan.plain()
        for question in plain["questions"]:
            for each in (question, *question["effects"]):
                for example in each["examples"]:
                    del example["pictures"]
        return plain


def findings(study: Study, modules: Sequence[str] = ()) -> Findings:
    """Compute what a study found, as far as it is. No model is needed.

    Args:
        study: the study.
        modules: modules that declare measures, for their definitions.
    """
    table = study.runs()
    runs = table.drop_columns(["thumbnail"]).to_pylist()
    # Pictures of a million runs are gigabytes, and a dozen are shown: each stays where it is until it is asked for.
    for index, row in enumerate(runs):
        row["index"] = index
    pictures = _Pictures(table["thumbnail"])
    values = [row for row in study.values().to_pylist() if row["step"] is None]
    ok = {row["unit"]: row for row in runs if row["status"] == "ok"}
    values = [row for row in values if row["unit"] in ok]
    known = quantities(modules)
    questions = []
    for side in dict.fromkeys(prompt.split for prompt in study.prompts):
        here = [row for row in values if row["split"] == side]
        made = [_question(study.plan, ok, part, known, pictures) for part in _parts(study.plan, here)]
        questions += _with_corrections(made)
    failures = [row for row in runs if row["status"] != "ok"]
    software = next((row["software"] for row in reversed(runs) if row["software"]), "{}")
    return Findings(
        plan=study.plan,
        study=study.folder.name,
        prompts=tuple(prompt.text for prompt in study.prompts),
        status=study.status(),
        model=study.model or {},
        software=software,
        questions=tuple(questions),
        failures=tuple(
            {name: row[name] for name in ("prompt", "seed", "condition", "error_kind", "error", "attempt")}
            for row in failures
        ),
        sessions=tuple(study.sessions()),
    )


def _parts(plan: Plan, rows: list[dict[str, Any]]) -> Iterable[list[dict[str, Any]]]:
    """Rows of each measure, target and component, in the plan's order. Flags beside a moment are no question."""
    found: dict[tuple[str, str, str], list[dict[str, Any]]] = {}
    for row in rows:
        if row["component"] not in ("flat", "boundary"):
            found.setdefault((row["measure"], row["target"], row["component"]), []).append(row)
    order = [choice.name for choice in plan.measures]
    return [found[key] for key in sorted(found, key=lambda key: (order.index(key[0]), key[1], key[2]))]


def _question(
    plan: Plan,
    runs: Mapping[str, Row],
    rows: list[dict[str, Any]],
    known: Mapping[str, Quantity],
    pictures: _Pictures,
) -> Question:
    first = rows[0]
    choice = next(each for each in plan.measures if each.name == first["measure"])
    quantity = known.get(choice.name)
    steps = any(row["seen_to"] is not None for row in rows)
    by_condition: dict[str, dict[Key, dict[str, Any]]] = {name: {} for name in plan.conditions}
    for row in rows:
        by_condition[row["condition"]][(row["prompt_index"], row["seed"])] = row
    base = by_condition[plan.baseline]
    effects = tuple(
        _effect(plan, name, base, there, runs, steps, pictures)
        for name, there in by_condition.items()
        if name != plan.baseline and there
    )
    return Question(
        measure=choice.name,
        target=first["target"],
        component=first["component"],
        split=first["split"],
        title=quantity.title if quantity else choice.name,
        unit="log-SNR" if first["component"] == "log_snr" else quantity.unit if quantity else "",
        definition=quantity.definition if quantity else "",
        source=quantity.source if quantity else "",
        steps=steps,
        chance=choice.chance,
        bounds=quantity.bounds if quantity else None,
        levels=tuple(
            _level(name, there, steps, choice.chance) for name, there in by_condition.items() if there
        ),
        effects=effects,
        examples=() if effects else _examples_alone(plan.baseline, base, runs, pictures),
    )


def _level(name: str, rows: Mapping[Key, Row], steps: bool, chance: float | None) -> Level:
    there = [(key, row["value"]) for key, row in rows.items() if row["value"] is not None]
    interval = (
        statistics.clustered([value for _, value in there], [key[0] for key, _ in there]) if there else None
    )
    curve = median = chance_p = None
    if steps:
        waited = [(key, row) for key, row in rows.items() if row["value"] is not None or row["censored"]]
        at = [float(row["seen_to"] if row["value"] is None else row["value"]) for _, row in waited]
        gone = [bool(row["censored"]) for _, row in waited]
        if waited:
            curve = statistics.survival(at, gone)
            median = statistics.median_step(at, gone, [key[0] for key, _ in waited])
    elif chance is not None and there and {value for _, value in there} <= {0.0, 1.0}:
        chance_p = statistics.proportion(sum(value == 1.0 for _, value in there), len(there), chance=chance)[
            1
        ]
    missing = sum(row["value"] is None and not row["censored"] for row in rows.values())
    return Level(name, interval, missing, curve, median, chance_p)


def _effect(
    plan: Plan,
    name: str,
    base: Mapping[Key, Row],
    there: Mapping[Key, Row],
    runs: Mapping[str, Row],
    steps: bool,
    pictures: _Pictures,
) -> Effect:
    both = [key for key in there if key in base]
    valued = [key for key in both if there[key]["value"] is not None and base[key]["value"] is not None]
    differences = {key: there[key]["value"] - base[key]["value"] for key in valued}
    groups = [key[0] for key in valued]
    compared = statistics.paired(list(differences.values()), groups) if valued else None
    order = None
    if steps and both:

        def at(row: Row) -> float:
            return float("inf") if row["value"] is None else float(row["value"])

        order = statistics.earlier(
            [at(there[key]) for key in both], [at(base[key]) for key in both], [key[0] for key in both]
        )
    ranked = sorted(differences, key=lambda key: differences[key], reverse=True)
    examples = []
    for place, key in _three(ranked):
        pair = (base[key], there[key])
        examples.append(
            Example(
                place,
                runs[pair[1]["unit"]]["prompt"],
                key[1],
                tuple(row["value"] for row in pair),
                (plan.baseline, name),
                tuple(pictures.of(runs[row["unit"]]) for row in pair),
            )
        )
    return Effect(
        condition=name,
        baseline=plan.baseline,
        control_of=plan.conditions[name].control_of,
        paired=compared,
        by_chance=_by_chance(list(differences.values()), groups) if valued else None,
        corrected=None,
        earlier=order,
        unpaired=len(there) + len(base) - 2 * len(valued),
        examples=tuple(examples),
    )


def _examples_alone(
    name: str, rows: Mapping[Key, Row], runs: Mapping[str, Row], pictures: _Pictures
) -> tuple[Example, ...]:
    ranked = sorted(
        (key for key, row in rows.items() if row["value"] is not None),
        key=lambda key: rows[key]["value"],
        reverse=True,
    )
    return tuple(
        Example(
            place,
            runs[rows[key]["unit"]]["prompt"],
            key[1],
            (rows[key]["value"],),
            (name,),
            (pictures.of(runs[rows[key]["unit"]]),),
        )
        for place, key in _three(ranked)
    )


class _Pictures:
    """The column of pictures."""

    def __init__(self, column: Any) -> None:
        self._column = column

    def of(self, row: Row) -> bytes | None:
        content: bytes | None = self._column[row["index"]].as_py()
        return content


def _three(ranked: Sequence[Key]) -> list[tuple[str, Key]]:
    """The first, the middle and the last, as far as they are different ones."""
    if len(ranked) < 3:
        return list(zip(("highest", "lowest"), ranked, strict=False))
    return [("highest", ranked[0]), ("median", ranked[len(ranked) // 2]), ("lowest", ranked[-1])]


def _by_chance(
    differences: Sequence[float], groups: Sequence[int], *, resamples: int = 4000, seed: int = 0
) -> float:
    """Half width of the 95% band of the mean difference under random signs of the prompts."""
    given, at = np.asarray(differences), np.asarray(groups)
    sums = np.array([given[at == name].sum() for name in np.unique(at)])
    signs = np.random.default_rng(seed).choice([-1.0, 1.0], size=(resamples, len(sums)))
    return float(np.quantile(np.abs(signs @ sums) / len(given), 0.95))


def _with_corrections(questions: list[Question]) -> list[Question]:
    """Effects with p-values corrected for how many tests the report makes on this side."""
    from dataclasses import replace

    every = [effect.paired.p for question in questions for effect in question.effects if effect.paired]
    adjusted = iter(statistics.corrected(every, "holm"))
    return [
        replace(
            question,
            effects=tuple(
                replace(effect, corrected=next(adjusted)) if effect.paired else effect
                for effect in question.effects
            ),
        )
        for question in questions
    ]
