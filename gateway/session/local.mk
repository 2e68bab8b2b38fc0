# What the login front ends share: until login, and handing over after it.
noinst_LIBRARIES += gateway/session/libsession.a
gateway_session_libsession_a_SOURCES = \
	%D%/front_tls.c %D%/front_tls.h \
	%D%/handoff.c %D%/handoff.h %D%/handoff_index.c \
	%D%/haproxy_gate.c %D%/haproxy_gate.h \
	%D%/login.c %D%/login.h \
	%D%/login_service.c \
	%D%/peers.c %D%/peers.h
SESSION_LIBS = gateway/session/libsession.a sasl/libsasl_client.a

if TESTS_ENABLED
check_PROGRAMS += tests/unit/test_login_front
tests_unit_test_login_front_SOURCES = tests/unit/test_login_front.c \
	gateway/imap/front.c gateway/pop3/front.c
tests_unit_test_login_front_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_login_front_LDADD = $(SESSION_LIBS) $(SERVICE_LIBS) $(IPC_LIBS) $(PROTO_LIBS) \
	$(TLS_LIBS) $(UNIT_LIBS)
endif
