noinst_LIBRARIES += gateway/resolver/libresolver_client.a
gateway_resolver_libresolver_client_a_SOURCES = %D%/client.c %D%/client.h %D%/protocol.h
# Before $(IPC_LIBS).
RESOLVER_CLIENT_LIBS = gateway/resolver/libresolver_client.a $(PROTO_LIBS)

noinst_LIBRARIES += gateway/resolver/libresolver.a
gateway_resolver_libresolver_a_SOURCES = \
	%D%/anchors.c %D%/anchors.h \
	%D%/local_data.c %D%/local_data.h \
	%D%/server.c %D%/server.h \
	%D%/settings.c %D%/settings.h \
	%D%/tunnel.c %D%/tunnel.h
gateway_resolver_libresolver_a_CFLAGS = $(AM_CFLAGS) $(UNBOUND_CFLAGS)

pkglibexec_PROGRAMS += dirigo-resolver
dirigo_resolver_SOURCES = %D%/main.c
dirigo_resolver_LDADD = gateway/resolver/libresolver.a $(SERVICE_LIBS) $(IPC_LIBS) \
	$(TLS_LIBS) $(UNBOUND_LIBS)

if TESTS_ENABLED
check_PROGRAMS += tests/unit/test_resolver_settings
tests_unit_test_resolver_settings_SOURCES = tests/unit/test_resolver_settings.c
tests_unit_test_resolver_settings_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_resolver_settings_LDADD = gateway/resolver/libresolver.a \
	$(CONF_LIBS) $(BASE_LIBS) $(UNIT_LIBS)

check_PROGRAMS += tests/unit/test_dns_client
tests_unit_test_dns_client_SOURCES = tests/unit/test_dns_client.c
tests_unit_test_dns_client_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_dns_client_LDADD = $(RESOLVER_CLIENT_LIBS) $(IPC_LIBS) $(UNIT_LIBS)
endif
dist_man_MANS += %D%/dirigo-resolver.8
