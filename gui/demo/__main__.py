"""`python -m gui.demo`. Small, since the worker process imports the program's main module again."""

import sys

if __name__ == "__main__":
    from gui.demo.driver import main

    sys.exit(main())
