EXTRA_DIST += quickstart .ci/run conf/packages.debian \
	tests/run tests/packages.sh \
	tests/lint/lint.py \
	tests/protocol tests/fault \
	tests/bench/run.py \
	tests/fuzz/run tests/fuzz/corpus

# EXTRA_DIST takes folders whole: what interpreters leave in them stays behind.
dist-hook:
	find $(distdir)/tests -name __pycache__ -exec rm -rf {} +
.PHONY: dist-hook

include tests/fuzz/local.mk
include tests/bench/local.mk
