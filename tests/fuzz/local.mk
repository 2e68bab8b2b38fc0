# libFuzzer targets, built with --enable-fuzzers and clang. Each is three lines:
#
#   noinst_PROGRAMS += tests/fuzz/fuzz_NAME
#   tests_fuzz_fuzz_NAME_SOURCES = tests/fuzz/fuzz_NAME.c
#   tests_fuzz_fuzz_NAME_LDADD = the libraries under test $(BASE_LIBS)
#
# between the if and the endif, plus tests_fuzz_fuzz_NAME_LDFLAGS = $(FUZZ_LDFLAGS). Seeds are in
# tests/fuzz/corpus/NAME/. tests/fuzz/run runs them all.
FUZZ_LDFLAGS = -fsanitize=fuzzer
if FUZZERS_ENABLED
noinst_PROGRAMS += tests/fuzz/fuzz_dns
tests_fuzz_fuzz_dns_SOURCES = tests/fuzz/fuzz_dns.c
tests_fuzz_fuzz_dns_LDADD = $(PROTO_LIBS) $(BASE_LIBS)
tests_fuzz_fuzz_dns_LDFLAGS = $(FUZZ_LDFLAGS)
noinst_PROGRAMS += tests/fuzz/fuzz_smtp_reply
tests_fuzz_fuzz_smtp_reply_SOURCES = tests/fuzz/fuzz_smtp_reply.c
tests_fuzz_fuzz_smtp_reply_LDADD = $(PROTO_LIBS) $(BASE_LIBS)
tests_fuzz_fuzz_smtp_reply_LDFLAGS = $(FUZZ_LDFLAGS)
noinst_PROGRAMS += tests/fuzz/fuzz_conf
tests_fuzz_fuzz_conf_SOURCES = tests/fuzz/fuzz_conf.c
tests_fuzz_fuzz_conf_LDADD = $(CONF_LIBS) $(BASE_LIBS)
tests_fuzz_fuzz_conf_LDFLAGS = $(FUZZ_LDFLAGS)
noinst_PROGRAMS += tests/fuzz/fuzz_smtp_session
tests_fuzz_fuzz_smtp_session_SOURCES = tests/fuzz/fuzz_smtp_session.c
tests_fuzz_fuzz_smtp_session_LDADD = $(PROTO_LIBS) $(BASE_LIBS)
tests_fuzz_fuzz_smtp_session_LDFLAGS = $(FUZZ_LDFLAGS)
noinst_PROGRAMS += tests/fuzz/fuzz_smtp_data
tests_fuzz_fuzz_smtp_data_SOURCES = tests/fuzz/fuzz_smtp_data.c
tests_fuzz_fuzz_smtp_data_LDADD = $(PROTO_LIBS) $(BASE_LIBS)
tests_fuzz_fuzz_smtp_data_LDFLAGS = $(FUZZ_LDFLAGS)
noinst_PROGRAMS += tests/fuzz/fuzz_journal
tests_fuzz_fuzz_journal_SOURCES = tests/fuzz/fuzz_journal.c
tests_fuzz_fuzz_journal_LDADD = gateway/queue/libqueue.a $(BASE_LIBS)
tests_fuzz_fuzz_journal_LDFLAGS = $(FUZZ_LDFLAGS)
noinst_PROGRAMS += tests/fuzz/fuzz_envelope
tests_fuzz_fuzz_envelope_SOURCES = tests/fuzz/fuzz_envelope.c
tests_fuzz_fuzz_envelope_LDADD = gateway/queue/libqueue.a $(BASE_LIBS)
tests_fuzz_fuzz_envelope_LDFLAGS = $(FUZZ_LDFLAGS)
noinst_PROGRAMS += tests/fuzz/fuzz_imap_parser
tests_fuzz_fuzz_imap_parser_SOURCES = tests/fuzz/fuzz_imap_parser.c
tests_fuzz_fuzz_imap_parser_LDADD = $(PROTO_LIBS) $(BASE_LIBS)
tests_fuzz_fuzz_imap_parser_LDFLAGS = $(FUZZ_LDFLAGS)
noinst_PROGRAMS += tests/fuzz/fuzz_restriction
tests_fuzz_fuzz_restriction_SOURCES = tests/fuzz/fuzz_restriction.c
tests_fuzz_fuzz_restriction_LDADD = $(RESTRICTION_LIBS) $(CONF_LIBS) $(PROTO_LIBS) $(BASE_LIBS)
tests_fuzz_fuzz_restriction_LDFLAGS = $(FUZZ_LDFLAGS)
noinst_PROGRAMS += tests/fuzz/fuzz_pop3_parser
tests_fuzz_fuzz_pop3_parser_SOURCES = tests/fuzz/fuzz_pop3_parser.c
tests_fuzz_fuzz_pop3_parser_LDADD = $(PROTO_LIBS) $(BASE_LIBS)
tests_fuzz_fuzz_pop3_parser_LDFLAGS = $(FUZZ_LDFLAGS)
noinst_PROGRAMS += tests/fuzz/fuzz_header
tests_fuzz_fuzz_header_SOURCES = tests/fuzz/fuzz_header.c
tests_fuzz_fuzz_header_LDADD = $(PROTO_LIBS) $(BASE_LIBS)
tests_fuzz_fuzz_header_LDFLAGS = $(FUZZ_LDFLAGS)
noinst_PROGRAMS += tests/fuzz/fuzz_ldif
tests_fuzz_fuzz_ldif_SOURCES = tests/fuzz/fuzz_ldif.c
tests_fuzz_fuzz_ldif_LDADD = $(PROTO_LIBS) $(BASE_LIBS)
tests_fuzz_fuzz_ldif_LDFLAGS = $(FUZZ_LDFLAGS)
noinst_PROGRAMS += tests/fuzz/fuzz_mime
tests_fuzz_fuzz_mime_SOURCES = tests/fuzz/fuzz_mime.c
tests_fuzz_fuzz_mime_LDADD = $(PROTO_LIBS) $(BASE_LIBS)
tests_fuzz_fuzz_mime_LDFLAGS = $(FUZZ_LDFLAGS)
noinst_PROGRAMS += tests/fuzz/fuzz_imap_args
tests_fuzz_fuzz_imap_args_SOURCES = tests/fuzz/fuzz_imap_args.c
tests_fuzz_fuzz_imap_args_LDADD = gateway/imap/libimapsession.a gateway/pop3/libpop3session.a \
	$(STORE_LIBS) $(PROTO_LIBS) $(CONF_LIBS) $(EVENT_LIBS)
