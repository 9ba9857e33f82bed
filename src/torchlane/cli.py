"""The commands: Kedro's `run` with errors in one line, and Torchlane's own."""

import json
from copy import copy
from datetime import datetime
from difflib import get_close_matches
from inspect import isabstract
from pathlib import Path
from typing import Any

import click
from kedro import runner
from kedro.framework.cli.project import run as kedro_run
from kedro.framework.project import pipelines as project_pipelines
from kedro.framework.session import KedroSession
from kedro.framework.startup import bootstrap_project
from kedro.io import DatasetError
from kedro.utils import find_kedro_project, load_obj

from torchlane.core.machine import interruption
from torchlane.core.machine.collecting import collect_seldom
from torchlane.core.scoring.failures import CouldNotStartError, ScoringError
from torchlane.parameter_files import only_use_cases
from torchlane.pipeline_registry import pipelines_with
from torchlane.quiet import ignore_warnings, quieten
from torchlane.yaml_text import read_params

ignore_warnings()
NAMING = ("to_outputs", "to_nodes", "node_names", "from_nodes", "from_inputs")  # options that name nodes or datasets
DEBUG = click.Option(["--debug"], is_flag=True, help="Show every step, and the traceback of an error.")


class Command(click.Command):
    """A command whose errors are one line on stderr with exit status 1; `--debug` shows the traceback."""

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.params.append(DEBUG)

    def invoke(self, ctx: click.Context) -> Any:
        debug = ctx.params.pop("debug")
        quieten(debug)
        collect_seldom()
        try:
            return super().invoke(ctx)
        except (click.ClickException, click.exceptions.Exit, click.Abort):
            raise
        except (interruption.Interrupted, ScoringError) as error:
            click.echo(f"Error: {error}", err=True)
            raise click.exceptions.Exit(error.exit_status) from error
        except Exception as error:
            if debug:
                raise
            raise click.ClickException(explain(error)) from error


def explain(error: Exception) -> str:
    """Describe an error in one line; one that is not meant for users gets its type and a hint at --debug."""
    text = " ".join(str(error).split())
    if isinstance(error, (ValueError, OSError, DatasetError)):
        return text or type(error).__name__
    return f"{type(error).__name__}: {text} (--debug shows where)"


@click.group(name="torchlane", context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="torchlane", message="%(prog)s %(version)s")
def cli() -> None:
    """Train, explain and serve PyTorch models on tables and images."""


def _run(pipeline: str | None, pipelines: list[str], **options: Any) -> Any:
    # Kedro deprecates --pipeline, but many tutorials use it, so it is translated here without a warning.
    if pipeline is not None and not pipelines:
        pipelines, pipeline = [pipeline], None
    if options.get("runner"):
        _require_runner(options["runner"])
    assert kedro_run.callback is not None
    pipelines = pipelines or pipelines_with([name for each in NAMING for name in options.get(each) or ()])
    try:
        with interruption.handled(), only_use_cases(name.partition(".")[0] for name in pipelines):
            return kedro_run.callback(pipeline=pipeline, pipelines=pipelines, **options)
    except DatasetError as error:
        if pipelines and all(name.endswith(".predict") for name in pipelines):
            raise CouldNotStartError(explain(error)) from error
        raise
    except ValueError as error:
        if not str(error).startswith("Failed to find the pipeline named"):
            raise
        raise ValueError(_unknown_pipeline(pipelines)) from error


def _require_runner(name: str) -> None:
    """Check that a runner is one of Kedro's, or a class given as package.module.Class."""
    try:
        found = load_obj(name, runner.__name__)
    except (ImportError, AttributeError, ValueError):
        found = None
    if not (isinstance(found, type) and issubclass(found, runner.AbstractRunner)) or isabstract(found):
        known = [each for each in runner.__all__ if each.endswith("Runner") and not isabstract(getattr(runner, each))]
        close = get_close_matches(name, known, n=1)
        hint = f"did you mean '{close[0]}'? " if close else ""
        raise ValueError(
            f"--runner={name} is not a runner; {hint}there are {', '.join(known)}; your own is package.module.Class"
        )


