"""Numbers of categories: the same name has the same number in every dataset, so datasets can be put together.

The names of COCO (Lin et al., "Microsoft COCO: Common Objects in Context", ECCV 2014) keep COCO's numbers; every
other name gets one from 1,000 up that follows from its spelling alone.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping

from diffuscope.errors import InputError

FIRST_OWN, LAST_OWN = 1_000, 2**31 - 1

_COCO = (
    "person,bicycle,car,motorcycle,airplane,bus,train,truck,boat,traffic light,fire hydrant,,stop sign,parking meter,"
    "bench,bird,cat,dog,horse,sheep,cow,elephant,bear,zebra,giraffe,,backpack,umbrella,,,handbag,tie,suitcase,frisbee,"
    "skis,snowboard,sports ball,kite,baseball bat,baseball glove,skateboard,surfboard,tennis racket,bottle,,wine glass,"
    "cup,fork,knife,spoon,bowl,banana,apple,sandwich,orange,broccoli,carrot,hot dog,pizza,donut,cake,chair,couch,"
    "potted plant,bed,,dining table,,,toilet,,tv,laptop,mouse,remote,keyboard,cell phone,microwave,oven,toaster,sink,"
    "refrigerator,,book,clock,vase,scissors,teddy bear,hair drier,toothbrush"
)
COCO: dict[str, int] = {name: number for number, name in enumerate(_COCO.split(","), start=1) if name}
"""COCO's 80 names and their numbers, 1 to 90 with gaps."""


def own_number(name: str) -> int:
    """The number of a name where nothing else has it."""
    if name in COCO:
        return COCO[name]
    digest = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big")
    return FIRST_OWN + digest % (LAST_OWN - FIRST_OWN)


def numbered(names: Iterable[str], known: Mapping[str, int] | None = None) -> dict[str, int]:
    """Names with their numbers; those that are known keep theirs. Two names whose numbers fall together (one in a
    thousand million) are told apart in the order of the alphabet."""
    found = dict(known or {})
    taken = set(found.values())
    for name in sorted(set(names) - set(found)):
        number = own_number(name)
        while number in taken:
            number += 1
        found[name] = number
        taken.add(number)
    return found


def check_clash(one: Mapping[str, int], other: Mapping[str, int], where: tuple[str, str]) -> None:
    """Two datasets' categories are the same where they meet.

    Raises:
        InputError: a name has two numbers, or a number two names; the message says which and what to do.
    """
    names = {number: name for name, number in one.items()}
    for name, number in other.items():
        mine = one.get(name)
        if mine is not None and mine != number:
            raise InputError(
                f"the category {name!r} has the number {mine} in {where[0]} and {number} in {where[1]}; "
                "ask for renumbering, which goes by the names"
            )
        if mine is None and number in names:
            raise InputError(
                f"the number {number} is {names[number]!r} in {where[0]} and {name!r} in {where[1]}; "
                "ask for renumbering, which goes by the names"
            )
