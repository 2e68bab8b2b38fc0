# Load programs: built by "make bench", never part of the test suite.
EXTRA_PROGRAMS += tests/bench/load
tests_bench_load_SOURCES = tests/bench/load.c
tests_bench_load_LDADD =
bench: all tests/bench/load
.PHONY: bench
