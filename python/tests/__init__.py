"""The tests of the package ``predictd``: `scripts/test.sh python` runs them."""
