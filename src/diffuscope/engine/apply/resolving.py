"""Resolving: from edits as values to acts, against a model and a run. All bad input is told here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from diffuscope.edits import (
    Control,
    Custom,
    Edit,
    Encode,
    Inject,
    Patch,
    Reprompt,
    Reweight,
    Scale,
    Silence,
    Steer,
)
from diffuscope.engine.apply.acts import (
    Aim,
    ControlAct,
    CustomAct,
    InjectAct,
    KernelAct,
    PatchAct,
    ReweightAct,
    ScaleAct,
    TextKeysAct,
)
from diffuscope.engine.apply.at_kernel import Here
from diffuscope.engine.apply.conditioning import Change, TextAct
from diffuscope.engine.apply.donors import Donor, Needs
from diffuscope.engine.apply.guidance import GuidanceAct
from diffuscope.engine.apply.phrases import spot_of
from diffuscope.engine.apply.places import Size, check_region
from diffuscope.engine.apply.steering import Direction, Shift, direction, shift
from diffuscope.engine.apply.text_keys import Text, TextKeys
from diffuscope.engine.apply.texts import MASK, Speaker, Spoken
from diffuscope.engine.models.family import AttentionSite, Family
from diffuscope.errors import EditError, listed
from diffuscope.recording import TextInfo
from diffuscope.run import find
from diffuscope.selection import Selection


class Resolved:
    """Edits as acts; see `Applying` for the arguments.

    Attributes:
        kernel: what acts at attention calls, in order. `text`: on what the denoiser is told. `guidance`: on what it
            predicts.
        keys: what asks sites for another text's keys, and which sites.
        speak: the texts that will be needed.
    """

    def __init__(
        self,
        pipe: Any,
        family: Family,
        lists: Sequence[tuple[Edit, ...]],
        *,
        prompts: tuple[str, ...],
        texts: tuple[TextInfo, ...],
        steps: int | None,
        size: Size | None,
        donors: Mapping[str, Donor],
        options: Mapping[str, Any],
    ) -> None:
        self.pipe, self.family, self.lists = pipe, family, lists
        self.prompts, self.texts, self.steps, self.size = prompts, texts, steps, size
        self.donors, self.options = donors, options
        self.sites = {site.name: site for site in family.sites(pipe)}
        self.denoiser = family.denoiser(pipe)
        self.speak = Speaker(pipe, family)
        self.keys: list[tuple[TextKeys, frozenset[str]]] = []
        self.aims: list[Aim] = []
        self.kernel: list[KernelAct] = []
        self.text: list[TextAct] = []
        self.guidance: list[GuidanceAct] = []
        for edit, mine in _grouped(lists):
            self._take(edit, mine)
        self.check_contradictions()

    def begin(self, steps: int) -> None:
        """The number of steps, where it shows when the run begins.

        Raises:
            EditError: it is another one than was told. SelectionError: an edit names a step beyond the last.
        """
        if self.steps is not None and steps != self.steps:
            raise EditError(f"the edits were made for a run of {self.steps} steps, and it has {steps}")
        if self.steps is None:
            self.steps = steps
            for aim in self.aims:
                aim.steps = frozenset(aim.edit.resolve_steps(steps))
            self.check_contradictions()

    def _take(self, edit: Edit, pictures: frozenset[int]) -> None:
        if edit.patches is not None and self.size is not None:
            check_region(edit.patches, self.size)
        real, control = (edit.edit, edit) if isinstance(edit, Control) else (edit, None)
        whole = (edit.sites, edit.heads, edit.patches) == ("all", "all", None)
        if isinstance(real, Steer) and real.space == "guidance":
            self.guidance.append(self._guided(self._aim(real, pictures, ()), real, control))
        elif isinstance(real, Reprompt | Steer) and whole:
            self.text.append(TextAct(self._aim(real, pictures, ()), self._change(real, pictures), control))
        else:
            act = self._act(
                real, self._aim(real, pictures, sites_of(real, self.sites, type(self.pipe).__name__))
            )
            self.kernel.append(act if control is None else ControlAct(act.aim, act, control.seed))

    def _aim(self, edit: Edit, pictures: frozenset[int], sites: Sequence[str]) -> Aim:
        steps: frozenset[int] = (
            frozenset() if self.steps is None else frozenset(edit.resolve_steps(self.steps))
        )
        heads: dict[str, tuple[int, ...] | None] = {}
        for name in sites:
            count = getattr(self.sites[name].module, "heads", None)
            if edit.heads == "all":
                heads[name] = None
            elif isinstance(count, int):
                heads[name] = Selection(heads=edit.heads).resolve_heads(count, name)
            else:
                raise EditError(f"{name} does not say how many heads it has, so none can be named there")
        self.aims.append(Aim(edit, frozenset(sites), heads, steps, pictures))
        return self.aims[-1]

    def _act(self, edit: Edit, aim: Aim) -> KernelAct:
        match edit:
            case Scale():
                return ScaleAct(aim)
            case Reweight(word=word, factor=factor, of=of):
                return ReweightAct(aim, self._tokens(word, aim.pictures), factor, of)
            case Silence(word=word):
                return ReweightAct(aim, self._tokens(word, aim.pictures), 0.0, "probability")
            case Patch(strength=strength):
                return PatchAct(aim, self._donor(edit.donor, aim), strength)
            case Inject(strength=strength):
                return InjectAct(aim, self._donor(edit.donor, aim), strength)
            case Custom():
                return CustomAct(aim, self.texts)
            case Encode(text=other) | Reprompt(prompt=other):
                self.speak.want(other)
                keys = self._text_keys(aim, lambda here, picture: self.speak(other))
                return TextKeysAct(aim, keys, edit.strength if isinstance(edit, Encode) else 1.0)
            case Steer():
                change = self._change(edit, aim.pictures)

                def steered(here: Here, picture: int) -> Spoken:
                    row = here.moment.rows[picture]
                    return change(picture, Spoken(here.moment.call.conditioning[row], None, None))

                return TextKeysAct(aim, self._text_keys(aim, steered, constant=False), 1.0)
        raise EditError(f"there is no way to apply {edit.kind!r} to a model")

    def _text_keys(self, aim: Aim, text: Text, *, constant: bool = True) -> TextKeys:
        keys = TextKeys(self.denoiser, text, constant=constant)
        self.keys.append((keys, aim.sites))
        return keys

    def _tokens(self, word: str, pictures: frozenset[int]) -> tuple[tuple[int, ...], ...]:
        """The keys of a word, of each picture; none of pictures that are not edited."""
        self._need_texts(word)
        return tuple(
            find(text, word).tokens if picture in pictures else () for picture, text in enumerate(self.texts)
        )

    def _need_texts(self, word: str) -> None:
        if not self.texts:
            raise EditError(
                f"the word {word!r} is looked up in the prompt, which is not known here; give prompts="
            )

    def _donor(self, name: str, aim: Aim) -> Donor:
        if name not in self.donors:
            raise EditError(f"the donor {name} was not given; give donors={{{name!r}: …}}")
        donor = self.donors[name]
        donor.check(Needs(aim.sites, aim.steps), self.steps)
        return donor

    def _change(self, edit: Edit, pictures: frozenset[int]) -> Change:
        """What a `Reprompt` or a `Steer` makes of a row's text."""
        if isinstance(edit, Reprompt):
            self.speak.want(edit.prompt)
            return lambda picture, old: self.speak(edit.prompt)
        assert isinstance(edit, Steer)
        self._need_texts(edit.word or edit.toward)
        ways: dict[int, Direction | Shift] = {}
        resolve = shift if edit.space == "tokens" else direction
        for picture in sorted(pictures):
            prompt = self.prompts[picture] if self.prompts else ""
            masked = self.family.name in MASK
            ways[picture] = resolve(edit, prompt, self.texts[picture], self._read, masked=masked)
            for phrase in (ways[picture].toward, ways[picture].away):
                self.speak.want(phrase.text)
        return lambda picture, old: ways[picture].steered(old, self.speak)

    def _guided(self, aim: Aim, steer: Steer, control: Control | None) -> GuidanceAct:
        if "PAG" in type(self.pipe).__name__ or self.options.get("guidance_rescale"):
            raise EditError(
                "steer: after guidance means nothing where guidance is perturbed (PAG) or rescaled (guidance_rescale); "
                "draw without it, or steer in space='embedding'"
            )
        texts = []
        for picture in range(len(self.lists)):
            away = steer.away
            if away is None and steer.word is not None and picture in aim.pictures:
                self._need_texts(steer.word)
                away = spot_of(self.prompts[picture], self.texts[picture], steer.word).text
            texts.append((steer.toward, away or ""))
            if picture in aim.pictures:
                self.speak.want(steer.toward)
                self.speak.want(away or "")
        return GuidanceAct(aim, steer, tuple(texts), control)

    def _read(self, prompt: str) -> Any:
        return self.family.read_prompt(self.pipe, prompt, self.options)

    def check_contradictions(self) -> None:
        """Two prompts cannot both be the prompt of one step."""
        for edits in self.lists:
            prompts = [
                edit
                for edit in edits
                if isinstance(edit, Reprompt)
                and (edit.sites, edit.heads, edit.patches) == ("all", "all", None)
            ]
            for index, edit in enumerate(prompts):
                for other in prompts[:index]:
                    both = _both(other, edit, self.steps)
                    if both:
                        raise EditError(
                            f"reprompt: {other.prompt!r} and {edit.prompt!r} are both the prompt of {both}; "
                            "give each steps of its own"
                        )


