"""Explanation: what a reader gets. Sentences in three parts, the claims that they cite, and what to try."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from diffuscope.explain.brief import Sentence
from diffuscope.explain.claim import Claim, Part
from diffuscope.explain.numbers import said
from diffuscope.explain.remedies import Remedy

TITLES: dict[Part, str] = {"setup": "Setup", "comparison": "Comparison", "insight": "Insight"}
"""The parts in their order, and what they are called."""
CHECK = "See whether its map tells what the word does"
"""What a causal check is for."""
RATHER_THAN = str.maketrans({each: f"\\{each}" for each in "\\`*_{}[]<>#|"})
"""Signs that mean something in Markdown, which text from outside is to keep as they are."""


@dataclass(frozen=True)
class Failed:
    """A sentence that a writer wrote and a reader does not get.

    Attributes:
        text: as it was written.
        faults: what is wrong with it.
        rewritten: what stands in its place, or None where it was dropped.
    """

    text: str
    faults: tuple[str, ...]
    rewritten: str | None = None

    def to_json(self) -> dict[str, Any]:
        return {"text": self.text, "faults": list(self.faults), "rewritten": self.rewritten}


@dataclass(frozen=True)
class Checked:
    """How a text fared when its sentences were checked.

    Attributes:
        written: sentences that the writer handed in.
        failed: those that were dropped or rewritten.
    """

    written: int
    failed: tuple[Failed, ...] = ()

    @property
    def rewritten(self) -> int:
        """Sentences that the built-in writer wrote anew from the same claims."""
        return sum(each.rewritten is not None for each in self.failed)

    @property
    def dropped(self) -> int:
        """Sentences that were left out."""
        return len(self.failed) - self.rewritten

    def to_json(self) -> dict[str, Any]:
        return {
            "written": self.written,
            "rewritten": self.rewritten,
            "dropped": self.dropped,
            "failed": [each.to_json() for each in self.failed],
        }


@dataclass(frozen=True)
class Diagnosis:
    """One word that went wrong, or that was asked about.

    Attributes:
        word: its label.
        came_true: what the judge says; None where there is none.
        cites: ids of the claims of its account.
        remedies: what to try, those that helped most often in the reference runs first.
        folder: of the run, for commands.
        tested: whether a causal check of the word was made.
    """

    word: str
    came_true: bool | None
    cites: tuple[str, ...]
    remedies: tuple[Remedy, ...]
    folder: str
    tested: bool = False

    def command(self, remedy: Remedy) -> str:
        """The command that applies a remedy."""
        return shlex.join(["diffuscope", "explain", self.folder, "--word", self.word, "--try", remedy.what])

    @property
    def check(self) -> str | None:
        """The command that puts the word's map to a causal check; None where one was made."""
        return (
            None
            if self.tested
            else shlex.join(["diffuscope", "faithfulness", self.folder, "--word", self.word])
        )

    def to_json(self) -> dict[str, Any]:
        return {
            "word": self.word,
            "came_true": self.came_true,
            "cites": list(self.cites),
            "tested": self.tested,
            "check": self.check,
            "try": [{**each.to_json(), "command": self.command(each)} for each in self.remedies],
        }


