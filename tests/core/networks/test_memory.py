import pytest
import torch
from torch import nn

from tests.core.fitted import fitted
from torchlane.core.encoding.columns import CategoryEncoder, NumberEncoder
from torchlane.core.encoding.encoder import Encoder
from torchlane.core.encoding.target import TargetEncoder
from torchlane.core.layers.coded import Indicators, rows_at_once
from torchlane.core.machine import devices
from torchlane.core.networks import build_layout, memory, require_memory
from torchlane.core.options import ModelOptions

CPU = torch.device("cpu")
NUMBER = NumberEncoder(name="x", encoding="z_score", median=0.0, quantiles=(0.0, 1.0), missing=0, flagged=False)


def encoder_of(n_levels: int, encoding: str = "one_hot") -> Encoder:
    levels = tuple(str(number) for number in range(n_levels))
    category = CategoryEncoder(name="id", encoding=encoding, levels=levels, counts=(1,) * n_levels + (0, 0))
    return Encoder(columns=(NUMBER, category), target=TargetEncoder(name="y", task="regression"))


def encoder_of_numbers(n_numbers: int) -> Encoder:
    columns = tuple(NUMBER.model_copy(update={"name": f"x{number}"}) for number in range(n_numbers))
    return Encoder(columns=columns, target=TargetEncoder(name="y", task="regression"))


@pytest.fixture(autouse=True)
def four_gib(monkeypatch):
    monkeypatch.setattr(memory, "total_bytes", lambda device: 4 << 30)


def check(encoder: Encoder, model: dict, **training) -> None:
    require_memory(ModelOptions.model_validate(model), encoder, fitted(training), CPU)


@pytest.mark.parametrize(
    ("model", "training", "fits", "too_many", "way_out"),
    [
        (
            {"widths": (64, 64)},
            {"members": 16},
            50_000,
            200_000,
            "lower training.members or model.widths, raise encoding.min_level_count",
        ),
        ({"kind": "transformer"}, {}, 200, 2_000, "set encoding.columns.id to codes, which the transformer embeds"),
        ({"class": "package.Net"}, {}, 100_000, 2_000_000, "set encoding.columns.id to ordinal if its levels have"),
    ],
)
def test_levels_whose_features_do_not_fit_are_refused_with_their_column_and_a_way_out(
    model, training, fits, too_many, way_out
):
    check(encoder_of(fits), model, **training)
    check(encoder_of(too_many, "ordinal"), model, **training)
    with pytest.raises(
        ValueError, match=f"GiB for its features, and cpu has 4.0: column 'id' has .* levels; {way_out}"
    ):
        check(encoder_of(too_many), model, **training)


def test_embedded_levels_are_no_tokens_and_members_one_after_another_share_their_memory():
    check(encoder_of(100_000, "codes"), {"kind": "transformer"})
    check(encoder_of(150_000), {}, members=16, stacked=False)
    with pytest.raises(ValueError, match="column 'id' has 3,000,000 levels; raise encoding.min_level_count"):
        check(encoder_of(3_000_000, "codes"), {"kind": "transformer"})


def test_members_that_share_weights_need_the_memory_of_few():
    check(encoder_of(100_000), {}, members=16, sharing="columns")
    with pytest.raises(ValueError, match="column 'id' has 100,000 levels; lower training.members"):
        check(encoder_of(100_000), {}, members=16)
    with pytest.raises(ValueError, match="column 'id' has 200,000 levels; lower training.members"):
        check(encoder_of(200_000), {}, members=16, sharing="columns")


def test_bins_count_as_weights_of_the_first_layer_and_each_column_as_a_product_with_them():
    some, many, by_column = encoder_of_numbers(10_000), encoder_of_numbers(30_000), {"sharing": "columns"}
    check(many, {"numbers": "plain"}, members=2, batch_size=256, **by_column)
    check(some, {}, members=2, batch_size=4, **by_column)
    check(some, {}, members=2, batch_size=256, sharing="tabm")
    with pytest.raises(ValueError, match="there are 30,000 of them; lower"):
        check(many, {}, members=2, batch_size=4, **by_column)
    with pytest.raises(ValueError, match="there are 10,000 of them; lower training.batch_size"):
        check(some, {}, members=2, batch_size=256, **by_column)


def test_numbers_alone_may_be_too_many_for_a_transformer():
    encoder = encoder_of_numbers(3_000)
    with pytest.raises(ValueError, match="there are 3,000 of them; lower training.batch_size"):
        check(encoder, {"kind": "transformer"})
    check(encoder, {})


def test_memory_is_that_of_the_container_if_it_has_a_limit(monkeypatch, tmp_path):
    limit = tmp_path / "memory.max"
    monkeypatch.setattr(devices, "CONTAINER_LIMIT", limit)
    machine = devices.total_bytes(CPU)
    for text, expected in (("max", machine), ("1073741824", 1 << 30)):
        limit.write_text(f"{text}\n")
        assert devices.total_bytes(CPU) == expected


def test_fewer_rows_pass_at_once_through_networks_that_make_many_features_of_each():
    few, many = (
        Indicators(build_layout(ModelOptions.model_validate({"class": "package.Net"}), encoder_of(n_levels)))
        for n_levels in (10, 100_000)
    )
    assert rows_at_once(nn.Sequential(few), 8192) == 8192
    assert 1000 < rows_at_once(nn.Sequential(many), 8192) < 1300
    assert rows_at_once(nn.Sequential(many), 8192, n_members=16) < 80
    assert rows_at_once(nn.Linear(2, 2), 8192) == 8192
