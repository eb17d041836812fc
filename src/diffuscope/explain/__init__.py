"""Explanations that can be checked: claims about a run, a diagnosis of words that went wrong, and texts that cite
them."""

from diffuscope.explain.brief import Brief, Draft, Sentence
from diffuscope.explain.builtin import BuiltIn
from diffuscope.explain.claim import Beside, Claim
from diffuscope.explain.explaining import explain_comparison, explain_run
from diffuscope.explain.explanation import Checked, Diagnosis, Explanation
from diffuscope.explain.remedies import Remedy
from diffuscope.explain.statistics import STATISTICS, recompute, recompute_beside
from diffuscope.explain.writers import Writer, find_writer

__all__ = [
    "STATISTICS",
    "Beside",
    "Brief",
    "BuiltIn",
    "Checked",
    "Claim",
    "Diagnosis",
    "Draft",
    "Explanation",
    "Remedy",
    "Sentence",
    "Writer",
    "explain_comparison",
    "explain_run",
    "find_writer",
    "recompute",
    "recompute_beside",
]
