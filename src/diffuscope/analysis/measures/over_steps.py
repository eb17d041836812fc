"""The measures over the steps, each declared once. Plain data: what computes them stands in `answers`, in functions of
the same names, so that help can say what is measured without loading numpy."""

from __future__ import annotations

from diffuscope.analysis.measures.measure import Measure

OURS = "this project"
DAAM = "Tang et al. 2023 (DAAM), section 4.1, for the threshold"
STEP = "step"
PIXELS = "pixels of the picture"

OF_WORDS: tuple[Measure, ...] = (
    Measure(
        "mass",
        "attention mass",
        "probability",
        (STEP,),
        "Mean over patches of the word's map at a step: the part of all attention that goes to the word.",
        OURS,
    ),
    Measure(
        "share",
        "share of attention",
        "share, 0 to 1",
        (STEP,),
        "The word's attention mass over that of all words of the prompt together; start, end and padding count in "
        "neither.",
        OURS,
    ),
    Measure(
        "entropy",
        "spatial entropy",
        "nats",
        (STEP,),
        "H(q) = -sum q ln q of the map normalised to sum 1: 0 for one patch alone, ln n for n patches alike.",
        "Shannon 1948",
    ),
    Measure(
        "focus",
        "focus",
        "0 to 1",
        (STEP,),
        "1 - H(q) / ln n: 1 where one patch has all of the map, 0 where all n patches have the same.",
        "normalised entropy, Shannon 1948",
    ),
    Measure(
        "centroid",
        "centroid",
        PIXELS,
        (STEP, "component"),
        "Centre of mass of the map.",
        OURS,
        components=("y", "x"),
    ),
    Measure(
        "spread",
        "spread",
        PIXELS,
        (STEP,),
        "Root of the map's mean squared distance from its centroid (standard distance).",
        OURS,
    ),
    Measure(
        "area",
        "area",
        "share of the picture",
        (STEP,),
        "Share of patches in the map's mask: those above 0.4 of the map's largest value at that step.",
        DAAM,
    ),
    Measure(
        "box",
        "box",
        PIXELS,
        (STEP, "component"),
        "Box around the map's mask, all four sides inclusive.",
        DAAM,
        components=("x0", "y0", "x1", "y1"),
    ),
    Measure(
        "divergence",
        "divergence from the last map",
        "bits, 0 to 1",
        (STEP,),
        "Jensen-Shannon divergence, base 2, of the normalised map from that of the last step.",
        "Lin 1991, IEEE Trans. Inf. Theory 37:145",
    ),
    Measure(
        "overlap",
        "overlap with the object",
        "IoU, 0 to 1",
        (STEP,),
        "IoU of the map's mask with the object's true mask, or with the last step's own mask where none is known.",
        DAAM,
    ),
    Measure(
        "score",
        "judge's score",
        "the judge's",
        (STEP,),
        "What a judge gives the predicted clean picture of the step for the word; NaN where there is no judge or no "
        "answer.",
        OURS,
    ),
    Measure(
        "stability",
        "stability mask",
        "0 to 1",
        (STEP, "y", "x"),
        "The word's map at a step, min-max scaled over all steps of the run together.",
        OURS,
    ),
    Measure(
        "chaos",
        "chaos mask",
        "0 to 1",
        (STEP, "y", "x"),
        "1 - stability.",
        OURS,
    ),
    Measure(
        "peak",
        "peak step",
        "step",
        (),
        "Step of the greatest attention mass after a centred 3-step mean. Its range: steps within 10% of (max - min) "
        "of it. Flat where (max - min) / mean stays below 0.05, and then it says nothing; at the first or last step "
        "it is flagged as a boundary.",
        OURS,
    ),
    Measure(
        "stabilisation",
        "stabilisation step",
        "step",
        (),
        "First step from which on the divergence from the last map stays at 0.05 or below. Marked where it was never "
        "above: then the map did not move, and the step says nothing.",
        "Lin 1991 for the divergence",
    ),
    Measure(
        "emergence_attention",
        "emergence by attention",
        "step",
        (),
        "First step whose mask has IoU 0.5 or more with the object's, for 3 steps running. The object's mask is the "
        "true one where it is known (a judge's, or given), else the last step's own mask; the answer says which. "
        "Never reached is censored, not a number.",
        DAAM,
    ),
    Measure(
        "emergence_image",
        "emergence in the picture",
        "step",
        (),
        "First step from which on a judge's score of the predicted clean picture stays at 90% of its final value or "
        "above. None where there is no judge or it has no answer; censored where the final picture lacks the thing.",
        OURS,
    ),
    Measure(
        "phases",
        "planned phases",
        "steps",
        (),
        "The plan of noise, structure and detail: 20, 40 and 40% of the steps.",
        "the plan for 50 steps: 1-10, 11-30, 31-50",
    ),
    Measure(
        "change_points",
        "change points",
        "steps",
        (),
        "Up to two breaks of the word's mass and focus, piecewise linear in log-SNR; their places have the least "
        "squared error, their number the least criterion of Liu, Wu & Zidek.",
        "Bai & Perron 2003, J. Appl. Econometrics 18:1; Liu, Wu & Zidek 1997, Statistica Sinica 7:497",
    ),
)
"""Measures of a word, phrase or concept."""

OF_RUNS: tuple[Measure, ...] = (
    Measure(
        "run_phases",
        "planned phases of the run",
        "steps",
        (),
        "The plan of noise, structure and detail: 20, 40 and 40% of the steps.",
        "the plan for 50 steps: 1-10, 11-30, 31-50",
        scope="run",
    ),
    Measure(
        "run_change_points",
        "change points of the run",
        "steps",
        (),
        "Up to two breaks that the share and focus of all words have in common, piecewise linear in log-SNR.",
        "Bai & Perron 2003, J. Appl. Econometrics 18:1; Liu, Wu & Zidek 1997, Statistica Sinica 7:497",
        scope="run",
    ),
    Measure(
        "received",
        "received attention",
        "probability per patch",
        (STEP, "y", "x"),
        "Mean over queries of the self-attention that a patch gets; over all patches it sums to 1.",
        OURS,
        scope="run",
    ),
    Measure(
        "received_contrast",
        "received attention against local contrast",
        "Spearman's rho",
        (STEP, "component"),
        "Rank correlation over patches of received attention with the finished picture's RMS contrast within each "
        "patch. Beside it the 95th percentile of |rho| over all shifts of one map against the other, and the share "
        "of shifts that reach it (two-sided p).",
        "Peli 1990, J. Opt. Soc. Am. A 7:2032, for the contrast",
        components=("rho", "chance", "p"),
        scope="run",
    ),
)
"""Measures of a run as a whole."""
