"""The command line as `python -m richregime`."""

from richregime.cli import main

if __name__ == "__main__":
    main()
