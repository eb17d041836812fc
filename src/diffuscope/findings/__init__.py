"""Findings: experiments that come with the package, each a plan and the page that is written from its tables.

    from diffuscope import findings

    findings.reproduce("prepositions", studies="studies", out="findings")

A page says only what its tables bear: every number in it, and every sentence that takes a side, is made from them.
"""

from diffuscope.findings.catalogue import FINDINGS, Finding, find_finding
from diffuscope.findings.reproduce import Reproduced, reproduce, write

__all__ = ["FINDINGS", "Finding", "Reproduced", "find_finding", "reproduce", "write"]
