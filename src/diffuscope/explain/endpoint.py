"""A writer at any OpenAI-compatible endpoint: OpenAI, vLLM, Ollama, llama.cpp and others, through the official
client.

Nothing that a user wrote is sent. Words, phrases, the prompt, the model's name and what edits do travel as placeholders
(``{w1}``, ``{prompt}``) and are put in when the reply has come, so no prompt can give the endpoint an order. What comes
back is data too: it is read as JSON of one form, and each of its sentences is checked before a reader sees it.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from diffuscope.errors import InputError, MissingExtraError, WriterError
from diffuscope.explain.brief import Brief, Draft, Sentence
from diffuscope.explain.claim import Beside, Claim, Part
from diffuscope.explain.numbers import said

URL, KEY, MODEL = "OPENAI_BASE_URL", "OPENAI_API_KEY", "DIFFUSCOPE_OPENAI_MODEL"
"""Environment variables: where, with which key, which model. The first two are the client's own."""
PREFIX = "DIFFUSCOPE_OPENAI_"
MOST_CLAIMS = 60
"""Claims that are sent, in their order."""
MOST_SENTENCES = 40
LONGEST = 1000
"""Characters of a sentence that are read."""
A_TOKEN = 3
"""Characters of a token, at least, in an estimate before anything is sent."""

_PLACE = re.compile(r"\{(\w+)\}")

ORDER = """\
You write a short explanation of what a text-to-image diffusion model attended to while it drew one picture.
You are given claims: measured facts, each with an id. Write from them alone.

Rules
- Every sentence cites the ids of the claims that it says, and says nothing that they do not.
- Copy numbers as they are given, with their per cent sign; never compute new ones. Give ranges of steps as given.
- Words of the prompt are placeholders such as {w1}; write them so, braces included. Never guess what they stand for.
- A map says where the model looked, not what a word caused. Speak of causes only where you cite a claim of kind cause,
  change, unchanged or shift.
- Plain sentences of British English, no lists, no markup. Say what is surprising; leave out what is not.
- Parts: setup (what was asked, what came out), comparison (what the edit did), insight (what stands out, what went
  wrong). Write the parts you are asked for and no others.
"""


class _Said(BaseModel):
    """A sentence of a reply."""

    model_config = ConfigDict(extra="forbid")
    part: Part
    text: str = Field(max_length=LONGEST)
    cites: list[str] = Field(max_length=20)


class _Reply(BaseModel):
    """A reply."""

    model_config = ConfigDict(extra="forbid")
    sentences: list[_Said] = Field(max_length=MOST_SENTENCES)


@dataclass(frozen=True)
class Limits:
    """What asking may take.

    Attributes:
        timeout: seconds for one attempt.
        retries: attempts after the first, where the endpoint is down, busy or fails on its side.
        tokens: of the reply.
        prompt_tokens: of what is sent, by an estimate that is rather too high.
        cost: of one explanation, in the currency of the prices; None for no limit.
        price_in, price_out: of a million tokens sent and received; None where unknown.
    """

    timeout: float = 30.0
    retries: int = 2
    tokens: int = 1500
    prompt_tokens: int = 16_000
    cost: float | None = None
    price_in: float | None = None
    price_out: float | None = None

    def __post_init__(self) -> None:
        if self.cost is not None and (self.price_in is None or self.price_out is None):
            raise InputError(
                f"a limit of cost needs prices of a million tokens: set {PREFIX}PRICE_IN and {PREFIX}PRICE_OUT"
            )

    def price(self, sent: float, received: float) -> float | None:
        """What so many tokens cost, or None where prices are not known."""
        if self.price_in is None or self.price_out is None:
            return None
        return (sent * self.price_in + received * self.price_out) / 1e6


