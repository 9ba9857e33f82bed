#!/usr/bin/env bash
# Kedro-Viz 12.5.0: one binary column in one Parquet file ends `kedro viz build --include-previews` for the whole
# project, although a preview that raises is only logged.
#
# What a preview raises is caught, but its cells are made JSON later, where nothing is caught. A table with pictures,
# hashes or pickled cells in it is enough; bytes that happen to be UTF-8 pass, so it may work for months.
#
# Seen: with b"abc" the build is written; with b"\xff\xd8", as each JPEG begins, it ends in a UnicodeDecodeError
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
uv venv --quiet "$folder/venv"
uv pip install --quiet --python "$folder/venv/bin/python" kedro==1.7.0 kedro-viz==12.5.0 "kedro-datasets[pandas-parquetdataset]==9.6.0"
mkdir -p "$folder/src/shown" "$folder/conf/base" "$folder/conf/local"
cd "$folder"
export DO_NOT_TRACK=1 PATH="$folder/venv/bin:$PATH"
cat > pyproject.toml <<'TOML'
[tool.kedro]
package_name = "shown"
project_name = "shown"
kedro_init_version = "1.7.0"
TOML
cat > conf/base/catalog.yml <<'YAML'
photos: { type: pandas.ParquetDataset, filepath: photos.parquet }
YAML
touch src/shown/__init__.py src/shown/settings.py
cat > src/shown/pipeline_registry.py <<'PYTHON'
from kedro.pipeline import Node, Pipeline


def register_pipelines():
    return {"__default__": Pipeline([Node(len, "photos", "count", name="count")])}
PYTHON

try() { # the bytes of the column, as Python writes them
  rm -rf build
  python -c "import pandas; pandas.DataFrame({'jpeg': [$1]}).to_parquet('photos.parquet')"
  kedro viz build --include-previews > log 2>&1 || true
  grep -o "UnicodeDecodeError" log | head -1 || true
}
plain=$(try 'b"abc"')
binary=$(try 'b"\xff\xd8"')
echo "b'abc': ${plain:-built}; b'\\xff\\xd8': ${binary:-built}"
[ "$plain" = "" ]
[ "$binary" = "UnicodeDecodeError" ]
