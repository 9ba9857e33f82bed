"""Commands: Kedro's `run` with errors in one line, and Torchlane's own."""

import logging
import sys
import warnings
from pathlib import Path
from typing import Any

import click
from kedro.framework.cli.project import run as kedro_run
from kedro.framework.startup import bootstrap_project
from kedro.utils import find_kedro_project

DEBUG = click.Option(["--debug"], is_flag=True, help="Show every step, and the traceback of an error.")


class Command(click.Command):
    """A command whose errors are one line on stderr with exit status 1; `--debug` shows the traceback."""

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.params.append(DEBUG)

    def invoke(self, ctx: click.Context) -> Any:
        debug = ctx.params.pop("debug")
        _quieten(debug)
        try:
            return super().invoke(ctx)
        except (click.ClickException, click.exceptions.Exit, click.Abort):
            raise
        except Exception as error:
            if debug:
                raise
            raise click.ClickException(explain(error)) from error


def explain(error: Exception) -> str:
    """Say an error in one line; one that is not meant for users keeps its type and points to --debug."""
    text = " ".join(str(error).split())
    if isinstance(error, (ValueError, OSError)) or type(error).__name__ == "DatasetError":
        return text or type(error).__name__
    return f"{type(error).__name__}: {text} (--debug shows where)"


@click.group(name="torchlane")
def cli() -> None:
    """Train, explain and serve PyTorch models on tables and images."""


def _run(pipeline: str | None, pipelines: list[str], **options: Any) -> Any:
    # The deprecated spelling is ours to translate: users find it in every Kedro tutorial.
    if pipeline and not pipelines:
        pipeline, pipelines = None, [pipeline]
    assert kedro_run.callback is not None
    return kedro_run.callback(pipeline=pipeline, pipelines=pipelines, **options)


cli.add_command(Command(name="run", params=list(kedro_run.params), callback=_run, help=kedro_run.help))


@cli.command(cls=Command)
@click.argument("use_case")
@click.option("--rows", type=click.IntRange(min=1), default=None, help="How many rows; default: as many as bundled.")
@click.option("--seed", type=int, default=0, show_default=True, help="Another seed draws other rows.")
@click.option("--output", type=click.Path(dir_okay=False, path_type=Path), required=True, help="CSV or Parquet file.")
def sample(use_case: str, rows: int | None, seed: int, output: Path) -> None:
    """Draw the bundled sample of USE_CASE, or a larger one for load tests."""
    from torchlane.core import samples

    samples.write_sample(use_case, rows, seed, output)


def main() -> None:
    """Run a command as `torchlane …`, in the project of the working folder if there is one."""
    project = find_kedro_project(Path.cwd())
    if project is not None:
        bootstrap_project(project)
    cli()


def _quieten(debug: bool) -> None:
    """Silence what libraries say of themselves and users can do nothing about."""
    if debug:
        logging.getLogger("kedro").setLevel(logging.DEBUG)
        logging.getLogger("torchlane").setLevel(logging.DEBUG)
        return
    for name in ("kedro.pipeline.node", "kedro.runner", "kedro.validation", "kedro.framework.context"):
        logging.getLogger(name).setLevel(logging.CRITICAL)  # the error itself is shown once, in the end
    if not sys.warnoptions:
        warnings.simplefilter("ignore")


if __name__ == "__main__":
    main()
