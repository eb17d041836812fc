"""Closed classes of English that prompts are read with: determiners, numbers, relations, styles, what is no object.

Only words whose class is closed, or that mean something of their own in prompts ("in the background", "8k"). What
a noun or an adjective is says the tagger (`prompts_tagging`).
"""

from __future__ import annotations


def in_order(text: str) -> tuple[str, ...]:
    """Words of a text, in order."""
    return tuple(text.split())


def words_of(text: str) -> frozenset[str]:
    """Words of a text."""
    return frozenset(text.split())


DETERMINERS = words_of(
    "a an the this that these those each every another some any no all both either neither my your his "
    "her its our their whose several many few various numerous much more most"
)
PLURAL_DETERMINERS = words_of("these those some all both several many few various numerous")
"""Determiners of several; how many is not said, but for "both"."""
NEGATIONS = frozenset(("no", "neither"))
"""Determiners of what is not there: "no people" names no object."""

NUMBERS: dict[str, int] = {
    name: number
    for number, name in enumerate(
        in_order("zero one two three four five six seven eight nine ten eleven twelve")
    )
} | {"dozen": 12, "twenty": 20, "hundred": 100, "both": 2}

PRONOUNS = words_of(
    "i you he she it we they me him us them who which what itself himself herself themselves something "
    "someone anything anyone nothing everything everyone nobody none others there here"
)
PREPOSITIONS = words_of(
    "of in on at by with without from to into onto over under above below beneath behind beside besides "
    "between among near against along across through around inside outside within beyond upon toward "
    "towards during about past up down off out for like as amid underneath atop before after beneath "
    "via versus per"
)
CONJUNCTIONS = words_of("and or but nor plus & while that who which where when if than also then")
AUXILIARIES = words_of(
    "is are was were be been being am has have had do does did will would can could should may might must"
)
ADVERBS = words_of(
    "very highly extremely so too quite rather really not also just only still together apart away next "
    "close naturally brightly softly hyper ultra super"
)

RELATIONS: tuple[str, ...] = (
    "to the left of",
    "to the right of",
    "on the left of",
    "on the right of",
    "on the left side of",
    "on the right side of",
    "at the corner of",
    "at the edge of",
    "at the bottom of",
    "at the top of",
    "in the middle of",
    "in the center of",
    "in the centre of",
    "in front of",
    "on the side of",
    "on top of",
    "at the foot of",
    "left of",
    "right of",
    "next to",
    "close to",
    "out of",
    "made of",
    "made out of",
    "full of",
)
"""Relations of several words, whose nouns ("left", "front", "top") name no object. Longest first is the reader's
work."""

PARTS = words_of(
    "left right top bottom front back side sides middle center centre edge corner foreground background "
    "distance rest end inside outside interior exterior"
)
"""Places within a picture or a thing. No objects where they stand alone or before "of"."""

AMOUNTS: dict[str, int | None] = {
    **dict.fromkeys(
        in_order(
            "group bunch herd flock crowd lot lots number row stack pile set kind type sort series swarm "
            "school pack collection variety bit"
        )
    ),
    "pair": 2,
    "couple": 2,
    "dozen": 12,
}
"""Nouns that only count what comes after "of", and how many that is, where they say."""

TIMES = words_of(
    "night day daytime nighttime sunset sunrise dawn dusk evening morning noon afternoon midnight "
    "midday twilight winter autumn spring summer christmas halloween"
)
"""When a picture plays: no objects."""

LIGHT = words_of("light sunlight moonlight glow")
"""Nouns that say when a picture plays behind a word that does: "morning light"."""

VAGUE = words_of(
    "way time style mood atmosphere quality resolution detail details ambience ambiance vibe color "
    "colour colors colours kind type lot thing things anything everything nothing view scene image "
    "moment focus aesthetic aesthetics masterpiece"
)
"""Nouns that name nothing that has a place in a picture."""

MEDIA = words_of(
    "photo photograph picture image painting drawing sketch illustration render rendering portrait "
    "artwork art poster print close-up closeup shot view watercolor watercolour photography selfie logo "
    "icon sticker engraving woodcut etching mural collage cartoon comic snapshot depiction doodle "
    "fresco lithograph"
)
"""What pictures are: the style where they frame the prompt ("a painting of …", "in a watercolor painting"), else
objects ("a painting on the wall")."""

STYLE_WORDS = words_of(
    "detailed photorealistic realistic hyperrealistic surrealistic cinematic 4k 8k 16k hd uhd hdr bokeh "
    "lens macro photography octane unreal engine render rendering artstation deviantart pixiv trending "
    "masterpiece epic minimalist minimalistic isometric lighting volumetric style art illustration "
    "painting drawing sketch watercolor watercolour poly pixel vector flat design dslr resolution focus "
    "quality award-winning intricate raytracing ghibli impressionist impressionism cubism surrealism "
    "baroque ukiyo-e vaporwave synthwave anime manga hyperdetailed ultra-detailed unsplash geographic "
    "canvas matte concept professional aesthetic f/1.8 85mm 50mm 35mm 3d cgi vfx postprocessing grain "
    "kodak polaroid composition vibrant"
)
"""Words that mark a part of a prompt between commas as saying how the picture looks."""

STYLE_BEFORE_MEDIA = words_of(
    "oil watercolor watercolour acrylic pencil charcoal ink crayon pastel chalk digital matte concept "
    "pixel vector line fan pop 3d cgi black white color colour sepia vintage renaissance baroque "
    "impressionist wide macro aerial close studio film and on low poly flat minimalist abstract "
    "isometric cartoon anime clip"
)
"""Nouns and adjectives that go with `MEDIA`: all of "black and white photo" is the style."""

