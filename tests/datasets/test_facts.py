import json

from torchlane.datasets.facts import FactsDataset
from torchlane.datasets.stock import TextDataset


def test_facts_know_their_place_when_they_are_read_and_do_not_store_it(tmp_path):
    dataset = FactsDataset(
        use_case="houses",
        model="data/06_models/houses/model.safetensors",
        inbox="data/01_raw/houses_inbox",
        environment="",
        given={"output_root": None},
        filepath=str(tmp_path / "facts.json"),
    )
    dataset.save({"task": "regression"})
    assert json.loads((tmp_path / "facts.json").read_text()) == {"task": "regression"}
    assert dataset.load() == {
        "task": "regression",
        "place": {
            "use_case": "houses",
            "model": "data/06_models/houses/model.safetensors",
            "inbox": "data/01_raw/houses_inbox",
            "environment": None,
            "given": {"output_root": None},
        },
    }


def test_text_is_kept_to_the_byte_and_replaced_as_a_whole(tmp_path):
    dataset = TextDataset(filepath=str(tmp_path / "new/page.html"))
    dataset.save("one\n")
    (tmp_path / "new/page.html").chmod(0o640)
    dataset.save("R² ü\nend")
    assert (tmp_path / "new/page.html").read_bytes() == "R² ü\nend".encode()
    assert dataset.load() == "R² ü\nend"
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["page.html"]
