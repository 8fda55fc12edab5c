# The words to remember; what they do is in scripts/.
.DEFAULT_GOAL := help
.PHONY: help run test check audit bench fuzz deb

help: ## this list
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' $(MAKEFILE_LIST)

run: ## nginx and predictd on 127.0.0.1:8080 until Ctrl-C (PORT=8081: elsewhere)
	@scripts/run.sh

test: ## everything that CI runs
	@scripts/test.sh

check: ## the inner loop of it: format, lints, tests, documentation
	@scripts/check.sh

audit: ## licences, sources and known vulnerabilities of the dependencies (cargo-deny)
	@scripts/audit.sh

bench: ## requests/s through nginx, against a server that does nothing; the pool by itself
	@scripts/setup.sh nginx wrk cc onnxruntime
	@cargo build --release --bin predictd
	@tests/yardstick/bench.py
	@cargo bench --bench pool

fuzz: ## every fuzz target for a minute (SECONDS_EACH=600: longer)
	@scripts/fuzz.sh

deb: ## a Debian package, in target/debian
	@scripts/deb.sh
