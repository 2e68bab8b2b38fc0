noinst_LIBRARIES += gateway/store/libstore_names.a
gateway_store_libstore_names_a_SOURCES = %D%/names.c %D%/names.h

if TESTS_ENABLED
check_PROGRAMS += tests/unit/test_store_names
tests_unit_test_store_names_SOURCES = tests/unit/test_store_names.c
tests_unit_test_store_names_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_store_names_LDADD = gateway/store/libstore_names.a $(BASE_LIBS) $(UNIT_LIBS)
endif

# Mailboxes, for dirigo-mailbox alone; users link $(STORE_LIBS) before the event layer.
noinst_LIBRARIES += gateway/store/libstore.a
gateway_store_libstore_a_SOURCES = \
	%D%/append.c \
	%D%/change.c \
	%D%/copy.c \
	%D%/folders.c \
	%D%/index.c %D%/index.h \
	%D%/mailbox.h \
	%D%/maildir.c %D%/maildir.h \
	%D%/private.h \
	%D%/read.c \
	%D%/session.c %D%/session.h \
	%D%/store.c \
	%D%/sync.c \
	%D%/utf7.c %D%/utf7.h \
	%D%/view.c \
	%D%/watch.c
gateway_store_libstore_a_CPPFLAGS = $(AM_CPPFLAGS) $(LMDB_CFLAGS)
STORE_LIBS = gateway/store/libstore.a gateway/store/libstore_names.a $(LMDB_LIBS)

if TESTS_ENABLED
check_PROGRAMS += tests/unit/test_store
tests_unit_test_store_SOURCES = tests/unit/test_store.c
tests_unit_test_store_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_store_LDADD = $(STORE_LIBS) $(EVENT_LIBS) $(UNIT_LIBS)
endif

# The process. It has no TLS: the front ends keep it.
pkglibexec_PROGRAMS += dirigo-mailbox
dirigo_mailbox_SOURCES = %D%/mailbox_main.c gateway/session/handoff_index.c
dirigo_mailbox_LDADD = gateway/imap/libimapsession.a gateway/pop3/libpop3session.a $(STORE_LIBS) \
	gateway/queue/libqueue_client.a $(PROTO_LIBS) $(SERVICE_LIBS) $(IPC_LIBS) $(EVENT_LIBS)
dist_man_MANS += %D%/dirigo-mailbox.8
