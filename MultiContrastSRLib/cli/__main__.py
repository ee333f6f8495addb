"""`python -m MultiContrastSRLib.cli`."""

import sys

from . import main

sys.exit(main())