MATERIALS = words_of(
    "wood brick stone marble glass metal steel iron bronze gold silver copper paper cardboard plastic "
    "leather velvet silk wool cotton denim clay ceramic porcelain concrete wire straw bamboo chocolate "
    "crystal ice rubber neon brass"
)
"""Nouns that say what the next noun is made of: attributes, not a part of its name. "brick wall" is a wall."""

COLOURS = words_of(
    "red orange yellow green blue purple pink white black brown gray grey golden silver gold violet "
    "turquoise teal cyan magenta beige maroon navy crimson scarlet lavender olive lime indigo tan rose"
)
SHADES = words_of("light dark bright pale deep vivid neon pastel")

ATTRIBUTE_NOUNS = words_of("cyberpunk steampunk vintage anime baby toy polka gothic fantasy alien")
"""Nouns that prompts use as adjectives."""

ADJECTIVES = words_of(
    "big small large little tiny huge giant tall short long wide narrow old young new fresh hot cold "
    "warm open closed empty full round flat sharp soft hard wet dry clear calm busy quiet clean dirty "
    "bright dark light elderly vintage modern ancient wild cute majestic beautiful pretty ugly happy "
    "sad angry strange bare thin thick fat heavy steep deep high low realistic detailed epic cozy "
    "frozen broken rusty lit tasty wooden"
)
"""Common adjectives, for words that taggers take for nouns before a noun, and for reading by rules."""

NOUNS_IN_ING = words_of(
    "building painting drawing ring king wing ceiling string spring evening morning thing sling ping "
    "wedding clothing frosting railing swing earring duckling"
)
"""Nouns that look like forms of verbs."""

COMPOUND_STARTS = words_of(
    "living dining swimming sleeping washing parking shopping sewing rocking frying cutting ironing "
    "teddy polar hot traffic fire stop top ice stained stuffed cutting wedding double-decker rolling "
    "wishing"
)
COMPOUNDS = frozenset(
    (
        "living room",
        "dining room",
        "dining table",
        "swimming pool",
        "sleeping bag",
        "washing machine",
        "sewing machine",
        "rocking chair",
        "frying pan",
        "cutting board",
        "rolling pin",
        "parking lot",
        "parking meter",
        "shopping cart",
        "shopping bag",
        "wedding dress",
        "hot dog",
        "hot air balloon",
        "polar bear",
        "teddy bear",
        "top hat",
        "ice cream",
        "red panda",
        "stained glass window",
        "stuffed animal",
        "high chair",
        "high heel",
        "remote control",
        "cell phone",
        "mobile phone",
        "solar system",
        "northern light",
        "wild boar",
        "grizzly bear",
        "black hole",
        "french fry",
    )
)
"""Names of things whose first word is no noun: here it is a part of the name and no attribute."""

IRREGULAR: dict[str, str] = {
    "people": "person",
    "men": "man",
    "women": "woman",
    "children": "child",
    "mice": "mouse",
    "geese": "goose",
    "teeth": "tooth",
    "feet": "foot",
    "oxen": "ox",
    "dice": "die",
    "leaves": "leaf",
    "knives": "knife",
    "wolves": "wolf",
    "shelves": "shelf",
    "bookshelves": "bookshelf",
    "loaves": "loaf",
    "halves": "half",
    "wives": "wife",
    "elves": "elf",
    "calves": "calf",
    "scarves": "scarf",
    "hooves": "hoof",
    "dwarves": "dwarf",
    "thieves": "thief",
    "cacti": "cactus",
    "fungi": "fungus",
    "octopi": "octopus",
    "buses": "bus",
    "lenses": "lens",
    "potatoes": "potato",
    "tomatoes": "tomato",
    "heroes": "hero",
    "mangoes": "mango",
    "volcanoes": "volcano",
    "tornadoes": "tornado",
    "mosquitoes": "mosquito",
    "cookies": "cookie",
    "movies": "movie",
    "pies": "pie",
    "ties": "tie",
    "zombies": "zombie",
    "selfies": "selfie",
    "brownies": "brownie",
    "hoodies": "hoodie",
    "axes": "axe",
    "aircraft": "aircraft",
}
SAME_FORM = words_of(
    "scissors glasses sunglasses goggles binoculars pants trousers jeans shorts pajamas pyjamas tights "
    "leggings overalls clothes stairs headquarters sheep deer fish moose bison series species mars "
    "christmas bus gas lens glass grass dress cross compass canvas atlas iris cactus octopus walrus "
    "platypus hippopotamus circus campus tennis moss boss bass princess goddess waitress actress "
    "mattress chess brass fortress venus uranus paris asparagus citrus virus news thermos albatross "
    "kudos"
)
"""Nouns that end in s, or have one form for one and several, and are their own lemma."""


def lemma_of(noun: str) -> str:
    """A noun in the singular, lower case: a list of irregular forms, then the rules of spelling."""
    word = noun.casefold()
    if word in SAME_FORM or len(word) < 4:
        return word
    if word in IRREGULAR:
        return IRREGULAR[word]
    if word.endswith(("men", "women")) and word not in ("specimen", "omen", "abdomen", "ramen", "acumen"):
        return word[:-2] + "an"
    if not word.endswith("s") or word.endswith(("ss", "us", "is")):
        return word
    if word.endswith("ies"):
        return word[:-3] + "y"
    if word.endswith(("ches", "shes", "sses", "xes", "zzes")):
        return word[:-2]
    return word[:-1]
