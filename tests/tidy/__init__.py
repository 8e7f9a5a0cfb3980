"""The style that a linter does not know, as tests: `make check` runs them with the linters."""
