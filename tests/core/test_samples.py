import pandas as pd
import pytest

from torchlane.core import samples

from ..conftest import PROJECT

BUNDLED = PROJECT / "data/01_raw/salaries.csv"


def test_bundled_file_is_what_the_generator_draws():
    pd.testing.assert_frame_equal(
        samples.draw_rows("salaries"), pd.read_csv(BUNDLED, keep_default_na=False), check_dtype=False
    )


def test_same_seed_same_rows_and_another_seed_others():
    first, again, other = (samples.draw_rows("salaries", 300, seed) for seed in (1, 1, 2))
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


def test_one_row_can_be_drawn():
    assert len(samples.draw_rows("salaries", 1)) == 1


def test_unknown_sample_and_ending_are_refused(tmp_path):
    with pytest.raises(ValueError, match="there is no sample of 'wages'; there are samples of salaries"):
        samples.draw_rows("wages")
    with pytest.raises(ValueError, match="ends in '.xls'; write a sample as .csv or .parquet"):
        samples.write_sample("salaries", 1, 0, tmp_path / "rows.xls")