class Endpoint:
    """Writes through an OpenAI-compatible endpoint.

    Attributes:
        name: ``openai:`` and the model.
        model: as the endpoint calls it.
        limits: what asking may take.
    """

    def __init__(
        self, model: str, *, base_url: str | None = None, key: str | None = None, limits: Limits | None = None
    ) -> None:
        """Raises MissingExtraError without the `openai` package, and InputError without a key where one is needed."""
        try:
            import openai
        except ModuleNotFoundError as error:
            raise MissingExtraError("the writer 'openai'", "openai") from error
        if not key and not base_url:
            raise InputError(
                f"the writer 'openai' has no key: set {KEY}, or {URL} for an endpoint that needs none"
            )
        self.name, self.model = f"openai:{model}", model
        self.limits = limits or Limits()
        self._openai = openai
        # Local servers need no key, and the client insists on one.
        self._client = openai.OpenAI(
            base_url=base_url,
            api_key=key or "none",
            timeout=self.limits.timeout,
            max_retries=self.limits.retries,
        )

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> Endpoint:
        """As the environment says: `OPENAI_BASE_URL`, `OPENAI_API_KEY`, `DIFFUSCOPE_OPENAI_MODEL`, and the limits
        `DIFFUSCOPE_OPENAI_TIMEOUT`, `_RETRIES`, `_TOKENS`, `_PROMPT_TOKENS`, `_COST`, `_PRICE_IN`, `_PRICE_OUT`.

        Raises:
            InputError: no model is named, or a limit is no number.
        """
        given = os.environ if environment is None else environment
        model = given.get(MODEL, "").strip()
        if not model:
            raise InputError(f"the writer 'openai' is not told which model to ask: set {MODEL}")
        numbers = {
            name: _number(given[PREFIX + name.upper()], PREFIX + name.upper())
            for name in Limits.__dataclass_fields__
            if given.get(PREFIX + name.upper(), "").strip()
        }
        whole = {
            name: int(numbers.pop(name)) for name in ("retries", "tokens", "prompt_tokens") if name in numbers
        }
        limits = Limits(**numbers, **whole)  # type: ignore[arg-type]
        return cls(model, base_url=given.get(URL) or None, key=given.get(KEY) or None, limits=limits)

    def write(self, brief: Brief) -> Draft:
        """Ask for sentences; see `Writer.write`."""
        places = placeholders(brief)
        order = _order(brief, places)
        estimate = (len(ORDER) + len(order)) / A_TOKEN
        if estimate > self.limits.prompt_tokens:
            raise WriterError(
                f"the claims would take about {estimate:.0f} tokens, and the limit is {self.limits.prompt_tokens}"
            )
        highest = self.limits.price(estimate, self.limits.tokens)
        if self.limits.cost is not None and highest is not None and highest > self.limits.cost:
            raise WriterError(f"it might cost {highest:.4f}, and the limit is {self.limits.cost:.4f}")
        reply, usage = self._ask(order)
        sentences = tuple(_sentence(each, places) for each in reply.sentences)
        return Draft(sentences, usage)

    def _ask(self, order: str) -> tuple[_Reply, dict[str, float]]:
        """The reply and what it took."""
        openai = self._openai
        schema = {"name": "explanation", "strict": True, "schema": _schema()}
        forms: tuple[Any, ...] = ({"type": "json_schema", "json_schema": schema}, {"type": "json_object"})
        for at, form in enumerate(forms):
            try:
                answer = self._client.chat.completions.create(
                    model=self.model,
                    messages=[{"role": "system", "content": ORDER}, {"role": "user", "content": order}],
                    response_format=form,
                    max_tokens=self.limits.tokens,
                    temperature=0.2,
                )
            except (openai.BadRequestError, openai.UnprocessableEntityError) as error:
                # Endpoints that know no schema may still know JSON.
                if at + 1 < len(forms):
                    continue
                raise WriterError(f"the endpoint refused the request ({error.status_code})") from error
            except openai.APITimeoutError as error:
                raise WriterError(f"the endpoint did not answer within {self.limits.timeout:g} s") from error
            except openai.APIConnectionError as error:
                raise WriterError("the endpoint cannot be reached") from error
            except openai.APIStatusError as error:
                raise WriterError(f"the endpoint answered with status {error.status_code}") from error
            except (openai.OpenAIError, ValueError) as error:
                raise WriterError("the endpoint's answer cannot be read") from error
            return self._read(answer)
        raise AssertionError("one of the forms is the last")

    def _read(self, answer: Any) -> tuple[_Reply, dict[str, float]]:
        try:
            choice = answer.choices[0]
            text, why = choice.message.content, choice.finish_reason
        except (AttributeError, IndexError, TypeError) as error:
            raise WriterError("the endpoint's answer has no message") from error
        if why == "length":
            raise WriterError(f"the reply was cut off at {self.limits.tokens} tokens")
        try:
            reply = _Reply.model_validate_json(_bare(text or ""))
        except ValidationError as error:
            raise WriterError("the reply is not of the form that was asked for") from error
        usage = getattr(answer, "usage", None)
        sent, received = (
            float(getattr(usage, name, 0) or 0) for name in ("prompt_tokens", "completion_tokens")
        )
        used = {"prompt_tokens": sent, "completion_tokens": received}
        price = self.limits.price(sent, received)
        return reply, used if price is None else {**used, "cost": price}


