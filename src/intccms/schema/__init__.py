"""What the user asks for: the configuration as frozen models with every cross-check done.

`load_config` is the door; everything else is read by attribute from the `Config` it returns.
"""

from intccms.schema.base import FunctionSpec, Model, ObjVar, Sys, WorkerEval
from intccms.schema.config import Config
from intccms.schema.corrections import Correction, UncertaintySource
from intccms.schema.datasets import Dataset, Datasets, General, Metrics
from intccms.schema.loading import examples_folder, load_config
from intccms.schema.physics import (
    Channel,
    DerivedColumn,
    ObjectMask,
    ObjectMasks,
    Observable,
    Preprocess,
    Skimming,
    SkimOutput,
)
from intccms.schema.statistics import Feature, Mva, MvaClass, Plotting, Statistics

__all__ = [
    "Channel",
    "Config",
    "Correction",
    "Dataset",
    "Datasets",
    "DerivedColumn",
    "Feature",
    "FunctionSpec",
    "General",
    "Metrics",
    "Model",
    "Mva",
    "MvaClass",
    "ObjVar",
    "ObjectMask",
    "ObjectMasks",
    "Observable",
    "Plotting",
    "Preprocess",
    "SkimOutput",
    "Skimming",
    "Statistics",
    "Sys",
    "UncertaintySource",
    "WorkerEval",
    "examples_folder",
    "load_config",
]
