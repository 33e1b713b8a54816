"""``python -m whodrew``."""

from whodrew.cli import main

if __name__ == "__main__":
    main()
