noinst_LIBRARIES += gateway/smtp/librestriction.a
gateway_smtp_librestriction_a_SOURCES = \
	%D%/restrict_address.c \
	%D%/restrict_basic.c \
	%D%/restriction.c %D%/restriction.h %D%/restriction_impl.h \
	%D%/restriction_table.c
RESTRICTION_LIBS = gateway/smtp/librestriction.a

if TESTS_ENABLED
check_PROGRAMS += tests/unit/test_restriction
tests_unit_test_restriction_SOURCES = tests/unit/test_restriction.c
tests_unit_test_restriction_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_restriction_LDADD = $(RESTRICTION_LIBS) $(CONF_LIBS) $(PROTO_LIBS) $(BASE_LIBS) $(UNIT_LIBS)
endif
