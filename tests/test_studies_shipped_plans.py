"""Plans that ship: each can be run as it is, says what it draws, and its words are words that the model knows."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

pytest.importorskip("ruamel.yaml")
pytest.importorskip("pyarrow")

from diffuscope import scenes
from diffuscope.errors import InputError
from diffuscope.findings import FINDINGS
from diffuscope.studies import prepare
from diffuscope.studies.plans import FOLDER, found_plan, shipped, shipped_plan
from diffuscope.studies.prompts import expand
from diffuscope.studies.units import units

OWN = sorted({finding.plan for finding in FINDINGS.values()})


@pytest.mark.parametrize("name", OWN)
def test_a_shipped_plan_is_ready_to_run(name: str) -> None:
    plan = prepare(shipped()[name])
    assert plan.study == name and plan.question and plan.model.id == "scenes" and plan.keep == "none"
    text = (FOLDER / f"{name}.yaml").read_text(encoding="utf-8")
    number = len(expand(plan)) * len(plan.seeds) * len(plan.conditions)
    assert re.search(rf"= {number} runs", text), f"the comment says another number than {number}"


@pytest.mark.parametrize("name", OWN)
def test_every_prompt_is_of_the_drawn_world_under_every_condition(name: str) -> None:
    plan = shipped_plan(name)
    for unit in units(plan, expand(plan), "model"):
        assert scenes.parse(unit.text) is not None, unit.text
        assert not re.search(r"\ba [aeiou]|\ban [^aeiou]", unit.text), unit.text


def test_factors_are_what_the_prompt_says() -> None:
    for name in OWN:
        for prompt in expand(shipped_plan(name)):
            for factor, value in prompt.factors.items():
                # What only other conditions say.
                told = name in ("detective", "patch-explorer") and factor.startswith("other")
                if factor not in ("turned", "opposite") and not told:
                    assert value in prompt.text, (name, factor)


def test_a_plan_is_found_by_name_and_a_file_goes_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert found_plan("prepositions") == shipped()["prepositions"]
    assert found_plan("some/where.yaml") == Path("some/where.yaml")
    monkeypatch.chdir(tmp_path)
    Path("prepositions").write_text("study: own\n", encoding="utf-8")
    assert found_plan("prepositions") == Path("prepositions")
    with pytest.raises(InputError, match=r"no plan 'preposition'.*prepositions"):
        found_plan("preposition")
    with pytest.raises(InputError, match="no plan 'nothing'"):
        shipped_plan("nothing")
