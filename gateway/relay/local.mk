noinst_LIBRARIES += gateway/relay/librelay.a
gateway_relay_librelay_a_SOURCES = \
	%D%/delivery.c %D%/delivery.h \
	%D%/job.c %D%/job.h \
	%D%/nexthop.c %D%/nexthop.h \
	%D%/pool.c %D%/pool.h \
	%D%/route.c %D%/route.h \
	%D%/smtp_client.c %D%/smtp_client.h

pkglibexec_PROGRAMS += dirigo-relay
dirigo_relay_SOURCES = %D%/main.c
dirigo_relay_LDADD = gateway/relay/librelay.a $(IDN_LIBS) gateway/queue/libqueue_client.a $(RESOLVER_CLIENT_LIBS) $(SERVICE_LIBS) \
	gateway/ipc/libipc.a $(TLS_LIBS)

if TESTS_ENABLED
check_PROGRAMS += tests/unit/test_relay_nexthop
tests_unit_test_relay_nexthop_SOURCES = tests/unit/test_relay_nexthop.c
tests_unit_test_relay_nexthop_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_relay_nexthop_LDADD = gateway/relay/librelay.a $(IDN_LIBS) $(BASE_LIBS) $(UNIT_LIBS)

check_PROGRAMS += tests/unit/test_smtp_client
tests_unit_test_smtp_client_SOURCES = tests/unit/test_smtp_client.c \
	tests/unit/smtp_script.c tests/unit/smtp_script.h
tests_unit_test_smtp_client_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_smtp_client_LDADD = gateway/relay/librelay.a $(IDN_LIBS) gateway/queue/libqueue_client.a $(PROTO_LIBS) gateway/ipc/libipc.a \
	$(TLS_LIBS) $(UNIT_LIBS)
endif
dist_man_MANS += %D%/dirigo-relay.8
