noinst_LIBRARIES += gateway/relay/librelay.a
gateway_relay_librelay_a_SOURCES = \
	%D%/delivery.c %D%/delivery.h \
	%D%/job.c %D%/job.h \
	%D%/nexthop.c %D%/nexthop.h \
	%D%/pool.c %D%/pool.h \
	%D%/route.c %D%/route.h \
	%D%/smtp_client.c %D%/smtp_client.h

if TESTS_ENABLED
check_PROGRAMS += tests/unit/test_relay_nexthop
tests_unit_test_relay_nexthop_SOURCES = tests/unit/test_relay_nexthop.c
tests_unit_test_relay_nexthop_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_relay_nexthop_LDADD = gateway/relay/librelay.a $(BASE_LIBS) $(UNIT_LIBS)
endif
