"""The error tree: drawn as it is, one line each, catchable as builtins, able to travel between processes."""

import builtins
import inspect
import pickle
import re

import pytest

from diffuscope import errors
from diffuscope.errors import (
    CoverageError,
    DiffuscopeError,
    InputError,
    MissingExtraError,
    ModelNotFoundError,
    RunFolderError,
    RunNotFoundError,
    UnknownWordError,
    listed,
    near_first,
)

CLASSES = [
    value for value in vars(errors).values() if inspect.isclass(value) and issubclass(value, DiffuscopeError)
]
SAMPLES = [
    UnknownWordError("circl", ["a", "circle"]),
    CoverageError(["cross:mid"], 3),
    MissingExtraError("Lens"),
    *(
        each("what was wrong; what would be right")
        for each in CLASSES
        if each not in (UnknownWordError, CoverageError, MissingExtraError)
    ),
]


def test_the_tree_in_the_docstring_is_the_tree_of_classes():
    drawn: dict[str, tuple[str, set[str]]] = {}
    path: list[str] = []
    for line in (errors.__doc__ or "").splitlines():
        found = re.match(r"    (?P<indent>[│├└─ ]*)(?P<name>\w+(?:Error))\b(?: \((?P<also>[^)]*)\))?", line)
        if found:
            depth = len(found["indent"]) // 4
            path[depth:] = [found["name"]]
            also = set(re.findall(r"\w+", found["also"] or ""))
            drawn[found["name"]] = (path[depth - 1] if depth else "", also)
    actual = {
        each.__name__: (
            next((base.__name__ for base in each.__bases__ if base in CLASSES), ""),
            {base.__name__ for base in each.__bases__ if base not in CLASSES},
        )
        for each in CLASSES
    }
    assert drawn == actual


def test_codes_are_distinct_and_every_class_has_its_own():
    codes = [vars(each)["code"] for each in CLASSES]
    assert len(set(codes)) == len(codes)
    assert all(re.fullmatch(r"[a-z]+(-[a-z]+)*", code) for code in codes)


@pytest.mark.parametrize("error", SAMPLES, ids=lambda error: type(error).__name__)
def test_errors_travel_between_processes_with_what_they_carry(error):
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is type(error)
    assert str(copy) == str(error)
    assert vars(copy) == vars(error)


@pytest.mark.parametrize("error", SAMPLES, ids=lambda error: type(error).__name__)
def test_a_message_is_one_line_and_does_not_shout(error):
    assert str(error).strip() == str(error) != ""
    assert "\n" not in str(error)


def test_line_breaks_of_quoted_text_do_not_break_the_line():
    assert str(InputError("no prompt 'a\nb\r\nc'")) == "no prompt 'a b c'"


@pytest.mark.parametrize("each", [c for c in CLASSES if issubclass(c, InputError)], ids=lambda c: c.__name__)
def test_wrong_input_is_a_value_error(each):
    assert issubclass(each, ValueError)


@pytest.mark.parametrize(
    ("each", "builtin"),
    [
        (ModelNotFoundError, builtins.FileNotFoundError),
        (RunNotFoundError, builtins.FileNotFoundError),
        (RunFolderError, builtins.OSError),
        (MissingExtraError, builtins.ImportError),
    ],
)
def test_errors_can_be_caught_as_the_builtin_they_are_like(each, builtin):
    with pytest.raises(builtin):
        raise each("x")


def test_an_unknown_word_lists_the_words_there_are_near_ones_first():
    error = UnknownWordError("Circel", ["a", "red", "circle", "left", "circle#2"])
    assert error.words[0] == "circle"
    assert set(error.words) == {"a", "red", "circle", "left", "circle#2"}
    assert str(error) == "the prompt has no word 'Circel'; its words are: circle, circle#2, a, red, left"


def test_an_unknown_word_in_an_empty_prompt_is_said_plainly():
    assert str(UnknownWordError("x", [])).endswith("it has no words")


def test_a_missing_extra_says_how_to_install_it():
    assert 'pip install "diffuscope[models]"' in str(MissingExtraError("Lens"))


def test_coverage_names_the_missing_sites_and_the_call():
    error = CoverageError([f"cross:up.{n}" for n in range(20)], 5)
    assert error.missing[-1] == "cross:up.19"
    assert error.call == 5
    assert "call 5" in str(error) and "20 of" in str(error) and "and 12 more" in str(error)


def test_near_names_ignore_case_and_keep_every_name_once():
    assert near_first("CROSS:MID", ["self:mid", "cross:mid", "cross:mid", "joint:0"]) == (
        "cross:mid",
        "self:mid",
        "joint:0",
    )


def test_long_lists_are_counted_instead_of_written_out():
    assert listed(["a", "b"], 2) == "a, b"
    assert listed(["a", "b", "c"], 2) == "a, b and 1 more"