def placeholders(brief: Brief) -> dict[str, str]:
    """Name to what is put in its place when the reply has come: words and phrases in quotes, texts from outside."""
    found = {"prompt": f"“{brief.shown}”", "model": f"“{brief.model}”"}
    found |= {f"edit{at}": text for at, text in enumerate(brief.edits, start=1)}
    labels = dict.fromkeys(label for claim in brief.claims for label in _labels(claim))
    found |= {f"w{at}": f"“{brief.text_of(label)}”" for at, label in enumerate(labels, start=1)}
    seen = dict.fromkeys(claim.value for claim in brief.claims if isinstance(claim.value, str))
    return found | {f"s{at}": str(text) for at, text in enumerate(seen, start=1)}


def _labels(claim: Claim) -> list[str]:
    held = None if claim.beside is None or claim.beside.selection is None else claim.beside.selection.word
    return [*claim.words, *([] if held is None else [held])]


def _order(brief: Brief, places: Mapping[str, str]) -> str:
    """What the endpoint is asked, as JSON without a word of the user's."""
    names = {f"“{brief.text_of(label)}”": label for claim in brief.claims for label in _labels(claim)}
    back = {text: name for name, text in places.items()}
    words = {}
    for name, text in places.items():
        if name.startswith("w"):
            words[name] = brief.roles.get(names.get(text, ""), "phrase or token")
    order = {
        "parts": list(brief.parts),
        "words": words,
        "edits": [f"{{edit{at}}}" for at in range(1, len(brief.edits) + 1)],
        "complete": brief.complete,
        "claims": [_told(claim, brief, back) for claim in brief.claims[:MOST_CLAIMS]],
    }
    return json.dumps(order, ensure_ascii=False)


def _told(claim: Claim, brief: Brief, back: Mapping[str, str]) -> dict[str, Any]:
    """A claim with its numbers as sentences write them, and placeholders for everything from outside."""
    from diffuscope.explain.statistics import find_statistic

    def named(label: str) -> str:
        return f"{{{back[f'“{brief.text_of(label)}”']}}}"

    statistic = find_statistic(claim.statistic)
    value = f"{{{back[claim.value]}}}" if isinstance(claim.value, str) else said(claim.number, claim.unit)
    steps = claim.steps()
    told = {
        "id": claim.id,
        "kind": claim.kind,
        "part": claim.part,
        "is": statistic.title,
        "means": statistic.definition,
        "words": [named(label) for label in claim.words],
        "value": value,
        "unit": claim.unit,
        "steps": None if steps is None else f"steps {steps[0]} to {steps[1]}",
        "site": None if claim.selection.sites == "all" else claim.selection.sites,
        "beside": None if claim.beside is None else _beside(claim.beside, claim.unit, named),
        "trouble": claim.trouble,
    }
    return {name: each for name, each in told.items() if each not in (None, [], False)}


def _beside(held: Beside, unit: str, named: Any) -> dict[str, Any]:
    word = None if held.selection is None else held.selection.word
    # A word of the prompt in what is said of it would be the user's text.
    what = held.what if "“" not in held.what else "the word beside it"
    told = {
        "what": what,
        "value": said(held.value, unit),
        "n": held.n,
        "word": None if word is None else named(word),
    }
    if held.low is not None and held.high is not None:
        told["from"], told["to"] = said(held.low, unit), said(held.high, unit)
    return {name: each for name, each in told.items() if each is not None}


def _sentence(given: _Said, places: Mapping[str, str]) -> Sentence:
    """A sentence with its placeholders filled; unknown ones stay, and fail the check."""
    text = _PLACE.sub(lambda match: places.get(match[1], match[0]), given.text)
    # A model may put quotes of its own around a placeholder.
    text = re.sub(r"[“\"']“([^”]*)”[”\"']", r"“\1”", text)
    return Sentence(given.part, " ".join(text.split()), tuple(dict.fromkeys(given.cites)))


def _schema() -> dict[str, Any]:
    """JSON Schema of a reply, without the bounds that strict mode does not take."""
    sentence = {
        "type": "object",
        "properties": {
            "part": {"type": "string", "enum": ["setup", "comparison", "insight"]},
            "text": {"type": "string"},
            "cites": {"type": "array", "items": {"type": "string"}},
        },
        "required": ["part", "text", "cites"],
        "additionalProperties": False,
    }
    return {
        "type": "object",
        "properties": {"sentences": {"type": "array", "items": sentence}},
        "required": ["sentences"],
        "additionalProperties": False,
    }


def _bare(text: str) -> str:
    """JSON out of a fenced block, which some models put around it."""
    match = re.fullmatch(r"\s*```(?:json)?\s*(.*?)\s*```\s*", text, re.DOTALL)
    return match[1] if match else text


def _number(text: str, name: str) -> float:
    try:
        found = float(text)
    except ValueError:
        found = -1.0
    if not 0 <= found < float("inf"):
        raise InputError(f"{name}={text!r} is no number of 0 or more")
    return found
