"""Which findings there are: a name, a question, the plan that draws it, and the page that is written of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module

from diffuscope.errors import InputError, near_first
from diffuscope.findings.evidence import Evidence
from diffuscope.findings.page import Page


@dataclass(frozen=True)
class Finding:
    """An experiment that ships.

    Attributes:
        name: of its page.
        plan: of the plan that draws it (`diffuscope.studies.plans`); two findings may share one.
        home: module of the function that writes the page, which has the finding's name with underscores.
    """

    name: str
    plan: str
    home: str

    @property
    def page(self) -> Callable[[Evidence], Page]:
        """The function from a study's evidence to the page."""
        found: Callable[[Evidence], Page] = getattr(
            import_module(f"diffuscope.findings.{self.home}"), self.name.replace("-", "_")
        )
        return found


FINDINGS: dict[str, Finding] = {
    name: Finding(name, plan or name, home)
    for name, plan, home in (
        ("several-things", "", "drawing_order"),
        ("attribute-and-noun", "", "drawing_order"),
        ("background-and-foreground", "", "drawing_order"),
        ("attention-and-picture", "", "attention_timing"),
        ("prepositions", "", "prepositions"),
        ("self-attention-regions", "self-attention", "self_attention"),
        ("received-attention", "self-attention", "self_attention"),
        ("detective", "", "detective"),
        ("patch-explorer", "", "patch_explorer"),
    )
}
"""Name to finding."""


def find_finding(name: str) -> Finding:
    """A finding by its name.

    Raises:
        InputError: there is none.
    """
    if name not in FINDINGS:
        raise InputError(
            f"there is no finding {name!r}; there are: {', '.join(near_first(name, list(FINDINGS)))}"
        )
    return FINDINGS[name]
