#!/usr/bin/env bash
# Kedro-Viz 12.5.0: a dataset's `HTMLPreview` is not shown as the HTML that it is. The page cleans it, and then replaces by
# rules of Markdown: what stands between two underscores or asterisks becomes italic, within words and across tags too.
#
# So a table with a column salary_in_usd shows "salaryinusd", with "in" in italics. To write &#95; does not help, since
# cleaning gives back the character before the rules are applied.
#
# Seen, from the page's own function, run by Node: <td>salary_in_usd</td> becomes <p><td>salary<em>in</em>usd</td></p>
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
uv venv --quiet "$folder/venv"
uv pip install --quiet --python "$folder/venv/bin/python" --no-deps kedro-viz==12.5.0 playwright==1.65.2 # for its Node
"$folder/venv/bin/python" - "$folder" <<'PYTHON'
import pathlib, re, subprocess, sys

folder = pathlib.Path(sys.argv[1])
packages = next(folder.glob("venv/lib/python3*/site-packages"))
page = next((packages / "kedro_viz/html/assets").glob("index-*.js")).read_text(encoding="utf-8")
# the function that turns cleaned HTML into what is put on the page: it begins with a check for text
start = re.search(r'(\w+)=n=>\{if\(!n\|\|typeof n!="string"\)return"";let r=n;', page)
assert start, "the function is not there any more"
end = page.index(",r}", start.start()) + len(",r}")
used = page[end : end + 200]
assert "dangerouslySetInnerHTML" in page[end : end + 400] and start.group(1) in used, used
program = folder / "shown.js"
program.write_text(f"const {page[start.start() : end]}; process.stdout.write({start.group(1)}('<td>salary_in_usd</td>'))")
node = packages / "playwright/driver/node"
shown = subprocess.run([node, program], capture_output=True, text=True, check=True).stdout
print(shown)
sys.exit(0 if shown == "<p><td>salary<em>in</em>usd</td></p>" else 1)
PYTHON