def sites_of(edit: Edit, sites: Mapping[str, AttentionSite], pipeline: str) -> tuple[str, ...]:
    """The sites of an edit that acts at the kernel.

    Raises:
        EditError, SelectionError: there are none, or it cannot act at one that it names.
    """
    kinds: tuple[str, ...] = ("cross",) if isinstance(edit, Reprompt | Steer) else edit.kinds
    if isinstance(edit, Inject):
        kinds = (edit.attention,)
    can = [name for name, site in sites.items() if site.kind in kinds]
    where = " or ".join(f"{kind}-attention" for kind in kinds)
    if not can:
        name = pipeline
        joint = kinds == ("cross",) and any(site.kind == "joint" for site in sites.values())
        why = (
            ": its text keys depend on the picture and the block; Reprompt or Steer the whole text, without sites, "
            "heads and patches"
        )
        raise EditError(f"{edit.kind} acts at {where} sites, of which {name} has none{why if joint else ''}")
    if edit.sites == "all":
        return tuple(can)
    named = Selection(sites=edit.sites).resolve_sites(list(sites))
    wrong = [name for name in named if name not in can]
    if wrong and isinstance(edit, Inject) and len(wrong) == len(named):
        raise EditError(f"inject: attention={edit.attention!r} and sites={edit.sites} name no site together")
    if wrong:
        raise EditError(
            f"{edit.kind} acts at {where} sites; {listed(wrong)} is none of them; write sites like {can[0]}"
        )
    return named


