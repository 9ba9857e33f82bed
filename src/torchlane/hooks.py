"""What happens around a run."""

import logging
from pathlib import Path
from typing import Any

from kedro.framework.hooks import hook_impl
from kedro.pipeline import Pipeline

logger = logging.getLogger(__name__)


class RunHooks:
    """Say in the end where to look."""

    @hook_impl
    def after_pipeline_run(self, pipeline: Pipeline, catalog: Any) -> None:
        for name in sorted(pipeline.all_outputs()):
            use_case, _, artifact = name.partition(".")
            if artifact == "metrics":
                folder = Path(catalog[name]._filepath).parent
                here = Path.cwd()
                shown = folder.relative_to(here) if folder.is_relative_to(here) else folder
                logger.info("%s: metrics and figures are in %s; kedro viz run shows them", use_case, shown)
