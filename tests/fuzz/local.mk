# libFuzzer targets, built with --enable-fuzzers and clang. Each is three lines:
#
#   noinst_PROGRAMS += tests/fuzz/fuzz_NAME
#   tests_fuzz_fuzz_NAME_SOURCES = tests/fuzz/fuzz_NAME.c
#   tests_fuzz_fuzz_NAME_LDADD = the libraries under test $(BASE_LIBS)
#
# between the if and the endif, plus tests_fuzz_fuzz_NAME_LDFLAGS = $(FUZZ_LDFLAGS). Seeds are in
# tests/fuzz/corpus/NAME/. tests/fuzz/run runs them all.
FUZZ_LDFLAGS = -fsanitize=fuzzer
if FUZZERS_ENABLED
endif
