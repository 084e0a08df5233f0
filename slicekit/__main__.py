"""``python -m slicekit`` is ``slicekit``."""

from slicekit.cli import main

if __name__ == "__main__":
    main()
