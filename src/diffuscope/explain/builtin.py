"""The built-in writer: the claims in plain English, without a network, the same for the same run every time."""

from __future__ import annotations

from diffuscope.explain import say_pair, say_run, say_words
from diffuscope.explain.brief import Brief, Draft, Sentence
from diffuscope.explain.claim import Claim, Part
from diffuscope.explain.saying import Line, Saying

MOST = 6
"""Sentences of an insight that is about one run, beside the accounts of words that went wrong."""
MOST_BESIDE = 3
"""The same where it stands beside a comparison."""
WORTH = 0.16
"""Rank of a claim from which it is worth telling."""
FEWEST = 3
"""Sentences of an insight, where there are so many."""
MOST_IGNORED = 2
"""Words that went wrong of which there is an account; the others are named."""


class BuiltIn:
    """The default writer."""

    name = "builtin"

    def write(self, brief: Brief) -> Draft:
        """Sentences for every part that the brief wants."""
        say = Saying(brief)
        lines: list[tuple[Part, Line]] = []
        tellers = {"setup": setup, "comparison": comparison, "insight": insight}
        for part in brief.parts:
            lines += [(part, line) for line in tellers[part](brief.groups(part), say)]
        return Draft(
            tuple(Sentence(part, line.text, tuple(claim.id for claim in line.claims)) for part, line in lines)
        )

    def rewrite(self, sentence: Sentence, brief: Brief) -> Sentence | None:
        """The claims that a sentence of another writer cites, said here; None where they make no sentence."""
        say = Saying(brief)
        tellers = {"setup": setup, "comparison": comparison, "insight": insight}
        cited = [brief[each] for each in sentence.cites if each in brief]
        groups = {claim.group for claim in cited}
        for part in brief.parts:
            mine = {name: found for name, found in brief.groups(part).items() if name in groups}
            for line in tellers[part](mine, say) if mine else []:
                if any(claim in cited for claim in line.claims):
                    return Sentence(part, line.text, tuple(claim.id for claim in line.claims))
        return None


Groups = dict[str, list[Claim]]


def setup(groups: Groups, say: Saying) -> list[Line]:
    """What was asked, what came out, who got the attention."""
    lines: list[Line] = []
    for name, tell in (
        ("setting", say_run.setting),
        ("outcome", say_run.outcome),
        ("attention", say_run.attention),
    ):
        if name in groups:
            lines += tell(groups[name], say)
    return lines


def comparison(groups: Groups, say: Saying) -> list[Line]:
    """What the edit did."""
    lines: list[Line] = []
    for name, tell in (("edit", say_pair.edit), ("change", say_pair.picture), ("seen", say_pair.seen)):
        if name in groups:
            lines += tell(groups[name], say)
    lines += say_pair.outcomes(groups.get("won", []), groups.get("lost", []), say)
    changed = [claim for claims in _named(groups, "thing/") for claim in claims]
    if changed:
        lines += say_pair.things(changed, say)
    for claims in _named(groups, "agrees/"):
        lines += say_pair.agrees(claims, say)
    lines += say_pair.shift(_named(groups, "shift/"), say)
    return lines


def insight(groups: Groups, say: Saying) -> list[Line]:
    """What went wrong first, then what else is surprising and certain, the most so first."""
    lines: list[Line] = []
    strange = [claims[0] for claims in _named(groups, "ignored/") if claims[0].statistic == "known"]
    if strange:
        lines += say_words.unknown(strange, say)
    ignored = [claims for claims in _named(groups, "ignored/") if claims[0].statistic != "known"]
    asked = [claims for claims in ignored if claims[0].group == f"ignored/{say.brief.asked}"]
    told = [*asked, *(claims for claims in ignored if claims not in asked)]
    for claims in told[: MOST_IGNORED + len(asked)]:
        lines += say_words.ignored(claims, say)
    for claims in told[MOST_IGNORED + len(asked) :]:
        lines += say_words.ignored(claims, say)[:1]
    for claims in _named(groups, "cause/"):
        lines += say_words.cause(claims, say)
    rest: list[tuple[float, list[Line]]] = []
    for name in groups:
        found = _told(name, groups, say)
        if found:
            rest.append((max(claim.rank for line in found for claim in line.claims), found))
    most = MOST_BESIDE if "comparison" in say.brief.parts else MOST
    room, told_of = most - min(most - 2, len(lines)), len(lines)
    for rank, found in sorted(rest, key=lambda each: -each[0]):
        # What is neither surprising nor sure is told where there is little else.
        if room > 0 and (rank >= WORTH or len(lines) < FEWEST or len(lines) == told_of):
            lines += found
            room -= len(found)
    return lines


def _told(name: str, groups: Groups, say: Saying) -> list[Line]:
    """The sentences of a group; groups of one kind are told together, where the first of them stands."""
    kind = name.partition("/")[0]
    together = _named(groups, f"{kind}/")
    if together and together[0] is not groups[name]:
        return []
    if kind == "first look":
        return say_run.first_look(groups[name], say)
    if kind == "order":
        return say_run.order(groups[name], say)
    if kind == "where":
        return say_run.where(together, say)
    if kind in ("leak", "binding"):
        return say_words.leak([claim for claims in together for claim in claims], say)
    if kind == "unusual":
        return say_words.unusual(together, say)
    if kind == "timing":
        lines = (
            say_run.peaks(groups.get("timing/peaks", []), say)
            if len(groups.get("timing/peaks", [])) > 1
            else []
        )
        return lines + (say_run.settled(groups["timing/settled"], say) if "timing/settled" in groups else [])
    return []


def _named(groups: Groups, prefix: str) -> list[list[Claim]]:
    """Groups whose name begins so, in their order."""
    return [claims for name, claims in groups.items() if name.startswith(prefix)]
