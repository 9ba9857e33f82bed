#!/usr/bin/env bash
# Pillow 13.0.0: converting a 16-bit grey PNG to 8 bits clips it at 255 instead of scaling it.
#
# Medical images and depth maps come as such files. `convert("L")` and `convert("RGB")`, the first line of most image
# data sets, turn every pixel above 0.4 % of full brightness white: the network trains on white images, with no warning.
#
# Seen: 16 even steps from 0 to 65,535 become 0 once and 255 fifteen times, in both modes
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet pillow==13.0.0 numpy==2.4.6
cd "$folder"
venv/bin/python - <<'PYTHON'
import numpy as np
from PIL import Image

Image.fromarray(np.linspace(0, 65535, 16).astype(np.uint16).reshape(4, 4)).save("steps.png")
image = Image.open("steps.png")
assert image.mode == "I;16", image.mode
for mode in ("L", "RGB"):
    pixels = np.asarray(image.convert(mode)).reshape(16, -1)[:, 0]
    print(mode, pixels.tolist())
    assert pixels.tolist() == [0] + 15 * [255]
PYTHON
