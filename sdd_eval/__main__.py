"""`python -m sdd_eval` is `sdd-eval`."""

from sdd_eval.cli import main

if __name__ == "__main__":
    main()
