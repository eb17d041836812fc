"""The report of a study: from its tables alone, without a model."""

from diffuscope.studies.report.findings import Effect, Findings, Level, Question, findings
from diffuscope.studies.report.write import write_report

__all__ = ["Effect", "Findings", "Level", "Question", "findings", "write_report"]
