"""Test accuracy and time of the whole run of digits on MNIST.

    python benchmarks/digits.py [--env public] [--seed 0] [--threads 2]

The run is that of the command line, in a folder of its own: reading, checking, training, scoring.
Wall time needs a machine that does nothing else; processor time shows how far that was so.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path


def main() -> None:
    """Print scores of valid and test, wall time and processor time."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--env", default="public")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        kedro = str(Path(sys.executable).with_name("kedro"))
        settings = {"training.seed": arguments.seed, "training.threads": arguments.threads}
        params = ",".join([f"output_root={folder}", *(f"digits.{name}={value}" for name, value in settings.items())])
        started = time.perf_counter()
        subprocess.run([kedro, "run", "--pipeline=digits", f"--env={arguments.env}", f"--params={params}"], check=True)
        wall = time.perf_counter() - started
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        reports = Path(folder, "08_reporting/digits")
        metrics = json.loads((reports / "metrics.json").read_text())
        for part in ("valid", "test"):
            if metrics[part]:
                print(f"{part}: accuracy {metrics[part]['accuracy_score']:.4f} of {metrics['rows'][part]} images")
        print(f"{wall:.0f} s wall, {used.ru_utime:.0f} s user, {used.ru_stime:.0f} s system")


if __name__ == "__main__":
    main()
