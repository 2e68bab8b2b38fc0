EXTRA_DIST += quickstart .ci/run conf/packages.debian \
	tests/run tests/packages.sh \
	tests/lint/lint.py \
	tests/bench/directory.py \
	tests/bench/groups.py \
	tests/bench/run.py \
	tests/fuzz/run

# Named in EXTRA_DIST, a folder would bring along what a build leaves in it.
dist-hook:
	for folder in protocol fault servers; do \
		mkdir -p $(distdir)/tests/$$folder && \
		cp -p $(srcdir)/tests/$$folder/*.py $(distdir)/tests/$$folder/ || exit 1; \
	done
	cp -pR $(srcdir)/tests/fuzz/corpus $(distdir)/tests/fuzz/
.PHONY: dist-hook

include tests/fuzz/local.mk
include tests/bench/local.mk
