noinst_LIBRARIES += gateway/proto/libproto.a
gateway_proto_libproto_a_SOURCES = \
	%D%/aliases.c %D%/aliases.h \
	%D%/dns.c %D%/dns.h \
	%D%/haproxy.c %D%/haproxy.h \
	%D%/header.c %D%/header.h \
	%D%/mime.c %D%/mime.h \
	%D%/mime_value.c %D%/mime_value.h \
	%D%/imap_arg.c %D%/imap_parser.c %D%/imap_parser.h \
	%D%/ldif.c %D%/ldif.h \
	%D%/pop3_parser.c %D%/pop3_parser.h \
	%D%/smtp_address.c %D%/smtp_address.h \
	%D%/smtp_command.c %D%/smtp_command.h \
	%D%/smtp_data.c %D%/smtp_data.h \
	%D%/smtp_reply.c %D%/smtp_reply.h
PROTO_LIBS = gateway/proto/libproto.a

# Apart, for it needs a library of its own.
noinst_LIBRARIES += gateway/proto/libidn.a
gateway_proto_libidn_a_SOURCES = %D%/idn.c %D%/idn.h
gateway_proto_libidn_a_CFLAGS = $(AM_CFLAGS) $(IDN2_CFLAGS)
IDN_LIBS = gateway/proto/libidn.a $(IDN2_LIBS)

if TESTS_ENABLED
check_PROGRAMS += tests/unit/test_haproxy
tests_unit_test_haproxy_SOURCES = tests/unit/test_haproxy.c
tests_unit_test_haproxy_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_haproxy_LDADD = $(PROTO_LIBS) $(BASE_LIBS) $(UNIT_LIBS)

check_PROGRAMS += tests/unit/test_dns
tests_unit_test_dns_SOURCES = tests/unit/test_dns.c
tests_unit_test_dns_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_dns_LDADD = $(PROTO_LIBS) $(BASE_LIBS) $(UNIT_LIBS)

check_PROGRAMS += tests/unit/test_smtp_reply
tests_unit_test_smtp_reply_SOURCES = tests/unit/test_smtp_reply.c
tests_unit_test_smtp_reply_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_smtp_reply_LDADD = $(PROTO_LIBS) $(BASE_LIBS) $(UNIT_LIBS)

check_PROGRAMS += tests/unit/test_smtp_command
tests_unit_test_smtp_command_SOURCES = tests/unit/test_smtp_command.c
tests_unit_test_smtp_command_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_smtp_command_LDADD = $(PROTO_LIBS) $(BASE_LIBS) $(UNIT_LIBS)

check_PROGRAMS += tests/unit/test_smtp_data
tests_unit_test_smtp_data_SOURCES = tests/unit/test_smtp_data.c
tests_unit_test_smtp_data_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_smtp_data_LDADD = $(PROTO_LIBS) $(BASE_LIBS) $(UNIT_LIBS)

check_PROGRAMS += tests/unit/test_imap_parser
tests_unit_test_imap_parser_SOURCES = tests/unit/test_imap_parser.c
tests_unit_test_imap_parser_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_imap_parser_LDADD = $(PROTO_LIBS) $(BASE_LIBS) $(UNIT_LIBS)

check_PROGRAMS += tests/unit/test_pop3_parser
tests_unit_test_pop3_parser_SOURCES = tests/unit/test_pop3_parser.c
tests_unit_test_pop3_parser_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_pop3_parser_LDADD = $(PROTO_LIBS) $(BASE_LIBS) $(UNIT_LIBS)

check_PROGRAMS += tests/unit/test_aliases
tests_unit_test_aliases_SOURCES = tests/unit/test_aliases.c
tests_unit_test_aliases_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_aliases_LDADD = $(PROTO_LIBS) $(BASE_LIBS) $(UNIT_LIBS)
check_PROGRAMS += tests/unit/test_ldif
tests_unit_test_ldif_SOURCES = tests/unit/test_ldif.c
tests_unit_test_ldif_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_ldif_LDADD = $(PROTO_LIBS) $(BASE_LIBS) $(UNIT_LIBS)

check_PROGRAMS += tests/unit/test_mime
tests_unit_test_mime_SOURCES = tests/unit/test_mime.c
tests_unit_test_mime_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_mime_LDADD = $(PROTO_LIBS) $(BASE_LIBS) $(UNIT_LIBS)
endif
