noinst_LIBRARIES += gateway/event/libdgevent.a gateway/event/libdgtls.a
gateway_event_libdgevent_a_SOURCES = \
	%D%/linger.c %D%/linger.h \
	%D%/listener.c %D%/listener.h \
	%D%/loop.c %D%/loop.h \
	%D%/splice.c \
	%D%/stream.c %D%/stream.h %D%/stream_private.h \
	%D%/worker.c %D%/worker.h
gateway_event_libdgevent_a_CFLAGS = $(AM_CFLAGS) $(LIBEVENT_CFLAGS)
gateway_event_libdgtls_a_SOURCES = \
	%D%/kdf.c %D%/kdf.h \
	%D%/stream_tls.c \
	%D%/tls.c %D%/tls.h %D%/tls_private.h \
	%D%/tls_peer.c \
	%D%/tls_server.c \
	%D%/tls_ticket.c
gateway_event_libdgtls_a_CFLAGS = $(AM_CFLAGS) $(LIBEVENT_CFLAGS) $(OPENSSL_CFLAGS)

# For a program without TLS, and for one with it.
EVENT_LIBS = gateway/event/libdgevent.a $(BASE_LIBS) $(LIBEVENT_LIBS)
TLS_LIBS = gateway/event/libdgtls.a $(EVENT_LIBS) -levent_openssl $(OPENSSL_LIBS)

if TESTS_ENABLED
check_PROGRAMS += tests/unit/test_stream
tests_unit_test_stream_SOURCES = tests/unit/test_stream.c
tests_unit_test_stream_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_stream_LDADD = $(TLS_LIBS) $(UNIT_LIBS)
check_PROGRAMS += tests/unit/test_event
tests_unit_test_event_SOURCES = tests/unit/test_event.c
tests_unit_test_event_CFLAGS = $(UNIT_CFLAGS)
# Without the TLS side: what has no TLS links no OpenSSL.
tests_unit_test_event_LDADD = $(EVENT_LIBS) $(UNIT_LIBS)
endif
