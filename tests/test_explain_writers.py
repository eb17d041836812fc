"""Writers of explanations: the built-in one, an endpoint, and what is done with an endpoint that fails or lies."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from stub_endpoint import Stub, honest, serving

from diffuscope.errors import InputError, MissingExtraError, WriterError
from diffuscope.explain import BuiltIn, find_writer
from diffuscope.explain.brief import Brief, Draft, Sentence
from diffuscope.explain.checking import faults
from diffuscope.explain.endpoint import Endpoint, Limits
from diffuscope.explain.explaining import check
from diffuscope.testing import writers
from diffuscope.testing.writers import CHECKS, ORDERS, WriterConformanceError, brief

QUICK = Limits(timeout=20.0, retries=0)


@pytest.fixture
def stub() -> Iterator[Stub]:
    with serving(honest) as running:
        yield running


def endpoint(stub: Stub, limits: Limits = QUICK) -> Endpoint:
    return Endpoint("stub-1", base_url=stub.url, limits=limits)


@pytest.mark.parametrize("check", CHECKS.values(), ids=CHECKS)
def test_the_builtin_writer_conforms(check: Any) -> None:
    check(BuiltIn)


@pytest.mark.parametrize("check", CHECKS.values(), ids=CHECKS)
def test_an_endpoint_conforms(check: Any, stub: Stub) -> None:
    check(lambda: endpoint(stub))


class Faulty:
    """A writer with one fault."""

    name = "faulty"

    def __init__(self, fault: str) -> None:
        self.fault = fault
        self.written = 0

    def write(self, brief: Brief) -> Draft:
        draft = BuiltIn().write(brief)
        self.written += 1
        if self.fault == "raises":
            raise WriterError("no")
        if self.fault == "once" and self.written > 1:
            return Draft(())
        if self.fault == "compares":
            extra = Sentence("comparison", "The edit did much.", (brief.claims[0].id,))
            return Draft((*draft.sentences, extra))
        if self.fault == "cites nothing":
            return Draft(tuple(Sentence(each.part, each.text, ()) for each in draft.sentences))
        if self.fault == "cites what is not there":
            return Draft(tuple(Sentence(each.part, each.text, ("c99",)) for each in draft.sentences))
        if self.fault == "lies":
            return Draft(
                tuple(
                    Sentence(each.part, f"{each.text} 123.4 of it.", each.cites) for each in draft.sentences
                )
            )
        if self.fault == "changes claims":
            object.__setattr__(brief.claims[0], "value", 0.5)
        return draft


@pytest.mark.parametrize(
    ("fault", "found_by"),
    [
        ("raises", "writes_the_parts"),
        ("once", "leaves_the_claims"),
        ("compares", "writes_the_parts"),
        ("cites nothing", "cites_claims"),
        ("cites what is not there", "cites_claims"),
        ("lies", "stands_the_check"),
        ("changes claims", "leaves_the_claims"),
    ],
)
def test_the_suite_finds_a_fault(fault: str, found_by: str) -> None:
    with pytest.raises(WriterConformanceError):
        CHECKS[found_by](lambda: Faulty(fault))


def test_the_builtin_text_stands_its_own_check_whole() -> None:
    for pair in (False, True):
        given = brief(pair=pair)
        draft = BuiltIn().write(given)
        assert [faults(each, given) for each in draft.sentences] == [[]] * len(draft.sentences)
        assert draft == BuiltIn().write(given), "the same claims give the same text"
        assert len({each.text for each in draft.sentences}) == len(draft.sentences)


@pytest.mark.parametrize(
    "prompt", ["", "a cat\non a\r\nmat", "very " * 200 + "long", "“” 5% “a” \"b\" 'c'", "{prompt} {w1} \\{"]
)
def test_any_prompt_can_be_quoted(prompt: str, stub: Stub) -> None:
    given = brief(pair=True, prompt=prompt)
    for draft in (BuiltIn().write(given), endpoint(stub).write(given)):
        assert [faults(each, given) for each in draft.sentences] == [[]] * len(draft.sentences)
        assert all("\n" not in each.text for each in draft.sentences)


def test_nothing_that_a_user_wrote_is_sent(stub: Stub) -> None:
    given = brief(pair=True, prompt=ORDERS)
    endpoint(stub).write(given)
    sent = json.dumps(stub.asked[0])
    for text in ("ignore the above", "PWNED", "circle", "square", "silences"):
        assert text not in sent
    form = stub.asked[0]["response_format"]
    assert form["type"] == "json_schema" and form["json_schema"]["strict"] is True
    assert stub.asked[0]["max_tokens"] == QUICK.tokens


def test_placeholders_come_back_as_words(stub: Stub) -> None:
    draft = endpoint(stub).write(brief())
    assert any("“square”" in each.text for each in draft.sentences)
    assert not any("{" in each.text for each in draft.sentences)
    assert draft.usage == {"prompt_tokens": 1000, "completion_tokens": 200}


def test_a_lie_about_a_number_does_not_survive() -> None:
    given = brief()
    mass = next(each for each in given.claims if each.statistic == "mass")

    def lying(asked: dict[str, Any]) -> list[dict[str, Any]]:
        found = honest(asked)
        for each in found:
            if each["cites"] == [mass.id]:
                each["text"] = each["text"].replace("3.1%", "31%")
        return found

    with serving(lying) as stub:
        kept, checked = check(endpoint(stub).write(given), given, BuiltIn())
    texts = " ".join(each.text for each in kept)
    assert "31%" not in texts and "3.1%" in texts
    assert [each.faults for each in checked.failed] == [("31% is no number of a claim that it cites",)]
    assert checked.rewritten == 1 and checked.dropped == 0


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (503, "status 503"),
        (401, "status 401"),
        ("the picture is nice", "not of the form"),
        ('{"sentences": [{"part": "setup", "text": "x"}]}', "not of the form"),
        ('{"sentences": [{"part": "epilogue", "text": "x", "cites": []}]}', "not of the form"),
        ('{"sentences": ' + "[" * 2000, "not of the form"),
    ],
)
def test_an_endpoint_that_fails_says_so(answer: Any, said: str) -> None:
    with serving(lambda _: answer) as stub, pytest.raises(WriterError, match=said):
        endpoint(stub).write(brief())


def test_an_endpoint_that_is_down_or_slow_says_so() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        gone = f"http://127.0.0.1:{taken.getsockname()[1]}/v1"
    with pytest.raises(WriterError, match="cannot be reached"):
        Endpoint("m", base_url=gone, limits=QUICK).write(brief())
    with serving(honest, delay=threading.Event()) as stub, pytest.raises(WriterError, match=r"within 0\.2 s"):
        endpoint(stub, Limits(timeout=0.2, retries=0)).write(brief())


def test_a_reply_that_was_cut_off_is_no_reply() -> None:
    with serving(honest, finish="length") as stub, pytest.raises(WriterError, match="cut off at 1500 tokens"):
        endpoint(stub).write(brief())


def test_what_fails_on_the_endpoints_side_is_tried_again() -> None:
    answers: list[Any] = [500, None]

    def answer(asked: dict[str, Any]) -> Any:
        return answers.pop(0) or honest(asked)

    with serving(answer) as stub:
        assert endpoint(stub, Limits(timeout=20, retries=1)).write(brief()).sentences
        assert len(stub.asked) == 2


def test_an_endpoint_that_knows_no_schema_is_asked_for_plain_json() -> None:
    with serving(honest, knows_schema=False) as stub:
        assert endpoint(stub).write(brief()).sentences
        assert [each["response_format"]["type"] for each in stub.asked] == ["json_schema", "json_object"]


def test_limits_are_kept_before_anything_is_sent(stub: Stub) -> None:
    dear = Limits(retries=0, cost=0.001, price_in=2.0, price_out=8.0)
    with pytest.raises(WriterError, match=r"might cost 0\.0"):
        endpoint(stub, dear).write(brief())
    with pytest.raises(WriterError, match="the limit is 100"):
        endpoint(stub, Limits(prompt_tokens=100)).write(brief())
    assert not stub.asked
    priced = Limits(retries=0, cost=1.0, price_in=2.0, price_out=8.0)
    assert endpoint(stub, priced).write(brief()).usage["cost"] == pytest.approx((1000 * 2 + 200 * 8) / 1e6)
    with pytest.raises(InputError, match="PRICE_IN"):
        Limits(cost=1.0)


def test_the_environment_says_where_and_what(stub: Stub) -> None:
    there = {
        "OPENAI_BASE_URL": stub.url,
        "DIFFUSCOPE_OPENAI_MODEL": "stub-1",
        "DIFFUSCOPE_OPENAI_TOKENS": "300",
        "DIFFUSCOPE_OPENAI_TIMEOUT": "2.5",
    }
    found = Endpoint.from_environment(there)
    assert (found.name, found.limits.tokens, found.limits.timeout) == ("openai:stub-1", 300, 2.5)
    assert found.write(brief()).sentences
    with pytest.raises(InputError, match="DIFFUSCOPE_OPENAI_MODEL"):
        Endpoint.from_environment({"OPENAI_API_KEY": "k"})
    with pytest.raises(InputError, match="OPENAI_API_KEY"):
        Endpoint.from_environment({"DIFFUSCOPE_OPENAI_MODEL": "m"})
    with pytest.raises(InputError, match="DIFFUSCOPE_OPENAI_TOKENS='many'"):
        Endpoint.from_environment({**there, "DIFFUSCOPE_OPENAI_TOKENS": "many"})


def test_a_writer_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(find_writer("builtin"), BuiltIn)
    with pytest.raises(InputError, match="builtin, openai"):
        find_writer("gpt")
    monkeypatch.setitem(__import__("sys").modules, "openai", None)
    with pytest.raises(MissingExtraError, match="openai"):
        Endpoint("m", base_url="http://localhost:1/v1")


def test_the_checks_of_the_suite_say_what_they_hold() -> None:
    assert all((each.__doc__ or "").strip() for each in writers.CHECKS.values())
