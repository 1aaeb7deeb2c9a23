"""The loop that these scripts share: starts what is checked, runs the checks that were named, says how each went, and counts.

A check is a function of one world; its docstring is what it says, and what it returns is said behind it.
"""

import tempfile
import traceback

from processes import CannotStart


def run(checks, named, start, more=None):
    """`start(folder)` is a context manager that gives the world. `more(world, folder)` gives further (passed, failed), where no
    check was named. Returns the exit code."""
    passed = failed = 0
    with tempfile.TemporaryDirectory() as folder:
        try:
            with start(folder) as world:
                for check in checks:
                    if named and check.__name__ not in named:
                        continue
                    try:
                        said = check(world)
                        passed += 1
                        print(f"ok   {check.__doc__}" + (f": {said}" if said else ""), flush=True)
                    except Exception:
                        failed += 1
                        print(f"FAIL {check.__doc__}\n{traceback.format_exc()}", flush=True)
                if more and not named:
                    further = more(world, folder)
                    passed, failed = passed + further[0], failed + further[1]
        except CannotStart as error:
            failed += 1
            print(f"FAIL {error}")
    print(f"{passed} passed, {failed} failed")
    return 1 if failed or not passed else 0
