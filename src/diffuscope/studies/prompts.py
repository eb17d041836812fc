"""From a plan's source of prompts to the prompts themselves, each with its factors and its side of the split."""

from __future__ import annotations

import csv
import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from math import prod
from pathlib import Path
from string import Formatter
from typing import Literal

from diffuscope.errors import InputError, UnknownWordError, listed, near_first
from diffuscope.studies.plan import HeldOut, MeasureChoice, Plan, PromptSource

Split = Literal["explored", "held out", "all"]

MOST = 10**7
"""Prompts of one study."""


@dataclass(frozen=True)
class Prompt:
    """One prompt of a study.

    Attributes:
        index: its place among the prompts, from 0.
        text: what is drawn.
        factors: what it was made of, factor to value.
        split: which side it is on; ``all`` where nothing is held out.
    """

    index: int
    text: str
    factors: Mapping[str, str]
    split: Split


def expand(plan: Plan) -> list[Prompt]:
    """Every prompt of a plan, in order.

    Raises:
        InputError: a template and its factors do not fit, a file cannot be read, there is no prompt, or one comes
        twice.
    """
    found = list(_found(plan.prompts))
    if not found:
        raise InputError("the plan comes to no prompt, so there is nothing to draw")
    seen: dict[str, int] = {}
    for index, (text, _) in enumerate(found):
        if not text.strip():
            raise InputError(f"prompt {index + 1} is empty; every prompt says what to draw")
        if text in seen:
            raise InputError(
                f"prompt {index + 1} is prompt {seen[text] + 1} again: {text!r}; each is drawn once with every seed"
            )
        seen[text] = index
    sides = _sides([text for text, _ in found], plan.held_out)
    return [
        Prompt(index, text, factors, side)
        for index, ((text, factors), side) in enumerate(zip(found, sides, strict=True))
    ]


def placeless(plan: Plan) -> Plan:
    """The plan as a study keeps it: a file of prompts by its name and the SHA-256 of its content, wherever it lies.

    Raises:
        InputError: the file cannot be read.
    """
    source = plan.prompts
    given = source.file or source.coco
    if given is None:
        return plan
    update = {
        "sha256": source.sha256 or _digest(Path(given)),
        "file" if source.file else "coco": file_name(given),
    }
    return plan.model_copy(update={"prompts": source.model_copy(update=update)})


def file_name(path: str) -> str:
    """The last part of a path, of this system's or another's."""
    return re.split(r"[/\\]", path)[-1]


def fill(template: str, factors: Mapping[str, str], what: str = "the template") -> str:
    """A template with its factors put in; ``{{`` and ``}}`` stand for braces.

    Raises:
        InputError: it is ill-formed, or names a factor that there is not.
    """
    for name in factor_names(template, what):
        if name not in factors:
            there = listed(near_first(name, list(factors))) or "none"
            raise InputError(
                f"{what} has the factor {{{name}}}, for which there are no values; factors: {there}"
            )
    return template.format(**factors)


def factor_names(template: str, what: str = "the template") -> list[str]:
    """Factors of a template, in order, each once.

    Raises:
        InputError: it is ill-formed.
    """
    try:
        parts = list(Formatter().parse(template))
    except ValueError as error:
        raise InputError(
            f"{what} {template!r} is ill-formed: {error}; a brace itself is written {{{{ or }}}}"
        ) from error
    names = []
    for _, name, spec, conversion in parts:
        if name is None:
            continue
        if not re.fullmatch(r"[A-Za-z_]\w*", name) or spec or conversion:
            raise InputError(
                f"{what} {template!r}: {{{name}}} is no factor; write a plain name, as in {{colour}}"
            )
        names.append(name)
    return list(dict.fromkeys(names))


def words_of(choice: MeasureChoice, prompt: str, factors: Mapping[str, str]) -> list[tuple[str, str]]:
    """What a measure of words is about in one prompt: (name over all prompts, word or phrase here).

    A literal that the prompt does not have is left out; ``all`` is given back as it is.
    """
    asked = choice.words if choice.words is not None else tuple(f"{{{name}}}" for name in factors) or ("all",)
    found: list[tuple[str, str]] = []
    for each in asked:
        if "{" in each:
            found.append((each, fill(each, factors, f"measure {choice.name}: words")))
        elif each == "all" or has_words(prompt, each):
            found.append((each, each))
    return found


def check_words(choices: tuple[MeasureChoice, ...], prompts: list[Prompt]) -> None:
    """Refuse words that no prompt has.

    Raises:
        UnknownWordError: a word is in no prompt.
        InputError: a factor is unknown.
    """
    for choice in choices:
        literal = [each for each in choice.words or () if "{" not in each and each != "all"]
        for prompt in prompts[:1]:
            words_of(choice, prompt.text, prompt.factors)
        for word in literal:
            if not any(has_words(prompt.text, word) for prompt in prompts):
                there = list(dict.fromkeys(word for prompt in prompts[:1000] for word in _words(prompt.text)))
                near = list(near_first(word, there))[:8]
                raise UnknownWordError(word, near, f"no prompt of the study has it (measure {choice.name})")


