"""Steering the text embedding: the direction from one phrase to another and the rows that move along it, or each row by
a difference of its own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from diffuscope.edits import Steer
from diffuscope.engine.apply.phrases import spot_of
from diffuscope.engine.apply.places import wide
from diffuscope.engine.apply.texts import Speaker, Spoken
from diffuscope.engine.models.family import ReadPrompt
from diffuscope.errors import EditError
from diffuscope.recording import TextInfo
from diffuscope.run import find

Reader = Callable[[str], ReadPrompt]


@dataclass(frozen=True)
class Phrase:
    """A phrase in a text: the whole text as it is encoded, and the phrase's tokens, of each text encoder apart."""

    text: str
    tokens: tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class Direction:
    """Where a `Steer` goes in one picture's embedding.

    Attributes:
        steer: the edit.
        toward, away: the phrases.
        rows: tokens whose embedding moves, of each text encoder apart.
    """

    steer: Steer
    toward: Phrase
    away: Phrase
    rows: tuple[tuple[int, ...], ...]

    def steered(self, given: Spoken, speak: Speaker) -> Spoken:
        """A text with its rows, and its pooled embedding, moved: `c_R + strength * n * u/|u|`.

        Raises:
            EditError: toward and away have the same embedding, which is no direction.
        """
        toward, away = speak(self.toward.text), speak(self.away.text)
        moved = given.embedding.clone()
        for rows, to, off in zip(self.rows, self.toward.tokens, self.away.tokens, strict=True):
            if not rows or not to or not off:
                # An encoder that cut the word off, or reads none (SD3 without T5).
                continue
            at = torch.tensor(rows, device=moved.device)
            old = wide(moved[at])
            u = wide(toward.embedding[list(to)]).mean(dim=0) - wide(away.embedding[list(off)]).mean(dim=0)
            norm = old.norm(dim=-1).mean()
            moved[at] = (old + self.steer.strength * norm * self._unit(u.to(old.device))).to(moved.dtype)
        pooled = given.pooled
        if pooled is not None and toward.pooled is not None and away.pooled is not None:
            old = wide(pooled)
            u = (wide(toward.pooled) - wide(away.pooled)).to(old.device)
            pooled = (old + self.steer.strength * old.norm() * self._unit(u)).to(pooled.dtype)
        return Spoken(moved, pooled, given.mask)

    def _unit(self, u: torch.Tensor) -> torch.Tensor:
        norm: torch.Tensor = u.norm()
        if not float(norm) > 0:
            raise _no_direction(self.steer)
        return u / norm


def _no_direction(steer: Steer) -> EditError:
    return EditError(
        f"steer: {steer.toward!r} and what it is away from have one embedding, which is no direction"
    )


@dataclass(frozen=True)
class Shift:
    """Where a `Steer` in the space of tokens goes in one picture's embedding.

    Attributes:
        steer: the edit.
        toward, away: the texts; of their phrases nothing more is asked.
        rows: tokens whose embedding moves; `to`, `off`: the token of `toward` and of `away` that each is matched with.
    """

    steer: Steer
    toward: Phrase
    away: Phrase
    rows: tuple[int, ...]
    to: tuple[int, ...]
    off: tuple[int, ...]

    def steered(self, given: Spoken, speak: Speaker) -> Spoken:
        """A text with its rows, and its pooled embedding, moved: `c_r + strength * (e_toward[r] - e_away[r])`.

        Raises:
            EditError: toward and away have the same embedding, which is no direction.
        """
        toward, away = speak(self.toward.text), speak(self.away.text)
        moved = given.embedding.clone()
        at = torch.tensor(self.rows, device=moved.device)
        u = wide(toward.embedding[list(self.to)]) - wide(away.embedding[list(self.off)])
        if not float(u.norm()) > 0:
            raise _no_direction(self.steer)
        moved[at] = (wide(moved[at]) + self.steer.strength * u.to(moved.device)).to(moved.dtype)
        pooled = given.pooled
        if pooled is not None and toward.pooled is not None and away.pooled is not None:
            difference = (wide(toward.pooled) - wide(away.pooled)).to(pooled.device)
            pooled = (wide(pooled) + self.steer.strength * difference).to(pooled.dtype)
        return Spoken(moved, pooled, given.mask)


