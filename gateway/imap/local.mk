# Until login.
pkglibexec_PROGRAMS += dirigo-imapd
dirigo_imapd_SOURCES = %D%/front.c %D%/front.h %D%/front_main.c
dirigo_imapd_LDADD = $(SESSION_LIBS) $(SERVICE_LIBS) $(IPC_LIBS) $(PROTO_LIBS) $(TLS_LIBS)
dist_man_MANS += %D%/dirigo-imapd.8

# IMAP sessions after login, for dirigo-mailbox.
noinst_LIBRARIES += gateway/imap/libimapsession.a
gateway_imap_libimapsession_a_SOURCES = \
	%D%/cmd.c \
	%D%/cmd_append.c \
	%D%/cmd_fetch.c \
	%D%/cmd_folder.c \
	%D%/cmd_idle.c \
	%D%/cmd_search.c \
	%D%/cmd_store.c \
	%D%/fetch.c %D%/fetch.h \
	%D%/format.c %D%/format.h \
	%D%/message.c %D%/message.h \
	%D%/search.h %D%/search_private.h \
	%D%/search_match.c %D%/search_parse.c \
	%D%/seqset.c %D%/seqset.h \
	%D%/session.c %D%/session.h \
	%D%/structure.c %D%/structure.h \
	%D%/text.c %D%/text.h

if TESTS_ENABLED
check_PROGRAMS += tests/unit/test_imap_session
tests_unit_test_imap_session_SOURCES = tests/unit/test_imap_session.c
tests_unit_test_imap_session_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_imap_session_LDADD = gateway/imap/libimapsession.a gateway/pop3/libpop3session.a \
	$(STORE_LIBS) $(PROTO_LIBS) $(CONF_LIBS) $(EVENT_LIBS) $(UNIT_LIBS)
endif
