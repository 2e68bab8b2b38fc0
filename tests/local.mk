include tests/fuzz/local.mk
include tests/bench/local.mk
