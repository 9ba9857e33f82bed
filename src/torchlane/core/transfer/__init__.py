"""Transfer learning: fine-tuning of a trained model on new rows."""

from torchlane.core.transfer.fine_tuning import fine_tune, make_lesson
from torchlane.core.transfer.new_rows import check_new_rows, data_for, split_for, split_new_rows

__all__ = ["check_new_rows", "data_for", "fine_tune", "make_lesson", "split_for", "split_new_rows"]
