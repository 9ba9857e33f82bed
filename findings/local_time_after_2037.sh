#!/usr/bin/env bash
# pyarrow 26.0.1: local times after 2037 are winter times all year round.
#
# compute.local_timestamp, strftime and a cast to text read a zone's transitions from the system's table, which ends in
# 2037, and not the rule behind it for the years that follow. Python's zoneinfo and pandas apply the rule, so the same
# column says other hours, and near midnight other days, in the two libraries. Due dates and contracts reach that far.
#
# Seen: noon UTC on 1 July is 14:00 in Berlin up to 2037 in all three; from 2038 on it is 13:00 in pyarrow
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet pandas==3.1.1 pyarrow==26.0.1 tzdata==2025.2
cd "$folder"
venv/bin/python - <<'PYTHON'
import datetime as dt
from zoneinfo import ZoneInfo

import pyarrow as pa
import pyarrow.compute as pc

for year in (2037, 2038, 2050):
    noon = dt.datetime(year, 7, 1, 12, tzinfo=dt.timezone.utc)
    column = pa.array([noon], pa.timestamp("s", "Europe/Berlin"))
    arrow = pc.local_timestamp(column)[0].as_py()
    text = column.cast(pa.string())[0].as_py()
    pandas = column.to_pandas().iloc[0]
    python = noon.astimezone(ZoneInfo("Europe/Berlin"))
    print(f"{year}: pyarrow {arrow:%H:%M} ({text}), pandas {pandas:%H:%M}, Python {python:%H:%M}")
    assert (pandas.hour, python.hour, arrow.hour) == (14, 14, 14 if year == 2037 else 13)
PYTHON
