#!/usr/bin/env bash
# pandas 3.1.1 with pyarrow 26.0.1: a text column that a Parquet data set is partitioned by does not come back as written.
#
# Its values become names of folders, and reading infers a type from those names: postcodes with leading zeros come back
# as whole numbers, and so do ids beside them, if all look like numbers. One value with a letter anywhere keeps all of
# them text, so the type of a column depends on which partitions are there. The Parquet files themselves hold a schema,
# but not for this column.
#
# Seen: 01234, 00567, 98101 come back as the categories 567, 1234, 98101 (int32); with 2A123 beside them as text
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet pandas==3.1.1 pyarrow==26.0.1
cd "$folder"
venv/bin/python - <<'PYTHON'
import pandas as pd

codes = ["01234", "00567", "98101"]
for name, each in {"digits": codes, "mixed": [*codes, "2A123"]}.items():
    pd.DataFrame({"postcode": each, "price": 1.0}).to_parquet(name, partition_cols=["postcode"])
    back = pd.read_parquet(name)["postcode"]
    print(f"{name}: {sorted(each)} came back as {back.cat.categories.tolist()}, {back.cat.categories.dtype}")
    assert sorted(back.astype(str)) == (["1234", "567", "98101"] if name == "digits" else sorted(each))
PYTHON
