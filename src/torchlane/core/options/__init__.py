"""What a use case may set: one frozen model for each section, in the order in which a run uses them.

Each model rejects unknown keys and holds the defaults, so YAML states only what differs from them.
Nothing here imports torch until the name of a torch class has to be checked that is not in `familiar`.
"""

from torchlane.core.options.base import Level, Options, fault_in_options
from torchlane.core.options.by_rows import FittedTraining, describe_fitting, fitted_values, fitting, fitting_network
from torchlane.core.options.columns import ColumnOptions
from torchlane.core.options.dimensions import ChoicesOptions, Dimension, RangeOptions
from torchlane.core.options.encoding import CategoryEncoding, EncodingOptions, NumberEncoding, PixelEncoding
from torchlane.core.options.fine_tuning import FineTuningOptions, FreezeOptions
from torchlane.core.options.judging import DiagnosisOptions, EvaluationOptions, require_coverage
from torchlane.core.options.network import OPTIONS_OF_KIND, AugmentationOptions, ModelKind, ModelOptions
from torchlane.core.options.numbers import NumbersOptions
from torchlane.core.options.recipe import Recipe
from torchlane.core.options.rows import DataOptions, Part, SplitOptions, TaskName
from torchlane.core.options.scoring import DriftOptions, PredictionOptions
from torchlane.core.options.search import TuningOptions
from torchlane.core.options.shown import shown_limit, shown_number
from torchlane.core.options.training import LossOptions, OptimizerOptions, SchedulerOptions, TrainingOptions

__all__ = [
    "OPTIONS_OF_KIND",
    "SECTIONS",
    "AugmentationOptions",
    "CategoryEncoding",
    "ChoicesOptions",
    "ColumnOptions",
    "DataOptions",
    "DiagnosisOptions",
    "Dimension",
    "DriftOptions",
    "EncodingOptions",
    "EvaluationOptions",
    "FineTuningOptions",
    "FittedTraining",
    "FreezeOptions",
    "Level",
    "LossOptions",
    "ModelKind",
    "ModelOptions",
    "NumberEncoding",
    "NumbersOptions",
    "OptimizerOptions",
    "Options",
    "Part",
    "PixelEncoding",
    "PredictionOptions",
    "RangeOptions",
    "Recipe",
    "SchedulerOptions",
    "SplitOptions",
    "TaskName",
    "TrainingOptions",
    "TuningOptions",
    "describe_fitting",
    "fault_in_options",
    "fitted_values",
    "fitting",
    "fitting_network",
    "require_coverage",
    "shown_limit",
    "shown_number",
]

SECTIONS: dict[str, type[Options]] = {
    "data": DataOptions,
    "split": SplitOptions,
    "encoding": EncodingOptions,
    "model": ModelOptions,
    "training": TrainingOptions,
    "tuning": TuningOptions,
    "evaluation": EvaluationOptions,
    "diagnosis": DiagnosisOptions,
    "fine_tuning": FineTuningOptions,
    "prediction": PredictionOptions,
}
