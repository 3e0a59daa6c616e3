"""`python -m cxnlp`: the same as the command `cxnlp`."""

from cxnlp.cli import main

if __name__ == "__main__":
    main()