def _unknown_pipeline(names: list[str]) -> str:
    known = sorted(name for name in project_pipelines if name != "__default__")
    unknown = next(name for name in names if name not in known)
    close = get_close_matches(unknown, known, n=1)
    hint = f"did you mean '{close[0]}'? " if close else ""
    return (
        f"'{unknown}' is not a pipeline; {hint}there are {', '.join(known)}; a new one needs parameters/{unknown}.yml"
    )


def _read_params(ctx: click.Context, option: click.Parameter, given: Any) -> Any:
    """Read `--params` as files are read; Kedro would split lists at their commas, and take no for False."""
    try:
        return given if isinstance(given, dict) else read_params(given)
    except ValueError as error:
        raise click.UsageError(str(error), ctx) from error


def _with_text(option: click.Parameter) -> click.Parameter:
    option = copy(option)
    option.callback = _read_params if option.name == "params" else option.callback
    return option


cli.add_command(Command(name="run", params=[*map(_with_text, kedro_run.params)], callback=_run, help=kedro_run.help))


@cli.command(cls=Command)
@click.argument("use_case")
@click.option("--rows", type=click.IntRange(min=1), default=None, help="How many rows; default: as many as bundled.")
@click.option("--seed", type=int, default=0, show_default=True, help="Another seed draws other rows.")
@click.option("--output", type=click.Path(dir_okay=False, path_type=Path), required=True, help="CSV or Parquet file.")
def sample(use_case: str, rows: int | None, seed: int, output: Path) -> None:
    """Draw the bundled sample of USE_CASE, or a larger one for load tests."""
    from torchlane.core.rows import samples

    samples.write_sample(use_case, rows, seed, output)


@cli.command(cls=Command)
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--target", default=None, help="The column to predict.")
@click.option("--name", default=None, help="Name of the use case; default: that of the file.")
def init(file: Path, target: str | None, name: str | None) -> None:
    """Draft the parameters of a new use case from FILE, a CSV file, and copy it to where its pipeline reads it."""
    from torchlane.new_use_case import draft_use_case

    for line in draft_use_case(_project(), file, target, name):
        click.echo(line)


@cli.command(cls=Command)
@click.argument("use_case")
@click.option("--env", "-e", default=None, help="The environment that scores; default: as for kedro run.")
@click.option("--params", default="", help="As for kedro run, for example output_root=….", callback=_read_params)
@click.option("--json", "as_json", is_flag=True, help="Print every entry of the ledger, for programs.")
@click.option("--retry", is_flag=True, help="Let the next run try again the files that have failed.")
def status(use_case: str, env: str | None, params: dict[str, Any], as_json: bool, retry: bool) -> None:
    """Show the state of the files in the inbox of USE_CASE: waiting, done, failed and why, rows, drift."""
    from torchlane.core.scoring.status import describe

    catalog = _catalog_of(use_case, env, params)
    ledger, inbox = catalog[f"{use_case}.ledger"].load(), catalog[f"{use_case}.inbox"].load()
    if retry:
        click.echo(f"{ledger.retry()} files will be tried again by the next run")
        return
    entries = ledger.entries()
    if as_json:
        click.echo(json.dumps(entries, default=str, indent=2))
        return
    click.echo(describe(use_case, entries, {file.name for file in inbox.files()}, _now()))


@cli.command(cls=Command)
@click.argument("use_case")
@click.option("--env", "-e", default=None, help="The environment of the runs; default: as for kedro run.")
@click.option("--params", default="", help="As for kedro run, for example output_root=….", callback=_read_params)
@click.option("--last", type=click.IntRange(min=1), default=20, show_default=True, help="How many runs, the newest.")
@click.option("--json", "as_json", is_flag=True, help="Print what is kept of each run, for programs.")
@click.option("--figure", type=click.Path(dir_okay=False, path_type=Path), help="Draw them into this HTML file.")
def runs(use_case: str, env: str | None, params: dict[str, Any], last: int, as_json: bool, figure: Path | None) -> None:
    """Compare the finished runs of USE_CASE: what differs between them, how well they did, how long they took."""
    from torchlane.tracking import comparing

    history = _catalog_of(use_case, env, params)[f"{use_case}.runs"]
    found = history.load()[-last:]
    if figure is not None:
        comparing.draw(found, use_case, figure)
    if as_json:
        click.echo(json.dumps(found, indent=2))
    elif found:
        click.echo(comparing.table_of(found))
    else:
        click.echo(f"no finished run in {history.path}; kedro run --pipeline={use_case} makes one")


