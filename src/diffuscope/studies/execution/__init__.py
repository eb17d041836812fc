"""Who does the work: one contract, executors on this machine and on Ray."""

from diffuscope.studies.execution.contract import Broken, Done, Event, Executor, Lost, Ready, WorkerSpec

__all__ = ["Broken", "Done", "Event", "Executor", "Lost", "Ready", "WorkerSpec"]
