# Load programs: built by "make bench", never part of the test suite.
EXTRA_PROGRAMS += tests/bench/load
tests_bench_load_SOURCES = tests/bench/load.c
tests_bench_load_LDADD =
EXTRA_PROGRAMS += tests/bench/lookup
tests_bench_lookup_SOURCES = tests/bench/lookup.c
tests_bench_lookup_LDADD = $(DIRECTORY_CLIENT_LIBS) $(CONF_LIBS) $(BASE_LIBS)
bench: all tests/bench/load tests/bench/lookup
.PHONY: bench
