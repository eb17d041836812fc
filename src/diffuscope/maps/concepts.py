"""New words: where the picture would look for a text that its prompt need not have.

The queries of a run say what each patch looks for. Held against the keys of any other text, made by the same text
encoder and the same `to_k` of each site, they give that text's maps without drawing anything again: open-vocabulary
attention maps (OVAM: Marcos-Manchón et al., CVPR 2024, section 3.2). The keys come from the model
(`Lens.concept`); from then on they lie in the run's cache, and everything here works without it.

Two ways to share out a patch's attention:

- ``own``: softmax over the text's own tokens, start and end included, padding not (OVAM's way);
- ``prompt``: softmax over the prompt's tokens and the concept's words together: what the concept would take away from
  the words that the picture was drawn from.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from diffuscope.errors import NotKeptError, SelectionError, listed, near_first
from diffuscope.maps.attention import head_mean, weighted_heads
from diffuscope.maps.cache import RunCache, digest
from diffuscope.maps.choosing import kept_text_sites
from diffuscope.maps.heads import HeadMaps
from diffuscope.maps.heatmap import Heatmap
from diffuscope.maps.token_attention import places_of
from diffuscope.maps.word_view import WordView
from diffuscope.maps.words import Term
from diffuscope.selection import Choice, Selection, SiteChoice

if TYPE_CHECKING:
    from diffuscope.recording import Recording
    from diffuscope.run import Run

Against = Literal["own", "prompt"]
"""Which tokens share the softmax."""

Array = NDArray[np.generic]
Floats = NDArray[np.float32]
_KEYS = "concept-keys"
_SAID = {
    "own": "softmax over the concept's own tokens ({tokens})",
    "prompt": "softmax over the prompt's tokens and the concept's words together",
}


@dataclass(frozen=True, eq=False)
class ConceptKeys:
    """A text as the attention sites of a model see it.

    Attributes:
        label: the text, or the name of a learned concept in angle brackets.
        tokens: the tokens as the tokenizer spells them, padding left out.
        groups: for each word, the places of its tokens among `tokens`: what the concept's map sums over.
        keys: site name to keys ``[head, token, dim]``, of every cross-attention site of the run.
        about: where it came from: ``model`` (fingerprint of the weights), ``source`` (``text`` or ``learned``), …
    """

    label: str
    tokens: tuple[str, ...]
    groups: tuple[tuple[int, ...], ...]
    keys: dict[str, Array]
    about: dict[str, str] = field(default_factory=dict)

    @property
    def content(self) -> list[int]:
        """Places of the tokens that belong to words."""
        return sorted({token for group in self.groups for token in group})


def keep(recording: Recording, concept: ConceptKeys) -> None:
    """Put a concept's keys into the run's cache, so that `stored` finds them where there is no model."""
    key = {
        "label": concept.label,
        "tokens": "\n".join(concept.tokens),
        "groups": " ".join(",".join(map(str, group)) for group in concept.groups),
        **{f"about.{name}": value for name, value in concept.about.items()},
    }
    RunCache(recording).write(_KEYS, key, {name: np.asarray(keys) for name, keys in concept.keys.items()})


def stored(recording: Recording) -> dict[str, ConceptKeys]:
    """Label to keys of every concept that the run's cache has."""
    found = {}
    for key, tensors in RunCache(recording).entries(_KEYS):
        about = {
            name.removeprefix("about."): value for name, value in key.items() if name.startswith("about.")
        }
        groups = tuple(tuple(map(int, group.split(","))) for group in key["groups"].split())
        found[key["label"]] = ConceptKeys(
            key["label"], tuple(key["tokens"].split("\n")), groups, tensors, about
        )
    return found


def find_concept(recording: Recording, label: str) -> ConceptKeys:
    """A concept of the run's cache.

    Raises:
        NotKeptError: it has none of that name; the error says how to get it.
    """
    known, wanted = stored(recording), " ".join(label.split())
    if wanted in known:
        return known[wanted]
    have = f"; it has: {listed(near_first(wanted, list(known)))}" if known else ""
    raise NotKeptError(
        f"this run's cache has no concept {wanted!r}{have}. Its keys come from the model: "
        f"lens.concept(run, {wanted!r}), or the command line's --concept where torch and the model are there"
    )


