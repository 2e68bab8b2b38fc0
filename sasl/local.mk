noinst_LIBRARIES += sasl/libsasl_client.a
sasl_libsasl_client_a_SOURCES = %D%/client.c %D%/client.h %D%/protocol.h

# dirigo-auth but for its main: conversations, made-up keys, throttle.
noinst_LIBRARIES += sasl/libsasl_server.a
sasl_libsasl_server_a_SOURCES = \
	%D%/conversation.c %D%/conversation.h \
	%D%/fake.c %D%/fake.h \
	%D%/jwt.c %D%/jwt.h \
	%D%/oauth.c %D%/oauth.h \
	%D%/oauth_message.c %D%/oauth_message.h \
	%D%/oauth_plugin.c %D%/oauth_plugin.h \
	%D%/throttle.c %D%/throttle.h \
	%D%/totp.c %D%/totp.h
sasl_libsasl_server_a_CFLAGS = $(AM_CFLAGS) $(SASL_CFLAGS) $(CJOSE_CFLAGS) $(JANSSON_CFLAGS) $(CURL_CFLAGS)
pkglibexec_PROGRAMS += dirigo-auth
AUTH_SOURCES = %D%/act.c %D%/auth.h %D%/certificate.c %D%/certificate.h %D%/exchange.c %D%/exchange.h \
	%D%/exchange_decide.c %D%/exchange_serve.c %D%/login.c %D%/password.c %D%/password.h \
	%D%/principal.c
dirigo_auth_SOURCES = $(AUTH_SOURCES) %D%/main.c
dirigo_auth_LDADD = $(SASL_SERVER_LIBS) $(SERVICE_LIBS) $(IPC_LIBS)
dist_man_MANS += %D%/dirigo-auth.8

SASL_SERVER_LIBS = sasl/libsasl_server.a directory/libdirectory_secrets.a \
	$(DIRECTORY_CLIENT_LIBS) $(SASL_LIBS) $(CJOSE_LIBS:-lcrypto=) $(JANSSON_LIBS) $(CURL_LIBS)

if TESTS_ENABLED
check_PROGRAMS += tests/unit/test_totp
tests_unit_test_totp_SOURCES = tests/unit/test_totp.c
tests_unit_test_totp_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_totp_LDADD = sasl/libsasl_server.a $(BASE_LIBS) $(UNIT_LIBS)

check_PROGRAMS += tests/unit/test_sasl_server
tests_unit_test_sasl_server_SOURCES = tests/unit/test_sasl_server.c
tests_unit_test_sasl_server_CFLAGS = $(UNIT_CFLAGS) $(SASL_CFLAGS)
tests_unit_test_sasl_server_LDADD = $(SASL_SERVER_LIBS) $(CONF_LIBS) $(BASE_LIBS) $(UNIT_LIBS)

check_PROGRAMS += tests/unit/test_auth_exchange
tests_unit_test_auth_exchange_SOURCES = tests/unit/test_auth_exchange.c \
	tests/unit/directory_fixture.c tests/unit/directory_fixture.h \
	$(AUTH_SOURCES)
tests_unit_test_auth_exchange_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_auth_exchange_LDADD = sasl/libsasl_client.a directory/libdirectory_write.a \
	$(SASL_SERVER_LIBS) $(CONF_LIBS) $(IPC_LIBS) $(UNIT_LIBS)
endif
