"""`python -m nanoboost.cli`: the `nanoboost` command where no script is on the path."""

from nanoboost.cli.main import main

main()
