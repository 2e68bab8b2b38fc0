noinst_LIBRARIES += gateway/base/libbase.a
gateway_base_libbase_a_SOURCES = \
	%D%/buf.c %D%/buf.h \
	%D%/clock.c %D%/clock.h \
	%D%/file.c %D%/file.h \
	%D%/guesses.c %D%/guesses.h \
	%D%/hmac.c %D%/hmac.h \
	%D%/log.c %D%/log.h \
	%D%/mem.c %D%/mem.h \
	%D%/netaddr.c %D%/netaddr.h \
	%D%/password_end.c %D%/password_end.h \
	%D%/role.c %D%/role.h \
	%D%/shtable.c %D%/shtable.h \
	%D%/str.c %D%/str.h \
	%D%/ticket.c %D%/ticket.h \
	%D%/ticket_used.c %D%/ticket_used.h \
	%D%/uuid.c %D%/uuid.h

if TESTS_ENABLED
check_PROGRAMS += tests/unit/test_base
tests_unit_test_base_SOURCES = tests/unit/test_base.c
tests_unit_test_base_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_base_LDADD = $(BASE_LIBS) $(UNIT_LIBS)
endif
