"""The draft of a category."""

import numpy as np

from torchlane.core.rows.drafting.column import MOST_LEVELS, ColumnDraft
from torchlane.core.rows.drafting.identifiers import why_text_identifies
from torchlane.core.rows.drafting.missing import remarks_on_levels
from torchlane.core.rows.drafting.seen import SeenColumn, quoted
from torchlane.core.rows.levels import natural_order, restore_labels

YES_OR_NO = ("false true", "no yes", "n y", "f t", "off on", "0 1", "nein ja", "non oui", "nee ja", "nej ja")
CLOSED = {frozenset(pair.split()) for pair in YES_OR_NO}  # in lower case; no other level is possible
RARE = 0.01  # the fraction of rows below which a 1 may be the largest count so far rather than a yes


def draft_category(column: SeenColumn) -> ColumnDraft:
    """Draft a category, or leave it out if it identifies rows. Levels are listed only if no others are possible."""
    if why := why_text_identifies(column):
        return left_out(column, {"kind": "category"}, why)
    remarks = [*remarks_on_levels(column), *remarks_on_spelling(column), *_remarks_on_lines(column)]
    if column.n_distinct > max(MOST_LEVELS, len(column.present) / 2):
        remarks.append(
            f"it has {column.n_distinct} values in {len(column.present)} rows, such as {quoted(column.texts[0])}, and "
            f"is kept as a category, in which rare levels share a code; delete its line if they mean nothing"
        )
    if column.n_distinct > MOST_LEVELS:
        return ColumnDraft({"kind": "category"}, remarks=tuple(remarks), note=f"{column.n_distinct} levels in the file")
    levels = natural_order(column.texts)
    if frozenset(level.lower() for level in levels) in CLOSED and len(levels) == 2 and not _may_count(column):
        listed = restore_labels(levels, among=levels).tolist()
        return ColumnDraft({"kind": "category", "levels": listed}, remarks=tuple(remarks))
    note = f"levels: {', '.join(quoted(level)[1:-1] for level in levels)}"
    return ColumnDraft({"kind": "category"}, remarks=tuple(remarks), note=note)


def left_out(column: SeenColumn, options: dict[str, str], why: str) -> ColumnDraft:
    """Draft a column that is left out, with a remark that says so."""
    first = column.first
    example = f", beginning with {first}" if column.n_distinct > 1 else f", it is always {first}" if first else ""
    return ColumnDraft(options, why, (f"{why}{example}; it is left out, so remove the # before its line to use it",))


def remarks_on_spelling(column: SeenColumn) -> list[str]:
    """Give a remark if levels differ in case or white space only, or say yes and no in several ways."""
    words = {text.casefold() for text in column.texts}
    if len(words) >= 3 and words <= set().union(*CLOSED) and column.n_distinct <= MOST_LEVELS:
        return [
            f"the levels {column.examples(np.ones(column.n_distinct, dtype=bool))} say yes or no in several ways; they "
            f"are kept apart, so write them alike in the file if they mean the same"
        ]
    alike: dict[str, int] = {}
    for code, text in enumerate(column.texts):
        other = alike.setdefault(" ".join(text.casefold().split()), code)
        if other != code:
            pair = np.isin(np.arange(column.n_distinct), (other, code))
            n_more = column.n_distinct - len({" ".join(each.casefold().split()) for each in column.texts}) - 1
            more = f", and so {'do' if n_more > 1 else 'does'} {n_more} more" * (n_more > 0)
            return [
                f"the levels {column.examples(pair).replace(', ', ' and ')} differ in case or white space only{more}; "
                f"they are kept apart, so write them alike in the file if they mean the same"
            ]
    return []


def _may_count(column: SeenColumn) -> bool:
    """Whether 0 and a rare 1 may be counts, such as of accidents, of which a new row may have 2."""
    return set(column.texts) == {"0", "1"} and column.counts[column.texts == "1"][0] < RARE * len(column.present)


def _remarks_on_lines(column: SeenColumn) -> list[str]:
    those = np.array(["\n" in text for text in column.texts], dtype=bool)
    if not those.any():
        return []
    return [f"{column.examples(those)} has several lines, so its rows will be rejected; correct the file"]
