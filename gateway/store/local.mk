noinst_LIBRARIES += gateway/store/libstore_names.a
gateway_store_libstore_names_a_SOURCES = %D%/names.c %D%/names.h

if TESTS_ENABLED
check_PROGRAMS += tests/unit/test_store_names
tests_unit_test_store_names_SOURCES = tests/unit/test_store_names.c
tests_unit_test_store_names_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_store_names_LDADD = gateway/store/libstore_names.a $(BASE_LIBS) $(UNIT_LIBS)
endif
