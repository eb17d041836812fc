"""The report's page as text: one file, nothing from outside, data that stays data."""

import json
import re

import pytest

from diffuscope.figures import page

NASTY = [
    "</script><script>alert(1)</script>",
    "<!--<script>",
    "{{script}} {{data}}",
    "a & b \u2028 c \u2029",
    "\\u003c/script> \\",
    '"; alert(1); //',
]


@pytest.mark.parametrize("text", NASTY)
def test_data_in_a_script_element_is_read_back_as_it_was_and_never_ends_the_element(text):
    written = page.json_for_script({"prompt": text})
    assert json.loads(written)["prompt"] == text
    assert "<" not in written and ">" not in written and "\u2028" not in written


def test_numbers_that_json_does_not_have_are_refused():
    with pytest.raises(ValueError):
        page.json_for_script({"mass": float("nan")})


@pytest.mark.parametrize("text", NASTY)
def test_the_data_never_changes_the_rest_of_the_page(text):
    plain, nasty = page.render({"prompt": ""}, "test"), page.render({"prompt": text}, "test")
    written = page.json_for_script({"prompt": text})
    assert nasty.replace(written, page.json_for_script({"prompt": ""})) == plain


def test_the_page_names_no_other_place():
    text = page.render({}, "test")
    places = set(re.findall(r"\b(?:https?|wss?|ftp):[^\s\"'`)]+|(?<![\w/])//[a-z][\w.-]+\.[a-z]+", text))
    assert places == {"http://www.w3.org/2000/svg"}  # the name of a vocabulary, never fetched
    assert not re.search(r"<link(?![^>]*data:,)|<script[^>]*\bsrc=|@import|url\(", text)


def test_a_policy_allows_the_one_script_and_the_one_style_sheet_only():
    text = page.render({}, "test")
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', text)[1]
    assert policy.startswith("default-src 'none'") and "unsafe" not in policy
    assert len(re.findall(r"sha256-[\w+/=]{44}", policy)) == 2


def test_no_slot_stays_open():
    assert not re.search(r"\{\{\w+\}\}", page.render({}, "test"))


def test_modules_become_one_script_without_imports_and_without_clashing_names():
    script = page.bundle()
    assert not re.search(r"^\s*(import|export)\b", script, re.MULTILINE)
    names = re.findall(r"^(?:async )?(?:function|class|const|let) (\w+)", script, re.MULTILINE)
    assert len(names) == len(set(names)), sorted(name for name in names if names.count(name) > 1)


def test_every_module_is_bundled_after_what_it_imports():
    for place, name in enumerate(page.MODULES):
        imported = re.findall(r'from "\./(\w+)\.js"', page._template(f"js/{name}.js"))
        assert set(imported) <= set(page.MODULES[:place]), name


def test_all_template_files_are_used():
    folder = page.files("diffuscope.figures").joinpath("templates")
    assert {file.name for file in folder.joinpath("js").iterdir()} == {f"{name}.js" for name in page.MODULES}
    assert {file.name for file in folder.joinpath("css").iterdir()} == {f"{name}.css" for name in page.STYLES}