tests_fuzz_fuzz_imap_args_LDFLAGS = $(FUZZ_LDFLAGS)
noinst_PROGRAMS += tests/fuzz/fuzz_msg
tests_fuzz_fuzz_msg_SOURCES = tests/fuzz/fuzz_msg.c
tests_fuzz_fuzz_msg_LDADD = $(IPC_LIBS)
tests_fuzz_fuzz_msg_LDFLAGS = $(FUZZ_LDFLAGS)
noinst_PROGRAMS += tests/fuzz/fuzz_address
tests_fuzz_fuzz_address_SOURCES = tests/fuzz/fuzz_address.c
tests_fuzz_fuzz_address_LDADD = $(DIRECTORY_CLIENT_LIBS) $(BASE_LIBS)
tests_fuzz_fuzz_address_LDFLAGS = $(FUZZ_LDFLAGS)
noinst_PROGRAMS += tests/fuzz/fuzz_syncmsg
tests_fuzz_fuzz_syncmsg_SOURCES = tests/fuzz/fuzz_syncmsg.c
tests_fuzz_fuzz_syncmsg_CFLAGS = $(AM_CFLAGS) $(LDAP_CFLAGS)
tests_fuzz_fuzz_syncmsg_LDADD = directory/libdirectory_write.a $(DIRECTORY_CLIENT_LIBS) $(BASE_LIBS)
tests_fuzz_fuzz_syncmsg_LDFLAGS = $(FUZZ_LDFLAGS)
noinst_PROGRAMS += tests/fuzz/fuzz_bounce
tests_fuzz_fuzz_bounce_SOURCES = tests/fuzz/fuzz_bounce.c
tests_fuzz_fuzz_bounce_LDADD = gateway/queue/libqueue.a $(BASE_LIBS)
tests_fuzz_fuzz_bounce_LDFLAGS = $(FUZZ_LDFLAGS)
endif
