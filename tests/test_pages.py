"""The pages: what they link to, what they name, and the one that is generated."""

import re
import runpy
from pathlib import Path

import pytest
import yaml
from kedro.utils import load_obj

from torchlane.core.options import SECTIONS
from torchlane.pipelines.supervised import create_pipeline

from .commands import PROJECT
from .pages import PAGES, blocks, without_blocks

LINKING = [*PAGES, PROJECT / "benchmarks/README.md", PROJECT / "deploy/README.md"]
DESIGN = (PROJECT / "docs/design.md").read_text()


def shown(page: Path) -> str:
    return str(page.relative_to(PROJECT))


def anchors(page: Path) -> set[str]:
    """The anchors that GitHub gives the headings of a page."""
    headings = re.findall(r"^#+ (.*)$", without_blocks(page), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", LINKING, ids=shown)
def test_links_lead_to_files_and_headings_that_exist(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", without_blocks(page)):
        if re.match(r"https?://", target):
            continue
        name, _, anchor = target.partition("#")
        file = (page.parent / name).resolve() if name else page
        assert file.exists(), target
        assert not anchor or anchor in anchors(file), target


def test_every_page_can_be_reached_from_the_readme():
    linked = set(re.findall(r"\]\(([\w./]+\.md)", (PROJECT / "README.md").read_text()))
    assert {shown(page) for page in PAGES} - {"README.md"} <= linked


def test_readme_is_short_and_has_the_two_commands_first():
    text = (PROJECT / "README.md").read_text()
    assert len(text.splitlines()) <= 150
    assert blocks(PROJECT / "README.md", "console")[0].splitlines() == [
        "pip install uv && uv run kedro run --pipeline=salaries",
        "pip install uv && uv run pytest",
    ]


def test_reference_of_options_is_what_the_options_say():
    generator = runpy.run_path(str(PROJECT / "docs/options.py"))
    assert (PROJECT / "docs/options.md").read_text() == generator["reference"](), "run uv run python docs/options.py"
    assert {group: set(names) for group, names in generator["groups"]().items()} == {
        group: set(names) for group, names in generator["MEANINGS"].items()
    }


def test_drawing_in_the_design_is_that_of_the_pipeline():
    text = (PROJECT / "docs/design.md").read_text()
    generator = runpy.run_path(str(PROJECT / "docs/pipeline.py"))
    assert generator["with_drawing"](text) == text, "run uv run python docs/pipeline.py"
    drawn = [node for node in create_pipeline("any").nodes if node.func.__name__.startswith("plot_")]
    n_others = len(create_pipeline("any").nodes) - len(drawn)
    assert (
        len(generator["drawing"]().splitlines()) == n_others + 1
        and f" {len(drawn)} figures: " in generator["drawing"]()
    )


def test_design_shows_every_room_and_module_and_the_folders_are_there():
    house, rest = blocks(PROJECT / "docs/design.md", "")
    named, places = set(), ["src/torchlane"]
    for indent, name in re.findall(r"^( +)([\w./]+) ", house, re.MULTILINE):
        places = [*places[: len(indent) // 2], name.rstrip("/")]
        assert (PROJECT / "/".join(places)).exists(), name
        named.add("/".join(places))
    package = PROJECT / "src/torchlane"
    there = [*package.iterdir(), *(package / "core").iterdir()]
    assert named == {shown(each) for each in there if not each.name.startswith("__")}
    for name in re.findall(r"^[\w./]+(?=[\s{])", rest, re.MULTILINE):
        assert (PROJECT / name).exists(), name


@pytest.mark.parametrize("page", PAGES, ids=shown)
def test_tests_and_files_that_a_page_names_exist(page):
    text = page.read_text()
    for path, name in re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", text):
        assert f"def {name}" in (PROJECT / path).read_text(), (path, name)
    for name in re.findall(
        r"`((?:core|datasets|figures|pipelines)/[\w/]+(?:\.py|/)|workers\.py|parameter_files\.py)`", text
    ):
        assert (PROJECT / "src/torchlane" / name).exists(), name
    for name in re.findall(r"`(torchlane(?:\.\w+)+)`", text):
        module, _, attribute = name.rpartition(".")
        file = PROJECT / "src" / name.replace(".", "/")
        if not (file.is_dir() or file.with_suffix(".py").exists()):
            assert load_obj(attribute, module), name


def test_every_slow_proof_is_named():
    proofs = DESIGN[DESIGN.index("## Slow proofs") :]
    n_marks = 0
    for path in sorted((PROJECT / "tests").rglob("test_*.py")):
        text = path.read_text()
        marked = re.findall(r"^@pytest\.mark\.slow\n(?:^[@ )].*\n)*?^def (test_\w+)", text, re.MULTILINE)
        assert len(marked) == len(re.findall(r"^@pytest\.mark\.slow$", text, re.MULTILINE)), path
        for name in marked:
            assert f"`{shown(path)}::{name}`" in proofs, name
        if re.search(r"^\w+ = pytest\.mark\.slow$", text, re.MULTILINE):
            assert f"`{shown(path)}` (its slow cases)" in proofs
        n_marks += len(marked)
    assert n_marks == proofs.count("::test_")
    assert n_marks >= 10


def test_options_of_the_examples_exist():
    checked = 0
    for page in PAGES:
        for block in blocks(page, "yaml"):
            for name, content in yaml.safe_load(block).items():
                if "type" in content:
                    module, _, attribute = content["type"].rpartition(".")
                    assert load_obj(attribute, module), name
                    continue
                for section, options in content.items():
                    SECTIONS[section].model_validate(options)
                    checked += 1
    assert checked >= 6
