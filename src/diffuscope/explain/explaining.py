"""From a run, or a comparison, to an explanation: claims are collected and ranked, a writer writes, every sentence is
checked."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from diffuscope import edits as edit_values
from diffuscope.errors import NotKeptError, SelectionError, WriterError
from diffuscope.explain import collect, collect_pair, collect_words
from diffuscope.explain.brief import Brief, Draft, Sentence
from diffuscope.explain.builtin import BuiltIn
from diffuscope.explain.causes import causes, tests
from diffuscope.explain.checking import faults
from diffuscope.explain.claim import Claim, Part
from diffuscope.explain.evidence import Evidence
from diffuscope.explain.explanation import Checked, Diagnosis, Explanation, Failed
from diffuscope.explain.pair import Pair
from diffuscope.explain.reference import reference_of, shipped
from diffuscope.explain.remedies import with_counts
from diffuscope.explain.writers import Writer, find_writer
from diffuscope.maps.cache import RunCache
from diffuscope.maps.words import find

if TYPE_CHECKING:
    from diffuscope.analysis.comparing import Comparison
    from diffuscope.run import Run

CACHE = "claims"
SLOW = frozenset({"emergence_image", "times_true", "last_true"})
"""Statistics for which every predicted picture is judged."""
FORM = 1
"""Of the claims in a run's cache; a change of what is collected makes those there void."""


def explain_run(
    run: Run, writer: Writer | str = "builtin", *, word: str | None = None, quick: bool = False
) -> Explanation:
    """See `Run.explain`."""
    evidence = Evidence(run)
    asked = None if word is None else find(run.manifest.text, word).label
    if asked is not None and asked not in evidence.labels:
        raise SelectionError(
            f"{word!r} is no single word of the prompt; there are: {', '.join(evidence.labels)}"
        )
    claims = ranked([*cached_claims(evidence, asked, quick), *causes(evidence)])
    brief = _brief(evidence, claims, (), asked)
    return _written(run.id, None, evidence, brief, find_writer(writer))


def explain_comparison(
    comparison: Comparison, writer: Writer | str = "builtin", *, quick: bool = False
) -> Explanation:
    """See `Comparison.explain`."""
    assert comparison.runs is not None
    run, other = comparison.runs
    pair = Pair(run, other, comparison)
    own = [*cached_claims(pair.before, None, quick), *causes(pair.before)]
    claims = ranked([*own, *collect_pair.compared(pair)])
    known = set(map(str, run.manifest.edits))
    added = [each for each in other.manifest.edits if str(each) not in known]
    brief = _brief(pair.before, claims, tuple(_said(each) for each in added), None, pair=True)
    return _written(run.id, other.id, pair.before, brief, find_writer(writer))


def collected(evidence: Evidence, asked: str | None = None, quick: bool = False) -> Iterator[Claim]:
    """Every claim about a run but those of causal checks, in no order.

    Args:
        asked: label of a word whose account is wanted whatever became of it.
        quick: leave out what needs every predicted picture to be judged.
    """
    reference = reference_of(evidence.run)
    yield from collect.setting(evidence)
    yield from collect.outcome(evidence)
    if not evidence.run.steps or not evidence.labels:
        return
    try:
        evidence.sites  # noqa: B018 - raises where no word has a map
    except NotKeptError:
        return
    yield from collect.attention(evidence, reference)
    yield from collect_words.ignored(evidence, reference, asked, quick=quick)
    yield from collect_words.leaks(evidence)
    yield from collect_words.unusual(evidence, reference)
    yield from collect.first_look(evidence)
    yield from collect.where(evidence, reference)
    yield from collect.timing(evidence)
    if not quick:
        yield from collect.order(evidence)


def cached_claims(evidence: Evidence, asked: str | None, quick: bool) -> list[Claim]:
    """`collected`, from the run's cache where it has them."""
    cache = RunCache(evidence.run.recording)
    key = {
        "form": str(FORM),
        "asked": asked or "",
        "quick": str(quick),
        "reference": shipped().digest,
    }
    kept = cache.read(CACHE, key)
    if kept is None and quick:
        # What took longer holds what is asked for, and more.
        kept = cache.read(CACHE, {**key, "quick": str(False)})
    if kept is not None:
        found = [Claim.from_json(each) for each in json.loads(kept["json"].tobytes().decode())]
        return [each for each in found if each.statistic not in SLOW] if quick else found
    claims = [each for each in collected(evidence, asked, quick) if each.value is not None]
    said = json.dumps([each.to_json() for each in claims], sort_keys=True).encode()
    cache.write(CACHE, key, {"json": np.frombuffer(said, np.uint8)})
    return claims


