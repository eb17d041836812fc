"""A plan says what is wrong with it in one line, and comes to exactly the units that it names."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from diffuscope.errors import DiffuscopeError, InputError
from diffuscope.studies import Plan, prepare, read_plan
from diffuscope.studies.leading import open_study
from diffuscope.studies.plan import bytes_of, json_schema
from diffuscope.studies.plan_file import write_plan
from diffuscope.studies.prompts import expand, placeless, words_of
from diffuscope.studies.study import Study, difference
from diffuscope.studies.units import fingerprint, identity, units

ROOT = Path(__file__).resolve().parent.parent
SCHEMA = ROOT / "src" / "diffuscope" / "studies" / "schema" / "plan-1.json"


def plan(**fields: Any) -> dict[str, Any]:
    return {"study": "s", "prompts": ["a red cat", "a blue dog"], "measures": ["brightness"], **fields}


def wrong(**fields: Any) -> str:
    """The line that a plan is refused with."""
    with pytest.raises(DiffuscopeError) as refused:
        prepare(plan(**fields))
    assert isinstance(refused.value, InputError) and "\n" not in str(refused.value)
    return str(refused.value)


def test_the_schema_file_is_the_code() -> None:
    assert json.loads(SCHEMA.read_text(encoding="utf-8")) == json_schema()


def test_the_schema_takes_the_example_and_refuses_a_wrong_name() -> None:
    jsonschema = pytest.importorskip("jsonschema")
    from ruamel.yaml import YAML

    given = YAML(typ="safe", pure=True).load((ROOT / "examples" / "study.yaml").read_text(encoding="utf-8"))
    jsonschema.validate(given, json_schema())
    jsonschema.validate(plan(seeds="0:4", measures=[{"name": "mass", "words": "cat"}]), json_schema())
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**given, "sede": 3}, json_schema())


def test_the_example_is_a_plan() -> None:
    checked = prepare(ROOT / "examples" / "study.yaml")
    assert len(expand(checked)) * len(checked.seeds) * len(checked.conditions) == 192


def test_a_plan_written_and_read_is_the_same(tmp_path: Path) -> None:
    checked = read_plan(
        plan(seeds="0:3", conditions={"a": {}, "b": {"settings": {"steps": 4}}}, held_out={"share": 0.5})
    )
    write_plan(checked, tmp_path / "plan.yaml")
    assert (
        read_plan(tmp_path / "plan.yaml") == checked
        and read_plan(tmp_path / "plan.yaml").sha256 == checked.sha256
    )


def test_short_forms_mean_the_long_ones() -> None:
    short = read_plan(plan(model="scenes", seeds=7, measures=["brightness"]))
    long = read_plan(
        plan(
            model={"id": "scenes"},
            prompts={"list": ["a red cat", "a blue dog"]},
            seeds=[7],
            measures=[{"name": "brightness"}],
        )
    )
    assert short == long
    assert read_plan(plan(seeds="0:3,9")).seeds == (0, 1, 2, 9)


def test_a_condition_is_given_its_control(tmp_path: Path) -> None:
    edits = [{"edit": "silence", "word": "cat", "steps": "0:5"}]
    checked = read_plan(plan(conditions={"plain": {}, "without": {"edits": edits, "control": True}}))
    assert list(checked.conditions) == ["plain", "without", "without, control"]
    made = checked.conditions["without, control"]
    assert made.control_of == "without"
    assert made.edits == ({"edit": "control", "of": edits[0], "seed": 0},)
    write_plan(checked, tmp_path / "plan.yaml")
    assert read_plan(tmp_path / "plan.yaml") == checked
    # One that the plan names stands.
    named = {
        "plain": {},
        "without": {"edits": edits, "control": True},
        "other": {"settings": {"steps": 3}, "control_of": "without"},
    }
    assert list(read_plan(plan(conditions=named)).conditions) == ["plain", "without", "other"]


@pytest.mark.parametrize(
    ("fields", "line"),
    [
        ({"conditions": {"a": {}, "b": {"control": True}}}, "for conditions with edits"),
        ({"sede": 1}, "there is no field 'sede' in a plan; there are: seeds"),
        ({"settings": {"step": 3}}, "there is no field 'step' in settings; there are: steps"),
        ({"conditions": {"a": {"setings": {}}}}, "no field 'setings' in conditions.a; there are: settings"),
        ({"conditions": {"a": {"settings": {"guidence_scale": 1}}}}, "there are: guidance_scale"),
        ({"measures": ["brigthness"]}, "there is no measure 'brigthness'; there are: brightness"),
        ({"measures": []}, "measures"),
        ({"measures": ["brightness", "brightness"]}, "the measure 'brightness' is named twice"),
        ({"measures": [{"name": "brightness", "words": "cat"}]}, "about the picture, not about words"),
        ({"measures": [{"name": "brightness", "series": True}]}, "has no steps"),
        ({"measures": [{"name": "mass", "words": "catt"}]}, "no prompt of the study has it"),
        ({"measures": [{"name": "mass", "words": "{shape}"}]}, "the factor {shape}"),
        ({"measures": [{"name": "mass", "steps": "5-9"}]}, "measure mass: steps"),
        ({"prompts": ["a cat", "a cat"]}, "prompts.list has 'a cat' twice"),
        ({"prompts": ["a cat", " "]}, "prompt 2 is empty"),
        ({"prompts": []}, "prompts"),
        ({"prompts": {"list": ["a"], "file": "b"}}, "given: list and file"),
        ({"prompts": {}}, "none of them"),
        ({"prompts": {"template": "a {colour}", "factors": {"color": ["red"]}}}, "has the factor {colour}"),
        ({"prompts": {"template": "a {c}", "factors": {"c": []}}}, "'c' has no values, so the product is empty"),
        ({"prompts": {"template": "a cat", "factors": {"c": ["x"]}}}, "the factor 'c' is not in the template"),
        ({"prompts": {"template": "a {c", "factors": {"c": ["x"]}}}, "ill-formed"),
        ({"prompts": {"template": "a {0}", "factors": {"c": ["x"]}}}, "is no factor"),
        ({"prompts": {"template": "a {c}", "factors": {"c": ["x", "x"]}}}, "the factor 'c' has 'x' twice"),
        ({"prompts": {"file": "nowhere.txt"}}, "there is no prompt file nowhere.txt"),
        ({"seeds": []}, "seeds is empty"),
        ({"seeds": "5:5"}, "seeds is empty"),
        ({"seeds": [1, 1]}, "seeds has 1 twice"),
        ({"seeds": "a:b"}, "write 7, [1, 2, 5] or 0:20"),
        ({"conditions": {}}, "conditions is empty"),
        ({"conditions": {"a": {}, "b": {}}}, "the conditions 'a' and 'b' are the same"),
        ({"conditions": {"a": {}, "b": {"control_of": "c"}}}, "conditions.b.control_of is 'c'"),
        ({"pairing": {"baseline": "bassline"}, "conditions": {"baseline": {}}}, "there are: baseline"),
        ({"conditions": {"a": {"prompt": "cat {x}"}}}, "conditions.a.prompt has the factor {x}"),
        ({"conditions": {"a": {}, "b": {"prompt": "a cat"}}}, "makes one prompt of several"),
        ({"keep": "everything"}, "keep"),
        ({"study": "../up"}, "study"),
        ({"settings": {"steps": 0}}, "settings.steps"),
        ({"settings": {"guidance_scale": float("nan")}}, "settings.guidance_scale"),
        ({"held_out": {"share": 1.5}}, "held_out.share"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_one_line_that_says_it(fields: dict[str, Any], line: str) -> None:
    assert line in wrong(**fields)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("study: s\nstudy: t\n", "line 2"),
        ("study: [", "is no YAML"),
        ("- a\n- b\n", "it holds no fields"),
        ("study: s\nprompts: [a]\n", "measures is missing"),
    ],
)
def test_a_wrong_file_names_itself(text: str, line: str, tmp_path: Path) -> None:
    file = tmp_path / "plan.yaml"
    file.write_text(text)
    with pytest.raises(InputError, match=r"plan\.yaml") as refused:
        read_plan(file)
    assert line in str(refused.value) and "\n" not in str(refused.value)
    with pytest.raises(InputError, match="there is no plan"):
        read_plan(tmp_path / "other.yaml")


def test_yaml_means_what_it_says(tmp_path: Path) -> None:
    """Words stay words and 5:20 is no number of base 60, as it is in YAML 1.1."""
    file = tmp_path / "plan.yaml"
    file.write_text(
        "study: s\nprompts: {template: 'say {w}', factors: {w: [no, on, yes]}}\nseeds: 5:8\nmeasures: [brightness]\n"
    )
    checked = prepare(file)
    assert [prompt.text for prompt in expand(checked)] == ["say no", "say on", "say yes"]
    assert checked.seeds == (5, 6, 7)


def test_a_template_comes_to_the_product_of_its_factors() -> None:
    checked = prepare(
        plan(prompts={"template": "a {c} {s}, {{c}}", "factors": {"s": ["cat", "dog"], "c": ["red", "blue"]}})
    )
    texts = [prompt.text for prompt in expand(checked)]
    assert texts == ["a red cat, {c}", "a red dog, {c}", "a blue cat, {c}", "a blue dog, {c}"]
    assert expand(checked)[1].factors == {"c": "red", "s": "dog"}


def test_prompts_from_files(tmp_path: Path) -> None:
    (tmp_path / "p.txt").write_text("a cat\n\n a dog \nan owl\n", encoding="utf-8")
    (tmp_path / "p.csv").write_text('prompt,animal\n"a cat, asleep",cat\na dog,dog\n', encoding="utf-8")
    captions = [
        (9, 1, "A dog."),
        (2, 5, "later"),
        (2, 4, "A cat\n runs."),
        (3, 6, "A cat runs."),
        (5, 7, "An owl."),
    ]
    coco = {
        "annotations": [
            {"image_id": image, "id": number, "caption": text} for image, number, text in captions
        ]
    }
    (tmp_path / "c.json").write_text(json.dumps(coco))
    file = tmp_path / "plan.yaml"

    def texts(source: str) -> list[str]:
        file.write_text(f"study: s\nprompts: {source}\nmeasures: [brightness]\n")
        return [prompt.text for prompt in expand(prepare(file))]

    assert texts("{file: p.txt, first: 2}") == ["a cat", "a dog"]
    assert texts("{file: p.csv}") == ["a cat, asleep", "a dog"]
    assert texts("{coco: c.json}") == ["A cat runs.", "An owl.", "A dog."]
    (tmp_path / "c.json").write_text("{}")
    with pytest.raises(InputError, match="no caption file of COCO"):
        texts("{coco: c.json}")
    (tmp_path / "p.csv").write_text("text\na cat\n")
    with pytest.raises(InputError, match="no column 'prompt'"):
        texts("{file: p.csv}")


def test_a_study_keeps_a_prompt_file_by_name_and_content(tmp_path: Path) -> None:
    for place in ("here", "there"):
        (tmp_path / place).mkdir()
        (tmp_path / place / "p.txt").write_text("a cat\na dog\n")
        (tmp_path / place / "plan.yaml").write_text(
            "study: s\nprompts: {file: p.txt}\nmeasures: [brightness]\n"
        )
    checked = prepare(tmp_path / "here" / "plan.yaml")
    study, _ = open_study(checked, tmp_path / "studies")
    told = (tmp_path / "studies" / "s" / "study.json").read_text()
    content = hashlib.sha256(b"a cat\na dog\n").hexdigest()
    assert str(tmp_path) not in told and json.loads(told)["plan"]["prompts"]["file"] == "p.txt"
    assert study.plan.prompts.sha256 == content == Study.open(study.folder).plan.prompts.sha256
    # The same plan in another checkout is the same study, under the same hash.
    other = prepare(tmp_path / "there" / "plan.yaml")
    assert open_study(other, tmp_path / "studies")[0].folder == study.folder
    assert placeless(other).sha256 == placeless(checked).sha256
    # One more empty line changes no prompt; another prompt does.
    (tmp_path / "there" / "p.txt").write_text("a cat\na dog\n\n")
    open_study(prepare(tmp_path / "there" / "plan.yaml"), tmp_path / "studies")
    (tmp_path / "there" / "p.txt").write_text("a cat\nan owl\n")
    with pytest.raises(InputError, match="the file that they come from has changed"):
        open_study(prepare(tmp_path / "there" / "plan.yaml"), tmp_path / "studies")
    with pytest.raises(InputError, match="is another than the plan's"):
        prepare(plan(prompts={"file": str(tmp_path / "there" / "p.txt"), "sha256": content}))
    with pytest.raises(InputError, match="sha256 is that of a file"):
        prepare(plan(prompts={"list": ["a"], "sha256": content}))


@pytest.mark.parametrize("place", ["/somewhere/else/plans/p.txt", "C:\\plans\\p.txt"])
def test_a_study_that_kept_the_whole_path_goes_on(tmp_path: Path, place: str) -> None:
    (tmp_path / "p.txt").write_text("a cat\na dog\n")
    checked = prepare(plan(prompts={"file": str(tmp_path / "p.txt")}))
    study, _ = open_study(checked, tmp_path / "studies")
    told = json.loads((study.folder / "study.json").read_text())
    told["plan"]["prompts"] = {"list": None, "template": None, "factors": {}, "file": place, "first": None}
    (study.folder / "study.json").write_text(json.dumps(told))
    again, carried = open_study(checked, tmp_path / "studies")
    assert again.plan.prompts.file == place and again.prompts == study.prompts and carried == 0
    assert "sha256" not in again.plan.plain()["prompts"]


def test_words_of_a_measure_follow_the_factors() -> None:
    checked = prepare(
        plan(
            prompts={"template": "a {c} cat and a {s}", "factors": {"c": ["red"], "s": ["dog", "owl"]}},
            measures=[{"name": "mass"}, {"name": "focus", "words": ["{c} cat", "owl", "<start>"]}],
        )
    )
    first, second = expand(checked)
    mass, focus = checked.measures
    assert words_of(mass, first.text, first.factors) == [("{c}", "red"), ("{s}", "dog")]
    assert words_of(focus, first.text, first.factors) == [("{c} cat", "red cat"), ("<start>", "<start>")]
    assert words_of(focus, second.text, second.factors)[1] == ("owl", "owl")


def test_the_split_depends_on_the_prompts_and_its_seed_alone() -> None:
    texts = [f"a cat {number}" for number in range(20)]
    one = expand(prepare(plan(prompts=texts, held_out={"share": 0.25})))
    other = expand(prepare(plan(prompts=texts[::-1], held_out={"share": 0.25}, seeds="0:9")))
    assert sum(prompt.split == "held out" for prompt in one) == 5
    assert {(each.text, each.split) for each in one} == {(each.text, each.split) for each in other}
    again = expand(prepare(plan(prompts=texts, held_out={"share": 0.25, "seed": 1})))
    assert {each.split for each in one} == {"held out", "explored"}
    assert [each.split for each in again] != [each.split for each in one]


def test_a_units_identity_is_what_is_drawn_and_nothing_else() -> None:
    base = read_plan(plan(seeds=[0], settings={"steps": 3}))
    keys = {unit.key for unit in units(base, expand(base), "model")}
    same = read_plan(
        plan(
            seeds=[0],
            study="other",
            conditions={"renamed": {"settings": {"steps": 3}}},
            keep="qk",
            measures=["mass"],
        )
    )
    assert {unit.key for unit in units(same, expand(same), "model")} == keys
    for change in (
        {"seeds": [1]},
        {"settings": {"steps": 4}},
        {"prompts": ["a", "b"]},
        {"settings": {"steps": 3, "negative_prompt": ""}},
    ):
        other = read_plan(plan(**{"seeds": [0], "settings": {"steps": 3}, **change}))
        assert not keys & {unit.key for unit in units(other, expand(other), "model")}
    assert not keys & {unit.key for unit in units(base, expand(base), "another model")}
    assert identity("m", "p", 0, {"a": 1, "b": 2}) == identity("m", "p", 0, {"b": 2, "a": 1})


def test_a_model_is_its_files_wherever_they_lie() -> None:
    source = {"id": "here", "revision": None, "files": {"a": "1"}, "dtype": "float32", "pipeline": "P"}
    assert fingerprint(source) == fingerprint({**source, "id": "there", "software": {"torch": "3"}})
    assert fingerprint(source) != fingerprint({**source, "dtype": "float16"})
    assert fingerprint({**source, "files": {}}) != fingerprint({**source, "files": {}, "id": "there"})


def test_seeds_of_a_prompt_follow_one_another() -> None:
    checked = read_plan(plan(seeds="0:3", conditions={"a": {}, "b": {"settings": {"steps": 2}}}))
    order = [(unit.prompt.index, unit.condition, unit.seed) for unit in units(checked, expand(checked), "m")]
    assert order[:4] == [(0, "a", 0), (0, "a", 1), (0, "a", 2), (0, "b", 0)] and len(order) == 12


def test_the_difference_of_two_plans_names_every_place() -> None:
    old = read_plan(plan(seeds=[0, 1], settings={"steps": 3}))
    new = read_plan(plan(seeds=[1, 2], settings={"steps": 4}, measures=["brightness", "mass"]))
    assert difference(old, new) == [
        "seeds: without 0, with 2",
        "settings.steps: 3 became 4",
        'measures: with "mass"',
    ]
    assert difference(old, read_plan(plan(seeds=[1, 0], settings={"steps": 3}))) == [
        "seeds: in another order"
    ]
    assert difference(old, Plan.model_validate(old.plain())) == []


def test_edits_of_a_condition_are_checked_before_anything_is_drawn() -> None:
    line = wrong(conditions={"a": {}, "b": {"edits": [{"edit": "scal", "factor": 0.0}]}})
    assert line.startswith("condition 'b'") and "there are: scale" in line
    assert "{shape}" in wrong(conditions={"a": {}, "b": {"edits": [{"edit": "silence", "word": "{shape}"}]}})


def test_edits_take_the_prompts_factors() -> None:
    checked = prepare(
        plan(
            prompts={"template": "a {shape}", "factors": {"shape": ["cat", "dog"]}},
            conditions={"a": {}, "b": {"edits": [{"edit": "silence", "word": "{shape}"}]}},
        )
    )
    edits = [unit.edits[0]["word"] for unit in units(checked, expand(checked), "m") if unit.edits]
    assert edits == ["cat", "dog"]


def test_sizes() -> None:
    assert bytes_of("1.5GB", "--reserve") == 1_500_000_000
    with pytest.raises(InputError, match="--reserve 'much' is no size"):
        bytes_of("much", "--reserve")
