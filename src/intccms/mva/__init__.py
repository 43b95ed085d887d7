"""Training of classifiers on events of the analysis; what they are worth.

Runs where it is called, on the client; the events come from the workers.
"""

from __future__ import annotations

from intccms.mva.evaluation import Evaluation, RocCurve, Sample, wanted
from intccms.mva.training import Trained, check, save, train

__all__ = ["Evaluation", "RocCurve", "Sample", "Trained", "check", "save", "train", "wanted"]
