"""What sentences of the built-in writer have in common: quoting, listing, and not saying the same thing the same
way."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from diffuscope.explain.brief import Brief
from diffuscope.explain.claim import Beside, Claim
from diffuscope.explain.numbers import said


@dataclass(frozen=True)
class Line:
    """A sentence in the making.

    Attributes:
        text: as `Sentence.text`.
        claims: what it cites.
    """

    text: str
    claims: tuple[Claim, ...]


@dataclass
class Saying:
    """One text in the making: what it is about, and what was said already.

    Attributes:
        brief: what is to be explained.
        introduced: names that were given in full once.
    """

    brief: Brief
    introduced: set[str] = field(default_factory=set)

    def word(self, label: str) -> str:
        """A word or phrase in quotes; the second of two alike is called so."""
        text = f"“{self.brief.text_of(label)}”"
        number = label.rpartition("#")[2] if "#" in label else ""
        names = {"2": "second ", "3": "third ", "4": "fourth "}
        return f"the {names[number]}{text}" if number in names else text

    def value(self, claim: Claim) -> str:
        """A claim's value as sentences write it."""
        return claim.value if isinstance(claim.value, str) else said(claim.number, claim.unit)

    def held(self, claim: Claim) -> Beside:
        """What the claim is held against."""
        assert claim.beside is not None
        return claim.beside

    def beside(self, claim: Claim) -> str:
        """What the value is held against, as sentences write it."""
        return said(self.held(claim).value, claim.unit)

    def usual(self, claim: Claim) -> str:
        """The interval of what the value is held against: ``3.0% to 12%``."""
        held = self.held(claim)
        assert held.low is not None and held.high is not None
        return f"{said(held.low, claim.unit)} to {said(held.high, claim.unit)}"

    def once(self, name: str, full: str, short: str) -> str:
        """The full form of a name the first time, the short one after."""
        if name in self.introduced:
            return short
        self.introduced.add(name)
        return full

    def judge(self) -> str:
        """Who says what is in the picture."""
        return self.once("judge", "the judge of the drawn world", "the judge")

    def pick(self, key: str, *options: str) -> str:
        """One of several ways to say the same: always the same one for one run, others for other runs."""
        about = "\n".join([self.brief.prompt, *self.brief.edits, key])
        return options[hashlib.sha256(about.encode()).digest()[0] % len(options)]


def steps(claim: Claim) -> str:
    """The steps of a claim's selection: ``steps 0 to 4``, ``step 7``, or ``all steps``."""
    found = claim.steps()
    if found is None:
        return "all steps"
    return f"step {found[0]}" if found[0] == found[1] else f"steps {found[0]} to {found[1]}"


def listed(parts: Iterable[str], joint: str = "and") -> str:
    """Several as a list of prose: ``a``, ``a and b``, ``a, b and c``."""
    every = list(parts)
    if len(every) < 2:
        return "".join(every)
    return f"{', '.join(every[:-1])} {joint} {every[-1]}"


def capital(text: str) -> str:
    """A sentence with a capital letter, where it does not begin with a quote."""
    return text[:1].upper() + text[1:]


def of(claims: Sequence[Claim], statistic: str) -> Claim | None:
    """The first claim of a statistic."""
    return next((each for each in claims if each.statistic == statistic), None)


def every(claims: Sequence[Claim], statistic: str) -> list[Claim]:
    """All claims of a statistic."""
    return [each for each in claims if each.statistic == statistic]
