"""`python -m richregime`: the command line."""

from richregime.cli import main

if __name__ == "__main__":
    main()