def ranked(claims: Iterable[Claim]) -> tuple[Claim, ...]:
    """Claims with an answer, the most surprising and certain first, each with its id."""
    there = [each for each in claims if each.value is not None]
    by_rank = sorted(enumerate(there), key=lambda each: (-each[1].rank, each[0]))
    return tuple(replace(claim, id=f"c{at}") for at, (_, claim) in enumerate(by_rank, start=1))


def _brief(
    evidence: Evidence,
    claims: tuple[Claim, ...],
    edits: tuple[str, ...],
    asked: str | None,
    *,
    pair: bool = False,
) -> Brief:
    parts: list[Part] = ["setup", "comparison", "insight"] if pair else ["setup", "insight"]
    there = {claim.part for claim in claims}
    manifest = evidence.run.manifest
    return Brief(
        claims=claims,
        prompt=manifest.sampling.prompt,
        model=manifest.model.id,
        edits=edits,
        texts=evidence.texts,
        roles={label: evidence.role(label) for label in evidence.labels},
        parts=tuple(part for part in parts if part in there),
        complete=manifest.complete,
        asked=asked,
    )


def _said(given: Any) -> str:
    """An edit in words; a function has a name and no JSON form."""
    if given.get("edit") == "custom":
        return f"applies the function {given.get('name', '')}"
    described: str = edit_values.from_json(given).describe()
    return described


def _written(run: str, other: str | None, evidence: Evidence, brief: Brief, writer: Writer) -> Explanation:
    """The brief given to a writer, its sentences checked; the built-in text where the writer fails."""
    builtin, notes, name = BuiltIn(), [], writer.name
    try:
        draft = writer.write(brief)
        sentences, checked = check(draft, brief, builtin)
        if not sentences:
            raise WriterError("none of its sentences stood the check")
        lacking = [part for part in brief.parts if all(each.part != part for each in sentences)]
        if lacking and not isinstance(writer, BuiltIn):
            filled, _ = check(builtin.write(brief), brief, builtin)
            own = [each for each in filled if each.part in lacking]
            order = {part: at for at, part in enumerate(brief.parts)}
            sentences = tuple(sorted([*sentences, *own], key=lambda each: order[each.part]))
            if own:
                notes.append(f"{name} left out {' and '.join(lacking)}, which the built-in writer wrote.")
    except WriterError as error:
        draft, name = builtin.write(brief), builtin.name
        sentences, checked = check(draft, brief, builtin)
        notes.append(f"Written by the built-in writer: {error}.")
    if checked.failed:
        said = f"{len(checked.failed)} of {checked.written} sentences by {name} did not stand the check"
        notes.append(f"{said}: {checked.rewritten} rewritten, {checked.dropped} dropped.")
    return Explanation(
        run=run,
        other=other,
        prompt=brief.shown,
        sentences=sentences,
        claims=brief.claims,
        diagnoses=tuple(_diagnoses(evidence, brief)),
        writer=name,
        notes=tuple(notes),
        checked=checked,
        usage=draft.usage,
    )


def check(draft: Draft, brief: Brief, builtin: BuiltIn) -> tuple[tuple[Sentence, ...], Checked]:
    """The sentences of a draft that may stand, those of the built-in writer in place of others, and the count."""
    order = {part: at for at, part in enumerate(brief.parts)}
    kept: list[Sentence] = []
    failed: list[Failed] = []
    written = {each.text for each in draft.sentences}
    for sentence in draft.sentences:
        found = faults(sentence, brief)
        if not found:
            if sentence.text not in {each.text for each in kept}:
                kept.append(sentence)
            continue
        again = builtin.rewrite(sentence, brief)
        fit = again is not None and not faults(again, brief) and again.text not in written
        if again is not None and fit and again.text not in {each.text for each in kept}:
            kept.append(again)
            failed.append(Failed(sentence.text, tuple(found), again.text))
        else:
            failed.append(Failed(sentence.text, tuple(found)))
    kept.sort(key=lambda each: order[each.part])
    return tuple(kept), Checked(len(draft.sentences), tuple(failed))


def _diagnoses(evidence: Evidence, brief: Brief) -> Iterator[Diagnosis]:
    tested = set(tests(evidence))
    for group, claims in _accounts(brief).items():
        label = group.partition("/")[2]
        judged = next((claim for claim in claims if claim.statistic == "judged"), None)
        yield Diagnosis(
            word=label,
            came_true=None if judged is None else judged.value == 1.0,
            cites=tuple(claim.id for claim in claims),
            remedies=tuple(with_counts(evidence, label)),
            folder=str(evidence.run.path),
            tested=label in tested,
        )


def _accounts(brief: Brief) -> dict[str, list[Claim]]:
    """The accounts of words that went wrong or were asked about, the word asked about first."""
    groups = {
        name: claims
        for name, claims in brief.groups("insight").items()
        if name.startswith("ignored/") and claims[0].selection.word is not None
    }
    asked = f"ignored/{brief.asked}"
    return {name: groups[name] for name in sorted(groups, key=lambda each: each != asked)}