@dataclass(frozen=True)
class Explanation:
    """A run, or a run beside an edited one, in words that can be checked.

    Attributes:
        run: id of the run.
        other: id of the edited run that it is compared with, or None.
        prompt: of both, on one line.
        sentences: in the order in which they are read; each cites claims.
        claims: all that were found, the most surprising and certain first.
        diagnoses: words that went wrong, with what to try.
        writer: who wrote it: ``builtin``, or an endpoint's model.
        notes: what a reader should know of how it was made: an endpoint that was down, for instance.
        checked: how the sentences fared.
        usage: what writing cost, where it cost anything.
    """

    run: str
    other: str | None
    prompt: str
    sentences: tuple[Sentence, ...]
    claims: tuple[Claim, ...]
    diagnoses: tuple[Diagnosis, ...]
    writer: str
    notes: tuple[str, ...]
    checked: Checked
    usage: Mapping[str, float] = field(default_factory=dict)

    def part(self, part: Part) -> tuple[Sentence, ...]:
        """The sentences of a part; empty where it has none."""
        return tuple(each for each in self.sentences if each.part == part)

    def paragraphs(self, part: Part) -> list[list[Sentence]]:
        """The sentences of a part, in paragraphs: one for each account of a word, one for the rest."""
        groups = {each.id: each.group for each in self.claims}
        found: list[list[Sentence]] = []
        before = None
        for sentence in self.part(part):
            about = groups[sentence.cites[0]]
            about = about if about.startswith(("ignored/", "cause/")) else part
            if about != before:
                found.append([])
            found[-1].append(sentence)
            before = about
        return found

    @property
    def setup(self) -> str:
        """What was asked, and what came out."""
        return self._text("setup")

    @property
    def comparison(self) -> str:
        """What the edit did; empty where nothing was compared."""
        return self._text("comparison")

    @property
    def insight(self) -> str:
        """What stands out."""
        return self._text("insight")

    def _text(self, part: Part) -> str:
        return "\n\n".join(" ".join(each.text for each in paragraph) for paragraph in self.paragraphs(part))

    def claim(self, identity: str) -> Claim:
        """A claim by the id that sentences cite.

        Raises:
            KeyError: there is none.
        """
        return {each.id: each for each in self.claims}[identity]

    def cited(self, sentence: Sentence) -> tuple[Claim, ...]:
        """The claims that a sentence cites."""
        by_id = {each.id: each for each in self.claims}
        return tuple(by_id[each] for each in sentence.cites)

    def diagnosis(self, word: str) -> Diagnosis | None:
        """The diagnosis of a word, or None where nothing went wrong with it."""
        return next((each for each in self.diagnoses if each.word == word), None)

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values: what ``--json`` prints."""
        return {
            "run": self.run,
            "other": self.other,
            "prompt": self.prompt,
            "writer": self.writer,
            "parts": {
                part: [{"text": each.text, "cites": list(each.cites)} for each in self.part(part)]
                for part in TITLES
                if self.part(part)
            },
            "diagnoses": [each.to_json() for each in self.diagnoses],
            "claims": [each.to_json() for each in self.claims],
            "notes": list(self.notes),
            "checked": self.checked.to_json(),
            "usage": dict(self.usage),
        }

    def to_markdown(self, *, evidence: bool = True) -> str:
        """The text as Markdown, each sentence with the claims that it cites, and a table of those.

        Args:
            evidence: with citations and their table.
        """
        lines = [f"# {_escaped(self.prompt)}", ""]
        for part, title in TITLES.items():
            if not self.part(part):
                continue
            lines += [f"## {title}", ""]
            for paragraph in self.paragraphs(part):
                said = [_escaped(each.text) + (_marks(each) if evidence else "") for each in paragraph]
                lines += [" ".join(said), ""]
        lines += _to_try(self.diagnoses)
        if self.notes:
            lines += [*(f"*{_escaped(each)}*" for each in self.notes), ""]
        if evidence:
            lines += self._evidence()
        return "\n".join(lines).rstrip() + "\n"

    def _evidence(self) -> list[str]:
        cited = {identity for sentence in self.sentences for identity in sentence.cites}
        lines = ["## Evidence", "", "| | statistic | selection | value | beside |", "|---|---|---|---|---|"]
        for claim in self.claims:
            if claim.id in cited:
                at = str(claim.selection) + (f" against {claim.against}" if claim.against is not None else "")
                held = (
                    ""
                    if claim.beside is None
                    else f"{_value(claim.beside.value, claim.unit)} ({claim.beside.what})"
                )
                cells = [claim.id, claim.statistic, f"`{at}`", _value(claim.value, claim.unit), held]
                lines.append("| " + " | ".join(each.replace("|", "\\|") for each in cells) + " |")
        return [*lines, ""]

    def __str__(self) -> str:
        """The text alone, a paragraph a part."""
        return "\n\n".join(filter(None, [self.setup, self.comparison, self.insight]))

    def _repr_markdown_(self) -> str:
        """For a notebook."""
        return self.to_markdown()


def _to_try(diagnoses: tuple[Diagnosis, ...]) -> list[str]:
    lines: list[str] = []
    for each in diagnoses:
        if each.remedies:
            lines += [f"## What to try for “{_escaped(each.word)}”", ""]
            for remedy in each.remedies:
                lines += [f"- {_escaped(capitalised(remedy))}:", "", f"      {each.command(remedy)}", ""]
            if each.check is not None:
                lines += [f"- {CHECK}:", "", f"      {each.check}", ""]
    return lines


def capitalised(remedy: Remedy) -> str:
    """What a remedy does, with how often it helped where that was measured."""
    text = remedy.title[:1].upper() + remedy.title[1:]
    if remedy.tried is not None:
        text += f" (helped in {remedy.tried[1]} of {remedy.tried[0]} reference runs)"
    return text


def _marks(sentence: Sentence) -> str:
    return f" [{', '.join(sentence.cites)}]".replace("[", "\\[").replace("]", "\\]")


def _escaped(text: str) -> str:
    return text.translate(RATHER_THAN)


def _value(value: float | str | None, unit: str) -> str:
    """A value with its unit; words and answers of yes or no need none."""
    if not isinstance(value, int | float):
        return str(value)
    plain = f"{value:.4g}"
    shown = {"truth": said(value, unit), "count": plain, "number": plain, "step": f"step {plain}"}
    return shown.get(unit, f"{plain} {unit}")
