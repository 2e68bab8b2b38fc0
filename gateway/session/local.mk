# What the login front ends share: until login, and handing over after it.
noinst_LIBRARIES += gateway/session/libsession.a
gateway_session_libsession_a_SOURCES = \
	%D%/handoff.c %D%/handoff.h \
	%D%/login.c %D%/login.h \
	%D%/login_service.c \
	%D%/peers.c %D%/peers.h
SESSION_LIBS = gateway/session/libsession.a sasl/libsasl_client.a
