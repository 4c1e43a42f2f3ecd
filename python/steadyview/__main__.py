"""`python -m steadyview` is the command `steadyview`."""

from .cli import main

if __name__ == "__main__":
    main()