def _catalog_of(use_case: str, env: str | None, params: dict[str, Any]) -> Any:
    """Return the catalog of a use case, as a run with these options has it."""
    project = _project()
    bootstrap_project(project)
    with KedroSession.create(project, env=env, runtime_params=params) as session:
        assert isinstance(session, KedroSession)
        catalog = session.load_context().catalog
        if f"{use_case}.predict" not in project_pipelines:  # an error of its own if pipelines cannot be built
            use_cases = [name.removesuffix(".predict") for name in project_pipelines if name.endswith(".predict")]
            raise ValueError(f"'{use_case}' is not a use case; there are {', '.join(sorted(use_cases))}")
        return catalog


FILE = click.Path(dir_okay=False, path_type=Path)
TRUST = click.option(
    "--trust", default=None, help="A class of yours that the model file may import, package.module.Class."
)


@cli.command("export", cls=Command)
@click.argument("model", type=FILE)
@click.argument("output", type=FILE)
@click.option(
    "--to", type=click.Choice(["state_dict", "onnx", "torch_export"]), default=None, help="Default: by ending."
)
@click.option("--member", type=int, default=None, help="One member of an ensemble, from 0; default: all together.")
@TRUST
def export_command(model: Path, output: Path, to: str | None, member: int | None, trust: str | None) -> None:
    """Convert the model file MODEL to OUTPUT: weights (.pt), ONNX (.onnx) or a torch.export program (.pt2)."""
    from torchlane.core import exchange
    from torchlane.core.model import trained as inference

    done = exchange.export_model(inference.load(model, trust=trust), output, to, member)
    click.echo(
        f"wrote {done.path} and {done.interface.name}: members {done.n_members}, "
        f"the same predictions within {done.difference:.2g} on {done.n_rows} drawn rows"
    )


@cli.command("import", cls=Command)
@click.argument("weights", type=FILE, nargs=-1, required=True)
@click.option("--into", "base", type=FILE, required=True, help="The model file whose network and encoder are used.")
@click.option("--output", type=FILE, required=True, help="The model file to write.")
@click.option(
    "--strip-prefix", default="", help="Removed from the names in WEIGHTS; one they all share is found anyway."
)
@click.option("--rename", multiple=True, metavar="OLD=NEW", help="A name, or the first parts of names; repeatable.")
@click.option("--entry", default=None, help="The entry of WEIGHTS with the tensors, if several have some.")
@click.option("--partial", is_flag=True, help="Keep the network's own weights for which WEIGHTS has no match.")
def import_command(
    weights: tuple[Path, ...],
    base: Path,
    output: Path,
    strip_prefix: str,
    rename: tuple[str, ...],
    entry: str | None,
    partial: bool,
) -> None:
    """Load WEIGHTS, files of torch.save or safetensors, into the network of a model file: one member per file."""
    from torchlane.core import exchange
    from torchlane.core.model import trained as inference

    for pair in rename:
        if not all(pair.partition("=")):
            raise ValueError(f"--rename {pair} is not OLD=NEW")
    if output.exists() and base.exists() and output.samefile(base):
        raise ValueError(f"{output} is the model that the weights are loaded into; name another file in --output")
    names = dict(pair.split("=", 1) for pair in rename)
    done = exchange.import_weights(
        weights, inference.load(base), strip_prefix=strip_prefix, rename=names, entry=entry, partial=partial
    )
    done.model.save(output)
    click.echo(f"wrote {output}: members {done.model.n_members}, {done.summary()}")


def _project() -> Path:
    project = find_kedro_project(Path.cwd())
    if project is None:
        raise ValueError(f"{Path.cwd()} is not in a Torchlane project; change to its folder first")
    return project


def _now() -> datetime:
    return datetime.now().astimezone()


def main() -> None:
    """Run a command as `torchlane …`, in the project of the working folder if there is one."""
    project = find_kedro_project(Path.cwd())
    if project is not None:
        bootstrap_project(project)
    cli()


if __name__ == "__main__":
    main()