def needs(pipe: Any, family: Family, edits: Sequence[Edit], steps: int) -> dict[str, Needs]:
    """What is to be gathered of each donor that edits name.

    Raises:
        EditError, SelectionError: an edit that cannot act on this model or run.
    """
    found: dict[str, Needs] = {}
    sites = {site.name: site for site in family.sites(pipe)}
    for edit in edits:
        real = edit.edit if isinstance(edit, Control) else edit
        if isinstance(real, Patch | Inject):
            mine = Needs(
                frozenset(sites_of(real, sites, type(pipe).__name__)), frozenset(real.resolve_steps(steps))
            )
            found[real.donor] = found[real.donor] | mine if real.donor in found else mine
    return found


def _grouped(lists: Sequence[tuple[Edit, ...]]) -> list[tuple[Edit, frozenset[int]]]:
    """Edits in an order that keeps each picture's own, each with its pictures. Lists that are one are one."""
    same: dict[tuple[Edit, ...], list[int]] = {}
    for picture, edits in enumerate(lists):
        same.setdefault(edits, []).append(picture)
    return [(edit, frozenset(pictures)) for edits, pictures in same.items() for edit in edits]


def _both(one: Edit, other: Edit, steps: int | None) -> str:
    """The steps at which two edits both act, in words; empty where there are none, as far as is known."""
    if steps is None:
        return "every step" if one.steps == other.steps == "all" else ""
    both = sorted(set(one.resolve_steps(steps)) & set(other.resolve_steps(steps)))
    return f"step {both[0]}" if len(both) == 1 else f"steps {both[0]} to {both[-1]}" if both else ""
