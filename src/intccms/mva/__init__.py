"""Training of classifiers on events of the analysis; what they are worth.

Runs where it is called, on the client; the events come from the workers.
"""

from __future__ import annotations

from intccms.mva.estimators import Trained, check, save, train
from intccms.mva.evaluation import Evaluation, RocCurve, Sample, wanted

__all__ = ["Evaluation", "RocCurve", "Sample", "Trained", "check", "save", "train", "wanted"]