def shift(steer: Steer, prompt: str, text: TextInfo, read: Reader, *, masked: bool) -> Shift:
    """Resolve a `Steer` in the space of tokens against a prompt; arguments as of `direction`.

    Raises:
        UnknownWordError: the prompt has no such word. EditError: a phrase did not fit the text encoder.
    """
    still = {"start", "padding"} if masked else {"start"}
    moving = {token.index for token in text.tokens if token.kind not in still}
    if steer.word is None:
        rows = tuple(sorted(moving))
        none: tuple[tuple[int, ...], ...] = ()
        return Shift(steer, Phrase(steer.toward, none), Phrase(steer.away or prompt, none), rows, rows, rows)
    spot = spot_of(prompt, text, steer.word)
    here = _within(prompt, spot.start, spot.stop, read)
    toward = _within(*spot.replaced(steer.toward), read)
    away = here if steer.away is None else _within(*spot.replaced(steer.away), read)
    matched: list[tuple[int, int, int]] = []
    for at, (start, stop) in enumerate(_spans(text)):
        if here.tokens[at] and toward.tokens[at] and away.tokens[at]:
            spans = [(here.tokens[at], each.tokens[at], stop) for each in (toward, away)]
            matched += [
                (row, _match(row, *spans[0]), _match(row, *spans[1]))
                for row in range(start, stop)
                if row in moving
            ]
    columns = [tuple(each[at] for each in matched) for at in range(3)]
    return Shift(steer, toward, away, *columns)


def _match(row: int, here: tuple[int, ...], there: tuple[int, ...], stop: int) -> int:
    """The token of another text that stands where a row stands in this one: before the phrase at the same place, in it
    at the same part of it, behind it as far behind. The last token (of an encoder) stands for all that would be cut."""
    if row < here[0]:
        return row
    if row > here[-1]:
        return min(row + there[-1] - here[-1], stop - 1)
    within = sum(token < row for token in here)
    return there[within * len(there) // len(here)]


def direction(steer: Steer, prompt: str, text: TextInfo, read: Reader, *, masked: bool) -> Direction:
    """Resolve a `Steer` against a prompt.

    Args:
        steer: in embedding space.
        prompt, text: of the picture, and as the model reads it.
        read: reads another prompt as the model does, `read(prompt) -> ReadPrompt`.
        masked: whether padding takes no part, so that its rows are left alone.

    Raises:
        UnknownWordError: the prompt has no such word. EditError: a phrase did not fit the text encoder.
    """
    if steer.word is None:
        toward, away = _alone(steer.toward, read), _alone(steer.away or "", read)
        still = {"start", "padding"} if masked else {"start"}
        rows = tuple(token.index for token in text.tokens if token.kind not in still)
        return Direction(steer, toward, away, _apart(text, rows))
    rows = find(text, steer.word).tokens
    spot = spot_of(prompt, text, steer.word)
    toward = _within(*spot.replaced(steer.toward), read)
    if steer.away is None:
        away = _within(prompt, spot.start, spot.stop, read)
    else:
        away = _within(*spot.replaced(steer.away), read)
    return Direction(steer, toward, away, _apart(text, rows))


def _alone(phrase: str, read: Reader) -> Phrase:
    found = read(phrase).text
    content = tuple(token.index for token in found.tokens if token.kind == "content")
    ends: list[int] = []
    for start, stop in _spans(found):
        first = next((t.index for t in found.tokens[start:stop] if t.kind == "end"), None)
        has_content = any(start <= index < stop for index in content)
        ends += [first] if first is not None and not has_content else []
    return Phrase(phrase, _apart(found, (*content, *ends)))


def _within(prompt: str, start: int, stop: int, read: Reader) -> Phrase:
    found = read(prompt).text
    words = [word for word in found.words if word.start < stop and word.end > start]
    tokens = sorted({token for word in words for token in word.tokens})
    if not tokens:
        raise EditError(
            f"steer: {prompt[start:stop]!r} has no token in {prompt!r} (it was cut off, or says nothing)"
        )
    return Phrase(prompt, _apart(found, tuple(tokens)))


def _spans(text: TextInfo) -> list[tuple[int, int]]:
    return [(each.start, each.stop) for each in text.encoders] or [(0, text.length)]


def _apart(text: TextInfo, tokens: tuple[int, ...]) -> tuple[tuple[int, ...], ...]:
    """Tokens of each text encoder apart: their embeddings have nothing in common."""
    return tuple(tuple(token for token in tokens if start <= token < stop) for start, stop in _spans(text))