def has_words(prompt: str, phrase: str) -> bool:
    """Whether words stand side by side in a prompt, upper and lower case alike; ``circle#2`` is the second one."""
    if phrase.startswith("<"):
        return True  # <start>, <end>, <padding>: no words of the prompt, and of every one
    wanted, words = _words(re.sub(r"#[0-9]+", "", phrase)), _words(prompt)
    return any(words[at : at + len(wanted)] == wanted for at in range(len(words) - len(wanted) + 1)) and bool(
        wanted
    )


def _words(text: str) -> list[str]:
    return re.findall(r"[\w'’\-]+", text.casefold())


def _found(source: PromptSource) -> Iterator[tuple[str, dict[str, str]]]:
    if source.list is not None:
        yield from ((text.strip(), {}) for text in source.list)
    elif source.template is not None:
        yield from _combinations(source.template, source.factors)
    elif source.file is not None:
        _check_content(source, Path(source.file))
        yield from _first(_of_file(Path(source.file)), source.first)
    elif source.coco is not None:
        _check_content(source, Path(source.coco))
        yield from _first(_of_coco(Path(source.coco)), source.first)


def _first(
    prompts: Iterator[tuple[str, dict[str, str]]], number: int | None
) -> Iterator[tuple[str, dict[str, str]]]:
    for index, each in enumerate(prompts):
        if number is not None and index >= number:
            return
        yield each


def _combinations(
    template: str, factors: Mapping[str, tuple[str, ...]]
) -> Iterator[tuple[str, dict[str, str]]]:
    names = factor_names(template)
    missing = [name for name in names if name not in factors]
    if missing:
        there = listed(near_first(missing[0], list(factors))) or "none"
        raise InputError(
            f"the template has the factor {{{missing[0]}}}, for which there are no values; factors given: {there}"
        )
    unused = [name for name in factors if name not in names]
    if unused:
        raise InputError(
            f"the factor {unused[0]!r} is not in the template {template!r}; put {{{unused[0]}}} in it"
        )
    for name, values in factors.items():
        if not values:
            raise InputError(f"the factor {name!r} has no values, so the product is empty")
        double = next((value for value in values if values.count(value) > 1), None)
        if double is not None:
            raise InputError(f"the factor {name!r} has {double!r} twice")
    if prod(len(values) for values in factors.values()) > MOST:
        raise InputError(f"the template comes to more than {MOST} prompts")
    for values in product(*(factors[name] for name in names)):
        chosen = dict(zip(names, values, strict=True))
        yield template.format(**chosen).strip(), chosen


def _of_file(path: Path) -> Iterator[tuple[str, dict[str, str]]]:
    text = _read(path)
    if path.suffix.lower() != ".csv":
        yield from ((line.strip(), {}) for line in text.splitlines() if line.strip())
        return
    rows = csv.DictReader(text.splitlines())
    if "prompt" not in (rows.fieldnames or ()):
        raise InputError(
            f"{path} has no column 'prompt'; its columns are: {listed(list(rows.fieldnames or ()))}"
        )
    for row in rows:
        factors = {str(name): value or "" for name, value in row.items() if name not in (None, "prompt")}
        yield (row["prompt"] or "").strip(), factors


def _of_coco(path: Path) -> Iterator[tuple[str, dict[str, str]]]:
    try:
        annotations = json.loads(_read(path))["annotations"]
        captions = sorted(
            (int(each["image_id"]), int(each["id"]), str(each["caption"])) for each in annotations
        )
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{path} is no caption file of COCO: it needs annotations with image_id, id and caption"
        ) from error
    pictures: set[int] = set()
    seen: set[str] = set()
    for picture, _, caption in captions:
        text = " ".join(caption.split())
        if picture in pictures or not text or text in seen:
            continue
        pictures.add(picture)
        seen.add(text)
        yield text, {"image_id": str(picture)}


def _check_content(source: PromptSource, path: Path) -> None:
    if source.sha256 is not None and _digest(path) != source.sha256:
        raise InputError(
            f"the prompt file {path} is another than the plan's: its SHA-256 is not {source.sha256}"
        )


def _digest(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise InputError(f"the prompt file {path} cannot be read: {error.strerror or error}") from error


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise InputError(f"there is no prompt file {path}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"the prompt file {path} cannot be read: {error}") from error


def _sides(texts: list[str], held_out: HeldOut | None) -> list[Split]:
    """Sides by hash: exactly the share asked for, rounded, and at least one prompt on each side."""
    if held_out is None:
        return ["all"] * len(texts)
    if len(texts) < 2:
        raise InputError("held_out needs at least two prompts, one for each side")
    order = sorted(
        range(len(texts)),
        key=lambda index: hashlib.sha256(f"{held_out.seed}\n{texts[index]}".encode()).digest(),
    )
    number = min(max(round(held_out.share * len(texts)), 1), len(texts) - 1)
    aside = set(order[:number])
    return ["held out" if index in aside else "explored" for index in range(len(texts))]
