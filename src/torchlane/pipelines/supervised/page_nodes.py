"""The last nodes of the stage report: they gather facts, and write the page and the model card from them."""

from typing import TYPE_CHECKING, Any

from torchlane.core.options import (
    DataOptions,
    DiagnosisOptions,
    EvaluationOptions,
    SplitOptions,
    TuningOptions,
)

if TYPE_CHECKING:
    from plotly.graph_objects import Figure
else:  # Kedro resolves all annotations of a node for the types of its options
    Figure = Any


def gather_facts(
    data_options: DataOptions,
    split_options: SplitOptions,
    tuning_options: TuningOptions,
    evaluation_options: EvaluationOptions,
    diagnosis_options: DiagnosisOptions,
    **artifacts: Any,
) -> dict[str, Any]:
    """Say in plain structures what the page shows; see `torchlane.reporting.facts.gather.gather_facts`."""
    from torchlane.reporting.facts.artifacts import Artifacts
    from torchlane.reporting.facts.gather import gather_facts

    return gather_facts(
        Artifacts(
            data=data_options,
            split=split_options,
            tuning=tuning_options,
            evaluation=evaluation_options,
            diagnosing=diagnosis_options,
            **artifacts,
        )
    )


def write_report(facts: dict[str, Any], **figures: Figure) -> str:
    """Lay out the page; see `torchlane.reporting.rendering.render_page`."""
    from torchlane.reporting.rendering import render_page

    return render_page(facts, {name.removesuffix("_figure"): figure for name, figure in figures.items()})


def write_model_card(facts: dict[str, Any]) -> str:
    """Lay out the model card; see `torchlane.reporting.rendering.render_card`."""
    from torchlane.reporting.rendering import render_card

    return render_card(facts)
