.DEFAULT_GOAL := help
.PHONY: help build demo test matrix bench lint image images crds docs site

help: ## show the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-7s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: ## build the operator and the kubectl plug-in
	cargo build --locked --bins

demo: ## show the main use case live, on a control plane of its own
	@tests/prerequisites.sh cargo cc go
	cargo build --locked -p bowline -p kubectl-bowline -p bowline-testbed --bins
	@"$${CARGO_TARGET_DIR:-target}/debug/bowline-testbed" demo

test: ## run all tests and print how many ran at each level
	tests/run.sh

matrix: ## run the tests that need an API server against 1.33, 1.34 and 1.35
	tests/matrix.sh

bench: ## measure refreshes, requests, memory and CPU
	@tests/prerequisites.sh cargo cc go
	cargo run --locked --release -p bowline-testbed -- bench

lint: ## check format, lints, licenses and sources of dependencies
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets -- -D warnings
	cargo deny --locked check bans licenses sources

image: ## build the operator's image for amd64 and arm64, without a container engine
	packaging/image.sh

images: ## recreate the pictures of the portal in docs/images
	@tests/prerequisites.sh cargo cc go npm chromium chromedriver pngquant
	rm -f docs/images/*.png
	BOWLINE_IMAGES=$(CURDIR)/docs/images cargo test --locked -p bowline --test browser -- --include-ignored every_page
	pngquant 64 --nofs --force --skip-if-larger --strip --speed 1 --ext .png docs/images/*.png

crds: ## regenerate the definitions of the kinds
	UPDATE_GOLDEN=1 cargo test --locked -p bowline --test crds committed_definitions

docs: ## regenerate the generated pages
	UPDATE_GOLDEN=1 cargo test --locked -p bowline-oauth --lib proof_tests
	UPDATE_GOLDEN=1 cargo test --locked -p bowline -p bowline-api -p bowline-oauth -p bowline-portal --lib --test docs up_to_date

site: ## build the pages as a site with search, in target/site
	packaging/site.sh target/site
