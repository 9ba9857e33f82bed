#!/usr/bin/env bash
# tqdm 4.70.1: `logging_redirect_tqdm` puts a handler of its own in the place of the log's console handler, and at its end
# puts back the list of handlers that it found. Two of them that overlap without being nested, as trainings in two threads
# that end in the order in which they began, leave the log redirected: the second one found the first one's handler, and
# puts it back when both have ended. From then on the log goes through `tqdm.write` for good, and the handler that the
# program had configured, such as one that counts lines or writes JSON, is never asked again.
#
# Seen: nested, the log ends with ['CountingHandler']; overlapping, with ['_TqdmLoggingHandler'], and the handler that was
# configured has counted 1 of 2 lines.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
uv venv --quiet "$folder/venv"
uv pip install --quiet --python "$folder/venv/bin/python" tqdm==4.70.1
"$folder/venv/bin/python" - <<'PYTHON'
import logging
import sys

from tqdm.contrib.logging import logging_redirect_tqdm

log, seen = logging.getLogger(), []
log.setLevel(logging.INFO)


class CountingHandler(logging.StreamHandler):
    def emit(self, record):
        seen.append(record.getMessage())
        super().emit(record)


def configured():
    log.handlers[:] = [CountingHandler(sys.stdout)]


def kinds():
    return [type(handler).__name__ for handler in log.handlers]


configured()
with logging_redirect_tqdm(), logging_redirect_tqdm():
    pass
nested = kinds()

configured()
log.info("before")
first, second = logging_redirect_tqdm(), logging_redirect_tqdm()
first.__enter__()
second.__enter__()
first.__exit__(None, None, None)
second.__exit__(None, None, None)
log.info("after")
print(nested, kinds(), seen)
sys.exit(0 if (nested, kinds(), seen) == (["CountingHandler"], ["_TqdmLoggingHandler"], ["before"]) else 1)
PYTHON
