import pandas as pd
import pytest

from tests.commands import PROJECT
from torchlane.core.rows import samples

EVERY_SAMPLE = pytest.mark.parametrize("use_case", samples.use_cases())


@EVERY_SAMPLE
def test_bundled_file_is_what_the_generator_draws(use_case):
    bundled = pd.read_csv(PROJECT / f"data/01_raw/{use_case}.csv", keep_default_na=False, na_values=[""])
    pd.testing.assert_frame_equal(samples.draw_rows(use_case), bundled, check_dtype=False)


@EVERY_SAMPLE
def test_same_seed_same_rows_and_another_seed_others(use_case):
    first, again, other = (samples.draw_rows(use_case, 300, seed) for seed in (1, 1, 2))
    pd.testing.assert_frame_equal(first, again)
    assert not first.equals(other)


def test_salaries_depend_on_what_they_depend_on_in_the_survey():
    rows = samples.draw_rows("salaries", 20_000)
    by_level = rows.groupby("experience_level")["salary_in_usd"].median()
    assert by_level["EN"] < by_level["MI"] < by_level["SE"] < by_level["EX"]
    by_place = rows.groupby("company_location")["salary_in_usd"].median()
    assert by_place["US"] > 1.5 * by_place["GB"] > 1.5 * by_place["IN"]
    assert (rows["employee_residence"] == rows["company_location"]).mean() > 0.8
    assert rows.duplicated().mean() > 0.05


def test_water_has_the_labels_gaps_and_shapes_of_the_real_file():
    rows = samples.draw_rows("water_potability", 50_000)
    assert rows["Potability"].mean() == pytest.approx(1278 / 3276, abs=0.01)
    labels = rows.groupby("Potability")
    # Shares, spreads and correlations of the real rows, not potable and potable.
    gaps = rows.isna().groupby(rows["Potability"]).mean()
    assert gaps["Sulfate"].tolist() == pytest.approx([0.244, 0.229], abs=0.01)
    assert gaps["ph"].tolist() == pytest.approx([0.157, 0.138], abs=0.01)
    assert gaps["Trihalomethanes"].tolist() == pytest.approx([0.054, 0.043], abs=0.01)
    assert not rows.drop(columns=["ph", "Sulfate", "Trihalomethanes"]).isna().any(axis=None)
    assert labels["Sulfate"].std().tolist() == pytest.approx([36.7, 47.7], rel=0.05)
    assert labels["Hardness"].std().tolist() == pytest.approx([31.1, 35.5], rel=0.05)
    tied = [part["ph"].corr(part["Sulfate"], method="spearman") for _, part in labels]
    assert tied == pytest.approx([0.23, -0.27], abs=0.04)


@pytest.mark.parametrize("ending", [".csv", ".parquet"])
def test_sample_of_any_size_is_written_in_chunks(tmp_path, monkeypatch, ending):
    monkeypatch.setattr(samples, "CHUNK_ROWS", 100)
    path = tmp_path / f"rows{ending}"
    samples.write_sample("salaries", 250, 3, path)
    written = pd.read_csv(path, keep_default_na=False) if ending == ".csv" else pd.read_parquet(path)
    expected = pd.concat(
        [samples.draw_rows("salaries", n, 3 + k) for k, n in enumerate((100, 100, 50))], ignore_index=True
    )
    pd.testing.assert_frame_equal(written, expected, check_dtype=False)


@EVERY_SAMPLE
def test_one_row_can_be_drawn(use_case):
    assert len(samples.draw_rows(use_case, 1)) == 1


def test_missing_values_are_empty_cells(tmp_path):
    path = tmp_path / "rows.csv"
    samples.write_sample("water_potability", 200, 0, path)
    text = pd.read_csv(path, dtype="str", keep_default_na=False)
    assert ((text == "") == samples.draw_rows("water_potability", 200).isna()).all(axis=None)
    assert (text["Sulfate"] == "").any()


def test_unknown_sample_and_ending_are_refused(tmp_path):
    with pytest.raises(
        ValueError, match="there is no sample of 'wages'; there are samples of salaries, water_potability"
    ):
        samples.draw_rows("wages")
    with pytest.raises(ValueError, match="ends in '.xls'; write a sample as .csv or .parquet"):
        samples.write_sample("salaries", 1, 0, tmp_path / "rows.xls")
