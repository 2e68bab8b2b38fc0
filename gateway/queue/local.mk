noinst_LIBRARIES += gateway/queue/libqueue_client.a gateway/queue/libqueue.a
gateway_queue_libqueue_client_a_SOURCES = %D%/client.c %D%/client.h \
	%D%/options.c %D%/options.h %D%/protocol.h

# What dirigo-queue does without knowing that it is a process; tests link it.
gateway_queue_libqueue_a_SOURCES = \
	%D%/bounce.c %D%/bounce.h \
	%D%/deliver.c %D%/deliver.h \
	%D%/envelope.c %D%/envelope.h \
	%D%/ids.c %D%/ids.h \
	%D%/journal.c %D%/journal_record.c %D%/journal.h \
	%D%/replay.c %D%/replay.h \
	%D%/schedule.c %D%/schedule.h \
	%D%/spool.c %D%/spool.h

pkglibexec_PROGRAMS += dirigo-queue
dirigo_queue_SOURCES = \
	%D%/commit.c \
	%D%/files.c \
	%D%/group.c %D%/group.h \
	%D%/main.c \
	%D%/queue.h \
	%D%/relays.c \
	%D%/returns.c \
	%D%/server.c \
	%D%/waiting.c
dirigo_queue_LDADD = gateway/queue/libqueue.a gateway/queue/libqueue_client.a gateway/store/libstore_names.a \
	$(PROTO_LIBS) $(SERVICE_LIBS) $(IPC_LIBS)

if TESTS_ENABLED
check_PROGRAMS += tests/unit/test_journal
tests_unit_test_journal_SOURCES = tests/unit/test_journal.c
tests_unit_test_journal_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_journal_LDADD = gateway/queue/libqueue.a $(PROTO_LIBS) $(BASE_LIBS) $(UNIT_LIBS)
check_PROGRAMS += tests/unit/test_envelope
tests_unit_test_envelope_SOURCES = tests/unit/test_envelope.c
tests_unit_test_envelope_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_envelope_LDADD = gateway/queue/libqueue.a $(PROTO_LIBS) $(BASE_LIBS) $(UNIT_LIBS)
check_PROGRAMS += tests/unit/test_schedule
tests_unit_test_schedule_SOURCES = tests/unit/test_schedule.c
tests_unit_test_schedule_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_schedule_LDADD = gateway/queue/libqueue.a $(PROTO_LIBS) $(BASE_LIBS) $(UNIT_LIBS)
check_PROGRAMS += tests/unit/test_replay
tests_unit_test_replay_SOURCES = tests/unit/test_replay.c
tests_unit_test_replay_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_replay_LDADD = gateway/queue/libqueue.a gateway/store/libstore_names.a $(PROTO_LIBS) $(BASE_LIBS) $(UNIT_LIBS)
check_PROGRAMS += tests/unit/test_queue_kill
tests_unit_test_queue_kill_SOURCES = tests/fault/queue_kill.c
tests_unit_test_queue_kill_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_queue_kill_LDADD = gateway/queue/libqueue_client.a gateway/store/libstore_names.a $(IPC_LIBS) $(UNIT_LIBS)
check_PROGRAMS += tests/unit/test_bounce
tests_unit_test_bounce_SOURCES = tests/unit/test_bounce.c
tests_unit_test_bounce_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_bounce_LDADD = gateway/queue/libqueue.a $(PROTO_LIBS) $(BASE_LIBS) $(UNIT_LIBS)
endif
dist_man_MANS += %D%/dirigo-queue.8
