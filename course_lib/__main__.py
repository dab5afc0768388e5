"""`python -m course_lib`: see `course_lib.commands`."""

import gc
import sys

from course_lib.commands import main

if __name__ == "__main__":
    code = main()
    gc.freeze()  # the interpreter would look for garbage among all objects of torch before it ends: 0.3 s
    sys.exit(code)
