import sys

from tests.commands import PROJECT, run_command


def test_damaged_files_end_in_a_right_result_or_in_one_line_that_says_why_not():
    script = PROJECT / "benchmarks" / "mutations.py"
    done = run_command(sys.executable, str(script), "--files", "40", "--seed", "1")
    assert done.returncode == 0, done.stdout + done.stderr
