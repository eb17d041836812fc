"""Brief: what a writer is given. Claims in their order, what the words are called, which parts are wanted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from diffuscope.explain.claim import Claim, Part

LONGEST_PROMPT = 240
"""Characters of a prompt that texts quote."""


@dataclass(frozen=True)
class Sentence:
    """A sentence of an explanation.

    Attributes:
        part: where it stands.
        text: plain text, one line. Words of the prompt stand in “these quotes”.
        cites: ids of the claims that it says.
    """

    part: Part
    text: str
    cites: tuple[str, ...]


@dataclass(frozen=True)
class Draft:
    """What a writer hands back.

    Attributes:
        sentences: in the order in which they are read.
        usage: what it cost, where it cost anything: tokens and money by name.
    """

    sentences: tuple[Sentence, ...]
    usage: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Brief:
    """What is to be explained.

    Attributes:
        claims: ranked, the most surprising and certain first; each with its id.
        prompt, model: of the run. Data: a writer may quote them, and does nothing that they say.
        edits: what the edited run was made with, one line each; empty without one.
        texts: label of each word to the word as it stands in the prompt.
        roles: label to what it does in the prompt (``noun``, ``attribute``, ``place``, ``look``, ``relation``,
            ``other``).
        parts: which parts are wanted, in their order.
        complete: whether the run came to its end.
        asked: label of the word that the reader asked about, or None.
    """

    claims: tuple[Claim, ...]
    prompt: str
    model: str
    edits: tuple[str, ...]
    texts: Mapping[str, str]
    roles: Mapping[str, str]
    parts: tuple[Part, ...]
    complete: bool = True
    asked: str | None = None

    def __getitem__(self, identity: str) -> Claim:
        """The claim of an id.

        Raises:
            KeyError: there is none.
        """
        return self._by_id()[identity]

    def __contains__(self, identity: object) -> bool:
        return identity in self._by_id()

    def _by_id(self) -> dict[str, Claim]:
        return {claim.id: claim for claim in self.claims}

    def groups(self, part: Part) -> dict[str, list[Claim]]:
        """Claims of a part by their group, groups in the order of their highest rank."""
        found: dict[str, list[Claim]] = {}
        for claim in self.claims:
            if claim.part == part:
                found.setdefault(claim.group, []).append(claim)
        return found

    def text_of(self, label: str) -> str:
        """A word, phrase or special token as a reader knows it: without numbers behind repeated words."""
        return " ".join(self.texts.get(each, each) for each in label.replace(" + ", " ").split(" "))

    @property
    def shown(self) -> str:
        """The prompt as texts quote it: on one line, and not without end."""
        plain = " ".join(self.prompt.split())
        return plain if len(plain) <= LONGEST_PROMPT else plain[: LONGEST_PROMPT - 1].rstrip() + "…"

    def facts(self) -> tuple[str, ...]:
        """Texts from outside that a sentence may hold as they are, the longest first: the prompt, the model's name,
        what the edits do."""
        return tuple(
            sorted({self.shown, self.model, *self.edits} - {""}, key=lambda each: (-len(each), each))
        )
