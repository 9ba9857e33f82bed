import pandas as pd
import pytest

from torchlane.core.rows.drafting.features import draft_features

NUMBERS = [str((37 * i) % 101 / 10) for i in range(40)]
LETTERS = ["a", "b", "c", "d"] * 10


def draft(**columns):
    return draft_features(pd.DataFrame({**columns, "y": NUMBERS[::-1]}, dtype="str"), "y")


def test_na_and_question_marks_are_missing_in_every_column():
    drafted = draft(x=["NA", *NUMBERS[1:]], z=[*LETTERS[:-2], "NA", "?"])
    assert drafted.missing_values == ("", "NA", "?")
    assert drafted.remarks == (
        "'NA' (row 1 of 'x' and 1 more column) and '?' (row 40 of 'z') are read as missing in every column; remove one "
        "here if it is a level, and add what else means missing",
    )
    assert [each.options["kind"] for each in drafted.columns.values()] == ["number", "category"]
    assert drafted.columns["z"].note == "levels: a, b, c, d"


@pytest.mark.parametrize(
    "others", [NUMBERS, [f"${each}" for each in NUMBERS], [f"{1 + i % 28}.3.2024" for i in range(40)]]
)
def test_signs_are_missing_among_numbers_however_many_there_are(others):
    drafted = draft(x=["--", ".", "unknown", *others[3:24], *["--"] * 16])
    assert drafted.missing_values == ("", "--", ".", "unknown")
    assert drafted.columns["x"].options["kind"] != "category"


@pytest.mark.parametrize("levels", [["+", "--", "++", "-"], ["+", "?", "-", "++"]])
def test_signs_among_signs_are_levels(levels):
    assert draft(x=["--", *NUMBERS[1:]], z=levels * 10).missing_values == (("", "--") if "?" in levels else ("",))


def test_one_text_that_means_missing_is_said_in_the_singular():
    (remark,) = draft(x=["?", *NUMBERS[1:]]).remarks
    assert remark == (
        "'?' (row 1 of 'x') is read as missing in every column; remove it here if it is a level, and add what else "
        "means missing"
    )


def test_words_that_are_levels_of_a_category_stay_levels():
    drafted = draft(x=["unknown", "gas", "oil", "none"] * 10)
    assert drafted.missing_values == ("",)
    assert drafted.columns["x"].note == "levels: gas, none, oil, unknown"


def test_na_among_codes_of_two_letters_may_be_namibia():
    (drafted,) = draft(x=["NA", "DE", "FR", "DE"] * 10).columns.values()
    assert drafted.remarks == (
        "'NA' (row 1) is read as missing; if it is a code like 'DE', such as Namibia or North America, remove it from "
        "data.missing_values",
    )  # fmt: skip


@pytest.mark.parametrize("sign", ["\\N", "#DIV/0!", "#VALUE!", "Prefer not to say", "not applicable", "REFUSED"])
def test_marks_of_databases_spreadsheets_and_surveys_are_missing_among_numbers(sign):
    drafted = draft(x=[sign] * 12 + NUMBERS[12:])
    assert drafted.missing_values == ("", sign)
    assert drafted.columns["x"].options["kind"] == "number"


@pytest.mark.parametrize("sign", ["-999", "9999", "-99.0"])
def test_a_number_far_from_all_others_may_mean_missing(sign):
    (drafted,) = draft(x=[*NUMBERS[:20], *[sign] * 3, *NUMBERS[23:]]).columns.values()
    assert drafted.options == {"kind": "number"}
    (remark,) = drafted.remarks
    assert remark.startswith(f"'{sign.removesuffix('.0')}' (row 21), in 3 rows, lies apart from all other values")
    assert "add it to data.missing_values" in remark


@pytest.mark.parametrize("others", [["-5", "-5"], ["12", "12"], ["99", "55", "99"]])
def test_other_numbers_mean_themselves(others):
    (drafted,) = draft(x=[*others, *NUMBERS[len(others) :]]).columns.values()
    assert drafted.remarks == ()