class ConceptAttention:
    """Attention to a concept's tokens, for each site and step of a recording.

    Means over all heads are kept in the run's cache; what is asked of single heads is computed each time.
    """

    def __init__(self, recording: Recording, concept: ConceptKeys, against: Against) -> None:
        self.recording = recording
        self.concept = concept
        self.against = against
        self._cache = RunCache(recording)
        self._means: dict[str, dict[int, Floats]] = {}

    def at(
        self, site: str, steps: Sequence[int], weights: Mapping[int, float], heads: Sequence[int]
    ) -> Floats:
        """Weighted sum of tokens' head-mean maps, float32 ``[step, query]``.

        Raises:
            NotKeptError: queries were not kept; the error names the level that would.
            RecordingError: NaN or infinity in the recording.
        """
        rows = self.per_token(site, steps, list(weights), heads)
        shares = np.array(list(weights.values()))
        return np.asarray(np.einsum("stq,t->sq", rows.astype(np.float64), shares), np.float32)

    def per_head(
        self, site: str, steps: Sequence[int], weights: Mapping[int, float], heads: Sequence[int]
    ) -> Floats:
        """Weighted sum of tokens' maps of each head, float32 ``[step, head, query]``. Errors as of `at`."""
        scale, places = self.recording.site(site).scale, places_of(heads, self.recording.heads(site), site)
        found = []
        for step in steps:
            q, k, first, mask = self._attended(site, step)
            keys = [first + self._place(token) for token in weights]
            shares = list(weights.values())
            found.append(weighted_heads(q, k, scale, keys=keys, weights=shares, heads=places, mask=mask))
        return np.stack(found)

    def per_token(
        self, site: str, steps: Sequence[int], tokens: Sequence[int], heads: Sequence[int]
    ) -> Floats:
        """Each token's head-mean map, float32 ``[step, token, query]``. Errors as of `at`."""
        kept = self.recording.heads(site)
        places = places_of(heads, kept, site)
        asked = [self._place(token) for token in tokens]
        if len(kept) < self.recording.site(site).heads or tuple(heads) != kept:
            return np.stack([self._mean(site, step, places)[asked] for step in steps])
        known = self._known(site)
        lacking = [step for step in steps if step not in known]
        known |= {step: self._mean(site, step, places) for step in lacking}
        if lacking:
            order = sorted(known)
            tensors = {"steps": np.array(order), "maps": np.stack([known[step] for step in order])}
            self._cache.write("concept-maps", self._key(site), tensors)
        return np.stack([known[step][asked] for step in steps])

    def _known(self, site: str) -> dict[int, Floats]:
        """Step to ``[token, query]``, of all heads, as far as it was computed before."""
        if site not in self._means:
            kept = self._cache.read("concept-maps", self._key(site))
            self._means[site] = (
                {} if kept is None else dict(zip(map(int, kept["steps"]), kept["maps"], strict=True))
            )
        return self._means[site]

    def _key(self, site: str) -> dict[str, str]:
        """The maps depend on the keys alone, whatever text and model they came from."""
        return {"site": site, "against": self.against, "keys": digest(self.concept.keys[site])}

    def _mean(self, site: str, step: int, heads: Sequence[int]) -> Floats:
        """``[token, query]`` of the concept's tokens (of its words, against the prompt)."""
        q, k, first, mask = self._attended(site, step)
        return head_mean(
            q, k, self.recording.site(site).scale, heads=heads, keys=list(range(first, k.shape[1])), mask=mask
        )

    def _attended(self, site: str, step: int) -> tuple[Array, Array, int, Array | None]:
        """Queries, keys, the first key that is the concept's, and the mask."""
        query = self.recording.query(site, step)
        keys = self.concept.keys[site]
        kept = self.recording.heads(site)
        if len(kept) < len(keys):
            keys = keys[list(kept)]
        if self.against == "own":
            return query, keys, 0, None
        prompt = self.recording.keys(site, step)
        both = np.concatenate(
            [prompt.astype(np.float32), keys[:, self.concept.content].astype(np.float32)], axis=1
        )
        return (
            query,
            both,
            prompt.shape[1],
            _widened(self.recording.mask(site, step), prompt.shape[1], both.shape[1]),
        )

    def _place(self, token: int) -> int:
        """Where a token's map stands: against the prompt only the words' tokens take part."""
        return token if self.against == "own" else self.concept.content.index(token)


class ConceptView(WordView):
    """A concept and where the picture looks for it: as `WordView`, for a text that need not be in the prompt.

    Attributes:
        keys: the concept as the model's sites see it.
        against: which tokens share the softmax.
    """

    def __init__(self, run: Run, keys: ConceptKeys, against: Against = "own") -> None:
        """Raises SelectionError: `against` is unknown, or the keys are not of the run's sites."""
        if against not in get_args(Against):
            raise SelectionError(
                f"against={against!r} is unknown; the softmax runs over 'own' tokens or 'prompt'"
            )
        for site in kept_text_sites(run.recording):
            if site.kind == "joint":
                raise SelectionError(
                    f"concepts need text keys that do not depend on the picture; at {site.name} attention is joint"
                )
            found = keys.keys.get(site.name)
            if found is None or found.shape != (site.heads, len(keys.tokens), site.head_dim):
                raise SelectionError(
                    f"the concept {keys.label!r} was made for another model: it has no keys for {site.name}"
                )
        super().__init__(run, Term(keys.label, (), keys.groups))
        self.keys = keys
        self.against: Against = against
        self._attention = ConceptAttention(run.recording, keys, against)

    @property
    def attention(self) -> ConceptAttention:
        """What its maps are read from."""
        return self._attention

    def contributions(
        self,
        steps: Choice = None,
        sites: SiteChoice = None,
        heads: Choice = None,
        *,
        projections: Mapping[str, NDArray[np.floating]] | None = None,
    ) -> HeadMaps:
        """A concept that took no part in the drawing added nothing to it: raises SelectionError."""
        raise SelectionError(
            f"the concept {self.label!r} took no part in the drawing, so no head added anything for it"
        )

    def daam(self, steps: Choice = None, sites: SiteChoice = None, heads: Choice = None) -> Heatmap:
        """DAAM maps words of the prompt: raises SelectionError."""
        raise SelectionError(
            f"DAAM maps words of the prompt, and {self.label!r} is a concept; ask for its map instead"
        )

    def _selection(self, steps: Choice, sites: SiteChoice, heads: Choice) -> Selection:
        return Selection.of(steps=steps, sites=sites, heads=heads, concept=self.label)

    def _said(self) -> str:
        shown = " ".join(self.keys.tokens)
        return f" Open vocabulary: {_SAID[self.against].format(tokens=shown)}."


def _widened(mask: Array | None, before: int, after: int) -> Array | None:
    """A mask over more keys, the new ones taking part."""
    if mask is None:
        return None
    whole = np.broadcast_to(mask, (*mask.shape[:2], before))
    more = np.ones if whole.dtype == np.bool_ else np.zeros
    return np.concatenate([whole, more((*whole.shape[:2], after - before), whole.dtype)], axis=2)
